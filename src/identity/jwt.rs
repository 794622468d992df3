//! Verifying an access token in JWT form: RFC 7519 and 9068 by the checklist of RFC 8725.
//!
//! The crate underneath is asked for one thing, whether a signature is right; it would read the wall clock, and it
//! leaves out checks that matter here. The order is part of the rule: nothing that costs or grants anything happens
//! before the signature, and each fault has its own reason. What the claims make of the caller is `claims.rs`.

use std::sync::Arc;

use serde_json::{Map, Value};

use super::algorithm::Algorithm;
use super::checks::{Check, Watch};
use super::compact::Compact;
use super::issuer::Issuer;
use super::jwk::Key;
use super::jwks::KeySet;
use super::key_life::KeyLife;
use super::lifetime::Lifetime;
use super::refusal::{IdentityRefusal, excerpt};
use super::shared_key::SharedKey;
use crate::model::{CredentialFault, Timestamp};

/// The claims that every token has the same use for, typed; nothing in them is believed before [`verify`].
#[derive(Debug)]
pub(super) struct Registered {
    pub issuer: Option<String>,
    pub subject: Option<String>,
    pub audience: Vec<String>,
    pub expires_at: Option<Timestamp>,
    pub issued_at: Option<Timestamp>,
    pub not_before: Option<Timestamp>,
}

impl Registered {
    /// A claim of the wrong type is refused, not skipped: `iss` as a list must not pass for no `iss`.
    pub(super) fn read(claims: &Map<String, Value>) -> Result<Self, IdentityRefusal> {
        Ok(Self {
            issuer: text(claims, "iss")?,
            subject: text(claims, "sub")?,
            audience: audience(claims)?,
            expires_at: numeric_date(claims, "exp")?,
            issued_at: numeric_date(claims, "iat")?,
            not_before: numeric_date(claims, "nbf")?,
        })
    }
}

/// When a token counts, and the life of the key that it was verified with, where that can end early.
pub(super) type Validity = (Lifetime, Option<Arc<KeyLife>>);

/// Checks everything that makes the token this issuer's, for us, and good at `now`.
pub(super) fn verify(
    token: &Compact<'_>,
    registered: &Registered,
    issuer: &Issuer,
    now: Timestamp,
    watch: &mut impl Watch,
) -> Result<Validity, IdentityRefusal> {
    let allowed = watch.step(Check::Algorithm, check_algorithm(token, issuer))?;
    watch.step(Check::Type, check_type(token, issuer))?;
    let set = watch.step(Check::Key, issuer.keys.usable(now))?;
    let keys = watch.step(Check::Key, keys(token, issuer, &set, allowed, now))?;
    let signed = keys.check(token).map_err(|refusal| perhaps_new(refusal, token, issuer, now));
    let life = watch.step(Check::Signature, signed)?;
    let lifetime = watch.step(Check::Time, lifetime(registered, issuer))?;
    watch.lifetime(&lifetime);
    watch.step(Check::Time, lifetime.check(now))?;
    watch.step(Check::Lifetime, lifetime.check_length(issuer.max_lifetime))?;
    watch.step(Check::Audience, check_audience(registered, issuer))?;
    watch.step(Check::Kind, check_kind(token))?;
    Ok((lifetime, life))
}

/// What the issuer's settings allow a token to be verified with. A shared key goes with no other algorithm, and a public
/// key never with this one: the token cannot cross over.
#[derive(Clone, Copy)]
enum Allowed<'a> {
    Public(Algorithm),
    Shared(&'a SharedKey),
}

