//! Questions as callers ask them, and as callers should not.

use serde_json::json;

use super::*;
use crate::model::{DomainId, Reason, TokenKind};
use crate::policy::support::{SHOP, alice, bundle, noon, rates, risk, snapshot_of, token};

const POLICIES: &str = "
    @id(\"team\") permit(principal in Shop::Team::\"blue\", action, resource is Shop::Order) when { resource.total < 100 };
    @id(\"owner\") permit(principal is api::User, action == Shop::Action::\"view\", resource)
      when { resource has owner && resource.owner == principal };
    @id(\"noted\") permit(principal, action == Shop::Action::\"approve\", resource is Shop::Order)
      when { context has note && context.note == \"please\" && context.time.hour == 12 };
    @id(\"guardrail\") forbid(principal, action, resource is Shop::Order) when { context.risk.level >= 3 };
    @id(\"mfa\") @step_up(\"urn:mfa\") forbid(principal is api::User, action, resource)
      when { context has token && context.token.lifetime_s > 0 && context.risk.level == 2 };";

const STORED: &str = r#"[
    {"uid":{"type":"Shop::Clerk","id":"bob"},"attrs":{"level":1},"parents":[{"type":"Shop::Team","id":"green"}]},
    {"uid":{"type":"Shop::Order","id":"kept"},"attrs":{"total":500},"parents":[{"type":"Shop::Team","id":"red"}]}]"#;

fn shop() -> Snapshot {
    snapshot_of(&bundle(&[("p.cedar", POLICIES), ("s.cedarschema", SHOP), ("cedarentities.json", STORED)]))
}

fn reference(entity_type: &str, id: &str) -> EntityRef {
    EntityRef { entity_type: entity_type.into(), id: id.into() }
}

fn question(action: &str, entities: Value, context: Value) -> CedarQuestion {
    let (Value::Array(entities), Value::Object(context)) = (entities, context) else {
        panic!("an array and an object")
    };
    CedarQuestion {
        domain: DomainId::default(),
        principal: None,
        action: reference("Shop::Action", action),
        resource: reference("Shop::Order", "o-1"),
        entities,
        context,
    }
}

fn ask(
    principal: QuestionPrincipal<'_>,
    question: &CedarQuestion,
    level: u8,
) -> Result<Evaluation, QuestionError> {
    let device = DeviceView::default();
    let risk = risk(level);
    shop().evaluate_question(&QuestionInput {
        principal,
        question,
        risk: &risk,
        rates: rates(),
        device,
        network_known: false,
        now: noon(),
    })
}

fn ask_as_bob(entities: Value, context: Value) -> Result<Evaluation, QuestionError> {
    ask(
        QuestionPrincipal::Named(&reference("Shop::Clerk", "bob")),
        &question("approve", entities, context),
        0,
    )
}

fn order(parents: &Value) -> Value {
    json!({"uid": {"type": "Shop::Order", "id": "o-1"}, "attrs": {"total": 5}, "parents": parents})
}

fn team(id: &str, parents: &Value) -> Value {
    json!({"uid": {"type": "Shop::Team", "id": id}, "attrs": {}, "parents": parents})
}

#[test]
fn an_authenticated_user_is_allowed_by_what_the_caller_says_of_the_resource() {
    let owned = json!([{"uid": {"type": "Shop::Order", "id": "o-1"},
        "attrs": {"total": 5, "owner": {"type": "api::User", "id": "dev/alice"}}, "parents": []}]);
    let alice = alice();
    let evaluation =
        ask(QuestionPrincipal::Proven(&alice), &question("view", owned.clone(), json!({})), 0).unwrap();
    assert_eq!(evaluation.reason, Reason::Allowed);
    assert_eq!(evaluation.policies[0].as_str(), "owner");
    let named = reference("api::User", "dev/alice");
    let evaluation = ask(QuestionPrincipal::Named(&named), &question("view", owned, json!({})), 0).unwrap();
    assert_eq!(evaluation.reason, Reason::Allowed);
}

#[test]
fn guardrails_cover_domain_questions() {
    let alice = alice();
    let question = question("approve", json!([order(&json!([]))]), json!({"note": "please"}));
    let reason = |level| ask(QuestionPrincipal::Proven(&alice), &question, level).unwrap().reason;
    assert_eq!((reason(0), reason(3)), (Reason::Allowed, Reason::ForbiddenByPolicy));
}

#[test]
fn a_user_with_a_token_can_be_asked_to_step_up() {
    let mut alice = alice();
    alice.token = Some(token(TokenKind::User));
    let question = question("approve", json!([order(&json!([]))]), json!({"note": "please"}));
    let evaluation = ask(QuestionPrincipal::Proven(&alice), &question, 2).unwrap();
    assert_eq!(evaluation.reason, Reason::StepUpRequired);
}

#[test]
fn facts_that_deodar_states_cannot_be_passed() {
    for attribute in ["risk", "token", "device", "network", "rate", "time"] {
        let error = ask_as_bob(json!([]), json!({attribute: {}})).unwrap_err();
        assert_eq!(error, QuestionError::ReservedAttribute { attribute: attribute.into() });
    }
}

#[test]
fn stored_entities_cannot_be_replaced() {
    let kept = json!([{"uid": {"type": "Shop::Order", "id": "kept"}, "attrs": {"total": 1}, "parents": []}]);
    let error = ask_as_bob(kept, json!({})).unwrap_err();
    assert_eq!(error, QuestionError::ReplacesStored { uid: "Shop::Order::\"kept\"".into() });
    let action = json!([{"uid": {"type": "Shop::Action", "id": "approve"}, "attrs": {}, "parents": []}]);
    assert!(matches!(ask_as_bob(action, json!({})).unwrap_err(), QuestionError::ReplacesStored { .. }));
}

#[test]
fn callers_cannot_put_the_principal_into_a_team() {
    // Directly, for a principal that is not stored.
    let ann = reference("Shop::Clerk", "ann");
    let sent = json!([{"uid": {"type": "Shop::Clerk", "id": "ann"}, "attrs": {"level": 1},
        "parents": [{"type": "Shop::Team", "id": "blue"}]}]);
    let error = ask(QuestionPrincipal::Named(&ann), &question("approve", sent, json!({})), 0).unwrap_err();
    assert!(
        matches!(&error, QuestionError::AddsAncestor { ancestor, .. } if ancestor.contains("blue")),
        "{error}"
    );
    // Through a team that a stored principal is in.
    let sent = json!([team("green", &json!([{"type": "Shop::Team", "id": "blue"}]))]);
    let error = ask_as_bob(sent, json!({})).unwrap_err();
    assert!(
        matches!(&error, QuestionError::AddsAncestor { ancestor, .. } if ancestor.contains("blue")),
        "{error}"
    );
    // The same for a resource that is stored.
    let mut about_kept =
        question("view", json!([team("red", &json!([{"type": "Shop::Team", "id": "blue"}]))]), json!({}));
    about_kept.resource = reference("Shop::Order", "kept");
    let error = ask(QuestionPrincipal::Named(&reference("Shop::Clerk", "bob")), &about_kept, 0).unwrap_err();
    assert!(
        matches!(&error, QuestionError::AddsAncestor { entity, .. } if entity.contains("kept")),
        "{error}"
    );
    // A team of the resource is the caller's to say.
    let sent = json!([order(&json!([{"type": "Shop::Team", "id": "blue"}]))]);
    assert_eq!(ask_as_bob(sent, json!({})).unwrap().reason, Reason::NoMatchingPermit);
}

#[test]
fn entities_of_the_vocabulary_cannot_be_passed() {
    let user = json!([{"uid": {"type": "api::Role", "id": "admin"}, "attrs": {}, "parents": []}]);
    assert!(matches!(ask_as_bob(user, json!({})).unwrap_err(), QuestionError::VocabularyEntity { .. }));
}

#[test]
fn what_does_not_fit_the_schema_is_named() {
    let wrong =
        json!([{"uid": {"type": "Shop::Order", "id": "o-1"}, "attrs": {"total": "5"}, "parents": []}]);
    let error = ask_as_bob(wrong, json!({})).unwrap_err();
    assert!(error.to_string().contains("o-1") && error.to_string().contains("total"), "{error}");
    let error = ask_as_bob(json!([{"attrs": {}}]), json!({})).unwrap_err();
    assert!(matches!(error, QuestionError::BadEntity { .. }));
    let error = ask_as_bob(json!([order(&json!([])), order(&json!([]))]), json!({})).unwrap_err();
    assert_eq!((error.fault(), error.to_string().contains("twice")), (RequestFault::Ambiguous, true));
    for context in [json!({"note": 5}), json!({"extra": 1})] {
        let error = ask_as_bob(json!([]), context).unwrap_err();
        assert!(matches!(error, QuestionError::BadContext { .. }), "{error}");
    }
    let circle = json!([
        team("x", &json!([{"type": "Shop::Team", "id": "y"}])),
        team("y", &json!([{"type": "Shop::Team", "id": "x"}]))
    ]);
    assert!(matches!(ask_as_bob(circle, json!({})).unwrap_err(), QuestionError::BadEntities { .. }));
}

#[test]
fn api_calls_and_unknown_actions_are_refused() {
    let bob = reference("Shop::Clerk", "bob");
    let with_action = |entity_type: &str, id: &str| {
        let mut asked = question("approve", json!([]), json!({}));
        asked.action = reference(entity_type, id);
        ask(QuestionPrincipal::Named(&bob), &asked, 0).unwrap_err()
    };
    assert!(matches!(with_action("api::Action", "GET"), QuestionError::ApiAction { .. }));
    assert!(matches!(with_action("Shop::Action", "steal"), QuestionError::UnknownAction { .. }));
    assert!(matches!(with_action("Shop Action", "x"), QuestionError::BadReference { what: "action", .. }));
    let nobody = reference("api::User", "no-issuer");
    let asked = question("view", json!([]), json!({}));
    let error = ask(QuestionPrincipal::Named(&nobody), &asked, 0).unwrap_err();
    assert!(matches!(error, QuestionError::BadReference { what: "principal", .. }));
    let order = reference("Shop::Order", "o-1");
    let error = ask(QuestionPrincipal::Named(&order), &asked, 0).unwrap_err();
    assert!(matches!(error, QuestionError::BadRequest { .. }), "{error}");
}

#[test]
fn deeply_nested_values_are_refused_and_harm_nobody() {
    let deep = (0..120).fold(json!(1), |inner, _| json!([inner]));
    let entity =
        json!([{"uid": {"type": "Shop::Order", "id": "o-1"}, "attrs": {"total": deep}, "parents": []}]);
    assert!(matches!(ask_as_bob(entity, json!({})).unwrap_err(), QuestionError::BadEntity { .. }));
    let deep = (0..120).fold(json!(1), |inner, _| json!({"note": inner}));
    assert!(matches!(ask_as_bob(json!([]), deep).unwrap_err(), QuestionError::BadContext { .. }));
}
