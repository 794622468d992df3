//! Random calls: what is built is what the schema wants, and leaving out what is not read changes no answer.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use cedar_policy::{AuthorizationError, Authorizer, Entities, Entity, PolicySet, Request};
use proptest::option;
use proptest::prelude::*;
use proptest::sample::select;

use super::*;
use crate::model::{
    Api, ApiMode, Endpoint, EndpointId, EndpointState, Prepared, Rate, Reason, RiskLevel, RiskReason,
    Sensitivity, TokenFacts, TokenKind,
};
use crate::policy::snapshot::PolicyEffect;
use crate::policy::support::{noon, snapshot};

/// Everything of a call, owned.
#[derive(Clone, Debug)]
struct Sample {
    principal: Principal,
    others: [Option<Principal>; 2],
    located: Located,
    risk: Risk,
    rates: Rates,
    device: (bool, Option<String>, Option<bool>, Option<u32>),
    ip: Option<IpAddr>,
    headers: Vec<(String, String)>,
    metadata: BTreeMap<String, Vec<String>>,
    flags: (bool, bool, bool),
    now: Timestamp,
}

impl Sample {
    fn input(&self) -> CallInput<'_> {
        let (known, id, compliant, posture_age_s) = &self.device;
        CallInput {
            principal: &self.principal,
            actor: self.others[0].as_ref(),
            peer: self.others[1].as_ref(),
            located: &self.located,
            scopes_met: self.flags.0,
            risk: &self.risk,
            rates: self.rates,
            device: DeviceView {
                known: *known,
                id: id.as_deref(),
                compliant: *compliant,
                posture_age_s: *posture_age_s,
            },
            source_ip: self.ip,
            secure: self.flags.1,
            headers: &self.headers,
            metadata: &self.metadata,
            network_known: self.flags.2,
            now: self.now,
        }
    }
}

/// Few words, so that conditions meet them; and some that must stay text.
fn word() -> impl Strategy<Value = String> {
    prop_oneof![
        4 => select(vec!["", "a", "b", "clerk", "alice", "urn:mfa", "orders:read"]).prop_map(str::to_owned),
        1 => "\\PC{0,12}",
        1 => Just("\" || true || \u{0}".to_owned()),
    ]
}

fn words() -> impl Strategy<Value = BTreeSet<String>> {
    proptest::collection::btree_set(word(), 0..4)
}

fn pairs_of_words() -> impl Strategy<Value = Vec<(String, String)>> {
    proptest::collection::vec((word(), word()), 0..4)
}

fn moment() -> impl Strategy<Value = Timestamp> {
    prop_oneof![
        4 => (-4_000_i64..4_000).prop_map(|seconds| Timestamp::from_seconds(noon().seconds() + seconds)),
        1 => any::<i64>().prop_map(Timestamp::from_micros),
    ]
}

fn token() -> impl Strategy<Value = TokenFacts> {
    let kind = select(vec![TokenKind::User, TokenKind::Client, TokenKind::Svid]);
    let times = (moment(), moment(), option::of(moment()));
    let texts = (option::of(word()), option::of(word()), words(), words(), words());
    (kind, times, texts, any::<bool>()).prop_map(|(kind, times, texts, sender_constrained)| {
        let ((issued_at, expires_at, auth_time), (client_id, acr, audience, scopes, amr)) = (times, texts);
        let issuer = "dev".parse().unwrap();
        TokenFacts {
            issuer,
            kind,
            client_id,
            audience,
            scopes,
            issued_at,
            expires_at,
            auth_time,
            acr,
            amr,
            confirmation: Default::default(),
            sender_constrained,
            actor: None,
            token_id: None,
            session_id: None,
            sha256: [0; 32],
        }
    })
}

