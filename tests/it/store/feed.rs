//! The feed: commit order, nothing skipped, epochs told apart, waiters woken.

use std::sync::Arc;
use std::time::Duration;

use deodar::model::{ChangeBody, Revision};
use deodar::store::postgres::PostgresStore;
use deodar::store::{Store, StoreError};
use sqlx::ConnectOptions;
use sqlx::postgres::PgConnectOptions;
use tokio::time::timeout;

use super::clients::client;
use super::on_both_backends;
use super::signals::{at, new_signal, reporter};
use crate::support::raw::RawConnection;
use crate::support::store::{Backend, Database, TestStore};

on_both_backends!(
    a_new_database_stands_at_zero_without_changes,
    changes_come_in_order_above_the_number_and_up_to_the_limit,
    a_refused_batch_takes_no_number,
    a_writer_that_commits_late_is_never_skipped,
    a_writer_that_gives_up_leaves_no_gap,
    many_writers_make_one_gapless_order_for_a_follower,
    a_first_load_and_the_feed_after_it_miss_nothing,
    a_change_that_cannot_be_read_is_unknown_and_holds_up_nothing,
    a_new_epoch_keeps_the_number_and_covers_nothing_old,
    two_databases_never_share_an_epoch,
    waiting_ends_after_the_given_time,
    a_write_on_one_store_wakes_a_waiter_on_another,
    a_write_wakes_a_waiter_on_the_same_store,
    a_write_between_two_waits_ends_the_second,
    all_waiters_are_woken,
);

/// Far more than a wake-up takes, far less than the waiters would wait.
const SOON: Duration = Duration::from_secs(5);
const LONG: Duration = Duration::from_secs(60);

async fn create(store: &Arc<dyn Store>, id: &str) -> Revision {
    store.create_client(&client(id)).await.unwrap()
}

async fn ids_after(store: &Arc<dyn Store>, after: Revision) -> Vec<String> {
    let changes = store.changes_after(after, 1_000).await.unwrap();
    let id = |body| match body {
        ChangeBody::Client(client) => client.id.to_string(),
        ChangeBody::Signal(signal) => signal.id.to_string(),
        ChangeBody::Revocation(revocation) => revocation.id.to_string(),
        ChangeBody::Principal(change) => change.principal.to_string(),
        ChangeBody::Unknown { noun } => format!("unknown {noun}"),
    };
    changes.into_iter().map(|change| id(change.body)).collect()
}

async fn a_new_database_stands_at_zero_without_changes(test: TestStore) {
    assert_eq!(test.store.current_revision().await.unwrap().number, 0);
    assert_eq!(test.store.oldest_change().await.unwrap(), None);
    assert_eq!(test.store.changes_after(Revision::default(), 9).await.unwrap(), []);
}

async fn changes_come_in_order_above_the_number_and_up_to_the_limit(test: TestStore) {
    let mut revisions = Vec::new();
    for id in ["c", "a", "b", "d"] {
        revisions.push(create(&test.store, id).await);
    }
    let changes = test.store.changes_after(revisions[0], 2).await.unwrap();
    let found: Vec<_> = changes.iter().map(|change| change.revision).collect();
    assert_eq!(found, revisions[1..3]);
    assert_eq!(ids_after(&test.store, revisions[1]).await, ["b", "d"]);
    assert_eq!(ids_after(&test.store, revisions[3]).await, Vec::<String>::new());
    assert_eq!(test.store.oldest_change().await.unwrap(), Some(1));
    assert_eq!(test.store.current_revision().await.unwrap(), revisions[3]);
}

async fn a_refused_batch_takes_no_number(test: TestStore) {
    let mut raw = RawConnection::to(&test.database).await;
    raw.run_on(
        "CREATE TRIGGER refuse BEFORE INSERT ON signals WHEN NEW.kind = 'refused' \
         BEGIN SELECT RAISE(ABORT, 'refused'); END",
        "ALTER TABLE signals ADD CHECK (kind <> 'refused')",
    )
    .await;
    let good = new_signal("session:dev/s");
    let bad = deodar::model::NewSignal { kind: "refused".into(), ..good.clone() };
    let refused = test.store.record_signals(&[good, bad], &reporter(), at(1)).await.unwrap_err();
    assert!(matches!(refused, StoreError::Failed { .. }), "{refused:?}");
    assert_eq!(test.store.current_revision().await.unwrap().number, 0);
    assert_eq!(test.store.live_signals(at(0)).await.unwrap().0, []);
    assert_eq!(create(&test.store, "a").await.number, 1);
}

