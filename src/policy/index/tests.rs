//! The index against Cedar's own authorizer, which looks at every policy.

use std::collections::{BTreeMap, BTreeSet};

use cedar_policy::{
    Authorizer, Context, Entities, Entity, EntityUid, PolicySet, Request, RestrictedExpression,
};
use cedar_policy_core::evaluator::Evaluator;
use cedar_policy_core::extensions::Extensions;
use proptest::prelude::*;
use proptest::sample::{select, subsequence};

use super::*;
use crate::policy::candidates::{CandidateSet, Candidates};
use crate::policy::condition::Constants;
use crate::policy::obligations::Terms;
use crate::policy::snapshot::PolicyEffect;

const PRINCIPALS: [&str; 12] = [
    "principal",
    "principal == U::\"u0\"",
    "principal == U::\"nobody\"",
    "principal == G::\"g0\"",
    "principal in U::\"u1\"",
    "principal in G::\"g0\"",
    "principal in G::\"g3\"",
    "principal is U",
    "principal is V",
    "principal is U in G::\"g1\"",
    "principal is V in G::\"g3\"",
    "principal is G in G::\"g2\"",
];
const ACTIONS: [&str; 8] = [
    "action",
    "action == Action::\"get\"",
    "action == Action::\"read\"",
    "action in Action::\"read\"",
    "action in [Action::\"get\", Action::\"read\"]",
    "action in [Action::\"put\", Action::\"all\", Action::\"put\"]",
    "action in [Action::\"unheard\"]",
    "action in []",
];
const RESOURCES: [&str; 9] = [
    "resource",
    "resource == D::\"d0\"",
    "resource == F::\"f0\"",
    "resource in F::\"f0\"",
    "resource in F::\"f2\"",
    "resource in D::\"d1\"",
    "resource is D",
    "resource is D in F::\"f1\"",
    "resource is F in F::\"f2\"",
];
/// Some cannot fail, some fail for some requests, some always.
const CONDITIONS: [&str; 22] = [
    "",
    "when { true }",
    "unless { true }",
    "when { context.n > 1 }",
    "when { context has n } unless { context.n == 2 }",
    "when { context.missing == 1 }",
    "when { context.n }",
    "when { context.n > 1 && context.n }",
    "when { context.n > 2 || context.missing }",
    "when { 9223372036854775806 + context.n > 0 }",
    "when { principal.level > 1 }",
    "when { principal has level && principal.level > 0 }",
    "when { resource.level * 9223372036854775807 > 1 }",
    "when { if context.n > 1 then principal.level == 1 else false }",
    "when { principal in resource }",
    "when { action in Action::\"all\" }",
    "when { U::\"u0\".level > 1 }",
    "when { U::\"u0\" in G::\"g0\" }",
    "when { ip(\"10.0.0.0/8\").isIpv4() && ip(\"10.1.2.3\").isInRange(ip(\"10.0.0.0/8\")) }",
    "when { ip(\"nowhere\").isIpv4() }",
    "when { context == {n: 1} }",
    "when { [principal, resource].contains(U::\"u0\") || resource has level }",
];

fn facts(id: &str, effect: PolicyEffect) -> Arc<PolicyFacts> {
    Arc::new(PolicyFacts {
        id: id.parse().unwrap(),
        effect,
        file: String::new(),
        line: 1,
        annotations: BTreeMap::new(),
        terms: Terms::default(),
    })
}

/// A policy for both: Cedar's own, and the index.
#[derive(Clone, Debug)]
struct Sample {
    id: String,
    effect: PolicyEffect,
    policy: cedar_policy::Policy,
}

fn samples(most: usize) -> impl Strategy<Value = Vec<Sample>> {
    let effect = select(vec![PolicyEffect::Permit, PolicyEffect::Forbid]);
    let parts = (
        effect,
        select(&PRINCIPALS[..]),
        select(&ACTIONS[..]),
        select(&RESOURCES[..]),
        select(&CONDITIONS[..]),
    );
    proptest::collection::vec(parts, 1..most).prop_map(|all| {
        let sample = |(number, (effect, principal, action, resource, condition)): (
            usize,
            (PolicyEffect, _, _, _, _),
        )| {
            let text = format!("{}({principal}, {action}, {resource}) {condition};", effect.as_str());
            let id = format!("p{number}");
            let policy = cedar_policy::Policy::parse(Some(cedar_policy::PolicyId::new(&id)), &text).unwrap();
            Sample { id, effect, policy }
        };
        all.into_iter().enumerate().map(sample).collect()
    })
}

