//! A server that runs: its tasks, and how they end.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use anyhow::Context;
use futures::FutureExt;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

use super::background::Background;
use super::build::App;
use super::config::{Config, ServerConfig};
use super::listener::Listener;
use super::tls;
use super::workers::{Stop, Workers};
use crate::api::layers::AuthenticateCallers;
use crate::api::{self, Front, Health};
use crate::audit::Recorder;
use crate::decide::{Decider, FollowConfig, Gate, Live};
use crate::manage::{ListenerBoard, Management};
use crate::model::{Clock, DomainId, Timestamp};
use crate::store::{Replica, Store};

/// How often a replica says that it is alive, and tidies up its memory.
const HEARTBEAT: Duration = Duration::from_secs(5);
/// The least pause before a beat that tells of a new revision: many changes make few beats.
const BREATH: Duration = Duration::from_millis(200);
/// How often what was only kept to be looked up is deleted.
const SWEEP: Duration = Duration::from_secs(10 * 60);
/// How often it looks at its own health.
const HEALTH_CHECK: Duration = Duration::from_millis(250);

/// How long what was cut may take to notice.
const CUT_TIMEOUT: Duration = Duration::from_secs(2);
/// How much longer than the audit trail may drain we wait for the tasks in the background.
const BACKGROUND_MARGIN: Duration = Duration::from_secs(2);
/// How long a stop waits for the store to take this replica off the list; unasked it drops off when it falls silent.
const FAREWELL_TIMEOUT: Duration = Duration::from_secs(3);

/// A running server. Dropping it stops nothing: call [`Running::stop`].
pub struct Running {
    config: Config,
    decisions: SocketAddr,
    management: SocketAddr,
    live: Arc<Live>,
    recorder: Recorder,
    store: Arc<dyn Store>,
    replica: String,
    /// Ends the listeners.
    doors: Stop,
    listeners: JoinHandle<anyhow::Result<()>>,
    /// What works behind them; it ends once they are done.
    background: Background,
}

impl Running {
    pub(super) fn start(app: App) -> Self {
        let (doors_stop, stop) = (Stop::default(), CancellationToken::new());
        let background = Background::new(stop.clone());
        let doors = Doors::of(&app);
        let heart = Heart {
            store: Arc::clone(&app.store),
            live: Arc::clone(&app.live),
            clock: Arc::clone(&app.clock),
            replica: app.replica.clone(),
            address: app.decisions.address(),
            started_at: app.started_at,
        };
        let follow =
            Arc::clone(&app.live).follow(Arc::clone(&app.store), FollowConfig::default(), stop.clone());
        let state = State {
            live: Arc::clone(&app.live),
            listeners: Arc::clone(&app.listeners),
            clock: Arc::clone(&app.clock),
        };
        let health = report_health(app.health.clone(), state, doors_stop.drain.clone());
        background.spawn("the writer of audit records", app.writer.run(stop.clone()));
        background.spawn("the follower of the change feed", follow);
        background.spawn(
            "the watch over policies",
            app.policies.watch(app.config.server.policy_reread, stop.clone()),
        );
        if let Some(fetcher) = app.fetcher {
            let (identity, clock, stop) = (app.identity, Arc::clone(&app.clock), stop.clone());
            background.spawn("the one who asks issuers", async move {
                identity.ask_issuers(&fetcher, clock.as_ref(), &stop).await;
            });
        }
        background.spawn(
            "the watch over certificates",
            tls::keep_current(app.tls, app.listeners, app.config.server.certificate_reread, stop.clone()),
        );
        background.spawn("the heartbeat", heart.beat(stop.clone()));
        background.spawn(
            "the sweep of old revocations",
            sweep(
                Arc::clone(&app.store),
                Arc::clone(&app.clock),
                app.config.identity.revocation.keep_expired,
                stop.clone(),
            ),
        );
        background.spawn("the health report", health.then(|()| stop.cancelled_owned()));
        let workers = doors.start_workers(&doors_stop);
        Self {
            decisions: app.decisions.address(),
            management: app.management_listener.address(),
            listeners: tokio::spawn(doors.open(
                workers,
                app.decisions,
                app.management_listener,
                doors_stop.clone(),
            )),
            config: app.config,
            live: app.live,
            recorder: app.recorder,
            store: app.store,
            replica: app.replica,
            doors: doors_stop,
            background,
        }
    }

