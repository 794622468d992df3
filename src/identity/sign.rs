//! Signing tokens: for the development issuer, the demo and tests. Nothing that decides uses it.

use aws_lc_rs::encoding::AsDer;
use aws_lc_rs::rand::SystemRandom;
use aws_lc_rs::rsa::KeySize;
use aws_lc_rs::signature::{
    ECDSA_P256_SHA256_FIXED_SIGNING, ECDSA_P384_SHA384_FIXED_SIGNING, EcdsaKeyPair, EcdsaSigningAlgorithm,
    Ed25519KeyPair, KeyPair, RSA_PKCS1_SHA256, RSA_PKCS1_SHA384, RSA_PKCS1_SHA512, RSA_PSS_SHA256,
    RSA_PSS_SHA384, RSA_PSS_SHA512, RsaEncoding, RsaKeyPair,
};
use serde_json::{Map, Value, json};
use sha2::{Digest, Sha256};

use super::algorithm::Algorithm;
use super::json::encode_base64url;

/// Why a key could not be made, read, written or used.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum SigningError {
    #[error("cannot generate a key for {0}")]
    Generate(Algorithm),
    #[error("not a PKCS#8 key for {algorithm}: {problem}")]
    Read { algorithm: Algorithm, problem: String },
    #[error("cannot write the {0} key as PKCS#8")]
    Write(Algorithm),
    #[error("cannot sign with the {0} key")]
    Sign(Algorithm),
}

/// A private key and the algorithm it signs with. Printing it shows its id only.
pub struct SigningKey {
    algorithm: Algorithm,
    pair: Pair,
    kid: String,
}

enum Pair {
    Ed25519(Ed25519KeyPair),
    Elliptic(EcdsaKeyPair),
    Rsa(RsaKeyPair),
}

impl SigningKey {
    /// A fresh key; RSA keys have 2048 bits.
    pub fn generate(algorithm: Algorithm) -> Result<Self, SigningError> {
        let failed = |_| SigningError::Generate(algorithm);
        let pair = match Family::of(algorithm) {
            Family::Ed25519 => Pair::Ed25519(Ed25519KeyPair::generate().map_err(failed)?),
            Family::Elliptic(curve) => Pair::Elliptic(EcdsaKeyPair::generate(curve).map_err(failed)?),
            Family::Rsa(_) => Pair::Rsa(RsaKeyPair::generate(KeySize::Rsa2048).map_err(failed)?),
        };
        Ok(Self::new(algorithm, pair))
    }

    /// Reads a private key (RFC 5958, DER).
    pub fn from_pkcs8(algorithm: Algorithm, der: &[u8]) -> Result<Self, SigningError> {
        let failed = |error: aws_lc_rs::error::KeyRejected| SigningError::Read {
            algorithm,
            problem: error.to_string(),
        };
        let pair = match Family::of(algorithm) {
            Family::Ed25519 => Pair::Ed25519(Ed25519KeyPair::from_pkcs8(der).map_err(failed)?),
            Family::Elliptic(curve) => Pair::Elliptic(EcdsaKeyPair::from_pkcs8(curve, der).map_err(failed)?),
            Family::Rsa(_) => Pair::Rsa(RsaKeyPair::from_pkcs8(der).map_err(failed)?),
        };
        Ok(Self::new(algorithm, pair))
    }

    fn new(algorithm: Algorithm, pair: Pair) -> Self {
        let mut key = Self { algorithm, pair, kid: String::new() };
        key.kid = key.thumbprint();
        key
    }

    /// The private key (RFC 5958, DER). Secret.
    pub fn to_pkcs8(&self) -> Result<Vec<u8>, SigningError> {
        let failed = |_| SigningError::Write(self.algorithm);
        match &self.pair {
            Pair::Ed25519(pair) => pair.to_pkcs8().map(|der| der.as_ref().to_vec()).map_err(failed),
            Pair::Elliptic(pair) => pair.to_pkcs8v1().map(|der| der.as_ref().to_vec()).map_err(failed),
            Pair::Rsa(pair) => pair.as_der().map(|der| der.as_ref().to_vec()).map_err(failed),
        }
    }

    pub const fn algorithm(&self) -> Algorithm {
        self.algorithm
    }

    /// The key's id: its RFC 7638 thumbprint.
    pub fn kid(&self) -> &str {
        &self.kid
    }

    /// The public key (RFC 7517) with `kid`, `alg` and `use`.
    pub fn public_jwk(&self) -> Value {
        let mut members = self.public_members();
        members.insert("kid".to_owned(), Value::from(self.kid.as_str()));
        members.insert("alg".to_owned(), Value::from(self.algorithm.as_str()));
        members.insert("use".to_owned(), Value::from("sig"));
        Value::Object(members)
    }

    /// A set with this key alone, as an issuer would publish it.
    pub fn public_jwks(&self) -> Value {
        json!({ "keys": [self.public_jwk()] })
    }

    /// Signs claims. `alg` and `kid` are added to the header where it does not name its own.
    pub fn sign(
        &self,
        mut header: Map<String, Value>,
        claims: &Map<String, Value>,
    ) -> Result<String, SigningError> {
        header.entry("alg").or_insert_with(|| Value::from(self.algorithm.as_str()));
        header.entry("kid").or_insert_with(|| Value::from(self.kid.as_str()));
        let claims = Value::Object(claims.clone()).to_string();
        self.sign_text(&Value::Object(header).to_string(), &claims)
    }

