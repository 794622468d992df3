//! What the change feed carries: one committed control-plane write.

use serde::{Deserialize, Serialize};

use super::client::Client;
use super::revision::Revision;
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
}

impl ChangeBody {
    pub const fn noun(&self) -> &'static str {
        match self {
            Self::Signal(_) => "signal",
            Self::Client(_) => "client",
        }
    }
}
