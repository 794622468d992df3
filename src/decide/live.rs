//! What this replica decides with right now: policies, signals, revocations, the directory, clients; and the one follower of the change feed.
//!
//! Decisions read all of it without waiting for anybody. Policies are swapped whole, and a decision takes one view of
//! them at its start; all else is read as it is at that moment. The follower applies changes in commit order and
//! then moves the revision, so that a decision that names a revision has seen everything up to it.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use arc_swap::{ArcSwap, Guard};
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

use super::Callers;
use crate::identity::{Directory, Revocations};
use crate::model::{Change, ChangeBody, Clock, DomainId, Revision, Timestamp};
use crate::policy::Snapshot;
use crate::risk::{Applied, Freshness, Signals};
use crate::store::{Store, StoreError};

/// A bundle in use.
#[derive(Clone)]
pub struct ActiveBundle {
    pub snapshot: Arc<Snapshot>,
    pub activated_at: Timestamp,
    /// What its compilation warned of.
    pub warnings: Vec<String>,
}

/// The live policies of every domain. Immutable; one decision reads one of these.
#[derive(Clone, Default)]
pub struct View {
    bundles: BTreeMap<DomainId, ActiveBundle>,
    /// Why a newer edition of a domain's policies is not live.
    refused: BTreeMap<DomainId, String>,
}

impl View {
    pub fn bundle(&self, domain: &DomainId) -> Option<&ActiveBundle> {
        self.bundles.get(domain)
    }

    pub fn bundles(&self) -> impl Iterator<Item = (&DomainId, &ActiveBundle)> {
        self.bundles.iter()
    }
}

const NEVER: u64 = u64::MAX;

/// The state that decisions read.
pub struct Live {
    view: ArcSwap<View>,
    pub signals: Signals,
    pub revocations: Revocations,
    pub directory: Directory,
    pub callers: Callers,
    /// Read by every decision.
    revision: ArcSwap<Revision>,
    /// The same, for those who wait for one.
    applied: watch::Sender<Revision>,
    /// When the store was last known to have nothing new, in microseconds of the monotonic clock (so that a clock
    /// that is set back makes nothing look fresh); [`NEVER`] before the first load.
    contact: AtomicU64,
    clock: Arc<dyn Clock>,
}

impl Live {
    pub fn new(signals: Signals, clock: Arc<dyn Clock>) -> Self {
        Self {
            view: ArcSwap::default(),
            signals,
            revocations: Revocations::new(),
            directory: Directory::new(),
            callers: Callers::new(),
            revision: ArcSwap::default(),
            applied: watch::Sender::new(Revision::default()),
            contact: AtomicU64::new(NEVER),
            clock,
        }
    }

    /// The wall clock.
    pub fn now(&self) -> Timestamp {
        self.clock.now()
    }

    pub fn view(&self) -> Guard<Arc<View>> {
        self.view.load()
    }

    /// Makes a compiled bundle the one that its domain decides with, from the next decision on.
    pub fn activate(&self, domain: &DomainId, bundle: &ActiveBundle) {
        self.view.rcu(|view| {
            let mut view = View::clone(view);
            view.refused.remove(domain);
            view.bundles.insert(domain.clone(), bundle.clone());
            view
        });
    }

    /// Forgets that a newer edition was refused: the files say again what is live.
    pub fn accept(&self, domain: &DomainId) {
        self.view.rcu(|view| {
            let mut view = View::clone(view);
            view.refused.remove(domain);
            view
        });
    }

    /// Keeps what is live and remembers why the newer edition is not.
    pub fn refuse(&self, domain: &DomainId, why: &str) {
        self.view.rcu(|view| {
            let mut view = View::clone(view);
            view.refused.insert(domain.clone(), why.to_owned());
            view
        });
    }

    /// Everything up to here is in effect on this replica.
    pub fn revision(&self) -> Revision {
        **self.revision.load()
    }

    fn move_to(&self, revision: Revision) {
        self.revision.store(Arc::new(revision));
        self.applied.send_replace(revision);
    }

