//! The JSON bodies of rows, the same in both backends.
//!
//! A row's `body` is the whole thing; its other columns only find it. The form is that of the types in `model`, but
//! for floating point numbers, which stand as text: not every JSON reader gives back the bits that were written.

use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::{Number, Value};

use super::StoreError;

/// The members that are floating point numbers, wherever they are met.
const FLOATS: [&str; 2] = ["strength", "confidence"];

pub(super) fn encode<T: Serialize>(what: &'static str, item: &T) -> Result<String, StoreError> {
    let corrupt = |error: serde_json::Error| StoreError::Corrupt { what, why: error.to_string() };
    let mut value = serde_json::to_value(item).map_err(corrupt)?;
    for_each_float(&mut value, |float| {
        if let Value::Number(number) = float {
            // The shortest text that reads back to the same bits.
            *float = Value::String(number.to_string());
        }
    });
    serde_json::to_string(&value).map_err(corrupt)
}

pub(super) fn decode<T: DeserializeOwned>(what: &'static str, body: &str) -> Result<T, StoreError> {
    let corrupt = |error: serde_json::Error| StoreError::Corrupt { what, why: error.to_string() };
    let mut value: Value = serde_json::from_str(body).map_err(corrupt)?;
    for_each_float(&mut value, |float| {
        let number = float.as_str().and_then(|text| text.parse().ok()).and_then(Number::from_f64);
        if let Some(number) = number {
            *float = Value::Number(number);
        }
    });
    serde_json::from_value(value).map_err(corrupt)
}

fn for_each_float(value: &mut Value, change: impl Fn(&mut Value)) {
    for name in FLOATS {
        if let Some(float) = value.get_mut(name) {
            change(float);
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::model::{ChangeBody, Client, Signal, SignalId, SignalLife, Timestamp};

    fn signal(strength: f64, evidence: &str) -> Signal {
        Signal {
            id: SignalId::from_uuid(uuid::Uuid::from_u128(7)),
            subject: "principal:User::dev/alice".parse().unwrap(),
            kind: "new_network".into(),
            strength,
            confidence: 1.0,
            life: SignalLife::UntilCleared,
            source: "waf".into(),
            evidence: evidence.into(),
            dedup_key: None,
            observed_at: Timestamp::from_seconds(1),
            recorded_by: "sensor-1".parse().unwrap(),
            recorded_at: Timestamp::from_seconds(2),
            cleared: None,
        }
    }

    proptest! {
        #[test]
        fn every_bit_of_a_strength_comes_back(strength in 0.0_f64..=1.0, evidence in any::<String>()) {
            let signal = signal(strength, &evidence);
            let body = encode("signal", &signal).unwrap();
            prop_assert!(!body.contains('\0'), "Postgres cannot keep it");
            let back: Signal = decode("signal", &body).unwrap();
            prop_assert_eq!(back.strength.to_bits(), strength.to_bits());
            prop_assert_eq!(back, signal);
        }
    }

    #[test]
    fn a_change_keeps_its_noun() {
        let body = ChangeBody::Signal(signal(0.1, ""));
        let text = encode("change", &body).unwrap();
        assert!(text.contains(r#""noun":"signal""#), "{text}");
        assert_eq!(decode::<ChangeBody>("change", &text).unwrap(), body);
    }

    #[test]
    fn a_body_of_another_shape_is_corrupt() {
        let error = decode::<Client>("client", "{}").unwrap_err();
        assert!(matches!(error, StoreError::Corrupt { what: "client", .. }));
    }
}
