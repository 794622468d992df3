//! The embedded store: SQLite, one file.
//!
//! One connection writes (`BEGIN IMMEDIATE`), a few read beside it (WAL). Another process may have the same file open:
//! writers of both wait for each other, and [`Feed::wait_for_change`] notices what the other wrote.
//!
//! The epoch is drawn when the file gets its schema and stays with it. SQLite cannot tell that an older copy was put
//! in its place, so whoever restores a copy stops every process that has the file open, and calls
//! [`Feed::renew_epoch`] before they start again.
//!
//! [`Feed::wait_for_change`]: super::Feed::wait_for_change
//! [`Feed::renew_epoch`]: super::Feed::renew_epoch

mod batch;
mod clients;
mod decisions;
mod feed;
mod names;
mod principals;
mod replicas;
mod revocations;
mod row;
mod schema;
mod signals;
mod write;

use std::path::Path;
use std::sync::Mutex;
use std::time::Duration;

use async_trait::async_trait;
use sqlx::error::DatabaseError;
use sqlx::sqlite::{
    SqliteConnectOptions, SqliteJournalMode, SqlitePool, SqlitePoolOptions, SqliteSynchronous,
};

use super::{Store, StoreError};
use batch::Packer;
use feed::Wake;

const BACKEND: &str = "sqlite";

/// How long a writer waits for a writer in another process.
const BUSY_TIMEOUT: Duration = Duration::from_secs(5);

const READERS: u32 = 4;

/// The page size of a new file, in bytes. An audit record takes 1 to 2 KiB: of larger pages fewer are split and logged.
const PAGE_SIZE: u32 = 8_192;

/// The writer's page cache, in SQLite's unit: negative is KiB. Batches of records are written once and not looked at again;
/// a larger cache would only put more of them between what the processor has at hand.
const WRITER_CACHE: &str = "-4096";

/// Pages (8 MiB) in the WAL before it is copied into the file.
const CHECKPOINT_AFTER: &str = "1000";

/// A store in one SQLite file.
#[derive(Debug)]
pub struct EmbeddedStore {
    writer: SqlitePool,
    readers: SqlitePool,
    wake: Wake,
    packer: Mutex<Packer>,
}

impl EmbeddedStore {
    /// Opens the file; creates it, readable by its owner only, and its folder when they are not there.
    pub async fn open(path: &Path) -> Result<Self, StoreError> {
        let failed = failed("open the file");
        create_private(path).await.map_err(|error| failed(sqlx::Error::Io(error)))?;
        let options = SqliteConnectOptions::new()
            .filename(path)
            .page_size(PAGE_SIZE)
            .busy_timeout(BUSY_TIMEOUT)
            .foreign_keys(true)
            .journal_mode(SqliteJournalMode::Wal)
            // A revocation that was acknowledged survives a power cut.
            .synchronous(SqliteSynchronous::Full);
        let pool = |size| SqlitePoolOptions::new().max_connections(size).acquire_timeout(2 * BUSY_TIMEOUT);
        let writing =
            options.clone().pragma("cache_size", WRITER_CACHE).pragma("wal_autocheckpoint", CHECKPOINT_AFTER);
        let writer = connect_patiently(pool(1), &writing).await.map_err(failed)?;
        // Readers must not hold a snapshot longer than one call, or the WAL could never be emptied.
        let readers = pool(READERS).connect_lazy_with(options.clone());
        Ok(Self { writer, readers, wake: Wake::new(options), packer: Mutex::default() })
    }

    /// Closes every connection, once calls under way are done.
    pub async fn close(&self) {
        self.readers.close().await;
        self.writer.close().await;
    }
}

#[async_trait]
impl Store for EmbeddedStore {
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
        sqlx::query("SELECT 1").execute(&self.readers).await.map_err(failed("answer"))?;
        Ok(())
    }
}

/// Turning a new file to WAL does not wait for another process that is doing the same, so this waits.
async fn connect_patiently(
    pool: SqlitePoolOptions,
    options: &SqliteConnectOptions,
) -> Result<SqlitePool, sqlx::Error> {
    const PAUSE: Duration = Duration::from_millis(20);
    let mut waited = Duration::ZERO;
    loop {
        match pool.clone().connect_with(options.clone()).await {
            Err(sqlx::Error::Database(error)) if is_locked(error.as_ref()) && waited < BUSY_TIMEOUT => {
                tokio::time::sleep(PAUSE).await;
                waited += PAUSE;
            }
            connected => return connected,
        }
    }
}

/// Judges an error met while trying to `action`.
fn failed(action: &'static str) -> impl Fn(sqlx::Error) -> StoreError + Copy {
    move |source| StoreError::of_database(BACKEND, action, passes, source)
}

/// Whether the error is one that passes.
fn passes(error: &dyn DatabaseError) -> bool {
    // IOERR, FULL and CANTOPEN.
    is_locked(error) || matches!(primary_code(error), Some(10 | 13 | 14))
}

/// BUSY or LOCKED.
fn is_locked(error: &dyn DatabaseError) -> bool {
    matches!(primary_code(error), Some(5 | 6))
}

/// The low byte of SQLite's extended result code: <https://www.sqlite.org/rescode.html>.
fn primary_code(error: &dyn DatabaseError) -> Option<i32> {
    error.code().and_then(|code| code.parse::<i32>().ok()).map(|code| code & 0xff)
}

/// SQLite gives its WAL and shared-memory files the mode of the database file, so making that private makes all so.
async fn create_private(path: &Path) -> std::io::Result<()> {
    if let Some(folder) = path.parent().filter(|folder| !folder.as_os_str().is_empty()) {
        let mut builder = tokio::fs::DirBuilder::new();
        builder.recursive(true);
        #[cfg(unix)]
        builder.mode(0o700);
        builder.create(folder).await?;
    }
    let mut options = tokio::fs::OpenOptions::new();
    options.write(true).create_new(true);
    #[cfg(unix)]
    options.mode(0o600);
    match options.open(path).await {
        Err(error) if error.kind() != std::io::ErrorKind::AlreadyExists => Err(error),
        _ => Ok(()),
    }
}

#[cfg(all(test, unix))]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use super::*;

    #[tokio::test]
    async fn the_file_and_its_wal_belong_to_their_owner_alone() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("data/deodar.db");
        let store = EmbeddedStore::open(&path).await.unwrap();
        store.migrate().await.unwrap();
        for file in [path.clone(), path.with_extension("db-wal"), path.with_extension("db-shm")] {
            let mode = std::fs::metadata(&file).unwrap().permissions().mode();
            assert_eq!(mode & 0o777, 0o600, "{}", file.display());
        }
    }

    #[tokio::test(flavor = "multi_thread", worker_threads = 4)]
    async fn several_may_open_and_migrate_a_new_file_at_once() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("deodar.db");
        let mut opening = tokio::task::JoinSet::new();
        for _ in 0..8 {
            let path = path.clone();
            opening.spawn(async move {
                let store = EmbeddedStore::open(&path).await.unwrap();
                store.migrate().await.unwrap()
            });
        }
        assert_eq!(opening.join_all().await.iter().filter(|applied| **applied > 0).count(), 1);
    }

    #[tokio::test]
    async fn a_file_that_is_no_database_is_refused() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("deodar.db");
        std::fs::write(&path, "this is a text, and quite a long one for that").unwrap();
        let Err(error) = EmbeddedStore::open(&path).await else { panic!("opened") };
        assert!(matches!(error, StoreError::Failed { .. }), "{error:?}");
    }
}
