//! Builds everything that a server needs, and binds its sockets. Nothing runs yet.

use std::net::SocketAddr;
use std::sync::Arc;

use anyhow::Context;

use super::bootstrap;
use super::bundles::Bundles;
use super::config::Config;
use super::dev_issuer::DevIssuer;
use super::fetch::HttpFetcher;
use super::listener::Listener;
use super::policies::PolicySource;
use super::run::Running;
use super::tls::Tls;
use crate::api::Health;
use crate::audit::{Recorder, Writer};
use crate::decide::{Decider, Live, Parts};
use crate::identity::Identity;
use crate::inventory::Inventory;
use crate::manage::{ListenerBoard, Management};
use crate::model::{Clock, Timestamp};
use crate::risk::{RateCounters, Signals};
use crate::store::{self, Location, Store};

/// A server that is ready to run.
pub struct App {
    pub(super) config: Config,
    pub(super) clock: Arc<dyn Clock>,
    pub(super) store: Arc<dyn Store>,
    pub(super) live: Arc<Live>,
    pub(super) recorder: Recorder,
    pub(super) writer: Writer,
    pub(super) decider: Arc<Decider>,
    pub(super) identity: Arc<Identity>,
    /// Absent when there is nothing to fetch.
    pub(super) fetcher: Option<HttpFetcher>,
    pub(super) management: Arc<Management>,
    pub(super) policies: Arc<PolicySource>,
    pub(super) health: Health,
    pub(super) decisions: Listener,
    pub(super) management_listener: Listener,
    /// Those of them that speak TLS.
    pub(super) tls: Vec<Arc<Tls>>,
    pub(super) listeners: Arc<ListenerBoard>,
    pub(super) replica: String,
    pub(super) started_at: Timestamp,
}

impl App {
    /// Does everything that can fail.
    pub async fn build(mut config: Config, clock: Arc<dyn Clock>) -> anyhow::Result<Self> {
        config.check()?;
        let decisions_tls = Tls::load("decisions", &config.server.decisions_tls, &clock)?;
        let management_tls = Tls::load("management", &config.server.management_tls, &clock)?;
        std::fs::create_dir_all(&config.data_dir)
            .with_context(|| format!("cannot create the data directory {}", config.data_dir.display()))?;
        if config.development {
            let issuer = DevIssuer::open(&config.data_dir)?;
            config.identity.issuers.push(issuer.issuer_config()?);
        }
        let store = open_store(&config).await?;
        bootstrap::first_administrator(store.as_ref(), clock.as_ref(), &config.data_dir).await?;
        if config.development {
            bootstrap::development_gateway(store.as_ref(), clock.as_ref(), &config.data_dir).await?;
        }
        let identity = Arc::new(Identity::new(&config.identity, &config.base_dir)?);
        warn_of_issuers(&identity);
        let fetcher = fetcher(&identity, &config)?;
        let inventory = Arc::new(Inventory::load(&config.inventory, &config.base_dir)?);
        let live = Arc::new(Live::new(Signals::new(config.risk.clone())?, Arc::clone(&clock)));
        live.load(store.as_ref()).await.context("cannot load clients and signals")?;
        let bundles = Bundles::of(&config, &inventory)?;
        let policies = PolicySource::new(bundles, Arc::clone(&live), Arc::clone(&clock));
        policies.load_all()?;
        let replica = uuid::Uuid::now_v7().to_string();
        let (recorder, writer) =
            Recorder::new(store.clone(), Arc::clone(&clock), replica.clone(), config.audit.clone());
        let decider = Arc::new(Decider::new(Parts {
            config: config.decide.clone(),
            identity: Arc::clone(&identity),
            inventory: Arc::clone(&inventory),
            live: Arc::clone(&live),
            rates: RateCounters::new(&config.risk),
            recorder: recorder.clone(),
            clock: Arc::clone(&clock),
            replica: replica.clone(),
        }));
        let listeners = Arc::new(ListenerBoard::default());
        let management = Arc::new(Management::new(
            Arc::clone(&store),
            Arc::clone(&live),
            recorder.clone(),
            inventory,
            Arc::clone(&identity),
            Arc::clone(&clock),
            replica.clone(),
            config.identity.revocation.clone(),
            Arc::clone(&listeners),
        ));
        let bind = async |name, address, tls: &Option<Arc<Tls>>| {
            let bound =
                Listener::bind(name, address, &config.server, tls.clone(), Arc::clone(&clock)).await?;
            listeners.report(&bound.status());
            anyhow::Ok(bound)
        };
        let decisions = bind("decisions", config.server.decisions, &decisions_tls).await?;
        let management_listener = bind("management", config.server.management, &management_tls).await?;
        Ok(Self {
            tls: [decisions_tls, management_tls].into_iter().flatten().collect(),
            listeners,
            started_at: clock.now(),
            policies: Arc::new(policies),
            health: Health::new(),
            config,
            clock,
            store,
            live,
            recorder,
            writer,
            decider,
            identity,
            fetcher,
            management,
            decisions,
            management_listener,
            replica,
        })
    }

    pub const fn decisions(&self) -> SocketAddr {
        self.decisions.address()
    }

    pub const fn management(&self) -> SocketAddr {
        self.management_listener.address()
    }

    pub const fn decider(&self) -> &Arc<Decider> {
        &self.decider
    }

    pub const fn live(&self) -> &Arc<Live> {
        &self.live
    }

    pub const fn store(&self) -> &Arc<dyn Store> {
        &self.store
    }

    /// Ends the server before it ran, but for the writer of records.
    pub fn into_writer(self) -> Writer {
        self.writer
    }

    /// Lets it run, in tasks of its own.
    pub fn start(self) -> Running {
        Running::start(self)
    }
}

/// The client for the documents of issuers, where any is to be fetched: a server without such issuers needs no trusted
/// certificates.
pub(super) fn fetcher(identity: &Identity, config: &Config) -> anyhow::Result<Option<HttpFetcher>> {
    identity.fetches().then(|| HttpFetcher::new(&config.identity.fetch, &config.base_dir)).transpose()
}

/// Keys that were left out, settings that cannot work: nothing that keeps a server from starting, and all that an operator
/// would look for when tokens are refused.
fn warn_of_issuers(identity: &Identity) {
    for issuer in identity.issuers() {
        for warning in &issuer.warnings {
            tracing::warn!(issuer.alias = %issuer.alias, "an issuer is not as it could be: {warning}");
        }
    }
}

/// The embedded store belongs to this process alone, so its schema is brought up to date here; a shared one only in
/// development, because other replicas may run another version.
async fn open_store(config: &Config) -> anyhow::Result<Arc<dyn Store>> {
    let store = store::open(&config.store).await.context("cannot open the store")?;
    let own = matches!(config.store.location, Location::Embedded(_));
    if own || config.development {
        store.migrate().await.context("cannot bring the store's schema up to date")?;
    }
    store.check_schema().await?;
    Ok(store)
}
