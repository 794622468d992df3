//! Decisions: records kept as they came, found by their columns; refusals that add up.

use deodar::model::{
    CredentialFault, DecisionId, Effect, PageRequest, Reason, RecordFilter, Refusals, Timestamp,
};
use deodar::store::{Place, RecordHead, StoreError, StoredRecord};

use super::on_both_backends;
use crate::support::raw::RawConnection;
use crate::support::store::TestStore;

on_both_backends!(
    records_come_back_byte_for_byte,
    a_record_that_is_there_is_left_as_it_is,
    a_batch_is_kept_whole_or_not_at_all,
    a_large_batch_is_kept,
    a_batch_that_comes_again_in_other_company_is_kept_once,
    batches_that_overlap_in_time_are_listed_as_one,
    records_are_listed_newest_first,
    each_filter_finds_its_records,
    names_that_differ_only_by_case_are_distinct,
    paging_is_stable_while_records_are_added,
    a_page_token_of_another_filter_is_refused,
    records_are_no_changes,
    refusals_of_one_row_add_up,
    refusals_are_listed_newest_minute_first,
);

fn at(seconds: i64) -> Timestamp {
    Timestamp::from_seconds(seconds)
}

/// A record to be kept. The texts that it is found by stand behind its content.
#[derive(Clone)]
struct Made {
    id: DecisionId,
    at: Timestamp,
    pep: &'static str,
    principal: Option<&'static str>,
    resource: &'static str,
    effect: Effect,
    reason: Reason,
    content: Vec<u8>,
}

fn record(seconds: i64) -> Made {
    let id = DecisionId::generate();
    Made {
        id,
        at: at(seconds),
        pep: "edge",
        principal: Some("User::dev/alice"),
        resource: "orders/GET /orders/{id}",
        effect: Effect::Allow,
        reason: Reason::Allowed,
        content: id.uuid().as_bytes().to_vec(),
    }
}

impl Made {
    fn stored(&self) -> (RecordHead, Vec<u8>) {
        let mut bytes = self.content.clone();
        let mut text = |text: &str| {
            let [offset, length] = [bytes.len(), text.len()].map(|count| u32::try_from(count).unwrap());
            bytes.extend_from_slice(text.as_bytes());
            Place { offset, length }
        };
        let head = RecordHead {
            id: self.id,
            at: self.at,
            effect: self.effect,
            enforced: true,
            pep: text(self.pep),
            principal: self.principal.map(&mut text),
            resource: text(self.resource),
            reason: text(self.reason.as_str()),
        };
        (head, bytes)
    }

    fn bytes(&self) -> Vec<u8> {
        self.stored().1
    }
}

async fn append(test: &TestStore, records: &[Made]) -> Result<(), StoreError> {
    let stored: Vec<_> = records.iter().map(Made::stored).collect();
    let lent: Vec<_> = stored.iter().map(|(head, bytes)| StoredRecord { head, bytes }).collect();
    test.store.append_records(&lent).await
}

async fn list(test: &TestStore, filter: &RecordFilter) -> Vec<Vec<u8>> {
    test.store.list_records(filter, &PageRequest::first(1_000)).await.unwrap().items
}

async fn records_come_back_byte_for_byte(test: TestStore) {
    let record = Made { content: (0..=255).collect(), principal: None, ..record(1) };
    append(&test, &[record.clone(), self::record(2)]).await.unwrap();
    assert_eq!(test.store.get_record(record.id).await.unwrap(), Some(record.bytes()));
    assert_eq!(test.store.get_record(DecisionId::generate()).await.unwrap(), None);
    append(&test, &[]).await.unwrap();
}

async fn a_record_that_is_there_is_left_as_it_is(test: TestStore) {
    let first = record(1);
    append(&test, std::slice::from_ref(&first)).await.unwrap();
    let forged = Made { content: b"forged".to_vec(), at: at(9), ..first.clone() };
    let new = record(2);
    append(&test, &[forged.clone(), new.clone(), forged]).await.unwrap();
    assert_eq!(list(&test, &RecordFilter::default()).await, [new.bytes(), first.bytes()]);
}

