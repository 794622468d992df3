//! Proofs one by one; through the native door they are in `tests/it/dpop.rs`.

use serde_json::json;

use super::*;
use crate::identity::SigningKey;
use crate::identity::json::encode_base64url;
use crate::model::Reason;

const TOKEN: &str = "Kz~8mXK1EalYznwH-LC-1fBAo.4Ljp~zsPE_NeO.gxU";
const NOW: Timestamp = Timestamp::from_seconds(1_562_262_618);

/// The proofs of RFC 9449: for a request of a resource (section 7.1) and for a token request (section 4.1).
const RFC_PROOF: &str = concat!(
    "eyJ0eXAiOiJkcG9wK2p3dCIsImFsZyI6IkVTMjU2IiwiandrIjp7Imt0eSI6IkVDIiwieCI6Imw4dEZyaHgtMzR0VjNoUklDUkRZOXpDa0RscEJoRjQy",
    "VVFVZldWQVdCRnMiLCJ5IjoiOVZFNGpmX09rX282NHpiVFRsY3VOSmFqSG10NnY5VERWclUwQ2R2R1JEQSIsImNydiI6IlAtMjU2In19.eyJqdGkiOiJl",
    "MWozVl9iS2ljOC1MQUVCIiwiaHRtIjoiR0VUIiwiaHR1IjoiaHR0cHM6Ly9yZXNvdXJjZS5leGFtcGxlLm9yZy9wcm90ZWN0ZWRyZXNvdXJjZSIsImlh",
    "dCI6MTU2MjI2MjYxOCwiYXRoIjoiZlVIeU8ycjJaM0RaNTNFc05yV0JiMHhXWG9hTnk1OUlpS0NBcWtzbVFFbyJ9.2oW9RP35yRqzhrtNP86L-Ey71EO",
    "ptxRimPPToA1plemAgR6pxHF8y6-yqyVnmcw6Fy1dqd-jfxSYoMxhAJpLjA",
);
/// Its key's thumbprint (section 6.1).
const RFC_THUMBPRINT: &str = "0ZcOCORZNYy-DWpqq30jZyJGHTN0d2HglBV3uiguA4I";

fn digest(text: &str) -> [u8; 32] {
    decode_base64url(text).unwrap().try_into().unwrap()
}

fn proofs() -> Proofs {
    Proofs::new(&DpopConfig::default()).unwrap()
}

fn called(method: &str) -> Target<'_> {
    Target::at_host(method, true, "resource.example.org", "/protectedresource?x=1").unwrap()
}

fn check_at(proof: &str, jkt: [u8; 32], target: &Target<'_>, now: Timestamp) -> Result<(), IdentityRefusal> {
    proofs().check(proof, &Binding { token: TOKEN, jkt, target }, now)
}

#[test]
fn the_proof_of_the_standard_is_good_once_for_its_request() {
    let (proofs, target) = (proofs(), called("GET"));
    let binding = Binding { token: TOKEN, jkt: digest(RFC_THUMBPRINT), target: &target };
    proofs.check(RFC_PROOF, &binding, NOW).unwrap();
    let again = proofs.check(RFC_PROOF, &binding, NOW).unwrap_err();
    assert_eq!(again.reason, Reason::CredentialInvalid(CredentialFault::Replayed));
    assert_eq!(proofs.remembered(), 1);
}

#[test]
fn the_proof_of_the_standard_is_good_for_nothing_else() {
    let detail =
        |proof: &str, jkt, target: &Target<'_>, now| check_at(proof, jkt, target, now).unwrap_err().detail;
    let (get, jkt) = (called("GET"), digest(RFC_THUMBPRINT));
    assert!(detail(RFC_PROOF, jkt, &called("POST"), NOW).contains("`htm`"));
    let elsewhere = Target::at_host("GET", true, "resource.example.org", "/other").unwrap();
    assert!(detail(RFC_PROOF, jkt, &elsewhere, NOW).contains("path"));
    assert!(detail(RFC_PROOF, [0; 32], &get, NOW).contains("another key"));
    assert!(detail(RFC_PROOF, jkt, &get, NOW.plus(Duration::from_secs(60))).contains("too old"));
    assert!(detail(RFC_PROOF, jkt, &get, NOW.minus(Duration::from_secs(6))).contains("future"));
    let (signed, signature) = RFC_PROOF.rsplit_once('.').unwrap();
    let mut bytes = decode_base64url(signature).unwrap();
    bytes[3] ^= 1;
    let forged = format!("{signed}.{}", encode_base64url(bytes));
    assert!(detail(&forged, jkt, &get, NOW).contains("signature"));
    let other = Binding { token: "another", jkt, target: &get };
    assert!(proofs().check(RFC_PROOF, &other, NOW).unwrap_err().detail.contains("`ath`"));
}

