//! Step 7: the audit record of a decision, made whatever became of the caller.

use std::borrow::Cow;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::Ordering;
use std::time::Duration;

use super::walk::Walk;
use super::{Asked, Decider, payload};
use crate::audit::{RefusalKind, Slot, Written};
use crate::identity::Wanted;
use crate::model::{Decision, Query, Question, Reason, Record};

/// Sees to it that a query leaves its record, whatever becomes of the caller or of us.
///
/// Dropped before the decision is made (the caller hung up, or its deadline passed while the query waited), it records
/// a denial as `deadline_exceeded`: a caller cannot avoid its record by going away.
pub(super) struct RecordGuard<'a> {
    decider: &'a Decider,
    asked: &'a Asked<'a>,
    query: &'a Query,
    started: Duration,
    done: bool,
}

/// A query that is not decided yet, and what is worth waiting for before it is.
pub(super) struct Wanting<'a> {
    pub guard: RecordGuard<'a>,
    pub wanted: Box<Wanted>,
}

/// A decision and its record.
type Done = (Decision, Written);

impl<'a> RecordGuard<'a> {
    pub fn new(decider: &'a Decider, asked: &'a Asked<'a>, query: &'a Query) -> Self {
        Self { decider, asked, query, started: decider.clock.monotonic(), done: false }
    }

    pub const fn asked(&self) -> &'a Asked<'a> {
        self.asked
    }

    /// Walks the query through its steps and records what it came to, unless there is something to wait for. A panic on
    /// the way is a denial.
    pub fn try_record(mut self, slot: Slot<'_>, late: Option<Reason>) -> Result<Decision, Wanting<'a>> {
        self.done = true;
        match self.within_net(&slot, || self.decider.walk(self.asked, self.query, late, true, |_| {})) {
            Ok((decision, written)) => {
                slot.leave(written);
                Ok(decision)
            }
            Err(wanted) => {
                self.done = false;
                Err(Wanting { guard: self, wanted })
            }
        }
    }

    /// As [`RecordGuard::try_record`], with what is known by now.
    pub fn record(mut self, slot: Slot<'_>, late: Option<Reason>) -> Decision {
        self.done = true;
        self.at_once(slot, || self.decider.walk(self.asked, self.query, late, false, |_| {}))
    }

    /// Writes the record of a walk down and forgets it.
    pub fn discard(mut self, slot: &Slot<'_>, mut walk: Walk<'_>) {
        self.done = true;
        self.conclude(slot, &mut walk);
    }

    /// An overload is a decision too, but not a record of its own: such refusals are counted by minute, so that a
    /// flood cannot fill the trail.
    pub fn overloaded(mut self) -> Decision {
        self.done = true;
        self.decider.refuse(self.asked.caller, self.asked.rpc)
    }

    /// Runs the walk and writes its record down inside a net: what falls is caught, and a simpler walk is recorded instead.
    fn within_net<'w>(&self, slot: &Slot<'_>, walk: impl FnOnce() -> Walk<'w>) -> Result<Done, Box<Wanted>> {
        let walked = catch_unwind(AssertUnwindSafe(|| {
            let mut walk = walk();
            match walk.wanted.take() {
                None => Ok(self.conclude(slot, &mut walk)),
                Some(wanted) => Err(wanted),
            }
        }));
        walked.unwrap_or_else(|_| {
            self.decider.panics.fetch_add(1, Ordering::Relaxed);
            tracing::error!(client = %self.asked.caller.id, "deciding panicked; the answer is a denial");
            Ok(self.fallen(slot))
        })
    }