fn principal() -> impl Strategy<Value = Principal> {
    let id = select(vec!["User::dev/alice", "User::dev/a\"b", "Workload::dev/robot", "Anonymous::anonymous"]);
    let tags = proptest::collection::btree_map(word(), words(), 0..3);
    let rest = (option::of(word()), any::<bool>(), words(), words(), tags, option::of(token()));
    (id, rest).prop_map(|(id, (tenant, active, roles, groups, tags, token))| Principal {
        tenant,
        active,
        roles,
        groups,
        tags,
        token,
        ..Principal::bare(id.parse().unwrap())
    })
}

/// Two names, one of them a principal's too, so that who is calling may also act or be at the other end.
fn workload() -> impl Strategy<Value = Principal> {
    let id = select(vec!["Workload::dev/robot", "Workload::prod/web"]);
    (id, option::of(word()), words()).prop_map(|(id, tenant, roles)| Principal {
        tenant,
        roles,
        ..Principal::bare(id.parse().unwrap())
    })
}

fn located() -> impl Strategy<Value = Located> {
    let action =
        select(vec!["GET", "HEAD", "OPTIONS", "TRACE", "POST", "PUT", "PATCH", "DELETE", "query", "call"]);
    let state = select(vec![EndpointState::Declared, EndpointState::Discovered]);
    let params = (pairs_of_words(), pairs_of_words());
    let texts = (word(), option::of(word()), words(), word());
    (action, state, 0_u8..4, params, texts).prop_map(|(action, state, sensitivity, params, texts)| {
        let ((path_params, query_params), (template, operation, labels, host)) = (params, texts);
        let id = "orders".parse().unwrap();
        let endpoint = Endpoint {
            id: EndpointId::new(&id, action, &template),
            api: Arc::new(Api {
                id,
                domain: Default::default(),
                mode: ApiMode::Enforce,
                reuse: Duration::ZERO,
                outside: Default::default(),
            }),
            method: action.to_owned(),
            action: action.to_owned(),
            template,
            operation,
            sensitivity: Sensitivity::try_from(sensitivity).unwrap(),
            state,
            labels,
            security: None,
            sender_constrained: false,
            prepared: Prepared::default(),
        };
        Located { endpoint: Arc::new(endpoint), path_params, query_params, host, path: "/".to_owned() }
    })
}

fn risk() -> impl Strategy<Value = Risk> {
    let reasons = proptest::collection::vec(word(), 0..3);
    (0_u8..=100, 0_u8..=100, reasons, any::<bool>(), any::<bool>()).prop_map(
        |(score, confidence, kinds, stale, learning)| Risk {
            score,
            level: RiskLevel::of_score(score),
            confidence,
            reasons: kinds
                .into_iter()
                .map(|kind| RiskReason { kind, points: 1, text: String::new() })
                .collect(),
            stale,
            learning,
            ..Risk::default()
        },
    )
}

fn rates() -> impl Strategy<Value = Rates> {
    let rate = || {
        let calls = prop_oneof![0_u32..100, any::<u32>()];
        [calls.clone(), calls.clone(), calls].prop_map(|[last_second, last_minute, last_hour]| Rate {
            last_second,
            last_minute,
            last_hour,
        })
    };
    (rate(), rate(), rate()).prop_map(|(principal, principal_endpoint, network)| Rates {
        principal,
        principal_endpoint,
        network,
    })
}

fn sample() -> impl Strategy<Value = Sample> {
    let device = (any::<bool>(), option::of(word()), option::of(any::<bool>()), option::of(any::<u32>()));
    let metadata = proptest::collection::btree_map(word(), proptest::collection::vec(word(), 0..3), 0..3);
    let call = (device, option::of(any::<IpAddr>()), pairs_of_words(), metadata);
    let flags = (any::<bool>(), any::<bool>(), any::<bool>());
    let people = (principal(), [option::of(workload()), option::of(workload())]);
    (people, located(), (risk(), rates()), call, flags, moment()).prop_map(
        |((principal, others), located, (risk, rates), (device, ip, headers, metadata), flags, now)| Sample {
            principal,
            others,
            located,
            risk,
            rates,
            device,
            ip,
            headers,
            metadata,
            flags,
            now,
        },
    )
}

