//! Settings of proofs of possession.

use std::time::Duration;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::algorithm::Algorithm;
use crate::model::duration;

/// How DPoP proofs (RFC 9449) are judged.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct DpopConfig {
    /// The algorithms a proof may use; challenges name them.
    pub algorithms: Vec<Algorithm>,
    /// How old a proof may be; it is remembered as long, so that it is used once. At most `10m`.
    #[serde(with = "duration")]
    #[schemars(with = "String")]
    pub max_age: Duration,
    /// How far a client's clock may be ahead of ours; at most `5m`.
    #[serde(with = "duration")]
    #[schemars(with = "String")]
    pub leeway: Duration,
    /// The longest proof that is read at all, in bytes.
    pub max_proof_bytes: usize,
    /// The longest `jti` of a proof, in bytes.
    pub max_jti_bytes: usize,
    /// Used proofs that are remembered at most, by each replica; about 150 bytes each. Beyond it, proofs are refused as
    /// `overloaded`.
    pub max_remembered: usize,
    /// The same of one key: how often one client may call within `max_age`.
    pub max_remembered_per_key: usize,
    /// Whether a proof must hold a nonce that this replica gave out: `off` or `required`. Required, a proof is good on one
    /// replica only, and a client that goes to another is asked for a new one.
    pub nonce: NonceUse,
    /// How often the nonce changes; the one before stays good for as long.
    #[serde(with = "duration")]
    #[schemars(with = "String")]
    pub nonce_rotation: Duration,
}

/// Whether nonces are used.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum NonceUse {
    #[default]
    Off,
    Required,
}

/// What an issuer's tokens must be.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum SenderConstrained {
    /// A token may be bound to its sender; one that is needs proof.
    #[default]
    Optional,
    /// A token that is not bound is refused.
    Required,
}

const MAX_AGE: Duration = Duration::from_secs(10 * 60);
const MAX_LEEWAY: Duration = Duration::from_secs(5 * 60);

impl DpopConfig {
    /// What cannot work, in a sentence.
    pub(super) fn problem(&self) -> Option<&'static str> {
        let checks = [
            (self.algorithms.is_empty(), "`dpop.algorithms` must name at least one algorithm"),
            (self.max_age.is_zero() || self.max_age > MAX_AGE, "`dpop.max_age` must be up to `10m`"),
            (self.leeway > MAX_LEEWAY, "`dpop.leeway` may be `5m` at most"),
            (self.max_remembered == 0, "`dpop.max_remembered` must leave room for one proof"),
            (self.max_remembered_per_key == 0, "`dpop.max_remembered_per_key` must leave room for one proof"),
            (self.max_jti_bytes == 0, "`dpop.max_jti_bytes` must leave room for a `jti`"),
            (self.nonce_rotation < Duration::from_secs(1), "`dpop.nonce_rotation` must be `1s` at least"),
        ];
        checks.into_iter().find(|(wrong, _)| *wrong).map(|(_, problem)| problem)
    }
}

impl Default for DpopConfig {
    fn default() -> Self {
        Self {
            algorithms: vec![Algorithm::EdDsa, Algorithm::Es256, Algorithm::Es384, Algorithm::Ps256],
            max_age: Duration::from_secs(60),
            leeway: Duration::from_secs(5),
            max_proof_bytes: 8 * 1024,
            max_jti_bytes: 256,
            max_remembered: 1_000_000,
            max_remembered_per_key: 100_000,
            nonce: NonceUse::Off,
            nonce_rotation: Duration::from_secs(5 * 60),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn settings_that_cannot_work_are_refused_with_the_setting_named() {
        let problem = |change: fn(&mut DpopConfig)| {
            let mut config = DpopConfig::default();
            change(&mut config);
            config.problem().unwrap_or_default()
        };
        assert_eq!(DpopConfig::default().problem(), None);
        assert!(problem(|c| c.algorithms.clear()).contains("algorithms"));
        assert!(problem(|c| c.max_age = Duration::ZERO).contains("max_age"));
        assert!(problem(|c| c.max_age = MAX_AGE * 2).contains("max_age"));
        assert!(problem(|c| c.leeway = MAX_LEEWAY * 2).contains("leeway"));
        assert!(problem(|c| c.max_remembered = 0).contains("max_remembered"));
        assert!(problem(|c| c.max_remembered_per_key = 0).contains("per_key"));
        assert!(problem(|c| c.max_jti_bytes = 0).contains("max_jti_bytes"));
        assert!(problem(|c| c.nonce_rotation = Duration::from_millis(1)).contains("nonce_rotation"));
    }

    #[test]
    fn misspelt_settings_and_hmac_are_refused() {
        let read = |text: &str| toml::from_str::<DpopConfig>(text);
        assert_eq!(read("nonce = \"required\"").unwrap().nonce, NonceUse::Required);
        for wrong in ["nonces = \"off\"", "nonce = \"on\"", "algorithms = [\"HS256\"]", "max_age = 60"] {
            assert!(read(wrong).is_err(), "{wrong}");
        }
    }
}
