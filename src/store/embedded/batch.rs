//! A batch of audit records in one row: how it is packed, and how it is read again (`row`).
//!
//! The body is a byte for its form, then the packed records, compressed with LZ4: the time that the others count from,
//! and then for each record what lists are filtered by, as places in its canonical bytes, and these. The ids stand apart, in
//! the same order, and are cut out of the bytes where they stand in their place. Stored for good: a new form is a new byte.

use lz4_flex::block::{compress_into, decompress_size_prepended, get_maximum_output_size};
use unsigned_varint::encode;
use uuid::Uuid;

use super::names::{self, Kind};
use super::row::{Rest, Row};
use crate::model::{Effect, RecordFilter};
use crate::store::{Place, RecordHead, StoreError, StoredRecord};

/// LZ4 block, its length before it in four bytes, little-endian. What lists are filtered by stands before the bytes of
/// each record; lengths take four bytes.
pub(super) const COLUMNS: u8 = 1;

/// LZ4 block likewise; what lists are filtered by is shown in the bytes, numbers are LEB128.
const PLACES: u8 = 2;

/// The form and the length.
const HEAD: usize = 5;

/// Bytes that a packer takes for the largest batch of ordinary records, and more than that.
const ORDINARY: usize = 4 << 20;

pub(super) const ALLOWED: u8 = 1;
pub(super) const HAS_PRINCIPAL: u8 = 2;
pub(super) const WITHOUT_ID: u8 = 4;

/// How many bytes of a record are before its id: one, for its version.
pub(super) const BEFORE_ID: usize = 1;

/// How many bytes an id takes.
const ID: u32 = 16;

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
        let ids = || records.iter().map(|record| record.head.id.uuid());
        let times = || records.iter().map(|record| record.head.at.micros());
        let (Some(first_at), Some(last_at)) = (times().min(), times().max()) else { return Ok(None) };
        let denials = records.iter().filter(|record| record.head.effect == Effect::Deny).count();
        Ok(Some(Batch {
            first_at,
            last_at,
            first_id: ids().min().unwrap_or_default(),
            last_id: ids().max().unwrap_or_default(),
            records: count(records.len()),
            denials: count(denials),
            names: names::filter(records.iter().flat_map(|record| names_of(record))),
            ids: ids().flat_map(Uuid::into_bytes).collect(),
            body: self.body(records, first_at)?,
        }))
    }

    fn body(&mut self, records: &[&StoredRecord<'_>], first_at: i64) -> Result<&[u8], StoreError> {
        self.packed.clear();
        self.packed.extend_from_slice(&first_at.to_be_bytes());
        records.iter().for_each(|record| pack(record, first_at, &mut self.packed));
        let length = u32::try_from(self.packed.len()).map_err(|error| corrupt(error.to_string()))?;
        let most = HEAD + get_maximum_output_size(self.packed.len());
        if self.body.len() < most {
            self.body.resize(most, 0);
        }
        let too_short = || corrupt("there is no room for it");
        let (head, room) = self.body.split_first_chunk_mut::<HEAD>().ok_or_else(too_short)?;
        let [form, prefix @ ..] = head;
        (*form, *prefix) = (PLACES, length.to_le_bytes());
        let filled = compress_into(&self.packed, room).map_err(|error| corrupt(error.to_string()))?;
        self.body.get(..HEAD + filled).ok_or_else(too_short)
    }
}

fn count(records: usize) -> i64 {
    i64::try_from(records).unwrap_or(i64::MAX)
}

fn names_of<'a>(record: &StoredRecord<'a>) -> impl Iterator<Item = (Kind, &'a [u8])> + use<'a> {
    let principal = record.principal().map(|name| (Kind::Principal, name));
    let others =
        [(Kind::Resource, record.resource()), (Kind::Pep, record.pep()), (Kind::Reason, record.reason())];
    principal.into_iter().chain(others)
}

fn pack(record: &StoredRecord<'_>, first_at: i64, out: &mut Vec<u8>) {
    let head = record.head;
    let id = head.id.uuid();
    let apart = cut_out(&id, record);
    let flags = [
        (ALLOWED, head.effect == Effect::Allow),
        (HAS_PRINCIPAL, head.principal.is_some()),
        (WITHOUT_ID, apart.is_some()),
    ];
    out.push(flags.into_iter().filter(|(_, is_set)| *is_set).map(|(flag, _)| flag).sum());
    put_number(head.at.micros().wrapping_sub(first_at).cast_unsigned(), out);
    let moved = if apart.is_some() { ID } else { 0 };
    for place in places(head) {
        put_number(place.offset.saturating_sub(moved).into(), out);
        put_number(place.length.into(), out);
    }
    let (before, after) = apart.unwrap_or((record.bytes, &[]));
    put_number(before.len().saturating_add(after.len()) as u64, out);
    out.extend_from_slice(before);
    out.extend_from_slice(after);
}

/// The bytes before the id and behind it, when it stands in its place and before all that is shown.
fn cut_out<'a>(id: &Uuid, record: &StoredRecord<'a>) -> Option<(&'a [u8], &'a [u8])> {
    let (before, rest) = record.bytes.split_at_checked(BEFORE_ID)?;
    let after = rest.strip_prefix(id.as_bytes())?;
    // What is behind the id has an offset of at least `BEFORE_ID` more than its length.
    places(record.head).all(|place| place.offset > ID).then_some((before, after))
}

