//! Overload through the real server: who waited too long is denied before anything is decided, and counted.

use deodar::api::pb::{decision as pb, manage};
use prost::Message;

use crate::support::app::{Backend, TestApp};
use crate::support::case::reason_name;
use crate::support::process::ServerProcess;

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

/// Where there is one core for all of them, what can wait gives way to what somebody waits for.
#[tokio::test(flavor = "multi_thread")]
async fn threads_that_decide_go_first() {
    let dir = tempfile::tempdir().unwrap();
    let config =
        "[server]\ndecisions = \"127.0.0.1:0\"\nmanagement = \"127.0.0.1:0\"\ndecision_threads = 2\n";
    std::fs::write(dir.path().join("deodar.toml"), format!("data_dir = \".\"\n{config}")).unwrap();
    let server = ServerProcess::start(dir.path()).await;
    let (deciding, others): (Vec<_>, Vec<_>) =
        server.threads().into_iter().partition(|(name, _)| name.starts_with("decide-"));
    let least = others.iter().map(|(_, niceness)| *niceness).min().unwrap();
    assert_eq!(deciding.len(), 2);
    assert!(deciding.iter().all(|(_, niceness)| *niceness < least), "{deciding:?}, {others:?}");
    server.terminate().await;
}

/// A refusal that does not wait for the message would reset the stream, and an HTTP/2 server lets go of a connection on
/// which that happens a thousand times.
#[tokio::test(flavor = "multi_thread")]
async fn a_connection_outlives_any_number_of_refusals() {
    const CALLS: usize = 1_500;
    let app = TestApp::start_with(Backend::Sqlite, "[decide]\nmax_queue_delay = \"0s\"\n").await;
    let socket = tokio::net::TcpStream::connect(app.running.decisions()).await.unwrap();
    let (mut client, mut connection) = h2::client::handshake(socket).await.unwrap();
    let mut pings = connection.ping_pong().unwrap();
    tokio::spawn(connection);
    let message = health().encode_to_vec();
    let framed = [&[0][..], &u32::try_from(message.len()).unwrap().to_be_bytes(), &message].concat();
    for _ in 0..CALLS {
        let request = http::Request::post("http://deodar/deodar.decision.v1.DecisionService/Check")
            .header("content-type", "application/grpc")
            .header("te", "trailers")
            .header("authorization", format!("Bearer {}", app.gateway_key.expose()))
            .body(())
            .unwrap();
        client = client.ready().await.unwrap();
        let (answer, mut body) = client.send_request(request, false).unwrap();
        // Answered behind the head of the call: so that was seen before the message is sent.
        pings.ping(h2::Ping::opaque()).await.unwrap();
        body.send_data(framed.clone().into(), true).unwrap();
        let mut answer = answer.await.unwrap().into_body();
        let data = answer.data().await.unwrap().unwrap();
        let decision = pb::CheckResponse::decode(&data[5..]).unwrap().decision.unwrap();
        assert_eq!(reason_name(decision.reason), "overloaded");
    }
    app.stop().await;
}
