//! Opaque tokens through the whole: a real server asks a real issuer over HTTP.

use deodar::api::client::Connection;
use deodar::api::pb::{decision as pb, manage};
use deodar::identity::Algorithm;
use futures::future::join_all;
use serde_json::{Value, json};

use super::issuers::settings;
use crate::support::app::{Backend, THINGS_HOST, TestApp};
use crate::support::case::reason_name;
use crate::support::issuer::{Mode, TestIssuer, new_key};
use crate::support::proof::{Prover, bearer, dpop, seconds_from_now};

struct Door {
    app: TestApp,
    gateway: Connection,
    issuer: TestIssuer,
}

impl Door {
    /// With an issuer whose tokens are opaque; `more` are settings of its introspection.
    async fn open(more: &str) -> Self {
        let issuer = TestIssuer::start().await;
        let secret = tempfile::NamedTempFile::new().unwrap();
        std::fs::write(secret.path(), "swordfish\n").unwrap();
        let of = format!(
            r#"
[[identity.issuers]]
alias = "corp"
issuer = "{}"
audiences = ["things"]
may_assert = {{ domains = ["things"] }}

[identity.issuers.introspection]
url = "{}/introspect"
client_id = "deodar"
client_secret_file = "{}"
min_retry = "100ms"
max_retry = "100ms"
{more}

[identity]
opaque_tokens = "corp"

[identity.fetch]
timeout = "300ms"
connect_timeout = "300ms"
"#,
            issuer.issuer(),
            issuer.issuer(),
            secret.path().display(),
        );
        // A table is written before the tables in it.
        let (issuers, rest) = of.split_once("[identity]").unwrap();
        let text = format!("[identity]{}{}{issuers}", rest, settings(&[]));
        let app = TestApp::start_with(Backend::Sqlite, &text).await;
        let gateway = app.decisions(&app.gateway_key).await;
        Self { app, gateway, issuer }
    }

    async fn ask(&self, credential: pb::Credential) -> String {
        let call = pb::ApiCall {
            method: "GET".into(),
            host: THINGS_HOST.into(),
            path: "/things/7".into(),
            secure: true,
            ..pb::ApiCall::default()
        };
        let request = pb::CheckRequest {
            credentials: vec![credential],
            question: Some(pb::Question { kind: Some(pb::question::Kind::Call(call)) }),
            ..pb::CheckRequest::default()
        };
        reason_name(
            self.gateway.decisions().check(request).await.unwrap().into_inner().decision.unwrap().reason,
        )
    }

    async fn bearer(&self, token: &str) -> String {
        self.ask(bearer(token, "")).await
    }

    /// Has the issuer call a token good, with these members besides.
    fn announce(&self, token: &str, changes: &Value) {
        let mut answer = json!({
            "active": true, "sub": "alice", "aud": ["things"], "client_id": "spa", "token_type": "Bearer",
            "iat": seconds_from_now(-10), "exp": seconds_from_now(300),
        });
        for (name, value) in changes.as_object().unwrap() {
            answer[name] = value.clone();
            if value.is_null() {
                answer.as_object_mut().unwrap().remove(name);
            }
        }
        self.issuer.answer_for(token, answer);
    }

