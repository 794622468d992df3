//! Attacks on the choice of the algorithm, and on the arithmetic of signatures.

use aws_lc_rs::encoding::{AsDer, PublicKeyX509Der};
use aws_lc_rs::hmac;
use aws_lc_rs::signature::{KeyPair, RsaKeyPair};
use base64::Engine;
use base64::prelude::{BASE64_STANDARD, BASE64_URL_SAFE_NO_PAD as BASE64};
use serde_json::{Value, json};

use super::{Lab, SECRET, attacks, parts, resigned};

/// A token with a tag made with this secret.
pub fn tagged(lab: &Lab, algorithm: hmac::Algorithm, alg: &str, secret: &[u8], claims: Value) -> String {
    let header = json!({ "alg": alg, "typ": "at+jwt", "kid": lab.rsa.kid() }).to_string();
    let payload = Value::Object(lab.claims(claims)).to_string();
    let signed = format!("{}.{}", BASE64.encode(header), BASE64.encode(payload));
    let tag = hmac::sign(&hmac::Key::new(algorithm, secret), signed.as_bytes());
    format!("{signed}.{}", BASE64.encode(tag))
}

/// A token for `corp` that takes this text, known to everybody, for a shared secret.
fn public_as_secret(lab: &Lab, secret: &[u8]) -> String {
    tagged(lab, hmac::HMAC_SHA256, "HS256", secret, json!({}))
}

fn rsa_der(lab: &Lab) -> Vec<u8> {
    let pair = RsaKeyPair::from_pkcs8(&lab.rsa.to_pkcs8().unwrap()).unwrap();
    let der: PublicKeyX509Der<'_> = pair.public_key().as_der().unwrap();
    der.as_ref().to_vec()
}

fn rsa_pem(lab: &Lab) -> String {
    let text = BASE64_STANDARD.encode(rsa_der(lab));
    let lines: Vec<&str> =
        text.as_bytes().chunks(64).map(|line| std::str::from_utf8(line).unwrap()).collect();
    format!("-----BEGIN PUBLIC KEY-----\n{}\n-----END PUBLIC KEY-----\n", lines.join("\n"))
}

fn shared() -> Value {
    json!({ "iss": "https://shared.example.com" })
}

/// The signature of a good ES256 token, changed.
fn ecdsa(lab: &Lab, change: fn(&[u8]) -> Vec<u8>) -> String {
    let token = lab.sign(&lab.ec, json!({}), json!({}));
    let (_, _, signature) = parts(&token);
    resigned(&token, change(&signature))
}

/// The order of P-256.
const ORDER: &str = "ffffffff00000000ffffffffffffffffbce6faada7179e84f3b9cac2fc632551";

/// `r` and `s` in DER (RFC 3279 section 2.2.3).
fn der(signature: &[u8]) -> Vec<u8> {
    let number = |half: &[u8]| {
        let start = half.iter().position(|byte| *byte != 0).unwrap_or(half.len() - 1);
        let mut bytes = half[start..].to_vec();
        if bytes[0] & 0x80 != 0 {
            bytes.insert(0, 0);
        }
        [vec![2, bytes.len() as u8], bytes].concat()
    };
    let body = [number(&signature[..32]), number(&signature[32..])].concat();
    [vec![0x30, body.len() as u8], body].concat()
}

/// `s + L`: the same signature to a verifier that does not check the range of `s` (RFC 8032 section 5.1.7).
fn malleable(lab: &Lab) -> String {
    const L: &str = "edd3f55c1a631258d69cf7a2def9de1400000000000000000000000000000010";
    let token = lab.token(json!({}));
    let (_, _, mut signature) = parts(&token);
    let mut carry = 0;
    for (byte, add) in signature[32..].iter_mut().zip(hex::decode(L).unwrap()) {
        let sum = u16::from(*byte) + u16::from(add) + carry;
        (*byte, carry) = (sum as u8, sum >> 8);
    }
    resigned(&token, signature)
}

fn unsigned(lab: &Lab, alg: &str) -> String {
    let token = lab.header(json!({ "alg": alg, "kid": null }));
    format!("{}.", token.rsplit_once('.').unwrap().0)
}

