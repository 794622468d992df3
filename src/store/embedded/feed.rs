//! The change feed in SQLite: numbered rows to read, and the file's data version to wait on.

use std::time::Duration;

use async_trait::async_trait;
use sqlx::ConnectOptions;
use sqlx::sqlite::{SqliteConnectOptions, SqliteConnection};
use tokio::sync::{Mutex, Notify};

use super::write::{Write, revision};
use super::{EmbeddedStore, failed};
use crate::model::{Change, Revision};
use crate::store::feed::{ChangeRow, change_of};
use crate::store::{Feed, StoreError};

/// How often a waiter looks whether another process wrote.
const LOOK_EVERY: Duration = Duration::from_millis(25);

#[async_trait]
impl Feed for EmbeddedStore {
    async fn current_revision(&self) -> Result<Revision, StoreError> {
        let failed = failed("read the revision");
        let mut connection = self.readers.acquire().await.map_err(failed)?;
        revision(&mut connection).await.map_err(failed)
    }

    async fn changes_after(&self, after: Revision, limit: u32) -> Result<Vec<Change>, StoreError> {
        let rows: Vec<ChangeRow> = sqlx::query_as(
            "SELECT epoch, number, noun, body FROM changes WHERE number > ? ORDER BY number LIMIT ?",
        )
        .bind(after.number.cast_signed())
        .bind(i64::from(limit))
        .fetch_all(&self.readers)
        .await
        .map_err(failed("read the changes"))?;
        Ok(rows.into_iter().map(change_of).collect())
    }

    async fn oldest_change(&self) -> Result<Option<u64>, StoreError> {
        let (number,): (Option<i64>,) = sqlx::query_as("SELECT min(number) FROM changes")
            .fetch_one(&self.readers)
            .await
            .map_err(failed("read the oldest change"))?;
        Ok(number.map(i64::cast_unsigned))
    }

    async fn wait_for_change(&self, at_most: Duration) -> Result<(), StoreError> {
        let waited = tokio::time::timeout(at_most, self.wake.until_written()).await;
        waited.unwrap_or(Ok(())).map_err(failed("wait for a change"))
    }

    async fn renew_epoch(&self) -> Result<Revision, StoreError> {
        let mut write = Write::begin(self, "begin a new epoch").await?;
        write.renew_epoch();
        write.commit().await
    }
}

/// Notices commits to the file, whoever made them.
///
/// `PRAGMA data_version` changes on a connection when any other connection has committed, so that one connection that
/// never writes sees the commits of this process and of all others.
#[derive(Debug)]
pub(super) struct Wake {
    options: SqliteConnectOptions,
    look: Mutex<Option<(SqliteConnection, i64)>>,
    look_now: Notify,
    seen: Notify,
}

impl Wake {
    pub(super) fn new(options: SqliteConnectOptions) -> Self {
        Self { options, look: Mutex::new(None), look_now: Notify::new(), seen: Notify::new() }
    }

    /// Tells waiters to look at once: this process has committed.
    pub(super) fn look_now(&self) {
        self.look_now.notify_one();
    }

    /// Returns when somebody has committed since the last return; at once the first time, when nothing is known.
    async fn until_written(&self) -> Result<(), sqlx::Error> {
        loop {
            // Made before looking, so that a change that another waiter finds meanwhile is not missed.
            let seen = self.seen.notified();
            if self.look().await? {
                self.seen.notify_waiters();
                return Ok(());
            }
            tokio::select! {
                () = seen => return Ok(()),
                () = self.look_now.notified() => {}
                () = tokio::time::sleep(LOOK_EVERY) => {}
            }
        }
    }

    /// Whether the file's version is another than at the last look.
    async fn look(&self) -> Result<bool, sqlx::Error> {
        let mut look = self.look.lock().await;
        // Taken out while in use: a connection whose query failed or was given up is not used again.
        let (mut connection, before) = match look.take() {
            Some((connection, version)) => (connection, Some(version)),
            None => (self.options.connect().await?, None),
        };
        let (version,): (i64,) = sqlx::query_as("PRAGMA data_version").fetch_one(&mut connection).await?;
        *look = Some((connection, version));
        Ok(before != Some(version))
    }
}
