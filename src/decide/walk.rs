//! One query on its way through the steps: what was found so far, and every refusal met.
//!
//! A refusal does not end the walk. It is kept, later steps run with what is known, and the first one in step order
//! becomes the reason; so a record shows everything that was wrong with a call, and an API in observe mode learns it all.

#[cfg(feature = "bare")]
mod bare;
mod binding;
mod challenge;
mod conclude;
mod others;

use std::borrow::Cow;
use std::net::IpAddr;
use std::sync::Arc;

use arc_swap::Guard;

use super::{Asked, Decider, View};
use crate::identity::{Presented, ProofFault, Wanted};
use crate::inventory::scopes_met;
use crate::model::{
    ApiCall, Assertion, CedarQuestion, Credential, CredentialFault, Decision, DecisionId, DomainId,
    EntityRef, Located, Principal, PrincipalId, Query, Question, Rates, Reason, RequestFault, Revision, Risk,
    Sensitivity, Subject, Timestamp,
};
use crate::policy::{CallInput, DeviceView, Evaluation, QuestionInput, QuestionPrincipal, Snapshot};
use crate::risk::{About, Counted, CountedEndpoint, CountedPrincipal, Freshness};

/// A refusal met on the way, with a detail for operators.
pub(super) struct Refusal {
    pub reason: Reason,
    pub detail: Cow<'static, str>,
}

pub(super) struct Walk<'a> {
    decider: &'a Decider,
    asked: &'a Asked<'a>,
    query: &'a Query,
    view: Guard<Arc<View>>,
    pub id: DecisionId,
    pub now: Timestamp,
    pub revision: Revision,
    pub domain: DomainId,
    pub refusals: Vec<Refusal>,
    pub located: Option<Located>,
    pub principal: Option<Arc<Principal>>,
    /// Who acts for the principal.
    actor: Option<Arc<Principal>>,
    /// The workload at the other end of the client's connection.
    peer: Option<Arc<Principal>>,
    /// What is wrong with the proof of possession, for the challenge.
    proof_fault: Option<ProofFault>,
    /// What was set aside on the way (roles that the issuer may not assert), and who else had a part in the call; for
    /// operators.
    pub notes: Vec<String>,
    pub risk: Option<Risk>,
    rates: Rates,
    pub evaluation: Option<Evaluation>,
    pub decision: Option<Decision>,
    steps: Option<Vec<String>>,
    /// Whether something may still be waited for.
    pub patient: bool,
    /// What the token's issuer may say soon; only for the patient.
    pub wanted: Option<Box<Wanted>>,
}

impl<'a> Walk<'a> {
    /// Step 1: takes the snapshot that all later steps use.
    pub fn new(decider: &'a Decider, asked: &'a Asked<'a>, query: &'a Query) -> Self {
        // The revision first: signals that arrive in between may be newer than it, never older.
        let revision = decider.live.revision();
        let explain = query.explain && asked.caller.grants.explain;
        let now = decider.clock.now();
        Self {
            decider,
            asked,
            query,
            view: decider.live.view(),
            id: DecisionId::at(now),
            now,
            revision,
            domain: DomainId::default(),
            refusals: Vec::new(),
            located: None,
            principal: None,
            actor: None,
            peer: None,
            proof_fault: None,
            notes: Vec::new(),
            risk: None,
            rates: Rates::default(),
            evaluation: None,
            decision: None,
            steps: explain.then(Vec::new),
            patient: false,
            wanted: None,
        }
    }

    pub fn refuse(&mut self, reason: Reason, detail: impl Into<Cow<'static, str>>) {
        let detail = detail.into();
        self.note(|| format!("refused: {}: {detail}", reason.as_str()));
        self.refusals.push(Refusal { reason, detail });
    }

    /// Adds a line to the explanation, if there is to be one.
    fn note(&mut self, line: impl FnOnce() -> String) {
        if let Some(steps) = &mut self.steps {
            steps.push(line());
        }
    }

    /// Step 2: what is called, in which domain, and may this PEP ask about it?
    pub fn locate(&mut self) {
        match &self.query.question {
            Question::Call(call) => self.locate_call(call),
            Question::Cedar(question) => self.locate_question(question),
            Question::Unreadable(why) => {
                self.refuse(Reason::RequestInvalid(RequestFault::Ambiguous), why.clone())
            }
        }
    }

