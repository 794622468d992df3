//! A token that names a workload: a JWT-SVID of a trust domain.
//!
//! It is verified as every token is (`jwt.rs`), by the rules of its trust domain. Here is what the standard asks besides, and
//! what becomes of its claims: nothing but the name.

use super::compact::Compact;
use super::jwt::Registered;
use super::refusal::{IdentityRefusal, excerpt};
use super::spiffe_id::SpiffeId;
use super::svid;
use super::trust_domain::{TrustDomain, TrustDomains};
use crate::model::{CredentialFault, Principal, TokenFacts, TokenKind};

/// A workload that a token names, and its trust domain.
#[derive(Clone, Copy, Debug)]
pub(super) struct Named<'a> {
    pub id: SpiffeId<'a>,
    pub domain: &'a TrustDomain,
}

/// The workload that the token names, where its subject means to be a SPIFFE ID and there are trust domains.
pub(super) fn named<'a>(
    registered: &'a Registered,
    domains: &'a TrustDomains,
) -> Option<Result<Named<'a>, IdentityRefusal>> {
    let subject = registered.subject.as_deref().filter(|subject| SpiffeId::is_meant(subject))?;
    if domains.is_empty() {
        return None;
    }
    let found = SpiffeId::parse(subject).map_err(IdentityRefusal::malformed);
    Some(found.and_then(|id| Ok(Named { id, domain: domains.of(&id)? })))
}

/// The header holds `alg`, `kid` and `typ` alone (JWT-SVID section 2).
pub(super) fn check_header(token: &Compact<'_>) -> Result<(), IdentityRefusal> {
    let Some(other) = &token.header.other else { return Ok(()) };
    let detail = format!("a JWT-SVID has no header member {}", excerpt(other));
    Err(IdentityRefusal::malformed(detail))
}

impl Named<'_> {
    /// The principal that was read from the claims, under the workload's own name.
    pub(super) fn rename(&self, read: Principal) -> Result<Principal, IdentityRefusal> {
        if self.id.path.is_empty() {
            let detail = "the SPIFFE ID is that of a trust domain, not of a workload";
            return Err(IdentityRefusal::new(CredentialFault::Malformed, detail));
        }
        let mut principal = svid::named(&self.id, self.domain)?;
        // What a login or a client would say of itself is not a trust domain's to say.
        principal.token = read.token.map(|token| TokenFacts {
            kind: TokenKind::Svid,
            client_id: None,
            scopes: Default::default(),
            auth_time: None,
            acr: None,
            amr: Default::default(),
            ..token
        });
        Ok(principal)
    }
}
