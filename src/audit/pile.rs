//! Records that wait to be stored: their bytes one behind the other, in memory that is filled again when they are stored.
//!
//! A record on the heap by itself would be allocated by a thread that decides and freed by the one that stores, which
//! costs both of them more than to copy it.

use std::cell::Cell;
use std::mem;
use std::sync::{Mutex, MutexGuard, PoisonError};

use super::record::encode_to;
use crate::model::{Record, Striped};
use crate::store::{RecordHead, StoredRecord};

/// What a pile keeps of its memory when it is emptied, in bytes; after a time without the store it may have been far more.
const KEPT: usize = 8 << 20;

thread_local! {
    /// Where this thread writes records down before they are piled up.
    static SHEET: Cell<Vec<u8>> = const { Cell::new(Vec::new()) };
}

/// A record as it will be stored, on its way to a pile.
#[derive(Debug)]
pub struct Written {
    head: RecordHead,
    bytes: Vec<u8>,
}

impl Written {
    pub(super) fn down(record: &Record<'_>) -> Self {
        let mut bytes = SHEET.take();
        bytes.clear();
        Self { head: encode_to(record, &mut bytes), bytes }
    }
}

/// Records of one thread, or of a few, in the order in which they came.
#[derive(Debug, Default)]
pub(super) struct Pile {
    /// Each with the number of its bytes.
    heads: Vec<(RecordHead, usize)>,
    bytes: Vec<u8>,
}

impl Pile {
    fn push(&mut self, written: Written) {
        self.bytes.extend_from_slice(&written.bytes);
        self.heads.push((written.head, written.bytes.len()));
        SHEET.set(written.bytes);
    }

    pub(super) fn records(&self) -> impl Iterator<Item = StoredRecord<'_>> {
        let mut rest = self.bytes.as_slice();
        self.heads.iter().map(move |(head, length)| {
            let (bytes, behind) = rest.split_at_checked(*length).unwrap_or_default();
            rest = behind;
            StoredRecord { head, bytes }
        })
    }

    pub(super) fn clear(&mut self) {
        if self.bytes.capacity() > KEPT {
            *self = Self::default();
        }
        self.heads.clear();
        self.bytes.clear();
    }
}

/// The piles of all threads.
#[derive(Debug, Default)]
pub(super) struct Piles(Striped<Mutex<Pile>>);

impl Piles {
    /// Puts a record on the pile of this thread.
    pub(super) fn push(&self, written: Written) {
        lock(self.0.own()).push(written);
    }

    /// Takes all that is there. The threads go on with piles that were `emptied`, as far as there are any.
    pub(super) fn take(&self, emptied: &mut Vec<Pile>) -> Vec<Pile> {
        let mut take = |pile: &Mutex<Pile>| {
            let mut pile = lock(pile);
            let any = !pile.heads.is_empty();
            any.then(|| mem::replace(&mut *pile, emptied.pop().unwrap_or_default()))
        };
        self.0.all().filter_map(&mut take).collect()
    }
}

fn lock(pile: &Mutex<Pile>) -> MutexGuard<'_, Pile> {
    // Nothing that is done to a pile can panic halfway.
    pile.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::audit::record::encode;
    use crate::audit::record::tests::{records, sample};

    fn pile(records: &[Record<'_>]) -> Pile {
        let mut pile = Pile::default();
        records.iter().for_each(|record| pile.push(Written::down(record)));
        pile
    }

    proptest! {
        #[test]
        fn records_come_back_with_their_names_and_bytes(records in proptest::collection::vec(records(), 0..5)) {
            let pile = pile(&records);
            let stored: Vec<_> = pile.records().collect();
            prop_assert_eq!(stored.len(), records.len());
            for (stored, record) in stored.iter().zip(&records) {
                let StoredRecord { head, bytes } = stored;
                prop_assert_eq!(*bytes, encode(record));
                prop_assert_eq!((head.id, head.at), (record.id, record.at));
                prop_assert_eq!((head.effect, head.enforced), (record.effect, record.enforced));
                prop_assert_eq!(head.pep.of(bytes), record.pep.as_str().as_bytes());
                let principal = head.principal.map(|place| place.of(bytes));
                prop_assert_eq!(principal, record.principal.as_ref().map(|name| name.as_bytes()));
                prop_assert_eq!(head.resource.of(bytes), record.resource.as_bytes());
                prop_assert_eq!(head.reason.of(bytes), record.reason.as_str().as_bytes());
            }
        }
    }

    #[test]
    fn what_is_taken_is_gone_and_an_emptied_pile_is_filled_again() {
        let piles = Piles::default();
        let mut emptied = Vec::new();
        assert!(piles.take(&mut emptied).is_empty());
        (0..3).for_each(|_| piles.push(Written::down(&sample())));
        let mut taken = piles.take(&mut emptied);
        assert_eq!(taken.iter().flat_map(Pile::records).count(), 3);
        assert!(piles.take(&mut emptied).is_empty());
        taken.iter_mut().for_each(Pile::clear);
        emptied = taken;
        piles.push(Written::down(&sample()));
        assert_eq!(piles.take(&mut emptied).iter().flat_map(Pile::records).count(), 1);
        assert!(emptied.is_empty());
    }

    #[test]
    fn memory_beyond_what_is_kept_is_given_back() {
        let mut pile = Pile::default();
        pile.bytes.reserve(KEPT + 1);
        pile.clear();
        assert_eq!(pile.bytes.capacity(), 0);
        let mut pile = self::pile(&[sample()]);
        pile.clear();
        assert!(pile.bytes.capacity() > 0 && pile.records().next().is_none());
    }
}
