//! A secret that an issuer shares with us (HMAC, RFC 7518 section 3.2), for issuers that have no other way.
//!
//! A type of its own, apart from [`Algorithm`](super::Algorithm): a public key can then never be mistaken for a secret
//! (RFC 8725 section 3.1), and no key set can bring one. It comes from a file, never from a URL or a token.

use std::fmt;
use std::fs;
use std::path::{Path, PathBuf};

use aws_lc_rs::hmac;
use base64::Engine;
use base64::alphabet::STANDARD;
use base64::engine::DecodePaddingMode;
use base64::engine::general_purpose::{GeneralPurpose, GeneralPurposeConfig};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::json::decode_base64url;

/// An algorithm with a shared secret.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub enum MacAlgorithm {
    #[serde(rename = "HS256")]
    Hs256,
    #[serde(rename = "HS384")]
    Hs384,
    #[serde(rename = "HS512")]
    Hs512,
}

impl MacAlgorithm {
    /// The name in a token's header.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Hs256 => "HS256",
            Self::Hs384 => "HS384",
            Self::Hs512 => "HS512",
        }
    }

    /// The shortest secret: as long as the hash (RFC 7518 section 3.2).
    pub const fn least_bytes(self) -> usize {
        match self {
            Self::Hs256 => 32,
            Self::Hs384 => 48,
            Self::Hs512 => 64,
        }
    }

    const fn backend(self) -> hmac::Algorithm {
        match self {
            Self::Hs256 => hmac::HMAC_SHA256,
            Self::Hs384 => hmac::HMAC_SHA384,
            Self::Hs512 => hmac::HMAC_SHA512,
        }
    }
}

/// Where the secret of an issuer is. Whoever can verify with it can also sign with it: prefer public keys.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct SharedKeyConfig {
    /// The only algorithm its tokens may use: `HS256`, `HS384` or `HS512`.
    pub algorithm: MacAlgorithm,
    /// A file with the secret in base64 (either alphabet), relative to the configuration file. The secret must be at
    /// least 32, 48 or 64 bytes long, as long as the algorithm's hash.
    pub file: PathBuf,
}

/// A secret ready to verify with.
pub(super) struct SharedKey {
    pub algorithm: MacAlgorithm,
    key: hmac::Key,
}

const MAX_FILE_BYTES: usize = 4_096;

impl SharedKey {
    /// Reads the secret. The problem says nothing of what is in the file.
    pub(super) fn read(config: &SharedKeyConfig, base_dir: &Path) -> Result<Self, String> {
        let path = base_dir.join(&config.file);
        let problem = |why: String| format!("the shared key `{}` {why}", path.display());
        let text = fs::read_to_string(&path).map_err(|error| problem(format!("cannot be read: {error}")))?;
        if text.len() > MAX_FILE_BYTES {
            return Err(problem(format!("is longer than {MAX_FILE_BYTES} bytes")));
        }
        Self::parse(config.algorithm, &text).map_err(|why| problem(why.to_owned()))
    }

    fn parse(algorithm: MacAlgorithm, text: &str) -> Result<Self, &'static str> {
        let text: String = text.split_whitespace().collect();
        let secret = decode_base64(&text).ok_or("is not base64")?;
        if secret.len() < algorithm.least_bytes() {
            return Err(match algorithm {
                MacAlgorithm::Hs256 => "is too short: HS256 needs 32 bytes",
                MacAlgorithm::Hs384 => "is too short: HS384 needs 48 bytes",
                MacAlgorithm::Hs512 => "is too short: HS512 needs 64 bytes",
            });
        }
        Ok(Self { algorithm, key: hmac::Key::new(algorithm.backend(), &secret) })
    }

    /// Whether the tag (base64url) over the message was made with this secret; compared in constant time.
    pub(super) fn verifies(&self, message: &str, tag: &str) -> bool {
        decode_base64url(tag).is_some_and(|tag| hmac::verify(&self.key, message.as_bytes(), &tag).is_ok())
    }
}

impl fmt::Debug for SharedKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "SharedKey({})", self.algorithm.as_str())
    }
}

/// What tools print: `openssl rand -base64`, or the `k` of a JSON Web Key.
fn decode_base64(text: &str) -> Option<Vec<u8>> {
    let config = GeneralPurposeConfig::new().with_decode_padding_mode(DecodePaddingMode::Indifferent);
    GeneralPurpose::new(&STANDARD, config).decode(text).ok().or_else(|| decode_base64url(text))
}

#[cfg(test)]
mod tests {
    use super::super::json::encode_base64url;
    use super::*;

    #[test]
    fn a_secret_is_base64_in_either_alphabet_and_long_enough() {
        let secret = [0xfb; 64];
        let padded = base64::engine::general_purpose::STANDARD.encode(secret);
        let wrapped = format!("{}\n{}\n", &padded[..64], &padded[64..]);
        for text in [padded, wrapped, encode_base64url(secret)] {
            assert!(SharedKey::parse(MacAlgorithm::Hs512, &text).is_ok(), "{text}");
        }
        for algorithm in [MacAlgorithm::Hs256, MacAlgorithm::Hs384, MacAlgorithm::Hs512] {
            let short = encode_base64url(vec![7; algorithm.least_bytes() - 1]);
            assert!(SharedKey::parse(algorithm, &short).unwrap_err().contains("too short"));
        }
        assert!(SharedKey::parse(MacAlgorithm::Hs256, "not base64!").unwrap_err().contains("base64"));
        assert!(SharedKey::parse(MacAlgorithm::Hs256, "").is_err());
    }

    /// RFC 7515 appendix A.1: the secret, what is signed, and the tag of the standard's own example.
    #[test]
    fn the_tag_of_the_standard_verifies() {
        let secret = "AyM1SysPpbyDfgZld3umj1qzKObwVMkoqQ-EstJQLr_T-1qS0gZH75aKtMN3Yj0iPS4hcgUuTwjAzZr1Z9CAow";
        let signed = "eyJ0eXAiOiJKV1QiLA0KICJhbGciOiJIUzI1NiJ9.eyJpc3MiOiJqb2UiLA0KICJleHAiOjEzMDA4MTkzODAsDQogImh0dHA6Ly9leGFtcGxlLmNvbS9pc19yb290Ijp0cnVlfQ";
        let key = SharedKey::parse(MacAlgorithm::Hs256, secret).unwrap();
        assert!(key.verifies(signed, "dBjftJeZ4CVP-mB92K27uhbUJU1p1r_wW1gFWFOEjXk"));
        assert!(!key.verifies(signed, "dBjftJeZ4CVP-mB92K27uhbUJU1p1r_wW1gFWFOEjXg"));
        assert!(!key.verifies(signed, "") && !key.verifies(signed, "dBjftJeZ4CVP-mB92K27uhbUJU1p1r_w"));
        assert!(!format!("{key:?}").contains("AyM1"));
    }
}
