//! The writer: takes records from the queue and stores them in batches.
//!
//! While the store is away it keeps what it has and tries again; the queue behind it fills, and then decisions are
//! denied. Nothing is given up before the process ends.

use std::mem;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

use super::config::Config;
use super::pile::Pile;
use super::recorder::{Progress, Shared};
use crate::model::Refusals;
use crate::store::{Decisions, StoreError, StoredRecord};

/// The first pause after a failure; it doubles up to the last.
const FIRST_PAUSE: Duration = Duration::from_millis(50);
const LAST_PAUSE: Duration = Duration::from_secs(5);

/// Stores what a [`Recorder`](super::Recorder) takes, for as long as [`Writer::run`] runs.
pub struct Writer {
    store: Arc<dyn Decisions + Send + Sync>,
    stored: watch::Sender<Progress>,
    shared: Arc<Shared>,
    config: Config,
    /// Taken from the queue, not yet all stored.
    taken: Vec<Pile>,
    /// How many records of those are stored.
    done: usize,
    /// Stored, to be filled again.
    emptied: Vec<Pile>,
    /// Taken from the counts, not yet stored, and how many calls had been noted when they were taken.
    refusals: (Vec<Refusals>, u64),
}

/// The stop came while the store was away.
struct Interrupted;

impl Writer {
    pub(super) fn new(
        store: Arc<dyn Decisions + Send + Sync>,
        stored: watch::Sender<Progress>,
        shared: Arc<Shared>,
        config: Config,
    ) -> Self {
        let (taken, emptied) = (Vec::new(), Vec::new());
        Self { store, stored, shared, config, taken, done: 0, emptied, refusals: (Vec::new(), 0) }
    }

    /// Stores until `stop`; then no more places are given, and what is left is stored within the drain timeout.
    pub async fn run(mut self, stop: CancellationToken) {
        while !stop.is_cancelled() {
            tokio::select! {
                () = stop.cancelled() => {}
                () = self.shared.wake.notified() => {}
                () = tokio::time::sleep(self.config.flush_interval) => {}
            }
            // What a stop interrupts is kept, and stored by `drain`.
            let _ = self.write_all(&stop).await;
        }
        self.shared.places.close();
        if tokio::time::timeout(self.config.drain_timeout, self.drain()).await.is_err() {
            let enqueued = self.shared.enqueued.load(Ordering::SeqCst);
            let lost = enqueued.saturating_sub(self.stored.borrow().records);
            tracing::error!(
                audit.lost = lost,
                "the process stops with audit records that could not be stored"
            );
        }
    }

    /// Stores everything, records of decisions that still hold a place included.
    async fn drain(&mut self) {
        let never = CancellationToken::new();
        loop {
            let _ = self.write_all(&never).await;
            if self.shared.places.are_all_free() {
                break;
            }
            self.shared.wake.notified().await;
        }
    }

    /// Stores what is there now, in batches. What comes while the last of them is stored waits for others again: to store
    /// it at once would make batches of a few records, each as dear as a large one.
    async fn write_all(&mut self, stop: &CancellationToken) -> Result<(), Interrupted> {
        loop {
            // What an interruption left over says nothing of what is there now.
            let is_rest = !self.taken.is_empty();
            let is_full = self.write_taken(stop).await? >= self.config.batch.get();
            if !is_rest && !is_full {
                return self.write_refusals(stop).await;
            }
        }
    }

    /// Stores what was taken from the queue before, or else what is there now, and tells how many records that were.
    async fn write_taken(&mut self, stop: &CancellationToken) -> Result<usize, Interrupted> {
        if self.taken.is_empty() {
            self.taken = self.shared.piles.take(&mut self.emptied);
            self.done = 0;
        }
        let records: Vec<StoredRecord<'_>> =
            self.taken.iter().flat_map(Pile::records).skip(self.done).collect();
        for batch in records.chunks(self.config.batch.get()) {
            let mut trouble = Trouble::default();
            while let Err(error) = self.store.append_records(batch).await {
                trouble.wait(&error, &self.shared, stop).await?;
            }
            trouble.over();
            self.done = self.done.saturating_add(batch.len());
            self.shared.places.give_back(batch.len());
            self.stored
                .send_modify(|stored| stored.records = stored.records.saturating_add(batch.len() as u64));
        }
        let count = records.len();
        self.taken.iter_mut().for_each(Pile::clear);
        self.emptied.append(&mut self.taken);
        Ok(count)
    }

    /// A batch of counts whose storing failed without a clear answer may be counted twice; records never are.
    async fn write_refusals(&mut self, stop: &CancellationToken) -> Result<(), Interrupted> {
        if self.refusals.0.is_empty() {
            let mut counts = self.shared.refusals();
            self.refusals = (counts.take(), counts.noted());
        }
        if self.refusals.0.is_empty() {
            return Ok(());
        }
        let mut trouble = Trouble::default();
        while let Err(error) = self.store.add_refusals(&self.refusals.0).await {
            trouble.wait(&error, &self.shared, stop).await?;
        }
        trouble.over();
        let (_, noted) = mem::take(&mut self.refusals);
        self.stored.send_modify(|stored| stored.refusals = noted);
        Ok(())
    }
}

/// Without it nothing is stored, so nothing may be decided either.
impl Drop for Writer {
    fn drop(&mut self) {
        self.shared.places.close();
    }
}

/// A row of failures of the store: said once when it begins and once when it is over.
#[derive(Default)]
struct Trouble {
    pause: Option<Duration>,
}

impl Trouble {
    async fn wait(
        &mut self,
        error: &StoreError,
        shared: &Shared,
        stop: &CancellationToken,
    ) -> Result<(), Interrupted> {
        shared.retried.fetch_add(1, Ordering::Relaxed);
        let pause = match self.pause {
            None => {
                let error: &dyn std::error::Error = error;
                tracing::error!(error, "audit records cannot be stored; they are kept and tried again");
                FIRST_PAUSE
            }
            Some(pause) => LAST_PAUSE.min(pause.saturating_mul(2)),
        };
        self.pause = Some(pause);
        tokio::select! {
            () = stop.cancelled() => Err(Interrupted),
            () = tokio::time::sleep(pause) => Ok(()),
        }
    }

    fn over(&self) {
        if self.pause.is_some() {
            tracing::info!("audit records are stored again");
        }
    }
}

#[cfg(test)]
mod tests;
