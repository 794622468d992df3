//! Revocations in Postgres.

use async_trait::async_trait;
use sqlx::{Postgres, QueryBuilder};
use uuid::Uuid;

use super::feed::snapshot;
use super::write::Write;
use super::{PostgresStore, failed};
use crate::model::{
    ChangeBody, Page, PageRequest, Revision, Revocation, RevocationFilter, RevocationId, Timestamp, Undone,
};
use crate::store::cursor::{self, Cursor};
use crate::store::{Revocations, StoreError, body};

const UNDOING: &str = "take a revocation back";

#[async_trait]
impl Revocations for PostgresStore {
    async fn create_revocation(&self, revocation: &Revocation) -> Result<Revision, StoreError> {
        const ACTION: &str = "keep a revocation";
        let mut write = Write::begin(self, ACTION).await?;
        sqlx::query(
            "INSERT INTO revocations (id, target, created_at, expires_at, body) VALUES ($1, $2, $3, $4, $5)",
        )
        .bind(revocation.id.uuid())
        .bind(revocation.target.to_string())
        .bind(revocation.created_at.micros())
        .bind(revocation.expires_at.micros())
        .bind(body::encode("revocation", revocation)?)
        .execute(write.connection())
        .await
        .map_err(failed(ACTION))?;
        write.record(&ChangeBody::Revocation(revocation.clone()))?;
        write.commit().await
    }

    async fn get_revocation(&self, id: RevocationId) -> Result<Option<Revocation>, StoreError> {
        let row: Option<(String,)> = sqlx::query_as("SELECT body FROM revocations WHERE id = $1")
            .bind(id.uuid())
            .fetch_optional(&self.pool)
            .await
            .map_err(failed("read a revocation"))?;
        row.map(|(text,)| body::decode("revocation", &text)).transpose()
    }

    async fn list_revocations(
        &self,
        filter: &RevocationFilter,
        page: &PageRequest,
    ) -> Result<Page<Revocation>, StoreError> {
        let after: Option<(i64, Uuid)> = Cursor::revocations(filter).key(page)?;
        let rows: Vec<(i64, Uuid, String)> = listing(filter, after, cursor::limit(page))
            .build_query_as()
            .fetch_all(&self.pool)
            .await
            .map_err(failed("list the revocations"))?;
        let read = |(at, id, text): (i64, Uuid, String)| Ok(((at, id), body::decode("revocation", &text)?));
        let rows: Result<Vec<_>, StoreError> = rows.into_iter().map(read).collect();
        Cursor::revocations(filter).page(rows?, page)
    }

    async fn undo_revocation(
        &self,
        id: RevocationId,
        undone: &Undone,
    ) -> Result<Option<(Revocation, Revision)>, StoreError> {
        let mut write = Write::begin(self, UNDOING).await?;
        let row: Option<(String,)> = sqlx::query_as("SELECT body FROM revocations WHERE id = $1")
            .bind(id.uuid())
            .fetch_optional(write.connection())
            .await
            .map_err(failed(UNDOING))?;
        let Some((text,)) = row else { return Ok(None) };
        let mut revocation: Revocation = body::decode("revocation", &text)?;
        if revocation.undone.is_some() {
            return Ok(Some((revocation, write.commit().await?)));
        }
        revocation.undone = Some(undone.clone());
        sqlx::query("UPDATE revocations SET undone_at = $1, body = $2 WHERE id = $3")
            .bind(undone.at.micros())
            .bind(body::encode("revocation", &revocation)?)
            .bind(id.uuid())
            .execute(write.connection())
            .await
            .map_err(failed(UNDOING))?;
        write.record(&ChangeBody::Revocation(revocation.clone()))?;
        Ok(Some((revocation, write.commit().await?)))
    }

    async fn live_revocations(&self, now: Timestamp) -> Result<(Vec<Revocation>, Revision), StoreError> {
        const ACTION: &str = "load the revocations";
        let (mut tx, revision) = snapshot(self, ACTION).await?;
        let rows: Vec<(String,)> =
            sqlx::query_as("SELECT body FROM revocations WHERE undone_at IS NULL AND expires_at > $1")
                .bind(now.micros())
                .fetch_all(&mut *tx)
                .await
                .map_err(failed(ACTION))?;
        let found: Result<_, _> = rows.iter().map(|(text,)| body::decode("revocation", text)).collect();
        Ok((found?, revision))
    }

    async fn purge_revocations(&self, before: Timestamp) -> Result<u64, StoreError> {
        let purged = sqlx::query("DELETE FROM revocations WHERE expires_at < $1")
            .bind(before.micros())
            .execute(&self.pool)
            .await
            .map_err(failed("purge the revocations"))?;
        Ok(purged.rows_affected())
    }
}

fn listing(filter: &RevocationFilter, after: Option<(i64, Uuid)>, limit: i64) -> QueryBuilder<Postgres> {
    let mut sql = QueryBuilder::new("SELECT created_at, id, body FROM revocations WHERE TRUE");
    if let Some(target) = &filter.target {
        sql.push(" AND target = ").push_bind(target.to_string());
    }
    if !filter.include_undone {
        sql.push(" AND undone_at IS NULL");
    }
    if let Some((at, id)) = after {
        sql.push(" AND (created_at, id) < (").push_bind(at).push(", ").push_bind(id).push(")");
    }
    sql.push(" ORDER BY created_at DESC, id DESC LIMIT ").push_bind(limit);
    sql
}
