//! Decision cases: data in `tests/cases/*.yaml` that is run through every door, on every store.

use std::fs;
use std::path::Path;

use deodar::api::pb::{decision as pb, manage};
use serde::Deserialize;
use serde_json::{Map, Value};

use super::app::{TestApp, repository};
use super::token::TokenSpec;

#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Case {
    pub name: String,
    /// `limited`: asked by the gateway with few grants.
    #[serde(default)]
    pub gateway: Option<String>,
    #[serde(default)]
    pub token: Option<TokenSpec>,
    #[serde(default)]
    pub bearer: Option<String>,
    #[serde(default)]
    pub authorization: Option<String>,
    #[serde(default)]
    pub asserted: Option<String>,
    /// What the gateway has of the client's certificate: the value of `x-forwarded-client-cert`.
    #[serde(default)]
    pub xfcc: Option<String>,
    #[serde(default)]
    pub call: Option<Call>,
    #[serde(default)]
    pub cedar: Option<Cedar>,
    /// A message without a question.
    #[serde(default)]
    pub empty: bool,
    #[serde(default)]
    pub source_ip: Option<String>,
    #[serde(default)]
    pub device: Option<Device>,
    /// Recorded before the question is asked.
    #[serde(default)]
    pub signals: Vec<SignalSpec>,
    pub expect: Expect,
}

#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Call {
    pub method: String,
    pub host: String,
    pub path: String,
    #[serde(default)]
    pub headers: Vec<(String, String)>,
}

#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Cedar {
    #[serde(default)]
    pub domain: String,
    pub principal: Option<Entity>,
    pub action: Entity,
    pub resource: Entity,
    #[serde(default)]
    pub entities: Vec<Value>,
    #[serde(default)]
    pub context: Map<String, Value>,
}

#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Entity {
    pub r#type: String,
    pub id: String,
}

#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Device {
    pub id: String,
}

#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SignalSpec {
    pub subject: String,
    pub kind: String,
}

#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Expect {
    pub effect: String,
    pub reason: String,
    #[serde(default = "enforced")]
    pub enforced: bool,
    pub policies: Option<Vec<String>>,
    pub principal: Option<String>,
    pub endpoint: Option<String>,
    pub risk_level: Option<u32>,
    pub www_authenticate: Option<String>,
    pub acr_values: Option<Vec<String>>,
    pub retry_after_s: Option<i64>,
    /// How many policies failed to evaluate.
    pub policy_errors: Option<usize>,
    /// The refusals in the record.
    pub refusals: Option<Vec<String>>,
    #[serde(default)]
    pub record: ExpectRecord,
}

const fn enforced() -> bool {
    true
}

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ExpectRecord {
    pub action: Option<String>,
    pub resource: Option<String>,
    pub path: Option<String>,
    pub pep: Option<String>,
    pub domain: Option<String>,
    pub enforced: Option<bool>,
}

/// Records the signals of all cases.
pub async fn record_signals(app: &TestApp, cases: &[Case]) {
    let signals = cases.iter().flat_map(|case| &case.signals).map(|signal| manage::Signal {
        subject: signal.subject.clone(),
        kind: signal.kind.clone(),
        source: "cases".into(),
        ..manage::Signal::default()
    });
    let request = manage::RecordSignalsRequest { signals: signals.collect() };
    app.management().await.signals().record_signals(request).await.unwrap();
}

/// Every case of every file, in order.
pub fn all() -> Vec<Case> {
    let mut files: Vec<_> = fs::read_dir(repository().join("tests/cases"))
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .filter(|path| path.extension().is_some_and(|extension| extension == "yaml"))
        .collect();
    files.sort();
    let cases: Vec<Case> = files.iter().flat_map(|file| read(file)).collect();
    assert!(cases.len() >= 40, "only {} cases were found", cases.len());
    cases
}

fn read(file: &Path) -> Vec<Case> {
    let text = fs::read_to_string(file).unwrap();
    serde_yaml_ng::from_str(&text).unwrap_or_else(|error| panic!("{}: {error}", file.display()))
}

impl Case {
    /// The question as a gateway would send it.
    pub fn request(&self, data_dir: &Path) -> pb::CheckRequest {
        pb::CheckRequest {
            credentials: self.credential(data_dir).into_iter().collect(),
            question: self.question(),
            source: self.source_ip.clone().map(|ip| pb::Source { ip }),
            device: self.device.clone().map(|device| pb::Device { id: device.id, ..pb::Device::default() }),
            explain: true,
            ..pb::CheckRequest::default()
        }
    }

    fn credential(&self, data_dir: &Path) -> Option<pb::Credential> {
        use pb::credential::Kind;
        let token = self.token.as_ref().map(|token| Kind::BearerToken(token.mint(data_dir)));
        let kind = token
            .or(self.bearer.clone().map(Kind::BearerToken))
            .or(self.authorization.clone().map(Kind::Authorization))
            .or(self.asserted.clone().map(Kind::AssertedPrincipal));
        let client_certificate = self.xfcc.clone().map(|value| pb::ClientCertificate {
            form: Some(pb::client_certificate::Form::Xfcc(value)),
            ..pb::ClientCertificate::default()
        });
        let nothing = kind.is_none() && client_certificate.is_none();
        (!nothing).then_some(pb::Credential { kind, client_certificate, ..pb::Credential::default() })
    }

