//! The examples of the JOSE standards, and strict readings of JWS and JWK as named cases.

#![expect(clippy::needless_pass_by_value, reason = "`json!` makes the arguments where they are passed")]

use std::path::Path;

use base64::Engine;
use base64::prelude::BASE64_URL_SAFE_NO_PAD as BASE64;
use deodar::identity::{
    Algorithm, Config, Identity, IssuerConfig, KeySet, MacAlgorithm, SharedKeyConfig, SigningKey,
};
use deodar::model::{Credential, Secret, Timestamp};
use serde_json::{Value, json};

const NOW: i64 = 1_800_000_000;

/// Whether the example (compact form) was signed with this key.
fn verifies(jwk: &Value, algorithm: Algorithm, compact: &str) -> bool {
    let (signed, signature) = compact.rsplit_once('.').unwrap();
    let keys = KeySet::parse(&json!({ "keys": [jwk] }).to_string()).unwrap();
    keys.verifies(None, algorithm, signed.as_bytes(), &BASE64.decode(signature).unwrap())
}

/// The example verifies, and not with a letter of its payload changed.
fn assert_example(jwk: &Value, algorithm: Algorithm, compact: &str) {
    assert!(verifies(jwk, algorithm, compact), "{algorithm}");
    let middle = compact.find('.').unwrap() + 5;
    let other = if compact[middle..].starts_with('A') { "B" } else { "A" };
    let changed = format!("{}{other}{}", &compact[..middle], &compact[middle + 1..]);
    assert!(!verifies(jwk, algorithm, &changed), "{algorithm}");
}

/// RFC 7520 section 3.3.
fn bilbo() -> Value {
    json!({
        "kty": "RSA", "kid": "bilbo.baggins@hobbiton.example", "use": "sig", "e": "AQAB",
        "n": "n4EPtAOCc9AlkeQHPzHStgAbgs7bTZLwUBZdR8_KuKPEHLd4rHVTeT-O-XV2jRojdNhxJWTDvNd7nqQ0VEiZQHz_AJmSCpMaJMRBSFKrKb2wqVwGU_NsYOYL-QtiWN2lbzcEe6XC0dApr5ydQLrHqkHHig3RBordaZ6Aj-oBHqFEHYpPe7Tpe-OfVfHd1E6cS6M1FZcD1NNLYD5lFHpPI9bTwJlsde3uhGqC0ZCuEHg8lhzwOHrtIQbS0FVbb9k3-tVTU4fg_3L_vniUFAKwuCLqKnS2BYwdq_mzSnbLY7h_qixoR7jig3__kRhuaxwUkRz5iaiQkqgc5gHdrNP5zw",
    })
}

const BUSINESS: &str = "SXTigJlzIGEgZGFuZ2Vyb3VzIGJ1c2luZXNzLCBGcm9kbywgZ29pbmcgb3V0IHlvdXIgZG9vci4gWW91IHN0ZXAgb250byB0aGUgcm9hZCwgYW5kIGlmIHlvdSBkb24ndCBrZWVwIHlvdXIgZmVldCwgdGhlcmXigJlzIG5vIGtub3dpbmcgd2hlcmUgeW91IG1pZ2h0IGJlIHN3ZXB0IG9mZiB0by4";

#[test]
fn rfc_7520_section_4_1_rsa_pkcs1() {
    let compact = format!(
        "eyJhbGciOiJSUzI1NiIsImtpZCI6ImJpbGJvLmJhZ2dpbnNAaG9iYml0b24uZXhhbXBsZSJ9.{BUSINESS}.MRjdkly7_-oTPTS3AXP41iQIGKa80A0ZmTuV5MEaHoxnW2e5CZ5NlKtainoFmKZopdHM1O2U4mwzJdQx996ivp83xuglII7PNDi84wnB-BDkoBwA78185hX-Es4JIwmDLJK3lfWRa-XtL0RnltuYv746iYTh_qHRD68BNt1uSNCrUCTJDt5aAE6x8wW1Kt9eRo4QPocSadnHXFxnt8Is9UzpERV0ePPQdLuW3IS_de3xyIrDaLGdjluPxUAhb6L2aXic1U12podGU0KLUQSE_oI-ZnmKJ3F4uOZDnd6QZWJushZ41Axf_fcIe8u9ipH84ogoree7vjbU5y18kDquDg"
    );
    assert_example(&bilbo(), Algorithm::Rs256, &compact);
    assert!(
        !verifies(&bilbo(), Algorithm::Ps256, &compact) && !verifies(&bilbo(), Algorithm::Rs384, &compact)
    );
}

