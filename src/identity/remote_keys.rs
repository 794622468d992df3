//! The key set of an issuer that publishes it: fetched in the background, replaced whole, and waited for where a token
//! needs what is not there yet.
//!
//! Whoever decides only reads. One task fetches ([`RemoteKeys::keep`]), so that there is never more than one fetch under
//! way; a decision that needs its result waits for the end of an attempt by number ([`Wanted`]). When is `schedule.rs`.

use std::sync::atomic::AtomicUsize;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use arc_swap::ArcSwapOption;
use tokio::sync::{Notify, watch};
use tokio_util::sync::CancellationToken;

use super::destination::Destination;
use super::discovery::Metadata;
use super::fetch::{FetchRequest, Fetched, Fetcher};
use super::jwks::KeySet;
use super::key_config::KeyFetchConfig;
use super::refusal::IdentityRefusal;
use super::schedule::{Attempt, Schedule};
use super::wanted::{Places, Wanted};
use crate::model::{Clock, IssuerAlias, Timestamp};

/// How often the schedule is looked at although nothing is due: the wall clock may have been set.
const LOOK: Duration = Duration::from_secs(30);
/// The least time between two warnings about failures in a row.
const WARN_AGAIN: Duration = Duration::from_secs(5 * 60);

/// Where the keys are.
#[derive(Clone, Debug)]
pub(super) enum Source {
    Url(Destination),
    Discovered(Metadata),
}

/// The keys of one issuer.
#[derive(Debug)]
pub(super) struct RemoteKeys {
    alias: IssuerAlias,
    source: Source,
    settings: KeyFetchConfig,
    set: ArcSwapOption<CurrentSet>,
    schedule: Mutex<Schedule>,
    last_error: Mutex<Option<Failure>>,
    /// Something is due earlier than the task knows.
    wake: Notify,
    /// The number of the last attempt that ended.
    ended: watch::Sender<Attempt>,
    waiting: AtomicUsize,
}

/// A set as it was fetched.
#[derive(Debug)]
struct CurrentSet {
    keys: Arc<KeySet>,
    fetched_at: Timestamp,
    fresh_until: Timestamp,
    /// INVARIANT: the end of the life of each of its keys.
    usable_until: Timestamp,
}

/// Why the last attempt failed, if it did.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Failure {
    pub at: Timestamp,
    pub problem: String,
}

/// What an operator may see of keys that are fetched.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FetchedKeys {
    /// Where they are fetched from, or the document that says it.
    pub place: String,
    /// Absent until the first fetch succeeded.
    pub fetched_at: Option<Timestamp>,
    pub fresh_until: Option<Timestamp>,
    /// From then on tokens are denied, unless there is news before.
    pub usable_until: Option<Timestamp>,
    /// Why the last fetch failed; absent when it succeeded.
    pub last_failure: Option<Failure>,
}

impl FetchedKeys {
    /// Whether they are older than the issuer wants them to be used.
    pub fn stale(&self, now: Timestamp) -> bool {
        self.fresh_until.is_none_or(|end| now >= end)
    }

    /// Whether tokens can be verified with them.
    pub fn usable(&self, now: Timestamp) -> bool {
        self.usable_until.is_some_and(|end| now < end)
    }
}

impl RemoteKeys {
    pub(super) fn new(alias: IssuerAlias, source: Source, settings: KeyFetchConfig) -> Self {
        Self {
            alias,
            source,
            schedule: Mutex::new(Schedule::new(&settings)),
            settings,
            set: ArcSwapOption::empty(),
            last_error: Mutex::default(),
            wake: Notify::new(),
            ended: watch::Sender::new(0),
            waiting: AtomicUsize::new(0),
        }
    }

    /// The keys, when they can be used at `now`; else a refusal that says why not.
    pub(super) fn usable(self: &Arc<Self>, now: Timestamp) -> Result<Arc<KeySet>, IdentityRefusal> {
        let current = self.set.load();
        match current.as_deref() {
            Some(set) if now < set.usable_until => Ok(Arc::clone(&set.keys)),
            found => Err(self.unavailable(found, now)),
        }
    }

