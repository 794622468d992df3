//! A connection beside the store, for what a test needs and the store does not offer.

use sqlx::sqlite::SqliteConnectOptions;
use sqlx::{AssertSqlSafe, ConnectOptions, Connection, PgConnection, SqliteConnection};

use super::store::Database;

pub enum RawConnection {
    Embedded(SqliteConnection),
    Postgres(PgConnection),
}

impl RawConnection {
    pub async fn to(database: &Database) -> Self {
        match database {
            Database::Embedded(_) => {
                let options = SqliteConnectOptions::new().filename(database.file());
                Self::Embedded(options.connect().await.unwrap())
            }
            Database::Postgres(database) => {
                Self::Postgres(PgConnection::connect(&database.url).await.unwrap())
            }
        }
    }

    /// Runs statements that both databases understand.
    pub async fn run(&mut self, sql: &str) {
        self.run_on(sql, sql).await;
    }

    /// Runs one of the two, whichever is for this database.
    pub async fn run_on(&mut self, embedded: &str, postgres: &str) {
        match self {
            Self::Embedded(connection) => {
                sqlx::raw_sql(AssertSqlSafe(embedded)).execute(connection).await.unwrap();
            }
            Self::Postgres(connection) => {
                sqlx::raw_sql(AssertSqlSafe(postgres)).execute(connection).await.unwrap();
            }
        }
    }

    /// Begins a control-plane write as another replica does it, and leaves it open: the number is taken, the change
    /// is there, nobody sees either.
    pub async fn begin_write(&mut self, noun: &str, change: &str) {
        self.run_on("BEGIN IMMEDIATE", "BEGIN").await;
        self.run("UPDATE revision SET number = number + 1").await;
        let quoted = change.replace('\'', "''");
        self.run(&format!(
            "INSERT INTO changes (number, epoch, noun, body) SELECT number, epoch, '{noun}', '{quoted}' FROM revision"
        ))
        .await;
    }

    pub async fn commit(&mut self) {
        self.run("COMMIT").await;
    }
}