/// The keys of the issuer that the token may have been signed with.
enum Keys<'a> {
    Public(Vec<&'a Key>, Algorithm),
    Shared(&'a SharedKey),
}

/// The list is the issuer's configuration; the token only chooses from it (RFC 8725 sections 3.1, 3.2).
fn check_algorithm<'a>(token: &Compact<'_>, issuer: &'a Issuer) -> Result<Allowed<'a>, IdentityRefusal> {
    let asked = &token.header.algorithm;
    let allowed = match &issuer.shared_key {
        Some(shared) => (asked == shared.algorithm.as_str()).then_some(Allowed::Shared(shared)),
        None => {
            let public = asked.parse().ok().filter(|algorithm| issuer.algorithms.contains(algorithm));
            public.map(Allowed::Public)
        }
    };
    let Some(allowed) = allowed else {
        let detail = format!("algorithm {} is not allowed to this issuer", excerpt(asked));
        return Err(IdentityRefusal::new(CredentialFault::AlgorithmNotAllowed, detail));
    };
    // Judged only here, so that an unsigned token is called what it is: one with a forbidden algorithm.
    if token.signature.is_empty() {
        return Err(IdentityRefusal::malformed("the signature is missing"));
    }
    Ok(allowed)
}

/// Explicit typing keeps other kinds of JWT out (RFC 8725 section 3.11, RFC 9068 section 4).
fn check_type(token: &Compact<'_>, issuer: &Issuer) -> Result<(), IdentityRefusal> {
    // A token without `typ` says no more than one that says `JWT`.
    let found = token.header.kind.as_deref().unwrap_or("JWT");
    if issuer.token_types.contains(&normal_type(found)) {
        return Ok(());
    }
    let detail = format!("type {} is not accepted from this issuer", excerpt(found));
    Err(IdentityRefusal::new(CredentialFault::WrongType, detail))
}

/// Media types compare without case, and `application/` may be left out (RFC 7515 section 4.1.9).
pub(super) fn normal_type(kind: &str) -> String {
    let lower = kind.to_ascii_lowercase();
    lower.strip_prefix("application/").map(str::to_owned).unwrap_or(lower)
}

/// A shared key is the only one of its issuer, so its id (`kid`) has nothing to choose.
fn keys<'a>(
    token: &Compact<'_>,
    issuer: &Issuer,
    set: &'a KeySet,
    allowed: Allowed<'a>,
    now: Timestamp,
) -> Result<Keys<'a>, IdentityRefusal> {
    match allowed {
        Allowed::Shared(key) => Ok(Keys::Shared(key)),
        Allowed::Public(algorithm) => {
            let selected = set.select(token.header.kid.as_deref(), algorithm);
            let keys = selected.map_err(|refusal| issuer.keys.perhaps_new(refusal, now))?;
            Ok(Keys::Public(keys, algorithm))
        }
    }
}

/// Of a token that names no key, a signature that is not right may be one with a new key.
fn perhaps_new(
    refusal: IdentityRefusal,
    token: &Compact<'_>,
    issuer: &Issuer,
    now: Timestamp,
) -> IdentityRefusal {
    if token.header.kid.is_some() { refusal } else { issuer.keys.perhaps_new(refusal, now) }
}

impl Keys<'_> {
    /// Gives the life of the key that made the signature, where it has one.
    fn check(&self, token: &Compact<'_>) -> Result<Option<Arc<KeyLife>>, IdentityRefusal> {
        let (life, algorithm) = match self {
            Self::Shared(key) => {
                (key.verifies(token.signed, token.signature).then_some(None), key.algorithm.as_str())
            }
            Self::Public(keys, algorithm) => {
                let right = |key: &&&Key| key.verifies(token.signed, token.signature, *algorithm);
                (keys.iter().find(right).map(|key| key.life.clone()), algorithm.as_str())
            }
        };
        let wrong =
            || IdentityRefusal::new(CredentialFault::BadSignature, format!("no valid {algorithm} signature"));
        life.ok_or_else(wrong)
    }
}

fn lifetime(registered: &Registered, issuer: &Issuer) -> Result<Lifetime, IdentityRefusal> {
    let missing = |name: &str| IdentityRefusal::malformed(format!("the claim `{name}` is missing"));
    Ok(Lifetime {
        issued_at: registered.issued_at.ok_or_else(|| missing("iat"))?,
        not_before: registered.not_before,
        expires_at: registered.expires_at.ok_or_else(|| missing("exp"))?,
        leeway: issuer.leeway,
        max_age: issuer.max_age,
    })
}

