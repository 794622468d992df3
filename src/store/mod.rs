//! Durable state behind one trait: what replicas share and what survives a restart.
//!
//! A store keeps and returns; it gives nothing a meaning. There are two backends with one contract, [`embedded`]
//! (SQLite, one file) and [`postgres`], and `tests/it/store.rs` runs the same conformance suite on both.
//! Conventions: "not found" is `Ok(None)`; the time is an argument; identifiers compare byte for byte; each
//! control-plane write returns the [`Revision`] it committed at, and is one [`Change`] in the feed.
//!
//! [`Revision`]: crate::model::Revision
//! [`Change`]: crate::model::Change

mod body;
mod clients;
mod config;
mod cursor;
mod decisions;
pub mod embedded;
mod feed;
pub mod postgres;
mod principals;
mod replicas;
mod revocations;
mod schema;
mod signals;
mod trouble;

use std::sync::Arc;

use async_trait::async_trait;

pub use clients::Clients;
pub use config::{Config, Location};
pub use decisions::{Decisions, Place, RecordHead, StoredRecord};
pub use feed::Feed;
pub use principals::Principals;
pub use replicas::{Replica, Replicas};
pub use revocations::Revocations;
pub use signals::{RecordedSignal, Signals};

/// What can go wrong in a store, by what a caller would do about it.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    /// Try again later: no connection, a time-out, a database that is starting or stopping.
    #[error("the {backend} database cannot be reached while trying to {action}")]
    Unavailable {
        backend: &'static str,
        action: &'static str,
        #[source]
        source: sqlx::Error,
    },
    /// Trying again will not help.
    #[error("the {backend} database refused to {action}")]
    Failed {
        backend: &'static str,
        action: &'static str,
        #[source]
        source: sqlx::Error,
    },
    /// A row that this version cannot read.
    #[error("cannot read {what} from the database: {why}")]
    Corrupt { what: &'static str, why: String },
    /// Something with this name is there already.
    #[error("{what} `{name}` exists already")]
    AlreadyExists { what: &'static str, name: String },
    /// Somebody else changed it meanwhile, or it is not there as it was expected to be.
    #[error("{what} `{name}` is not as it was expected to be")]
    Conflict { what: &'static str, name: String },
    /// A page token that this store did not make for this list.
    #[error("the page token is not one that this list returned; start again without it")]
    InvalidPageToken,
    #[error("the database has schema version {found}, this binary needs {wanted}; run `deodar db migrate`")]
    NotMigrated { found: i64, wanted: i64 },
    #[error("cannot apply the migrations")]
    Migration(#[source] sqlx::migrate::MigrateError),
}

/// Everything a replica needs of a database.
#[async_trait]
pub trait Store:
    Clients + Signals + Revocations + Principals + Decisions + Feed + Replicas + Send + Sync + 'static
{
    /// `sqlite` or `postgres`.
    fn backend(&self) -> &'static str;

    /// Applies the migrations that are missing; several replicas may try at once. Returns how many were applied.
    async fn migrate(&self) -> Result<usize, StoreError>;

    /// Fails with [`StoreError::NotMigrated`] unless the schema is the one this binary was built with.
    async fn check_schema(&self) -> Result<(), StoreError>;

    /// Fails unless the database answers.
    async fn ping(&self) -> Result<(), StoreError>;
}

/// Opens the store that the configuration names, without touching its schema.
pub async fn open(config: &Config) -> Result<Arc<dyn Store>, StoreError> {
    match &config.location {
        Location::Embedded(path) => Ok(Arc::new(embedded::EmbeddedStore::open(path).await?)),
        Location::Postgres(url) => {
            Ok(Arc::new(postgres::PostgresStore::connect(url, config.max_connections).await?))
        }
    }
}
