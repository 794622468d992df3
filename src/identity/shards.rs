//! A map that every decision reads and one follower writes, in parts that are replaced whole.
//!
//! A change copies the part that it falls into and nothing else, so that a million entries can change one by one; a
//! reader takes no lock and, while the map is empty, does not even hash.

use std::borrow::Borrow;
use std::collections::HashMap;
use std::hash::{BuildHasher, Hash, RandomState};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use arc_swap::ArcSwap;

const SHARDS: usize = 64;

type Shard<K, V> = ArcSwap<HashMap<K, V>>;

#[derive(Debug)]
pub(super) struct Shards<K, V> {
    shards: Vec<Shard<K, V>>,
    hasher: RandomState,
    /// Never below the truth, so that zero means empty.
    count: AtomicUsize,
    /// One writer at a time.
    writing: Mutex<()>,
}

impl<K: Hash + Eq + Clone, V: Clone> Shards<K, V> {
    pub(super) fn new() -> Self {
        let shards = std::iter::repeat_with(ArcSwap::default).take(SHARDS).collect();
        Self { shards, hasher: RandomState::new(), count: AtomicUsize::new(0), writing: Mutex::default() }
    }

    pub(super) fn get<Q: Hash + Eq + ?Sized>(&self, key: &Q) -> Option<V>
    where
        K: Borrow<Q>,
    {
        if self.len() == 0 {
            return None;
        }
        self.shard(key)?.load().get(key).cloned()
    }

    pub(super) fn len(&self) -> usize {
        self.count.load(Ordering::Acquire)
    }

    /// Puts in what `change` makes of the value that is there; `None` takes it out.
    pub(super) fn update(&self, key: K, change: impl FnOnce(Option<&V>) -> Option<V>) {
        let _alone = self.writing.lock().unwrap_or_else(PoisonError::into_inner);
        let Some(shard) = self.shard(&key) else { return };
        let mut map = HashMap::clone(&shard.load());
        let before = map.len();
        match change(map.get(&key)) {
            Some(value) => drop(map.insert(key, value)),
            None => drop(map.remove(&key)),
        }
        self.replace(shard, before, map);
    }

    /// Puts these in the place of all.
    pub(super) fn replace_all(&self, items: impl IntoIterator<Item = (K, V)>) {
        let _alone = self.writing.lock().unwrap_or_else(PoisonError::into_inner);
        let mut parts: Vec<HashMap<K, V>> = std::iter::repeat_with(HashMap::new).take(SHARDS).collect();
        for (key, value) in items {
            if let Some(part) = parts.get_mut(self.place(&key)) {
                part.insert(key, value);
            }
        }
        for (shard, part) in self.shards.iter().zip(parts) {
            let before = shard.load().len();
            self.replace(shard, before, part);
        }
    }

    /// Changes the values that are `stale`; `None` takes one out.
    pub(super) fn refresh(&self, stale: impl Fn(&V) -> bool, change: impl Fn(&V) -> Option<V>) {
        let _alone = self.writing.lock().unwrap_or_else(PoisonError::into_inner);
        for shard in &self.shards {
            let old = shard.load_full();
            if !old.values().any(&stale) {
                continue;
            }
            let fresh = |value: &V| if stale(value) { change(value) } else { Some(value.clone()) };
            let kept = old.iter().filter_map(|(key, value)| Some((key.clone(), fresh(value)?)));
            self.replace(shard, old.len(), kept.collect());
        }
    }

    // INVARIANT: the count is raised before and lowered after, so that no reader takes a map for empty that is not.
    fn replace(&self, shard: &Shard<K, V>, before: usize, map: HashMap<K, V>) {
        let after = map.len();
        self.count.fetch_add(after, Ordering::AcqRel);
        shard.store(Arc::new(map));
        self.count.fetch_sub(before, Ordering::AcqRel);
    }

    fn shard<Q: Hash + ?Sized>(&self, key: &Q) -> Option<&Shard<K, V>> {
        self.shards.get(self.place(key))
    }

    fn place<Q: Hash + ?Sized>(&self, key: &Q) -> usize {
        usize::try_from(self.hasher.hash_one(key) % SHARDS as u64).unwrap_or_default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn entries_come_change_and_go() {
        let shards: Shards<String, u32> = Shards::new();
        assert_eq!((shards.get("a"), shards.len()), (None, 0));
        for n in 0..1_000_u32 {
            shards.update(n.to_string(), |_| Some(n));
        }
        shards.update("7".to_owned(), |found| found.map(|n| n * 10));
        shards.update("8".to_owned(), |_| None);
        assert_eq!((shards.get("7"), shards.get("8"), shards.len()), (Some(70), None, 999));
        shards.refresh(|n| n % 2 == 1, |_| None);
        assert_eq!((shards.get("10"), shards.get("11"), shards.len()), (Some(10), None, 500));
        shards.replace_all([("x".to_owned(), 1)]);
        assert_eq!((shards.get("x"), shards.get("10"), shards.len()), (Some(1), None, 1));
    }
}
