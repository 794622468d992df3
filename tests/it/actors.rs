//! Tokens with an actor (`act`, RFC 8693): what is believed, and what policies see.

use deodar::api::client::Connection;
use deodar::api::pb::{decision as pb, manage};
use deodar::identity::{Algorithm, SigningKey};
use serde_json::{Value, json};

use crate::support::app::{Backend, TestApp, things};
use crate::support::case::reason_name;
use crate::support::proof::{bearer, seconds_from_now};

const ISSUER: &str = "https://login.example.com";

/// A server that believes one issuer, which may name two actors, and another, which may name none.
struct Door {
    app: TestApp,
    gateway: Connection,
    key: SigningKey,
}

impl Door {
    async fn open() -> Self {
        let key = SigningKey::generate(Algorithm::Es256).unwrap();
        let keys = key.public_jwks();
        let more = format!(
            r#"
[[identity.issuers]]
alias = "corp"
issuer = "{ISSUER}"
audiences = ["things"]
jwks = '{keys}'
claims = {{ max_actors = 3 }}
may_assert = {{ actors = ["agent", "other"], domains = "*" }}

[[identity.issuers]]
alias = "partner"
issuer = "https://partner.example.com"
audiences = ["things"]
jwks = '{keys}'
may_assert = {{ domains = "*" }}
"#
        );
        let app = TestApp::start_with(Backend::Sqlite, &things("", &more)).await;
        let gateway = app.decisions(&app.gateway_key).await;
        Self { app, gateway, key }
    }

    /// A token with this claim `act`, or without where it is `null`.
    fn token(&self, issuer: &str, act: &Value) -> String {
        let now = seconds_from_now(0);
        let mut claims = json!({
            "iss": issuer, "sub": "alice", "aud": "things", "client_id": "web", "jti": uuid::Uuid::new_v4().to_string(),
            "iat": now, "exp": now + 300,
        });
        if *act != json!("absent") {
            claims["act"] = act.clone();
        }
        let header = json!({ "alg": "ES256", "kid": self.key.kid(), "typ": "at+jwt" });
        self.key.sign_text(&header.to_string(), &claims.to_string()).unwrap()
    }

    async fn ask(&self, token: &str, path: &str) -> pb::Decision {
        let call = pb::ApiCall {
            method: "GET".into(),
            host: "things.example.com".into(),
            path: path.into(),
            secure: true,
            ..pb::ApiCall::default()
        };
        let request = pb::CheckRequest {
            credentials: vec![bearer(token, "")],
            question: Some(pb::Question { kind: Some(pb::question::Kind::Call(call)) }),
            explain: true,
            ..pb::CheckRequest::default()
        };
        self.gateway.decisions().check(request).await.unwrap().into_inner().decision.unwrap()
    }

    async fn reason(&self, act: &Value, path: &str) -> String {
        reason_name(self.ask(&self.token(ISSUER, act), path).await.reason)
    }
}

#[tokio::test]
async fn policies_see_the_actor_at_the_outside() {
    let door = Door::open().await;
    let absent = json!("absent");
    for (act, path, wanted) in [
        (&absent, "/alone", "allowed"),
        (&absent, "/acted", "forbidden_by_policy"),
        (&json!({ "sub": "agent" }), "/acted", "allowed"),
        (&json!({ "sub": "agent", "iss": ISSUER }), "/acted", "allowed"),
        (&json!({ "sub": "agent" }), "/alone", "forbidden_by_policy"),
        (&json!({ "sub": "other" }), "/acted", "forbidden_by_policy"),
        // Who acted before decides nothing, and needs no grant.
        (&json!({ "sub": "agent", "act": { "sub": "anybody", "act": { "sub": "x" } } }), "/acted", "allowed"),
        (&json!({ "sub": "other", "act": { "sub": "agent" } }), "/acted", "forbidden_by_policy"),
    ] {
        assert_eq!(door.reason(act, path).await, wanted, "{act} {path}");
    }
    let decision = door.ask(&door.token(ISSUER, &json!({ "sub": "agent" })), "/acted").await;
    assert_eq!(decision.principal, "User::corp/alice");
    let steps = decision.explanation.unwrap().steps;
    assert!(steps.iter().any(|step| step.contains("Workload::corp/agent acts for it")), "{steps:?}");
    door.app.stop().await;
}

