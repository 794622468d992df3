//! A trusted issuer, checked: its keys, and the rules its tokens are held to.

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use serde_json::Value;

use super::algorithm::Algorithm;
use super::claim_path::ClaimPath;
use super::config::{ClaimsConfig, IssuerConfig, default_algorithms};
use super::destination::{Destination, Plaintext};
use super::discovery::Metadata;
use super::dpop_config::SenderConstrained;
use super::grant::{Grant, MayAssert};
use super::introspection::Introspector;
use super::jwks::{JwksError, KeySet};
use super::jwt::normal_type;
use super::key_config::KeyFetchConfig;
use super::key_source::KeySource;
use super::remote_keys::{RemoteKeys, Source};
use super::shared_key::SharedKey;
use super::trust_domain::TrustDomainError;
use crate::model::IssuerAlias;

/// Why the configured issuers cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum IdentityError {
    #[error("{0}")]
    Proofs(&'static str),
    #[error("identity.fetch: {0}")]
    Fetch(String),
    #[error("issuer `{alias}`: {problem}")]
    Settings { alias: IssuerAlias, problem: String },
    #[error("trust domain `{alias}`")]
    TrustDomain {
        alias: IssuerAlias,
        #[source]
        source: TrustDomainError,
    },
    #[error("cannot read the key set `{}` of issuer `{alias}`", path.display())]
    ReadKeys {
        alias: IssuerAlias,
        path: PathBuf,
        #[source]
        source: std::io::Error,
    },
    #[error("the key set {place} of issuer `{alias}` cannot be used")]
    Keys {
        alias: IssuerAlias,
        /// The file, or `in the configuration`.
        place: String,
        #[source]
        source: JwksError,
    },
}

/// The largest leeway: clocks that differ by more are broken, and every token lives on for that long.
const MAX_LEEWAY: Duration = Duration::from_secs(5 * 60);
const MAX_KEY_FILE_BYTES: usize = 1024 * 1024;
/// Kinds of JWT that are not access tokens whatever an issuer is allowed (RFC 8417, 9449, 9101, 9701, OIDC logout).
const FOREIGN_TYPES: [&str; 5] =
    ["secevent+jwt", "dpop+jwt", "oauth-authz-req+jwt", "token-introspection+jwt", "logout+jwt"];

/// A trusted issuer.
#[derive(Debug)]
pub(super) struct Issuer {
    pub alias: IssuerAlias,
    pub issuer: String,
    pub audiences: Vec<String>,
    pub algorithms: Vec<Algorithm>,
    pub keys: KeySource,
    /// Who says what its opaque tokens are.
    pub introspector: Option<Arc<Introspector>>,
    /// Instead of `keys` and `algorithms`, which are empty then.
    pub shared_key: Option<SharedKey>,
    pub leeway: Duration,
    pub max_lifetime: Duration,
    pub max_age: Duration,
    /// Normalised: see [`normal_type`].
    pub token_types: Vec<String>,
    pub required_claims: Vec<ClaimPath>,
    pub sender_constrained: SenderConstrained,
    pub claims: ClaimsConfig,
    pub may_assert: MayAssert,
}

impl Issuer {
    /// Checks the settings and reads the keys; relative files are looked for in `base_dir`.
    pub(super) fn build(config: &IssuerConfig, base_dir: &Path) -> Result<Self, IdentityError> {
        let problem = check_names(config)
            .or_else(|| check_shared_key(config))
            .or_else(|| check_rules(config))
            .or_else(|| config.key_fetch.problem())
            .or_else(|| check_names_for_members(&config.claims));
        if let Some(problem) = problem {
            return Err(IdentityError::Settings { alias: config.alias.clone(), problem });
        }
        Ok(Self {
            alias: config.alias.clone(),
            issuer: config.issuer.clone(),
            audiences: config.audiences.clone(),
            // INVARIANT: algorithms with public keys, or a shared key; never both.
            algorithms: if config.shared_key.is_some() { Vec::new() } else { config.algorithms.clone() },
            keys: read_keys(config, base_dir)?,
            introspector: introspector(config, base_dir)?,
            shared_key: read_shared_key(config, base_dir)?,
            leeway: config.leeway,
            max_lifetime: config.max_lifetime,
            max_age: config.max_age,
            token_types: config.token_types.iter().map(|kind| normal_type(kind)).collect(),
            required_claims: config.required_claims.clone(),
            sender_constrained: config.sender_constrained,
            claims: config.claims.clone(),
            may_assert: config.may_assert.clone(),
        })
    }

