//! Cedar questions in the words of a bundle's own schema.
//!
//! Callers bring entities and context; both are checked against the schema. What a caller brings never replaces
//! what is stored, never adds ancestors to the principal, and never states a fact that Deodar states itself.

use std::collections::{BTreeSet, HashSet};

use cedar_policy::{Context, Entities, Entity, EntityId, EntityTypeName, EntityUid, Request};
use serde_json::{Map, Value};

use super::context::{DeviceView, Facts};
use super::entities::{self, Unbuildable};
use super::evaluate::{Evaluation, Standing};
use super::schema::Filled;
use super::snapshot::Snapshot;
use super::vocabulary;
use crate::model::{CedarQuestion, EntityRef, Principal, PrincipalId, RequestFault, Risk, Timestamp};

/// Who the question is about.
#[derive(Clone, Copy, Debug)]
pub enum QuestionPrincipal<'a> {
    /// Whom the credential proved, or the anonymous principal.
    Proven(&'a Principal),
    /// Whom the caller names; it must be granted to do so.
    Named(&'a EntityRef),
}

/// One Cedar question with what Deodar adds to it. The question's own `principal` is not read: the caller of this
/// room has already decided which of the two applies.
#[derive(Clone, Copy, Debug)]
pub struct QuestionInput<'a> {
    pub principal: QuestionPrincipal<'a>,
    pub question: &'a CedarQuestion,
    pub risk: &'a Risk,
    pub device: DeviceView<'a>,
    pub network_known: bool,
    pub now: Timestamp,
}

/// What is wrong with a question. The values are the caller's own.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub enum QuestionError {
    #[error("`{entity_type}` is not a Cedar type name (of the {what} `{id}`): {why}")]
    BadReference { what: &'static str, entity_type: String, id: String, why: String },
    #[error("`{uid}` belongs to API calls: ask about them as API calls")]
    ApiAction { uid: String },
    #[error("`{uid}` is not an action of this bundle")]
    UnknownAction { uid: String },
    #[error("the context attribute `{attribute}` is filled in by Deodar and cannot be passed")]
    ReservedAttribute { attribute: String },
    #[error("the context does not fit the action `{action}`: {why}")]
    BadContext { action: String, why: String },
    #[error("the entity `{uid}` does not fit the schema: {why}")]
    BadEntity { uid: String, why: String },
    #[error("the entity `{uid}` is of Deodar's own vocabulary and cannot be passed")]
    VocabularyEntity { uid: String },
    #[error("the entity `{uid}` is stored with the bundle and cannot be passed")]
    ReplacesStored { uid: String },
    #[error("the entity `{uid}` is passed twice")]
    DuplicateEntity { uid: String },
    #[error("the passed entities would put the principal `{principal}` into `{ancestor}`")]
    AddsAncestor { principal: String, ancestor: String },
    #[error("the passed entities do not fit together: {why}")]
    BadEntities { why: String },
    #[error("the question does not fit the schema: {why}")]
    BadRequest { why: String },
}

impl QuestionError {
    /// The fault of the request, for the decision's reason.
    pub const fn fault(&self) -> RequestFault {
        match self {
            Self::DuplicateEntity { .. } => RequestFault::Ambiguous,
            _ => RequestFault::SchemaMismatch,
        }
    }
}

/// The principal as Cedar sees it, and as Deodar built it where it is of the vocabulary.
struct Asker {
    uid: EntityUid,
    entity: Option<Entity>,
}

impl Snapshot {
    /// Evaluates one Cedar question. An error means that the question itself is at fault; deny it too.
    pub fn evaluate_question(&self, input: &QuestionInput<'_>) -> Result<Evaluation, QuestionError> {
        let question = input.question;
        let action = uid_of("action", &question.action)?;
        if vocabulary::owns(&action.type_name().namespace()) {
            return Err(QuestionError::ApiAction { uid: action.to_string() });
        }
        let resource = uid_of("resource", &question.resource)?;
        let filled =
            self.filled.get(&action).ok_or_else(|| QuestionError::UnknownAction { uid: action.to_string() })?;
        let asker = self.asker(input.principal)?;
        let entities = self.entities_for(question, &asker, &action)?;
        let context = self.context_for(input, filled, &action)?;
        let request = Request::new(asker.uid, action, resource, context, Some(&self.schema))
            .map_err(|error| QuestionError::BadRequest { why: error.to_string() })?;
        let standing = Standing { token: token_of(input), scopes_met: true, security: None };
        Ok(self.judge(&request, &entities, standing))
    }

