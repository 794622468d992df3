//! The hot path: one [`Query`] in, one [`Decision`] out, whatever happens.
//!
//! [`Decider::decide`] is the life of a decision; read it top to bottom. It cannot fail: every trouble on the way is
//! a deny with a reason, recorded like any other decision. Wire formats belong to `api`, meaning to the rooms it calls.

pub mod access;
mod arrivals;
mod callers;
mod config;
mod gate;
mod live;
mod message;
mod payload;
mod queue;
mod reader;
mod record;
mod request;
#[cfg(test)]
mod simulation;
mod walk;

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::time::Duration;

pub use callers::{CallerRefusal, Callers, Shown};
pub use config::Config;
pub use gate::Gate;
pub use live::{ActiveBundle, FollowConfig, Live, View};
pub use message::message;
pub use queue::{Queue, Waited, Waiting};
pub use reader::{Reader, Room};
pub use request::{Asked, Deadline};

use crate::audit::{Recorder, RefusalKind};
use crate::identity::{Identity, Wanted};
use crate::inventory::Inventory;
use crate::model::{Client, Clock, Decision, DecisionId, Query, Reason};
use crate::policy::Evaluation;
use crate::risk::RateCounters;
use record::{RecordGuard, Wanting};
use walk::Walk;

/// Decides. One for each process; shared by every door.
pub struct Decider {
    pub(crate) config: Config,
    pub(crate) identity: Arc<Identity>,
    pub(crate) inventory: Arc<Inventory>,
    pub(crate) live: Arc<Live>,
    pub(crate) rates: RateCounters,
    recorder: Recorder,
    pub(crate) clock: Arc<dyn Clock>,
    /// Of challenges.
    pub(crate) realm: Arc<str>,
    /// Names this process in records.
    pub(crate) replica: String,
    in_flight: AtomicUsize,
    /// Questions that wait for a revision.
    waiting: AtomicUsize,
    panics: AtomicU64,
    policy_errors: AtomicU64,
}

/// What a [`Decider`] is made of.
pub struct Parts {
    pub config: Config,
    pub identity: Arc<Identity>,
    pub inventory: Arc<Inventory>,
    pub live: Arc<Live>,
    pub rates: RateCounters,
    pub recorder: Recorder,
    pub clock: Arc<dyn Clock>,
    pub replica: String,
}

impl Decider {
    pub fn new(parts: Parts) -> Self {
        let Parts { config, identity, inventory, live, rates, recorder, clock, replica } = parts;
        Self {
            realm: config.realm.as_str().into(),
            config,
            identity,
            inventory,
            live,
            rates,
            recorder,
            clock,
            replica,
            in_flight: AtomicUsize::new(0),
            waiting: AtomicUsize::new(0),
            panics: AtomicU64::new(0),
            policy_errors: AtomicU64::new(0),
        }
    }

    /// Decides one query. It cannot fail, and awaits nothing but a revision that the caller asked to wait for and what a
    /// token's issuer has to say.
    ///
    /// Dropping the future before it is done records a denial as `deadline_exceeded`.
    pub async fn decide(&self, asked: Asked<'_>, query: &Query) -> Decision {
        #[cfg(feature = "bare")]
        if matches!(query.question, crate::model::Question::Call(_)) {
            return Walk::bare(self, &asked, query);
        }
        let guard = RecordGuard::new(self, &asked, query);
        let late = self.catch_up(&asked, query).await;
        match self.recorder.reserve() {
            Ok(slot) if !asked.overloaded => match guard.try_record(slot, late) {
                Ok(decision) => decision,
                // Apart, so that the decisions that wait for nothing stay small.
                Err(Wanting { guard, wanted }) => Box::pin(self.decide_after(guard, late, wanted)).await,
            },
            _ => guard.overloaded(),
        }
    }

    /// Decides once more, and for good, when the issuer was asked or the time is up. No place in the audit queue is held
    /// meanwhile: an issuer that hangs must not fill it.
    async fn decide_after(
        &self,
        guard: RecordGuard<'_>,
        late: Option<Reason>,
        wanted: Box<Wanted>,
    ) -> Decision {
        let left = guard.asked().deadline.left(self.clock.as_ref()).unwrap_or_default();
        wanted.arrive(left).await;
        match self.recorder.reserve() {
            Ok(slot) => guard.record(slot, late),
            Err(_full) => guard.overloaded(),
        }
    }

    /// The answer to a question that there is no time or place for, whatever it asks. It is counted.
    pub fn refuse(&self, caller: &Client, rpc: &str) -> Decision {
        self.recorder.note_refusal(RefusalKind::Overloaded, caller.id.as_str(), rpc);
        Walk::refused(DecisionId::at(self.clock.now()), Reason::Overloaded, self.live.revision())
    }