attacks! {
    none_with_a_signature: "algorithm_not_allowed", |lab| lab.header(json!({ "alg": "none" }));
    none_without_a_signature: "algorithm_not_allowed", |lab| unsigned(lab, "none");
    none_with_a_capital: "algorithm_not_allowed", |lab| unsigned(lab, "None");
    none_in_mixed_case: "algorithm_not_allowed", |lab| unsigned(lab, "nOnE");
    none_with_a_space: "algorithm_not_allowed", |lab| unsigned(lab, "none ");
    algorithm_without_a_name: "algorithm_not_allowed", |lab| unsigned(lab, "");
    algorithm_missing: "malformed", |lab| lab.header(json!({ "alg": null }));
    algorithm_as_number: "malformed", |lab| lab.header(json!({ "alg": 256 }));
    algorithm_as_list: "malformed", |lab| lab.header(json!({ "alg": ["EdDSA", "none"] }));
    algorithm_in_lower_case: "algorithm_not_allowed", |lab| lab.header(json!({ "alg": "eddsa" }));
    algorithm_es512: "algorithm_not_allowed", |lab| lab.header(json!({ "alg": "ES512" }));
    algorithm_es256k: "algorithm_not_allowed", |lab| lab.header(json!({ "alg": "ES256K" }));
    algorithm_the_issuer_may_not_use: "algorithm_not_allowed",
        |lab| lab.sign(&lab.rsa, json!({ "alg": "RS512" }), json!({}));
    pss_on_a_key_for_pkcs1: "algorithm_not_allowed", |lab| lab.sign(&lab.rsa, json!({ "alg": "PS256" }), json!({}));
    ecdsa_on_an_ed25519_key: "algorithm_not_allowed", |lab| lab.header(json!({ "alg": "ES256" }));
    p384_on_a_p256_key: "algorithm_not_allowed", |lab| lab.sign(&lab.ec, json!({ "alg": "ES384" }), json!({}));

    public_rsa_key_in_pem_as_secret: "algorithm_not_allowed", |lab| public_as_secret(lab, rsa_pem(lab).as_bytes());
    public_rsa_key_in_der_as_secret: "algorithm_not_allowed", |lab| public_as_secret(lab, &rsa_der(lab));
    public_jwk_as_secret: "algorithm_not_allowed",
        |lab| public_as_secret(lab, lab.rsa.public_jwk().to_string().as_bytes());
    public_modulus_as_secret: "algorithm_not_allowed",
        |lab| public_as_secret(lab, &BASE64.decode(lab.rsa.public_jwk()["n"].as_str().unwrap()).unwrap());
    public_ed25519_key_as_secret: "algorithm_not_allowed",
        |lab| public_as_secret(lab, &BASE64.decode(lab.ed.public_jwk()["x"].as_str().unwrap()).unwrap());
    empty_secret: "algorithm_not_allowed", |lab| public_as_secret(lab, &[]);
    secret_of_another_issuer: "algorithm_not_allowed", |lab| public_as_secret(lab, &SECRET);
    wrong_secret: "bad_signature", |lab| tagged(lab, hmac::HMAC_SHA256, "HS256", &SECRET[1..], shared());
    empty_secret_for_a_shared_key: "bad_signature", |lab| tagged(lab, hmac::HMAC_SHA256, "HS256", &[], shared());
    other_hash_for_a_shared_key: "algorithm_not_allowed",
        |lab| tagged(lab, hmac::HMAC_SHA512, "HS512", &SECRET, shared());
    tag_cut_in_half: "bad_signature", |lab| {
        let token = tagged(lab, hmac::HMAC_SHA256, "HS256", &SECRET, shared());
        resigned(&token, &parts(&token).2[..16])
    };
    public_key_for_an_issuer_with_a_shared_key: "algorithm_not_allowed", |lab| lab.sign(&lab.ed, json!({}), shared());

    empty_signature: "malformed", |lab| resigned(&lab.token(json!({})), []);
    signature_of_another_token: "bad_signature",
        |lab| resigned(&lab.token(json!({ "sub": "admin" })), parts(&lab.token(json!({}))).2);
    signature_with_a_bit_flipped: "bad_signature", |lab| {
        let token = lab.token(json!({}));
        let mut signature = parts(&token).2;
        signature[40] ^= 4;
        resigned(&token, signature)
    };
    signature_too_short: "bad_signature", |lab| resigned(&lab.token(json!({})), &parts(&lab.token(json!({}))).2[..63]);
    signature_with_a_byte_more: "bad_signature", |lab| {
        let token = lab.token(json!({}));
        resigned(&token, [parts(&token).2, vec![0]].concat())
    };
    ecdsa_with_r_and_s_swapped: "bad_signature", |lab| ecdsa(lab, |good| [&good[32..], &good[..32]].concat());
    ecdsa_in_der: "bad_signature", |lab| ecdsa(lab, der);
    ecdsa_of_zeros: "bad_signature", |lab| ecdsa(lab, |_| vec![0; 64]);
    ecdsa_with_s_zero: "bad_signature", |lab| ecdsa(lab, |good| [&good[..32], &[0; 32]].concat());
    ecdsa_of_the_order: "bad_signature", |lab| ecdsa(lab, |_| hex::decode(format!("{ORDER}{ORDER}")).unwrap());
    ecdsa_of_another_curve: "bad_signature",
        |lab| resigned(&lab.sign(&lab.ec, json!({}), json!({})), parts(&lab.sign(&lab.ec384, json!({}), json!({}))).2);
    ed25519_of_zeros: "bad_signature", |lab| resigned(&lab.token(json!({})), [0; 64]);
    ed25519_with_the_order_added: "bad_signature", malleable;
    rsa_of_zeros: "bad_signature", |lab| resigned(&lab.sign(&lab.rsa, json!({}), json!({})), [0; 256]);
    rsa_of_one: "bad_signature",
        |lab| resigned(&lab.sign(&lab.rsa, json!({}), json!({})), [vec![0; 255], vec![1]].concat());
}
