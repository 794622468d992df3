//! Test cases for policies: files of questions with the answers their authors expect, run without a server.
//!
//! A YAML file holds `cases`, each an API call or a Cedar question; a JSON file holds tests of the Cedar command
//! line. Everything that a case leaves out is an ordinary call at a fixed time:
//!
//! ```yaml
//! policies: |              # optional: policies that only the cases of this file have
//!   @id("anyone") permit (principal, action, resource);
//! cases:
//!   - name: a clerk reads an order
//!     principal: { roles: [clerk], token: { scopes: [orders:read] } }   # User dev/alice, fifteen-minute token
//!     endpoint: { api: orders, method: GET, template: "/orders/{id}", path_params: { id: o-1 } }
//!     expect: { effect: allow, policies: [clerks-read-orders] }
//!   - name: one write too many in a minute
//!     principal: { roles: [clerk] }
//!     endpoint: { api: orders, method: POST, template: /orders }
//!     rate: { principal_endpoint: { last_minute: 61 } }    # this call included; what is left out is 0
//!     expect: { effect: deny, reason: rate_limited }
//!   - name: a stranger approves nothing
//!     principal: {}
//!     question: { action: 'Shop::Action::"approve"', resource: 'Shop::Order::"o-1"', entities: [], context: {} }
//!     expect: { effect: deny, reason: no_matching_permit }
//! ```

mod build;
mod cedar;
mod format;

use cedar::CedarCase;
use format::{Case, ExpectedEffect, File};

use super::call::CallInput;
use super::config::Limits;
use super::evaluate::Evaluation;
use super::finding::PolicyErrors;
use super::question::{QuestionInput, QuestionPrincipal};
use super::snapshot::Snapshot;
use crate::model::{BundleSource, Effect, Reason, SourceFile, Timestamp};

/// Why cases cannot be run at all.
#[derive(Debug, thiserror::Error)]
pub enum CaseError {
    #[error("cannot read the cases in `{file}`: {why}")]
    Unreadable { file: String, why: String },
    #[error("the bundle does not compile")]
    Bundle(#[source] PolicyErrors),
    #[error("the bundle does not compile with the policies of `{file}`")]
    OwnPolicies {
        file: String,
        #[source]
        source: PolicyErrors,
    },
}

/// What became of one case.
#[derive(Clone, Debug, PartialEq)]
pub struct CaseResult {
    pub file: String,
    pub name: String,
    /// What differs from what was expected, one sentence each; empty when the case passed.
    pub failures: Vec<String>,
    /// The answer; absent when the case could not be asked.
    pub got: Option<Evaluation>,
}

impl CaseResult {
    pub fn passed(&self) -> bool {
        self.failures.is_empty()
    }
}

/// The cases of one file, read but not run.
#[derive(Clone, Debug)]
pub struct CaseFile {
    path: String,
    policies: Option<String>,
    cases: Vec<AnyCase>,
}

#[derive(Clone, Debug)]
enum AnyCase {
    Own(Box<Case>),
    Cedar(Box<CedarCase>),
}

/// Compiles the bundle and runs all cases of all files, in order.
pub fn run(
    source: &BundleSource,
    files: &[SourceFile],
    limits: &Limits,
) -> Result<Vec<CaseResult>, CaseError> {
    let (snapshot, _) = Snapshot::compile(source, limits, None).map_err(CaseError::Bundle)?;
    let mut results = Vec::new();
    for file in files {
        let cases = CaseFile::parse(file)?;
        match cases.own_bundle(source) {
            None => results.extend(cases.run(&snapshot)),
            Some(own) => {
                let compiled = Snapshot::compile(&own, limits, None);
                let (own, _) =
                    compiled.map_err(|source| CaseError::OwnPolicies { file: file.path.clone(), source })?;
                results.extend(cases.run(&own));
            }
        }
    }
    Ok(results)
}

impl CaseFile {
    pub fn parse(file: &SourceFile) -> Result<Self, CaseError> {
        let bad = |why: String| CaseError::Unreadable { file: file.path.clone(), why };
        if file.path.ends_with(".json") {
            let cases: Vec<CedarCase> =
                serde_json::from_str(&file.text).map_err(|error| bad(error.to_string()))?;
            let cases = cases.into_iter().map(|case| AnyCase::Cedar(Box::new(case))).collect();
            return Ok(Self { path: file.path.clone(), policies: None, cases });
        }
        let parsed: File = serde_yaml_ng::from_str(&file.text).map_err(|error| bad(error.to_string()))?;
        let cases = parsed.cases.into_iter().map(|case| AnyCase::Own(Box::new(case))).collect();
        Ok(Self { path: file.path.clone(), policies: parsed.policies, cases })
    }

