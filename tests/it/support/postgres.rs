//! A Postgres database for one test: copied from a migrated template, dropped when the test is over.
//!
//! Each test is a process of its own, so that the template is made under an advisory lock and named by a hash of the
//! migrations: whoever comes first makes it, a changed migration makes another.

use std::path::Path;
use std::str::FromStr;

use deodar::store::Store;
use deodar::store::postgres::PostgresStore;
use sha2::{Digest, Sha256};
use sqlx::postgres::PgConnectOptions;
use sqlx::{AssertSqlSafe, ConnectOptions, Connection, PgConnection};
use uuid::Uuid;

const VARIABLE: &str = "DEODAR_TEST_POSTGRES_URL";

/// The key of the advisory lock that the template is made under; any number that nobody else uses.
const TEMPLATE_LOCK: i64 = 0x7465_6d70_6c61_7465;

/// A database of the test's own.
pub struct TestDatabase {
    pub url: String,
    name: String,
    admin: String,
}

impl TestDatabase {
    /// With the schema that this binary wants.
    pub async fn migrated() -> Self {
        let admin = admin_url();
        let template = template(&admin).await;
        Self::create(admin, &format!("TEMPLATE {template}")).await
    }

    /// With nothing in it.
    pub async fn empty() -> Self {
        Self::create(admin_url(), "").await
    }

    async fn create(admin: String, from: &str) -> Self {
        let name = format!("deodar_test_{}", Uuid::new_v4().simple());
        let mut connection = PgConnection::connect(&admin).await.expect("the maintenance database answers");
        run(&mut connection, format!("CREATE DATABASE {name} {from}")).await;
        Self { url: url_of(&admin, &name), name, admin }
    }
}

impl Drop for TestDatabase {
    /// On a thread of its own, because a test that failed leaves no runtime to wait on.
    fn drop(&mut self) {
        let (admin, name) = (self.admin.clone(), self.name.clone());
        let dropping = std::thread::spawn(move || {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
            runtime.block_on(async {
                let mut connection = PgConnection::connect(&admin).await.unwrap();
                run(&mut connection, format!("DROP DATABASE {name} WITH (FORCE)")).await;
            });
        });
        if dropping.join().is_err() && !std::thread::panicking() {
            panic!("failed to drop the database of this test");
        }
    }
}

#[expect(clippy::disallowed_methods, reason = "the only way to tell a test where the server is")]
fn admin_url() -> String {
    std::env::var(VARIABLE).unwrap_or_else(|_| {
        panic!("{VARIABLE} is not set: run ./scripts/test, which starts a Postgres and sets it")
    })
}

fn url_of(admin: &str, database: &str) -> String {
    let options = PgConnectOptions::from_str(admin).expect("a Postgres URL").database(database);
    options.to_url_lossy().to_string()
}

/// The name of the migrated template; makes it if it is not there.
async fn template(admin: &str) -> String {
    let name = format!("deodar_template_{}", &hash_of_migrations()[..16]);
    let mut connection = PgConnection::connect(admin).await.expect("the maintenance database answers");
    sqlx::query("SELECT pg_advisory_lock($1)").bind(TEMPLATE_LOCK).execute(&mut connection).await.unwrap();
    let (there,): (bool,) = sqlx::query_as("SELECT EXISTS (SELECT FROM pg_database WHERE datname = $1)")
        .bind(&name)
        .fetch_one(&mut connection)
        .await
        .unwrap();
    if !there {
        // Made under another name, so that one whose making was interrupted is never taken for the template.
        let draft = format!("{name}_draft");
        run(&mut connection, format!("DROP DATABASE IF EXISTS {draft} WITH (FORCE)")).await;
        run(&mut connection, format!("CREATE DATABASE {draft}")).await;
        let store = PostgresStore::connect(&url_of(admin, &draft), 1).await.unwrap();
        store.migrate().await.unwrap();
        store.close().await;
        run(&mut connection, format!("ALTER DATABASE {draft} RENAME TO {name}")).await;
    }
    connection.close().await.unwrap();
    name
}

fn hash_of_migrations() -> String {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("migrations/postgres");
    let mut files: Vec<_> = std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()).collect();
    files.sort();
    let mut hash = Sha256::new();
    for file in files {
        hash.update(std::fs::read(file).unwrap());
    }
    hex::encode(hash.finalize())
}

/// Runs a statement that takes no parameters: the names in it are made here.
async fn run(connection: &mut PgConnection, sql: String) {
    sqlx::raw_sql(AssertSqlSafe(sql)).execute(connection).await.expect("the statement succeeds");
}
