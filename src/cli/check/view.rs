//! A decision as it is printed.

use serde::Serialize;

use crate::api::{pb::decision as pb, plain};
use crate::cli::output::{self, Colour};
use crate::cli::words;

/// The answer with the field names of the protocol.
#[derive(Debug, Serialize)]
pub struct DecisionView {
    decision_id: String,
    effect: &'static str,
    enforced: bool,
    reason: String,
    message: String,
    policy_ids: Vec<String>,
    obligations: Vec<ObligationView>,
    challenge: Option<ChallengeView>,
    retry_after: Option<String>,
    principal: String,
    endpoint: String,
    risk: Option<RiskView>,
    bundle_digest: String,
    revision: String,
    reuse_for: Option<String>,
    explanation: Option<ExplanationView>,
}

#[derive(Debug, Serialize)]
struct ObligationView {
    name: String,
    value: String,
    policy_id: String,
}

#[derive(Debug, Serialize)]
struct ChallengeView {
    www_authenticate: String,
    acr_values: Vec<String>,
    max_age: Option<String>,
    scopes: Vec<String>,
    dpop_nonce: String,
}

#[derive(Debug, Serialize)]
struct RiskView {
    score: u32,
    level: u32,
    confidence: u32,
    reasons: Vec<RiskReasonView>,
    stale: bool,
}

#[derive(Debug, Serialize)]
struct RiskReasonView {
    kind: String,
    points: u32,
    text: String,
}

#[derive(Debug, Serialize)]
struct ExplanationView {
    steps: Vec<String>,
    policy_errors: Vec<PolicyErrorView>,
}

#[derive(Debug, Serialize)]
struct PolicyErrorView {
    policy_id: String,
    error: String,
}

impl DecisionView {
    pub fn is_allow(&self) -> bool {
        self.effect == "allow"
    }

    pub const fn is_explained(&self) -> bool {
        self.explanation.is_some()
    }
}

impl From<pb::Decision> for DecisionView {
    fn from(decision: pb::Decision) -> Self {
        let obligations = decision.obligations.into_iter().map(|one| ObligationView {
            name: one.name,
            value: one.value,
            policy_id: one.policy_id,
        });
        Self {
            decision_id: decision.decision_id,
            effect: plain::effect(decision.effect),
            enforced: decision.enforced,
            reason: plain::reason(decision.reason),
            message: decision.message,
            policy_ids: decision.policy_ids,
            obligations: obligations.collect(),
            challenge: decision.challenge.map(challenge),
            retry_after: plain::span(decision.retry_after).map(words::seconds),
            principal: decision.principal,
            endpoint: decision.endpoint,
            risk: decision.risk.map(risk),
            bundle_digest: decision.bundle_digest,
            revision: decision.revision,
            reuse_for: plain::span(decision.reuse_for).map(words::seconds),
            explanation: decision.explanation.map(explanation),
        }
    }
}

fn challenge(challenge: pb::Challenge) -> ChallengeView {
    ChallengeView {
        www_authenticate: challenge.www_authenticate,
        acr_values: challenge.acr_values,
        max_age: plain::span(challenge.max_age).map(words::seconds),
        scopes: challenge.scopes,
        dpop_nonce: challenge.dpop_nonce,
    }
}

fn risk(risk: pb::Risk) -> RiskView {
    let reasons = risk.reasons.into_iter();
    let reasons = reasons.map(|one| RiskReasonView { kind: one.kind, points: one.points, text: one.text });
    RiskView {
        score: risk.score,
        level: risk.level,
        confidence: risk.confidence,
        reasons: reasons.collect(),
        stale: risk.stale,
    }
}

fn explanation(explanation: pb::Explanation) -> ExplanationView {
    let errors = explanation.policy_errors.into_iter();
    let policy_errors = errors.map(|one| PolicyErrorView { policy_id: one.policy_id, error: one.error });
    ExplanationView { steps: explanation.steps, policy_errors: policy_errors.collect() }
}

