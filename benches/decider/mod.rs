//! A server that listens but serves nobody, to put questions to in process: what several benches share.

use std::collections::BTreeSet;
use std::hint::black_box;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, ensure};
use deodar::app::dev_issuer::{DevIssuer, MintRequest};
use deodar::app::{App, Config};
use deodar::decide::{ActiveBundle, Asked, Deadline, Decider};
use deodar::model::{
    ApiCall, ApiGrant, BundleSource, Client, ClientCertificate, Clock, Credential, DomainId, Effect, Grants,
    Query, Question, Role, SourceFile, SystemClock, Timestamp, TokenKind,
};
use deodar::policy::{Limits, Snapshot};

/// Fewer than the audit queue holds: nobody empties it here.
pub const MOST_DECISIONS: usize = 10_000;

/// The action of the question, and of the fillers.
const GET: &str = "api::Action::\"GET\"";

/// Policies in one file, about as many as people would write.
const IN_ONE_FILE: usize = 200;

/// Policies that can never apply to the question asked are still policies: each names another role, endpoint or API.
fn fillers(count: usize) -> Vec<SourceFile> {
    let filler = |number: usize| {
        let scope = match number % 4 {
            0 => format!(
                "principal == api::User::\"dev/u{number}\", action == {GET}, resource in api::Service::\"orders\""
            ),
            1 => format!(
                "principal is api::User in api::Role::\"r{number}\", action == {GET}, resource in api::Service::\"accounts\""
            ),
            2 => format!(
                "principal is api::User in api::Group::\"g{number}\", action == {GET}, resource is api::Endpoint"
            ),
            _ => format!(
                "principal is api::Workload, action == {GET}, resource == api::Endpoint::\"other/GET /{number}\""
            ),
        };
        format!("@id(\"filler-{number}\")\npermit ({scope});\n")
    };
    let file = |first: usize| SourceFile {
        path: format!("fillers-{first}.cedar"),
        text: (first..count.min(first + IN_ONE_FILE)).map(filler).collect(),
    };
    (0..count).step_by(IN_ONE_FILE).map(file).collect()
}

/// The shipped policies and those of the demo, filled up to `count`.
fn snapshot(count: usize) -> anyhow::Result<Snapshot> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let folders = ["policies/zero-trust", "policies/demo"].map(|folder| root.join(folder));
    let limits = Limits { max_bundle_bytes: usize::MAX, max_policies: usize::MAX };
    let shipped = deodar::policy::directory::read(&folders, &limits)?;
    let mut files = if count < 20 { small(&shipped) } else { shipped.files().to_vec() };
    let written = files.iter().map(|file| file.text.matches("@id(").count()).sum();
    files.extend(fillers(count.saturating_sub(written)));
    let compiled = Snapshot::compile(&BundleSource::new(files), &limits, None);
    let (snapshot, _) = compiled.map_err(|errors| anyhow::anyhow!("{}", errors.rendered()))?;
    ensure!(snapshot.policy_count() == count, "{} policies instead of {count}", snapshot.policy_count());
    Ok(snapshot)
}

/// Those of the shipped files that can apply to the question, so that few and many policies have the same candidates.
fn small(shipped: &BundleSource) -> Vec<SourceFile> {
    let applying = [
        "orders.cedar",
        "unmet-scopes.cedar",
        "undeclared-endpoints.cedar",
        "unbound-tokens.cedar",
        "stale-signals.cedar",
        "long-lived-tokens.cedar",
    ];
    let applies = |file: &&SourceFile| applying.iter().any(|name| file.path.ends_with(name));
    shipped.files().iter().filter(applies).cloned().collect()
}

/// The server, its gateway and some clerks with their questions.
pub struct Bench {
    app: App,
    pub clock: Arc<dyn Clock>,
    gateway: Client,
    pub queries: Vec<Query>,
    _folder: tempfile::TempDir,
}

