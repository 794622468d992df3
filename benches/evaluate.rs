//! What one evaluation costs: the shipped policies, and sets of 10 to 100,000 policies of which five matter.
//!
//! A plain program: `cargo bench --bench evaluate` prints medians. One call in a batch of calls is timed, because a
//! clock read costs as much as a part of what is measured. Doors, tokens and records are measured elsewhere.
#![expect(clippy::print_stdout, reason = "the result is for whoever started it")]

use std::collections::BTreeMap;
use std::error::Error;
use std::fmt::Write;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use deodar::model::{
    Api, ApiMode, BundleSource, Clock, DomainId, Endpoint, EndpointId, EndpointState, Located, Prepared,
    Principal, Rates, Reason, Risk, Sensitivity, SourceFile, SystemClock, Timestamp, TokenFacts, TokenKind,
};
use deodar::policy::{CallInput, DeviceView, Limits, Snapshot, directory};

type Result<T> = std::result::Result<T, Box<dyn Error>>;

/// Short, so that most batches fit between two turns of the scheduler on a busy machine.
const BATCH: u32 = 50;
const BATCHES: usize = 4_001;

fn main() -> Result<()> {
    let clock = SystemClock::new();
    println!("{:<44} {:>10} {:>10}", "evaluate_call", "median ns", "best ns");
    let shipped = compile(&shipped()?)?;
    for (name, call) in shipped_calls()? {
        report(&clock, &name, &shipped, &call);
    }
    let mut medians = Vec::new();
    for count in [10, 1_000, 100_000] {
        let (before, started) = (resident_bytes()?, clock.monotonic());
        let snapshot = compile(&synthetic(count)?)?;
        let (took, grown) = (clock.monotonic() - started, resident_bytes()?.saturating_sub(before));
        let call = Sample::new("orders", "GET", "/orders/{id}")?;
        let median = report(&clock, &format!("{count} policies, 5 candidates"), &snapshot, &call);
        println!("    compiled in {} ms, resident memory +{} KiB", took.as_millis(), grown / 1024);
        medians.push(median);
        cold(&clock, &snapshot)?;
    }
    links(&clock)?;
    if let [least, .., most] = medians.as_slice() {
        println!("cost at 100,000 over cost at 10: {:.2}", *most as f64 / (*least).max(1) as f64);
    }
    Ok(())
}

/// A hundred thousand links of one template, of which one matters.
fn links(clock: &SystemClock) -> Result<()> {
    let (before, started) = (resident_bytes()?, clock.monotonic());
    let snapshot = compile(&linked(100_000)?)?;
    let (took, grown) = (clock.monotonic() - started, resident_bytes()?.saturating_sub(before));
    let call = Sample::new("orders", "GET", "/orders/{id}")?;
    report(clock, "100000 links of one template, 1 candidate", &snapshot, &call);
    println!("    compiled in {} ms, resident memory +{} KiB", took.as_millis(), grown / 1024);
    Ok(())
}

/// Principals that were never seen before: each is prepared, and finds its candidates remembered.
fn cold(clock: &SystemClock, snapshot: &Snapshot) -> Result<()> {
    let call = Sample::new("orders", "GET", "/orders/{id}")?;
    let mut nanos = Vec::new();
    for _ in 0..BATCHES {
        let principals: Vec<Principal> = (0..50).map(|_| call.principal.clone()).collect();
        let started = clock.monotonic();
        principals.iter().for_each(|principal| assert_allowed(&call.ask(snapshot, principal)));
        nanos.push(clock.monotonic().saturating_sub(started).as_nanos() / 50);
    }
    println!("    {:<40} {:>10}", "with a principal not seen before", median(&mut nanos));
    Ok(())
}

fn report(clock: &SystemClock, name: &str, snapshot: &Snapshot, call: &Sample) -> u128 {
    let mut nanos = Vec::with_capacity(BATCHES);
    for _ in 0..BATCHES {
        let started = clock.monotonic();
        (0..BATCH).for_each(|_| assert_allowed(&call.ask(snapshot, &call.principal)));
        nanos.push((clock.monotonic() - started).as_nanos() / u128::from(BATCH));
    }
    let median = median(&mut nanos);
    println!("{name:<44} {median:>10} {:>10}", nanos.first().unwrap_or(&0));
    median
}

fn median(nanos: &mut [u128]) -> u128 {
    nanos.sort_unstable();
    nanos.get(nanos.len() / 2).copied().unwrap_or_default()
}

fn assert_allowed(reason: &Reason) {
    assert_eq!(*std::hint::black_box(reason), Reason::Allowed);
}

fn compile(source: &BundleSource) -> Result<Snapshot> {
    let limits = Limits { max_bundle_bytes: 256 << 20, max_policies: 200_000 };
    Ok(Snapshot::compile(source, &limits, None)?.0)
}

fn shipped() -> Result<BundleSource> {
    let root = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("policies");
    Ok(directory::read(&[root.join("zero-trust"), root.join("demo")], &Limits::default())?)
}

fn shipped_calls() -> Result<Vec<(String, Sample)>> {
    let clerk = Sample::new("orders", "GET", "/orders/{id}")?;
    let mut own = Sample::new("accounts", "GET", "/accounts/{id}")?;
    own.located.path_params = vec![("id".to_owned(), "alice".to_owned())];
    Ok(vec![
        ("demo and zero-trust, a clerk reads an order".to_owned(), clerk),
        ("demo and zero-trust, alice her own account".to_owned(), own),
    ])
}

