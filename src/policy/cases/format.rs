//! The words of a case file, as people write them.
//!
//! Every field has the default of an ordinary call, so that a case shows only what it is about, and no field may be
//! misspelt. What the fields become is `build`'s.

use std::collections::{BTreeMap, BTreeSet};

use serde::Deserialize;
use serde_json::{Map, Value};

/// A whole file.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct File {
    /// Policies that only these cases have, beside the bundle's.
    pub policies: Option<String>,
    pub cases: Vec<Case>,
}

#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Case {
    pub name: String,
    /// Left out: nobody, `api::Anonymous`.
    pub principal: Option<PrincipalWords>,
    pub endpoint: Option<EndpointWords>,
    pub question: Option<QuestionWords>,
    /// Who acts for the principal; left out: nobody.
    pub actor: Option<WorkloadWords>,
    /// The workload at the other end of the client's connection; left out: nobody that is known.
    pub peer: Option<WorkloadWords>,
    /// Left out: true for a declared endpoint, false for any other.
    pub scopes_met: Option<bool>,
    #[serde(default)]
    pub risk: RiskWords,
    #[serde(default)]
    pub rate: RatesWords,
    #[serde(default)]
    pub device: DeviceWords,
    /// RFC 3339.
    #[serde(default = "monday_noon")]
    pub now: String,
    #[serde(default)]
    pub headers: BTreeMap<String, String>,
    #[serde(default)]
    pub metadata: BTreeMap<String, Vec<String>>,
    #[serde(default = "yes")]
    pub secure: bool,
    pub ip: Option<std::net::IpAddr>,
    pub expect: Expectation,
}

#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Expectation {
    pub effect: ExpectedEffect,
    /// A reason's name, for example `step_up_required`.
    pub reason: Option<String>,
    /// These must be among the determining policies.
    #[serde(default)]
    pub policies: BTreeSet<String>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(super) enum ExpectedEffect {
    Allow,
    Deny,
}

#[derive(Clone, Copy, Debug, Default, Deserialize)]
pub(super) enum KindWord {
    #[default]
    User,
    Workload,
    Anonymous,
}

#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct PrincipalWords {
    #[serde(default, rename = "type")]
    pub kind: KindWord,
    /// `<issuer alias>/<subject>`.
    #[serde(default = "alice")]
    pub id: String,
    #[serde(default)]
    pub roles: BTreeSet<String>,
    #[serde(default)]
    pub groups: BTreeSet<String>,
    #[serde(default)]
    pub tags: BTreeMap<String, BTreeSet<String>>,
    pub tenant: Option<String>,
    #[serde(default = "yes")]
    pub active: bool,
    /// Left out: somebody else vouches for the principal, and there is no token.
    pub token: Option<TokenWords>,
}

/// A workload that has a part in the call and is not the principal.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct WorkloadWords {
    /// `<issuer alias>/<subject>`.
    pub id: String,
    #[serde(default)]
    pub roles: BTreeSet<String>,
    #[serde(default)]
    pub groups: BTreeSet<String>,
    #[serde(default)]
    pub tags: BTreeMap<String, BTreeSet<String>>,
}

#[derive(Clone, Copy, Debug, Default, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(super) enum TokenWord {
    #[default]
    User,
    Client,
    Svid,
}

#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct TokenWords {
    #[serde(default)]
    pub kind: TokenWord,
    pub client_id: Option<String>,
    #[serde(default)]
    pub audience: BTreeSet<String>,
    #[serde(default)]
    pub scopes: BTreeSet<String>,
    #[serde(default = "a_minute")]
    pub age_s: u32,
    #[serde(default = "fifteen_minutes")]
    pub lifetime_s: u32,
    pub auth_age_s: Option<u32>,
    pub acr: Option<String>,
    #[serde(default)]
    pub amr: BTreeSet<String>,
    #[serde(default)]
    pub sender_constrained: bool,
}

#[derive(Clone, Copy, Debug, Default, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(super) enum StateWord {
    #[default]
    Declared,
    Discovered,
}

#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct EndpointWords {
    pub api: String,
    pub method: String,
    pub template: String,
    /// Left out: the method.
    pub action: Option<String>,
    /// Left out: 2, or 3 when nobody declared the endpoint.
    pub sensitivity: Option<u8>,
    #[serde(default)]
    pub state: StateWord,
    #[serde(default)]
    pub labels: BTreeSet<String>,
    #[serde(default)]
    pub path_params: BTreeMap<String, String>,
    #[serde(default)]
    pub query_params: BTreeMap<String, String>,
}

/// References are written as in a policy: `Shop::Order::"o-1"`.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct QuestionWords {
    /// Left out: the case's own principal.
    pub principal: Option<String>,
    pub action: String,
    pub resource: String,
    #[serde(default)]
    pub entities: Vec<Value>,
    #[serde(default)]
    pub context: Map<String, Value>,
}

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(super) struct RiskWords {
    /// 0 none to 4 critical.
    pub level: u8,
    /// Left out: the lowest score of the level.
    pub score: Option<u8>,
    pub confidence: u8,
    pub reasons: Vec<String>,
    pub stale: bool,
    pub learning: bool,
}

/// The calls counted so far, this one included.
#[derive(Clone, Copy, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(super) struct RatesWords {
    pub principal: RateWords,
    pub principal_endpoint: RateWords,
    pub network: RateWords,
}

#[derive(Clone, Copy, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(super) struct RateWords {
    pub last_second: u32,
    pub last_minute: u32,
    pub last_hour: u32,
}

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(super) struct DeviceWords {
    pub known: bool,
    pub id: Option<String>,
    pub compliant: Option<bool>,
    pub posture_age_s: Option<u32>,
}

fn yes() -> bool {
    true
}

fn alice() -> String {
    "dev/alice".to_owned()
}

fn monday_noon() -> String {
    "2026-11-23T12:00:00Z".to_owned()
}

const fn a_minute() -> u32 {
    60
}

const fn fifteen_minutes() -> u32 {
    900
}
