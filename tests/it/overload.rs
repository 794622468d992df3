//! Overload through the real server: who waited too long is denied before anything is decided, and counted.

use deodar::api::pb::{decision as pb, manage};

use crate::support::app::{Backend, TestApp};
use crate::support::case::reason_name;

fn health() -> pb::CheckRequest {
    let call = pb::ApiCall {
        method: "GET".into(),
        host: "orders.example.com".into(),
        path: "/health".into(),
        secure: true,
        ..pb::ApiCall::default()
    };
    let question = pb::Question { kind: Some(pb::question::Kind::Call(call)) };
    pb::CheckRequest { question: Some(question), ..pb::CheckRequest::default() }
}

/// Any call waits a little between the socket and its turn.
#[tokio::test(flavor = "multi_thread")]
async fn a_call_that_waited_longer_than_it_may_is_denied_and_counted() {
    let app = TestApp::start_with(Backend::Sqlite, "[decide]\nmax_queue_delay = \"0s\"\n").await;
    let gateway = app.decisions(&app.gateway_key).await;
    let decision = gateway.decisions().check(health()).await.unwrap().into_inner().decision.unwrap();
    assert_eq!((reason_name(decision.reason).as_str(), decision.effect()), ("overloaded", pb::Effect::Deny));
    app.running.recorder().flush().await.unwrap();
    let request = manage::ListRefusalsRequest::default();
    let rows = app.management().await.records().list_refusals(request).await.unwrap().into_inner().refusals;
    let counted: Vec<_> = rows.iter().map(|row| (row.kind.as_str(), row.count)).collect();
    assert_eq!(counted, [("overloaded", 1)]);
    app.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_call_that_waits_no_longer_than_it_may_is_decided() {
    let app = TestApp::start_with(Backend::Sqlite, "[decide]\nmax_queue_delay = \"1m\"\n").await;
    let gateway = app.decisions(&app.gateway_key).await;
    let decision = gateway.decisions().check(health()).await.unwrap().into_inner().decision.unwrap();
    assert_eq!(reason_name(decision.reason), "allowed");
    app.stop().await;
}
