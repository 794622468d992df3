//! Opaque tokens: what the issuer's answer about one makes of it.

use std::sync::atomic::{AtomicUsize, Ordering};

use async_trait::async_trait;
use proptest::prelude::*;

use super::super::fetch::{FetchError, FetchRequest, Fetched, Fetcher};
use super::super::introspected;
use super::super::issuer::Issuer;
use super::*;
use crate::model::{ManualClock, Reason, Revocation, RevocationId};

const OPAQUE: &str = "2YotnFZFEjr1zCsicMWpAA";
const SHA256: [u8; 32] = [7; 32];

/// A folder with the client's secret.
fn secret() -> tempfile::TempDir {
    let dir = tempfile::tempdir().unwrap();
    std::fs::write(dir.path().join("secret"), "s3 cret/\n").unwrap();
    dir
}

fn introspection() -> IntrospectionConfig {
    IntrospectionConfig::new("https://login.example.com/introspect", "deodar:1", "secret")
}

fn opaque_settings() -> IssuerConfig {
    IssuerConfig { jwks: None, introspection: Some(introspection()), ..settings() }
}

fn config_of(issuers: Vec<IssuerConfig>) -> Config {
    Config { issuers, opaque_tokens: Some("corp".parse().unwrap()), ..Config::default() }
}

fn opaque_identity(change: impl FnOnce(&mut IssuerConfig)) -> Identity {
    let mut issuer = opaque_settings();
    change(&mut issuer);
    Identity::new(&config_of(vec![issuer]), secret().path()).unwrap()
}

/// A good answer with some members replaced, or removed where the change is `null`.
fn answer(changes: Value) -> Value {
    let now = NOW.seconds();
    let mut answer = object(json!({
        "active": true, "iss": ISSUER, "sub": "alice", "aud": "orders", "client_id": "spa", "scope": "a b",
        "token_type": "Bearer", "iat": now, "exp": now + 300,
    }));
    for (name, value) in object(changes) {
        if value.is_null() {
            answer.shift_remove(&name)
        } else {
            answer.insert(name, value)
        };
    }
    Value::Object(answer)
}

fn judged_by(issuer: &IssuerConfig, answer: &Value) -> Result<(Authenticated, Lifetime), IdentityRefusal> {
    let settings = issuer.introspection.clone().unwrap();
    let issuer = Issuer::build(issuer, secret().path()).unwrap();
    introspected::judge(answer.to_string().as_bytes(), &issuer, &settings, SHA256, NOW).unwrap()
}

fn judged(changes: Value) -> Result<(Authenticated, Lifetime), IdentityRefusal> {
    judged_by(&opaque_settings(), &answer(changes))
}

fn refused(changes: &Value) -> CredentialFault {
    match judged(changes.clone()).expect_err(&changes.to_string()).reason {
        Reason::CredentialInvalid(fault) => fault,
        other => panic!("refused as {other:?}"),
    }
}

#[test]
fn an_active_token_is_read_as_a_jwt_with_these_claims_would_be() {
    let mut issuer = opaque_settings();
    issuer.may_assert.roles = Grant::All;
    let (known, lifetime) = judged_by(&issuer, &answer(json!({ "roles": ["clerk"], "sid": "s-1" }))).unwrap();
    let token = known.principal.token.as_ref().unwrap();
    assert_eq!(known.principal.id.as_str(), "User::corp/alice");
    assert!(known.principal.roles.contains("clerk"));
    assert_eq!(token.scopes.len(), 2);
    assert_eq!((token.session_id.as_deref(), token.client_id.as_deref()), (Some("s-1"), Some("spa")));
    assert_eq!((token.sha256, lifetime.issued_at), (SHA256, NOW));
    let (client, _) = judged(json!({ "sub": "job", "client_id": "job" })).unwrap();
    assert_eq!(client.principal.id.as_str(), "Workload::corp/job");
}

