//! Certificates of clients, through the native door, and every way around them that has a name.
//!
//! The policies of `fixtures/dpop` permit everything, so what is refused here is refused for the credential.

mod bound;
mod jwt_svid;
mod own;
mod peer;
mod svid;

use deodar::api::client::Connection;
use deodar::api::pb::decision as pb;
use serde_json::Value;

use crate::support::app::{Backend, THINGS_HOST, TestApp, things};
use crate::support::case::{effect_name, reason_name};
use crate::support::proof::token_with;

pub const PATH: &str = "/things/7";

pub struct Door {
    pub app: TestApp,
    pub gateway: Connection,
}

impl Door {
    pub async fn open(more: &str) -> Self {
        let app = TestApp::start_with(Backend::Sqlite, &things("", more)).await;
        let gateway = app.decisions(&app.gateway_key).await;
        Self { app, gateway }
    }

    /// A token of the development issuer with these claims besides.
    pub fn token(&self, claims: Value) -> String {
        token_with(self.app.dir.path(), claims)
    }

    pub async fn ask(&self, credential: pb::Credential, question: pb::Question) -> pb::Decision {
        ask(&self.gateway, credential, question).await
    }

    /// Asks about the usual call.
    pub async fn get(&self, credential: pb::Credential) -> pb::Decision {
        self.ask(credential, call(PATH)).await
    }
}

pub async fn ask(gateway: &Connection, credential: pb::Credential, question: pb::Question) -> pb::Decision {
    let request = pb::CheckRequest {
        credentials: vec![credential],
        question: Some(question),
        explain: true,
        ..pb::CheckRequest::default()
    };
    gateway.decisions().check(request).await.unwrap().into_inner().decision.unwrap()
}

pub fn call(path: &str) -> pb::Question {
    let call = pb::ApiCall {
        method: "GET".into(),
        host: THINGS_HOST.into(),
        path: path.into(),
        secure: true,
        ..pb::ApiCall::default()
    };
    pb::Question { kind: Some(pb::question::Kind::Call(call)) }
}

pub fn reason(decision: &pb::Decision) -> String {
    reason_name(decision.reason)
}

/// The start of the challenge: its scheme, and its `error`.
pub fn challenge(decision: &pb::Decision) -> (String, String) {
    let header = decision.challenge.clone().unwrap_or_default().www_authenticate;
    let scheme = header.split(' ').next().unwrap_or_default().to_owned();
    let error = header.split_once("error=\"").and_then(|(_, rest)| rest.split_once('"'));
    (scheme, error.map(|(error, _)| error.to_owned()).unwrap_or_default())
}

/// Why it was refused, as operators read it.
pub fn detail(decision: &pb::Decision) -> String {
    let steps = decision.explanation.clone().unwrap_or_default().steps;
    steps.into_iter().find(|step| step.starts_with("refused: ")).unwrap_or_default()
}

/// A credential that must be refused: its name, the reason without `credential_`, and a word of the detail.
pub struct Attack {
    pub name: &'static str,
    pub credential: pb::Credential,
    pub expect: [&'static str; 2],
}

pub fn attack(name: &'static str, credential: pb::Credential, expect: [&'static str; 2]) -> Attack {
    Attack { name, credential, expect }
}

impl Attack {
    /// What is not as it should be. Asked twice: a refusal must not become an acceptance.
    async fn failure(self, door: &Door, principal: &str) -> Option<String> {
        let Self { name, credential, expect: [wanted, word] } = self;
        let first = door.get(credential.clone()).await;
        let second = door.get(credential).await;
        for decision in [first, second] {
            let (reason, detail) = (reason(&decision), detail(&decision));
            let known = decision.principal == principal;
            let refused = effect_name(decision.effect) == "deny" && reason == format!("credential_{wanted}");
            let challenged = challenge(&decision).1 == "invalid_token";
            if !(refused && detail.contains(word) && known && challenged) {
                let challenge = challenge(&decision);
                return Some(format!("{name}: {reason}, {detail}, {challenge:?}, known: {known}"));
            }
        }
        None
    }
}

/// Makes all of them, and tells of those that were not refused as they should be.
pub async fn all_refused(door: &Door, attacks: Vec<Attack>) {
    all_refused_of(door, attacks, "").await;
}

/// The same, where something else proved this principal.
pub async fn all_refused_of(door: &Door, attacks: Vec<Attack>, principal: &str) {
    let mut failures = Vec::new();
    for attack in attacks {
        failures.extend(attack.failure(door, principal).await);
    }
    assert!(failures.is_empty(), "{failures:#?}");
}
