//! Tokens of a real OpenID provider, npm's `oidc-provider`: what it issues counts, and what it takes back does not.
//!
//! Provider and server are processes that speak over sockets; the server knows the provider by its discovery document. The
//! policies permit everything, so what is refused here is refused for the credential.

use std::collections::{BTreeSet, VecDeque};
use std::fs;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::Duration;

use base64::Engine;
use base64::prelude::BASE64_URL_SAFE_NO_PAD;
use deodar::api::client::Connection;
use deodar::api::pb::decision::client_certificate::Form;
use deodar::api::pb::{decision as pb, manage};
use deodar::identity::Algorithm;
use deodar::model::{Clock, SystemClock};
use serde_json::Value;
use tokio::sync::RwLock;

use crate::support::app::{Backend, THINGS_HOST, TestApp, things};
use crate::support::case::reason_name;
use crate::support::certificate::{client, self_signed, with};
use crate::support::oidc::{OTHERS, OTHERS_OPAQUE, OpenIdProvider, THINGS, THINGS_OPAQUE};
use crate::support::proof::{Prover, bearer, dpop};

const URI: &str = "https://things.example.com/things/7";
const SOON: Duration = Duration::from_secs(30);
/// For how long a key set counts as fresh. The provider has no opinion about that.
const FRESH: Duration = Duration::from_secs(3);
/// For how long it is used beyond that while the provider does not answer.
const STALE: Duration = Duration::from_secs(5);

/// For how long the provider's word about an opaque token counts.
const MAX_AGE: Duration = Duration::from_secs(2);

/// The API `things`, and the provider as the issuer `corp`, who knows this server by the secret in the file.
fn configuration(provider: &OpenIdProvider, secret: &Path) -> String {
    let (issuer, introspect) = (&provider.issuer, provider.endpoint("introspection_endpoint"));
    let secret = secret.display();
    let [fresh, stale, max_age] = [FRESH, STALE, MAX_AGE].map(|time| time.as_secs());
    let more = format!(
        r#"
[identity]
opaque_tokens = "corp"

[[identity.issuers]]
alias = "corp"
issuer = "{issuer}"
audiences = ["things"]
discovery = "openid"
may_assert = {{ domains = ["things"] }}

[identity.issuers.key_fetch]
fresh = "{fresh}s"
min_fresh = "1s"
max_fresh = "{fresh}s"
max_stale = "{stale}s"
cool_down = "1s"
min_retry = "100ms"
max_retry = "200ms"

[identity.issuers.introspection]
url = "{introspect}"
client_id = "deodar"
client_secret_file = "{secret}"
max_age = "{max_age}s"
refused_max_age = "1s"
without_subject = true
"#
    );
    things("", &more)
}

struct Door {
    app: TestApp,
    gateway: Connection,
}

impl Door {
    async fn open(provider: &OpenIdProvider) -> Self {
        let secret = tempfile::NamedTempFile::new().unwrap();
        fs::write(secret.path(), provider.secret("deodar")).unwrap();
        let app = TestApp::start_with(Backend::Sqlite, &configuration(provider, secret.path())).await;
        let gateway = app.decisions(&app.gateway_key).await;
        Self { app, gateway }
    }

    async fn ask(&self, credential: pb::Credential) -> pb::Decision {
        ask(&self.gateway, credential).await
    }

    /// The reason of the answer.
    async fn reason(&self, credential: pb::Credential) -> String {
        reason(&self.ask(credential).await)
    }

    /// The ids of the provider's keys as the server knows them.
    async fn key_ids(&self) -> Vec<String> {
        let management = self.app.management().await;
        let status = management.system().get_status(manage::GetStatusRequest {}).await.unwrap().into_inner();
        status.token_issuers.into_iter().find(|issuer| issuer.alias == "corp").unwrap().key_ids
    }
}

async fn ask(gateway: &Connection, credential: pb::Credential) -> pb::Decision {
    let call = pb::ApiCall {
        method: "GET".into(),
        host: THINGS_HOST.into(),
        path: "/things/7".into(),
        secure: true,
        ..pb::ApiCall::default()
    };
    let request = pb::CheckRequest {
        credentials: vec![credential],
        question: Some(pb::Question { kind: Some(pb::question::Kind::Call(call)) }),
        ..pb::CheckRequest::default()
    };
    gateway.decisions().check(request).await.unwrap().into_inner().decision.unwrap()
}