#[test]
fn rfc_7520_section_4_2_rsa_pss() {
    let compact = format!(
        "eyJhbGciOiJQUzM4NCIsImtpZCI6ImJpbGJvLmJhZ2dpbnNAaG9iYml0b24uZXhhbXBsZSJ9.{BUSINESS}.cu22eBqkYDKgIlTpzDXGvaFfz6WGoz7fUDcfT0kkOy42miAh2qyBzk1xEsnk2IpN6-tPid6VrklHkqsGqDqHCdP6O8TTB5dDDItllVo6_1OLPpcbUrhiUSMxbbXUvdvWXzg-UD8biiReQFlfz28zGWVsdiNAUf8ZnyPEgVFn442ZdNqiVJRmBqrYRXe8P_ijQ7p8Vdz0TTrxUeT3lm8d9shnr2lfJT8ImUjvAA2Xez2Mlp8cBE5awDzT0qI0n6uiP1aCN_2_jLAeQTlqRHtfa64QQSUmFAAjVKPbByi7xho0uTOcbH510a6GYmJUAfmWjwZ6oD4ifKo8DYM-X72Eaw"
    );
    assert_example(&bilbo(), Algorithm::Ps384, &compact);
}

/// RFC 7515 appendix A.3.
#[test]
fn rfc_7515_appendix_a_3_ecdsa() {
    let jwk = json!({
        "kty": "EC", "crv": "P-256", "x": "f83OJ3D2xF1Bg8vub9tLe1gHMzV76e8Tus9uPHvRVEU",
        "y": "x_FEzRu9m36HLN_tue659LNpXW6pCyStikYjKIWI5a0",
    });
    let compact = "eyJhbGciOiJFUzI1NiJ9.eyJpc3MiOiJqb2UiLA0KICJleHAiOjEzMDA4MTkzODAsDQogImh0dHA6Ly9leGFtcGxlLmNvbS9pc19yb290Ijp0cnVlfQ.DtEhU3ljbEg8L38VWAfUAqOyKAM6-Xx-F4GawxaepmXFCgfTjDxw5djxLa8ISlSApmWQxfKTUJqPP3-Kg6NU1Q";
    assert_example(&jwk, Algorithm::Es256, compact);
}

/// RFC 8037 appendix A.4.
#[test]
fn rfc_8037_appendix_a_4_ed25519() {
    let jwk = json!({ "kty": "OKP", "crv": "Ed25519", "x": "11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo" });
    let compact = "eyJhbGciOiJFZERTQSJ9.RXhhbXBsZSBvZiBFZDI1NTE5IHNpZ25pbmc.hgyY0il_MGCjP0JzlnLWG1PPOt7-09PGcvMg3AIbQR6dWbhijcNR4ki4iylGjg5BhVsPt9g7sVvpAr_MuM0KAg";
    assert_example(&jwk, Algorithm::EdDsa, compact);
}

/// RFC 7520 section 4.3: ES512 is not supported; its key is left out of a set, with a word why.
#[test]
fn rfc_7520_section_4_3_p521_is_not_supported() {
    let jwk = json!({
        "kty": "EC", "kid": "bilbo.baggins@hobbiton.example", "use": "sig", "crv": "P-521",
        "x": "AHKZLLOsCOzz5cY97ewNUajB957y-C-U88c3v13nmGZx6sYl_oJXu9A5RkTKqjqvjyekWF-7ytDyRXYgCF5cj0Kt",
        "y": "AdymlHvOiLxXkEhayXQnNCvDX4h9htZaCJN34kfmC6pV5OhQHiraVySsUdaQkAgDPrwQrJmbnX9cwlGfP-HqHZR1",
    });
    let set = KeySet::parse(&json!({ "keys": [jwk, bilbo()] }).to_string()).unwrap();
    assert!(set.warnings()[0].contains("P-521"), "{:?}", set.warnings());
    assert!("ES512".parse::<Algorithm>().is_err());
}

