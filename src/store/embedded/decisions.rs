//! Audit records and counted refusals in SQLite.
//!
//! Records stand in batches (`batch`): SQLite and its indexes would ask several times the price of a decision for a row of
//! each. A list opens the batches whose times and names can hold what is wanted, newest first.

use std::collections::HashSet;
use std::mem;
use std::sync::PoisonError;

use async_trait::async_trait;
use foldhash::fast::RandomState;
use sqlx::{QueryBuilder, Sqlite, SqliteConnection};
use uuid::Uuid;

use super::batch::{self, Batch, Opened, Packer};
use super::{EmbeddedStore, failed};
use crate::model::{DecisionId, Effect, Page, PageRequest, RecordFilter, Refusals};
use crate::store::cursor::{self, Cursor};
use crate::store::decisions::{RefusalKey, RefusalRow, count_of, refusals_of};
use crate::store::{Decisions, StoreError, StoredRecord};

/// Records in one batch at most: what has to be opened to find one of them.
const RECORDS: usize = 512;

/// Batches looked at with one query.
const HEADS: i64 = 128;

#[async_trait]
impl Decisions for EmbeddedStore {
    async fn append_records(&self, records: &[StoredRecord<'_>]) -> Result<(), StoreError> {
        let ids = || records.iter().map(|record| record.head.id.uuid());
        let (Some(first), Some(last)) = (ids().min(), ids().max()) else { return Ok(()) };
        let failed = failed("append audit records");
        let mut tx = self.writer.begin_with("BEGIN IMMEDIATE").await.map_err(failed)?;
        let known = known(&mut tx, first, last).await.map_err(failed)?;
        let mut packer = self.take_packer();
        for records in records.chunks(RECORDS) {
            let new: Vec<_> =
                records.iter().filter(|record| !known.contains(&record.head.id.uuid())).collect();
            if let Some(batch) = packer.pack(&new)? {
                insert(&mut tx, &batch).await.map_err(failed)?;
            }
        }
        self.give_back(packer);
        tx.commit().await.map_err(failed)
    }

    async fn get_record(&self, id: DecisionId) -> Result<Option<Vec<u8>>, StoreError> {
        let failed = failed("read an audit record");
        let batches: Vec<(i64, Vec<u8>)> = sqlx::query_as(
            "SELECT number, ids FROM decision_batches WHERE last_id >= ? AND first_id <= ? ORDER BY last_id",
        )
        .bind(id.uuid())
        .bind(id.uuid())
        .fetch_all(&self.readers)
        .await
        .map_err(failed)?;
        let Some((number, ids)) = batches.iter().find(|(_, ids)| batch::ids(ids).any(|one| one == id.uuid()))
        else {
            return Ok(None);
        };
        let opened = self.opened(*number).await?;
        let found = opened.rows(ids).find(|row| row.as_ref().is_ok_and(|row| row.id == id.uuid()));
        let row = found.unwrap_or_else(|| {
            Err(StoreError::Corrupt { what: "an audit record", why: "its batch does not hold it".to_owned() })
        })?;
        Ok(Some(row.bytes()))
    }

    async fn list_records(
        &self,
        filter: &RecordFilter,
        page: &PageRequest,
    ) -> Result<Page<Vec<u8>>, StoreError> {
        let after: Option<(i64, Uuid)> = Cursor::records(filter).key(page)?;
        let limit = usize::try_from(cursor::limit(page)).unwrap_or(usize::MAX);
        let mut search = Search { filter, after, limit, found: Vec::new() };
        let mut last = None;
        loop {
            let heads: Vec<Head> = heads(filter, after, last)
                .build_query_as()
                .fetch_all(&self.readers)
                .await
                .map_err(failed("list the audit records"))?;
            for (last_at, number, names) in &heads {
                if search.is_settled(*last_at) {
                    return Cursor::records(filter).page(search.found, page);
                }
                if batch::may_hold(names, filter) {
                    search.look_into(&self.ids(*number).await?, &self.opened(*number).await?)?;
                }
            }
            last = heads.last().map(|(last_at, number, _)| (*last_at, *number));
            if last.is_none() {
                return Cursor::records(filter).page(search.found, page);
            }
        }
    }

    async fn add_refusals(&self, refusals: &[Refusals]) -> Result<(), StoreError> {
        if refusals.is_empty() {
            return Ok(());
        }
        let failed = failed("count refusals");
        let mut tx = self.writer.begin_with("BEGIN IMMEDIATE").await.map_err(failed)?;
        for row in refusals {
            sqlx::query(
                "INSERT INTO refusals (replica, minute, kind, peer, count, first_at, last_at, sample) \
                 VALUES (?, ?, ?, ?, ?, ?, ?, ?) \
                 ON CONFLICT (minute, kind, peer, replica) DO UPDATE SET \
                 count = count + excluded.count, \
                 first_at = min(first_at, excluded.first_at), \
                 last_at = max(last_at, excluded.last_at)",
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
        let mut sql = QueryBuilder::<Sqlite>::new(
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
            sql.build_query_as().fetch_all(&self.readers).await.map_err(failed("list the refusals"))?;
        Cursor::refusals().page(rows.into_iter().map(refusals_of).collect(), page)
    }
}

/// The last time, the number and the names of a batch.
type Head = (i64, i64, Vec<u8>);

/// The heads of batches that can hold what is wanted by their times and effects, newest first, beyond `last`.
fn heads(
    filter: &RecordFilter,
    after: Option<(i64, Uuid)>,
    last: Option<(i64, i64)>,
) -> QueryBuilder<Sqlite> {
    let mut sql = QueryBuilder::new("SELECT last_at, number, names FROM decision_batches WHERE TRUE");
    match filter.effect {
        Some(Effect::Deny) => sql.push(" AND denials > 0"),
        Some(Effect::Allow) => sql.push(" AND denials < records"),
        None => &mut sql,
    };
    if let Some(from) = filter.from {
        sql.push(" AND last_at >= ").push_bind(from.micros());
    }
    if let Some(until) = filter.until {
        sql.push(" AND first_at < ").push_bind(until.micros());
    }
    if let Some((at, _)) = after {
        sql.push(" AND first_at <= ").push_bind(at);
    }
    if let Some((last_at, number)) = last {
        sql.push(" AND (last_at, number) < (").push_bind(last_at).push(", ").push_bind(number).push(")");
    }
    sql.push(" ORDER BY last_at DESC, number DESC LIMIT ").push_bind(HEADS);
    sql
}

/// The newest records of a filter, as far as batches were looked into.
struct Search<'a> {
    filter: &'a RecordFilter,
    after: Option<(i64, Uuid)>,
    limit: usize,
    /// Newest first, with the key of each.
    found: Vec<((i64, Uuid), Vec<u8>)>,
}

impl Search<'_> {
    /// Whether nothing in batches that end at this time or before could be among the newest.
    fn is_settled(&self, last_at: i64) -> bool {
        let oldest = self.found.last().filter(|_| self.found.len() >= self.limit);
        oldest.is_some_and(|((at, _), _)| *at > last_at)
    }

    fn look_into(&mut self, ids: &[u8], opened: &Opened) -> Result<(), StoreError> {
        for row in opened.rows(ids) {
            let row = row?;
            let key = (row.at, row.id);
            if row.fits(self.filter) && self.after.is_none_or(|after| key < after) {
                self.found.push((key, row.bytes()));
            }
        }
        self.found.sort_unstable_by(|(a, _), (b, _)| b.cmp(a));
        self.found.truncate(self.limit);
        Ok(())
    }
}

impl EmbeddedStore {
    /// The one that packed the last batches, with the memory that it has by now; one batch is appended at a time.
    fn take_packer(&self) -> Packer {
        mem::take(&mut *self.packer.lock().unwrap_or_else(PoisonError::into_inner))
    }

    fn give_back(&self, packer: Packer) {
        if packer.is_outsized() {
            return;
        }
        *self.packer.lock().unwrap_or_else(PoisonError::into_inner) = packer;
    }

    async fn ids(&self, batch: i64) -> Result<Vec<u8>, StoreError> {
        self.column("SELECT ids FROM decision_batches WHERE number = ?", batch).await
    }

    async fn opened(&self, batch: i64) -> Result<Opened, StoreError> {
        Opened::of(&self.column("SELECT body FROM decision_batches WHERE number = ?", batch).await?)
    }

    async fn column(&self, sql: &'static str, batch: i64) -> Result<Vec<u8>, StoreError> {
        let (column,) = sqlx::query_as(sql)
            .bind(batch)
            .fetch_one(&self.readers)
            .await
            .map_err(failed("read audit records"))?;
        Ok(column)
    }
}

/// The ids of records that are there already, of those between two ids.
async fn known(
    connection: &mut SqliteConnection,
    first: Uuid,
    last: Uuid,
) -> Result<HashSet<Uuid, RandomState>, sqlx::Error> {
    let batches: Vec<(Vec<u8>,)> =
        sqlx::query_as("SELECT ids FROM decision_batches WHERE last_id >= ? AND first_id <= ?")
            .bind(first)
            .bind(last)
            .fetch_all(connection)
            .await?;
    Ok(batches.iter().flat_map(|(ids,)| batch::ids(ids)).collect())
}

async fn insert(connection: &mut SqliteConnection, batch: &Batch<'_>) -> Result<(), sqlx::Error> {
    sqlx::query(
        "INSERT INTO decision_batches \
         (first_at, last_at, first_id, last_id, records, denials, names, ids, body) \
         VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)",
    )
    .bind(batch.first_at)
    .bind(batch.last_at)
    .bind(batch.first_id)
    .bind(batch.last_id)
    .bind(batch.records)
    .bind(batch.denials)
    .bind(batch.names.as_slice())
    .bind(batch.ids.as_slice())
    .bind(batch.body)
    .execute(connection)
    .await?;
    Ok(())
}
