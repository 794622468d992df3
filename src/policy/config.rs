//! Settings of the policy room: where each domain's files are, and how large a bundle may be.

use std::collections::BTreeMap;
use std::path::PathBuf;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::model::DomainId;

/// Settings of the policies.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Config {
    /// The policy planes by name. A domain that is not named here has no policies, so nothing is allowed in it.
    pub domains: BTreeMap<DomainId, DomainConfig>,
    /// The bytes that the files of one bundle may have together. Case files have the same bound of their own.
    pub max_bundle_bytes: usize,
    /// The policies that one bundle may have.
    pub max_policies: usize,
}

impl Default for Config {
    fn default() -> Self {
        Self { domains: BTreeMap::new(), max_bundle_bytes: 64 * 1024 * 1024, max_policies: 200_000 }
    }
}

impl Config {
    pub const fn limits(&self) -> Limits {
        Limits { max_bundle_bytes: self.max_bundle_bytes, max_policies: self.max_policies }
    }
}

/// One policy plane.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct DomainConfig {
    /// Directories that are read into one bundle; each is searched for `*.cedar`, `*.cedarschema` and
    /// `cedarentities.json`, and its `cases/` folders for test cases.
    pub directories: Vec<PathBuf>,
}

/// How large a bundle may be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    pub max_bundle_bytes: usize,
    pub max_policies: usize,
}

impl Default for Limits {
    fn default() -> Self {
        Config::default().limits()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_domain_lists_its_directories() {
        let text = "[domains.default]\ndirectories = [\"policies/zero-trust\", \"policies/demo\"]\n";
        let config: Config = toml::from_str(text).unwrap();
        assert_eq!(config.domains[&DomainId::default()].directories.len(), 2);
        assert_eq!(config.limits(), Limits::default());
    }

    #[test]
    fn a_misspelt_setting_is_refused() {
        assert!(toml::from_str::<Config>("max_polices = 3").unwrap_err().to_string().contains("max_polices"));
    }
}