    fn asked(&self) -> usize {
        self.issuer.seen("/introspect")
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_opaque_token_is_what_its_issuer_says() {
    let door = Door::open("").await;
    door.announce("good-token", &json!({}));
    door.announce("for-others", &json!({ "aud": "others" }));
    door.announce("over", &json!({ "exp": seconds_from_now(-60) }));
    for (token, reason) in [
        ("good-token", "allowed"),
        ("good-token", "allowed"),
        ("for-others", "credential_wrong_audience"),
        ("over", "credential_expired"),
        ("never-heard-of", "credential_inactive"),
        ("never-heard-of", "credential_inactive"),
        ("not a token", "credential_malformed"),
    ] {
        assert_eq!(door.bearer(token).await, reason, "{token}");
    }
    assert_eq!(door.asked(), 4, "once for each token");
    let seen = &door.issuer.requests("/introspect")[0];
    // `deodar:swordfish`.
    assert_eq!(seen.authorization.as_deref(), Some("Basic ZGVvZGFyOnN3b3JkZmlzaA=="));
    assert_eq!(seen.body, "token=good-token&token_type_hint=access_token");
    let jwt = door.issuer.token(&new_key(), "alice", &json!({}));
    assert_eq!(door.bearer(&jwt).await, "credential_unknown_key", "a JWT is verified, not asked about");
    assert_eq!(door.asked(), 4);
    door.app.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_client_can_authenticate_in_the_form() {
    let door = Door::open("client_authentication = \"client_secret_post\"").await;
    door.announce("good-token", &json!({}));
    assert_eq!(door.bearer("good-token").await, "allowed");
    let seen = &door.issuer.requests("/introspect")[0];
    assert_eq!(seen.authorization, None);
    assert!(seen.body.ends_with("&client_id=deodar&client_secret=swordfish"), "{}", seen.body);
    door.app.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_bound_opaque_token_needs_its_proof() {
    let door = Door::open("").await;
    let prover = Prover::new(Algorithm::Es256);
    door.announce("bound", &json!({ "token_type": "DPoP", "cnf": prover.confirmation() }));
    assert_eq!(door.bearer("bound").await, "credential_binding_failed");
    let uri = format!("https://{THINGS_HOST}/things/7");
    let proof = prover.proof("GET", &uri, "bound");
    assert_eq!(door.ask(dpop("bound", &proof)).await, "allowed");
    assert_eq!(door.ask(dpop("bound", &proof)).await, "credential_replayed");
    door.app.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn revocations_count_for_opaque_tokens() {
    let door = Door::open("").await;
    door.announce("no-iat", &json!({ "iat": null }));
    door.announce("dated", &json!({ "iat": seconds_from_now(0), "sub": "bob" }));
    for token in ["no-iat", "dated"] {
        assert_eq!(door.bearer(token).await, "allowed", "{token}");
    }
    let management = door.app.management().await;
    let revoke = async |target: &str, issued_before: Option<i64>| {
        let revocation = manage::Revocation {
            target: target.to_owned(),
            issued_before: issued_before.map(|seconds| prost_types::Timestamp { seconds, nanos: 0 }),
            reason: "stolen".to_owned(),
            ..manage::Revocation::default()
        };
        let request = manage::CreateRevocationRequest { revocation: Some(revocation) };
        management.create_revocation(request).await.unwrap()
    };
    revoke("issuer:corp", Some(seconds_from_now(-5))).await;
    assert_eq!(door.bearer("no-iat").await, "revoked", "nobody knows that it was issued since");
    assert_eq!(door.bearer("dated").await, "allowed");
    revoke("principal:User::corp/bob", None).await;
    assert_eq!(door.bearer("dated").await, "revoked");
    door.app.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn many_questions_about_one_token_are_one_to_the_issuer_and_a_hung_issuer_holds_few() {
    let door = Door::open("max_waiting = 8").await;
    door.announce("popular", &json!({}));
    let answers = join_all((0..8).map(|_| door.bearer("popular"))).await;
    assert_eq!(answers, vec!["allowed"; 8]);
    assert_eq!(door.asked(), 1);
    door.issuer.set_mode(Mode::Slow);
    let tokens: Vec<String> = (0..200).map(|n| format!("stranger-{n}")).collect();
    let answers = join_all(tokens.iter().map(|token| door.bearer(token))).await;
    assert!(answers.iter().all(|answer| answer == "issuer_unavailable"), "{answers:?}");
    assert!(door.asked() <= 1 + 8, "{} questions", door.asked());
    assert_eq!(door.bearer("popular").await, "allowed", "what is known goes on counting");
    let management = door.app.management().await;
    let status = management.system().get_status(manage::GetStatusRequest {}).await.unwrap().into_inner();
    let problems = status.problems.join("\n");
    assert!(problems.contains("did not answer within 300ms"), "{problems}");
    assert!(!format!("{status:?}").contains("stranger-"), "tokens are not shown");
    door.app.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn bad_answers_are_refused_each_for_its_reason() {
    for mode in [Mode::Oversized, Mode::WrongType, Mode::Redirect, Mode::Failing, Mode::Garbage] {
        let door = Door::open("").await;
        door.announce("good-token", &json!({}));
        door.issuer.set_mode(mode);
        assert_eq!(door.bearer("good-token").await, "issuer_unavailable", "{mode:?}");
        assert_eq!(door.issuer.seen("/moved"), 0);
        door.app.stop().await;
    }
}

/// What the issuer calls active is no better than a token that was verified here.
#[tokio::test(flavor = "multi_thread")]
async fn a_principal_that_is_disabled_is_refused_with_an_opaque_token_too() {
    let door = Door::open("").await;
    door.announce("known", &json!({}));
    door.announce("bob", &json!({ "sub": "bob" }));
    for token in ["known", "bob"] {
        assert_eq!(door.bearer(token).await, "allowed", "{token}");
    }
    let management = door.app.management().await;
    let put = async |active: bool| {
        let principal_id = "User::corp/alice".into();
        let entry = manage::Principal { principal_id, active: Some(active), ..manage::Principal::default() };
        let put = manage::PutPrincipalRequest { principal: Some(entry), etag: "*".into() };
        management.principals().put_principal(put).await.unwrap();
    };
    put(false).await;
    door.announce("new", &json!({}));
    for (token, reason) in
        [("known", "principal_disabled"), ("new", "principal_disabled"), ("bob", "allowed")]
    {
        assert_eq!(door.bearer(token).await, reason, "{token}");
    }
    put(true).await;
    assert_eq!(door.bearer("known").await, "allowed");
    door.app.stop().await;
}
