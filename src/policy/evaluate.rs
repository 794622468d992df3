//! The rules that make one answer of what policies say.
//!
//! Cedar skips a policy that fails; a skipped forbid would open the door. So here an error in any forbid denies,
//! and an error in a permit grants nothing. The request itself is built in `call` and `question`.

use std::sync::Arc;
use std::time::Duration;

use cedar_policy::{Entities, Request};
use cedar_policy_core::evaluator::Evaluator;
use cedar_policy_core::extensions::Extensions;

use super::candidates::CandidateSet;
use super::condition::{Condition, Constants};
use super::entities::Unbuildable;
use super::obligations::Remedy;
use super::snapshot::{PolicyFacts, Snapshot};
use crate::model::{
    Demand, Obligation, PolicyId, Reason, Scheme, SecurityAlternative, TokenFacts, TokenKind,
};

/// What the policies say about one request.
#[derive(Clone, Debug, PartialEq)]
pub struct Evaluation {
    pub reason: Reason,
    /// The determining policies, sorted: satisfied permits, satisfied forbids, or forbids that failed.
    pub policies: Vec<PolicyId>,
    /// Of the determining policies, in their order.
    pub obligations: Vec<Obligation>,
    /// With [`Reason::StepUpRequired`] and [`Reason::InsufficientScope`].
    pub demand: Option<Demand>,
    /// With [`Reason::RateLimited`].
    pub retry_after: Option<Duration>,
    /// The `@reason` of the first determining policy that has one, fit for a header.
    pub message: Option<Arc<str>>,
    /// Every policy that failed to evaluate, sorted, with Cedar's words: for operators, not for callers.
    pub policy_errors: Vec<(PolicyId, String)>,
    /// With [`Reason::Internal`]: why the request could not even be put to the policies.
    pub fault: Option<String>,
}

impl Evaluation {
    fn deny(reason: Reason) -> Self {
        Self {
            reason,
            policies: Vec::new(),
            obligations: Vec::new(),
            demand: None,
            retry_after: None,
            message: None,
            policy_errors: Vec::new(),
            fault: None,
        }
    }

    /// The answer when the request cannot be built.
    pub(super) fn unbuildable(why: &Unbuildable) -> Self {
        Self { fault: Some(why.to_string()), ..Self::deny(Reason::Internal) }
    }
}

/// What the caller could still do about a deny.
#[derive(Clone, Copy, Debug)]
pub(super) struct Standing<'a> {
    pub token: Option<&'a TokenFacts>,
    pub scopes_met: bool,
    pub security: Option<&'a [SecurityAlternative]>,
}

impl Standing<'_> {
    /// A person can authenticate again; a client that acts for itself cannot, nor can a workload.
    fn can_step_up(&self) -> bool {
        self.token.is_some_and(|token| token.kind == TokenKind::User)
    }

    /// The scopes of the first declared alternative that a token can meet.
    fn wanted_scopes(&self) -> Vec<String> {
        let mut alternatives = self.security.unwrap_or_default().iter();
        alternatives.find_map(scopes_of).unwrap_or_default()
    }
}

fn scopes_of(alternative: &SecurityAlternative) -> Option<Vec<String>> {
    let mut wanted = Vec::new();
    for scheme in &alternative.schemes {
        match scheme {
            Scheme::Token { scopes } | Scheme::Bearer { scopes } => wanted.extend(scopes.iter().cloned()),
            Scheme::MutualTls | Scheme::Unverifiable { .. } => return None,
        }
    }
    Some(wanted)
}

/// What one half of the policies said, in the order of their ids.
#[derive(Default)]
struct Half<'a> {
    satisfied: Vec<&'a PolicyFacts>,
    failed: Vec<(&'a PolicyFacts, String)>,
}

impl Snapshot {
    /// Judges a request that comes with a context and entities of its own, already checked.
    pub(super) fn judge(&self, request: &Request, entities: &Entities, standing: Standing<'_>) -> Evaluation {
        let candidates = self.candidates.for_request(request.as_ref(), entities.as_ref());
        let request = request.as_ref().clone();
        let evaluator = Evaluator::new(request, entities.as_ref(), Extensions::all_available());
        // Such a context holds nothing that was put there for policies.
        judge(&candidates, |condition| condition.evaluate(&evaluator, Constants::Absent), standing)
    }
}

