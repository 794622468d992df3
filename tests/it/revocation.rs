//! Revoked tokens are refused at the next decision although they were verified and cached before, on every replica.

use std::fs;
use std::path::Path;
use std::time::{Duration, Instant};

use base64::Engine;
use base64::prelude::BASE64_URL_SAFE_NO_PAD;
use deodar::api::client::Connection;
use deodar::api::pb::{decision as pb, manage};
use deodar::app::{ADMINISTRATOR_KEY, GATEWAY_KEY, read_key};
use serde_json::Value;
use sha2::{Digest, Sha256};

use crate::support::app::{Backend, TestApp, configuration, connect};
use crate::support::case::reason_name;
use crate::support::postgres::TestDatabase;
use crate::support::process::ServerProcess;
use crate::support::token::TokenSpec;

fn mint(subject: &str, issued_ago: u64, dir: &Path) -> String {
    let spec = format!("{{ subject: {subject}, session: s-{subject}, issued_ago_s: {issued_ago} }}");
    serde_yaml_ng::from_str::<TokenSpec>(&spec).unwrap().mint(dir)
}

fn claim(token: &str, name: &str) -> String {
    let payload = BASE64_URL_SAFE_NO_PAD.decode(token.split('.').nth(1).unwrap()).unwrap();
    let claims: Value = serde_json::from_slice(&payload).unwrap();
    claims[name].as_str().unwrap().to_owned()
}

async fn ask(gateway: &Connection, token: &str, at_least: &str) -> pb::Decision {
    let call = pb::ApiCall {
        method: "GET".into(),
        host: "orders.example.com".into(),
        path: "/health".into(),
        ..pb::ApiCall::default()
    };
    let request = pb::CheckRequest {
        credentials: vec![pb::Credential {
            kind: Some(pb::credential::Kind::BearerToken(token.to_owned())),
            ..pb::Credential::default()
        }],
        question: Some(pb::Question { kind: Some(pb::question::Kind::Call(call)) }),
        at_least: at_least.to_owned(),
        ..pb::CheckRequest::default()
    };
    gateway.decisions().check(request).await.unwrap().into_inner().decision.unwrap()
}

async fn reason(gateway: &Connection, token: &str) -> String {
    reason_name(ask(gateway, token, "").await.reason)
}

async fn revoke(admin: &Connection, target: &str) -> manage::CreateRevocationResponse {
    let reason = "a test".to_owned();
    let revocation = manage::Revocation { target: target.to_owned(), reason, ..Default::default() };
    admin.create_revocation(manage::CreateRevocationRequest { revocation: Some(revocation) }).await.unwrap()
}

