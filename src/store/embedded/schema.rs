//! The schema: migrations compiled in, applied under one write lock.

use sqlx::migrate::{Migrate, MigrateError, Migrator};

use super::{EmbeddedStore, failed};
use crate::store::StoreError;

static MIGRATOR: Migrator = sqlx::migrate!("migrations/embedded");

const MIGRATING: &str = "apply the migrations";
const CHECKING: &str = "read its schema version";

/// Everything missing is applied in one transaction: whoever comes second waits, and finds nothing to do.
pub(super) async fn migrate(store: &EmbeddedStore) -> Result<usize, StoreError> {
    let mut tx = store.writer.begin_with("BEGIN IMMEDIATE").await.map_err(failed(MIGRATING))?;
    tx.ensure_migrations_table(&MIGRATOR.table_name).await.map_err(migration)?;
    let before = tx.list_applied_migrations(&MIGRATOR.table_name).await.map_err(migration)?.len();
    MIGRATOR.run_direct(None, &mut *tx, false).await.map_err(migration)?;
    let after = tx.list_applied_migrations(&MIGRATOR.table_name).await.map_err(migration)?.len();
    tx.commit().await.map_err(failed(MIGRATING))?;
    Ok(after.saturating_sub(before))
}

pub(super) async fn check(store: &EmbeddedStore) -> Result<(), StoreError> {
    let mut tx = store.readers.begin().await.map_err(failed(CHECKING))?;
    let (tables,): (i64,) = sqlx::query_as(
        "SELECT count(*) FROM sqlite_master WHERE type = 'table' AND name = '_sqlx_migrations'",
    )
    .fetch_one(&mut *tx)
    .await
    .map_err(failed(CHECKING))?;
    let applied = match tables {
        0 => Vec::new(),
        _ => tx.list_applied_migrations(&MIGRATOR.table_name).await.map_err(migration)?,
    };
    crate::store::schema::compare(&MIGRATOR, &applied)
}

fn migration(error: MigrateError) -> StoreError {
    match error {
        MigrateError::Execute(source) => failed(MIGRATING)(source),
        other => StoreError::Migration(other),
    }
}
