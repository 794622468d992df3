//! The hot path: one [`Query`] in, one [`Decision`] out, whatever happens.
//!
//! [`Decider::decide`] is the life of a decision; read it top to bottom. It cannot fail: every trouble on the way is
//! a deny with a reason, recorded like any other decision. Wire formats belong to `api`, meaning to the rooms it calls.

pub mod access;
mod callers;
mod config;
mod gate;
mod live;
mod message;
mod payload;
mod record;
mod request;
mod walk;

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::time::Duration;

pub use callers::{CallerRefusal, Callers};
pub use config::Config;
pub use gate::Gate;
pub use live::{ActiveBundle, FollowConfig, Live, View};
pub use message::message;
pub use request::{Asked, Deadline};

use crate::audit::{Recorder, RefusalKind, Slot};
use crate::identity::Identity;
use crate::inventory::Inventory;
use crate::model::{Clock, Decision, Query, Reason};
use crate::risk::RateCounters;
use record::RecordGuard;
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
    /// Names this process in records.
    pub(crate) replica: String,
    in_flight: AtomicUsize,
    panics: AtomicU64,
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
        let (in_flight, panics) = (AtomicUsize::new(0), AtomicU64::new(0));
        Self { config, identity, inventory, live, rates, recorder, clock, replica, in_flight, panics }
    }

    /// Decides one query. It cannot fail, and awaits nothing but a revision that the caller asked to wait for.
    ///
    /// Dropping the future before it is done records a denial as `deadline_exceeded`.
    pub async fn decide(&self, asked: Asked<'_>, query: Query) -> Decision {
        let admitted = match self.admit() {
            Ok(admitted) => admitted,
            Err(why) => return self.overloaded(&asked, why),
        };
        let Admitted { slot, place: _place } = admitted;
        let guard = RecordGuard::new(self, &asked, &query, slot);
        let late = self.catch_up(&asked, &query).await;
        let walked = catch_unwind(AssertUnwindSafe(|| self.walk(&asked, &query, late)));
        let walk = walked.unwrap_or_else(|_| self.panicked(&asked, &query));
        guard.record(walk)
    }

    /// The seven steps; each leaves what it found, or a refusal, and the next one goes on with what is known.
    fn walk<'a>(&'a self, asked: &'a Asked<'a>, query: &'a Query, late: Option<Reason>) -> Walk<'a> {
        let mut walk = Walk::new(self, asked, query); // 1 snapshot
        if let Some(reason) = late {
            walk.refuse(reason, "the wanted revision was not reached in time");
        }
        walk.locate(); //                                2
        walk.authenticate(); //                          3
        walk.assess(); //                                4
        walk.evaluate(); //                              5
        walk.conclude(); //                              6
        walk //                                          7 record: the caller's guard
    }

    /// Waits until this replica has what the caller asked for; tells why not, if it has not.
    async fn catch_up(&self, asked: &Asked<'_>, query: &Query) -> Option<Reason> {
        let wanted = query.at_least?;
        let left = asked.deadline.left(self.clock.as_ref()).unwrap_or(Duration::MAX);
        let patience = self.config.at_least_wait.min(left);
        if self.live.reached(wanted, patience).await { None } else { Some(Reason::NotReady) }
    }

    fn admit(&self) -> Result<Admitted<'_>, &'static str> {
        let before = self.in_flight.fetch_add(1, Ordering::AcqRel);
        let place = InFlight(&self.in_flight);
        if before >= self.config.max_in_flight {
            return Err("too many decisions are under way");
        }
        let slot = self.recorder.reserve().map_err(|_| "the audit queue is full")?;
        Ok(Admitted { slot, place })
    }

    /// An overload is a decision too, but not a record of its own: refusals are counted by minute, so that a flood
    /// cannot fill the trail.
    fn overloaded(&self, asked: &Asked<'_>, why: &'static str) -> Decision {
        self.recorder.note_refusal(RefusalKind::Overloaded, asked.caller.id.as_str(), asked.rpc);
        tracing::debug!(client = %asked.caller.id, why, "decision refused: overloaded");
        Walk::refused(Reason::Overloaded, self.live.revision())
    }

    fn panicked<'a>(&'a self, asked: &'a Asked<'a>, query: &'a Query) -> Walk<'a> {
        self.panics.fetch_add(1, Ordering::Relaxed);
        tracing::error!(client = %asked.caller.id, "deciding panicked; the answer is a denial");
        let mut walk = Walk::new(self, asked, query);
        walk.refuse(Reason::Internal, "deciding panicked; see the log");
        walk.conclude();
        walk
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
}

/// Leave to decide: a place among those under way, and a place in the audit queue.
struct Admitted<'a> {
    slot: Slot,
    place: InFlight<'a>,
}

struct InFlight<'a>(&'a AtomicUsize);

impl Drop for InFlight<'_> {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::AcqRel);
    }
}
