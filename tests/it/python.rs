//! A client in another language, made from reflection alone, gets the same answers.

use std::fs;
use std::process::Command;

use deodar::api::pb::decision as pb;
use prost::Message;
use prost_reflect::{DescriptorPool, DynamicMessage};
use serde_json::{Value, json};

use crate::support::app::{Backend, TestApp, repository};
use crate::support::case::{self, Case};

/// The message as proto JSON.
pub fn proto_json(request: &pb::CheckRequest) -> Value {
    let pool = DescriptorPool::decode(deodar::api::pb::DESCRIPTORS).unwrap();
    let descriptor = pool.get_message_by_name("deodar.decision.v1.CheckRequest").unwrap();
    let message = DynamicMessage::decode(descriptor, request.encode_to_vec().as_slice()).unwrap();
    serde_json::to_value(message).unwrap()
}

fn line(case: &Case, app: &TestApp) -> Value {
    let expect = json!({ "effect": case.expect.effect, "reason": case.expect.reason });
    json!({ "name": case.name, "request": proto_json(&case.request(app.dir.path())), "expect": expect })
}

#[tokio::test(flavor = "multi_thread")]
async fn a_python_client_made_from_reflection_gets_the_same_answers() {
    let python = option_env_at_run_time("DEODAR_TEST_PYTHON");
    let app = TestApp::start(Backend::Sqlite).await;
    let cases: Vec<Case> = case::all().into_iter().filter(|case| case.gateway.is_none()).collect();
    case::record_signals(&app, &cases).await;
    let file = app.dir.path().join("cases.json");
    let lines: Vec<Value> = cases.iter().map(|case| line(case, &app)).collect();
    fs::write(&file, serde_json::to_string(&lines).unwrap()).unwrap();
    let (key, address) = (app.gateway_key.expose().to_owned(), app.running.decisions().to_string());
    let script = repository().join("tests/python/client.py");
    let run = move || Command::new(python).arg(script).env("DEODAR_KEY", key).arg(address).arg(file).output();
    let output = tokio::task::spawn_blocking(run).await.unwrap().unwrap();
    let (said, complained) =
        (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    assert!(output.status.success(), "{said}\n{complained}");
    assert_eq!(said.lines().count(), cases.len(), "{said}");
    app.stop().await;
}

#[expect(clippy::disallowed_methods, reason = "scripts/test says where Python is")]
pub fn option_env_at_run_time(name: &str) -> String {
    std::env::var(name).unwrap_or_else(|_| panic!("{name} is not set: run the tests with ./scripts/test"))
}
