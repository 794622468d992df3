//! A batch of audit records in one row: how it is packed, and how it is read again.
//!
//! The body is a byte for its form, then the packed records, compressed with LZ4. Of each record it holds what lists
//! are filtered by and the canonical bytes; the ids stand apart, in the same order. Stored for good: a new form is a new byte.

use lz4_flex::block::{compress_into, decompress_size_prepended, get_maximum_output_size};
use uuid::Uuid;

use super::names::{self, Kind};
use crate::model::{Effect, RecordFilter};
use crate::store::{StoreError, StoredRecord};

/// LZ4 block, its length before it in four bytes, little-endian.
const LZ4: u8 = 1;

/// The form and the length.
const HEAD: usize = 5;

/// Bytes that a packer takes for the largest batch of ordinary records, and more than that.
const ORDINARY: usize = 4 << 20;

const ALLOWED: u8 = 1;
const HAS_PRINCIPAL: u8 = 2;

/// A row to be.
pub(super) struct Batch<'a> {
    pub first_at: i64,
    pub last_at: i64,
    pub first_id: Uuid,
    pub last_id: Uuid,
    pub records: i64,
    pub denials: i64,
    pub names: Vec<u8>,
    pub ids: Vec<u8>,
    pub body: &'a [u8],
}

/// Packs one batch after the other, in the same memory.
#[derive(Debug, Default)]
pub(super) struct Packer {
    packed: Vec<u8>,
    /// As long as the longest one yet could have been.
    body: Vec<u8>,
}

impl Packer {
    /// Whether it has more memory than batches of ordinary records need.
    pub(super) fn is_outsized(&self) -> bool {
        self.packed.capacity() + self.body.capacity() > ORDINARY
    }

    /// `None` for no records.
    pub(super) fn pack(&mut self, records: &[&StoredRecord<'_>]) -> Result<Option<Batch<'_>>, StoreError> {
        let ids = || records.iter().map(|record| record.id.uuid());
        let times = || records.iter().map(|record| record.at.micros());
        let (Some(first_at), Some(last_at)) = (times().min(), times().max()) else { return Ok(None) };
        let denials = records.iter().filter(|record| record.effect == Effect::Deny).count();
        Ok(Some(Batch {
            first_at,
            last_at,
            first_id: ids().min().unwrap_or_default(),
            last_id: ids().max().unwrap_or_default(),
            records: count(records.len()),
            denials: count(denials),
            names: names::filter(records.iter().flat_map(|record| names_of(record))),
            ids: ids().flat_map(Uuid::into_bytes).collect(),
            body: self.body(records)?,
        }))
    }

    fn body(&mut self, records: &[&StoredRecord<'_>]) -> Result<&[u8], StoreError> {
        self.packed.clear();
        records.iter().for_each(|record| pack(record, &mut self.packed));
        let length = u32::try_from(self.packed.len()).map_err(|error| corrupt(error.to_string()))?;
        let most = HEAD + get_maximum_output_size(self.packed.len());
        if self.body.len() < most {
            self.body.resize(most, 0);
        }
        let too_short = || corrupt("there is no room for it");
        let (head, room) = self.body.split_first_chunk_mut::<HEAD>().ok_or_else(too_short)?;
        let [form, prefix @ ..] = head;
        (*form, *prefix) = (LZ4, length.to_le_bytes());
        let filled = compress_into(&self.packed, room).map_err(|error| corrupt(error.to_string()))?;
        self.body.get(..HEAD + filled).ok_or_else(too_short)
    }
}

fn count(records: usize) -> i64 {
    i64::try_from(records).unwrap_or(i64::MAX)
}

fn names_of<'a>(record: &'a StoredRecord<'_>) -> impl Iterator<Item = (Kind, &'a str)> {
    let principal = record.principal.as_deref().map(|name| (Kind::Principal, name));
    let others = [
        (Kind::Resource, record.resource.as_ref()),
        (Kind::Pep, record.pep.as_ref()),
        (Kind::Reason, record.reason.as_str()),
    ];
    principal.into_iter().chain(others)
}

/// Whether a batch with this filter over its names may hold a record that is wanted.
pub(super) fn may_hold(names: &[u8], filter: &RecordFilter) -> bool {
    let wanted = [
        (Kind::Principal, filter.principal.as_deref()),
        (Kind::Resource, filter.resource.as_deref()),
        (Kind::Pep, filter.pep.as_ref().map(|pep| pep.as_str())),
        (Kind::Reason, filter.reason.map(|reason| reason.as_str())),
    ];
    wanted.into_iter().all(|(kind, name)| name.is_none_or(|name| names::may_hold(names, kind, name)))
}

/// The ids of a batch, in its order.
pub(super) fn ids(column: &[u8]) -> impl Iterator<Item = Uuid> {
    column.as_chunks().0.iter().copied().map(Uuid::from_bytes)
}

/// One record of a batch.
pub(super) struct Row<'a> {
    pub id: Uuid,
    pub at: i64,
    allowed: bool,
    pep: &'a str,
    principal: Option<&'a str>,
    resource: &'a str,
    reason: &'a str,
    pub bytes: &'a [u8],
}

impl Row<'_> {
    /// Whether the record is wanted.
    pub(super) fn fits(&self, filter: &RecordFilter) -> bool {
        let effect = if self.allowed { Effect::Allow } else { Effect::Deny };
        filter.principal.as_deref().is_none_or(|wanted| self.principal == Some(wanted))
            && filter.resource.as_deref().is_none_or(|wanted| self.resource == wanted)
            && filter.pep.as_ref().is_none_or(|wanted| self.pep == wanted.as_str())
            && filter.reason.is_none_or(|wanted| self.reason == wanted.as_str())
            && filter.effect.is_none_or(|wanted| effect == wanted)
            && filter.from.is_none_or(|from| self.at >= from.micros())
            && filter.until.is_none_or(|until| self.at < until.micros())
    }
}

