//! Counters that every decision adds to, without one thread waiting for another's.
//!
//! A counter that all threads share moves from core to core at each decision. This one is kept in stripes, each in a cache
//! line of its own, and a thread stays with its stripe; only who asks for the sum looks at all of them.

use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};

/// A power of two. With more threads than that, some share a stripe: slower, and no less exact.
const STRIPES: usize = 16;

#[derive(Debug, Default)]
#[repr(align(128))]
struct Stripe {
    hits: AtomicU64,
    misses: AtomicU64,
}

/// How often something was found, and how often not.
#[derive(Debug, Default)]
pub(super) struct Tally {
    stripes: [Stripe; STRIPES],
}

impl Tally {
    pub(super) fn hit(&self) {
        self.own().hits.fetch_add(1, Ordering::Relaxed);
    }

    pub(super) fn miss(&self) {
        self.own().misses.fetch_add(1, Ordering::Relaxed);
    }

    /// Hits and misses of all threads.
    pub(super) fn sum(&self) -> (u64, u64) {
        let of = |(hits, misses): (u64, u64), stripe: &Stripe| {
            let read = |count: &AtomicU64| count.load(Ordering::Relaxed);
            (hits + read(&stripe.hits), misses + read(&stripe.misses))
        };
        self.stripes.iter().fold((0, 0), of)
    }

    fn own(&self) -> &Stripe {
        let [first, ..] = &self.stripes;
        self.stripes.get(stripe_of_thread() % STRIPES).unwrap_or(first)
    }
}

/// The threads are dealt out one after the other.
fn stripe_of_thread() -> usize {
    static NEXT: AtomicUsize = AtomicUsize::new(0);
    thread_local! {
        static OWN: usize = NEXT.fetch_add(1, Ordering::Relaxed);
    }
    OWN.with(|own| *own)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_is_lost_between_threads() {
        let tally = Tally::default();
        std::thread::scope(|scope| {
            for _ in 0..STRIPES * 2 {
                scope.spawn(|| {
                    (0..100).for_each(|_| tally.hit());
                    (0..10).for_each(|_| tally.miss());
                });
            }
        });
        assert_eq!(tally.sum(), (3_200, 320));
    }
}
