//! Mutations that keep the form, so that what is inside is reached: of a draft, its signer and the members of its two
//! objects; of a key set, the members of the set and of its keys; of a certificate, parts of headers and bytes inside.
//!
//! Values come from a list of those that have been somebody's mistake before. Now and then bytes change instead, by
//! libFuzzer's own hand where it runs.

use serde_json::{Map, Value, json};

use super::certificate;
use super::draft::{Draft, SIGNERS};
use super::random::Random;
use super::token::{CORP, NOW, SHOP};

/// Members of tokens, proofs, headers and keys.
const NAMES: [&str; 55] = [
    "iss",
    "sub",
    "aud",
    "exp",
    "iat",
    "nbf",
    "jti",
    "client_id",
    "azp",
    "scope",
    "scp",
    "roles",
    "groups",
    "tenant",
    "level",
    "more",
    "resource_access",
    "realm_access",
    "_claim_names",
    "hasgroups",
    "acr",
    "amr",
    "auth_time",
    "sid",
    "cnf",
    "jkt",
    "x5t#S256",
    "act",
    "nonce",
    "events",
    "at_hash",
    "htm",
    "htu",
    "ath",
    "typ",
    "alg",
    "kid",
    "jwk",
    "crit",
    "b64",
    "jku",
    "x5u",
    "x5c",
    "zip",
    "enc",
    "kty",
    "crv",
    "x",
    "y",
    "n",
    "e",
    "d",
    "use",
    "key_ops",
    "cty",
];

/// Texts that mean something to somebody.
const TEXTS: [&str; 47] = [
    "",
    " ",
    "a",
    "alice",
    "orders",
    "users",
    "orders ",
    "Orders",
    "clerk",
    "admin",
    "auditor",
    CORP,
    SHOP,
    "https://corp.example/",
    "at+jwt",
    "application/at+jwt",
    "AT+JWT",
    "JWT",
    "dpop+jwt",
    "EdDSA",
    "none",
    "HS256",
    "ES256",
    "RS256",
    "GET",
    "get",
    "https://api.example.com/orders/7",
    "HTTPS://API.EXAMPLE.COM:443/orders/7#x",
    "https://api.example.com/orders/%37",
    "https://api.example.com/orders%2F7",
    "\u{0}",
    "\n",
    "\u{202e}",
    "ſub",
    "OKP",
    "RSA",
    "P-256",
    "Ed25519",
    "sig",
    "JOSE",
    "spiffe://prod.example.com/web",
    "spiffe://prod.example.com",
    "spiffe://prod.example.com/web/",
    "spiffe://prod.example.com/a/../b",
    "SPIFFE://prod.example.com/web",
    "spiffe://partner.example.org/web",
    "spiffe://other.example.com/web",
];

/// Changes `size` bytes in place, to at most `most`; says how many they are then. `bytewise` is the fuzzer's own way.
pub fn mutate(
    data: &mut [u8],
    size: usize,
    most: usize,
    seed: u32,
    mut bytewise: impl FnMut(&mut [u8], usize, usize) -> usize,
) -> usize {
    let mut random = Random::new(seed.into());
    if random.below(4) == 0 {
        return bytewise(data, size, most);
    }
    let text = data.get(..size).and_then(|bytes| std::str::from_utf8(bytes).ok());
    let changed = text.and_then(|text| structured(text, &mut random));
    let fitting = changed.filter(|changed| changed.len() <= most.min(data.len()));
    let Some(changed) = fitting else { return bytewise(data, size, most) };
    data[..changed.len()].copy_from_slice(changed.as_bytes());
    changed.len()
}

/// The same text with something else in it; `None` where it has no form to keep.
fn structured(text: &str, random: &mut Random) -> Option<String> {
    let Some(draft) = Draft::parse(text) else {
        let set = text.starts_with('{').then(|| object(text, random)).flatten();
        return set.or_else(|| certificate::mutated(text, random));
    };
    if random.below(16) == 0 {
        return Some(Draft { signer: random.one_of::<&str>(&SIGNERS), ..draft }.text());
    }
    if random.below(4) == 0 {
        let header = object(draft.header, random)?;
        return Some(Draft { header: &header, ..draft }.text());
    }
    let payload = object(draft.payload, random)?;
    Some(Draft { payload: &payload, ..draft }.text())
}

