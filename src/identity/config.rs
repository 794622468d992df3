//! Settings of identity: which issuers are trusted, how far, and how their claims are read.
//!
//! Every default is the narrow one. An audience cannot be left out, because a check that is skipped when nobody
//! configured it is a check that is skipped. What the types cannot hold is checked in `issuer.rs`.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::time::Duration;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::algorithm::Algorithm;
use super::certificate::CertificateConfig;
use super::claim_path::ClaimPath;
use super::dpop_config::{DpopConfig, SenderConstrained};
use super::fetch::FetchConfig;
use super::grant::MayAssert;
use super::introspection_config::IntrospectionConfig;
use super::key_config::{Discovery, KeyFetchConfig};
use super::revocation::RevocationConfig;
use super::shared_key::SharedKeyConfig;
use super::trust_domain::TrustDomainConfig;
use crate::model::{IssuerAlias, duration};

/// Settings of identity.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Config {
    /// The token issuers that are trusted; none means that no bearer token is believed.
    pub issuers: Vec<IssuerConfig>,
    /// The SPIFFE trust domains whose workloads are believed, by their certificates and tokens.
    pub trust_domains: Vec<TrustDomainConfig>,
    pub cache: CacheConfig,
    pub dpop: DpopConfig,
    pub certificates: CertificateConfig,
    /// How documents of issuers are fetched.
    pub fetch: FetchConfig,
    /// The alias of the issuer whose tokens those are that are no JWT; it must have `introspection`. Without it such tokens are
    /// refused.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub opaque_tokens: Option<IssuerAlias>,
    /// The longest token that is read at all, in bytes.
    pub max_token_bytes: usize,
    pub revocation: RevocationConfig,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            issuers: Vec::new(),
            trust_domains: Vec::new(),
            cache: CacheConfig::default(),
            dpop: DpopConfig::default(),
            certificates: CertificateConfig::default(),
            fetch: FetchConfig::default(),
            opaque_tokens: None,
            max_token_bytes: 16 * 1024,
            revocation: RevocationConfig::default(),
        }
    }
}

/// Bounds of the cache of verified tokens.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct CacheConfig {
    /// How many verified tokens are kept at most; 0 verifies every token anew.
    pub max_tokens: u64,
    /// How much memory they may take, in bytes, with what decisions make ready from them; a typical one takes 6,000 to
    /// 8,000. It is an estimate, within a third of what one set of policies makes of a token.
    pub max_bytes: u64,
}

impl Default for CacheConfig {
    fn default() -> Self {
        Self { max_tokens: 100_000, max_bytes: 256 * 1024 * 1024 }
    }
}

/// One trusted issuer of access tokens.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct IssuerConfig {
    /// The first half of the ids of its principals: `corp` makes `corp/alice`.
    pub alias: IssuerAlias,
    /// The exact `iss` of its tokens; compared byte for byte (RFC 9068 section 4).
    pub issuer: String,
    /// A token must name at least one of these in `aud`; may not be empty.
    pub audiences: Vec<String>,
    /// The algorithms its tokens may use, all of them with public keys. Leave it out beside `shared_key`.
    #[serde(default = "default_algorithms")]
    pub algorithms: Vec<Algorithm>,
    /// A file with its key set (RFC 7517), relative to the configuration file, read once at the start.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub jwks_file: Option<PathBuf>,
    /// Its key set itself, as a table or as JSON text.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub jwks: Option<Value>,
    /// Where it publishes its key set: an `https` URL. It is fetched again before it is old, and when a token names a key
    /// that is not in it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub jwks_url: Option<String>,
    /// Ask the issuer itself where its keys are, at its well-known place: `openid` or `oauth`. Of `discovery`, `jwks_url`,
    /// `jwks_file` and `jwks` give exactly one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub discovery: Option<Discovery>,
    /// How keys of `discovery` and `jwks_url` are fetched.
    #[serde(default)]
    pub key_fetch: KeyFetchConfig,
    /// Where the issuer says what its opaque tokens are (RFC 7662); see `opaque_tokens`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub introspection: Option<IntrospectionConfig>,
    /// A secret instead of public keys (HMAC), for an issuer that has nothing better. Never together with key sets.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub shared_key: Option<SharedKeyConfig>,
    /// How far the issuer's clock and ours may disagree; at most `5m`.
    #[serde(default = "default_leeway", with = "duration")]
    #[schemars(with = "String")]
    pub leeway: Duration,
    /// The longest `exp - iat` of a token; a longer one is refused however young it is.
    #[serde(default = "default_max_lifetime", with = "duration")]
    #[schemars(with = "String")]
    pub max_lifetime: Duration,
    /// The longest time since `iat`; an older token counts as expired, however long it was meant to live.
    #[serde(default = "default_max_lifetime", with = "duration")]
    #[schemars(with = "String")]
    pub max_age: Duration,
    /// The `typ` a token may carry, with or without `application/`, in any case. `JWT` also admits tokens without
    /// `typ`: for issuers that do not follow RFC 9068.
    #[serde(default = "default_token_types")]
    pub token_types: Vec<String>,
    /// Claims a token must carry besides `iss`, `sub`, `aud`, `exp` and `iat`. The default is what RFC 9068 asks for.
    #[serde(default = "default_required_claims")]
    pub required_claims: Vec<ClaimPath>,
    /// Whether its tokens must be bound to their sender (`optional` or `required`), by a DPoP key or a certificate.
    #[serde(default)]
    pub sender_constrained: SenderConstrained,
    /// Where its tokens say what.
    #[serde(default)]
    pub claims: ClaimsConfig,
    /// What it may say. The default lets it name principals and nothing else.
    #[serde(default)]
    pub may_assert: MayAssert,
}

