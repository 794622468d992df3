//! Calls as policies see them, attribute by attribute.

use crate::model::{EndpointState, Principal, Reason, TokenKind};
use crate::policy::support::{Call, bundle, snapshot, snapshot_of};

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
fn actor_and_peer_are_workloads_of_their_own() {
    let workload = |id: &str, role: &str| {
        let mut workload = Principal::bare(id.parse().unwrap());
        workload.roles.insert(role.to_owned());
        Some(workload)
    };
    let call = Call {
        actor: workload("Workload::dev/agent", "assistant"),
        peer: workload("Workload::prod/web", "frontend"),
        ..Call::default()
    };
    for condition in [
        "context has actor && context has peer",
        "context has actor && context.actor == api::Workload::\"dev/agent\" && context.actor is api::Workload",
        "context has actor && context.actor.issuer == \"dev\" && context.actor.subject == \"agent\" && context.actor.active",
        "context has actor && context.actor in api::Role::\"assistant\"",
        "context has peer && context.peer == api::Workload::\"prod/web\"",
        "context has peer && context.peer.issuer == \"prod\" && context.peer in api::Role::\"frontend\"",
        "context has peer.subject && context.peer.subject == \"web\"",
        "context has actor && context has peer && context.actor != context.peer",
        "principal == api::User::\"dev/alice\" && principal.active && principal in api::Role::\"clerk\"",
    ] {
        assert!(permits_when(&call, condition), "{condition}");
        assert!(!permits_when(&call, &format!("!({condition})")), "{condition}");
    }
    assert!(!permits_when(&Call::default(), "context has actor || context has peer"));
}

#[test]
fn who_is_calling_may_be_the_peer_too() {
    let call = Call { peer: Some(crate::policy::support::alice()), ..Call::default() };
    let both = "@id(\"p\") permit(principal, action, resource is api::Endpoint)
        when { context has peer && context.peer in api::Role::\"clerk\" && principal in api::Role::\"clerk\" };";
    assert_eq!(reason(&call, both), Reason::Allowed);
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
    let policy =
        "@id(\"p\") permit(principal in api::Role::\"seller\", action, resource in api::Service::\"shop\");";
    let snapshot = snapshot_of(&bundle(&[("a.cedar", policy), ("cedarentities.json", stored)]));
    assert_eq!(Call::default().evaluate(&snapshot).reason, Reason::Allowed);
    let elsewhere = Call { api: "accounts", ..Call::default() };
    assert_eq!(elsewhere.evaluate(&snapshot).reason, Reason::NoMatchingPermit);
}

/// A constant of one policy is put into the context for it; another must not find it there.
#[test]
fn a_constant_of_one_policy_is_no_attribute_to_another() {
    let near = "@id(\"f\") forbid(principal, action, resource is api::Endpoint) when { context.request has ip && context.request.ip.isInRange(ip(\"10.0.0.0/8\")) };";
    let odd = "@id(\"p\") permit(principal, action, resource is api::Endpoint) when { context has \"ip(\\\"10.0.0.0/8\\\")\" || context.risk.level > 4 };";
    let call = Call { ip: Some("192.0.2.1"), ..Call::default() };
    assert_eq!(call.evaluate(&snapshot(&format!("{near}\n{odd}"))).reason, Reason::NoMatchingPermit);
}
