//! One record of a batch, as it is read again.

use unsigned_varint::decode;
use uuid::Uuid;

use super::batch::{ALLOWED, BEFORE_ID, COLUMNS, HAS_PRINCIPAL, Opened, WITHOUT_ID};
use crate::model::{Effect, RecordFilter};
use crate::store::Place;

/// One record of a batch.
pub(super) struct Row<'a> {
    pub id: Uuid,
    pub at: i64,
    allowed: bool,
    names: Names<'a>,
    bytes: &'a [u8],
    without_id: bool,
}

/// What lists are filtered by.
struct Names<'a> {
    pep: &'a [u8],
    principal: Option<&'a [u8]>,
    resource: &'a [u8],
    reason: &'a [u8],
}

impl Row<'_> {
    /// Whether the record is wanted.
    pub fn fits(&self, filter: &RecordFilter) -> bool {
        let effect = if self.allowed { Effect::Allow } else { Effect::Deny };
        let Names { pep, principal, resource, reason } = self.names;
        filter.principal.as_deref().is_none_or(|wanted| principal == Some(wanted.as_bytes()))
            && filter.resource.as_deref().is_none_or(|wanted| resource == wanted.as_bytes())
            && filter.pep.as_ref().is_none_or(|wanted| pep == wanted.as_str().as_bytes())
            && filter.reason.is_none_or(|wanted| reason == wanted.as_str().as_bytes())
            && filter.effect.is_none_or(|wanted| effect == wanted)
            && filter.from.is_none_or(|from| self.at >= from.micros())
            && filter.until.is_none_or(|until| self.at < until.micros())
    }

    /// The canonical bytes.
    pub fn bytes(&self) -> Vec<u8> {
        match self.bytes.split_at_checked(BEFORE_ID) {
            Some((before, after)) if self.without_id => [before, self.id.as_bytes(), after].concat(),
            _ => self.bytes.to_vec(),
        }
    }
}

/// What is not read yet. `None` means that it ends too early.
pub(super) struct Rest<'a> {
    rest: &'a [u8],
    /// What the times of records count from; `None` where they stand whole, before columns.
    first_at: Option<i64>,
}

impl<'a> Rest<'a> {
    pub fn of(opened: &'a Opened) -> Option<Self> {
        let mut rest = Self { rest: &opened.packed, first_at: None };
        if opened.form != COLUMNS {
            rest.first_at = Some(rest.time()?);
        }
        Some(rest)
    }

    pub fn row(&mut self, id: Uuid) -> Option<Row<'a>> {
        match self.first_at {
            None => self.row_with_columns(id),
            Some(first_at) => self.row_with_places(id, first_at),
        }
    }

    fn row_with_columns(&mut self, id: Uuid) -> Option<Row<'a>> {
        let at = self.time()?;
        let [flags] = self.array()?;
        let [pep, principal, resource, reason] = [self.piece()?, self.piece()?, self.piece()?, self.piece()?];
        let principal = (flags & HAS_PRINCIPAL != 0).then_some(principal);
        let names = Names { pep, principal, resource, reason };
        let allowed = flags & ALLOWED != 0;
        Some(Row { id, at, allowed, names, bytes: self.piece()?, without_id: false })
    }

    fn row_with_places(&mut self, id: Uuid, first_at: i64) -> Option<Row<'a>> {
        let [flags] = self.array()?;
        let at = first_at.wrapping_add(self.number()?.cast_signed());
        let pep = self.place()?;
        let principal = if flags & HAS_PRINCIPAL == 0 { None } else { Some(self.place()?) };
        let (resource, reason) = (self.place()?, self.place()?);
        let length = usize::try_from(self.number()?).ok()?;
        let bytes = self.take(length)?;
        let names = Names {
            pep: pep.of(bytes),
            principal: principal.map(|place| place.of(bytes)),
            resource: resource.of(bytes),
            reason: reason.of(bytes),
        };
        let [allowed, without_id] = [ALLOWED, WITHOUT_ID].map(|flag| flags & flag != 0);
        Some(Row { id, at, allowed, names, bytes, without_id })
    }

    fn take(&mut self, length: usize) -> Option<&'a [u8]> {
        let (taken, rest) = self.rest.split_at_checked(length)?;
        self.rest = rest;
        Some(taken)
    }

    fn array<const N: usize>(&mut self) -> Option<[u8; N]> {
        self.take(N)?.try_into().ok()
    }

    fn time(&mut self) -> Option<i64> {
        self.array().map(i64::from_be_bytes)
    }

    /// With its length before it in four bytes.
    fn piece(&mut self) -> Option<&'a [u8]> {
        let length = u32::from_be_bytes(self.array()?);
        self.take(usize::try_from(length).ok()?)
    }

    fn number(&mut self) -> Option<u64> {
        let (number, rest) = decode::u64(self.rest).ok()?;
        self.rest = rest;
        Some(number)
    }

    fn place(&mut self) -> Option<Place> {
        let [offset, length] = [self.number()?, self.number()?];
        Some(Place { offset: offset.try_into().ok()?, length: length.try_into().ok()? })
    }
}
