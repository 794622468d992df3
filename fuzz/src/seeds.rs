//! The inputs that fuzzing starts from. `good-` ones are accepted, `bad-` ones refused; the tests hold them to it.
//!
//! They are made here and kept in `fuzz/seeds/<target>/`, so that a fuzzer can read them without this program. Writing them
//! anew: `cargo test --test it fuzzing::write_the_seeds -- --ignored`.

use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use serde_json::{Value, json};

use super::draft::Draft;
use super::svid::{self, BOTH_ENDS, Draft as Certificate, SIGNS, SIGNS_CERTIFICATES, WEB};
use super::token::{NOW, SHOP};
use super::{Verdict, certificate, jwks, keys, proof, token};

pub struct Target {
    pub name: &'static str,
    pub judge: fn(&[u8]) -> Verdict,
    pub seeds: fn() -> Vec<(String, String)>,
}

pub const TARGETS: [Target; 4] = [
    Target { name: "certificate", judge: certificate::judge, seeds: of_certificate },
    Target { name: "token", judge: token::judge, seeds: of_token },
    Target { name: "proof", judge: proof::judge, seeds: of_proof },
    Target { name: "jwks", judge: jwks::judge, seeds: of_jwks },
];

/// An object with some members replaced, or removed where the change is `null`.
fn with(object: &Value, changes: &Value) -> Value {
    let mut object = object.clone();
    let members = object.as_object_mut().unwrap();
    for (name, value) in changes.as_object().unwrap() {
        if value.is_null() {
            members.shift_remove(name);
        } else {
            members.insert(name.clone(), value.clone());
        }
    }
    object
}

fn draft(signer: &str, header: &Value, payload: &Value) -> String {
    Draft { signer, header: &header.to_string(), payload: &payload.to_string() }.text()
}