    pub const fn decisions(&self) -> SocketAddr {
        self.decisions
    }

    pub const fn management(&self) -> SocketAddr {
        self.management
    }

    /// Where clients find the listener for decisions: `https` where it speaks TLS.
    pub fn decisions_url(&self) -> String {
        url(self.decisions, self.config.server.decisions_tls.is_on())
    }

    /// Where clients find the listener for management.
    pub fn management_url(&self) -> String {
        url(self.management, self.config.server.management_tls.is_on())
    }

    pub const fn config(&self) -> &Config {
        &self.config
    }

    pub const fn recorder(&self) -> &Recorder {
        &self.recorder
    }

    pub const fn live(&self) -> &Arc<Live> {
        &self.live
    }

    /// Runs until the token is cancelled; then stops in order. So it does when a listener fails or a task behind them
    /// ends, and fails: a server that only half works must not look well.
    pub async fn run_until(self, asked: CancellationToken) -> anyhow::Result<()> {
        let gone = tokio::select! {
            biased;
            () = asked.cancelled() => None,
            // A listener that ends drains the other; how it ended comes out in the stop.
            () = self.doors.drain.cancelled() => None,
            gone = self.background.gone() => Some(gone),
        };
        if let Some(gone) = gone {
            tracing::error!(error = %gone, "the server cannot go on without it and stops");
        }
        let stopped = self.stop().await;
        gone.map_or(stopped, |gone| Err(anyhow::Error::new(gone).context("the server had to stop")))
    }

    /// Stops: takes no more calls, lets those under way finish, then stores what is still queued. Each step is
    /// bounded, so that neither a call nor a database that hangs can keep the process.
    pub async fn stop(mut self) -> anyhow::Result<()> {
        // The health report says NOT_SERVING at this, and nothing after it.
        self.doors.drain.cancel();
        let closed = self.close_doors().await;
        self.stop_background().await;
        tracing::info!("stopped");
        closed
    }

    async fn close_doors(&mut self) -> anyhow::Result<()> {
        let drained = tokio::time::timeout(self.config.server.drain_timeout, &mut self.listeners).await;
        if let Ok(ended) = drained {
            return ended.context("a listener panicked")?;
        }
        tracing::warn!("calls were still under way after the drain timeout; they are cut off");
        self.doors.cut.cancel();
        match tokio::time::timeout(CUT_TIMEOUT, &mut self.listeners).await {
            Ok(ended) => ended.context("a listener panicked")?,
            // A thread that computes and never waits cannot be stopped from outside.
            Err(_) => {
                tracing::error!("a decision thread is stuck; it ends with the process");
                self.listeners.abort();
                Ok(())
            }
        }
    }

    async fn stop_background(&self) {
        if !self.background.stop(self.config.audit.drain_timeout.saturating_add(BACKGROUND_MARGIN)).await {
            tracing::error!("background tasks have not ended in time; they end with the process");
        }
        match tokio::time::timeout(FAREWELL_TIMEOUT, self.store.remove_replica(&self.replica)).await {
            Ok(Ok(_)) => {}
            Ok(Err(error)) => tracing::warn!(%error, "cannot take this replica off the list"),
            Err(_) => tracing::warn!("cannot take this replica off the list: the store does not answer"),
        }
    }
}

fn url(address: SocketAddr, has_tls: bool) -> String {
    let scheme = if has_tls { "https" } else { "http" };
    format!("{scheme}://{address}")
}

/// What stands behind the listeners.
struct Doors {
    gate: Gate,
    decider: Arc<Decider>,
    management: Arc<Management>,
    health: Health,
    config: ServerConfig,
}

impl Doors {
    fn of(app: &App) -> Self {
        Self {
            gate: Gate::new(Arc::clone(&app.live), app.recorder.clone()),
            decider: Arc::clone(&app.decider),
            management: Arc::clone(&app.management),
            health: app.health.clone(),
            config: app.config.server.clone(),
        }
    }

    fn start_workers(&self, stop: &Stop) -> anyhow::Result<Workers> {
        let front = Front::new(self.gate.clone(), Arc::clone(&self.decider), &self.health)?;
        Workers::start(&self.config, &front, stop)
    }

