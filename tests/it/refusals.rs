//! Every RPC refuses callers without a key, with an unknown key, and without the right role.
//!
//! The RPCs come from the descriptors that the server itself serves: one without a case here fails the test.

use std::collections::{BTreeMap, BTreeSet};

use deodar::api::client::Connection;
use deodar::api::pb;
use deodar::api::pb::manage::Role;
use deodar::model::Secret;
use prost_reflect::DescriptorPool;
use tonic::client::Grpc;
use tonic::metadata::MetadataValue;
use tonic::transport::{Channel, Endpoint};
use tonic::{Code, Request};
use tonic_prost::ProstCodec;

use crate::support::app::{Backend, TestApp, create_client};

const ROLES: [Role; 6] =
    [Role::Gateway, Role::Sensor, Role::Analyst, Role::Auditor, Role::Author, Role::Administrator];

/// Who may call what. Written here a second time on purpose: a change of rights must be made twice.
const CASES: [(&str, &[Role]); 24] = [
    ("deodar.decision.v1.DecisionService/Check", &[Role::Gateway]),
    ("deodar.decision.v1.DecisionService/BatchCheck", &[Role::Gateway]),
    ("deodar.decision.v1.DecisionService/StreamCheck", &[Role::Gateway]),
    ("deodar.manage.v1.SignalService/RecordSignals", &[Role::Sensor, Role::Analyst, Role::Administrator]),
    ("deodar.manage.v1.SignalService/ListSignals", &[Role::Analyst, Role::Auditor, Role::Administrator]),
    ("deodar.manage.v1.SignalService/ClearSignal", &[Role::Analyst, Role::Administrator]),
    ("deodar.manage.v1.RevocationService/CreateRevocation", &[Role::Analyst, Role::Administrator]),
    (
        "deodar.manage.v1.RevocationService/GetRevocation",
        &[Role::Analyst, Role::Auditor, Role::Administrator],
    ),
    (
        "deodar.manage.v1.RevocationService/ListRevocations",
        &[Role::Analyst, Role::Auditor, Role::Administrator],
    ),
    ("deodar.manage.v1.RevocationService/DeleteRevocation", &[Role::Analyst, Role::Administrator]),
    ("deodar.manage.v1.PrincipalService/GetPrincipal", &[Role::Analyst, Role::Auditor, Role::Administrator]),
    (
        "deodar.manage.v1.PrincipalService/ListPrincipals",
        &[Role::Analyst, Role::Auditor, Role::Administrator],
    ),
    ("deodar.manage.v1.PrincipalService/PutPrincipal", &[Role::Administrator]),
    ("deodar.manage.v1.PrincipalService/DeletePrincipal", &[Role::Administrator]),
    ("deodar.manage.v1.RiskService/GetRisk", &[Role::Analyst, Role::Auditor, Role::Administrator]),
    ("deodar.manage.v1.ClientService/CreateClient", &[Role::Administrator]),
    ("deodar.manage.v1.ClientService/GetClient", &[Role::Administrator]),
    ("deodar.manage.v1.ClientService/ListClients", &[Role::Administrator]),
    ("deodar.manage.v1.ClientService/SetClientCertificates", &[Role::Administrator]),
    ("deodar.manage.v1.ClientService/RevokeClient", &[Role::Administrator]),
    (
        "deodar.manage.v1.DecisionRecordService/GetDecisionRecord",
        &[Role::Analyst, Role::Auditor, Role::Administrator],
    ),
    (
        "deodar.manage.v1.DecisionRecordService/ListDecisionRecords",
        &[Role::Analyst, Role::Auditor, Role::Administrator],
    ),
    (
        "deodar.manage.v1.DecisionRecordService/ListRefusals",
        &[Role::Analyst, Role::Auditor, Role::Administrator],
    ),
    (
        "deodar.manage.v1.SystemService/GetStatus",
        &[Role::Analyst, Role::Auditor, Role::Author, Role::Administrator],
    ),
];

fn every_rpc() -> BTreeSet<String> {
    let pool = DescriptorPool::decode(pb::DESCRIPTORS).unwrap();
    let services: Vec<_> = pool.services().collect();
    let methods = services.iter().flat_map(|service| service.methods().collect::<Vec<_>>());
    methods.map(|method| format!("{}/{}", method.parent_service().full_name(), method.name())).collect()
}

#[test]
fn every_rpc_has_a_case() {
    let cases: BTreeSet<String> = CASES.iter().map(|(rpc, _)| (*rpc).to_owned()).collect();
    assert_eq!(cases, every_rpc());
}

/// Calls an RPC with an empty message. What comes back does not matter, only who may call.
async fn call(channel: &Channel, rpc: &str, key: Option<&str>) -> Code {
    let mut grpc = Grpc::new(channel.clone());
    grpc.ready().await.unwrap();
    let mut request = Request::new(());
    if let Some(key) = key {
        request.metadata_mut().insert("authorization", MetadataValue::try_from(key).unwrap());
    }
    let path = format!("/{rpc}").parse().unwrap();
    let answer = grpc.unary(request, path, ProstCodec::<(), ()>::default()).await;
    answer.map_or_else(|status| status.code(), |_| Code::Ok)
}