fn of_token() -> Vec<(String, String)> {
    let now = NOW.seconds();
    let header = json!({ "typ": "at+jwt", "alg": "EdDSA" });
    let by_corp = |changes: Value| draft("corp", &header, &with(&token::claims(), &changes));
    let shop_claims = json!({ "iss": SHOP, "sub": "bob", "aud": ["users"], "iat": now, "exp": now + 60 });
    let full = json!({
        "roles": ["clerk", "admin"], "groups": ["staff"], "tenant": "north", "level": 3, "more": ["a", true],
        "scope": "orders:read orders:write", "resource_access": { "orders": { "roles": ["auditor"] } }, "acr": "mfa",
        "amr": ["pwd", "otp"], "auth_time": now - 60, "sid": "s-1", "nbf": now,
    });
    let signed =
        Draft { signer: "corp", header: &header.to_string(), payload: &token::claims().to_string() }.sign();
    let at = signed.rfind('.').unwrap();
    let jwt = json!({ "alg": "ES256", "typ": "JWT" });
    let by_prod = |changes: Value| draft("prod", &jwt, &with(&token::workload(), &changes));
    let headed = |changes: Value| draft("prod", &with(&jwt, &changes), &token::workload());
    let web_of = |domain: &str| json!({ "sub": format!("spiffe://{domain}/web") });
    let seeds = [
        ("good-svid", by_prod(json!({}))),
        ("good-svid-kid", headed(json!({ "kid": keys::PROD.kid() }))),
        ("good-svid-no-type", headed(json!({ "typ": null }))),
        ("good-svid-jose", headed(json!({ "typ": "JOSE" }))),
        ("good-svid-partner", draft("partner", &jwt, &with(&token::workload(), &web_of(svid::PARTNER)))),
        ("good-svid-roles", by_prod(json!({ "iss": "https://spire", "roles": ["admin"], "scope": "all" }))),
        (
            "good-svid-claims",
            by_prod(
                json!({ "acr": "mfa", "amr": ["otp"], "auth_time": now, "client_id": "spa", "scp": ["all"] }),
            ),
        ),
        ("bad-svid-crossed", draft("partner", &jwt, &token::workload())),
        ("bad-svid-other-domain", by_prod(web_of(svid::PARTNER))),
        ("bad-svid-strange-domain", by_prod(web_of("other.example.com"))),
        ("bad-svid-domain-alone", by_prod(json!({ "sub": "spiffe://prod.example.com" }))),
        ("bad-svid-spelling", by_prod(json!({ "sub": "SPIFFE://prod.example.com/web" }))),
        ("bad-svid-dots", by_prod(json!({ "sub": "spiffe://prod.example.com/a/../web" }))),
        ("bad-svid-audience", by_prod(json!({ "aud": ["billing"] }))),
        ("bad-svid-no-audience", by_prod(json!({ "aud": null }))),
        ("bad-svid-no-iat", by_prod(json!({ "iat": null }))),
        ("bad-svid-expired", by_prod(json!({ "iat": now - 600, "exp": now - 31 }))),
        ("bad-svid-too-long", by_prod(json!({ "exp": now + 86_401 }))),
        ("bad-svid-type", headed(json!({ "typ": "at+jwt" }))),
        ("bad-svid-header", headed(json!({ "cty": "JWT" }))),
        ("bad-svid-algorithm", draft("corp", &with(&jwt, &json!({ "alg": "EdDSA" })), &token::workload())),
        ("good-plain", by_corp(json!({}))),
        ("good-full", by_corp(full)),
        ("good-workload", by_corp(json!({ "sub": "spa" }))),
        ("good-fractions", by_corp(json!({ "iat": now as f64 - 0.5, "exp": now as f64 + 0.25 }))),
        ("good-list-audience", by_corp(json!({ "aud": ["billing", "users"] }))),
        ("good-kid", draft("corp", &with(&header, &json!({ "kid": keys::CORP.kid() })), &token::claims())),
        ("good-other-issuer", draft("shop", &json!({ "alg": "EdDSA" }), &shop_claims)),
        ("good-signed", signed.clone()),
        ("bad-expired", by_corp(json!({ "iat": now - 600, "exp": now - 300 }))),
        ("bad-future", by_corp(json!({ "nbf": now + 60 }))),
        ("bad-audience", by_corp(json!({ "aud": "billing" }))),
        ("bad-bound", by_corp(json!({ "cnf": { "jkt": keys::CLIENT.kid() } }))),
        ("bad-bound-otherwise", by_corp(json!({ "cnf": { "kid": "k" } }))),
        ("bad-overage", by_corp(json!({ "_claim_names": { "groups": "src1" } }))),
        ("bad-types", by_corp(json!({ "sub": 7, "aud": {}, "exp": "soon" }))),
        ("bad-stranger", draft("stranger", &header, &token::claims())),
        ("bad-crossed-keys", draft("shop", &header, &token::claims())),
        ("bad-none", draft("corp", &json!({ "alg": "none", "typ": "at+jwt" }), &token::claims())),
        (
            "bad-own-key",
            draft(
                "stranger",
                &with(&header, &json!({ "jwk": keys::STRANGER.public_jwk() })),
                &token::claims(),
            ),
        ),
        (
            "bad-crit",
            draft("corp", &with(&header, &json!({ "crit": ["exp"], "b64": false })), &token::claims()),
        ),
        ("bad-twice", by_corp(json!({})).replace("\"jti\"", "\"exp\":1,\"\\u0065xp\"")),
        ("bad-unsigned", signed[..=at].to_owned()),
        ("bad-four-segments", format!("{signed}.AAAA")),
        ("bad-padded", format!("{signed}=")),
        ("bad-empty", String::new()),
    ];
    seeds.map(|(name, text)| (name.to_owned(), text)).into()
}