impl IssuerConfig {
    /// An issuer with default settings; still without keys.
    pub fn new(alias: IssuerAlias, issuer: impl Into<String>, audiences: Vec<String>) -> Self {
        Self {
            alias,
            issuer: issuer.into(),
            audiences,
            algorithms: default_algorithms(),
            jwks_file: None,
            jwks: None,
            jwks_url: None,
            discovery: None,
            key_fetch: KeyFetchConfig::default(),
            introspection: None,
            shared_key: None,
            leeway: default_leeway(),
            max_lifetime: default_max_lifetime(),
            max_age: default_max_lifetime(),
            token_types: default_token_types(),
            required_claims: default_required_claims(),
            sender_constrained: SenderConstrained::default(),
            claims: ClaimsConfig::default(),
            may_assert: MayAssert::default(),
        }
    }
}

/// Where an issuer's tokens say what. Several places for one thing are read together.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct ClaimsConfig {
    /// Scopes: a string with spaces, or an array.
    pub scopes: Vec<ClaimPath>,
    /// Roles: a string (one role) or an array.
    pub roles: Vec<ClaimPath>,
    /// Roles by client, as Keycloak writes them: `resource_access` holds an object for each client, and in it the list
    /// `roles`. Each becomes the role `<client>:<role>`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub client_roles: Option<ClaimPath>,
    /// Other names for roles, by the name in the token. What the issuer may assert is about the other name.
    pub role_names: BTreeMap<String, String>,
    /// The most roles of one token; one with more is refused, because a part of them is not the whole.
    pub max_roles: usize,
    /// Groups: a string (one group) or an array.
    pub groups: Vec<ClaimPath>,
    /// Other names for groups, by the name in the token; for issuers whose groups are numbers or UUIDs.
    pub group_names: BTreeMap<String, String>,
    /// The most groups of one token; one with more is refused.
    pub max_groups: usize,
    /// What becomes of a token that says its roles or groups are kept elsewhere because they are too many
    /// (`_claim_names`, `hasgroups`), where the issuer may assert any.
    pub overage: Overage,
    /// The most scopes of one token; one with more is refused.
    pub max_scopes: usize,
    /// The most actors (`act`), one within another; a token with more is refused.
    pub max_actors: usize,
    /// The tenant: a string.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub tenant: Option<ClaimPath>,
    /// The client that asked for the token: a string; the first of these that is there.
    pub client_id: Vec<ClaimPath>,
    /// Claims that policies may read, each as the tag `claim:<path>`: strings, whole numbers, booleans, or arrays
    /// of them.
    pub tags: Vec<ClaimPath>,
    /// When a token makes its subject a workload instead of a user.
    pub workload: WorkloadRule,
}

impl Default for ClaimsConfig {
    fn default() -> Self {
        Self {
            scopes: vec![ClaimPath::top_level("scope"), ClaimPath::top_level("scp")],
            roles: vec![ClaimPath::top_level("roles")],
            client_roles: None,
            role_names: BTreeMap::new(),
            max_roles: 256,
            groups: vec![ClaimPath::top_level("groups")],
            group_names: BTreeMap::new(),
            max_groups: 256,
            overage: Overage::Refuse,
            max_scopes: 256,
            max_actors: 8,
            tenant: None,
            client_id: vec![ClaimPath::top_level("client_id"), ClaimPath::top_level("azp")],
            tags: Vec::new(),
            workload: WorkloadRule::default(),
        }
    }
}

