//! The directory of principals in SQLite.

use async_trait::async_trait;

use super::write::{Write, revision};
use super::{EmbeddedStore, failed};
use crate::model::{
    ChangeBody, DirectoryChange, DirectoryEntry, Expected, Page, PageRequest, PrincipalId, Revision,
};
use crate::store::cursor::{self, Cursor};
use crate::store::{Principals, StoreError, body};

const WRITING: &str = "write an entry of the directory";

#[async_trait]
impl Principals for EmbeddedStore {
    async fn put_principal(
        &self,
        entry: &DirectoryEntry,
        expected: &Expected,
    ) -> Result<Revision, StoreError> {
        let mut write = Write::begin(self, WRITING).await?;
        check(found(&mut write, &entry.principal).await?.as_ref(), expected, &entry.principal)?;
        sqlx::query(
            "INSERT INTO principals (id, body) VALUES (?, ?) \
             ON CONFLICT (id) DO UPDATE SET body = excluded.body",
        )
        .bind(entry.principal.as_str())
        .bind(body::encode("principal", entry)?)
        .execute(write.connection())
        .await
        .map_err(failed(WRITING))?;
        record(&mut write, &entry.principal, Some(entry)).await?;
        write.commit().await
    }

    async fn get_principal(&self, id: &PrincipalId) -> Result<Option<DirectoryEntry>, StoreError> {
        let row: Option<(String,)> = sqlx::query_as("SELECT body FROM principals WHERE id = ?")
            .bind(id.as_str())
            .fetch_optional(&self.readers)
            .await
            .map_err(failed("read an entry of the directory"))?;
        row.map(|(text,)| body::decode("principal", &text)).transpose()
    }

    async fn list_principals(&self, page: &PageRequest) -> Result<Page<DirectoryEntry>, StoreError> {
        let after: Option<String> = Cursor::principals().key(page)?;
        let rows: Vec<(String, String)> =
            sqlx::query_as("SELECT id, body FROM principals WHERE id > ? ORDER BY id LIMIT ?")
                // No id is empty, so that all come after this one.
                .bind(after.unwrap_or_default())
                .bind(cursor::limit(page))
                .fetch_all(&self.readers)
                .await
                .map_err(failed("list the directory"))?;
        let read = |(id, text): (String, String)| Ok((id, body::decode("principal", &text)?));
        let rows: Result<Vec<_>, StoreError> = rows.into_iter().map(read).collect();
        Cursor::principals().page(rows?, page)
    }

    async fn delete_principal(
        &self,
        id: &PrincipalId,
        expected: &Expected,
    ) -> Result<Option<Revision>, StoreError> {
        let mut write = Write::begin(self, WRITING).await?;
        let Some(entry) = found(&mut write, id).await? else { return Ok(None) };
        check(Some(&entry), expected, id)?;
        sqlx::query("DELETE FROM principals WHERE id = ?")
            .bind(id.as_str())
            .execute(write.connection())
            .await
            .map_err(failed(WRITING))?;
        record(&mut write, id, None).await?;
        write.commit().await.map(Some)
    }

    async fn all_principals(&self) -> Result<(Vec<DirectoryEntry>, Revision), StoreError> {
        let failed = failed("load the directory");
        let mut tx = self.readers.begin().await.map_err(failed)?;
        let revision = revision(&mut tx).await.map_err(failed)?;
        let rows: Vec<(String,)> = sqlx::query_as("SELECT body FROM principals ORDER BY id")
            .fetch_all(&mut *tx)
            .await
            .map_err(failed)?;
        let entries: Result<_, _> = rows.iter().map(|(text,)| body::decode("principal", text)).collect();
        Ok((entries?, revision))
    }
}

async fn found(write: &mut Write<'_>, id: &PrincipalId) -> Result<Option<DirectoryEntry>, StoreError> {
    let row: Option<(String,)> = sqlx::query_as("SELECT body FROM principals WHERE id = ?")
        .bind(id.as_str())
        .fetch_optional(write.connection())
        .await
        .map_err(failed(WRITING))?;
    row.map(|(text,)| body::decode("principal", &text)).transpose()
}

fn check(found: Option<&DirectoryEntry>, expected: &Expected, id: &PrincipalId) -> Result<(), StoreError> {
    if expected.fits(found) {
        return Ok(());
    }
    Err(StoreError::Conflict { what: "principal", name: id.to_string() })
}

async fn record(
    write: &mut Write<'_>,
    id: &PrincipalId,
    entry: Option<&DirectoryEntry>,
) -> Result<(), StoreError> {
    let change = DirectoryChange { principal: id.clone(), entry: entry.cloned() };
    write.record(&ChangeBody::Principal(change)).await.map(drop)
}
