//! What an issuer's answer about a token makes of it: the checks of a JWT's claims, as far as there are claims.
//!
//! The answer came from the issuer itself over a verified connection, which is in the place of a signature. Everything else
//! is held to the issuer's rules as in `jwt.rs`: that a token is active does not make it one for us.

use std::time::Duration;

use serde_json::{Map, Value};

use super::cache::Authenticated;
use super::claims::{self, Verified};
use super::introspection::Verdict;
use super::introspection_config::IntrospectionConfig;
use super::issuer::Issuer;
use super::json::parse_object;
use super::jwt::{self, Registered};
use super::lifetime::Lifetime;
use super::refusal::{IdentityRefusal, excerpt};
use crate::model::{CredentialFault, Timestamp};

/// Judges an answer. The error is about an answer that is none.
pub(super) fn judge(
    body: &[u8],
    issuer: &Issuer,
    settings: &IntrospectionConfig,
    sha256: [u8; 32],
    now: Timestamp,
) -> Result<Verdict, String> {
    let members = parse_object(body).map_err(|fault| format!("its answer is refused: {fault}"))?;
    match members.get("active") {
        Some(Value::Bool(true)) => Ok(accept(&members, issuer, settings, sha256, now)),
        Some(Value::Bool(false)) => {
            let detail = "the issuer says that the token is not active";
            Ok(Err(IdentityRefusal::new(CredentialFault::Inactive, detail)))
        }
        _ => Err("its answer does not say whether the token is active".to_owned()),
    }
}

fn accept(
    members: &Map<String, Value>,
    issuer: &Issuer,
    settings: &IntrospectionConfig,
    sha256: [u8; 32],
    now: Timestamp,
) -> Verdict {
    let mut registered = Registered::read(members)?;
    if registered.subject.is_none() && settings.without_subject {
        // Where no user has a part, RFC 9068 section 2.2 has the client be the subject of a JWT; RFC 7662 leaves it out.
        registered.subject = claims::client_id(members, issuer)?;
    }
    check_issuer(&registered, issuer)?;
    check_kind(members)?;
    let lifetime = lifetime(&registered, issuer)?;
    lifetime.check(now)?;
    lifetime.check_length(issuer.max_lifetime)?;
    if !(registered.audience.is_empty() && settings.without_audience) {
        jwt::check_audience(&registered, issuer)?;
    }
    let latest_login = if registered.issued_at.is_some() { lifetime.issued_at } else { now };
    let required = &settings.required_claims;
    let claims = members;
    let verified =
        Verified { claims, registered: &registered, issuer, lifetime, latest_login, required, sha256 };
    let known = claims::read(&verified)?;
    check_binding(
        members,
        known.principal.token.as_ref().is_some_and(|token| token.confirmation.jkt.is_some()),
    )?;
    Ok((Authenticated::new(known.principal, known.dropped), lifetime))
}

/// Whom we asked is the issuer; an answer that names another is for somebody else's configuration.
fn check_issuer(registered: &Registered, issuer: &Issuer) -> Result<(), IdentityRefusal> {
    match registered.issuer.as_deref() {
        None => Ok(()),
        Some(named) if named == issuer.issuer => Ok(()),
        Some(other) => {
            let detail = format!("the answer is about a token of {}", excerpt(other));
            Err(IdentityRefusal::new(CredentialFault::WrongIssuer, detail))
        }
    }
}

/// An issuer answers about refresh tokens as well, and some about ID tokens (RFC 7662 section 4).
fn check_kind(members: &Map<String, Value>) -> Result<(), IdentityRefusal> {
    for (name, fit) in [
        ("token_type", &["bearer", "dpop", "access_token"] as &[&str]),
        ("token_use", &["access", "access_token"]),
    ] {
        let Some(value) = members.get(name) else { continue };
        let kind = value.as_str().unwrap_or_default().to_ascii_lowercase();
        if !fit.contains(&kind.as_str()) {
            let detail = format!("by its `{name}`, {}, it is no access token", excerpt(&value.to_string()));
            return Err(IdentityRefusal::new(CredentialFault::WrongType, detail));
        }
    }
    Ok(())
}

/// A token that is used with proofs, and is bound to no key, could be used by anybody.
fn check_binding(members: &Map<String, Value>, bound: bool) -> Result<(), IdentityRefusal> {
    let kind = members.get("token_type").and_then(Value::as_str).unwrap_or_default();
    if kind.eq_ignore_ascii_case("dpop") && !bound {
        let detail = "by its `token_type` it is bound to a key, and the answer does not say to which";
        return Err(IdentityRefusal::new(CredentialFault::BindingFailed, detail));
    }
    Ok(())
}

/// Where `iat` is missing the token counts as issued as early as one with its `exp` can have been, so that a revocation of
/// what was issued before a moment meets it. Where `exp` is missing it counts for as long as one with its `iat` may.
fn lifetime(registered: &Registered, issuer: &Issuer) -> Result<Lifetime, IdentityRefusal> {
    let longest: Duration = issuer.max_lifetime;
    let (issued_at, expires_at) = match (registered.issued_at, registered.expires_at) {
        (Some(issued_at), Some(expires_at)) => (issued_at, expires_at),
        (None, Some(expires_at)) => (expires_at.minus(longest), expires_at),
        (Some(issued_at), None) => (issued_at, issued_at.plus(longest)),
        (None, None) => {
            let detail = "the answer says neither when the token was issued nor when it ends";
            return Err(IdentityRefusal::malformed(detail));
        }
    };
    let not_before = registered.not_before;
    Ok(Lifetime { issued_at, not_before, expires_at, leeway: issuer.leeway, max_age: issuer.max_age })
}