#[test]
fn an_active_token_must_be_ours_and_an_access_token() {
    let now = NOW.seconds();
    for (changes, fault) in [
        (json!({ "active": false }), CredentialFault::Inactive),
        (json!({ "iss": "https://other.example.com" }), CredentialFault::WrongIssuer),
        (json!({ "iss": [ISSUER] }), CredentialFault::Malformed),
        (json!({ "aud": "others" }), CredentialFault::WrongAudience),
        (json!({ "aud": null }), CredentialFault::WrongAudience),
        (json!({ "sub": null }), CredentialFault::Malformed),
        (json!({ "exp": now - 31 }), CredentialFault::Expired),
        (json!({ "exp": now + 100_000 }), CredentialFault::TooLongLived),
        (json!({ "exp": now.to_string() }), CredentialFault::Malformed),
        (json!({ "nbf": now + 31 }), CredentialFault::NotYetValid),
        (json!({ "iat": now + 31, "exp": now + 100 }), CredentialFault::NotYetValid),
        (json!({ "iat": null, "exp": null }), CredentialFault::Malformed),
        (json!({ "token_type": "refresh_token" }), CredentialFault::WrongType),
        (json!({ "token_type": 7 }), CredentialFault::WrongType),
        (json!({ "token_use": "id" }), CredentialFault::WrongType),
        (json!({ "token_type": "DPoP" }), CredentialFault::BindingFailed),
        (json!({ "cnf": { "kid": "x" } }), CredentialFault::BindingFailed),
        (json!({ "cnf": [] }), CredentialFault::Malformed),
        (json!({ "scope": 7 }), CredentialFault::Malformed),
        (json!({ "auth_time": now + 31 }), CredentialFault::Malformed),
    ] {
        assert_eq!(refused(&changes), fault, "{changes}");
    }
    for changes in [json!({ "iss": null }), json!({ "token_type": null }), json!({ "jti": null })] {
        assert!(judged(changes.clone()).is_ok(), "{changes}");
    }
}

#[test]
fn settings_decide_about_audience_and_required_claims() {
    let mut issuer = opaque_settings();
    let settings = issuer.introspection.as_mut().unwrap();
    settings.without_audience = true;
    settings.required_claims = vec![ClaimPath::top_level("username")];
    assert!(judged_by(&issuer, &answer(json!({ "aud": null, "username": "alice" }))).is_ok());
    assert!(judged_by(&issuer, &answer(json!({ "aud": "others", "username": "alice" }))).is_err());
    let refusal = judged_by(&issuer, &answer(json!({}))).unwrap_err();
    assert!(refusal.detail.contains("username"), "{}", refusal.detail);
}

#[test]
fn an_answer_that_is_none_is_the_issuers_fault() {
    let issuer = Issuer::build(&opaque_settings(), secret().path()).unwrap();
    let duplicate = r#"{"active":false,"active":true}"#;
    for body in ["", "[]", "{}", r#"{"active":"true"}"#, r#"{"active":1}"#, r#"{"active":null}"#, duplicate] {
        assert!(
            introspected::judge(body.as_bytes(), &issuer, &introspection(), SHA256, NOW).is_err(),
            "{body}"
        );
    }
}

/// Without `iat` nobody knows that a token was issued after a revocation, so it was not.
#[test]
fn a_token_without_iat_is_met_by_revocations_of_what_was_issued_before() {
    let (known, lifetime) = judged(json!({ "iat": null })).unwrap();
    let day = Duration::from_secs(24 * 60 * 60);
    assert_eq!(lifetime.issued_at, lifetime.expires_at.minus(day), "the earliest that its end allows");
    let revocations = Revocations::new();
    revocations.apply(&Revocation {
        id: RevocationId::from_uuid(uuid::Uuid::from_u128(1)),
        target: "issuer:corp".parse().unwrap(),
        issued_before: Some(NOW),
        reason: "stolen".into(),
        created_by: "root".parse().unwrap(),
        created_at: NOW,
        expires_at: NOW.plus(day),
        undone: None,
    });
    assert!(revocations.check(&known.principal).is_some());
    let (dated, _) = judged(json!({})).unwrap();
    assert!(revocations.check(&dated.principal).is_none());
    let late = judged(json!({ "iat": null, "auth_time": NOW.seconds() })).unwrap();
    assert!(late.0.principal.token.as_ref().unwrap().auth_time.is_some(), "a login before now is believed");
    assert!(judged(json!({ "iat": null, "auth_time": NOW.seconds() + 31 })).is_err());
}

