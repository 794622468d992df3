//! What an issuer may assert: the roles, groups, tenants and domains it was granted.
//!
//! An issuer speaks for its own people only; one that serves a partner must not be able to hand out `admin`.

use std::collections::BTreeSet;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::model::DomainId;

/// All values, or those listed. Written `"*"` or as a list.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(try_from = "GrantText", into = "GrantText")]
pub enum Grant {
    All,
    Only(BTreeSet<String>),
}

impl Grant {
    pub fn covers(&self, value: &str) -> bool {
        match self {
            Self::All => true,
            Self::Only(values) => values.contains(value),
        }
    }
}

/// Nothing.
impl Default for Grant {
    fn default() -> Self {
        Self::Only(BTreeSet::new())
    }
}

/// How a grant is written.
#[derive(Serialize, Deserialize, JsonSchema)]
#[serde(untagged)]
enum GrantText {
    Word(String),
    List(BTreeSet<String>),
}

impl TryFrom<GrantText> for Grant {
    type Error = String;

    fn try_from(text: GrantText) -> Result<Self, String> {
        match text {
            GrantText::Word(word) if word == "*" => Ok(Self::All),
            GrantText::Word(word) => {
                Err(format!("`{word}` is not a grant: write \"*\" for all values, or a list"))
            }
            // A star inside a list reads as "all" to people and would match nothing.
            GrantText::List(values) if values.contains("*") => {
                Err("`*` cannot be part of a list: write \"*\" alone for all values".to_owned())
            }
            GrantText::List(values) => Ok(Self::Only(values)),
        }
    }
}

impl From<Grant> for GrantText {
    fn from(grant: Grant) -> Self {
        match grant {
            Grant::All => Self::Word("*".to_owned()),
            Grant::Only(values) => Self::List(values),
        }
    }
}

/// What one issuer may assert. Roles, groups and tenants beyond it are dropped and noted; a token with an actor beyond it
/// is refused.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct MayAssert {
    pub roles: Grant,
    pub groups: Grant,
    pub tenants: Grant,
    /// Who may act for others (`act`, RFC 8693), by the actor's `sub`.
    pub actors: Grant,
    /// The domains in which its principals count; only `default` unless said otherwise.
    pub domains: Grant,
}

impl MayAssert {
    /// Everything; for an issuer whose key nobody else holds, such as the development issuer.
    pub const fn everything() -> Self {
        Self {
            roles: Grant::All,
            groups: Grant::All,
            tenants: Grant::All,
            actors: Grant::All,
            domains: Grant::All,
        }
    }
}

impl Default for MayAssert {
    fn default() -> Self {
        let domain = DomainId::default().as_str().to_owned();
        Self {
            roles: Grant::default(),
            groups: Grant::default(),
            tenants: Grant::default(),
            actors: Grant::default(),
            domains: Grant::Only(BTreeSet::from([domain])),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_grant_is_a_star_or_a_list_and_the_default_is_nothing() {
        let read = serde_json::from_str::<Grant>;
        assert_eq!(read("\"*\"").unwrap(), Grant::All);
        assert!(read("[\"a\"]").unwrap().covers("a"));
        assert!(!read("[\"a\"]").unwrap().covers("A") && !Grant::default().covers(""));
        assert!(read("\"all\"").is_err() && read("[\"*\"]").is_err() && read("7").is_err());
        assert_eq!(serde_json::to_string(&Grant::All).unwrap(), "\"*\"");
    }
}