    /// Whether it only gives out opaque tokens.
    fn has_no_keys(&self) -> bool {
        self.introspector.is_some() && self.keys.last_known().is_some_and(|keys| keys.is_empty())
    }

    /// What an operator may want to know although nothing is wrong.
    pub(super) fn warnings(&self) -> Vec<String> {
        let keys = self.keys.last_known();
        let mut warnings: Vec<String> = keys.iter().flat_map(|keys| keys.warnings()).cloned().collect();
        let usable = |algorithm: &Algorithm| {
            // Keys that are still to come may fit.
            keys.as_ref().is_none_or(|keys| keys.select(None, *algorithm).is_ok())
        };
        if self.shared_key.is_some() {
            warnings.push(
                "its key is shared: whoever has it, this server included, can make its tokens".to_owned(),
            );
        } else if !self.has_no_keys() && !self.algorithms.iter().any(usable) {
            warnings
                .push("none of its keys fits one of its algorithms: every token will be refused".to_owned());
        }
        if self.claims.tenant.is_some() && self.may_assert.tenants == Grant::default() {
            warnings.push("a claim is read as tenant, but the issuer may assert none".to_owned());
        }
        warnings
    }
}

fn check_names(config: &IssuerConfig) -> Option<String> {
    let unfit = |text: &str| text.is_empty() || text.len() > 1_024 || text.chars().any(char::is_control);
    // `token:sha256/<hex>` names a token by its digest, so no issuer may be called that.
    if config.alias.as_str() == "sha256" {
        return Some("the alias `sha256` is taken by token digests; choose another".to_owned());
    }
    if unfit(&config.issuer) {
        return Some("`issuer` must be the exact `iss` of its tokens".to_owned());
    }
    if config.audiences.is_empty() || config.audiences.iter().any(|audience| unfit(audience)) {
        return Some("`audiences` must name at least one audience, none of them empty".to_owned());
    }
    None
}

/// Two kinds of key in one issuer would let a token choose between them.
fn check_shared_key(config: &IssuerConfig) -> Option<String> {
    config.shared_key.as_ref()?;
    let sources = [
        config.jwks_file.is_some(),
        config.jwks.is_some(),
        config.jwks_url.is_some(),
        config.discovery.is_some(),
    ];
    if sources.contains(&true) {
        return Some("give `shared_key` or public keys, not both".to_owned());
    }
    let untouched = config.algorithms.is_empty() || config.algorithms == default_algorithms();
    (!untouched).then(|| "`algorithms` is for public keys; leave it out beside `shared_key`".to_owned())
}

fn check_names_for_members(claims: &ClaimsConfig) -> Option<String> {
    let unfit = |name: &&String| name.is_empty() || name.len() > 255 || name.chars().any(char::is_control);
    let bad = claims.role_names.values().chain(claims.group_names.values()).find(unfit)?;
    Some(format!("`claims.role_names` or `claims.group_names` gives the name `{}`", bad.escape_debug()))
}