    fn locate_call(&mut self, call: &ApiCall) {
        let most = self.decider.config.max_headers;
        if call.headers.len() > most {
            let detail = format!("{} headers, at most {most} are read", call.headers.len());
            self.refuse(Reason::RequestInvalid(RequestFault::TooLarge), detail);
        }
        let located = match self.decider.inventory.locate(call) {
            Ok(located) => located,
            Err(refusal) => return self.refuse(refusal.reason, refusal.detail),
        };
        self.domain = located.endpoint.api.domain.clone();
        self.note(|| format!("locate: {}", located.endpoint.id));
        if !self.asked.caller.grants.apis.covers(&located.endpoint.api.id) {
            let detail = format!("client is not granted API `{}`", located.endpoint.api.id);
            self.refuse(Reason::CallerNotPermitted, detail);
        }
        self.located = Some(located);
    }

    fn locate_question(&mut self, question: &CedarQuestion) {
        self.domain = question.domain.clone();
        self.note(|| format!("locate: domain {}", question.domain));
        if !self.asked.caller.grants.domains.contains(&question.domain) {
            let detail = format!("client is not granted domain `{}`", question.domain);
            self.refuse(Reason::CallerNotPermitted, detail);
        }
        if question.principal.is_some() && !self.may_assert(Assertion::Principal) {
            self.refuse(Reason::CallerNotPermitted, "client may not assert a principal");
        }
        let most = self.decider.config.max_entities;
        if question.entities.len() > most {
            let detail = format!("{} entities, at most {most} are read", question.entities.len());
            self.refuse(Reason::RequestInvalid(RequestFault::TooLarge), detail);
        }
    }

    fn may_assert(&self, assertion: Assertion) -> bool {
        self.asked.caller.grants.assertions.contains(&assertion)
    }

    /// Step 3: who is calling?
    pub fn authenticate(&mut self) {
        let asserted = matches!(self.query.credential, Credential::Asserted(_));
        if asserted && !self.may_assert(Assertion::Principal) {
            return self.refuse(Reason::CallerNotPermitted, "client may not assert a principal");
        }
        if self.query.certificate.is_forwarded() && !self.may_assert(Assertion::ClientCertificate) {
            return self.refuse(Reason::CallerNotPermitted, "client may not pass on a client certificate");
        }
        if let Some(named) = self.named_principal() {
            return self.take_named(named);
        }
        let target = self.target();
        let Query { credential, certificate, .. } = self.query;
        let presented = Presented { credential, certificate, target: target.as_ref() };
        let examined = self.decider.identity.examine_for(&presented, self.now);
        let known = match examined {
            Ok(known) => known,
            Err(refusal) => {
                self.proof_fault = refusal.proof;
                self.wanted = refusal.wanted.filter(|_| self.patient);
                return self.refuse(refusal.reason, refusal.detail);
            }
        };
        let principal = self.decider.live.directory.complete(known.principal);
        self.note(|| format!("authenticate: {}", principal.id));
        for dropped in known.dropped.iter() {
            self.note(|| format!("authenticate: set aside {dropped}"));
            self.notes.push(format!("set aside: {dropped}"));
        }
        // After the cache of tokens, which knows nothing of it.
        if let Some(revoked) = self.decider.live.revocations.check(&principal) {
            let detail = format!("the {} was revoked: revocation {}", revoked.kind, revoked.by);
            self.refuse(Reason::Revoked, detail);
        }
        if !self.decider.identity.counts_in(&principal, &self.domain) {
            let detail = format!("the token's issuer is not granted domain `{}`", self.domain);
            self.refuse(Reason::CredentialInvalid(CredentialFault::WrongIssuer), detail);
        }
        self.take(principal);
        self.meet_others();
    }

    fn take(&mut self, principal: Arc<Principal>) {
        if !principal.active {
            self.refuse(Reason::PrincipalDisabled, "the directory says inactive");
        }
        self.check_binding(&principal);
        self.principal = Some(principal);
    }

