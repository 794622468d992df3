//! Credential -> principal.
//!
//! A bearer token is taken apart (`compact.rs`), verified by the rules of the issuer it names (`jwt.rs`, `issuer.rs`)
//! with its keys, given (`jwks.rs`) or fetched (`remote_keys.rs`), and read (`claims.rs`); what was verified is kept
//! (`cache.rs`), unless it is revoked (`revocation.rs`), and completed with what the deployment itself knows
//! (`directory.rs`). A token that is bound to its sender (`binding.rs`) needs proof of it each time: of a key (`dpop.rs`),
//! of a certificate (`certificate.rs`). Workloads of a SPIFFE trust domain (`trust_domain.rs`, `trust_bundle.rs`) prove
//! themselves by a certificate (`svid.rs`) or a token (`jwt_svid.rs`). Also here: Deodar's own client keys, and signing for
//! the development issuer.
//! [`Identity::inspect`] shows the checks one by one (`checks.rs`). Transport is left to `api`.

mod actor;
mod algorithm;
mod binding;
mod cache;
mod certificate;
mod checks;
mod claim_path;
mod claims;
mod client_key;
mod compact;
mod config;
mod destination;
mod directory;
mod discovery;
mod dpop;
mod dpop_config;
mod fetch;
mod grant;
mod info;
mod introspected;
mod introspection;
mod introspection_config;
mod issuer;
mod json;
mod jwk;
mod jwks;
mod jwt;
mod jwt_svid;
mod key_config;
mod key_life;
mod key_source;
mod lifetime;
mod memberships;
mod named_certificate;
mod nonce;
mod presented;
mod refusal;
mod remote_keys;
mod replay;
mod revocation;
mod schedule;
mod shards;
mod shared_key;
mod sign;
mod signer;
mod spiffe_id;
mod svid;
mod tally;
mod target;
#[cfg(test)]
mod tests;
mod token_hash;
mod trust_bundle;
mod trust_domain;
mod wanted;
mod weight;

use std::collections::HashMap;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use futures::future::join_all;
use sha2::{Digest, Sha256};
use tokio_util::sync::CancellationToken;

pub use algorithm::Algorithm;
pub use cache::{Authenticated, CacheStats};
pub use certificate::CertificateConfig;
pub use checks::{Check, Inspection, Outcome};
pub use claim_path::ClaimPath;
pub use client_key::{ClientKey, ClientKeyError};
pub use config::{CacheConfig, ClaimsConfig, Config, IssuerConfig, Overage, WorkloadRule};
pub use destination::Destination;
pub use directory::Directory;
pub use dpop_config::{DpopConfig, NonceUse, SenderConstrained};
pub use fetch::{FetchConfig, FetchError, FetchRequest, Fetched, Fetcher, Form, may_connect};
pub use grant::{Grant, MayAssert};
pub use info::{IssuerInfo, TrustDomainInfo};
pub use introspection::IntrospectionInfo;
pub use introspection_config::{ClientAuthentication, IntrospectionConfig};
pub use issuer::IdentityError;
pub use json::JsonFault;
pub use jwks::{JwksError, KeySet};
pub use key_config::{Discovery, KeyFetchConfig};
pub use lifetime::Lifetime;
pub use named_certificate::NamedCertificate;
pub use presented::Presented;
pub use refusal::{IdentityRefusal, ProofFault};
pub use remote_keys::{Failure, FetchedKeys};
pub use revocation::{RevocationConfig, Revocations, Revoked};
pub use shared_key::{MacAlgorithm, SharedKeyConfig};
pub use sign::{SigningError, SigningKey};
pub use target::Target;
pub use trust_bundle::BundleError;
pub use trust_domain::{TrustDomainConfig, TrustDomainError};
pub use wanted::Wanted;

use cache::TokenCache;
use checks::{Recorder, Unwatched, Watch};
use claims::Verified;
use compact::Compact;
use dpop::{Binding, Proofs};
use issuer::Issuer;
use jwt::{Registered, Validity};
use remote_keys::RemoteKeys;
use signer::Signer;
use token_hash::TokenHash;
use trust_domain::TrustDomains;

