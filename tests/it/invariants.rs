//! The invariants of deciding, on a server that is built but not started: whatever goes wrong is a recorded denial.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use deodar::app::{App, Config, verify};
use deodar::audit;
use deodar::decide::{Asked, Deadline};
use deodar::model::{
    ApiCall, ApiGrant, CedarQuestion, Client, ClientCertificate, ClientId, Clock, Credential, Decision,
    DomainId, Effect, EntityRef, Grants, ManualClock, Query, Question, Reason, Record, Revision, SystemClock,
    Timestamp,
};
use tempfile::TempDir;
use tokio_util::sync::CancellationToken;

use crate::support::app::configuration;

/// Stands still, and panics once when it is told to.
struct TestClock {
    time: ManualClock,
    panic: AtomicBool,
    /// The wall clock was set back to the epoch; the monotonic one goes on.
    set_back: AtomicBool,
}

impl Clock for TestClock {
    fn now(&self) -> Timestamp {
        assert!(!self.panic.swap(false, Ordering::SeqCst), "the clock was told to panic");
        if self.set_back.load(Ordering::SeqCst) { Timestamp::default() } else { self.time.now() }
    }

    fn monotonic(&self) -> Duration {
        self.time.monotonic()
    }
}

struct Fixture {
    app: App,
    clock: Arc<TestClock>,
    caller: Client,
    _dir: TempDir,
}

const RPC: &str = "/deodar.decision.v1.DecisionService/Check";

impl Fixture {
    async fn new() -> Self {
        Self::with(|_| ()).await
    }

    async fn with(change: impl FnOnce(&mut Config)) -> Self {
        let dir = tempfile::tempdir().unwrap();
        let mut config = configuration(dir.path(), None, "");
        change(&mut config);
        let time = ManualClock::at(SystemClock::new().now());
        let clock =
            Arc::new(TestClock { time, panic: AtomicBool::new(false), set_back: AtomicBool::new(false) });
        let app = App::build(config, Arc::<TestClock>::clone(&clock)).await.unwrap();
        let id: ClientId = "gateway".parse().unwrap();
        let caller = Client {
            id: id.clone(),
            display_name: String::new(),
            roles: Default::default(),
            grants: Grants { apis: ApiGrant::All, ..Grants::default() },
            key_sha256: None,
            certificates: Default::default(),
            created_by: id,
            created_at: Timestamp::default(),
            revoked_at: None,
        };
        Self { app, clock, caller, _dir: dir }
    }

    fn asked(&self, timeout: Option<Duration>) -> Asked<'_> {
        let config = self.app.decider().config();
        let arrival = self.app.decider().arrive(None);
        let deadline = Deadline::after(arrival.at, timeout, config);
        let (patience, overloaded) = (config.at_least_wait, arrival.overloaded);
        Asked { caller: &self.caller, rpc: RPC, deadline, patience, overloaded }
    }

    async fn decide(&self, query: Query) -> Decision {
        self.app.decider().decide(self.asked(None), &query).await
    }

    /// Stores what was recorded and reads it back.
    async fn records(self) -> Vec<Record<'static>> {
        let (store, stop) = (self.app.store().clone(), CancellationToken::new());
        stop.cancel();
        self.app.into_writer().run(stop).await;
        let page = deodar::model::PageRequest::first(100);
        audit::reader::list(store.as_ref(), &Default::default(), &page).await.unwrap().items
    }
}

/// Anybody may ask for health.
fn query() -> Query {
    let call = ApiCall {
        method: "GET".into(),
        host: "orders.example.com".into(),
        path: "/health".into(),
        ..ApiCall::default()
    };
    Query {
        credential: Credential::None,
        certificate: ClientCertificate::None,
        question: Question::Call(call),
        source_ip: None,
        device: None,
        explain: false,
        at_least: None,
        trace_id: None,
    }
}

