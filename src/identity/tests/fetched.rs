//! Keys that are fetched: what becomes of tokens when they come, change and go.

use std::collections::VecDeque;
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use async_trait::async_trait;
use proptest::prelude::*;

use super::super::fetch::{FetchError, FetchRequest, Fetched, Fetcher};
use super::super::remote_keys::RemoteKeys;
use super::*;
use crate::model::{ManualClock, Reason, Revocation, RevocationId};

const PLACE: &str = "https://login.example.com/jwks";

fn remote_settings() -> IssuerConfig {
    let mut config = settings();
    config.jwks = None;
    config.jwks_url = Some(PLACE.to_owned());
    config
}

fn remote_identity(change: impl FnOnce(&mut IssuerConfig)) -> Identity {
    let mut config = remote_settings();
    change(&mut config);
    identity_of(vec![config])
}

fn keys_of(identity: &Identity) -> &Arc<RemoteKeys> {
    identity.remote_keys().next().unwrap()
}

fn set_of(keys: &[&SigningKey]) -> KeySet {
    let keys: Vec<Value> = keys.iter().map(|key| key.public_jwk()).collect();
    KeySet::parse(&json!({ "keys": keys }).to_string()).unwrap()
}

/// Answers what it is given, in order, and then nothing more.
struct Script(Mutex<VecDeque<(String, Result<Fetched, FetchError>)>>);

