//! One JSON Web Key (RFC 7517, 7518, 8037) read strictly.
//!
//! Crates for this are tolerant: they ignore `use`, `key_ops` and `alg`, take symmetric keys from public sets and
//! never compare a curve with an algorithm. Here kind, curve and algorithm must agree, and the key must be sound.

use std::sync::Arc;

use aws_lc_rs::signature::{
    ECDSA_P256_SHA256_FIXED, ECDSA_P384_SHA384_FIXED, ED25519, ParsedPublicKey, RSA_PKCS1_2048_8192_SHA256,
    RsaPublicKeyComponents, VerificationAlgorithm,
};
use jsonwebtoken::DecodingKey;
use serde_json::{Map, Value};
use sha2::{Digest, Sha256};

use super::algorithm::Algorithm;
use super::json::decode_base64url;
use super::key_life::KeyLife;
use super::refusal::excerpt;

const MAX_KID_BYTES: usize = 256;
/// Members that only a private key has (RFC 7518 section 6, RFC 8037 section 2).
const PRIVATE_MEMBERS: [&str; 7] = ["d", "p", "q", "dp", "dq", "qi", "oth"];

/// One public key and the algorithms it may verify.
#[derive(Clone, Debug)]
pub(super) struct Key {
    pub kid: Option<String>,
    pub algorithms: Vec<Algorithm>,
    thumbprint: Option<[u8; 32]>,
    material: DecodingKey,
    /// Until when it counts, where that can change.
    pub life: Option<Arc<KeyLife>>,
}

/// Why a key cannot be used, in a sentence.
#[derive(Debug)]
pub(super) enum Unfit {
    /// It contradicts itself, is weak, or gives away a secret: somebody made a mistake.
    Broken(String),
    /// It is fine, but for another purpose or of a kind that Deodar does not verify with.
    Unsupported(String),
}

impl From<&str> for Unfit {
    fn from(problem: &str) -> Self {
        Self::Broken(problem.to_owned())
    }
}

impl From<String> for Unfit {
    fn from(problem: String) -> Self {
        Self::Broken(problem)
    }
}

impl Key {
    /// Reads a key.
    pub(super) fn read(value: &Value) -> Result<Self, Unfit> {
        let members = value.as_object().ok_or("a key must be a JSON object")?;
        let kind = text(members, "kty")?.ok_or("the member `kty` is missing")?;
        if kind == "oct" {
            let why = "a symmetric key cannot verify what an issuer signed";
            return Err(Unfit::Unsupported(why.to_owned()));
        }
        if let Some(member) = PRIVATE_MEMBERS.into_iter().find(|member| members.contains_key(*member)) {
            return Err(format!("holds the private member `{member}`; give public keys only").into());
        }
        check_purpose(members)?;
        let shape = Shape::of(kind, text(members, "crv")?)?;
        let algorithms = algorithms(shape, text(members, "alg")?)?;
        let kid = text(members, "kid")?.map(str::to_owned);
        if kid.as_ref().is_some_and(|kid| kid.len() > MAX_KID_BYTES) {
            return Err(format!("`kid` is longer than {MAX_KID_BYTES} bytes").into());
        }
        let material = shape.material(members)?;
        Ok(Self { kid, algorithms, thumbprint: thumbprint(value), material, life: None })
    }

    /// Whether it is the same key for the same use under the same name.
    pub(super) fn is(&self, other: &Self) -> bool {
        let same = self.kid == other.kid && self.algorithms == other.algorithms;
        same && self.thumbprint.is_some() && self.thumbprint == other.thumbprint
    }

    /// Whether the signature (base64url) over the message was made with this key and algorithm.
    pub(super) fn verifies(&self, message: impl AsRef<[u8]>, signature: &str, algorithm: Algorithm) -> bool {
        let verified =
            jsonwebtoken::crypto::verify(signature, message.as_ref(), &self.material, algorithm.backend());
        verified.unwrap_or(false)
    }
}

/// The RFC 7638 thumbprint of a key that can be read: the hash of the members that make it what it is.
pub(super) fn thumbprint(value: &Value) -> Option<[u8; 32]> {
    let member = |name: &str| value.get(name).and_then(Value::as_str).map(Value::from);
    let required: &[&str] = match value.get("kty")?.as_str()? {
        "EC" => &["crv", "kty", "x", "y"],
        "OKP" => &["crv", "kty", "x"],
        "RSA" => &["e", "kty", "n"],
        _ => return None,
    };
    let members: Option<Vec<String>> =
        required.iter().map(|name| member(name).map(|value| format!("\"{name}\":{value}"))).collect();
    Some(Sha256::digest(format!("{{{}}}", members?.join(","))).into())
}

