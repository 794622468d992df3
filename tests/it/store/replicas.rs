//! Replicas: one row each, written whole.

use deodar::model::{Revision, Timestamp};
use deodar::store::Replica;

use super::on_both_backends;
use crate::support::store::TestStore;

on_both_backends!(
    a_heartbeat_writes_the_row_whole,
    live_replicas_are_those_seen_since_then_by_id,
    a_removed_replica_is_gone,
    heartbeats_are_no_changes,
);

fn replica(id: &str, seen: i64) -> Replica {
    Replica {
        id: id.into(),
        version: "0.1.0".into(),
        address: "127.0.0.1:8180".into(),
        started_at: Timestamp::from_seconds(1),
        seen_at: Timestamp::from_seconds(seen),
        // Both halves of a number that is no signed one.
        applied: Revision::new(u64::MAX - 1, 42),
        bundle: None,
    }
}

async fn a_heartbeat_writes_the_row_whole(test: TestStore) {
    test.store.heartbeat(&replica("r", 10)).await.unwrap();
    let later = Replica {
        version: "0.2.0".into(),
        address: "[::1]:9".into(),
        started_at: Timestamp::from_seconds(2),
        seen_at: Timestamp::from_seconds(20),
        applied: Revision::new(3, 43),
        bundle: Some("sha256:ab".into()),
        ..replica("r", 0)
    };
    test.store.heartbeat(&later).await.unwrap();
    assert_eq!(test.store.live_replicas(Timestamp::from_seconds(0)).await.unwrap(), [later]);
}

async fn live_replicas_are_those_seen_since_then_by_id(test: TestStore) {
    for (id, seen) in [("b", 20), ("B", 30), ("a", 19), ("c", 20)] {
        test.store.heartbeat(&replica(id, seen)).await.unwrap();
    }
    let live = test.store.live_replicas(Timestamp::from_seconds(20)).await.unwrap();
    assert_eq!(live, [replica("B", 30), replica("b", 20), replica("c", 20)]);
}

async fn a_removed_replica_is_gone(test: TestStore) {
    test.store.heartbeat(&replica("a", 1)).await.unwrap();
    test.store.remove_replica("a").await.unwrap();
    test.store.remove_replica("a").await.unwrap();
    assert_eq!(test.store.live_replicas(Timestamp::from_seconds(0)).await.unwrap(), []);
}

async fn heartbeats_are_no_changes(test: TestStore) {
    let before = test.store.current_revision().await.unwrap();
    test.store.heartbeat(&replica("a", 1)).await.unwrap();
    assert_eq!(test.store.current_revision().await.unwrap(), before);
}
