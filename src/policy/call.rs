//! API calls put to the policies, in the words of the vocabulary.
//!
//! Everything is built natively from values that were checked when they were made, and only what the candidate
//! policies can read. Trouble on the way is a deny with a reason, never an error for the caller to forget. The
//! rules are in `evaluate`.

use std::borrow::Cow;
use std::cell::OnceCell;
use std::collections::BTreeMap;
use std::net::IpAddr;
use std::sync::Arc;

use cedar_policy_core::ast::{Context, Entity, Request, Value};
use cedar_policy_core::entities::Entities;
use cedar_policy_core::evaluator::Evaluator;
use cedar_policy_core::extensions::Extensions;

use super::candidates::CandidateSet;
use super::condition::{Condition, Constants};
use super::context::{context, request_value};
use super::entities::{NAMES, Unbuildable, by_name, truth, values};
use super::evaluate::{Evaluation, Standing, judge};
use super::facts::{DeviceView, Facts};
use super::prepared::{PreparedEndpoint, PreparedPrincipal, join};
use super::program::Scene;
use super::reads::{Fact, Reads};
use super::schema::Filled;
use super::snapshot::Snapshot;
use crate::model::{Located, Principal, Rates, Risk, Timestamp};

/// One API call with everything that policies may read of it.
#[derive(Clone, Copy, Debug)]
pub struct CallInput<'a> {
    pub principal: &'a Principal,
    /// Who acts for the principal.
    pub actor: Option<&'a Principal>,
    /// The workload at the other end of the client's connection.
    pub peer: Option<&'a Principal>,
    pub located: &'a Located,
    /// One alternative of the declared `security` is fully held.
    pub scopes_met: bool,
    pub risk: &'a Risk,
    /// This call included.
    pub rates: Rates,
    pub device: DeviceView<'a>,
    /// The client's address, where the PEP may be believed about it.
    pub source_ip: Option<IpAddr>,
    /// Whether the client's connection to the gateway is encrypted.
    pub secure: bool,
    /// Only headers that the configuration names; names in lower case.
    pub headers: &'a [(String, String)],
    /// What the gateway attached.
    pub metadata: &'a BTreeMap<String, Vec<String>>,
    pub network_known: bool,
    pub now: Timestamp,
}

impl Snapshot {
    /// Evaluates one API call. It cannot fail: what cannot be evaluated is denied.
    pub fn evaluate_call(&self, call: &CallInput<'_>) -> Evaluation {
        let endpoint = self.prepared_endpoint(&call.located.endpoint);
        let evaluated = endpoint.as_ref().as_ref().map(|endpoint| self.evaluate_prepared(call, endpoint));
        match evaluated {
            Ok(Ok(evaluation)) => evaluation,
            Ok(Err(why)) => Evaluation::unbuildable(&why),
            Err(why) => Evaluation::unbuildable(why),
        }
    }

    fn evaluate_prepared(
        &self,
        call: &CallInput<'_>,
        endpoint: &PreparedEndpoint,
    ) -> Result<Evaluation, Unbuildable> {
        let principal = self.prepared_principal(call.principal);
        let candidates = self.candidates_for(&principal, endpoint);
        let others = self.others(call, candidates.reads);
        let scene =
            Scene { call, facts: call.facts(&principal), principal: &principal, others: &others, endpoint };
        // Made only when a candidate asks something that its program cannot tell.
        let request = OnceCell::new();
        let evaluator = OnceCell::new();
        let holds = |condition: &Condition| {
            if let Some(holds) = condition.holds(&scene) {
                return Ok(holds);
            }
            let request = request.get_or_init(|| scene.request(&candidates));
            let (request, entities) = request.as_ref().map_err(ToString::to_string)?;
            let evaluator = evaluator
                .get_or_init(|| Evaluator::new(request.clone(), entities, Extensions::all_available()));
            condition.evaluate(evaluator, candidates.wanted_constants())
        };
        let evaluation = judge(&candidates, holds, call.standing());
        match request.into_inner() {
            Some(Err(why)) => Err(why),
            _ => Ok(evaluation),
        }
    }
}