/// The algorithms a key of this shape may verify: all that fit, or the one it is meant for.
fn algorithms(shape: Shape, named: Option<&str>) -> Result<Vec<Algorithm>, Unfit> {
    let Some(name) = named else { return Ok(shape.algorithms().to_vec()) };
    let Ok(algorithm) = name.parse::<Algorithm>() else {
        return Err(Unfit::Unsupported(format!("algorithm {} is not supported", excerpt(name))));
    };
    if shape.algorithms().contains(&algorithm) {
        Ok(vec![algorithm])
    } else {
        Err(Unfit::Broken(format!("`alg` {algorithm} does not go with {}", shape.describe())))
    }
}

/// A string member; absent is `None`, another type a problem.
fn text<'a>(members: &'a Map<String, Value>, name: &str) -> Result<Option<&'a str>, String> {
    let Some(value) = members.get(name) else { return Ok(None) };
    value.as_str().map(Some).ok_or_else(|| format!("`{name}` must be a string"))
}

/// `use` and `key_ops` must leave room for verifying signatures (RFC 7517 sections 4.2, 4.3).
fn check_purpose(members: &Map<String, Value>) -> Result<(), Unfit> {
    if let Some(purpose) = text(members, "use")?.filter(|purpose| *purpose != "sig") {
        return Err(Unfit::Unsupported(format!("its `use` is {}, not `sig`", excerpt(purpose))));
    }
    let Some(operations) = members.get("key_ops") else { return Ok(()) };
    let operations = operations.as_array().ok_or("`key_ops` must be a list of strings")?;
    if !operations.iter().all(Value::is_string) {
        return Err("`key_ops` must be a list of strings".into());
    }
    if operations.iter().any(|operation| operation == "verify") {
        Ok(())
    } else {
        Err(Unfit::Unsupported("its `key_ops` do not include `verify`".to_owned()))
    }
}

/// The kinds of key that verify, by `kty` and `crv`.
#[derive(Clone, Copy)]
enum Shape {
    Rsa,
    P256,
    P384,
    Ed25519,
}

impl Shape {
    fn of(kind: &str, curve: Option<&str>) -> Result<Self, Unfit> {
        match (kind, curve) {
            ("RSA", None) => Ok(Self::Rsa),
            ("EC", Some("P-256")) => Ok(Self::P256),
            ("EC", Some("P-384")) => Ok(Self::P384),
            ("OKP", Some("Ed25519")) => Ok(Self::Ed25519),
            _ => {
                let found = format!("{kind} {}", curve.unwrap_or_default());
                Err(Unfit::Unsupported(format!("kind {} is not supported", excerpt(found.trim_end()))))
            }
        }
    }

    const fn describe(self) -> &'static str {
        match self {
            Self::Rsa => "an RSA key",
            Self::P256 => "a P-256 key",
            Self::P384 => "a P-384 key",
            Self::Ed25519 => "an Ed25519 key",
        }
    }

    const fn algorithms(self) -> &'static [Algorithm] {
        match self {
            Self::Rsa => &[
                Algorithm::Rs256,
                Algorithm::Rs384,
                Algorithm::Rs512,
                Algorithm::Ps256,
                Algorithm::Ps384,
                Algorithm::Ps512,
            ],
            Self::P256 => &[Algorithm::Es256],
            Self::P384 => &[Algorithm::Es384],
            Self::Ed25519 => &[Algorithm::EdDsa],
        }
    }

    fn material(self, members: &Map<String, Value>) -> Result<DecodingKey, String> {
        match self {
            Self::Rsa => rsa(members),
            Self::P256 => elliptic(members, 32, &ECDSA_P256_SHA256_FIXED),
            Self::P384 => elliptic(members, 48, &ECDSA_P384_SHA384_FIXED),
            Self::Ed25519 => {
                let x = sized(members, "x", 32)?;
                check_point(&ED25519, &x)?;
                check_order(&x)?;
                Ok(DecodingKey::from_ed_der(&x))
            }
        }
    }
}

fn bytes(members: &Map<String, Value>, name: &str) -> Result<Vec<u8>, String> {
    let encoded = text(members, name)?.ok_or_else(|| format!("the member `{name}` is missing"))?;
    decode_base64url(encoded).ok_or_else(|| format!("`{name}` is not base64url without padding"))
}

fn sized(members: &Map<String, Value>, name: &str, size: usize) -> Result<Vec<u8>, String> {
    let found = bytes(members, name)?;
    if found.len() == size { Ok(found) } else { Err(format!("`{name}` must be {size} bytes long")) }
}