fn issuer() -> IssuerConfig {
    IssuerConfig::new("corp".parse().unwrap(), "https://corp", vec!["api".into()])
}

fn claims() -> Value {
    json!({
        "iss": "https://corp", "sub": "a", "aud": "api", "client_id": "c", "jti": "j", "iat": NOW, "exp": NOW + 60,
    })
}

/// The reason of the refusal, or `accepted`.
fn judged(identity: &Identity, token: &str) -> &'static str {
    let credential = Credential::Bearer(Secret::new(token));
    let answer = identity.authenticate(&credential, Timestamp::from_seconds(NOW));
    answer.map_or_else(|refusal| refusal.reason.as_str(), |_| "accepted")
}

fn with_keys(jwks: Value) -> Option<Identity> {
    let mut issuer = issuer();
    issuer.jwks = Some(jwks);
    issuer.algorithms = Algorithm::ALL.to_vec();
    Identity::new(&Config { issuers: vec![issuer], ..Config::default() }, Path::new("/")).ok()
}

fn sign(key: &SigningKey, header: Value) -> String {
    key.sign(header.as_object().unwrap().clone(), claims().as_object().unwrap()).unwrap()
}

fn good_header() -> Value {
    json!({ "typ": "at+jwt" })
}

/// RFC 7520 section 4.4 with its secret in a file: the token is no token of ours, but its tag is right, so it is refused
/// for its payload and not for its signature.
#[test]
fn rfc_7520_section_4_4_hmac() {
    let dir = tempfile::tempdir().unwrap();
    std::fs::write(dir.path().join("k"), "hJtXIZ2uSN5kbQfbtTNWbpdmhkV8FJG-Onbc6mxCcYg\n").unwrap();
    let mut issuer = issuer();
    issuer.shared_key = Some(SharedKeyConfig { algorithm: MacAlgorithm::Hs256, file: "k".into() });
    let identity = Identity::new(&Config { issuers: vec![issuer], ..Config::default() }, dir.path()).unwrap();
    let compact = format!(
        "eyJhbGciOiJIUzI1NiIsImtpZCI6IjAxOGMwYWU1LTRkOWItNDcxYi1iZmQ2LWVlZjMxNGJjNzAzNyJ9.{BUSINESS}.s0h6KThzkfBBBkLspW1h84VsJZFTsPPqMDA7g1Md7p0"
    );
    assert_eq!(judged(&identity, &compact), "credential_malformed");
}

#[test]
fn the_json_serialisations_are_no_tokens() {
    let key = SigningKey::generate(Algorithm::EdDsa).unwrap();
    let identity = with_keys(key.public_jwks()).unwrap();
    let token = sign(&key, good_header());
    assert_eq!(judged(&identity, &token), "accepted");
    let parts: Vec<&str> = token.split('.').collect();
    let flat = json!({ "protected": parts[0], "payload": parts[1], "signature": parts[2] });
    let general =
        json!({ "payload": parts[1], "signatures": [{ "protected": parts[0], "signature": parts[2] }] });
    for text in [flat, general] {
        assert_eq!(judged(&identity, &text.to_string()), "credential_malformed");
        assert_eq!(judged(&identity, &BASE64.encode(text.to_string())), "credential_malformed");
    }
}