proptest! {
    /// Whatever an issuer leaves out, a token it calls active never counts for longer than a revocation is kept.
    #[test]
    fn no_token_outlives_the_longest_lifetime(
        iat in proptest::option::of(-100_000i64..100_000), exp in proptest::option::of(-100_000i64..200_000),
    ) {
        let identity = opaque_identity(|_| ());
        let time = |at: Option<i64>| at.map_or(Value::Null, |at| json!(NOW.seconds() + at));
        if let Ok((_, lifetime)) = judged(json!({ "iat": time(iat), "exp": time(exp) })) {
            let longest = identity.longest_lifetime();
            prop_assert!(lifetime.end() <= lifetime.issued_at.plus(longest));
        }
    }
}

#[test]
fn opaque_tokens_belong_to_the_one_issuer_that_is_named() {
    let dir = secret();
    let problem = |config: &Config| Identity::new(config, dir.path()).unwrap_err().to_string();
    let unnamed = Config { opaque_tokens: None, ..config_of(vec![opaque_settings()]) };
    assert!(problem(&unnamed).contains("does not name it"));
    assert!(problem(&config_of(Vec::new())).contains("`corp`"));
    assert!(problem(&config_of(vec![settings()])).contains("has no `introspection`"));
    let missing = |change: fn(&mut IntrospectionConfig)| {
        let mut issuer = opaque_settings();
        change(issuer.introspection.as_mut().unwrap());
        problem(&config_of(vec![issuer]))
    };
    assert!(missing(|c| c.client_secret_file = "none".into()).contains("none"));
    assert!(missing(|c| c.url = "http://login.example.com/".into()).contains("introspection.url"));
    assert!(missing(|c| c.max_age = Duration::ZERO).contains("max_age"));
    std::fs::write(dir.path().join("empty"), " \n").unwrap();
    assert!(missing(|c| c.client_secret_file = "empty".into()).contains("no secret"));
}

#[test]
fn what_means_to_be_a_jwt_is_never_asked_about() {
    let both = opaque_identity(|issuer| issuer.jwks = settings().jwks);
    assert!(judge(&both, &token(json!({})), NOW).is_ok(), "an issuer can give out both");
    let good = token(json!({}));
    for jwt in [good.replace("eyJ", "eyK"), format!("{good}AAAA"), good[..good.len() - 4].to_owned()] {
        let refusal = both.examine(&bearer(&jwt), NOW).unwrap_err();
        assert!(refusal.wanted.is_none() || !jwt.starts_with("eyJ"), "{refusal:?}");
    }
    for (opaque, asked) in [
        (OPAQUE, true),
        ("a.b", true),
        ("a.b.c", true),
        ("a b", false),
        ("ä", false),
        ("=", false),
        ("", false),
    ] {
        let refusal = both.examine(&bearer(opaque), NOW).unwrap_err();
        assert_eq!(refusal.wanted.is_some(), asked, "{opaque}: {refusal:?}");
        let malformed = Reason::CredentialInvalid(CredentialFault::Malformed);
        assert_eq!(refusal.reason, if asked { Reason::IssuerUnavailable } else { malformed });
    }
    let neither = identity().examine(&bearer(OPAQUE), NOW).unwrap_err();
    assert_eq!(neither.reason, Reason::CredentialInvalid(CredentialFault::Malformed));
}

/// An issuer with one opinion, which can be changed.
struct Oracle {
    says: std::sync::Mutex<Result<Fetched, FetchError>>,
    asked: AtomicUsize,
}

impl Oracle {
    fn new() -> Self {
        Self { says: std::sync::Mutex::new(said(200, &answer(json!({})))), asked: AtomicUsize::new(0) }
    }

    fn set(&self, says: Result<Fetched, FetchError>) {
        *self.says.lock().unwrap() = says;
    }

    fn asked(&self) -> usize {
        self.asked.load(Ordering::SeqCst)
    }
}

fn said(status: u16, body: &Value) -> Result<Fetched, FetchError> {
    Ok(Fetched {
        status,
        content_type: Some("application/json".to_owned()),
        body: body.to_string().into_bytes(),
        ..Fetched::default()
    })
}

#[async_trait]
impl Fetcher for Oracle {
    async fn fetch(&self, request: FetchRequest<'_>) -> Result<Fetched, FetchError> {
        self.asked.fetch_add(1, Ordering::SeqCst);
        let form = request.form.unwrap();
        assert!(form.body.expose().starts_with("token="));
        assert!(form.body.expose().contains("&token_type_hint=access_token"));
        // `deodar:1` and `s3 cret/`, form-encoded.
        assert_eq!(form.authorization.unwrap().expose(), "Basic ZGVvZGFyJTNBMTpzMytjcmV0JTJG");
        self.says.lock().unwrap().clone()
    }
}