fn places(head: &RecordHead) -> impl Iterator<Item = Place> {
    [Some(head.pep), head.principal, Some(head.resource), Some(head.reason)].into_iter().flatten()
}

fn put_number(number: u64, out: &mut Vec<u8>) {
    out.extend_from_slice(encode::u64(number, &mut encode::u64_buffer()));
}

/// Whether a batch with this filter over its names may hold a record that is wanted.
pub(super) fn may_hold(names: &[u8], filter: &RecordFilter) -> bool {
    let wanted = [
        (Kind::Principal, filter.principal.as_deref()),
        (Kind::Resource, filter.resource.as_deref()),
        (Kind::Pep, filter.pep.as_ref().map(|pep| pep.as_str())),
        (Kind::Reason, filter.reason.map(|reason| reason.as_str())),
    ];
    wanted
        .into_iter()
        .all(|(kind, name)| name.is_none_or(|name| names::may_hold(names, kind, name.as_bytes())))
}

/// The ids of a batch, in its order.
pub(super) fn ids(column: &[u8]) -> impl Iterator<Item = Uuid> {
    column.as_chunks().0.iter().copied().map(Uuid::from_bytes)
}

/// The packed records of a body.
pub(super) struct Opened {
    pub form: u8,
    pub packed: Vec<u8>,
}

impl Opened {
    pub(super) fn of(body: &[u8]) -> Result<Self, StoreError> {
        match body.split_first() {
            Some((&form @ (COLUMNS | PLACES), packed)) => {
                let packed = decompress_size_prepended(packed);
                Ok(Self { form, packed: packed.map_err(|error| corrupt(error.to_string()))? })
            }
            _ => Err(corrupt("its form is unknown")),
        }
    }

    /// The records, each with its id.
    pub(super) fn rows(&self, ids: &[u8]) -> impl Iterator<Item = Result<Row<'_>, StoreError>> {
        let mut rest = Rest::of(self);
        self::ids(ids).map(move |id| {
            let row = rest.as_mut().and_then(|rest| rest.row(id));
            row.ok_or_else(|| corrupt("it ends too early"))
        })
    }
}

