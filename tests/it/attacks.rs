//! Named attacks on access tokens, through the native door of a running server, each with its exact reason.
//!
//! Every attack begins with a token that is good and changes one thing. The control test sends the good ones, so that an
//! attack cannot fail for want of anything else.

mod algorithms;
mod claims;
mod forms;
mod keys;

use std::fs;

use base64::Engine;
use base64::prelude::BASE64_URL_SAFE_NO_PAD as BASE64;
use deodar::api::pb::decision as pb;
use deodar::identity::{Algorithm, SigningKey};
use deodar::model::{Clock, SystemClock};
use pb::credential::Kind;
use serde_json::{Map, Value, json};

use crate::support::app::{Backend, TestApp};
use crate::support::case::reason_name;

const CORP: &str = "https://login.example.com";

/// The keys of the trusted issuers and what their tokens say.
pub struct Lab {
    pub now: i64,
    /// Of issuer `corp`, which has all of these.
    pub ed: SigningKey,
    pub ec: SigningKey,
    pub ec384: SigningKey,
    pub rsa: SigningKey,
    /// Of issuer `partner`.
    pub partner: SigningKey,
    /// Of issuer `lax`, which takes plain JWTs and asks for no claims of RFC 9068.
    pub lax: SigningKey,
    /// Trusted by nobody.
    pub stranger: SigningKey,
}

/// The secret of issuer `shared`.
pub const SECRET: [u8; 64] = [0xc3; 64];

impl Lab {
    fn new() -> Self {
        let key = |algorithm| SigningKey::generate(algorithm).unwrap();
        Self {
            now: SystemClock::new().now().seconds(),
            ed: key(Algorithm::EdDsa),
            ec: key(Algorithm::Es256),
            ec384: key(Algorithm::Es384),
            rsa: key(Algorithm::Rs256),
            partner: key(Algorithm::EdDsa),
            lax: key(Algorithm::EdDsa),
            stranger: key(Algorithm::EdDsa),
        }
    }

    /// The issuers, as lines of the configuration.
    fn configuration(&self, folder: &std::path::Path) -> String {
        let corp = [&self.ed, &self.ec, &self.ec384, &self.rsa].map(SigningKey::public_jwk);
        let sets = [
            ("corp", json!({ "keys": corp })),
            ("partner", self.partner.public_jwks()),
            ("lax", self.lax.public_jwks()),
        ];
        for (name, set) in sets {
            fs::write(folder.join(format!("{name}.json")), set.to_string()).unwrap();
        }
        fs::write(folder.join("shared.key"), BASE64.encode(SECRET)).unwrap();
        let folder = folder.display();
        format!(
            r#"
[[identity.issuers]]
alias = "corp"
issuer = "{CORP}"
audiences = ["orders", "https://api.example.com"]
jwks_file = "{folder}/corp.json"
max_lifetime = "2h"
max_age = "1h"
claims = {{ max_roles = 3, client_roles = "resource_access" }}
may_assert = {{ roles = "*", groups = "*" }}

[[identity.issuers]]
alias = "partner"
issuer = "https://partner.example.com"
audiences = ["orders"]
jwks_file = "{folder}/partner.json"

[[identity.issuers]]
alias = "lax"
issuer = "https://lax.example.com"
audiences = ["orders"]
jwks_file = "{folder}/lax.json"
token_types = ["at+jwt", "JWT"]
required_claims = []

[[identity.issuers]]
alias = "shared"
issuer = "https://shared.example.com"
audiences = ["orders"]
shared_key = {{ algorithm = "HS256", file = "{folder}/shared.key" }}
"#
        )
    }

    /// Good claims, some replaced, or removed where the change is `null`.
    pub fn claims(&self, changes: Value) -> Map<String, Value> {
        let good = json!({
            "iss": CORP, "sub": "alice", "aud": "orders", "client_id": "spa", "jti": "t-1", "iat": self.now,
            "exp": self.now + 300,
        });
        changed(good, changes)
    }

    /// A token that is good but for these changes to its claims.
    pub fn token(&self, changes: Value) -> String {
        self.sign(&self.ed, json!({}), changes)
    }

    /// A token that is good but for these changes to its header.
    pub fn header(&self, changes: Value) -> String {
        self.sign(&self.ed, changes, json!({}))
    }

    /// A token of this key, with these changes to header and claims.
    pub fn sign(&self, key: &SigningKey, header: Value, claims: Value) -> String {
        let good = json!({ "alg": key.algorithm().as_str(), "kid": key.kid(), "typ": "at+jwt" });
        let header = Value::Object(changed(good, header)).to_string();
        key.sign_text(&header, &Value::Object(self.claims(claims)).to_string()).unwrap()
    }

    /// Good claims as text, with this text put in after the first brace.
    pub fn claim_text(&self, member: &str) -> String {
        let payload = Value::Object(self.claims(json!({}))).to_string();
        self.payload(&payload.replacen('{', &format!("{{{member},"), 1))
    }

    /// Good claims as text, one member left out and written by hand.
    pub fn claim_written(&self, name: &str, value: &str) -> String {
        let payload = Value::Object(self.claims(json!({ name: null }))).to_string();
        self.payload(&payload.replacen('{', &format!("{{\"{name}\":{value},"), 1))
    }

    pub fn payload(&self, payload: &str) -> String {
        let header = json!({ "alg": "EdDSA", "kid": self.ed.kid(), "typ": "at+jwt" });
        self.ed.sign_text(&header.to_string(), payload).unwrap()
    }

