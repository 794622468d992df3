//! A control-plane write: the lock, the numbers it takes, its changes, its commit.

use sqlx::{Sqlite, SqliteConnection, Transaction};

use super::feed::Wake;
use super::{EmbeddedStore, failed};
use crate::model::{ChangeBody, Revision};
use crate::store::{StoreError, body};

/// A transaction that holds the database's only write lock from `begin` to the end. Dropped, it rolls back.
pub(super) struct Write<'a> {
    tx: Transaction<'static, Sqlite>,
    wake: &'a Wake,
    began_at: Revision,
    revision: Revision,
    action: &'static str,
}

impl<'a> Write<'a> {
    pub(super) async fn begin(store: &'a EmbeddedStore, action: &'static str) -> Result<Self, StoreError> {
        let mut tx = store.writer.begin_with("BEGIN IMMEDIATE").await.map_err(failed(action))?;
        let revision = revision(&mut tx).await.map_err(failed(action))?;
        Ok(Self { tx, wake: &store.wake, began_at: revision, revision, action })
    }

    pub(super) fn connection(&mut self) -> &mut SqliteConnection {
        &mut self.tx
    }

    /// Takes the next number for this change.
    pub(super) async fn record(&mut self, change: &ChangeBody) -> Result<Revision, StoreError> {
        let text = body::encode("change", change)?;
        self.revision.number = self.revision.number.saturating_add(1);
        sqlx::query("INSERT INTO changes (number, epoch, noun, body) VALUES (?, ?, ?, ?)")
            .bind(self.revision.number.cast_signed())
            .bind(self.revision.epoch.cast_signed())
            .bind(change.noun())
            .bind(text)
            .execute(&mut *self.tx)
            .await
            .map_err(failed(self.action))?;
        Ok(self.revision)
    }

    /// Begins a new history at the same number.
    pub(super) fn renew_epoch(&mut self) {
        self.revision.epoch = rand::random();
    }

    /// The revision it committed at; the current one when nothing changed.
    pub(super) async fn commit(mut self) -> Result<Revision, StoreError> {
        let failed = failed(self.action);
        if self.revision == self.began_at {
            self.tx.rollback().await.map_err(failed)?;
            return Ok(self.revision);
        }
        sqlx::query("UPDATE revision SET epoch = ?, number = ?")
            .bind(self.revision.epoch.cast_signed())
            .bind(self.revision.number.cast_signed())
            .execute(&mut *self.tx)
            .await
            .map_err(failed)?;
        self.tx.commit().await.map_err(failed)?;
        self.wake.look_now();
        Ok(self.revision)
    }
}

/// The revision as this transaction sees it.
pub(super) async fn revision(connection: &mut SqliteConnection) -> Result<Revision, sqlx::Error> {
    let (epoch, number): (i64, i64) =
        sqlx::query_as("SELECT epoch, number FROM revision").fetch_one(connection).await?;
    Ok(Revision::new(epoch.cast_unsigned(), number.cast_unsigned()))
}
