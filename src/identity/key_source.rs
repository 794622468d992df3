//! Where an issuer's keys come from: given once, or fetched again and again.

use std::sync::Arc;

use super::jwks::KeySet;
use super::refusal::IdentityRefusal;
use super::remote_keys::RemoteKeys;
use crate::model::{CredentialFault, Reason, Timestamp};

#[derive(Debug)]
pub(super) enum KeySource {
    /// From a file or the configuration; good for as long as the process runs.
    Fixed(Arc<KeySet>),
    /// From the issuer.
    Remote(Arc<RemoteKeys>),
}

impl KeySource {
    pub(super) fn fixed(keys: KeySet) -> Self {
        Self::Fixed(Arc::new(keys))
    }

    /// The keys that tokens are verified with at `now`.
    pub(super) fn usable(&self, now: Timestamp) -> Result<Arc<KeySet>, IdentityRefusal> {
        match self {
            Self::Fixed(keys) => Ok(Arc::clone(keys)),
            Self::Remote(keys) => keys.usable(now),
        }
    }

    /// A refusal because the key is not there, with what may bring it.
    pub(super) fn perhaps_new(&self, refusal: IdentityRefusal, now: Timestamp) -> IdentityRefusal {
        let lacking = matches!(
            refusal.reason,
            Reason::CredentialInvalid(CredentialFault::UnknownKey | CredentialFault::BadSignature)
        );
        match self {
            Self::Remote(keys) if lacking => refusal.wanting(keys.want_key(now)),
            Self::Remote(_) | Self::Fixed(_) => refusal,
        }
    }

    /// The keys that were there last, whether they count or not; `None` before the first fetch.
    pub(super) fn last_known(&self) -> Option<Arc<KeySet>> {
        match self {
            Self::Fixed(keys) => Some(Arc::clone(keys)),
            Self::Remote(keys) => keys.last_known(),
        }
    }

    pub(super) const fn remote(&self) -> Option<&Arc<RemoteKeys>> {
        match self {
            Self::Remote(keys) => Some(keys),
            Self::Fixed(_) => None,
        }
    }
}
