//! Signals: recorded in batches, refreshed by their key, cleared once, listed newest first.

use std::time::Duration;

use deodar::model::signal::Cleared;
use deodar::model::{
    ChangeBody, ClientId, NewSignal, PageRequest, Revision, Signal, SignalFilter, SignalId, SignalLife,
    Timestamp,
};
use deodar::store::StoreError;

use super::on_both_backends;
use crate::support::store::TestStore;

on_both_backends!(
    a_batch_is_one_commit_and_each_signal_one_change,
    an_empty_batch_changes_nothing,
    the_same_key_refreshes_the_live_signal,
    keys_of_other_reporters_subjects_and_kinds_do_not_collide,
    keys_that_differ_only_by_case_are_distinct,
    a_key_used_twice_in_one_batch_is_one_signal,
    a_cleared_signal_is_not_refreshed,
    concurrent_reports_with_one_key_make_one_signal,
    every_bit_of_a_number_is_kept,
    clearing_twice_keeps_the_first_and_is_one_change,
    unknown_signals_are_none,
    signals_are_listed_newest_first_and_filtered,
    paging_is_stable_while_signals_are_added,
    a_page_token_of_another_filter_is_refused,
    live_signals_are_those_that_can_still_count,
);

pub fn reporter() -> ClientId {
    "sensor-1".parse().unwrap()
}

pub fn at(seconds: i64) -> Timestamp {
    Timestamp::from_seconds(seconds)
}

pub fn new_signal(subject: &str) -> NewSignal {
    NewSignal {
        subject: subject.parse().unwrap(),
        kind: "new_network".into(),
        strength: 0.1 + 0.2,
        confidence: 0.9,
        life: SignalLife::HalfLife(Duration::from_secs(3_600)),
        source: "waf-eu-1".into(),
        evidence: "first seen from 192.0.2.0/24 \u{0}\u{1f9ed}".into(),
        dedup_key: None,
        observed_at: at(100),
    }
}

fn keyed(subject: &str, key: &str) -> NewSignal {
    NewSignal { dedup_key: Some(key.into()), ..new_signal(subject) }
}

async fn record(test: &TestStore, signals: &[NewSignal], seconds: i64) -> Vec<Signal> {
    let (recorded, _) = test.store.record_signals(signals, &reporter(), at(seconds)).await.unwrap();
    recorded.into_iter().map(|recorded| recorded.signal).collect()
}

async fn list(test: &TestStore, filter: &SignalFilter) -> Vec<SignalId> {
    let page = test.store.list_signals(filter, &PageRequest::first(100)).await.unwrap();
    page.items.into_iter().map(|signal| signal.id).collect()
}

const ALICE: &str = "principal:User::dev/alice";

async fn a_batch_is_one_commit_and_each_signal_one_change(test: TestStore) {
    let before = test.store.current_revision().await.unwrap();
    let batch = [new_signal(ALICE), new_signal("session:dev/s-1"), new_signal("device:edge/laptop")];
    let (recorded, revision) = test.store.record_signals(&batch, &reporter(), at(200)).await.unwrap();
    assert_eq!(revision, Revision::new(before.epoch, before.number + 3));
    let changes = test.store.changes_after(before, 9).await.unwrap();
    assert_eq!(changes.len(), 3);
    for ((change, recorded), (new, number)) in
        changes.iter().zip(&recorded).zip(batch.iter().zip(before.number + 1..))
    {
        assert_eq!(change.revision, Revision::new(before.epoch, number));
        assert_eq!(change.body, ChangeBody::Signal(recorded.signal.clone()));
        assert!(!recorded.refreshed);
        let signal = &recorded.signal;
        assert_eq!((&signal.subject, &signal.evidence, signal.life), (&new.subject, &new.evidence, new.life));
        assert_eq!((&signal.recorded_by, signal.recorded_at, &signal.cleared), (&reporter(), at(200), &None));
        assert_eq!(test.store.get_signal(signal.id).await.unwrap().as_ref(), Some(signal));
    }
}

async fn an_empty_batch_changes_nothing(test: TestStore) {
    let before = test.store.current_revision().await.unwrap();
    let (recorded, revision) = test.store.record_signals(&[], &reporter(), at(200)).await.unwrap();
    assert_eq!((recorded, revision), (vec![], before));
    assert_eq!(test.store.changes_after(Revision::default(), 9).await.unwrap(), []);
}

