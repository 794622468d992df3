//! Workloads that prove themselves by a token (JWT-SVID), and every way around it that has a name.

use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use deodar::identity::{Algorithm, SigningKey};
use serde_json::{Map, Value, json};

use super::{Attack, Door, PATH, all_refused, attack, call, detail, reason};
use crate::support::certificate::{Authority, alone, client};
use crate::support::proof::{bearer, seconds_from_now};

const ID: &str = "spiffe://prod.example.com/ns/shop/sa/web";

struct Keys {
    prod: SigningKey,
    rsa: SigningKey,
    /// In the bundle, and of no use for tokens: the wrong algorithm, and the wrong purpose.
    edwards: SigningKey,
    certificates: SigningKey,
    partner: SigningKey,
    authority: Authority,
}

fn with_use(key: &SigningKey, purpose: &str) -> Value {
    let mut jwk = key.public_jwk();
    jwk["use"] = json!(purpose);
    jwk
}

impl Keys {
    fn new() -> Self {
        let key = |algorithm| SigningKey::generate(algorithm).unwrap();
        Self {
            prod: key(Algorithm::Es256),
            rsa: key(Algorithm::Rs256),
            edwards: key(Algorithm::EdDsa),
            certificates: key(Algorithm::Es256),
            partner: key(Algorithm::Es256),
            authority: Authority::root("prod"),
        }
    }

    async fn open(&self) -> Door {
        let folder = tempfile::tempdir().unwrap();
        let mut authority = with_use(&self.certificates, "x509-svid");
        authority["x5c"] = json!([BASE64_STANDARD.encode(&self.authority.der)]);
        let unknown = json!({ "kty": "AKP", "use": "jwt-svid-next" });
        let tokens = [&self.prod, &self.rsa, &self.edwards].map(|key| with_use(key, "jwt-svid"));
        let mut keys = tokens.to_vec();
        keys.extend([authority, unknown]);
        let prod = json!({ "keys": keys, "spiffe_sequence": 7, "spiffe_refresh_hint": 300 });
        let partner = json!({ "keys": [with_use(&self.partner, "jwt-svid")] });
        for (name, bundle) in [("prod", prod), ("partner", partner)] {
            std::fs::write(folder.path().join(format!("{name}.json")), bundle.to_string()).unwrap();
        }
        let folder = folder.path().display();
        Door::open(&format!(
            r#"
[[identity.trust_domains]]
alias = "prod"
name = "prod.example.com"
bundle_file = "{folder}/prod.json"
jwt_audiences = ["things"]
domains = "*"

[[identity.trust_domains]]
alias = "partner"
name = "partner.example.org"
bundle_file = "{folder}/partner.json"
domains = "*"
"#
        ))
        .await
    }

    /// A good token but for these changes; `null` removes a member.
    fn token(&self, key: &SigningKey, header: Value, claims: Value) -> String {
        let good = json!({ "alg": key.algorithm().as_str(), "kid": key.kid(), "typ": "JWT" });
        let now = seconds_from_now(0);
        let said = json!({ "sub": ID, "aud": ["things"], "iat": now, "exp": now + 300 });
        let header = Value::Object(changed(good, header)).to_string();
        key.sign_text(&header, &Value::Object(changed(said, claims)).to_string()).unwrap()
    }
}

fn changed(good: Value, changes: Value) -> Map<String, Value> {
    let (Value::Object(mut members), Value::Object(changes)) = (good, changes) else { panic!("objects") };
    for (name, value) in changes {
        if value.is_null() {
            members.shift_remove(&name);
        } else {
            members.insert(name, value);
        }
    }
    members
}

#[tokio::test]
async fn a_workload_proves_itself_by_a_token() {
    let keys = Keys::new();
    let door = keys.open().await;
    let none = || json!({});
    for token in [
        keys.token(&keys.prod, none(), none()),
        keys.token(&keys.rsa, none(), none()),
        keys.token(&keys.prod, json!({ "typ": null }), json!({ "iss": "https://spire.example.com" })),
        keys.token(&keys.prod, json!({ "typ": "JOSE" }), json!({ "aud": "things" })),
        keys.token(&keys.prod, json!({ "kid": null }), json!({ "roles": ["admin"], "scope": "everything" })),
    ] {
        let decision = door.get(bearer(&token, "")).await;
        assert_eq!(reason(&decision), "allowed", "{}", detail(&decision));
        assert_eq!(decision.principal, "Workload::prod/ns/shop/sa/web");
        let seen = door.ask(bearer(&token, ""), call("/seen")).await;
        assert_eq!(reason(&seen), "forbidden_by_policy", "it is a bearer token");
    }
    let certificate = keys.authority.sign(&client(&[ID]));
    let decision = door.ask(alone(&certificate, &[]), call(PATH)).await;
    assert_eq!(
        (reason(&decision).as_str(), decision.principal.as_str()),
        ("allowed", "Workload::prod/ns/shop/sa/web")
    );
    door.app.stop().await;
}

