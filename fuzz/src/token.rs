//! Access tokens: who is accepted was signed for, is in time, and is what the token says; all others are refused for a
//! reason that gives nothing away.

use std::collections::BTreeSet;
use std::sync::LazyLock;
use std::time::Duration;

use base64::Engine;
use base64::prelude::BASE64_URL_SAFE_NO_PAD as BASE64;
use deodar::identity::{
    Algorithm, Authenticated, CacheConfig, ClaimPath, Config, Grant, Identity, IdentityRefusal, IssuerConfig,
    KeySet, SigningKey,
};
use deodar::model::{Credential, Secret, Timestamp};
use serde_json::{Value, json};
use sha2::{Digest, Sha256};

use super::{Verdict, draft, keys, svid};

pub const NOW: Timestamp = Timestamp::from_seconds(1_800_000_000);
pub const CORP: &str = "https://corp.example";
pub const SHOP: &str = "https://shop.example";
/// The roles that `corp` may give.
pub const ROLES: [&str; 2] = ["clerk", "auditor"];

static CACHING: LazyLock<Identity> = LazyLock::new(|| identity(1_000));
static FRESH: LazyLock<Identity> = LazyLock::new(|| identity(0));

/// Two issuers by different rules, with a key each, and trust domains.
pub fn identity(max_tokens: u64) -> Identity {
    let cache = CacheConfig { max_tokens, ..CacheConfig::default() };
    let config = Config { issuers: vec![corp(), shop()], cache, ..Config::default() };
    svid::trusting(&config, 0)
}

fn path(text: &str) -> ClaimPath {
    ClaimPath::try_from(text.to_owned()).unwrap()
}

fn issuer(alias: &str, url: &str, key: &SigningKey) -> IssuerConfig {
    let mut issuer = IssuerConfig::new(alias.parse().unwrap(), url, vec!["orders".into(), "users".into()]);
    issuer.jwks = Some(key.public_jwks());
    issuer.algorithms = Algorithm::ALL.to_vec();
    issuer
}

fn corp() -> IssuerConfig {
    let mut issuer = issuer("corp", CORP, &keys::CORP);
    issuer.may_assert.roles = Grant::Only(ROLES.map(str::to_owned).into());
    issuer.may_assert.groups = Grant::All;
    issuer.claims.tags = vec![path("level"), path("more")];
    issuer.claims.tenant = Some(path("tenant"));
    issuer.claims.client_roles = Some(path("resource_access"));
    issuer
}

fn shop() -> IssuerConfig {
    let mut issuer = issuer("shop", SHOP, &keys::SHOP);
    issuer.token_types = vec!["JWT".to_owned()];
    issuer.required_claims = Vec::new();
    issuer.max_age = Duration::from_secs(120);
    issuer
}

/// Judges a token or a draft of one, and asserts that it was judged right.
pub fn judge(data: &[u8]) -> Verdict {
    let Some(token) = draft::jwt(data) else { return Verdict::Refused };
    let answer = ask(&FRESH, &token, NOW);
    let again = ask(&CACHING, &token, NOW);
    same(&answer, &again, "with a cache");
    same(&answer, &ask(&CACHING, &token, NOW), "from the cache");
    let inspection = FRESH.inspect(&Secret::new(token.as_str()), NOW);
    match answer {
        Ok(known) => {
            same(&inspection.answer, &again, "when inspected");
            assert_right(&token, &known);
            assert_ends(&token, inspection.remaining(NOW));
            assert_only_as_signed(&token);
            Verdict::Accepted
        }
        Err(refusal) => {
            // Inspection asks for no proof of possession; all else is refused there for the same reason.
            let unproved = inspection.answer.as_ref().is_ok_and(is_bound);
            assert!(unproved || inspection.answer.as_ref().err() == Some(&refusal), "inspected otherwise");
            assert_discreet(&token, &refusal);
            Verdict::Refused
        }
    }
}

fn ask(identity: &Identity, token: &str, now: Timestamp) -> Result<Authenticated, IdentityRefusal> {
    identity.examine(&Credential::Bearer(Secret::new(token)), now)
}

