//! Brings the store's schema up to date, without starting a server.

use anyhow::Context;

use super::config::Config;
use crate::store::{self, Location};

/// Applies the migrations that are missing. Returns how many that were.
pub async fn migrate(config: &Config) -> anyhow::Result<usize> {
    if let Location::Embedded(file) = &config.store.location
        && let Some(folder) = file.parent()
    {
        std::fs::create_dir_all(folder)
            .with_context(|| format!("cannot create the data directory {}", folder.display()))?;
    }
    let store = store::open(&config.store).await.context("cannot open the store")?;
    store.migrate().await.context("cannot bring the store's schema up to date")
}
