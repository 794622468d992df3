//! Policies are read again when their files change; a bad edit changes nothing but what readiness says.

use std::fs;
use std::path::Path;
use std::time::Duration;

use deodar::api::pb::{decision as pb, manage};
use tonic_health::pb::HealthCheckRequest;
use tonic_health::pb::health_check_response::ServingStatus;
use tonic_health::pb::health_client::HealthClient;

use crate::support::app::{Backend, TestApp};
use crate::support::case::reason_name;

const OPEN: &str = r#"@id("open") permit (principal, action, resource in api::Service::"orders");"#;
const CLOSED: &str = r#"@id("open") permit (principal, action, resource in api::Service::"accounts");"#;
const BROKEN: &str = "@id(\"open\")\npermit (principal, action, resource)\nwhen { context.scopez_met };";

struct Reload {
    app: TestApp,
    folder: tempfile::TempDir,
}

impl Reload {
    async fn start() -> Self {
        let folder = tempfile::tempdir().unwrap();
        fs::write(folder.path().join("open.cedar"), OPEN).unwrap();
        let more = format!("[policy.domains.live]\ndirectories = [\"{}\"]\n", folder.path().display());
        let api = "[[inventory.apis]]\nid = \"live\"\ndomain = \"live\"\nhosts = [\"live.example.com\"]\n";
        let document =
            format!("openapi = \"{}/policies/demo/orders.openapi.yaml\"\n", env!("CARGO_MANIFEST_DIR"));
        Self { app: TestApp::start_with(Backend::Sqlite, &format!("{more}{api}{document}")).await, folder }
    }

    fn write(&self, text: &str) {
        replace(&self.folder.path().join("open.cedar"), text);
    }

    async fn reason(&self) -> String {
        let call = pb::ApiCall {
            method: "GET".into(),
            host: "live.example.com".into(),
            path: "/health".into(),
            ..pb::ApiCall::default()
        };
        let request = pb::CheckRequest {
            question: Some(pb::Question { kind: Some(pb::question::Kind::Call(call)) }),
            ..pb::CheckRequest::default()
        };
        let connection = self.app.decisions(&self.app.gateway_key).await;
        let answer = connection.decisions().check(request).await.unwrap().into_inner();
        reason_name(answer.decision.unwrap().reason)
    }

    async fn problems(&self) -> Vec<String> {
        let status = self.app.management().await.system().get_status(manage::GetStatusRequest {}).await;
        status.unwrap().into_inner().problems
    }

    async fn readiness(&self, service: &str) -> ServingStatus {
        let channel =
            tonic::transport::Endpoint::from_shared(format!("http://{}", self.app.running.decisions()));
        let channel = channel.unwrap().connect().await.unwrap();
        let request = HealthCheckRequest { service: service.into() };
        HealthClient::new(channel).check(request).await.unwrap().into_inner().status()
    }

    async fn until(&self, what: &str, mut fits: impl AsyncFnMut(&Self) -> bool) {
        let wait = async {
            while !fits(self).await {
                tokio::task::yield_now().await;
            }
        };
        assert!(
            tokio::time::timeout(Duration::from_secs(20), wait).await.is_ok(),
            "{what} did not come about"
        );
    }
}

/// As editors and configuration management do it: a new file takes the old one's place.
fn replace(path: &Path, text: &str) {
    let new = path.with_extension("new");
    fs::write(&new, text).unwrap();
    fs::rename(new, path).unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn an_edit_is_live_at_once_and_a_bad_one_never() {
    let reload = Reload::start().await;
    assert_eq!(
        reload.reason().await,
        "credential_missing",
        "the API is called `live`, which nothing permits yet"
    );
    reload.write(&OPEN.replace("orders", "live"));
    reload.until("the edit", async |reload| reload.reason().await == "allowed").await;

    reload.write(BROKEN);
    reload.until("the problem", async |reload| !reload.problems().await.is_empty()).await;
    let problems = reload.problems().await.join("\n");
    assert!(problems.contains("serving old policies"), "{problems}");
    assert!(problems.contains("open.cedar") && problems.contains("scopez_met"), "{problems}");
    assert_eq!(reload.reason().await, "allowed", "the old policies stay live");
    reload
        .until("readiness", async |reload| reload.readiness("readiness").await == ServingStatus::NotServing)
        .await;
    assert_eq!(reload.readiness("").await, ServingStatus::Serving, "decisions go on");

    reload.write(CLOSED);
    reload.until("the repair", async |reload| reload.problems().await.is_empty()).await;
    assert_eq!(reload.reason().await, "credential_missing");
    reload
        .until("readiness", async |reload| reload.readiness("readiness").await == ServingStatus::Serving)
        .await;
    reload.app.stop().await;
}
