//! Decision messages: wire -> model and model -> wire.
//!
//! A question that cannot be read is no error of the call: it becomes [`Question::Unreadable`], which is denied and
//! recorded, so that one bad item in a batch does not spoil the others.

use std::collections::BTreeMap;
use std::mem;
use std::net::IpAddr;
use std::time::Duration;

use prost_types::value::Kind;
use serde_json::{Map, Number, Value};

use super::pb::decision as pb;
use super::{certificate, status};
use crate::model::{
    ApiCall, CedarQuestion, CertificateChain, Challenge, ClientCertificate, Credential, Decision, Demand,
    DeviceFacts, DomainId, EntityRef, Explanation, Question, Revision, Risk, Secret,
};

/// Something, or why it cannot be read, for operators.
pub type Read<T> = Result<T, String>;

/// The one credential of a message, with the certificate that came beside it or is all of it; `own` is that of the
/// connection. What cannot be read as one becomes [`Credential::Malformed`].
pub fn credential(
    credentials: Vec<pb::Credential>,
    own: Option<&CertificateChain>,
) -> (Credential, ClientCertificate) {
    let mut credentials = credentials.into_iter();
    match (credentials.next(), credentials.next()) {
        (None, _) => (Credential::None, ClientCertificate::None),
        (Some(only), None) => one_credential(only, own),
        (Some(_), Some(_)) => {
            (Credential::Malformed("more than one credential was presented"), ClientCertificate::None)
        }
    }
}

fn one_credential(
    credential: pb::Credential,
    own: Option<&CertificateChain>,
) -> (Credential, ClientCertificate) {
    let pb::Credential { kind, dpop_proof, client_certificate } = credential;
    let certificate = certificate::read(client_certificate, own);
    let credential = match kind {
        None if certificate.is_none() => Credential::Malformed("the credential is empty"),
        None => Credential::None,
        Some(pb::credential::Kind::BearerToken(token)) => Credential::Bearer(Secret::new(token)),
        Some(pb::credential::Kind::AssertedPrincipal(name)) => match name.parse() {
            Ok(principal) => Credential::Asserted(principal),
            Err(_) => Credential::Malformed("the asserted principal is not `User::<issuer alias>/<subject>`"),
        },
        Some(pb::credential::Kind::Authorization(value)) => authorization(&value, dpop_proof),
    };
    (credential, certificate)
}

/// The value of an Authorization header. Gateways join repeated headers with a comma, and no token holds one.
fn authorization(value: &str, proof: String) -> Credential {
    if value.contains(',') {
        return Credential::Malformed("the Authorization header holds more than one value");
    }
    match value.split_once(' ') {
        Some((scheme, token)) if scheme.eq_ignore_ascii_case("bearer") => {
            Credential::Bearer(Secret::new(token))
        }
        Some((scheme, token)) if scheme.eq_ignore_ascii_case("dpop") => {
            Credential::Dpop { token: Secret::new(token), proof: Secret::new(proof) }
        }
        _ => Credential::Malformed("the Authorization header is not `Bearer <token>` or `DPoP <token>`"),
    }
}

pub fn device(device: pb::Device) -> DeviceFacts {
    let pb::Device { id, compliant, posture_age_seconds } = device;
    DeviceFacts { id: (!id.is_empty()).then_some(id), compliant, posture_age_s: posture_age_seconds }
}

pub fn question(question: Option<pb::Question>) -> Question {
    match question.and_then(|question| question.kind) {
        None => Question::Unreadable("the question is empty".to_owned()),
        Some(pb::question::Kind::Call(call)) => Question::Call(api_call(call)),
        Some(pb::question::Kind::Cedar(cedar)) => {
            cedar_question(cedar).map_or_else(Question::Unreadable, |cedar| Question::Cedar(Box::new(cedar)))
        }
    }
}

/// The client's address; absent when the gateway did not say.
pub fn source(source: Option<pb::Source>) -> Read<Option<IpAddr>> {
    let text = source.map(|source| source.ip).unwrap_or_default();
    if text.is_empty() {
        return Ok(None);
    }
    text.parse().map(Some).map_err(|_| format!("source.ip: `{text}` is not an IP address"))
}

/// A revision to wait for; absent when none is wanted.
pub fn at_least(text: &str) -> Read<Option<Revision>> {
    if text.is_empty() {
        return Ok(None);
    }
    text.parse().map(Some).map_err(|error| format!("at_least: {error}"))
}