pub(super) fn check_audience(registered: &Registered, issuer: &Issuer) -> Result<(), IdentityRefusal> {
    if registered.audience.iter().any(|audience| issuer.audiences.contains(audience)) {
        return Ok(());
    }
    let detail = match registered.audience.first() {
        None => "the token is for no audience".to_owned(),
        Some(first) => format!("the token is for {}", excerpt(first)),
    };
    Err(IdentityRefusal::new(CredentialFault::WrongAudience, detail))
}

/// Where `typ` does not tell (it is `JWT` or absent), the claims give away tokens of another kind: an ID token proves
/// a login to its client and is no key to an API (RFC 8725 section 3.12).
fn check_kind(token: &Compact<'_>) -> Result<(), IdentityRefusal> {
    if token.header.kind.as_deref().is_some_and(|kind| normal_type(kind) != "jwt") {
        return Ok(());
    }
    let foreign = ["nonce", "at_hash", "c_hash", "events"];
    if let Some(name) = foreign.into_iter().find(|name| token.claims.contains_key(*name)) {
        let detail = format!("the claim `{name}` belongs to an ID token or an event, not to an access token");
        return Err(IdentityRefusal::new(CredentialFault::WrongType, detail));
    }
    // Keycloak says it in the payload.
    match token.claims.get("typ").and_then(Value::as_str) {
        Some(kind @ ("ID" | "Refresh" | "Offline" | "Logout")) => {
            Err(IdentityRefusal::new(CredentialFault::WrongType, format!("a token of kind `{kind}`")))
        }
        _ => Ok(()),
    }
}

fn wrong_type(name: &str, wanted: &str) -> IdentityRefusal {
    IdentityRefusal::malformed(format!("the claim `{name}` must be {wanted}"))
}

fn text(claims: &Map<String, Value>, name: &str) -> Result<Option<String>, IdentityRefusal> {
    match claims.get(name) {
        None => Ok(None),
        Some(Value::String(text)) => Ok(Some(text.clone())),
        Some(_) => Err(wrong_type(name, "a string")),
    }
}

fn audience(claims: &Map<String, Value>) -> Result<Vec<String>, IdentityRefusal> {
    let wrong = || wrong_type("aud", "a string or a list of strings");
    match claims.get("aud") {
        None => Ok(Vec::new()),
        Some(Value::String(one)) => Ok(vec![one.clone()]),
        Some(Value::Array(list)) => {
            list.iter().map(|item| item.as_str().map(str::to_owned).ok_or_else(wrong)).collect()
        }
        Some(_) => Err(wrong()),
    }
}

/// The last second of the year 9999: a later date is an overflow or a mistake.
const LAST_SECOND: u64 = 253_402_300_799;

/// Seconds since 1970, fractions allowed (RFC 7519 section 2); they count down to the microsecond.
pub(super) fn numeric_date(
    claims: &Map<String, Value>,
    name: &str,
) -> Result<Option<Timestamp>, IdentityRefusal> {
    let wrong = || wrong_type(name, "a number of seconds since 1970");
    let Some(value) = claims.get(name) else { return Ok(None) };
    if let Some(seconds) = value.as_u64() {
        let seconds = i64::try_from(seconds).ok().filter(|_| seconds <= LAST_SECOND);
        return seconds.map(|seconds| Some(Timestamp::from_seconds(seconds))).ok_or_else(wrong);
    }
    let seconds = value.as_f64().filter(|seconds| (0.0..=LAST_SECOND as f64).contains(seconds));
    // The range above keeps the product far inside an i64.
    seconds.map(|seconds| Some(Timestamp::from_micros((seconds * 1e6).floor() as i64))).ok_or_else(wrong)
}
