//! Tokens that are bound to a key, through the native door: RFC 9449, and every way around it that has a name.
//!
//! The policies of `fixtures/dpop` permit everything, so what is refused here is refused for the credential.

use deodar::api::client::Connection;
use deodar::api::pb::{decision as pb, manage};
use deodar::identity::{Algorithm, SigningKey};
use serde_json::{Value, json};

use crate::support::app::{Backend, THINGS_HOST, TestApp, create_client, things};
use crate::support::case::{effect_name, reason_name};
use crate::support::proof::{Draft, Prover, bearer, dpop, seconds_from_now, token_hash, token_with};

const PATH: &str = "/things/7";
const URI: &str = "https://things.example.com/things/7";
const BINDING: &str = "credential_binding_failed";

struct Door {
    app: TestApp,
    gateway: Connection,
}

impl Door {
    async fn open(api: &str, more: &str) -> Self {
        let app = TestApp::start_with(Backend::Sqlite, &things(api, more)).await;
        let gateway = app.decisions(&app.gateway_key).await;
        Self { app, gateway }
    }

    fn bound_token(&self, prover: &Prover) -> String {
        token_with(self.app.dir.path(), json!({ "cnf": prover.confirmation() }))
    }

    async fn ask(&self, credential: pb::Credential, question: pb::Question) -> pb::Decision {
        let request = pb::CheckRequest {
            credentials: vec![credential],
            question: Some(question),
            explain: true,
            ..pb::CheckRequest::default()
        };
        self.gateway.decisions().check(request).await.unwrap().into_inner().decision.unwrap()
    }

    /// Asks about the usual call.
    async fn get(&self, credential: pb::Credential) -> pb::Decision {
        self.ask(credential, call("GET", THINGS_HOST, PATH)).await
    }
}

fn call(method: &str, host: &str, path: &str) -> pb::Question {
    let call = pb::ApiCall {
        method: method.into(),
        host: host.into(),
        path: path.into(),
        secure: true,
        ..pb::ApiCall::default()
    };
    pb::Question { kind: Some(pb::question::Kind::Call(call)) }
}

fn reason(decision: &pb::Decision) -> String {
    reason_name(decision.reason)
}

fn header(decision: &pb::Decision) -> String {
    decision.challenge.clone().unwrap_or_default().www_authenticate
}

/// The `error` of the challenge.
fn error(decision: &pb::Decision) -> String {
    let header = header(decision);
    let value = header.split_once("error=\"").and_then(|(_, rest)| rest.split_once('"'));
    value.map(|(error, _)| error.to_owned()).unwrap_or_default()
}

/// Why it was refused, as operators read it.
fn detail(decision: &pb::Decision) -> String {
    let steps = decision.explanation.clone().unwrap_or_default().steps;
    steps.into_iter().find(|step| step.starts_with("refused: ")).unwrap_or_default()
}

#[tokio::test]
async fn a_proof_opens_the_door_once_and_the_policies_see_it() {
    let door = Door::open("", "").await;
    for algorithm in [Algorithm::Es256, Algorithm::EdDsa, Algorithm::Es384, Algorithm::Ps256] {
        let prover = Prover::new(algorithm);
        let token = door.bound_token(&prover);
        let proof = prover.proof("GET", URI, &token);
        let first = door.get(dpop(&token, &proof)).await;
        assert_eq!((effect_name(first.effect), first.principal.as_str()), ("allow", "User::dev/alice"));
        let again = door.get(dpop(&token, &proof)).await;
        assert_eq!(
            (reason(&again).as_str(), error(&again).as_str()),
            ("credential_replayed", "invalid_dpop_proof")
        );
        assert_eq!(again.principal, "", "it proved nobody");
        let seen = prover.proof("GET", "https://things.example.com/seen", &token);
        let seen = door.ask(dpop(&token, &seen), call("GET", THINGS_HOST, "/seen?a=b")).await;
        assert_eq!(reason(&seen), "allowed");
    }
    door.app.stop().await;
}