fn of_proof() -> Vec<(String, String)> {
    let now = NOW.seconds();
    let (header, claims) = proof::parts();
    let by_client = |changes: Value| draft("client", &header, &with(&claims, &changes));
    let headed = |changes: Value| draft("client", &with(&header, &changes), &claims);
    let seeds = [
        ("good-plain", by_client(json!({}))),
        ("good-spelling", by_client(json!({ "htu": "HTTPS://api.EXAMPLE.com:443/%6frders/7?x#y" }))),
        ("good-just-in-time", by_client(json!({ "iat": now - 59 }))),
        ("good-media-type", headed(json!({ "typ": "application/DPoP+JWT" }))),
        ("good-nonce", by_client(json!({ "nonce": "n" }))),
        ("bad-method", by_client(json!({ "htm": "POST" }))),
        ("bad-path", by_client(json!({ "htu": "https://api.example.com/orders%2F7" }))),
        ("bad-host", by_client(json!({ "htu": "https://api.example.com@evil.example/orders/7" }))),
        ("bad-old", by_client(json!({ "iat": now - 60 }))),
        ("bad-future", by_client(json!({ "iat": now + 6 }))),
        ("bad-no-id", by_client(json!({ "jti": null }))),
        ("bad-other-token", by_client(json!({ "ath": "AAAA" }))),
        (
            "bad-other-key",
            draft("stranger", &with(&header, &json!({ "jwk": keys::bare_jwk(&keys::STRANGER) })), &claims),
        ),
        ("bad-signature", draft("stranger", &header, &claims)),
        (
            "bad-private",
            headed(json!({ "jwk": with(&keys::bare_jwk(&keys::CLIENT), &json!({ "d": "AAAA" })) })),
        ),
        ("bad-symmetric", headed(json!({ "jwk": { "kty": "oct", "k": "AAAA" }, "alg": "HS256" }))),
        ("bad-type", headed(json!({ "typ": "at+jwt" }))),
        ("bad-no-key", headed(json!({ "jwk": null }))),
        (
            "bad-two",
            format!(
                "{0},{0}",
                Draft { signer: "client", header: &header.to_string(), payload: &claims.to_string() }.sign()
            ),
        ),
        ("bad-empty", String::new()),
    ];
    seeds.map(|(name, text)| (name.to_owned(), text)).into()
}

fn of_jwks() -> Vec<(String, String)> {
    let set = |list: &[Value]| json!({ "keys": list }).to_string();
    let ed = keys::CORP.public_jwk();
    let rsa =
        |changes: Value| with(&json!({ "kty": "RSA", "kid": "r", "n": RSA_2048, "e": "AQAB" }), &changes);
    let small = json!({ "kty": "OKP", "crv": "Ed25519", "x": "A".repeat(43) });
    let seeds = [
        ("good-ed25519", set(std::slice::from_ref(&ed))),
        ("good-p256", set(&[p256(&json!({}))])),
        ("good-p384", set(&[p384()])),
        ("good-rsa", set(&[rsa(json!({}))])),
        (
            "good-many",
            set(&[ed.clone(), p256(&json!({})), p384(), rsa(json!({ "alg": "PS256", "use": "sig" }))]),
        ),
        (
            "good-some-left-out",
            set(&[
                json!({ "kty": "oct", "k": "AAAA" }),
                with(&ed, &json!({ "use": "enc", "kid": "enc" })),
                with(&ed, &json!({ "key_ops": ["sign"], "kid": "ops" })),
                json!({ "kty": "EC", "crv": "secp256k1", "x": "AA", "y": "AA" }),
                ed.clone(),
            ]),
        ),
        ("bad-small-order", set(&[small])),
        ("bad-off-curve", set(&[p256(&json!({ "y": "AQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQE" }))])),
        ("bad-private", set(&[with(&ed, &json!({ "d": "AAAA" }))])),
        ("bad-rsa-short", set(&[rsa(json!({ "n": &RSA_2048[..340] }))])),
        ("bad-rsa-exponent", set(&[rsa(json!({ "e": "AQ" }))])),
        ("bad-algorithm", set(&[with(&ed, &json!({ "alg": "ES256" }))])),
        ("bad-same-id", set(&[ed.clone(), ed.clone()])),
        ("bad-twice", "{\"keys\":[],\"keys\":[]}".to_owned()),
        ("bad-no-keys", set(&[])),
        ("bad-key-alone", ed.to_string()),
        ("bad-empty", String::new()),
    ];
    seeds.map(|(name, text)| (name.to_owned(), text)).into()
}

