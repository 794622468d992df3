//! The command line as a shell sees it: the real binary, on commands that need no server.

use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};

use serde_json::Value;

/// Runs `deodar` far away from the settings of whoever runs the tests.
fn deodar(home: &Path, words: &[&str]) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_deodar"));
    command.args(words).env_clear().env("HOME", home).env("DEODAR_DATA_DIR", home.join("data"));
    command.current_dir(env!("CARGO_MANIFEST_DIR")).stdin(Stdio::null()).output().unwrap()
}

fn stdout(output: &Output) -> String {
    String::from_utf8(output.stdout.clone()).unwrap()
}

fn stderr(output: &Output) -> String {
    String::from_utf8(output.stderr.clone()).unwrap()
}

fn json(output: &Output) -> Value {
    serde_json::from_slice(&output.stdout).unwrap_or_else(|error| panic!("{error}: {}", stdout(output)))
}

fn home() -> tempfile::TempDir {
    tempfile::tempdir().unwrap()
}

/// A folder with one policy file.
fn policies(text: &str) -> (tempfile::TempDir, PathBuf) {
    let folder = home();
    let set = folder.path().join("set");
    std::fs::create_dir_all(set.join("cases")).unwrap();
    std::fs::write(set.join("own.cedar"), text).unwrap();
    (folder, set)
}

const GOOD: &str =
    "@id(\"clerks\") permit (principal in api::Role::\"clerk\", action, resource is api::Endpoint);\n";

#[test]
fn the_schema_is_printed_as_cedar_and_as_json() {
    let home = home();
    let text = deodar(home.path(), &["policy", "schema"]);
    assert!(text.status.success() && stdout(&text).contains("namespace api"), "{}", stderr(&text));
    let object = json(&deodar(home.path(), &["policy", "schema", "--output", "json"]));
    assert!(object["api"]["actions"].is_object());
}

#[test]
fn the_shipped_policies_are_valid_and_pass_their_cases() {
    let home = home();
    let sets = ["policies/zero-trust", "policies/demo"];
    let validated = deodar(home.path(), &["policy", "validate", sets[0], sets[1], "--output", "json"]);
    assert_eq!((validated.status.code(), json(&validated)["valid"].as_bool()), (Some(0), Some(true)));
    let tested = deodar(home.path(), &["policy", "test", sets[0], sets[1]]);
    assert!(tested.status.success(), "{}{}", stdout(&tested), stderr(&tested));
    assert!(stdout(&tested).lines().last().unwrap().ends_with(" 0 failed"), "{}", stdout(&tested));
}

#[test]
fn a_policy_that_is_not_valid_is_shown_with_its_place() {
    let (_folder, set) =
        policies("@id(\"x\")\npermit (principal, action, resource) when { context.nothing };\n");
    let home = home();
    let set = set.to_str().unwrap();
    let text = deodar(home.path(), &["policy", "validate", set]);
    assert_eq!(text.status.code(), Some(1));
    assert!(
        stdout(&text).contains("own.cedar") && stdout(&text).contains("context.nothing"),
        "{}",
        stdout(&text)
    );
    let object = json(&deodar(home.path(), &["policy", "validate", set, "--output", "json"]));
    assert_eq!((object["valid"].as_bool(), object["errors"][0]["line"].as_u64()), (Some(false), Some(2)));
}

#[test]
fn a_case_that_fails_fails_the_run_and_says_what_differs() {
    let (_folder, set) = policies(GOOD);
    let cases = "\
cases:
  - name: a clerk reads
    principal: { roles: [clerk] }
    endpoint: { api: orders, method: GET, template: /orders }
    expect: { effect: allow, policies: [clerks] }
  - name: a stranger reads
    principal: {}
    endpoint: { api: orders, method: GET, template: /orders }
    expect: { effect: allow }
";
    std::fs::write(set.join("cases/reads.yaml"), cases).unwrap();
    let home = home();
    let set = set.to_str().unwrap();
    let all = deodar(home.path(), &["policy", "test", set]);
    assert_eq!(all.status.code(), Some(1), "{}", stderr(&all));
    assert!(stdout(&all).contains("cases/reads.yaml: a stranger reads"), "{}", stdout(&all));
    let one = deodar(home.path(), &["policy", "test", set, "--filter", "clerk", "--output", "json"]);
    assert_eq!((one.status.code(), json(&one)["passed"].as_u64()), (Some(0), Some(1)));
    let none = deodar(home.path(), &["policy", "test", set, "--filter", "nobody"]);
    assert_eq!(none.status.code(), Some(1), "a run without cases is no success");
}