#[tokio::test]
async fn an_actor_that_cannot_be_believed_refuses_the_token() {
    let door = Door::open().await;
    let deep = json!({ "sub": "agent", "act": { "sub": "b", "act": { "sub": "c", "act": { "sub": "d" } } } });
    for (name, act, wanted) in [
        ("not granted", json!({ "sub": "admin" }), "wrong_issuer"),
        ("in other letters", json!({ "sub": "Agent" }), "wrong_issuer"),
        (
            "of another issuer",
            json!({ "sub": "agent", "iss": "https://partner.example.com" }),
            "wrong_issuer",
        ),
        ("of an issuer that is no text", json!({ "sub": "agent", "iss": 7 }), "malformed"),
        ("a text", json!("agent"), "malformed"),
        ("a list", json!([{ "sub": "agent" }]), "malformed"),
        ("nothing", Value::Null, "malformed"),
        ("true", json!(true), "malformed"),
        ("without a name", json!({}), "malformed"),
        ("without a name but a client", json!({ "client_id": "agent" }), "malformed"),
        ("with a name that is a number", json!({ "sub": 7 }), "malformed"),
        ("with two names", json!({ "sub": ["agent", "other"] }), "malformed"),
        ("with an empty name", json!({ "sub": "" }), "malformed"),
        ("with a name in two lines", json!({ "sub": "agent\nadmin" }), "malformed"),
        ("with a name beyond the bound", json!({ "sub": "a".repeat(256) }), "malformed"),
        ("too many", deep, "malformed"),
        ("with one within that is a text", json!({ "sub": "agent", "act": "b" }), "malformed"),
        ("with one within that is a list", json!({ "sub": "agent", "act": [] }), "malformed"),
        (
            "with one within whose name is a number",
            json!({ "sub": "agent", "act": { "sub": 1 } }),
            "malformed",
        ),
    ] {
        let token = door.token(ISSUER, &act);
        for _ in 0..2 {
            let decision = door.ask(&token, "/acted").await;
            assert_eq!(reason_name(decision.reason), format!("credential_{wanted}"), "{name}");
            assert_eq!(decision.principal, "", "{name}");
        }
    }
    let partner = door.token("https://partner.example.com", &json!({ "sub": "agent" }));
    assert_eq!(reason_name(door.ask(&partner, "/acted").await.reason), "credential_wrong_issuer");
    door.app.stop().await;
}

#[tokio::test]
async fn an_actor_can_be_revoked_and_disabled() {
    let door = Door::open().await;
    let management = door.app.management().await;
    let token = door.token(ISSUER, &json!({ "sub": "agent" }));
    let own = door.token(ISSUER, &json!("absent"));
    let reason = async |token: &str, path: &str| reason_name(door.ask(token, path).await.reason);
    assert_eq!(reason(&token, "/acted").await, "allowed");
    let actor = "Workload::corp/agent";
    let revocation = manage::Revocation {
        target: format!("principal:{actor}"),
        reason: "the agent went astray".into(),
        ..manage::Revocation::default()
    };
    let request = manage::CreateRevocationRequest { revocation: Some(revocation) };
    let made = management.revocations().create_revocation(request).await.unwrap().into_inner();
    assert_eq!(reason(&token, "/acted").await, "revoked");
    assert_eq!(reason(&own, "/alone").await, "allowed", "whom it acted for is not revoked");
    let revocation_id = made.revocation.unwrap().revocation_id;
    let undo = manage::DeleteRevocationRequest { revocation_id, reason: "it is back".into() };
    management.revocations().delete_revocation(undo).await.unwrap();
    assert_eq!(reason(&token, "/acted").await, "allowed");
    let entry =
        manage::Principal { principal_id: actor.into(), active: Some(false), ..manage::Principal::default() };
    let put = manage::PutPrincipalRequest { principal: Some(entry), etag: "*".into() };
    management.principals().put_principal(put).await.unwrap();
    assert_eq!(reason(&token, "/acted").await, "principal_disabled");
    assert_eq!(reason(&own, "/alone").await, "allowed");
    door.app.stop().await;
}
