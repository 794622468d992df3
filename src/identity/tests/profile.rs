//! Shared keys, ages, memberships and inspection: what an issuer's settings can make of its tokens.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use super::*;
use crate::identity::json::encode_base64url;
use aws_lc_rs::hmac;

const SECRET: [u8; 64] = [0x5a; 64];

/// A token with a tag made with this secret.
fn tagged(algorithm: hmac::Algorithm, alg: &str, secret: &[u8]) -> String {
    let header = json!({ "alg": alg, "typ": "at+jwt" }).to_string();
    let payload = Value::Object(claims(json!({}))).to_string();
    let signed = format!("{}.{}", encode_base64url(header), encode_base64url(payload));
    let tag = hmac::sign(&hmac::Key::new(algorithm, secret), signed.as_bytes());
    format!("{signed}.{}", encode_base64url(tag))
}

fn sharing(algorithm: MacAlgorithm) -> Identity {
    let dir = tempfile::tempdir().unwrap();
    std::fs::write(dir.path().join("secret"), encode_base64url(SECRET)).unwrap();
    let mut settings = settings();
    settings.jwks = None;
    settings.shared_key = Some(SharedKeyConfig { algorithm, file: "secret".into() });
    Identity::new(&Config { issuers: vec![settings], ..Config::default() }, dir.path()).unwrap()
}

fn of(change: impl FnOnce(&mut IssuerConfig)) -> Identity {
    let mut settings = settings();
    settings.may_assert.roles = Grant::All;
    settings.may_assert.groups = Grant::All;
    change(&mut settings);
    identity_of(vec![settings])
}

fn set(values: &[&str]) -> BTreeSet<String> {
    values.iter().map(|value| (*value).to_owned()).collect()
}

fn path(text: &str) -> ClaimPath {
    ClaimPath::try_from(text.to_owned()).unwrap()
}

#[test]
fn a_shared_key_verifies_its_one_algorithm_and_nothing_else() {
    for (algorithm, mac) in [
        (MacAlgorithm::Hs256, hmac::HMAC_SHA256),
        (MacAlgorithm::Hs384, hmac::HMAC_SHA384),
        (MacAlgorithm::Hs512, hmac::HMAC_SHA512),
    ] {
        let identity = sharing(algorithm);
        let known = judge(&identity, &tagged(mac, algorithm.as_str(), &SECRET), NOW).unwrap();
        assert_eq!(known.principal.id.as_str(), "User::corp/alice");
        let wrong = tagged(mac, algorithm.as_str(), &SECRET[1..]);
        assert_eq!(fault(&identity, &wrong), CredentialFault::BadSignature);
    }
    let identity = sharing(MacAlgorithm::Hs256);
    let other = tagged(hmac::HMAC_SHA512, "HS512", &SECRET);
    for text in [other, token(json!({})), tagged(hmac::HMAC_SHA256, "none", &SECRET)] {
        assert_eq!(fault(&identity, &text), CredentialFault::AlgorithmNotAllowed);
    }
    let infos = identity.issuers();
    assert_eq!(
        (infos[0].shared_key, infos[0].algorithms.len(), infos[0].keys),
        (Some(MacAlgorithm::Hs256), 0, 0)
    );
}

#[test]
fn an_issuer_with_public_keys_takes_no_tag_whatever_the_secret() {
    for secret in [KEY.public_jwk().to_string().into_bytes(), RSA_KEY.kid().as_bytes().to_vec(), Vec::new()] {
        let text = tagged(hmac::HMAC_SHA256, "HS256", &secret);
        assert_eq!(fault(&identity(), &text), CredentialFault::AlgorithmNotAllowed);
    }
}

#[test]
fn an_old_token_is_denied_cached_or_not() {
    let identity = of(|settings| settings.max_age = Duration::from_secs(60));
    let text = token(json!({}));
    let at = |seconds| Timestamp::from_seconds(NOW.seconds() + seconds);
    assert!(judge(&identity, &text, at(89)).is_ok());
    let refusal = judge(&identity, &text, at(90)).unwrap_err();
    assert_eq!(refusal.reason, Reason::CredentialInvalid(CredentialFault::Expired));
    assert!(refusal.detail.contains("older than 60 s"), "{refusal}");
}

#[test]
fn roles_of_clients_carry_the_name_of_their_client() {
    let identity = of(|settings| {
        settings.claims.client_roles = Some(path("resource_access"));
        settings.may_assert.roles = Grant::Only(set(&["orders:admin", "clerk"]));
    });
    let access = json!({ "orders": { "roles": ["admin"] }, "billing": { "roles": ["admin"] }, "idle": {} });
    let known =
        judge(&identity, &token(json!({ "roles": "clerk", "resource_access": access })), NOW).unwrap();
    assert_eq!(known.principal.roles, set(&["clerk", "orders:admin"]));
    assert!(known.dropped[0].contains("billing:admin"));
    for odd in [
        json!([]),
        json!({ "orders": [] }),
        json!({ "orders": { "roles": 7 } }),
        json!({ "": { "roles": [""] } }),
    ] {
        assert_eq!(fault(&identity, &token(json!({ "resource_access": odd }))), CredentialFault::Malformed);
    }
}