async fn a_batch_is_kept_whole_or_not_at_all(test: TestStore) {
    let mut raw = RawConnection::to(&test.database).await;
    raw.run_on(
        "CREATE TRIGGER refuse BEFORE INSERT ON decision_batches WHEN NEW.last_at >= 600000000 \
         BEGIN SELECT RAISE(ABORT, 'refused'); END",
        "ALTER TABLE decisions ADD CHECK (resource <> 'refused')",
    )
    .await;
    let mut records: Vec<_> = (0..1_000).map(record).collect();
    records.push(Made { resource: "refused", ..record(1_000) });
    let error = append(&test, &records).await.unwrap_err();
    assert!(matches!(error, StoreError::Failed { .. }), "{error:?}");
    assert!(list(&test, &RecordFilter::default()).await.is_empty());
}

async fn a_large_batch_is_kept(test: TestStore) {
    let records: Vec<_> = (0..5_000).map(record).collect();
    append(&test, &records).await.unwrap();
    for record in [&records[0], &records[4_999]] {
        assert_eq!(test.store.get_record(record.id).await.unwrap(), Some(record.bytes()));
    }
}

async fn a_batch_that_comes_again_in_other_company_is_kept_once(test: TestStore) {
    let records: Vec<_> = (0..700).map(record).collect();
    append(&test, &records[..600]).await.unwrap();
    append(&test, &records[300..]).await.unwrap();
    let listed = list(&test, &RecordFilter::default()).await;
    let expected: Vec<_> = records.iter().rev().map(Made::bytes).collect();
    assert_eq!(listed, expected);
}

async fn batches_that_overlap_in_time_are_listed_as_one(test: TestStore) {
    let mut records: Vec<_> = (0..60).map(|number| record(number * 7 % 20)).collect();
    for batch in records.chunks(5) {
        append(&test, batch).await.unwrap();
    }
    records.sort_by_key(|record| std::cmp::Reverse((record.at, record.id)));
    let (mut seen, mut after) = (Vec::new(), None);
    loop {
        let request = PageRequest { size: 7, after };
        let page = test.store.list_records(&RecordFilter::default(), &request).await.unwrap();
        seen.extend(page.items);
        after = page.next;
        if after.is_none() {
            break;
        }
    }
    assert_eq!(seen, records.iter().map(Made::bytes).collect::<Vec<_>>());
}

async fn records_are_listed_newest_first(test: TestStore) {
    let mut records: Vec<_> = [3, 1, 2, 2].into_iter().map(record).collect();
    append(&test, &records).await.unwrap();
    records.sort_by_key(|record| std::cmp::Reverse((record.at, record.id)));
    let expected: Vec<_> = records.iter().map(Made::bytes).collect();
    assert_eq!(list(&test, &RecordFilter::default()).await, expected);
}

async fn each_filter_finds_its_records(test: TestStore) {
    let expired = Reason::CredentialInvalid(CredentialFault::Expired);
    let plain = record(10);
    let bob = Made { principal: Some("User::dev/bob"), ..record(11) };
    let nobody = Made { principal: None, effect: Effect::Deny, reason: expired, ..record(12) };
    let other = Made { resource: "Doc::\"1\"", pep: "mesh", ..record(13) };
    let all = [&plain, &bob, &nobody, &other];
    append(&test, &all.map(Clone::clone)).await.unwrap();

    let any = RecordFilter::default;
    let cases = [
        (RecordFilter { principal: bob.principal.map(str::to_owned), ..any() }, vec![&bob]),
        (RecordFilter { resource: Some(other.resource.to_string()), ..any() }, vec![&other]),
        (RecordFilter { effect: Some(Effect::Deny), ..any() }, vec![&nobody]),
        (RecordFilter { effect: Some(Effect::Allow), ..any() }, vec![&other, &bob, &plain]),
        (RecordFilter { reason: Some(expired), ..any() }, vec![&nobody]),
        (RecordFilter { pep: Some("mesh".parse().unwrap()), ..any() }, vec![&other]),
        (RecordFilter { from: Some(at(11)), until: Some(at(13)), ..any() }, vec![&nobody, &bob]),
        (RecordFilter { from: Some(at(12)), effect: Some(Effect::Allow), ..any() }, vec![&other]),
        (RecordFilter { principal: Some("User::dev/carol".into()), ..any() }, vec![]),
    ];
    for (filter, expected) in cases {
        let expected: Vec<_> = expected.into_iter().map(Made::bytes).collect();
        assert_eq!(list(&test, &filter).await, expected, "{filter:?}");
    }
}

