//! So many records may wait to be stored; each takes a place before its decision is made, so that it cannot turn out
//! afterwards that there is none.

use std::sync::atomic::{AtomicUsize, Ordering};

/// Places for records.
#[derive(Debug)]
pub(super) struct Places {
    taken: AtomicUsize,
    /// None, once it is closed.
    most: AtomicUsize,
}

impl Places {
    pub(super) const fn new(most: usize) -> Self {
        Self { taken: AtomicUsize::new(0), most: AtomicUsize::new(most) }
    }

    /// Whether there was a place, which is taken now.
    // INVARIANT: taken first and asked about later, so that after `close` nobody takes one unseen by `are_all_free`.
    pub(super) fn take(&self) -> bool {
        let before = self.taken.fetch_add(1, Ordering::SeqCst);
        let is_there = before < self.most.load(Ordering::SeqCst);
        if !is_there {
            self.give_back(1);
        }
        is_there
    }

    pub(super) fn give_back(&self, places: usize) {
        self.taken.fetch_sub(places, Ordering::SeqCst);
    }

    /// From now on no more are given.
    pub(super) fn close(&self) {
        self.most.store(0, Ordering::SeqCst);
    }

    pub(super) fn is_closed(&self) -> bool {
        self.most.load(Ordering::SeqCst) == 0
    }

    pub(super) fn are_all_free(&self) -> bool {
        self.taken.load(Ordering::SeqCst) == 0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn there_are_so_many_until_they_are_closed() {
        let places = Places::new(2);
        assert_eq!([places.take(), places.take(), places.take()], [true, true, false]);
        places.give_back(1);
        assert!(places.take() && !places.take());
        places.give_back(2);
        assert!(places.are_all_free() && !places.is_closed());
        places.close();
        assert!(places.is_closed() && !places.take() && places.are_all_free());
    }

    #[test]
    fn threads_take_no_more_than_there_are() {
        let places = Places::new(100);
        let took = || (0..50).filter(|_| places.take()).count();
        let taken: usize = std::thread::scope(|scope| {
            let threads: Vec<_> = (0..8).map(|_| scope.spawn(took)).collect();
            threads.into_iter().map(|thread| thread.join().unwrap()).sum()
        });
        assert!(taken <= 100 && !places.are_all_free());
        places.give_back(taken);
        assert!(places.are_all_free());
    }
}
