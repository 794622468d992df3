//! Verified tokens, so that the signature of one token is checked once and not at each of its calls.
//!
//! The key is the SHA-256 of the **whole** token; a cache keyed by a part (the signature, the `jti`) would answer for
//! a token with another body. An entry is judged against `now` by the same [`Lifetime`] as a fresh token.

use std::hash::{BuildHasherDefault, Hasher};
use std::sync::Arc;

use moka::sync::Cache;

use super::config::CacheConfig;
use super::lifetime::Lifetime;
use super::refusal::IdentityRefusal;
use crate::model::{Principal, Timestamp};

/// Who a credential proved, and what of it was set aside.
#[derive(Clone, Debug)]
pub struct Authenticated {
    pub principal: Arc<Principal>,
    /// Roles, groups and tenants that the issuer asserted beyond its grant: a sentence each, for operators.
    pub dropped: Arc<[String]>,
}

#[derive(Clone, Debug)]
struct Entry {
    known: Authenticated,
    lifetime: Lifetime,
}

/// The hash of a digest is a part of it. Only tokens that were verified get in, so nobody but an issuer could choose
/// digests that are alike.
#[derive(Debug, Default)]
struct OfDigest(u64);

impl Hasher for OfDigest {
    fn write(&mut self, bytes: &[u8]) {
        if let Some(first) = bytes.first_chunk() {
            self.0 ^= u64::from_le_bytes(*first);
        }
    }

    fn finish(&self) -> u64 {
        self.0
    }
}

/// Bounded by number and by approximate size; the least used go first.
#[derive(Debug)]
pub(super) struct TokenCache {
    /// Absent when the cache is switched off.
    entries: Option<Cache<[u8; 32], Entry, BuildHasherDefault<OfDigest>>>,
}

impl TokenCache {
    pub(super) fn new(config: &CacheConfig) -> Self {
        if config.max_tokens == 0 || config.max_bytes == 0 {
            return Self { entries: None };
        }
        // The one bound that moka offers is the total weight. A weight never falls below an even share of the bytes,
        // so the total bounds the number of entries too.
        let share = u32::try_from(config.max_bytes.div_ceil(config.max_tokens)).unwrap_or(u32::MAX);
        let entries = Cache::builder()
            .max_capacity(config.max_bytes)
            .weigher(move |_, entry: &Entry| weight(&entry.known).max(share))
            .build_with_hasher(BuildHasherDefault::default());
        Self { entries: Some(entries) }
    }

    /// What is known of the token, as a fresh verification at `now` would answer; `None` when it must be verified.
    pub(super) fn get(
        &self,
        sha256: &[u8; 32],
        now: Timestamp,
    ) -> Option<Result<Authenticated, IdentityRefusal>> {
        let entry = self.entries.as_ref()?.get(sha256)?;
        Some(entry.lifetime.check(now).map(|()| entry.known))
    }

    pub(super) fn insert(&self, sha256: [u8; 32], known: Authenticated, lifetime: Lifetime) {
        if let Some(entries) = &self.entries {
            entries.insert(sha256, Entry { known, lifetime });
        }
    }

    /// How many tokens are kept, approximately.
    pub(super) fn len(&self) -> u64 {
        self.entries.as_ref().map_or(0, |entries| entries.entry_count())
    }
}

/// The memory an entry takes, in bytes: its strings, and a fixed guess for nodes and headers.
fn weight(known: &Authenticated) -> u32 {
    const FIXED: usize = 1_024;
    const PER_TEXT: usize = 48;
    let principal = &*known.principal;
    let token = principal.token.iter();
    let sets = [&principal.roles, &principal.groups]
        .into_iter()
        .chain(principal.tags.values())
        .chain(token.flat_map(|token| [&token.audience, &token.scopes, &token.amr]));
    let texts: usize = sets.flatten().chain(known.dropped.iter()).map(|text| text.len() + PER_TEXT).sum();
    u32::try_from(FIXED + texts).unwrap_or(u32::MAX)
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
            cache.insert([n; 32], known(), lifetime(0, None, 100, 0));
        }
        cache.entries.as_ref().unwrap().run_pending_tasks();
        assert!((1..=10).contains(&cache.len()), "{}", cache.len());
    }

    #[test]
    fn the_size_of_entries_is_bounded() {
        let cache = TokenCache::new(&CacheConfig { max_tokens: 1_000, max_bytes: 100_000 });
        let mut principal = Principal::bare(PrincipalId::anonymous());
        principal.roles.insert("r".repeat(20_000));
        let big = Authenticated { principal: Arc::new(principal), dropped: Arc::new([]) };
        for n in 0..50 {
            cache.insert([n; 32], big.clone(), lifetime(0, None, 100, 0));
        }
        cache.entries.as_ref().unwrap().run_pending_tasks();
        assert!((1..=4).contains(&cache.len()), "{}", cache.len());
    }

    #[test]
    fn a_cache_of_zero_tokens_keeps_nothing() {
        let cache = TokenCache::new(&CacheConfig { max_tokens: 0, ..CacheConfig::default() });
        cache.insert([1; 32], known(), lifetime(0, None, 100, 0));
        assert!(cache.get(&[1; 32], Timestamp::from_seconds(1)).is_none());
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
                    None if fresh.is_ok() => cache.insert([7; 32], known(), lifetime),
                    None => {}
                }
            }
        }
    }
}