fn attacks(keys: &Keys) -> Vec<Attack> {
    let claims = |changes| bearer(&keys.token(&keys.prod, json!({}), changes), "");
    let header = |changes| bearer(&keys.token(&keys.prod, changes, json!({})), "");
    let of = |key: &SigningKey| bearer(&keys.token(key, json!({}), json!({})), "");
    let sub = |sub: &str| claims(json!({ "sub": sub }));
    let now = seconds_from_now(0);
    let good = keys.token(&keys.prod, json!({}), json!({}));
    let unsigned = format!("{}.", good.rsplit_once('.').unwrap().0);
    let stranger = SigningKey::generate(Algorithm::Es256).unwrap();
    let partner = |key: &SigningKey| {
        bearer(&keys.token(key, json!({}), json!({ "sub": "spiffe://partner.example.org/web" })), "")
    };
    vec![
        attack("for somebody else", claims(json!({ "aud": ["orders"] })), ["wrong_audience", "orders"]),
        attack("for nobody", claims(json!({ "aud": null })), ["wrong_audience", "no audience"]),
        attack("for nobody in particular", claims(json!({ "aud": [] })), ["wrong_audience", "no audience"]),
        attack("aud of another type", claims(json!({ "aud": 7 })), ["malformed", "`aud`"]),
        attack("no sub", claims(json!({ "sub": null })), ["wrong_issuer", "names no issuer"]),
        attack("a sub that is no SPIFFE ID", sub("web"), ["wrong_issuer", "names no issuer"]),
        attack(
            "the sub of a trust domain",
            sub("spiffe://prod.example.com"),
            ["malformed", "not of a workload"],
        ),
        attack("a sub in capitals", sub("SPIFFE://prod.example.com/web"), ["malformed", "begins with"]),
        attack("a sub with dots", sub("spiffe://prod.example.com/../web"), ["malformed", "segment"]),
        attack("a sub with a slash more", sub("spiffe://prod.example.com/web/"), ["malformed", "slash"]),
        attack(
            "the sub of an unknown trust domain",
            sub("spiffe://x.example.com/web"),
            ["wrong_issuer", "not configured"],
        ),
        attack(
            "the sub of another trust domain",
            sub("spiffe://partner.example.org/web"),
            ["unknown_key", "no key"],
        ),
        attack("the key of another trust domain", of(&keys.partner), ["unknown_key", "no key"]),
        attack(
            "a trust domain whose tokens are not taken",
            partner(&keys.partner),
            ["wrong_audience", "things"],
        ),
        attack("a key for certificates", of(&keys.certificates), ["unknown_key", "no key"]),
        attack("a key of nobody", of(&stranger), ["unknown_key", "no key"]),
        attack(
            "the kid of another key",
            bearer(&keys.token(&stranger, json!({ "kid": keys.prod.kid() }), json!({})), ""),
            ["bad_signature", "signature"],
        ),
        attack("a kid that is a path", header(json!({ "kid": "../keys" })), ["unknown_key", "no key"]),
        attack(
            "an algorithm that SPIFFE does not know",
            of(&keys.edwards),
            ["algorithm_not_allowed", "EdDSA"],
        ),
        attack("alg none", header(json!({ "alg": "none" })), ["algorithm_not_allowed", "none"]),
        attack("alg HMAC", header(json!({ "alg": "HS256" })), ["algorithm_not_allowed", "HS256"]),
        attack("alg of another key", header(json!({ "alg": "RS256" })), ["algorithm_not_allowed", "RS256"]),
        attack("no signature", bearer(&unsigned, ""), ["malformed", "signature is missing"]),
        attack("a header with a certificate", header(json!({ "x5c": ["AA"] })), ["malformed", "x5c"]),
        attack("a header with a content type", header(json!({ "cty": "JWT" })), ["malformed", "cty"]),
        attack("an access token's type", header(json!({ "typ": "at+jwt" })), ["wrong_type", "at+jwt"]),
        attack("a WIT-SVID", header(json!({ "typ": "wit+jwt" })), ["wrong_type", "wit+jwt"]),
        attack("no exp", claims(json!({ "exp": null })), ["malformed", "`exp`"]),
        attack("no iat", claims(json!({ "iat": null })), ["malformed", "`iat`"]),
        attack("expired", claims(json!({ "iat": now - 600, "exp": now - 60 })), ["expired", "expired"]),
        attack("not yet", claims(json!({ "nbf": now + 120 })), ["not_yet_valid", "valid from"]),
        attack("for too long", claims(json!({ "exp": now + 100_000 })), ["too_long_lived", "may give"]),
        attack(
            "a path beyond the bound",
            sub(&format!("spiffe://prod.example.com/{}", "a".repeat(300))),
            ["malformed", "bytes"],
        ),
    ]
}

#[tokio::test]
async fn every_named_attack_is_refused_for_its_own_reason() {
    let keys = Keys::new();
    let door = keys.open().await;
    let good = keys.token(&keys.prod, json!({}), json!({}));
    assert_eq!(reason(&door.get(bearer(&good, "")).await), "allowed");
    all_refused(&door, attacks(&keys)).await;
    door.app.stop().await;
}

#[tokio::test]
async fn an_issuer_that_is_named_is_asked_and_no_trust_domain() {
    let keys = Keys::new();
    let door = keys.open().await;
    let token = door.token(json!({ "sub": ID }));
    let decision = door.get(bearer(&token, "")).await;
    assert_eq!(reason(&decision), "allowed", "{}", detail(&decision));
    assert_eq!(decision.principal, format!("User::dev/{ID}"), "a subject of the issuer, and nothing else");
    door.app.stop().await;
}