use crate::model::{
    CertificateChain, ClientCertificate, Clock, Credential, CredentialFault, DomainId, IssuerAlias,
    Principal, Secret, Timestamp,
};

/// The trusted issuers, and the tokens verified so far. Built whole and replaced whole: a new set of issuers begins
/// with an empty cache, so a key or a grant that is gone stops counting at once.
#[derive(Debug)]
pub struct Identity {
    /// By the exact `iss`.
    issuers: HashMap<String, Issuer>,
    /// The `iss` of the one whose tokens are no JWTs.
    opaque: Option<String>,
    trust_domains: TrustDomains,
    cache: TokenCache,
    /// Makes the keys of the tokens in there.
    hash: TokenHash,
    max_token_bytes: usize,
    proofs: Proofs,
    certificates: CertificateConfig,
    anonymous: Authenticated,
}

impl Identity {
    /// Checks the settings and reads the key sets; relative files are looked for in `base_dir`.
    ///
    /// Fails on the first issuer that cannot be used: a deployment must not come up trusting less, or more, than was
    /// written.
    pub fn new(config: &Config, base_dir: &Path) -> Result<Self, IdentityError> {
        let mut issuers: HashMap<String, Issuer> = HashMap::new();
        for settings in &config.issuers {
            let issuer = Issuer::build(settings, base_dir)?;
            let same = |other: &&Issuer| other.alias == issuer.alias || other.issuer == issuer.issuer;
            if let Some(other) = issuers.values().find(same) {
                let problem = format!("has the alias or the `issuer` of another one, `{}`", other.alias);
                return Err(IdentityError::Settings { alias: issuer.alias, problem });
            }
            issuers.insert(issuer.issuer.clone(), issuer);
        }
        if let Some(problem) = config.fetch.problem() {
            return Err(IdentityError::Fetch(problem));
        }
        let taken = |alias: &IssuerAlias| issuers.values().any(|issuer| issuer.alias == *alias);
        let trust_domains = TrustDomains::build(&config.trust_domains, base_dir, taken)?;
        if let Some(problem) = config.dpop.problem() {
            return Err(IdentityError::Proofs(problem));
        }
        if let Some(problem) = config.certificates.problem() {
            return Err(IdentityError::Proofs(problem));
        }
        let no_random = || IdentityError::Proofs("the operating system gave no random bytes");
        let opaque = opaque_issuer(config, &issuers)?;
        Ok(Self {
            issuers,
            opaque,
            trust_domains,
            cache: TokenCache::new(&config.cache),
            max_token_bytes: config.max_token_bytes,
            hash: TokenHash::new().ok_or_else(no_random)?,
            proofs: Proofs::new(&config.dpop).ok_or_else(no_random)?,
            certificates: config.certificates.clone(),
            anonymous: known(Principal::anonymous(), Vec::new()),
        })
    }

    /// Who the credential proves at `now`.
    pub fn authenticate(
        &self,
        credential: &Credential,
        now: Timestamp,
    ) -> Result<Arc<Principal>, IdentityRefusal> {
        self.examine(credential, now).map(|known| known.principal)
    }

    /// As [`Identity::authenticate`], with what was set aside. That a PEP may assert principals is its caller's check.
    pub fn examine(&self, credential: &Credential, now: Timestamp) -> Result<Authenticated, IdentityRefusal> {
        self.examine_for(&Presented::alone(credential), now)
    }

    /// As [`Identity::examine`], for a credential together with what came beside it.
    pub fn examine_for(
        &self,
        presented: &Presented<'_>,
        now: Timestamp,
    ) -> Result<Authenticated, IdentityRefusal> {
        self.certificates.check(presented.certificate)?;
        match presented.credential {
            Credential::None if presented.certificate.is_none() => Ok(self.anonymous.clone()),
            Credential::None => self.workload(presented.certificate, now),
            Credential::Bearer(token) => self.presented(token.expose(), None, presented, now),
            Credential::Dpop { token, proof } => {
                self.presented(token.expose(), Some(proof.expose()), presented, now)
            }
            Credential::Asserted(id) => Ok(known(Principal::bare(id.clone()), Vec::new())),
            Credential::Malformed(why) => Err(IdentityRefusal::malformed(*why)),
        }
    }

