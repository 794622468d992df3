//! Identifiers. Each is checked when it is made, compares byte for byte, and is cheap to clone.

use std::fmt;
use std::str::FromStr;
use std::sync::Arc;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use uuid::Uuid;

use super::clock::Timestamp;

/// What is wrong with the text of an identifier.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("`{value}` is not a valid {what}: {rule}")]
pub struct InvalidId {
    pub what: &'static str,
    pub value: String,
    pub rule: &'static str,
}

const SLUG_RULE: &str =
    "use 1 to 63 lower-case letters, digits and hyphens, beginning and ending with a letter or digit";

fn check_slug(what: &'static str, value: &str) -> Result<(), InvalidId> {
    let edge = |byte: Option<&u8>| byte.is_some_and(|b| b.is_ascii_lowercase() || b.is_ascii_digit());
    let bytes = value.as_bytes();
    let inner = |b: &u8| b.is_ascii_lowercase() || b.is_ascii_digit() || *b == b'-';
    let fine = bytes.len() <= 63 && edge(bytes.first()) && edge(bytes.last()) && bytes.iter().all(inner);
    if fine { Ok(()) } else { Err(InvalidId { what, value: value.to_owned(), rule: SLUG_RULE }) }
}

/// A newtype over shared text that is checked on construction, (de)serialisation included.
macro_rules! text_id {
    ($(#[$doc:meta])* $name:ident, $what:literal, $check:expr) => {
        $(#[$doc])*
        #[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, JsonSchema)]
        #[serde(try_from = "String", into = "String")]
        pub struct $name(Arc<str>);

        impl $name {
            pub fn as_str(&self) -> &str {
                &self.0
            }
        }

        impl FromStr for $name {
            type Err = InvalidId;

            fn from_str(value: &str) -> Result<Self, InvalidId> {
                let check: fn(&'static str, &str) -> Result<(), InvalidId> = $check;
                check($what, value)?;
                Ok(Self(value.into()))
            }
        }

        impl TryFrom<String> for $name {
            type Error = InvalidId;

            fn try_from(value: String) -> Result<Self, InvalidId> {
                value.parse()
            }
        }

        impl From<$name> for String {
            fn from(id: $name) -> String {
                id.0.as_ref().to_owned()
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&self.0)
            }
        }

        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                write!(f, "{:?}", &self.0)
            }
        }
    };
}

text_id!(
    /// An API in the inventory, for example `orders`; also the id of its `api::Service`.
    ApiId, "API id", check_slug
);
text_id!(
    /// A policy plane with its own bundles; `default` unless said otherwise.
    DomainId, "domain", check_slug
);
text_id!(
    /// The short name a deployment gives a token issuer; the first half of a principal's id.
    IssuerAlias, "issuer alias", check_slug
);
text_id!(
    /// A caller of Deodar's own APIs: a gateway, a sensor, an operator.
    ClientId, "client id", check_slug
);
text_id!(
    /// A policy's id: the value of its `@id` annotation.
    PolicyId, "policy id", |what, value| {
        let fine = !value.is_empty() && value.len() <= 256 && !value.chars().any(char::is_control);
        let rule = "use 1 to 256 characters without control characters";
        if fine { Ok(()) } else { Err(InvalidId { what, value: value.to_owned(), rule }) }
    }
);

impl Default for DomainId {
    fn default() -> Self {
        Self("default".into())
    }
}

/// An endpoint's id: `<api>/<METHOD> <template>`, for example `orders/GET /orders/{id}`.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct EndpointId(Arc<str>);

impl EndpointId {
    pub fn new(api: &ApiId, method: &str, template: &str) -> Self {
        Self(format!("{api}/{method} {template}").into())
    }

    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for EndpointId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

macro_rules! uuid_id {
    ($(#[$doc:meta])* $name:ident, $what:literal) => {
        $(#[$doc])*
        #[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Serialize, Deserialize)]
        #[serde(transparent)]
        pub struct $name(Uuid);

        impl $name {
            /// A fresh time-ordered id (UUIDv7, RFC 9562).
            pub fn generate() -> Self {
                Self(Uuid::now_v7())
            }

            pub const fn from_uuid(uuid: Uuid) -> Self {
                Self(uuid)
            }

            pub const fn uuid(self) -> Uuid {
                self.0
            }
        }

        impl FromStr for $name {
            type Err = InvalidId;

            fn from_str(value: &str) -> Result<Self, InvalidId> {
                let rule = "expected a UUID such as 0198c5a0-7b3c-7000-8000-000000000000";
                let bad = |_| InvalidId { what: $what, value: value.to_owned(), rule };
                Uuid::parse_str(value).map(Self).map_err(bad)
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                write!(f, "{}", self.0)
            }
        }
    };
}

uuid_id!(
    /// One decision, and its audit record.
    DecisionId, "decision id"
);

impl DecisionId {
    /// Its outward form, made without the formatting machinery: every answer carries one.
    pub fn text(self) -> String {
        self.0.hyphenated().encode_lower(&mut Uuid::encode_buffer()).to_owned()
    }

    /// A fresh id for a decision made at this moment (UUIDv7, RFC 9562). Unlike [`DecisionId::generate`] it neither
    /// asks the operating system for the time nor takes a lock to be ordered within a millisecond.
    pub fn at(now: Timestamp) -> Self {
        let millis = u64::try_from(now.millis()).unwrap_or_default();
        let random: [u8; 10] = rand::random();
        Self(uuid::Builder::from_unix_timestamp_millis(millis, &random).into_uuid())
    }
}
uuid_id!(
    /// One recorded signal.
    SignalId, "signal id"
);
uuid_id!(
    /// One revocation.
    RevocationId, "revocation id"
);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn slugs_are_checked_with_the_offending_value_named() {
        assert!("orders-2".parse::<ApiId>().is_ok());
        for bad in ["", "Orders", "-a", "a-", "a/b", "a b", &"x".repeat(64)] {
            let error = bad.parse::<ApiId>().unwrap_err();
            assert!(error.to_string().contains(&format!("`{bad}`")), "{error}");
        }
    }

    #[test]
    fn ids_are_checked_when_deserialised() {
        assert!(serde_json::from_str::<ClientId>("\"gateway-1\"").is_ok());
        assert!(serde_json::from_str::<ClientId>("\"Gateway\"").is_err());
    }
}