async fn undo(
    admin: &Connection,
    made: manage::CreateRevocationResponse,
) -> manage::DeleteRevocationResponse {
    let revocation_id = made.revocation.unwrap().revocation_id;
    let request = manage::DeleteRevocationRequest { revocation_id, reason: "found".into() };
    admin.delete_revocation(request).await.unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn each_kind_of_revocation_refuses_a_cached_token_until_it_is_undone() {
    let app = TestApp::start(Backend::Sqlite).await;
    let (gateway, admin) = (app.decisions(&app.gateway_key).await, app.management().await);
    let (token, other) = (mint("alice", 10, app.dir.path()), mint("bob", 10, app.dir.path()));
    let targets = [
        format!("token:dev/{}", claim(&token, "jti")),
        format!("token:sha256/{}", hex::encode(Sha256::digest(&token))),
        "session:dev/s-alice".to_owned(),
        "principal:User::dev/alice".to_owned(),
        format!("client:dev/{}", claim(&token, "client_id")),
        "issuer:dev".to_owned(),
    ];
    for (index, target) in targets.iter().enumerate() {
        assert_eq!(reason(&gateway, &token).await, "allowed", "verified and cached: {target}");
        let made = revoke(&admin, target).await;
        let spread = made.spread.clone().unwrap();
        assert!(spread.acknowledged == 1 && spread.pending.is_empty() && !spread.unknown, "{spread:?}");
        assert!(made.warnings.is_empty(), "{:?}", made.warnings);
        assert_eq!(reason(&gateway, &token).await, "revoked", "{target}");
        let concerns_others = index >= 4;
        let wanted = if concerns_others { "revoked" } else { "allowed" };
        assert_eq!(reason(&gateway, &other).await, wanted, "another's token: {target}");
        undo(&admin, made).await;
    }
    assert_eq!(reason(&gateway, &token).await, "allowed");
    app.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn whoever_logs_in_again_is_served() {
    let app = TestApp::start(Backend::Sqlite).await;
    let (gateway, admin) = (app.decisions(&app.gateway_key).await, app.management().await);
    let old = mint("alice", 10, app.dir.path());
    assert_eq!(reason(&gateway, &old).await, "allowed");
    let moment = prost_types::Timestamp { seconds: now_seconds() - 5, nanos: 0 };
    let revocation = manage::Revocation {
        target: "principal:User::dev/alice".into(),
        issued_before: Some(moment),
        reason: "a test".into(),
        ..Default::default()
    };
    let request = manage::CreateRevocationRequest { revocation: Some(revocation) };
    admin.create_revocation(request).await.unwrap();
    assert_eq!(reason(&gateway, &old).await, "revoked");
    assert_eq!(reason(&gateway, &mint("alice", 0, app.dir.path())).await, "allowed");
    app.stop().await;
}

fn now_seconds() -> i64 {
    use deodar::model::Clock;
    deodar::model::SystemClock::new().now().seconds()
}

#[tokio::test(flavor = "multi_thread")]
async fn the_record_names_the_revocation_and_a_strange_issuer_is_warned_of() {
    let app = TestApp::start(Backend::Sqlite).await;
    let (gateway, admin) = (app.decisions(&app.gateway_key).await, app.management().await);
    let warned = revoke(&admin, "session:dve/s-1").await.warnings;
    assert_eq!(warned, ["this replica knows no issuer or trust domain `dve`"]);
    let made = revoke(&admin, "session:dev/s-alice").await;
    let id = made.revocation.unwrap().revocation_id;
    let token = mint("alice", 10, app.dir.path());
    let decision = ask(&gateway, &token, &made.revision).await;
    assert_eq!(reason_name(decision.reason), "revoked");
    app.running.recorder().flush().await.unwrap();
    let request = manage::GetDecisionRecordRequest { decision_id: decision.decision_id };
    let record = format!("{:?}", admin.get_decision_record(request).await.unwrap().record.unwrap());
    assert!(record.contains(&format!("the session was revoked: revocation {id}")), "{record}");
    assert!(!record.contains(&token));
    app.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_wrong_with_a_request_is_told_and_nothing_is_revoked() {
    let app = TestApp::start(Backend::Sqlite).await;
    let admin = app.management().await;
    let good = manage::Revocation {
        target: "session:dev/s-1".into(),
        reason: "a test".into(),
        ..manage::Revocation::default()
    };
    let bad = [
        manage::Revocation { target: "alice".into(), ..good.clone() },
        manage::Revocation { target: "principal:Anonymous::anonymous".into(), ..good.clone() },
        manage::Revocation { reason: " ".into(), ..good.clone() },
        manage::Revocation { reason: "a\nb".into(), ..good.clone() },
        manage::Revocation { created_by: "me".into(), ..good.clone() },
    ];
    for revocation in bad {
        let request = manage::CreateRevocationRequest { revocation: Some(revocation.clone()) };
        let refused = admin.create_revocation(request).await.unwrap_err();
        assert_eq!(refused.code, "invalid_argument", "{revocation:?}");
    }
    let listed = admin.list_revocations(manage::ListRevocationsRequest::default()).await.unwrap();
    assert!(listed.revocations.is_empty());
    let request = manage::DeleteRevocationRequest {
        revocation_id: "019a9f3c-0000-7000-8000-000000000000".into(),
        reason: "a test".into(),
    };
    assert_eq!(admin.delete_revocation(request).await.unwrap_err().code, "not_found");
    app.stop().await;
}

/// A server process beside another one, with the same development issuer.
async fn second_of(first_dir: &Path, second_dir: &Path, url: &str) -> ServerProcess {
    configuration(second_dir, Some(url), "");
    fs::copy(first_dir.join("dev-issuer.pk8"), second_dir.join("dev-issuer.pk8")).unwrap();
    ServerProcess::start(second_dir).await
}

#[expect(clippy::print_stdout, reason = "the measured times are part of what the test shows")]
#[tokio::test(flavor = "multi_thread")]
async fn two_replicas_refuse_what_one_of_them_revoked() {
    const ROUNDS: usize = 30;
    let database = TestDatabase::migrated().await;
    let (first_dir, second_dir) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    configuration(first_dir.path(), Some(&database.url), "");
    let first = ServerProcess::start(first_dir.path()).await;
    let second = second_of(first_dir.path(), second_dir.path(), &database.url).await;
    let admin = read_key(&first_dir.path().join(ADMINISTRATOR_KEY)).unwrap();
    let gateway = read_key(&first_dir.path().join(GATEWAY_KEY)).unwrap();
    let writer = connect(first.management, &admin).await;
    let reader = connect(second.decisions, &gateway).await;

    let mut took = Vec::new();
    for round in 0..ROUNDS {
        let subject = format!("user-{round}");
        let token = mint(&subject, 10, second_dir.path());
        assert_eq!(reason(&reader, &token).await, "allowed", "verified and cached");
        #[expect(clippy::disallowed_methods, reason = "the test measures real time")]
        let began = Instant::now();
        let made = revoke(&writer, &format!("session:dev/s-{subject}")).await;
        took.push(began.elapsed());
        let spread = made.spread.unwrap();
        assert!(spread.acknowledged == 2 && spread.pending.is_empty(), "{spread:?}");
        // Every live replica has acknowledged, so that nobody needs to wait.
        assert_eq!(reason(&reader, &token).await, "revoked");
    }
    took.sort();
    println!("revoked and acknowledged by both: p50 {:?}, max {:?}", took[ROUNDS / 2], took[ROUNDS - 1]);
    assert!(took[ROUNDS - 1] < Duration::from_secs(3));

    // Whoever passes the revision on is never answered out of the past, from the first moment on.
    let token = mint("last", 10, second_dir.path());
    assert_eq!(reason(&reader, &token).await, "allowed");
    let made = revoke(&writer, "principal:User::dev/last").await;
    assert_eq!(reason_name(ask(&reader, &token, &made.revision).await.reason), "revoked");
    first.terminate().await;
    second.terminate().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_replica_that_fell_silent_is_named() {
    let app =
        TestApp::start_with(Backend::Sqlite, "[identity.revocation]\nacknowledge_wait = \"100ms\"").await;
    let silent = deodar::store::Replica {
        id: "silent".into(),
        version: "0.1.0".into(),
        address: "192.0.2.7:7350".into(),
        started_at: deodar::model::Timestamp::from_seconds(1),
        seen_at: deodar::model::Timestamp::from_seconds(now_seconds()),
        applied: deodar::model::Revision::default(),
        bundle: None,
    };
    let location = deodar::store::Location::Embedded(app.dir.path().join("deodar.db"));
    let store = deodar::store::open(&deodar::store::Config { location, max_connections: 1 }).await.unwrap();
    store.heartbeat(&silent).await.unwrap();
    let spread = revoke(&app.management().await, "issuer:dev").await.spread.unwrap();
    let pending: Vec<_> = spread.pending.iter().map(|replica| replica.address.as_str()).collect();
    assert_eq!((spread.acknowledged, pending), (1, vec!["192.0.2.7:7350"]));
    app.stop().await;
}