async fn the_same_key_refreshes_the_live_signal(test: TestStore) {
    let first = record(&test, &[keyed(ALICE, "k")], 200).await.remove(0);
    let newer = NewSignal {
        strength: 1.0,
        life: SignalLife::UntilCleared,
        evidence: "again".into(),
        observed_at: at(300),
        ..keyed(ALICE, "k")
    };
    let (recorded, revision) = test.store.record_signals(&[newer], &reporter(), at(400)).await.unwrap();
    assert!(recorded[0].refreshed);
    let refreshed = &recorded[0].signal;
    assert_eq!((refreshed.id, refreshed.recorded_at), (first.id, at(200)));
    assert_eq!((refreshed.strength, refreshed.evidence.as_str()), (1.0, "again"));
    assert_eq!((refreshed.life, refreshed.observed_at), (SignalLife::UntilCleared, at(300)));
    assert_eq!(test.store.get_signal(first.id).await.unwrap().as_ref(), Some(refreshed));
    // The columns follow: observed_at alone would not keep it among the live ones.
    assert_eq!(test.store.live_signals(at(999)).await.unwrap(), (vec![refreshed.clone()], revision));
    assert_eq!(list(&test, &SignalFilter::default()).await, [first.id]);
    assert_eq!(test.store.changes_after(Revision::default(), 9).await.unwrap().len(), 2);
}

async fn keys_of_other_reporters_subjects_and_kinds_do_not_collide(test: TestStore) {
    let other_kind = NewSignal { kind: "token_replay".into(), ..keyed(ALICE, "k") };
    let batch =
        [keyed(ALICE, "k"), keyed("session:dev/s-1", "k"), other_kind, new_signal(ALICE), new_signal(ALICE)];
    record(&test, &batch, 200).await;
    let other = "sensor-2".parse().unwrap();
    let (recorded, _) = test.store.record_signals(&[keyed(ALICE, "k")], &other, at(200)).await.unwrap();
    assert!(!recorded[0].refreshed);
    assert_eq!(list(&test, &SignalFilter::default()).await.len(), 6);
}

async fn keys_that_differ_only_by_case_are_distinct(test: TestStore) {
    let batch = [
        keyed(ALICE, "key"),
        keyed(ALICE, "Key"),
        keyed("principal:User::dev/Alice", "key"),
        // The same letter composed and decomposed.
        keyed("principal:User::dev/ren\u{e9}", "key"),
        keyed("principal:User::dev/rene\u{301}", "key"),
    ];
    let recorded = record(&test, &batch, 200).await;
    for signal in &recorded {
        let filter = SignalFilter { subject: Some(signal.subject.clone()), ..SignalFilter::default() };
        let found = list(&test, &filter).await;
        let expected = recorded.iter().filter(|other| other.subject == signal.subject).count();
        assert_eq!(found.len(), expected, "{}", signal.subject);
    }
}

async fn a_key_used_twice_in_one_batch_is_one_signal(test: TestStore) {
    let recorded = record(&test, &[keyed(ALICE, "k"), keyed(ALICE, "k")], 200).await;
    assert_eq!(recorded[0].id, recorded[1].id);
    assert_eq!(list(&test, &SignalFilter::default()).await, [recorded[0].id]);
    assert_eq!(test.store.changes_after(Revision::default(), 9).await.unwrap().len(), 2);
}

async fn a_cleared_signal_is_not_refreshed(test: TestStore) {
    let first = record(&test, &[keyed(ALICE, "k")], 200).await.remove(0);
    test.store.clear_signal(first.id, &cleared(300)).await.unwrap().unwrap();
    let second = record(&test, &[keyed(ALICE, "k")], 400).await.remove(0);
    assert_ne!(second.id, first.id);
    let kept = test.store.get_signal(first.id).await.unwrap().unwrap();
    assert_eq!(kept.cleared, Some(cleared(300)));
    test.store.clear_signal(second.id, &cleared(500)).await.unwrap().unwrap();
}

async fn concurrent_reports_with_one_key_make_one_signal(test: TestStore) {
    let stores = [test.another().await, test.another().await];
    let mut tasks = tokio::task::JoinSet::new();
    for number in 0..12 {
        let store = stores[number % 2].clone();
        tasks.spawn(async move {
            store.record_signals(&[keyed(ALICE, "k")], &reporter(), at(200)).await.unwrap().0
        });
    }
    let recorded = tasks.join_all().await;
    assert_eq!(recorded.iter().filter(|recorded| !recorded[0].refreshed).count(), 1);
    assert_eq!(list(&test, &SignalFilter::default()).await.len(), 1);
    let changes = test.store.changes_after(Revision::default(), 99).await.unwrap();
    assert!(changes.iter().map(|change| change.revision.number).eq(1..=12));
}

async fn every_bit_of_a_number_is_kept(test: TestStore) {
    let strengths = [0.1 + 0.2, f64::MIN_POSITIVE, 1.0 / 3.0, 0.123_456_789_012_345_68, 1.0 - f64::EPSILON];
    for strength in strengths {
        let new = NewSignal { strength, ..new_signal(ALICE) };
        let id = record(&test, &[new], 200).await[0].id;
        let kept = test.store.get_signal(id).await.unwrap().unwrap();
        assert_eq!(kept.strength.to_bits(), strength.to_bits());
    }
}

