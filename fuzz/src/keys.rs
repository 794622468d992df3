//! The keys of the targets. Their private halves are a byte repeated, so that nobody could take them for secrets.

use std::sync::LazyLock;

use deodar::identity::{Algorithm, SigningKey};
use serde_json::Value;

use super::der;

/// The issuer whose tokens are access tokens by the book.
pub static CORP: LazyLock<SigningKey> = LazyLock::new(|| ed25519(0x01));
/// The issuer whose tokens are of the type `JWT`.
pub static SHOP: LazyLock<SigningKey> = LazyLock::new(|| ed25519(0x02));
/// Nobody who is trusted.
pub static STRANGER: LazyLock<SigningKey> = LazyLock::new(|| ed25519(0x03));
/// A client that its tokens are bound to.
pub static CLIENT: LazyLock<SigningKey> = LazyLock::new(|| ed25519(0x04));

/// The trust domain whose tokens (JWT-SVID) are believed, and another. SPIFFE does not know Ed25519.
pub static PROD: LazyLock<SigningKey> = LazyLock::new(|| p256(0x05));
pub static PARTNER: LazyLock<SigningKey> = LazyLock::new(|| p256(0x06));

/// A P-256 key (RFC 5915 inside PKCS#8). Its signatures differ each time.
fn p256(byte: u8) -> SigningKey {
    let oid = |rest: &[u8]| der::value(0x06, &[ANSI_X962.as_slice(), rest].concat());
    let algorithm = [oid(&[0x02, 0x01]), oid(&[0x03, 0x01, 0x07])];
    let key = der::sequence(&[der::value(0x02, &[1]), der::value(0x04, &[byte; 32])]);
    let parts = [der::value(0x02, &[0]), der::sequence(&algorithm), der::value(0x04, &key)];
    SigningKey::from_pkcs8(Algorithm::Es256, &der::sequence(&parts)).unwrap()
}

const ANSI_X962: [u8; 5] = [0x2a, 0x86, 0x48, 0xce, 0x3d];

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