fn check_rules(config: &IssuerConfig) -> Option<String> {
    if config.algorithms.is_empty() && config.shared_key.is_none() {
        return Some("`algorithms` must name at least one algorithm".to_owned());
    }
    if config.leeway > MAX_LEEWAY {
        return Some("`leeway` may be `5m` at most".to_owned());
    }
    if config.max_lifetime.is_zero() {
        return Some("`max_lifetime` must be longer than nothing".to_owned());
    }
    if config.max_age.is_zero() {
        return Some("`max_age` must be longer than nothing".to_owned());
    }
    if config.token_types.iter().any(|kind| kind.trim().is_empty()) || config.token_types.is_empty() {
        return Some("`token_types` must name at least one type, for example `at+jwt`".to_owned());
    }
    let foreign = |kind: &&String| FOREIGN_TYPES.contains(&normal_type(kind).as_str());
    if let Some(kind) = config.token_types.iter().find(foreign) {
        return Some(format!("`token_types` names `{kind}`, which is not a kind of access token"));
    }
    let rule = &config.claims.workload;
    if rule.claim.is_some() == rule.values.is_empty() {
        return Some("`claims.workload` needs both `claim` and `values`, or neither".to_owned());
    }
    None
}

/// Exactly one place, so that nobody can be unsure which keys count.
fn read_keys(config: &IssuerConfig, base_dir: &Path) -> Result<KeySource, IdentityError> {
    let settings = |problem: String| IdentityError::Settings { alias: config.alias.clone(), problem };
    if config.shared_key.is_some() {
        return Ok(KeySource::Fixed(Arc::new(KeySet::none())));
    }
    let remote = |source| {
        KeySource::Remote(Arc::new(RemoteKeys::new(config.alias.clone(), source, config.key_fetch.clone())))
    };
    match (&config.jwks_file, &config.jwks, &config.jwks_url, config.discovery) {
        (Some(file), None, None, None) => read_key_file(config, &base_dir.join(file)).map(KeySource::fixed),
        (None, Some(inline), None, None) => {
            read_inline(inline).map(KeySource::fixed).map_err(|source| IdentityError::Keys {
                alias: config.alias.clone(),
                place: "in the configuration".to_owned(),
                source,
            })
        }
        (None, None, Some(url), None) => {
            let place = Destination::parse(url, Plaintext::allowed(config.key_fetch.allow_http));
            let wrong = |problem| settings(format!("`jwks_url` `{url}` {problem}"));
            Ok(remote(Source::Url(place.map_err(wrong)?)))
        }
        (None, None, None, Some(kind)) => {
            let KeyFetchConfig { jwks_origins, allow_http, .. } = &config.key_fetch;
            let metadata = Metadata::of(&config.issuer, kind, jwks_origins, Plaintext::allowed(*allow_http));
            Ok(remote(Source::Discovered(metadata.map_err(settings)?)))
        }
        (None, None, None, None) if config.introspection.is_some() => Ok(KeySource::fixed(KeySet::none())),
        (None, None, None, None) => Err(settings(
            "needs keys: give `discovery`, `jwks_url`, `jwks_file` or `jwks`; or `introspection`".to_owned(),
        )),
        _ => Err(settings(
            "give one of `discovery`, `jwks_url`, `jwks_file` and `jwks`, not both or more".to_owned(),
        )),
    }
}

fn introspector(config: &IssuerConfig, base_dir: &Path) -> Result<Option<Arc<Introspector>>, IdentityError> {
    let Some(settings) = &config.introspection else { return Ok(None) };
    let failed = |problem| IdentityError::Settings { alias: config.alias.clone(), problem };
    if settings.without_subject && !config.claims.workload.subject_is_client {
        return Err(failed(
            "`introspection.without_subject` needs `claims.workload.subject_is_client = true`: \
             a client would be taken for a user"
                .to_owned(),
        ));
    }
    Introspector::new(settings, base_dir).map(|made| Some(Arc::new(made))).map_err(failed)
}

fn read_shared_key(config: &IssuerConfig, base_dir: &Path) -> Result<Option<SharedKey>, IdentityError> {
    let Some(shared) = &config.shared_key else { return Ok(None) };
    let failed = |problem| IdentityError::Settings { alias: config.alias.clone(), problem };
    SharedKey::read(shared, base_dir).map(Some).map_err(failed)
}