    /// The workload that the client's certificate names, where that is all there is.
    fn workload(
        &self,
        certificate: &ClientCertificate,
        now: Timestamp,
    ) -> Result<Authenticated, IdentityRefusal> {
        if self.trust_domains.is_empty() {
            let detail = "the client certificate proves nobody: no trust domain is configured";
            return Err(IdentityRefusal::new(CredentialFault::WrongIssuer, detail));
        }
        match certificate {
            ClientCertificate::Chain(chain) => self.svid(chain, now),
            _ => Err(IdentityRefusal::malformed("the digest of a certificate proves nobody")),
        }
    }

    /// What the certificate says, from the cache or verified now.
    fn svid(&self, chain: &CertificateChain, now: Timestamp) -> Result<Authenticated, IdentityRefusal> {
        let key = svid::cache_key(chain);
        if let Some(answer) = self.cache.get(&key, now) {
            return answer;
        }
        let verified = svid::verify(chain, &self.trust_domains, now)?;
        let known = known(verified.principal, Vec::new());
        self.cache.insert(key, known.clone(), (verified.lifetime, None));
        Ok(known)
    }

    /// The workload at the other end of the client's connection, beside a credential that is another. `None` where the
    /// certificate names nobody, or a workload of a trust domain that is not configured: a token may be bound to those too.
    pub fn peer(
        &self,
        certificate: &ClientCertificate,
        now: Timestamp,
    ) -> Result<Option<Authenticated>, IdentityRefusal> {
        self.certificates.check(certificate)?;
        match certificate {
            ClientCertificate::Chain(chain) if svid::is_meant(chain, &self.trust_domains) => {
                self.svid(chain, now).map(Some)
            }
            _ => Ok(None),
        }
    }

    /// A token with the proofs that came with it.
    // INVARIANT: the only way from a token to a decision about its principal, so that none gets past its binding.
    fn presented(
        &self,
        token: &str,
        proof: Option<&str>,
        beside: &Presented<'_>,
        now: Timestamp,
    ) -> Result<Authenticated, IdentityRefusal> {
        let known = self.verified(token, now)?;
        let facts = known.principal.token.as_ref();
        let confirmation = facts.map(|facts| facts.confirmation).unwrap_or_default();
        // First, because it uses nothing up.
        if let Some(bound_to) = &confirmation.x5t_s256 {
            certificate::check_bound(bound_to, beside.certificate, now)?;
        }
        if let Some(jkt) = binding::key_to_prove(&confirmation, proof)? {
            let no_target = || binding::failed("the question names no URI that a proof could be about");
            let target = beside.target.ok_or_else(no_target)?;
            self.proofs.check(proof.unwrap_or_default(), &Binding { token, jkt, target }, now)?;
        }
        Ok(known)
    }

    /// What the token says, from the cache or verified now. Whoever presents it has proved nothing yet.
    fn verified(&self, token: &str, now: Timestamp) -> Result<Authenticated, IdentityRefusal> {
        self.check_size(token)?;
        let key = self.hash.of(token);
        if let Some(answer) = self.cache.get(&key, now) {
            return answer;
        }
        let sha256 = Sha256::digest(token).into();
        if let Some(issuer) = self.opaque_issuer_of(token) {
            return self.introspected(issuer, token, &sha256, now);
        }
        let (known, validity) = self.verify(token, sha256, now, &mut Unwatched)?;
        self.cache.insert(key, known.clone(), validity);
        Ok(known)
    }

    /// Who knows a token that does not mean to be a JWT.
    fn opaque_issuer_of(&self, token: &str) -> Option<&Issuer> {
        let issuer = self.opaque.as_ref()?;
        if compact::means_to_be_a_jwt(token) { None } else { self.issuers.get(issuer) }
    }