    /// The bundle with the file's own policies, if it has any.
    fn own_bundle(&self, source: &BundleSource) -> Option<BundleSource> {
        let own = SourceFile { path: format!("{}.cedar", self.path), text: self.policies.clone()? };
        Some(BundleSource::new(source.files().iter().cloned().chain([own]).collect()))
    }

    /// Runs the cases against a snapshot. The file's own policies are not part of it: see [`run`].
    pub fn run(&self, snapshot: &Snapshot) -> Vec<CaseResult> {
        self.cases.iter().map(|case| self.run_case(case, snapshot)).collect()
    }

    fn run_case(&self, case: &AnyCase, snapshot: &Snapshot) -> CaseResult {
        let (name, got) = match case {
            AnyCase::Own(case) => (case.name.clone(), evaluate(case, snapshot)),
            AnyCase::Cedar(case) => {
                (case.name.clone().unwrap_or_else(|| "(unnamed)".to_owned()), case.evaluate(snapshot))
            }
        };
        let (failures, got) = match (case, got) {
            (_, Err(why)) => (vec![why], None),
            (AnyCase::Own(case), Ok(got)) => (compare(case, &got), Some(got)),
            (AnyCase::Cedar(case), Ok(got)) => (compare_cedar(case, &got), Some(got)),
        };
        CaseResult { file: self.path.clone(), name, failures, got }
    }
}

fn evaluate(case: &Case, snapshot: &Snapshot) -> Result<Evaluation, String> {
    let now = Timestamp::parse(&case.now)?;
    let principal = build::principal(case.principal.as_ref(), now)?;
    let risk = build::risk(&case.risk)?;
    let rates = build::rates(case.rate);
    let device = build::device(&case.device);
    match (&case.endpoint, &case.question) {
        (Some(endpoint), None) => Ok(snapshot.evaluate_call(&CallInput {
            principal: &principal,
            actor: build::workload(case.actor.as_ref())?.as_ref(),
            peer: build::workload(case.peer.as_ref())?.as_ref(),
            located: &build::located(endpoint)?,
            scopes_met: build::scopes_met(case, endpoint),
            risk: &risk,
            rates,
            device,
            source_ip: case.ip,
            secure: case.secure,
            headers: &build::pairs(&case.headers),
            metadata: &case.metadata,
            network_known: false,
            now,
        })),
        (None, Some(words)) => {
            let question = build::question(words)?;
            let asked = question.principal.as_ref();
            let principal = asked.map_or(QuestionPrincipal::Proven(&principal), QuestionPrincipal::Named);
            let input = QuestionInput {
                principal,
                question: &question,
                risk: &risk,
                rates,
                device,
                network_known: false,
                now,
            };
            snapshot.evaluate_question(&input).map_err(|error| error.to_string())
        }
        _ => Err("a case has either an `endpoint` or a `question`".to_owned()),
    }
}

fn compare(case: &Case, got: &Evaluation) -> Vec<String> {
    let mut failures = compare_effect(case.expect.effect, got);
    if let Some(expected) = &case.expect.reason {
        if Reason::parse(expected).is_none() {
            failures.push(format!("`{expected}` is not the name of a reason"));
        } else if expected != got.reason.as_str() {
            failures.push(format!("expected the reason `{expected}`, got `{}`", got.reason.as_str()));
        }
    }
    failures.extend(compare_policies(case.expect.policies.iter(), got));
    failures
}

fn compare_cedar(case: &CedarCase, got: &Evaluation) -> Vec<String> {
    let mut failures = compare_effect(case.decision, got);
    failures.extend(compare_policies(case.reason.iter(), got));
    if case.num_errors != got.policy_errors.len() {
        failures.push(format!("expected {} errors, got {}", case.num_errors, got.policy_errors.len()));
    }
    failures
}

fn compare_effect(expected: ExpectedEffect, got: &Evaluation) -> Vec<String> {
    let expected = match expected {
        ExpectedEffect::Allow => Effect::Allow,
        ExpectedEffect::Deny => Effect::Deny,
    };
    let found = got.reason.effect();
    if expected == found {
        return Vec::new();
    }
    let by: Vec<&str> = got.policies.iter().map(crate::model::PolicyId::as_str).collect();
    let (expected, found, reason) = (expected.as_str(), found.as_str(), got.reason.as_str());
    vec![format!("expected {expected}, got {found}: {reason} [{}]", by.join(", "))]
}

fn compare_policies<'a>(expected: impl Iterator<Item = &'a String>, got: &Evaluation) -> Option<String> {
    let has = |id: &String| got.policies.iter().any(|policy| policy.as_str() == id);
    let missing: Vec<&str> = expected.filter(|id| !has(id)).map(String::as_str).collect();
    let found: Vec<&str> = got.policies.iter().map(crate::model::PolicyId::as_str).collect();
    let message =
        || format!("expected [{}] among the determining policies [{}]", missing.join(", "), found.join(", "));
    (!missing.is_empty()).then(message)
}

#[cfg(test)]
mod tests;
