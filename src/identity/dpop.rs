//! Proof of possession (RFC 9449): whoever presents a bound token shows with each request that its key is at hand.
//!
//! All checks of section 4.3, on every decision: a proof is good once, so nothing of it is kept but that it was used.
//! What is cheap comes before what costs, and the proof is used up last, when nothing else could refuse it.

use std::sync::Arc;
use std::time::Duration;

use serde_json::{Map, Value};
use sha2::{Digest, Sha256};
use subtle::ConstantTimeEq;

use super::algorithm::Algorithm;
use super::compact::Compact;
use super::dpop_config::{DpopConfig, NonceUse};
use super::json::decode_base64url;
use super::jwk::{Key, Unfit, thumbprint};
use super::jwt::{normal_type, numeric_date};
use super::nonce::Nonces;
use super::refusal::{IdentityRefusal, ProofFault, excerpt};
use super::replay::{Replay, Use};
use super::target::Target;
use crate::model::{CredentialFault, Timestamp};

/// Judges proofs.
#[derive(Debug)]
pub(super) struct Proofs {
    algorithms: Vec<Algorithm>,
    /// The same as a challenge names them.
    pub names: Arc<str>,
    max_age: Duration,
    leeway: Duration,
    max_bytes: usize,
    max_id_bytes: usize,
    nonces: Option<Nonces>,
    used: Replay,
}

/// What a proof must be for.
#[derive(Clone, Copy, Debug)]
pub(super) struct Binding<'a> {
    /// The token as it was presented.
    pub token: &'a str,
    /// The thumbprint of the key that it is bound to.
    pub jkt: [u8; 32],
    pub target: &'a Target<'a>,
}

impl Proofs {
    /// `None` when the operating system gives no random bytes.
    pub(super) fn new(config: &DpopConfig) -> Option<Self> {
        let nonces = match config.nonce {
            NonceUse::Off => None,
            NonceUse::Required => Some(Nonces::new(config.nonce_rotation)?),
        };
        let names: Vec<&str> = config.algorithms.iter().map(|algorithm| algorithm.as_str()).collect();
        Some(Self {
            algorithms: config.algorithms.clone(),
            names: names.join(" ").into(),
            max_age: config.max_age,
            leeway: config.leeway,
            max_bytes: config.max_proof_bytes,
            max_id_bytes: config.max_jti_bytes,
            nonces,
            used: Replay::new(config.max_remembered, config.max_remembered_per_key),
        })
    }

    /// The nonce for the next proof, where proofs must hold one.
    pub(super) fn fresh_nonce(&self, now: Timestamp) -> Option<String> {
        self.nonces.as_ref().map(|nonces| nonces.current(now))
    }

    /// How many used proofs are remembered.
    pub(super) fn remembered(&self) -> usize {
        self.used.len()
    }

    /// Checks a proof, and uses it up.
    pub(super) fn check(
        &self,
        proof: &str,
        binding: &Binding<'_>,
        now: Timestamp,
    ) -> Result<(), IdentityRefusal> {
        self.check_form(proof)?;
        // Why a proof is not a JWT is said as for a token; what follows from it is another thing.
        let compact = Compact::parse_proof(proof).map_err(|refusal| bad(refusal.detail))?;
        let algorithm = self.check_header(&compact)?;
        let jwk = compact.header.jwk.as_ref().ok_or_else(|| bad("the header holds no `jwk`"))?;
        let key = read_key(jwk, algorithm)?;
        check_key(jwk, &binding.jkt)?;
        let claims = &compact.claims;
        let id = self.check_id(claims)?;
        let issued_at = self.check_time(claims, now)?;
        check_request(claims, binding.target)?;
        check_token(claims, binding.token)?;
        if !key.verifies(compact.signed, compact.signature, algorithm) {
            return Err(bad(format!("the proof has no valid {algorithm} signature")));
        }
        self.check_nonce(claims, now)?;
        self.use_up(&binding.jkt, id, issued_at, now)
    }

    /// Check 1. Gateways join repeated headers with a comma, and no JWT holds one.
    fn check_form(&self, proof: &str) -> Result<(), IdentityRefusal> {
        if proof.is_empty() {
            return Err(bad("the token came without a proof"));
        }
        if proof.len() > self.max_bytes {
            return Err(bad(format!("the proof is longer than {} bytes", self.max_bytes)));
        }
        if proof.contains(',') {
            return Err(bad("more than one proof was presented"));
        }
        Ok(())
    }

    /// Checks 4 and 5.
    fn check_header(&self, proof: &Compact<'_>) -> Result<Algorithm, IdentityRefusal> {
        let kind = proof.header.kind.as_deref().unwrap_or_default();
        if normal_type(kind) != "dpop+jwt" {
            return Err(bad(format!("type {} is not `dpop+jwt`", excerpt(kind))));
        }
        let asked = &proof.header.algorithm;
        let allowed = asked.parse().ok().filter(|algorithm| self.algorithms.contains(algorithm));
        allowed.ok_or_else(|| bad(format!("algorithm {} is not allowed to proofs", excerpt(asked))))
    }