fn read_key_file(config: &IssuerConfig, path: &Path) -> Result<KeySet, IdentityError> {
    let unreadable =
        |source| IdentityError::ReadKeys { alias: config.alias.clone(), path: path.to_owned(), source };
    let text = fs::read_to_string(path).map_err(unreadable)?;
    if text.len() > MAX_KEY_FILE_BYTES {
        return Err(unreadable(std::io::Error::other("the file is larger than 1 MiB")));
    }
    let place = format!("`{}`", path.display());
    KeySet::parse(&text).map_err(|source| IdentityError::Keys { alias: config.alias.clone(), place, source })
}

/// A table, or the JSON text of one.
fn read_inline(keys: &Value) -> Result<KeySet, JwksError> {
    match keys {
        Value::String(text) => KeySet::parse(text),
        Value::Object(members) => KeySet::from_members(members),
        _ => Err(JwksError::NoKeyList),
    }
}

#[cfg(test)]
mod tests {
    use std::error::Error;

    use super::*;
    use crate::identity::{Discovery, SigningKey};

    fn config() -> IssuerConfig {
        let key = SigningKey::generate(Algorithm::EdDsa).unwrap();
        let mut config = IssuerConfig::new("corp".parse().unwrap(), "https://issuer", vec!["api".into()]);
        config.jwks = Some(key.public_jwks());
        config
    }

    fn problem(change: impl FnOnce(&mut IssuerConfig)) -> String {
        let mut config = config();
        change(&mut config);
        let error = Issuer::build(&config, Path::new("/nowhere")).unwrap_err();
        let mut text = error.to_string();
        let mut cause = error.source();
        while let Some(error) = cause {
            text = format!("{text}: {error}");
            cause = error.source();
        }
        text
    }

    #[test]
    fn unsafe_settings_are_refused_with_the_setting_named() {
        assert!(Issuer::build(&config(), Path::new("/")).is_ok());
        assert!(problem(|c| c.audiences.clear()).contains("audiences"));
        assert!(problem(|c| c.audiences.push(String::new())).contains("audiences"));
        assert!(problem(|c| c.issuer.clear()).contains("`issuer`"));
        assert!(problem(|c| c.alias = "sha256".parse().unwrap()).contains("sha256"));
        assert!(problem(|c| c.algorithms.clear()).contains("algorithms"));
        assert!(problem(|c| c.leeway = Duration::from_secs(301)).contains("leeway"));
        assert!(problem(|c| c.max_lifetime = Duration::ZERO).contains("max_lifetime"));
        assert!(problem(|c| c.max_age = Duration::ZERO).contains("max_age"));
        assert!(
            problem(|c| c.claims.role_names = [("a".into(), String::new())].into()).contains("role_names")
        );
        assert!(problem(|c| c.token_types.clear()).contains("token_types"));
        assert!(problem(|c| c.token_types.push("application/DPoP+JWT".into())).contains("DPoP"));
        assert!(problem(|c| c.claims.workload.values.push("x".into())).contains("workload"));
    }

    #[test]
    fn keys_come_from_exactly_one_place() {
        assert!(problem(|c| c.jwks_url = Some("https://issuer/jwks".into())).contains("not both"));
        assert!(problem(|c| c.discovery = Some(Discovery::Openid)).contains("not both"));
        assert!(problem(|c| c.jwks = None).contains("needs keys"));
        assert!(problem(|c| c.jwks_file = Some("k.json".into())).contains("not both"));
        assert!(problem(|c| c.jwks = Some(Value::from("{\"keys\":[],\"keys\":[]}"))).contains("twice"));
        assert!(problem(|c| c.jwks = Some(Value::from(7))).contains("`keys`"));
    }

