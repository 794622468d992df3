//! Attacks on the text of the token and on the door: other encodings, other shapes, more than one credential.

use base64::Engine;
use base64::prelude::{BASE64_URL_SAFE, BASE64_URL_SAFE_NO_PAD as BASE64};
use deodar::api::pb::decision::credential::Kind;
use serde_json::{Value, json};

use super::{Lab, attacks, parts};

fn good(lab: &Lab) -> String {
    lab.token(json!({}))
}

/// A good token with one segment replaced.
fn replaced(lab: &Lab, index: usize, change: impl Fn(&str) -> String) -> String {
    let token = good(lab);
    let mut segments: Vec<String> = token.split('.').map(str::to_owned).collect();
    segments[index] = change(&segments[index]);
    segments.join(".")
}

/// A token with a claim of `?` and `>`, whose base64 differs between the alphabets, written in the other one.
fn other_alphabet(lab: &Lab) -> String {
    let token = lab.token(json!({ "x": "???>>>???>>>ÿÿÿ>>>???" }));
    let other = token.replace('-', "+").replace('_', "/");
    assert_ne!(token, other);
    other
}

/// The last letter of a signature of 64 bytes holds two bits that count and four that do not.
fn stray_bits(lab: &Lab) -> String {
    const ALPHABET: &str = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";
    let mut token = good(lab);
    let last = ALPHABET.find(token.pop().unwrap()).unwrap();
    token.push(char::from(ALPHABET.as_bytes()[last | 1]));
    token
}

fn header(value: impl Into<String>) -> Kind {
    Kind::Authorization(value.into())
}

