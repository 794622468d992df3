//! Signals in Postgres.

use async_trait::async_trait;
use sqlx::{Postgres, QueryBuilder};
use uuid::Uuid;

use super::feed::snapshot;
use super::write::Write;
use super::{PostgresStore, failed};
use crate::model::signal::Cleared;
use crate::model::{
    ChangeBody, ClientId, NewSignal, Page, PageRequest, Revision, Signal, SignalFilter, SignalId, SignalLife,
    Timestamp,
};
use crate::store::cursor::{self, Cursor};
use crate::store::signals::signal_of;
use crate::store::{Feed, RecordedSignal, Signals, StoreError, body};

const RECORDING: &str = "record signals";
const CLEARING: &str = "clear a signal";

#[async_trait]
impl Signals for PostgresStore {
    async fn record_signals(
        &self,
        signals: &[NewSignal],
        by: &ClientId,
        at: Timestamp,
    ) -> Result<(Vec<RecordedSignal>, Revision), StoreError> {
        if signals.is_empty() {
            return Ok((Vec::new(), self.current_revision().await?));
        }
        let mut write = Write::begin(self, RECORDING).await?;
        let mut recorded = Vec::with_capacity(signals.len());
        for new in signals {
            let known = find_duplicate(&mut write, new, by).await?;
            let refreshed = known.is_some();
            let (id, recorded_at) = known.unwrap_or_else(|| (SignalId::generate(), at));
            let signal = signal_of(new.clone(), id, by.clone(), recorded_at);
            keep(&mut write, &signal).await?;
            write.record(&ChangeBody::Signal(signal.clone()))?;
            recorded.push(RecordedSignal { signal, refreshed });
        }
        Ok((recorded, write.commit().await?))
    }

    async fn get_signal(&self, id: SignalId) -> Result<Option<Signal>, StoreError> {
        let row: Option<(String,)> = sqlx::query_as("SELECT body FROM signals WHERE id = $1")
            .bind(id.uuid())
            .fetch_optional(&self.pool)
            .await
            .map_err(failed("read a signal"))?;
        row.map(|(text,)| body::decode("signal", &text)).transpose()
    }

    async fn list_signals(
        &self,
        filter: &SignalFilter,
        page: &PageRequest,
    ) -> Result<Page<Signal>, StoreError> {
        let after: Option<(i64, Uuid)> = Cursor::signals(filter).key(page)?;
        let rows: Vec<(i64, Uuid, String)> = listing(filter, after, cursor::limit(page))
            .build_query_as()
            .fetch_all(&self.pool)
            .await
            .map_err(failed("list the signals"))?;
        let read = |(at, id, text): (i64, Uuid, String)| Ok(((at, id), body::decode("signal", &text)?));
        let rows: Result<Vec<_>, StoreError> = rows.into_iter().map(read).collect();
        Cursor::signals(filter).page(rows?, page)
    }

    async fn clear_signal(
        &self,
        id: SignalId,
        cleared: &Cleared,
    ) -> Result<Option<(Signal, Revision)>, StoreError> {
        let mut write = Write::begin(self, CLEARING).await?;
        let row: Option<(String,)> = sqlx::query_as("SELECT body FROM signals WHERE id = $1")
            .bind(id.uuid())
            .fetch_optional(write.connection())
            .await
            .map_err(failed(CLEARING))?;
        let Some((text,)) = row else { return Ok(None) };
        let mut signal: Signal = body::decode("signal", &text)?;
        if signal.cleared.is_some() {
            return Ok(Some((signal, write.commit().await?)));
        }
        signal.cleared = Some(cleared.clone());
        sqlx::query("UPDATE signals SET cleared_at = $1, body = $2 WHERE id = $3")
            .bind(cleared.at.micros())
            .bind(body::encode("signal", &signal)?)
            .bind(id.uuid())
            .execute(write.connection())
            .await
            .map_err(failed(CLEARING))?;
        write.record(&ChangeBody::Signal(signal.clone()))?;
        Ok(Some((signal, write.commit().await?)))
    }

    async fn live_signals(&self, after: Timestamp) -> Result<(Vec<Signal>, Revision), StoreError> {
        const ACTION: &str = "load the signals";
        let (mut tx, revision) = snapshot(self, ACTION).await?;
        let rows: Vec<(String,)> = sqlx::query_as(
            "SELECT body FROM signals WHERE cleared_at IS NULL AND (observed_at > $1 OR until_cleared) \
             ORDER BY recorded_at, id",
        )
        .bind(after.micros())
        .fetch_all(&mut *tx)
        .await
        .map_err(failed(ACTION))?;
        let signals: Result<_, _> = rows.iter().map(|(text,)| body::decode("signal", text)).collect();
        Ok((signals?, revision))
    }
}

/// The live signal that this one refreshes: its id and when it was first recorded.
async fn find_duplicate(
    write: &mut Write,
    new: &NewSignal,
    by: &ClientId,
) -> Result<Option<(SignalId, Timestamp)>, StoreError> {
    let Some(key) = &new.dedup_key else { return Ok(None) };
    let row: Option<(Uuid, i64)> = sqlx::query_as(
        "SELECT id, recorded_at FROM signals \
         WHERE recorded_by = $1 AND subject = $2 AND kind = $3 AND dedup_key = $4 AND cleared_at IS NULL",
    )
    .bind(by.as_str())
    .bind(new.subject.to_string())
    .bind(&new.kind)
    .bind(key)
    .fetch_optional(write.connection())
    .await
    .map_err(failed(RECORDING))?;
    Ok(row.map(|(id, at)| (SignalId::from_uuid(id), Timestamp::from_micros(at))))
}

/// Writes a live signal's row whole.
async fn keep(write: &mut Write, signal: &Signal) -> Result<(), StoreError> {
    sqlx::query(
        "INSERT INTO signals \
         (id, subject, kind, recorded_by, dedup_key, observed_at, recorded_at, until_cleared, body) \
         VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9) \
         ON CONFLICT (id) DO UPDATE SET observed_at = excluded.observed_at, \
         until_cleared = excluded.until_cleared, body = excluded.body",
    )
    .bind(signal.id.uuid())
    .bind(signal.subject.to_string())
    .bind(&signal.kind)
    .bind(signal.recorded_by.as_str())
    .bind(&signal.dedup_key)
    .bind(signal.observed_at.micros())
    .bind(signal.recorded_at.micros())
    .bind(signal.life == SignalLife::UntilCleared)
    .bind(body::encode("signal", signal)?)
    .execute(write.connection())
    .await
    .map_err(failed(RECORDING))?;
    Ok(())
}

fn listing(filter: &SignalFilter, after: Option<(i64, Uuid)>, limit: i64) -> QueryBuilder<Postgres> {
    let mut sql = QueryBuilder::new("SELECT recorded_at, id, body FROM signals WHERE TRUE");
    if let Some(subject) = &filter.subject {
        sql.push(" AND subject = ").push_bind(subject.to_string());
    }
    if let Some(kind) = &filter.kind {
        sql.push(" AND kind = ").push_bind(kind.clone());
    }
    if !filter.include_cleared {
        sql.push(" AND cleared_at IS NULL");
    }
    if let Some((at, id)) = after {
        sql.push(" AND (recorded_at, id) < (").push_bind(at).push(", ").push_bind(id).push(")");
    }
    sql.push(" ORDER BY recorded_at DESC, id DESC LIMIT ").push_bind(limit);
    sql
}