    #[test]
    fn places_that_keys_cannot_come_from_are_errors_with_the_place_named() {
        let remote = |url: &str| {
            problem(|c| {
                c.jwks = None;
                c.jwks_url = Some(url.into());
            })
        };
        assert!(remote("http://issuer/jwks").contains("`http://issuer/jwks` must begin with `https://`"));
        assert!(remote("https://169.254.169.254/").contains("169.254.169.254"));
        let discovered = |change: fn(&mut IssuerConfig)| {
            problem(|c| {
                c.jwks = None;
                c.discovery = Some(Discovery::Openid);
                change(c);
            })
        };
        assert!(discovered(|c| c.issuer = "urn:issuer".into()).contains("urn:issuer"));
        assert!(discovered(|c| c.key_fetch.jwks_origins = vec!["x".into()]).contains("jwks_origins"));
        assert!(discovered(|c| c.key_fetch.cool_down = Duration::ZERO).contains("cool_down"));
        let mut config = config();
        config.jwks = None;
        config.discovery = Some(Discovery::Oauth);
        let issuer = Issuer::build(&config, Path::new("/")).unwrap();
        assert_eq!(
            issuer.warnings(),
            Vec::<String>::new(),
            "keys that are still to come are nothing to warn of"
        );
    }

    #[test]
    fn a_shared_key_stands_alone() {
        let dir = tempfile::tempdir().unwrap();
        fs::write(dir.path().join("secret"), "A".repeat(43)).unwrap();
        let mut config = config();
        let keys = config.jwks.take();
        let algorithm = crate::identity::MacAlgorithm::Hs256;
        config.shared_key = Some(crate::identity::SharedKeyConfig { algorithm, file: "secret".into() });
        let issuer = Issuer::build(&config, dir.path()).unwrap();
        assert!(issuer.algorithms.is_empty() && issuer.keys.last_known().unwrap().is_empty());
        assert!(issuer.warnings()[0].contains("shared"));
        let refused = |change: &dyn Fn(&mut IssuerConfig)| {
            let mut config = config.clone();
            change(&mut config);
            Issuer::build(&config, dir.path()).unwrap_err().to_string()
        };
        assert!(refused(&|c| c.jwks.clone_from(&keys)).contains("not both"));
        assert!(refused(&|c| c.jwks_file = Some("k".into())).contains("not both"));
        assert!(refused(&|c| c.jwks_url = Some("https://k".into())).contains("not both"));
        assert!(refused(&|c| c.discovery = Some(Discovery::Oauth)).contains("not both"));
        assert!(refused(&|c| c.algorithms = vec![Algorithm::Rs256]).contains("`algorithms`"));
        assert!(refused(&|c| c.shared_key.as_mut().unwrap().file = "none".into()).contains("cannot be read"));
        fs::write(dir.path().join("secret"), "A".repeat(42)).unwrap();
        assert!(refused(&|_| ()).contains("too short"));
    }

    #[test]
    fn errors_about_key_files_name_the_file_and_the_problem() {
        let dir = tempfile::tempdir().unwrap();
        let mut config = config();
        let keys = config.jwks.take().unwrap();
        config.jwks_file = Some("keys.json".into());
        let missing = Issuer::build(&config, dir.path()).unwrap_err();
        assert!(missing.to_string().contains("keys.json") && missing.source().is_some());
        fs::write(dir.path().join("keys.json"), "{\"keys\":[]}").unwrap();
        let empty = Issuer::build(&config, dir.path()).unwrap_err();
        assert!(empty.to_string().contains("keys.json"));
        assert!(empty.source().unwrap().to_string().contains("no key"));
        fs::write(dir.path().join("keys.json"), keys.to_string()).unwrap();
        assert_eq!(Issuer::build(&config, dir.path()).unwrap().keys.last_known().unwrap().len(), 1);
    }

    #[test]
    fn keys_that_fit_no_allowed_algorithm_are_warned_of() {
        let mut config = config();
        config.algorithms = vec![Algorithm::Es256];
        assert!(Issuer::build(&config, Path::new("/")).unwrap().warnings()[0].contains("every token"));
    }
}
