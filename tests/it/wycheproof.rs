//! Project Wycheproof's signature vectors: what nobody here wrote, held against the verifier one by one.
//!
//! A vector signs some message, not a token, so it is judged where a token's signature is: by the issuer's key set. Then
//! its signature is put under a good token of that issuer, which must be refused, because it signs something else. Where
//! we disagree on purpose the vectors are named, with the reason.

use std::path::Path;

use ::wycheproof::{HashFunction, Mgf, TestResult, ecdsa, eddsa, rsa_pkcs1_verify, rsa_pss_verify};
use base64::Engine;
use base64::prelude::BASE64_URL_SAFE_NO_PAD as BASE64;
use deodar::identity::{Algorithm, Config, Identity, IssuerConfig, KeySet};
use deodar::model::{Credential, Reason, Secret, Timestamp};
use serde_json::{Value, json};

/// One vector with its key.
struct Vector<'a> {
    id: usize,
    jwk: &'a Value,
    message: &'a [u8],
    signature: &'a [u8],
    result: TestResult,
}

/// How a set of vectors was judged.
#[derive(Debug, Default, PartialEq, Eq)]
struct Tally {
    accepted: usize,
    refused: usize,
    /// Those judged otherwise than the set says. What it calls acceptable (RSA without the NULL of the hash's name)
    /// should be refused.
    differing: Vec<usize>,
    /// Those of them that were accepted.
    too_many: Vec<usize>,
}

impl Tally {
    fn judge(&mut self, algorithm: Algorithm, vector: &Vector<'_>) {
        let jwks = json!({ "keys": [vector.jwk] });
        let accepted = KeySet::parse(&jwks.to_string())
            .is_ok_and(|keys| keys.verifies(Some("k"), algorithm, vector.message, vector.signature));
        if accepted != (vector.result == TestResult::Valid) {
            self.differing.push(vector.id);
            self.too_many.extend(accepted.then_some(vector.id));
        }
        *if accepted { &mut self.accepted } else { &mut self.refused } += 1;
        assert!(token_is_refused(algorithm, vector, jwks), "{}: a token was accepted", vector.id);
    }
}

const NOW: i64 = 1_800_000_000;

/// The vector's signature under a token that is otherwise good.
fn token_is_refused(algorithm: Algorithm, vector: &Vector<'_>, jwks: Value) -> bool {
    let mut issuer = IssuerConfig::new("corp".parse().unwrap(), "https://corp", vec!["api".into()]);
    issuer.algorithms = Algorithm::ALL.to_vec();
    issuer.jwks = Some(jwks);
    let config = Config { issuers: vec![issuer], ..Config::default() };
    // A key that is refused with its set is refused before any token.
    let Ok(identity) = Identity::new(&config, Path::new("/")) else { return true };
    let header = json!({ "alg": algorithm.as_str(), "kid": "k", "typ": "at+jwt" });
    let claims = json!({
        "iss": "https://corp", "sub": "a", "aud": "api", "client_id": "c", "jti": "j", "iat": NOW, "exp": NOW + 60,
    });
    let [header, claims] = [header, claims].map(|part| BASE64.encode(part.to_string()));
    let token = format!("{header}.{claims}.{}", BASE64.encode(vector.signature));
    let credential = Credential::Bearer(Secret::new(token));
    let refusal = identity.authenticate(&credential, Timestamp::from_seconds(NOW)).unwrap_err();
    let wanted =
        if vector.signature.is_empty() { "credential_malformed" } else { "credential_bad_signature" };
    refusal.reason == Reason::parse(wanted).unwrap()
}

fn ecdsa(set: ecdsa::TestName, curve: &str, algorithm: Algorithm) -> Tally {
    let mut tally = Tally::default();
    for group in ecdsa::TestSet::load(set).unwrap().test_groups {
        let (x, y) = group.key.key[1..].split_at((group.key.key.len() - 1) / 2);
        let jwk =
            json!({ "kty": "EC", "crv": curve, "kid": "k", "x": BASE64.encode(x), "y": BASE64.encode(y) });
        for test in &group.tests {
            let (message, signature) = (&test.msg[..], &test.sig[..]);
            tally.judge(
                algorithm,
                &Vector { id: test.tc_id, jwk: &jwk, message, signature, result: test.result },
            );
        }
    }
    tally
}