    /// The principal that a Cedar question names itself.
    fn named_principal(&self) -> Option<&'a EntityRef> {
        match &self.query.question {
            Question::Cedar(question) => question.principal.as_ref(),
            Question::Call(_) | Question::Unreadable(_) => None,
        }
    }

    /// A named principal is who the question is about, in every step: one of Deodar's own types has signals, and is
    /// recorded under its own name.
    fn take_named(&mut self, named: &EntityRef) {
        if self.presents_something() {
            let detail = "the question names a principal beside the credential";
            return self.refuse(Reason::RequestInvalid(RequestFault::Ambiguous), detail);
        }
        let Some(kind) = named.entity_type.strip_prefix("api::") else { return };
        match format!("{kind}::{}", named.id).parse::<PrincipalId>() {
            Ok(id) => self.take(self.decider.live.directory.complete(Arc::new(Principal::bare(id)))),
            Err(error) => {
                self.refuse(Reason::RequestInvalid(RequestFault::SchemaMismatch), error.to_string());
            }
        }
    }

    /// Whether there is a credential, of whatever kind.
    fn presents_something(&self) -> bool {
        !matches!(self.query.credential, Credential::None) || !self.query.certificate.is_none()
    }

    /// Step 4: how risky is it, is what we know of it fresh enough, and how many of its kind were there lately?
    pub fn assess(&mut self) {
        self.count();
        let signals = &self.decider.live.signals;
        let freshness = self.decider.live.freshness();
        let own = self.principal.as_deref().map(About::principal);
        let risk =
            signals.assess(own.as_deref().into_iter().chain([&self.surroundings()]), self.now, freshness);
        self.note(|| format!("assess: score {}, level {}", risk.score, risk.level));
        if freshness == Freshness::Dead {
            self.refuse(Reason::SignalsUnavailable, "signals are past the hard bound of staleness");
        } else if risk.stale && self.sensitivity() >= Sensitivity::CONFIDENTIAL {
            self.refuse(Reason::SignalsUnavailable, "signals are stale and the endpoint is sensitive");
        }
        if risk.flags.session_revoked {
            self.refuse(Reason::Revoked, "the session was revoked");
        }
        if risk.flags.token_revoked {
            self.refuse(Reason::Revoked, "the token was revoked");
        }
        if risk.flags.device_lost {
            self.refuse(Reason::Revoked, "the device was reported lost");
        }
        if risk.flags.account_disabled {
            self.refuse(Reason::PrincipalDisabled, "the account was disabled");
        }
        self.risk = Some(risk);
    }

    /// Counts the call, whatever becomes of it: who is refused and tries again is calling all the same.
    fn count(&mut self) {
        let prefix = self.source_ip().and_then(Subject::prefix_of);
        let (principal, endpoint) = match &self.query.question {
            Question::Call(_) => {
                let endpoint = self.located.as_ref().map(|located| &located.endpoint.id);
                (self.counted_principal(None), endpoint.map(CountedEndpoint::Call))
            }
            Question::Cedar(question) => {
                let resource_type = &question.resource.entity_type;
                let endpoint = CountedEndpoint::Question { action: &question.action, resource_type };
                (self.counted_principal(question.principal.as_ref()), Some(endpoint))
            }
            Question::Unreadable(_) => return,
        };
        let counted = Counted { principal, endpoint, prefix: prefix.as_ref() };
        let rates = self.decider.rates.count(&counted, self.now);
        self.rates = rates;
        self.note(|| {
            let [all, here, network] = [rates.principal, rates.principal_endpoint, rates.network]
                .map(|rate| rate.last_minute);
            format!("count: in the last minute {all} by the principal, {here} of this endpoint, {network} by the network")
        });
    }

    /// Whose call it is: proven by a credential, or named by a PEP that may do so. Nobody else, or anyone could use
    /// up what is allowed to another.
    fn counted_principal(&self, named: Option<&'a EntityRef>) -> Option<CountedPrincipal<'_>> {
        if let Some(principal) = self.principal.as_deref() {
            return (!principal.is_anonymous()).then_some(CountedPrincipal::Proven(&principal.id));
        }
        named.filter(|_| self.may_assert(Assertion::Principal)).map(CountedPrincipal::Named)
    }

    /// Missing metadata never opens a door: a Cedar question counts as confidential.
    fn sensitivity(&self) -> Sensitivity {
        self.located.as_ref().map_or(Sensitivity::default(), |located| located.endpoint.sensitivity)
    }

    /// Where the call comes from.
    fn surroundings(&self) -> About {
        About {
            device: self
                .device_id()
                .map(|id| Subject::Device { namespace: self.asked.caller.id.clone(), id: id.to_owned() }),
            prefix: self.source_ip().and_then(Subject::prefix_of),
            ..About::default()
        }
    }

    pub fn source_ip(&self) -> Option<IpAddr> {
        self.query.source_ip.filter(|_| self.may_assert(Assertion::SourceAddress))
    }

    fn device_id(&self) -> Option<&str> {
        let facts = self.query.device.as_ref().filter(|_| self.may_assert(Assertion::Device))?;
        facts.id.as_deref()
    }

    fn device(&self) -> DeviceView<'a> {
        let facts = self.query.device.as_ref().filter(|_| self.may_assert(Assertion::Device));
        DeviceView {
            // Known means seen before in the principal's own history, which is not kept yet: so never.
            known: false,
            id: facts.and_then(|facts| facts.id.as_deref()),
            compliant: facts.and_then(|facts| facts.compliant),
            posture_age_s: facts.and_then(|facts| facts.posture_age_s),
        }
    }

    /// Step 5: what do the policies say?
    pub fn evaluate(&mut self) {
        if self.asked.deadline.left(self.decider.clock.as_ref()).is_none() {
            return self.refuse(Reason::DeadlineExceeded, "no time was left before evaluation");
        }
        let bundle = self.view.bundle(&self.domain).map(|bundle| Arc::clone(&bundle.snapshot));
        let Some(snapshot) = bundle else {
            let detail = format!("domain `{}` has no policies", self.domain);
            return self.refuse(Reason::NotReady, detail);
        };
        let evaluation = match &self.query.question {
            Question::Call(call) => self.evaluate_call(call, &snapshot),
            Question::Cedar(question) => self.evaluate_question(question, &snapshot),
            Question::Unreadable(_) => None,
        };
        let Some(mut evaluation) = evaluation else { return };
        self.decider.count_errors(&evaluation);
        evaluation.reason = self.unless_anonymous(evaluation.reason);
        self.note(|| {
            let policies: Vec<_> = evaluation.policies.iter().map(|policy| policy.as_str()).collect();
            format!("evaluate: {} by [{}]", evaluation.reason.as_str(), policies.join(", "))
        });
        if evaluation.reason != Reason::Allowed {
            let detail = evaluation.fault.clone().map_or(Cow::Borrowed("the policies' answer"), Cow::Owned);
            self.refuse(evaluation.reason, detail);
        }
        self.evaluation = Some(evaluation);
    }

    fn evaluate_call(&self, call: &ApiCall, snapshot: &Snapshot) -> Option<Evaluation> {
        let located = self.located.as_ref()?;
        let principal = self.principal.as_deref().unwrap_or(self.decider.identity.nobody());
        let headers = self.visible_headers(call);
        let unassessed = Risk::default();
        Some(snapshot.evaluate_call(&CallInput {
            principal,
            actor: self.actor.as_deref(),
            peer: self.peer.as_deref(),
            located,
            scopes_met: scopes_met(&located.endpoint, principal),
            risk: self.risk.as_ref().unwrap_or(&unassessed),
            rates: self.rates,
            device: self.device(),
            source_ip: self.source_ip(),
            secure: call.secure,
            headers: &headers,
            metadata: &call.metadata,
            network_known: false,
            now: self.now,
        }))
    }

    /// The headers that the configuration lets policies read.
    fn visible_headers(&self, call: &ApiCall) -> Vec<(String, String)> {
        let visible = self.decider.inventory.forwarded_headers();
        if visible.is_empty() {
            return Vec::new();
        }
        call.headers.iter().filter(|(name, _)| visible.contains(name)).cloned().collect()
    }

    fn evaluate_question(&mut self, question: &CedarQuestion, snapshot: &Snapshot) -> Option<Evaluation> {
        let principal = self.principal.clone();
        let principal = principal.as_deref().unwrap_or(self.decider.identity.nobody());
        let unassessed = Risk::default();
        let input = QuestionInput {
            question,
            principal: match &question.principal {
                // One of Deodar's own types was taken for the principal when it was named.
                Some(named) if self.principal.is_none() => QuestionPrincipal::Named(named),
                _ => QuestionPrincipal::Proven(principal),
            },
            risk: self.risk.as_ref().unwrap_or(&unassessed),
            rates: self.rates,
            device: self.device(),
            network_known: false,
            now: self.now,
        };
        match snapshot.evaluate_question(&input) {
            Ok(evaluation) => Some(evaluation),
            Err(error) => {
                self.refuse(Reason::RequestInvalid(error.fault()), error.to_string());
                None
            }
        }
    }

    /// A caller that presented nothing and is turned away should present something first.
    fn unless_anonymous(&self, reason: Reason) -> Reason {
        let bare = !self.presents_something() && self.named_principal().is_none();
        match reason {
            Reason::ForbiddenByPolicy
            | Reason::NoMatchingPermit
            | Reason::InsufficientScope
            | Reason::StepUpRequired
                if bare =>
            {
                Reason::CredentialMissing
            }
            other => other,
        }
    }
}