/// A W3C trace id. One that is not in order is left out, as the recommendation says.
pub fn trace_id(text: String) -> Option<String> {
    let hex = |byte: &u8| byte.is_ascii_digit() || (b'a'..=b'f').contains(byte);
    let fine = text.len() == 32 && text.as_bytes().iter().all(hex) && text.bytes().any(|byte| byte != b'0');
    fine.then_some(text)
}

fn api_call(call: pb::ApiCall) -> ApiCall {
    let pb::ApiCall { method, host, path, secure, headers, metadata } = call;
    let in_lower_case = |pb::Header { mut name, value }| {
        name.make_ascii_lowercase();
        (name, value)
    };
    let headers = headers.into_iter().map(in_lower_case).collect();
    let metadata: BTreeMap<_, _> = metadata.into_iter().map(|(name, list)| (name, list.values)).collect();
    ApiCall { method, host, path, secure, headers, metadata }
}

fn cedar_question(question: pb::CedarQuestion) -> Read<CedarQuestion> {
    let pb::CedarQuestion { domain, principal, action, resource, entities, context } = question;
    let domain = match domain.as_str() {
        "" => DomainId::default(),
        name => name.parse().map_err(|error| format!("domain: {error}"))?,
    };
    let (Some(action), Some(resource)) = (action, resource) else {
        return Err("a Cedar question needs an action and a resource".to_owned());
    };
    let entities = entities.into_iter().map(|entity| json_object(entity).map(Value::Object));
    Ok(CedarQuestion {
        domain,
        principal: principal.map(entity_ref),
        action: entity_ref(action),
        resource: entity_ref(resource),
        entities: entities.collect::<Result<_, _>>()?,
        context: context.map(json_object).transpose()?.unwrap_or_default(),
    })
}

