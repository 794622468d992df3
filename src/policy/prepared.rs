//! What one principal and one endpoint are to the policies of one snapshot, made once and shared.
//!
//! A token is good for many calls and an endpoint for very many; their entities, their ancestors and the sides of
//! scopes they meet stay the same until the policies change. The values are kept with the principal and the endpoint
//! themselves, so that they go when those go.

use std::sync::{Arc, OnceLock};

use cedar_policy_core::ast::{Entity, EntityUIDEntry, Value};
use cedar_policy_core::entities::{Dereference, Entities, NoEntitiesSchema, TCComputation};
use cedar_policy_core::extensions::Extensions;

use super::candidates::{CandidateSet, Class};
use super::entities::{self, NAMES, Unbuildable, set, uid};
use super::index::Sides;
use super::snapshot::Snapshot;
use crate::model::{Endpoint, Principal, TokenFacts};

/// A principal in the words of one snapshot.
#[derive(Debug)]
pub(super) struct PreparedPrincipal {
    pub uid: EntityUIDEntry,
    pub entity: Arc<Entity>,
    pub token: TokenSets,
    class: Class,
    sides: Sides,
}

/// The sets of a token: the part of `context.token` that does not change with time and costs to build.
#[derive(Debug, Default)]
pub(super) struct TokenSets {
    audience: OnceLock<Value>,
    scopes: OnceLock<Value>,
    amr: OnceLock<Value>,
}

impl TokenSets {
    pub fn audience(&self, token: &TokenFacts) -> Value {
        self.audience.get_or_init(|| set(token.audience.iter().map(String::as_str))).clone()
    }

    pub fn scopes(&self, token: &TokenFacts) -> Value {
        self.scopes.get_or_init(|| set(token.scopes.iter().map(String::as_str))).clone()
    }

    pub fn amr(&self, token: &TokenFacts) -> Value {
        self.amr.get_or_init(|| set(token.amr.iter().map(String::as_str))).clone()
    }
}

/// An endpoint with its action, in the words of one snapshot.
#[derive(Debug)]
pub(super) struct PreparedEndpoint {
    pub uid: EntityUIDEntry,
    pub action: EntityUIDEntry,
    pub entity: Arc<Entity>,
    pub action_entity: Arc<Entity>,
    /// The endpoint and its action.
    pub entities: Entities,
    class: Class,
    action_sides: Sides,
    resource_sides: Sides,
}

impl Snapshot {
    pub(super) fn prepared_principal(&self, principal: &Principal) -> Arc<PreparedPrincipal> {
        let generation = self.candidates.index.generation();
        principal.prepared.get_or_prepare(generation, || self.prepare_principal(principal))
    }

    fn prepare_principal(&self, principal: &Principal) -> PreparedPrincipal {
        let entity = entities::principal(principal, self.stored.as_ref());
        let sides = self.candidates.index.principal_sides(entity.uid(), entity.ancestors());
        PreparedPrincipal {
            uid: entity.uid().clone().into(),
            class: self.candidates.principal_class(&sides),
            entity: Arc::new(entity),
            token: TokenSets::default(),
            sides,
        }
    }

    /// The error is that the action is none of the vocabulary.
    pub(super) fn prepared_endpoint(
        &self,
        endpoint: &Endpoint,
    ) -> Arc<Result<PreparedEndpoint, Unbuildable>> {
        let generation = self.candidates.index.generation();
        endpoint.prepared.get_or_prepare(generation, || self.prepare_endpoint(endpoint))
    }

    fn prepare_endpoint(&self, endpoint: &Endpoint) -> Result<PreparedEndpoint, Unbuildable> {
        let named = uid(&NAMES.action, &endpoint.action);
        let Dereference::Data(action) = self.actions.as_ref().entity(&named) else {
            return Err(Unbuildable::because(format!("`{named}` is unknown")));
        };
        let action = Arc::new(action.clone());
        let resource = Arc::new(entities::endpoint(endpoint, self.stored.as_ref()));
        let index = &self.candidates.index;
        let action_sides = index.action_sides(action.uid(), action.ancestors());
        let resource_sides = index.resource_sides(resource.uid(), resource.ancestors());
        Ok(PreparedEndpoint {
            uid: resource.uid().clone().into(),
            action: named.into(),
            class: self.candidates.endpoint_class(&action_sides, &resource_sides),
            entities: join(Entities::new(), [Arc::clone(&action), Arc::clone(&resource)])?,
            entity: resource,
            action_entity: action,
            action_sides,
            resource_sides,
        })
    }

    /// The policies that can decide what this principal asks of this endpoint.
    pub(super) fn candidates_for(
        &self,
        principal: &PreparedPrincipal,
        endpoint: &PreparedEndpoint,
    ) -> Arc<CandidateSet> {
        self.candidates.set(principal.class, endpoint.class, |index| {
            index.candidates(&principal.sides, &endpoint.action_sides, &endpoint.resource_sides)
        })
    }
}

/// More entities, each with all its ancestors.
pub(super) fn join(
    entities: Entities,
    more: impl IntoIterator<Item = Arc<Entity>>,
) -> Result<Entities, Unbuildable> {
    let schema = None::<&NoEntitiesSchema>;
    let assume = TCComputation::AssumeAlreadyComputed;
    entities.add_entities(more, schema, assume, Extensions::none()).map_err(Unbuildable::because)
}