fn reason(decision: &pb::Decision) -> String {
    reason_name(decision.reason)
}

/// Waits until it is so.
async fn until(what: &str, is_so: impl AsyncFn() -> bool) {
    let wait = async {
        while !is_so().await {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    };
    assert!(tokio::time::timeout(SOON, wait).await.is_ok(), "it never was so: {what}");
}

#[tokio::test(flavor = "multi_thread")]
async fn an_access_token_is_accepted_for_its_audience() {
    let provider = OpenIdProvider::start().await;
    let door = Door::open(&provider).await;
    for algorithm in ["ES256", "RS256", "PS256", "EdDSA"] {
        let kid = provider.add_key(algorithm).await;
        until("the new key is known", async || door.key_ids().await.contains(&kid)).await;
        provider.sign_with(&kid).await;
        let token = provider.token(THINGS).await;
        assert_eq!(header(&token)["alg"], algorithm);
        assert_eq!(door.reason(bearer(&token, "")).await, "allowed");
        let elsewhere = provider.token(OTHERS).await;
        assert_eq!(door.reason(bearer(&elsewhere, "")).await, "credential_wrong_audience");
        assert_eq!(door.reason(bearer(&spoilt(&token), "")).await, "credential_bad_signature");
    }
    door.app.stop().await;
}

/// The token with one bit of its signature changed.
fn spoilt(token: &str) -> String {
    let (rest, signature) = token.rsplit_once('.').unwrap();
    let mut signature = BASE64_URL_SAFE_NO_PAD.decode(signature).unwrap();
    signature[8] ^= 1;
    format!("{rest}.{}", BASE64_URL_SAFE_NO_PAD.encode(signature))
}

#[tokio::test(flavor = "multi_thread")]
async fn a_token_that_is_bound_to_a_key_needs_a_proof() {
    let provider = OpenIdProvider::start().await;
    let door = Door::open(&provider).await;
    for resource in [THINGS, THINGS_OPAQUE] {
        for algorithm in [Algorithm::Es256, Algorithm::EdDsa] {
            let (prover, thief) = (Prover::new(algorithm), Prover::new(algorithm));
            let token = provider.token_for_key(&prover, resource).await;
            let credential = dpop(&token, &prover.proof("GET", URI, &token));
            assert_eq!(door.reason(credential.clone()).await, "allowed");
            assert_eq!(door.reason(credential).await, "credential_replayed");
            assert_eq!(door.reason(bearer(&token, "")).await, "credential_binding_failed");
            let stolen = dpop(&token, &thief.proof("GET", URI, &token));
            assert_eq!(door.reason(stolen).await, "credential_binding_failed");
        }
    }
    door.app.stop().await;
}

/// Whether its text or the provider says it: who the principal is depends on who got the token.
#[tokio::test(flavor = "multi_thread")]
async fn a_user_and_a_client_are_told_apart_and_an_id_token_opens_nothing() {
    let provider = OpenIdProvider::start().await;
    let door = Door::open(&provider).await;
    for resource in [THINGS, THINGS_OPAQUE] {
        let granted = provider.log_in("alice", resource).await;
        for (token, principal) in
            [(&granted.token, "User::corp/alice"), (&provider.token(resource).await, "Workload::corp/robot")]
        {
            let decision = door.ask(bearer(token, "")).await;
            assert_eq!((reason(&decision).as_str(), decision.principal.as_str()), ("allowed", principal));
        }
        let id_token = granted.id_token.unwrap();
        assert_eq!(door.reason(bearer(&id_token, "")).await, "credential_wrong_type");
    }
    door.app.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_opaque_token_is_accepted_until_the_provider_takes_it_back() {
    let (provider, clock) = (OpenIdProvider::start().await, SystemClock::new());
    let door = Door::open(&provider).await;
    let token = provider.token(THINGS_OPAQUE).await;
    assert!(!token.contains('.'), "it says something");
    assert_eq!(door.reason(bearer(&token, "")).await, "allowed");
    for (token, expected) in [
        (provider.token(OTHERS_OPAQUE).await, "credential_wrong_audience"),
        (provider.token("").await, "credential_wrong_audience"),
        ("a-text-that-nobody-gave-out".to_owned(), "credential_inactive"),
    ] {
        assert_eq!(door.reason(bearer(&token, "")).await, expected);
    }

    provider.revoke(&token).await;
    let revoked = clock.monotonic();
    let refused = async || {
        let begun = clock.monotonic();
        let answer = door.reason(bearer(&token, "")).await;
        assert!(answer != "allowed" || begun <= revoked + MAX_AGE, "it counted beyond its time");
        answer == "credential_inactive"
    };
    until("the token is refused", refused).await;
    let never_asked_about = provider.token(THINGS_OPAQUE).await;
    provider.revoke(&never_asked_about).await;
    assert_eq!(door.reason(bearer(&never_asked_about, "")).await, "credential_inactive");
    door.app.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_token_that_is_bound_to_a_certificate_needs_it() {
    let provider = OpenIdProvider::start().await;
    let door = Door::open(&provider).await;
    let (own, other) = (self_signed(&client(&[])), self_signed(&client(&[])));
    for resource in [THINGS, THINGS_OPAQUE] {
        let token = provider.token_for_certificate(&own, resource).await;
        let beside = |der: &[u8]| with(bearer(&token, ""), Form::Der(der.to_vec()));
        assert_eq!(door.reason(beside(&own)).await, "allowed");
        assert_eq!(door.reason(bearer(&token, "")).await, "credential_binding_failed");
        assert_eq!(door.reason(beside(&other)).await, "credential_binding_failed");
    }
    door.app.stop().await;
}

fn header(token: &str) -> Value {
    let header = BASE64_URL_SAFE_NO_PAD.decode(token.split('.').next().unwrap()).unwrap();
    serde_json::from_slice(&header).unwrap()
}

/// The key that a token names.
fn kid(token: &str) -> String {
    header(token)["kid"].as_str().unwrap().to_owned()
}

/// What those who ask share with the one who changes the keys.
struct World {
    provider: OpenIdProvider,
    gateway: Connection,
    clock: SystemClock,
    /// Held for reading while a token is got and asked about, so that none loses its key on the way.
    keys: RwLock<Keys>,
    /// How many tokens with the newest key were accepted.
    with_newest: AtomicUsize,
    /// How many questions with retired tokens began past the bound.
    past_bound: AtomicUsize,
    stop: AtomicBool,
}

struct Keys {
    published: BTreeSet<String>,
    newest: String,
    retired: Vec<Retired>,
}

/// A token whose key is published no longer.
struct Retired {
    token: String,
    since: Duration,
}

#[derive(Default)]
struct Seen {
    valid: usize,
    /// Tokens that should have been accepted, and the reason that was given instead.
    refused: Vec<String>,
    retired: usize,
    /// Of those, how long after the end of their keys they were accepted, where that is past the bound.
    accepted: Vec<Duration>,
    /// Answers to retired tokens that are neither an allow nor about their key.
    strange: Vec<String>,
}

impl World {
    async fn ask_valid(&self, token: &str, newest: &str, seen: &mut Seen) {
        let kid = kid(token);
        let answer = reason(&ask(&self.gateway, bearer(token, "")).await);
        seen.valid += 1;
        if answer != "allowed" {
            seen.refused.push(format!("{kid}: {answer}"));
        } else if kid == newest {
            self.with_newest.fetch_add(1, Ordering::SeqCst);
        }
    }

    async fn ask_retired(&self, retired: &Retired, seen: &mut Seen) {
        let age = self.clock.monotonic().saturating_sub(retired.since);
        let past = age > FRESH + STALE;
        let answer = reason(&ask(&self.gateway, bearer(&retired.token, "")).await);
        seen.retired += 1;
        self.past_bound.fetch_add(usize::from(past), Ordering::SeqCst);
        match answer.as_str() {
            "credential_unknown_key" => {}
            "allowed" if past => seen.accepted.push(age),
            "allowed" => {}
            other => seen.strange.push(other.to_owned()),
        }
    }

    /// Asks with new tokens, with older ones whose keys are still published, and with retired ones.
    async fn load(&self) -> Seen {
        let (mut seen, mut older) = (Seen::default(), VecDeque::<String>::new());
        while !self.stop.load(Ordering::SeqCst) {
            let keys = self.keys.read().await;
            let token = self.provider.token(THINGS).await;
            self.ask_valid(&token, &keys.newest, &mut seen).await;
            older.retain(|token| keys.published.contains(&kid(token)));
            for token in older.iter().step_by(8) {
                self.ask_valid(token, &keys.newest, &mut seen).await;
            }
            for retired in &keys.retired {
                self.ask_retired(retired, &mut seen).await;
            }
            older.push_front(token);
            older.truncate(40);
        }
        seen
    }

    /// Publishes a key no longer; these are tokens that were signed with it.
    async fn retire(&self, kid: &str, tokens: [&str; 2]) -> Duration {
        let mut keys = self.keys.write().await;
        keys.published.remove(kid);
        self.provider.drop_key(kid).await;
        let since = self.clock.monotonic();
        keys.retired.extend(tokens.map(|token| Retired { token: token.to_owned(), since }));
        since
    }

    async fn publish(&self, algorithm: &str) -> String {
        let mut keys = self.keys.write().await;
        let kid = self.provider.add_key(algorithm).await;
        keys.published.insert(kid.clone());
        keys.newest.clone_from(&kid);
        self.with_newest.store(0, Ordering::SeqCst);
        kid
    }
}

/// The provider's keys are changed for others while many ask. No token whose key is published is refused, and none whose
/// key is not is accepted for longer than the settings say.
#[tokio::test(flavor = "multi_thread")]
async fn keys_are_rotated_under_load() {
    let provider = OpenIdProvider::start().await;
    let door = Door::open(&provider).await;
    let first = provider.token(THINGS).await;
    assert_eq!(door.reason(bearer(&first, "")).await, "allowed");
    let mut current = kid(&first);
    let keys =
        Keys { published: BTreeSet::from([current.clone()]), newest: current.clone(), retired: Vec::new() };
    let world = Arc::new(World {
        provider,
        gateway: door.gateway.clone(),
        clock: SystemClock::new(),
        keys: RwLock::new(keys),
        with_newest: AtomicUsize::new(0),
        past_bound: AtomicUsize::new(0),
        stop: AtomicBool::new(false),
    });
    let load: Vec<_> = (0..4)
        .map(|_| {
            let world = Arc::clone(&world);
            tokio::spawn(async move { world.load().await })
        })
        .collect();

    let mut longest = Duration::ZERO;
    for (turn, algorithm) in ["RS256", "EdDSA", "PS256", "ES256"].into_iter().enumerate() {
        // One that the server remembers as verified, and one that it never saw.
        let (known, unseen) = (world.provider.token(THINGS).await, world.provider.token(THINGS).await);
        assert_eq!(door.reason(bearer(&known, "")).await, "allowed");
        let new = world.publish(algorithm).await;
        // The first time the key signs in the moment in which it is published. Later there are retired tokens about, and
        // they may have used up the one question that the provider is asked in a cool-down; so it is published in time.
        if turn > 0 {
            until("the new key is known", async || door.key_ids().await.contains(&new)).await;
        }
        world.provider.sign_with(&new).await;
        until("the new key is in use", async || world.with_newest.load(Ordering::SeqCst) >= 40).await;
        let since = world.retire(&current, [&known, &unseen]).await;
        let refused = async || door.reason(bearer(&known, "")).await == "credential_unknown_key";
        until("a token with the old key is refused", refused).await;
        let lasted = world.clock.monotonic().saturating_sub(since);
        assert!(lasted <= FRESH + STALE, "an old key counted for {lasted:?}");
        longest = longest.max(lasted);
        current = new;
    }
    let last = world.keys.read().await.retired.last().unwrap().since;
    let is_past = async || world.clock.monotonic().saturating_sub(last) > FRESH + STALE;
    until("the bound of the last key has passed", is_past).await;
    world.past_bound.store(0, Ordering::SeqCst);
    let asked = async || world.past_bound.load(Ordering::SeqCst) >= 100;
    until("many retired tokens were asked about past the bound", asked).await;
    world.stop.store(true, Ordering::SeqCst);

    let (mut valid, mut retired) = (0, 0);
    for worker in load {
        let seen = worker.await.unwrap();
        assert_eq!(seen.refused, Vec::<String>::new(), "of {} valid tokens", seen.valid);
        assert_eq!(seen.accepted, Vec::<Duration>::new(), "of {} retired tokens", seen.retired);
        assert_eq!(seen.strange, Vec::<String>::new());
        valid += seen.valid;
        retired += seen.retired;
    }
    assert!(valid > 400, "only {valid} questions with valid tokens");
    tell(&format!(
        "4 rotations: {valid} valid tokens, none refused; {retired} retired ones, the last accepted {longest:?} after the end of its key"
    ));
    door.app.stop().await;
}

#[expect(clippy::print_stdout, reason = "what was measured, for who runs it with --nocapture")]
fn tell(measured: &str) {
    println!("{measured}");
}