    /// A good header as text, with this text put in after the first brace.
    pub fn header_text(&self, member: &str) -> String {
        let header = json!({ "alg": "EdDSA", "kid": self.ed.kid(), "typ": "at+jwt" }).to_string();
        let header = header.replacen('{', &format!("{{{member},"), 1);
        self.ed.sign_text(&header, &Value::Object(self.claims(json!({}))).to_string()).unwrap()
    }
}

fn changed(good: Value, changes: Value) -> Map<String, Value> {
    let Value::Object(mut members) = good else { panic!("not an object") };
    let Value::Object(changes) = changes else { panic!("not an object") };
    for (name, value) in changes {
        if value.is_null() {
            members.shift_remove(&name);
        } else {
            members.insert(name, value);
        }
    }
    members
}

/// The segments of a token, the last two decoded.
pub fn parts(token: &str) -> (String, Vec<u8>, Vec<u8>) {
    let mut parts = token.split('.');
    let mut next = || parts.next().unwrap();
    let (header, payload, signature) = (next(), next(), next());
    (header.to_owned(), BASE64.decode(payload).unwrap(), BASE64.decode(signature).unwrap())
}

/// The token with another signature.
pub fn resigned(token: &str, signature: impl AsRef<[u8]>) -> String {
    let (signed, _) = token.rsplit_once('.').unwrap();
    format!("{signed}.{}", BASE64.encode(signature))
}

/// What an attack sends.
pub trait Attack {
    fn credentials(self) -> Vec<Kind>;
}

impl Attack for String {
    fn credentials(self) -> Vec<Kind> {
        vec![Kind::BearerToken(self)]
    }
}

impl Attack for Kind {
    fn credentials(self) -> Vec<Kind> {
        vec![self]
    }
}

impl Attack for Vec<Kind> {
    fn credentials(self) -> Vec<Kind> {
        self
    }
}

fn request(credentials: Vec<Kind>) -> pb::CheckRequest {
    let call = pb::ApiCall {
        method: "GET".into(),
        host: "orders.example.com".into(),
        path: "/health".into(),
        secure: true,
        ..pb::ApiCall::default()
    };
    pb::CheckRequest {
        credentials: credentials.into_iter().map(credential).collect(),
        question: Some(pb::Question { kind: Some(pb::question::Kind::Call(call)) }),
        ..pb::CheckRequest::default()
    }
}

fn credential(kind: Kind) -> pb::Credential {
    pb::Credential { kind: Some(kind), ..pb::Credential::default() }
}

/// What the server says to each of these, in order. Each is asked twice: a refusal must not become an acceptance.
async fn ask(lab: &Lab, attacks: Vec<Vec<Kind>>) -> Vec<String> {
    let folder = tempfile::tempdir().unwrap();
    let app = TestApp::start_with(Backend::Sqlite, &lab.configuration(folder.path())).await;
    let gateway = app.decisions(&app.gateway_key).await;
    let mut reasons = Vec::new();
    for credentials in attacks {
        let mut answers = Vec::new();
        for _ in 0..2 {
            let answer = gateway.decisions().check(request(credentials.clone())).await.unwrap();
            answers.push(reason_name(answer.into_inner().decision.unwrap().reason));
        }
        assert_eq!(answers[0], answers[1], "the second answer differs");
        reasons.push(answers.remove(0));
    }
    app.stop().await;
    reasons
}

/// Sends one attack and returns the reason.
pub async fn send(attack: impl FnOnce(&Lab) -> Vec<Kind>) -> String {
    let lab = Lab::new();
    let credentials = attack(&lab);
    ask(&lab, vec![credentials]).await.remove(0)
}

/// One test an attack: its name, the reason (without `credential_`), and what is sent.
macro_rules! attacks {
    ($($name:ident: $reason:literal, $attack:expr;)+) => {
        $(
            #[tokio::test(flavor = "multi_thread")]
            async fn $name() {
                let attack: fn(&$crate::attacks::Lab) -> _ = $attack;
                let reason = $crate::attacks::send(|lab| $crate::attacks::Attack::credentials(attack(lab))).await;
                assert_eq!(reason, concat!("credential_", $reason));
            }
        )+
    };
}
pub(crate) use attacks;

#[tokio::test(flavor = "multi_thread")]
async fn good_tokens_get_in() {
    let lab = Lab::new();
    let mut good: Vec<String> =
        [&lab.ed, &lab.ec, &lab.ec384, &lab.rsa].map(|key| lab.sign(key, json!({}), json!({}))).into();
    let iss = |name: &str| json!({ "iss": format!("https://{name}.example.com") });
    good.push(lab.sign(&lab.partner, json!({}), iss("partner")));
    good.push(lab.sign(&lab.lax, json!({ "typ": "JWT" }), iss("lax")));
    good.push(algorithms::tagged(&lab, aws_lc_rs::hmac::HMAC_SHA256, "HS256", &SECRET, iss("shared")));
    good.push(lab.header(json!({ "kid": null })));
    good.push(lab.header(json!({ "typ": "application/AT+JWT", "x5c": ["ignored"], "x5t": "ignored" })));
    good.push(lab.token(json!({ "aud": ["other", "https://api.example.com"], "iat": lab.now + 20 })));
    let mut sent: Vec<Vec<Kind>> = good.iter().map(|token| vec![Kind::BearerToken(token.clone())]).collect();
    sent.push(vec![Kind::Authorization(format!("bEaReR {}", good[0]))]);
    let reasons = ask(&lab, sent).await;
    assert!(reasons.iter().all(|reason| reason == "allowed"), "{reasons:?}");
}