/// An identity whose issuer is asked in the background.
struct Asking {
    identity: Arc<Identity>,
    oracle: Arc<Oracle>,
    clock: Arc<ManualClock>,
    stop: CancellationToken,
}

impl Asking {
    fn start() -> Self {
        let asking = Self {
            identity: Arc::new(opaque_identity(|_| ())),
            oracle: Arc::new(Oracle::new()),
            clock: Arc::new(ManualClock::at(NOW)),
            stop: CancellationToken::new(),
        };
        let (identity, oracle) = (asking.identity.clone(), asking.oracle.clone());
        let (clock, stop) = (asking.clock.clone(), asking.stop.clone());
        tokio::spawn(async move { identity.ask_issuers(oracle.as_ref(), clock.as_ref(), &stop).await });
        asking
    }

    /// As a decision does it.
    async fn reason(&self, token: &str) -> Reason {
        let examine = || self.identity.examine(&bearer(token), self.clock.now());
        let answer = match examine() {
            Err(IdentityRefusal { wanted: Some(wanted), .. }) => {
                wanted.arrive(Duration::from_secs(20)).await;
                examine()
            }
            answer => answer,
        };
        answer.map_or_else(|refusal| refusal.reason, |_| Reason::Allowed)
    }

    fn pass(&self, seconds: u64) {
        self.clock.advance(Duration::from_secs(seconds));
    }
}

const INACTIVE: Reason = Reason::CredentialInvalid(CredentialFault::Inactive);

#[tokio::test]
async fn answers_are_kept_for_their_time_and_no_longer() {
    let asking = Asking::start();
    for _ in 0..3 {
        assert_eq!(asking.reason(OPAQUE).await, Reason::Allowed);
    }
    assert_eq!(asking.oracle.asked(), 1);
    asking.oracle.set(said(200, &json!({ "active": false })));
    asking.pass(29);
    assert_eq!(asking.reason(OPAQUE).await, Reason::Allowed, "within max_age nobody asks");
    asking.pass(1);
    assert_eq!(asking.reason(OPAQUE).await, INACTIVE);
    asking.oracle.set(said(200, &answer(json!({}))));
    asking.pass(4);
    assert_eq!((asking.reason(OPAQUE).await, asking.oracle.asked()), (INACTIVE, 2));
    asking.pass(1);
    assert_eq!((asking.reason(OPAQUE).await, asking.oracle.asked()), (Reason::Allowed, 3));
    asking.oracle.set(said(200, &answer(json!({ "exp": NOW.seconds() + 40 }))));
    assert_eq!(asking.reason("another").await, Reason::Allowed);
    asking.pass(29);
    let expired = Reason::CredentialInvalid(CredentialFault::Expired);
    assert_eq!(asking.reason("another").await, Reason::Allowed, "leeway");
    asking.pass(30);
    assert_eq!(asking.reason("another").await, expired);
}

#[tokio::test]
async fn an_issuer_that_fails_is_left_alone_for_a_while_and_a_token_that_it_fails_over_is_not_everybodys() {
    let asking = Asking::start();
    asking.oracle.set(Err(FetchError::TimedOut(Duration::from_secs(5))));
    for _ in 0..3 {
        assert_eq!(asking.reason(OPAQUE).await, Reason::IssuerUnavailable);
    }
    assert_eq!(asking.oracle.asked(), 1, "it is asked no more within the pause");
    let failure = asking.identity.issuers()[0].introspection.clone().unwrap().last_failure.unwrap();
    assert!(failure.problem.contains("did not answer"), "{failure:?}");
    asking.pass(1);
    assert_eq!((asking.reason(OPAQUE).await, asking.oracle.asked()), (Reason::IssuerUnavailable, 2));
    asking.oracle.set(said(200, &answer(json!({}))));
    asking.pass(1);
    assert_eq!((asking.reason(OPAQUE).await, asking.oracle.asked()), (Reason::IssuerUnavailable, 2));
    asking.pass(1);
    assert_eq!(asking.reason(OPAQUE).await, Reason::Allowed);
    assert_eq!(asking.identity.issuers()[0].introspection.clone().unwrap().last_failure, None);

    asking.oracle.set(said(500, &json!({})));
    assert_eq!(asking.reason("poison").await, Reason::IssuerUnavailable);
    asking.oracle.set(said(200, &answer(json!({}))));
    assert_eq!(asking.reason("honest").await, Reason::Allowed, "one token must not stop the others");
    asking.oracle.set(said(401, &json!({})));
    assert_eq!(asking.reason("third").await, Reason::IssuerUnavailable);
    let asked = asking.oracle.asked();
    assert_eq!((asking.reason("fourth").await, asking.oracle.asked()), (Reason::IssuerUnavailable, asked));
    assert_eq!(asking.reason("honest").await, Reason::Allowed, "what is known goes on counting");
}

