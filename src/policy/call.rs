//! API calls put to the policies, in the words of the vocabulary.
//!
//! Everything is built natively from values that were checked when they were made, and only what the candidate
//! policies can read. Trouble on the way is a deny with a reason, never an error for the caller to forget. The
//! rules are in `evaluate`.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::net::IpAddr;
use std::sync::Arc;

use cedar_policy_core::ast::{Context, Entity, Request, Value};
use cedar_policy_core::entities::Entities;
use cedar_policy_core::evaluator::Evaluator;
use cedar_policy_core::extensions::Extensions;

use super::candidates::CandidateSet;
use super::condition::Constants;
use super::context::{DeviceView, Facts, context, request_value};
use super::entities::{NAMES, Unbuildable, truth, values};
use super::evaluate::{Evaluation, Standing, judge};
use super::prepared::{PreparedEndpoint, PreparedPrincipal, join};
use super::reads::{Fact, Reads};
use super::schema::Filled;
use super::snapshot::Snapshot;
use crate::model::{Located, Principal, Risk, Timestamp};

/// One API call with everything that policies may read of it.
#[derive(Clone, Copy, Debug)]
pub struct CallInput<'a> {
    pub principal: &'a Principal,
    pub located: &'a Located,
    /// One alternative of the declared `security` is fully held.
    pub scopes_met: bool,
    pub risk: &'a Risk,
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
        let context = call.context(&principal, &candidates)?;
        let request = Request::new_unchecked(
            principal.uid.clone(),
            endpoint.action.clone(),
            endpoint.uid.clone(),
            Some(context),
        );
        let entities = call.entities(&principal, endpoint, candidates.reads)?;
        let evaluator = Evaluator::new(request, &entities, Extensions::all_available());
        Ok(judge(&candidates, &evaluator, candidates.wanted_constants(), call.standing()))
    }
}

impl CallInput<'_> {
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
        principal: &PreparedPrincipal,
        candidates: &CandidateSet,
    ) -> Result<Context, Unbuildable> {
        let reads = candidates.reads;
        let facts = Facts {
            token: self.principal.token.as_ref(),
            token_sets: &principal.token,
            risk: self.risk,
            device: self.device,
            network_known: self.network_known,
            now: self.now,
        };
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
        let own = scopes_met.into_iter().chain(request);
        // The names of constants live as long as the candidates, all others for ever.
        let attributes = facts.attributes(&Filled::ALL, reads).map(|(name, value)| -> (&str, Value) { (name, value) });
        Ok(context(attributes.chain(own).chain(constants)))
    }

    /// Of the few entities that a level-1 policy can reach, those that are read: principal, endpoint, action and
    /// the bags of values.
    fn entities<'e>(
        &self,
        principal: &PreparedPrincipal,
        endpoint: &'e PreparedEndpoint,
        reads: Reads,
    ) -> Result<Cow<'e, Entities>, Unbuildable> {
        let principal = reads.has(Fact::PrincipalEntity).then(|| Arc::clone(&principal.entity));
        let bags = reads.has_any(&[Fact::PathParams, Fact::QueryParams, Fact::Headers, Fact::Metadata]);
        if principal.is_none() && !bags {
            return Ok(Cow::Borrowed(&endpoint.entities));
        }
        let bags = bags.then(|| self.bags(reads));
        join(endpoint.entities.clone(), principal.into_iter().chain(bags.into_iter().flatten())).map(Cow::Owned)
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

fn pairs(pairs: &[(String, String)]) -> impl Iterator<Item = (&str, &str)> {
    pairs.iter().map(|(name, value)| (name.as_str(), value.as_str()))
}

#[cfg(test)]
mod tests {
    use super::super::support::{Call, bundle, snapshot, snapshot_of};
    use crate::model::{EndpointState, Reason, TokenKind};

    fn reason(call: &Call, policies: &str) -> Reason {
        let evaluation = call.evaluate(&snapshot(policies));
        assert_eq!(evaluation.fault, None);
        evaluation.reason
    }

    fn permits_when(call: &Call, condition: &str) -> bool {
        let scope = "@id(\"p\") permit(principal is api::User, action, resource is api::Endpoint)";
        reason(call, &format!("{scope} when {{ {condition} }};")) == Reason::Allowed
    }

