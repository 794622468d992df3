//! Reads what a server would read before it listens, and says what is wrong with it. Writes nothing.

use std::sync::Arc;

use super::build;
use super::bundles::Bundles;
use super::config::Config;
use super::tls::Tls;
use crate::identity::Identity;
use crate::inventory::Inventory;
use crate::model::{Clock, SystemClock};
use crate::risk::Signals;

/// Checks certificates, risk settings, key sets, API documents and policies. Returns warnings; fails with the first error.
pub fn verify(config: &Config) -> anyhow::Result<Vec<String>> {
    let clock: Arc<dyn Clock> = Arc::new(SystemClock::new());
    let server = &config.server;
    for (listener, tls) in [("decisions", &server.decisions_tls), ("management", &server.management_tls)] {
        Tls::load(listener, tls, &clock)?;
    }
    Signals::new(config.risk.clone())?;
    let identity = Identity::new(&config.identity, &config.base_dir)?;
    build::fetcher(&identity, config)?;
    let inventory = Inventory::load(&config.inventory, &config.base_dir)?;
    let mut warnings = Vec::new();
    for (domain, compiled) in Bundles::of(config, &inventory)?.compile_all()? {
        warnings.extend(compiled.warnings.iter().map(|doubt| format!("domain `{domain}`: {doubt}")));
    }
    Ok(warnings)
}
