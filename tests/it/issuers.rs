//! Issuers that publish their keys: what a server makes of those that answer, that do not, and that answer badly.
//!
//! Servers and issuers are real ones and speak over sockets. The policies permit everything, so what is refused here is
//! refused for the credential.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::Duration;

use deodar::api::client::Connection;
use deodar::api::pb::{decision as pb, manage};
use deodar::app::App;
use deodar::identity::SigningKey;
use deodar::model::{Clock, ManualClock, SystemClock};
use serde_json::json;

use crate::support::app::{THINGS_HOST, TestApp, configuration, things};
use crate::support::case::reason_name;
use crate::support::issuer::{Authority, Mode, TestIssuer, new_key};
use crate::support::process::ServerProcess;
use crate::support::proof::bearer;

const SOON: Duration = Duration::from_secs(20);
/// The `max_retry` of [`issuer`].
const LONGEST_PAUSE: Duration = Duration::from_millis(200);

/// The API `things`, and issuers that may speak of it.
pub fn settings(issuers: &[String]) -> String {
    things("", &issuers.join("\n"))
}

/// An issuer of the configuration. `key_fetch` are settings in place of the short times, with which a test sees time pass.
fn issuer(alias: &str, of: &TestIssuer, keys: &str, key_fetch: &str) -> String {
    let issuer = of.issuer();
    let short = [("min_retry", "100ms"), ("max_retry", "200ms"), ("min_fresh", "1s"), ("cool_down", "1s")];
    let short = short.iter().filter(|(name, _)| !key_fetch.contains(name));
    let short: String = short.map(|(name, time)| format!("{name} = \"{time}\"\n")).collect();
    format!(
        r#"
[[identity.issuers]]
alias = "{alias}"
issuer = "{issuer}"
audiences = ["things"]
may_assert = {{ domains = ["things"] }}
{keys}

[identity.issuers.key_fetch]
{short}{key_fetch}
"#
    )
}

fn by_url(alias: &str, of: &TestIssuer, key_fetch: &str) -> String {
    issuer(alias, of, &format!("jwks_url = \"{}\"", of.jwks_url()), key_fetch)
}

struct Door {
    app: TestApp,
    gateway: Connection,
}

impl Door {
    async fn open(issuers: &[String]) -> Self {
        Self::with(issuers, "").await
    }

    async fn with(issuers: &[String], more: &str) -> Self {
        Self::at(Arc::new(SystemClock::new()), issuers, more).await
    }

    async fn at(clock: Arc<dyn Clock>, issuers: &[String], more: &str) -> Self {
        let text = format!("{}{more}", settings(issuers));
        let app = TestApp::start_at(clock, &text).await;
        let gateway = app.decisions(&app.gateway_key).await;
        Self { app, gateway }
    }

    /// The reason of the answer to the usual call with this token.
    async fn ask(&self, token: &str) -> String {
        ask(&self.gateway, token).await
    }

    async fn status(&self) -> manage::GetStatusResponse {
        let management = self.app.management().await;
        management.system().get_status(manage::GetStatusRequest {}).await.unwrap().into_inner()
    }

    async fn issuer_status(&self, alias: &str) -> manage::TokenIssuer {
        self.status().await.token_issuers.into_iter().find(|issuer| issuer.alias == alias).unwrap()
    }

    /// Asks until the answer is this one.
    async fn until(&self, token: &str, wanted: &str) {
        let wait = async {
            while self.ask(token).await != wanted {
                tokio::task::yield_now().await;
            }
        };
        assert!(tokio::time::timeout(SOON, wait).await.is_ok(), "the answer never was {wanted}");
    }

    /// Lets the longest pause after a failure pass until the issuer was asked again. A question waits for an attempt that is due,
    /// so more than one pause is needed only where an attempt was under way before.
    async fn until_asked_again(&self, clock: &ManualClock, token: &str) {
        for _ in 0..20 {
            clock.advance(LONGEST_PAUSE);
            if self.ask(token).await == "allowed" {
                return;
            }
        }
        panic!("the issuer was not asked again, or gave no good answer");
    }
}

