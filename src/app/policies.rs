//! Policies from directories: loaded at start, and again whenever the files change.
//!
//! A change becomes live only when the whole bundle compiles; otherwise the old one stays, and readiness says why.
//! Besides watching the files, a SIGHUP reads them again: some file systems tell nobody of changes.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use anyhow::Context;
use notify::{RecursiveMode, Watcher};
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;

use crate::decide::{ActiveBundle, Live};
use crate::model::{ApiId, Clock, DomainId};
use crate::policy::{self, Snapshot};

/// Editors write a file in several steps; changes are taken together when nothing moved for this long.
const QUIET: Duration = Duration::from_millis(50);

/// Where the policies of each domain come from.
pub struct PolicySource {
    domains: Vec<(DomainId, Vec<PathBuf>)>,
    config: policy::Config,
    apis: BTreeSet<ApiId>,
    live: Arc<Live>,
    clock: Arc<dyn Clock>,
}

impl PolicySource {
    pub fn new(
        config: policy::Config,
        base_dir: &Path,
        apis: BTreeSet<ApiId>,
        live: Arc<Live>,
        clock: Arc<dyn Clock>,
    ) -> Self {
        let absolute = |folders: &[PathBuf]| folders.iter().map(|folder| base_dir.join(folder)).collect();
        let domains = config
            .domains
            .iter()
            .map(|(domain, settings)| (domain.clone(), absolute(&settings.directories)))
            .collect();
        Self { domains, config, apis, live, clock }
    }

    /// The first load: every domain must compile, for there is nothing older to go on with.
    pub fn load_all(&self) -> anyhow::Result<()> {
        for (domain, folders) in &self.domains {
            let bundle = self.compile(folders).map_err(anyhow::Error::msg);
            let bundle =
                bundle.with_context(|| format!("the policies of domain `{domain}` cannot be used"))?;
            self.activate(domain, &bundle);
        }
        Ok(())
    }

    fn compile(&self, folders: &[PathBuf]) -> Result<ActiveBundle, String> {
        let limits = self.config.limits();
        let source = policy::directory::read(folders, &limits).map_err(|error| error.to_string())?;
        let (snapshot, warnings) =
            Snapshot::compile(&source, &limits, Some(&self.apis)).map_err(|errors| errors.rendered())?;
        Ok(ActiveBundle {
            snapshot: Arc::new(snapshot),
            activated_at: self.clock.now(),
            warnings: warnings.iter().map(ToString::to_string).collect(),
        })
    }

    fn activate(&self, domain: &DomainId, bundle: &ActiveBundle) {
        for warning in &bundle.warnings {
            tracing::warn!(%domain, "{warning}");
        }
        let (digest, policies) = (bundle.snapshot.digest(), bundle.snapshot.policy_count());
        tracing::info!(%domain, %digest, policies, "policies are live");
        self.live.activate(domain, bundle);
    }

    fn reload(&self) {
        for (domain, folders) in &self.domains {
            match self.compile(folders) {
                Ok(bundle) if self.is_live(domain, &bundle) => self.live.accept(domain),
                Ok(bundle) => self.activate(domain, &bundle),
                Err(why) => {
                    tracing::error!(%domain, "the new policies are refused, the old ones stay live: {why}");
                    self.live.refuse(domain, &why);
                }
            }
        }
    }

    fn is_live(&self, domain: &DomainId, bundle: &ActiveBundle) -> bool {
        let view = self.live.view();
        view.bundle(domain).is_some_and(|live| live.snapshot.digest() == bundle.snapshot.digest())
    }

    /// Follows the files until told to stop.
    pub async fn watch(self: Arc<Self>, stop: CancellationToken) {
        let (changed, mut changes) = mpsc::channel(1);
        // A full channel already says that something changed.
        let tell = move |_: notify::Result<notify::Event>| {
            let _already_told = changed.try_send(());
        };
        let _watcher = self.watcher(tell).inspect_err(|error| {
            tracing::warn!(%error, "policy files cannot be watched; send SIGHUP after a change");
        });
        let Ok(mut hangup) = signal(SignalKind::hangup()) else {
            return tracing::warn!("cannot listen for SIGHUP");
        };
        loop {
            tokio::select! {
                () = stop.cancelled() => return,
                Some(()) = changes.recv() => settle(&mut changes).await,
                Some(()) = hangup.recv() => tracing::info!("SIGHUP received; reading policies again"),
            }
            let source = Arc::clone(&self);
            // Compiling takes CPU, and must not hold up those who decide.
            if let Err(error) = tokio::task::spawn_blocking(move || source.reload()).await {
                tracing::error!(%error, "reading policies panicked; the old ones stay live");
            }
        }
    }

    fn watcher(
        &self,
        tell: impl Fn(notify::Result<notify::Event>) + Send + 'static,
    ) -> notify::Result<impl Watcher> {
        let mut watcher = notify::recommended_watcher(tell)?;
        for folder in self.domains.iter().flat_map(|(_, folders)| folders) {
            watcher.watch(folder, RecursiveMode::Recursive)?;
        }
        Ok(watcher)
    }
}

/// Waits until nothing has changed for a moment.
async fn settle(changes: &mut mpsc::Receiver<()>) {
    while let Ok(Some(())) = tokio::time::timeout(QUIET, changes.recv()).await {}
}