/// A JSON object with up to three changes.
fn object(text: &str, random: &mut Random) -> Option<String> {
    let mut value: Value = serde_json::from_str(text).ok()?;
    value.as_object()?;
    for _ in 0..=random.below(3) {
        change(within(&mut value, random), random);
    }
    let text = value.to_string();
    Some(match random.below(12) {
        0 => twice(&text, random),
        1 => spelt_otherwise(&text, random),
        _ => text,
    })
}

/// The object itself, or often one inside it.
fn within<'a>(value: &'a mut Value, random: &mut Random) -> &'a mut Map<String, Value> {
    let mut here = value;
    loop {
        let inner: Vec<String> = match &*here {
            Value::Object(members) => {
                let holds = |value: &&Value| {
                    value.is_object()
                        || value.as_array().is_some_and(|list| list.iter().any(Value::is_object))
                };
                members.iter().filter(|(_, value)| holds(value)).map(|(name, _)| name.clone()).collect()
            }
            _ => Vec::new(),
        };
        if inner.is_empty() || random.below(3) == 0 {
            break;
        }
        let name = random.one_of(&inner).clone();
        let next = &mut here[name.as_str()];
        here = match next {
            Value::Array(list) => {
                let objects: Vec<usize> =
                    list.iter().enumerate().filter(|(_, item)| item.is_object()).map(|(at, _)| at).collect();
                &mut list[*random.one_of(&objects)]
            }
            other => other,
        };
    }
    match here {
        Value::Object(members) => members,
        _ => unreachable!("only objects are gone into"),
    }
}

fn change(members: &mut Map<String, Value>, random: &mut Random) {
    let names: Vec<String> = members.keys().cloned().collect();
    let known = (!names.is_empty()).then(|| random.one_of(&names).clone());
    let new = (*random.one_of(&NAMES)).to_owned();
    match (random.below(8), known) {
        (0, Some(name)) => drop(members.shift_remove(&name)),
        (1, Some(name)) => drop(members.insert(name, json!([random_value(random), random_value(random)]))),
        (2, Some(name)) => {
            let value = members.get(&name).cloned().unwrap_or_default();
            members.insert(name, json!([value]));
        }
        (3, Some(name)) => {
            let value = members.shift_remove(&name).unwrap_or_default();
            members.insert(new, value);
        }
        (4, Some(name)) => drop(members.insert(name, json!({ new: random_value(random) }))),
        (5 | 6, Some(name)) => drop(members.insert(name, random_value(random))),
        _ => drop(members.insert(new, random_value(random))),
    }
}

fn random_value(random: &mut Random) -> Value {
    let now = NOW.seconds();
    match random.below(12) {
        0 => Value::Null,
        1 => json!(random.below(2) == 0),
        2 => json!(*random.one_of(&[0, 1, -1, 7, i64::MAX, i64::MIN, 253_402_300_799, 253_402_300_800])),
        3 => json!(*random.one_of(&[0.5, -0.0, 1e-9, 1e300, 1.8e9, 1_800_000_000.000_001])),
        4 | 5 => json!(
            now + *random.one_of(&[-90_000, -901, -150, -60, -31, -30, -1, 0, 1, 5, 6, 30, 31, 300, 86_400])
        ),
        6 => json!([]),
        7 => json!({}),
        8 => json!("x".repeat(*random.one_of(&[254, 255, 256, 257, 1_024, 1_025, 5_000]))),
        9 => json!(format!("{} {}", random.one_of(&TEXTS), random.one_of(&TEXTS))),
        _ => json!(*random.one_of(&TEXTS)),
    }
}

/// One member once more, so that two readers may read two things.
fn twice(text: &str, random: &mut Random) -> String {
    let name = random.one_of(&NAMES);
    let value = random_value(random);
    format!("{},\"{name}\":{value}}}", &text[..text.len() - 1])
}

/// Escapes and space that change nothing.
fn spelt_otherwise(text: &str, random: &mut Random) -> String {
    match random.below(3) {
        0 => text.replace("\"e", "\"\\u0065"),
        1 => text.replace(':', " : "),
        _ => format!("\n{text}\t"),
    }
}
