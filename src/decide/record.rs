//! Step 7: the audit record of a decision, made whatever became of the caller.

use std::time::Duration;

use super::walk::Walk;
use super::{Asked, Decider, payload};
use crate::audit::Slot;
use crate::model::{Decision, Query, Question, Reason, Record};

/// Holds a place in the audit queue until the decision is recorded.
///
/// Dropped before that (the caller hung up, or its deadline passed while the decision waited), it records a denial
/// as `deadline_exceeded`: a caller cannot avoid its record by going away.
pub(super) struct RecordGuard<'a> {
    decider: &'a Decider,
    asked: &'a Asked<'a>,
    query: &'a Query,
    slot: Option<Slot>,
    started: Duration,
}

impl<'a> RecordGuard<'a> {
    pub fn new(decider: &'a Decider, asked: &'a Asked<'a>, query: &'a Query, slot: Slot) -> Self {
        Self { decider, asked, query, slot: Some(slot), started: decider.clock.monotonic() }
    }

    /// Records what the walk came to, and hands out its decision.
    pub fn record(mut self, mut walk: Walk<'_>) -> Decision {
        let decision = walk.decision.take();
        let decision = decision.unwrap_or_else(|| Walk::refused(Reason::Internal, walk.revision));
        self.enqueue(&walk, &decision);
        decision
    }

    fn enqueue(&mut self, walk: &Walk<'_>, decision: &Decision) {
        if let Some(slot) = self.slot.take() {
            slot.record(self.to_record(walk, decision));
        }
    }

    fn to_record(&self, walk: &Walk<'_>, decision: &Decision) -> Record {
        let principal = walk.principal.as_deref();
        let token = principal.and_then(|principal| principal.token.as_ref());
        let (action, resource) = walk.asked_for();
        let path = match &self.query.question {
            Question::Call(call) => Some(call.path.clone()),
            Question::Cedar(_) | Question::Unreadable(_) => None,
        };
        let errors = walk.evaluation.iter().flat_map(|said| &said.policy_errors);
        let took = self.decider.clock.monotonic().saturating_sub(self.started);
        let risk = decision.risk.as_ref();
        Record {
            id: decision.id,
            at: walk.now,
            replica: self.decider.replica.clone(),
            pep: self.asked.caller.id.clone(),
            domain: walk.domain.clone(),
            principal: principal.map(|principal| principal.id.to_string()),
            issuer: token.map(|token| token.issuer.to_string()),
            token_sha256: token.map(|token| hex::encode(token.sha256)),
            session: token.and_then(|token| token.session_id.clone()),
            oauth_client: token.and_then(|token| token.client_id.clone()),
            action,
            resource,
            path,
            source_ip: walk.source_ip().map(|ip| ip.to_string()),
            payload_sha256: payload::digest(&self.query.question),
            effect: decision.effect(),
            enforced: decision.enforced,
            reason: decision.reason,
            refusals: walk.refusals.iter().map(|refusal| refusal.reason).collect(),
            policies: decision.policies.iter().map(ToString::to_string).collect(),
            policy_errors: errors.map(|(policy, error)| format!("{policy}: {error}")).collect(),
            detail: detail(walk),
            bundle: decision.bundle.map(|digest| digest.to_string()),
            revision: decision.revision.to_string(),
            risk_score: risk.map_or(0, |risk| risk.score),
            risk_level: risk.map_or(0, |risk| risk.level.number()),
            risk_reasons: risk
                .iter()
                .flat_map(|risk| &risk.reasons)
                .map(|reason| reason.kind.clone())
                .collect(),
            duration_us: u32::try_from(took.as_micros()).unwrap_or(u32::MAX),
            trace_id: self.query.trace_id.clone(),
        }
    }
}

/// What operators are told of each refusal.
fn detail(walk: &Walk<'_>) -> Option<String> {
    let lines: Vec<String> = walk
        .refusals
        .iter()
        .map(|refusal| format!("{}: {}", refusal.reason.as_str(), refusal.detail))
        .collect();
    (!lines.is_empty()).then(|| lines.join("; "))
}

impl Drop for RecordGuard<'_> {
    fn drop(&mut self) {
        if self.slot.is_none() {
            return;
        }
        let mut walk = Walk::new(self.decider, self.asked, self.query);
        walk.refuse(Reason::DeadlineExceeded, "the caller went away before the decision was made");
        walk.conclude();
        if let Some(decision) = walk.decision.take() {
            self.enqueue(&walk, &decision);
        }
    }
}
