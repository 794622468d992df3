//! Two server processes on one Postgres: what is written through one is in effect on the other.

use std::fs;
use std::time::{Duration, Instant};

use deodar::api::client::Connection;
use deodar::api::pb::{decision as pb, manage};
use deodar::app::{ADMINISTRATOR_KEY, GATEWAY_KEY, read_key};

use crate::support::app::{configuration, connect};
use crate::support::case::reason_name;
use crate::support::postgres::TestDatabase;
use crate::support::process::ServerProcess;
use crate::support::token::TokenSpec;

const ROUNDS: usize = 100;

fn question(token: String) -> pb::CheckRequest {
    let call = pb::ApiCall {
        method: "GET".into(),
        host: "orders.example.com".into(),
        path: "/health".into(),
        ..pb::ApiCall::default()
    };
    pb::CheckRequest {
        credentials: vec![pb::Credential {
            kind: Some(pb::credential::Kind::BearerToken(token)),
            ..pb::Credential::default()
        }],
        question: Some(pb::Question { kind: Some(pb::question::Kind::Call(call)) }),
        ..pb::CheckRequest::default()
    }
}

async fn ask(connection: &Connection, request: pb::CheckRequest) -> String {
    let answer = connection.decisions().check(request).await.unwrap().into_inner();
    reason_name(answer.decision.unwrap().reason)
}

async fn disable(connection: &Connection, subject: &str) -> String {
    let signal = manage::Signal {
        subject: format!("principal:User::dev/{subject}"),
        kind: "account_disabled".into(),
        source: "test".into(),
        ..manage::Signal::default()
    };
    let request = manage::RecordSignalsRequest { signals: vec![signal] };
    connection.signals().record_signals(request).await.unwrap().into_inner().revision
}

fn token(subject: &str, dir: &std::path::Path) -> String {
    let spec = format!("subject: {subject}");
    serde_yaml_ng::from_str::<TokenSpec>(&spec).unwrap().mint(dir)
}

#[expect(clippy::print_stdout, reason = "the measured times are part of what the test shows")]
#[tokio::test(flavor = "multi_thread")]
async fn a_signal_through_one_process_changes_the_decision_of_another() {
    let database = TestDatabase::migrated().await;
    let (first_dir, second_dir) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    configuration(first_dir.path(), Some(&database.url), "");
    let first = ServerProcess::start(first_dir.path()).await;
    configuration(second_dir.path(), Some(&database.url), "");
    fs::copy(first_dir.path().join("dev-issuer.pk8"), second_dir.path().join("dev-issuer.pk8")).unwrap();
    let second = ServerProcess::start(second_dir.path()).await;

    let admin = read_key(&first_dir.path().join(ADMINISTRATOR_KEY)).unwrap();
    let gateway = read_key(&first_dir.path().join(GATEWAY_KEY)).unwrap();
    let writer = connect(first.management, &admin).await;
    let reader = connect(second.decisions, &gateway).await;

    let mut took = Vec::with_capacity(ROUNDS);
    for round in 0..ROUNDS {
        let subject = format!("user-{round}");
        let request = question(token(&subject, second_dir.path()));
        assert_eq!(ask(&reader, request.clone()).await, "allowed");
        #[expect(clippy::disallowed_methods, reason = "the test measures real time")]
        let written = Instant::now();
        disable(&writer, &subject).await;
        while ask(&reader, request.clone()).await != "principal_disabled" {
            assert!(written.elapsed() < Duration::from_secs(10), "the signal never arrived");
        }
        took.push(written.elapsed());
    }
    took.sort();
    let (p50, p99) = (took[ROUNDS / 2], took[ROUNDS * 99 / 100]);
    println!(
        "signal written through one process, decision changed in another: p50 {p50:?}, p99 {p99:?} of {ROUNDS}"
    );
    assert!(p99 < Duration::from_secs(1), "p99 {p99:?}");

    // Who passes the revision on need not even wait: a replica that is behind waits instead.
    let request = question(token("last", second_dir.path()));
    let at_least = disable(&writer, "last").await;
    assert_eq!(ask(&reader, pb::CheckRequest { at_least, ..request }).await, "principal_disabled");
    first.terminate().await;
    second.terminate().await;
}
