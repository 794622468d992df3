//! Signals: recording, listing and clearing them.

use super::{ManageError, Management, reason};
use crate::model::signal::Cleared;
use crate::model::{
    Client, NewSignal, Page, PageRequest, Revision, Signal, SignalFilter, SignalId, SignalLife, Subject,
    Timestamp,
};

/// A signal as reported: what is absent is filled in from its kind.
#[derive(Clone, Debug)]
pub struct ReportedSignal {
    pub subject: Subject,
    pub kind: String,
    pub strength: Option<f64>,
    pub confidence: Option<f64>,
    pub life: Option<SignalLife>,
    pub source: String,
    pub evidence: String,
    pub dedup_key: Option<String>,
    pub observed_at: Option<Timestamp>,
}

impl Management {
    /// Records signals, all or none.
    pub async fn record_signals(
        &self,
        reported: Vec<ReportedSignal>,
        by: &Client,
    ) -> Result<(Vec<Signal>, Revision), ManageError> {
        const MOST: usize = 1_000;
        if reported.is_empty() {
            return Err(ManageError::invalid("signals", "give at least one signal"));
        }
        if reported.len() > MOST {
            let why = format!("{} signals at once; at most {MOST} are taken", reported.len());
            return Err(ManageError::invalid("signals", why));
        }
        let now = self.clock.now();
        let numbered = reported.into_iter().enumerate();
        let signals = numbered
            .map(|(index, signal)| self.check_signal(index, signal, now))
            .collect::<Result<Vec<_>, _>>()?;
        let (recorded, revision) = self.store.record_signals(&signals, &by.id, now).await?;
        let signals = recorded.into_iter().map(|recorded| recorded.signal).collect();
        Ok((signals, self.settle(revision).await))
    }

    fn check_signal(
        &self,
        index: usize,
        reported: ReportedSignal,
        now: Timestamp,
    ) -> Result<NewSignal, ManageError> {
        let life = reported.life.or_else(|| self.live.signals.default_life(&reported.kind));
        let signal = NewSignal {
            subject: reported.subject,
            // A kind without a default life is an unknown one, and refused below with the kinds that exist.
            life: life.unwrap_or(SignalLife::UntilCleared),
            kind: reported.kind,
            strength: reported.strength.unwrap_or(1.0),
            confidence: reported.confidence.unwrap_or(1.0),
            source: reported.source,
            evidence: reported.evidence,
            dedup_key: reported.dedup_key,
            observed_at: reported.observed_at.unwrap_or(now),
        };
        match self.live.signals.check(&signal, now) {
            Ok(()) => Ok(signal),
            Err(fault) => Err(ManageError::invalid("signals", format!("signal {index}: {fault}"))),
        }
    }

    pub async fn list_signals(
        &self,
        filter: &SignalFilter,
        page: &PageRequest,
    ) -> Result<Page<Signal>, ManageError> {
        Ok(self.store.list_signals(filter, page).await?)
    }

    /// Ends a signal, with the reason kept beside it: not empty, bounded, without control characters.
    pub async fn clear_signal(
        &self,
        id: SignalId,
        why: String,
        by: &Client,
    ) -> Result<(Signal, Revision), ManageError> {
        reason::check(&why, "say why the signal no longer counts")?;
        let cleared = Cleared { by: by.id.clone(), at: self.clock.now(), why };
        let ended = self.store.clear_signal(id, &cleared).await?;
        let (signal, revision) =
            ended.ok_or_else(|| ManageError::NotFound { what: "signal", name: id.to_string() })?;
        tracing::info!(signal = %signal.id, by = %by.id, "signal cleared");
        Ok((signal, self.settle(revision).await))
    }
}