fn cleared(seconds: i64) -> Cleared {
    Cleared { by: "analyst".parse().unwrap(), at: at(seconds), why: "false alarm".into() }
}

async fn clearing_twice_keeps_the_first_and_is_one_change(test: TestStore) {
    let id = record(&test, &[new_signal(ALICE)], 200).await[0].id;
    let (signal, revision) = test.store.clear_signal(id, &cleared(300)).await.unwrap().unwrap();
    assert_eq!(signal.cleared, Some(cleared(300)));
    assert_eq!(revision.number, 2);
    let again = test.store.clear_signal(id, &cleared(400)).await.unwrap().unwrap();
    assert_eq!(again, (signal.clone(), revision));
    let changes = test.store.changes_after(Revision::default(), 9).await.unwrap();
    assert_eq!(changes.len(), 2);
    assert_eq!(changes[1].body, ChangeBody::Signal(signal));
}

async fn unknown_signals_are_none(test: TestStore) {
    let id = SignalId::generate();
    assert_eq!(test.store.get_signal(id).await.unwrap(), None);
    assert_eq!(test.store.clear_signal(id, &cleared(1)).await.unwrap(), None);
    assert_eq!(test.store.changes_after(Revision::default(), 9).await.unwrap(), []);
}

async fn signals_are_listed_newest_first_and_filtered(test: TestStore) {
    let mut ids = Vec::new();
    for (subject, kind, seconds) in
        [(ALICE, "new_network", 200), ("session:dev/s", "token_replay", 300), (ALICE, "token_replay", 300)]
    {
        let new = NewSignal { kind: kind.into(), ..new_signal(subject) };
        ids.push(record(&test, &[new], seconds).await[0].id);
    }
    // Equal times are ordered by id.
    let mut newest = [ids[1], ids[2]];
    newest.sort();
    assert_eq!(list(&test, &SignalFilter::default()).await, [newest[1], newest[0], ids[0]]);
    let alice = SignalFilter { subject: Some(ALICE.parse().unwrap()), ..SignalFilter::default() };
    assert_eq!(list(&test, &alice).await, [ids[2], ids[0]]);
    let both = SignalFilter { kind: Some("token_replay".into()), ..alice.clone() };
    assert_eq!(list(&test, &both).await, [ids[2]]);
    test.store.clear_signal(ids[2], &cleared(400)).await.unwrap();
    assert_eq!(list(&test, &both).await, []);
    assert_eq!(list(&test, &SignalFilter { include_cleared: true, ..both }).await, [ids[2]]);
}

async fn paging_is_stable_while_signals_are_added(test: TestStore) {
    let mut ids = Vec::new();
    for seconds in 0..7 {
        // Two of each moment, so that pages end between equal times.
        ids.extend(record(&test, &[new_signal(ALICE)], 200 + seconds / 2).await.iter().map(|new| new.id));
    }
    let filter = SignalFilter::default();
    let (mut seen, mut after) = (Vec::new(), None);
    loop {
        let page = test.store.list_signals(&filter, &PageRequest { size: 2, after }).await.unwrap();
        seen.extend(page.items.iter().map(|signal| signal.id));
        record(&test, &[new_signal(ALICE)], 900).await;
        after = page.next;
        if after.is_none() {
            break;
        }
    }
    seen.sort();
    ids.sort();
    assert_eq!(seen, ids, "each that was there at first exactly once");
}

async fn a_page_token_of_another_filter_is_refused(test: TestStore) {
    record(&test, &[new_signal(ALICE), new_signal(ALICE)], 200).await;
    let all = SignalFilter::default();
    let after = test.store.list_signals(&all, &PageRequest::first(1)).await.unwrap().next;
    assert!(after.is_some());
    let other = SignalFilter { include_cleared: true, ..all };
    let refused = test.store.list_signals(&other, &PageRequest { size: 1, after }).await.unwrap_err();
    assert!(matches!(refused, StoreError::InvalidPageToken));
}

async fn live_signals_are_those_that_can_still_count(test: TestStore) {
    let until_cleared = NewSignal { life: SignalLife::UntilCleared, ..new_signal(ALICE) };
    let batch = [
        NewSignal { observed_at: at(100), ..new_signal(ALICE) },
        NewSignal { observed_at: at(101), ..new_signal(ALICE) },
        NewSignal { observed_at: at(1), ..until_cleared.clone() },
        NewSignal { observed_at: at(999), ..until_cleared },
    ];
    let recorded = record(&test, &batch, 200).await;
    let (_, revision) = test.store.clear_signal(recorded[3].id, &cleared(300)).await.unwrap().unwrap();
    let (mut live, at_revision) = test.store.live_signals(at(100)).await.unwrap();
    live.sort_by_key(|signal| signal.observed_at);
    assert_eq!(live, [recorded[2].clone(), recorded[1].clone()]);
    assert_eq!(at_revision, revision);
}