fn of_certificate() -> Vec<(String, String)> {
    let pem = |der: &str| format!("-----BEGIN CERTIFICATE-----\n{der}\n-----END CERTIFICATE-----\n");
    let (own, chain) = (pem(CLIENT), pem(WORKLOAD) + &pem(BETWEEN));
    let hash = certificate::hash(&BASE64_STANDARD.decode(CLIENT).unwrap());
    let cert = escaped(&own);
    let longer = BASE64_STANDARD.encode([BASE64_STANDARD.decode(CLIENT).unwrap(), vec![0]].concat());
    let seeds = [
        ("good-pem", format!("pem\n{own}")),
        ("good-pem-chain", format!("pem\n{chain}")),
        ("good-pem-escaped", format!("pem\n{}", escaped(&chain))),
        ("good-der", format!("der\n{CLIENT}")),
        ("good-der-chain", format!("der\n{WORKLOAD}\n{BETWEEN}\n{AUTHORITY}")),
        ("good-der-two-names", format!("der\n{TWO_NAMES}")),
        ("good-header", format!("client-cert\n:{CLIENT}:")),
        ("good-header-chain", format!("client-cert\n:{WORKLOAD}:\n:{BETWEEN}:, :{AUTHORITY}:")),
        ("good-xfcc-hash", format!("xfcc\nBy=spiffe://mesh/envoy;Hash={hash};URI=spiffe://mesh/client")),
        ("good-xfcc-cert", format!("xfcc\nHash={hash};Cert=\"{cert}\"")),
        ("good-xfcc-chain", format!("xfcc\nChain=\"{}\"", escaped(&chain))),
        ("good-xfcc-subject", format!("xfcc\nSubject=\"CN=a,O=\\\"b;c\\\",Hash=d\";Hash={hash}")),
        ("bad-expired", format!("der\n{EXPIRED}")),
        ("bad-longer", format!("der\n{longer}")),
        ("bad-shorter", format!("der\n{}", &CLIENT[..400])),
        ("bad-authority-too-far", format!("der\n{CLIENT}{}", format!("\n{BETWEEN}").repeat(5))),
        ("bad-key", format!("pem\n{}", own.replace("CERTIFICATE", "PRIVATE KEY"))),
        ("bad-text-around", format!("pem\nsubject=client\n{own}")),
        ("bad-two-elements", format!("xfcc\nHash={hash},Hash={hash}")),
        ("bad-twice", format!("xfcc\nHash={hash};hash={hash}")),
        ("bad-quote", format!("xfcc\nSubject=\"a\\\";Hash={hash}")),
        ("bad-other-hash", format!("xfcc\nHash={};Cert=\"{cert}\"", "ab".repeat(32))),
        ("bad-two-headers", format!("client-cert\n:{CLIENT}:, :{CLIENT}:")),
        ("bad-parameter", format!("client-cert\n:{CLIENT}:;a=1")),
        ("bad-form", format!("jks\n{CLIENT}")),
        ("bad-empty", "pem\n".to_owned()),
    ];
    let seeds = seeds.map(|(name, text)| (name.to_owned(), text)).into_iter();
    let drafts = of_svid().into_iter().map(|(name, lines)| (name.to_owned(), format!("svid\n{lines}")));
    seeds.chain(drafts).collect()
}

