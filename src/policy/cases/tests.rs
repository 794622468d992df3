//! The runner's own tests, and the cases of the policy sets that ship with Deodar.

use std::path::{Path, PathBuf};

use proptest::prelude::*;

use super::*;
use crate::policy::directory;
use crate::policy::support::{SHOP, bundle};

const PERMIT: &str = "@id(\"clerks\") permit(principal in api::Role::\"clerk\", action, resource);
    @id(\"calm\") forbid(principal, action, resource is api::Endpoint) when { context.risk.level > 2 };";

fn run_one(path: &str, text: &str) -> Result<Vec<CaseResult>, CaseError> {
    let source = bundle(&[("a.cedar", PERMIT), ("s.cedarschema", SHOP)]);
    run(&source, &[SourceFile { path: path.into(), text: text.into() }], &Limits::default())
}

fn failures(text: &str) -> Vec<String> {
    run_one("c.yaml", text).unwrap().into_iter().flat_map(|result| result.failures).collect()
}

#[test]
fn a_case_needs_to_say_only_what_matters() {
    let text = "
cases:
  - name: clerks may
    principal: { roles: [clerk] }
    endpoint: { api: orders, method: GET, template: /orders }
    expect: { effect: allow, reason: allowed, policies: [clerks] }
  - name: risky clerks may not
    principal: { roles: [clerk], token: { age_s: 5 } }
    endpoint: { api: orders, method: GET, template: /orders }
    risk: { level: 3, reasons: [new_network] }
    expect: { effect: deny, policies: [calm] }
  - name: nobody may
    endpoint: { api: orders, method: GET, template: /orders }
    expect: { effect: deny, reason: no_matching_permit }
";
    assert_eq!(failures(text), Vec::<String>::new());
}

#[test]
fn what_differs_is_said() {
    let case = |expect: &str| {
        failures(&format!(
            "cases: [{{ name: x, endpoint: {{ api: orders, method: GET, template: / }}, expect: {expect} }}]"
        ))
    };
    assert_eq!(case("{ effect: allow }"), ["expected allow, got deny: no_matching_permit []"]);
    let wrong_reason = "expected the reason `overloaded`, got `no_matching_permit`";
    assert_eq!(case("{ effect: deny, reason: overloaded }"), [wrong_reason]);
    assert_eq!(case("{ effect: deny, reason: because }"), ["`because` is not the name of a reason"]);
    assert_eq!(case("{ effect: deny, policies: [p] }"), ["expected [p] among the determining policies []"]);
}

#[test]
fn policies_of_a_file_count_for_its_cases_only() {
    let text = "
policies: '@id(\"all\") permit(principal, action, resource);'
cases: [{ name: x, endpoint: { api: orders, method: GET, template: / }, expect: { effect: allow, policies: [all] } }]
";
    assert!(failures(text).is_empty());
    let error = run_one("c.yaml", "policies: 'permit('\ncases: []").unwrap_err();
    assert!(matches!(error, CaseError::OwnPolicies { .. }));
}

#[test]
fn a_question_is_a_case_too() {
    let text = "
cases:
  - name: a clerk by role
    principal: { roles: [clerk] }
    question:
      action: Shop::Action::\"view\"
      resource: Shop::Order::\"o-1\"
      entities: [{ uid: { type: 'Shop::Order', id: o-1 }, attrs: { total: 5 }, parents: [] }]
    expect: { effect: allow }
  - name: risk cannot be passed
    question: { action: 'Shop::Action::\"view\"', resource: 'Shop::Order::\"o-1\"', context: { risk: {} } }
    expect: { effect: deny }
";
    assert_eq!(failures(text), ["the context attribute `risk` is filled in by Deodar and cannot be passed"]);
}

#[test]
fn mistakes_name_the_file_and_the_line() {
    for (text, needle) in [
        ("cases:\n  - name: x\n    endpont: {}\n    expect: { effect: deny }", "unknown field `endpont`"),
        ("cases:\n  - name: x\n    expect: { effect: perhaps }", "unknown variant `perhaps`"),
        ("cases: 5", "line 1"),
    ] {
        let error = run_one("dir/c.yaml", text).unwrap_err().to_string();
        assert!(error.contains("dir/c.yaml") && error.contains(needle) && error.contains("line"), "{error}");
    }
    let both = "cases: [{ name: x, expect: { effect: deny } }]";
    assert_eq!(failures(both), ["a case has either an `endpoint` or a `question`"]);
    let level = "cases: [{ name: x, risk: { level: 9 }, expect: { effect: deny } }]";
    assert_eq!(failures(level), ["risk level 9 is out of range: write 0 to 4"]);
}

#[test]
fn tests_of_the_cedar_command_line_run_unchanged() {
    let test = |decision: &str, reason: &str, errors: u8| {
        let text = format!(
            r#"[{{"name": "t", "decision": "{decision}", "reason": [{reason}], "num_errors": {errors},
                "request": {{"principal": "Shop::Clerk::\"ann\"", "action": "Shop::Action::\"view\"", "resource": "Shop::Order::\"o\"",
                  "context": {{"risk": {{"level": 0, "score": 0, "confidence": 0, "reasons": [], "stale": false, "learning": false}},
                               "time": {{"epoch_ms": 0, "hour": 0, "weekday": 4}}}}}},
                "entities": [{{"uid": {{"type": "Shop::Clerk", "id": "ann"}}, "attrs": {{"level": 1}}, "parents": []}}]}}]"#
        );
        run_one("cases/t.json", &text).unwrap().remove(0).failures
    };
    assert!(test("deny", "", 0).is_empty());
    assert_eq!(test("allow", "\"clerks\"", 1).len(), 3);
}

fn shipped(sets: &[&str]) -> (BundleSource, Vec<SourceFile>) {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("policies");
    let directories: Vec<PathBuf> = sets.iter().map(|set| root.join(set)).collect();
    let limits = Limits::default();
    (directory::read(&directories, &limits).unwrap(), directory::read_cases(&directories, &limits).unwrap())
}

/// Every policy of the sets must decide at least one case, or a case for it is missing.
fn check_shipped(sets: &[&str]) {
    let (source, cases) = shipped(sets);
    let (snapshot, warnings) = Snapshot::compile(&source, &Limits::default(), None)
        .unwrap_or_else(|errors| panic!("{}", errors.rendered()));
    assert!(warnings.is_empty(), "{warnings:?}");
    let results = run(&source, &cases, &Limits::default()).unwrap();
    let failed: Vec<_> = results.iter().filter(|result| !result.passed()).collect();
    assert!(failed.is_empty(), "{failed:#?}");
    for facts in snapshot.policies() {
        let decides =
            |result: &CaseResult| result.got.as_ref().is_some_and(|got| got.policies.contains(&facts.id));
        assert!(results.iter().any(decides), "no case shows what `{}` does", facts.id);
    }
}

#[test]
fn the_zero_trust_cases_pass() {
    check_shipped(&["zero-trust"]);
}

#[test]
fn the_demo_cases_pass_under_zero_trust() {
    check_shipped(&["zero-trust", "demo"]);
}

proptest! {
    #[test]
    fn random_text_never_panics(text in ".{0,200}", yaml: bool) {
        let path = if yaml { "c.yaml" } else { "c.json" };
        let _ = CaseFile::parse(&SourceFile { path: path.into(), text });
    }
}