/// The workloads that have a part in a call and are read, each by its attribute of the context.
pub(super) type Others = [Option<(&'static str, Arc<PreparedPrincipal>)>; 2];

impl Snapshot {
    /// One name is one entity, whichever of them is read: an actor that is at the other end too is what was proved there.
    fn others(&self, call: &CallInput<'_>, reads: Reads) -> Others {
        let proved = |actor: &Principal| call.peer.filter(|peer| peer.id == actor.id);
        let actor = call.actor.map(|actor| proved(actor).unwrap_or(actor));
        [("peer", Fact::Peer, call.peer), ("actor", Fact::Actor, actor)].map(|(name, fact, other)| {
            let other = other.filter(|_| reads.has(fact))?;
            Some((name, self.prepared_principal(other)))
        })
    }
}

impl<'a> Scene<'a> {
    /// The request as Cedar sees it, with the entities that are read.
    fn request(&self, candidates: &CandidateSet) -> Result<(Request, Cow<'a, Entities>), Unbuildable> {
        let context = self.call.context(&self.facts, self.others, candidates)?;
        let request = Request::new_unchecked(
            self.principal.uid.clone(),
            self.endpoint.action.clone(),
            self.endpoint.uid.clone(),
            Some(context),
        );
        let people = People { principal: self.principal, others: self.others };
        Ok((request, self.call.entities(&people, self.endpoint, candidates.reads)?))
    }
}

impl CallInput<'_> {
    fn facts<'f>(&'f self, principal: &'f PreparedPrincipal) -> Facts<'f> {
        Facts {
            token: self.principal.token.as_ref(),
            token_sets: &principal.token,
            risk: self.risk,
            rates: self.rates,
            device: self.device,
            network_known: self.network_known,
            now: self.now,
        }
    }

    fn standing(&self) -> Standing<'_> {
        Standing {
            token: self.principal.token.as_ref(),
            scopes_met: self.scopes_met,
            security: self.located.endpoint.security.as_deref(),
        }
    }

    /// The part of `api::Call` that the candidates can read. It is not checked against the schema: it is built from
    /// types that the schema was written for, which a property test shows.
    fn context(
        &self,
        facts: &Facts<'_>,
        others: &Others,
        candidates: &CandidateSet,
    ) -> Result<Context, Unbuildable> {
        let reads = candidates.reads;
        let scopes_met = reads.has(Fact::ScopesMet).then(|| ("scopes_met", truth(self.scopes_met)));
        let request = if reads.has(Fact::Request) {
            Some(("request", request_value(&self.located.host, self.source_ip, self.secure, reads)?))
        } else {
            None
        };
        let constants = match candidates.wanted_constants() {
            Constants::InContext => candidates.constants.as_slice(),
            Constants::Absent => &[],
        };
        let constants = constants.iter().map(|constant| (constant.name.as_ref(), constant.value.clone()));
        let named = |(name, other): &(&'static str, Arc<PreparedPrincipal>)| (*name, by_name(&other.entity));
        let others = others.iter().flatten().map(named);
        let own = scopes_met.into_iter().chain(request).chain(others);
        // The names of constants live as long as the candidates, all others for ever.
        let attributes =
            facts.attributes(&Filled::ALL, reads).map(|(name, value)| -> (&str, Value) { (name, value) });
        Ok(context(attributes.chain(own).chain(constants)))
    }

    /// Of the few entities that a level-1 policy can reach, those that are read: principal, actor, peer, endpoint, action
    /// and the bags of values.
    fn entities<'e>(
        &self,
        people: &People<'_>,
        endpoint: &'e PreparedEndpoint,
        reads: Reads,
    ) -> Result<Cow<'e, Entities>, Unbuildable> {
        let people = people.entities(reads);
        let bags = reads.has_any(&[Fact::PathParams, Fact::QueryParams, Fact::Headers, Fact::Metadata]);
        if people.is_empty() && !bags {
            return Ok(Cow::Borrowed(&endpoint.entities));
        }
        let bags = bags.then(|| self.bags(reads));
        join(endpoint.entities.clone(), people.into_iter().chain(bags.into_iter().flatten())).map(Cow::Owned)
    }

    fn bags(&self, reads: Reads) -> impl Iterator<Item = Arc<Entity>> {
        let located = self.located;
        let metadata = || {
            let all = self.metadata.iter();
            all.flat_map(|(name, values)| values.iter().map(|value| (name.as_str(), value.as_str())))
        };
        let path_params =
            reads.has(Fact::PathParams).then(|| values(&NAMES.path_params, pairs(&located.path_params)));
        let query_params =
            reads.has(Fact::QueryParams).then(|| values(&NAMES.query_params, pairs(&located.query_params)));
        let headers = reads.has(Fact::Headers).then(|| values(&NAMES.headers, pairs(self.headers)));
        let metadata = reads.has(Fact::Metadata).then(|| values(&NAMES.metadata, metadata()));
        [path_params, query_params, headers, metadata].into_iter().flatten().map(Arc::new)
    }
}

/// All who have a part in a call.
struct People<'a> {
    principal: &'a PreparedPrincipal,
    others: &'a Others,
}

impl People<'_> {
    /// Each once, of those that are read: who is calling may be at the other end too, and is known best as the principal.
    fn entities(&self, reads: Reads) -> Vec<Arc<Entity>> {
        let principal = reads.has(Fact::PrincipalEntity).then_some(&self.principal.entity);
        let others = self.others.iter().flatten().map(|(_, other)| &other.entity);
        let own = |entity: &&Arc<Entity>| entity.uid() == self.principal.entity.uid();
        let others = others.map(|entity| if own(&entity) { &self.principal.entity } else { entity });
        let mut entities: Vec<Arc<Entity>> = Vec::new();
        for entity in principal.into_iter().chain(others) {
            if !entities.iter().any(|known| known.uid() == entity.uid()) {
                entities.push(Arc::clone(entity));
            }
        }
        entities
    }
}

fn pairs(pairs: &[(String, String)]) -> impl Iterator<Item = (&str, &str)> {
    pairs.iter().map(|(name, value)| (name.as_str(), value.as_str()))
}

#[cfg(test)]
mod random;
#[cfg(test)]
mod tests;