#[tokio::test]
async fn spellings_of_one_uri_are_one() {
    let door = Door::open("", "").await;
    let prover = Prover::new(Algorithm::EdDsa);
    let token = door.bound_token(&prover);
    for (path, htu) in [
        (PATH, "HTTPS://Things.Example.COM:443/things/7"),
        ("/things/7?q=1", URI),
        (PATH, "https://things.example.com/things/7?q=2#f"),
        ("/things/a%7eb", "https://things.example.com/things/a~b"),
        ("/things/%61b", "https://things.example.com/things/ab"),
        ("/things/a%20b", "https://things.example.com/things/a%20b"),
        ("/", "https://things.example.com"),
    ] {
        let proof = prover.proof("GET", htu, &token);
        let decision = door.ask(dpop(&token, &proof), call("GET", THINGS_HOST, path)).await;
        assert_eq!(reason(&decision), "allowed", "{path} {htu}: {}", detail(&decision));
    }
    door.app.stop().await;
}

/// A proof that must be refused: its name, the reason, the error of the challenge, and a word of the detail.
struct Attack {
    name: &'static str,
    credential: pb::Credential,
    expect: [&'static str; 3],
}

impl Attack {
    /// What is not as it should be.
    async fn failure(self, door: &Door) -> Option<String> {
        let Self { name, credential, expect: [wanted, wanted_error, word] } = self;
        let secrets = format!("{credential:?}");
        let decision = door.get(credential).await;
        let (reason, error, detail) = (reason(&decision), error(&decision), detail(&decision));
        let said = format!("{decision:?}");
        let leaks = secrets.split(['.', '"', ',']).any(|part| part.len() > 20 && said.contains(part));
        let nobody = decision.principal.is_empty();
        let refused =
            effect_name(decision.effect) == "deny" && [reason.as_str(), &error] == [wanted, wanted_error];
        let fine = refused && detail.contains(word) && nobody && !leaks;
        (!fine).then(|| format!("{name}: {reason}, {error}, {detail}, nobody: {nobody}, leaks: {leaks}"))
    }
}

const PROOF: &str = "invalid_dpop_proof";
const TOKEN: &str = "invalid_token";

fn attack(name: &'static str, credential: pb::Credential, expect: [&'static str; 3]) -> Attack {
    Attack { name, credential, expect }
}

/// Spoilt claims of a proof that is right in everything else.
fn spoilt_claims(good: &Draft<'_>, token: &str) -> Vec<Attack> {
    let uri = |uri: &str| json!(uri);
    let cases: Vec<(&'static str, &str, Value, &'static str)> = vec![
        ("no htm", "htm", Value::Null, "`htm` is missing"),
        ("htm of another method", "htm", json!("POST"), "`htm`"),
        ("htm in lower case", "htm", json!("get"), "`htm`"),
        ("htm as a list", "htm", json!(["GET"]), "`htm` must be a string"),
        ("no htu", "htu", Value::Null, "`htu` is missing"),
        ("htu of another host", "htu", uri("https://evil.example.com/things/7"), "another host"),
        ("htu of a longer host", "htu", uri("https://things.example.com.evil.net/things/7"), "another host"),
        ("htu of another port", "htu", uri("https://things.example.com:8443/things/7"), "another port"),
        ("htu of another scheme", "htu", uri("http://things.example.com/things/7"), "another scheme"),
        ("htu of another path", "htu", uri("https://things.example.com/things/8"), "another path"),
        ("htu with a slash more", "htu", uri("https://things.example.com/things/7/"), "another path"),
        ("htu with dot segments", "htu", uri("https://things.example.com/x/../things/7"), "another path"),
        ("htu with an escaped slash", "htu", uri("https://things.example.com/things%2F7"), "another path"),
        ("htu escaped twice", "htu", uri("https://things.example.com/things/%2537"), "another path"),
        ("htu with a user name", "htu", uri("https://things.example.com@evil.net/things/7"), "`htu` is not"),
        ("htu that is relative", "htu", uri("/things/7"), "`htu` is not"),
        ("no iat", "iat", Value::Null, "`iat` is missing"),
        ("a stale iat", "iat", json!(seconds_from_now(-61)), "too old"),
        ("an iat in the future", "iat", json!(seconds_from_now(120)), "future"),
        ("an iat in words", "iat", json!("now"), "`iat`"),
        ("no jti", "jti", Value::Null, "`jti` is missing"),
        ("an empty jti", "jti", json!(""), "`jti`"),
        ("a jti beyond the bound", "jti", json!("j".repeat(257)), "`jti`"),
        ("no ath", "ath", Value::Null, "`ath` is missing"),
        ("the ath of another token", "ath", json!(token_hash("another")), "`ath`"),
        ("a padded ath", "ath", json!(format!("{}=", token_hash(token))), "`ath`"),
    ];
    let spoil = |(name, claim, value, word): (&'static str, &str, Value, &'static str)| {
        attack(name, dpop(token, &good.clone().claim(claim, value).sign()), [BINDING, PROOF, word])
    };
    cases.into_iter().map(spoil).collect()
}

