//! The workload at the other end of the client's connection, beside a token that says who is calling: `context.peer`.

use deodar::api::pb::{decision as pb, manage};
use serde_json::json;

use super::{Door, all_refused_of, attack, call, detail, reason};
use crate::support::certificate::{
    Authority, alone, client, confirmation, pem, self_signed, valid, with_chain,
};
use crate::support::proof::bearer;

const ID: &str = "spiffe://prod.example.com/ns/shop/sa/web";
const OTHER: &str = "spiffe://prod.example.com/ns/shop/sa/other";

async fn open(authority: &Authority) -> Door {
    let folder = tempfile::tempdir().unwrap();
    let bundle = folder.path().join("prod.pem");
    std::fs::write(&bundle, pem(&authority.der)).unwrap();
    let bundle = bundle.display();
    Door::open(&format!(
        r#"
[[identity.trust_domains]]
alias = "prod"
name = "prod.example.com"
bundle_file = "{bundle}"
domains = "*"
"#
    ))
    .await
}

/// A token, and a certificate beside it.
fn beside(door: &Door, certificate: &[u8]) -> pb::Credential {
    with_chain(bearer(&door.token(json!({})), ""), certificate, &[])
}

#[tokio::test]
async fn policies_see_the_peer_where_it_is_proved() {
    let authority = Authority::root("prod");
    let door = open(&authority).await;
    let [web, other] = [ID, OTHER].map(|id| authority.sign(&client(&[id])));
    let foreign = Authority::root("foreign").sign(&client(&["spiffe://foreign.example.com/web"]));
    let nameless = self_signed(&client(&[]));
    let bound = door.token(json!({ "cnf": confirmation(&web) }));
    for (name, credential, wanted) in [
        ("beside a token", beside(&door, &web), "allowed"),
        ("beside a token that is bound to it", with_chain(bearer(&bound, ""), &web, &[]), "allowed"),
        ("by itself", alone(&web, &[]), "allowed"),
        ("another workload", beside(&door, &other), "forbidden_by_policy"),
        ("another workload by itself", alone(&other, &[]), "forbidden_by_policy"),
        ("a trust domain that is not ours", beside(&door, &foreign), "forbidden_by_policy"),
        ("a certificate without a name", beside(&door, &nameless), "forbidden_by_policy"),
        ("no certificate", bearer(&door.token(json!({})), ""), "forbidden_by_policy"),
    ] {
        let decision = door.ask(credential, call("/peer")).await;
        assert_eq!(reason(&decision), wanted, "{name}: {}", detail(&decision));
    }
    door.app.stop().await;
}

#[tokio::test]
async fn a_peer_that_is_not_what_it_says_refuses_the_call() {
    let authority = Authority::root("prod");
    let door = open(&authority).await;
    let mut old = client(&[ID]);
    valid(&mut old, -7_200, -60);
    let signed = |uris: &[&str]| beside(&door, &authority.sign(&client(uris)));
    let attacks = vec![
        attack(
            "signed by itself",
            beside(&door, &self_signed(&client(&[ID]))),
            ["unknown_key", "no authority"],
        ),
        attack(
            "signed by one of the same name",
            beside(&door, &Authority::root("prod").sign(&client(&[ID]))),
            ["bad_signature", "signature"],
        ),
        attack("expired", beside(&door, &authority.sign(&old)), ["expired", "expired"]),
        attack("two names", signed(&[ID, OTHER]), ["malformed", "2 URI"]),
        attack(
            "ours behind a foreign name",
            signed(&["spiffe://foreign.example.com/web", ID]),
            ["malformed", "2 URI"],
        ),
        attack("in capitals", signed(&["SPIFFE://prod.example.com/web"]), ["malformed", "begins with"]),
        attack("with a port", signed(&["spiffe://prod.example.com:1/web"]), ["malformed", "trust domain"]),
    ];
    all_refused_of(&door, attacks, "User::dev/alice").await;
    door.app.stop().await;
}

#[tokio::test]
async fn a_peer_can_be_revoked_and_disabled() {
    let authority = Authority::root("prod");
    let door = open(&authority).await;
    let management = door.app.management().await;
    let web = authority.sign(&client(&[ID]));
    let peer = "Workload::prod/ns/shop/sa/web";
    assert_eq!(reason(&door.ask(beside(&door, &web), call("/peer")).await), "allowed");
    let revocation = manage::Revocation {
        target: format!("principal:{peer}"),
        reason: "the pod was lost".into(),
        ..manage::Revocation::default()
    };
    let request = manage::CreateRevocationRequest { revocation: Some(revocation) };
    let made = management.revocations().create_revocation(request).await.unwrap().into_inner();
    let decision = door.ask(beside(&door, &web), call("/peer")).await;
    assert_eq!(reason(&decision), "revoked");
    assert!(detail(&decision).contains("the peer was revoked"), "{}", detail(&decision));
    let revocation_id = made.revocation.unwrap().revocation_id;
    let undo = manage::DeleteRevocationRequest { revocation_id, reason: "found".into() };
    management.revocations().delete_revocation(undo).await.unwrap();
    let entry =
        manage::Principal { principal_id: peer.into(), active: Some(false), ..manage::Principal::default() };
    let put = manage::PutPrincipalRequest { principal: Some(entry), etag: "*".into() };
    management.principals().put_principal(put).await.unwrap();
    assert_eq!(reason(&door.ask(beside(&door, &web), call("/peer")).await), "principal_disabled");
    assert_eq!(
        reason(&door.ask(bearer(&door.token(json!({})), ""), call("/seen")).await),
        "forbidden_by_policy"
    );
    door.app.stop().await;
}
