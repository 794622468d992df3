//! The directory: entries written whole, by those who know what is there.

use deodar::model::{ChangeBody, DirectoryChange, DirectoryEntry, Expected, PageRequest, Revision};
use deodar::store::StoreError;

use super::on_both_backends;
use super::signals::at;
use crate::support::store::TestStore;

on_both_backends!(
    an_entry_comes_back_as_it_was_given_and_is_one_change,
    an_edit_of_something_else_fails_and_changes_nothing,
    an_etag_of_a_deleted_entry_is_worth_nothing,
    of_concurrent_edits_of_one_state_one_succeeds,
    unknown_entries_are_none,
    entries_are_listed_by_id_byte_for_byte,
);

fn entry(id: &str, etag: &str) -> DirectoryEntry {
    DirectoryEntry {
        principal: id.parse().unwrap(),
        active: false,
        roles: ["clerk".to_owned(), "manager".to_owned()].into(),
        groups: ["sales".to_owned()].into(),
        tags: [("team".to_owned(), ["blue \u{1f332}".to_owned()].into())].into(),
        note: "left".into(),
        etag: etag.into(),
        updated_by: "root".parse().unwrap(),
        updated_at: at(100),
    }
}

const ALICE: &str = "User::dev/alice";

fn expected(etag: &str) -> Expected {
    Expected::Etag(etag.into())
}

async fn an_entry_comes_back_as_it_was_given_and_is_one_change(test: TestStore) {
    let alice = entry(ALICE, "1");
    let put = test.store.put_principal(&alice, &Expected::Absent).await.unwrap();
    assert_eq!(test.store.get_principal(&alice.principal).await.unwrap().as_ref(), Some(&alice));
    assert_eq!(test.store.all_principals().await.unwrap(), (vec![alice.clone()], put));
    let deleted = test.store.delete_principal(&alice.principal, &expected("1")).await.unwrap().unwrap();
    let changes = test.store.changes_after(Revision::default(), 9).await.unwrap();
    let principal = alice.principal.clone();
    let wanted = [(put, Some(alice)), (deleted, None)].map(|(revision, entry)| {
        (revision, ChangeBody::Principal(DirectoryChange { principal: principal.clone(), entry }))
    });
    let found: Vec<_> = changes.into_iter().map(|change| (change.revision, change.body)).collect();
    assert_eq!(found, wanted);
}

async fn an_edit_of_something_else_fails_and_changes_nothing(test: TestStore) {
    let store = &test.store;
    let alice = entry(ALICE, "1");
    let refused = store.put_principal(&alice, &expected("0")).await.unwrap_err();
    assert!(matches!(&refused, StoreError::Conflict { what: "principal", name } if name == ALICE));
    let put = store.put_principal(&alice, &Expected::Absent).await.unwrap();
    for expected in [Expected::Absent, expected("2")] {
        let refused = store.put_principal(&entry(ALICE, "3"), &expected).await.unwrap_err();
        assert!(matches!(refused, StoreError::Conflict { .. }));
        let refused = store.delete_principal(&alice.principal, &expected).await.unwrap_err();
        assert!(matches!(refused, StoreError::Conflict { .. }));
    }
    assert_eq!(store.current_revision().await.unwrap(), put);
    assert_eq!(store.get_principal(&alice.principal).await.unwrap(), Some(alice));
    store.put_principal(&entry(ALICE, "2"), &expected("1")).await.unwrap();
    store.put_principal(&entry(ALICE, "3"), &Expected::Anything).await.unwrap();
}

async fn an_etag_of_a_deleted_entry_is_worth_nothing(test: TestStore) {
    let alice = entry(ALICE, "1");
    test.store.put_principal(&alice, &Expected::Anything).await.unwrap();
    test.store.delete_principal(&alice.principal, &Expected::Anything).await.unwrap().unwrap();
    let refused = test.store.put_principal(&entry(ALICE, "2"), &expected("1")).await.unwrap_err();
    assert!(matches!(refused, StoreError::Conflict { .. }));
}

async fn of_concurrent_edits_of_one_state_one_succeeds(test: TestStore) {
    let other = test.another().await;
    test.store.put_principal(&entry(ALICE, "1"), &Expected::Absent).await.unwrap();
    let (left, right, state) = (entry(ALICE, "2"), entry(ALICE, "3"), expected("1"));
    let results = tokio::join!(test.store.put_principal(&left, &state), other.put_principal(&right, &state));
    assert!(results.0.is_ok() != results.1.is_ok(), "{results:?}");
}

async fn unknown_entries_are_none(test: TestStore) {
    let id = ALICE.parse().unwrap();
    let before = test.store.current_revision().await.unwrap();
    assert_eq!(test.store.get_principal(&id).await.unwrap(), None);
    assert_eq!(test.store.delete_principal(&id, &Expected::Anything).await.unwrap(), None);
    assert_eq!(test.store.current_revision().await.unwrap(), before);
}

async fn entries_are_listed_by_id_byte_for_byte(test: TestStore) {
    for id in ["Workload::dev/a", "User::dev/b", "User::dev/B", "User::dev/a-b", "User::dev/ab"] {
        test.store.put_principal(&entry(id, "1"), &Expected::Absent).await.unwrap();
    }
    let (mut ids, mut after) = (Vec::new(), None);
    loop {
        let page = test.store.list_principals(&PageRequest { size: 2, after }).await.unwrap();
        ids.extend(page.items.iter().map(|entry| entry.principal.to_string()));
        after = page.next;
        if after.is_none() {
            break;
        }
    }
    assert_eq!(ids, ["User::dev/B", "User::dev/a-b", "User::dev/ab", "User::dev/b", "Workload::dev/a"]);
}
