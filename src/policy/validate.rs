//! Checks of parsed policies against the schema: what Cedar's validator says, and what Deodar adds.
//!
//! Validation is strict and at level 1 (RFC 76): a policy reads attributes of the principal, the action, the
//! resource and what the context names directly, so one decision needs a few known entities and nothing more.

use std::collections::{BTreeMap, BTreeSet};
use std::mem::discriminant;

use cedar_policy::{Entities, EntityUid, PolicySet, Schema, ValidationMode, Validator};
use miette::Diagnostic;

use super::finding::{Finding, Severity};
use super::obligations::{self, Terms};
use super::snapshot::PolicyEffect;
use super::statement::Statement;
use crate::model::ApiId;

/// How far policies may follow references (RFC 76).
const LEVEL: u32 = 1;

/// Findings as they are made.
#[derive(Default)]
pub(super) struct Findings {
    pub errors: Vec<Finding>,
    pub warnings: Vec<Finding>,
}

/// Runs Cedar's validator over all policies. Ids are unique; two policies of one id would be an error.
pub(super) fn with_cedar(schema: &Schema, statements: &[Statement<'_>], found: &mut Findings) {
    let mut policies = PolicySet::new();
    for statement in statements {
        if let Err(error) = policies.add(statement.policy.clone()) {
            found.errors.push(statement.at_policy(Severity::Error, error.to_string()));
        }
    }
    let result = Validator::new(schema.clone()).validate_with_level(&policies, ValidationMode::Strict, LEVEL);
    let by_id: BTreeMap<&str, &Statement<'_>> = statements.iter().map(|s| (s.id.as_str(), s)).collect();
    let errors = result.validation_errors().map(|error| {
        let id: &str = error.policy_id().as_ref();
        Some((discriminant(error), from_cedar(Severity::Error, by_id.get(id)?, error)))
    });
    found.errors.extend(once_each(errors.flatten().collect()));
    let warnings = result.validation_warnings().map(|warning| {
        let id: &str = warning.policy_id().as_ref();
        Some((discriminant(warning), from_cedar(Severity::Warning, by_id.get(id)?, warning)))
    });
    found.warnings.extend(once_each(warnings.flatten().collect()));
}

/// The validator says the same once for each kind of request that the policy applies to; people want it once.
fn once_each<K: PartialEq>(mut said: Vec<(K, Finding)>) -> Vec<Finding> {
    said.sort_by(|(_, a), (_, b)| a.place().cmp(&b.place()).then_with(|| a.message.cmp(&b.message)));
    said.dedup_by(|(kind, finding), (before, kept)| kind == before && finding.place() == kept.place());
    said.into_iter().map(|(_, finding)| finding).collect()
}

fn from_cedar(severity: Severity, statement: &Statement<'_>, said: &dyn Diagnostic) -> Finding {
    let placed = said.labels().is_some_and(|mut labels| labels.next().is_some());
    if placed {
        return Finding::from_cedar(severity, statement.file, said).about(Some(statement.id.clone()));
    }
    statement.at_policy(severity, said.to_string())
}

/// Reads the annotations of a policy; wrong ones are errors, unknown ones warnings.
pub(super) fn annotations(statement: &Statement<'_>, found: &mut Findings) -> Terms {
    let policy = &statement.policy;
    for (name, _) in policy.annotations().filter(|(name, _)| !obligations::is_known(name)) {
        let known = obligations::known_names();
        let message = format!("`@{name}` means nothing to Deodar; known annotations are {known}");
        found.warnings.push(statement.at_annotation(Severity::Warning, name, message));
    }
    let effect = PolicyEffect::of(policy);
    obligations::read(&statement.id, effect, |name| policy.annotation(name)).unwrap_or_else(|bad| {
        let error =
            |bad: &obligations::BadAnnotation| statement.at_annotation(Severity::Error, bad.name, &bad.why);
        found.errors.extend(bad.iter().map(error));
        Terms::default()
    })
}

/// Warns of API names in policies that nothing declares: `api::Service::"ordrs"` matches nothing, silently.
pub(super) fn literals(
    statement: &Statement<'_>,
    stored: &Entities,
    known_apis: &BTreeSet<ApiId>,
    found: &mut Findings,
) {
    let mut warned = BTreeSet::new();
    for uid in statement.policy.entity_literals() {
        let Some(api) = api_of(&uid) else { continue };
        let declared = known_apis.iter().any(|known| known.as_str() == api) || stored.get(&uid).is_some();
        if !declared && warned.insert(uid.clone()) {
            let message =
                format!("nothing declares `{uid}`: there is no API `{api}`, so this matches no call");
            found.warnings.push(statement.at_policy(Severity::Warning, message));
        }
    }
}

/// The API that a literal names: the whole id of a service, or the first part of an endpoint's.
fn api_of(uid: &EntityUid) -> Option<&str> {
    let id: &str = uid.id().as_ref();
    match uid.type_name().to_string().as_str() {
        "api::Service" => Some(id),
        "api::Endpoint" => Some(id.split_once('/').map_or(id, |(api, _)| api)),
        _ => None,
    }
}