fn is_bound(known: &Authenticated) -> bool {
    known.principal.token.as_ref().is_some_and(|token| token.confirmation.is_bound())
}

fn same(
    one: &Result<Authenticated, IdentityRefusal>,
    other: &Result<Authenticated, IdentityRefusal>,
    when: &str,
) {
    match (one, other) {
        (Ok(one), Ok(other)) => {
            assert_eq!((&one.principal, &one.dropped), (&other.principal, &other.dropped), "{when}");
        }
        (Err(one), Err(other)) => assert_eq!(one, other, "{when}"),
        _ => panic!("{one:?} is {other:?} {when}"),
    }
}

/// The token once more by other means, as far as they reach.
fn assert_right(token: &str, known: &Authenticated) {
    let segments: Vec<&str> = token.split('.').collect();
    let [header, payload, signature] = segments[..] else { panic!("not three segments") };
    let decoded = [header, payload, signature].map(|segment| BASE64.decode(segment).unwrap());
    for (segment, bytes) in [header, payload, signature].into_iter().zip(&decoded) {
        assert_eq!(BASE64.encode(bytes), segment, "the segment has another spelling");
    }
    let header: Value = serde_json::from_slice(&decoded[0]).unwrap();
    let claims: Value = serde_json::from_slice(&decoded[1]).unwrap();
    let (alias, key, kind) = match claims["iss"].as_str() {
        Some(CORP) => ("corp", &keys::CORP, "at+jwt"),
        Some(SHOP) => ("shop", &keys::SHOP, "jwt"),
        _ => return assert_workload(token, [&header, &claims], &decoded[2], known),
    };
    assert_header(&header, kind);
    let signed = &token[..token.rfind('.').unwrap()];
    let keys = KeySet::parse(&key.public_jwks().to_string()).unwrap();
    assert!(keys.verifies(None, Algorithm::EdDsa, signed.as_bytes(), &decoded[2]), "another key's signature");
    assert_times(&claims, if alias == "shop" { 120.0 } else { 86_400.0 });
    assert_principal(token, alias, &claims, known);
}

/// A JWT-SVID (docs/identity/certificates.md).
fn assert_workload(token: &str, parts: [&Value; 2], signature: &[u8], known: &Authenticated) {
    let [header, claims] = parts;
    let (domain, path) = svid::assert_spiffe_id(claims["sub"].as_str().expect("a workload without a name"));
    assert_eq!(known.principal.id.parts(), (domain.alias, path));
    svid::assert_named_only(&known.principal, domain);
    let members = header.as_object().unwrap();
    assert!(members.keys().all(|name| ["alg", "kid", "typ"].contains(&name.as_str())), "{members:?}");
    assert_eq!(header["alg"], "ES256");
    let kind = header.get("typ").map_or("jwt", |typ| typ.as_str().unwrap()).to_ascii_lowercase();
    assert!(["jwt", "jose"].contains(&kind.strip_prefix("application/").unwrap_or(&kind)), "{kind}");
    let signed = &token[..token.rfind('.').unwrap()];
    assert!(domain.signed_token(signed.as_bytes(), signature), "no signature of the trust domain");
    assert_times(claims, 86_400.0);
    let facts = known.principal.token.as_ref().unwrap();
    assert_eq!(facts.sha256, <[u8; 32]>::from(Sha256::digest(token)));
    assert!(!facts.confirmation.is_bound() && !facts.sender_constrained, "a bound token without proof");
    assert!(audience(claims).iter().any(|one| ["orders", "users"].contains(one)), "for somebody else");
    assert!(known.dropped.is_empty(), "{:?}", known.dropped);
}

fn audience(claims: &Value) -> BTreeSet<&str> {
    match &claims["aud"] {
        Value::Array(list) => list.iter().map(|one| one.as_str().unwrap()).collect(),
        one => BTreeSet::from([one.as_str().unwrap()]),
    }
}

fn assert_header(header: &Value, kind: &str) {
    assert_eq!(header["alg"], "EdDSA");
    for name in ["crit", "b64", "jwk", "jku", "x5u", "zip", "enc"] {
        assert!(header.get(name).is_none(), "`{name}` was let by");
    }
    let typ = header.get("typ").map_or("jwt", |typ| typ.as_str().unwrap()).to_ascii_lowercase();
    assert_eq!(typ.strip_prefix("application/").unwrap_or(&typ), kind);
}