/// Spoilt headers.
fn spoilt_headers(good: &Draft<'_>, prover: &Prover, token: &str) -> Vec<Attack> {
    let mut private = prover.jwk();
    private["d"] = json!("AAAA");
    let oct = json!({ "kty": "oct", "k": "AAAA" });
    let rsa = Prover::new(Algorithm::Ps256).jwk();
    let url = json!("https://evil.example.com/keys");
    let cases: Vec<(&'static str, &str, Value, &'static str)> = vec![
        ("no typ", "typ", Value::Null, "type"),
        ("typ of an access token", "typ", json!("at+jwt"), "type"),
        ("alg none", "alg", json!("none"), "algorithm"),
        ("alg HMAC", "alg", json!("HS256"), "algorithm"),
        ("alg off the list", "alg", json!("RS256"), "algorithm"),
        ("alg of another kind of key", "alg", json!("ES384"), "not for ES384"),
        ("no jwk", "jwk", Value::Null, "no `jwk`"),
        ("jwk with a private member", "jwk", private, "private member"),
        ("jwk that is symmetric", "jwk", oct, "symmetric"),
        ("jwk of another kind", "jwk", rsa, "not for ES256"),
        ("jku beside the jwk", "jku", url.clone(), "`jku`"),
        ("x5u beside the jwk", "x5u", url, "`x5u`"),
        ("crit", "crit", json!(["exp"]), "`crit`"),
        ("b64", "b64", json!(false), "`b64`"),
    ];
    let spoil = |(name, member, value, word): (&'static str, &str, Value, &'static str)| {
        attack(name, dpop(token, &good.clone().header(member, value).sign()), [BINDING, PROOF, word])
    };
    cases.into_iter().map(spoil).collect()
}