    /// Serves at both listeners; when one ends, so does the other.
    async fn open(
        self,
        workers: anyhow::Result<Workers>,
        decisions: Listener,
        management: Listener,
        stop: Stop,
    ) -> anyhow::Result<()> {
        // However this ends, a panic included: a server with one door shut is to stop.
        let _drain = stop.drain.clone().drop_guard();
        let decisions = workers?.serve(decisions, stop.drain.clone());
        let routes = api::management_routes(&self.management, &self.health)?;
        let management = management.serve(routes, AuthenticateCallers::new(self.gate), &self.config, &stop);
        let end_both = || stop.drain.cancel();
        let (decisions, management) =
            tokio::join!(decisions.inspect(|_| end_both()), management.inspect(|_| end_both()));
        decisions.context("the decision listener failed")?;
        management.context("the management listener failed")
    }
}

/// What health depends on.
struct State {
    live: Arc<Live>,
    listeners: Arc<ListenerBoard>,
    clock: Arc<dyn Clock>,
}

impl State {
    fn is_well(&self) -> bool {
        self.live.problems().is_empty() && self.listeners.problems(self.clock.now()).is_empty()
    }
}

/// Keeps the health service true until the drain, and then says NOT_SERVING as its last word.
async fn report_health(health: Health, state: State, drain: CancellationToken) {
    let mut ticks = tokio::time::interval(HEALTH_CHECK);
    loop {
        tokio::select! {
            biased;
            () = drain.cancelled() => return health.report(false, false).await,
            _ = ticks.tick() => health.report(state.live.is_ready(), state.is_well()).await,
        }
    }
}

/// Deletes revocations that expired this long ago, now and then.
async fn sweep(store: Arc<dyn Store>, clock: Arc<dyn Clock>, keep: Duration, stop: CancellationToken) {
    let mut ticks = tokio::time::interval(SWEEP);
    while stop.run_until_cancelled(ticks.tick()).await.is_some() {
        let purged = store.purge_revocations(clock.now().minus(keep));
        match stop.run_until_cancelled(purged).await {
            Some(Err(error)) => tracing::warn!(%error, "cannot delete old revocations"),
            Some(Ok(count)) if count > 0 => tracing::info!(count, "deleted old revocations"),
            Some(Ok(_)) | None => {}
        }
    }
}

/// Tells the other replicas that this one lives, and how far it is.
struct Heart {
    store: Arc<dyn Store>,
    live: Arc<Live>,
    clock: Arc<dyn Clock>,
    replica: String,
    address: SocketAddr,
    started_at: Timestamp,
}

impl Heart {
    /// Beats in its rhythm, and soon after this replica has reached a new revision: somebody may wait for that.
    async fn beat(self, stop: CancellationToken) {
        let mut ticks = tokio::time::interval(HEARTBEAT);
        let mut revisions = self.live.revisions();
        loop {
            tokio::select! {
                () = stop.cancelled() => return,
                _ = ticks.tick() => self.forget_the_past(),
                Ok(()) = revisions.changed() => tokio::time::sleep(BREATH).await,
            }
            revisions.mark_unchanged();
            // A store that does not answer keeps neither the heart nor the stop waiting for more than a beat.
            let replica = self.replica();
            let beat = tokio::time::timeout(HEARTBEAT, self.store.heartbeat(&replica));
            match stop.run_until_cancelled(beat).await {
                None => return,
                Some(Ok(Ok(_))) => {}
                Some(Ok(Err(error))) => tracing::warn!(%error, "cannot write the heartbeat"),
                Some(Err(_)) => tracing::warn!("cannot write the heartbeat: the store does not answer"),
            }
        }
    }

    /// Lets go of what no decision can rest on any more.
    fn forget_the_past(&self) {
        let now = self.clock.now();
        self.live.signals.prune(now);
        self.live.revocations.prune(now);
    }

    fn replica(&self) -> Replica {
        let view = self.live.view();
        Replica {
            id: self.replica.clone(),
            version: env!("CARGO_PKG_VERSION").to_owned(),
            address: self.address.to_string(),
            started_at: self.started_at,
            seen_at: self.clock.now(),
            applied: self.live.revision(),
            bundle: view.bundle(&DomainId::default()).map(|bundle| bundle.snapshot.digest().to_string()),
        }
    }
}

