//! JSON and base64url read strictly: the two encodings inside a token and a key set.
//!
//! A member that appears twice, at any depth, is refused: two parsers that keep different ones of the two would
//! otherwise see two different tokens (RFC 8725 section 2.4 in spirit, RFC 7519 section 4 allows the refusal).

use std::fmt;

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde::Deserialize;
use serde::de::{Deserializer, Error, MapAccess, SeqAccess, Visitor};
use serde_json::{Map, Value};

/// What is wrong with a text that should be one JSON object. Holds nothing of the text.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum JsonFault {
    #[error("not JSON (line {line}, column {column})")]
    Syntax { line: usize, column: usize },
    #[error("a member appears twice (line {line}, column {column})")]
    DuplicateMember { line: usize, column: usize },
    #[error("not a JSON object")]
    NotAnObject,
}

/// Reads one JSON object, and nothing behind it. Nesting is bounded by `serde_json` (128 levels).
pub(super) fn parse_object(text: &[u8]) -> Result<Map<String, Value>, JsonFault> {
    let read: Result<Strict, serde_json::Error> = serde_json::from_slice(text);
    match read {
        Ok(Strict(Value::Object(members))) => Ok(members),
        Ok(_) => Err(JsonFault::NotAnObject),
        Err(error) => {
            let (line, column) = (error.line(), error.column());
            // The visitor below takes every type, so the only data error is its own: the duplicate.
            if error.is_data() {
                Err(JsonFault::DuplicateMember { line, column })
            } else {
                Err(JsonFault::Syntax { line, column })
            }
        }
    }
}

/// Decodes base64url without padding, stray bits or foreign characters, so that bytes have one spelling.
pub(super) fn decode_base64url(text: &str) -> Option<Vec<u8>> {
    URL_SAFE_NO_PAD.decode(text).ok()
}

pub(super) fn encode_base64url(bytes: impl AsRef<[u8]>) -> String {
    URL_SAFE_NO_PAD.encode(bytes)
}

/// A JSON value in which no object names a member twice.
struct Strict(Value);

impl<'de> Deserialize<'de> for Strict {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(StrictVisitor).map(Self)
    }
}

struct StrictVisitor;

impl<'de> Visitor<'de> for StrictVisitor {
    type Value = Value;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a JSON value")
    }

    fn visit_unit<E>(self) -> Result<Value, E> {
        Ok(Value::Null)
    }

    fn visit_bool<E>(self, value: bool) -> Result<Value, E> {
        Ok(Value::Bool(value))
    }

    fn visit_i64<E>(self, value: i64) -> Result<Value, E> {
        Ok(Value::from(value))
    }

    fn visit_u64<E>(self, value: u64) -> Result<Value, E> {
        Ok(Value::from(value))
    }

    fn visit_f64<E>(self, value: f64) -> Result<Value, E> {
        Ok(Value::from(value))
    }

    fn visit_str<E>(self, value: &str) -> Result<Value, E> {
        Ok(Value::from(value))
    }

    fn visit_string<E>(self, value: String) -> Result<Value, E> {
        Ok(Value::String(value))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<Value, A::Error> {
        let mut list = Vec::new();
        while let Some(Strict(item)) = items.next_element()? {
            list.push(item);
        }
        Ok(Value::Array(list))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut members: A) -> Result<Value, A::Error> {
        let mut object = Map::new();
        while let Some(name) = members.next_key::<String>()? {
            // Members compare after unescaping, so `"\u0065xp"` is a second `"exp"`.
            let Strict(value) = members.next_value()?;
            if object.insert(name, value).is_some() {
                return Err(A::Error::custom("duplicate member"));
            }
        }
        Ok(Value::Object(object))
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn a_repeated_member_is_refused_at_any_depth_and_in_any_spelling() {
        for text in [r#"{"a":1,"a":1}"#, r#"{"x":[{"a":1,"b":2,"a":3}]}"#, r#"{"exp":1,"\u0065xp":2}"#] {
            assert!(
                matches!(parse_object(text.as_bytes()), Err(JsonFault::DuplicateMember { .. })),
                "{text}"
            );
        }
        assert!(parse_object(br#"{"a":{"a":1},"A":2}"#).is_ok());
    }

    #[test]
    fn only_one_whole_object_is_read() {
        for text in
            ["", "{", "{}{}", "{} x", "{\"a\":01}", "{\"a\":NaN}", "{'a':1}", "\u{feff}{}", "{\"a\":1e999}"]
        {
            assert!(matches!(parse_object(text.as_bytes()), Err(JsonFault::Syntax { .. })), "{text}");
        }
        assert_eq!(parse_object(b"[]"), Err(JsonFault::NotAnObject));
        assert!(parse_object(b"{\"a\":\"\xff\"}").is_err());
        let deep = format!("{{\"a\":{}{}}}", "[".repeat(500), "]".repeat(500));
        assert!(parse_object(deep.as_bytes()).is_err());
    }

    #[test]
    fn base64url_has_one_spelling() {
        assert_eq!(decode_base64url("AQAB"), Some(vec![1, 0, 1]));
        for bad in ["AQ==", "AR", "A", "A+AB", "A/AB", "AQ AB", "AQAB\n"] {
            assert_eq!(decode_base64url(bad), None, "{bad}");
        }
    }

    proptest! {
        #[test]
        fn reading_agrees_with_a_plain_reader_or_refuses(text in "[\\{\\}\\[\\]\",:a-c0-9 ]{0,40}") {
            if let Ok(members) = parse_object(text.as_bytes()) {
                prop_assert_eq!(serde_json::from_str::<Value>(&text).unwrap(), Value::Object(members));
            }
        }

        #[test]
        fn reading_any_bytes_never_panics(bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
            let _ = parse_object(&bytes);
        }
    }
}
