//! `serve`: runs a server.

use std::path::{Path, PathBuf};

use anyhow::Context;
use clap::Args;

use super::Global;
use super::exit::Exit;
use crate::app::Config;

const AFTER_HELP: &str = "\
Examples:
  deodar serve --config deodar.toml
  DEODAR__DEVELOPMENT=true deodar serve --data-dir ./data

Without a configuration file every setting has its default: `deodar config print` shows them all.
The first start writes the first administrator's key to the data directory.
SIGINT and SIGTERM end it in order: calls under way are answered, records are stored.";

/// Runs a server until it is told to stop.
#[derive(Debug, Args)]
#[command(after_help = AFTER_HELP)]
pub struct Serve {
    /// The configuration file.
    #[arg(long, env = "DEODAR_CONFIG", value_name = "FILE")]
    config: Option<PathBuf>,
}

impl Serve {
    pub(super) async fn run(self, global: &Global) -> anyhow::Result<Exit> {
        let config = load(self.config.as_deref(), global)?;
        crate::app::serve(config).await?;
        Ok(Exit::Success)
    }
}

/// The configuration of a server: the file, then the environment, then `--data-dir`.
pub fn load(file: Option<&Path>, global: &Global) -> anyhow::Result<Config> {
    // A flag means a path from here; a path in the file starts at the file.
    let data_dir = global.data_dir.as_deref().map(std::path::absolute).transpose();
    let data_dir = data_dir.context("cannot tell where the data directory is")?;
    Ok(Config::load_with(file, data_dir.as_deref())?)
}