    #[test]
    fn own_account_is_told_by_a_path_parameter() {
        let policy = "@id(\"own\") permit (principal is api::User, action in api::Action::\"read\",
              resource == api::Endpoint::\"accounts/GET /accounts/{id}\")
            when { context.request.path_params.hasTag(\"id\")
              && context.request.path_params.getTag(\"id\").contains(principal.subject) };";
        let of = |path_params| {
            let call = Call { api: "accounts", template: "/accounts/{id}", path_params, ..Call::default() };
            reason(&call, policy)
        };
        assert_eq!(of(&[("id", "alice")]), Reason::Allowed);
        assert_eq!(of(&[("id", "bob")]), Reason::NoMatchingPermit);
        assert_eq!(of(&[]), Reason::NoMatchingPermit);
    }

    #[test]
    fn a_missing_parameter_is_no_error() {
        let policy = "@id(\"p\") permit(principal, action, resource);
            @id(\"f\") forbid(principal, action, resource is api::Endpoint)
            when { context.request.query_params.hasTag(\"debug\") };";
        assert_eq!(reason(&Call::default(), policy), Reason::Allowed);
        let debug = Call { query_params: &[("debug", "1")], ..Call::default() };
        assert_eq!(reason(&debug, policy), Reason::ForbiddenByPolicy);
    }

    #[test]
    fn everything_in_the_vocabulary_can_be_read() {
        let call =
            Call { headers: &[("x-env", "prod")], ip: Some("::ffff:192.0.2.7"), level: 3, ..Call::default() };
        for condition in [
            "principal.issuer == \"dev\" && principal.subject == \"alice\" && principal.active",
            "principal has tenant && principal.tenant == \"acme\"",
            "principal.hasTag(\"dir:team\") && principal.getTag(\"dir:team\").contains(\"blue\")",
            "principal in api::Role::\"clerk\" && principal in api::Group::\"sales\"",
            "resource in api::Service::\"orders\" && resource.method == \"GET\" && resource.template == \"/orders/{id}\"",
            "resource.sensitivity == 2 && resource.state == api::EndpointState::\"declared\"",
            "resource.labels.contains(\"pii\") && !(resource has operation)",
            "action in api::Action::\"read\" && action == api::Action::\"GET\"",
            "context.scopes_met && !(context has peer) && !(context has actor) && !(context has object)",
            "context has token && context.token.kind == api::TokenKind::\"user\" && context.token.issuer == \"dev\"",
            "context has token && context.token.age_s == 60 && context.token.lifetime_s == 900",
            "context has token && context.token has auth_age_s && context.token.auth_age_s == 120",
            "context has token && context.token.scopes.contains(\"orders:read\") && !context.token.sender_constrained",
            "context.request.host == \"orders.example\" && context.request.secure",
            "context.request has ip && context.request.ip.isInRange(ip(\"192.0.2.0/24\"))",
            "context.request.headers.hasTag(\"x-env\") && context.request.headers.getTag(\"x-env\") == [\"prod\"]",
            "context.request.metadata.hasTag(\"zone\")",
            "context.risk.level == 3 && context.risk.score == 60 && context.risk.reasons.contains(\"new_network\")",
            "!context.risk.stale && !context.risk.learning && context.risk.confidence == 50",
            "!context.device.known && !(context.device has id)",
            "context.network.class == api::NetworkClass::\"unknown\" && !context.network.known",
            "context.time.hour == 12 && context.time.weekday == 1",
        ] {
            assert!(permits_when(&call, condition), "{condition}");
            assert!(!permits_when(&call, &format!("!({condition})")), "{condition}");
        }
    }

    #[test]
    fn an_anonymous_caller_has_no_attributes_and_no_roles() {
        let anonymous = Call { anonymous: true, token: None, ..Call::default() };
        let policy = "@id(\"public\") permit(principal is api::Anonymous, action, resource);";
        assert_eq!(reason(&anonymous, policy), Reason::Allowed);
        let roles = "@id(\"clerks\") permit(principal in api::Role::\"clerk\", action, resource);";
        assert_eq!(reason(&anonymous, roles), Reason::NoMatchingPermit);
    }

    #[test]
    fn an_undeclared_endpoint_says_so() {
        let found = Call { state: EndpointState::Discovered, ..Call::default() };
        assert!(permits_when(&found, "resource.state == api::EndpointState::\"discovered\""));
    }

    #[test]
    fn a_better_known_action_keeps_its_group() {
        let search = Call { method: "POST", action: Some("query"), ..Call::default() };
        assert!(permits_when(&search, "action in api::Action::\"read\" && resource.method == \"POST\""));
        assert!(!permits_when(&search, "action in api::Action::\"write\""));
    }

    #[test]
    fn an_action_that_nobody_declared_is_denied_with_the_fault() {
        let odd = Call { action: Some("PURGE"), ..Call::default() };
        let evaluation = odd.evaluate(&snapshot("@id(\"p\") permit(principal, action, resource);"));
        assert_eq!(evaluation.reason, Reason::Internal);
        assert!(evaluation.fault.unwrap().contains("PURGE"));
    }

    #[test]
    fn hostile_text_stays_text() {
        let path_params = &[("id", "\" } unless { true };\n\u{0}")];
        let call = Call { path_params, token: Some(TokenKind::Client), ..Call::default() };
        assert_eq!(reason(&call, "@id(\"p\") permit(principal, action, resource);"), Reason::Allowed);
    }

    #[test]
    fn stored_hierarchies_of_services_and_groups_count() {
        let stored = r#"[
            {"uid":{"type":"api::Service","id":"orders"},"attrs":{},"parents":[{"type":"api::Service","id":"shop"}]},
            {"uid":{"type":"api::Group","id":"sales"},"attrs":{},"parents":[{"type":"api::Role","id":"seller"}]}]"#;
        let policy = "@id(\"p\") permit(principal in api::Role::\"seller\", action, resource in api::Service::\"shop\");";
        let snapshot = snapshot_of(&bundle(&[("a.cedar", policy), ("cedarentities.json", stored)]));
        assert_eq!(Call::default().evaluate(&snapshot).reason, Reason::Allowed);
        let elsewhere = Call { api: "accounts", ..Call::default() };
        assert_eq!(elsewhere.evaluate(&snapshot).reason, Reason::NoMatchingPermit);
    }
}