fn corrupt(why: impl Into<String>) -> StoreError {
    StoreError::Corrupt { what: "a batch of audit records", why: why.into() }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::model::{DecisionId, Reason, Timestamp};

    /// A record of which this is the content, and behind it the texts that it is found by.
    fn record(seconds: i64, principal: Option<&str>, content: &[u8]) -> (RecordHead, Vec<u8>) {
        let mut bytes = content.to_vec();
        let mut text = |text: &str| {
            let place = Place {
                offset: u32::try_from(bytes.len()).unwrap(),
                length: u32::try_from(text.len()).unwrap(),
            };
            bytes.extend_from_slice(text.as_bytes());
            place
        };
        let even = seconds % 2 == 0;
        let head = RecordHead {
            id: DecisionId::generate(),
            at: Timestamp::from_seconds(seconds),
            effect: if even { Effect::Allow } else { Effect::Deny },
            enforced: true,
            principal: principal.map(&mut text),
            pep: text("edge"),
            resource: text("orders/GET /orders/{id}"),
            reason: text(if even { Reason::Allowed } else { Reason::NoMatchingPermit }.as_str()),
        };
        (head, bytes)
    }

    /// As [`record`], with its id behind one byte, as `audit` writes it.
    fn usual(seconds: i64, principal: Option<&str>) -> (RecordHead, Vec<u8>) {
        let (head, mut bytes) = record(seconds, principal, &[7; 30]);
        bytes[1..17].copy_from_slice(head.id.uuid().as_bytes());
        (head, bytes)
    }

    fn pack<'a>(packer: &'a mut Packer, records: &[(RecordHead, Vec<u8>)]) -> Batch<'a> {
        let lent: Vec<_> = records.iter().map(|(head, bytes)| StoredRecord { head, bytes }).collect();
        packer.pack(&lent.iter().collect::<Vec<_>>()).unwrap().unwrap()
    }

    /// Whether they can be read from a batch as they were put into it.
    fn come_back(batch: &Batch<'_>, records: &[(RecordHead, Vec<u8>)]) -> bool {
        let opened = Opened::of(batch.body).unwrap();
        let rows: Vec<Row<'_>> = opened.rows(&batch.ids).map(Result::unwrap).collect();
        let same = |(row, (head, bytes)): (&Row<'_>, &(RecordHead, Vec<u8>))| {
            let principal = head.principal.map(|place| String::from_utf8_lossy(place.of(bytes)).into_owned());
            let wanted = RecordFilter {
                principal,
                resource: Some("orders/GET /orders/{id}".to_owned()),
                pep: Some("edge".parse().unwrap()),
                effect: Some(head.effect),
                reason: Some(Reason::parse(str::from_utf8(head.reason.of(bytes)).unwrap()).unwrap()),
                ..RecordFilter::default()
            };
            let others = [
                RecordFilter { principal: Some("User::dev/bob".to_owned()), ..wanted.clone() },
                RecordFilter { resource: Some("orders".to_owned()), ..wanted.clone() },
                RecordFilter { pep: Some("mesh".parse().unwrap()), ..wanted.clone() },
                RecordFilter { reason: Some(Reason::Internal), ..wanted.clone() },
            ];
            (row.id, row.at, &row.bytes()) == (head.id.uuid(), head.at.micros(), bytes)
                && row.fits(&wanted)
                && !others.iter().any(|other| row.fits(other))
        };
        rows.len() == records.len() && rows.iter().zip(records).all(same)
    }

    #[test]
    fn records_come_back_in_their_order() {
        let mut packer = Packer::default();
        pack(&mut packer, &[usual(400, Some("of another batch"))]);
        let records = [usual(300, Some("User::dev/alice")), usual(1, None), usual(0, Some(""))];
        let batch = pack(&mut packer, &records);
        assert_eq!((batch.first_at, batch.last_at), (0, 300_000_000));
        assert_eq!((batch.records, batch.denials), (3, 1));
        assert!(batch.first_id < batch.last_id);
        assert!(come_back(&batch, &records));
    }

    #[test]
    fn the_id_of_a_record_is_kept_once() {
        let mut packer = Packer::default();
        let records = [usual(1, Some("User::dev/alice"))];
        let once = pack(&mut packer, &records).body.len();
        let id = records[0].0.id.uuid();
        assert!(
            !Opened::of(pack(&mut packer, &records).body)
                .unwrap()
                .packed
                .windows(16)
                .any(|part| part == id.as_bytes())
        );
        let mut records = records;
        records[0].1[1] ^= 1;
        assert!(come_back(&pack(&mut packer, &records), &records));
        assert!(pack(&mut packer, &records).body.len() >= once + 16);
    }

    proptest! {
        #[test]
        fn whatever_the_bytes_are_they_come_back(
            contents in proptest::collection::vec((any::<u32>(), any::<bool>(), proptest::collection::vec(any::<u8>(), 0..40)), 1..9),
        ) {
            let mut packer = Packer::default();
            let records: Vec<_> = contents
                .iter()
                .map(|(seconds, named, content)| record((*seconds).into(), named.then_some("User::dev/alice"), content))
                .collect();
            prop_assert!(come_back(&pack(&mut packer, &records), &records));
        }
    }

    /// A batch as it was written before the texts that records are found by were shown in their bytes.
    fn with_columns(records: &[(RecordHead, Vec<u8>)]) -> Vec<u8> {
        let mut packed = Vec::new();
        for (head, bytes) in records {
            let principal = head.principal.map(|place| place.of(bytes));
            packed.extend_from_slice(&head.at.micros().to_be_bytes());
            packed.push(u8::from(head.effect == Effect::Allow) | u8::from(principal.is_some()) << 1);
            let [pep, resource, reason] = [head.pep, head.resource, head.reason].map(|place| place.of(bytes));
            for piece in [pep, principal.unwrap_or_default(), resource, reason, bytes] {
                packed.extend_from_slice(&u32::try_from(piece.len()).unwrap().to_be_bytes());
                packed.extend_from_slice(piece);
            }
        }
        [&[COLUMNS], lz4_flex::block::compress_prepend_size(&packed).as_slice()].concat()
    }

    #[test]
    fn batches_with_columns_are_still_read() {
        let records = [usual(300, Some("User::dev/alice")), record(1, None, b"any"), usual(0, Some(""))];
        let body = with_columns(&records);
        let batch = Batch { body: &body, ..pack(&mut Packer::default(), &records) };
        assert!(come_back(&batch, &records));
    }

    #[test]
    fn only_records_beyond_the_ordinary_take_memory_that_is_not_kept() {
        let mut packer = Packer::default();
        pack(&mut packer, &vec![record(0, Some("User::dev/alice"), &[7; 1_000]); 512]);
        assert!(!packer.is_outsized());
        pack(&mut packer, &vec![record(0, None, &[7; 48_000]); 512]);
        assert!(packer.is_outsized());
    }

    #[test]
    fn nothing_makes_no_batch() {
        assert!(Packer::default().pack(&[]).unwrap().is_none());
    }

    #[test]
    fn a_body_that_is_none_is_an_error_and_no_panic() {
        let records = [usual(2, Some("User::dev/alice")), record(3, None, b"any")];
        let mut packer = Packer::default();
        let batch = pack(&mut packer, &records);
        for body in [&[][..], &[9, 1, 2], &[COLUMNS, 255, 255, 255, 255], &[PLACES, 255, 255, 255, 255]] {
            assert!(Opened::of(body).is_err());
        }
        for body in [batch.body, &with_columns(&records)] {
            let mut opened = Opened::of(body).unwrap();
            while opened.packed.pop().is_some() {
                let rows: Vec<_> = opened.rows(&batch.ids).map(|row| row.map(|row| row.bytes())).collect();
                assert!(rows.iter().any(Result::is_err), "{}", opened.packed.len());
            }
        }
    }
}
