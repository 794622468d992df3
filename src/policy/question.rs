//! Cedar questions in the words of a bundle's own schema.
//!
//! Callers bring entities and context; both are checked against the schema. What a caller brings never replaces
//! what is stored, never adds ancestors to the principal or to it, and never states a fact that Deodar states itself.

use std::collections::{BTreeSet, HashSet};

use cedar_policy::{
    Context, Entities, Entity, EntityId, EntityTypeName, EntityUid, Request, RequestValidationError,
};
use serde_json::{Map, Value};

use super::context::context;
use super::entities::{self, Unbuildable};
use super::evaluate::{Evaluation, Standing};
use super::facts::{DeviceView, Facts};
use super::prepared::TokenSets;
use super::reads::Reads;
use super::schema::Filled;
use super::snapshot::Snapshot;
use super::vocabulary;
use crate::model::{CedarQuestion, EntityRef, Principal, PrincipalId, Rates, RequestFault, Risk, Timestamp};

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
    /// This call included.
    pub rates: Rates,
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
    #[error(
        "the passed entities would put `{entity}` into `{ancestor}`, and who it is in is not the caller's to say"
    )]
    AddsAncestor { entity: String, ancestor: String },
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
        let filled = self
            .filled
            .get(&action)
            .ok_or_else(|| QuestionError::UnknownAction { uid: action.to_string() })?;
        let asker = self.asker(input.principal)?;
        let entities = self.entities_for(question, &asker, &action)?;
        let context = self.context_for(input, filled, &action)?;
        let request = Request::new(asker.uid, action.clone(), resource, context, Some(&self.schema))
            .map_err(|error| misfit(&action, &error))?;
        let standing = Standing { token: token_of(input), scopes_met: true, security: None };
        Ok(self.judge(&request, &entities, standing))
    }

    fn asker(&self, principal: QuestionPrincipal<'_>) -> Result<Asker, QuestionError> {
        let own = |principal: &Principal| {
            let entity = Entity::from(entities::principal(principal, self.stored.as_ref()));
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
        let bad = |error: cedar_policy::entities_errors::EntitiesError| QuestionError::BadEntities {
            why: cause(&error),
        };
        let action = self.actions.get(action).cloned();
        let trusted = self.stored.clone().add_entities(asker.entity.clone().into_iter().chain(action), None);
        let trusted = trusted.map_err(bad)?;
        let passed = self.passed_entities(&question.entities)?;
        let all = trusted.clone().add_entities(passed, None).map_err(bad)?;
        let mut kept = trusted.iter().map(Entity::uid).chain([asker.uid.clone()]);
        kept.try_for_each(|uid| keeps_ancestors(&uid, &trusted, &all))?;
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
        token_sets: &TokenSets::default(),
        risk: input.risk,
        rates: input.rates,
        device: input.device,
        network_known: input.network_known,
        now: input.now,
    };
    let context = Context::from(context(facts.attributes(filled, Reads::ALL)));
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
    let type_name: EntityTypeName =
        reference.entity_type.parse().map_err(|error: cedar_policy::ParseErrors| {
            let (entity_type, id) = (reference.entity_type.clone(), reference.id.clone());
            QuestionError::BadReference { what, entity_type, id, why: error.to_string() }
        })?;
    Ok(EntityUid::from_type_name_and_id(type_name, EntityId::new(&reference.id)))
}

fn misfit(action: &EntityUid, error: &RequestValidationError) -> QuestionError {
    let why = error.to_string();
    match error {
        RequestValidationError::InvalidContext(_) => {
            QuestionError::BadContext { action: action.to_string(), why }
        }
        _ => QuestionError::BadRequest { why },
    }
}

/// The principal and what is stored are in what they were in before the caller's entities came, and in nothing else:
/// also not through a parent that the caller brings.
fn keeps_ancestors(uid: &EntityUid, before: &Entities, after: &Entities) -> Result<(), QuestionError> {
    let (before, after) = (ancestors(before, uid), ancestors(after, uid));
    after.difference(&before).next().map_or(Ok(()), |added| {
        Err(QuestionError::AddsAncestor { entity: uid.to_string(), ancestor: added.to_string() })
    })
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
mod tests;