impl ClaimsConfig {
    /// No claim says anything.
    pub(super) fn nothing() -> Self {
        Self {
            scopes: Vec::new(),
            roles: Vec::new(),
            groups: Vec::new(),
            client_id: Vec::new(),
            workload: WorkloadRule { subject_is_client: false, ..WorkloadRule::default() },
            ..Self::default()
        }
    }
}

/// What becomes of a token whose list of groups or roles is kept elsewhere.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Overage {
    /// It is refused: a `forbid` on a group that cannot be seen would be passed by.
    Refuse,
    /// It is accepted as if it had none but those it holds, with a note in the record.
    Ignore,
}

/// How a client acting for itself (client credentials) is told from a user; either sign is enough.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct WorkloadRule {
    /// `sub` equals the client's id: what RFC 9068 section 2.2 prescribes for such tokens.
    pub subject_is_client: bool,
    /// A claim that marks such tokens, for example `gty` or `idtyp`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub claim: Option<ClaimPath>,
    /// The values of `claim` that mean it, for example `client-credentials` or `app`.
    pub values: Vec<String>,
}

impl Default for WorkloadRule {
    fn default() -> Self {
        Self { subject_is_client: true, claim: None, values: Vec::new() }
    }
}

pub(super) fn default_algorithms() -> Vec<Algorithm> {
    vec![Algorithm::EdDsa, Algorithm::Es256, Algorithm::Es384, Algorithm::Rs256, Algorithm::Ps256]
}

fn default_leeway() -> Duration {
    Duration::from_secs(30)
}

fn default_max_lifetime() -> Duration {
    Duration::from_secs(24 * 60 * 60)
}

fn default_token_types() -> Vec<String> {
    vec!["at+jwt".to_owned()]
}

fn default_required_claims() -> Vec<ClaimPath> {
    vec![ClaimPath::top_level("client_id"), ClaimPath::top_level("jti")]
}

#[cfg(test)]
mod tests {
    use super::super::grant::Grant;
    use super::*;

    const SAMPLE: &str = r#"
        [[issuers]]
        alias = "corp"
        issuer = "https://login.example.com/realms/corp"
        audiences = ["https://api.example.com"]
        algorithms = ["RS256", "EdDSA"]
        jwks_file = "corp-keys.json"
        leeway = "10s"
        max_lifetime = "1h"
        token_types = ["at+jwt", "JWT"]
        required_claims = ["jti"]

        [issuers.claims]
        roles = ["/realm_access/roles", "https://example.com/roles"]
        tenant = "org"
        tags = ["department"]
        workload = { claim = "gty", values = ["client-credentials"] }

        [issuers.may_assert]
        roles = ["clerk", "auditor"]
        groups = "*"
        domains = ["default", "payments"]
    "#;

    #[test]
    fn the_sample_is_read_and_what_is_absent_is_the_narrow_default() {
        let config: Config = toml::from_str(SAMPLE).unwrap();
        let issuer = &config.issuers[0];
        assert_eq!(issuer.algorithms, [Algorithm::Rs256, Algorithm::EdDsa]);
        assert_eq!(issuer.leeway, Duration::from_secs(10));
        assert!(issuer.claims.workload.subject_is_client);
        assert!(issuer.may_assert.roles.covers("clerk") && !issuer.may_assert.roles.covers("admin"));
        assert_eq!(issuer.may_assert.groups, Grant::All);
        assert!(!issuer.may_assert.tenants.covers("acme"));
        let again: Config = toml::from_str(&toml::to_string(&config).unwrap()).unwrap();
        assert_eq!(again, config);
    }

    #[test]
    fn an_issuer_without_audiences_cannot_be_written() {
        let text = SAMPLE.replace("audiences = [\"https://api.example.com\"]", "");
        assert!(toml::from_str::<Config>(&text).unwrap_err().to_string().contains("audiences"));
    }

    #[test]
    fn misspelt_settings_and_hmac_are_refused() {
        for (from, to) in [("leeway", "leway"), ("\"RS256\"", "\"HS256\""), ("\"*\"", "\"any\"")] {
            assert!(toml::from_str::<Config>(&SAMPLE.replace(from, to)).is_err(), "{to}");
        }
    }
}
