//! Set-up that the room's tests share: bundles from text, and a call in which each test changes what matters.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use super::{CallInput, DeviceView, Evaluation, Limits, PolicyErrors, Snapshot};
use crate::model::{
    Api, ApiMode, BundleSource, Endpoint, EndpointId, EndpointState, Located, Prepared, Principal, Rate,
    Rates, Risk, RiskLevel, RiskReason, Scheme, SecurityAlternative, Sensitivity, SourceFile, Timestamp,
    TokenFacts, TokenKind,
};

/// A domain schema for tests.
pub const SHOP: &str = "namespace Shop {
    entity Team in [Team];
    entity Clerk in [Team] { level: Long };
    entity Order in [Team] { total: Long, owner?: api::User } tags String;
    action approve, view appliesTo {
        principal: [Clerk, api::User, api::Anonymous],
        resource: Order,
        context: { risk: api::Risk, token?: api::Token, time: api::Time, note?: String, from?: ipaddr }
    };
}";

pub fn bundle(files: &[(&str, &str)]) -> BundleSource {
    let file = |(path, text): &(&str, &str)| SourceFile { path: (*path).into(), text: (*text).into() };
    BundleSource::new(files.iter().map(file).collect())
}

pub fn snapshot_of(source: &BundleSource) -> Snapshot {
    match Snapshot::compile(source, &Limits::default(), None) {
        Ok((snapshot, _)) => snapshot,
        Err(errors) => panic!("{}", errors.rendered()),
    }
}

pub fn snapshot(policies: &str) -> Snapshot {
    snapshot_of(&bundle(&[("test.cedar", policies)]))
}

pub fn compile_error(files: &[(&str, &str)]) -> PolicyErrors {
    Snapshot::compile(&bundle(files), &Limits::default(), None).unwrap_err()
}

/// Monday noon.
pub fn noon() -> Timestamp {
    Timestamp::parse("2026-11-23T12:00:00Z").unwrap()
}

pub fn risk(level: u8) -> Risk {
    let score = [0, 10, 30, 60, 85][usize::from(level)];
    let reason =
        RiskReason { kind: "new_network".into(), points: score, text: "a network not seen before".into() };
    Risk {
        score,
        level: RiskLevel::of_score(score),
        confidence: 50,
        reasons: vec![reason],
        ..Risk::default()
    }
}

/// Nine different numbers.
pub fn rates() -> Rates {
    let rate = |last_second, last_minute, last_hour| Rate { last_second, last_minute, last_hour };
    Rates { principal: rate(1, 2, 3), principal_endpoint: rate(4, 5, 6), network: rate(7, 8, u32::MAX) }
}

pub fn token(kind: TokenKind) -> TokenFacts {
    TokenFacts {
        issuer: "dev".parse().unwrap(),
        kind,
        client_id: Some("web".into()),
        audience: ["https://api.example".to_owned()].into(),
        scopes: ["orders:read".to_owned()].into(),
        issued_at: noon().minus(Duration::from_secs(60)),
        expires_at: noon().plus(Duration::from_secs(840)),
        auth_time: Some(noon().minus(Duration::from_secs(120))),
        acr: None,
        amr: [].into(),
        confirmation: Default::default(),
        sender_constrained: false,
        actor: None,
        token_id: None,
        session_id: None,
        sha256: [0; 32],
    }
}

pub fn alice() -> Principal {
    let mut alice = Principal::bare("User::dev/alice".parse().unwrap());
    alice.tenant = Some("acme".into());
    alice.roles.insert("clerk".into());
    alice.groups.insert("sales".into());
    alice.tags.insert("dir:team".into(), ["blue".to_owned()].into());
    alice
}

type Words = &'static [(&'static str, &'static str)];

/// A clerk reads an order with a fresh token; each test changes what it is about.
pub struct Call {
    pub anonymous: bool,
    pub token: Option<TokenKind>,
    pub actor: Option<Principal>,
    pub peer: Option<Principal>,
    pub api: &'static str,
    pub method: &'static str,
    pub action: Option<&'static str>,
    pub template: &'static str,
    pub state: EndpointState,
    pub path_params: Words,
    pub query_params: Words,
    pub headers: Words,
    pub scopes: &'static [&'static str],
    pub scopes_met: bool,
    pub level: u8,
    pub ip: Option<&'static str>,
}

impl Default for Call {
    fn default() -> Self {
        Self {
            anonymous: false,
            token: Some(TokenKind::User),
            actor: None,
            peer: None,
            api: "orders",
            method: "GET",
            action: None,
            template: "/orders/{id}",
            state: EndpointState::Declared,
            path_params: &[("id", "o-1")],
            query_params: &[],
            headers: &[],
            scopes: &[],
            scopes_met: true,
            level: 0,
            ip: None,
        }
    }
}

fn owned(words: Words) -> Vec<(String, String)> {
    words.iter().map(|(name, value)| ((*name).into(), (*value).into())).collect()
}

impl Call {
    fn located(&self) -> Located {
        let api_id = self.api.parse().unwrap();
        let id = EndpointId::new(&api_id, self.method, self.template);
        let domain = crate::model::DomainId::default();
        let api = Arc::new(Api {
            id: api_id,
            domain,
            mode: ApiMode::Enforce,
            reuse: Duration::ZERO,
            outside: Default::default(),
        });
        let scopes = self.scopes.iter().map(|scope| (*scope).to_owned()).collect();
        let endpoint = Endpoint {
            id,
            api,
            method: self.method.into(),
            action: self.action.unwrap_or(self.method).into(),
            template: self.template.into(),
            operation: None,
            sensitivity: Sensitivity::default(),
            state: self.state,
            labels: ["pii".to_owned()].into(),
            security: Some(vec![SecurityAlternative { schemes: vec![Scheme::Token { scopes }] }]),
            sender_constrained: false,
            prepared: Prepared::default(),
        };
        Located {
            endpoint: Arc::new(endpoint),
            path_params: owned(self.path_params),
            query_params: owned(self.query_params),
            host: "orders.example".into(),
            path: "/orders/o-1".into(),
        }
    }

    pub fn evaluate(&self, snapshot: &Snapshot) -> Evaluation {
        let mut principal = if self.anonymous { Principal::anonymous() } else { alice() };
        principal.token = self.token.map(token);
        if self.anonymous {
            principal.roles.insert("clerk".into());
        }
        snapshot.evaluate_call(&CallInput {
            principal: &principal,
            actor: self.actor.as_ref(),
            peer: self.peer.as_ref(),
            located: &self.located(),
            scopes_met: self.scopes_met,
            risk: &risk(self.level),
            rates: rates(),
            device: DeviceView::default(),
            source_ip: self.ip.map(|ip| ip.parse().unwrap()),
            secure: true,
            headers: &owned(self.headers),
            metadata: &BTreeMap::from([("zone".to_owned(), vec!["a".to_owned()])]),
            network_known: false,
            now: noon(),
        })
    }
}
