//! Verified tokens, so that the signature of one token is checked once and not at each of its calls.
//!
//! The key is a hash of the **whole** token ([`TokenHash`](super::token_hash::TokenHash)); a cache keyed by a part (the
//! signature, the `jti`) would answer for a token with another body. An entry is judged against `now` by the same [`Lifetime`] as a fresh token, and lives no longer
//! than the key that it was verified with.

use std::hash::{BuildHasherDefault, Hasher};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use moka::notification::RemovalCause;
use moka::sync::Cache;

use super::config::CacheConfig;
use super::jwt::Validity;
use super::key_life::KeyLife;
use super::lifetime::Lifetime;
use super::refusal::IdentityRefusal;
use super::tally::Tally;
use super::weight::weight;
use crate::model::{Principal, Timestamp};

/// Who a credential proved, and what of it was set aside.
#[derive(Clone, Debug)]
pub struct Authenticated {
    pub principal: Arc<Principal>,
    /// Roles, groups and tenants that the issuer asserted beyond its grant: a sentence each, for operators.
    pub dropped: Arc<[String]>,
}

impl Authenticated {
    pub(super) fn new(principal: Principal, dropped: Vec<String>) -> Self {
        Self { principal: Arc::new(principal), dropped: dropped.into() }
    }
}

/// What the cache holds, and what it has done since it was made.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct CacheStats {
    /// How many tokens are kept.
    pub tokens: u64,
    /// How much memory they take, in bytes, approximately.
    pub bytes: u64,
    /// How much they may take, in bytes.
    pub max_bytes: u64,
    /// Tokens that were presented and known: their signature was not checked again.
    pub hits: u64,
    /// Tokens that were presented and had to be verified, good or not.
    pub misses: u64,
    /// Tokens that were put out, or not let in, because there was no room.
    pub evictions: u64,
}

#[derive(Clone, Debug)]
struct Entry {
    known: Authenticated,
    lifetime: Lifetime,
    /// What it takes.
    bytes: u32,
    /// Of the key that it was verified with.
    life: Option<Arc<KeyLife>>,
}

/// What is counted when entries come and go.
#[derive(Debug, Default)]
struct Room {
    bytes: AtomicU64,
    evictions: AtomicU64,
}

/// The hash of a key is a part of it, for the key is a hash already.
#[derive(Debug, Default)]
struct OfHash(u64);

impl Hasher for OfHash {
    fn write(&mut self, bytes: &[u8]) {
        if let Some(first) = bytes.first_chunk() {
            self.0 ^= u64::from_le_bytes(*first);
        }
    }

    fn finish(&self) -> u64 {
        self.0
    }
}

/// Bounded by number and by the memory that the entries take; the least used go first.
#[derive(Debug)]
pub(super) struct TokenCache {
    /// Absent when the cache is switched off.
    entries: Option<Cache<[u8; 32], Entry, BuildHasherDefault<OfHash>>>,
    max_bytes: u64,
    tally: Tally,
    room: Arc<Room>,
}

impl TokenCache {
    pub(super) fn new(config: &CacheConfig) -> Self {
        let room = Arc::new(Room::default());
        let off = config.max_tokens == 0 || config.max_bytes == 0;
        let entries = (!off).then(|| bounded(config, Arc::clone(&room)));
        Self { entries, max_bytes: config.max_bytes, tally: Tally::default(), room }
    }

    /// What is known of the token, as a fresh verification at `now` would answer; `None` when it must be verified.
    pub(super) fn get(
        &self,
        key: &[u8; 32],
        now: Timestamp,
    ) -> Option<Result<Authenticated, IdentityRefusal>> {
        let Some(entry) = self.entries.as_ref()?.get(key) else {
            self.tally.miss();
            return None;
        };
        if entry.life.is_some_and(|life| !life.holds(now)) {
            self.tally.miss();
            return None;
        }
        self.tally.hit();
        Some(entry.lifetime.check(now).map(|()| entry.known))
    }

    pub(super) fn insert(&self, key: [u8; 32], known: Authenticated, (lifetime, life): Validity) {
        let Some(entries) = &self.entries else { return };
        let bytes = u32::try_from(weight(&known)).unwrap_or(u32::MAX);
        self.room.bytes.fetch_add(bytes.into(), Ordering::Relaxed);
        entries.insert(key, Entry { known, lifetime, bytes, life });
    }

    /// Finishes what the cache has put off, so that the numbers are those of now.
    pub(super) fn stats(&self) -> CacheStats {
        if let Some(entries) = &self.entries {
            entries.run_pending_tasks();
        }
        let (hits, misses) = self.tally.sum();
        CacheStats {
            tokens: self.entries.as_ref().map_or(0, Cache::entry_count),
            bytes: self.room.bytes.load(Ordering::Relaxed),
            max_bytes: self.max_bytes,
            hits,
            misses,
            evictions: self.room.evictions.load(Ordering::Relaxed),
        }
    }
}

