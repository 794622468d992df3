//! Proofs that were used, so that none is used twice (RFC 9449 section 11.1).
//!
//! Bounded, and exact within its bound: a proof is remembered until it would be refused for its age, whatever the
//! clock does meanwhile. When there is no room the answer is a refusal; to forget would be to let a replay through. No
//! single key may take all the room, so that one client cannot have all others refused.
//! Each process has a store of its own: what another replica saw is not known here.

use std::cmp::Reverse;
use std::collections::hash_map::Entry;
use std::collections::{BinaryHeap, HashMap, HashSet};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};

use sha2::{Digest, Sha256};

use crate::model::Timestamp;

/// So many locks that two calls at once seldom want the same one.
const SHARDS: usize = 64;

/// Half a SHA-256: two that are alike, by accident or by attack, refuse a proof and let none in.
type Half = [u8; 16];

/// Names a proof: its key and its `jti`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
struct Name {
    key: Half,
    id: Half,
}

/// What became of a proof.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Use {
    First,
    /// It was used before, or may have been.
    Again,
    /// Too many proofs are remembered.
    NoRoom,
}

#[derive(Debug)]
pub(super) struct Replay {
    shards: Vec<Mutex<Shard>>,
    /// In all shards.
    remembered: AtomicUsize,
    most: usize,
    most_of_key: usize,
}

#[derive(Debug, Default)]
struct Shard {
    /// By key, so that a key's proofs can be counted.
    used: HashMap<Half, HashSet<Half>>,
    /// The earliest first.
    ends: BinaryHeap<Reverse<(Timestamp, Name)>>,
    /// Proofs that end by then may be forgotten already.
    forgotten: Option<Timestamp>,
}

impl Replay {
    pub(super) fn new(most: usize, most_of_key: usize) -> Self {
        let shards = std::iter::repeat_with(Mutex::default).take(SHARDS).collect();
        Self { shards, remembered: AtomicUsize::new(0), most, most_of_key }
    }

    /// Uses a proof of the key with this thumbprint; from `ends` on it is too old to be looked at.
    pub(super) fn take(&self, jkt: &[u8; 32], jti: &str, ends: Timestamp, now: Timestamp) -> Use {
        let name = Name { key: half(jkt), id: half(Sha256::digest(jti)) };
        let Some(shard) = self.shards.get(usize::from(name.key[0]) % SHARDS) else { return Use::NoRoom };
        if self.is_full() {
            self.shards.iter().for_each(|shard| self.forget(&mut lock(shard), now));
        }
        let mut shard = lock(shard);
        self.forget(&mut shard, now);
        let of_key = shard.used.get(&name.key);
        let known = of_key.is_some_and(|ids| ids.contains(&name.id));
        if known || shard.forgotten.is_some_and(|until| ends <= until) {
            return Use::Again;
        }
        if of_key.is_some_and(|ids| ids.len() >= self.most_of_key) {
            return Use::NoRoom;
        }
        // Counted before it is put in, so that many threads at once do not pass the bound together.
        if self.remembered.fetch_add(1, Ordering::AcqRel) >= self.most {
            self.remembered.fetch_sub(1, Ordering::AcqRel);
            return Use::NoRoom;
        }
        shard.used.entry(name.key).or_default().insert(name.id);
        shard.ends.push(Reverse((ends, name)));
        Use::First
    }

    fn is_full(&self) -> bool {
        self.remembered.load(Ordering::Acquire) >= self.most
    }

    /// Forgets what has ended.
    fn forget(&self, shard: &mut Shard, now: Timestamp) {
        while let Some(Reverse((ends, name))) = shard.ends.peek().copied() {
            if ends > now {
                return;
            }
            shard.ends.pop();
            shard.remove(&name);
            shard.forgotten = shard.forgotten.max(Some(ends));
            self.remembered.fetch_sub(1, Ordering::AcqRel);
        }
    }

    /// How many proofs are remembered.
    pub(super) fn len(&self) -> usize {
        self.remembered.load(Ordering::Acquire)
    }
}

impl Shard {
    fn remove(&mut self, name: &Name) {
        let Entry::Occupied(mut of_key) = self.used.entry(name.key) else { return };
        of_key.get_mut().remove(&name.id);
        if of_key.get().is_empty() {
            of_key.remove();
        }
    }
}

/// Nothing in here panics while it holds the lock; if something did, the set is still a set.
fn lock(shard: &Mutex<Shard>) -> MutexGuard<'_, Shard> {
    shard.lock().unwrap_or_else(PoisonError::into_inner)
}

