//! The command line against a running server: what an operator does, step by step, with the real binary.

use std::path::PathBuf;
use std::process::{Command, Stdio};

use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use deodar::identity::{Algorithm, SigningKey};
use serde_json::{Value, json};

use crate::support::app::{Backend, TestApp};
use crate::support::certificate::Authority;

/// A shell that knows one server.
#[derive(Clone)]
struct Shell {
    home: PathBuf,
    server: String,
    management: String,
}

/// What a command left behind.
struct Ended {
    code: Option<i32>,
    stdout: String,
    stderr: String,
}

impl Ended {
    fn json(&self) -> Value {
        serde_json::from_str(&self.stdout)
            .unwrap_or_else(|error| panic!("{error}: {}{}", self.stdout, self.stderr))
    }
}

impl Shell {
    fn of(app: &TestApp) -> Self {
        Self {
            home: app.dir.path().to_owned(),
            server: format!("http://{}", app.running.decisions()),
            management: format!("http://{}", app.running.management()),
        }
    }

    /// Runs `deodar` with these words.
    async fn run(&self, words: &[&str]) -> Ended {
        let mut command = Command::new(env!("CARGO_BIN_EXE_deodar"));
        command.args(words).env_clear().stdin(Stdio::null()).env("DEODAR_DATA_DIR", &self.home);
        command.env("DEODAR_SERVER", &self.server).env("DEODAR_MANAGEMENT", &self.management);
        let output = tokio::task::spawn_blocking(move || command.output()).await.unwrap().unwrap();
        let text = |bytes| String::from_utf8(bytes).unwrap();
        Ended { code: output.status.code(), stdout: text(output.stdout), stderr: text(output.stderr) }
    }

    async fn json(&self, words: &[&str]) -> Value {
        self.run(&[words, &["--output", "json"]].concat()).await.json()
    }

    /// A token for Alice, a clerk, in session `s-1`.
    async fn token(&self) -> String {
        let words =
            ["token", "mint", "alice", "--role", "clerk", "--scope", "orders:read", "--session", "s-1"];
        self.run(&words).await.stdout.trim().to_owned()
    }
}

const ORDER: &str = "https://orders.example.com/orders/7";

