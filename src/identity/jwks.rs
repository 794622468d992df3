//! A JWK set (RFC 7517 section 5), and the choice of the keys that may verify a token.
//!
//! A key that contradicts itself spoils the whole set, so that the operator hears of it before a caller does; a key
//! for other purposes is left out with a warning. One key is `jwk.rs`; where a set comes from is `issuer.rs`.

use std::collections::HashSet;
use std::sync::Arc;

use serde_json::{Map, Value};

use super::algorithm::Algorithm;
use super::json::{JsonFault, encode_base64url, parse_object};
use super::jwk::{Key, Unfit};
use super::key_life::KeyLife;
use super::refusal::{IdentityRefusal, excerpt};
use crate::model::{CredentialFault, Timestamp};

/// Why a key set cannot be used.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum JwksError {
    #[error("a key set must be one JSON object")]
    Json(#[source] JsonFault),
    #[error("a key set needs a member `keys` with a list of keys")]
    NoKeyList,
    #[error("the key set has {0} keys; at most {MAX_KEYS} are read")]
    TooManyKeys(usize),
    #[error("key {number} of the set{named}: {problem}")]
    BadKey { number: usize, named: String, problem: String },
    /// Which of the two is meant would depend on the reader.
    #[error("two keys of the set have the id `{0}`")]
    DuplicateKid(String),
    #[error("the key set holds no key that can verify a token{0}")]
    NoUsableKey(String),
}

const MAX_KEYS: usize = 100;
/// How many keys are tried for a token that names none: each costs a signature check.
const MAX_TRIED: usize = 4;

/// The public keys of one issuer.
#[derive(Clone, Debug)]
pub struct KeySet {
    keys: Vec<Key>,
    warnings: Vec<String>,
}

impl KeySet {
    /// Reads a set from JSON text.
    pub fn parse(text: &str) -> Result<Self, JwksError> {
        Self::from_members(&parse_object(text.as_bytes()).map_err(JwksError::Json)?)
    }

    /// Reads a set whose JSON has been parsed already.
    pub fn from_members(set: &Map<String, Value>) -> Result<Self, JwksError> {
        let list = set.get("keys").and_then(Value::as_array).ok_or(JwksError::NoKeyList)?;
        if list.len() > MAX_KEYS {
            return Err(JwksError::TooManyKeys(list.len()));
        }
        let (mut keys, mut warnings) = (Vec::new(), Vec::new());
        for (index, value) in list.iter().enumerate() {
            let (number, named) = (index + 1, name_of(value));
            match Key::read(value) {
                Ok(key) => keys.push(key),
                Err(Unfit::Unsupported(why)) => {
                    warnings.push(format!("key {number}{named} is left out: {why}"))
                }
                Err(Unfit::Broken(problem)) => return Err(JwksError::BadKey { number, named, problem }),
            }
        }
        refuse_duplicate_ids(&keys)?;
        if keys.is_empty() {
            let why = warnings.first().map(|warning| format!(": {warning}")).unwrap_or_default();
            return Err(JwksError::NoUsableKey(why));
        }
        Ok(Self { keys, warnings })
    }

    /// No keys at all: for an issuer that has none.
    pub(super) const fn none() -> Self {
        Self { keys: Vec::new(), warnings: Vec::new() }
    }

    /// Whether the signature over the message was made with this key of the set, or with any where `kid` is absent: what a
    /// token's signature is held to, for tests with vectors that are no tokens.
    #[doc(hidden)]
    pub fn verifies(
        &self,
        kid: Option<&str>,
        algorithm: Algorithm,
        message: &[u8],
        signature: &[u8],
    ) -> bool {
        let signature = encode_base64url(signature);
        let keys = self.select(kid, algorithm).unwrap_or_default();
        keys.iter().any(|key| key.verifies(message, &signature, algorithm))
    }

    /// The keys that were left out, and why.
    pub fn warnings(&self) -> &[String] {
        &self.warnings
    }

    /// The ids of the keys; a key without id is not among them.
    pub fn key_ids(&self) -> impl Iterator<Item = &str> {
        self.keys.iter().filter_map(|key| key.kid.as_deref())
    }

    pub fn len(&self) -> usize {
        self.keys.len()
    }

    pub fn is_empty(&self) -> bool {
        self.keys.is_empty()
    }

    /// The same set with a life for each key, which ends at `end` unless there is news of it. A key that the set before has
    /// as well keeps the life that it had there.
    pub(super) fn living_on(mut self, before: Option<&Self>, end: Timestamp) -> Self {
        for key in &mut self.keys {
            let known = before.and_then(|set| set.keys.iter().find(|old| old.is(key)));
            let life = known.and_then(|old| old.life.clone());
            key.life = Some(life.map_or_else(
                || Arc::new(KeyLife::until(end)),
                |life| {
                    life.set(end);
                    life
                },
            ));
        }
        self
    }

    /// Ends the life of each key that has none in the set that follows. How many these are.
    pub(super) fn end_all_but(&self, next: &Self) -> usize {
        let lives_on = |life: &Arc<KeyLife>| {
            next.keys.iter().filter_map(|key| key.life.as_ref()).any(|other| Arc::ptr_eq(life, other))
        };
        let ended = self.keys.iter().filter_map(|key| key.life.as_ref()).filter(|life| !lives_on(life));
        ended.inspect(|life| life.end()).count()
    }