    fn asker(&self, principal: QuestionPrincipal<'_>) -> Result<Asker, QuestionError> {
        let unbuildable = |why: Unbuildable| QuestionError::BadRequest { why: why.to_string() };
        let own = |principal: &Principal| {
            let entity = entities::principal(principal, &self.stored).map_err(unbuildable)?;
            Ok(Asker { uid: entity.uid(), entity: Some(entity) })
        };
        let named = match principal {
            QuestionPrincipal::Proven(principal) => return own(principal),
            QuestionPrincipal::Named(named) => named,
        };
        let uid = uid_of("principal", named)?;
        if !vocabulary::owns(&uid.type_name().namespace()) {
            return Ok(Asker { uid, entity: None });
        }
        // A principal of the vocabulary that is only named: nothing but its name is known.
        let id: PrincipalId = format!("{}::{}", uid.type_name().basename(), named.id).parse().map_err(
            |error: crate::model::id::InvalidId| QuestionError::BadReference {
                what: "principal",
                entity_type: named.entity_type.clone(),
                id: named.id.clone(),
                why: error.to_string(),
            },
        )?;
        own(&Principal::bare(id))
    }

    /// Stored entities, the caller's, the principal and the action.
    fn entities_for(
        &self,
        question: &CedarQuestion,
        asker: &Asker,
        action: &EntityUid,
    ) -> Result<Entities, QuestionError> {
        let bad = |error: cedar_policy::entities_errors::EntitiesError| QuestionError::BadEntities { why: cause(&error) };
        let action = self.actions.get(action).cloned();
        let trusted = self.stored.clone().add_entities(asker.entity.clone().into_iter().chain(action), None);
        let trusted = trusted.map_err(bad)?;
        let passed = self.passed_entities(&question.entities)?;
        let all = trusted.clone().add_entities(passed, None).map_err(bad)?;
        let before = ancestors(&trusted, &asker.uid);
        if let Some(added) = ancestors(&all, &asker.uid).difference(&before).next() {
            return Err(QuestionError::AddsAncestor {
                principal: asker.uid.to_string(),
                ancestor: added.to_string(),
            });
        }
        Ok(all)
    }

    fn passed_entities(&self, passed: &[Value]) -> Result<Vec<Entity>, QuestionError> {
        let mut seen = HashSet::new();
        let mut entities = Vec::new();
        for value in passed {
            let entity = Entity::from_json_value(value.clone(), Some(&self.schema)).map_err(|error| {
                let uid = value.get("uid").map_or_else(|| "(no uid)".to_owned(), Value::to_string);
                QuestionError::BadEntity { uid, why: cause(&error) }
            })?;
            let uid = entity.uid();
            if vocabulary::owns(&uid.type_name().namespace()) {
                return Err(QuestionError::VocabularyEntity { uid: uid.to_string() });
            }
            if self.stored.get(&uid).is_some() || self.actions.get(&uid).is_some() {
                return Err(QuestionError::ReplacesStored { uid: uid.to_string() });
            }
            if !seen.insert(uid.clone()) {
                return Err(QuestionError::DuplicateEntity { uid: uid.to_string() });
            }
            entities.push(entity);
        }
        Ok(entities)
    }

