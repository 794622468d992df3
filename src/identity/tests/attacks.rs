//! Tokens that must be refused, each with its exact reason.

use super::*;
use crate::identity::json::{decode_base64url, encode_base64url};
use CredentialFault::{
    AlgorithmNotAllowed, BadSignature, BindingFailed, Expired, Malformed, NotYetValid, TooLongLived,
    UnknownKey, WrongAudience, WrongIssuer, WrongType,
};

fn fault_of(changes: Value) -> CredentialFault {
    fault(&identity(), &token(changes))
}

/// Signs good claims under this header, members set or removed by `null`.
fn with_header(changes: Value) -> String {
    let mut members = object(json!({ "alg": "EdDSA", "kid": KEY.kid(), "typ": "at+jwt" }));
    for (name, value) in object(changes) {
        if value.is_null() {
            members.shift_remove(&name)
        } else {
            members.insert(name, value)
        };
    }
    KEY.sign_text(&Value::Object(members).to_string(), &Value::Object(claims(json!({}))).to_string()).unwrap()
}

fn header_fault(changes: Value) -> CredentialFault {
    fault(&identity(), &with_header(changes))
}

/// Good claims as text, with this member text added at the end.
fn with_claim_text(member: &str) -> String {
    let claims = Value::Object(claims(json!({}))).to_string();
    let payload = format!("{},{member}}}", claims.strip_suffix('}').unwrap());
    let header = json!({ "alg": "EdDSA", "kid": KEY.kid(), "typ": "at+jwt" });
    KEY.sign_text(&header.to_string(), &payload).unwrap()
}

#[test]
fn tampered_payload_is_denied_though_the_original_is_cached() {
    let identity = identity();
    let good = token(json!({}));
    judge(&identity, &good, NOW).unwrap();
    let parts: Vec<&str> = good.split('.').collect();
    let payload = String::from_utf8(decode_base64url(parts[1]).unwrap()).unwrap();
    let payload = encode_base64url(payload.replace("alice", "admin"));
    assert_eq!(fault(&identity, &format!("{}.{payload}.{}", parts[0], parts[2])), BadSignature);
}

#[test]
fn tampered_signature_is_denied() {
    let good = token(json!({}));
    let (signed, signature) = good.rsplit_once('.').unwrap();
    let mut bytes = decode_base64url(signature).unwrap();
    bytes[10] ^= 1;
    assert_eq!(fault(&identity(), &format!("{signed}.{}", encode_base64url(&bytes))), BadSignature);
    bytes.truncate(63);
    assert_eq!(fault(&identity(), &format!("{signed}.{}", encode_base64url(&bytes))), BadSignature);
    assert_eq!(fault(&identity(), &format!("{signed}.")), Malformed);
}

#[test]
fn unsigned_tokens_are_denied_in_every_spelling() {
    for alg in ["none", "None", "NONE", "nOnE", " none", ""] {
        assert_eq!(header_fault(json!({ "alg": alg })), AlgorithmNotAllowed, "{alg}");
        let text = with_header(json!({ "alg": alg }));
        let (signed, _) = text.rsplit_once('.').unwrap();
        assert_eq!(fault(&identity(), &format!("{signed}.")), AlgorithmNotAllowed, "{alg}, no signature");
    }
}

#[test]
fn algorithm_switch_from_public_key_to_shared_secret_is_denied() {
    for (alg, kid) in [("HS256", RSA_KEY.kid()), ("HS384", KEY.kid()), ("HS512", KEY.kid())] {
        assert_eq!(header_fault(json!({ "alg": alg, "kid": kid })), AlgorithmNotAllowed, "{alg}");
    }
}

#[test]
fn algorithm_the_issuer_was_not_allowed_is_denied() {
    for alg in ["RS512", "ES512", "Ed25519", "eddsa", "RS1"] {
        assert_eq!(header_fault(json!({ "alg": alg })), AlgorithmNotAllowed, "{alg}");
    }
    let mut only_rsa = settings();
    only_rsa.algorithms = vec![Algorithm::Rs256];
    assert_eq!(fault(&identity_of(vec![only_rsa]), &token(json!({}))), AlgorithmNotAllowed);
}

#[test]
fn algorithm_of_another_kind_of_key_is_denied() {
    assert_eq!(header_fault(json!({ "alg": "RS256" })), AlgorithmNotAllowed);
    assert_eq!(header_fault(json!({ "alg": "PS256", "kid": RSA_KEY.kid() })), AlgorithmNotAllowed);
}

#[test]
fn key_ids_are_only_compared() {
    for kid in ["other", "", "../../../../dev/null", "' OR '1'='1", "https://evil.example/jwks", "\u{0}"] {
        assert_eq!(header_fault(json!({ "kid": kid })), UnknownKey, "{kid}");
    }
    assert_eq!(header_fault(json!({ "kid": ["a"] })), Malformed);
}