/// The decision for people: the verdict, the facts, how it came about.
pub fn human(decision: &DecisionView) -> String {
    let facts = output::fields([
        ("message", decision.message.clone()),
        ("policies", words::commas(&decision.policy_ids)),
        ("obligations", joined(&decision.obligations, obligation_words)),
        (
            "challenge",
            decision.challenge.as_ref().map(|one| one.www_authenticate.clone()).unwrap_or_default(),
        ),
        ("dpop nonce", decision.challenge.as_ref().map(|one| one.dpop_nonce.clone()).unwrap_or_default()),
        ("retry after", decision.retry_after.clone().unwrap_or_default()),
        ("principal", decision.principal.clone()),
        ("endpoint", decision.endpoint.clone()),
        ("risk", decision.risk.as_ref().map(risk_words).unwrap_or_default()),
        ("reusable for", decision.reuse_for.clone().unwrap_or_default()),
        ("revision", decision.revision.clone()),
        ("decision", decision.decision_id.clone()),
    ]);
    let indented = facts.lines().map(|line| format!("  {line}\n")).collect::<String>();
    let explanation = decision.explanation.as_ref().map(explanation_lines).unwrap_or_default();
    format!("{}\n{indented}{explanation}", verdict(decision))
}

fn verdict(decision: &DecisionView) -> String {
    let (word, colour) = match (decision.is_allow(), decision.enforced) {
        (true, _) => ("ALLOW", Colour::Green),
        (false, true) => ("DENY", Colour::Red),
        (false, false) => ("DENY, not enforced", Colour::Yellow),
    };
    format!("{}  {}", colour.paint(word), decision.reason)
}

fn joined<T>(items: &[T], words: fn(&T) -> String) -> String {
    items.iter().map(words).collect::<Vec<_>>().join("; ")
}

fn obligation_words(obligation: &ObligationView) -> String {
    format!("{}: {} ({})", obligation.name, obligation.value, obligation.policy_id)
}

fn risk_words(risk: &RiskView) -> String {
    let level = words::risk_level(risk.level);
    let stale = if risk.stale { ", stale" } else { "" };
    let because = joined(&risk.reasons, |one| format!("{} +{}", one.kind, one.points));
    let because = if because.is_empty() { because } else { format!(": {because}") };
    format!("{} of 100, level {} ({level}){stale}{because}", risk.score, risk.level)
}

fn explanation_lines(explanation: &ExplanationView) -> String {
    let steps = explanation.steps.iter().map(|step| format!("  {}\n", output::printable(step)));
    let errors = explanation.policy_errors.iter().map(|one| {
        let error = output::printable(&one.error);
        format!("  policy {} failed: {error}\n", output::printable(&one.policy_id))
    });
    format!("how it came about\n{}", steps.chain(errors).collect::<String>())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn denied() -> DecisionView {
        DecisionView::from(pb::Decision {
            decision_id: "019".to_owned(),
            effect: pb::Effect::Deny.into(),
            enforced: true,
            reason: pb::Reason::StepUpRequired.into(),
            message: "Authenticate again.".to_owned(),
            policy_ids: vec!["step-up-on-risk".to_owned()],
            principal: "User::dev/alice".to_owned(),
            risk: Some(pb::Risk {
                score: 47,
                level: 2,
                confidence: 90,
                reasons: vec![pb::RiskReason { kind: "new_network".into(), points: 47, text: "x".into() }],
                stale: false,
            }),
            retry_after: Some(plain::from_span(std::time::Duration::from_secs(60))),
            ..pb::Decision::default()
        })
    }

    #[test]
    fn a_denial_is_printed_with_its_reason_first() {
        let text = human(&denied()).replace("\u{1b}[1;31m", "").replace("\u{1b}[0m", "");
        let wanted = "\
DENY  step_up_required
  message      Authenticate again.
  policies     step-up-on-risk
  retry after  60s
  principal    User::dev/alice
  risk         47 of 100, level 2 (medium): new_network +47
  decision     019
";
        assert_eq!(text, wanted);
    }

    #[test]
    fn json_has_the_names_of_the_protocol() {
        let json = serde_json::to_value(denied()).unwrap();
        assert_eq!(json["effect"], "deny");
        assert_eq!(json["reason"], "step_up_required");
        assert_eq!(json["policy_ids"][0], "step-up-on-risk");
        assert_eq!(json["retry_after"], "60s");
        assert_eq!(json["challenge"], serde_json::Value::Null);
    }

    #[test]
    fn an_answer_without_an_effect_is_a_denial() {
        let view = DecisionView::from(pb::Decision::default());
        assert!(!view.is_allow());
        assert_eq!(view.effect, "deny");
    }
}
