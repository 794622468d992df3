//! The schema: migrations compiled in, applied under one advisory lock.

use sqlx::migrate::{Migrate, MigrateError, Migrator};

use super::{PostgresStore, failed};
use crate::store::{Feed, StoreError};

static MIGRATOR: Migrator = sqlx::migrate!("migrations/postgres");

/// The key of the advisory lock: "deodar" in ASCII.
const LOCK: i64 = 0x6465_6f64_6172;

const MIGRATING: &str = "apply the migrations";
const CHECKING: &str = "read its schema version";

/// Everything missing is applied in one transaction: whoever comes second waits, and finds nothing to do.
pub(super) async fn migrate(store: &PostgresStore) -> Result<usize, StoreError> {
    let mut tx = store.pool.begin().await.map_err(failed(MIGRATING))?;
    // A migration may take its time, and so may the replica that came first.
    sqlx::raw_sql("SET LOCAL lock_timeout = 0; SET LOCAL statement_timeout = 0")
        .execute(&mut *tx)
        .await
        .map_err(failed(MIGRATING))?;
    sqlx::query("SELECT pg_advisory_xact_lock($1)")
        .bind(LOCK)
        .execute(&mut *tx)
        .await
        .map_err(failed(MIGRATING))?;
    tx.ensure_migrations_table(&MIGRATOR.table_name).await.map_err(migration)?;
    let before = tx.list_applied_migrations(&MIGRATOR.table_name).await.map_err(migration)?.len();
    MIGRATOR.run_direct(None, &mut *tx, false).await.map_err(migration)?;
    let after = tx.list_applied_migrations(&MIGRATOR.table_name).await.map_err(migration)?.len();
    tx.commit().await.map_err(failed(MIGRATING))?;
    store.current_revision().await?;
    Ok(after.saturating_sub(before))
}

/// Also takes a new epoch when the server's history is another than the one the last epoch was taken for.
pub(super) async fn check(store: &PostgresStore) -> Result<(), StoreError> {
    let mut connection = store.pool.acquire().await.map_err(failed(CHECKING))?;
    let (there,): (bool,) = sqlx::query_as("SELECT to_regclass('_sqlx_migrations') IS NOT NULL")
        .fetch_one(&mut *connection)
        .await
        .map_err(failed(CHECKING))?;
    let applied = match there {
        false => Vec::new(),
        true => connection.list_applied_migrations(&MIGRATOR.table_name).await.map_err(migration)?,
    };
    drop(connection);
    crate::store::schema::compare(&MIGRATOR, &applied)?;
    store.current_revision().await?;
    Ok(())
}

fn migration(error: MigrateError) -> StoreError {
    match error {
        MigrateError::Execute(source) => failed(MIGRATING)(source),
        other => StoreError::Migration(other),
    }
}