    fn context_for(
        &self,
        input: &QuestionInput<'_>,
        filled: &[Filled],
        action: &EntityUid,
    ) -> Result<Context, QuestionError> {
        let bad = |why: String| QuestionError::BadContext { action: action.to_string(), why };
        let given = &input.question.context;
        if let Some(reserved) = Filled::ALL.iter().find(|filled| given.contains_key(filled.name())) {
            return Err(QuestionError::ReservedAttribute { attribute: reserved.name().to_owned() });
        }
        let mut json = given.clone();
        json.extend(filled_json(input, filled).map_err(|why| bad(why.to_string()))?);
        Context::from_json_value(Value::Object(json), Some((&self.schema, action)))
            .map_err(|error| bad(cause(&error)))
    }
}

/// The caller's context is JSON, typed by the schema as a whole; so what is filled in becomes JSON as well.
fn filled_json(input: &QuestionInput<'_>, filled: &[Filled]) -> Result<Map<String, Value>, Unbuildable> {
    let facts = Facts {
        token: token_of(input),
        risk: input.risk,
        device: input.device,
        network_known: input.network_known,
        now: input.now,
    };
    let context = Context::from_pairs(facts.attributes(filled)?).map_err(Unbuildable::because)?;
    match context.to_json_value().map_err(Unbuildable::because)? {
        Value::Object(map) => Ok(map),
        other => Err(Unbuildable::because(format!("a context became {other}"))),
    }
}

/// The credential's token says nothing about somebody the caller names.
fn token_of<'a>(input: &QuestionInput<'a>) -> Option<&'a crate::model::TokenFacts> {
    match input.principal {
        QuestionPrincipal::Proven(principal) => principal.token.as_ref(),
        QuestionPrincipal::Named(_) => None,
    }
}

fn uid_of(what: &'static str, reference: &EntityRef) -> Result<EntityUid, QuestionError> {
    let type_name: EntityTypeName = reference.entity_type.parse().map_err(|error: cedar_policy::ParseErrors| {
        let (entity_type, id) = (reference.entity_type.clone(), reference.id.clone());
        QuestionError::BadReference { what, entity_type, id, why: error.to_string() }
    })?;
    Ok(EntityUid::from_type_name_and_id(type_name, EntityId::new(&reference.id)))
}

fn ancestors(entities: &Entities, uid: &EntityUid) -> BTreeSet<EntityUid> {
    entities.ancestors(uid).into_iter().flatten().cloned().collect()
}

