//! Reads what a server would read before it listens, and says what is wrong with it. Writes nothing.

use std::collections::BTreeSet;
use std::path::PathBuf;

use anyhow::Context;

use super::config::Config;
use crate::identity::Identity;
use crate::inventory::Inventory;
use crate::model::ApiId;
use crate::policy::{Snapshot, directory};
use crate::risk::Signals;

/// Checks risk settings, key sets, API documents and policies. Returns warnings; fails with the first error.
pub fn verify(config: &Config) -> anyhow::Result<Vec<String>> {
    Signals::new(config.risk.clone())?;
    Identity::new(&config.identity, &config.base_dir)?;
    let inventory = Inventory::load(&config.inventory, &config.base_dir)?;
    let apis: BTreeSet<ApiId> = inventory.apis().iter().map(|api| api.id.clone()).collect();
    let limits = config.policy.limits();
    let mut warnings = Vec::new();
    for (domain, settings) in &config.policy.domains {
        let folders: Vec<PathBuf> =
            settings.directories.iter().map(|folder| config.base_dir.join(folder)).collect();
        let failed = || format!("the policies of domain `{domain}` cannot be used");
        let source = directory::read(&folders, &limits).with_context(failed)?;
        let compiled = Snapshot::compile(&source, &limits, Some(&apis));
        let (_, doubts) =
            compiled.map_err(|errors| anyhow::Error::msg(errors.rendered())).with_context(failed)?;
        warnings.extend(doubts.iter().map(|doubt| format!("domain `{domain}`: {doubt}")));
    }
    Ok(warnings)
}