    /// Remembers that at this moment of the monotonic clock nothing was missing.
    fn in_contact_at(&self, moment: Duration) {
        self.contact.store(micros(moment), Ordering::Release);
    }

    /// Tells of every revision that this replica reaches.
    pub fn revisions(&self) -> watch::Receiver<Revision> {
        self.applied.subscribe()
    }

    /// Waits until this replica has reached a revision, at most this long. False when it has not.
    pub async fn reached(&self, wanted: Revision, at_most: Duration) -> bool {
        let mut applied = self.applied.subscribe();
        let reached = applied.wait_for(|applied| applied.covers(wanted));
        matches!(tokio::time::timeout(at_most, reached).await, Ok(Ok(_)))
    }

    /// How old the knowledge about signals is.
    pub fn freshness(&self) -> Freshness {
        match self.contact.load(Ordering::Acquire) {
            NEVER => Freshness::Dead,
            contact => {
                let age = self.clock.monotonic().saturating_sub(Duration::from_micros(contact));
                self.signals.freshness(age)
            }
        }
    }

    /// What is wrong, a sentence each; nothing when all is well.
    pub fn problems(&self) -> Vec<String> {
        let view = self.view.load();
        let mut problems: Vec<String> = view
            .refused
            .iter()
            .map(|(domain, why)| match view.bundles.get(domain) {
                Some(_) => format!("domain `{domain}`: serving old policies: {why}"),
                None => format!("domain `{domain}`: no policies: {why}"),
            })
            .collect();
        if self.freshness() != Freshness::Fresh {
            problems.push("signals are stale: the store has not answered for too long".to_owned());
        }
        problems
    }

    /// Whether decisions can be made at all.
    pub fn is_ready(&self) -> bool {
        !self.view.load().bundles.is_empty() && self.freshness() != Freshness::Dead
    }

    /// Loads everything from the store; what was in memory is replaced.
    pub async fn load(&self, store: &dyn Store) -> Result<(), StoreError> {
        let (now, moment) = (self.clock.now(), self.clock.monotonic());
        let (clients, signals, revocations, entries, at) = loop {
            let (clients, clients_at) = store.all_clients().await?;
            let (signals, signals_at) = store.live_signals(now.minus(self.signals.live_window())).await?;
            let (revocations, revocations_at) = store.live_revocations(now).await?;
            let (entries, entries_at) = store.all_principals().await?;
            if let Some(at) = lowest([clients_at, signals_at, revocations_at, entries_at]) {
                break (clients, signals, revocations, entries, at);
            }
        };
        // While the state is being replaced it stands at no revision that anybody could have been given.
        self.move_to(Revision::default());
        self.callers.replace_all(clients);
        self.signals.replace_all(signals);
        self.revocations.replace_all(revocations);
        self.directory.replace_all(entries);
        self.move_to(at);
        self.in_contact_at(moment);
        tracing::info!(revision = %at, "loaded clients, signals, revocations and the directory");
        Ok(())
    }

    /// Follows the change feed until told to stop. Trouble with the store is waited out; decisions go on meanwhile.
    pub async fn follow(
        self: Arc<Self>,
        store: Arc<dyn Store>,
        config: FollowConfig,
        stop: CancellationToken,
    ) {
        let mut pause = config.retry_least;
        while !stop.is_cancelled() {
            let step = async {
                self.catch_up(store.as_ref(), config.page).await?;
                store.wait_for_change(config.poll).await
            };
            let result = tokio::select! {
                () = stop.cancelled() => return,
                result = step => result,
            };
            let Err(error) = result else {
                pause = config.retry_least;
                continue;
            };
            tracing::warn!(error = %Chain(&error), retry_ms = pause.as_millis(), "cannot follow the change feed");
            tokio::select! {
                () = stop.cancelled() => return,
                () = tokio::time::sleep(pause) => {}
            }
            pause = (pause * 2).min(config.poll.max(config.retry_least));
        }
    }

