//! The Postgres store, version 15 or newer: what several replicas share.
//!
//! Control-plane writers queue at the one row of `revision` (see [`Feed`]); audit batches are one statement each; a
//! connection of its own listens for notifications. A server that fell over, was restored or was promoted is noticed
//! by `deodar_history()` (in the first migration), at the next read of the revision or the next write: a new epoch.
//! What it cannot notice is a restore of rows into tables that stay; after one, call [`Feed::renew_epoch`].
//!
//! [`Feed`]: super::Feed
//! [`Feed::renew_epoch`]: super::Feed::renew_epoch

mod clients;
mod decisions;
mod feed;
mod principals;
mod replicas;
mod revocations;
mod schema;
mod signals;
mod write;

use std::str::FromStr;
use std::time::Duration;

use async_trait::async_trait;
use sqlx::error::DatabaseError;
use sqlx::postgres::{PgConnectOptions, PgConnection, PgPool, PgPoolOptions};

use super::{Store, StoreError};
use feed::Wake;

const BACKEND: &str = "postgres";

/// How long a call waits for a connection before it says that there is none.
const ACQUIRE_TIMEOUT: Duration = Duration::from_secs(5);

/// A store in a Postgres database.
#[derive(Debug)]
pub struct PostgresStore {
    pool: PgPool,
    wake: Wake,
}

impl PostgresStore {
    /// Connects with up to `max_connections`, and one more that listens. Fails when the URL is wrong or nobody answers.
    pub async fn connect(url: &str, max_connections: u32) -> Result<Self, StoreError> {
        let failed = failed("connect");
        let options = PgConnectOptions::from_str(url).map_err(failed)?.application_name("deodar");
        let pool = PgPoolOptions::new()
            .max_connections(max_connections.max(1))
            .acquire_timeout(ACQUIRE_TIMEOUT)
            .after_connect(|connection, _| Box::pin(bound_waits(connection)))
            .connect_with(options.clone())
            .await
            .map_err(failed)?;
        Ok(Self { pool, wake: Wake::new(options) })
    }

    /// Closes every connection, once calls under way are done.
    pub async fn close(&self) {
        self.wake.close().await;
        self.pool.close().await;
    }
}

/// Nobody may hold the row of `revision` for ever: a replica that vanished in the middle of a write would stop all
/// others. The server ends its transaction; those that wait meanwhile are told to come back.
async fn bound_waits(connection: &mut PgConnection) -> Result<(), sqlx::Error> {
    sqlx::raw_sql(
        "SET lock_timeout = '10s'; SET statement_timeout = '30s'; SET idle_in_transaction_session_timeout = '10s'",
    )
    .execute(connection)
    .await?;
    Ok(())
}

#[async_trait]
impl Store for PostgresStore {
    fn backend(&self) -> &'static str {
        BACKEND
    }

    async fn migrate(&self) -> Result<usize, StoreError> {
        schema::migrate(self).await
    }

    async fn check_schema(&self) -> Result<(), StoreError> {
        schema::check(self).await
    }

    async fn ping(&self) -> Result<(), StoreError> {
        sqlx::query("SELECT 1").execute(&self.pool).await.map_err(failed("answer"))?;
        Ok(())
    }
}

/// Judges an error met while trying to `action`.
fn failed(action: &'static str) -> impl Fn(sqlx::Error) -> StoreError + Copy {
    move |source| StoreError::of_database(BACKEND, action, passes, source)
}

/// Whether the error is one that passes, by its SQLSTATE.
fn passes(error: &dyn DatabaseError) -> bool {
    let code = error.code().unwrap_or_default();
    // Connection exceptions, insufficient resources, and a server that stops, starts or ends sessions.
    let classes = ["08", "53", "57P"];
    // A write sent to a standby, an ended idle transaction, serialisation failure, deadlock, lock and statement
    // time-outs.
    let codes = ["25006", "25P03", "40001", "40P01", "55P03", "57014"];
    classes.iter().any(|class| code.starts_with(class)) || codes.contains(&code.as_ref())
}
