//! The change feed in Postgres: numbered rows to read, and notifications to wait on.

use std::time::Duration;

use async_trait::async_trait;
use sqlx::postgres::{PgConnectOptions, PgListener, PgPool, PgPoolOptions};
use sqlx::{Postgres, Transaction};
use tokio::sync::{Mutex, Notify};

use super::write::Write;
use super::{ACQUIRE_TIMEOUT, PostgresStore, failed};
use crate::model::{Change, Revision};
use crate::store::feed::{ChangeRow, change_of};
use crate::store::{Feed, StoreError};

/// Each commit of a control-plane write notifies this channel with its revision.
pub(super) const CHANNEL: &str = "deodar_changes";

const RENEWING: &str = "begin a new epoch";

#[async_trait]
impl Feed for PostgresStore {
    async fn current_revision(&self) -> Result<Revision, StoreError> {
        let failed = failed("read the revision");
        let (epoch, number, same_history): (i64, i64, bool) = sqlx::query_as(
            "SELECT epoch, number, coalesce(history = deodar_history(), deodar_history() IS NULL) \
             FROM revision",
        )
        .fetch_one(&self.pool)
        .await
        .map_err(failed)?;
        if same_history {
            return Ok(Revision::new(epoch.cast_unsigned(), number.cast_unsigned()));
        }
        // A write looks again under the lock, so that of many replicas one takes the new epoch.
        Write::begin(self, RENEWING).await?.commit().await
    }

    async fn changes_after(&self, after: Revision, limit: u32) -> Result<Vec<Change>, StoreError> {
        let rows: Vec<ChangeRow> = sqlx::query_as(
            "SELECT epoch, number, noun, body FROM changes WHERE number > $1 ORDER BY number LIMIT $2",
        )
        .bind(after.number.cast_signed())
        .bind(i64::from(limit))
        .fetch_all(&self.pool)
        .await
        .map_err(failed("read the changes"))?;
        Ok(rows.into_iter().map(change_of).collect())
    }

    async fn oldest_change(&self) -> Result<Option<u64>, StoreError> {
        let (number,): (Option<i64>,) = sqlx::query_as("SELECT min(number) FROM changes")
            .fetch_one(&self.pool)
            .await
            .map_err(failed("read the oldest change"))?;
        Ok(number.map(i64::cast_unsigned))
    }

    async fn wait_for_change(&self, at_most: Duration) -> Result<(), StoreError> {
        let waited = tokio::time::timeout(at_most, self.wake.until_notified()).await;
        waited.unwrap_or(Ok(())).map_err(failed("listen for changes"))
    }

    async fn renew_epoch(&self) -> Result<Revision, StoreError> {
        let mut write = Write::begin(self, RENEWING).await?;
        write.renew_epoch();
        write.commit().await
    }
}

/// A transaction that reads one moment of the database, and the revision of that moment.
pub(super) async fn snapshot(
    store: &PostgresStore,
    action: &'static str,
) -> Result<(Transaction<'static, Postgres>, Revision), StoreError> {
    // First make sure that the epoch belongs to this server's history; the snapshot only reads.
    store.current_revision().await?;
    let begin = "BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY";
    let mut tx = store.pool.begin_with(begin).await.map_err(failed(action))?;
    let (epoch, number): (i64, i64) = sqlx::query_as("SELECT epoch, number FROM revision")
        .fetch_one(&mut *tx)
        .await
        .map_err(failed(action))?;
    Ok((tx, Revision::new(epoch.cast_unsigned(), number.cast_unsigned())))
}

/// Hears the notifications, on a connection of its own: one taken from the pool would be missing there.
#[derive(Debug)]
pub(super) struct Wake {
    pool: PgPool,
    listener: Mutex<Option<PgListener>>,
    heard: Notify,
}

impl Wake {
    pub(super) fn new(options: PgConnectOptions) -> Self {
        let pool = PgPoolOptions::new()
            .max_connections(1)
            .max_lifetime(None)
            .idle_timeout(None)
            .acquire_timeout(ACQUIRE_TIMEOUT)
            .connect_lazy_with(options);
        Self { pool, listener: Mutex::new(None), heard: Notify::new() }
    }

    pub(super) async fn close(&self) {
        self.pool.close().await;
    }

    /// Returns when a notification came since the last return, or may have come: it listens anew.
    async fn until_notified(&self) -> Result<(), sqlx::Error> {
        let heard = self.heard.notified();
        tokio::select! {
            // Another waiter has the listener and has heard.
            () = heard => Ok(()),
            result = self.listen() => {
                self.heard.notify_waiters();
                result
            }
        }
    }

    async fn listen(&self) -> Result<(), sqlx::Error> {
        let mut place = self.listener.lock().await;
        let Some(listener) = place.as_mut() else {
            let mut listener = PgListener::connect_with(&self.pool).await?;
            listener.listen(CHANNEL).await?;
            *place = Some(listener);
            // What was written before this moment was not heard, so the caller has to look.
            return Ok(());
        };
        // `try_recv` may be given up at any point; `None` says that the connection was lost and made again.
        if let Err(error) = listener.try_recv().await {
            *place = None;
            return Err(error);
        }
        while listener.next_buffered().is_some() {}
        Ok(())
    }
}