/// The packed records of a body.
pub(super) fn open(body: &[u8]) -> Result<Vec<u8>, StoreError> {
    match body.split_first() {
        Some((&LZ4, packed)) => decompress_size_prepended(packed).map_err(|error| corrupt(error.to_string())),
        _ => Err(corrupt("its form is unknown")),
    }
}

/// The records in what [`open`] gave, each with its id.
pub(super) fn rows<'a>(packed: &'a [u8], ids: &'a [u8]) -> impl Iterator<Item = Result<Row<'a>, StoreError>> {
    let mut rest = Rest(packed);
    self::ids(ids).map(move |id| rest.row(id).ok_or_else(|| corrupt("it ends too early")))
}

fn corrupt(why: impl Into<String>) -> StoreError {
    StoreError::Corrupt { what: "a batch of audit records", why: why.into() }
}

fn pack(record: &StoredRecord<'_>, out: &mut Vec<u8>) {
    let allowed = if record.effect == Effect::Allow { ALLOWED } else { 0 };
    let named = if record.principal.is_some() { HAS_PRINCIPAL } else { 0 };
    out.extend_from_slice(&record.at.micros().to_be_bytes());
    out.push(allowed | named);
    let principal = record.principal.as_deref().unwrap_or_default();
    for text in [record.pep.as_ref(), principal, &record.resource, record.reason.as_str()] {
        put(text.as_bytes(), out);
    }
    put(&record.bytes, out);
}

// INVARIANT: `audit` keeps records far below what four bytes can count.
fn put(bytes: &[u8], out: &mut Vec<u8>) {
    out.extend_from_slice(&u32::try_from(bytes.len()).unwrap_or(u32::MAX).to_be_bytes());
    out.extend_from_slice(bytes);
}

/// What is not read yet. `None` means that it ends too early, or that a text is none.
struct Rest<'a>(&'a [u8]);

