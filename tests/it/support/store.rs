//! A store for one test, on either backend.

use std::path::PathBuf;
use std::sync::Arc;

use deodar::store::{Config, Location, Store, open};
use tempfile::TempDir;

use super::postgres::TestDatabase;

/// Which backend a test runs on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Backend {
    Embedded,
    Postgres,
}

/// A database of the test's own, and a store on it.
pub struct TestStore {
    pub store: Arc<dyn Store>,
    pub database: Database,
}

/// Where the database is; gone when dropped.
pub enum Database {
    Embedded(TempDir),
    Postgres(TestDatabase),
}

impl TestStore {
    pub async fn migrated(backend: Backend) -> Self {
        let test = match backend {
            Backend::Embedded => Self::empty(backend).await,
            Backend::Postgres => Self::on(Database::Postgres(TestDatabase::migrated().await)).await,
        };
        test.store.migrate().await.unwrap();
        test
    }

    /// Without a schema.
    pub async fn empty(backend: Backend) -> Self {
        let database = match backend {
            Backend::Embedded => Database::Embedded(tempfile::tempdir().unwrap()),
            Backend::Postgres => Database::Postgres(TestDatabase::empty().await),
        };
        Self::on(database).await
    }

    async fn on(database: Database) -> Self {
        let store = open(&database.config()).await.unwrap();
        Self { store, database }
    }

    /// A second store on the same database, as another replica has it: nothing is shared in memory.
    pub async fn another(&self) -> Arc<dyn Store> {
        open(&self.database.config()).await.unwrap()
    }
}

impl Database {
    pub fn config(&self) -> Config {
        Config { location: self.location(), max_connections: 4 }
    }

    fn location(&self) -> Location {
        match self {
            Self::Embedded(_) => Location::Embedded(self.file()),
            Self::Postgres(database) => Location::Postgres(database.url.clone()),
        }
    }

    /// The SQLite file.
    pub fn file(&self) -> PathBuf {
        match self {
            Self::Embedded(folder) => folder.path().join("deodar.db"),
            Self::Postgres(_) => panic!("a Postgres database is no file"),
        }
    }
}