/// The call with everything in it, checked against the schema: `Err` if Cedar finds anything wrong with it.
fn whole(snapshot: &Snapshot, sample: &Sample) -> Result<(Request, Entities), String> {
    let call = sample.input();
    let everything = CandidateSet { reads: Reads::ALL, ..CandidateSet::default() };
    let principal = snapshot.prepared_principal(call.principal);
    let endpoint = snapshot.prepared_endpoint(&call.located.endpoint);
    let endpoint = endpoint.as_ref().as_ref().map_err(ToString::to_string)?;
    let others = snapshot.others(&call, Reads::ALL);
    let context = call.context(&call.facts(&principal), &others, &everything);
    let context = context.map_err(|why| why.to_string())?;
    let uid = |entry: &cedar_policy_core::ast::EntityUIDEntry| entry.uid().unwrap().clone().into();
    let request = Request::new(
        uid(&principal.uid),
        uid(&endpoint.action),
        uid(&endpoint.uid),
        context.into(),
        Some(&snapshot.schema),
    );
    let people = People { principal: &principal, others: &others };
    let entities = call.entities(&people, endpoint, Reads::ALL).map_err(|why| why.to_string())?;
    let entities = entities.iter().cloned().map(Entity::from);
    let entities = Entities::from_entities(entities, Some(&snapshot.schema));
    Ok((request.map_err(|why| why.to_string())?, entities.map_err(|why| format!("{why:?}"))?))
}