#[cfg(test)]
mod tests {
    use tempfile::TempDir;
    use tonic::Streaming;
    use tonic::transport::Endpoint;
    use tonic_health::pb::health_check_response::ServingStatus;
    use tonic_health::pb::health_client::HealthClient;
    use tonic_health::pb::{HealthCheckRequest, HealthCheckResponse};

    use super::*;
    use crate::model::SystemClock;

    const SOON: Duration = Duration::from_secs(20);

    async fn start(drain_timeout: Duration) -> (Running, TempDir) {
        let dir = tempfile::tempdir().unwrap();
        let address = "127.0.0.1:0".parse().unwrap();
        let mut config = Config { data_dir: dir.path().to_owned(), ..Config::default() };
        config.settle_paths(dir.path());
        config.server = ServerConfig {
            decisions: address,
            management: address,
            decision_threads: 2,
            drain_timeout,
            ..ServerConfig::default()
        };
        (App::build(config, Arc::new(SystemClock::new())).await.unwrap().start(), dir)
    }

    /// A stream that never ends by itself.
    async fn watch_health(address: SocketAddr) -> Streaming<HealthCheckResponse> {
        let channel = Endpoint::from_shared(format!("http://{address}")).unwrap().connect().await.unwrap();
        let request = HealthCheckRequest { service: String::new() };
        HealthClient::new(channel).watch(request).await.unwrap().into_inner()
    }

    #[tokio::test(flavor = "multi_thread")]
    async fn a_task_that_dies_stops_the_server_with_an_error() {
        let (running, _dir) = start(SOON).await;
        running.background.spawn("the canary", async { panic!("this test panics on purpose") });
        let stopped = tokio::time::timeout(SOON, running.run_until(CancellationToken::new())).await.unwrap();
        let error = format!("{:#}", stopped.unwrap_err());
        assert!(error.contains("the canary panicked"), "{error}");
    }

    #[tokio::test(flavor = "multi_thread")]
    async fn a_listener_that_fails_stops_the_server_although_calls_are_under_way() {
        let (mut running, _dir) = start(Duration::from_millis(100)).await;
        let mut calls = watch_health(running.management()).await;
        let drain = running.doors.drain.clone();
        let served = std::mem::replace(&mut running.listeners, tokio::spawn(async { Ok(()) }));
        running.listeners = tokio::spawn(async move {
            // As a decision thread that ended does it.
            drain.cancel();
            served.await??;
            Err(anyhow::anyhow!("no thread"))
        });
        let stopped = tokio::time::timeout(SOON, running.run_until(CancellationToken::new())).await.unwrap();
        assert_eq!(stopped.unwrap_err().to_string(), "no thread");
        while let Ok(Some(_)) = calls.message().await {}
    }

    #[tokio::test(flavor = "multi_thread")]
    async fn a_stop_says_not_serving_last_and_cuts_what_never_ends() {
        let (running, _dir) = start(Duration::from_millis(500)).await;
        let mut calls = [watch_health(running.decisions()).await, watch_health(running.management()).await];
        // Without policies it is not ready, so this is how a ready one looks.
        running.live.activate(&DomainId::default(), &bundle());
        for calls in &mut calls {
            while calls.message().await.unwrap().unwrap().status() != ServingStatus::Serving {}
        }
        let stopping = tokio::spawn(running.stop());
        for calls in &mut calls {
            let mut last = None;
            let cut = loop {
                match tokio::time::timeout(SOON, calls.message()).await.expect("the stream is cut") {
                    Ok(Some(said)) => last = Some(said.status()),
                    end => break end,
                }
            };
            assert_eq!(last, Some(ServingStatus::NotServing));
            assert!(cut.is_err(), "it did not end by itself");
        }
        tokio::time::timeout(SOON, stopping).await.unwrap().unwrap().unwrap();
    }

    fn bundle() -> crate::decide::ActiveBundle {
        let source = crate::model::BundleSource::default();
        let (snapshot, _) = crate::policy::Snapshot::compile(&source, &Default::default(), None).unwrap();
        let activated_at = Timestamp::default();
        crate::decide::ActiveBundle { snapshot: Arc::new(snapshot), activated_at, warnings: Vec::new() }
    }
}