    /// The keys to try for a token: the one it names, or the first few that fit its algorithm.
    ///
    /// A `kid` is only ever compared with the ids of this set: it names no file, URL or row (RFC 8725 section 3.10).
    pub(super) fn select(
        &self,
        kid: Option<&str>,
        algorithm: Algorithm,
    ) -> Result<Vec<&Key>, IdentityRefusal> {
        let Some(kid) = kid else {
            let fitting = self.keys.iter().filter(|key| key.algorithms.contains(&algorithm));
            let few: Vec<&Key> = fitting.take(MAX_TRIED).collect();
            let none =
                || IdentityRefusal::new(CredentialFault::UnknownKey, format!("no key does {algorithm}"));
            return if few.is_empty() { Err(none()) } else { Ok(few) };
        };
        let Some(key) = self.keys.iter().find(|key| key.kid.as_deref() == Some(kid)) else {
            let detail = format!("the issuer has no key {}", excerpt(kid));
            return Err(IdentityRefusal::new(CredentialFault::UnknownKey, detail));
        };
        if key.algorithms.contains(&algorithm) {
            Ok(vec![key])
        } else {
            let detail = format!("key {} is not for {algorithm}", excerpt(kid));
            Err(IdentityRefusal::new(CredentialFault::AlgorithmNotAllowed, detail))
        }
    }
}

fn name_of(key: &Value) -> String {
    let kid = key.get("kid").and_then(Value::as_str);
    kid.map(|kid| format!(" ({})", excerpt(kid))).unwrap_or_default()
}

fn refuse_duplicate_ids(keys: &[Key]) -> Result<(), JwksError> {
    let mut seen = HashSet::new();
    for kid in keys.iter().filter_map(|key| key.kid.as_deref()) {
        if !seen.insert(kid) {
            return Err(JwksError::DuplicateKid(kid.to_owned()));
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::super::sign::SigningKey;
    use super::*;
    use crate::model::Reason;

    fn jwk(algorithm: Algorithm) -> Value {
        SigningKey::generate(algorithm).unwrap().public_jwk()
    }

    /// A good Ed25519 key with one member set, or removed by `null`.
    fn changed(name: &str, value: Value) -> Value {
        let mut key = jwk(Algorithm::EdDsa);
        let members = key.as_object_mut().unwrap();
        if value.is_null() {
            members.remove(name)
        } else {
            members.insert(name.to_owned(), value)
        };
        key
    }

    fn read(keys: &[Value]) -> Result<KeySet, JwksError> {
        KeySet::parse(&json!({ "keys": keys }).to_string())
    }

    #[test]
    fn keys_for_other_purposes_are_left_out_with_a_warning() {
        let others = [
            json!({ "kty": "oct", "k": "c2VjcmV0" }),
            changed("use", json!("enc")),
            changed("key_ops", json!(["encrypt"])),
            changed("crv", json!("Ed448")),
            changed("alg", json!("ES521")),
            json!({ "kty": "EC", "crv": "secp256k1" }),
            json!({ "kty": "AKP" }),
        ];
        let mut keys = others.to_vec();
        keys.push(jwk(Algorithm::Es256));
        let set = read(&keys).unwrap();
        assert_eq!((set.len(), set.warnings().len()), (1, others.len()));
        assert!(set.warnings()[0].contains("symmetric"));
        assert!(matches!(read(&others), Err(JwksError::NoUsableKey(_))));
    }

    #[test]
    fn one_bad_key_spoils_the_set_and_is_named() {
        let error = read(&[jwk(Algorithm::EdDsa), changed("alg", json!("ES256"))]).unwrap_err();
        assert!(error.to_string().contains("key 2") && error.to_string().contains("ES256"), "{error}");
    }

    #[test]
    fn a_set_is_one_object_with_distinct_ids_and_few_keys() {
        let key = jwk(Algorithm::EdDsa);
        assert!(matches!(read(&[key.clone(), key.clone()]), Err(JwksError::DuplicateKid(_))));
        assert!(matches!(read(&vec![key.clone(); 101]), Err(JwksError::TooManyKeys(101))));
        assert!(matches!(read(&[]), Err(JwksError::NoUsableKey(_))));
        assert_eq!(KeySet::parse(&key.to_string()).unwrap_err(), JwksError::NoKeyList);
        assert!(matches!(KeySet::parse("{\"keys\":[],\"keys\":[]}"), Err(JwksError::Json(_))));
    }

    #[test]
    fn a_named_key_is_bound_to_its_algorithms() {
        let (ed, ec) = (jwk(Algorithm::EdDsa), jwk(Algorithm::Es256));
        let set = read(&[ed.clone(), ec]).unwrap();
        let kid = ed["kid"].as_str();
        assert_eq!(set.select(kid, Algorithm::EdDsa).unwrap().len(), 1);
        let mixed = set.select(kid, Algorithm::Es256).unwrap_err();
        assert_eq!(mixed.reason, Reason::CredentialInvalid(CredentialFault::AlgorithmNotAllowed));
        for (kid, algorithm) in [(Some(""), Algorithm::EdDsa), (None, Algorithm::Rs256)] {
            let unknown = set.select(kid, algorithm).unwrap_err();
            assert_eq!(unknown.reason, Reason::CredentialInvalid(CredentialFault::UnknownKey));
        }
    }

    #[test]
    fn without_a_kid_at_most_four_fitting_keys_are_tried() {
        let mut keys: Vec<Value> = (0..6).map(|_| jwk(Algorithm::EdDsa)).collect();
        keys.insert(0, jwk(Algorithm::Es256));
        let set = read(&keys).unwrap();
        assert_eq!(set.select(None, Algorithm::EdDsa).unwrap().len(), 4);
        assert_eq!(set.select(None, Algorithm::Es256).unwrap().len(), 1);
    }
}