/// Which entities exist, and who is directly in what; edges only lead upwards in this list.
const ENTITIES: [(&str, &[&str]); 15] = [
    ("U::\"u0\"", &["G::\"g0\"", "G::\"g1\""]),
    ("U::\"u1\"", &["G::\"g1\""]),
    ("U::\"u2\"", &["U::\"u1\"", "G::\"g4\""]),
    ("V::\"v0\"", &["G::\"g0\"", "G::\"g2\""]),
    ("G::\"g0\"", &["G::\"g1\"", "G::\"g3\""]),
    ("G::\"g1\"", &["G::\"g2\""]),
    ("G::\"g2\"", &["G::\"g3\""]),
    ("D::\"d0\"", &["F::\"f0\""]),
    ("D::\"d1\"", &["F::\"f1\"", "D::\"d0\""]),
    ("F::\"f0\"", &["F::\"f1\""]),
    ("F::\"f1\"", &["F::\"f2\""]),
    ("Action::\"get\"", &["Action::\"read\""]),
    ("Action::\"put\"", &["Action::\"write\""]),
    ("Action::\"read\"", &["Action::\"all\""]),
    ("Action::\"write\"", &["Action::\"all\""]),
];

fn hierarchy() -> impl Strategy<Value = Entities> {
    subsequence(ENTITIES.to_vec(), 0..=ENTITIES.len()).prop_flat_map(|present| {
        let levels = proptest::collection::vec(proptest::option::of(0_i64..4), present.len());
        let parents: Vec<_> =
            present.iter().map(|(_, parents)| subsequence(parents.to_vec(), 0..=parents.len())).collect();
        (Just(present), levels, parents).prop_map(|(present, levels, parents)| {
            let entity = |(name, level, parents): (&str, Option<i64>, Vec<&str>)| {
                let level = level.map(|level| ("level".to_owned(), RestrictedExpression::new_long(level)));
                let parents = parents.iter().map(|parent| parent.parse().unwrap()).collect();
                Entity::new(name.parse().unwrap(), level.into_iter().collect(), parents).unwrap()
            };
            let present = present.into_iter().zip(levels).zip(parents);
            let entities = present.map(|(((name, _), level), parents)| entity((name, level, parents)));
            Entities::from_entities(entities, None).unwrap()
        })
    })
}

/// Every principal with every action and resource: 180.
fn requests() -> Vec<Request> {
    let uid = |name: &&str| name.parse::<EntityUid>().unwrap();
    let principals = ["U::\"u0\"", "U::\"u1\"", "U::\"u2\"", "V::\"v0\"", "G::\"g0\"", "U::\"u9\""];
    let actions =
        ["Action::\"get\"", "Action::\"put\"", "Action::\"read\"", "Action::\"all\"", "Action::\"odd\""];
    let resources = ["D::\"d0\"", "D::\"d1\"", "D::\"d9\"", "F::\"f0\"", "F::\"f1\"", "U::\"u0\""];
    let mut all = Vec::new();
    for principal in &principals {
        for action in &actions {
            for resource in &resources {
                let n = RestrictedExpression::new_long((all.len() % 4) as i64);
                let context = Context::from_pairs([("n".to_owned(), n)]).unwrap();
                all.push(Request::new(uid(principal), uid(action), uid(resource), context, None).unwrap());
            }
        }
    }
    all
}

/// What is satisfied, and what failed with which words.
type Said = (BTreeSet<String>, BTreeMap<String, String>);

/// Cedar shows satisfied permits only where no forbid is, so each effect is asked alone.
fn by_cedar(halves: &[PolicySet; 2], request: &Request, entities: &Entities) -> Said {
    let mut said = Said::default();
    for half in halves {
        let response = Authorizer::new().is_authorized(request, half, entities);
        said.0.extend(response.diagnostics().reason().map(ToString::to_string));
        for error in response.diagnostics().errors() {
            let cedar_policy::AuthorizationError::PolicyEvaluationError(error) = error;
            said.1.insert(error.policy_id().to_string(), error.inner().to_string());
        }
    }
    said
}

fn by_index(candidates: &CandidateSet, request: &Request, entities: &Entities) -> Said {
    let request = request.as_ref().clone();
    let evaluator = Evaluator::new(request, entities.as_ref(), Extensions::all_available());
    let mut said = Said::default();
    for condition in candidates.forbids.iter().chain(&candidates.permits) {
        let id = condition.facts.id.to_string();
        match condition.evaluate(&evaluator, Constants::Absent) {
            Ok(true) => assert!(said.0.insert(id), "a candidate twice"),
            Ok(false) => {}
            Err(why) => assert!(said.1.insert(id, why).is_none(), "a candidate twice"),
        }
    }
    said
}

fn index_of<'a>(samples: impl IntoIterator<Item = &'a Sample>) -> Index {
    let mut index = Index::default();
    for sample in samples {
        index.insert(sample.policy.as_ref(), facts(&sample.id, sample.effect));
    }
    index
}

fn halves(samples: &[Sample]) -> [PolicySet; 2] {
    [PolicyEffect::Permit, PolicyEffect::Forbid].map(|effect| {
        let half = samples.iter().filter(|sample| sample.effect == effect);
        PolicySet::from_policies(half.map(|sample| sample.policy.clone())).unwrap()
    })
}

