//! The claims of a verified token -> a principal: who it is, and what the issuer may say of them.
//!
//! A claim of the wrong type refuses the token; a role, group or tenant that the issuer was not granted is dropped
//! and noted, because the rest of the token is still true.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::{Map, Value};

use super::actor;
use super::binding;
use super::claim_path::ClaimPath;
use super::issuer::Issuer;
use super::jwt::{Registered, numeric_date};
use super::lifetime::Lifetime;
use super::memberships;
use super::refusal::{IdentityRefusal, excerpt};
use crate::model::{Prepared, Principal, PrincipalId, PrincipalKind, Timestamp, TokenFacts, TokenKind};

/// The longest subject, client, token and session id, role or group, in bytes (OpenID Connect Core section 2).
pub(super) const MAX_NAME_BYTES: usize = 255;
/// The longest value of a tag, in bytes.
const MAX_VALUE_BYTES: usize = 1_024;

type Claims = Map<String, Value>;

/// What a token made known.
pub(super) struct Known {
    pub principal: Principal,
    /// What the issuer asserted beyond its grant, a sentence each.
    pub dropped: Vec<String>,
}

/// A token that passed every check of `jwt.rs`, or of `introspected.rs`.
pub(super) struct Verified<'a> {
    pub claims: &'a Claims,
    pub registered: &'a Registered,
    pub issuer: &'a Issuer,
    pub lifetime: Lifetime,
    /// The latest moment at which its user can have logged in for it.
    pub latest_login: Timestamp,
    /// Claims that must be there.
    pub required: &'a [ClaimPath],
    /// SHA-256 of the whole token.
    pub sha256: [u8; 32],
}

/// Reads the principal out of a verified token.
pub(super) fn read(token: &Verified<'_>) -> Result<Known, IdentityRefusal> {
    let Verified { claims, registered, issuer, .. } = token;
    check_required(claims, token.required)?;
    let missing = || IdentityRefusal::malformed("the claim `sub` is missing");
    let subject = fit("sub", registered.subject.as_deref().ok_or_else(missing)?, MAX_NAME_BYTES)?;
    let client_id = client_id(claims, issuer)?;
    let kind = token_kind(claims, issuer, &subject, client_id.as_deref())?;
    let principal_kind = match kind {
        TokenKind::User => PrincipalKind::User,
        TokenKind::Client | TokenKind::Svid => PrincipalKind::Workload,
    };
    let mut dropped = Vec::new();
    let principal = Principal {
        id: PrincipalId::new(principal_kind, &issuer.alias, &subject),
        tenant: tenant(claims, issuer, &mut dropped)?,
        active: true,
        roles: memberships::roles(claims, issuer, &mut dropped)?,
        groups: memberships::groups(claims, issuer, &mut dropped)?,
        tags: tags(claims, &issuer.claims.tags)?,
        token: Some(facts(token, kind, client_id)?),
        prepared: Prepared::default(),
        subjects: Prepared::default(),
        in_directory: Prepared::default(),
    };
    Ok(Known { principal, dropped })
}

/// The client that asked for the token.
pub(super) fn client_id(claims: &Claims, issuer: &Issuer) -> Result<Option<String>, IdentityRefusal> {
    first_name(claims, &issuer.claims.client_id)
}

/// What the token says of itself.
fn facts(
    token: &Verified<'_>,
    kind: TokenKind,
    client_id: Option<String>,
) -> Result<TokenFacts, IdentityRefusal> {
    let Verified { claims, registered, issuer, lifetime, latest_login, sha256, .. } = token;
    let confirmation = binding::confirmation(claims)?;
    binding::check_required(&confirmation, issuer.sender_constrained)?;
    Ok(TokenFacts {
        issuer: issuer.alias.clone(),
        kind,
        client_id,
        audience: registered.audience.iter().cloned().collect(),
        scopes: scopes(claims, issuer)?,
        issued_at: lifetime.issued_at,
        expires_at: lifetime.expires_at,
        auth_time: auth_time(claims, latest_login.plus(lifetime.leeway))?,
        acr: name(claims, "acr")?,
        amr: names(claims, &ClaimPath::top_level("amr"))?,
        confirmation,
        // True for whoever gets past `binding.rs`, and nobody else gets to see it.
        sender_constrained: confirmation.is_bound(),
        actor: actor::read(claims, issuer)?,
        token_id: name(claims, "jti")?,
        session_id: name(claims, "sid")?,
        sha256: *sha256,
    })
}

fn check_required(claims: &Claims, required: &[ClaimPath]) -> Result<(), IdentityRefusal> {
    match required.iter().find(|path| path.find(claims).is_none()) {
        None => Ok(()),
        Some(path) => Err(IdentityRefusal::malformed(format!("the claim `{path}` is missing"))),
    }
}

/// A client acting for itself, or a user behind a client.
fn token_kind(
    claims: &Claims,
    issuer: &Issuer,
    subject: &str,
    client_id: Option<&str>,
) -> Result<TokenKind, IdentityRefusal> {
    let rule = &issuer.claims.workload;
    if rule.subject_is_client && client_id == Some(subject) {
        return Ok(TokenKind::Client);
    }
    let Some(path) = &rule.claim else { return Ok(TokenKind::User) };
    let marked = names(claims, path)?.iter().any(|value| rule.values.contains(value));
    Ok(if marked { TokenKind::Client } else { TokenKind::User })
}