#[test]
fn a_printed_configuration_is_accepted() {
    let home = home();
    let printed = deodar(home.path(), &["config", "print"]);
    let file = home.path().join("deodar.toml");
    std::fs::write(&file, &printed.stdout).unwrap();
    let checked = deodar(home.path(), &["config", "check", file.to_str().unwrap(), "--output", "json"]);
    assert!(checked.status.success(), "{}", stderr(&checked));
    assert_eq!(json(&checked)["valid"], true);
}

#[test]
fn a_wrong_configuration_is_refused_with_the_key() {
    let home = home();
    let file = home.path().join("deodar.toml");
    let check = |text: &str| {
        std::fs::write(&file, text).unwrap();
        deodar(home.path(), &["config", "check", file.to_str().unwrap()])
    };
    let misspelt = check("[server]\ndecision = \"127.0.0.1:1\"\n");
    assert_eq!(misspelt.status.code(), Some(1));
    assert!(stderr(&misspelt).starts_with("error: ") && stderr(&misspelt).contains("decision"));
    let missing = check("[policy.domains.default]\ndirectories = [\"nowhere\"]\n");
    assert!(stderr(&missing).contains("nowhere"), "{}", stderr(&missing));
    assert!(stdout(&missing).is_empty(), "messages go to standard error");
}

#[test]
fn without_a_key_the_error_tells_how_to_get_one() {
    let home = home();
    let checked = deodar(home.path(), &["check", "GET", "https://orders.example.com/orders/7"]);
    assert_eq!(checked.status.code(), Some(1));
    assert!(stderr(&checked).contains("deodar client create my-gateway --role gateway --all-apis"));
}

#[test]
fn without_a_server_the_error_names_the_address() {
    let home = home();
    let key = home.path().join("own.key");
    std::fs::write(&key, "deodar_x_y").unwrap();
    // Nothing can listen on port 0.
    let words = ["status", "--management", "http://127.0.0.1:0", "--key-file", key.to_str().unwrap()];
    let status = deodar(home.path(), &words);
    assert_eq!(status.status.code(), Some(1));
    assert!(stderr(&status).contains("nothing answers at http://127.0.0.1:0"), "{}", stderr(&status));
}

#[test]
fn without_a_development_issuer_no_token_is_minted() {
    let home = home();
    let minted = deodar(home.path(), &["token", "mint", "alice"]);
    assert_eq!(minted.status.code(), Some(1));
    assert!(stderr(&minted).contains("development mode"), "{}", stderr(&minted));
    assert!(!home.path().join("data").exists(), "asking for a token makes no key");
}

#[test]
fn a_wrong_command_line_ends_with_two() {
    let home = home();
    for wrong in [vec!["check"], vec!["frobnicate"], vec!["signal", "record", "alice", "x"]] {
        assert_eq!(deodar(home.path(), &wrong).status.code(), Some(2), "{wrong:?}");
    }
}

#[test]
fn the_schema_of_the_embedded_store_is_made_once() {
    let home = home();
    let applied = || json(&deodar(home.path(), &["db", "migrate", "--output", "json"]))["applied"].as_u64();
    assert!(applied() > Some(0));
    assert_eq!(applied(), Some(0));
}

#[test]
fn a_reader_that_goes_away_is_no_panic() {
    let home = home();
    let mut child = Command::new(env!("CARGO_BIN_EXE_deodar"))
        .args(["policy", "schema", "--output", "json"])
        .env_clear()
        .env("HOME", home.path())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    drop(child.stdout.take());
    let output = child.wait_with_output().unwrap();
    assert!(output.stderr.is_empty(), "{}", stderr(&output));
    assert!(output.status.success());
}