/// The one bound that moka offers is the total weight. A weight never falls below an even share of the bytes, so the total
/// bounds the number of entries too.
fn bounded(config: &CacheConfig, room: Arc<Room>) -> Cache<[u8; 32], Entry, BuildHasherDefault<OfHash>> {
    let share = u32::try_from(config.max_bytes.div_ceil(config.max_tokens)).unwrap_or(u32::MAX);
    let removed = move |_: Arc<[u8; 32]>, entry: Entry, cause: RemovalCause| {
        room.bytes.fetch_sub(entry.bytes.into(), Ordering::Relaxed);
        if cause == RemovalCause::Size {
            room.evictions.fetch_add(1, Ordering::Relaxed);
        }
    };
    Cache::builder()
        .max_capacity(config.max_bytes)
        .weigher(move |_, entry: &Entry| entry.bytes.max(share))
        .eviction_listener(removed)
        .build_with_hasher(BuildHasherDefault::default())
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use proptest::prelude::*;

    use super::*;
    use crate::model::PrincipalId;

    fn known() -> Authenticated {
        let principal = Principal::bare(PrincipalId::anonymous());
        Authenticated { principal: Arc::new(principal), dropped: Arc::new([]) }
    }

    fn lifetime(issued: i64, begin: Option<i64>, end: i64, leeway: u64) -> Lifetime {
        Lifetime {
            issued_at: Timestamp::from_seconds(issued),
            not_before: begin.map(Timestamp::from_seconds),
            expires_at: Timestamp::from_seconds(end),
            leeway: Duration::from_secs(leeway),
            max_age: Duration::from_secs(1_000),
        }
    }

    #[test]
    fn the_number_of_entries_is_bounded() {
        let cache = TokenCache::new(&CacheConfig { max_tokens: 10, max_bytes: 1024 * 1024 });
        for n in 0..200 {
            cache.insert([n; 32], known(), (lifetime(0, None, 100, 0), None));
        }
        let stats = cache.stats();
        assert!((1..=10).contains(&stats.tokens), "{stats:?}");
        assert_eq!(stats.tokens + stats.evictions, 200);
    }

    #[test]
    fn the_size_of_entries_is_bounded() {
        let cache = TokenCache::new(&CacheConfig { max_tokens: 1_000, max_bytes: 100_000 });
        let mut principal = Principal::bare(PrincipalId::anonymous());
        principal.roles.insert("r".repeat(20_000));
        let big = Authenticated { principal: Arc::new(principal), dropped: Arc::new([]) };
        for n in 0..50 {
            cache.insert([n; 32], big.clone(), (lifetime(0, None, 100, 0), None));
        }
        let stats = cache.stats();
        assert!(stats.tokens >= 1 && stats.bytes > stats.tokens * 20_000, "{stats:?}");
        assert!(stats.bytes <= stats.max_bytes, "{stats:?}");
    }

    #[test]
    fn looks_are_counted_and_bytes_come_and_go_with_their_entries() {
        let cache = TokenCache::new(&CacheConfig::default());
        let look = |n| cache.get(&[n; 32], Timestamp::from_seconds(1)).is_some();
        assert!(!look(1));
        cache.insert([1; 32], known(), (lifetime(0, None, 100, 0), None));
        let one = cache.stats();
        cache.insert([1; 32], known(), (lifetime(0, None, 100, 0), None));
        assert_eq!(cache.stats(), one, "the same token again takes the place of the first");
        cache.insert([2; 32], known(), (lifetime(0, None, 100, 0), None));
        assert!(look(1) && look(2) && look(2) && !look(3));
        let CacheStats { tokens, bytes, hits, misses, evictions, .. } = cache.stats();
        assert_eq!((tokens, hits, misses, evictions), (2, 3, 2, 0));
        assert_eq!(bytes, 2 * one.bytes);
    }

    #[test]
    fn a_cache_of_zero_tokens_keeps_nothing() {
        let cache = TokenCache::new(&CacheConfig { max_tokens: 0, ..CacheConfig::default() });
        cache.insert([1; 32], known(), (lifetime(0, None, 100, 0), None));
        assert!(cache.get(&[1; 32], Timestamp::from_seconds(1)).is_none());
        assert_eq!(cache.stats(), CacheStats { max_bytes: cache.max_bytes, ..CacheStats::default() });
    }

    proptest! {
        /// Time may go back and forth; at each look the cache says what the lifetime says.
        #[test]
        fn an_entry_never_outlives_its_token(
            issued in 0i64..100, begin in proptest::option::of(0i64..200), length in 1i64..100, leeway in 0u64..20,
            looks in proptest::collection::vec(0i64..300, 1..20),
        ) {
            let cache = TokenCache::new(&CacheConfig::default());
            let lifetime = lifetime(issued, begin, issued + length, leeway);
            for look in looks {
                let now = Timestamp::from_seconds(look);
                let fresh = lifetime.check(now).map_err(|refusal| refusal.reason);
                match cache.get(&[7; 32], now) {
                    Some(cached) => {
                        prop_assert_eq!(cached.map(drop).map_err(|refusal| refusal.reason), fresh);
                    }
                    None if fresh.is_ok() => cache.insert([7; 32], known(), (lifetime, None)),
                    None => {}
                }
            }
        }
    }
}
