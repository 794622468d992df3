//! What the change feed carries: one committed control-plane write.

use serde::{Deserialize, Serialize};

use super::client::Client;
use super::directory::DirectoryChange;
use super::revision::Revision;
use super::revocation::Revocation;
use super::signal::Signal;

/// One committed write, at its place in the commit order.
#[derive(Clone, Debug, PartialEq)]
pub struct Change {
    pub revision: Revision,
    pub body: ChangeBody,
}

/// The whole new state of the thing that changed, so that a follower needs no second read.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "noun", rename_all = "snake_case")]
pub enum ChangeBody {
    /// Recorded, refreshed or cleared: see its fields.
    Signal(Signal),
    /// Created or revoked.
    Client(Client),
    /// Made or taken back: see its fields.
    Revocation(Revocation),
    /// An entry of the directory, put or deleted.
    Principal(DirectoryChange),
    /// Something that this version cannot read: it has no such noun, or knows it in another shape. It is only read
    /// from a store and never written; who meets it knows that something changed, and not what.
    #[serde(skip)]
    Unknown { noun: String },
}

impl ChangeBody {
    pub fn noun(&self) -> &str {
        match self {
            Self::Signal(_) => "signal",
            Self::Client(_) => "client",
            Self::Revocation(_) => "revocation",
            Self::Principal(_) => "principal",
            Self::Unknown { noun } => noun,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_unknown_is_neither_written_nor_read_as_such() {
        assert!(serde_json::to_string(&ChangeBody::Unknown { noun: "quarantine".into() }).is_err());
        assert!(serde_json::from_str::<ChangeBody>(r#"{"noun":"unknown"}"#).is_err());
    }
}