/// Cedar often says what is wrong only in the source of an error.
pub(super) fn cause(error: &dyn std::error::Error) -> String {
    let source = error.source().map(|source| format!(": {source}")).unwrap_or_default();
    format!("{error}{source}")
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::super::support::{SHOP, alice, bundle, noon, risk, snapshot_of, token};
    use super::*;
    use crate::model::{DomainId, Reason, TokenKind};

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
        {"uid":{"type":"Shop::Order","id":"kept"},"attrs":{"total":500},"parents":[]}]"#;

    fn shop() -> Snapshot {
        snapshot_of(&bundle(&[("p.cedar", POLICIES), ("s.cedarschema", SHOP), ("cedarentities.json", STORED)]))
    }

    fn reference(entity_type: &str, id: &str) -> EntityRef {
        EntityRef { entity_type: entity_type.into(), id: id.into() }
    }

    fn question(action: &str, entities: Value, context: Value) -> CedarQuestion {
        let (Value::Array(entities), Value::Object(context)) = (entities, context) else { panic!("an array and an object") };
        CedarQuestion {
            domain: DomainId::default(),
            principal: None,
            action: reference("Shop::Action", action),
            resource: reference("Shop::Order", "o-1"),
            entities,
            context,
        }
    }

    fn ask(principal: QuestionPrincipal<'_>, question: &CedarQuestion, level: u8) -> Result<Evaluation, QuestionError> {
        let device = DeviceView::default();
        let risk = risk(level);
        shop().evaluate_question(&QuestionInput { principal, question, risk: &risk, device, network_known: false, now: noon() })
    }

    fn ask_as_bob(entities: Value, context: Value) -> Result<Evaluation, QuestionError> {
        ask(QuestionPrincipal::Named(&reference("Shop::Clerk", "bob")), &question("approve", entities, context), 0)
    }

    fn order(parents: Value) -> Value {
        json!({"uid": {"type": "Shop::Order", "id": "o-1"}, "attrs": {"total": 5}, "parents": parents})
    }

    fn team(id: &str, parents: Value) -> Value {
        json!({"uid": {"type": "Shop::Team", "id": id}, "attrs": {}, "parents": parents})
    }

    #[test]
    fn an_authenticated_user_is_allowed_by_what_the_caller_says_of_the_resource() {
        let owned = json!([{"uid": {"type": "Shop::Order", "id": "o-1"},
            "attrs": {"total": 5, "owner": {"type": "api::User", "id": "dev/alice"}}, "parents": []}]);
        let alice = alice();
        let evaluation = ask(QuestionPrincipal::Proven(&alice), &question("view", owned.clone(), json!({})), 0).unwrap();
        assert_eq!(evaluation.reason, Reason::Allowed);
        assert_eq!(evaluation.policies[0].as_str(), "owner");
        let named = reference("api::User", "dev/alice");
        let evaluation = ask(QuestionPrincipal::Named(&named), &question("view", owned, json!({})), 0).unwrap();
        assert_eq!(evaluation.reason, Reason::Allowed);
    }

    #[test]
    fn guardrails_cover_domain_questions() {
        let alice = alice();
        let question = question("approve", json!([order(json!([]))]), json!({"note": "please"}));
        let reason = |level| ask(QuestionPrincipal::Proven(&alice), &question, level).unwrap().reason;
        assert_eq!((reason(0), reason(3)), (Reason::Allowed, Reason::ForbiddenByPolicy));
    }

    #[test]
    fn a_user_with_a_token_can_be_asked_to_step_up() {
        let mut alice = alice();
        alice.token = Some(token(TokenKind::User));
        let question = question("approve", json!([order(json!([]))]), json!({"note": "please"}));
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
        assert!(matches!(&error, QuestionError::AddsAncestor { ancestor, .. } if ancestor.contains("blue")), "{error}");
        // Through a team that a stored principal is in.
        let sent = json!([team("green", json!([{"type": "Shop::Team", "id": "blue"}]))]);
        let error = ask_as_bob(sent, json!({})).unwrap_err();
        assert!(matches!(&error, QuestionError::AddsAncestor { ancestor, .. } if ancestor.contains("blue")), "{error}");
        // A team of the resource is the caller's to say.
        let sent = json!([order(json!([{"type": "Shop::Team", "id": "blue"}]))]);
        assert_eq!(ask_as_bob(sent, json!({})).unwrap().reason, Reason::NoMatchingPermit);
    }

    #[test]
    fn entities_of_the_vocabulary_cannot_be_passed() {
        let user = json!([{"uid": {"type": "api::Role", "id": "admin"}, "attrs": {}, "parents": []}]);
        assert!(matches!(ask_as_bob(user, json!({})).unwrap_err(), QuestionError::VocabularyEntity { .. }));
    }

    #[test]
    fn what_does_not_fit_the_schema_is_named() {
        let wrong = json!([{"uid": {"type": "Shop::Order", "id": "o-1"}, "attrs": {"total": "5"}, "parents": []}]);
        let error = ask_as_bob(wrong, json!({})).unwrap_err();
        assert!(error.to_string().contains("o-1") && error.to_string().contains("total"), "{error}");
        let error = ask_as_bob(json!([{"attrs": {}}]), json!({})).unwrap_err();
        assert!(matches!(error, QuestionError::BadEntity { .. }));
        let error = ask_as_bob(json!([order(json!([])), order(json!([]))]), json!({})).unwrap_err();
        assert_eq!((error.fault(), error.to_string().contains("twice")), (RequestFault::Ambiguous, true));
        for context in [json!({"note": 5}), json!({"extra": 1})] {
            let error = ask_as_bob(json!([]), context).unwrap_err();
            assert!(matches!(error, QuestionError::BadContext { .. }), "{error}");
        }
        let circle = json!([team("x", json!([{"type": "Shop::Team", "id": "y"}])), team("y", json!([{"type": "Shop::Team", "id": "x"}]))]);
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
}
