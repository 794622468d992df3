//! The directory: who is not active is denied at once however they come, and roles of the directory open doors.

use deodar::api::client::Connection;
use deodar::api::pb::decision::credential::Kind as CredentialKind;
use deodar::api::pb::{decision as pb, manage};

use crate::support::app::{Backend, TestApp};
use crate::support::case::reason_name;
use crate::support::token::TokenSpec;

fn orders() -> pb::question::Kind {
    pb::question::Kind::Call(pb::ApiCall {
        method: "GET".into(),
        host: "orders.example.com".into(),
        path: "/orders/7".into(),
        secure: true,
        ..pb::ApiCall::default()
    })
}

/// A question in the words of the shop, that names its principal itself.
fn named(id: &str) -> pb::question::Kind {
    let entity = |r#type: &str, id: &str| Some(pb::EntityRef { r#type: r#type.into(), id: id.into() });
    pb::question::Kind::Cedar(pb::CedarQuestion {
        domain: "shop".into(),
        principal: entity("api::User", id),
        action: entity("Shop::Action", "view"),
        resource: entity("Shop::Invoice", "i-1"),
        ..pb::CedarQuestion::default()
    })
}

async fn reason(
    gateway: &Connection,
    credential: Option<CredentialKind>,
    question: pb::question::Kind,
) -> String {
    let request = pb::CheckRequest {
        credentials: credential
            .into_iter()
            .map(|kind| pb::Credential { kind: Some(kind), ..pb::Credential::default() })
            .collect(),
        question: Some(pb::Question { kind: Some(question) }),
        ..pb::CheckRequest::default()
    };
    let answer = gateway.decisions().check(request).await.unwrap().into_inner();
    reason_name(answer.decision.unwrap().reason)
}

fn token(app: &TestApp, roles: &str) -> Option<CredentialKind> {
    let spec = format!("{{ subject: alice, roles: [{roles}], scopes: ['orders:read'] }}");
    let token = serde_yaml_ng::from_str::<TokenSpec>(&spec).unwrap().mint(app.dir.path());
    Some(CredentialKind::BearerToken(token))
}

fn alice() -> manage::Principal {
    manage::Principal { principal_id: "User::dev/alice".into(), ..manage::Principal::default() }
}

async fn put(admin: &Connection, principal: manage::Principal, etag: &str) -> String {
    let request = manage::PutPrincipalRequest { principal: Some(principal), etag: etag.into() };
    admin.put_principal(request).await.unwrap().principal.unwrap().etag
}

#[tokio::test(flavor = "multi_thread")]
async fn who_is_not_active_is_denied_at_once_however_they_come() {
    let app = TestApp::start(Backend::Sqlite).await;
    let (gateway, admin) = (app.decisions(&app.gateway_key).await, app.management().await);
    let token = token(&app, "clerk");
    let asserted = Some(CredentialKind::AssertedPrincipal("User::dev/alice".into()));
    assert_eq!(reason(&gateway, token.clone(), orders()).await, "allowed", "verified and cached");

    put(&admin, manage::Principal { active: Some(false), ..alice() }, "").await;
    assert_eq!(reason(&gateway, token.clone(), orders()).await, "principal_disabled");
    assert_eq!(reason(&gateway, asserted, orders()).await, "principal_disabled");
    assert_eq!(reason(&gateway, None, named("dev/alice")).await, "principal_disabled");
    assert_ne!(reason(&gateway, None, named("dev/bob")).await, "principal_disabled");

    put(&admin, alice(), "*").await;
    assert_eq!(reason(&gateway, token.clone(), orders()).await, "allowed");
    put(&admin, manage::Principal { active: Some(false), ..alice() }, "*").await;
    assert_eq!(reason(&gateway, token.clone(), orders()).await, "principal_disabled");
    let delete = manage::DeletePrincipalRequest { principal_id: "User::dev/alice".into(), etag: "*".into() };
    admin.delete_principal(delete).await.unwrap();
    assert_eq!(reason(&gateway, token, orders()).await, "allowed");
    app.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_role_of_the_directory_opens_an_endpoint_for_as_long_as_it_is_there() {
    let app = TestApp::start(Backend::Sqlite).await;
    let (gateway, admin) = (app.decisions(&app.gateway_key).await, app.management().await);
    let token = token(&app, "");
    assert_eq!(reason(&gateway, token.clone(), orders()).await, "no_matching_permit");
    let etag = put(&admin, manage::Principal { roles: vec!["clerk".into()], ..alice() }, "").await;
    assert_eq!(reason(&gateway, token.clone(), orders()).await, "allowed");
    put(&admin, alice(), &etag).await;
    assert_eq!(reason(&gateway, token, orders()).await, "no_matching_permit");
    app.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn conflicting_edits_fail_and_bad_entries_are_refused() {
    let app = TestApp::start(Backend::Sqlite).await;
    let admin = app.management().await;
    let refused = async |principal, etag: &str| {
        let request = manage::PutPrincipalRequest { principal: Some(principal), etag: etag.into() };
        admin.put_principal(request).await.unwrap_err().code
    };
    let etag = put(&admin, alice(), "").await;
    assert_eq!(refused(alice(), "").await, "aborted", "there is one already");
    let newer = put(&admin, alice(), &etag).await;
    assert_eq!(refused(alice(), &etag).await, "aborted", "somebody else was quicker");
    let anonymous = manage::Principal { principal_id: "Anonymous::anonymous".into(), ..alice() };
    let given = manage::Principal { updated_by: "me".into(), ..alice() };
    let control = manage::Principal { roles: vec!["a\nb".into()], ..alice() };
    for bad in [anonymous, given, control] {
        assert_eq!(refused(bad, "*").await, "invalid_argument");
    }
    let id = || "User::dev/alice".to_owned();
    let delete = |etag: &str| manage::DeletePrincipalRequest { principal_id: id(), etag: etag.into() };
    assert_eq!(admin.delete_principal(delete("")).await.unwrap_err().code, "invalid_argument");
    assert_eq!(admin.delete_principal(delete(&etag)).await.unwrap_err().code, "aborted");
    admin.delete_principal(delete(&newer)).await.unwrap();
    assert_eq!(admin.delete_principal(delete("*")).await.unwrap_err().code, "not_found");
    app.stop().await;
}
