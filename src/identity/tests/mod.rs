//! Identity as a whole: tokens made for each test, judged by the public entry point.
//!
//! `attacks.rs` are tokens that must be refused, each for its own reason; `accepts.rs` are tokens that must be
//! believed, and what becomes of their claims; `profile.rs` is what settings make of tokens; `fetched.rs` is about keys that
//! come, change and go; `introspected.rs` about opaque tokens.

mod accepts;
mod attacks;
mod fetched;
mod introspected;
mod profile;

use std::path::Path;
use std::sync::LazyLock;

use serde_json::{Map, Value, json};

use super::*;
use crate::model::Reason;

const NOW: Timestamp = Timestamp::from_seconds(1_800_000_000);
const ISSUER: &str = "https://login.example.com";

static KEY: LazyLock<SigningKey> = LazyLock::new(|| key(Algorithm::EdDsa));
static RSA_KEY: LazyLock<SigningKey> = LazyLock::new(|| key(Algorithm::Rs256));

fn key(algorithm: Algorithm) -> SigningKey {
    SigningKey::generate(algorithm).unwrap()
}

/// An issuer `corp` with an Ed25519 and an RSA key.
fn settings() -> IssuerConfig {
    let mut config =
        IssuerConfig::new("corp".parse().unwrap(), ISSUER, vec!["orders".into(), "users".into()]);
    config.jwks = Some(json!({ "keys": [KEY.public_jwk(), RSA_KEY.public_jwk()] }));
    config
}

fn identity_of(issuers: Vec<IssuerConfig>) -> Identity {
    Identity::new(&Config { issuers, ..Config::default() }, Path::new("/")).unwrap()
}

fn identity() -> Identity {
    identity_of(vec![settings()])
}

fn object(value: Value) -> Map<String, Value> {
    match value {
        Value::Object(members) => members,
        other => panic!("{other} is not an object"),
    }
}

/// Good claims with some replaced, or removed where the change is `null`.
fn claims(changes: Value) -> Map<String, Value> {
    let now = NOW.seconds();
    let mut claims = object(json!({
        "iss": ISSUER, "sub": "alice", "aud": "orders", "client_id": "spa", "jti": "t-1", "iat": now, "exp": now + 300,
    }));
    for (name, value) in object(changes) {
        if value.is_null() {
            claims.shift_remove(&name)
        } else {
            claims.insert(name, value)
        };
    }
    claims
}

fn header(typ: &str) -> Map<String, Value> {
    object(json!({ "typ": typ }))
}

/// A token that is good but for these changes to its claims.
fn token(changes: Value) -> String {
    KEY.sign(header("at+jwt"), &claims(changes)).unwrap()
}

fn bearer(token: &str) -> Credential {
    Credential::Bearer(Secret::new(token))
}

fn judge(identity: &Identity, token: &str, now: Timestamp) -> Result<Authenticated, IdentityRefusal> {
    let answer = identity.examine(&bearer(token), now);
    // Whatever the answer, asking again (now perhaps from the cache) gives the same.
    let again = identity.examine(&bearer(token), now);
    assert_eq!(answer.as_ref().map(|known| &known.principal), again.as_ref().map(|known| &known.principal));
    if let Err(refusal) = &answer {
        let leaked = token.split('.').any(|part| part.len() > 8 && refusal.detail.contains(part));
        assert!(!leaked, "the detail holds a segment of the token: {}", refusal.detail);
    }
    answer
}

/// Why the token is refused; fails the test when it is not, or for a reason outside credentials.
fn fault(identity: &Identity, token: &str) -> CredentialFault {
    match judge(identity, token, NOW).expect_err(token).reason {
        Reason::CredentialInvalid(fault) => fault,
        other => panic!("refused as {other:?}"),
    }
}
