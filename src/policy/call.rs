//! API calls put to the policies, in the words of the vocabulary.
//!
//! Everything is built natively from values that were checked when they were made; nothing is parsed. Trouble on
//! the way is a deny with a reason, never an error for the caller to forget. The rules are in `evaluate`.

use std::collections::BTreeMap;
use std::net::IpAddr;

use cedar_policy::{Context, Entities, EntityUid, Request, RestrictedExpression};

use super::context::{DeviceView, Facts, request_value};
use super::entities::{self, NAMES, Unbuildable, uid};
use super::evaluate::{Evaluation, Standing};
use super::schema::Filled;
use super::snapshot::Snapshot;
use crate::model::{Located, Principal, Rates, Risk, Timestamp};

/// One API call with everything that policies may read of it.
#[derive(Clone, Copy, Debug)]
pub struct CallInput<'a> {
    pub principal: &'a Principal,
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
        let standing = Standing {
            token: call.principal.token.as_ref(),
            scopes_met: call.scopes_met,
            security: call.located.endpoint.security.as_deref(),
        };
        let built = self.request_of(call).and_then(|request| Ok((request, self.entities_of(call)?)));
        match built {
            Ok((request, entities)) => self.judge(&request, &entities, standing),
            Err(why) => Evaluation::unbuildable(&why),
        }
    }

    fn request_of(&self, call: &CallInput<'_>) -> Result<Request, Unbuildable> {
        let facts = Facts {
            token: call.principal.token.as_ref(),
            risk: call.risk,
            rates: call.rates,
            device: call.device,
            network_known: call.network_known,
            now: call.now,
        };
        let mut pairs = facts.attributes(&Filled::ALL)?;
        pairs.push(("scopes_met".to_owned(), RestrictedExpression::new_bool(call.scopes_met)));
        pairs.push(("request".to_owned(), request_value(&call.located.host, call.source_ip, call.secure)?));
        let context = Context::from_pairs(pairs).map_err(Unbuildable::because)?;
        let principal = entities::principal_uid(&call.principal.id);
        let resource = entities::endpoint_uid(&call.located.endpoint);
        Request::new(principal, action_of(call), resource, context, Some(&self.schema))
            .map_err(Unbuildable::because)
    }

    /// The few entities that a level-1 policy can reach: principal, endpoint, action and the bags of values.
    fn entities_of(&self, call: &CallInput<'_>) -> Result<Entities, Unbuildable> {
        let located = call.located;
        let action = action_of(call);
        let action = self
            .actions
            .get(&action)
            .ok_or_else(|| Unbuildable::because(format!("`{action}` is unknown")))?;
        let metadata = call
            .metadata
            .iter()
            .flat_map(|(name, values)| values.iter().map(|v| (name.as_str(), v.as_str())));
        let built = [
            entities::principal(call.principal, &self.stored)?,
            entities::endpoint(&located.endpoint, &self.stored)?,
            action.clone(),
            entities::values("path_params", pairs(&located.path_params))?,
            entities::values("query_params", pairs(&located.query_params))?,
            entities::values("headers", pairs(call.headers))?,
            entities::values("metadata", metadata)?,
        ];
        // Without the schema: with it, Cedar would add every action of it on each call.
        Entities::from_entities(built, None).map_err(Unbuildable::because)
    }
}

fn action_of(call: &CallInput<'_>) -> EntityUid {
    uid(&NAMES.action, &call.located.endpoint.action)
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
            "context.rate.principal == {last_second: 1, last_minute: 2, last_hour: 3}",
            "context.rate.principal_endpoint == {last_second: 4, last_minute: 5, last_hour: 6}",
            "context.rate.network == {last_second: 7, last_minute: 8, last_hour: 4294967295}",
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
