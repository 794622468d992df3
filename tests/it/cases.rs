//! Every decision case through every door, on every store, with its audit record.

use std::collections::HashMap;

use deodar::api::client::Connection;
use deodar::api::pb::{decision as pb, manage};
use futures::StreamExt;
use tokio_stream::iter;

use crate::support::app::{Backend, TestApp};
use crate::support::case::{self, Case, effect_name, reason_name};

#[derive(Clone, Copy, Debug)]
enum Door {
    Check,
    Batch,
    Stream,
}

async fn run(door: Door, backend: Backend) {
    let app = TestApp::start(backend).await;
    let cases = case::all();
    case::record_signals(&app, &cases).await;
    let gateway = app.decisions(&app.gateway_key).await;
    let limited = app.decisions(&app.limited_key).await;
    let mut answered = Vec::new();
    for (connection, is_limited) in [(gateway, false), (limited, true)] {
        let asked: Vec<&Case> = cases.iter().filter(|case| case.gateway.is_some() == is_limited).collect();
        let requests: Vec<_> = asked.iter().map(|case| case.request(app.dir.path())).collect();
        let decisions = ask(door, &connection, requests).await;
        answered.extend(asked.into_iter().zip(decisions));
    }
    assert_eq!(answered.len(), cases.len());
    let mut wrong = Vec::new();
    for (case, decision) in &answered {
        wrong.extend(
            case.expect.differences(decision).into_iter().map(|line| format!("{}: {line}", case.name)),
        );
    }
    app.running.recorder().flush().await.unwrap();
    let management = app.management().await;
    for (case, decision) in &answered {
        let lines = record_differences(&management, case, decision).await;
        wrong.extend(lines.into_iter().map(|line| format!("{}: record: {line}", case.name)));
    }
    app.stop().await;
    assert!(wrong.is_empty(), "{door:?} on {backend:?}:\n{}", wrong.join("\n"));
}

async fn ask(door: Door, connection: &Connection, requests: Vec<pb::CheckRequest>) -> Vec<pb::Decision> {
    match door {
        Door::Check => by_check(connection, requests).await,
        Door::Batch => by_batch(connection, requests).await,
        Door::Stream => by_stream(connection, requests).await,
    }
}

async fn by_check(connection: &Connection, requests: Vec<pb::CheckRequest>) -> Vec<pb::Decision> {
    let mut decisions = Vec::new();
    for request in requests {
        let answer = connection.decisions().check(request).await.unwrap().into_inner();
        decisions.push(answer.decision.unwrap());
    }
    decisions
}

/// A batch has one credential, so each case is a batch of two: the question, and one that cannot be read.
async fn by_batch(connection: &Connection, requests: Vec<pb::CheckRequest>) -> Vec<pb::Decision> {
    let mut decisions = Vec::new();
    for request in requests {
        let batch = pb::BatchCheckRequest {
            credentials: request.credentials,
            questions: vec![request.question.unwrap_or_default(), pb::Question::default()],
            source: request.source,
            device: request.device,
            explain: request.explain,
            ..pb::BatchCheckRequest::default()
        };
        let answer = connection.decisions().batch_check(batch).await.unwrap().into_inner();
        let [decision, unreadable] = answer.decisions.try_into().unwrap();
        assert_eq!(reason_name(unreadable.reason), "request_ambiguous");
        decisions.push(decision);
    }
    decisions
}

async fn by_stream(connection: &Connection, requests: Vec<pb::CheckRequest>) -> Vec<pb::Decision> {
    let count = requests.len();
    let messages = requests.into_iter().enumerate().map(|(index, request)| pb::StreamCheckRequest {
        id: index.to_string(),
        timeout: None,
        request: Some(request),
    });
    let answers = connection.decisions().stream_check(iter(messages)).await.unwrap().into_inner();
    let mut by_id: HashMap<String, pb::Decision> = answers
        .map(|answer| answer.unwrap())
        .map(|answer| (answer.id, answer.decision.unwrap()))
        .collect()
        .await;
    (0..count).map(|index| by_id.remove(&index.to_string()).unwrap()).collect()
}

async fn record_differences(management: &Connection, case: &Case, decision: &pb::Decision) -> Vec<String> {
    let request = manage::GetDecisionRecordRequest { decision_id: decision.decision_id.clone() };
    let found = management.records().get_decision_record(request).await;
    let record = match found {
        Ok(found) => found.into_inner().record.unwrap(),
        Err(status) => return vec![status.to_string()],
    };
    let mut lines = Vec::new();
    let mut same = |what: &str, wanted: &str, found: &str| {
        if wanted != found {
            lines.push(format!("{what}: wanted {wanted}, got {found}"));
        }
    };
    same("effect", effect_name(decision.effect), effect_name(record.effect));
    same("reason", &reason_name(decision.reason), &reason_name(record.reason));
    same("enforced", &decision.enforced.to_string(), &record.enforced.to_string());
    // A gateway that may not ask is told nothing of the principal; the record knows it.
    if decision.reason != i32::from(pb::Reason::CallerNotPermitted) {
        same("principal", &decision.principal, &record.principal);
    }
    same("policies", &decision.policy_ids.join(" "), &record.policy_ids.join(" "));
    let wanted = &case.expect.record;
    for (what, wanted, found) in [
        ("action", &wanted.action, &record.action),
        ("resource", &wanted.resource, &record.resource),
        ("path", &wanted.path, &record.path),
        ("pep", &wanted.pep, &record.pep),
        ("domain", &wanted.domain, &record.domain),
    ] {
        same(what, wanted.as_deref().unwrap_or(found), found);
    }
    if let Some(refusals) = &case.expect.refusals {
        let found: Vec<_> = record.refusals.iter().map(|number| reason_name(*number)).collect();
        same("refusals", &refusals.join(" "), &found.join(" "));
    }
    same("enforced", &wanted.enforced.unwrap_or(record.enforced).to_string(), &record.enforced.to_string());
    lines
}

#[tokio::test(flavor = "multi_thread")]
async fn cases_through_check_on_sqlite() {
    run(Door::Check, Backend::Sqlite).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn cases_through_check_on_postgres() {
    run(Door::Check, Backend::Postgres).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn cases_through_batch_on_sqlite() {
    run(Door::Batch, Backend::Sqlite).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn cases_through_batch_on_postgres() {
    run(Door::Batch, Backend::Postgres).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn cases_through_stream_on_sqlite() {
    run(Door::Stream, Backend::Sqlite).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn cases_through_stream_on_postgres() {
    run(Door::Stream, Backend::Postgres).await;
}