/// INVARIANT: a modulus is 2048 to 8192 bits; what is shorter can be factored, what is longer is a way to burn time.
fn rsa(members: &Map<String, Value>) -> Result<DecodingKey, String> {
    let (n, e) = (bytes(members, "n")?, bytes(members, "e")?);
    let Some(first) = n.first().filter(|byte| **byte != 0) else {
        return Err("`n` must not begin with a zero byte (RFC 7518 section 6.3.1.1)".to_owned());
    };
    let bits = n.len() * 8 - first.leading_zeros() as usize;
    if !(2048..=8192).contains(&bits) {
        return Err(format!("an RSA key of {bits} bits; 2048 to 8192 are accepted"));
    }
    if e.last().is_none_or(|byte| byte % 2 == 0) || e == [1] {
        return Err("`e` is not an RSA exponent".to_owned());
    }
    RsaPublicKeyComponents { n: &n, e: &e }
        .to_parsed_public_key(&RSA_PKCS1_2048_8192_SHA256)
        .map_err(|_| "`n` and `e` are not an RSA key".to_owned())?;
    Ok(DecodingKey::from_rsa_raw_components(&n, &e))
}

fn elliptic(
    members: &Map<String, Value>,
    size: usize,
    curve: &'static dyn VerificationAlgorithm,
) -> Result<DecodingKey, String> {
    // SEC 1 section 2.3.3: an uncompressed point is 0x04, x, y.
    let mut point = vec![4];
    point.extend(sized(members, "x", size)?);
    point.extend(sized(members, "y", size)?);
    check_point(curve, &point)?;
    Ok(DecodingKey::from_ec_der(&point))
}

/// A point off its curve leaks or forges (RFC 8725 section 3.4).
fn check_point(curve: &'static dyn VerificationAlgorithm, point: &[u8]) -> Result<(), String> {
    ParsedPublicKey::new(curve, point).map(drop).map_err(|_| "its point is not on its curve".to_owned())
}

/// The points of Ed25519 whose order divides 8, with the bit of the sign left out: one signature with such a key fits
/// many messages. The last two are other spellings of the first two.
const SMALL_ORDER: [&str; 7] = [
    "0000000000000000000000000000000000000000000000000000000000000000",
    "0100000000000000000000000000000000000000000000000000000000000000",
    "26e8958fc2b227b045c3f489f2ef98f0d5dfac05d3c63339b13802886d53fc05",
    "c7176a703d4dd84fba3c0b760d10670f2a2053fa2c39ccc64ec7fd7792ac037a",
    "ecffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f",
    "edffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f",
    "eeffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f",
];

fn check_order(point: &[u8]) -> Result<(), String> {
    let mut unsigned = point.to_vec();
    if let Some(last) = unsigned.last_mut() {
        *last &= 0x7f;
    }
    if SMALL_ORDER.contains(&hex::encode(unsigned).as_str()) {
        return Err("its point is of small order".to_owned());
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::super::json::encode_base64url;
    use super::super::sign::SigningKey;
    use super::*;

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

    #[test]
    fn keys_that_are_broken_or_contradict_themselves_are_refused() {
        let short = encode_base64url([0xff; 255]);
        let bad = [
            (json!(7), "object"),
            (changed("kty", Value::Null), "kty"),
            (changed("kid", json!(1)), "kid"),
            (changed("kid", json!("k".repeat(300))), "kid"),
            (changed("alg", json!("ES256")), "ES256"),
            (changed("d", json!("AAAA")), "private member `d`"),
            (changed("x", Value::Null), "`x` is missing"),
            (changed("x", json!("AAAA")), "32 bytes"),
            (changed("x", json!("A===")), "base64url"),
            (changed("key_ops", json!("verify")), "key_ops"),
            (changed("x", json!(encode_base64url([0; 32]))), "small order"),
            (json!({ "kty": "RSA", "n": short, "e": "AQAB" }), "2040 bits"),
            (json!({ "kty": "RSA", "n": encode_base64url([0; 256]), "e": "AQAB" }), "zero byte"),
            (json!({ "kty": "RSA", "n": encode_base64url([0xff; 256]), "e": "Ag" }), "exponent"),
            (
                json!({ "kty": "EC", "crv": "P-256", "x": encode_base64url([1; 32]), "y": encode_base64url([2; 32]) }),
                "curve",
            ),
        ];
        for (key, wanted) in bad {
            let Err(Unfit::Broken(problem)) = Key::read(&key) else { panic!("{key} is not refused") };
            assert!(problem.contains(wanted), "{problem} lacks {wanted}");
        }
    }
}
