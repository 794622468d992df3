//! Signals: the contract. Facts about subjects, recorded by sensors and followed by every replica.

use async_trait::async_trait;

use super::StoreError;
use crate::model::signal::Cleared;
use crate::model::{
    ClientId, NewSignal, Page, PageRequest, Revision, Signal, SignalFilter, SignalId, Timestamp,
};

/// What became of one reported signal.
#[derive(Clone, Debug, PartialEq)]
pub struct RecordedSignal {
    pub signal: Signal,
    /// The deduplication key was known and the signal not cleared: the old one was refreshed.
    pub refreshed: bool,
}

#[async_trait]
pub trait Signals {
    /// Keeps a batch, all or none, in one commit. A signal whose `dedup_key` names a live (not cleared) signal of the
    /// same reporter, subject and kind refreshes that one: id and `recorded_at` of the old stay, everything else is taken from
    /// the new. Each is one change of the feed; the revision is the last one's. An empty batch changes nothing.
    async fn record_signals(
        &self,
        signals: &[NewSignal],
        by: &ClientId,
        at: Timestamp,
    ) -> Result<(Vec<RecordedSignal>, Revision), StoreError>;

    async fn get_signal(&self, id: SignalId) -> Result<Option<Signal>, StoreError>;

    /// Newest first, by (`recorded_at`, id).
    async fn list_signals(
        &self,
        filter: &SignalFilter,
        page: &PageRequest,
    ) -> Result<Page<Signal>, StoreError>;

    /// Ends a signal; `None` when there is no such signal. Clearing twice keeps the first and is no new change: the revision is then the current one.
    async fn clear_signal(
        &self,
        id: SignalId,
        cleared: &Cleared,
    ) -> Result<Option<(Signal, Revision)>, StoreError>;

    /// Every signal that is not cleared and was observed after `after` or lives until cleared: a replica's first
    /// load, with the revision it is true at (read in one transaction).
    async fn live_signals(&self, after: Timestamp) -> Result<(Vec<Signal>, Revision), StoreError>;
}

/// The signal that a new one becomes when it is recorded.
pub(super) fn signal_of(new: NewSignal, id: SignalId, by: ClientId, at: Timestamp) -> Signal {
    Signal {
        id,
        subject: new.subject,
        kind: new.kind,
        strength: new.strength,
        confidence: new.confidence,
        life: new.life,
        source: new.source,
        evidence: new.evidence,
        dedup_key: new.dedup_key,
        observed_at: new.observed_at,
        recorded_by: by,
        recorded_at: at,
        cleared: None,
    }
}