/// Asks whether each candidate holds and applies the rules.
pub(super) fn judge(
    candidates: &CandidateSet,
    holds: impl Fn(&Condition) -> Result<bool, String>,
    standing: Standing<'_>,
) -> Evaluation {
    let forbids = ask(&candidates.forbids, &holds);
    let permits = ask(&candidates.permits, &holds);
    let mut evaluation = if !forbids.failed.is_empty() {
        // Nobody knows whether these would have denied.
        let failed: Vec<&PolicyFacts> = forbids.failed.iter().map(|(facts, _)| *facts).collect();
        determined(Reason::PolicyError, &failed)
    } else if !forbids.satisfied.is_empty() {
        forbidden(&forbids.satisfied, !permits.satisfied.is_empty(), standing)
    } else if !permits.satisfied.is_empty() {
        determined(Reason::Allowed, &permits.satisfied)
    } else {
        Evaluation::deny(Reason::NoMatchingPermit)
    };
    let failed = forbids.failed.into_iter().chain(permits.failed);
    evaluation.policy_errors = failed.map(|(facts, why)| (facts.id.clone(), why)).collect();
    evaluation.policy_errors.sort();
    evaluation
}

fn ask(half: &[Arc<Condition>], holds: impl Fn(&Condition) -> Result<bool, String>) -> Half<'_> {
    let mut said = Half::default();
    for condition in half {
        match holds(condition) {
            Ok(true) => said.satisfied.push(&condition.facts),
            Ok(false) => {}
            Err(why) => said.failed.push((&condition.facts, why)),
        }
    }
    said
}

/// An answer with its determining policies and what they carry.
fn determined(reason: Reason, determining: &[&PolicyFacts]) -> Evaluation {
    Evaluation {
        policies: determining.iter().map(|facts| facts.id.clone()).collect(),
        obligations: determining.iter().flat_map(|facts| facts.terms.obligations.clone()).collect(),
        message: determining.iter().find_map(|facts| facts.terms.reason.clone()),
        ..Evaluation::deny(reason)
    }
}

fn forbidden(satisfied: &[&PolicyFacts], permitted: bool, standing: Standing<'_>) -> Evaluation {
    let remedies: Vec<Option<&Remedy>> = satisfied.iter().map(|facts| facts.terms.remedy.as_ref()).collect();
    let reason = reason_to_deny(&remedies, permitted, standing);
    let mut evaluation = determined(reason, satisfied);
    let remedies = || remedies.iter().flatten().copied();
    match reason {
        Reason::StepUpRequired => evaluation.demand = Some(step_up(remedies())),
        Reason::RateLimited => evaluation.retry_after = retry_after(remedies()),
        Reason::InsufficientScope => {
            let scopes = standing.wanted_scopes();
            evaluation.demand = Some(Demand::Scopes(scopes));
        }
        _ => {}
    }
    evaluation
}

/// A deny is worth more than "no" only when doing the one thing would really help: every satisfied forbid must be
/// lifted by it, and what remains must allow.
fn reason_to_deny(remedies: &[Option<&Remedy>], permitted: bool, standing: Standing<'_>) -> Reason {
    let every = |is: fn(&Remedy) -> bool| remedies.iter().all(|remedy| remedy.is_some_and(is));
    if permitted && standing.can_step_up() && every(|remedy| matches!(remedy, Remedy::StepUp { .. })) {
        Reason::StepUpRequired
    } else if permitted && every(|remedy| matches!(remedy, Remedy::RetryAfter(_))) {
        Reason::RateLimited
    } else if !standing.scopes_met && every(|remedy| matches!(remedy, Remedy::InsufficientScope)) {
        // No permit is needed: permits usually ask for the scopes too.
        Reason::InsufficientScope
    } else {
        Reason::ForbiddenByPolicy
    }
}

/// All wanted acr values, each once, and the strictest age.
fn step_up<'a>(remedies: impl Iterator<Item = &'a Remedy>) -> Demand {
    let mut values: Vec<String> = Vec::new();
    let mut strictest: Option<Duration> = None;
    for remedy in remedies {
        let Remedy::StepUp { acr_values, max_age } = remedy else { continue };
        for value in acr_values.iter().filter(|value| !values.contains(value)).cloned().collect::<Vec<_>>() {
            values.push(value);
        }
        strictest = strictest.into_iter().chain(*max_age).min();
    }
    values.sort();
    Demand::StepUp { acr_values: values, max_age: strictest }
}