fn entity_ref(entity: pb::EntityRef) -> EntityRef {
    EntityRef { entity_type: entity.r#type, id: entity.id }
}

fn json_object(object: prost_types::Struct) -> Read<Map<String, Value>> {
    object.fields.into_iter().map(|(name, value)| Ok((name, json(value)?))).collect()
}

/// Cedar has whole numbers only, and a `Struct` only doubles: a number is taken where it is whole and exact.
fn json(value: prost_types::Value) -> Read<Value> {
    const EXACT: f64 = 9_007_199_254_740_992.0;
    Ok(match value.kind {
        None | Some(Kind::NullValue(_)) => Value::Null,
        Some(Kind::BoolValue(flag)) => Value::Bool(flag),
        Some(Kind::StringValue(text)) => Value::String(text),
        #[expect(clippy::cast_possible_truncation, reason = "checked to be whole and within the exact range")]
        Some(Kind::NumberValue(number)) if number.fract() == 0.0 && number.abs() <= EXACT => {
            Value::Number(Number::from(number as i64))
        }
        Some(Kind::NumberValue(number)) => {
            return Err(format!("{number} is not a whole number between -2^53 and 2^53"));
        }
        Some(Kind::ListValue(list)) => {
            Value::Array(list.values.into_iter().map(json).collect::<Result<_, _>>()?)
        }
        Some(Kind::StructValue(object)) => Value::Object(json_object(object)?),
    })
}

pub fn decision(mut decision: Decision) -> pb::Decision {
    let rest = all_but_texts(&mut decision);
    pb::Decision {
        decision_id: decision.id.text(),
        message: decision.message.into_owned(),
        policy_ids: decision.policies.iter().map(|policy| policy.as_str().to_owned()).collect(),
        principal: decision.principal.map(|principal| principal.as_str().to_owned()).unwrap_or_default(),
        endpoint: decision.endpoint.map(|endpoint| endpoint.as_str().to_owned()).unwrap_or_default(),
        bundle_digest: decision.bundle.map(|digest| digest.as_str().to_owned()).unwrap_or_default(),
        revision: decision.revision.text(),
        ..rest
    }
}

/// A decision without the texts of its own; what it holds besides is taken from it.
pub(super) fn all_but_texts(decision: &mut Decision) -> pb::Decision {
    let obligations = mem::take(&mut decision.obligations).into_iter();
    let obligations = obligations.map(|obligation| pb::Obligation {
        name: obligation.name,
        value: obligation.value,
        policy_id: obligation.policy.as_str().to_owned(),
    });
    pb::Decision {
        effect: status::effect(decision.effect()).into(),
        enforced: decision.enforced,
        reason: status::reason(decision.reason).into(),
        obligations: obligations.collect(),
        challenge: decision.challenge.take().as_ref().map(challenge),
        retry_after: decision.retry_after.map(duration),
        risk: decision.risk.take().map(risk),
        reuse_for: (!decision.reuse_for.is_zero()).then(|| duration(decision.reuse_for)),
        explanation: decision.explanation.take().map(explanation),
        ..pb::Decision::default()
    }
}

fn challenge(challenge: &Challenge) -> pb::Challenge {
    let mut wire = pb::Challenge {
        www_authenticate: status::www_authenticate(challenge),
        dpop_nonce: status::dpop_nonce(challenge).unwrap_or_default().to_owned(),
        ..pb::Challenge::default()
    };
    match &challenge.demand {
        Demand::Scopes(scopes) => wire.scopes.clone_from(scopes),
        Demand::StepUp { acr_values, max_age } => {
            wire.acr_values.clone_from(acr_values);
            wire.max_age = max_age.map(duration);
        }
        Demand::Credential | Demand::OneCredential | Demand::Token | Demand::Proof | Demand::Nonce => {}
    }
    wire
}

fn risk(risk: Risk) -> pb::Risk {
    let reasons = risk.reasons.into_iter().map(|reason| pb::RiskReason {
        kind: reason.kind,
        points: reason.points.into(),
        text: reason.text,
    });
    pb::Risk {
        score: risk.score.into(),
        level: risk.level.number().into(),
        confidence: risk.confidence.into(),
        reasons: reasons.collect(),
        stale: risk.stale,
    }
}

fn explanation(explanation: Explanation) -> pb::Explanation {
    let errors = explanation.policy_errors.into_iter();
    let policy_errors =
        errors.map(|(policy, error)| pb::PolicyError { policy_id: policy.to_string(), error }).collect();
    pb::Explanation { steps: explanation.steps, policy_errors }
}

/// A span on the wire; saturates far beyond anything that makes sense.
pub fn duration(duration: Duration) -> prost_types::Duration {
    prost_types::Duration::try_from(duration).unwrap_or(prost_types::Duration { seconds: i64::MAX, nanos: 0 })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn authorization_is_malformed(value: &str) -> bool {
        matches!(authorization(value, String::new()), Credential::Malformed(_))
    }

    #[test]
    fn an_authorization_header_is_one_token_or_malformed() {
        let read = |value: &str| authorization(value, "p".to_owned());
        assert_eq!(read("bEaReR abc"), Credential::Bearer(Secret::new("abc")));
        let dpop = Credential::Dpop { token: Secret::new("abc"), proof: Secret::new("p") };
        assert_eq!(read("dpop abc"), dpop);
        for bad in ["", "abc", "Basic abc", "Bearer a,Bearer b", "Bearer a, b", "DPoP", "DPoP a,DPoP b"] {
            assert!(authorization_is_malformed(bad), "{bad}");
        }
    }

    #[test]
    fn two_credentials_are_malformed() {
        let token = || pb::Credential {
            kind: Some(pb::credential::Kind::BearerToken("t".into())),
            ..pb::Credential::default()
        };
        assert!(matches!(credential(vec![token()], None).0, Credential::Bearer(_)));
        assert!(matches!(credential(vec![token(), token()], None).0, Credential::Malformed(_)));
        assert_eq!(credential(vec![], None), (Credential::None, ClientCertificate::None));
    }

    #[test]
    fn a_certificate_stands_alone_or_beside_a_token() {
        let der = pb::client_certificate::Form::Der(vec![1]);
        let shown = pb::ClientCertificate { form: Some(der), ..pb::ClientCertificate::default() };
        let with = |kind| pb::Credential {
            kind,
            client_certificate: Some(shown.clone()),
            ..pb::Credential::default()
        };
        let (alone, certificate) = credential(vec![with(None)], None);
        assert_eq!(alone, Credential::None);
        assert!(matches!(certificate, ClientCertificate::Chain(_)));
        let token = Some(pb::credential::Kind::BearerToken("t".into()));
        let (beside, certificate) = credential(vec![with(token)], None);
        assert!(matches!((beside, certificate), (Credential::Bearer(_), ClientCertificate::Chain(_))));
        let empty = pb::Credential::default();
        assert!(matches!(credential(vec![empty], None), (Credential::Malformed(_), ClientCertificate::None)));
    }

    #[test]
    fn only_whole_exact_numbers_are_taken() {
        let number = |number| json(prost_types::Value { kind: Some(Kind::NumberValue(number)) });
        assert_eq!(number(42.0).unwrap(), Value::from(42));
        assert!(number(0.5).is_err() && number(1e300).is_err() && number(f64::NAN).is_err());
    }
}