    #[cold]
    fn unavailable(self: &Arc<Self>, found: Option<&CurrentSet>, now: Timestamp) -> IdentityRefusal {
        let what = match found {
            None => "the issuer's keys have not been fetched yet".to_owned(),
            Some(set) => {
                format!("the issuer's keys could not be fetched since {} and count no longer", set.fetched_at)
            }
        };
        let failure = self.last_failure();
        let why = failure.map(|failure| format!(": {}", failure.problem)).unwrap_or_default();
        let attempt = self.schedule().want_any(now);
        self.wake_for(attempt);
        IdentityRefusal::unavailable(format!("{what}{why}")).wanting(self.wanted(attempt))
    }

    /// A token was signed with a key that is not in the set: it may be a new one.
    #[cold]
    pub(super) fn want_key(self: &Arc<Self>, now: Timestamp) -> Option<Wanted> {
        let attempt = self.schedule().want_key(now);
        self.wake_for(attempt);
        self.wanted(attempt)
    }

    fn wake_for(&self, attempt: Option<Attempt>) {
        if attempt.is_some() {
            self.wake.notify_one();
        }
    }

    fn wanted(self: &Arc<Self>, attempt: Option<Attempt>) -> Option<Wanted> {
        attempt.map(|attempt| Wanted::keys(Arc::clone(self), attempt))
    }

    /// Waits until an attempt ended; not longer than `patience`, and not at all when there is no room.
    pub(super) async fn wait_for(&self, attempt: Attempt, patience: Duration) {
        let Some(_place) = Places(&self.waiting).enter(self.settings.max_waiting) else { return };
        let mut ended = self.ended.subscribe();
        // It ends with the time, or because the attempt ended; the sender lives as long as the keys.
        let _ = tokio::time::timeout(patience, ended.wait_for(|ended| *ended >= attempt)).await;
    }

    /// What there is at the moment, whether it can be used or not.
    pub(super) fn last_known(&self) -> Option<Arc<KeySet>> {
        self.set.load().as_ref().map(|set| Arc::clone(&set.keys))
    }

    pub(super) fn info(&self) -> FetchedKeys {
        let set = self.set.load();
        let set = set.as_deref();
        let configured = match &self.source {
            Source::Url(place) => place,
            Source::Discovered(metadata) => &metadata.place,
        };
        FetchedKeys {
            place: configured.to_string(),
            fetched_at: set.map(|set| set.fetched_at),
            fresh_until: set.map(|set| set.fresh_until),
            usable_until: set.map(|set| set.usable_until),
            last_failure: self.last_failure(),
        }
    }

    /// Fetches whenever it is due, until the stop.
    pub(super) async fn keep(&self, fetcher: &dyn Fetcher, clock: &dyn Clock, stop: &CancellationToken) {
        let mut keeper = self.keeper(fetcher, clock);
        while !stop.is_cancelled() {
            let due = self.schedule().until_due(clock.now());
            if due.is_zero() {
                stop.run_until_cancelled(keeper.attempt()).await;
                continue;
            }
            tokio::select! {
                () = stop.cancelled() => {}
                () = self.wake.notified() => {}
                () = tokio::time::sleep(due.min(LOOK)) => {}
            }
        }
    }

    /// Fetches once, now.
    pub(super) async fn fetch_once(&self, fetcher: &dyn Fetcher, clock: &dyn Clock) {
        self.keeper(fetcher, clock).attempt().await;
    }

    pub(super) const fn keeper<'a>(&'a self, fetcher: &'a dyn Fetcher, clock: &'a dyn Clock) -> Keeper<'a> {
        Keeper { keys: self, fetcher, clock, discovered: None, warned_at: None }
    }

    fn schedule(&self) -> MutexGuard<'_, Schedule> {
        self.schedule.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn last_failure(&self) -> Option<Failure> {
        self.last_error.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    fn note_failure(&self, failure: Option<Failure>) {
        *self.last_error.lock().unwrap_or_else(PoisonError::into_inner) = failure;
    }

    /// Puts a new set in the place of the old one. A key that is in both lives on, and so do the tokens verified with it; a
    /// key that is in the old one alone ends at once.
    pub(super) fn take(&self, keys: KeySet, now: Timestamp, fresh: Duration) {
        let fresh_until = now.plus(fresh);
        let usable_until = fresh_until.plus(self.settings.max_stale);
        let before = self.set.load_full();
        let old = before.as_ref().map(|set| Arc::clone(&set.keys));
        let keys = Arc::new(keys.living_on(old.as_deref(), usable_until));
        let set = CurrentSet { keys: Arc::clone(&keys), fetched_at: now, fresh_until, usable_until };
        self.set.store(Some(Arc::new(set)));
        // INVARIANT: after the new set is in place, so that a token verified from here on is verified with it.
        let gone = old.map(|old| old.end_all_but(&keys)).unwrap_or_default();
        if before.is_none() || gone > 0 {
            tracing::info!(issuer = %self.alias, keys = keys.len(), gone, "took a new key set of an issuer");
        }
    }
}

