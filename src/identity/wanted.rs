//! What a verification lacked and the issuer may bring: keys, or an answer about the token.
//!
//! It is handed to whoever decides, who may wait for it and ask again. Those who wait are counted for each issuer, so that
//! one that hangs holds no more than its share.

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use super::introspection::Introspector;
use super::remote_keys::RemoteKeys;
use super::schedule::Attempt;
use crate::model::Secret;

/// Something that is worth waiting for.
#[derive(Clone)]
pub struct Wanted(What);

#[derive(Clone)]
enum What {
    /// The end of an attempt to fetch keys.
    Keys { keys: Arc<RemoteKeys>, attempt: Attempt },
    /// What the issuer says of a token.
    Answer { introspector: Arc<Introspector>, sha256: [u8; 32], token: Secret },
}

impl Wanted {
    pub(super) const fn keys(keys: Arc<RemoteKeys>, attempt: Attempt) -> Self {
        Self(What::Keys { keys, attempt })
    }

    pub(super) const fn answer(introspector: Arc<Introspector>, sha256: [u8; 32], token: Secret) -> Self {
        Self(What::Answer { introspector, sha256, token })
    }

    /// Waits until it is there or was tried in vain; not longer than `patience`, and not at all when too many wait already.
    pub async fn arrive(&self, patience: Duration) {
        match &self.0 {
            What::Keys { keys, attempt } => keys.wait_for(*attempt, patience).await,
            What::Answer { introspector, sha256, token } => introspector.ask(*sha256, token, patience).await,
        }
    }
}

impl PartialEq for Wanted {
    fn eq(&self, other: &Self) -> bool {
        match (&self.0, &other.0) {
            (What::Keys { keys, attempt }, What::Keys { keys: others, attempt: another }) => {
                Arc::ptr_eq(keys, others) && attempt == another
            }
            (What::Answer { sha256, .. }, What::Answer { sha256: another, .. }) => sha256 == another,
            (What::Keys { .. } | What::Answer { .. }, _) => false,
        }
    }
}

impl Eq for Wanted {}

impl fmt::Debug for Wanted {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match &self.0 {
            What::Keys { .. } => "Wanted(keys)",
            What::Answer { .. } => "Wanted(answer)",
        })
    }
}

/// Those who wait for one issuer.
pub(super) struct Places<'a>(pub &'a AtomicUsize);

/// One of them; dropped, there is room for another.
pub(super) struct Place<'a>(&'a AtomicUsize);

impl<'a> Places<'a> {
    /// A place, unless all `most` are taken.
    pub(super) fn enter(self, most: usize) -> Option<Place<'a>> {
        let before = self.0.fetch_add(1, Ordering::AcqRel);
        let place = Place(self.0);
        (before < most).then_some(place)
    }
}

impl Drop for Place<'_> {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::AcqRel);
    }
}