#[test]
fn a_strangers_key_is_denied_with_or_without_a_known_id() {
    let stranger = key(Algorithm::EdDsa);
    let own_id = stranger.sign(header("at+jwt"), &claims(json!({}))).unwrap();
    assert_eq!(fault(&identity(), &own_id), UnknownKey);
    let mut members = header("at+jwt");
    members.insert("kid".into(), KEY.kid().into());
    let borrowed_id = stranger.sign(members, &claims(json!({}))).unwrap();
    assert_eq!(fault(&identity(), &borrowed_id), BadSignature);
}

#[test]
fn keys_and_addresses_in_the_header_are_never_followed() {
    let stranger = key(Algorithm::EdDsa);
    for (name, value) in [
        ("jwk", stranger.public_jwk()),
        ("jku", json!("https://evil.example/jwks.json")),
        ("x5u", json!("https://evil.example/cert.pem")),
    ] {
        let mut members = header("at+jwt");
        members.insert(name.into(), value);
        assert_eq!(
            fault(&identity(), &stranger.sign(members, &claims(json!({}))).unwrap()),
            Malformed,
            "{name}"
        );
    }
}

#[test]
fn critical_extensions_and_unencoded_payloads_are_denied() {
    assert_eq!(header_fault(json!({ "crit": ["exp"], "exp": 1 })), Malformed);
    assert_eq!(header_fault(json!({ "crit": [] })), Malformed);
    assert_eq!(header_fault(json!({ "b64": false, "crit": ["b64"] })), Malformed);
    assert_eq!(header_fault(json!({ "b64": false })), Malformed);
}

#[test]
fn wrong_issuer_is_denied_however_close() {
    for iss in ["https://login.example.com/", "HTTPS://login.example.com", "https://evil.example", "corp", ""]
    {
        assert_eq!(fault_of(json!({ "iss": iss })), WrongIssuer, "{iss}");
    }
    assert_eq!(fault_of(json!({ "iss": null })), WrongIssuer);
    assert_eq!(fault_of(json!({ "iss": [ISSUER] })), Malformed);
    assert_eq!(fault_of(json!({ "iss": 7 })), Malformed);
}

#[test]
fn one_issuers_key_does_not_sign_for_another() {
    let theirs = key(Algorithm::EdDsa);
    let mut other = settings();
    (other.alias, other.issuer) = ("partner".parse().unwrap(), "https://partner.example".into());
    other.jwks = Some(theirs.public_jwks());
    let identity = identity_of(vec![settings(), other]);
    let forged = theirs.sign(header("at+jwt"), &claims(json!({}))).unwrap();
    assert_eq!(fault(&identity, &forged), UnknownKey);
}

#[test]
fn wrong_or_missing_audience_is_denied() {
    for aud in [json!("billing"), json!(["billing", "ORDERS"]), json!([]), json!("")] {
        assert_eq!(fault_of(json!({ "aud": aud })), WrongAudience, "{aud}");
    }
    assert_eq!(fault_of(json!({ "aud": null })), WrongAudience);
    for aud in [json!(7), json!([7]), json!({ "orders": true }), json!(["orders", null])] {
        assert_eq!(fault_of(json!({ "aud": aud })), Malformed, "{aud}");
    }
}

#[test]
fn expired_token_is_denied_cached_or_not() {
    let now = NOW.seconds();
    assert_eq!(fault_of(json!({ "iat": now - 600, "exp": now - 31 })), Expired);
    let identity = identity();
    let text = token(json!({}));
    judge(&identity, &text, NOW).unwrap();
    let late = Timestamp::from_seconds(now + 330);
    assert!(judge(&identity, &text, Timestamp::from_micros(late.micros() - 1)).is_ok());
    let refusal = judge(&identity, &text, late).unwrap_err();
    assert_eq!(refusal.reason, Reason::CredentialInvalid(Expired));
}

#[test]
fn token_from_the_future_is_denied() {
    let now = NOW.seconds();
    assert_eq!(fault_of(json!({ "nbf": now + 31 })), NotYetValid);
    assert_eq!(fault_of(json!({ "iat": now + 31 })), NotYetValid);
    assert!(judge(&identity(), &token(json!({ "iat": now + 30, "nbf": now + 30 })), NOW).is_ok());
}

#[test]
fn too_long_lived_token_is_denied() {
    let now = NOW.seconds();
    assert_eq!(fault_of(json!({ "exp": now + 86_401 })), TooLongLived);
    assert!(judge(&identity(), &token(json!({ "exp": now + 86_400 })), NOW).is_ok());
}

#[test]
fn times_of_other_types_are_denied() {
    let odd = [json!("1800000300"), json!(-1), json!(1e300), json!(u64::MAX), json!(253_402_300_800_u64)];
    for name in ["exp", "iat", "nbf"] {
        for value in &odd {
            assert_eq!(fault_of(json!({ name: value })), Malformed, "{name} {value}");
        }
    }
    assert_eq!(fault(&identity(), &with_claim_text("\"nbf\":null")), Malformed);
    assert_eq!(fault_of(json!({ "exp": null })), Malformed);
    assert_eq!(fault_of(json!({ "iat": null })), Malformed);
    assert_eq!(fault_of(json!({ "iat": NOW.seconds(), "exp": NOW.seconds() })), Malformed);
}