fn rsa_jwk(n: &[u8], e: &[u8]) -> Value {
    let number = |bytes: &[u8]| {
        let start = bytes.iter().position(|byte| *byte != 0).unwrap_or(bytes.len());
        BASE64.encode(&bytes[start..])
    };
    json!({ "kty": "RSA", "kid": "k", "n": number(n), "e": number(e) })
}

fn pkcs1(set: rsa_pkcs1_verify::TestName, algorithm: Algorithm) -> Tally {
    let mut tally = Tally::default();
    for group in rsa_pkcs1_verify::TestSet::load(set).unwrap().test_groups {
        let jwk = rsa_jwk(&group.key.n, &group.key.e);
        for test in &group.tests {
            let (message, signature) = (&test.msg[..], &test.sig[..]);
            tally.judge(
                algorithm,
                &Vector { id: test.tc_id, jwk: &jwk, message, signature, result: test.result },
            );
        }
    }
    tally
}

/// The hash of a JWS algorithm: RFC 7518 section 3.5 wants the same one in MGF1, and a salt as long as it.
fn fits(group: &rsa_pss_verify::TestGroup, algorithm: Algorithm) -> bool {
    let (hash, salt) = match algorithm {
        Algorithm::Ps256 => (HashFunction::Sha2_256, 32),
        Algorithm::Ps384 => (HashFunction::Sha2_384, 48),
        _ => (HashFunction::Sha2_512, 64),
    };
    group.mgf == Mgf::Mgf1 && group.hash == hash && group.mgf_hash == Some(hash) && group.salt_size == salt
}

/// Groups with the parameters of the algorithm, or those with other parameters.
fn pss(set: rsa_pss_verify::TestName, algorithm: Algorithm, fitting: bool) -> Tally {
    let mut tally = Tally::default();
    let groups = rsa_pss_verify::TestSet::load(set).unwrap().test_groups;
    for group in groups.iter().filter(|group| fits(group, algorithm) == fitting) {
        let jwk = rsa_jwk(&group.key.n, &group.key.e);
        for test in &group.tests {
            let (message, signature) = (&test.msg[..], &test.sig[..]);
            tally.judge(
                algorithm,
                &Vector { id: test.tc_id, jwk: &jwk, message, signature, result: test.result },
            );
        }
    }
    tally
}

/// Every vector is judged as the set says, and there are some of both kinds.
fn assert_agreement(name: &str, tally: &Tally) {
    assert!(tally.differing.is_empty(), "{name}: {tally:?}");
    assert!(tally.accepted > 0 && tally.refused > 0, "{name}: {tally:?}");
}

/// The set's valid vectors are right for other rules than ours, and all refused. Those named here are its examples of a
/// wrong rule, which is ours, so they are accepted.
fn assert_others(name: &str, tally: &Tally, ours: &[usize]) {
    assert_eq!((&tally.too_many[..], tally.accepted), (ours, ours.len()), "{name}");
    assert!(tally.differing.len() > ours.len(), "{name}: {tally:?}");
}

#[test]
fn ecdsa_p256() {
    assert_agreement("P-256", &ecdsa(ecdsa::TestName::EcdsaSecp256r1Sha256P1363, "P-256", Algorithm::Es256));
}

#[test]
fn ecdsa_p384() {
    assert_agreement("P-384", &ecdsa(ecdsa::TestName::EcdsaSecp384r1Sha384P1363, "P-384", Algorithm::Es384));
}

/// DER is how the rest of the world writes such signatures; in a token they are two numbers of fixed length.
#[test]
fn ecdsa_in_der_is_refused() {
    assert_others(
        "P-256 in DER",
        &ecdsa(ecdsa::TestName::EcdsaSecp256r1Sha256, "P-256", Algorithm::Es256),
        &[],
    );
    assert_others(
        "P-384 in DER",
        &ecdsa(ecdsa::TestName::EcdsaSecp384r1Sha384, "P-384", Algorithm::Es384),
        &[],
    );
}

