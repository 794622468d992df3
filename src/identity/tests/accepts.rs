//! Tokens that must be believed, and what becomes of their claims.

use std::collections::BTreeSet;

use proptest::prelude::*;

use super::*;
use crate::model::{PrincipalKind, TokenKind};

fn set(values: &[&str]) -> BTreeSet<String> {
    values.iter().map(|value| (*value).to_owned()).collect()
}

fn principal(identity: &Identity, changes: Value) -> Arc<Principal> {
    judge(identity, &token(changes), NOW).unwrap().principal
}

#[test]
fn every_allowed_algorithm_verifies() {
    for algorithm in Algorithm::ALL {
        let key = key(algorithm);
        let mut settings = settings();
        settings.algorithms = Algorithm::ALL.to_vec();
        settings.jwks = Some(key.public_jwks());
        let identity = identity_of(vec![settings]);
        let text = key.sign(header("at+jwt"), &claims(json!({}))).unwrap();
        let known = judge(&identity, &text, NOW).unwrap();
        assert_eq!(known.principal.id.to_string(), "User::corp/alice");
    }
}

#[test]
fn facts_of_the_token_are_kept() {
    let now = NOW.seconds();
    let text = token(json!({
        "scope": "orders:read  orders:write", "scp": ["users:read"], "sid": "s-1", "acr": "urn:mfa",
        "amr": ["pwd", "otp"], "auth_time": now - 60, "aud": ["users", "other"],
    }));
    let facts = judge(&identity(), &text, NOW).unwrap().principal.token.clone().unwrap();
    assert_eq!(facts.scopes, set(&["orders:read", "orders:write", "users:read"]));
    assert_eq!((facts.audience, facts.amr), (set(&["users", "other"]), set(&["pwd", "otp"])));
    assert_eq!((facts.acr.as_deref(), facts.session_id.as_deref()), (Some("urn:mfa"), Some("s-1")));
    assert_eq!((facts.token_id.as_deref(), facts.client_id.as_deref()), (Some("t-1"), Some("spa")));
    assert_eq!((facts.kind, facts.auth_time), (TokenKind::User, Some(Timestamp::from_seconds(now - 60))));
    assert_eq!((facts.issued_at, facts.expires_at), (NOW, Timestamp::from_seconds(now + 300)));
    assert_eq!(facts.sha256, <[u8; 32]>::from(Sha256::digest(&text)));
}

#[test]
fn type_is_compared_without_case_and_prefix() {
    for typ in ["at+jwt", "AT+JWT", "application/at+jwt", "Application/At+Jwt"] {
        let text = KEY.sign(header(typ), &claims(json!({}))).unwrap();
        assert!(judge(&identity(), &text, NOW).is_ok(), "{typ}");
    }
    let mut lax = settings();
    lax.token_types = vec!["JWT".into()];
    let identity = identity_of(vec![lax]);
    for members in [header("JWT"), header("jwt"), Map::new()] {
        assert!(judge(&identity, &KEY.sign(members, &claims(json!({}))).unwrap(), NOW).is_ok());
    }
}

#[test]
fn token_without_key_id_is_tried_with_the_keys_that_fit() {
    let second = key(Algorithm::EdDsa);
    let mut settings = settings();
    settings.jwks = Some(json!({ "keys": [KEY.public_jwk(), second.public_jwk()] }));
    let header = r#"{"alg":"EdDSA","typ":"at+jwt"}"#;
    let text = second.sign_text(header, &Value::Object(claims(json!({}))).to_string()).unwrap();
    assert!(judge(&identity_of(vec![settings]), &text, NOW).is_ok());
}

#[test]
fn the_same_subject_of_two_issuers_is_two_principals() {
    let mut other = settings();
    (other.alias, other.issuer) = ("partner".parse().unwrap(), "https://partner.example".into());
    let identity = identity_of(vec![settings(), other]);
    let ours = principal(&identity, json!({}));
    let theirs = principal(&identity, json!({ "iss": "https://partner.example" }));
    assert_eq!(ours.id.parts().1, theirs.id.parts().1);
    assert_ne!(ours.id, theirs.id);
}

#[test]
fn identifiers_compare_byte_for_byte() {
    let identity = identity();
    assert_ne!(principal(&identity, json!({})).id, principal(&identity, json!({ "sub": "Alice" })).id);
}

#[test]
fn what_the_issuer_was_not_granted_is_dropped_and_noted() {
    let mut settings = settings();
    settings.claims.tenant = Some(ClaimPath::top_level("org"));
    settings.may_assert.roles = Grant::Only(set(&["clerk"]));
    settings.may_assert.groups = Grant::All;
    let identity = identity_of(vec![settings]);
    let text = token(json!({ "roles": ["clerk", "admin"], "groups": "staff", "org": "acme" }));
    let known = judge(&identity, &text, NOW).unwrap();
    assert_eq!((&known.principal.roles, &known.principal.groups), (&set(&["clerk"]), &set(&["staff"])));
    assert_eq!(known.principal.tenant, None);
    assert_eq!(known.dropped.len(), 2);
    assert!(known.dropped.iter().any(|note| note.contains("role `admin`")), "{:?}", known.dropped);
}