    /// What the issuer said of an opaque token, lately.
    fn introspected(
        &self,
        issuer: &Issuer,
        token: &str,
        sha256: &[u8; 32],
        now: Timestamp,
    ) -> Result<Authenticated, IdentityRefusal> {
        if !compact::is_b64token(token) {
            return Err(IdentityRefusal::malformed("neither a JWT nor an opaque bearer token"));
        }
        let missing = || IdentityRefusal::unavailable("the issuer cannot be asked about its tokens");
        issuer.introspector.as_ref().ok_or_else(missing)?.known(token, sha256, now)
    }

    /// Every check but the size, in order, past the cache.
    fn verify(
        &self,
        token: &str,
        sha256: [u8; 32],
        now: Timestamp,
        watch: &mut impl Watch,
    ) -> Result<(Authenticated, Validity), IdentityRefusal> {
        let compact = watch.step(Check::Form, Compact::parse(token))?;
        watch.header(&compact.header);
        let registered = watch.step(Check::ClaimTypes, Registered::read(&compact.claims))?;
        let signer = watch.step(Check::Issuer, self.signer_of(&registered))?;
        let issuer = signer.rules();
        watch.issuer(issuer);
        watch.step(Check::Form, signer.check_header(&compact))?;
        let validity = jwt::verify(&compact, &registered, issuer, now, watch)?;
        let claims = &compact.claims;
        let verified = Verified {
            claims,
            registered: &registered,
            issuer,
            lifetime: validity.0,
            latest_login: validity.0.issued_at,
            required: &issuer.required_claims,
            sha256,
        };
        let read = claims::read(&verified).and_then(|read| signer.name(read));
        let read = watch.step(Check::Claims, read)?;
        Ok((known(read.principal, read.dropped), validity))
    }

    /// Verifies a token as a decision would, past the cache, and tells how each check ended. It is for showing and decides
    /// nothing: proof of what the token is bound to is not asked for.
    pub fn inspect(&self, token: &Secret, now: Timestamp) -> Inspection {
        let token = token.expose();
        let mut recorder = Recorder::default();
        let answer = recorder.step(Check::Size, self.check_size(token)).and_then(|()| {
            let sha256 = Sha256::digest(token).into();
            self.verify(token, sha256, now, &mut recorder).map(|(known, _)| known)
        });
        recorder.finish(answer)
    }

    fn check_size(&self, token: &str) -> Result<(), IdentityRefusal> {
        if token.len() > self.max_token_bytes {
            let detail = format!("the token is longer than {} bytes", self.max_token_bytes);
            return Err(IdentityRefusal::malformed(detail));
        }
        Ok(())
    }

    /// An issuer that is configured, or else the trust domain of the workload that is named.
    fn signer_of<'a>(&'a self, registered: &'a Registered) -> Result<Signer<'a>, IdentityRefusal> {
        let named = self.issuer_of(registered);
        match named {
            Ok(issuer) => Ok(Signer::Issuer(issuer)),
            Err(stranger) => match jwt_svid::named(registered, &self.trust_domains) {
                Some(workload) => workload.map(Signer::TrustDomain),
                None => Err(stranger),
            },
        }
    }

    /// The issuer is looked up, never derived: an `iss` that is not configured is a stranger, however it is spelt.
    fn issuer_of(&self, registered: &Registered) -> Result<&Issuer, IdentityRefusal> {
        let refuse = |detail: String| IdentityRefusal::new(CredentialFault::WrongIssuer, detail);
        let named = registered.issuer.as_deref();
        let named = named.ok_or_else(|| refuse("the token names no issuer".to_owned()))?;
        let stranger = || refuse(format!("issuer {} is not configured", refusal::excerpt(named)));
        self.issuers.get(named).ok_or_else(stranger)
    }

    /// Who calls without a credential.
    pub fn nobody(&self) -> &Principal {
        &self.anonymous.principal
    }

    /// Whether the principal counts in a domain: its issuer must be granted it. One without a token (anonymous, or
    /// asserted by a PEP) is the concern of the PEP's own grants.
    pub fn counts_in(&self, principal: &Principal, domain: &DomainId) -> bool {
        let Some(token) = &principal.token else { return true };
        let mut rules = self.rules();
        let rules = rules.find(|rules| rules.alias == token.issuer);
        rules.is_some_and(|rules| rules.may_assert.domains.covers(domain.as_str()))
    }