/// Proofs, keys and tokens that do not belong together.
fn mixed_up(door: &Door, good: &Draft<'_>, prover: &Prover, token: &str) -> Vec<Attack> {
    let proof = || good.clone().claim("jti", json!(uuid::Uuid::new_v4().to_string())).sign();
    let thief = Prover::new(Algorithm::Es256);
    let unbound = token_with(door.app.dir.path(), json!({}));
    let both = json!({ "jkt": prover.key.kid(), "x5t#S256": token_hash("certificate") });
    let both = token_with(door.app.dir.path(), json!({ "cnf": both }));
    let unknown = json!({ "jkt": prover.key.kid(), "kid": "k" });
    let unknown = token_with(door.app.dir.path(), json!({ "cnf": unknown }));
    let of = |token: &str| prover.proof("GET", URI, token);
    let signature_of_another = good.clone().sign_with(&thief.key);
    let unsigned = format!("{}.", good.clone().sign().rsplit_once('.').unwrap().0);
    let expired = json!({ "cnf": prover.confirmation(), "iat": 1_000_000, "exp": 1_000_900 });
    let expired = token_with(door.app.dir.path(), expired);
    vec![
        attack("no proof", dpop(token, ""), [BINDING, PROOF, "without a proof"]),
        attack(
            "two proofs joined",
            dpop(token, &format!("{},{}", proof(), proof())),
            [BINDING, PROOF, "more than one"],
        ),
        attack("a proof beyond the bound", dpop(token, &"a".repeat(9_000)), [BINDING, PROOF, "longer"]),
        attack("a proof that is no JWT", dpop(token, "abc.def"), [BINDING, PROOF, "segments"]),
        attack("the token as its own proof", dpop(token, token), [BINDING, PROOF, "type"]),
        attack(
            "a proof by a thief's key",
            dpop(token, &thief.proof("GET", URI, token)),
            [BINDING, TOKEN, "another key"],
        ),
        attack(
            "our jwk, the thief's signature",
            dpop(token, &signature_of_another),
            [BINDING, PROOF, "signature"],
        ),
        attack("no signature", dpop(token, &unsigned), [BINDING, PROOF, "signature"]),
        attack("a bound token as bearer", bearer(token, ""), [BINDING, TOKEN, "bearer"]),
        attack("a bound token as bearer with its proof", bearer(token, &proof()), [BINDING, TOKEN, "bearer"]),
        attack(
            "an unbound token as DPoP",
            dpop(&unbound, &of(&unbound)),
            [BINDING, TOKEN, "bound to no key"],
        ),
        attack(
            "a token bound to a certificate too",
            dpop(&both, &of(&both)),
            [BINDING, TOKEN, "certificate"],
        ),
        attack(
            "a token bound by more than we know",
            dpop(&unknown, &of(&unknown)),
            [BINDING, TOKEN, "unknown"],
        ),
        attack(
            "a good proof of an expired token",
            dpop(&expired, &of(&expired)),
            ["credential_expired", TOKEN, "expired"],
        ),
    ]
}

#[tokio::test]
async fn every_named_attack_is_refused_for_its_own_reason() {
    let door = Door::open("", "").await;
    let prover = Prover::new(Algorithm::Es256);
    let token = door.bound_token(&prover);
    let good = prover.draft("GET", URI, &token);
    // Verified and kept, so that the attacks meet a token from the cache.
    assert_eq!(reason(&door.get(dpop(&token, &prover.proof("GET", URI, &token))).await), "allowed");
    let mut attacks = spoilt_claims(&good, &token);
    attacks.extend(spoilt_headers(&good, &prover, &token));
    attacks.extend(mixed_up(&door, &good, &prover, &token));
    assert!(attacks.len() >= 50, "{}", attacks.len());
    let mut failures = Vec::new();
    for attack in attacks {
        failures.extend(attack.failure(&door).await);
    }
    assert!(failures.is_empty(), "{failures:#?}");
    // None of them used the good proof up.
    assert_eq!(reason(&door.get(dpop(&token, &good.sign())).await), "allowed");
    door.app.stop().await;
}

#[tokio::test]
async fn one_jti_is_of_one_key_only() {
    let door = Door::open("", "").await;
    for _ in 0..2 {
        let prover = Prover::new(Algorithm::EdDsa);
        let token = door.bound_token(&prover);
        let proof = prover.draft("GET", URI, &token).claim("jti", json!("the same")).sign();
        assert_eq!(reason(&door.get(dpop(&token, &proof)).await), "allowed");
        assert_eq!(reason(&door.get(dpop(&token, &proof)).await), "credential_replayed");
        let other = prover.draft("POST", URI, &token).claim("jti", json!("the same")).sign();
        let other = door.ask(dpop(&token, &other), call("POST", THINGS_HOST, PATH)).await;
        assert_eq!(reason(&other), "credential_replayed", "another request does not make it new");
    }
    door.app.stop().await;
}