#[test]
fn names_are_exchanged_before_the_grant_is_asked() {
    let names = |from: &str, to: &str| BTreeMap::from([(from.to_owned(), to.to_owned())]);
    let identity = of(|settings| {
        settings.claims.role_names = names("APP_CLERK", "clerk");
        settings.claims.group_names = names("0198c5a0", "staff");
        settings.may_assert.roles = Grant::Only(set(&["clerk"]));
        settings.may_assert.groups = Grant::Only(set(&["staff"]));
    });
    let text = token(json!({ "roles": ["APP_CLERK", "admin"], "groups": ["0198c5a0", "0198c5a1"] }));
    let known = judge(&identity, &text, NOW).unwrap();
    assert_eq!((&known.principal.roles, &known.principal.groups), (&set(&["clerk"]), &set(&["staff"])));
    assert_eq!(known.dropped.len(), 2);
}

#[test]
fn groups_that_are_kept_elsewhere_are_never_taken_for_none() {
    let signs = [
        json!({ "_claim_names": { "groups": "src1" }, "_claim_sources": { "src1": { "endpoint": "https://x" } } }),
        json!({ "hasgroups": true }),
        json!({ "hasgroups": "true" }),
        json!({ "_claim_names": { "roles": "src1" } }),
    ];
    let strict = of(|_| ());
    let ignoring = of(|settings| settings.claims.overage = Overage::Ignore);
    for sign in signs {
        assert_eq!(fault(&strict, &token(sign.clone())), CredentialFault::Malformed, "{sign}");
        let known = judge(&ignoring, &token(sign.clone()), NOW).unwrap();
        assert!(known.dropped.iter().any(|note| note.contains("leaves out")), "{sign}");
        // An issuer that may assert none is not asked for any.
        assert!(judge(&identity(), &token(sign.clone()), NOW).is_ok(), "{sign}");
    }
    for fine in [json!({ "hasgroups": false }), json!({ "_claim_names": { "address": "src1" } })] {
        assert!(judge(&strict, &token(fine.clone()), NOW).is_ok(), "{fine}");
    }
}

#[test]
fn lists_that_are_too_long_refuse_the_token() {
    let identity = of(|settings| {
        (settings.claims.max_roles, settings.claims.max_groups, settings.claims.max_scopes) = (2, 2, 2);
    });
    for (claim, most, more) in [
        ("roles", json!(["a", "b"]), json!(["a", "b", "c"])),
        ("groups", json!(["a", "b"]), json!(["a", "b", "c"])),
        ("scope", json!("a b"), json!("a b c")),
    ] {
        assert!(judge(&identity, &token(json!({ claim: most })), NOW).is_ok(), "{claim}");
        assert_eq!(fault(&identity, &token(json!({ claim: more }))), CredentialFault::Malformed, "{claim}");
    }
}

fn outcomes(inspection: &Inspection) -> Vec<&'static str> {
    let word = |outcome: &Outcome| match outcome {
        Outcome::Passed => "passed",
        Outcome::Failed(_) => "failed",
        Outcome::NotReached => "not reached",
    };
    inspection.checks.iter().map(|(_, outcome)| word(outcome)).collect()
}

#[test]
fn inspection_tells_each_check_and_agrees_with_the_decision() {
    let identity = identity();
    let now = NOW.seconds();
    let texts = [
        token(json!({})),
        token(json!({ "iss": "https://stranger" })),
        token(json!({ "aud": "billing" })),
        token(json!({ "iat": now - 900, "exp": now - 600 })),
        token(json!({ "exp": null })),
        token(json!({ "jti": null })),
        "x".repeat(20_000),
        "not a token".to_owned(),
    ];
    let mut failed = Vec::new();
    for text in &texts {
        let inspection = identity.inspect(&Secret::new(text.as_str()), NOW);
        let decided = identity.examine(&bearer(text), NOW);
        assert_eq!(
            inspection.answer.as_ref().map(|known| &known.principal),
            decided.as_ref().map(|known| &known.principal)
        );
        let words = outcomes(&inspection);
        let first = words.iter().position(|word| *word == "failed");
        failed.push(first.map(|index| inspection.checks[index].0.as_str()));
        // What comes after a failure is never said to have passed.
        let (before, after) = words.split_at(first.map_or(words.len(), |index| index + 1));
        assert!(
            before.iter().rev().skip(usize::from(first.is_some())).all(|word| *word == "passed"),
            "{words:?}"
        );
        assert!(after.iter().all(|word| *word == "not reached"), "{words:?}");
        assert!(!format!("{inspection:?}").contains(text), "the token is in the inspection");
    }
    let wanted = [None, Some("issuer"), Some("audience"), Some("time"), Some("time"), Some("claims")];
    assert_eq!(failed[..6], wanted);
    assert_eq!(failed[6..], [Some("size"), Some("form")]);
}

#[test]
fn inspection_says_how_long_a_token_has_left() {
    let identity = of(|settings| settings.max_age = Duration::from_secs(100));
    let inspection = identity.inspect(&Secret::new(token(json!({}))), NOW);
    assert_eq!(inspection.remaining(NOW), Some(Duration::from_secs(130)));
    assert_eq!(inspection.remaining(Timestamp::from_seconds(NOW.seconds() + 130)), None);
    assert_eq!(
        (inspection.algorithm.as_deref(), inspection.key_id.as_deref()),
        (Some("EdDSA"), Some(KEY.kid()))
    );
    assert_eq!(inspection.issuer.unwrap().as_str(), "corp");
    assert_eq!(identity.token_cache().tokens, 0);
}