async fn names_that_differ_only_by_case_are_distinct(test: TestStore) {
    let upper = Made { principal: Some("User::dev/Alice"), ..record(1) };
    append(&test, &[upper.clone(), record(2)]).await.unwrap();
    let filter = RecordFilter { principal: upper.principal.map(str::to_owned), ..RecordFilter::default() };
    assert_eq!(list(&test, &filter).await, [upper.bytes()]);
}

async fn paging_is_stable_while_records_are_added(test: TestStore) {
    let records: Vec<_> = (0..9).map(|number| record(number / 3)).collect();
    append(&test, &records).await.unwrap();
    let filter = RecordFilter { effect: Some(Effect::Allow), ..RecordFilter::default() };
    let (mut seen, mut after) = (Vec::new(), None);
    loop {
        let page = test.store.list_records(&filter, &PageRequest { size: 2, after }).await.unwrap();
        seen.extend(page.items);
        append(&test, &[record(100)]).await.unwrap();
        after = page.next;
        if after.is_none() {
            break;
        }
    }
    seen.sort();
    let mut expected: Vec<_> = records.iter().map(Made::bytes).collect();
    expected.sort();
    assert_eq!(seen, expected);
}

async fn a_page_token_of_another_filter_is_refused(test: TestStore) {
    append(&test, &[record(1), record(2)]).await.unwrap();
    let page = PageRequest::first(1);
    let after = test.store.list_records(&RecordFilter::default(), &page).await.unwrap().next;
    assert!(after.is_some());
    let other = RecordFilter { from: Some(at(1)), ..RecordFilter::default() };
    let refused = test.store.list_records(&other, &PageRequest { size: 1, after }).await.unwrap_err();
    assert!(matches!(refused, StoreError::InvalidPageToken));
}

async fn records_are_no_changes(test: TestStore) {
    let before = test.store.current_revision().await.unwrap();
    append(&test, &[record(1)]).await.unwrap();
    test.store.add_refusals(&[refusals(60, "10.0.0.1", 1)]).await.unwrap();
    assert_eq!(test.store.current_revision().await.unwrap(), before);
    assert_eq!(test.store.oldest_change().await.unwrap(), None);
}

fn refusals(minute: i64, peer: &str, count: u64) -> Refusals {
    Refusals {
        replica: "replica-1".into(),
        minute: at(minute),
        kind: "unauthenticated".into(),
        peer: peer.into(),
        count,
        first: at(minute + 10),
        last: at(minute + 20),
        sample: "Check".into(),
    }
}

async fn refusals_of_one_row_add_up(test: TestStore) {
    let first = refusals(60, "10.0.0.1", 2);
    let more = Refusals { count: 3, first: at(65), last: at(70), sample: "Explain".into(), ..first.clone() };
    let later = Refusals { count: 4, first: at(75), last: at(99), sample: "Explain".into(), ..first.clone() };
    test.store.add_refusals(&[first.clone(), more]).await.unwrap();
    test.store.add_refusals(&[later]).await.unwrap();
    test.store.add_refusals(&[]).await.unwrap();
    let page = test.store.list_refusals(&PageRequest::first(9)).await.unwrap();
    assert_eq!(page.items, [Refusals { count: 9, first: at(65), last: at(99), ..first }]);
}

async fn refusals_are_listed_newest_minute_first(test: TestStore) {
    let other = |row: Refusals| Refusals { replica: "replica-2".into(), ..row };
    let denied = |row: Refusals| Refusals { kind: "permission_denied".into(), ..row };
    let expected = [
        denied(refusals(120, "b", 1)),
        refusals(120, "B", 1),
        refusals(120, "b", 1),
        other(refusals(120, "b", 1)),
        refusals(60, "a", 1),
    ];
    let mut rows = expected.to_vec();
    rows.reverse();
    test.store.add_refusals(&rows).await.unwrap();
    let (mut seen, mut after) = (Vec::new(), None);
    loop {
        let page = test.store.list_refusals(&PageRequest { size: 2, after }).await.unwrap();
        seen.extend(page.items);
        after = page.next;
        if after.is_none() {
            break;
        }
    }
    assert_eq!(seen, expected);
}
