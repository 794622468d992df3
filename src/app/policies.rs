//! Policies from directories: loaded at start, and again whenever the files change.
//!
//! A change becomes live only when the whole bundle compiles; otherwise the old one stays, and readiness says why.
//! When to read the files again is told by `watch`.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use notify::RecursiveMode;
use tokio_util::sync::CancellationToken;

use super::bundles::{Bundles, Compiled};
use super::watch::{Cause, Watch};
use crate::decide::{ActiveBundle, Live};
use crate::model::{BundleDigest, BundleSource, Clock, DomainId};

/// Keeps the policies of each domain what the files say.
pub struct PolicySource {
    bundles: Bundles,
    live: Arc<Live>,
    clock: Arc<dyn Clock>,
    /// How often the files were read again.
    rereads: AtomicU64,
}

/// What each domain's files were when they were read last, or why they could not be read.
type Seen = BTreeMap<DomainId, Result<BundleDigest, String>>;

impl PolicySource {
    pub fn new(bundles: Bundles, live: Arc<Live>, clock: Arc<dyn Clock>) -> Self {
        Self { bundles, live, clock, rereads: AtomicU64::new(0) }
    }

    /// The first load: every domain must compile, for there is nothing older to go on with.
    pub fn load_all(&self) -> anyhow::Result<()> {
        for (domain, compiled) in self.bundles.compile_all()? {
            self.activate(&domain, compiled);
        }
        Ok(())
    }

    fn activate(&self, domain: &DomainId, compiled: Compiled) {
        for warning in &compiled.warnings {
            tracing::warn!(%domain, "{warning}");
        }
        let (digest, policies) = (compiled.snapshot.digest().clone(), compiled.snapshot.policy_count());
        let (snapshot, warnings) = (Arc::new(compiled.snapshot), compiled.warnings);
        let bundle = ActiveBundle { snapshot, activated_at: self.clock.now(), warnings };
        self.live.activate(domain, &bundle);
        tracing::info!(%domain, %digest, policies, "policies are live");
    }

    /// Takes up what is not as it was when it was seen last.
    fn reload(&self, mut seen: Seen) -> Seen {
        self.rereads.fetch_add(1, Ordering::Relaxed);
        for (domain, folders) in self.bundles.domains() {
            let read = self.bundles.read(folders);
            let now = read.as_ref().map(BundleSource::digest).map_err(String::clone);
            if seen.get(domain) != Some(&now) {
                self.take_up(domain, read);
                seen.insert(domain.clone(), now);
            }
        }
        seen
    }

    fn take_up(&self, domain: &DomainId, read: Result<BundleSource, String>) {
        if read.as_ref().is_ok_and(|source| self.is_live(domain, &source.digest())) {
            return self.live.accept(domain);
        }
        match read.and_then(|source| self.bundles.compile(&source)) {
            Ok(compiled) => self.activate(domain, compiled),
            Err(why) => {
                tracing::error!(%domain, "the new policies are refused, the old ones stay live: {why}");
                self.live.refuse(domain, &why);
            }
        }
    }

    fn is_live(&self, domain: &DomainId, digest: &BundleDigest) -> bool {
        self.live.view().bundle(domain).is_some_and(|live| live.snapshot.digest() == digest)
    }