    /// Those of every issuer and of every trust domain; no two have one alias.
    fn rules(&self) -> impl Iterator<Item = &Issuer> {
        self.issuers.values().chain(self.trust_domains.iter().map(|domain| &domain.rules))
    }

    /// Whether an issuer or a trust domain has this alias.
    pub fn knows(&self, alias: &str) -> bool {
        self.rules().any(|rules| rules.alias.as_str() == alias)
    }

    /// Asks issuers what they have to say: for their keys now and again whenever it is due, and about tokens when one is to be
    /// judged. Ends with `stop` and not before. No issuer waits for another.
    pub async fn ask_issuers(&self, fetcher: &dyn Fetcher, clock: &dyn Clock, stop: &CancellationToken) {
        let keys = join_all(self.remote_keys().map(|keys| keys.keep(fetcher, clock, stop)));
        let asked = self.issuers.values().filter_map(|issuer| Some((issuer, issuer.introspector.as_ref()?)));
        let answers = join_all(asked.map(|(issuer, asked)| asked.keep(issuer, fetcher, clock, stop)));
        tokio::join!(keys, answers);
        stop.cancelled().await;
    }

    /// Fetches the keys of the issuers that publish them, once. What cannot be had is missed by the tokens that need it.
    pub async fn fetch_keys(&self, fetcher: &dyn Fetcher, clock: &dyn Clock) {
        join_all(self.remote_keys().map(|keys| keys.fetch_once(fetcher, clock))).await;
    }

    /// Whether there is anything to fetch.
    pub fn fetches(&self) -> bool {
        self.remote_keys().next().is_some() || self.opaque.is_some()
    }

    fn remote_keys(&self) -> impl Iterator<Item = &Arc<RemoteKeys>> {
        self.issuers.values().filter_map(|issuer| issuer.keys.remote())
    }

    /// How long a token or certificate of any issuer can be valid, leeway included.
    pub fn longest_lifetime(&self) -> Duration {
        self.rules().map(|rules| rules.max_lifetime + 2 * rules.leeway).max().unwrap_or_default()
    }

    /// The algorithms that a proof may use, as a challenge names them.
    pub fn proof_algorithms(&self) -> &Arc<str> {
        &self.proofs.names
    }

    /// The nonce that the next proof must hold; `None` where none is needed.
    pub fn fresh_nonce(&self, now: Timestamp) -> Option<String> {
        self.proofs.fresh_nonce(now)
    }

    /// How many used proofs are remembered.
    pub fn remembered_proofs(&self) -> usize {
        self.proofs.remembered()
    }

    /// What the cache of verified tokens holds, and how often it was of use.
    pub fn token_cache(&self) -> CacheStats {
        self.cache.stats()
    }
}

fn known(principal: Principal, dropped: Vec<String>) -> Authenticated {
    Authenticated::new(principal, dropped)
}

/// Exactly one issuer can know what opaque tokens are: they name none.
fn opaque_issuer(
    config: &Config,
    issuers: &HashMap<String, Issuer>,
) -> Result<Option<String>, IdentityError> {
    let named = config.opaque_tokens.as_ref();
    let problem = |alias: &IssuerAlias, problem: &str| IdentityError::Settings {
        alias: alias.clone(),
        problem: problem.to_owned(),
    };
    let idle = |issuer: &&Issuer| issuer.introspector.is_some() && named != Some(&issuer.alias);
    if let Some(issuer) = issuers.values().find(idle) {
        let why = "has `introspection`, but `identity.opaque_tokens` does not name it";
        return Err(problem(&issuer.alias, why));
    }
    let Some(alias) = named else { return Ok(None) };
    match issuers.values().find(|issuer| issuer.alias == *alias) {
        None => Err(problem(alias, "is named by `identity.opaque_tokens`, but is not configured")),
        Some(issuer) if issuer.introspector.is_none() => {
            Err(problem(alias, "is named by `identity.opaque_tokens`, but has no `introspection`"))
        }
        Some(issuer) => Ok(Some(issuer.issuer.clone())),
    }
}
