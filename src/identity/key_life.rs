//! Until when what was verified counts, where that can change: shared by a key and the tokens verified with it.
//!
//! A cached token asks it at each use. So a key that is taken back takes its tokens with it at once, a set that grows old
//! without news ends them, and one that was fetched again as it was costs none of them anything.

use std::sync::atomic::{AtomicI64, Ordering};

use crate::model::Timestamp;

#[derive(Debug)]
pub(super) struct KeyLife(AtomicI64);

impl KeyLife {
    pub(super) const fn until(end: Timestamp) -> Self {
        Self(AtomicI64::new(end.micros()))
    }

    pub(super) fn holds(&self, now: Timestamp) -> bool {
        now.micros() < self.0.load(Ordering::Acquire)
    }

    /// There is news of it. INVARIANT: never called after [`KeyLife::end`]; the only writer is the one who has the set.
    pub(super) fn set(&self, end: Timestamp) {
        self.0.store(end.micros(), Ordering::Release);
    }

    /// For good.
    pub(super) fn end(&self) {
        self.0.store(i64::MIN, Ordering::Release);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_holds_until_its_end() {
        let at = Timestamp::from_seconds;
        let life = KeyLife::until(at(10));
        assert_eq!([9, 10].map(|second| life.holds(at(second))), [true, false]);
        life.set(at(20));
        assert!(life.holds(at(19)));
        life.end();
        assert!(!life.holds(at(-1_000)));
    }
}
