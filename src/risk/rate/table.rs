//! The counted subjects: a table of fixed size in which each key has one set of eight places.
//!
//! Counting a known subject takes no lock. A newcomer takes the lock of its set alone, and the place of the member
//! that was counted least recently. Sets come into being with their first subject, so a quiet server stays small.
//!
//! A busy server has more subjects than its caches hold, so a lookup waits for memory, once more for each place that only
//! another one tells. So the keys of all sets lie where the hash alone tells. The system gives them memory when they are
//! written.

use std::array;
use std::num::NonZeroU64;
use std::sync::atomic::{AtomicU64, Ordering, fence};
use std::sync::{Mutex, OnceLock, PoisonError};

use bytemuck::allocation::zeroed_slice_box;

use super::window::{Moment, Windows};
use crate::model::Rate;

/// Places in a set: their keys fill one cache line.
const WAYS: usize = 8;

/// Zero: the place is free, or changing hands.
type Keys = [AtomicU64; WAYS];

/// Rates by key.
#[derive(Debug)]
pub(super) struct Table {
    /// Of each set.
    keys: Box<[Keys]>,
    members: Box<[OnceLock<Box<Members>>]>,
}

/// What a set holds beside its keys.
#[derive(Debug)]
struct Members {
    windows: [Windows; WAYS],
    /// Held while a newcomer is given a place, so that no key can have two.
    newcomers: Mutex<()>,
}

/// The places that a key can have.
#[derive(Clone, Copy)]
struct Set<'a> {
    keys: &'a Keys,
    members: &'a Members,
}

/// The place of a key, and the calls in its windows but for their latest slices.
pub(super) struct Found<'a> {
    place: &'a AtomicU64,
    windows: &'a Windows,
    before: Rate,
}

impl<'a> Found<'a> {
    fn new((place, windows): (&'a AtomicU64, &'a Windows), moment: &Moment) -> Self {
        Self { place, windows, before: windows.before(moment) }
    }
}

impl Table {
    /// With room for so many subjects, or a few more.
    pub(super) fn new(subjects: usize) -> Self {
        let sets = subjects.div_ceil(WAYS).max(1);
        Self { keys: zeroed_slice_box(sets), members: (0..sets).map(|_| OnceLock::new()).collect() }
    }

    /// Looks up a key, so that calls under several keys can be looked up before any of them is counted.
    pub(super) fn find(&self, key: NonZeroU64, moment: &Moment) -> Option<Found<'_>> {
        self.set_of(key)?.find(key).map(|place| Found::new(place, moment))
    }

    /// Counts one call under this key and tells how many there were, this one included. `found` is what was looked up.
    pub(super) fn count(&self, key: NonZeroU64, moment: &Moment, found: Option<Found<'_>>) -> Rate {
        let Some(set) = self.set_of(key) else { return Rate::default() };
        let mut found = found;
        loop {
            let place = || set.find(key).or_else(|| set.admit(key, moment));
            let Some(Found { place, windows, before }) =
                found.take().or_else(|| place().map(|place| Found::new(place, moment)))
            else {
                return Rate::default();
            };
            let rate = windows.count(moment, before);
            // The place may have changed hands in between, and then the numbers are somebody else's. The newcomer may be
            // left with one call too many; this one is counted again, so that none is missing.
            fence(Ordering::Acquire);
            if place.load(Ordering::Relaxed) == key.get() {
                return rate;
            }
        }
    }

    /// The high bits of the key choose the set; there is at least one, and the product stays below their number.
    fn set_of(&self, key: NonZeroU64) -> Option<Set<'_>> {
        let chosen = (u128::from(key.get()) * self.keys.len() as u128) >> 64;
        let chosen = usize::try_from(chosen).ok()?;
        let (keys, members) = (self.keys.get(chosen)?, self.members.get(chosen)?);
        Some(Set { keys, members: members.get_or_init(|| Box::new(Members::new())) })
    }
}

impl Members {
    fn new() -> Self {
        Self { windows: array::from_fn(|_| Windows::new()), newcomers: Mutex::new(()) }
    }
}

impl<'a> Set<'a> {
    fn places(self) -> impl Iterator<Item = (&'a AtomicU64, &'a Windows)> {
        self.keys.iter().zip(&self.members.windows)
    }

    fn find(self, key: NonZeroU64) -> Option<(&'a AtomicU64, &'a Windows)> {
        self.places().find(|(place, _)| place.load(Ordering::Acquire) == key.get())
    }

    /// Gives a newcomer a free place, or that of the member counted least recently.
    fn admit(self, key: NonZeroU64, moment: &Moment) -> Option<(&'a AtomicU64, &'a Windows)> {
        // The lock guards no data that a panic could leave half changed.
        let _alone = self.members.newcomers.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(found) = self.find(key) {
            return Some(found);
        }
        let last_counted = |(place, windows): &(&AtomicU64, &Windows)| {
            let free = place.load(Ordering::Relaxed) == 0;
            if free { i64::MIN } else { windows.last_counted(moment) }
        };
        let (place, windows) = self.places().min_by_key(last_counted)?;
        // The order matters: who finds the new key must find empty windows.
        place.store(0, Ordering::Relaxed);
        windows.clear(moment);
        place.store(key.get(), Ordering::Release);
        Some((place, windows))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_subject_takes_the_stated_memory() {
        assert_eq!(size_of::<Members>() + size_of::<Keys>(), WAYS * 272);
    }

    #[test]
    fn every_key_has_a_set() {
        for subjects in [1, 8, 9, 1_000] {
            let table = Table::new(subjects);
            for key in [1, u64::MAX / 2, u64::MAX] {
                assert!(table.set_of(NonZeroU64::new(key).unwrap()).is_some(), "{subjects} {key}");
            }
        }
        assert_eq!([Table::new(0).keys.len(), Table::new(9).keys.len()], [1, 2]);
    }
}
