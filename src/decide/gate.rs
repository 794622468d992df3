//! The gate in front of every RPC: lets authenticated callers with a fitting role through, and counts the others.

use std::sync::Arc;

use super::{CallerRefusal, Live, Shown};
use crate::audit::{Recorder, RefusalKind};
use crate::model::{Client, Timestamp};

/// Shared by every listener.
#[derive(Clone)]
pub struct Gate {
    live: Arc<Live>,
    recorder: Recorder,
}

impl Gate {
    pub fn new(live: Arc<Live>, recorder: Recorder) -> Self {
        Self { live, recorder }
    }

    /// See [`Callers::edition`](super::Callers::edition).
    pub fn edition(&self) -> u64 {
        self.live.callers.edition()
    }

    /// The wall clock, by which certificates expire.
    pub fn now(&self) -> Timestamp {
        self.live.now()
    }

    /// Who calls, if they may call this RPC. `peer` is where the call came from, for counting.
    ///
    /// Refused calls are counted by minute and peer instead of being recorded one by one, so that nobody can fill
    /// the trail by knocking.
    pub fn authorize(
        &self,
        shown: Shown<'_>,
        rpc: &str,
        peer: impl FnOnce() -> String,
    ) -> Result<Arc<Client>, CallerRefusal> {
        let authorized = self.live.callers.authorize(shown, rpc, self.now());
        authorized.inspect_err(|refusal| match refusal {
            CallerRefusal::NotPermitted { client } => {
                self.recorder.note_refusal(RefusalKind::PermissionDenied, client.as_str(), rpc);
            }
            CallerRefusal::Missing
            | CallerRefusal::Unknown
            | CallerRefusal::CertificateUnknown
            | CallerRefusal::CertificateExpired
            | CallerRefusal::Contradictory => {
                self.recorder.note_refusal(RefusalKind::Unauthenticated, &peer(), rpc);
            }
        })
    }
}
