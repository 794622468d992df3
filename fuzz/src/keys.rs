//! The keys of the targets. Their private halves are a byte repeated, so that nobody could take them for secrets.

use std::sync::LazyLock;

use deodar::identity::{Algorithm, SigningKey};
use serde_json::Value;

/// The issuer whose tokens are access tokens by the book.
pub static CORP: LazyLock<SigningKey> = LazyLock::new(|| ed25519(0x01));
/// The issuer whose tokens are of the type `JWT`.
pub static SHOP: LazyLock<SigningKey> = LazyLock::new(|| ed25519(0x02));
/// Nobody who is trusted.
pub static STRANGER: LazyLock<SigningKey> = LazyLock::new(|| ed25519(0x03));
/// A client that its tokens are bound to.
pub static CLIENT: LazyLock<SigningKey> = LazyLock::new(|| ed25519(0x04));

/// An Ed25519 key (RFC 8410: PKCS#8 around 32 bytes). Its signatures are the same each time, so seeds are too.
fn ed25519(byte: u8) -> SigningKey {
    const BEFORE: [u8; 16] =
        [0x30, 0x2e, 0x02, 0x01, 0x00, 0x30, 0x05, 0x06, 0x03, 0x2b, 0x65, 0x70, 0x04, 0x22, 0x04, 0x20];
    SigningKey::from_pkcs8(Algorithm::EdDsa, &[BEFORE.as_slice(), &[byte; 32]].concat()).unwrap()
}

/// The public key without what says how to use it, as a proof brings it along.
pub fn bare_jwk(key: &SigningKey) -> Value {
    let mut jwk = key.public_jwk();
    let members = jwk.as_object_mut().unwrap();
    ["kid", "alg", "use"].into_iter().for_each(|name| drop(members.shift_remove(name)));
    jwk
}