#[tokio::test]
async fn a_panic_becomes_a_recorded_denial() {
    let fixture = Fixture::new().await;
    assert_eq!(fixture.decide(query()).await.reason, Reason::Allowed);
    fixture.clock.panic.store(true, Ordering::SeqCst);
    let decision = fixture.decide(query()).await;
    assert_eq!((decision.effect(), decision.reason), (Effect::Deny, Reason::Internal));
    assert_eq!(fixture.app.decider().panics(), 1);
    let records = fixture.records().await;
    assert!(records.iter().any(|record| record.id == decision.id && record.reason == Reason::Internal));
}

#[tokio::test]
async fn no_time_left_is_a_recorded_denial() {
    let fixture = Fixture::new().await;
    let asked = fixture.asked(Some(Duration::from_millis(4)));
    let decision = fixture.app.decider().decide(asked, &query()).await;
    assert_eq!((decision.effect(), decision.reason), (Effect::Deny, Reason::DeadlineExceeded));
    assert_eq!(fixture.records().await.len(), 1);
}

#[tokio::test]
async fn a_caller_that_goes_away_leaves_a_record() {
    let fixture = Fixture::with(|config| config.decide.at_least_wait = Duration::from_secs(3_600)).await;
    let future_revision = Revision { number: u64::MAX, ..fixture.app.live().revision() };
    let waiting = Query { at_least: Some(future_revision), ..query() };
    {
        let mut deciding = Box::pin(fixture.app.decider().decide(fixture.asked(None), &waiting));
        assert!(futures::poll!(&mut deciding).is_pending());
    }
    let records = fixture.records().await;
    assert_eq!(records.len(), 1);
    assert_eq!(records[0].reason, Reason::DeadlineExceeded);
    assert_eq!(records[0].resource, "orders/GET /health", "what was asked is known");
}

#[tokio::test]
async fn a_revision_that_is_not_reached_is_not_ready() {
    let fixture = Fixture::with(|config| config.decide.at_least_wait = Duration::from_millis(1)).await;
    let here = fixture.app.live().revision();
    let decision = fixture.decide(Query { at_least: Some(here), ..query() }).await;
    assert_eq!(decision.reason, Reason::Allowed);
    for wanted in [Revision { number: here.number + 1, ..here }, Revision { epoch: here.epoch ^ 1, ..here }] {
        let decision = fixture.decide(Query { at_least: Some(wanted), ..query() }).await;
        assert_eq!(decision.reason, Reason::NotReady, "{wanted}");
    }
}

#[tokio::test]
async fn overload_is_denied_and_counted() {
    let fixture = Fixture::with(|config| config.decide.max_in_flight = 0).await;
    let decision = fixture.decide(query()).await;
    assert_eq!((decision.effect(), decision.reason), (Effect::Deny, Reason::Overloaded));
    let store = fixture.app.store().clone();
    assert!(fixture.records().await.is_empty(), "an overload is counted, not recorded one by one");
    let rows = store.list_refusals(&deodar::model::PageRequest::first(10)).await.unwrap().items;
    assert_eq!((rows.len(), rows[0].kind.as_str(), rows[0].count), (1, "overloaded", 1));
}

#[tokio::test]
async fn a_full_audit_queue_denies() {
    let fixture = Fixture::with(|config| config.audit.queue = 2.try_into().unwrap()).await;
    let reasons =
        [fixture.decide(query()).await, fixture.decide(query()).await, fixture.decide(query()).await];
    let reasons = reasons.map(|decision| decision.reason);
    assert_eq!(reasons, [Reason::Allowed, Reason::Allowed, Reason::Overloaded]);
}

#[tokio::test]
async fn stale_signals_close_sensitive_endpoints_first_and_then_all() {
    let fixture = Fixture::new().await;
    let sensitive = || {
        let mut query = query();
        let Question::Call(call) = &mut query.question else { unreachable!() };
        call.host = "accounts.example.com".into();
        call.path = "/accounts/7".into();
        query
    };
    assert_ne!(fixture.decide(sensitive()).await.reason, Reason::SignalsUnavailable);
    fixture.clock.time.advance(Duration::from_secs(6 * 60));
    assert_eq!(fixture.decide(sensitive()).await.reason, Reason::SignalsUnavailable);
    let public = fixture.decide(query()).await;
    assert_eq!(public.reason, Reason::Allowed);
    assert!(public.risk.unwrap().stale);
    fixture.clock.time.advance(Duration::from_secs(24 * 3_600));
    assert_eq!(fixture.decide(query()).await.reason, Reason::SignalsUnavailable);
}