#[tokio::test(flavor = "multi_thread")]
async fn a_check_ends_with_zero_for_allow_and_three_for_deny() {
    let app = TestApp::start(Backend::Sqlite).await;
    let shell = Shell::of(&app);
    let token = shell.token().await;
    let allowed = shell.run(&["check", "GET", ORDER, "--token", &token, "--explain"]).await;
    assert_eq!(allowed.code, Some(0), "{}{}", allowed.stdout, allowed.stderr);
    assert!(
        allowed.stdout.starts_with("ALLOW  allowed\n"),
        "no colours without a terminal: {}",
        allowed.stdout
    );
    assert!(allowed.stdout.contains("how it came about"));
    let denied = shell.run(&["check", "GET", ORDER, "--output", "json"]).await;
    assert_eq!(denied.code, Some(3));
    assert_eq!(
        (&denied.json()["effect"], &denied.json()["reason"]),
        (&"deny".into(), &"credential_missing".into())
    );
    app.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_recorded_signal_revokes_until_it_is_cleared() {
    let app = TestApp::start(Backend::Sqlite).await;
    let shell = Shell::of(&app);
    let token = shell.token().await;
    let check = ["check", "GET", ORDER, "--token", &token];
    let recorded =
        shell.json(&["signal", "record", "session:dev/s-1", "session_revoked", "--until-cleared"]).await;
    let revision = recorded["revision"].as_str().unwrap();
    let after = [check.as_slice(), &["--at-least", revision]].concat();
    assert_eq!(shell.json(&after).await["reason"], "revoked");
    let risk = shell.json(&["risk", "get", "session:dev/s-1"]).await;
    assert_eq!(risk["flags"][0], "session_revoked");
    let id = recorded["signal"]["signal_id"].as_str().unwrap();
    let cleared = shell.json(&["signal", "clear", id, "--reason", "it was a mistake"]).await;
    assert_eq!(cleared["signal"]["clear_reason"], "it was a mistake");
    assert_eq!(shell.json(&check).await["effect"], "allow");
    let listed = shell.json(&["signal", "list", "--include-cleared", "--page-size", "1", "--all"]).await;
    assert_eq!((listed["items"].as_array().unwrap().len(), &listed["next_page_token"]), (1, &"".into()));
    app.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_session_is_revoked_and_the_revocation_undone() {
    let app = TestApp::start(Backend::Sqlite).await;
    let shell = Shell::of(&app);
    let token = shell.token().await;
    let check = ["check", "GET", ORDER, "--token", &token];
    assert_eq!(shell.json(&check).await["effect"], "allow");
    let made = shell.json(&["revoke", "session", "dev/s-1", "--reason", "the laptop was stolen"]).await;
    assert_eq!((&made["acknowledged"], &made["pending"]), (&1.into(), &Value::Array(Vec::new())));
    assert_eq!(shell.json(&check).await["reason"], "revoked");
    let id = made["revocation"]["revocation_id"].as_str().unwrap();
    assert_eq!(shell.json(&["revocation", "list"]).await["items"][0]["revocation_id"], id);
    let undone = shell.run(&["revocation", "undo", id, "--reason", "it was another laptop"]).await;
    assert!(undone.stdout.contains("on every live replica (1)"), "{}{}", undone.stdout, undone.stderr);
    assert_eq!(shell.json(&check).await["effect"], "allow");
    assert_eq!(shell.json(&["revocation", "get", id]).await["undo_reason"], "it was another laptop");
    app.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_principal_is_disabled_and_enabled_and_its_roles_stay() {
    let app = TestApp::start(Backend::Sqlite).await;
    let shell = Shell::of(&app);
    let token = shell.token().await;
    let (check, alice) = (["check", "GET", ORDER, "--token", &token], "User::dev/alice");
    shell.json(&["principal", "set", alice, "--role", "manager", "--tag", "team=blue"]).await;
    shell.json(&["principal", "disable", alice, "--note", "left on Monday"]).await;
    assert_eq!(shell.json(&check).await["reason"], "principal_disabled");
    let enabled = shell.json(&["principal", "enable", alice]).await;
    let principal = &enabled["principal"];
    assert_eq!((&principal["roles"][0], &principal["tags"]["team"][0]), (&"manager".into(), &"blue".into()));
    assert_eq!((&principal["active"], &principal["note"]), (&true.into(), &"left on Monday".into()));
    assert_eq!(shell.json(&check).await["effect"], "allow");
    assert_eq!(shell.json(&["principal", "list"]).await["items"][0]["principal_id"], alice);
    shell.json(&["principal", "delete", alice]).await;
    assert!(shell.run(&["principal", "get", alice]).await.stderr.contains("not_found"));
    app.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_new_client_asks_with_its_key_until_it_is_revoked() {
    let app = TestApp::start(Backend::Sqlite).await;
    let shell = Shell::of(&app);
    let token = shell.token().await;
    let key = shell.home.join("edge.key");
    let key = key.to_str().unwrap();
    let create = ["client", "create", "edge", "--role", "gateway", "--api", "orders", "--key-out", key];
    let created = shell.run(&create).await;
    assert_eq!(created.code, Some(0), "{}", created.stderr);
    assert!(!created.stdout.contains("deodar_"), "the key is in the file only");
    let check = ["check", "GET", ORDER, "--token", &token, "--key-file", key];
    assert_eq!(shell.run(&check).await.code, Some(0));
    let again = shell.run(&create).await;
    assert!(again.code == Some(1) && again.stderr.contains("is there already"), "{}", again.stderr);
    let shown = shell.json(&["client", "revoke", "edge"]).await;
    assert_ne!(shown["client"]["revoke_time"], "");
    let refused = shell.run(&check).await;
    assert_eq!(refused.code, Some(1), "a refused caller got no decision, so this is no denial");
    assert!(refused.stderr.contains("unauthenticated"), "{}", refused.stderr);
    app.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_decision_is_found_by_the_id_that_its_answer_carried() {
    let app = TestApp::start(Backend::Sqlite).await;
    let shell = Shell::of(&app);
    let id = shell.json(&["check", "GET", ORDER]).await["decision_id"].as_str().unwrap().to_owned();
    // Records are stored in batches behind the answers.
    let mut record = shell.run(&["decision", "get", &id, "--output", "json"]).await;
    while record.code != Some(0) {
        assert!(record.stderr.contains("not_found"), "{}", record.stderr);
        record = shell.run(&["decision", "get", &id, "--output", "json"]).await;
    }
    assert_eq!(record.json()["reason"], "credential_missing");
    let listed =
        shell.json(&["decision", "list", "--effect", "deny", "--reason", "credential_missing"]).await;
    assert_eq!(listed["items"][0]["decision_id"], id.as_str());
    app.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn status_tells_what_is_served() {
    let app = TestApp::start(Backend::Sqlite).await;
    let shell = Shell::of(&app);
    let text = shell.run(&["status"]).await;
    assert!(text.code == Some(0) && text.stdout.starts_with("READY"), "{}{}", text.stdout, text.stderr);
    let object = shell.json(&["status"]).await;
    assert_eq!((&object["ready"], &object["store"]), (&true.into(), &"sqlite".into()));
    app.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn status_counts_what_the_token_cache_was_good_for() {
    let app = TestApp::start(Backend::Sqlite).await;
    let shell = Shell::of(&app);
    let token = shell.token().await;
    let words = ["check", "GET", ORDER, "--token", &token];
    for _ in 0..3 {
        shell.run(&words).await;
    }
    let cache = &shell.json(&["status"]).await["token_cache"];
    assert_eq!(
        (&cache["tokens"], &cache["hits"], &cache["misses"], &cache["evictions"]),
        (&1.into(), &2.into(), &1.into(), &0.into())
    );
    let (bytes, most) = (cache["bytes"].as_u64().unwrap(), cache["max_bytes"].as_u64().unwrap());
    assert!(bytes > 1_000 && bytes < most, "{cache}");
    let text = shell.run(&["status"]).await.stdout;
    assert!(text.contains("1 kept") && text.contains("2 hits, 1 misses (66.7 % hits)"), "{text}");
    app.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_the_server_refuses_is_told_with_the_field() {
    let app = TestApp::start(Backend::Sqlite).await;
    let shell = Shell::of(&app);
    let refused = shell.run(&["signal", "record", "principal:User::dev/alice", "nonsense"]).await;
    assert_eq!(refused.code, Some(1));
    assert!(refused.stderr.contains("`nonsense` is not a kind of signal"), "{}", refused.stderr);
    assert!(refused.stderr.starts_with("error: signals") && refused.stdout.is_empty());
    app.stop().await;
}

/// A server whose answers are as they should be; how fast they are is not for a test.
#[tokio::test(flavor = "multi_thread")]
async fn a_bench_checks_every_answer_in_every_mode() {
    let app = TestApp::start(Backend::Sqlite).await;
    let shell = Shell::of(&app);
    let short =
        ["bench", "--warmup", "0s", "--duration", "200ms", "--connections", "2", "--concurrency", "2"];
    let few = ["--principals", "50", "--batch-size", "5", "--output", "json"];
    for mode in [
        &["--mode", "unary"][..],
        &["--mode", "batch"],
        &["--mode", "stream"],
        &["--rate", "50"],
        &["--anonymous"],
    ] {
        let few = if mode == ["--anonymous"] { &few[2..] } else { &few[..] };
        let ended = shell.run(&[&short, few, mode].concat()).await;
        assert_eq!(ended.code, Some(0), "{mode:?}: {}{}", ended.stdout, ended.stderr);
        let report = ended.json();
        let decided = report["decisions"].as_u64().unwrap();
        let of_one_call = if mode == ["--mode", "batch"] { 5 } else { 1 };
        assert!(decided > 0, "{mode:?}");
        assert_eq!(decided, report["calls"].as_u64().unwrap() * of_one_call);
        assert_eq!(report["errors"]["wrong"], 0);
    }
    app.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_bench_gives_up_what_it_can_only_ask_late() {
    let app = TestApp::start(Backend::Sqlite).await;
    let shell = Shell::of(&app);
    let flood = ["bench", "--anonymous", "--rate", "1000000", "--connections", "1", "--concurrency", "1"];
    let short = ["--warmup", "0s", "--duration", "500ms", "--output", "json"];
    let half_of = async |more: &[&str]| {
        let ended = shell.run(&[&flood[..], &short, more].concat()).await;
        assert_eq!(ended.code, Some(1), "{}", ended.stderr);
        let report = ended.json();
        let why = report["errors"]["first_failure"].as_str().unwrap();
        assert!(why.starts_with("never asked"), "{why}");
        report["latency_us"]["p50"].as_f64().unwrap()
    };
    let (however_late, soon) = (half_of(&[]).await, half_of(&["--give-up-after", "1ms"]).await);
    assert!(soon < however_late / 2.0, "{soon} {however_late}");
    app.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_bench_times_nothing_that_is_not_answered_as_expected() {
    let app = TestApp::start(Backend::Sqlite).await;
    let shell = Shell::of(&app);
    let file = app.dir.path().join("questions.yaml");
    std::fs::write(&file, format!("- {{method: GET, url: '{ORDER}', expect: allow}}")).unwrap();
    let file = file.to_str().unwrap();
    // Few at once: an unoptimised server on a busy machine is soon overloaded.
    let asked = ["bench", "--warmup", "0s", "--duration", "100ms", "--concurrency", "1", "--requests", file];
    let refused = shell.run(&asked).await;
    assert_eq!(refused.code, Some(1));
    assert!(refused.stderr.contains("deny (credential_missing), not allow"), "{}", refused.stderr);
    let trusted = shell.run(&[&asked[..], &["--trust-answers"]].concat()).await;
    assert_eq!(trusted.code, Some(0), "{}", trusted.stderr);
    app.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn status_lists_the_trust_domains() {
    let folder = tempfile::tempdir().unwrap();
    let x5c = |name| json!([BASE64_STANDARD.encode(Authority::root(name).der)]);
    let authority = |name| json!({ "kty": "EC", "use": "x509-svid", "x5c": x5c(name) });
    let mut key = SigningKey::generate(Algorithm::Es256).unwrap().public_jwk();
    key["use"] = json!("jwt-svid");
    let bundle = folder.path().join("prod.json");
    let text = json!({ "keys": [authority("old"), authority("new"), key] }).to_string();
    std::fs::write(&bundle, text).unwrap();
    let bundle = bundle.display();
    let more = format!(
        "[[identity.trust_domains]]\nalias = \"prod\"\nname = \"prod.example.com\"\nbundle_file = \"{bundle}\"\n"
    );
    let app = TestApp::start_with(Backend::Sqlite, &more).await;
    let shell = Shell::of(&app);
    let expected = json!({ "alias": "prod", "name": "prod.example.com", "authorities": 2, "token_keys": 1 });
    assert_eq!(shell.json(&["status"]).await["trust_domains"], json!([expected]));
    let text = shell.run(&["status"]).await.stdout;
    let row = text.lines().find(|line| line.contains("prod.example.com")).expect(&text);
    assert_eq!(row.split_whitespace().collect::<Vec<_>>(), ["prod", "prod.example.com", "2", "1"]);
    app.stop().await;
}
