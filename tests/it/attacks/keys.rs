//! Attacks on the choice of the key, and on what the header may ask for.

#![expect(clippy::needless_pass_by_value, reason = "`json!` makes the arguments where they are passed")]

use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use serde_json::{Value, json};

use super::{Lab, attacks};

fn kid(lab: &Lab, kid: &str) -> String {
    lab.header(json!({ "kid": kid }))
}

/// A stranger's token for `corp`, with these members in its header.
fn forged(lab: &Lab, header: Value) -> String {
    lab.sign(&lab.stranger, header, json!({}))
}

fn typed(lab: &Lab, kind: Value) -> String {
    lab.header(json!({ "typ": kind }))
}

attacks! {
    key_id_as_path: "unknown_key", |lab| kid(lab, "../../../../../../dev/null");
    key_id_as_sql: "unknown_key", |lab| kid(lab, "x' UNION SELECT 'AAAA' --");
    key_id_as_command: "unknown_key", |lab| kid(lab, "|/usr/bin/id");
    key_id_as_url: "unknown_key", |lab| kid(lab, "https://evil.example.com/jwks.json");
    key_id_with_a_null_byte: "unknown_key", |lab| kid(lab, &format!("{}\u{0}", lab.ed.kid()));
    key_id_with_a_space: "unknown_key", |lab| kid(lab, &format!("{} ", lab.ed.kid()));
    key_id_in_upper_case: "unknown_key", |lab| kid(lab, &lab.ed.kid().to_uppercase());
    key_id_cut_short: "unknown_key", |lab| kid(lab, &lab.ed.kid()[..20]);
    key_id_of_ten_thousand_bytes: "unknown_key", |lab| kid(lab, &"k".repeat(10_000));
    key_id_empty: "unknown_key", |lab| kid(lab, "");
    key_id_as_number: "malformed", |lab| lab.header(json!({ "kid": 0 }));
    key_id_as_object: "malformed", |lab| lab.header(json!({ "kid": { "$ne": "" } }));
    key_id_as_list: "malformed", |lab| lab.header(json!({ "kid": [lab.ed.kid()] }));
    key_id_as_null: "malformed", |lab| {
        let header = json!({ "alg": "EdDSA", "typ": "at+jwt", "kid": null }).to_string();
        lab.ed.sign_text(&header, &Value::Object(lab.claims(json!({}))).to_string()).unwrap()
    };

    strangers_key: "unknown_key", |lab| forged(lab, json!({}));
    strangers_key_under_a_known_id: "bad_signature", |lab| forged(lab, json!({ "kid": lab.ed.kid() }));
    strangers_key_without_an_id: "bad_signature", |lab| forged(lab, json!({ "kid": null }));
    key_of_another_issuer: "unknown_key", |lab| lab.sign(&lab.partner, json!({}), json!({}));
    key_of_another_issuer_without_an_id: "bad_signature", |lab| lab.sign(&lab.partner, json!({ "kid": null }), json!({}));
    another_issuers_name: "unknown_key",
        |lab| lab.token(json!({ "iss": "https://partner.example.com" }));

    embedded_key: "malformed", |lab| forged(lab, json!({ "jwk": lab.stranger.public_jwk() }));
    embedded_key_under_a_known_id: "malformed",
        |lab| forged(lab, json!({ "jwk": lab.stranger.public_jwk(), "kid": lab.ed.kid() }));
    embedded_key_that_is_ours: "malformed", |lab| lab.header(json!({ "jwk": lab.ed.public_jwk() }));
    address_of_a_key_set: "malformed", |lab| forged(lab, json!({ "jku": "https://evil.example.com/jwks.json" }));
    address_of_a_key_set_that_looks_like_ours: "malformed",
        |lab| forged(lab, json!({ "jku": "https://login.example.com@evil.example.com/jwks.json" }));
    address_of_a_certificate: "malformed", |lab| forged(lab, json!({ "x5u": "https://evil.example.com/cert.pem" }));
    address_of_our_own_network: "malformed", |lab| forged(lab, json!({ "jku": "http://169.254.169.254/latest" }));
    embedded_certificate: "bad_signature",
        |lab| forged(lab, json!({ "kid": lab.ed.kid(), "x5c": [BASE64_STANDARD.encode([0x30; 300])] }));

    critical_extension: "malformed", |lab| lab.header(json!({ "crit": ["exp"], "exp": 1 }));
    critical_extension_unknown: "malformed", |lab| lab.header(json!({ "crit": ["http://example.com/x"] }));
    critical_extensions_none: "malformed", |lab| lab.header(json!({ "crit": [] }));
    unencoded_payload: "malformed", |lab| lab.header(json!({ "b64": false, "crit": ["b64"] }));
    unencoded_payload_uncritical: "malformed", |lab| lab.header(json!({ "b64": true }));
    compressed: "malformed", |lab| lab.header(json!({ "zip": "DEF" }));
    encrypted_by_its_header: "malformed", |lab| lab.header(json!({ "enc": "A256GCM" }));

    type_jwt: "wrong_type", |lab| typed(lab, json!("JWT"));
    type_missing: "wrong_type", |lab| typed(lab, Value::Null);
    type_empty: "wrong_type", |lab| typed(lab, json!(""));
    type_of_logout: "wrong_type", |lab| typed(lab, json!("logout+jwt"));
    type_of_security_event: "wrong_type", |lab| typed(lab, json!("secevent+jwt"));
    type_of_proof: "wrong_type", |lab| typed(lab, json!("dpop+jwt"));
    type_of_introspection: "wrong_type", |lab| typed(lab, json!("token-introspection+jwt"));
    type_with_a_space: "wrong_type", |lab| typed(lab, json!("at+jwt "));
    type_with_a_parameter: "wrong_type", |lab| typed(lab, json!("at+jwt;x=1"));
    type_with_two_prefixes: "wrong_type", |lab| typed(lab, json!("application/application/at+jwt"));
    type_as_list: "malformed", |lab| typed(lab, json!(["at+jwt"]));
}