fn of_svid() -> Vec<(&'static str, String)> {
    let good = Certificate::workload;
    let uris = |uris: &[&'static str]| {
        let names = uris.iter().map(|uri| (0x86, *uri)).collect();
        Certificate { names, ..good() }.line()
    };
    let usage = |usage| Certificate { usage, ..good() }.line();
    let valid = |begin, end| Certificate { validity: [begin, end], ..good() }.line();
    let by = |signer| Certificate { signer, ..good() }.line();
    let partner_web = "spiffe://partner.example.org/web";
    let partner = Certificate { signer: "partner", names: vec![(0x86, partner_web)], ..good() };
    let between = Certificate::between();
    let through = |between: &Certificate| format!("{}\n{}", by("between"), between.line());
    let (host, prod) = ((0x82, "web.example.com"), (0x86, WEB));
    vec![
        ("good-svid", good().line()),
        ("good-svid-partner", partner.line()),
        ("good-svid-chain", through(&between)),
        ("good-svid-more", format!("{}\n{}", good().line(), between.line())),
        ("good-svid-host", Certificate { names: vec![host, prod], ..good() }.line()),
        ("good-svid-both-ends", Certificate { extended: BOTH_ENDS.to_vec(), ..good() }.line()),
        ("good-svid-no-constraints", Certificate { authority: None, ..good() }.line()),
        ("good-svid-one-day", valid("270115075959Z", "270116075959Z")),
        ("good-svid-last-second", valid("270115070000Z", "270115080000Z")),
        ("bad-svid-too-many", [vec![good().line()], vec![between.line(); 5]].concat().join("\n")),
        ("bad-svid-no-uri", uris(&[])),
        ("bad-svid-two-uris", uris(&[WEB, "spiffe://prod.example.com/admin"])),
        ("bad-svid-foreign-uri", uris(&[WEB, "https://prod.example.com/web"])),
        ("bad-svid-domain-alone", uris(&["spiffe://prod.example.com"])),
        ("bad-svid-spelling", uris(&["SPIFFE://prod.example.com/web"])),
        ("bad-svid-dots", uris(&["spiffe://prod.example.com/a/../web"])),
        ("bad-svid-strange-domain", uris(&["spiffe://other.example.com/web"])),
        ("bad-svid-other-domain", uris(&[partner_web])),
        ("bad-svid-crossed", by("partner")),
        ("bad-svid-stranger", by("stranger")),
        ("bad-svid-by-itself", by("workload")),
        ("bad-svid-signature", good().line().replacen("prod ", "stranger ", 1)),
        ("bad-svid-chain-missing", by("between")),
        ("bad-svid-by-workload", format!("{}\n{}", by("workload"), good().line())),
        ("bad-svid-chain-usage", through(&Certificate { usage: Some((SIGNS, true)), ..between.clone() })),
        ("bad-svid-chain-no-authority", through(&Certificate { authority: None, ..between.clone() })),
        (
            "bad-svid-chain-expired",
            through(&Certificate { validity: ["200101000000Z", "210101000000Z"], ..between }),
        ),
        ("bad-svid-authority", Certificate { authority: Some(true), ..good() }.line()),
        ("bad-svid-no-usage", usage(None)),
        ("bad-svid-not-critical", usage(Some((SIGNS, false)))),
        ("bad-svid-signs-certificates", usage(Some((SIGNS | SIGNS_CERTIFICATES, true)))),
        ("bad-svid-signs-lists", usage(Some((SIGNS | 0b0000_0010, true)))),
        ("bad-svid-agrees", usage(Some((0b0000_1000, true)))),
        ("bad-svid-one-end", Certificate { extended: vec![BOTH_ENDS[1]], ..good() }.line()),
        ("bad-svid-expired", valid("270115060000Z", "270115075959Z")),
        ("bad-svid-early", valid("270115080001Z", "270115090000Z")),
        ("bad-svid-too-long", valid("270115075959Z", "270116080000Z")),
    ]
}

/// As URLs and Envoy write it.
fn escaped(text: &str) -> String {
    let byte = |byte: u8| {
        if byte.is_ascii_alphanumeric() { char::from(byte).to_string() } else { format!("%{byte:02X}") }
    };
    text.bytes().map(byte).collect()
}

/// Public keys whose private halves nobody kept.
const RSA_2048: &str = concat!(
    "s5QUMqhKDrSTr7qZKRhOEkx5_Eme_IVJEY4s_YZo3fynHqC4bYOe9akhe1laK1Grpn2yWEZZerPjpG3-WfJ1GoHCZJN2nKkQtPiF",
    "d5uQmwOTAi84RjQ6zQloOoHzuv1XnjpygBSpaBeaVBhg6QqMAfio4GS8424dEX4-ou3Hm4sJguMHkMFllxY0nehxlbWi2kkmBC3w",
    "L2KpF1LtDpACmkQBbJtO2jNqlhd_jT9tk1x9-lI_KIg0cIjIftZoU5e77p-IFaCsVJMeEiW8MQNx0wXlciJxcsJs2BPVuGgnTYqb",
    "-IegHnbx-iN-w4NYE-7tr7pv1jjkg2XCz2cEvuEwww",
);