impl<'a> Rest<'a> {
    fn row(&mut self, id: Uuid) -> Option<Row<'a>> {
        let at = i64::from_be_bytes(self.array()?);
        let [flags] = self.array()?;
        let (pep, principal, resource, reason) = (self.text()?, self.text()?, self.text()?, self.text()?);
        let principal = (flags & HAS_PRINCIPAL != 0).then_some(principal);
        let allowed = flags & ALLOWED != 0;
        Some(Row { id, at, allowed, pep, principal, resource, reason, bytes: self.piece()? })
    }

    fn take(&mut self, length: usize) -> Option<&'a [u8]> {
        let (taken, rest) = self.0.split_at_checked(length)?;
        self.0 = rest;
        Some(taken)
    }

    fn array<const N: usize>(&mut self) -> Option<[u8; N]> {
        self.take(N)?.try_into().ok()
    }

    fn piece(&mut self) -> Option<&'a [u8]> {
        let length = u32::from_be_bytes(self.array()?);
        self.take(usize::try_from(length).ok()?)
    }

    fn text(&mut self) -> Option<&'a str> {
        std::str::from_utf8(self.piece()?).ok()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::{DecisionId, Reason, Timestamp};

    fn record(seconds: i64, principal: Option<&str>) -> StoredRecord<'_> {
        StoredRecord {
            id: DecisionId::generate(),
            at: Timestamp::from_seconds(seconds),
            pep: "edge".into(),
            principal: principal.map(Into::into),
            resource: "orders/GET /orders/{id}".into(),
            effect: if seconds % 2 == 0 { Effect::Allow } else { Effect::Deny },
            enforced: true,
            reason: if seconds % 2 == 0 { Reason::Allowed } else { Reason::NoMatchingPermit },
            bytes: vec![7; usize::try_from(seconds).unwrap()].into(),
        }
    }

    #[test]
    fn records_come_back_in_their_order() {
        let records = [record(300, Some("User::dev/alice")), record(1, None), record(0, Some(""))];
        let mut packer = Packer::default();
        packer.pack(&[&record(400, Some("of another batch"))]).unwrap();
        let batch = packer.pack(&records.iter().collect::<Vec<_>>()).unwrap().unwrap();
        assert_eq!((batch.first_at, batch.last_at), (0, 300_000_000));
        assert_eq!((batch.records, batch.denials), (3, 1));
        assert!(batch.first_id < batch.last_id);
        let packed = open(batch.body).unwrap();
        let rows: Vec<Row<'_>> = rows(&packed, &batch.ids).map(Result::unwrap).collect();
        for (row, record) in rows.iter().zip(&records) {
            assert_eq!((row.id, row.at), (record.id.uuid(), record.at.micros()));
            assert_eq!((row.principal, row.bytes), (record.principal.as_deref(), record.bytes.as_ref()));
        }
        assert_eq!(rows.len(), records.len());
    }

    #[test]
    fn only_records_beyond_the_ordinary_take_memory_that_is_not_kept() {
        let mut packer = Packer::default();
        packer.pack(&vec![&record(1_000, Some("User::dev/alice")); 512]).unwrap();
        assert!(!packer.is_outsized());
        packer.pack(&vec![&record(48_000, None); 512]).unwrap();
        assert!(packer.is_outsized());
    }

    #[test]
    fn nothing_makes_no_batch() {
        assert!(Packer::default().pack(&[]).unwrap().is_none());
    }

    #[test]
    fn a_body_that_is_none_is_an_error_and_no_panic() {
        let records = [record(2, Some("User::dev/alice"))];
        let mut packer = Packer::default();
        let batch = packer.pack(&records.iter().collect::<Vec<_>>()).unwrap().unwrap();
        assert!(open(&[]).is_err() && open(&[9, 1, 2]).is_err() && open(&[LZ4, 255, 255, 255, 255]).is_err());
        let packed = open(batch.body).unwrap();
        for length in 0..packed.len() {
            assert!(rows(&packed[..length], &batch.ids).any(|row| row.is_err()), "{length}");
        }
    }
}