#[test]
fn the_thumbprints_of_the_standards_are_ours() {
    // RFC 8037 appendix A.3 and RFC 7638 section 3.1.
    let ed = json!({ "kty": "OKP", "crv": "Ed25519", "x": "11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo" });
    assert_eq!(thumbprint(&ed), Some(digest("kPrK_qmxVWaYVA9wwBF6Iuo3vVzz7TxHCTwXBygrS4k")));
    for algorithm in [Algorithm::EdDsa, Algorithm::Es256, Algorithm::Es384, Algorithm::Rs256] {
        let key = SigningKey::generate(algorithm).unwrap();
        assert_eq!(thumbprint(&key.public_jwk()), Some(digest(key.kid())), "{algorithm}");
    }
    assert_eq!(thumbprint(&json!({ "kty": "oct", "k": "AA" })), None);
    assert_eq!(thumbprint(&json!({ "kty": "EC", "x": "AA" })), None);
}

fn minted(key: &SigningKey, claims: &Value) -> String {
    let header = json!({ "typ": "dpop+jwt", "alg": key.algorithm().as_str(), "jwk": key.public_jwk() });
    key.sign_text(&header.to_string(), &claims.to_string()).unwrap()
}

fn claims() -> Value {
    json!({
        "jti": "1", "htm": "GET", "htu": "https://resource.example.org/protectedresource", "iat": NOW.seconds(),
        "ath": encode_base64url(Sha256::digest(TOKEN)),
    })
}

#[test]
fn each_algorithm_of_the_list_makes_good_proofs_and_no_other_does() {
    for algorithm in Algorithm::ALL {
        let key = SigningKey::generate(algorithm).unwrap();
        let found = check_at(&minted(&key, &claims()), digest(key.kid()), &called("GET"), NOW);
        let wanted = DpopConfig::default().algorithms.contains(&algorithm);
        assert_eq!(found.is_ok(), wanted, "{algorithm}: {found:?}");
    }
}

#[test]
fn claims_of_the_wrong_type_are_refused() {
    let key = SigningKey::generate(Algorithm::EdDsa).unwrap();
    for name in ["jti", "htm", "htu", "iat", "ath"] {
        for value in [Value::Null, json!(["x"]), json!({}), json!(true), json!(""), json!(-1)] {
            let mut claims = claims();
            claims[name] = value.clone();
            let refusal = check_at(&minted(&key, &claims), digest(key.kid()), &called("GET"), NOW);
            let refusal = refusal.expect_err(&format!("{name}: {value}"));
            assert_eq!(refusal.proof, Some(ProofFault::Proof), "{name}: {value}");
            assert!(refusal.detail.contains(name), "{}", refusal.detail);
        }
    }
}

#[test]
fn a_proof_with_any_character_changed_is_no_proof() {
    let (proofs, target) = (proofs(), called("GET"));
    let binding = Binding { token: TOKEN, jkt: digest(RFC_THUMBPRINT), target: &target };
    for at in 0..RFC_PROOF.len() {
        for put in ["A", "z", "-", ".", "=", ","] {
            let (before, after) = (&RFC_PROOF[..at], &RFC_PROOF[at + 1..]);
            let changed = format!("{before}{put}{after}");
            if changed != RFC_PROOF {
                assert!(proofs.check(&changed, &binding, NOW).is_err(), "{put} at {at}");
            }
        }
    }
    proofs.check(RFC_PROOF, &binding, NOW).unwrap();
}

#[test]
fn a_full_store_is_no_fault_of_the_proof() {
    let config = DpopConfig { max_remembered: 1, ..DpopConfig::default() };
    let proofs = Proofs::new(&config).unwrap();
    let key = SigningKey::generate(Algorithm::EdDsa).unwrap();
    let target = called("GET");
    let binding = Binding { token: TOKEN, jkt: digest(key.kid()), target: &target };
    let numbered = |number: u32| {
        let mut claims = claims();
        claims["jti"] = json!(number.to_string());
        minted(&key, &claims)
    };
    proofs.check(&numbered(1), &binding, NOW).unwrap();
    let refusal = proofs.check(&numbered(2), &binding, NOW).unwrap_err();
    assert_eq!((refusal.reason, refusal.proof), (Reason::Overloaded, None));
}

#[test]
fn nonces_are_asked_for_and_taken() {
    let config = DpopConfig { nonce: NonceUse::Required, ..DpopConfig::default() };
    let proofs = Proofs::new(&config).unwrap();
    let key = SigningKey::generate(Algorithm::EdDsa).unwrap();
    let target = called("GET");
    let binding = Binding { token: TOKEN, jkt: digest(key.kid()), target: &target };
    let with_nonce = |nonce: Value| {
        let mut claims = claims();
        claims["nonce"] = nonce;
        proofs.check(&minted(&key, &claims), &binding, NOW)
    };
    let without = proofs.check(&minted(&key, &claims()), &binding, NOW).unwrap_err();
    assert_eq!(without.proof, Some(ProofFault::Nonce));
    assert_eq!(with_nonce(json!("AAAAAAAAAAAAAAAAAAAAAA")).unwrap_err().proof, Some(ProofFault::Nonce));
    assert_eq!(with_nonce(json!(7)).unwrap_err().proof, Some(ProofFault::Proof));
    let ours = proofs.fresh_nonce(NOW).unwrap();
    with_nonce(json!(ours)).unwrap();
    let stale = proofs.fresh_nonce(NOW.minus(config.nonce_rotation * 2)).unwrap();
    assert_eq!(with_nonce(json!(stale)).unwrap_err().proof, Some(ProofFault::Nonce));
    assert_eq!(self::proofs().fresh_nonce(NOW), None);
}