impl Bench {
    pub async fn new(policies: usize) -> anyhow::Result<Self> {
        let folder = tempfile::tempdir()?;
        let clock: Arc<dyn Clock> = Arc::new(SystemClock::new());
        let app = App::build(config(folder.path())?, Arc::clone(&clock)).await?;
        let snapshot = Arc::new(snapshot(policies)?);
        let bundle = ActiveBundle { snapshot, activated_at: clock.now(), warnings: Vec::new() };
        app.live().activate(&DomainId::default(), &bundle);
        let queries = queries(folder.path(), clock.now())?;
        Ok(Self { app, gateway: gateway(clock.now())?, clock, queries, _folder: folder })
    }

    pub fn decide(&self, turn: usize) -> anyhow::Result<Effect> {
        let query = self.queries.get(turn % self.queries.len()).context("there are no queries")?;
        let decider = self.app.decider();
        let arrival = decider.arrive(None);
        Ok(one_decision(decider, self.asked(arrival.at), query))
    }

    /// How long each step of one decision takes.
    #[allow(dead_code, reason = "not every bench asks")]
    pub fn time_steps(&self, turn: usize) -> anyhow::Result<Vec<(&'static str, Duration)>> {
        let query = self.queries.get(turn % self.queries.len()).context("there are no queries")?;
        Ok(self.app.decider().time_steps(&self.asked(self.clock.monotonic()), query))
    }

    fn asked(&self, at: Duration) -> Asked<'_> {
        let config = self.app.decider().config();
        let deadline = Deadline::after(at, None, config);
        Asked {
            caller: &self.gateway,
            rpc: "bench",
            deadline,
            patience: config.at_least_wait,
            overloaded: false,
        }
    }
}

/// INVARIANT: what is counted happens in here, and nothing else does. The name is known to the script.
#[inline(never)]
fn one_decision(decider: &Decider, asked: Asked<'_>, query: &Query) -> Effect {
    let decision = futures::executor::block_on(decider.decide(asked, black_box(query)));
    black_box(decision).effect()
}

fn config(folder: &Path) -> anyhow::Result<Config> {
    let root = env!("CARGO_MANIFEST_DIR");
    let file = folder.join("deodar.toml");
    let text = format!(
        "development = true
data_dir = {folder:?}
server = {{ decisions = \"127.0.0.1:0\", management = \"127.0.0.1:0\" }}
policy.domains.default.directories = [\"{root}/policies/zero-trust\", \"{root}/policies/demo\"]
[[inventory.apis]]
id = \"orders\"
openapi = \"{root}/policies/demo/orders.openapi.yaml\"
hosts = [\"orders.example.com\"]
[[inventory.apis]]
id = \"accounts\"
openapi = \"{root}/policies/demo/accounts.openapi.yaml\"
hosts = [\"accounts.example.com\"]
"
    );
    std::fs::write(&file, text)?;
    Ok(Config::load(Some(&file))?)
}

fn gateway(now: Timestamp) -> anyhow::Result<Client> {
    Ok(Client {
        id: "bench".parse()?,
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
        created_by: "bench".parse()?,
        created_at: now,
        revoked_at: None,
    })
}

/// Clerks read orders; each has a token of their own.
fn queries(folder: &Path, now: Timestamp) -> anyhow::Result<Vec<Query>> {
    let issuer = DevIssuer::open(folder)?;
    let query = |number: usize| {
        let mut token = MintRequest::new(TokenKind::User, format!("clerk-{number}"), now);
        token.roles = vec!["clerk".to_owned()];
        token.scopes = vec!["orders:read".to_owned()];
        token.session = Some(format!("session-{number}"));
        let call = ApiCall {
            method: "GET".to_owned(),
            host: "orders.example.com".to_owned(),
            path: format!("/orders/{number}?page=2"),
            secure: true,
            ..ApiCall::default()
        };
        Ok(Query {
            credential: Credential::Bearer(issuer.mint(&token)?),
            certificate: ClientCertificate::None,
            question: Question::Call(call),
            source_ip: None,
            device: None,
            explain: false,
            at_least: None,
            trace_id: None,
        })
    };
    (0..8).map(query).collect()
}