fn ids(candidates: &CandidateSet) -> BTreeSet<String> {
    candidates.forbids.iter().chain(&candidates.permits).map(|c| c.facts.id.to_string()).collect()
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(160))]

    /// 160 sets of policies over 160 hierarchies, 180 requests each: 28,800 in all.
    #[test]
    fn candidates_say_what_all_policies_say(samples in samples(40), entities in hierarchy()) {
        let candidates = Candidates::new(index_of(&samples));
        let halves = halves(&samples);
        for request in requests() {
            let found = candidates.for_request(request.as_ref(), entities.as_ref());
            prop_assert_eq!(by_index(&found, &request, &entities), by_cedar(&halves, &request, &entities), "{}", request);
        }
    }

    #[test]
    fn probing_and_scanning_find_the_same(samples in samples(30), entities in hierarchy()) {
        let index = index_of(&samples);
        for request in requests().iter().step_by(7) {
            let sides = |uid: &EntityUid, find: fn(&Index, &EntityUID, Vec<&EntityUID>) -> Sides| {
                let above: Vec<EntityUid> = entities.ancestors(uid).into_iter().flatten().cloned().collect();
                find(&index, uid.as_ref(), above.iter().map(AsRef::as_ref).collect())
            };
            let principal = sides(request.principal().unwrap(), |index, uid, above| index.principal_sides(uid, above));
            let action = sides(request.action().unwrap(), |index, uid, above| index.action_sides(uid, above));
            let resource = sides(request.resource().unwrap(), |index, uid, above| index.resource_sides(uid, above));
            let sorted = |mut places: Vec<u32>| { places.sort_unstable(); places };
            prop_assert_eq!(
                sorted(index.probe(&principal, &action, &resource)),
                sorted(index.scan(&principal, &action, &resource))
            );
        }
    }

    #[test]
    fn an_index_that_was_changed_equals_one_built_afresh(
        before in samples(30), after in samples(30), entities in hierarchy(), kept in 0_usize..30,
    ) {
        // Ids are numbers, so that what comes after replaces some, leaves some and adds some.
        let mut changed = index_of(&before);
        let generation = changed.generation();
        for gone in before.iter().skip(kept) {
            prop_assert!(changed.remove(&gone.id.parse().unwrap()));
        }
        for new in &after {
            changed.insert(new.policy.as_ref(), facts(&new.id, new.effect));
        }
        prop_assert!(changed.generation() != generation);
        let left = before.iter().take(kept).skip(after.len());
        let fresh = index_of(after.iter().chain(left));
        let counts = |index: &Index| {
            let places: usize = index.buckets.values().map(Vec::len).sum();
            let sides = [&index.principals, &index.actions, &index.resources].map(|sides| {
                let mut counts: Vec<u32> = sides.values().copied().collect();
                counts.sort_unstable();
                counts
            });
            (index.buckets.len(), places, sides, index.places.len())
        };
        prop_assert_eq!(counts(&changed), counts(&fresh));
        let (changed, fresh) = (Candidates::new(changed), Candidates::new(fresh));
        for request in requests().iter().step_by(5) {
            let of = |candidates: &Candidates| ids(&candidates.for_request(request.as_ref(), entities.as_ref()));
            prop_assert_eq!(of(&changed), of(&fresh));
        }
    }
}

#[test]
fn a_policy_that_is_not_there_cannot_be_removed() {
    assert!(!Index::default().remove(&"p".parse().unwrap()));
}

#[test]
fn a_place_that_was_left_is_used_again() {
    let policy: cedar_policy::Policy = "permit(principal, action, resource);".parse().unwrap();
    let mut index = Index::default();
    for round in 0..10 {
        index.insert(policy.as_ref(), facts(&format!("p{round}"), PolicyEffect::Permit));
        index.insert(policy.as_ref(), facts("same", PolicyEffect::Permit));
        assert!(index.remove(&format!("p{round}").parse().unwrap()));
    }
    assert!(index.entries.len() <= 2, "{}", index.entries.len());
}

#[test]
fn a_scope_that_is_not_understood_is_evaluated_whole() {
    let policy: cedar_policy::Policy = "permit(principal == U::\"u0\", action, resource);".parse().unwrap();
    let whole = Condition::with_scope(policy.as_ref(), facts("p", PolicyEffect::Permit));
    let entities = Entities::empty();
    let held: Vec<bool> = requests()
        .iter()
        .map(|request| {
            let request = request.as_ref().clone();
            let evaluator = Evaluator::new(request, entities.as_ref(), Extensions::all_available());
            whole.evaluate(&evaluator, Constants::Absent).unwrap()
        })
        .collect();
    assert_eq!(held.iter().filter(|held| **held).count(), 30);
}
