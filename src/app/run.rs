//! A server that runs: its tasks, and how they end.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use anyhow::Context;
use futures::FutureExt;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use super::build::App;
use super::config::Config;
use super::listener::Listener;
use super::workers::{Stop, Workers};
use crate::api::layers::AuthenticateCallers;
use crate::api::{self, Health};
use crate::audit::Recorder;
use crate::decide::{Decider, FollowConfig, Gate, Live};
use crate::manage::Management;
use crate::model::{Clock, DomainId, Timestamp};
use crate::store::{Replica, Store};

/// How often a replica says that it is alive, and tidies up its memory.
const HEARTBEAT: Duration = Duration::from_secs(5);
/// How often it looks at its own health.
const HEALTH_CHECK: Duration = Duration::from_millis(250);

/// A running server. Dropping it stops nothing: call [`Running::stop`].
pub struct Running {
    config: Config,
    decisions: SocketAddr,
    management: SocketAddr,
    live: Arc<Live>,
    recorder: Recorder,
    health: Health,
    store: Arc<dyn Store>,
    replica: String,
    /// Ends the listeners.
    doors: Stop,
    /// Ends what works behind them, once they are done.
    stop: CancellationToken,
    listeners: JoinHandle<anyhow::Result<()>>,
    background: TaskTracker,
}

impl Running {
    pub(super) fn start(app: App) -> Self {
        let (doors_stop, stop) = (Stop::default(), CancellationToken::new());
        let background = TaskTracker::new();
        let heart = Heart {
            store: Arc::clone(&app.store),
            live: Arc::clone(&app.live),
            clock: Arc::clone(&app.clock),
            replica: app.replica.clone(),
            address: app.decisions.address(),
            started_at: app.started_at,
        };
        let follow = FollowConfig::default();
        background.spawn(app.writer.run(stop.clone()));
        background.spawn(Arc::clone(&app.live).follow(Arc::clone(&app.store), follow, stop.clone()));
        background.spawn(app.policies.watch(stop.clone()));
        background.spawn(report_health(app.health.clone(), Arc::clone(&app.live), doors_stop.drain.clone()));
        background.spawn(heart.beat(stop.clone()));
        background.close();
        let doors = Doors {
            gate: AuthenticateCallers::new(Gate::new(Arc::clone(&app.live), app.recorder.clone())),
            decider: app.decider,
            management: app.management,
            health: app.health.clone(),
            threads: app.config.server.decision_threads,
        };
        Self {
            decisions: app.decisions.address(),
            management: app.management_listener.address(),
            listeners: tokio::spawn(doors.open(app.decisions, app.management_listener, doors_stop.clone())),
            config: app.config,
            live: app.live,
            recorder: app.recorder,
            health: app.health,
            store: app.store,
            replica: app.replica,
            doors: doors_stop,
            stop,
            background,
        }
    }

    pub const fn decisions(&self) -> SocketAddr {
        self.decisions
    }

    pub const fn management(&self) -> SocketAddr {
        self.management
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

    /// Runs until the token is cancelled or a listener fails; then stops in order.
    pub async fn run_until(mut self, asked: CancellationToken) -> anyhow::Result<()> {
        let failed = tokio::select! {
            () = asked.cancelled() => None,
            ended = &mut self.listeners => Some(ended),
        };
        match failed {
            None => self.stop().await,
            Some(ended) => {
                self.stop_background().await;
                ended.context("a listener panicked")?
            }
        }
    }

    /// Stops: takes no more calls, lets those under way finish, then stores what is still queued.
    pub async fn stop(mut self) -> anyhow::Result<()> {
        self.health.report(false, false).await;
        self.doors.drain.cancel();
        let ended = tokio::time::timeout(self.config.server.drain_timeout, &mut self.listeners).await;
        if ended.is_err() {
            tracing::warn!("calls were still under way after the drain timeout; they are cut off");
            self.doors.cut.cancel();
            self.listeners.abort();
        }
        self.stop_background().await;
        match ended {
            Ok(ended) => ended.context("a listener panicked")?,
            Err(_) => Ok(()),
        }
    }

    async fn stop_background(&self) {
        self.stop.cancel();
        self.background.wait().await;
        if let Err(error) = self.store.remove_replica(&self.replica).await {
            tracing::warn!(%error, "cannot take this replica off the list");
        }
        tracing::info!("stopped");
    }
}

/// What stands behind the listeners.
struct Doors {
    gate: AuthenticateCallers,
    decider: Arc<Decider>,
    management: Arc<Management>,
    health: Health,
    threads: usize,
}

impl Doors {
    /// Serves at both listeners; when one ends, so does the other.
    async fn open(self, decisions: Listener, management: Listener, stop: Stop) -> anyhow::Result<()> {
        let routes = api::decision_routes(&self.decider, &self.health)?;
        let workers = Workers::start(self.threads, &routes, &self.gate, &stop)?;
        let decisions = workers.serve(decisions, stop.drain.clone());
        let routes = api::management_routes(&self.management, &self.health)?;
        let management = management.serve(routes, self.gate, stop.drain.clone());
        let end_both = || stop.drain.cancel();
        let (decisions, management) =
            tokio::join!(decisions.inspect(|_| end_both()), management.inspect(|_| end_both()));
        decisions.context("the decision listener failed")?;
        management.context("the management listener failed")
    }
}

/// Keeps the health service true.
async fn report_health(health: Health, live: Arc<Live>, drain: CancellationToken) {
    let mut ticks = tokio::time::interval(HEALTH_CHECK);
    loop {
        tokio::select! {
            () = drain.cancelled() => return,
            _ = ticks.tick() => health.report(live.is_ready(), live.problems().is_empty()).await,
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
    async fn beat(self, stop: CancellationToken) {
        let mut ticks = tokio::time::interval(HEARTBEAT);
        loop {
            tokio::select! {
                () = stop.cancelled() => return,
                _ = ticks.tick() => {}
            }
            self.live.signals.prune(self.clock.now());
            if let Err(error) = self.store.heartbeat(&self.replica()).await {
                tracing::warn!(%error, "cannot write the heartbeat");
            }
        }
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
