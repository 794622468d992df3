//! The bundles of a configuration: which directories each domain has, and what compiles from them.
//!
//! A server compiles them to decide with them, a check of the configuration to see whether it could. When to read
//! them again is left to `policies`.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use anyhow::Context;

use super::config::Config;
use crate::inventory::Inventory;
use crate::model::{ApiId, BundleSource, DomainId};
use crate::policy::{self, Limits, Snapshot, directory};

/// The directories of every domain, and what their policies may speak of.
pub struct Bundles {
    domains: Vec<(DomainId, Vec<PathBuf>)>,
    limits: Limits,
    apis: BTreeSet<ApiId>,
}

/// A bundle that compiled.
pub struct Compiled {
    pub snapshot: Snapshot,
    pub warnings: Vec<String>,
}

impl Bundles {
    pub fn new(config: &policy::Config, base_dir: &Path, apis: BTreeSet<ApiId>) -> Self {
        let absolute = |folders: &[PathBuf]| folders.iter().map(|folder| base_dir.join(folder)).collect();
        let domains = config
            .domains
            .iter()
            .map(|(domain, settings)| (domain.clone(), absolute(&settings.directories)))
            .collect();
        Self { domains, limits: config.limits(), apis }
    }

    /// Those of a whole configuration. Fails when the calls of some API could never be decided.
    pub fn of(config: &Config, inventory: &Inventory) -> anyhow::Result<Self> {
        for api in inventory.apis() {
            anyhow::ensure!(
                config.policy.domains.contains_key(&api.domain),
                "API `{api}` belongs to domain `{domain}`, which has no policies, so that every call would be \
                 denied: add [policy.domains.{domain}] with its directories, or name another domain for the API",
                api = api.id,
                domain = api.domain,
            );
        }
        let apis = inventory.apis().iter().map(|api| api.id.clone()).collect();
        Ok(Self::new(&config.policy, &config.base_dir, apis))
    }

    pub fn domains(&self) -> impl Iterator<Item = (&DomainId, &[PathBuf])> {
        self.domains.iter().map(|(domain, folders)| (domain, folders.as_slice()))
    }

    pub fn folders(&self) -> impl Iterator<Item = &PathBuf> {
        self.domains.iter().flat_map(|(_, folders)| folders)
    }

    /// Reads the files of a domain; what they mean is not looked at.
    pub fn read(&self, folders: &[PathBuf]) -> Result<BundleSource, String> {
        directory::read(folders, &self.limits).map_err(|error| format!("{:#}", anyhow::Error::new(error)))
    }

    pub fn compile(&self, source: &BundleSource) -> Result<Compiled, String> {
        let compiled = Snapshot::compile(source, &self.limits, Some(&self.apis));
        let (snapshot, warnings) = compiled.map_err(|errors| errors.rendered())?;
        Ok(Compiled { snapshot, warnings: warnings.iter().map(ToString::to_string).collect() })
    }

    /// Reads and compiles the bundles of all domains; fails with the first that does not.
    pub fn compile_all(&self) -> anyhow::Result<Vec<(DomainId, Compiled)>> {
        let compiled = |(domain, folders): &(DomainId, Vec<PathBuf>)| {
            let compiled = self.read(folders).and_then(|source| self.compile(&source));
            let compiled = compiled.map_err(anyhow::Error::msg);
            let failed = || format!("the policies of domain `{domain}` cannot be used");
            Ok((domain.clone(), compiled.with_context(failed)?))
        };
        self.domains.iter().map(compiled).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_api_whose_domain_has_no_policies_is_named_with_its_domain() {
        let api = concat!(
            "[[inventory.apis]]\nid = \"orders\"\ndomain = \"shop\"\nhosts = [\"orders.example.com\"]\n",
            "openapi = \"",
            env!("CARGO_MANIFEST_DIR"),
            "/policies/demo/orders.openapi.yaml\"\n"
        );
        let load = |toml: &str| {
            let folder = tempfile::tempdir().unwrap();
            let file = folder.path().join("deodar.toml");
            std::fs::write(&file, toml).unwrap();
            let config = Config::load(Some(&file)).unwrap();
            Bundles::of(&config, &Inventory::load(&config.inventory, &config.base_dir).unwrap()).map(|_| ())
        };
        let error = load(api).unwrap_err().to_string();
        assert!(error.contains("`orders`") && error.contains("[policy.domains.shop]"), "{error}");
        load(&format!("{api}[policy.domains.shop]\ndirectories = []\n")).unwrap();
    }
}