fn half(digest: impl AsRef<[u8]>) -> Half {
    digest.as_ref().first_chunk().copied().unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use std::collections::HashMap;
    use std::sync::Arc;

    use proptest::prelude::*;

    use super::*;

    const KEY: [u8; 32] = [7; 32];

    fn at(seconds: i64) -> Timestamp {
        Timestamp::from_seconds(seconds)
    }

    #[test]
    fn a_proof_is_used_once_and_its_name_is_free_again_when_it_has_ended() {
        let replay = Replay::new(10, 10);
        assert_eq!(replay.take(&KEY, "a", at(60), at(0)), Use::First);
        assert_eq!(replay.take(&KEY, "a", at(60), at(59)), Use::Again);
        assert_eq!(replay.take(&[8; 32], "a", at(60), at(59)), Use::First);
        assert_eq!(replay.take(&KEY, "a", at(130), at(70)), Use::First);
    }

    #[test]
    fn a_full_store_refuses_and_recovers() {
        let replay = Replay::new(3, 3);
        for jti in ["a", "b", "c"] {
            assert_eq!(replay.take(&KEY, jti, at(60), at(0)), Use::First);
        }
        assert_eq!(replay.take(&KEY, "d", at(60), at(59)), Use::NoRoom);
        assert_eq!(replay.take(&KEY, "a", at(60), at(59)), Use::Again, "it is still known");
        assert_eq!((replay.take(&KEY, "d", at(120), at(60)), replay.len()), (Use::First, 1));
    }

    #[test]
    fn one_key_does_not_take_all_the_room() {
        let replay = Replay::new(10, 2);
        for (jti, wanted) in [("a", Use::First), ("b", Use::First), ("c", Use::NoRoom), ("a", Use::Again)] {
            assert_eq!(replay.take(&KEY, jti, at(60), at(0)), wanted, "{jti}");
        }
        assert_eq!(replay.take(&[8; 32], "c", at(60), at(0)), Use::First);
        assert_eq!(replay.take(&KEY, "c", at(120), at(60)), Use::First);
    }

    #[test]
    fn a_clock_that_is_set_back_brings_no_proof_back() {
        let replay = Replay::new(10, 10);
        assert_eq!(replay.take(&KEY, "a", at(60), at(0)), Use::First);
        replay.take(&KEY, "b", at(90), at(80));
        assert_eq!(replay.take(&KEY, "a", at(60), at(10)), Use::Again);
    }

    #[test]
    fn of_many_at_once_one_is_first() {
        let replay = Arc::new(Replay::new(1_000, 1_000));
        let threads: Vec<_> = (0..8)
            .map(|_| {
                let replay = Arc::clone(&replay);
                std::thread::spawn(move || {
                    (0..100)
                        .filter(|n| replay.take(&KEY, &n.to_string(), at(60), at(0)) == Use::First)
                        .count()
                })
            })
            .collect();
        let firsts: usize = threads.into_iter().map(|thread| thread.join().unwrap()).sum();
        assert_eq!((firsts, replay.len()), (100, 100));
    }

    proptest! {
        /// Beside a model that never forgets: nothing is first twice while it counts, and a refusal has its cause.
        #[test]
        fn it_is_exact(
            most in 1usize..20,
            most_of_key in 1usize..8,
            steps in proptest::collection::vec((0u8..3, 0u8..12, 0i64..8, 1i64..20), 1..120),
        ) {
            let replay = Replay::new(most, most_of_key);
            let mut used: HashMap<(u8, u8), Timestamp> = HashMap::new();
            let mut now = 0;
            for (key, jti, later, life) in steps {
                now += later;
                let ends = at(now + life);
                let live = used.values().filter(|ends| **ends > at(now)).count();
                let again = used.get(&(key, jti)).is_some_and(|ends| *ends > at(now));
                let found = replay.take(&[key; 32], &jti.to_string(), ends, at(now));
                let of_key = used.iter().filter(|((of, _), ends)| *of == key && **ends > at(now)).count();
                let full = live >= most || of_key >= most_of_key;
                let wanted = if again { Use::Again } else if full { Use::NoRoom } else { Use::First };
                prop_assert_eq!(found, wanted);
                if found == Use::First {
                    used.insert((key, jti), ends);
                }
                prop_assert!(replay.len() <= most);
            }
        }
    }
}
