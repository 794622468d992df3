//! Replicas in Postgres.

use async_trait::async_trait;

use super::{PostgresStore, failed};
use crate::model::Timestamp;
use crate::store::replicas::{ReplicaRow, replica_of};
use crate::store::{Replica, Replicas, StoreError};

#[async_trait]
impl Replicas for PostgresStore {
    async fn heartbeat(&self, replica: &Replica) -> Result<(), StoreError> {
        sqlx::query(
            "INSERT INTO replicas \
             (id, version, address, started_at, seen_at, applied_epoch, applied_number, bundle) \
             VALUES ($1, $2, $3, $4, $5, $6, $7, $8) \
             ON CONFLICT (id) DO UPDATE SET version = excluded.version, address = excluded.address, \
             started_at = excluded.started_at, seen_at = excluded.seen_at, \
             applied_epoch = excluded.applied_epoch, applied_number = excluded.applied_number, \
             bundle = excluded.bundle",
        )
        .bind(&replica.id)
        .bind(&replica.version)
        .bind(&replica.address)
        .bind(replica.started_at.micros())
        .bind(replica.seen_at.micros())
        .bind(replica.applied.epoch.cast_signed())
        .bind(replica.applied.number.cast_signed())
        .bind(&replica.bundle)
        .execute(&self.pool)
        .await
        .map_err(failed("write a heartbeat"))?;
        Ok(())
    }

    async fn live_replicas(&self, since: Timestamp) -> Result<Vec<Replica>, StoreError> {
        let rows: Vec<ReplicaRow> = sqlx::query_as(
            "SELECT id, version, address, started_at, seen_at, applied_epoch, applied_number, bundle \
             FROM replicas WHERE seen_at >= $1 ORDER BY id",
        )
        .bind(since.micros())
        .fetch_all(&self.pool)
        .await
        .map_err(failed("list the replicas"))?;
        Ok(rows.into_iter().map(replica_of).collect())
    }

    async fn remove_replica(&self, id: &str) -> Result<(), StoreError> {
        sqlx::query("DELETE FROM replicas WHERE id = $1")
            .bind(id)
            .execute(&self.pool)
            .await
            .map_err(failed("remove a replica"))?;
        Ok(())
    }
}
