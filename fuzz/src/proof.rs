//! DPoP proofs: who is accepted holds the key, now, for this request and token, and once.

use std::path::Path;
use std::sync::LazyLock;

use base64::Engine;
use base64::prelude::BASE64_URL_SAFE_NO_PAD as BASE64;
use deodar::identity::{CacheConfig, Config, Identity, IdentityRefusal, IssuerConfig, Presented, Target};
use deodar::model::{Credential, CredentialFault, Reason, Secret, Timestamp};
use serde_json::{Value, json};
use sha2::{Digest, Sha256};

use super::token::{CORP, NOW, assert_discreet};
use super::{Verdict, draft, keys};

/// Two tokens bound to the same client.
static TOKENS: LazyLock<[String; 2]> = LazyLock::new(|| ["t-1", "t-2"].map(bound_token));

fn bound_token(id: &str) -> String {
    let now = NOW.seconds();
    let claims = json!({
        "iss": CORP, "sub": "alice", "aud": "orders", "client_id": "spa", "jti": id, "iat": now, "exp": now + 300,
        "cnf": { "jkt": keys::CLIENT.kid() },
    });
    let header = json!({ "typ": "at+jwt", "alg": "EdDSA" });
    keys::CORP.sign_text(&header.to_string(), &claims.to_string()).unwrap()
}

/// No proof was used there yet.
fn identity() -> Identity {
    let mut issuer = IssuerConfig::new("corp".parse().unwrap(), CORP, vec!["orders".into()]);
    issuer.jwks = Some(keys::CORP.public_jwks());
    let cache = CacheConfig { max_tokens: 0, ..CacheConfig::default() };
    Identity::new(&Config { issuers: vec![issuer], cache, ..Config::default() }, Path::new("/")).unwrap()
}

struct Request {
    token: usize,
    method: &'static str,
    host: &'static str,
    path: &'static str,
    at: Timestamp,
}

/// What a good proof is for.
const ASKED: Request =
    Request { token: 0, method: "GET", host: "api.example.com", path: "/orders/7?page=2", at: NOW };

/// Judges a proof or a draft of one, and asserts that it was judged right.
pub fn judge(data: &[u8]) -> Verdict {
    let Some(proof) = draft::jwt(data) else { return Verdict::Refused };
    let once = identity();
    match ask(&once, &proof, &ASKED) {
        Ok(()) => {
            assert_right(&proof);
            assert_used_up(&once, &proof);
            assert_only_for_this(&proof);
            Verdict::Accepted
        }
        Err(refusal) => {
            assert_discreet(&proof, &refusal);
            assert_eq!(once.remembered_proofs(), 0, "a refused proof is not used up");
            Verdict::Refused
        }
    }
}

fn ask(identity: &Identity, proof: &str, request: &Request) -> Result<(), IdentityRefusal> {
    let token = Secret::new(TOKENS[request.token].as_str());
    let credential = Credential::Dpop { token, proof: Secret::new(proof) };
    let target = Target::at_host(request.method, true, request.host, request.path).unwrap();
    let presented = Presented { target: Some(&target), ..Presented::alone(&credential) };
    let known = identity.examine_for(&presented, request.at)?;
    assert!(known.principal.token.as_ref().unwrap().sender_constrained);
    Ok(())
}