/// Five policies about the call, in five kinds of scope, and the others each about a role and a service of its own.
fn synthetic(count: usize) -> Result<BundleSource> {
    let when = "when { context.token.scopes.contains(\"orders:read\") && context.risk.level < 3 }";
    let scopes = [
        "principal == api::User::\"dev/alice\", action in api::Action::\"read\", resource in api::Service::\"orders\"",
        "principal in api::Role::\"clerk\", action == api::Action::\"GET\", resource in api::Service::\"orders\"",
        "principal is api::User, action in api::Action::\"read\", resource == api::Endpoint::\"orders/GET /orders/{id}\"",
        "principal is api::User in api::Group::\"sales\", action == api::Action::\"GET\", resource is api::Endpoint",
        "principal in api::Group::\"sales\", action, resource is api::Endpoint",
    ];
    let mut text = String::new();
    for (number, scope) in scopes.iter().enumerate() {
        writeln!(text, "@id(\"five-{number}\") permit({scope}) when {{ context has token }} {when};")?;
    }
    for number in scopes.len()..count {
        let scope = format!(
            "principal in api::Role::\"role-{number}\", action == api::Action::\"GET\", resource in api::Service::\"api-{number}\""
        );
        writeln!(text, "@id(\"other-{number}\") permit({scope}) when {{ context has token }} {when};")?;
    }
    Ok(BundleSource::new(vec![SourceFile { path: "all.cedar".into(), text }]))
}

/// One template about a principal and a service, linked for alice and for others.
fn linked(count: usize) -> Result<BundleSource> {
    let template = "@id(\"reads\") permit(principal == ?principal, action, resource in ?resource) when { context.risk.level < 3 };";
    let mut links = String::from("[");
    for number in 0..count {
        let (comma, who) =
            if number == 0 { ("", "alice".to_owned()) } else { (",", format!("user-{number}")) };
        write!(
            links,
            "{comma}{{\"template_id\":\"reads\",\"link_id\":\"link-{number}\",\"args\":{{\"?principal\":\"api::User::\\\"dev/{who}\\\"\",\"?resource\":\"api::Service::\\\"orders\\\"\"}}}}"
        )?;
    }
    links.push(']');
    let file = |path: &str, text: String| SourceFile { path: path.into(), text };
    Ok(BundleSource::new(vec![file("t.cedar", template.to_owned()), file("cedartemplatelinks.json", links)]))
}

struct Sample {
    principal: Principal,
    located: Located,
    risk: Risk,
    metadata: BTreeMap<String, Vec<String>>,
    now: Timestamp,
}

impl Sample {
    fn new(api: &str, method: &str, template: &str) -> Result<Self> {
        let now = Timestamp::parse("2026-11-23T12:00:00Z")?;
        let principal = alice(now)?;
        Ok(Self {
            principal,
            located: located(api, method, template)?,
            risk: Risk::default(),
            metadata: BTreeMap::new(),
            now,
        })
    }

    fn ask(&self, snapshot: &Snapshot, principal: &Principal) -> Reason {
        let call = CallInput {
            actor: None,
            peer: None,
            principal,
            located: &self.located,
            scopes_met: true,
            risk: &self.risk,
            rates: Rates::default(),
            device: DeviceView::default(),
            source_ip: None,
            secure: true,
            headers: &[],
            metadata: &self.metadata,
            network_known: true,
            now: self.now,
        };
        snapshot.evaluate_call(std::hint::black_box(&call)).reason
    }
}

fn alice(now: Timestamp) -> Result<Principal> {
    let mut alice = Principal::bare("User::dev/alice".parse()?);
    alice.tenant = Some("acme".to_owned());
    alice.roles = ["clerk", "support", "viewer"].map(str::to_owned).into();
    alice.groups = ["sales", "berlin"].map(str::to_owned).into();
    alice.tags = [("claim:department".to_owned(), ["sales".to_owned()].into())].into();
    alice.token = Some(TokenFacts {
        issuer: "dev".parse()?,
        kind: TokenKind::User,
        client_id: Some("web".to_owned()),
        audience: ["https://api.example".to_owned()].into(),
        scopes: ["orders:read", "accounts:read"].map(str::to_owned).into(),
        issued_at: now.minus(Duration::from_secs(60)),
        expires_at: now.plus(Duration::from_secs(840)),
        auth_time: Some(now.minus(Duration::from_secs(120))),
        acr: None,
        amr: ["pwd".to_owned()].into(),
        confirmation: Default::default(),
        sender_constrained: false,
        actor: None,
        token_id: None,
        session_id: None,
        sha256: [0; 32],
    });
    Ok(alice)
}

fn located(api: &str, method: &str, template: &str) -> Result<Located> {
    let id = api.parse()?;
    let endpoint = Endpoint {
        id: EndpointId::new(&id, method, template),
        api: Arc::new(Api {
            id,
            domain: DomainId::default(),
            mode: ApiMode::Enforce,
            reuse: Duration::ZERO,
            outside: Default::default(),
        }),
        method: method.to_owned(),
        action: method.to_owned(),
        template: template.to_owned(),
        operation: Some("operation".to_owned()),
        sensitivity: Sensitivity::CONFIDENTIAL,
        state: EndpointState::Declared,
        labels: ["pii".to_owned()].into(),
        security: None,
        sender_constrained: false,
        prepared: Prepared::default(),
    };
    Ok(Located {
        endpoint: Arc::new(endpoint),
        path_params: vec![("id".to_owned(), "o-1".to_owned())],
        query_params: Vec::new(),
        host: format!("{api}.example"),
        path: "/orders/o-1".to_owned(),
    })
}

/// Linux only; elsewhere the file is missing and this fails.
fn resident_bytes() -> Result<u64> {
    let statm = std::fs::read_to_string("/proc/self/statm")?;
    let pages: u64 = statm.split_whitespace().nth(1).ok_or("no resident pages in statm")?.parse()?;
    Ok(pages * 4096)
}