struct Channels {
    decisions: Channel,
    management: Channel,
}

impl Channels {
    async fn open(app: &TestApp) -> Self {
        let open = async |address| {
            Endpoint::from_shared(format!("http://{address}")).unwrap().connect().await.unwrap()
        };
        Self {
            decisions: open(app.running.decisions()).await,
            management: open(app.running.management()).await,
        }
    }

    fn of(&self, rpc: &str) -> &Channel {
        if rpc.starts_with("deodar.decision.") { &self.decisions } else { &self.management }
    }
}

async fn a_key_for_each_role(management: &Connection) -> BTreeMap<i32, Secret> {
    let mut keys = BTreeMap::new();
    for role in ROLES {
        let client = pb::manage::Client {
            client_id: format!("only-{}", role.as_str_name().to_lowercase().replace('_', "-")),
            roles: vec![role.into()],
            ..pb::manage::Client::default()
        };
        keys.insert(i32::from(role), create_client(management, client).await);
    }
    keys
}

#[tokio::test(flavor = "multi_thread")]
async fn callers_without_a_known_key_are_refused_everywhere() {
    let app = TestApp::start(Backend::Sqlite).await;
    let channels = Channels::open(&app).await;
    let known = app.admin_key.expose().to_owned();
    let tampered = format!("Bearer {}A", &known[..known.len() - 1]);
    let stranger = format!("Bearer deodar_stranger_{}", "A".repeat(43));
    let (doubled, bare, basic) = (format!("Bearer {known} {known}"), known.clone(), format!("Basic {known}"));
    for rpc in every_rpc() {
        let keys = [
            None,
            Some(""),
            Some(&*tampered),
            Some(&*stranger),
            Some(&*doubled),
            Some(&*bare),
            Some(&*basic),
        ];
        for (index, key) in keys.into_iter().enumerate() {
            // One in 64 keys ends with the letter that the tampered one ends with.
            if key == Some(&format!("Bearer {known}")) {
                continue;
            }
            let code = call(channels.of(&rpc), &rpc, key).await;
            assert_eq!(code, Code::Unauthenticated, "{rpc} with wrong key {index}");
        }
    }
    app.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn roles_reach_what_they_are_for_and_nothing_else() {
    let app = TestApp::start(Backend::Sqlite).await;
    let channels = Channels::open(&app).await;
    let keys = a_key_for_each_role(&app.management().await).await;
    for (rpc, allowed) in CASES {
        for role in ROLES {
            let key = format!("Bearer {}", keys[&i32::from(role)].expose());
            let code = call(channels.of(rpc), rpc, Some(&key)).await;
            let refused = matches!(code, Code::PermissionDenied | Code::Unauthenticated);
            assert_eq!(refused, !allowed.contains(&role), "{rpc} as {}: {code:?}", role.as_str_name());
        }
    }
    app.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_revoked_key_stops_working() {
    let app = TestApp::start(Backend::Sqlite).await;
    let channels = Channels::open(&app).await;
    let rpc = "deodar.decision.v1.DecisionService/Check";
    let key = format!("Bearer {}", app.gateway_key.expose());
    assert_eq!(call(channels.of(rpc), rpc, Some(&key)).await, Code::Ok);
    let revoke = pb::manage::RevokeClientRequest { client_id: "test-gateway".into() };
    app.management().await.clients().revoke_client(revoke).await.unwrap();
    assert_eq!(call(channels.of(rpc), rpc, Some(&key)).await, Code::Unauthenticated);
    app.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_nobody_listed_is_for_nobody() {
    let app = TestApp::start(Backend::Sqlite).await;
    let channels = Channels::open(&app).await;
    let key = format!("Bearer {}", app.admin_key.expose());
    let code = call(&channels.management, "deodar.manage.v1.ClientService/Unlisted", Some(&key)).await;
    assert_eq!(code, Code::PermissionDenied);
    app.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn refused_calls_are_counted_and_not_recorded_one_by_one() {
    let app = TestApp::start(Backend::Sqlite).await;
    let channels = Channels::open(&app).await;
    let rpc = "deodar.decision.v1.DecisionService/Check";
    for _ in 0..20 {
        call(&channels.decisions, rpc, None).await;
    }
    app.running.recorder().flush().await.unwrap();
    let request = pb::manage::ListRefusalsRequest::default();
    let rows = app.management().await.records().list_refusals(request).await.unwrap().into_inner().refusals;
    let counted: u64 = rows.iter().filter(|row| row.kind == "unauthenticated").map(|row| row.count).sum();
    assert_eq!(counted, 20, "{rows:?}");
    assert!(rows.iter().all(|row| row.peer == "127.0.0.1"), "{rows:?}");
    let request = pb::manage::ListDecisionRecordsRequest::default();
    let records = app.management().await.records().list_decision_records(request).await.unwrap();
    assert_eq!(records.into_inner().records.len(), 0);
    app.stop().await;
}