#[tokio::test]
async fn a_cached_token_does_not_remember_that_it_was_proved() {
    let door = Door::open("", "").await;
    let prover = Prover::new(Algorithm::Es256);
    let token = door.bound_token(&prover);
    let seen = || call("GET", THINGS_HOST, "/seen");
    for _ in 0..3 {
        let proof = prover.proof("GET", "https://things.example.com/seen", &token);
        assert_eq!(reason(&door.ask(dpop(&token, &proof), seen()).await), "allowed");
        let later = door.ask(bearer(&token, ""), seen()).await;
        assert_eq!((reason(&later).as_str(), later.principal.as_str()), (BINDING, ""));
    }
    let unbound = token_with(door.app.dir.path(), json!({}));
    assert_eq!(reason(&door.ask(bearer(&unbound, ""), seen()).await), "forbidden_by_policy");
    assert_eq!(
        reason(&door.get(bearer(&unbound, "not even a proof")).await),
        "allowed",
        "ignored with a bearer token"
    );
    door.app.stop().await;
}

#[tokio::test]
async fn endpoints_can_want_a_bound_token() {
    let door = Door::open("", "").await;
    let bound = || call("GET", THINGS_HOST, "/bound");
    let unbound = token_with(door.app.dir.path(), json!({}));
    let refused = door.ask(bearer(&unbound, ""), bound()).await;
    assert_eq!((reason(&refused).as_str(), error(&refused).as_str()), (BINDING, TOKEN));
    assert!(
        header(&refused).starts_with("DPoP ")
            && header(&refused).contains("algs=\"EdDSA ES256 ES384 PS256\"")
    );
    let asserted = pb::credential::Kind::AssertedPrincipal("User::dev/alice".into());
    let asserted = pb::Credential { kind: Some(asserted), ..pb::Credential::default() };
    assert_eq!(reason(&door.ask(asserted, bound()).await), BINDING);
    let request = pb::CheckRequest { question: Some(bound()), ..pb::CheckRequest::default() };
    let nothing = door.gateway.decisions().check(request).await.unwrap().into_inner().decision.unwrap();
    assert_eq!(reason(&nothing), "credential_missing");
    assert_eq!(header(&nothing), r#"DPoP realm="api", algs="EdDSA ES256 ES384 PS256""#);
    let prover = Prover::new(Algorithm::Es256);
    let token = door.bound_token(&prover);
    let proof = prover.proof("GET", "https://things.example.com/bound", &token);
    assert_eq!(reason(&door.ask(dpop(&token, &proof), bound()).await), "allowed");
    door.app.stop().await;
}

#[tokio::test]
async fn the_shipped_pillar_lets_bound_tokens_refund() {
    let door = Door::open("", "").await;
    let prover = Prover::new(Algorithm::Es256);
    let claims = json!({ "cnf": prover.confirmation(), "roles": ["manager"], "scope": "orders:refund" });
    let token = token_with(door.app.dir.path(), claims.clone());
    let refund = || call("POST", "orders.example.com", "/orders/7/refund");
    let proof = prover.proof("POST", "https://orders.example.com/orders/7/refund", &token);
    let with_proof = door.ask(dpop(&token, &proof), refund()).await;
    assert!(!with_proof.policy_ids.contains(&"unbound-token".to_owned()), "{with_proof:?}");
    let mut unbound = claims;
    unbound.as_object_mut().unwrap().shift_remove("cnf");
    let unbound = token_with(door.app.dir.path(), unbound);
    let without = door.ask(bearer(&unbound, ""), refund()).await;
    assert!(without.policy_ids.contains(&"unbound-token".to_owned()), "{without:?}");
    door.app.stop().await;
}

#[tokio::test]
async fn issuers_can_be_held_to_bind_their_tokens() {
    let key = SigningKey::generate(Algorithm::EdDsa).unwrap();
    let issuer = format!(
        "[[identity.issuers]]\nalias = \"strict\"\nissuer = \"https://strict.example.com\"\naudiences = [\"things\"]\n\
         sender_constrained = \"required\"\njwks = '{}'\nmay_assert = {{ domains = \"*\" }}\n",
        key.public_jwks()
    );
    let door = Door::open("", &issuer).await;
    let prover = Prover::new(Algorithm::EdDsa);
    let mint = |more: Value| {
        let now = seconds_from_now(0);
        let mut claims = json!({
            "iss": "https://strict.example.com", "sub": "bob", "aud": "things", "client_id": "app", "jti": "1",
            "iat": now, "exp": now + 300,
        });
        claims.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        let header = json!({ "typ": "at+jwt" }).as_object().unwrap().clone();
        key.sign(header, claims.as_object().unwrap()).unwrap()
    };
    for _ in 0..2 {
        let refused = door.get(bearer(&mint(json!({})), "")).await;
        assert_eq!((reason(&refused).as_str(), error(&refused).as_str()), (BINDING, TOKEN));
        assert!(header(&refused).starts_with("DPoP "));
    }
    let token = mint(json!({ "cnf": prover.confirmation() }));
    let decision = door.get(dpop(&token, &prover.proof("GET", URI, &token))).await;
    assert_eq!((reason(&decision).as_str(), decision.principal.as_str()), ("allowed", "User::strict/bob"));
    door.app.stop().await;
}

#[tokio::test]
async fn nonces_are_demanded_brought_and_outlived() {
    let door = Door::open("", "[identity.dpop]\nnonce = \"required\"\n").await;
    let elsewhere = Door::open("", "[identity.dpop]\nnonce = \"required\"\n").await;
    let prover = Prover::new(Algorithm::Es256);
    let token = door.bound_token(&prover);
    let draft = || prover.draft("GET", URI, &token);
    let asked = door.get(dpop(&token, &draft().sign())).await;
    assert_eq!((reason(&asked).as_str(), error(&asked).as_str()), (BINDING, "use_dpop_nonce"));
    let nonce = asked.challenge.unwrap().dpop_nonce;
    assert!(!nonce.is_empty());
    let with = |nonce: &str| dpop(&token, &draft().claim("nonce", json!(nonce)).sign());
    assert_eq!(reason(&door.get(with(&nonce)).await), "allowed");
    assert_eq!(reason(&door.get(with(&nonce)).await), "allowed", "a nonce is not a jti");
    let other_token = elsewhere.bound_token(&prover);
    let foreign = elsewhere.get(dpop(&other_token, &prover.proof("GET", URI, &other_token))).await;
    let foreign = foreign.challenge.unwrap().dpop_nonce;
    for bad in [foreign.as_str(), "", &nonce[1..], &format!("{nonce}A")] {
        let refused = door.get(with(bad)).await;
        assert_eq!(
            (reason(&refused).as_str(), error(&refused).as_str()),
            (BINDING, "use_dpop_nonce"),
            "{bad}"
        );
        assert_eq!(refused.challenge.unwrap().dpop_nonce, nonce);
    }
    let forged = draft().claim("nonce", json!(nonce)).sign_with(&Prover::new(Algorithm::Es256).key);
    assert_eq!(error(&door.get(dpop(&token, &forged)).await), PROOF);
    door.app.stop().await;
    elsewhere.app.stop().await;
}

#[tokio::test]
async fn behind_a_gateway_the_external_origin_counts() {
    let api = "external_origin = \"https://public.example.com:8443\"\n\
               resource_metadata = \"https://public.example.com/.well-known/oauth-protected-resource\"";
    let door = Door::open(api, "[decide]\nmax_queue_delay = \"1m\"\nrealm = \"shop\"\n").await;
    let prover = Prover::new(Algorithm::Es256);
    let token = door.bound_token(&prover);
    let outside = prover.proof("GET", "https://public.example.com:8443/things/7", &token);
    assert_eq!(reason(&door.get(dpop(&token, &outside)).await), "allowed");
    let inside = door.get(dpop(&token, &prover.proof("GET", URI, &token))).await;
    assert_eq!(reason(&inside), BINDING);
    let expected = "DPoP realm=\"shop\", error=\"invalid_dpop_proof\", error_description=\"The proof that goes with the \
                    access token is missing or not valid.\", algs=\"EdDSA ES256 ES384 PS256\", \
                    resource_metadata=\"https://public.example.com/.well-known/oauth-protected-resource\"";
    assert_eq!(header(&inside), expected);
    door.app.stop().await;
}

#[tokio::test]
async fn an_answer_about_a_proof_is_never_reusable() {
    let mut door = Door::open("reuse = \"5m\"", "").await;
    let client = manage::Client {
        client_id: "reusing-gateway".into(),
        roles: vec![manage::Role::Gateway.into()],
        grants: Some(manage::Grants {
            all_apis: true,
            max_reuse: Some(prost_types::Duration { seconds: 60, nanos: 0 }),
            ..manage::Grants::default()
        }),
        ..manage::Client::default()
    };
    let key = create_client(&door.app.management().await, client).await;
    door.gateway = door.app.decisions(&key).await;
    let unbound = token_with(door.app.dir.path(), json!({}));
    let root = || call("GET", THINGS_HOST, "/");
    assert!(door.ask(bearer(&unbound, ""), root()).await.reuse_for.is_some());
    let prover = Prover::new(Algorithm::Es256);
    let token = door.bound_token(&prover);
    let proof = prover.proof("GET", "https://things.example.com/", &token);
    let decision = door.ask(dpop(&token, &proof), root()).await;
    assert_eq!((reason(&decision).as_str(), decision.reuse_for), ("allowed", None));
    door.app.stop().await;
}

#[tokio::test]
async fn a_proof_is_about_one_call_and_about_no_cedar_question() {
    let door = Door::open("", "").await;
    let prover = Prover::new(Algorithm::Es256);
    let token = door.bound_token(&prover);
    let entity = |kind: &str, id: &str| Some(pb::EntityRef { r#type: kind.into(), id: id.into() });
    let cedar = pb::CedarQuestion {
        domain: "shop".into(),
        action: entity("Shop::Action", "view"),
        resource: entity("Shop::Invoice", "i-42"),
        ..pb::CedarQuestion::default()
    };
    let cedar = pb::Question { kind: Some(pb::question::Kind::Cedar(cedar)) };
    let decision = door.ask(dpop(&token, &prover.proof("GET", URI, &token)), cedar).await;
    assert_eq!(reason(&decision), BINDING);
    assert!(detail(&decision).contains("no URI"), "{}", detail(&decision));
    let batch = pb::BatchCheckRequest {
        credentials: vec![dpop(&token, &prover.proof("GET", URI, &token))],
        questions: ["/things/8", PATH, PATH].map(|path| call("GET", THINGS_HOST, path)).into(),
        ..pb::BatchCheckRequest::default()
    };
    let answers = door.gateway.decisions().batch_check(batch).await.unwrap().into_inner().decisions;
    let reasons: Vec<String> = answers.iter().map(reason).collect();
    assert_eq!(reasons, [BINDING, "allowed", "credential_replayed"]);
    door.app.stop().await;
}

#[tokio::test]
async fn two_credentials_at_once_are_an_invalid_request() {
    let door = Door::open("", "").await;
    let prover = Prover::new(Algorithm::Es256);
    let token = door.bound_token(&prover);
    let proof = prover.proof("GET", URI, &token);
    let request = pb::CheckRequest {
        credentials: vec![dpop(&token, &proof), bearer(&token, "")],
        question: Some(call("GET", THINGS_HOST, PATH)),
        ..pb::CheckRequest::default()
    };
    let decision = door.gateway.decisions().check(request).await.unwrap().into_inner().decision.unwrap();
    assert_eq!(
        (reason(&decision).as_str(), error(&decision).as_str()),
        ("credential_malformed", "invalid_request")
    );
    assert_eq!(reason(&door.get(dpop(&format!("{token},{token}"), &proof)).await), "credential_malformed");
    assert_eq!(reason(&door.get(dpop(&token, &proof)).await), "allowed", "neither used the proof up");
    door.app.stop().await;
}