#[test]
fn fractions_of_a_second_count() {
    // A NumericDate may have them (RFC 7519 section 2).
    let until =
        |seconds: f64| token(json!({ "iat": NOW.seconds() - 100, "exp": NOW.seconds() as f64 + seconds }));
    assert_eq!(fault(&identity(), &until(-30.5)), Expired);
    assert!(judge(&identity(), &until(-29.5), NOW).is_ok());
}

#[test]
fn other_kinds_of_token_are_denied() {
    for typ in ["JWT", "id+jwt", "dpop+jwt", "logout+jwt", "at+jwt2", "application/application/at+jwt", ""] {
        assert_eq!(header_fault(json!({ "typ": typ })), WrongType, "{typ}");
    }
    assert_eq!(header_fault(json!({ "typ": null })), WrongType);
}

#[test]
fn id_token_is_denied_even_where_plain_jwts_are_allowed() {
    let mut lax = settings();
    lax.token_types.push("JWT".into());
    let identity = identity_of(vec![lax]);
    let plain = |changes| KEY.sign(header("JWT"), &claims(changes)).unwrap();
    assert!(judge(&identity, &plain(json!({})), NOW).is_ok());
    for changes in [
        json!({ "nonce": "n" }),
        json!({ "at_hash": "h" }),
        json!({ "c_hash": "h" }),
        json!({ "events": {} }),
        json!({ "typ": "ID" }),
        json!({ "typ": "Refresh" }),
    ] {
        assert_eq!(fault(&identity, &plain(changes.clone())), WrongType, "{changes}");
    }
}

#[test]
fn repeated_members_are_denied() {
    for member in [r#""sub":"admin""#, r#""exp":9999999999"#, r#""\u0073ub":"admin""#, r#""x":{"a":1,"a":2}"#]
    {
        assert_eq!(fault(&identity(), &with_claim_text(member)), Malformed, "{member}");
    }
    let header = format!(r#"{{"alg":"none","alg":"EdDSA","typ":"at+jwt","kid":"{}"}}"#, KEY.kid());
    let text = KEY.sign_text(&header, &Value::Object(claims(json!({}))).to_string()).unwrap();
    assert_eq!(fault(&identity(), &text), Malformed);
}

#[test]
fn oversized_token_is_denied_before_it_is_read() {
    let text = token(json!({ "padding": "x".repeat(20_000) }));
    let refusal = judge(&identity(), &text, NOW).unwrap_err();
    assert!(refusal.detail.contains("16384"), "{refusal}");
}

#[test]
fn texts_that_are_not_one_token_are_denied() {
    let good = token(json!({}));
    let bad = [
        format!("{good},{good}"),
        format!("{good}, {good}"),
        format!("{good}."),
        format!("{good}.{good}"),
        format!(".{good}"),
        format!("{good}="),
        format!("{good}\n"),
        format!(" {good}"),
        good.replacen('.', "=.", 1),
        good.replace('.', ".."),
        good.replacen("eyJ", "e+J", 1),
        "deodar_gateway_xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx".to_owned(),
        String::new(),
    ];
    for text in bad {
        assert_eq!(fault(&identity(), &text), Malformed, "{text}");
    }
    let refusal = identity().authenticate(&Credential::Malformed("two credentials"), NOW).unwrap_err();
    assert_eq!(refusal.reason, Reason::CredentialInvalid(Malformed));
}

#[test]
fn subject_must_be_there_and_fit_to_be_a_name() {
    let long = "x".repeat(256);
    for sub in [json!(null), json!(""), json!(7), json!("a\nb"), json!("a\u{0}"), json!(long), json!(["a"])] {
        assert_eq!(fault_of(json!({ "sub": sub })), Malformed, "{sub}");
    }
}

#[test]
fn required_claims_and_claims_of_other_types_are_denied() {
    for changes in [
        json!({ "client_id": null }),
        json!({ "jti": null }),
        json!({ "jti": 7 }),
        json!({ "sid": "" }),
        json!({ "scope": 7 }),
        json!({ "scope": ["a b"] }),
        json!({ "roles": { "admin": true } }),
        json!({ "groups": [1] }),
        json!({ "acr": 2 }),
        json!({ "amr": {} }),
        json!({ "auth_time": "now" }),
        json!({ "auth_time": NOW.seconds() + 31 }),
        json!({ "cnf": "x" }),
    ] {
        assert_eq!(fault_of(changes.clone()), Malformed, "{changes}");
    }
}

#[test]
fn token_bound_to_a_key_is_no_bearer_token() {
    for cnf in [json!({ "jkt": "x" }), json!({ "x5t#S256": "x" }), json!({})] {
        assert_eq!(fault_of(json!({ "cnf": cnf })), BindingFailed, "{cnf}");
    }
}

#[test]
fn a_key_that_is_gone_stops_verifying_at_once() {
    let text = token(json!({}));
    judge(&identity(), &text, NOW).unwrap();
    let mut rotated = settings();
    rotated.jwks = Some(RSA_KEY.public_jwks());
    assert_eq!(fault(&identity_of(vec![rotated]), &text), UnknownKey);
}