/// The token that is tried after a pause may be the one that the issuer fails over; it answered all the same.
#[tokio::test]
async fn a_poisonous_token_after_a_pause_does_not_silence_the_issuer() {
    let asking = Asking::start();
    asking.oracle.set(Err(FetchError::TimedOut(Duration::from_secs(5))));
    assert_eq!(asking.reason(OPAQUE).await, Reason::IssuerUnavailable);
    asking.pass(1);
    asking.oracle.set(said(500, &json!({})));
    assert_eq!(asking.reason("poison").await, Reason::IssuerUnavailable);
    asking.oracle.set(said(200, &answer(json!({}))));
    assert_eq!(asking.reason("honest").await, Reason::Allowed);
}

/// What can happen to an opaque token.
#[derive(Clone, Copy, Debug)]
enum Event {
    /// The issuer changes its mind.
    Active(bool),
    Pass(u64),
    Look,
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    /// What is answered was so within the time that answers are kept, and a token never outlives its end.
    #[test]
    fn no_answer_outlives_its_time(events in proptest::collection::vec(
        prop_oneof![
            2 => any::<bool>().prop_map(Event::Active),
            3 => (1u64..40).prop_map(Event::Pass),
            6 => Just(Event::Look),
        ], 1..40,
    )) {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(async {
            let asking = Asking::start();
            let (mut active, mut changed) = (true, None::<Timestamp>);
            for event in events {
                let now = asking.clock.now();
                match event {
                    Event::Active(now_active) => {
                        if now_active != active {
                            (active, changed) = (now_active, Some(now));
                        }
                        let says = if active { answer(json!({})) } else { json!({ "active": false }) };
                        asking.oracle.set(said(200, &says));
                    }
                    Event::Pass(seconds) => asking.pass(seconds),
                    Event::Look => {
                        let reason = asking.reason(OPAQUE).await;
                        let settled = changed.is_none_or(|at| now.since(at) >= Duration::from_secs(30));
                        let over = now >= NOW.plus(Duration::from_secs(330));
                        prop_assert!(!over || reason != Reason::Allowed);
                        if settled && !over {
                            let wanted = if active { Reason::Allowed } else { INACTIVE };
                            prop_assert_eq!(reason, wanted);
                        }
                    }
                }
            }
            asking.stop.cancel();
            Ok(())
        })?;
    }
}

#[test]
fn a_token_without_a_subject_is_its_clients_own_where_the_settings_say_so() {
    let without = answer(json!({ "sub": null }));
    let refusal = judged_by(&opaque_settings(), &without).unwrap_err();
    assert!(refusal.detail.contains("`sub` is missing"), "{}", refusal.detail);
    let mut issuer = opaque_settings();
    issuer.introspection.as_mut().unwrap().without_subject = true;
    let principal = |changes| {
        judged_by(&issuer.clone(), &answer(changes)).map(|(known, _)| known.principal.id.to_string())
    };
    assert_eq!(principal(json!({ "sub": null })).unwrap(), "Workload::corp/spa");
    assert_eq!(principal(json!({})).unwrap(), "User::corp/alice");
    assert!(principal(json!({ "sub": null, "client_id": null })).is_err());
    assert!(principal(json!({ "sub": 7 })).is_err());
    issuer.claims.workload.subject_is_client = false;
    let problem = Issuer::build(&issuer, secret().path()).unwrap_err().to_string();
    assert!(problem.contains("without_subject") && problem.contains("subject_is_client"), "{problem}");
}