#[tokio::test]
async fn a_domain_without_policies_is_not_ready() {
    let mut fixture = Fixture::new().await;
    let nowhere: DomainId = "nowhere".parse().unwrap();
    fixture.caller.grants.domains.insert(nowhere.clone());
    let entity = |kind: &str| EntityRef { entity_type: kind.into(), id: "one".into() };
    let question = CedarQuestion {
        domain: nowhere,
        principal: None,
        action: entity("Action"),
        resource: entity("Thing"),
        entities: Vec::new(),
        context: Default::default(),
    };
    let decision = fixture.decide(Query { question: Question::Cedar(Box::new(question)), ..query() }).await;
    assert_eq!((decision.effect(), decision.reason), (Effect::Deny, Reason::NotReady));
}

#[tokio::test]
async fn an_api_in_a_domain_without_policies_keeps_the_server_from_starting() {
    let dir = tempfile::tempdir().unwrap();
    let mut config = configuration(dir.path(), None, "");
    config.policy.domains.clear();
    let checked = format!("{:#}", verify(&config).unwrap_err());
    let built = App::build(config, Arc::new(SystemClock::new())).await.err().unwrap();
    for error in [checked, format!("{built:#}")] {
        assert!(error.contains("`orders`") && error.contains("[policy.domains.default]"), "{error}");
    }
}

#[tokio::test]
async fn a_decision_names_the_versions_it_rests_on() {
    let fixture = Fixture::new().await;
    let decision = fixture.decide(query()).await;
    let record = fixture.records().await.remove(0);
    assert_eq!(record.bundle, decision.bundle.map(|digest| digest.to_string().into()));
    assert_eq!(record.revision, decision.revision.to_string());
    assert_eq!(record.id, decision.id);
}

#[tokio::test]
async fn an_expired_deadline_does_not_wait_for_a_revision() {
    let fixture = Fixture::with(|config| config.decide.at_least_wait = Duration::from_secs(3_600)).await;
    let wanted = Revision { number: u64::MAX, ..fixture.app.live().revision() };
    let asked = fixture.asked(Some(Duration::from_millis(1)));
    let waiting = Query { at_least: Some(wanted), ..query() };
    let decided =
        tokio::time::timeout(Duration::from_secs(5), fixture.app.decider().decide(asked, &waiting)).await;
    assert_eq!(decided.unwrap().reason, Reason::NotReady);
}

#[tokio::test]
async fn what_a_gateway_may_not_ask_it_does_not_learn() {
    let mut fixture = Fixture::new().await;
    fixture.caller.grants = Grants { explain: true, ..Grants::default() };
    let decision = fixture.decide(Query { explain: true, ..query() }).await;
    assert_eq!(decision.reason, Reason::CallerNotPermitted);
    assert!(decision.explanation.is_none() && decision.risk.is_none() && decision.bundle.is_none());
    assert!(decision.principal.is_none() && decision.endpoint.is_none(), "{decision:?}");
    let record = fixture.records().await.remove(0);
    assert_eq!(record.resource, "orders/GET /health", "the record has it all");
    assert!(record.bundle.is_some());
}

#[tokio::test]
async fn a_clock_that_is_set_back_makes_nothing_fresh() {
    let fixture = Fixture::new().await;
    fixture.clock.time.advance(Duration::from_secs(25 * 3_600));
    fixture.clock.set_back.store(true, Ordering::SeqCst);
    assert_eq!(fixture.decide(query()).await.reason, Reason::SignalsUnavailable);
}