/// The change that an open write of [`RawConnection`] holds.
fn change(id: &str) -> String {
    serde_json::to_string(&ChangeBody::Client(client(id))).unwrap()
}

async fn a_writer_that_commits_late_is_never_skipped(test: TestStore) {
    let start = test.store.current_revision().await.unwrap();
    let mut late = RawConnection::to(&test.database).await;
    late.begin_write("client", &change("late")).await;

    // A second writer begins after the first has its number, on another connection, and cannot overtake it.
    let other = test.another().await;
    let mut second = tokio::spawn(async move { create(&other, "second").await });
    assert!(timeout(Duration::from_millis(300), &mut second).await.is_err(), "it waits for the first");
    assert_eq!(test.store.current_revision().await.unwrap(), start);
    assert_eq!(ids_after(&test.store, start).await, Vec::<String>::new());

    late.commit().await;
    let second = second.await.unwrap();
    assert_eq!(second.number, start.number + 2);
    assert_eq!(ids_after(&test.store, start).await, ["late", "second"]);
}

async fn a_writer_that_gives_up_leaves_no_gap(test: TestStore) {
    let mut raw = RawConnection::to(&test.database).await;
    raw.begin_write("client", &change("gone")).await;
    raw.run("ROLLBACK").await;
    let revision = create(&test.store, "a").await;
    assert_eq!(revision.number, 1);
    assert_eq!(ids_after(&test.store, Revision::default()).await, ["a"]);
}

async fn many_writers_make_one_gapless_order_for_a_follower(test: TestStore) {
    const WRITERS: usize = 4;
    const EACH: usize = 15;
    let mut writers = tokio::task::JoinSet::new();
    for writer in 0..WRITERS {
        let store = test.another().await;
        writers.spawn(async move {
            for number in 0..EACH {
                create(&store, &format!("w{writer}-{number}")).await;
            }
        });
    }
    // The follower asks only for what is above the last number it has seen, while they write.
    let (mut last, mut seen) = (Revision::default(), Vec::new());
    let following = async {
        while seen.len() < WRITERS * EACH {
            for change in test.store.changes_after(last, 7).await.unwrap() {
                last = change.revision;
                seen.push(last.number);
            }
        }
    };
    timeout(LONG, following).await.expect("every change is seen");
    writers.join_all().await;
    assert!(seen.iter().copied().eq(1..=(WRITERS * EACH) as u64), "{seen:?}");
    assert_eq!(test.store.current_revision().await.unwrap(), last);
}

async fn a_first_load_and_the_feed_after_it_miss_nothing(test: TestStore) {
    let writer = test.another().await;
    let writing = tokio::spawn(async move {
        for number in 0..40 {
            create(&writer, &format!("c{number}")).await;
        }
    });
    while !writing.is_finished() {
        let (clients, revision) = test.store.all_clients().await.unwrap();
        assert_eq!(clients.len() as u64, revision.number, "exactly what was committed at that revision");
    }
    writing.await.unwrap();
}