    /// The seven steps; each leaves what it found, or a refusal, and the next one goes on with what is known. `done` hears
    /// of each. A patient walk ends early when something is worth waiting for: nothing was counted by then.
    fn walk<'a>(
        &'a self,
        asked: &'a Asked<'a>,
        query: &'a Query,
        late: Option<Reason>,
        patient: bool,
        mut done: impl FnMut(&'static str),
    ) -> Walk<'a> {
        let mut walk = Walk::new(self, asked, query);
        walk.patient = patient;
        if let Some(reason) = late {
            walk.refuse(reason, "the wanted revision was not reached in time");
        }
        done("snapshot"); //     1
        walk.locate();
        done("locate"); //       2
        walk.authenticate();
        done("authenticate"); // 3
        if walk.wanted.is_some() {
            return walk;
        }
        walk.assess();
        done("assess"); //       4
        walk.evaluate();
        done("evaluate"); //     5
        walk.conclude();
        done("decide"); //       6
        walk //                  7 record: the guard
    }

    /// How long each step of a decision takes, for benches. Nothing is kept. Empty when the audit queue is full.
    pub fn time_steps(&self, asked: &Asked<'_>, query: &Query) -> Vec<(&'static str, Duration)> {
        let Ok(slot) = self.recorder.reserve() else { return Vec::new() };
        let guard = RecordGuard::new(self, asked, query);
        let mut times = Vec::with_capacity(8);
        let mut last = self.clock.monotonic();
        let mut lap = |step| {
            let now = self.clock.monotonic();
            times.push((step, now.saturating_sub(last)));
            last = self.clock.monotonic();
        };
        let walk = self.walk(asked, query, None, false, &mut lap);
        guard.discard(&slot, walk);
        lap("record");
        times
    }

    /// Waits until this replica has what the caller asked for; tells why not, if it has not.
    async fn catch_up(&self, asked: &Asked<'_>, query: &Query) -> Option<Reason> {
        let wanted = query.at_least?;
        if self.live.revision().covers(wanted) {
            return None;
        }
        let left = asked.deadline.left(self.clock.as_ref()).unwrap_or_default();
        let waiting = InFlight::enter(&self.waiting);
        let crowded = waiting.count > self.config.max_waiting;
        let patience = if crowded { Duration::ZERO } else { asked.patience.min(left) };
        if self.live.reached(wanted, patience).await { None } else { Some(Reason::NotReady) }
    }

    /// A place among the calls under way, taken when the thread comes to a call and given back when it is answered.
    /// `waited` is since when the call is there, if that is known.
    pub fn arrive(self: &Arc<Self>, waited: Option<Waited<'_>>) -> Arrival {
        let before = self.in_flight.fetch_add(1, Ordering::AcqRel);
        let now = self.clock.monotonic();
        let at = waited.map_or(now, |waited| waited.since);
        let late = waited.is_some_and(|waited| waited.too_long(now));
        Arrival { decider: Arc::clone(self), at, overloaded: late || before >= self.config.max_in_flight }
    }

    fn count_errors(&self, evaluation: &Evaluation) {
        let failed = evaluation.policy_errors.len();
        if failed > 0 {
            self.policy_errors.fetch_add(failed as u64, Ordering::Relaxed);
        }
    }

    /// How many times a policy failed to evaluate since the start.
    pub fn policy_errors(&self) -> u64 {
        self.policy_errors.load(Ordering::Relaxed)
    }

    /// How many decisions ended in a panic since the start.
    pub fn panics(&self) -> u64 {
        self.panics.load(Ordering::Relaxed)
    }

    pub fn recorder(&self) -> &Recorder {
        &self.recorder
    }

    pub fn live(&self) -> &Arc<Live> {
        &self.live
    }

    pub fn clock(&self) -> &Arc<dyn Clock> {
        &self.clock
    }

    pub fn config(&self) -> &Config {
        &self.config
    }

    pub fn identity(&self) -> &Arc<Identity> {
        &self.identity
    }
}

/// A call under way. Dropped, it makes room for another.
pub struct Arrival {
    decider: Arc<Decider>,
    /// When the call came in, on the monotonic clock: before it waited for its turn.
    pub at: Duration,
    /// Too many others were under way, or it waited too long: its questions are denied without being looked at.
    pub overloaded: bool,
}

impl Drop for Arrival {
    fn drop(&mut self) {
        self.decider.in_flight.fetch_sub(1, Ordering::AcqRel);
    }
}

/// One of those who are counted while they do something.
struct InFlight<'a> {
    all: &'a AtomicUsize,
    /// With this one.
    count: usize,
}

impl<'a> InFlight<'a> {
    fn enter(all: &'a AtomicUsize) -> Self {
        Self { all, count: all.fetch_add(1, Ordering::AcqRel) + 1 }
    }
}

impl Drop for InFlight<'_> {
    fn drop(&mut self) {
        self.all.fetch_sub(1, Ordering::AcqRel);
    }
}
