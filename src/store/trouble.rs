//! A database error -> the [`StoreError`] that says whether trying again helps.

use sqlx::Error;
use sqlx::error::DatabaseError;

use super::StoreError;

impl StoreError {
    /// Judges an error of a database while it was asked to `action` (a verb phrase: "list the signals").
    pub(super) fn of_database(
        backend: &'static str,
        action: &'static str,
        passes: fn(&dyn DatabaseError) -> bool,
        source: Error,
    ) -> Self {
        let transient = match &source {
            Error::Io(_) | Error::Tls(_) | Error::PoolTimedOut | Error::PoolClosed => true,
            Error::WorkerCrashed | Error::BeginFailed => true,
            Error::Database(error) => passes(error.as_ref()),
            _ => false,
        };
        if transient {
            Self::Unavailable { backend, action, source }
        } else {
            Self::Failed { backend, action, source }
        }
    }
}
