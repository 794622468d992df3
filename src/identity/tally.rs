//! Counters that every decision adds to, without one thread waiting for another's.

use std::sync::atomic::{AtomicU64, Ordering};

use crate::model::Striped;

#[derive(Debug, Default)]
struct Counts {
    hits: AtomicU64,
    misses: AtomicU64,
}

/// How often something was found, and how often not.
#[derive(Debug, Default)]
pub(super) struct Tally(Striped<Counts>);

impl Tally {
    pub(super) fn hit(&self) {
        self.0.own().hits.fetch_add(1, Ordering::Relaxed);
    }

    pub(super) fn miss(&self) {
        self.0.own().misses.fetch_add(1, Ordering::Relaxed);
    }

    /// Hits and misses of all threads.
    pub(super) fn sum(&self) -> (u64, u64) {
        let of = |(hits, misses): (u64, u64), counts: &Counts| {
            let read = |count: &AtomicU64| count.load(Ordering::Relaxed);
            (hits + read(&counts.hits), misses + read(&counts.misses))
        };
        self.0.all().fold((0, 0), of)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_is_lost_between_threads() {
        let tally = Tally::default();
        std::thread::scope(|scope| {
            for _ in 0..32 {
                scope.spawn(|| {
                    (0..100).for_each(|_| tally.hit());
                    (0..10).for_each(|_| tally.miss());
                });
            }
        });
        assert_eq!(tally.sum(), (3_200, 320));
    }
}