    fn question(&self) -> Option<pb::Question> {
        use pb::question::Kind;
        if self.empty {
            return None;
        }
        let kind = match (&self.call, &self.cedar) {
            (Some(call), None) => Kind::Call(api_call(call)),
            (None, Some(cedar)) => Kind::Cedar(cedar_question(cedar)),
            _ => panic!("case `{}` needs one of call, cedar and empty", self.name),
        };
        Some(pb::Question { kind: Some(kind) })
    }
}

fn api_call(call: &Call) -> pb::ApiCall {
    let header = |(name, value): &(String, String)| pb::Header { name: name.clone(), value: value.clone() };
    pb::ApiCall {
        method: call.method.clone(),
        host: call.host.clone(),
        path: call.path.clone(),
        secure: true,
        headers: call.headers.iter().map(header).collect(),
        ..pb::ApiCall::default()
    }
}

fn cedar_question(cedar: &Cedar) -> pb::CedarQuestion {
    let entity = |entity: &Entity| pb::EntityRef { r#type: entity.r#type.clone(), id: entity.id.clone() };
    pb::CedarQuestion {
        domain: cedar.domain.clone(),
        principal: cedar.principal.as_ref().map(entity),
        action: Some(entity(&cedar.action)),
        resource: Some(entity(&cedar.resource)),
        entities: cedar.entities.iter().map(|entity| object(entity.as_object().unwrap())).collect(),
        context: Some(object(&cedar.context)),
    }
}

fn object(map: &Map<String, Value>) -> prost_types::Struct {
    prost_types::Struct {
        fields: map.iter().map(|(name, value)| (name.clone(), proto_value(value))).collect(),
    }
}

fn proto_value(value: &Value) -> prost_types::Value {
    use prost_types::value::Kind;
    let kind = match value {
        Value::Null => Kind::NullValue(0),
        Value::Bool(flag) => Kind::BoolValue(*flag),
        Value::Number(number) => Kind::NumberValue(number.as_f64().unwrap()),
        Value::String(text) => Kind::StringValue(text.clone()),
        Value::Array(items) => {
            Kind::ListValue(prost_types::ListValue { values: items.iter().map(proto_value).collect() })
        }
        Value::Object(map) => Kind::StructValue(object(map)),
    };
    prost_types::Value { kind: Some(kind) }
}

/// `credential_expired` for `REASON_CREDENTIAL_EXPIRED`.
pub fn reason_name(number: i32) -> String {
    let reason = pb::Reason::try_from(number).unwrap();
    reason.as_str_name().trim_start_matches("REASON_").to_lowercase()
}

pub fn effect_name(number: i32) -> &'static str {
    match pb::Effect::try_from(number).unwrap() {
        pb::Effect::Allow => "allow",
        pb::Effect::Deny => "deny",
        pb::Effect::Unspecified => "unspecified",
    }
}

impl Expect {
    /// What is not as expected, a line each.
    pub fn differences(&self, got: &pb::Decision) -> Vec<String> {
        let mut lines = Vec::new();
        let mut same = |what: &str, wanted: String, found: String| {
            if wanted != found {
                lines.push(format!("{what}: wanted {wanted}, got {found}"));
            }
        };
        same("effect", self.effect.clone(), effect_name(got.effect).into());
        same("reason", self.reason.clone(), reason_name(got.reason));
        same("enforced", self.enforced.to_string(), got.enforced.to_string());
        if let Some(policies) = &self.policies {
            same("policies", policies.join(" "), got.policy_ids.join(" "));
        }
        if let Some(principal) = &self.principal {
            same("principal", principal.clone(), got.principal.clone());
        }
        if let Some(endpoint) = &self.endpoint {
            same("endpoint", endpoint.clone(), got.endpoint.clone());
        }
        if let Some(level) = self.risk_level {
            same("risk level", level.to_string(), got.risk.as_ref().map_or(0, |risk| risk.level).to_string());
        }
        let challenge = got.challenge.clone().unwrap_or_default();
        if let Some(header) = &self.www_authenticate {
            same("www-authenticate", header.clone(), challenge.www_authenticate);
        }
        if let Some(values) = &self.acr_values {
            same("acr values", values.join(" "), challenge.acr_values.join(" "));
        }
        if let Some(seconds) = self.retry_after_s {
            same(
                "retry after",
                seconds.to_string(),
                got.retry_after.map_or(0, |after| after.seconds).to_string(),
            );
        }
        if let Some(count) = self.policy_errors {
            let found = got.explanation.as_ref().map_or(0, |explained| explained.policy_errors.len());
            same("policy errors", count.to_string(), found.to_string());
        }
        lines
    }
}
