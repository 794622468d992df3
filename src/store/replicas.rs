//! Replicas: the contract. Which processes are alive and how far each has followed.

use async_trait::async_trait;

use super::StoreError;
use crate::model::{Revision, Timestamp};

/// One running process.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Replica {
    /// Made at start; new with every process.
    pub id: String,
    pub version: String,
    /// Where it listens for decisions.
    pub address: String,
    pub started_at: Timestamp,
    pub seen_at: Timestamp,
    /// Everything up to here is in effect there.
    pub applied: Revision,
    /// The bundle it decides with, `sha256:<hex>`; absent while it has none.
    pub bundle: Option<String>,
}

#[async_trait]
pub trait Replicas {
    /// Writes the replica's row whole. No revision, no feed.
    async fn heartbeat(&self, replica: &Replica) -> Result<(), StoreError>;

    /// Those seen at or after `since`, by id.
    async fn live_replicas(&self, since: Timestamp) -> Result<Vec<Replica>, StoreError>;

    /// Removes a replica that stops in order.
    async fn remove_replica(&self, id: &str) -> Result<(), StoreError>;
}

/// A row as both databases return it, in the order of the fields; the revision as epoch and number.
pub(super) type ReplicaRow = (String, String, String, i64, i64, i64, i64, Option<String>);

pub(super) fn replica_of(row: ReplicaRow) -> Replica {
    let (id, version, address, started_at, seen_at, epoch, number, bundle) = row;
    Replica {
        id,
        version,
        address,
        started_at: Timestamp::from_micros(started_at),
        seen_at: Timestamp::from_micros(seen_at),
        applied: Revision::new(epoch.cast_unsigned(), number.cast_unsigned()),
        bundle,
    }
}
