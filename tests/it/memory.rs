//! The bound of the token cache is in bytes: what it says it takes is what an allocator counts.
//!
//! The same decisions are made twice, by a server that keeps tokens and by one that does not; what the first one holds
//! more of is what its tokens take, with all that any room made ready from them.

use std::alloc::System;
use std::collections::BTreeSet;
use std::process::Command;
use std::sync::Arc;
use std::time::Duration;

use deodar::app::App;
use deodar::app::dev_issuer::{DevIssuer, MintRequest};
use deodar::decide::{Asked, Deadline};
use deodar::identity::CacheStats;
use deodar::model::{
    ApiCall, ApiGrant, Client, ClientCertificate, Clock, Credential, DomainId, Effect, Grants, Query,
    Question, Role, SystemClock, TokenKind,
};
use stats_alloc::{INSTRUMENTED_SYSTEM, Region, StatsAlloc};

use crate::support::app::configuration;

#[global_allocator]
static ALLOCATOR: &StatsAlloc<System> = &INSTRUMENTED_SYSTEM;

const TOKENS: usize = 400;

/// Tokens of one kind: how many roles, groups and scopes each has, and how long their names are.
#[derive(Debug)]
struct Kind {
    roles: usize,
    groups: usize,
    scopes: usize,
    name_bytes: usize,
    session: bool,
}

const KINDS: [Kind; 4] = [
    Kind { roles: 1, groups: 0, scopes: 1, name_bytes: 8, session: false },
    Kind { roles: 3, groups: 4, scopes: 5, name_bytes: 14, session: true },
    Kind { roles: 10, groups: 60, scopes: 20, name_bytes: 36, session: true },
    Kind { roles: 40, groups: 0, scopes: 60, name_bytes: 100, session: false },
];

impl Kind {
    fn names(&self, what: &str, count: usize) -> Vec<String> {
        (0..count).map(|number| format!("{what}-{number:0>width$}", width = self.name_bytes)).collect()
    }

    fn queries(&self, issuer: &DevIssuer, clock: &dyn Clock) -> Vec<Query> {
        let query = |number: usize| {
            let mut token = MintRequest::new(TokenKind::User, "alice", clock.now());
            token.roles = self.names("role", self.roles);
            token.roles.push("clerk".to_owned());
            token.groups = self.names("group", self.groups);
            token.scopes = self.names("scope", self.scopes);
            token.scopes.push("orders:read".to_owned());
            token.session = self.session.then(|| format!("session-{number}"));
            let call = ApiCall {
                method: "GET".to_owned(),
                host: "orders.example.com".to_owned(),
                path: "/orders/7".to_owned(),
                secure: true,
                ..ApiCall::default()
            };
            Query {
                credential: Credential::Bearer(issuer.mint(&token).unwrap()),
                certificate: ClientCertificate::None,
                question: Question::Call(call),
                source_ip: None,
                device: None,
                explain: false,
                at_least: None,
                trace_id: None,
            }
        };
        (0..=TOKENS).map(query).collect()
    }
}

fn gateway(clock: &dyn Clock) -> Client {
    Client {
        id: "gateway".parse().unwrap(),
        display_name: String::new(),
        roles: BTreeSet::from([Role::Gateway]),
        grants: Grants {
            apis: ApiGrant::All,
            domains: BTreeSet::from([DomainId::default()]),
            assertions: BTreeSet::new(),
            explain: false,
            max_reuse: Duration::ZERO,
        },
        key_sha256: None,
        certificates: Default::default(),
        created_by: "test".parse().unwrap(),
        created_at: clock.now(),
        revoked_at: None,
    }
}

fn decide(app: &App, gateway: &Client, query: &Query) {
    let decider = app.decider();
    let arrival = decider.arrive(None);
    let deadline = Deadline::after(arrival.at, Some(Duration::from_secs(60)), decider.config());
    let asked = Asked { caller: gateway, rpc: "test", deadline, patience: Duration::ZERO, overloaded: false };
    let decision = futures::executor::block_on(decider.decide(asked, query));
    assert_eq!(decision.effect(), Effect::Allow, "{decision:?}");
}

/// What deciding all of them leaves behind in memory, and what the cache says of itself.
async fn left_behind(kind: &Kind, cache: &str) -> (usize, CacheStats) {
    let folder = tempfile::tempdir().unwrap();
    let clock: Arc<dyn Clock> = Arc::new(SystemClock::new());
    let app = App::build(configuration(folder.path(), None, cache), Arc::clone(&clock)).await.unwrap();
    let gateway = gateway(clock.as_ref());
    let queries = kind.queries(&DevIssuer::open(folder.path()).unwrap(), clock.as_ref());
    let (first, others) = queries.split_first().unwrap();
    // With the first comes everything that is made once.
    decide(&app, &gateway, first);
    let before = app.decider().identity().token_cache();
    let region = Region::new(ALLOCATOR);
    others.iter().for_each(|query| decide(&app, &gateway, query));
    let after = app.decider().identity().token_cache();
    let change = region.change();
    let grown =
        CacheStats { bytes: after.bytes - before.bytes, tokens: after.tokens - before.tokens, ..after };
    (change.bytes_allocated - change.bytes_deallocated, grown)
}

#[tokio::test]
#[ignore = "counts every allocation of its process; the test below runs it in one of its own"]
async fn measured_alone() {
    for kind in KINDS {
        let (without, off) = left_behind(&kind, "[identity.cache]\nmax_tokens = 0").await;
        let (with, on) = left_behind(&kind, "").await;
        assert_eq!((off.tokens, on.tokens), (0, TOKENS as u64));
        let held = with.saturating_sub(without) / TOKENS;
        let said = usize::try_from(on.bytes).unwrap() / TOKENS;
        assert!(said.abs_diff(held) * 10 <= held * 3, "{said} bytes said, {held} held: {kind:?}");
    }
}

#[test]
fn the_cache_takes_the_memory_that_it_says() {
    let child = Command::new(std::env::current_exe().unwrap())
        .args(["--exact", "memory::measured_alone", "--ignored", "--nocapture", "--test-threads=1"])
        .output()
        .unwrap();
    let text = String::from_utf8_lossy(&child.stdout);
    assert!(child.status.success(), "{text}{}", String::from_utf8_lossy(&child.stderr));
    assert!(text.contains("1 passed"), "it did not run: {text}");
}
