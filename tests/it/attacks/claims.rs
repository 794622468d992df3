//! Attacks on what the token says: issuer, audience, time, names, kinds, and claims of other types.

#![expect(clippy::needless_pass_by_value, reason = "`json!` makes the arguments where they are passed")]

use serde_json::{Value, json};

use super::{CORP, Lab, attacks};

fn iss(lab: &Lab, iss: Value) -> String {
    lab.token(json!({ "iss": iss }))
}

fn aud(lab: &Lab, aud: Value) -> String {
    lab.token(json!({ "aud": aud }))
}

/// A plain JWT of the issuer that takes those, with these claims more.
fn lax(lab: &Lab, more: Value) -> String {
    let mut claims = json!({ "iss": "https://lax.example.com" });
    claims.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
    lab.sign(&lab.lax, json!({ "typ": "JWT" }), claims)
}

attacks! {
    issuer_missing: "wrong_issuer", |lab| iss(lab, Value::Null);
    issuer_unknown: "wrong_issuer", |lab| iss(lab, json!("https://evil.example.com"));
    issuer_with_a_slash: "wrong_issuer", |lab| iss(lab, json!(format!("{CORP}/")));
    issuer_in_upper_case: "wrong_issuer", |lab| iss(lab, json!("https://LOGIN.example.com"));
    issuer_with_a_port: "wrong_issuer", |lab| iss(lab, json!(format!("{CORP}:443")));
    issuer_by_http: "wrong_issuer", |lab| iss(lab, json!("http://login.example.com"));
    issuer_with_a_space: "wrong_issuer", |lab| iss(lab, json!(format!(" {CORP}")));
    issuer_with_a_line_end: "wrong_issuer", |lab| iss(lab, json!(format!("{CORP}\n")));
    issuer_with_a_null_byte: "wrong_issuer", |lab| iss(lab, json!(format!("{CORP}\u{0}")));
    // A Cyrillic letter that looks like an `o`.
    issuer_that_looks_alike: "wrong_issuer", |lab| iss(lab, json!("https://l\u{43e}gin.example.com"));
    issuer_with_a_suffix: "wrong_issuer", |lab| iss(lab, json!(format!("{CORP}.evil.example.com")));
    issuer_by_alias: "wrong_issuer", |lab| iss(lab, json!("corp"));
    issuer_as_list: "malformed", |lab| iss(lab, json!([CORP]));
    issuer_as_list_of_two: "malformed", |lab| iss(lab, json!([CORP, "https://evil.example.com"]));
    issuer_as_object: "malformed", |lab| iss(lab, json!({ CORP: true }));
    issuer_as_number: "malformed", |lab| iss(lab, json!(7));
    issuer_as_null: "malformed", |lab| lab.claim_written("iss", "null");

    audience_missing: "wrong_audience", |lab| aud(lab, Value::Null);
    audience_empty: "wrong_audience", |lab| aud(lab, json!([]));
    audience_of_another: "wrong_audience", |lab| aud(lab, json!("billing"));
    audience_that_begins_alike: "wrong_audience", |lab| aud(lab, json!("orders2"));
    audience_cut_short: "wrong_audience", |lab| aud(lab, json!("order"));
    audience_in_upper_case: "wrong_audience", |lab| aud(lab, json!("ORDERS"));
    audience_with_a_slash: "wrong_audience", |lab| aud(lab, json!("https://api.example.com/"));
    audience_of_two_in_one: "wrong_audience", |lab| aud(lab, json!("orders billing"));
    audience_of_everybody: "wrong_audience", |lab| aud(lab, json!("*"));
    audience_with_a_number_in_it: "malformed", |lab| aud(lab, json!(["orders", 7]));
    audience_in_a_list_in_a_list: "malformed", |lab| aud(lab, json!([["orders"]]));
    audience_as_object: "malformed", |lab| aud(lab, json!({ "orders": true }));
    audience_as_null: "malformed", |lab| lab.claim_written("aud", "null");
    audience_as_truth: "malformed", |lab| aud(lab, json!(true));

    expiry_missing: "malformed", |lab| lab.token(json!({ "exp": null }));
    expiry_as_text: "malformed", |lab| lab.token(json!({ "exp": (lab.now + 300).to_string() }));
    expiry_as_null: "malformed", |lab| lab.claim_written("exp", "null");
    expiry_as_list: "malformed", |lab| lab.token(json!({ "exp": [lab.now + 300] }));
    expiry_negative: "malformed", |lab| lab.token(json!({ "exp": -1 }));
    expiry_not_a_number: "malformed", |lab| lab.claim_written("exp", "NaN");
    expiry_infinite: "malformed", |lab| lab.claim_written("exp", "Infinity");
    expiry_beyond_all_numbers: "malformed", |lab| lab.claim_written("exp", "1e400");
    expiry_beyond_all_dates: "malformed", |lab| lab.claim_written("exp", "1e300");
    expiry_of_64_bits: "malformed", |lab| lab.claim_written("exp", "18446744073709551615");
    expiry_that_wraps_around: "malformed", |lab| lab.claim_written("exp", "18446744073709551616");
    expiry_in_hexadecimal: "malformed", |lab| lab.claim_written("exp", "0x7fffffff");
    expiry_in_milliseconds: "malformed", |lab| lab.token(json!({ "exp": (lab.now + 300) * 1_000 }));
    expired: "expired", |lab| lab.token(json!({ "iat": lab.now - 600, "exp": lab.now - 300 }));
    expired_a_second_beyond_leeway: "expired",
        |lab| lab.token(json!({ "iat": lab.now - 600, "exp": lab.now - 31 }));
    expiry_before_issue: "malformed", |lab| lab.token(json!({ "iat": lab.now + 20, "exp": lab.now + 10 }));
    issued_at_missing: "malformed", |lab| lab.token(json!({ "iat": null }));
    issued_at_as_text: "malformed", |lab| lab.token(json!({ "iat": "now" }));
    issued_in_the_future: "not_yet_valid", |lab| lab.token(json!({ "iat": lab.now + 120 }));
    issued_too_long_ago: "expired", |lab| lab.token(json!({ "iat": lab.now - 3_700 }));
    not_before_in_the_future: "not_yet_valid", |lab| lab.token(json!({ "nbf": lab.now + 120 }));
    not_before_as_text: "malformed", |lab| lab.token(json!({ "nbf": "0" }));
    not_before_as_null: "malformed", |lab| lab.claim_written("nbf", "null");
    longer_lived_than_allowed: "too_long_lived", |lab| lab.token(json!({ "exp": lab.now + 7_201 }));
    lived_for_ever: "too_long_lived", |lab| lab.token(json!({ "exp": 253_402_300_799_i64 }));

    subject_missing: "malformed", |lab| lab.token(json!({ "sub": null }));
    subject_empty: "malformed", |lab| lab.token(json!({ "sub": "" }));
    subject_as_number: "malformed", |lab| lab.token(json!({ "sub": 0 }));
    subject_as_list: "malformed", |lab| lab.token(json!({ "sub": ["alice", "admin"] }));
    subject_with_a_line_end: "malformed", |lab| lab.token(json!({ "sub": "alice\nadmin" }));
    subject_of_300_bytes: "malformed", |lab| lab.token(json!({ "sub": "a".repeat(300) }));
    client_missing: "malformed", |lab| lab.token(json!({ "client_id": null }));
    token_id_missing: "malformed", |lab| lab.token(json!({ "jti": null }));
    token_id_as_number: "malformed", |lab| lab.token(json!({ "jti": 1 }));
    scopes_as_object: "malformed", |lab| lab.token(json!({ "scope": { "orders:write": true } }));
    scope_with_a_space_in_a_list: "malformed", |lab| lab.token(json!({ "scope": ["orders:read orders:write"] }));
    roles_as_object: "malformed", |lab| lab.token(json!({ "roles": { "admin": true } }));
    roles_with_a_number: "malformed", |lab| lab.token(json!({ "roles": ["clerk", 1] }));
    roles_more_than_are_read: "malformed", |lab| lab.token(json!({ "roles": ["a", "b", "c", "d"] }));
    roles_of_clients_as_list: "malformed", |lab| lab.token(json!({ "resource_access": ["admin"] }));
    groups_kept_elsewhere: "malformed",
        |lab| lab.token(json!({ "_claim_names": { "groups": "s" }, "_claim_sources": { "s": { "endpoint": "http://x" } } }));
    groups_said_to_exist: "malformed", |lab| lab.token(json!({ "hasgroups": true }));
    login_after_the_token: "malformed", |lab| lab.token(json!({ "auth_time": lab.now + 120 }));
    bound_to_a_key_without_proof: "binding_failed",
        |lab| lab.token(json!({ "cnf": { "jkt": "0ZcOCORZNYy-DWpqq30jZyJGHTN0d2HglBV3uiguA4I" } }));
    bound_to_a_certificate_without_one: "binding_failed",
        |lab| lab.token(json!({ "cnf": { "x5t#S256": "bwcK0esc3ACC3DB2Y5_lESsXE8o9ltc05O89jdN-dg2" } }));

    id_token_by_its_nonce: "wrong_type", |lab| lax(lab, json!({ "nonce": "n-0S6_WzA2Mj" }));
    id_token_by_its_token_hash: "wrong_type", |lab| lax(lab, json!({ "at_hash": "MTIzNDU2Nzg5MDEyMzQ1Ng" }));
    id_token_by_its_code_hash: "wrong_type", |lab| lax(lab, json!({ "c_hash": "MTIzNDU2Nzg5MDEyMzQ1Ng" }));
    id_token_by_its_own_word: "wrong_type", |lab| lax(lab, json!({ "typ": "ID" }));
    refresh_token: "wrong_type", |lab| lax(lab, json!({ "typ": "Refresh" }));
    logout_token: "wrong_type",
        |lab| lax(lab, json!({ "events": { "http://schemas.openid.net/event/backchannel-logout": {} } }));
    typed_token_of_another_kind_at_a_lax_issuer: "wrong_type",
        |lab| lab.sign(&lab.lax, json!({ "typ": "id+jwt" }), json!({ "iss": "https://lax.example.com" }));

    issuer_twice: "malformed", |lab| lab.claim_text(r#""iss":"https://evil.example.com""#);
    subject_twice_in_another_spelling: "malformed", |lab| lab.claim_text(r#""\u0073ub":"admin""#);
    expiry_twice: "malformed", |lab| lab.claim_text(r#""exp":9999999999"#);
    member_twice_deep_inside: "malformed", |lab| lab.claim_text(r#""x":[{"roles":{"a":1,"a":2}}]"#);
    algorithm_twice: "malformed", |lab| lab.header_text(r#""alg":"none""#);
    algorithm_twice_in_another_spelling: "malformed", |lab| lab.header_text(r#""\u0061lg":"none""#);
}