#[test]
fn ecdsa_with_another_hash_is_refused() {
    use ecdsa::TestName as Set;
    assert_others(
        "P-256 with SHA-512",
        &ecdsa(Set::EcdsaSecp256r1Sha512P1363, "P-256", Algorithm::Es256),
        &[],
    );
    assert_others(
        "P-384 with SHA-512",
        &ecdsa(Set::EcdsaSecp384r1Sha512P1363, "P-384", Algorithm::Es384),
        &[],
    );
}

#[test]
fn ecdsa_on_other_curves_is_refused_with_its_key() {
    use ecdsa::TestName as Set;
    for (set, curve) in [
        (Set::EcdsaSecp256k1Sha256P1363, "secp256k1"),
        (Set::EcdsaSecp256k1Sha256P1363, "P-256"),
        (Set::EcdsaSecp521r1Sha512P1363, "P-521"),
        (Set::EcdsaBrainpool256r1Sha256P1363, "P-256"),
    ] {
        assert_others(curve, &ecdsa(set, curve, Algorithm::Es256), &[]);
    }
}

#[test]
fn ed25519() {
    let mut tally = Tally::default();
    for group in eddsa::TestSet::load(eddsa::TestName::Ed25519).unwrap().test_groups {
        let jwk = json!({ "kty": "OKP", "crv": "Ed25519", "kid": "k", "x": BASE64.encode(&*group.key.pk) });
        for test in &group.tests {
            let (message, signature) = (&test.msg[..], &test.sig[..]);
            let vector = Vector { id: test.tc_id, jwk: &jwk, message, signature, result: test.result };
            tally.judge(Algorithm::EdDsa, &vector);
        }
    }
    assert_agreement("Ed25519", &tally);
}

#[test]
fn ed448_is_refused_with_its_key() {
    for group in eddsa::TestSet::load(eddsa::TestName::Ed448).unwrap().test_groups {
        for curve in ["Ed448", "Ed25519"] {
            let jwk = json!({ "kty": "OKP", "crv": curve, "kid": "k", "x": BASE64.encode(&*group.key.pk) });
            assert!(KeySet::parse(&json!({ "keys": [jwk] }).to_string()).is_err());
        }
    }
}

#[test]
fn rsa_pkcs1_of_2048_bits() {
    use rsa_pkcs1_verify::TestName as Set;
    assert_agreement("RS256", &pkcs1(Set::Rsa2048Sha256, Algorithm::Rs256));
    assert_agreement("RS384", &pkcs1(Set::Rsa2048Sha384, Algorithm::Rs384));
    assert_agreement("RS512", &pkcs1(Set::Rsa2048Sha512, Algorithm::Rs512));
}

#[test]
fn rsa_pkcs1_of_3072_bits() {
    use rsa_pkcs1_verify::TestName as Set;
    assert_agreement("RS256", &pkcs1(Set::Rsa3072Sha256, Algorithm::Rs256));
    assert_agreement("RS384", &pkcs1(Set::Rsa3072Sha384, Algorithm::Rs384));
    assert_agreement("RS512", &pkcs1(Set::Rsa3072Sha512, Algorithm::Rs512));
}

#[test]
fn rsa_pkcs1_of_4096_bits() {
    use rsa_pkcs1_verify::TestName as Set;
    assert_agreement("RS256", &pkcs1(Set::Rsa4096Sha256, Algorithm::Rs256));
    assert_agreement("RS384", &pkcs1(Set::Rsa4096Sha384, Algorithm::Rs384));
    assert_agreement("RS512", &pkcs1(Set::Rsa4096Sha512, Algorithm::Rs512));
}

#[test]
fn rsa_pkcs1_of_8192_bits() {
    use rsa_pkcs1_verify::TestName as Set;
    assert_agreement("RS256", &pkcs1(Set::Rsa8192Sha256, Algorithm::Rs256));
    assert_agreement("RS512", &pkcs1(Set::Rsa8192Sha512, Algorithm::Rs512));
}