    fn check_id<'c>(&self, claims: &'c Map<String, Value>) -> Result<&'c str, IdentityRefusal> {
        let id = text(claims, "jti")?;
        if id.is_empty() || id.len() > self.max_id_bytes {
            return Err(bad(format!("`jti` must be 1 to {} bytes long", self.max_id_bytes)));
        }
        Ok(id)
    }

    /// Check 11: made lately, and not in the future.
    fn check_time(&self, claims: &Map<String, Value>, now: Timestamp) -> Result<Timestamp, IdentityRefusal> {
        let issued_at = numeric_date(claims, "iat").map_err(|refusal| bad(refusal.detail))?;
        let issued_at = issued_at.ok_or_else(|| bad("the claim `iat` is missing"))?;
        if issued_at > now.plus(self.leeway) {
            return Err(bad(format!("the proof was made in the future, at {issued_at}")));
        }
        if issued_at.plus(self.max_age) <= now {
            return Err(bad(format!("the proof is too old, of {issued_at}")));
        }
        Ok(issued_at)
    }

    /// Check 10. After the signature: who could not make a proof is not told how to.
    fn check_nonce(&self, claims: &Map<String, Value>, now: Timestamp) -> Result<(), IdentityRefusal> {
        let Some(nonces) = &self.nonces else { return Ok(()) };
        let found = match claims.get("nonce") {
            None => return Err(nonce_wanted("the proof holds no nonce")),
            Some(Value::String(nonce)) => nonce,
            Some(_) => return Err(bad("the claim `nonce` must be a string")),
        };
        if nonces.knows(found, now) {
            Ok(())
        } else {
            Err(nonce_wanted("the nonce is not one that was given out here lately"))
        }
    }

    /// Section 11.1.
    fn use_up(
        &self,
        jkt: &[u8; 32],
        id: &str,
        issued_at: Timestamp,
        now: Timestamp,
    ) -> Result<(), IdentityRefusal> {
        match self.used.take(jkt, id, issued_at.plus(self.max_age), now) {
            Use::First => Ok(()),
            Use::Again => Err(refused(CredentialFault::Replayed, "the proof was used before")),
            Use::NoRoom => Err(IdentityRefusal::overloaded("no more used proofs can be remembered")),
        }
    }
}

/// Checks 5 and 7: a public key that fits the algorithm. The key is used for nothing but this proof.
fn read_key(jwk: &Value, algorithm: Algorithm) -> Result<Key, IdentityRefusal> {
    let key = Key::read(jwk).map_err(|unfit| match unfit {
        Unfit::Broken(why) | Unfit::Unsupported(why) => bad(format!("the key of the proof: {why}")),
    })?;
    if key.algorithms.contains(&algorithm) {
        Ok(key)
    } else {
        Err(bad(format!("the key of the proof is not for {algorithm}")))
    }
}

/// Check 12, second half: the key is the one that the token is bound to.
fn check_key(jwk: &Value, jkt: &[u8; 32]) -> Result<(), IdentityRefusal> {
    let found = thumbprint(jwk).ok_or_else(|| bad("the key of the proof has no thumbprint"))?;
    if found.ct_eq(jkt).into() {
        Ok(())
    } else {
        Err(refused(CredentialFault::BindingFailed, "the proof is by another key than the token is bound to"))
    }
}

/// Checks 8 and 9.
fn check_request(claims: &Map<String, Value>, target: &Target<'_>) -> Result<(), IdentityRefusal> {
    let method = text(claims, "htm")?;
    let uri = text(claims, "htu")?;
    if !target.has_method(method) {
        return Err(bad(format!("`htm` is {}, another method", excerpt(method))));
    }
    target.compare(uri).map_err(|mismatch| bad(mismatch.describe()))
}

/// Check 12, first half.
fn check_token(claims: &Map<String, Value>, token: &str) -> Result<(), IdentityRefusal> {
    let hash = decode_base64url(text(claims, "ath")?);
    let wanted: [u8; 32] = Sha256::digest(token).into();
    if hash.is_some_and(|hash| hash.ct_eq(&wanted).into()) {
        Ok(())
    } else {
        Err(bad("`ath` is not the hash of the token"))
    }
}

fn text<'c>(claims: &'c Map<String, Value>, name: &str) -> Result<&'c str, IdentityRefusal> {
    match claims.get(name) {
        None => Err(bad(format!("the claim `{name}` is missing"))),
        Some(Value::String(text)) => Ok(text),
        Some(_) => Err(bad(format!("the claim `{name}` must be a string"))),
    }
}

/// A proof that is no good whatever the token.
fn bad(detail: impl Into<String>) -> IdentityRefusal {
    IdentityRefusal::new(CredentialFault::BindingFailed, detail).about_proof(ProofFault::Proof)
}

fn nonce_wanted(detail: &str) -> IdentityRefusal {
    IdentityRefusal::new(CredentialFault::BindingFailed, detail).about_proof(ProofFault::Nonce)
}

/// A proof that is in order, and not the one that is wanted.
fn refused(fault: CredentialFault, detail: &str) -> IdentityRefusal {
    let about = match fault {
        CredentialFault::Replayed => ProofFault::Proof,
        _ => ProofFault::Binding,
    };
    IdentityRefusal::new(fault, detail).about_proof(about)
}

#[cfg(test)]
mod tests;