    async fn catch_up(&self, store: &dyn Store, page: u32) -> Result<(), StoreError> {
        loop {
            let asked_at = self.clock.monotonic();
            let applied = self.revision();
            let current = store.current_revision().await?;
            if self.must_load_afresh(store, applied, current).await? {
                tracing::warn!(had = %applied, found = %current, "the change feed cannot be continued; loading afresh");
                self.load(store).await?;
                continue;
            }
            let changes =
                if applied == current { Vec::new() } else { store.changes_after(applied, page).await? };
            let Some(last) = changes.last().map(|change| change.revision) else {
                self.in_contact_at(asked_at);
                return Ok(());
            };
            if changes.iter().any(|change| change.revision.epoch != applied.epoch) {
                // The database failed over between the two reads: these changes are of another history.
                self.load(store).await?;
                continue;
            }
            changes.iter().for_each(|change| self.apply(change));
            self.move_to(last);
            if changes.iter().any(|change| matches!(change.body, ChangeBody::Unknown { .. })) {
                // What could not be read may have mattered: the tables themselves have the last word.
                self.load(store).await?;
                continue;
            }
            // Whoever is always a little behind is not out of touch.
            if last.covers(current) {
                self.in_contact_at(asked_at);
            }
        }
    }

    /// Another history, a history that went back, or one whose part that we need is gone.
    async fn must_load_afresh(
        &self,
        store: &dyn Store,
        applied: Revision,
        current: Revision,
    ) -> Result<bool, StoreError> {
        if applied.epoch != current.epoch || applied.number > current.number {
            return Ok(true);
        }
        if applied == current {
            return Ok(false);
        }
        let oldest = store.oldest_change().await?;
        Ok(oldest.is_none_or(|oldest| oldest > applied.number + 1))
    }

    fn apply(&self, change: &Change) {
        match &change.body {
            ChangeBody::Client(client) => self.callers.apply(client),
            ChangeBody::Signal(signal) => {
                if self.signals.apply(signal) == Applied::UnknownKind {
                    // Written by a newer version than this one, which cannot know what it is worth.
                    tracing::warn!(signal = %signal.id, kind = signal.kind, "a signal of an unknown kind is ignored");
                }
            }
            ChangeBody::Revocation(revocation) => self.revocations.apply(revocation),
            ChangeBody::Principal(change) => self.directory.apply(change),
            ChangeBody::Unknown { noun } => {
                tracing::warn!(noun, "a change that this version cannot read is skipped");
            }
        }
    }
}

/// How the feed is followed.
#[derive(Clone, Copy, Debug)]
pub struct FollowConfig {
    /// How often the store is asked when no notification comes.
    pub poll: Duration,
    /// Changes read at once.
    pub page: u32,
    /// The first pause after trouble; it doubles up to `poll`.
    pub retry_least: Duration,
}

impl Default for FollowConfig {
    fn default() -> Self {
        Self { poll: Duration::from_secs(1), page: 500, retry_least: Duration::from_millis(50) }
    }
}

/// Where reads at several revisions stand together: from the lowest one on, changes are applied again, which does no
/// harm. `None` when they are of two histories, whose revisions have no order: then no read is of use beside another.
fn lowest(revisions: [Revision; 4]) -> Option<Revision> {
    let one_history =
        revisions.iter().all(|revision| Some(revision.epoch) == revisions.first().map(|first| first.epoch));
    revisions.into_iter().min_by_key(|revision| revision.number).filter(|_| one_history)
}

fn micros(moment: Duration) -> u64 {
    u64::try_from(moment.as_micros()).unwrap_or(NEVER - 1)
}

/// An error with its causes on one line.
struct Chain<'a>(&'a dyn std::error::Error);

impl std::fmt::Display for Chain<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}", self.0)?;
        let mut cause = self.0.source();
        while let Some(error) = cause {
            write!(f, ": {error}")?;
            cause = error.source();
        }
        Ok(())
    }
}
