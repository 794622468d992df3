//! The recorder: where decisions leave their records without ever waiting.
//!
//! A bounded queue in front of [`Writer`]: a pile for each thread. A place in it is taken before a decision is made, so
//! that it cannot turn out afterwards that there is none; to whom no place is given, the answer is `overloaded`. What waits
//! in it is masked and encoded already, and so bounded: it takes no more than its places times four times
//! [`LARGEST_RECORD`], for memory that grows is up to twice as large as what is in it, and that of records which are being
//! stored is free when all of them are.
//!
//! [`LARGEST_RECORD`]: super::LARGEST_RECORD

use std::fmt;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::sync::{Notify, watch};

use super::config::Config;
use super::mask::Mask;
use super::pile::{Piles, Written};
use super::places::Places;
use super::refusals::{RefusalCounts, RefusalKind};
use super::writer::Writer;
use crate::model::{Clock, Record};
use crate::store::Decisions;

/// Takes records; cheap to clone. They are stored by the [`Writer`] that was made with it.
#[derive(Clone)]
pub struct Recorder {
    shared: Arc<Shared>,
    clock: Arc<dyn Clock>,
    progress: watch::Receiver<Progress>,
}

/// What the recorder's handles and the writer share.
pub(super) struct Shared {
    /// For the records that wait, those being stored and those of decisions under way included.
    pub(super) places: Places,
    pub(super) piles: Piles,
    /// Records handed in since the start.
    pub(super) enqueued: AtomicU64,
    /// Attempts to store that failed and were made again.
    pub(super) retried: AtomicU64,
    refusals: Mutex<RefusalCounts>,
    mask: Mask,
    /// Tells the writer not to wait longer: a batch is full, or somebody wants all stored.
    pub(super) wake: Notify,
    batch: u64,
}

/// What is stored, counted since the start; both only grow.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Progress {
    pub(super) records: u64,
    pub(super) refusals: u64,
}

/// There is no place in the queue: the store is away or too slow, or the process is stopping.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the audit queue has no place left")]
pub struct Full;

/// The writer has ended without storing everything.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the audit writer has stopped")]
pub struct Stopped;

/// How the trail is doing.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Stats {
    /// Records stored since the start.
    pub written: u64,
    /// Attempts to store that failed and were made again.
    pub retried: u64,
    /// Records that wait to be stored.
    pub queued: u64,
    /// Refused calls that are counted and not yet stored.
    pub refusals_queued: u64,
}

impl Recorder {
    /// The recorder, and the writer that has to run for anything to be stored. `replica` names this process.
    pub fn new(
        store: Arc<dyn Decisions + Send + Sync>,
        clock: Arc<dyn Clock>,
        replica: String,
        config: Config,
    ) -> (Self, Writer) {
        let (stored, progress) = watch::channel(Progress::default());
        let shared = Arc::new(Shared {
            places: Places::new(config.queue.get()),
            piles: Piles::default(),
            enqueued: AtomicU64::new(0),
            retried: AtomicU64::new(0),
            refusals: Mutex::new(RefusalCounts::new(replica, config.refusal_peers.get())),
            mask: Mask::new(config.mask.clone()),
            wake: Notify::new(),
            batch: config.batch.get() as u64,
        });
        let writer = Writer::new(store, stored, Arc::clone(&shared), config);
        (Self { shared, clock, progress }, writer)
    }

    /// Takes a place for the record of a decision that is about to be made.
    pub fn reserve(&self) -> Result<Slot<'_>, Full> {
        if self.shared.places.take() {
            return Ok(Slot { shared: &self.shared, is_filled: false });
        }
        // For a moment it looked as if one more place were taken.
        self.shared.note_end();
        Err(Full)
    }

    /// Counts a call that never became a decision. `peer` is an address, or a client id where it is known.
    pub fn note_refusal(&self, kind: RefusalKind, peer: &str, rpc: &str) {
        self.shared.refusals().note(kind, peer, rpc, self.clock.now());
    }

    /// Waits until everything handed in before is stored, however long the store is away.
    pub async fn flush(&self) -> Result<(), Stopped> {
        let records = self.shared.enqueued.load(Ordering::SeqCst);
        let refusals = self.shared.refusals().noted();
        self.shared.wake.notify_one();
        let mut progress = self.progress.clone();
        let all = |stored: &Progress| stored.records >= records && stored.refusals >= refusals;
        progress.wait_for(all).await.map(|_| ()).map_err(|_| Stopped)
    }

    pub fn stats(&self) -> Stats {
        let stored = *self.progress.borrow();
        Stats {
            written: stored.records,
            retried: self.shared.retried.load(Ordering::Relaxed),
            queued: self.shared.enqueued.load(Ordering::SeqCst).saturating_sub(stored.records),
            refusals_queued: self.shared.refusals().noted().saturating_sub(stored.refusals),
        }
    }
}

impl fmt::Debug for Recorder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Recorder").field(&self.stats()).finish()
    }
}

impl Shared {
    /// Whoever had a place is through with it, or had hoped for one. After a stop the writer waits for the last of them.
    fn note_end(&self) {
        if self.places.is_closed() {
            self.wake.notify_one();
        }
    }

    pub(super) fn refusals(&self) -> MutexGuard<'_, RefusalCounts> {
        // Counts stay usable whatever happened to a thread that held them.
        self.refusals.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A place in the queue. Dropped unused, it is free again.
#[must_use = "a slot that is dropped leaves no record"]
pub struct Slot<'a> {
    shared: &'a Shared,
    is_filled: bool,
}

impl Slot<'_> {
    /// Masks, encodes and leaves the record.
    #[cfg(test)]
    pub fn record(self, record: Record<'_>) {
        let written = self.write_down(record);
        self.leave(written);
    }

    /// The record as it will be stored: masked, bounded and encoded.
    pub fn write_down(&self, mut record: Record<'_>) -> Written {
        self.shared.mask.apply(&mut record);
        Written::down(&record)
    }

    /// Leaves what was written down. Cannot fail and never waits.
    pub fn leave(mut self, written: Written) {
        self.is_filled = true;
        // Counted before it is there, so that `flush` waits for it in any case.
        let count = self.shared.enqueued.fetch_add(1, Ordering::SeqCst).wrapping_add(1);
        self.shared.piles.push(written);
        if count.is_multiple_of(self.shared.batch) {
            self.shared.wake.notify_one();
        }
    }
}

impl Drop for Slot<'_> {
    fn drop(&mut self) {
        if !self.is_filled {
            self.shared.places.give_back(1);
        }
        self.shared.note_end();
    }
}

impl fmt::Debug for Slot<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Slot")
    }
}