    /// For walks that are not patient, which want nothing.
    fn at_once<'w>(&self, slot: Slot<'_>, walk: impl FnOnce() -> Walk<'w>) -> Decision {
        let (decision, written) = self.within_net(&slot, walk).unwrap_or_else(|_| self.fallen(&slot));
        slot.leave(written);
        decision
    }

    fn conclude(&self, slot: &Slot<'_>, walk: &mut Walk<'_>) -> Done {
        let decision = walk.decision.take();
        let decision = decision.unwrap_or_else(|| Walk::refused(walk.id, Reason::Internal, walk.revision));
        let written = self.write_down(slot, walk, &decision);
        (decision, written)
    }

    /// A denial with as little work as possible: whatever panicked must not get a second chance to.
    fn fallen(&self, slot: &Slot) -> Done {
        let mut walk = Walk::new(self.decider, self.asked, self.query);
        walk.refuse(Reason::Internal, "deciding panicked; see the log");
        walk.conclude();
        self.conclude(slot, &mut walk)
    }

    /// Who went away, and from what: the walk without its last steps.
    fn abandoned(&self) -> Walk<'a> {
        let mut walk = Walk::new(self.decider, self.asked, self.query);
        walk.refuse(Reason::DeadlineExceeded, "the caller went away before the decision was made");
        walk.locate();
        walk.authenticate();
        walk.conclude();
        walk
    }

    fn write_down(&self, slot: &Slot<'_>, walk: &Walk<'_>, decision: &Decision) -> Written {
        let token = walk.principal.as_deref().and_then(|principal| principal.token.as_ref());
        let (action, resource) = walk.asked_for();
        let path = match &self.query.question {
            Question::Call(call) => Some(call.path.as_str()),
            Question::Cedar(_) | Question::Unreadable(_) => None,
        };
        let errors = walk.evaluation.iter().flat_map(|said| &said.policy_errors);
        let risk_reasons = walk.risk.iter().flat_map(|risk| &risk.reasons);
        let took = self.decider.clock.monotonic().saturating_sub(self.started);
        slot.write_down(Record {
            id: decision.id,
            at: walk.now,
            replica: self.decider.replica.as_str().into(),
            pep: self.asked.caller.id.clone(),
            domain: walk.domain.clone(),
            principal: walk.principal_name(),
            issuer: token.map(|token| token.issuer.as_str().into()),
            token_sha256: token.map(|token| token.sha256),
            session: token.and_then(|token| token.session_id.as_deref()).map(Cow::Borrowed),
            oauth_client: token.and_then(|token| token.client_id.as_deref()).map(Cow::Borrowed),
            action,
            resource,
            path: path.map(Cow::Borrowed),
            source_ip: walk.source_ip().map(|ip| ip.to_string().into()),
            payload_sha256: payload::digest(&self.query.question),
            effect: decision.effect(),
            enforced: decision.enforced,
            reason: decision.reason,
            refusals: walk.refusals.iter().map(|refusal| refusal.reason).collect(),
            policies: decision.policies.iter().map(|policy| policy.as_str().into()).collect(),
            policy_errors: errors.map(|(policy, error)| format!("{policy}: {error}").into()).collect(),
            detail: detail(walk).map(Cow::Owned),
            bundle: walk.bundle().map(|digest| digest.as_str().into()),
            revision: decision.revision.text().into(),
            risk_score: walk.risk.as_ref().map_or(0, |risk| risk.score),
            risk_level: walk.risk.as_ref().map_or(0, |risk| risk.level.number()),
            risk_reasons: risk_reasons.map(|reason| reason.kind.as_str().into()).collect(),
            duration_us: u32::try_from(took.as_micros()).unwrap_or(u32::MAX),
            trace_id: self.query.trace_id.as_deref().map(Cow::Borrowed),
        })
    }
}

/// What operators are told of each refusal.
fn detail(walk: &Walk<'_>) -> Option<String> {
    let refusals = walk.refusals.iter().map(|refusal| refusal.reason.as_str().len() + refusal.detail.len());
    let lengths = refusals.chain(walk.notes.iter().map(String::len));
    // Each with what stands between them.
    let mut lines = String::with_capacity(lengths.map(|length| length + 4).sum());
    for refusal in &walk.refusals {
        add(&mut lines, &[refusal.reason.as_str(), ": ", &refusal.detail]);
    }
    walk.notes.iter().for_each(|note| add(&mut lines, &[note]));
    (!lines.is_empty()).then_some(lines)
}

/// Adds a line of several pieces.
fn add(lines: &mut String, pieces: &[&str]) {
    if !lines.is_empty() {
        lines.push_str("; ");
    }
    pieces.iter().for_each(|piece| lines.push_str(piece));
}

impl Drop for RecordGuard<'_> {
    fn drop(&mut self) {
        if self.done {
            return;
        }
        match self.decider.recorder.reserve() {
            Ok(slot) => {
                self.at_once(slot, || self.abandoned());
            }
            Err(_full) => self.decider.recorder.note_refusal(
                RefusalKind::Overloaded,
                self.asked.caller.id.as_str(),
                self.asked.rpc,
            ),
        }
    }
}
