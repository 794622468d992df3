//! Step 6, and what step 7 asks of a walk: one decision with one reason, and the names that its record needs.

use std::borrow::Cow;
use std::time::Duration;

use super::super::message;
use super::Walk;
use crate::model::{
    BundleDigest, Credential, Decision, DecisionId, Effect, EntityRef, Explanation, Question, Reason,
    Revision,
};

impl Walk<'_> {
    /// Step 6: one decision, with one reason.
    pub fn conclude(&mut self) {
        // Neither a refusal nor an evaluation cannot happen; if it does, it must not let anybody in.
        let reason = self.decision_reason().unwrap_or(Reason::Internal);
        let mut decision = Self::refused(self.id, reason, self.revision);
        decision.enforced = self.enforced(reason);
        if reason == Reason::CallerNotPermitted {
            // What a PEP may not ask it must not learn from the refusal either. The record has it all.
            self.decision = Some(decision);
            return;
        }
        decision.challenge = self.challenge(reason);
        decision.principal = self.principal.as_ref().map(|principal| principal.id.clone());
        decision.endpoint = self.located.as_ref().map(|located| located.endpoint.id.clone());
        decision.bundle = self.bundle().cloned();
        decision.risk.clone_from(&self.risk);
        decision.reuse_for = self.reuse_for(reason);
        if let Some(evaluation) = self.evaluation.as_mut().filter(|said| said.reason == reason) {
            decision.policies = std::mem::take(&mut evaluation.policies);
            decision.obligations = std::mem::take(&mut evaluation.obligations);
            decision.retry_after = evaluation.retry_after;
            if let Some(message) = &evaluation.message {
                decision.message = Cow::Owned(message.as_ref().to_owned());
            }
        }
        decision.explanation = self.steps.take().map(|steps| Explanation {
            steps,
            policy_errors: self
                .evaluation
                .as_ref()
                .map(|said| said.policy_errors.clone())
                .unwrap_or_default(),
        });
        self.decision = Some(decision);
    }

    /// A decision of which nothing but the reason is known.
    pub fn refused(id: DecisionId, reason: Reason, revision: Revision) -> Decision {
        Decision {
            id,
            reason,
            enforced: true,
            message: message(reason).into(),
            policies: Vec::new(),
            obligations: Vec::new(),
            challenge: None,
            retry_after: None,
            principal: None,
            endpoint: None,
            risk: None,
            bundle: None,
            revision,
            reuse_for: Duration::ZERO,
            explanation: None,
        }
    }

    fn enforced(&self, reason: Reason) -> bool {
        let observed =
            self.located.as_ref().is_some_and(|located| !located.endpoint.api.mode.enforces(self.now));
        reason.effect() == Effect::Allow || !observed
    }

    /// Zero unless the API and the PEP's grant allow reuse, and zero when the answer rests on risk above 0 or on a
    /// parameter of the call. Never longer than the token lives, and zero where each call needs a proof of its own.
    fn reuse_for(&self, reason: Reason) -> Duration {
        let Some(located) = &self.located else { return Duration::ZERO };
        let proved_each_time =
            matches!(self.query.credential, Credential::Dpop { .. }) || !self.query.certificate.is_none();
        let settled =
            matches!(reason, Reason::Allowed | Reason::ForbiddenByPolicy | Reason::NoMatchingPermit);
        let riskless = self.risk.as_ref().is_some_and(|risk| risk.score == 0 && !risk.stale);
        let unparametrised = located.path_params.is_empty() && located.query_params.is_empty();
        let view = self.view.bundle(&self.domain);
        let rateless = view.is_some_and(|bundle| !bundle.snapshot.reads_rates());
        if proved_each_time || !(settled && riskless && unparametrised && rateless) {
            return Duration::ZERO;
        }
        let token = self.principal.as_ref().and_then(|principal| principal.token.as_ref());
        let token_left = token.map_or(Duration::MAX, |token| token.expires_at.since(self.now));
        let bound = located.endpoint.api.reuse.min(self.asked.caller.grants.max_reuse);
        bound.min(token_left)
    }

    /// The principal's name, as the record has it: proved, or named by the question.
    pub fn principal_name(&self) -> Option<Cow<'_, str>> {
        let proved = self.principal.as_ref().map(|principal| Cow::Borrowed(principal.id.as_str()));
        // One of Deodar's own types was taken for the principal when it was named, or refused.
        let foreign = self.named_principal().filter(|named| !named.entity_type.starts_with("api::"));
        proved.or_else(|| foreign.map(|named| Cow::Owned(entity_name(named))))
    }

    /// The first refusal met, or else what the policies say.
    fn decision_reason(&self) -> Option<Reason> {
        let policies_say = self.evaluation.as_ref().map(|evaluation| evaluation.reason);
        self.refusals.first().map(|refusal| refusal.reason).or(policies_say)
    }

    pub fn bundle(&self) -> Option<&BundleDigest> {
        self.view.bundle(&self.domain).map(|bundle| bundle.snapshot.digest())
    }

    /// The action and the resource, as the record names them.
    pub fn asked_for(&self) -> (Cow<'_, str>, Cow<'_, str>) {
        match (&self.query.question, &self.located) {
            (Question::Call(_), Some(located)) => {
                (located.endpoint.action.as_str().into(), located.endpoint.id.as_str().into())
            }
            (Question::Call(call), None) => (call.method.as_str().into(), "".into()),
            (Question::Unreadable(_), _) => ("".into(), "".into()),
            (Question::Cedar(question), _) => {
                (entity_name(&question.action).into(), entity_name(&question.resource).into())
            }
        }
    }
}

/// `Shop::Invoice::"i-42"`.
fn entity_name(entity: &EntityRef) -> String {
    format!("{}::{:?}", entity.entity_type, entity.id)
}