fn p256(changes: &Value) -> Value {
    let key = json!({
        "kty": "EC", "crv": "P-256", "kid": "p256", "x": "mD5mqVyuFuI-f_3WywsA3VAAqJAtfOhBh13rTajdnZE",
        "y": "dbmDJ2SCJXsSh9sCfIkziYGY3MwYY_2_oGwpAhWordw",
    });
    with(&key, changes)
}

fn p384() -> Value {
    json!({
        "kty": "EC", "crv": "P-384", "kid": "p384", "x": "P8cTnIAUBKbZdvHZlHFdcC2ySEJ9yu_rh3btv4vm8HeiWNnVPfFmcVo6Zb3e7cOz",
        "y": "HBCQPsISKb_vBIPkAibCrIJm-dWdGxTj1WaacMGXNpvJBg-YeiBnRPsZhwt-hz1C",
    })
}

/// A client that signed its own.
const CLIENT: &str = concat!(
    "MIIBQjCB6qADAgECAhQjA2lqJNTeIdW7gLrqbffH2BfuoTAKBggqhkjOPQQDAjARMQ8wDQYDVQQDDAZjbGllbnQwHhcNMjAwMTAx",
    "MDAwMDAwWhcNNDAwMTAxMDAwMDAwWjARMQ8wDQYDVQQDDAZjbGllbnQwWTATBgcqhkjOPQIBBggqhkjOPQMBBwNCAARXNcNFu9sn",
    "eUBL+XtAbN10Kx3FUkj6/rZwuBCnS4a6uPpbYPGBbsKPWMRB/jee1b8dNctg/4gNOtsao2ss1bvKoyAwHjAMBgNVHRMBAf8EAjAA",
    "MA4GA1UdDwEB/wQEAwIHgDAKBggqhkjOPQQDAgNHADBEAiBdhCAjw1NU0vsGtZ73zzCo+pQJ4vRuC0eg2EspPbtGHwIgKS5y/vhZ",
    "S3+F0NXBwvkO1MFQZ/qEbqYBE6KwpauyWyc=",
);

/// The same, good until the end of 2020.
const EXPIRED: &str = concat!(
    "MIIBQzCB6qADAgECAhQI896N8bVP3WpF4wf990eqsRo4XDAKBggqhkjOPQQDAjARMQ8wDQYDVQQDDAZjbGllbnQwHhcNMjAwMTAx",
    "MDAwMDAwWhcNMjEwMTAxMDAwMDAwWjARMQ8wDQYDVQQDDAZjbGllbnQwWTATBgcqhkjOPQIBBggqhkjOPQMBBwNCAARoEYANzKvT",
    "YeRPoXELQey16jdvXHCf/ZdHmRkksFQ8wbVFxKcmh26bUqtXHAvcdwDLOcC+MEzWcvKxFdbsBUOJoyAwHjAMBgNVHRMBAf8EAjAA",
    "MA4GA1UdDwEB/wQEAwIHgDAKBggqhkjOPQQDAgNIADBFAiEAiuDxEsmrmHvGmphl90UZy+lXgXVh/lAGYOjfPz/nksgCIESQM8K+",
    "MySb2m8kaX4Oo6/HXQYb7Tpod23HyygoTumG",
);

/// The authority of a trust domain.
pub const AUTHORITY: &str = concat!(
    "MIIBTDCB86ADAgECAhR0cH9yF47bUJv5YrdbZ0h7nOfOpTAKBggqhkjOPQQDAjAUMRIwEAYDVQQDDAlhdXRob3JpdHkwHhcNMjAw",
    "MTAxMDAwMDAwWhcNNDAwMTAxMDAwMDAwWjAUMRIwEAYDVQQDDAlhdXRob3JpdHkwWTATBgcqhkjOPQIBBggqhkjOPQMBBwNCAATz",
    "mqXb7bHLw3xZGPxFDrlK9Cj1Ny1KVabSd7+7XYx5UGnKFL89+bSA+cPqGQ3CS1LNtOQvMRa3ItrESezdkUfHoyMwITAPBgNVHRMB",
    "Af8EBTADAQH/MA4GA1UdDwEB/wQEAwIBBjAKBggqhkjOPQQDAgNIADBFAiBrqD1JGbFMaOEHvS/mfZbssXVYnnuwaXFBspapBv0w",
    "PwIhAOBZZmbnaXqemPCEeFOpbPkgBrxz+uJzNzovUMaTh5y2",
);

