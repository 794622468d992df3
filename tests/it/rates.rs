//! Request rates through the real server: what is counted, for whom, and what that does to an answer.
//!
//! The shipped pillar `request-rates.cedar` allows 60 writes of an endpoint a minute; `fixtures/rates` has smaller
//! numbers. The counters alone, under many threads, are here too: `risk` itself knows no threads.

use std::sync::atomic::{AtomicU32, Ordering};
use std::thread;
use std::time::Duration;

use deodar::api::client::Connection;
use deodar::api::pb::{decision as pb, manage};
use deodar::model::{PrincipalId, Rate, Timestamp};
use deodar::risk::{self, Counted, CountedPrincipal, RateCounters};

use crate::support::app::{Backend, TestApp, create_client, repository};
use crate::support::case::reason_name;
use crate::support::token::TokenSpec;

/// Two domains, one with limits and one without, and the same API in both.
fn configuration() -> String {
    let root = repository();
    let part = |domain: &str| {
        format!(
            r#"
[policy.domains.{domain}]
directories = ["{root}/tests/fixtures/rates/{domain}"]

[[inventory.apis]]
id = "{domain}"
domain = "{domain}"
openapi = "{root}/policies/demo/orders.openapi.yaml"
hosts = ["{domain}.example.com"]
reuse = "5m"
"#,
            root = root.display()
        )
    };
    part("limited") + &part("calm")
}

/// A server, and a gateway that may ask about everything, assert everything and reuse answers.
async fn start() -> (TestApp, Connection) {
    let app = TestApp::start_with(Backend::Sqlite, &configuration()).await;
    let client = manage::Client {
        client_id: "rates-gateway".into(),
        roles: vec![manage::Role::Gateway.into()],
        grants: Some(manage::Grants {
            all_apis: true,
            domains: vec!["limited".into()],
            assertions: vec![manage::Assertion::Principal.into(), manage::Assertion::SourceAddress.into()],
            max_reuse: Some(prost_types::Duration { seconds: 60, nanos: 0 }),
            ..manage::Grants::default()
        }),
        ..manage::Client::default()
    };
    let key = create_client(&app.management().await, client).await;
    let gateway = app.decisions(&key).await;
    (app, gateway)
}

fn token(app: &TestApp, subject: &str, scopes: &str) -> pb::Credential {
    let spec = format!("{{ subject: {subject}, roles: [manager], scopes: [{scopes}] }}");
    let token = serde_yaml_ng::from_str::<TokenSpec>(&spec).unwrap().mint(app.dir.path());
    pb::Credential { kind: Some(pb::credential::Kind::BearerToken(token)), ..pb::Credential::default() }
}

fn call(method: &str, host: &str, path: &str) -> pb::CheckRequest {
    let call = pb::ApiCall {
        method: method.into(),
        host: host.into(),
        path: path.into(),
        secure: true,
        ..pb::ApiCall::default()
    };
    pb::CheckRequest {
        question: Some(pb::Question { kind: Some(pb::question::Kind::Call(call)) }),
        ..pb::CheckRequest::default()
    }
}

fn write(credential: &pb::Credential) -> pb::CheckRequest {
    let request = call("POST", "orders.example.com", "/orders");
    pb::CheckRequest { credentials: vec![credential.clone()], ..request }
}

async fn ask(gateway: &Connection, request: pb::CheckRequest) -> pb::Decision {
    gateway.decisions().check(request).await.unwrap().into_inner().decision.unwrap()
}

async fn reason(gateway: &Connection, request: pb::CheckRequest) -> String {
    reason_name(ask(gateway, request).await.reason)
}