async fn a_change_that_cannot_be_read_is_unknown_and_holds_up_nothing(test: TestStore) {
    let first = create(&test.store, "first").await;
    let mut newer = RawConnection::to(&test.database).await;
    let unreadable = [
        // A noun of a version to come, with its whole body.
        ("quarantine", r#"{"noun":"quarantine","id":"q-1"}"#),
        // A noun that is known, in another shape, damaged, or not what its column says.
        ("client", r#"{"noun":"client","id":"edge"}"#),
        ("signal", r#"{"noun":"sig"#),
        ("client", ""),
        ("quarantine", &change("edge")),
    ];
    for (noun, body) in unreadable {
        newer.begin_write(noun, body).await;
        newer.commit().await;
    }
    let last = create(&test.store, "last").await;

    let expected = [
        "unknown quarantine",
        "unknown client",
        "unknown signal",
        "unknown client",
        "unknown quarantine",
        "last",
    ];
    assert_eq!(ids_after(&test.store, first).await, expected);
    let changes = test.store.changes_after(first, 9).await.unwrap();
    let numbers: Vec<_> = changes.iter().map(|change| change.revision.number).collect();
    assert_eq!(numbers, [2, 3, 4, 5, 6, 7], "each at its place");
    assert_eq!(changes[5].revision, last);
    // What a follower does when it meets one: a fresh load, at a revision above it.
    let (clients, at) = test.store.all_clients().await.unwrap();
    assert_eq!((clients.len(), at), (2, last));
}

async fn a_new_epoch_keeps_the_number_and_covers_nothing_old(test: TestStore) {
    let old = create(&test.store, "a").await;
    let new = test.another().await.renew_epoch().await.unwrap();
    assert_eq!(test.store.current_revision().await.unwrap(), new);
    assert_ne!(new.epoch, old.epoch);
    assert_eq!(new.number, old.number);
    assert!(!new.covers(old) && !old.covers(new));
    let next = create(&test.store, "b").await;
    assert_eq!(next, Revision::new(new.epoch, old.number + 1));
    let changes = test.store.changes_after(Revision::default(), 9).await.unwrap();
    let revisions: Vec<_> = changes.iter().map(|change| change.revision).collect();
    assert_eq!(revisions, [old, next], "a change stays in the history it was made in");
}

async fn two_databases_never_share_an_epoch(test: TestStore) {
    // In Postgres both are copies of one template, as a restored database is a copy.
    let backend = match test.database {
        Database::Embedded(_) => Backend::Embedded,
        Database::Postgres(_) => Backend::Postgres,
    };
    let copy = TestStore::migrated(backend).await;
    let epoch = test.store.current_revision().await.unwrap().epoch;
    assert_ne!(epoch, copy.store.current_revision().await.unwrap().epoch);
    assert_eq!(epoch, test.another().await.current_revision().await.unwrap().epoch);
}

#[tokio::test]
async fn a_postgres_server_with_another_history_gets_one_new_epoch() {
    let test = TestStore::migrated(Backend::Postgres).await;
    let old = create(&test.store, "a").await;
    let mut raw = RawConnection::to(&test.database).await;
    // What the row says after a failover: the history of the server that is gone.
    raw.run("UPDATE revision SET history = 'another server'").await;
    let others = [test.another().await, test.another().await, test.another().await];
    let new = client("b");
    let seen = tokio::join!(
        test.store.current_revision(),
        others[0].current_revision(),
        others[1].live_signals(at(0)),
        others[2].create_client(&new),
    );
    let epochs =
        [seen.0.unwrap(), seen.1.unwrap(), seen.2.unwrap().1, seen.3.unwrap()].map(|seen| seen.epoch);
    assert!(epochs.iter().all(|epoch| *epoch == epochs[0] && *epoch != old.epoch), "{epochs:?} {old:?}");
    assert_eq!(test.store.current_revision().await.unwrap(), Revision::new(epochs[0], old.number + 1));
}

#[tokio::test]
async fn postgres_roles_with_unequal_rights_share_one_epoch() {
    let test = TestStore::migrated(Backend::Postgres).await;
    let Database::Postgres(database) = &test.database else { unreachable!() };
    let role = format!("plain_{}", uuid::Uuid::new_v4().simple());
    let mut raw = RawConnection::to(&test.database).await;
    raw.run("REVOKE EXECUTE ON FUNCTION pg_control_system() FROM PUBLIC").await;
    raw.run(&format!("CREATE ROLE {role} LOGIN; GRANT ALL ON ALL TABLES IN SCHEMA public TO {role}")).await;
    let options: PgConnectOptions = database.url.parse().unwrap();
    let url = options.username(&role).to_url_lossy();
    let plain: Arc<dyn Store> = Arc::new(PostgresStore::connect(url.as_str(), 2).await.unwrap());

    let epoch = test.store.current_revision().await.unwrap().epoch;
    assert_eq!(create(&plain, "a").await, Revision::new(epoch, 1));
    assert_eq!(create(&test.store, "b").await, Revision::new(epoch, 2));

    // Now the owner may not look either: what it cannot see must not look like a new history each time.
    raw.run(&format!("ALTER FUNCTION deodar_history() OWNER TO {role}")).await;
    let blind = create(&plain, "c").await;
    assert_eq!(create(&test.store, "d").await, Revision::new(blind.epoch, 4));

    drop(plain);
    raw.run(&format!("REASSIGN OWNED BY {role} TO CURRENT_USER; DROP OWNED BY {role}; DROP ROLE {role}"))
        .await;
}

/// Waits until nothing is left that could end a wait early.
async fn settle(store: &Arc<dyn Store>) {
    let mut quiet = 0;
    while quiet < 2 {
        let waited = timeout(Duration::from_millis(200), store.wait_for_change(LONG)).await;
        quiet = if waited.is_err() { quiet + 1 } else { 0 };
    }
}

async fn waiting_ends_after_the_given_time(test: TestStore) {
    settle(&test.store).await;
    timeout(SOON, test.store.wait_for_change(Duration::from_millis(50))).await.unwrap().unwrap();
    timeout(SOON, test.store.wait_for_change(Duration::ZERO)).await.unwrap().unwrap();
}

async fn a_write_on_one_store_wakes_a_waiter_on_another(test: TestStore) {
    let other = test.another().await;
    settle(&other).await;
    let waiting = tokio::spawn(async move { other.wait_for_change(LONG).await });
    create(&test.store, "a").await;
    timeout(SOON, waiting).await.unwrap().unwrap().unwrap();
}

async fn a_write_wakes_a_waiter_on_the_same_store(test: TestStore) {
    settle(&test.store).await;
    let store = Arc::clone(&test.store);
    let waiting = tokio::spawn(async move { store.wait_for_change(LONG).await });
    create(&test.store, "a").await;
    timeout(SOON, waiting).await.unwrap().unwrap().unwrap();
}

async fn a_write_between_two_waits_ends_the_second(test: TestStore) {
    let other = test.another().await;
    settle(&other).await;
    create(&test.store, "a").await;
    timeout(SOON, other.wait_for_change(LONG)).await.unwrap().unwrap();
}

async fn all_waiters_are_woken(test: TestStore) {
    settle(&test.store).await;
    let mut waiting = tokio::task::JoinSet::new();
    for _ in 0..3 {
        let store = Arc::clone(&test.store);
        waiting.spawn(async move { store.wait_for_change(LONG).await.unwrap() });
    }
    // One more write until all are back: a waiter may begin to wait only after a write.
    let writer = test.another().await;
    let mut number = 0;
    while !waiting.is_empty() && number < 20 {
        create(&writer, &format!("c{number}")).await;
        number += 1;
        while let Ok(Some(woken)) = timeout(Duration::from_millis(200), waiting.join_next()).await {
            woken.unwrap();
        }
    }
    assert!(waiting.is_empty(), "{} still wait", waiting.len());
}

#[tokio::test]
async fn a_lost_postgres_connection_is_made_again() {
    let test = TestStore::migrated(Backend::Postgres).await;
    settle(&test.store).await;
    let store = Arc::clone(&test.store);
    let waiting = tokio::spawn(async move { store.wait_for_change(LONG).await });
    let mut raw = RawConnection::to(&test.database).await;
    raw.run(
        "SELECT pg_terminate_backend(pid) FROM pg_stat_activity \
         WHERE datname = current_database() AND pid <> pg_backend_pid()",
    )
    .await;
    // Whatever it says, it says it soon: something may have been missed.
    let _ = timeout(SOON, waiting).await.unwrap().unwrap();
    settle(&test.store).await;
    let store = Arc::clone(&test.store);
    let waiting = tokio::spawn(async move { store.wait_for_change(LONG).await });
    create(&test.another().await, "a").await;
    timeout(SOON, waiting).await.unwrap().unwrap().unwrap();
    assert_eq!(ids_after(&test.store, Revision::default()).await, ["a"]);
}