#[test]
fn rsa_pkcs1_with_another_hash_is_refused() {
    use rsa_pkcs1_verify::TestName as Set;
    // Each set has one signature by SHA-256 as an example of the wrong hash.
    for (set, ours) in [
        (Set::Rsa2048Sha224, 219),
        (Set::Rsa2048Sha3_256, 221),
        (Set::Rsa2048Sha512_256, 221),
        (Set::Rsa2048Sha512, 221),
    ] {
        assert_others(&format!("{set:?} under RS256"), &pkcs1(set, Algorithm::Rs256), &[ours]);
    }
}

#[test]
fn rsa_pss_with_the_salt_of_the_standard() {
    use rsa_pss_verify::TestName as Set;
    for (set, algorithm) in [
        (Set::RsaPss2048Sha256Mgf1SaltLen32, Algorithm::Ps256),
        (Set::RsaPss2048Sha256Mgf1SaltLen32WithParams, Algorithm::Ps256),
        (Set::RsaPss3072Sha256Mgf1SaltLen32, Algorithm::Ps256),
        (Set::RsaPss3072Sha256Mgf1SaltLen32WithParams, Algorithm::Ps256),
        (Set::RsaPss4096Sha256Mgf1SaltLen32, Algorithm::Ps256),
        (Set::RsaPss2048Sha384Mgf1SaltLen48, Algorithm::Ps384),
        (Set::RsaPss4096Sha384Mgf1SaltLen48, Algorithm::Ps384),
        (Set::RsaPss4096Sha512Mgf1SaltLen64, Algorithm::Ps512),
        (Set::RsaPss4096Sha512Mgf1SaltLen64WithParams, Algorithm::Ps512),
    ] {
        assert_agreement(&format!("{set:?}"), &pss(set, algorithm, true));
    }
}

/// Valid signatures by other parameters: RFC 7518 section 3.5 leaves a token no choice of salt or MGF.
#[test]
fn rsa_pss_with_other_parameters_is_refused() {
    use rsa_pss_verify::TestName as Set;
    // Sets with another salt have one signature with ours as an example of the wrong salt.
    let sets: [(Set, Algorithm, &[usize]); 7] = [
        (Set::RsaPss2048Sha256Mgf1SaltLen0, Algorithm::Ps256, &[69]),
        (Set::RsaPss2048Sha256Mgf1Sha1_20, Algorithm::Ps256, &[]),
        (Set::RsaPss2048Sha1Mgf1SaltLen20, Algorithm::Ps256, &[]),
        (Set::RsaPss2048Sha512_256Mgf1SaltLen32, Algorithm::Ps256, &[]),
        (Set::RsaPss2048Shake128, Algorithm::Ps256, &[]),
        (Set::RsaPss2048Sha512Mgf1Sha256SaltLen32WithParams, Algorithm::Ps512, &[]),
        (Set::RsaPss4096Sha512Mgf1SaltLen32, Algorithm::Ps512, &[]),
    ];
    for (set, algorithm, ours) in sets {
        assert_others(&format!("{set:?}"), &pss(set, algorithm, false), ours);
    }
}

/// Groups of mixed sizes and parameters; keys below 2048 bits are refused with their set.
#[test]
fn rsa_pss_of_mixed_parameters() {
    use rsa_pss_verify::TestName as Set;
    for set in [Set::RsaPssmisc, Set::RsaPssmiscWithParams] {
        for algorithm in [Algorithm::Ps256, Algorithm::Ps384, Algorithm::Ps512] {
            assert_eq!(pss(set, algorithm, false).accepted, 0, "{set:?} {algorithm}");
            let weak = weak_ids(set, algorithm);
            assert_eq!(pss(set, algorithm, true).differing, weak, "{set:?} {algorithm}");
        }
    }
}

/// Valid vectors with a key that is too short for us.
fn weak_ids(set: rsa_pss_verify::TestName, algorithm: Algorithm) -> Vec<usize> {
    let groups = rsa_pss_verify::TestSet::load(set).unwrap().test_groups;
    let weak = groups.iter().filter(|group| fits(group, algorithm) && group.key_size < 2048);
    let valid = weak.flat_map(|group| &group.tests).filter(|test| test.result == TestResult::Valid);
    valid.map(|test| test.tc_id).collect()
}
