//! The audit record of one decision, and how records are asked for.

use std::borrow::Cow;

use serde::{Deserialize, Serialize};

use super::clock::Timestamp;
use super::decision::{Effect, Reason};
use super::id::{ClientId, DecisionId, DomainId};

/// What is kept of one decision. Its byte form is `audit::record`'s.
///
/// A record is written down as soon as it is made, so it borrows its texts from the decision it is of; one that was read
/// owns them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Record<'a> {
    pub id: DecisionId,
    pub at: Timestamp,
    /// The replica that decided.
    pub replica: Cow<'a, str>,
    /// The PEP that asked.
    pub pep: ClientId,
    pub domain: DomainId,
    /// `User::dev/alice`; absent when no principal was proved.
    pub principal: Option<Cow<'a, str>>,
    pub issuer: Option<Cow<'a, str>>,
    /// SHA-256 of the whole token.
    pub token_sha256: Option<[u8; 32]>,
    pub session: Option<Cow<'a, str>>,
    /// `client_id` of the token.
    pub oauth_client: Option<Cow<'a, str>>,
    pub action: Cow<'a, str>,
    /// The endpoint, or `Type::"id"` of a Cedar question's resource.
    pub resource: Cow<'a, str>,
    /// The path as it came; masked before it is kept.
    pub path: Option<Cow<'a, str>>,
    pub source_ip: Option<Cow<'a, str>>,
    /// SHA-256 over the question as it was asked.
    pub payload_sha256: [u8; 32],
    pub effect: Effect,
    pub enforced: bool,
    pub reason: Reason,
    /// Every refusal met on the way, in step order; the first is the reason.
    pub refusals: Vec<Reason>,
    pub policies: Vec<Cow<'a, str>>,
    /// `policy: error` for each policy that failed to evaluate.
    pub policy_errors: Vec<Cow<'a, str>>,
    /// Details for operators: never sent to the caller.
    pub detail: Option<Cow<'a, str>>,
    pub bundle: Option<Cow<'a, str>>,
    pub revision: Cow<'a, str>,
    pub risk_score: u8,
    pub risk_level: u8,
    pub risk_reasons: Vec<Cow<'a, str>>,
    /// How long the decision took, in microseconds.
    pub duration_us: u32,
    pub trace_id: Option<Cow<'a, str>>,
}

/// Which records a reader wants; everything absent means any. Newest first.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct RecordFilter {
    pub principal: Option<String>,
    pub resource: Option<String>,
    pub effect: Option<Effect>,
    pub reason: Option<Reason>,
    pub pep: Option<ClientId>,
    /// Inclusive.
    pub from: Option<Timestamp>,
    /// Exclusive.
    pub until: Option<Timestamp>,
}

/// Calls that never became a decision of their own (unauthenticated callers, overload), counted by minute, so that
/// nobody can fill the trail of others.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Refusals {
    pub replica: String,
    /// The start of the minute.
    pub minute: Timestamp,
    /// `unauthenticated`, `permission_denied` or `overloaded`.
    pub kind: String,
    /// Where the calls came from: an address, or a client id where it is known.
    pub peer: String,
    pub count: u64,
    pub first: Timestamp,
    pub last: Timestamp,
    /// The RPC of the first one.
    pub sample: String,
}

impl Refusals {
    /// One more call, at this moment.
    pub fn add(&mut self, at: Timestamp) {
        self.count = self.count.saturating_add(1);
        self.first = self.first.min(at);
        self.last = self.last.max(at);
    }
}