fn assert_right(proof: &str) {
    let segments: Vec<&str> = proof.split('.').collect();
    let decoded: Vec<Vec<u8>> = segments.iter().map(|segment| BASE64.decode(segment).unwrap()).collect();
    assert!(
        segments.len() == 3 && decoded.iter().zip(segments).all(|(bytes, text)| BASE64.encode(bytes) == text)
    );
    let header: Value = serde_json::from_slice(&decoded[0]).unwrap();
    let claims: Value = serde_json::from_slice(&decoded[1]).unwrap();
    let typ = header["typ"].as_str().unwrap().to_ascii_lowercase();
    assert!(typ == "dpop+jwt" || typ == "application/dpop+jwt");
    assert_eq!(header["alg"], "EdDSA");
    // The client has one key, so its thumbprint allows one `x` and nothing private beside it.
    let jwk = header["jwk"].as_object().unwrap();
    assert_eq!(jwk["x"], keys::bare_jwk(&keys::CLIENT)["x"]);
    assert!(["d", "p", "q", "dp", "dq", "qi", "oth", "k"].iter().all(|name| !jwk.contains_key(*name)));
    assert_eq!(claims["htm"], "GET");
    assert_eq!(uri(claims["htu"].as_str().unwrap()), ("api.example.com".to_owned(), "/orders/7".to_owned()));
    assert_eq!(claims["ath"], BASE64.encode(Sha256::digest(&TOKENS[0])));
    let (issued, now) = (claims["iat"].as_f64().unwrap(), NOW.seconds() as f64);
    assert!(issued <= now + 5.0 && issued + 60.0 > now, "made at {issued}");
    assert!((1..=256).contains(&claims["jti"].as_str().unwrap().len()));
}

/// Host and path of an `https` URI at the usual port, with what needs no escape unescaped.
fn uri(text: &str) -> (String, String) {
    let lower = text.to_ascii_lowercase();
    assert!(lower.starts_with("https://") && text.is_ascii(), "{text:?}");
    let rest = &text["https://".len()..];
    let (host, path) = rest.split_at(rest.find(['/', '?', '#']).unwrap_or(rest.len()));
    let host = host.to_ascii_lowercase();
    let host = host.strip_suffix(":443").or(host.strip_suffix(':')).unwrap_or(&host);
    let path = path.split(['?', '#']).next().unwrap();
    (host.trim_end_matches('.').to_owned(), unescaped(path))
}

fn unescaped(path: &str) -> String {
    let mut plain = String::new();
    let mut rest = path;
    while let Some(first) = rest.chars().next() {
        let byte = rest.strip_prefix('%').and_then(|hex| u8::from_str_radix(hex.get(..2)?, 16).ok());
        let byte = byte.filter(|byte| byte.is_ascii_alphanumeric() || b"-._~".contains(byte));
        let taken = if byte.is_some() { 3 } else { 1 };
        plain.push(byte.map_or(first, char::from));
        rest = &rest[taken..];
    }
    plain
}

fn assert_used_up(identity: &Identity, proof: &str) {
    for later in [0, 1, 30] {
        let at = Timestamp::from_seconds(NOW.seconds() + later);
        let refusal = ask(identity, proof, &Request { at, ..ASKED }).expect_err("accepted twice");
        let used = Reason::CredentialInvalid(CredentialFault::Replayed);
        let aged = Reason::CredentialInvalid(CredentialFault::BindingFailed);
        assert!(refusal.reason == used || later > 0 && refusal.reason == aged, "{refusal}");
    }
}

/// Another request, token or moment, or another letter: another proof would be needed.
fn assert_only_for_this(proof: &str) {
    let later = Timestamp::from_seconds(NOW.seconds() + 70);
    let others = [
        Request { token: 1, ..ASKED },
        Request { method: "POST", ..ASKED },
        Request { host: "api.example.org", ..ASKED },
        Request { path: "/orders/8", ..ASKED },
        Request { at: later, ..ASKED },
    ];
    let fresh = identity();
    for request in &others {
        assert!(ask(&fresh, proof, request).is_err(), "accepted for {} {}", request.method, request.path);
    }
    let digest = Sha256::digest(proof);
    let number = u64::from_le_bytes(digest[..8].try_into().unwrap());
    let changed = draft::changed(proof, proof.len(), number).unwrap();
    assert!(ask(&fresh, &changed, &ASKED).is_err(), "accepted with a letter changed");
}

/// A good header and good claims.
pub fn parts() -> (Value, Value) {
    let header = json!({ "typ": "dpop+jwt", "alg": "EdDSA", "jwk": keys::bare_jwk(&keys::CLIENT) });
    let claims = json!({
        "jti": "p-1", "htm": "GET", "htu": "https://api.example.com/orders/7", "iat": NOW.seconds(),
        "ath": BASE64.encode(Sha256::digest(&TOKENS[0])),
    });
    (header, claims)
}