/// The longest wait: before it is over some forbid would still stand.
fn retry_after<'a>(remedies: impl Iterator<Item = &'a Remedy>) -> Option<Duration> {
    remedies
        .filter_map(|remedy| match remedy {
            Remedy::RetryAfter(wait) => Some(*wait),
            Remedy::StepUp { .. } | Remedy::InsufficientScope => None,
        })
        .max()
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use proptest::prelude::*;

    use super::super::support::{Call, snapshot};
    use super::*;

    const PERMIT: &str = "@id(\"p\") permit(principal, action, resource);";
    /// Fails for level 2 and above: the product does not fit a Long.
    const FAILING: &str = "when { context.risk.level * 9223372036854775807 > 1 }";

    fn forbid(id: &str, annotations: &str) -> String {
        format!("@id(\"{id}\") {annotations} forbid(principal, action, resource);")
    }

    fn judge(call: &Call, policies: &[&str]) -> Evaluation {
        call.evaluate(&snapshot(&policies.join("\n")))
    }

    fn ids(evaluation: &Evaluation) -> Vec<&str> {
        evaluation.policies.iter().map(PolicyId::as_str).collect()
    }

    #[test]
    fn nothing_is_allowed_without_a_permit() {
        let evaluation = judge(&Call::default(), &[]);
        assert_eq!(evaluation.reason, Reason::NoMatchingPermit);
        assert!(evaluation.policies.is_empty());
    }

    #[test]
    fn a_satisfied_permit_allows_and_is_named() {
        let second = "@id(\"a\") @limit(\"10\") @reason(\"fine\") permit(principal, action, resource);";
        let evaluation = judge(&Call::default(), &[PERMIT, second]);
        assert_eq!((evaluation.reason, ids(&evaluation)), (Reason::Allowed, vec!["a", "p"]));
        assert_eq!((evaluation.obligations[0].name.as_str(), evaluation.obligations.len()), ("limit", 1));
        assert_eq!(evaluation.message.as_deref(), Some("fine"));
    }

    #[test]
    fn a_forbid_beats_every_permit() {
        let evaluation = judge(&Call::default(), &[PERMIT, &forbid("f", "@log(\"warn\")")]);
        assert_eq!((evaluation.reason, ids(&evaluation)), (Reason::ForbiddenByPolicy, vec!["f"]));
        assert_eq!(evaluation.obligations[0].name, "log");
    }

    #[test]
    fn a_failing_forbid_denies_even_beside_satisfied_ones() {
        let failing =
            format!("@id(\"broken\") forbid(principal, action, resource is api::Endpoint) {FAILING};");
        let risky = Call { level: 2, ..Call::default() };
        let evaluation = judge(&risky, &[PERMIT, &failing, &forbid("f", "")]);
        assert_eq!((evaluation.reason, ids(&evaluation)), (Reason::PolicyError, vec!["broken"]));
        assert!(evaluation.policy_errors[0].1.contains("overflow"), "{evaluation:?}");
        let calm = judge(&Call::default(), &[PERMIT, &failing]);
        assert_eq!(calm.reason, Reason::Allowed);
    }

    #[test]
    fn a_failing_permit_grants_nothing_and_harms_no_other() {
        let failing =
            format!("@id(\"broken\") permit(principal, action, resource is api::Endpoint) {FAILING};");
        let risky = Call { level: 2, ..Call::default() };
        let alone = judge(&risky, &[&failing]);
        assert_eq!((alone.reason, alone.policy_errors.len()), (Reason::NoMatchingPermit, 1));
        let beside = judge(&risky, &[&failing, PERMIT]);
        assert_eq!((beside.reason, ids(&beside)), (Reason::Allowed, vec!["p"]));
        assert_eq!(beside.policy_errors[0].0.as_str(), "broken");
    }

    #[test]
    fn step_up_joins_values_and_takes_the_strictest_age() {
        let one = forbid("one", "@step_up(\"urn:b urn:a\") @max_age(\"300\")");
        let two = forbid("two", "@step_up(\"urn:a\") @max_age(\"60\")");
        let evaluation = judge(&Call::default(), &[PERMIT, &one, &two]);
        assert_eq!(evaluation.reason, Reason::StepUpRequired);
        let acr_values = vec!["urn:a".to_owned(), "urn:b".to_owned()];
        let max_age = Some(Duration::from_secs(60));
        assert_eq!(evaluation.demand, Some(Demand::StepUp { acr_values, max_age }));
    }

    #[test]
    fn step_up_is_offered_only_where_it_would_help() {
        let step_up = forbid("s", "@step_up(\"urn:a\")");
        let reason = |call: &Call, policies: &[&str]| judge(call, policies).reason;
        assert_eq!(reason(&Call::default(), &[&step_up]), Reason::ForbiddenByPolicy, "nothing would permit");
        let plain = forbid("f", "");
        assert_eq!(reason(&Call::default(), &[PERMIT, &step_up, &plain]), Reason::ForbiddenByPolicy);
        let client = Call { token: Some(TokenKind::Client), ..Call::default() };
        assert_eq!(reason(&client, &[PERMIT, &step_up]), Reason::ForbiddenByPolicy);
        let tokenless = Call { token: None, ..Call::default() };
        assert_eq!(reason(&tokenless, &[PERMIT, &step_up]), Reason::ForbiddenByPolicy);
    }

    #[test]
    fn a_rate_limit_says_the_longest_wait() {
        let (short, long) = (forbid("a", "@retry_after(\"5\")"), forbid("b", "@retry_after(\"60\")"));
        let evaluation = judge(&Call::default(), &[PERMIT, &short, &long]);
        assert_eq!(evaluation.reason, Reason::RateLimited);
        assert_eq!(evaluation.retry_after, Some(Duration::from_secs(60)));
        assert_eq!(judge(&Call::default(), &[&short]).reason, Reason::ForbiddenByPolicy);
    }

    #[test]
    fn different_remedies_together_are_a_plain_deny() {
        let (wait, step_up) = (forbid("a", "@retry_after(\"5\")"), forbid("b", "@step_up(\"urn:a\")"));
        let evaluation = judge(&Call::default(), &[PERMIT, &wait, &step_up]);
        assert_eq!(evaluation.reason, Reason::ForbiddenByPolicy);
        assert_eq!((evaluation.demand, evaluation.retry_after), (None, None));
    }

    #[test]
    fn insufficient_scope_needs_unmet_scopes_but_no_permit() {
        let scopes = forbid("s", "@insufficient_scope");
        let unmet = Call { scopes_met: false, scopes: &["orders:read"], ..Call::default() };
        let evaluation = judge(&unmet, &[&scopes]);
        assert_eq!(evaluation.reason, Reason::InsufficientScope);
        let expected = Demand::Scopes(vec!["orders:read".to_owned()]);
        assert_eq!(evaluation.demand, Some(expected));
        assert_eq!(judge(&Call::default(), &[PERMIT, &scopes]).reason, Reason::ForbiddenByPolicy);
        assert_eq!(judge(&unmet, &[&scopes, &forbid("f", "")]).reason, Reason::ForbiddenByPolicy);
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(48))]

        /// Whatever else a set holds: a forbid that fails is never an allow, and an allow names only permits.
        #[test]
        fn an_erroring_forbid_is_never_allowed(
            kinds in proptest::collection::vec(0_usize..5, 0..8), level in 0_u8..5, scopes_met: bool,
        ) {
            let text: Vec<String> = kinds.iter().enumerate().map(|(number, kind)| match kind {
                0 => format!("@id(\"permit{number}\") permit(principal, action, resource);"),
                1 => format!("@id(\"permit{number}\") permit(principal, action, resource is api::Endpoint) {FAILING};"),
                2 => format!("@id(\"failing{number}\") forbid(principal, action, resource is api::Endpoint) {FAILING};"),
                3 => format!("@id(\"forbid{number}\") @step_up(\"a\") forbid(principal, action, resource is api::Endpoint) when {{ context.risk.level == 1 }};"),
                _ => format!("@id(\"forbid{number}\") @insufficient_scope forbid(principal, action, resource is api::Endpoint) unless {{ context.scopes_met }};"),
            }).collect();
            let call = Call { level, scopes_met, ..Call::default() };
            let evaluation = judge(&call, &text.iter().map(String::as_str).collect::<Vec<_>>());
            let failing = level >= 2 && kinds.contains(&2);
            prop_assert_eq!(evaluation.reason == Reason::PolicyError, failing);
            let names: BTreeSet<&str> = evaluation.policies.iter().map(PolicyId::as_str).collect();
            prop_assert_eq!(names.len(), evaluation.policies.len());
            if evaluation.reason == Reason::Allowed {
                prop_assert!(!names.is_empty() && names.iter().all(|name| name.starts_with("permit")));
            }
        }
    }
}
