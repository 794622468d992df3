//! Decisions: the contract. Audit records as bytes with the columns they are found by.

use async_trait::async_trait;

use super::StoreError;
use crate::model::{DecisionId, Effect, Page, PageRequest, RecordFilter, Refusals, Timestamp};

/// A record as `audit` hands it over: the canonical bytes are the truth, the head only finds it.
#[derive(Clone, Copy, Debug)]
pub struct StoredRecord<'a> {
    pub head: &'a RecordHead,
    pub bytes: &'a [u8],
}

/// What a record is found by. Its texts are not repeated here: they stand in its bytes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RecordHead {
    pub id: DecisionId,
    pub at: Timestamp,
    pub effect: Effect,
    pub enforced: bool,
    pub pep: Place,
    pub principal: Option<Place>,
    pub resource: Place,
    /// The reason's name.
    pub reason: Place,
}

/// Where in the bytes of a record a text stands.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Place {
    /// Bytes before it.
    pub offset: u32,
    /// Bytes that it takes.
    pub length: u32,
}

impl Place {
    /// What stands there; nothing when the bytes end before.
    pub fn of<'a>(&self, bytes: &'a [u8]) -> &'a [u8] {
        let rest = usize::try_from(self.offset).ok().and_then(|offset| bytes.get(offset..));
        let length = usize::try_from(self.length).ok();
        rest.zip(length).and_then(|(rest, length)| rest.get(..length)).unwrap_or_default()
    }
}

impl<'a> StoredRecord<'a> {
    pub(super) fn pep(&self) -> &'a [u8] {
        self.head.pep.of(self.bytes)
    }

    pub(super) fn principal(&self) -> Option<&'a [u8]> {
        self.head.principal.map(|place| place.of(self.bytes))
    }

    pub(super) fn resource(&self) -> &'a [u8] {
        self.head.resource.of(self.bytes)
    }

    pub(super) fn reason(&self) -> &'a [u8] {
        self.head.reason.of(self.bytes)
    }
}

#[async_trait]
pub trait Decisions {
    /// Keeps a batch, all or none. No two records of it have the same id. A record whose id is there already is left as
    /// it is (a batch may be sent again after an unclear failure, and records never change). Not a control-plane write:
    /// no revision, no feed.
    async fn append_records(&self, records: &[StoredRecord<'_>]) -> Result<(), StoreError>;

    /// The canonical bytes of one record.
    async fn get_record(&self, id: DecisionId) -> Result<Option<Vec<u8>>, StoreError>;

    /// The canonical bytes, newest first by (`at`, id).
    async fn list_records(
        &self,
        filter: &RecordFilter,
        page: &PageRequest,
    ) -> Result<Page<Vec<u8>>, StoreError>;

    /// Adds to the minute's row of (replica, minute, kind, peer): counts add up, first and last widen, the first sample stays.
    async fn add_refusals(&self, refusals: &[Refusals]) -> Result<(), StoreError>;

    /// Newest minute first, then by kind and peer.
    async fn list_refusals(&self, page: &PageRequest) -> Result<Page<Refusals>, StoreError>;
}

/// A row of refusals in list order: minute, kind, peer, replica.
pub(super) type RefusalKey = (i64, String, String, String);

/// A row of refusals as both databases return it: the key, then count, first, last, sample.
pub(super) type RefusalRow = (i64, String, String, String, i64, i64, i64, String);

pub(super) fn refusals_of(row: RefusalRow) -> (RefusalKey, Refusals) {
    let (minute, kind, peer, replica, count, first, last, sample) = row;
    let refusals = Refusals {
        replica: replica.clone(),
        minute: Timestamp::from_micros(minute),
        kind: kind.clone(),
        peer: peer.clone(),
        count: u64::try_from(count).unwrap_or(0),
        first: Timestamp::from_micros(first),
        last: Timestamp::from_micros(last),
        sample,
    };
    ((minute, kind, peer, replica), refusals)
}

/// The count as databases can hold it.
pub(super) fn count_of(refusals: &Refusals) -> i64 {
    i64::try_from(refusals.count).unwrap_or(i64::MAX)
}