async fn ask(gateway: &Connection, token: &str) -> String {
    let call = pb::ApiCall {
        method: "GET".into(),
        host: THINGS_HOST.into(),
        path: "/things/7".into(),
        secure: true,
        ..pb::ApiCall::default()
    };
    let request = pb::CheckRequest {
        credentials: vec![bearer(token, "")],
        question: Some(pb::Question { kind: Some(pb::question::Kind::Call(call)) }),
        ..pb::CheckRequest::default()
    };
    reason_name(gateway.decisions().check(request).await.unwrap().into_inner().decision.unwrap().reason)
}

#[tokio::test(flavor = "multi_thread")]
async fn keys_are_found_by_url_and_by_both_kinds_of_discovery() {
    let (key, other) = (new_key(), new_key());
    let issuers = [TestIssuer::start().await, TestIssuer::start().await, TestIssuer::start().await];
    issuers.iter().for_each(|issuer| issuer.publish(&[&key, &other]));
    let door = Door::open(&[
        by_url("url", &issuers[0], ""),
        issuer("openid", &issuers[1], "discovery = \"openid\"", ""),
        issuer("oauth", &issuers[2], "discovery = \"oauth\"", ""),
    ])
    .await;
    for issuer in &issuers {
        assert_eq!(door.ask(&issuer.token(&key, "alice", &json!({}))).await, "allowed");
        assert_eq!(issuer.fetches(), 1);
    }
    assert_eq!(issuers[1].seen("/.well-known/openid-configuration"), 1);
    assert_eq!(issuers[2].seen("/.well-known/oauth-authorization-server"), 1);
    let stranger = issuers[0].token(&new_key(), "alice", &json!({}));
    assert_eq!(door.ask(&stranger).await, "credential_unknown_key");
    let crossed = issuers[1].token(&key, "alice", &json!({ "iss": issuers[0].issuer(), "aud": "others" }));
    assert_eq!(door.ask(&crossed).await, "credential_wrong_audience");

    let seen = door.issuer_status("openid").await;
    assert_eq!((seen.keys, seen.stale, seen.last_error.as_str()), (2, false, ""));
    assert!(seen.fetched_from.ends_with("openid-configuration") && seen.fetch_time.is_some());
    assert!(door.status().await.problems.is_empty());
    door.app.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_must_show_a_certificate_that_is_trusted_for_its_name() {
    let (authority, key) = (Authority::new(), new_key());
    let good = TestIssuer::with(Some(authority.acceptor("127.0.0.1"))).await;
    let misnamed = TestIssuer::with(Some(authority.acceptor("id.example.com"))).await;
    let untrusted = TestIssuer::with(Some(Authority::new().acceptor("127.0.0.1"))).await;
    let all = [("good", &good), ("misnamed", &misnamed), ("untrusted", &untrusted)];
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("ca.pem");
    std::fs::write(&file, authority.pem()).unwrap();
    all.iter().for_each(|(_, issuer)| issuer.publish(&[&key]));
    let issuers = all.map(|(alias, of)| issuer(alias, of, "discovery = \"openid\"", ""));
    let fetch = format!("[identity.fetch]\nca_file = \"{}\"\n", file.display());
    let door = Door::with(&issuers, &fetch).await;
    assert_eq!(door.ask(&good.token(&key, "alice", &json!({}))).await, "allowed");
    for (alias, of) in &all[1..] {
        assert_eq!(door.ask(&of.token(&key, "alice", &json!({}))).await, "issuer_unavailable", "{alias}");
        let error = door.issuer_status(alias).await.last_error;
        assert!(error.contains("certificate"), "{alias}: {error}");
        assert_eq!(of.fetches(), 0, "no request gets through");
    }
    door.app.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn certificates_that_cannot_be_read_keep_the_server_from_starting() {
    let of = TestIssuer::start().await;
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("ca.pem");
    for text in [None, Some("nothing of the kind")] {
        if let Some(text) = text {
            std::fs::write(&file, text).unwrap();
        }
        let fetch = format!("[identity.fetch]\nca_file = \"{}\"\n", file.display());
        let config =
            configuration(dir.path(), None, &format!("{}{fetch}", settings(&[by_url("a", &of, "")])));
        let Err(error) = App::build(config, Arc::new(SystemClock::new())).await else {
            panic!("the server came up without certificates")
        };
        assert!(format!("{error:#}").contains("ca.pem"), "{error:#}");
    }
}

/// The server comes up although no issuer but one answers as it should; each says what is wrong, none gets more than its
/// time; and when they mend their ways their tokens count, without a restart.
#[tokio::test(flavor = "multi_thread")]
async fn an_issuer_that_fails_costs_its_own_tokens_and_no_others() {
    const BAD: [(&str, Mode, &str); 8] = [
        ("slow", Mode::Slow, "did not answer within 300ms"),
        ("oversized", Mode::Oversized, "longer than 65536 bytes"),
        ("html", Mode::WrongType, "text/html"),
        ("moved", Mode::Redirect, "redirect"),
        ("failing", Mode::Failing, "status 500"),
        ("garbage", Mode::Garbage, "has no `issuer`"),
        ("foreign", Mode::Foreign, "another issuer, `https://evil.example.com`"),
        ("elsewhere", Mode::Elsewhere, "another origin, `https://evil.example.com`"),
    ];
    let key = new_key();
    let mut bad = Vec::new();
    for (alias, mode, says) in BAD {
        let issuer = TestIssuer::start().await;
        issuer.publish(&[&key]);
        issuer.set_mode(mode);
        bad.push((alias, issuer, says));
    }
    let mut closed = TestIssuer::start().await;
    closed.publish(&[&key]);
    closed.close().await;
    let good = TestIssuer::start().await;
    good.publish(&[&key]);
    let mut issuers: Vec<String> =
        bad.iter().map(|(alias, of, _)| issuer(alias, of, "discovery = \"openid\"", "")).collect();
    issuers.push(issuer("closed", &closed, "discovery = \"openid\"", ""));
    issuers.push(by_url("good", &good, ""));
    let fetch =
        "[identity.fetch]\ntimeout = \"300ms\"\nconnect_timeout = \"300ms\"\nmax_response_bytes = 65536\n";
    let clock = Arc::new(ManualClock::at(SystemClock::new().now()));
    let door = Door::at(clock.clone(), &issuers, fetch).await;
    bad.push(("closed", closed, "refused"));

    for (alias, of, says) in &bad {
        assert_eq!(door.ask(&of.token(&key, "alice", &json!({}))).await, "issuer_unavailable", "{alias}");
        let seen = door.issuer_status(alias).await;
        assert!(seen.last_error.contains(says), "{alias}: {}", seen.last_error);
        assert!(seen.stale && seen.fetch_time.is_none() && seen.last_error_time.is_some());
        assert_eq!(of.seen("/moved"), 0, "a redirect is not followed");
    }
    let problems = door.status().await.problems;
    assert_eq!(problems.len(), bad.len(), "{problems:?}");
    assert_eq!(door.ask(&good.token(&key, "alice", &json!({}))).await, "allowed");

    for (alias, of, _) in &mut bad {
        if *alias == "closed" {
            of.reopen().await;
        }
        of.set_mode(Mode::Good);
        door.until_asked_again(&clock, &of.token(&key, "alice", &json!({}))).await;
    }
    assert!(door.status().await.problems.is_empty());
    door.app.stop().await;
}

/// Keys are used beyond their time while no newer ones can be had, but not for ever: not even by tokens that were verified
/// before.
#[tokio::test(flavor = "multi_thread")]
async fn keys_outlive_an_outage_within_their_bound() {
    let key = new_key();
    let mut of = TestIssuer::start().await;
    of.publish(&[&key]);
    of.set_cache_control("max-age=1");
    let clock = Arc::new(ManualClock::at(SystemClock::new().now()));
    let door = Door::at(clock.clone(), &[by_url("corp", &of, "max_stale = \"2s\"")], "").await;
    let (cached, bob) = (of.token(&key, "alice", &json!({})), of.token(&key, "bob", &json!({})));
    assert_eq!(door.ask(&cached).await, "allowed");
    of.close().await;
    // Fresh for 1 s, stale for 2 s.
    clock.advance(Duration::from_millis(2_999));
    for token in [&cached, &bob, &of.token(&key, "carol", &json!({}))] {
        assert_eq!(door.ask(token).await, "allowed", "until its last moment");
    }
    clock.advance(Duration::from_millis(1));
    for token in [&cached, &bob, &of.token(&key, "dave", &json!({}))] {
        assert_eq!(door.ask(token).await, "issuer_unavailable");
    }
    let problems = door.status().await.problems.join("\n");
    assert!(problems.contains("issuer `corp` has no usable keys"), "{problems}");
    of.reopen().await;
    door.until_asked_again(&clock, &cached).await;
    door.app.stop().await;
}

/// What the load of a rotation saw.
#[derive(Default)]
struct Seen {
    /// Of tokens signed with a key that is published, those that were refused.
    refused: Vec<String>,
    asked: usize,
}

/// An issuer that rotates at once signs with a key in the moment in which it publishes it, and takes the old one back
/// later. No token with a published key is refused, and none with a key taken back is accepted once the set is old.
#[tokio::test(flavor = "multi_thread")]
async fn rotation_under_load_refuses_no_valid_token_and_ends_old_ones() {
    const FRESH: Duration = Duration::from_secs(1);
    let keys: Vec<SigningKey> = (0..4).map(|_| new_key()).collect();
    let of = Arc::new(TestIssuer::start().await);
    of.publish(&[&keys[0]]);
    of.set_cache_control("max-age=1");
    let door = Door::open(&[by_url("corp", &of, "")]).await;
    let keys = Arc::new(keys);
    let (current, stop) = (Arc::new(AtomicUsize::new(0)), Arc::new(AtomicBool::new(false)));
    let load: Vec<_> = (0..4)
        .map(|worker| {
            let (of, keys, current, stop) = (of.clone(), keys.clone(), current.clone(), stop.clone());
            let gateway = door.gateway.clone();
            tokio::spawn(async move {
                let mut seen = Seen::default();
                while !stop.load(Ordering::SeqCst) {
                    let number = current.load(Ordering::SeqCst);
                    let subject = format!("user-{worker}-{}", seen.asked % 8);
                    let token = of.token(&keys[number], &subject, &json!({}));
                    let answer = ask(&gateway, &token).await;
                    seen.asked += 1;
                    if answer != "allowed" {
                        seen.refused.push(format!("key {number}: {answer}"));
                    }
                }
                seen
            })
        })
        .collect();
    let clock = SystemClock::new();
    for next in 1..keys.len() {
        let old = of.token(&keys[next - 1], "alice", &json!({}));
        assert_eq!(door.ask(&old).await, "allowed", "now it is cached");
        // Published and used in the same moment.
        of.publish(&[&keys[next - 1], &keys[next]]);
        current.store(next, Ordering::SeqCst);
        assert_eq!(door.ask(&of.token(&keys[next], "alice", &json!({}))).await, "allowed");
        assert_eq!(door.ask(&old).await, "allowed", "the old key is still published");
        of.publish(&[&keys[next]]);
        let taken_back = clock.monotonic();
        door.until(&old, "credential_unknown_key").await;
        let lasted = clock.monotonic().saturating_sub(taken_back);
        assert!(lasted < FRESH + Duration::from_millis(500), "an old key counted for {lasted:?}");
        assert_eq!(door.ask(&old).await, "credential_unknown_key");
        // An issuer does not rotate twice a second. Its keys are fetched again after 625 ms each, so between the first and the third
        // fetch from here on more than the cool-down passes.
        of.until_fetched(of.fetches() + 3).await;
    }
    stop.store(true, Ordering::SeqCst);
    let mut asked = 0;
    for worker in load {
        let seen = worker.await.unwrap();
        assert_eq!(seen.refused, Vec::<String>::new());
        asked += seen.asked;
    }
    assert!(asked > 100, "only {asked} questions");
    tell(&format!("rotation: {asked} valid tokens, none refused"));
    door.app.stop().await;
}

/// Answer times of one token, sorted.
async fn times(door: &Door, token: &str, count: usize) -> Vec<Duration> {
    let clock = SystemClock::new();
    let mut times = Vec::with_capacity(count);
    for _ in 0..count {
        let begun = clock.monotonic();
        assert_eq!(door.ask(token).await, "allowed");
        times.push(clock.monotonic().saturating_sub(begun));
    }
    times.sort();
    times
}

#[expect(clippy::print_stdout, reason = "what was measured, for who runs it with --nocapture")]
fn tell(measured: &str) {
    println!("{measured}");
}

fn quantile(times: &[Duration], part: f64) -> Duration {
    times[((times.len() - 1) as f64 * part) as usize]
}

/// Ten thousand tokens with keys that nobody has, while another issuer hangs: the issuer is asked once in a cool-down,
/// and the tokens of a third one are answered as they are when all is quiet.
#[tokio::test(flavor = "multi_thread")]
async fn a_flood_of_unknown_keys_and_a_hung_issuer_disturb_nobody_else() {
    const FLOOD: usize = 10_000;
    let key = new_key();
    let (flooded, hung, good) =
        (TestIssuer::start().await, TestIssuer::start().await, TestIssuer::start().await);
    [&flooded, &hung, &good].iter().for_each(|issuer| issuer.publish(&[&key]));
    hung.set_mode(Mode::Slow);
    let (flooded, hung) = (Arc::new(flooded), Arc::new(hung));
    let door = Door::open(&[
        by_url("flooded", &flooded, "min_fresh = \"5m\""),
        by_url("hung", &hung, "max_waiting = 8"),
        by_url("good", &good, "min_fresh = \"5m\""),
    ])
    .await;
    let token = good.token(&key, "alice", &json!({}));
    assert_eq!(door.ask(&flooded.token(&key, "alice", &json!({}))).await, "allowed");
    let quiet = times(&door, &token, 1_000).await;

    // Many tokens that are all different cost the test more than the server; a token's signature is never looked at.
    let forged: Arc<Vec<String>> = {
        let strangers: Vec<_> = (0..50).map(|_| new_key()).collect();
        Arc::new(strangers.iter().map(|stranger| flooded.token(stranger, "mallory", &json!({}))).collect())
    };
    let (clock, begun_with) = (SystemClock::new(), flooded.fetches());
    let begun = clock.monotonic();
    let flood_ended = Arc::new(AtomicBool::new(false));
    let flooding: Vec<_> = (0..4)
        .map(|worker| {
            let (gateway, forged) = (door.gateway.clone(), forged.clone());
            tokio::spawn(async move {
                for number in 0..FLOOD / 4 {
                    let answer = ask(&gateway, &forged[(number * 4 + worker) % forged.len()]).await;
                    assert_eq!(answer, "credential_unknown_key");
                }
            })
        })
        .collect();
    let hanging = {
        let (gateway, hung, ended) = (door.gateway.clone(), hung.clone(), flood_ended.clone());
        let token = hung.token(&key, "bob", &json!({}));
        tokio::spawn(async move {
            while !ended.load(Ordering::SeqCst) {
                assert_eq!(ask(&gateway, &token).await, "issuer_unavailable");
            }
        })
    };
    let loud = times(&door, &token, 1_000).await;
    for flooding in flooding {
        flooding.await.unwrap();
    }
    flood_ended.store(true, Ordering::SeqCst);
    let lasted = clock.monotonic().saturating_sub(begun);
    hanging.await.unwrap();
    let fetches = flooded.fetches() - begun_with;
    let [q50, q99, l50, l99] =
        [quantile(&quiet, 0.5), quantile(&quiet, 0.99), quantile(&loud, 0.5), quantile(&loud, 0.99)];
    tell(&format!(
        "flood: {FLOOD} unknown keys in {lasted:?}, {fetches} fetches; another issuer's tokens: p50 {q50:?} p99 {q99:?} quiet, \
         p50 {l50:?} p99 {l99:?} meanwhile"
    ));
    assert!(fetches >= 1 && fetches as u64 <= lasted.as_secs() + 1, "{fetches} fetches in {lasted:?}");
    // The flood takes the processor's time like any load. What must not be seen is a wait: for the hung issuer, which
    // is 5 s, or for a fetch.
    assert!(l99 < (q99 * 2).max(Duration::from_millis(100)), "p99 {l99:?} after {q99:?}");
    door.app.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_wrong_with_an_issuer_is_logged_at_the_start() {
    let dir = tempfile::tempdir().unwrap();
    let jwks = json!({ "keys": [new_key().public_jwk(), { "kty": "oct", "kid": "old", "k": "AAAA" }] });
    let corp = format!(
        "[[identity.issuers]]\nalias = \"corp\"\nissuer = \"https://corp\"\naudiences = [\"things\"]\njwks = '{jwks}'\n"
    );
    configuration(dir.path(), None, &settings(&[corp]));
    let server = ServerProcess::start(dir.path()).await;
    let warned = server.first_events.iter().filter(|event| event["issuer.alias"] == "corp");
    let warned: Vec<_> = warned.collect();
    let [event] = warned.as_slice() else { panic!("{:#?}", server.first_events) };
    assert_eq!(event["level"], "WARN");
    assert!(event["message"].as_str().unwrap().contains("symmetric"), "{event}");
    server.terminate().await;
}