/// Conditions over the whole vocabulary. Of those about long products some fail, for some calls.
const ATOMS: [&str; 72] = [
    "context.scopes_met",
    "context has token",
    "context has peer || context has actor || context has object",
    "context has peer && context.peer == api::Workload::\"prod/web\"",
    "context has peer && context.peer.subject == \"web\" && context.peer has tenant",
    "context has peer.tenant && context.peer.tenant == \"a\"",
    "context has peer && context.peer in api::Role::\"clerk\"",
    "context has actor && context.actor == api::Workload::\"dev/robot\"",
    "context has actor && context.actor in [api::Role::\"clerk\", api::Role::\"a\"]",
    "context has actor && context has peer && context.actor == context.peer",
    "context has actor && !(context.actor.issuer == \"dev\")",
    "context has token && context.token.issuer == \"dev\"",
    "context has token && context.token.kind == api::TokenKind::\"client\"",
    "context has token && context.token has client_id && context.token.client_id like \"a*\"",
    "context has token && context.token.audience.contains(\"a\")",
    "context has token && context.token.scopes.containsAny([\"orders:read\", \"b\"])",
    "context has token && context.token.age_s < 60",
    "context has token && context.token.lifetime_s > 900",
    "context has token.auth_age_s && context.token.auth_age_s < 300",
    "context has token && context.token has acr && context.token.acr == \"urn:mfa\"",
    "context has token && !context.token.amr.isEmpty()",
    "context has token && context.token.sender_constrained",
    "context.request.host == \"a\"",
    "context.request has ip",
    "context.request has ip && context.request.ip.isInRange(ip(\"128.0.0.0/1\"))",
    "context has request.ip && context.request.ip.isIpv6() && ip(\"::1\").isLoopback()",
    "context.request.secure",
    "context.request.path_params.hasTag(\"a\") && context.request.path_params.getTag(\"a\").contains(\"b\")",
    "context.request.query_params.hasTag(\"\")",
    "context.request.headers.hasTag(\"clerk\") && context.request.headers.getTag(\"clerk\") == [\"a\"]",
    "context.request.metadata.hasTag(\"a\")",
    "context.risk.level >= 2",
    "context.risk.level * 9223372036854775807 > 1",
    "context.risk.score * context.risk.confidence > 2000",
    "context.risk.reasons.contains(\"a\")",
    "context.risk.stale || context.risk.learning",
    "{risk: context.risk}.risk.level == 1",
    "(if context.scopes_met then context.network else context.network).known",
    "context.device has id && context.device.id == \"a\"",
    "context.device has compliant && context.device.compliant",
    "context.device has posture_age_s && context.device.posture_age_s * 9223372036854775807 > 100",
    "context.network.known && context.network.class == api::NetworkClass::\"unknown\"",
    "context.network has asn",
    "context.time.hour > 11 && context.time.weekday < 6",
    "context.time.epoch_ms + 9000000000000000000 > 0",
    "context.rate.principal.last_minute > 60",
    "context.rate.network.last_second * context.rate.network.last_hour > 100",
    "context.rate.principal_endpoint == {last_second: 0, last_minute: 0, last_hour: 0}",
    "principal.active",
    "principal has tenant && principal.tenant == \"a\"",
    "principal.hasTag(\"a\") && principal.getTag(\"a\").contains(\"b\")",
    "principal in api::Role::\"clerk\" || principal in [api::Group::\"a\", api::Group::\"b\"]",
    "principal == api::User::\"dev/alice\"",
    "resource.sensitivity >= 2 && resource.labels.contains(\"a\")",
    "resource.state == api::EndpointState::\"declared\" || resource has operation",
    "resource in api::Service::\"orders\" && action in api::Action::\"read\"",
    "action == api::Action::\"GET\" && resource.method like \"*\"",
    "principal.subject like \"a*\" || principal.issuer == \"dev\"",
    "principal has tenant && context.request.host like \"*a\"",
    "principal.hasTag(\"clerk\") && principal.getTag(\"clerk\").isEmpty()",
    "context.request.path_params.hasTag(\"a\") && context.request.path_params.getTag(\"a\").contains(principal.subject)",
    "context.request.metadata.hasTag(\"b\") && context.request.metadata.getTag(\"b\").containsAll([\"a\"])",
    "context.request.query_params.hasTag(\"a\") && context.request.query_params.getTag(\"a\").containsAny([\"b\"])",
    "[\"a\", \"urn:mfa\"].contains(context.request.host) || [\"a\"].isEmpty()",
    "context has token && context.token.scopes.containsAll([\"a\", \"orders:read\"])",
    "context.risk.reasons.containsAny([\"a\", \"clerk\"]) == context.scopes_met",
    "-context.risk.level + 3 * context.time.weekday - 1 == 4",
    "context.time.epoch_ms - 9223372036854775807 - context.risk.score < 0",
    "true == context.network.known || context.scopes_met != false",
    "resource has template && resource.template == \"a\" || resource.labels.isEmpty()",
    "principal is api::User && resource is api::Endpoint && action in [api::Action::\"write\", api::Action::\"GET\"]",
    "context.device.known && !(context.rate.principal.last_second >= context.rate.network.last_minute)",
];

fn condition() -> impl Strategy<Value = String> {
    let atom = select(&ATOMS[..]).prop_map(|atom| format!("({atom})"));
    atom.prop_recursive(3, 6, 3, |inner| {
        prop_oneof![
            (inner.clone(), inner.clone()).prop_map(|(a, b)| format!("({a} && {b})")),
            (inner.clone(), inner.clone()).prop_map(|(a, b)| format!("({a} || {b})")),
            inner.clone().prop_map(|a| format!("!{a}")),
            (inner.clone(), inner.clone(), inner).prop_map(|(a, b, c)| format!("(if {a} then {b} else {c})")),
        ]
    })
}

fn policies() -> impl Strategy<Value = Vec<(PolicyEffect, String)>> {
    let effect = select(vec![PolicyEffect::Permit, PolicyEffect::Forbid]);
    proptest::collection::vec((effect, condition()), 1..6)
}

