//! The keys of Deodar's own clients: `deodar_<client id>_<secret>`, shown once, kept as a hash.
//!
//! A plain SHA-256 is the right hash here, and a slow one would be wrong: the secret is 32 random bytes, so there is
//! nothing to guess, and every call of a PEP pays for the hash. Hashes compare in constant time.

use std::fmt;

use sha2::{Digest, Sha256};
use subtle::ConstantTimeEq;

use super::json::{decode_base64url, encode_base64url};
use crate::model::{ClientId, Secret};

/// Why there is no client key.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ClientKeyError {
    /// Says nothing of what was presented.
    #[error("not a client key: expected deodar_<client id>_<43 characters>")]
    Malformed,
    #[error("the operating system gave no random bytes")]
    NoRandomness,
}

const PREFIX: &str = "deodar_";
const SECRET_BYTES: usize = 32;

/// A client key in the clear. Printing it shows whose it is and nothing else.
#[derive(Clone)]
pub struct ClientKey {
    client: ClientId,
    secret: Secret,
}

impl ClientKey {
    /// A new key with 256 bits from the operating system.
    pub fn generate(client: ClientId) -> Result<Self, ClientKeyError> {
        let mut bytes = [0; SECRET_BYTES];
        aws_lc_rs::rand::fill(&mut bytes).map_err(|_| ClientKeyError::NoRandomness)?;
        Ok(Self { client, secret: Secret::new(encode_base64url(bytes)) })
    }

    /// Reads a key. A client id has no underscore and base64url may have some, so the first one behind the prefix
    /// divides the two.
    pub fn parse(text: &str) -> Result<Self, ClientKeyError> {
        let rest = text.strip_prefix(PREFIX).ok_or(ClientKeyError::Malformed)?;
        let (client, secret) = rest.split_once('_').ok_or(ClientKeyError::Malformed)?;
        let client = client.parse().map_err(|_| ClientKeyError::Malformed)?;
        // The strict decoder leaves each secret one spelling, so hashing the text is hashing the bytes.
        match decode_base64url(secret) {
            Some(bytes) if bytes.len() == SECRET_BYTES => Ok(Self { client, secret: Secret::new(secret) }),
            _ => Err(ClientKeyError::Malformed),
        }
    }

    pub fn client(&self) -> &ClientId {
        &self.client
    }

    /// The whole key, to be shown once.
    pub fn reveal(&self) -> Secret {
        Secret::new(format!("{PREFIX}{}_{}", self.client, self.secret.expose()))
    }

    /// SHA-256 of the secret half (its 43 characters): what is stored.
    pub fn sha256(&self) -> [u8; 32] {
        Sha256::digest(self.secret.expose()).into()
    }

    /// Whether this is the key with that hash. Takes the same time wherever the two differ (peers leaked this way).
    pub fn matches(&self, stored_sha256: &[u8; 32]) -> bool {
        self.sha256().ct_eq(stored_sha256).into()
    }
}

impl fmt::Debug for ClientKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "ClientKey({}, ..)", self.client)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn client() -> ClientId {
        "edge-gateway-1".parse().unwrap()
    }

    #[test]
    fn a_new_key_reads_back_and_matches_its_hash_only() {
        let key = ClientKey::generate(client()).unwrap();
        let read = ClientKey::parse(key.reveal().expose()).unwrap();
        assert_eq!(read.client(), &client());
        assert!(read.matches(&key.sha256()));
        assert!(!ClientKey::generate(client()).unwrap().matches(&key.sha256()));
    }

    #[test]
    fn underscores_and_hyphens_of_the_secret_belong_to_the_secret() {
        let secret = format!("{}-{}A", "_".repeat(21), "_".repeat(20));
        let key = ClientKey::parse(&format!("deodar_a-b_{secret}")).unwrap();
        assert_eq!((key.client().as_str(), key.secret.expose()), ("a-b", secret.as_str()));
        assert!(key.reveal().expose().ends_with(&secret));
    }

    #[test]
    fn printing_a_key_never_shows_its_secret() {
        let key = ClientKey::generate(client()).unwrap();
        let shown = format!("{key:?} {:?}", key.reveal());
        assert!(shown.contains("edge-gateway-1") && !shown.contains(key.secret.expose()), "{shown}");
    }

    #[test]
    fn other_texts_are_not_keys() {
        let good = ClientKey::generate(client()).unwrap().reveal();
        let good = good.expose();
        let bad = [
            "".to_owned(),
            "deodar_".to_owned(),
            good.replacen("deodar_", "Deodar_", 1),
            good.replacen("deodar_", "", 1),
            good.replacen("edge", "Edge", 1),
            good.replacen("edge-gateway-1", "", 1),
            format!("{good}A"),
            format!("{good}="),
            format!(" {good}"),
            good[..good.len() - 1].to_owned(),
        ];
        for text in bad {
            assert_eq!(ClientKey::parse(&text).unwrap_err(), ClientKeyError::Malformed, "{text}");
        }
    }

    proptest! {
        #[test]
        fn what_parses_has_one_spelling(text in "(deodar_)?[a-z0-9-]{1,6}_[A-Za-z0-9_-]{42,44}") {
            if let Ok(key) = ClientKey::parse(&text) {
                let written = key.reveal();
                prop_assert_eq!(written.expose(), text);
            }
        }
    }
}