    /// Signs a header and a payload exactly as they are given, well-formed or not.
    pub fn sign_text(&self, header: &str, payload: &str) -> Result<String, SigningError> {
        let signed = format!("{}.{}", encode_base64url(header), encode_base64url(payload));
        let signature = self.signature(signed.as_bytes())?;
        Ok(format!("{signed}.{}", encode_base64url(signature)))
    }

    fn signature(&self, message: &[u8]) -> Result<Vec<u8>, SigningError> {
        let random = SystemRandom::new();
        let failed = |_| SigningError::Sign(self.algorithm);
        match (&self.pair, Family::of(self.algorithm)) {
            (Pair::Rsa(pair), Family::Rsa(encoding)) => {
                let mut signature = vec![0; pair.public_modulus_len()];
                pair.sign(encoding, &random, message, &mut signature).map_err(failed)?;
                Ok(signature)
            }
            (Pair::Elliptic(pair), _) => {
                pair.sign(&random, message).map(|signature| signature.as_ref().to_vec()).map_err(failed)
            }
            (Pair::Ed25519(pair), _) => Ok(pair.sign(message).as_ref().to_vec()),
            (Pair::Rsa(_), _) => Err(SigningError::Sign(self.algorithm)),
        }
    }

    /// The members that make the key what it is, in the order of RFC 7638 section 3.2.
    fn public_members(&self) -> Map<String, Value> {
        let members = match &self.pair {
            Pair::Ed25519(pair) => {
                let x = encode_base64url(pair.public_key());
                json!({ "crv": "Ed25519", "kty": "OKP", "x": x })
            }
            Pair::Elliptic(pair) => {
                // An uncompressed point: 0x04, x, y (SEC 1 section 2.3.3).
                let point = pair.public_key().as_ref();
                let coordinates = point.get(1..).unwrap_or_default();
                let (x, y) = coordinates.split_at(coordinates.len() / 2);
                let curve = if x.len() == 32 { "P-256" } else { "P-384" };
                json!({ "crv": curve, "kty": "EC", "x": encode_base64url(x), "y": encode_base64url(y) })
            }
            Pair::Rsa(pair) => {
                let public = pair.public_key();
                let n = encode_base64url(public.modulus().big_endian_without_leading_zero());
                let e = encode_base64url(public.exponent().big_endian_without_leading_zero());
                json!({ "e": e, "kty": "RSA", "n": n })
            }
        };
        match members {
            Value::Object(members) => members,
            _ => Map::new(),
        }
    }

    fn thumbprint(&self) -> String {
        let canonical = Value::Object(self.public_members()).to_string();
        encode_base64url(Sha256::digest(canonical))
    }
}

impl std::fmt::Debug for SigningKey {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "SigningKey({}, {})", self.algorithm, self.kid)
    }
}

/// What the arithmetic needs to know of an algorithm.
enum Family {
    Ed25519,
    Elliptic(&'static EcdsaSigningAlgorithm),
    Rsa(&'static dyn RsaEncoding),
}

impl Family {
    fn of(algorithm: Algorithm) -> Self {
        match algorithm {
            Algorithm::EdDsa => Self::Ed25519,
            Algorithm::Es256 => Self::Elliptic(&ECDSA_P256_SHA256_FIXED_SIGNING),
            Algorithm::Es384 => Self::Elliptic(&ECDSA_P384_SHA384_FIXED_SIGNING),
            Algorithm::Rs256 => Self::Rsa(&RSA_PKCS1_SHA256),
            Algorithm::Rs384 => Self::Rsa(&RSA_PKCS1_SHA384),
            Algorithm::Rs512 => Self::Rsa(&RSA_PKCS1_SHA512),
            Algorithm::Ps256 => Self::Rsa(&RSA_PSS_SHA256),
            Algorithm::Ps384 => Self::Rsa(&RSA_PSS_SHA384),
            Algorithm::Ps512 => Self::Rsa(&RSA_PSS_SHA512),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_survives_pkcs8_with_its_id() {
        for algorithm in [Algorithm::EdDsa, Algorithm::Es256, Algorithm::Es384, Algorithm::Rs256] {
            let key = SigningKey::generate(algorithm).unwrap();
            let read = SigningKey::from_pkcs8(algorithm, &key.to_pkcs8().unwrap()).unwrap();
            assert_eq!(read.kid(), key.kid(), "{algorithm}");
            assert!(SigningKey::from_pkcs8(algorithm, b"not a key").is_err());
        }
    }

    #[test]
    fn the_thumbprint_is_that_of_the_standard() {
        // RFC 8037 appendices A.1 (the key) and A.3 (its thumbprint).
        let seed = hex::decode("9d61b19deffd5a60ba844af492ec2cc44449c5697b326919703bac031cae7f60").unwrap();
        let public = hex::decode("d75a980182b10ab7d54bfed3c964073a0ee172f3daa62325af021a68f707511a").unwrap();
        let pair = Ed25519KeyPair::from_seed_and_public_key(&seed, &public).unwrap();
        let key = SigningKey::new(Algorithm::EdDsa, Pair::Ed25519(pair));
        assert_eq!(key.kid(), "kPrK_qmxVWaYVA9wwBF6Iuo3vVzz7TxHCTwXBygrS4k");
        assert!(!format!("{key:?}").contains("9d61"));
    }
}
