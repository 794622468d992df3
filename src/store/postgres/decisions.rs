//! Audit records and counted refusals in Postgres.

use async_trait::async_trait;
use sqlx::{Postgres, QueryBuilder};
use uuid::Uuid;

use super::{PostgresStore, failed};
use crate::model::{DecisionId, Page, PageRequest, RecordFilter, Refusals};
use crate::store::cursor::{self, Cursor};
use crate::store::decisions::{RefusalKey, RefusalRow, count_of, refusals_of};
use crate::store::{Decisions, StoreError, StoredRecord};

#[async_trait]
impl Decisions for PostgresStore {
    async fn append_records(&self, records: &[StoredRecord<'_>]) -> Result<(), StoreError> {
        if records.is_empty() {
            return Ok(());
        }
        // One statement for the whole batch: one round trip, and all or none.
        sqlx::query(
            "INSERT INTO decisions (id, at, pep, principal, resource, effect, enforced, reason, record) \
             SELECT * FROM unnest($1::UUID[], $2::BIGINT[], $3::TEXT[], $4::TEXT[], $5::TEXT[], $6::TEXT[], \
             $7::BOOLEAN[], $8::TEXT[], $9::BYTEA[]) ON CONFLICT (id) DO NOTHING",
        )
        .bind(column(records, |record| record.head.id.uuid()))
        .bind(column(records, |record| record.head.at.micros()))
        .bind(column(records, |record| text(record.pep())))
        .bind(column(records, |record| record.principal().map(text)))
        .bind(column(records, |record| text(record.resource())))
        .bind(column(records, |record| record.head.effect.as_str()))
        .bind(column(records, |record| record.head.enforced))
        .bind(column(records, |record| text(record.reason())))
        .bind(column(records, |record| record.bytes))
        .execute(&self.pool)
        .await
        .map_err(failed("append audit records"))?;
        Ok(())
    }

    async fn get_record(&self, id: DecisionId) -> Result<Option<Vec<u8>>, StoreError> {
        let row: Option<(Vec<u8>,)> = sqlx::query_as("SELECT record FROM decisions WHERE id = $1")
            .bind(id.uuid())
            .fetch_optional(&self.pool)
            .await
            .map_err(failed("read an audit record"))?;
        Ok(row.map(|(bytes,)| bytes))
    }

    async fn list_records(
        &self,
        filter: &RecordFilter,
        page: &PageRequest,
    ) -> Result<Page<Vec<u8>>, StoreError> {
        let after: Option<(i64, Uuid)> = Cursor::records(filter).key(page)?;
        let rows: Vec<(i64, Uuid, Vec<u8>)> = listing(filter, after, cursor::limit(page))
            .build_query_as()
            .fetch_all(&self.pool)
            .await
            .map_err(failed("list the audit records"))?;
        let rows = rows.into_iter().map(|(at, id, bytes)| ((at, id), bytes)).collect();
        Cursor::records(filter).page(rows, page)
    }

    async fn add_refusals(&self, refusals: &[Refusals]) -> Result<(), StoreError> {
        if refusals.is_empty() {
            return Ok(());
        }
        let failed = failed("count refusals");
        let mut tx = self.pool.begin().await.map_err(failed)?;
        for row in refusals {
            sqlx::query(
                "INSERT INTO refusals (replica, minute, kind, peer, count, first_at, last_at, sample) \
                 VALUES ($1, $2, $3, $4, $5, $6, $7, $8) \
                 ON CONFLICT (minute, kind, peer, replica) DO UPDATE SET \
                 count = refusals.count + excluded.count, \
                 first_at = least(refusals.first_at, excluded.first_at), \
                 last_at = greatest(refusals.last_at, excluded.last_at)",
            )
            .bind(&row.replica)
            .bind(row.minute.micros())
            .bind(&row.kind)
            .bind(&row.peer)
            .bind(count_of(row))
            .bind(row.first.micros())
            .bind(row.last.micros())
            .bind(&row.sample)
            .execute(&mut *tx)
            .await
            .map_err(failed)?;
        }
        tx.commit().await.map_err(failed)
    }

    async fn list_refusals(&self, page: &PageRequest) -> Result<Page<Refusals>, StoreError> {
        let after: Option<RefusalKey> = Cursor::refusals().key(page)?;
        let mut sql = QueryBuilder::<Postgres>::new(
            "SELECT minute, kind, peer, replica, count, first_at, last_at, sample FROM refusals",
        );
        if let Some((minute, kind, peer, replica)) = after {
            sql.push(" WHERE minute < ").push_bind(minute);
            sql.push(" OR (minute = ").push_bind(minute);
            sql.push(" AND (kind, peer, replica) > (").push_bind(kind);
            sql.push(", ").push_bind(peer).push(", ").push_bind(replica).push("))");
        }
        sql.push(" ORDER BY minute DESC, kind, peer, replica LIMIT ").push_bind(cursor::limit(page));
        let rows: Vec<RefusalRow> =
            sql.build_query_as().fetch_all(&self.pool).await.map_err(failed("list the refusals"))?;
        Cursor::refusals().page(rows.into_iter().map(refusals_of).collect(), page)
    }
}

fn column<'a, T>(records: &[StoredRecord<'a>], field: impl Fn(&StoredRecord<'a>) -> T) -> Vec<T> {
    records.iter().map(field).collect()
}

// INVARIANT: `audit` tells the places of texts.
fn text(bytes: &[u8]) -> &str {
    str::from_utf8(bytes).unwrap_or_default()
}

fn listing(filter: &RecordFilter, after: Option<(i64, Uuid)>, limit: i64) -> QueryBuilder<Postgres> {
    let mut sql = QueryBuilder::new("SELECT at, id, record FROM decisions WHERE TRUE");
    if let Some(principal) = &filter.principal {
        sql.push(" AND principal = ").push_bind(principal.clone());
    }
    if let Some(resource) = &filter.resource {
        sql.push(" AND resource = ").push_bind(resource.clone());
    }
    if let Some(effect) = filter.effect {
        // A literal, one of two words: a partial index is only chosen for a condition that the planner can read.
        sql.push(" AND effect = '").push(effect.as_str()).push("'");
    }
    if let Some(reason) = filter.reason {
        sql.push(" AND reason = ").push_bind(reason.as_str());
    }
    if let Some(pep) = &filter.pep {
        sql.push(" AND pep = ").push_bind(pep.to_string());
    }
    if let Some(from) = filter.from {
        sql.push(" AND at >= ").push_bind(from.micros());
    }
    if let Some(until) = filter.until {
        sql.push(" AND at < ").push_bind(until.micros());
    }
    if let Some((at, id)) = after {
        sql.push(" AND (at, id) < (").push_bind(at).push(", ").push_bind(id).push(")");
    }
    sql.push(" ORDER BY at DESC, id DESC LIMIT ").push_bind(limit);
    sql
}
