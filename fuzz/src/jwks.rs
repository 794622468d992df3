//! Key sets: what is taken in is a public key by the rules, what is left out is named, and no key takes a signature that
//! nobody made.

use base64::Engine;
use base64::prelude::BASE64_URL_SAFE_NO_PAD as BASE64;
use deodar::identity::{Algorithm, KeySet};
use serde_json::{Map, Value};

use super::Verdict;

const PRIVATE: [&str; 7] = ["d", "p", "q", "dp", "dq", "qi", "oth"];

/// Judges the text of a set, and asserts that it was judged right.
pub fn judge(data: &[u8]) -> Verdict {
    let Ok(text) = std::str::from_utf8(data) else { return Verdict::Refused };
    let set = match KeySet::parse(text) {
        Ok(set) => set,
        Err(error) => {
            let said = error.to_string();
            assert!(
                !said.is_empty() && said.len() < 1_200 && !said.chars().any(char::is_control),
                "{said:?}"
            );
            return Verdict::Refused;
        }
    };
    let members: Map<String, Value> = serde_json::from_str(text).unwrap();
    let again = KeySet::from_members(&members).unwrap();
    assert!(set.key_ids().eq(again.key_ids()) && set.warnings() == again.warnings(), "read in two ways");
    let listed = members["keys"].as_array().unwrap();
    let left_out: Vec<usize> = set.warnings().iter().map(|warning| number_in(warning)).collect();
    assert_eq!(set.len() + left_out.len(), listed.len(), "a key got lost");
    assert!(!set.is_empty() && listed.len() <= 100);
    let kept = listed.iter().enumerate().filter(|(index, _)| !left_out.contains(&(index + 1)));
    kept.for_each(|(_, key)| assert_rules(key));
    assert_distinct(&set);
    assert_forgeries_fail(&set);
    Verdict::Accepted
}

/// `key 3 (name) is left out: ...`
fn number_in(warning: &str) -> usize {
    let digits = warning.strip_prefix("key ").unwrap().split(|c: char| !c.is_ascii_digit()).next();
    assert!(warning.contains("is left out: ") && !warning.chars().any(char::is_control), "{warning:?}");
    digits.unwrap().parse().unwrap()
}

fn assert_rules(key: &Value) {
    let key = key.as_object().unwrap();
    assert!(PRIVATE.iter().all(|name| !key.contains_key(*name)), "a private member was let by");
    assert!(key.get("use").is_none_or(|purpose| purpose == "sig"));
    let verifies = |list: &Value| list.as_array().unwrap().iter().any(|operation| operation == "verify");
    assert!(key.get("key_ops").is_none_or(verifies));
    let bytes = |name: &str| BASE64.decode(key[name].as_str().unwrap()).unwrap();
    let algorithm = key.get("alg").map(|name| name.as_str().unwrap());
    let curve = key.get("crv").map(|name| name.as_str().unwrap());
    match (key["kty"].as_str().unwrap(), curve) {
        ("RSA", None) => {
            let (n, e) = (bytes("n"), bytes("e"));
            let bits = n.len() * 8 - n[0].leading_zeros() as usize;
            assert!(n[0] != 0 && (2048..=8192).contains(&bits), "{bits} bits");
            assert!(e.last().unwrap() % 2 == 1 && e != [1]);
            assert!(algorithm.is_none_or(|name| name.starts_with("RS") || name.starts_with("PS")));
        }
        ("EC", Some("P-256")) => {
            assert_eq!((bytes("x").len(), bytes("y").len()), (32, 32));
            assert!(algorithm.is_none_or(|name| name == "ES256"));
        }
        ("EC", Some("P-384")) => {
            assert_eq!((bytes("x").len(), bytes("y").len()), (48, 48));
            assert!(algorithm.is_none_or(|name| name == "ES384"));
        }
        ("OKP", Some("Ed25519")) => {
            assert_eq!(bytes("x").len(), 32);
            assert!(algorithm.is_none_or(|name| name == "EdDSA"));
        }
        other => panic!("{other:?} was let by"),
    }
}

fn assert_distinct(set: &KeySet) {
    let mut ids: Vec<&str> = set.key_ids().collect();
    let count = ids.len();
    ids.sort_unstable();
    ids.dedup();
    assert!(ids.len() == count && ids.iter().all(|id| id.len() <= 256));
}

/// Signatures that would fit many messages, were a key weak: all zero, and the neutral point of Ed25519 with nothing added.
/// The latter fits one message in eight with a key of the smallest orders, hence several.
fn assert_forgeries_fail(set: &KeySet) {
    let mut neutral = [0; 64];
    neutral[0] = 1;
    for algorithm in Algorithm::ALL {
        let length = match algorithm {
            Algorithm::EdDsa | Algorithm::Es256 => 64,
            Algorithm::Es384 => 96,
            _ => 256,
        };
        for signature in [&neutral[..], &[], &vec![0; length], &vec![1; length]] {
            for id in set.key_ids().map(Some).chain([None]).take(4) {
                assert!(!set.verifies(id, algorithm, b"message", signature), "{algorithm} takes a forgery");
            }
        }
    }
    for number in 0..8_u8 {
        assert!(!set.verifies(None, Algorithm::EdDsa, &[number], &neutral), "EdDSA takes a forgery");
    }
}