#[tokio::test(flavor = "multi_thread")]
async fn the_sixty_first_write_in_a_minute_waits() {
    let (app, gateway) = start().await;
    let alice = token(&app, "alice", "'orders:read', 'orders:write'");
    for number in 1..=60 {
        assert_eq!(reason(&gateway, write(&alice)).await, "allowed", "write {number}");
    }
    let decision = ask(&gateway, write(&alice)).await;
    assert_eq!(
        (reason_name(decision.reason).as_str(), decision.effect()),
        ("rate_limited", pb::Effect::Deny)
    );
    assert_eq!(decision.policy_ids, ["write-rate"]);
    assert_eq!(decision.retry_after.map(|wait| wait.seconds), Some(66));
    assert_eq!(decision.reuse_for, None);
    let list = call("GET", "orders.example.com", "/orders");
    let list = pb::CheckRequest { credentials: vec![alice], ..list };
    assert_eq!(reason(&gateway, list).await, "allowed", "another endpoint");
    let bob = token(&app, "bob", "'orders:write'");
    assert_eq!(reason(&gateway, write(&bob)).await, "allowed", "another principal");
    app.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn refused_calls_count_for_who_proved_who_they_are() {
    let (app, gateway) = start().await;
    let (without, with) = (token(&app, "carol", ""), token(&app, "carol", "'orders:write'"));
    for number in 1..=60 {
        assert_eq!(reason(&gateway, write(&without)).await, "insufficient_scope", "write {number}");
    }
    assert_eq!(reason(&gateway, write(&with)).await, "rate_limited");
    // A token that proves nothing uses up nobody's rate: this one gives itself a role under the old signature.
    let spec = "{ subject: dave, scopes: ['orders:write'], spoil: payload }";
    let forged = serde_yaml_ng::from_str::<TokenSpec>(spec).unwrap().mint(app.dir.path());
    let forged =
        pb::Credential { kind: Some(pb::credential::Kind::BearerToken(forged)), ..pb::Credential::default() };
    for _ in 1..=60 {
        assert_eq!(reason(&gateway, write(&forged)).await, "credential_bad_signature");
    }
    let dave = token(&app, "dave", "'orders:write'");
    assert_eq!(reason(&gateway, write(&dave)).await, "allowed");
    app.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_network_has_a_rate_where_the_gateway_may_tell_the_address() {
    let (app, gateway) = start().await;
    let limited = connect_limited(&app).await;
    let from = |ip: &str| pb::CheckRequest {
        source: Some(pb::Source { ip: ip.into() }),
        ..call("GET", "limited.example.com", "/health")
    };
    for ip in ["192.0.2.1", "192.0.2.2", "::ffff:192.0.2.3"] {
        assert_eq!(reason(&gateway, from(ip)).await, "allowed", "{ip}");
    }
    assert_eq!(reason(&gateway, from("192.0.2.4")).await, "rate_limited");
    assert_eq!(reason(&gateway, from("198.51.100.4")).await, "allowed", "another network");
    for _ in 0..5 {
        assert_eq!(reason(&limited, from("192.0.2.5")).await, "allowed", "not believed, so not counted");
    }
    app.stop().await;
}

/// A gateway that may ask about everything and assert nothing.
async fn connect_limited(app: &TestApp) -> Connection {
    let client = manage::Client {
        client_id: "plain-gateway".into(),
        roles: vec![manage::Role::Gateway.into()],
        grants: Some(manage::Grants {
            all_apis: true,
            domains: vec!["limited".into()],
            ..manage::Grants::default()
        }),
        ..manage::Client::default()
    };
    let key = create_client(&app.management().await, client).await;
    app.decisions(&key).await
}

fn question(principal: &str, action: &str, resource: (&str, &str)) -> pb::CheckRequest {
    let entity = |(kind, id): (&str, &str)| pb::EntityRef { r#type: kind.into(), id: id.into() };
    let question = pb::CedarQuestion {
        domain: "limited".into(),
        principal: Some(entity(("Desk::Clerk", principal))),
        action: Some(entity(("Desk::Action", action))),
        resource: Some(entity(resource)),
        ..pb::CedarQuestion::default()
    };
    pb::CheckRequest {
        question: Some(pb::Question { kind: Some(pb::question::Kind::Cedar(question)) }),
        ..pb::CheckRequest::default()
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn questions_are_counted_by_action_and_type_of_resource() {
    let (app, gateway) = start().await;
    let plain = connect_limited(&app).await;
    let open = |id| question("ann", "open", ("Desk::Ticket", id));
    // Who may not name principals cannot use up their rates.
    for _ in 0..5 {
        assert_eq!(reason(&plain, open("t-0")).await, "caller_not_permitted");
    }
    for id in ["t-1", "t-2", "t-3"] {
        assert_eq!(reason(&gateway, open(id)).await, "allowed", "{id}");
    }
    let decision = ask(&gateway, open("t-4")).await;
    assert_eq!(reason_name(decision.reason), "rate_limited");
    assert_eq!(decision.retry_after.map(|wait| wait.seconds), Some(66));
    let other = [
        question("ann", "close", ("Desk::Ticket", "t-4")),
        question("ann", "open", ("Desk::Room", "r-1")),
        question("ben", "open", ("Desk::Ticket", "t-4")),
    ];
    for request in other {
        assert_eq!(reason(&gateway, request).await, "allowed");
    }
    app.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_answer_that_may_rest_on_a_rate_is_not_reused() {
    let (app, gateway) = start().await;
    let calm = ask(&gateway, call("GET", "calm.example.com", "/health")).await;
    assert_eq!(calm.reuse_for.map(|time| time.seconds), Some(60));
    let limited = ask(&gateway, call("GET", "limited.example.com", "/health")).await;
    assert_eq!((reason_name(limited.reason).as_str(), limited.reuse_for), ("allowed", None));
    app.stop().await;
}

fn user(number: usize) -> PrincipalId {
    format!("User::dev/{number}").parse().unwrap()
}

fn count(counters: &RateCounters, principal: &PrincipalId, now: Timestamp) -> Rate {
    let principal = Some(CountedPrincipal::Proven(principal));
    counters.count(&Counted { principal, ..Counted::default() }, now).principal
}

const THREADS: usize = 8;
const CALLS: u32 = 5_000;

/// The rate, in the end, of a principal that all threads count for. After each call of theirs they run `between`, and
/// time goes on by `step`.
fn count_together(
    counters: &RateCounters,
    step: Duration,
    between: impl Fn(usize, u32, Timestamp) + Sync,
) -> Rate {
    let start = Timestamp::parse("2026-11-23T12:00:00Z").unwrap();
    let steps = AtomicU32::new(0);
    let now = || start.plus(step * steps.fetch_add(1, Ordering::Relaxed));
    let shared = user(0);
    thread::scope(|scope| {
        for number in 0..THREADS {
            let (now, shared, between) = (&now, &shared, &between);
            scope.spawn(move || {
                for call in 0..CALLS {
                    count(counters, shared, now());
                    between(number, call, now());
                }
            });
        }
    });
    count(counters, &shared, now())
}

#[test]
fn threads_that_count_together_lose_nothing() {
    let counters = RateCounters::new(&risk::Config::default());
    let all = u32::try_from(THREADS).unwrap() * CALLS + 1;
    // The whole fits into a second.
    let rate = count_together(&counters, Duration::from_micros(1), |number, _, now| {
        count(&counters, &user(1 + number), now);
    });
    assert_eq!([rate.last_second, rate.last_minute, rate.last_hour], [all; 3]);
}

#[test]
fn a_busy_principal_stays_while_strangers_come_and_go() {
    let counters = RateCounters::new(&risk::Config { max_rate_subjects: 64, ..risk::Config::default() });
    let all = u32::try_from(THREADS).unwrap() * CALLS + 1;
    let rate = count_together(&counters, Duration::from_millis(1), |number, call, now| {
        let stranger = 1 + number + THREADS * usize::try_from(call).unwrap();
        count(&counters, &user(stranger), now);
    });
    // A stranger may leave a call behind when it loses its place while it is counted; nothing may be missing.
    assert!(rate.last_hour >= all && rate.last_hour <= all + all / 100, "{} of {all}", rate.last_hour);
}