/// The last character of a segment can hold bits that decoders drop: each other spelling of the same bytes is refused.
#[test]
fn a_signature_has_one_spelling() {
    const ALPHABET: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";
    for algorithm in [Algorithm::EdDsa, Algorithm::Es256, Algorithm::Rs256] {
        let key = SigningKey::generate(algorithm).unwrap();
        let identity = with_keys(key.public_jwks()).unwrap();
        let token = sign(&key, good_header());
        let (start, last) = token.split_at(token.len() - 1);
        for other in ALPHABET.iter().map(|byte| char::from(*byte)).filter(|other| !last.starts_with(*other)) {
            let reason = judged(&identity, &format!("{start}{other}"));
            assert_ne!(reason, "accepted", "{algorithm} {other}");
        }
        for more in ["=", "==", "A", "AA", "\n", "%3D"] {
            assert_ne!(judged(&identity, &format!("{token}{more}")), "accepted", "{algorithm} {more}");
        }
    }
}

#[test]
fn a_token_of_one_primitive_is_not_verified_by_another() {
    let keys: Vec<SigningKey> =
        [Algorithm::EdDsa, Algorithm::Es256, Algorithm::Es384, Algorithm::Rs256, Algorithm::Ps256]
            .map(|algorithm| SigningKey::generate(algorithm).unwrap())
            .into();
    let jwks: Vec<Value> = keys.iter().map(SigningKey::public_jwk).collect();
    let identity = with_keys(json!({ "keys": jwks })).unwrap();
    for signer in &keys {
        for named in &keys {
            let header = json!({ "typ": "at+jwt", "alg": signer.algorithm().as_str(), "kid": named.kid() });
            let wanted =
                if signer.kid() == named.kid() { "accepted" } else { "credential_algorithm_not_allowed" };
            assert_eq!(judged(&identity, &sign(signer, header)), wanted);
            let header = json!({ "typ": "at+jwt", "alg": named.algorithm().as_str(), "kid": named.kid() });
            let wanted = if signer.kid() == named.kid() { "accepted" } else { "credential_bad_signature" };
            assert_eq!(judged(&identity, &sign(signer, header)), wanted);
        }
    }
}

/// What a key says of its purpose (RFC 7517 sections 4.2 to 4.4) is held against it.
#[test]
fn keys_are_used_for_what_they_are_for() {
    let key = SigningKey::generate(Algorithm::Es256).unwrap();
    let token = sign(&key, good_header());
    let judge = |change: Value| {
        let mut jwk = key.public_jwk();
        jwk.as_object_mut().unwrap().extend(change.as_object().unwrap().clone());
        with_keys(json!({ "keys": [jwk] }))
            .map_or("refused with its set", |identity| judged(&identity, &token))
    };
    assert_eq!(judge(json!({})), "accepted");
    assert_eq!(judge(json!({ "key_ops": ["verify"] })), "accepted");
    assert_eq!(judge(json!({ "x5t": "ignored", "exp": 1, "unknown": {} })), "accepted");
    let bad = [
        json!({ "use": "enc" }),
        json!({ "use": "SIG" }),
        json!({ "use": 7 }),
        json!({ "key_ops": ["sign"] }),
        json!({ "key_ops": [] }),
        json!({ "key_ops": "verify" }),
        json!({ "alg": "ES384" }),
        json!({ "alg": "RS256" }),
        json!({ "alg": "none" }),
        json!({ "crv": "P-384" }),
        json!({ "crv": "secp256k1" }),
        json!({ "kty": "OKP" }),
        json!({ "kty": "ec" }),
        json!({ "kty": "oct", "k": "AAAA" }),
        json!({ "d": "AAAA" }),
        json!({ "x": "AAAA" }),
        json!({ "x": key.public_jwk()["y"] }),
        json!({ "kid": 7 }),
    ];
    for change in bad {
        assert_eq!(judge(change.clone()), "refused with its set", "{change}");
    }
}

/// Which of two keys with one id is meant would depend on the reader, so the set is ambiguous and refused.
#[test]
fn a_set_with_one_id_twice_is_refused() {
    let keys = [Algorithm::Es256, Algorithm::EdDsa].map(|algorithm| {
        let mut jwk = SigningKey::generate(algorithm).unwrap().public_jwk();
        jwk["kid"] = json!("k");
        jwk
    });
    assert!(with_keys(json!({ "keys": keys })).is_none());
}