#[test]
fn nothing_is_granted_unless_said_otherwise() {
    let identity = identity();
    let principal = principal(&identity, json!({ "roles": ["admin"], "groups": ["root"] }));
    assert!(principal.roles.is_empty() && principal.groups.is_empty());
    assert!(identity.counts_in(&principal, &DomainId::default()));
    assert!(!identity.counts_in(&principal, &"payments".parse().unwrap()));
}

#[test]
fn roles_are_found_by_path_and_tags_are_exposed() {
    let mut settings = settings();
    settings.claims.roles = vec![ClaimPath::try_from("/realm_access/roles".to_owned()).unwrap()];
    settings.claims.tags = ["department", "levels", "admin", "absent"].map(ClaimPath::top_level).to_vec();
    settings.may_assert.roles = Grant::All;
    let changes = json!({
        "realm_access": { "roles": ["clerk"] }, "department": "sales", "levels": [1, 2], "admin": true,
    });
    let principal = principal(&identity_of(vec![settings]), changes);
    assert_eq!(principal.roles, set(&["clerk"]));
    assert_eq!(
        principal.tags.keys().collect::<Vec<_>>(),
        ["claim:admin", "claim:department", "claim:levels"]
    );
    assert_eq!(principal.tags["claim:levels"], set(&["1", "2"]));
    assert_eq!(principal.tags["claim:admin"], set(&["true"]));
}

#[test]
fn a_client_acting_for_itself_is_a_workload() {
    let kind = |identity: &Identity, changes| principal(identity, changes).id.kind;
    let identity = identity();
    assert_eq!(kind(&identity, json!({ "sub": "spa" })), PrincipalKind::Workload);
    let mut marked = settings();
    marked.claims.workload.claim = Some(ClaimPath::top_level("gty"));
    marked.claims.workload.values = vec!["client-credentials".into()];
    let marked = identity_of(vec![marked]);
    assert_eq!(kind(&marked, json!({ "gty": "client-credentials" })), PrincipalKind::Workload);
    assert_eq!(kind(&marked, json!({ "gty": "password" })), PrincipalKind::User);
}

#[test]
fn credentials_without_a_token_need_no_issuer() {
    let identity = identity_of(Vec::new());
    assert!(identity.authenticate(&Credential::None, NOW).unwrap().is_anonymous());
    let id: crate::model::PrincipalId = "User::corp/bob".parse().unwrap();
    let asserted = identity.authenticate(&Credential::Asserted(id.clone()), NOW).unwrap();
    assert_eq!(*asserted, Principal::bare(id));
}

#[test]
fn a_verified_token_is_kept_under_its_whole_text() {
    let identity = identity();
    let (one, two) = (token(json!({})), token(json!({ "jti": "t-2" })));
    let first = judge(&identity, &one, NOW).unwrap().principal;
    assert!(Arc::ptr_eq(&first, &judge(&identity, &one, NOW).unwrap().principal));
    assert!(!Arc::ptr_eq(&first, &judge(&identity, &two, NOW).unwrap().principal));
}

#[test]
fn two_issuers_cannot_share_an_alias_or_a_name() {
    let mut same_alias = settings();
    same_alias.issuer = "https://other.example".into();
    let mut same_name = settings();
    same_name.alias = "other".parse().unwrap();
    for second in [same_alias, same_name] {
        let config = Config { issuers: vec![settings(), second], ..Config::default() };
        assert!(Identity::new(&config, Path::new("/")).is_err());
    }
}

#[test]
fn an_operator_sees_what_is_trusted() {
    let infos = identity().issuers();
    assert_eq!((infos[0].alias.as_str(), infos[0].keys, infos[0].warnings.len()), ("corp", 2, 0));
    assert_eq!(infos[0].key_ids, [KEY.kid(), RSA_KEY.kid()]);
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    /// However time moves, a cache that has seen the token before answers as one that has not.
    #[test]
    fn a_cached_token_is_judged_as_a_fresh_one(looks in proptest::collection::vec(-100i64..500, 1..8)) {
        let cached = identity();
        let text = token(json!({ "nbf": NOW.seconds() + 20 }));
        for look in looks {
            let now = Timestamp::from_seconds(NOW.seconds() + look);
            let answer = |identity: &Identity| {
                identity.authenticate(&bearer(&text), now).map(drop).map_err(|refusal| refusal.reason)
            };
            prop_assert_eq!(answer(&cached), answer(&identity()));
        }
    }

    #[test]
    fn authenticating_any_text_never_panics(text in ".{0,80}") {
        let _ = identity().authenticate(&bearer(&text), NOW);
    }
}