fn tenant(
    claims: &Claims,
    issuer: &Issuer,
    dropped: &mut Vec<String>,
) -> Result<Option<String>, IdentityRefusal> {
    let Some(path) = &issuer.claims.tenant else { return Ok(None) };
    let Some(value) = path.find(claims) else { return Ok(None) };
    let value = value.as_str().ok_or_else(|| wrong(path.as_str(), "a string"))?;
    let tenant = fit(path.as_str(), value, MAX_NAME_BYTES)?;
    if issuer.may_assert.tenants.covers(&tenant) {
        return Ok(Some(tenant));
    }
    dropped.push(format!("tenant {} is not granted to this issuer", excerpt(&tenant)));
    Ok(None)
}

fn scopes(claims: &Claims, issuer: &Issuer) -> Result<BTreeSet<String>, IdentityRefusal> {
    let mut scopes = BTreeSet::new();
    for path in &issuer.claims.scopes {
        match path.find(claims) {
            // RFC 6749 section 3.3: separated by spaces.
            Some(Value::String(text)) => {
                for scope in text.split(' ').filter(|scope| !scope.is_empty()) {
                    scopes.insert(fit(path.as_str(), scope, MAX_NAME_BYTES)?);
                }
            }
            // A space inside an element would be one scope here and two to the next reader.
            _ => {
                for scope in names(claims, path)? {
                    if scope.contains(' ') {
                        return Err(wrong(path.as_str(), "a list of scopes without spaces"));
                    }
                    scopes.insert(scope);
                }
            }
        }
    }
    let max = issuer.claims.max_scopes;
    if scopes.len() > max {
        return Err(IdentityRefusal::malformed(format!("{} scopes; at most {max} are read", scopes.len())));
    }
    Ok(scopes)
}

/// The moment of login. It cannot be later than the token; else a fresh login could be claimed for ever.
fn auth_time(claims: &Claims, latest: Timestamp) -> Result<Option<Timestamp>, IdentityRefusal> {
    let time = numeric_date(claims, "auth_time")?;
    if time.is_some_and(|time| time > latest) {
        return Err(wrong("auth_time", "before `iat`"));
    }
    Ok(time)
}

fn tags(claims: &Claims, paths: &[ClaimPath]) -> Result<BTreeMap<String, BTreeSet<String>>, IdentityRefusal> {
    let mut tags = BTreeMap::new();
    for path in paths {
        let Some(value) = path.find(claims) else { continue };
        let values = match value {
            Value::Array(list) => {
                list.iter().map(|item| tag_value(path, item)).collect::<Result<BTreeSet<_>, _>>()?
            }
            single => BTreeSet::from([tag_value(path, single)?]),
        };
        tags.insert(format!("claim:{path}"), values);
    }
    Ok(tags)
}

fn tag_value(path: &ClaimPath, value: &Value) -> Result<String, IdentityRefusal> {
    match value {
        Value::String(text) => fit(path.as_str(), text, MAX_VALUE_BYTES),
        Value::Bool(flag) => Ok(flag.to_string()),
        // Fractions have more than one spelling, so they make poor tags.
        Value::Number(number) if !number.is_f64() => Ok(number.to_string()),
        _ => Err(wrong(path.as_str(), "strings, whole numbers or booleans, to be a tag")),
    }
}

/// The first of these claims that is there.
fn first_name(claims: &Claims, paths: &[ClaimPath]) -> Result<Option<String>, IdentityRefusal> {
    let Some((path, value)) = paths.iter().find_map(|path| Some((path, path.find(claims)?))) else {
        return Ok(None);
    };
    let value = value.as_str().ok_or_else(|| wrong(path.as_str(), "a string"))?;
    fit(path.as_str(), value, MAX_NAME_BYTES).map(Some)
}

/// An optional string.
fn name(claims: &Claims, claim: &str) -> Result<Option<String>, IdentityRefusal> {
    let Some(value) = claims.get(claim) else { return Ok(None) };
    fit(claim, value.as_str().ok_or_else(|| wrong(claim, "a string"))?, MAX_NAME_BYTES).map(Some)
}

/// A string as a set of one, a list of strings, or nothing.
pub(super) fn names(claims: &Claims, path: &ClaimPath) -> Result<BTreeSet<String>, IdentityRefusal> {
    let wanted = || wrong(path.as_str(), "a string or a list of strings");
    match path.find(claims) {
        None => Ok(BTreeSet::new()),
        Some(Value::String(one)) => Ok(BTreeSet::from([fit(path.as_str(), one, MAX_NAME_BYTES)?])),
        Some(Value::Array(list)) => list
            .iter()
            .map(|item| fit(path.as_str(), item.as_str().ok_or_else(wanted)?, MAX_NAME_BYTES))
            .collect(),
        Some(_) => Err(wanted()),
    }
}

/// Names go into entity ids, records and headers: not empty, bounded, no control characters.
pub(super) fn fit(claim: &str, value: &str, max_bytes: usize) -> Result<String, IdentityRefusal> {
    if value.is_empty() || value.len() > max_bytes || value.chars().any(char::is_control) {
        let wanted = format!("1 to {max_bytes} bytes long, without control characters");
        return Err(wrong(claim, &wanted));
    }
    Ok(value.to_owned())
}

pub(super) fn wrong(claim: &str, wanted: &str) -> IdentityRefusal {
    IdentityRefusal::malformed(format!("the claim `{claim}` must be {wanted}"))
}