/// One below it.
const BETWEEN: &str = concat!(
    "MIIBSjCB8aADAgECAhQgQW7h4CVUI7T3MSDO06WzIZ6qtDAKBggqhkjOPQQDAjAUMRIwEAYDVQQDDAlhdXRob3JpdHkwHhcNMjAw",
    "MTAxMDAwMDAwWhcNNDAwMTAxMDAwMDAwWjASMRAwDgYDVQQDDAdiZXR3ZWVuMFkwEwYHKoZIzj0CAQYIKoZIzj0DAQcDQgAEU7+U",
    "QJahFmUQpf+9I+9BiHb6bjsHAOpRiTqWopv6PaBqmcjzHrQXHbZlAMX48pDg83HqK/2pL1r1l17M0lBrq6MjMCEwDwYDVR0TAQH/",
    "BAUwAwEB/zAOBgNVHQ8BAf8EBAMCAQYwCgYIKoZIzj0EAwIDSAAwRQIgfnfn9N3/mVETqirBaEAmKtrTBYoeci8rXJxbqsrGCkoC",
    "IQDOAfVDLkaOFKSJ5x2+yFNOokf85IRf14vTXJh2MiWD3w==",
);

/// A workload, `spiffe://example.org/orders`, signed by the one below.
const WORKLOAD: &str = concat!(
    "MIIBbzCCARWgAwIBAgIUel3ZBCMLDhbheJ6Xd6ThPzcC0OMwCgYIKoZIzj0EAwIwEjEQMA4GA1UEAwwHYmV0d2VlbjAeFw0yMDAx",
    "MDEwMDAwMDBaFw00MDAxMDEwMDAwMDBaMBMxETAPBgNVBAMMCHdvcmtsb2FkMFkwEwYHKoZIzj0CAQYIKoZIzj0DAQcDQgAExGxy",
    "01Oiybc0IDmAbTOYZUiubH7VCDmG6PEF4iv+k7E8jtedBPN42XhP7Kv6fkM3ljquWyiOjBNOWUojVTnBu6NIMEYwDAYDVR0TAQH/",
    "BAIwADAOBgNVHQ8BAf8EBAMCB4AwJgYDVR0RBB8wHYYbc3BpZmZlOi8vZXhhbXBsZS5vcmcvb3JkZXJzMAoGCCqGSM49BAMCA0gA",
    "MEUCICX6HVbbmKYS8u6mWk/CKAp78CPx1HxevwCK+4Ze8Rn0AiEA3lHwvVVQ831lZmA6NaOIoFmQoURd+7/0UAyMIo7PP0A=",
);

/// The same with a second name.
const TWO_NAMES: &str = concat!(
    "MIIBizCCATGgAwIBAgIUcaPm7M4bArkUfKkp3FHuZB0RPMgwCgYIKoZIzj0EAwIwEjEQMA4GA1UEAwwHYmV0d2VlbjAeFw0yMDAx",
    "MDEwMDAwMDBaFw00MDAxMDEwMDAwMDBaMBMxETAPBgNVBAMMCHdvcmtsb2FkMFkwEwYHKoZIzj0CAQYIKoZIzj0DAQcDQgAEQ4Xq",
    "nz+UG/L4T+quqcZiYumV9ZW0qnoO8LFgMxnOkwzWxrN3Om0HJOUL13voSacnmB5L1vkNKHiT3x2bazPieaNkMGIwDAYDVR0TAQH/",
    "BAIwADAOBgNVHQ8BAf8EBAMCB4AwQgYDVR0RBDswOYYbc3BpZmZlOi8vZXhhbXBsZS5vcmcvb3JkZXJzhhpzcGlmZmU6Ly9leGFt",
    "cGxlLm9yZy9hZG1pbjAKBggqhkjOPQQDAgNIADBFAiBxaChzykFKHPyKdm1M10owt1DZPrUXUgnxFIUG0ByaXAIhAN8fcNLcsOOY",
    "yfvuL3G5IeQxQzjrViOV/MLPlAAUrxMA",
);
