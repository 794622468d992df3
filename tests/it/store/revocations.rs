//! Revocations: kept, taken back once, listed newest first, purged when they concern no token.

use deodar::model::{
    ChangeBody, PageRequest, Revision, Revocation, RevocationFilter, RevocationId, Timestamp, Undone,
};
use deodar::store::StoreError;

use super::on_both_backends;
use super::signals::at;
use crate::support::store::TestStore;

on_both_backends!(
    a_revocation_comes_back_as_it_was_given_and_is_one_change,
    undoing_twice_keeps_the_first_and_is_one_change,
    unknown_revocations_are_none,
    revocations_are_listed_newest_first_and_filtered,
    a_page_token_of_another_filter_is_refused,
    live_revocations_are_those_that_can_concern_a_token,
    purging_deletes_what_expired_before_and_is_no_change,
);

const ALICE: &str = "principal:User::dev/alice";

fn revocation(target: &str, created: i64, expires: i64) -> Revocation {
    Revocation {
        id: RevocationId::generate(),
        target: target.parse().unwrap(),
        issued_before: Some(Timestamp::from_micros(1_795_341_600_000_001)),
        reason: "stolen \u{1f332} \"laptop\"".into(),
        created_by: "root".parse().unwrap(),
        created_at: at(created),
        expires_at: at(expires),
        undone: None,
    }
}

fn undone(seconds: i64) -> Undone {
    Undone { by: "root".parse().unwrap(), at: at(seconds), why: "found again".into() }
}

async fn a_revocation_comes_back_as_it_was_given_and_is_one_change(test: TestStore) {
    let one = revocation(ALICE, 100, 200);
    let revision = test.store.create_revocation(&one).await.unwrap();
    assert_eq!(test.store.get_revocation(one.id).await.unwrap().as_ref(), Some(&one));
    let changes = test.store.changes_after(Revision::default(), 9).await.unwrap();
    assert_eq!(changes.len(), 1);
    assert_eq!((changes[0].revision, &changes[0].body), (revision, &ChangeBody::Revocation(one)));
}

async fn undoing_twice_keeps_the_first_and_is_one_change(test: TestStore) {
    let one = revocation(ALICE, 100, 200);
    let made = test.store.create_revocation(&one).await.unwrap();
    let (first, at_first) = test.store.undo_revocation(one.id, &undone(110)).await.unwrap().unwrap();
    assert_eq!(first, Revocation { undone: Some(undone(110)), ..one.clone() });
    assert_eq!(at_first.number, made.number + 1);
    let (again, at_again) = test.store.undo_revocation(one.id, &undone(120)).await.unwrap().unwrap();
    assert_eq!((&again, at_again), (&first, at_first));
    let changes = test.store.changes_after(made, 9).await.unwrap();
    assert_eq!(changes.len(), 1);
    assert_eq!(changes[0].body, ChangeBody::Revocation(first));
}

async fn unknown_revocations_are_none(test: TestStore) {
    let before = test.store.current_revision().await.unwrap();
    let id = RevocationId::generate();
    assert_eq!(test.store.get_revocation(id).await.unwrap(), None);
    assert_eq!(test.store.undo_revocation(id, &undone(1)).await.unwrap(), None);
    assert_eq!(test.store.current_revision().await.unwrap(), before);
}

async fn list(test: &TestStore, filter: &RevocationFilter) -> Vec<RevocationId> {
    let (mut ids, mut after) = (Vec::new(), None);
    loop {
        let page = test.store.list_revocations(filter, &PageRequest { size: 1, after }).await.unwrap();
        ids.extend(page.items.iter().map(|revocation| revocation.id));
        after = page.next;
        if after.is_none() {
            return ids;
        }
    }
}

async fn revocations_are_listed_newest_first_and_filtered(test: TestStore) {
    let made = [revocation(ALICE, 100, 900), revocation("issuer:dev", 101, 900), revocation(ALICE, 102, 900)];
    for one in &made {
        test.store.create_revocation(one).await.unwrap();
    }
    let [first, second, third] = made.map(|one| one.id);
    assert_eq!(list(&test, &RevocationFilter::default()).await, [third, second, first]);
    let alice = RevocationFilter { target: Some(ALICE.parse().unwrap()), include_undone: false };
    assert_eq!(list(&test, &alice).await, [third, first]);
    test.store.undo_revocation(third, &undone(110)).await.unwrap();
    assert_eq!(list(&test, &alice).await, [first]);
    assert_eq!(list(&test, &RevocationFilter { include_undone: true, ..alice }).await, [third, first]);
}

async fn a_page_token_of_another_filter_is_refused(test: TestStore) {
    for created in [100, 101] {
        test.store.create_revocation(&revocation(ALICE, created, 200)).await.unwrap();
    }
    let all = RevocationFilter::default();
    let after = test.store.list_revocations(&all, &PageRequest::first(1)).await.unwrap().next;
    assert!(after.is_some());
    let other = RevocationFilter { include_undone: true, ..all };
    let refused = test.store.list_revocations(&other, &PageRequest { size: 1, after }).await.unwrap_err();
    assert!(matches!(refused, StoreError::InvalidPageToken));
}

async fn live_revocations_are_those_that_can_concern_a_token(test: TestStore) {
    let made = [200, 201, 900, 900].map(|expires| revocation(ALICE, 100, expires));
    for one in &made {
        test.store.create_revocation(one).await.unwrap();
    }
    let (_, revision) = test.store.undo_revocation(made[3].id, &undone(110)).await.unwrap().unwrap();
    let (mut live, at_revision) = test.store.live_revocations(at(200)).await.unwrap();
    live.sort_by_key(|one| one.expires_at);
    assert_eq!((live.as_slice(), at_revision), (&made[1..3], revision));
}

async fn purging_deletes_what_expired_before_and_is_no_change(test: TestStore) {
    let made = [200, 201].map(|expires| revocation(ALICE, 100, expires));
    for one in &made {
        test.store.create_revocation(one).await.unwrap();
    }
    let before = test.store.current_revision().await.unwrap();
    assert_eq!(test.store.purge_revocations(at(201)).await.unwrap(), 1);
    assert_eq!(list(&test, &RevocationFilter::default()).await, [made[1].id]);
    assert_eq!(test.store.current_revision().await.unwrap(), before);
}
