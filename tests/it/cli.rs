//! The command line as a shell sees it: the real binary, on commands that need no server.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};

use deodar::app::dev_issuer::DevIssuer;
use deodar::identity::{Algorithm, SigningKey};
use serde_json::{Value, json};

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
fn what_goes_with_tls_is_refused_where_there_is_none() {
    let home = home();
    let certificate = ["--tls-cert", "ops.crt", "--tls-key", "ops.key"];
    for (option, given) in [("--ca-file", &["--ca-file", "ca.pem"][..]), ("--tls-cert", &certificate)] {
        for (command, url) in [
            (vec!["status", "--management"], "http://127.0.0.1:0"),
            (vec!["check", "GET", "https://orders.example.com/", "--server"], "HTTP://127.0.0.1:0"),
            (vec!["bench", "--server"], "http://127.0.0.1:0"),
        ] {
            let told = stderr(&deodar(home.path(), &[command.as_slice(), &[url], given].concat()));
            assert!(told.contains(&format!("{option} (DEODAR_")) && told.contains(url), "{told}");
            assert!(told.contains("write https:// in --") && told.contains("leave"), "{told}");
            let secure = url.to_lowercase().replace("http:", "https:");
            let other =
                stderr(&deodar(home.path(), &[command.as_slice(), &[secure.as_str()], given].concat()));
            assert!(!other.contains("has no effect"), "{other}");
        }
    }
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

/// A folder with a configuration file of one issuer, and a signer for it.
fn issuer(home: &Path) -> (PathBuf, SigningKey) {
    let key = SigningKey::generate(Algorithm::Es256).unwrap();
    fs::write(home.join("keys.json"), key.public_jwks().to_string()).unwrap();
    let config = home.join("deodar.toml");
    let text = "[[identity.issuers]]\nalias = \"corp\"\nissuer = \"https://corp\"\naudiences = [\"api\"]\n\
                jwks_file = \"keys.json\"\n[identity.issuers.may_assert]\nroles = [\"clerk\"]\n";
    fs::write(&config, text).unwrap();
    (config, key)
}

fn token_for(key: &SigningKey, audience: &str) -> String {
    let claims = json!({
        "iss": "https://corp", "sub": "alice", "aud": audience, "client_id": "spa", "jti": "t-1", "scope": "orders:read",
        "iat": 1_800_000_000, "exp": 1_800_000_300, "roles": ["clerk", "admin"],
    });
    let header = json!({ "typ": "at+jwt" });
    key.sign(header.as_object().unwrap().clone(), claims.as_object().unwrap()).unwrap()
}

#[test]
fn an_inspected_token_is_shown_as_policies_would_see_it_and_never_printed() {
    let home = home();
    let (config, key) = issuer(home.path());
    let token = token_for(&key, "api");
    let file = home.path().join("token.jwt");
    fs::write(&file, format!("{token}\n")).unwrap();
    let words = ["token", "inspect", "--config", config.to_str().unwrap(), file.to_str().unwrap()];
    let at = ["--at", "2027-01-15T08:00:10Z", "--output", "json"];
    let output = deodar(home.path(), &[&words[..], &at].concat());
    let report = json(&output);
    assert_eq!((output.status.code(), &report["accepted"]), (Some(0), &json!(true)), "{report}");
    assert!(report["checks"].as_array().unwrap().iter().all(|check| check["result"] == "passed"), "{report}");
    assert_eq!(
        (&report["principal"]["id"], &report["principal"]["roles"]),
        (&json!("corp/alice"), &json!(["clerk"]))
    );
    let seen = &report["context"]["token"];
    assert_eq!((&seen["age_s"], &seen["scopes"]), (&json!(10), &json!(["orders:read"])));
    assert_eq!(report["lifetime"]["remaining_s"], 320);
    assert!(report["dropped"][0].as_str().unwrap().contains("admin"));
    let text = deodar(home.path(), &[&words[..], &at[..2]].concat());
    assert!(stdout(&text).contains("context.token.age_s") && stdout(&text).contains("accepted"));
    for output in [output, text] {
        let printed = stdout(&output) + &stderr(&output);
        assert!(token.split('.').all(|segment| !printed.contains(segment)), "{printed}");
    }
}

#[test]
fn a_refused_token_shows_where_it_failed() {
    let home = home();
    let (config, key) = issuer(home.path());
    let config = config.to_str().unwrap();
    let file = home.path().join("token.jwt");
    fs::write(&file, token_for(&key, "billing")).unwrap();
    let words = ["token", "inspect", "--config", config, file.to_str().unwrap(), "--output", "json"];
    let output = deodar(home.path(), &[&words[..], &["--at", "2027-01-15T08:00:10Z"]].concat());
    let report = json(&output);
    assert_eq!(output.status.code(), Some(1));
    assert_eq!(report["refusal"]["reason"], "credential_wrong_audience");
    let failed =
        report["checks"].as_array().unwrap().iter().find(|check| check["result"] == "failed").unwrap();
    assert_eq!(failed["check"], "audience");
    assert!(report.get("principal").is_none() && report.get("context").is_none());
    let late = deodar(home.path(), &words);
    assert_eq!((late.status.code(), &json(&late)["accepted"]), (Some(1), &json!(false)));
}

#[test]
fn a_token_on_the_command_line_is_refused_without_being_repeated() {
    let home = home();
    let (config, key) = issuer(home.path());
    let token = token_for(&key, "api");
    let output = deodar(home.path(), &["token", "inspect", "--config", config.to_str().unwrap(), &token]);
    assert_eq!(output.status.code(), Some(1));
    assert!(stderr(&output).contains("standard input") && !stderr(&output).contains(&token[..20]));
}

#[test]
fn with_trust_domains_alone_the_development_issuer_is_nobody() {
    let home = home();
    fs::create_dir_all(home.path().join("data")).unwrap();
    DevIssuer::open(&home.path().join("data")).unwrap();
    let minted = deodar(home.path(), &["token", "mint", "alice"]);
    let file = home.path().join("token.jwt");
    fs::write(&file, stdout(&minted)).unwrap();
    let mut key = SigningKey::generate(Algorithm::Es256).unwrap().public_jwk();
    key["use"] = json!("jwt-svid");
    fs::write(home.path().join("prod.json"), json!({ "keys": [key] }).to_string()).unwrap();
    let config = home.path().join("deodar.toml");
    let text = "[[identity.trust_domains]]\nalias = \"prod\"\nname = \"prod.example.com\"\nbundle_file = \"prod.json\"\n";
    fs::write(&config, text).unwrap();
    let words = ["token", "inspect", file.to_str().unwrap(), "--output", "json"];
    let without = json(&deodar(home.path(), &words));
    assert_eq!(without["accepted"], true, "{without}");
    let with = json(&deodar(home.path(), &[&words[..], &["--config", config.to_str().unwrap()]].concat()));
    assert_eq!(with["refusal"]["reason"], "credential_wrong_issuer", "{with}");
}