/// The one who fetches.
pub(super) struct Keeper<'a> {
    keys: &'a RemoteKeys,
    fetcher: &'a dyn Fetcher,
    clock: &'a dyn Clock,
    /// Where discovery said that the keys are, and when.
    discovered: Option<(Timestamp, Destination)>,
    warned_at: Option<Timestamp>,
}

impl Keeper<'_> {
    pub(super) async fn attempt(&mut self) {
        let attempt = self.keys.schedule().begin();
        match self.fetch().await {
            Ok((keys, answer)) => self.succeed(keys, &answer),
            Err(problem) => self.fail(problem),
        }
        // After the schedule knows: whoever wakes may ask it again.
        self.keys.ended.send_replace(attempt);
    }

    async fn fetch(&mut self) -> Result<(KeySet, Fetched), String> {
        let place = self.place().await?;
        let answer = self.get(&place).await?;
        let named = |problem| format!("{place}: {problem}");
        let body = answer.json().map_err(named)?;
        let text = std::str::from_utf8(body).map_err(|_| named("it answered with no UTF-8".to_owned()))?;
        let keys = KeySet::parse(text).map_err(|error| named(with_cause(&error)))?;
        Ok((keys, answer))
    }

    /// Where the keys are: as configured, or as discovered not too long ago.
    async fn place(&mut self) -> Result<Destination, String> {
        let metadata = match &self.keys.source {
            Source::Url(place) => return Ok(place.clone()),
            Source::Discovered(metadata) => metadata,
        };
        let now = self.clock.now();
        let young = |at: Timestamp| at <= now && now.since(at) < self.keys.settings.discovery_max_age;
        if let Some((at, place)) = self.discovered.take().filter(|(at, _)| young(*at)) {
            // Put back by an attempt that succeeds.
            self.discovered = Some((at, place.clone()));
            return Ok(place);
        }
        let document = self.get(&metadata.place).await?;
        let found = document.json().and_then(|body| metadata.jwks_uri(body));
        let place = found.map_err(|problem| format!("{}: {problem}", metadata.place))?;
        self.discovered = Some((now, place.clone()));
        Ok(place)
    }

    async fn get(&self, destination: &Destination) -> Result<Fetched, String> {
        let answer = self.fetcher.fetch(FetchRequest { destination, form: None }).await;
        answer.map_err(|error| format!("{destination}: {error}"))
    }

    fn succeed(&mut self, keys: KeySet, answer: &Fetched) {
        let now = self.clock.now();
        let fresh = self.keys.settings.fresh_for(answer.cache_control.as_deref(), answer.age_s);
        self.keys.take(keys, now, fresh);
        let failures = self.keys.schedule().failures();
        self.keys.schedule().succeed(now, fresh);
        self.keys.note_failure(None);
        self.warned_at = None;
        if failures > 0 {
            tracing::info!(issuer = %self.keys.alias, failures, "the keys of an issuer can be fetched again");
        }
    }

    fn fail(&mut self, problem: String) {
        let now = self.clock.now();
        self.discovered = None;
        self.keys.schedule().fail(now);
        if self.warned_at.is_none_or(|at| now < at || now.since(at) >= WARN_AGAIN) {
            self.warned_at = Some(now);
            let usable_until = self.keys.set.load().as_ref().map(|set| set.usable_until.to_string());
            let alias = &self.keys.alias;
            tracing::warn!(issuer = %alias, usable_until, %problem, "cannot fetch the keys of an issuer");
        }
        self.keys.note_failure(Some(Failure { at: now, problem }));
    }
}

fn with_cause(error: &dyn std::error::Error) -> String {
    error.source().map_or_else(|| error.to_string(), |cause| format!("{error}: {cause}"))
}
