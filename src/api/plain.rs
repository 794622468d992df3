//! Protobuf's well-known types and our enums in plain ones, for clients that print and build messages.
//!
//! The server's own conversions are in `wire` and `manage`, where a value that cannot be read is somebody's mistake
//! and has a field to blame; here it is shown as absent.

use std::time::Duration;

use prost_types::value::Kind;
use serde_json::{Map, Value};

use super::pb::{decision, manage};
use super::wire;
use crate::model::{Assertion, Reason, Role, Timestamp};

/// A moment; `None` when absent or out of range.
pub fn moment(at: Option<prost_types::Timestamp>) -> Option<Timestamp> {
    let at = at?;
    let micros = at.seconds.checked_mul(1_000_000)?.checked_add(i64::from(at.nanos / 1_000))?;
    Some(Timestamp::from_micros(micros))
}

pub fn from_moment(at: Timestamp) -> prost_types::Timestamp {
    let nanos = i32::try_from(at.micros().rem_euclid(1_000_000) * 1_000).unwrap_or_default();
    prost_types::Timestamp { seconds: at.seconds(), nanos }
}

/// A span of time; `None` when absent or negative.
pub fn span(span: Option<prost_types::Duration>) -> Option<Duration> {
    Duration::try_from(span?).ok()
}

pub fn from_span(span: Duration) -> prost_types::Duration {
    wire::duration(span)
}

/// `allow` or `deny`; anything but a clear allow is a denial.
pub fn effect(number: i32) -> &'static str {
    if number == decision::Effect::Allow as i32 { "allow" } else { "deny" }
}

/// The reason's name, for example `forbidden_by_policy`; `unknown` for what this version does not know.
pub fn reason(number: i32) -> String {
    let known = decision::Reason::try_from(number).map(|reason| reason.as_str_name());
    known.ok().and_then(|name| name.strip_prefix("REASON_")).unwrap_or("UNKNOWN").to_lowercase()
}

pub fn from_reason(reason: Reason) -> i32 {
    super::status::reason(reason).into()
}

/// The role's name; `unknown` for what this version does not know.
pub fn role(number: i32) -> String {
    let known = manage::Role::try_from(number).map(|role| role.as_str_name());
    known.ok().and_then(|name| name.strip_prefix("ROLE_")).unwrap_or("UNKNOWN").to_lowercase()
}

pub fn from_role(role: Role) -> i32 {
    let name = format!("ROLE_{}", role.as_str().to_uppercase());
    manage::Role::from_str_name(&name).unwrap_or_default().into()
}

/// The assertion's name, for example `source-address`; `unknown` for what this version does not know.
pub fn assertion(number: i32) -> String {
    let known = manage::Assertion::try_from(number).map(|assertion| assertion.as_str_name());
    let name = known.ok().and_then(|name| name.strip_prefix("ASSERTION_")).unwrap_or("UNKNOWN");
    name.to_lowercase().replace('_', "-")
}

pub fn from_assertion(assertion: Assertion) -> i32 {
    let name = format!("ASSERTION_{}", assertion.as_str().to_uppercase().replace('-', "_"));
    manage::Assertion::from_str_name(&name).unwrap_or_default().into()
}

/// A JSON object. Numbers become doubles, the only ones that `Struct` has; the server refuses what is not whole.
pub fn from_object(object: Map<String, Value>) -> prost_types::Struct {
    prost_types::Struct { fields: object.into_iter().map(|(name, value)| (name, from_json(value))).collect() }
}

fn from_json(value: Value) -> prost_types::Value {
    let kind = match value {
        Value::Null => Kind::NullValue(0),
        Value::Bool(flag) => Kind::BoolValue(flag),
        Value::Number(number) => Kind::NumberValue(number.as_f64().unwrap_or(f64::NAN)),
        Value::String(text) => Kind::StringValue(text),
        Value::Array(values) => {
            Kind::ListValue(prost_types::ListValue { values: values.into_iter().map(from_json).collect() })
        }
        Value::Object(object) => Kind::StructValue(from_object(object)),
    };
    prost_types::Value { kind: Some(kind) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_word_survives_the_wire() {
        for known in Reason::ALL {
            assert_eq!(reason(from_reason(known)), known.as_str());
        }
        for known in Role::ALL {
            assert_eq!(role(from_role(known)), known.as_str());
        }
        for known in Assertion::ALL {
            assert_eq!(assertion(from_assertion(known)), known.as_str());
        }
    }

    #[test]
    fn what_is_not_a_clear_allow_reads_as_deny() {
        let words = [0, 1, 2, 99].map(effect);
        assert_eq!(words, ["deny", "allow", "deny", "deny"]);
        assert_eq!(reason(9_999), "unknown");
    }

    #[test]
    fn moments_survive_the_wire() {
        for micros in [0, 1, -1, 1_763_805_600_250_000] {
            let at = Timestamp::from_micros(micros);
            assert_eq!(moment(Some(from_moment(at))), Some(at));
        }
        assert_eq!(moment(None), None);
    }
}