fn assert_times(claims: &Value, max_age: f64) {
    let (now, leeway) = (NOW.seconds() as f64, 30.0);
    let time = |name: &str| claims.get(name).map(|value| value.as_f64().unwrap());
    let (issued, ends) = (time("iat").unwrap(), time("exp").unwrap());
    assert!(ends + leeway > now && issued - leeway <= now, "out of time");
    assert!(time("nbf").is_none_or(|begins| begins - leeway <= now), "too early");
    assert!(ends - issued <= 86_400.0, "lives too long");
    assert!(issued + max_age + leeway > now, "too old");
}

fn assert_principal(token: &str, alias: &str, claims: &Value, known: &Authenticated) {
    let principal = &known.principal;
    let facts = principal.token.as_ref().unwrap();
    assert_eq!(principal.id.parts(), (alias, claims["sub"].as_str().unwrap()));
    assert_eq!(facts.issuer.as_str(), alias);
    assert_eq!(facts.sha256, <[u8; 32]>::from(Sha256::digest(token)));
    assert!(!facts.confirmation.is_bound() && !facts.sender_constrained, "a bound token without proof");
    let text = |name: &str| claims.get(name).and_then(Value::as_str);
    assert_eq!((facts.token_id.as_deref(), facts.session_id.as_deref()), (text("jti"), text("sid")));
    let audience = audience(claims);
    assert!(audience.iter().any(|one| ["orders", "users"].contains(one)));
    assert!(audience.iter().copied().eq(facts.audience.iter().map(String::as_str)));
    let granted = |role: &String| alias == "corp" && ROLES.contains(&role.as_str());
    assert!(principal.roles.iter().all(granted), "a role beyond the grant: {:?}", principal.roles);
    assert!(alias == "corp" || principal.groups.is_empty() && principal.tags.is_empty());
    assert!(principal.tenant.is_none(), "no tenant is granted");
    assert!(principal.active && !principal.is_anonymous());
}

/// To the microsecond, cached or not.
fn assert_ends(token: &str, remaining: Option<Duration>) {
    let end = NOW.plus(remaining.expect("it is accepted now"));
    let last = Timestamp::from_micros(end.micros() - 1);
    for identity in [&*FRESH, &*CACHING] {
        assert!(ask(identity, token, last).is_ok(), "refused before its end");
        assert!(ask(identity, token, end).is_err(), "accepted after its end");
    }
}

/// With another letter anywhere it is another token, and nobody's.
fn assert_only_as_signed(token: &str) {
    let digest = Sha256::digest(token);
    let number = |at: usize| u64::from_le_bytes(digest[at..at + 8].try_into().unwrap());
    let signed = token.rfind('.').unwrap();
    for (end, number) in [(signed, number(0)), (token.len(), number(8))] {
        let changed = draft::changed(token, end, number).unwrap();
        assert!(ask(&FRESH, &changed, NOW).is_err(), "accepted with a letter changed");
    }
}

/// What goes to the record says little of the token and cannot forge a line.
pub fn assert_discreet(token: &str, refusal: &IdentityRefusal) {
    let detail = &refusal.detail;
    assert!(!detail.is_empty() && detail.len() < 1_200, "{} bytes of detail", detail.len());
    assert!(!detail.chars().any(char::is_control), "a control character: {detail:?}");
    let signature = token.rsplit('.').next().unwrap_or_default();
    assert!(signature.len() < 40 || !detail.contains(signature), "the signature is in the detail");
}

/// Good claims of `corp`.
pub fn claims() -> Value {
    let now = NOW.seconds();
    json!({
        "iss": CORP, "sub": "alice", "aud": "orders", "client_id": "spa", "jti": "t-1", "iat": now, "exp": now + 300,
    })
}

/// Good claims of a workload of `prod`.
pub fn workload() -> Value {
    let now = NOW.seconds();
    json!({ "sub": svid::WEB, "aud": ["orders"], "iat": now, "exp": now + 300 })
}
