//! What an operator may see of the issuers and trust domains that are believed.

use super::Identity;
use super::algorithm::Algorithm;
use super::introspection::IntrospectionInfo;
use super::issuer::Issuer;
use super::remote_keys::FetchedKeys;
use super::shared_key::MacAlgorithm;
use super::trust_domain::TrustDomain;
use crate::model::IssuerAlias;

/// What an operator may see of an issuer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct IssuerInfo {
    pub alias: IssuerAlias,
    pub issuer: String,
    pub audiences: Vec<String>,
    /// None for an issuer with a shared key.
    pub algorithms: Vec<Algorithm>,
    pub shared_key: Option<MacAlgorithm>,
    pub token_types: Vec<String>,
    /// How many keys can verify its tokens; of fetched ones, those that were fetched last.
    pub keys: usize,
    pub key_ids: Vec<String>,
    /// Where they come from and how old they are, when they are fetched.
    pub fetched: Option<FetchedKeys>,
    /// How its opaque tokens are asked about, where they are.
    pub introspection: Option<IntrospectionInfo>,
    /// Keys that were left out, settings that cannot work.
    pub warnings: Vec<String>,
}

/// What an operator may see of a trust domain.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TrustDomainInfo {
    pub alias: IssuerAlias,
    pub name: String,
    /// How many authorities of its bundle can vouch for certificates.
    pub authorities: usize,
    /// How many keys of its bundle can verify tokens.
    pub token_keys: usize,
}

impl Identity {
    /// The trusted issuers, by alias.
    pub fn issuers(&self) -> Vec<IssuerInfo> {
        let mut infos: Vec<IssuerInfo> = self.issuers.values().map(IssuerInfo::of).collect();
        infos.sort_by(|a, b| a.alias.cmp(&b.alias));
        infos
    }

    /// The trust domains that are believed, by alias.
    pub fn trust_domains(&self) -> Vec<TrustDomainInfo> {
        let mut infos: Vec<TrustDomainInfo> = self.trust_domains.iter().map(TrustDomainInfo::of).collect();
        infos.sort_by(|a, b| a.alias.cmp(&b.alias));
        infos
    }
}

impl IssuerInfo {
    fn of(issuer: &Issuer) -> Self {
        let keys = issuer.keys.last_known();
        Self {
            alias: issuer.alias.clone(),
            issuer: issuer.issuer.clone(),
            audiences: issuer.audiences.clone(),
            algorithms: issuer.algorithms.clone(),
            shared_key: issuer.shared_key.as_ref().map(|key| key.algorithm),
            token_types: issuer.token_types.clone(),
            keys: keys.as_ref().map_or(0, |keys| keys.len()),
            key_ids: keys.iter().flat_map(|keys| keys.key_ids()).map(str::to_owned).collect(),
            fetched: issuer.keys.remote().map(|keys| keys.info()),
            introspection: issuer.introspector.as_ref().map(|introspector| introspector.info()),
            warnings: issuer.warnings(),
        }
    }
}

impl TrustDomainInfo {
    fn of(domain: &TrustDomain) -> Self {
        let (authorities, token_keys) = domain.sizes();
        Self { alias: domain.alias().clone(), name: domain.name.clone(), authorities, token_keys }
    }
}
