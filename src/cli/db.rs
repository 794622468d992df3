//! `db migrate`: brings the schema of the store up to date.

use std::path::PathBuf;

use clap::{Args, Subcommand};
use serde::Serialize;

use super::exit::Exit;
use super::{Global, serve};

/// Work on the database that holds the state.
#[derive(Debug, Args)]
pub struct Db {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    Migrate(Migrate),
}

const MIGRATE_HELP: &str = "\
Examples:
  deodar db migrate --config deodar.toml
  DEODAR__STORE__URL=postgres://deodar@db/deodar deodar db migrate

Run it before the first start and before starting a new version; running it again changes nothing.
A server with the embedded store does it by itself.";

/// Applies the migrations that are missing.
#[derive(Debug, Args)]
#[command(after_help = MIGRATE_HELP)]
struct Migrate {
    /// The configuration file.
    #[arg(long, env = "DEODAR_CONFIG", value_name = "FILE")]
    config: Option<PathBuf>,
}

/// What was done, as it is printed.
#[derive(Debug, Serialize)]
struct Migrated {
    applied: usize,
}

impl Db {
    pub(super) async fn run(self, global: &Global) -> anyhow::Result<Exit> {
        let Command::Migrate(migrate) = self.command;
        let config = serve::load(migrate.config.as_deref(), global)?;
        let migrated = Migrated { applied: crate::app::migrate(&config).await? };
        global.printer().result(&migrated, |migrated| match migrated.applied {
            0 => "nothing to do: the schema is up to date".to_owned(),
            1 => "applied 1 migration".to_owned(),
            many => format!("applied {many} migrations"),
        })?;
        Ok(Exit::Success)
    }
}
