//! What the deployment itself knows of a principal, whatever a token says.

use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize};

use super::clock::Timestamp;
use super::id::ClientId;
use super::principal::PrincipalId;

/// One principal in the directory.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct DirectoryEntry {
    pub principal: PrincipalId,
    /// Who is not active is denied at once, whatever the credential.
    pub active: bool,
    /// Added to what the token says.
    pub roles: BTreeSet<String>,
    /// Added to what the token says.
    pub groups: BTreeSet<String>,
    /// What policies read as tags `dir:<name>`.
    pub tags: BTreeMap<String, BTreeSet<String>>,
    /// For people.
    pub note: String,
    /// Names this state of the entry; no other state of any entry has it.
    pub etag: String,
    pub updated_by: ClientId,
    pub updated_at: Timestamp,
}

/// What an editor believes to be there. An edit of something else fails.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Expected {
    /// No entry.
    Absent,
    /// The entry with this etag.
    Etag(String),
    /// Whatever it is.
    Anything,
}

impl Expected {
    /// Whether the state that was found is the expected one.
    pub fn fits(&self, found: Option<&DirectoryEntry>) -> bool {
        match self {
            Self::Absent => found.is_none(),
            Self::Etag(etag) => found.is_some_and(|entry| entry.etag == *etag),
            Self::Anything => true,
        }
    }
}

/// A committed edit: the entry of this principal as it is now.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct DirectoryChange {
    pub principal: PrincipalId,
    /// Absent: it was deleted.
    pub entry: Option<DirectoryEntry>,
}