impl Script {
    fn of(answers: impl IntoIterator<Item = (&'static str, Result<Fetched, FetchError>)>) -> Self {
        Self(Mutex::new(answers.into_iter().map(|(url, answer)| (url.to_owned(), answer)).collect()))
    }

    fn is_done(&self) -> bool {
        self.0.lock().unwrap().is_empty()
    }
}

#[async_trait]
impl Fetcher for Script {
    async fn fetch(&self, request: FetchRequest<'_>) -> Result<Fetched, FetchError> {
        let (url, answer) = self.0.lock().unwrap().pop_front().expect("one fetch too many");
        assert_eq!(request.destination.as_str(), url);
        answer
    }
}

fn document(value: &Value) -> Result<Fetched, FetchError> {
    Ok(Fetched {
        status: 200,
        content_type: Some("application/json".to_owned()),
        body: value.to_string().into_bytes(),
        ..Fetched::default()
    })
}

fn jwks(keys: &[&SigningKey]) -> Result<Fetched, FetchError> {
    let keys: Vec<Value> = keys.iter().map(|key| key.public_jwk()).collect();
    document(&json!({ "keys": keys }))
}

fn reason(identity: &Identity, token: &str, now: Timestamp) -> Reason {
    identity.examine(&bearer(token), now).map_or_else(|refusal| refusal.reason, |_| Reason::Allowed)
}

fn later(seconds: u64) -> Timestamp {
    NOW.plus(Duration::from_secs(seconds))
}

const UNKNOWN: Reason = Reason::CredentialInvalid(CredentialFault::UnknownKey);

#[test]
fn before_the_first_fetch_tokens_are_denied_and_worth_a_wait() {
    let identity = remote_identity(|_| ());
    let refusal = identity.examine(&bearer(&token(json!({}))), NOW).unwrap_err();
    assert_eq!(refusal.reason, Reason::IssuerUnavailable);
    assert!(refusal.wanted.is_some(), "the first fetch is about to begin");
    assert!(refusal.detail.contains("not been fetched yet"), "{}", refusal.detail);
    let stranger = key(Algorithm::EdDsa).sign(header("at+jwt"), &claims(json!({ "iss": "x" }))).unwrap();
    assert!(identity.examine(&bearer(&stranger), NOW).unwrap_err().wanted.is_none());
    let infos = identity.issuers();
    assert!(infos[0].warnings.is_empty() && infos[0].fetched.is_some());
}

#[tokio::test]
async fn what_was_fetched_verifies_and_what_failed_is_said() {
    let clock = ManualClock::at(NOW);
    let identity = remote_identity(|_| ());
    let script = Script::of([
        (PLACE, Err(FetchError::Unreachable("no route".to_owned()))),
        (PLACE, document(&json!({ "keys": [] }))),
        (PLACE, jwks(&[&KEY])),
    ]);
    identity.fetch_keys(&script, &clock).await;
    let refusal = identity.examine(&bearer(&token(json!({}))), NOW).unwrap_err();
    assert!(refusal.detail.contains("no route") && refusal.wanted.is_none(), "{refusal:?}");
    identity.fetch_keys(&script, &clock).await;
    let fetched = identity.issuers()[0].fetched.clone().unwrap();
    let failure = fetched.last_failure.clone().unwrap();
    assert!(failure.problem.contains("no key") && failure.problem.contains(PLACE), "{failure:?}");
    assert!(fetched.stale(NOW) && !fetched.usable(NOW));
    identity.fetch_keys(&script, &clock).await;
    assert_eq!(reason(&identity, &token(json!({})), NOW), Reason::Allowed);
    let fetched = identity.issuers()[0].fetched.clone().unwrap();
    assert!(!fetched.stale(NOW) && fetched.last_failure.is_none() && script.is_done());
}

#[tokio::test]
async fn a_place_that_discovery_named_is_kept_until_it_fails_or_is_old() {
    const DOCUMENT: &str = "https://login.example.com/.well-known/openid-configuration";
    let clock = ManualClock::at(NOW);
    let identity = remote_identity(|config| {
        config.jwks_url = None;
        config.discovery = Some(Discovery::Openid);
    });
    let metadata = || document(&json!({ "issuer": ISSUER, "jwks_uri": PLACE }));
    let gone = || Err(FetchError::TimedOut(Duration::from_secs(5)));
    let script = Script::of([
        (DOCUMENT, metadata()),
        (PLACE, jwks(&[&KEY])),
        (PLACE, gone()),
        (DOCUMENT, metadata()),
        (PLACE, jwks(&[&KEY])),
        (DOCUMENT, gone()),
    ]);
    let mut keeper = keys_of(&identity).keeper(&script, &clock);
    for hours in [0, 0, 0, 1] {
        clock.advance(Duration::from_secs(hours * 3_600));
        keeper.attempt().await;
    }
    assert!(script.is_done());
}

#[test]
fn a_key_taken_back_ends_its_cached_tokens_and_no_others() {
    let identity = remote_identity(|_| ());
    let (mine, other) = (token(json!({})), RSA_KEY.sign(header("at+jwt"), &claims(json!({}))).unwrap());
    let hour = Duration::from_secs(3_600);
    keys_of(&identity).take(set_of(&[&KEY, &RSA_KEY]), NOW, hour);
    assert_eq!([&mine, &other].map(|token| reason(&identity, token, NOW)), [Reason::Allowed; 2]);
    keys_of(&identity).take(set_of(&[&RSA_KEY, &KEY]), NOW, hour);
    assert_eq!([&mine, &other].map(|token| reason(&identity, token, NOW)), [Reason::Allowed; 2]);
    keys_of(&identity).take(set_of(&[&RSA_KEY]), NOW, hour);
    assert_eq!([&mine, &other].map(|token| reason(&identity, token, NOW)), [UNKNOWN, Reason::Allowed]);
    keys_of(&identity).take(set_of(&[&RSA_KEY, &KEY]), NOW, hour);
    assert_eq!([&mine, &other].map(|token| reason(&identity, token, NOW)), [Reason::Allowed; 2]);
}

/// The same key under the same name, but for another algorithm, is another key.
#[test]
fn a_key_that_changes_its_use_ends_its_tokens() {
    let identity = remote_identity(|config| config.algorithms = vec![Algorithm::Rs256, Algorithm::Ps256]);
    let hour = Duration::from_secs(3_600);
    let set = |algorithm: &str| {
        let mut jwk = RSA_KEY.public_jwk();
        jwk["alg"] = json!(algorithm);
        KeySet::parse(&json!({ "keys": [jwk] }).to_string()).unwrap()
    };
    let token = RSA_KEY.sign(header("at+jwt"), &claims(json!({}))).unwrap();
    keys_of(&identity).take(set("RS256"), NOW, hour);
    assert_eq!(reason(&identity, &token, NOW), Reason::Allowed);
    keys_of(&identity).take(set("PS256"), NOW, hour);
    let other = Reason::CredentialInvalid(CredentialFault::AlgorithmNotAllowed);
    assert_eq!(reason(&identity, &token, NOW), other);
}

#[test]
fn a_token_without_a_key_id_may_be_signed_with_a_new_key() {
    let identity = remote_identity(|_| ());
    keys_of(&identity).take(set_of(&[&RSA_KEY]), NOW, Duration::from_secs(3_600));
    let bare = |key: &SigningKey| {
        key.sign_text(r#"{"alg":"EdDSA","typ":"at+jwt"}"#, &Value::Object(claims(json!({}))).to_string())
            .unwrap()
    };
    let refusal = identity.examine(&bearer(&bare(&KEY)), NOW).unwrap_err();
    assert_eq!((refusal.reason, refusal.wanted.is_some()), (UNKNOWN, true));
    let identity = remote_identity(|_| ());
    keys_of(&identity).take(set_of(&[&key(Algorithm::EdDsa)]), NOW, Duration::from_secs(3_600));
    let refusal = identity.examine(&bearer(&bare(&KEY)), NOW).unwrap_err();
    let wrong = Reason::CredentialInvalid(CredentialFault::BadSignature);
    assert_eq!((refusal.reason, refusal.wanted.is_some()), (wrong, true));
    let named = identity.examine(&bearer(&token(json!({}))), NOW).unwrap_err();
    assert_eq!((named.reason, named.wanted.is_some()), (UNKNOWN, true), "it waits with the first");
}

#[tokio::test]
async fn those_who_wait_are_bounded_and_come_back_when_the_attempt_ended() {
    let identity = remote_identity(|config| config.key_fetch.max_waiting = 1);
    let wanted = identity.examine(&bearer(&token(json!({}))), NOW).unwrap_err().wanted.unwrap();
    let mut first = Box::pin(wanted.arrive(Duration::from_secs(3_600)));
    assert!(futures::poll!(&mut first).is_pending());
    let mut second = Box::pin(wanted.arrive(Duration::from_secs(3_600)));
    assert!(futures::poll!(&mut second).is_ready(), "there is no room for a second one");
    let clock = ManualClock::at(NOW);
    identity.fetch_keys(&Script::of([(PLACE, jwks(&[&KEY]))]), &clock).await;
    first.await;
    assert_eq!(reason(&identity, &token(json!({})), NOW), Reason::Allowed);
}

/// What can happen to a token, its key, or the time.
#[derive(Clone, Copy, Debug)]
enum Event {
    /// The issuer's set was fetched: it holds these keys of three, and is fresh for so many seconds.
    Fetch(u8, u64),
    Pass(u64),
    /// The clock is set back.
    Back(u64),
    RevokeToken(usize),
    RevokeIssuedBefore(u64),
    Look(usize),
}

fn event() -> impl Strategy<Value = Event> {
    prop_oneof![
        3 => (0u8..8, 60u64..300).prop_map(|(keys, fresh)| Event::Fetch(keys, fresh)),
        3 => (1u64..200).prop_map(Event::Pass),
        1 => (1u64..100).prop_map(Event::Back),
        1 => (0usize..6).prop_map(Event::RevokeToken),
        1 => (0u64..400).prop_map(Event::RevokeIssuedBefore),
        8 => (0usize..6).prop_map(Event::Look),
    ]
}

/// What counts, written down a second time and without a cache.
#[derive(Clone, Copy, Default)]
struct Model {
    set: Option<(u8, Timestamp)>,
    revoked: [bool; 6],
    issued_before: Option<Timestamp>,
}

const MAX_STALE: u64 = 100;

static TRIO: LazyLock<[SigningKey; 3]> = LazyLock::new(|| [(); 3].map(|()| key(Algorithm::EdDsa)));

impl Model {
    fn accepts(&self, n: usize, now: Timestamp) -> bool {
        let end = self.set.map(|(_, end)| end);
        self.counts(n) && in_time(n, now) && end.is_some_and(|end| now < end)
    }

    /// Whether nothing but the time is against it.
    fn counts(&self, n: usize) -> bool {
        let key = self.set.is_some_and(|(keys, _)| keys & (1 << (n % 3)) != 0);
        key && !self.revoked[n] && self.issued_before.is_none_or(|before| issued(n) >= before)
    }
}

/// Token `n` is signed with key `n % 3`, issued after `50 n` seconds, and good for 200.
fn six_tokens() -> Vec<String> {
    let made = |n: usize| {
        let issued = issued(n).seconds();
        let changes = json!({ "iat": issued, "exp": issued + 200, "jti": format!("t-{n}") });
        TRIO[n % 3].sign(header("at+jwt"), &claims(changes)).unwrap()
    };
    (0..6).map(made).collect()
}

fn issued(n: usize) -> Timestamp {
    later(50 * n as u64)
}

fn in_time(n: usize, now: Timestamp) -> bool {
    let leeway = Duration::from_secs(30);
    issued(n) <= now.plus(leeway) && now < issued(n).plus(Duration::from_secs(200)).plus(leeway)
}

fn chosen(keys: u8) -> KeySet {
    let chosen: Vec<&SigningKey> = (0..3).filter(|n| keys & (1 << n) != 0).map(|n| &TRIO[n]).collect();
    set_of(&chosen)
}

/// Whether a token counts, for threads that look while another one changes it: how often it changed, and in the last two bits
/// what it is. A thread that finds the same before and after it looked knows what the answer must be.
#[derive(Debug, Default)]
struct Right(AtomicU64);

const CHANGING: u64 = 2;

impl Right {
    fn set(&self, right: u64) {
        self.0.store(((self.0.load(Ordering::SeqCst) >> 2) + 1) << 2 | right, Ordering::SeqCst);
    }

    fn read(&self) -> u64 {
        self.0.load(Ordering::SeqCst)
    }
}

/// What the threads share.
struct World {
    identity: Identity,
    revocations: Revocations,
    tokens: Vec<String>,
    rights: [Right; 6],
    looks: AtomicU64,
    done: AtomicBool,
}

impl World {
    fn new() -> Self {
        Self {
            identity: remote_identity(|_| ()),
            revocations: Revocations::new(),
            tokens: six_tokens(),
            rights: Default::default(),
            looks: AtomicU64::default(),
            done: AtomicBool::default(),
        }
    }

    /// Looks once; what was wrong with the answer.
    fn look(&self, n: usize, now: Timestamp) -> Option<String> {
        let before = self.rights[n].read();
        let known = self.identity.examine(&bearer(&self.tokens[n]), now);
        let accepted = known.is_ok_and(|known| self.revocations.check(&known.principal).is_none());
        let after = self.rights[n].read();
        self.looks.fetch_add(1, Ordering::SeqCst);
        let settled = before == after && before & CHANGING == 0;
        let right = before & 1 == 1 && in_time(n, now);
        (settled && accepted != right).then(|| format!("token {n} at {now}: {accepted} and not {right}"))
    }

    fn look_on(&self, number: usize) -> Vec<String> {
        let mut wrong = Vec::new();
        for turn in number.. {
            if self.done.load(Ordering::SeqCst) {
                break;
            }
            // Every token in turn, and the times in another order.
            wrong.extend(self.look(turn % 6, later(turn as u64 * 37 % 400)));
        }
        wrong
    }

    /// Does what changes the rights of tokens, and has the others look at what came of it.
    fn change(&self, model: &mut Model, next: Model, act: impl FnOnce()) {
        let changed: Vec<usize> = (0..6).filter(|n| model.counts(*n) != next.counts(*n)).collect();
        changed.iter().for_each(|n| self.rights[*n].set(CHANGING));
        act();
        *model = next;
        changed.iter().for_each(|n| self.rights[*n].set(model.counts(*n).into()));
        let seen = self.looks.load(Ordering::SeqCst);
        while self.looks.load(Ordering::SeqCst) < seen + 40 {
            std::thread::yield_now();
        }
    }

    fn happen(&self, number: usize, event: Event, model: &mut Model) {
        match event {
            Event::Fetch(keys @ 1.., _) => {
                let hour = Duration::from_secs(3_600);
                let next = Model { set: Some((keys, NOW.plus(hour))), ..*model };
                self.change(model, next, || keys_of(&self.identity).take(chosen(keys), NOW, hour));
            }
            Event::RevokeToken(n) => {
                let mut next = *model;
                next.revoked[n] = true;
                let revoked = revocation(number, &format!("token:corp/t-{n}"), None);
                self.change(model, next, || self.revocations.apply(&revoked));
            }
            Event::RevokeIssuedBefore(seconds) => {
                let before = later(seconds / 4);
                let latest = model.issued_before.map_or(before, |known| known.max(before));
                let next = Model { issued_before: Some(latest), ..*model };
                let revoked = revocation(number, "issuer:corp", Some(before));
                self.change(model, next, || self.revocations.apply(&revoked));
            }
            _ => {}
        }
    }
}

fn revocation(number: usize, target: &str, issued_before: Option<Timestamp>) -> Revocation {
    Revocation {
        id: RevocationId::from_uuid(uuid::Uuid::from_u128(number as u128)),
        target: target.parse().unwrap(),
        issued_before,
        reason: "stolen".into(),
        created_by: "root".parse().unwrap(),
        created_at: NOW,
        expires_at: later(1_000_000),
        undone: None,
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(200))]

    /// However fetches, revocations and the time come in between, a token that was verified before counts exactly when one
    /// that is verified now would.
    #[test]
    fn no_cached_token_outlives_its_right(events in proptest::collection::vec(event(), 1..60)) {
        let identity = remote_identity(|config| {
            config.key_fetch.max_stale = Duration::from_secs(MAX_STALE);
            config.key_fetch.min_fresh = Duration::from_secs(1);
        });
        let revocations = Revocations::new();
        let tokens = six_tokens();
        let mut model = Model::default();
        let mut now = NOW;
        for (number, event) in events.into_iter().enumerate() {
            match event {
                Event::Fetch(0, _) => {}
                Event::Fetch(keys, fresh) => {
                    keys_of(&identity).take(chosen(keys), now, Duration::from_secs(fresh));
                    model.set = Some((keys, now.plus(Duration::from_secs(fresh + MAX_STALE))));
                }
                Event::Pass(seconds) => now = now.plus(Duration::from_secs(seconds)),
                Event::Back(seconds) => now = now.minus(Duration::from_secs(seconds)),
                Event::RevokeToken(n) => {
                    revocations.apply(&revocation(number, &format!("token:corp/t-{n}"), None));
                    model.revoked[n] = true;
                }
                Event::RevokeIssuedBefore(seconds) => {
                    let before = later(seconds);
                    revocations.apply(&revocation(number, "issuer:corp", Some(before)));
                    model.issued_before = Some(model.issued_before.map_or(before, |known| known.max(before)));
                }
                Event::Look(n) => {
                    let known = identity.examine(&bearer(&tokens[n]), now);
                    let accepted = known.is_ok_and(|known| revocations.check(&known.principal).is_none());
                    prop_assert_eq!(accepted, model.accepts(n, now), "token {} at {}", n, now);
                }
            }
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(12))]

    /// The same among threads: some verify and fill the cache while keys are taken back, given again and tokens revoked. What a
    /// change does not touch counts all the while, and what it ends is accepted by nobody once it is done.
    #[test]
    fn no_cached_token_outlives_its_right_among_threads(events in proptest::collection::vec(event(), 1..60)) {
        let (world, mut model) = (World::new(), Model::default());
        let wrong: Vec<String> = std::thread::scope(|scope| {
            let world = &world;
            let others: Vec<_> = (0..3).map(|number| scope.spawn(move || world.look_on(number))).collect();
            for (number, event) in events.into_iter().enumerate() {
                world.happen(number, event, &mut model);
            }
            world.done.store(true, Ordering::SeqCst);
            others.into_iter().flat_map(|other| other.join().unwrap()).collect()
        });
        prop_assert!(wrong.is_empty(), "{wrong:?}");
        for n in 0..6 {
            prop_assert_eq!(world.look(n, issued(n)), None, "afterwards");
        }
    }
}