/// The policies as Cedar has them, by effect.
fn halves(policies: &[(PolicyEffect, String)]) -> (String, [PolicySet; 2]) {
    let (mut all, mut halves) = (String::new(), [PolicySet::new(), PolicySet::new()]);
    for (number, (effect, condition)) in policies.iter().enumerate() {
        let effect_word = effect.as_str();
        let text = format!(
            "@id(\"p{number}\") {effect_word}(principal is api::User, action, resource is api::Endpoint) when {{ {condition} }};\n"
        );
        let id = cedar_policy::PolicyId::new(format!("p{number}"));
        let policy = cedar_policy::Policy::parse(Some(id), &text).unwrap();
        halves[usize::from(*effect == PolicyEffect::Forbid)].add(policy).unwrap();
        all.push_str(&text);
    }
    (all, halves)
}

/// What the rules make of Cedar's own answers: the reason, the determining policies, and those that failed.
fn by_cedar(
    [permits, forbids]: &[PolicySet; 2],
    request: &Request,
    entities: &Entities,
) -> (Reason, BTreeSet<String>, BTreeSet<String>) {
    let ask = |half: &PolicySet| {
        let response = Authorizer::new().is_authorized(request, half, entities);
        let satisfied: BTreeSet<String> = response.diagnostics().reason().map(ToString::to_string).collect();
        let failed = response.diagnostics().errors();
        let failed =
            failed.map(|AuthorizationError::PolicyEvaluationError(error)| error.policy_id().to_string());
        (satisfied, failed.collect::<BTreeSet<String>>())
    };
    let ((permitting, failed_permits), (forbidding, failed_forbids)) = (ask(permits), ask(forbids));
    let failed = failed_permits.union(&failed_forbids).cloned().collect();
    if !failed_forbids.is_empty() {
        (Reason::PolicyError, failed_forbids, failed)
    } else if !forbidding.is_empty() {
        (Reason::ForbiddenByPolicy, forbidding, failed)
    } else if !permitting.is_empty() {
        (Reason::Allowed, permitting, failed)
    } else {
        (Reason::NoMatchingPermit, BTreeSet::new(), failed)
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2_000))]

    #[test]
    fn what_is_built_always_fits_the_schema(sample in sample()) {
        thread_local! {
            static EMPTY: Snapshot = snapshot("@id(\"p\") permit(principal, action, resource);");
        }
        let checked = EMPTY.with(|snapshot| whole(snapshot, &sample).map(|_| ()));
        prop_assert_eq!(checked, Ok(()));
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(96))]

    #[test]
    fn what_is_not_read_changes_no_answer(
        policies in policies(),
        samples in proptest::collection::vec(sample(), 24),
    ) {
        let (text, halves) = halves(&policies);
        let snapshot = snapshot(&text);
        for sample in &samples {
            let (request, entities) = whole(&snapshot, sample).unwrap();
            let expected = by_cedar(&halves, &request, &entities);
            let evaluation = snapshot.evaluate_call(&sample.input());
            let named = evaluation.policies.iter().map(ToString::to_string).collect();
            let failed = evaluation.policy_errors.iter().map(|(id, _)| id.to_string()).collect();
            prop_assert_eq!((evaluation.reason, named, failed), expected, "{}", text);
        }
    }
}

/// What users begin with must be fast: no condition of the shipped policies needs Cedar's evaluator.
#[test]
fn every_shipped_condition_is_understood() {
    let root = std::path::Path::new(env!("CARGO_MANIFEST_DIR"));
    let folders = ["policies/zero-trust", "policies/demo"].map(|folder| root.join(folder));
    let source = crate::policy::directory::read(&folders, &crate::policy::Limits::default()).unwrap();
    let snapshot = super::super::support::snapshot_of(&source);
    let asked: Vec<_> =
        snapshot.candidates.index.conditions().filter(|condition| !condition.is_whole()).collect();
    assert!(asked.is_empty(), "{asked:#?}");
}

#[test]
fn every_atom_fits_the_vocabulary() {
    let mut policies: Vec<_> = ATOMS.iter().map(|atom| (PolicyEffect::Permit, (*atom).to_owned())).collect();
    policies.push((PolicyEffect::Forbid, "false".to_owned()));
    snapshot(&halves(&policies).0);
}
