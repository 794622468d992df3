//! Clients: kept for ever, revoked once, listed byte for byte.

use std::collections::BTreeSet;
use std::time::Duration;

use deodar::model::{
    ApiGrant, Assertion, CertificateName, ChangeBody, Client, Grants, KeyDigest, PageRequest, Revision, Role,
    Timestamp,
};
use deodar::store::StoreError;

use super::on_both_backends;
use crate::support::store::TestStore;

on_both_backends!(
    a_client_comes_back_as_it_was_given,
    an_id_names_one_client_for_ever,
    unknown_clients_are_none,
    clients_are_listed_by_id_byte_for_byte,
    pages_join_to_the_whole_list,
    a_page_token_of_another_list_is_refused,
    revoking_twice_keeps_the_first_moment_and_is_one_change,
    all_clients_come_with_the_revision_they_are_true_at,
    concurrent_creations_of_one_id_make_one_client,
    a_certificate_names_one_live_client_at_a_time,
    setting_certificates_replaces_them_and_the_same_again_is_no_change,
);

pub fn client(id: &str) -> Client {
    Client {
        id: id.parse().unwrap(),
        display_name: "Edge \u{1f332} \"gateway\"".into(),
        roles: [Role::Gateway, Role::Sensor].into(),
        grants: Grants {
            apis: ApiGrant::Only(["orders".parse().unwrap()].into()),
            domains: ["default".parse().unwrap()].into(),
            assertions: [Assertion::Device].into(),
            explain: true,
            max_reuse: Duration::from_millis(1_500),
        },
        key_sha256: Some(KeyDigest([7; 32])),
        certificates: [format!("dns:{id}.example.com").parse().unwrap()].into(),
        created_by: "root".parse().unwrap(),
        created_at: Timestamp::from_micros(1_795_341_600_000_001),
        revoked_at: None,
    }
}

async fn a_client_comes_back_as_it_was_given(test: TestStore) {
    let created = test.store.create_client(&client("edge")).await.unwrap();
    let found = test.store.get_client(&"edge".parse().unwrap()).await.unwrap();
    assert_eq!(found, Some(client("edge")));
    let changes = test.store.changes_after(Revision::default(), 9).await.unwrap();
    assert_eq!(changes.len(), 1);
    assert_eq!((changes[0].revision, &changes[0].body), (created, &ChangeBody::Client(client("edge"))));
}

async fn an_id_names_one_client_for_ever(test: TestStore) {
    let store = &test.store;
    let created = store.create_client(&client("edge")).await.unwrap();
    let again = store.create_client(&client("edge")).await.unwrap_err();
    assert!(matches!(&again, StoreError::AlreadyExists { what: "client", name } if name == "edge"));
    let (_, revoked) =
        store.revoke_client(&"edge".parse().unwrap(), Timestamp::from_seconds(9)).await.unwrap().unwrap();
    assert_eq!(revoked.number, created.number + 1);
    let again = store.create_client(&client("edge")).await.unwrap_err();
    assert!(matches!(again, StoreError::AlreadyExists { .. }));
    assert_eq!(store.current_revision().await.unwrap(), revoked, "a refusal takes no number");
}

async fn unknown_clients_are_none(test: TestStore) {
    let id = "nobody".parse().unwrap();
    let before = test.store.current_revision().await.unwrap();
    assert_eq!(test.store.get_client(&id).await.unwrap(), None);
    assert_eq!(test.store.revoke_client(&id, Timestamp::from_seconds(1)).await.unwrap(), None);
    assert_eq!(test.store.current_revision().await.unwrap(), before);
}

async fn clients_are_listed_by_id_byte_for_byte(test: TestStore) {
    // A collation of words would put "a-b" after "ab" and "a10" elsewhere.
    for id in ["b", "ab", "a-b", "a10", "a2"] {
        test.store.create_client(&client(id)).await.unwrap();
    }
    let id = "a2".parse().unwrap();
    test.store.revoke_client(&id, Timestamp::from_seconds(1)).await.unwrap();
    let page = test.store.list_clients(&PageRequest::first(9)).await.unwrap();
    let ids: Vec<_> = page.items.iter().map(|client| client.id.as_str()).collect();
    assert_eq!(ids, ["a-b", "a10", "a2", "ab", "b"]);
    assert_eq!(page.next, None);
}

async fn pages_join_to_the_whole_list(test: TestStore) {
    for id in ["a", "b", "c", "d"] {
        test.store.create_client(&client(id)).await.unwrap();
    }
    let first = test.store.list_clients(&PageRequest::first(2)).await.unwrap();
    assert_eq!(first.items, [client("a"), client("b")]);
    let second = test.store.list_clients(&PageRequest { size: 2, after: first.next }).await.unwrap();
    assert_eq!((second.items, second.next), (vec![client("c"), client("d")], None));
}

