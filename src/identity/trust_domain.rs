//! A SPIFFE trust domain, checked: its authorities, and the rules that its workloads' certificates and tokens are held to.

use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

use rustls_pki_types::TrustAnchor;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::algorithm::Algorithm;
use super::config::ClaimsConfig;
use super::dpop_config::SenderConstrained;
use super::grant::{Grant, MayAssert};
use super::issuer::{IdentityError, Issuer};
use super::key_source::KeySource;
use super::refusal::{IdentityRefusal, excerpt};
use super::spiffe_id::{SpiffeId, is_trust_domain};
use super::trust_bundle::{BundleError, TrustBundle};
use crate::model::{CredentialFault, IssuerAlias, duration};

/// A trust domain whose workloads are believed.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct TrustDomainConfig {
    /// The first half of the ids of its workloads: `prod` makes `spiffe://prod.example.com/ns/shop` the workload
    /// `prod/ns/shop`. No issuer may have the same.
    pub alias: IssuerAlias,
    /// Its name, as it stands in its SPIFFE IDs: `prod.example.com`.
    pub name: String,
    /// A file with its bundle, relative to the configuration file: PEM with the certificates of its authorities, or a
    /// SPIFFE bundle in JSON, which also holds the keys of its tokens.
    pub bundle_file: PathBuf,
    /// A JWT-SVID must name at least one of these in `aud`; none means that no JWT-SVID is accepted.
    #[serde(default)]
    pub jwt_audiences: Vec<String>,
    /// The longest life of a certificate or token; one that is made for longer is refused however young it is.
    #[serde(default = "default_max_lifetime", with = "duration")]
    #[schemars(with = "String")]
    pub max_lifetime: Duration,
    /// How far the clock of whoever signs tokens and ours may disagree; at most `5m`. Certificates have no leeway.
    #[serde(default = "default_leeway", with = "duration")]
    #[schemars(with = "String")]
    pub leeway: Duration,
    /// The domains in which its workloads count; only `default` unless said otherwise.
    #[serde(default = "default_domains")]
    pub domains: Grant,
}

/// A day, and the minutes by which authorities date certificates back.
fn default_max_lifetime() -> Duration {
    Duration::from_secs(25 * 60 * 60)
}

fn default_leeway() -> Duration {
    Duration::from_secs(30)
}

fn default_domains() -> Grant {
    MayAssert::default().domains
}