attacks! {
    header_cut_short: "malformed", |lab| replaced(lab, 0, |text| text[..text.len() - 4].to_owned());
    payload_cut_short: "malformed", |lab| replaced(lab, 1, |text| text[..text.len() - 4].to_owned());
    signature_cut_short: "bad_signature", |lab| replaced(lab, 2, |text| text[..text.len() - 6].to_owned());
    header_empty: "malformed", |lab| replaced(lab, 0, |_| String::new());
    payload_empty: "malformed", |lab| replaced(lab, 1, |_| String::new());
    two_segments: "malformed", |lab| good(lab).rsplit_once('.').unwrap().0.to_owned();
    one_segment: "malformed", |lab| good(lab).replace('.', "");
    four_segments: "malformed", |lab| format!("{}.AAAA", good(lab));
    five_segments_as_if_encrypted: "malformed", |lab| format!("{}.AAAA.AAAA", good(lab));
    dot_in_front: "malformed", |lab| format!(".{}", good(lab));
    dot_at_the_end: "malformed", |lab| format!("{}.", good(lab));
    payload_tampered: "bad_signature", |lab| {
        let token = good(lab);
        let payload = String::from_utf8(parts(&token).1).unwrap().replace("alice", "admin");
        replaced(lab, 1, |_| BASE64.encode(&payload))
    };
    header_tampered: "bad_signature", |lab| {
        let header = json!({ "typ": "application/at+jwt", "alg": "EdDSA", "kid": lab.ed.kid() }).to_string();
        replaced(lab, 0, |_| BASE64.encode(&header))
    };
    header_and_payload_exchanged: "malformed", |lab| {
        let token = good(lab);
        let [first, second, third] = token.split('.').collect::<Vec<_>>()[..] else { panic!("{token}") };
        format!("{second}.{first}.{third}")
    };

    padded: "malformed", |lab| replaced(lab, 2, |text| format!("{text}=="));
    padded_by_its_issuer: "malformed", |lab| {
        let header = BASE64_URL_SAFE.encode(r#"{"alg":"EdDSA","typ":"at+jwt" }"#);
        assert!(header.ends_with('='));
        replaced(lab, 0, |_| header.clone())
    };
    other_alphabet_of_base64: "malformed", other_alphabet;
    stray_bits_at_the_end: "malformed", stray_bits;
    line_end_inside: "malformed", |lab| replaced(lab, 1, |text| format!("{}\n{}", &text[..8], &text[8..]));
    line_end_at_the_end: "malformed", |lab| format!("{}\n", good(lab));
    space_in_front: "malformed", |lab| format!(" {}", good(lab));
    space_at_the_end: "malformed", |lab| format!("{} ", good(lab));
    null_byte_at_the_end: "malformed", |lab| format!("{}\0", good(lab));
    percent_encoded: "malformed", |lab| good(lab).replace('.', "%2E");
    dots_of_another_script: "malformed", |lab| good(lab).replace('.', "\u{ff0e}");
    letter_of_another_script: "malformed", |lab| replaced(lab, 0, |text| text.replacen('e', "\u{435}", 1));
    encoded_twice: "malformed", |lab| BASE64.encode(good(lab));
    json_serialisation: "malformed", |lab| {
        let token = good(lab);
        let [header, payload, signature] = token.split('.').collect::<Vec<_>>()[..] else { panic!("{token}") };
        json!({ "protected": header, "payload": payload, "signature": signature }).to_string()
    };

    header_with_a_byte_order_mark: "malformed",
        |lab| replaced(lab, 0, |_| BASE64.encode("\u{feff}{\"alg\":\"EdDSA\",\"typ\":\"at+jwt\"}"));
    header_with_more_behind: "malformed", |lab| replaced(lab, 0, |_| BASE64.encode(r#"{"alg":"EdDSA"}{"alg":"none"}"#));
    header_as_list: "malformed", |lab| replaced(lab, 0, |_| BASE64.encode(r#"["EdDSA"]"#));
    payload_that_is_not_utf8: "malformed", |lab| {
        let payload = [&b"{\"sub\":\"a\xff\","[..], &parts(&good(lab)).1[1..]].concat();
        replaced(lab, 1, |_| BASE64.encode(&payload))
    };
    payload_with_a_comment: "malformed", |lab| lab.claim_text("/* */\"x\":1");
    payload_with_a_lone_surrogate: "malformed", |lab| lab.claim_text(r#""x":"\ud800""#);
    payload_with_single_quotes: "malformed", |lab| lab.claim_text("'x':1");
    payload_as_text: "malformed", |lab| lab.payload("\"alice\"");
    payload_nested_too_deep: "malformed",
        |lab| lab.claim_text(&format!("\"x\":{}{}", "[".repeat(1_000), "]".repeat(1_000)));
    payload_compressed: "malformed", |lab| {
        let token = lab.header(json!({ "zip": null }));
        let (header, payload, signature) = parts(&token);
        // A stored block of DEFLATE (RFC 1951 section 3.2.4).
        let length = payload.len() as u16;
        let block = [&[1][..], &length.to_le_bytes(), &(!length).to_le_bytes(), &payload].concat();
        format!("{header}.{}.{}", BASE64.encode(block), BASE64.encode(signature))
    };
    token_in_a_token: "malformed", |lab| {
        let header = json!({ "alg": "EdDSA", "kid": lab.ed.kid(), "typ": "at+jwt", "cty": "JWT" });
        lab.ed.sign_text(&header.to_string(), &good(lab)).unwrap()
    };
    longer_than_is_read: "malformed", |lab| lab.token(json!({ "x": "x".repeat(16 * 1024) }));
    a_megabyte: "malformed", |_| format!("eyJ{}", "A".repeat(1024 * 1024));
    empty_token: "malformed", |_| String::new();

    two_credentials: "malformed", |lab| vec![Kind::BearerToken(good(lab)), Kind::BearerToken(good(lab))];
    good_and_bad_credential: "malformed", |lab| vec![Kind::BearerToken(good(lab)), Kind::BearerToken("x".into())];
    token_and_assertion: "malformed",
        |lab| vec![Kind::BearerToken(good(lab)), Kind::AssertedPrincipal("User::corp/admin".into())];
    headers_joined_by_a_comma: "malformed", |lab| header(format!("Bearer {0}, Bearer {0}", good(lab)));
    tokens_joined_by_a_comma: "malformed", |lab| header(format!("Bearer {0},{0}", good(lab)));
    tokens_joined_by_a_comma_without_scheme: "malformed", |lab| format!("{0},{0}", good(lab));
    basic_scheme: "malformed", |lab| header(format!("Basic {}", good(lab)));
    scheme_missing: "malformed", |lab| header(good(lab));
    scheme_alone: "malformed", |_| header("Bearer");
    scheme_without_a_token: "malformed", |_| header("Bearer ");
    two_spaces_after_the_scheme: "malformed", |lab| header(format!("Bearer  {}", good(lab)));
    tab_after_the_scheme: "malformed", |lab| header(format!("Bearer\t{}", good(lab)));
    scheme_twice: "malformed", |lab| header(format!("Bearer Bearer {}", good(lab)));
    space_behind_the_header: "malformed", |lab| header(format!("Bearer {} ", good(lab)));
    parameters_behind_the_header: "malformed", |lab| header(format!("Bearer {};x=1", good(lab)));
    key_of_a_gateway_as_token: "malformed", |_| format!("deodar_test-gateway_{}", "A".repeat(43));
}

/// A key whose tokens anybody could forge is refused with its set, before the server listens.
#[test]
fn weak_keys_do_not_get_into_a_set() {
    use deodar::identity::KeySet;
    let factor = |bits: usize| BASE64.encode(vec![0xff; bits / 8]);
    let ed = |x: [u8; 32]| json!({ "kty": "OKP", "crv": "Ed25519", "x": BASE64.encode(x) });
    let mut one = [0; 32];
    one[0] = 1;
    let keys: [Value; 8] = [
        json!({ "kty": "RSA", "n": factor(1024), "e": "AQAB" }),
        json!({ "kty": "RSA", "n": factor(2040), "e": "AQAB" }),
        json!({ "kty": "RSA", "n": factor(16_384), "e": "AQAB" }),
        json!({ "kty": "RSA", "n": factor(2048), "e": "AQ" }),
        json!({ "kty": "oct", "k": BASE64.encode([7; 64]), "alg": "HS256" }),
        ed([0; 32]),
        ed(one),
        json!({ "kty": "EC", "crv": "P-256", "x": BASE64.encode([0; 32]), "y": BASE64.encode([0; 32]) }),
    ];
    for key in keys {
        assert!(KeySet::parse(&json!({ "keys": [key] }).to_string()).is_err(), "{key}");
    }
}
