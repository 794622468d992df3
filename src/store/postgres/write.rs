//! A control-plane write: the lock, the numbers it takes, its changes, its commit.

use sqlx::{PgConnection, Postgres, Transaction};

use super::feed::CHANNEL;
use super::{PostgresStore, failed};
use crate::model::{ChangeBody, Revision};
use crate::store::{StoreError, body};

/// A transaction that holds the row of `revision` locked from `begin` to the end, so that control-plane writers
/// follow each other one by one and each sees what all before it committed. Dropped, it rolls back.
pub(super) struct Write {
    tx: Transaction<'static, Postgres>,
    began_at: Revision,
    revision: Revision,
    nouns: Vec<String>,
    bodies: Vec<String>,
    action: &'static str,
}

impl Write {
    pub(super) async fn begin(store: &PostgresStore, action: &'static str) -> Result<Self, StoreError> {
        let failed = failed(action);
        let mut tx = store.pool.begin().await.map_err(failed)?;
        let (epoch, number, same_history): (i64, i64, bool) = sqlx::query_as(
            "SELECT epoch, number, coalesce(history = deodar_history(), deodar_history() IS NULL) \
             FROM revision FOR UPDATE",
        )
        .fetch_one(&mut *tx)
        .await
        .map_err(failed)?;
        let began_at = Revision::new(epoch.cast_unsigned(), number.cast_unsigned());
        let mut write =
            Self { tx, began_at, revision: began_at, nouns: Vec::new(), bodies: Vec::new(), action };
        if !same_history {
            write.renew_epoch();
        }
        Ok(write)
    }

    pub(super) fn connection(&mut self) -> &mut PgConnection {
        &mut self.tx
    }

    /// Takes the next number for this change.
    pub(super) fn record(&mut self, change: &ChangeBody) -> Result<(), StoreError> {
        self.bodies.push(body::encode("change", change)?);
        self.nouns.push(change.noun().to_owned());
        self.revision.number = self.revision.number.saturating_add(1);
        Ok(())
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
        self.write_revision().await.map_err(failed)?;
        self.write_changes().await.map_err(failed)?;
        // Delivered at commit, and not at all if there is none.
        sqlx::query("SELECT pg_notify($1, $2)")
            .bind(CHANNEL)
            .bind(self.revision.to_string())
            .execute(&mut *self.tx)
            .await
            .map_err(failed)?;
        self.tx.commit().await.map_err(failed)?;
        Ok(self.revision)
    }

    async fn write_revision(&mut self) -> Result<(), sqlx::Error> {
        sqlx::query(
            "UPDATE revision SET epoch = $1, number = $2, history = coalesce(deodar_history(), history)",
        )
        .bind(self.revision.epoch.cast_signed())
        .bind(self.revision.number.cast_signed())
        .execute(&mut *self.tx)
        .await?;
        Ok(())
    }

    async fn write_changes(&mut self) -> Result<(), sqlx::Error> {
        if self.bodies.is_empty() {
            return Ok(());
        }
        sqlx::query(
            "INSERT INTO changes (number, epoch, noun, body) \
             SELECT $1 + place, $2, noun, body \
             FROM unnest($3::TEXT[], $4::TEXT[]) WITH ORDINALITY AS new (noun, body, place)",
        )
        .bind(self.began_at.number.cast_signed())
        .bind(self.revision.epoch.cast_signed())
        .bind(&self.nouns)
        .bind(&self.bodies)
        .execute(&mut *self.tx)
        .await?;
        Ok(())
    }
}