/// Why a trust domain cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum TrustDomainError {
    #[error("{0}")]
    Settings(String),
    #[error("cannot read the bundle `{}`", .0.display())]
    ReadBundle(PathBuf, #[source] std::io::Error),
    #[error("the bundle `{}` cannot be used", .0.display())]
    Bundle(PathBuf, #[source] BundleError),
}

const MAX_LEEWAY: Duration = Duration::from_secs(5 * 60);
const MAX_BUNDLE_BYTES: usize = 4 * 1024 * 1024;
/// What a JWT-SVID may be signed with, as far as it can be verified here.
const ALGORITHMS: [Algorithm; 8] = [
    Algorithm::Es256,
    Algorithm::Es384,
    Algorithm::Rs256,
    Algorithm::Rs384,
    Algorithm::Rs512,
    Algorithm::Ps256,
    Algorithm::Ps384,
    Algorithm::Ps512,
];

/// A trust domain.
#[derive(Debug)]
pub(super) struct TrustDomain {
    pub name: String,
    pub anchors: Vec<TrustAnchor<'static>>,
    /// The rules for its tokens; of them, those about claims say that nothing but the name is read.
    pub rules: Issuer,
}

impl TrustDomain {
    /// Checks the settings and reads the bundle; a relative file is looked for in `base_dir`.
    pub(super) fn build(config: &TrustDomainConfig, base_dir: &Path) -> Result<Self, TrustDomainError> {
        if let Some(problem) = problem(config) {
            return Err(TrustDomainError::Settings(problem));
        }
        let path = base_dir.join(&config.bundle_file);
        let text = fs::read_to_string(&path);
        let text = text.map_err(|source| TrustDomainError::ReadBundle(path.clone(), source))?;
        if text.len() > MAX_BUNDLE_BYTES {
            let source = std::io::Error::other("the file is larger than 4 MiB");
            return Err(TrustDomainError::ReadBundle(path, source));
        }
        let bundle = TrustBundle::parse(&text, &config.name);
        let TrustBundle { anchors, token_keys } =
            bundle.map_err(|source| TrustDomainError::Bundle(path.clone(), source))?;
        if token_keys.is_empty() && !config.jwt_audiences.is_empty() {
            let problem = format!(
                "`jwt_audiences` is set, and the bundle `{}` holds no key for tokens (`use` is `jwt-svid`)",
                path.display()
            );
            return Err(TrustDomainError::Settings(problem));
        }
        let rules = Issuer {
            alias: config.alias.clone(),
            issuer: format!("spiffe://{}", config.name),
            audiences: config.jwt_audiences.clone(),
            algorithms: ALGORITHMS.to_vec(),
            keys: KeySource::fixed(token_keys),
            introspector: None,
            shared_key: None,
            leeway: config.leeway,
            max_lifetime: config.max_lifetime,
            max_age: config.max_lifetime,
            token_types: vec!["jwt".to_owned(), "jose".to_owned()],
            required_claims: Vec::new(),
            sender_constrained: SenderConstrained::Optional,
            claims: ClaimsConfig::nothing(),
            may_assert: MayAssert { domains: config.domains.clone(), ..MayAssert::default() },
        };
        Ok(Self { name: config.name.clone(), anchors, rules })
    }

    /// How many authorities can vouch for certificates, and how many keys can verify tokens.
    pub(super) fn sizes(&self) -> (usize, usize) {
        (self.anchors.len(), self.rules.keys.last_known().map_or(0, |keys| keys.len()))
    }

    pub(super) const fn alias(&self) -> &IssuerAlias {
        &self.rules.alias
    }
}

fn problem(config: &TrustDomainConfig) -> Option<String> {
    if config.alias.as_str() == "sha256" {
        return Some("the alias `sha256` is taken by token digests; choose another".to_owned());
    }
    if !is_trust_domain(&config.name) {
        let name = excerpt(&config.name);
        return Some(format!(
            "`name` is {name}; write the trust domain alone, for example `prod.example.com`, in lower case"
        ));
    }
    if config.max_lifetime.is_zero() {
        return Some("`max_lifetime` must be longer than nothing".to_owned());
    }
    if config.leeway > MAX_LEEWAY {
        return Some("`leeway` may be `5m` at most".to_owned());
    }
    let empty = config.jwt_audiences.iter().any(String::is_empty);
    empty.then(|| "`jwt_audiences` names an empty audience".to_owned())
}

/// Every trust domain that is believed.
#[derive(Debug, Default)]
pub(super) struct TrustDomains(Vec<TrustDomain>);

impl TrustDomains {
    /// Fails on the first that cannot be used, or that could be taken for another; `taken` tells of aliases of issuers.
    pub(super) fn build(
        settings: &[TrustDomainConfig],
        base_dir: &Path,
        taken: impl Fn(&IssuerAlias) -> bool,
    ) -> Result<Self, IdentityError> {
        let mut domains: Vec<TrustDomain> = Vec::new();
        for config in settings {
            let failed = |source| IdentityError::TrustDomain { alias: config.alias.clone(), source };
            let domain = TrustDomain::build(config, base_dir).map_err(failed)?;
            let same = |other: &TrustDomain| other.alias() == domain.alias() || other.name == domain.name;
            if taken(domain.alias()) || domains.iter().any(same) {
                let problem = "an issuer or another trust domain has its alias, or its name".to_owned();
                return Err(failed(TrustDomainError::Settings(problem)));
            }
            domains.push(domain);
        }
        Ok(Self(domains))
    }

    pub(super) const fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = &TrustDomain> {
        self.0.iter()
    }

    /// The trust domain of a name, compared byte for byte.
    pub(super) fn named(&self, name: &str) -> Option<&TrustDomain> {
        self.0.iter().find(|domain| domain.name == name)
    }

    /// The trust domain that a workload names itself to be of.
    pub(super) fn of(&self, id: &SpiffeId<'_>) -> Result<&TrustDomain, IdentityRefusal> {
        let stranger = || {
            let detail = format!("trust domain {} is not configured", excerpt(id.trust_domain));
            IdentityRefusal::new(CredentialFault::WrongIssuer, detail)
        };
        self.named(id.trust_domain).ok_or_else(stranger)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn problem(change: impl FnOnce(&mut TrustDomainConfig)) -> String {
        let text = "alias = \"prod\"\nname = \"prod.example.com\"\nbundle_file = \"none.pem\"";
        let mut config: TrustDomainConfig = toml::from_str(text).unwrap();
        change(&mut config);
        TrustDomain::build(&config, Path::new("/nowhere")).unwrap_err().to_string()
    }

    #[test]
    fn unsafe_settings_are_refused_with_the_setting_named() {
        assert!(problem(|_| ()).contains("none.pem"));
        assert!(problem(|c| c.name = "spiffe://prod.example.com".into()).contains("trust domain alone"));
        assert!(problem(|c| c.name = "Prod".into()).contains("`name`"));
        assert!(problem(|c| c.alias = "sha256".parse().unwrap()).contains("sha256"));
        assert!(problem(|c| c.max_lifetime = Duration::ZERO).contains("max_lifetime"));
        assert!(problem(|c| c.leeway = Duration::from_secs(301)).contains("leeway"));
        assert!(problem(|c| c.jwt_audiences.push(String::new())).contains("jwt_audiences"));
    }

    #[test]
    fn no_two_have_one_alias_or_one_name() {
        let folder = tempfile::tempdir().unwrap();
        let mut key = crate::identity::SigningKey::generate(Algorithm::Es256).unwrap().public_jwk();
        key["use"] = "jwt-svid".into();
        let bundle = serde_json::json!({ "keys": [key] });
        std::fs::write(folder.path().join("bundle.json"), bundle.to_string()).unwrap();
        let build = |names: &[(&str, &str)]| {
            let config = |(alias, name): &(&str, &str)| {
                let text = format!("alias = \"{alias}\"\nname = \"{name}\"\nbundle_file = \"bundle.json\"");
                toml::from_str::<TrustDomainConfig>(&text).unwrap()
            };
            let settings: Vec<_> = names.iter().map(config).collect();
            TrustDomains::build(&settings, folder.path(), |alias| alias.as_str() == "corp").is_ok()
        };
        assert!(build(&[("prod", "prod"), ("stage", "stage")]));
        assert!(!build(&[("prod", "prod"), ("prod", "stage")]));
        assert!(!build(&[("prod", "prod"), ("stage", "prod")]));
        assert!(!build(&[("corp", "prod")]));
    }

    #[test]
    fn misspelt_settings_are_refused() {
        let text = "alias = \"prod\"\nname = \"prod.example.com\"\nbundle = \"none.pem\"";
        assert!(toml::from_str::<TrustDomainConfig>(text).is_err());
    }
}