    /// Follows the files until told to stop. `reread` is how often they are read although nothing was told.
    pub async fn watch(self: Arc<Self>, reread: Duration, stop: CancellationToken) {
        let folders = self.bundles.folders().cloned().collect();
        let mut watch = Watch::new(folders, RecursiveMode::Recursive, reread, stop.clone());
        let mut seen = Seen::new();
        while let Some(cause) = watch.next().await {
            if cause == Cause::Hangup {
                tracing::info!("SIGHUP received; reading policies again");
                // What is still wrong is to be said again.
                seen.clear();
            }
            let source = Arc::clone(&self);
            let before = std::mem::take(&mut seen);
            // Compiling takes CPU, and must not hold up those who decide.
            let reload = tokio::task::spawn_blocking(move || source.reload(before));
            match stop.run_until_cancelled(reload).await {
                None => return,
                Some(Ok(now)) => seen = now,
                Some(Err(error)) => {
                    tracing::error!(%error, "reading policies panicked; the old ones stay live");
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;
    use std::fs;
    use std::path::{Path, PathBuf};

    use super::*;
    use crate::model::SystemClock;
    use crate::policy;
    use crate::risk::{self, Signals};

    const SOON: Duration = Duration::from_secs(20);
    const SELDOM: Duration = Duration::from_secs(3_600);

    struct Fixture {
        source: Arc<PolicySource>,
        folder: tempfile::TempDir,
        stop: CancellationToken,
        watching: Option<tokio::task::JoinHandle<()>>,
    }

    impl Fixture {
        fn new() -> Self {
            let folder = tempfile::tempdir().unwrap();
            fs::create_dir(folder.path().join("live")).unwrap();
            write(&folder.path().join("live"), "first");
            let mut config = policy::Config::default();
            config
                .domains
                .insert(DomainId::default(), policy::DomainConfig { directories: vec!["live".into()] });
            let clock: Arc<dyn Clock> = Arc::new(SystemClock::new());
            let signals = Signals::new(risk::Config::default()).unwrap();
            let live = Arc::new(Live::new(signals, Arc::clone(&clock)));
            let bundles = Bundles::new(&config, folder.path(), BTreeSet::new());
            let source = Arc::new(PolicySource::new(bundles, live, clock));
            source.load_all().unwrap();
            Self { source, folder, stop: CancellationToken::new(), watching: None }
        }

        fn watch(mut self, reread: Duration) -> Self {
            self.watching = Some(tokio::spawn(Arc::clone(&self.source).watch(reread, self.stop.clone())));
            self
        }

        fn live(&self) -> PathBuf {
            self.folder.path().join("live")
        }

        fn rereads(&self) -> u64 {
            self.source.rereads.load(Ordering::Relaxed)
        }

        fn digest(&self) -> BundleDigest {
            self.source.live.view().bundle(&DomainId::default()).unwrap().snapshot.digest().clone()
        }

        async fn until(&self, mut fits: impl FnMut(&Self) -> bool) {
            let wait = async {
                while !fits(self) {
                    tokio::time::sleep(Duration::from_millis(5)).await;
                }
            };
            tokio::time::timeout(SOON, wait).await.expect("it did not come about");
        }

        async fn stop(self) {
            self.stop.cancel();
            tokio::time::timeout(SOON, self.watching.unwrap()).await.unwrap().unwrap();
        }
    }

    fn write(folder: &Path, id: &str) {
        fs::write(folder.join("a.cedar"), format!("@id(\"{id}\") permit (principal, action, resource);"))
            .unwrap();
    }

    #[tokio::test(flavor = "multi_thread")]
    async fn one_edit_is_read_a_bounded_number_of_times() {
        let fixture = Fixture::new().watch(SELDOM);
        fixture.until(|fixture| fixture.rereads() > 0).await;
        let before = fixture.digest();
        write(&fixture.live(), "second");
        fixture.until(|fixture| fixture.digest() != before).await;
        // Reading that calls for reading would come to about ten in this time.
        let many = fixture.rereads() + 3;
        let too_often = fixture.until(|fixture| fixture.rereads() > many);
        assert!(tokio::time::timeout(Duration::from_secs(1), too_often).await.is_err());
        fixture.stop().await;
    }

    #[tokio::test(flavor = "multi_thread")]
    async fn an_edit_before_the_watch_began_is_not_missed() {
        let fixture = Fixture::new();
        let before = fixture.digest();
        write(&fixture.live(), "second");
        let fixture = fixture.watch(SELDOM);
        fixture.until(|fixture| fixture.digest() != before).await;
        fixture.stop().await;
    }

    #[tokio::test(flavor = "multi_thread")]
    async fn a_directory_that_is_replaced_is_read_and_watched_again() {
        let fixture = Fixture::new().watch(Duration::from_millis(200));
        fixture.until(|fixture| fixture.rereads() > 0).await;
        for id in ["second", "third"] {
            let before = fixture.digest();
            let (new, old) =
                (fixture.folder.path().join("new"), fixture.folder.path().join(format!("before-{id}")));
            fs::create_dir(&new).unwrap();
            write(&new, id);
            fs::rename(fixture.live(), old).unwrap();
            fs::rename(new, fixture.live()).unwrap();
            fixture.until(|fixture| fixture.digest() != before).await;
        }
        fixture.stop().await;
    }

    #[test]
    fn files_that_are_as_they_were_are_not_looked_into_again() {
        let fixture = Fixture::new();
        fs::write(fixture.live().join("b.cedar"), "nonsense").unwrap();
        let seen = fixture.source.reload(Seen::new());
        assert!(!fixture.source.live.problems().is_empty());
        // If it looked again, it would refuse again.
        fixture.source.live.accept(&DomainId::default());
        let refused = |fixture: &Fixture| {
            fixture.source.live.problems().iter().any(|problem| problem.contains("serving old policies"))
        };
        let seen = fixture.source.reload(seen);
        assert!(!refused(&fixture));
        drop(seen);
        fixture.source.reload(Seen::new());
        assert!(refused(&fixture), "a SIGHUP has it looked into and said again");
    }
}