async fn a_page_token_of_another_list_is_refused(test: TestStore) {
    for id in ["a", "b"] {
        test.store.create_client(&client(id)).await.unwrap();
    }
    let after = test.store.list_clients(&PageRequest::first(1)).await.unwrap().next;
    let refused = test.store.list_refusals(&PageRequest { size: 1, after }).await.unwrap_err();
    assert!(matches!(refused, StoreError::InvalidPageToken));
    let page = PageRequest { size: 1, after: Some("b".into()) };
    assert!(matches!(test.store.list_clients(&page).await.unwrap_err(), StoreError::InvalidPageToken));
}

async fn revoking_twice_keeps_the_first_moment_and_is_one_change(test: TestStore) {
    let store = &test.store;
    let id = "edge".parse().unwrap();
    store.create_client(&client("edge")).await.unwrap();
    let (revoked, at) = store.revoke_client(&id, Timestamp::from_seconds(5)).await.unwrap().unwrap();
    assert_eq!(revoked.revoked_at, Some(Timestamp::from_seconds(5)));
    store.create_client(&client("other")).await.unwrap();
    let (again, current) = store.revoke_client(&id, Timestamp::from_seconds(6)).await.unwrap().unwrap();
    assert_eq!(again, revoked);
    assert_eq!(current.number, at.number + 1, "the current revision, not that of the first revocation");
    assert_eq!(store.changes_after(Revision::default(), 9).await.unwrap().len(), 3);
    assert_eq!(store.get_client(&id).await.unwrap(), Some(revoked));
}

async fn all_clients_come_with_the_revision_they_are_true_at(test: TestStore) {
    assert_eq!(test.store.all_clients().await.unwrap().0, []);
    test.store.create_client(&client("edge")).await.unwrap();
    let (revoked, at) = {
        let id = "edge".parse().unwrap();
        test.store.revoke_client(&id, Timestamp::from_seconds(5)).await.unwrap().unwrap()
    };
    assert_eq!(test.store.all_clients().await.unwrap(), (vec![revoked], at));
}

async fn concurrent_creations_of_one_id_make_one_client(test: TestStore) {
    let other = test.another().await;
    let edge = client("edge");
    let results = tokio::join!(
        test.store.create_client(&edge),
        other.create_client(&edge),
        test.store.create_client(&edge),
        other.create_client(&edge),
    );
    let results = [results.0, results.1, results.2, results.3];
    assert_eq!(results.iter().filter(|result| result.is_ok()).count(), 1, "{results:?}");
    assert_eq!(test.store.changes_after(Revision::default(), 9).await.unwrap().len(), 1);
}

fn names(names: &[&str]) -> BTreeSet<CertificateName> {
    names.iter().map(|name| name.parse().unwrap()).collect()
}

async fn a_certificate_names_one_live_client_at_a_time(test: TestStore) {
    let store = &test.store;
    let (edge, heir) = ("edge".parse().unwrap(), "heir".parse().unwrap());
    store.create_client(&client("edge")).await.unwrap();
    let taken = Client { certificates: names(&["dns:edge.example.com"]), ..client("heir") };
    let refused = store.create_client(&taken).await.unwrap_err();
    assert!(
        matches!(&refused, StoreError::AlreadyExists { name, .. } if name == "dns:edge.example.com"),
        "{refused:?}"
    );
    assert_eq!(store.get_client(&heir).await.unwrap(), None, "nothing is left of it");
    store.create_client(&client("heir")).await.unwrap();
    let refused = store.set_client_certificates(&heir, &taken.certificates).await.unwrap_err();
    assert!(matches!(refused, StoreError::AlreadyExists { .. }));
    assert_eq!(store.get_client(&heir).await.unwrap(), Some(client("heir")));

    store.revoke_client(&edge, Timestamp::from_seconds(5)).await.unwrap();
    let (changed, _) = store.set_client_certificates(&heir, &taken.certificates).await.unwrap().unwrap();
    assert_eq!(changed, taken);
    let refused = store.set_client_certificates(&edge, &names(&[])).await.unwrap_err();
    assert!(matches!(refused, StoreError::Conflict { .. }), "revoked for good");
}

async fn setting_certificates_replaces_them_and_the_same_again_is_no_change(test: TestStore) {
    let store = &test.store;
    let edge = "edge".parse().unwrap();
    let digest = format!("sha256:{}", "ab".repeat(32));
    let new = names(&["uri:spiffe://example.org/edge", &digest]);
    assert_eq!(store.set_client_certificates(&edge, &new).await.unwrap(), None);
    store.create_client(&client("edge")).await.unwrap();
    let (changed, at) = store.set_client_certificates(&edge, &new).await.unwrap().unwrap();
    assert_eq!(changed, Client { certificates: new.clone(), ..client("edge") });
    let change = &store.changes_after(Revision::default(), 9).await.unwrap()[1];
    assert_eq!((change.revision, &change.body), (at, &ChangeBody::Client(changed.clone())));
    assert_eq!(store.set_client_certificates(&edge, &new).await.unwrap(), Some((changed, at)));
    // The name that it had is free.
    let other = Client { certificates: names(&["dns:edge.example.com"]), ..client("other") };
    store.create_client(&other).await.unwrap();
}
