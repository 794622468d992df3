//! Use cases of the management API, one file for each noun.
//!
//! Everything an administrator does goes through here, whatever door it came in by. Callers were authenticated and
//! their role checked before; what is checked here is the request itself. Errors say which field and what would do.

mod clients;
mod listeners;
mod principals;
mod reason;
mod records;
mod revocations;
mod risk;
mod signals;
mod status;

use std::sync::Arc;
use std::time::Duration;

pub use crate::identity::{CacheStats, TrustDomainInfo};
pub use crate::store::Replica as ReplicaStatus;
pub use clients::{NewClient, NewlyCreated};
pub use listeners::{ListenerBoard, ListenerStatus, TlsStatus};
pub use principals::NewEntry;
pub use revocations::{NewRevocation, PendingReplica, Spread, WrittenRevocation};
pub use signals::ReportedSignal;
pub use status::{BundleStatus, IssuerStatus, Status};

use crate::audit::{AuditError, Recorder};
use crate::decide::Live;
use crate::identity::{ClientKeyError, Identity, RevocationConfig};
use crate::inventory::Inventory;
use crate::model::{Clock, Page, PageRequest, Revision};
use crate::store::{Store, StoreError};

/// What can go wrong, by what the caller would do about it.
#[derive(Debug, thiserror::Error)]
pub enum ManageError {
    /// A field of the request is wrong.
    #[error("{field}: {why}")]
    Invalid { field: &'static str, why: String },
    #[error("there is no {what} `{name}`")]
    NotFound { what: &'static str, name: String },
    #[error("{what} `{name}` exists already")]
    AlreadyExists { what: &'static str, name: String },
    /// Somebody else was quicker, or the caller was mistaken about what is there.
    #[error(
        "{what} `{name}` was changed meanwhile, or is not there as you expected; read it again and repeat"
    )]
    Conflict { what: &'static str, name: String },
    #[error("the store cannot be reached; try again")]
    Unavailable(#[source] StoreError),
    #[error("an internal error occurred; see the server's log")]
    Internal(#[source] StoreError),
    #[error("a stored record cannot be read; see the server's log")]
    Unreadable(#[source] AuditError),
    #[error("no key can be made")]
    Key(#[source] ClientKeyError),
}

impl ManageError {
    pub fn invalid(field: &'static str, why: impl Into<String>) -> Self {
        Self::Invalid { field, why: why.into() }
    }
}

impl From<AuditError> for ManageError {
    fn from(error: AuditError) -> Self {
        match error {
            AuditError::Store(error) => error.into(),
            other => Self::Unreadable(other),
        }
    }
}

impl From<StoreError> for ManageError {
    fn from(error: StoreError) -> Self {
        match error {
            StoreError::AlreadyExists { what, name } => Self::AlreadyExists { what, name },
            StoreError::Conflict { what, name } => Self::Conflict { what, name },
            StoreError::InvalidPageToken => Self::invalid("page_token", error.to_string()),
            StoreError::Unavailable { .. } => Self::Unavailable(error),
            other => Self::Internal(other),
        }
    }
}

/// The use cases. One for each process.
pub struct Management {
    store: Arc<dyn Store>,
    live: Arc<Live>,
    recorder: Recorder,
    inventory: Arc<Inventory>,
    identity: Arc<Identity>,
    clock: Arc<dyn Clock>,
    replica: String,
    revocation: RevocationConfig,
    listeners: Arc<ListenerBoard>,
}

impl Management {
    #[expect(clippy::too_many_arguments, reason = "all that management is made of, named once in `app`")]
    pub fn new(
        store: Arc<dyn Store>,
        live: Arc<Live>,
        recorder: Recorder,
        inventory: Arc<Inventory>,
        identity: Arc<Identity>,
        clock: Arc<dyn Clock>,
        replica: String,
        revocation: RevocationConfig,
        listeners: Arc<ListenerBoard>,
    ) -> Self {
        Self { store, live, recorder, inventory, identity, clock, replica, revocation, listeners }
    }

    /// Lets this replica catch up with a write that was made through it, so that whoever wrote sees the effect here
    /// at once. Others follow by the feed; who needs certainty passes the revision on as `at_least`.
    async fn settle(&self, revision: Revision) -> Revision {
        const PATIENCE: Duration = Duration::from_secs(1);
        if !self.live.reached(revision, PATIENCE).await {
            tracing::warn!(%revision, "this replica has not caught up with its own write yet");
        }
        revision
    }
}

/// The page that a request asks for (AIP-158).
pub fn page_request(size: i32, token: &str) -> Result<PageRequest, ManageError> {
    let size = u32::try_from(size).map_err(|_| {
        ManageError::invalid("page_size", format!("{size} is negative; use 0 for the default"))
    })?;
    let after = (!token.is_empty()).then(|| token.to_owned());
    Ok(PageRequest { after, ..PageRequest::first(size) })
}

/// The parts of a page as answers carry them.
pub fn into_parts<T>(page: Page<T>) -> (Vec<T>, String) {
    (page.items, page.next.unwrap_or_default())
}
