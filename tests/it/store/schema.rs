//! The schema: applied once whoever comes first, checked before anything else.

use deodar::store::StoreError;

use super::on_both_backends;
use crate::support::raw::RawConnection;
use crate::support::store::{Backend, TestStore};

on_both_backends!(
    migrating_again_applies_nothing,
    a_schema_of_a_newer_binary_is_named,
    an_applied_migration_that_changed_is_refused,
);

async fn migrating_again_applies_nothing(test: TestStore) {
    assert_eq!(test.store.migrate().await.unwrap(), 0);
    test.store.check_schema().await.unwrap();
}

async fn a_schema_of_a_newer_binary_is_named(test: TestStore) {
    let mut raw = RawConnection::to(&test.database).await;
    raw.run(
        "INSERT INTO _sqlx_migrations (version, description, success, checksum, execution_time) \
         SELECT 9999, 'later', success, checksum, 0 FROM _sqlx_migrations WHERE version = 1",
    )
    .await;
    let refused = test.store.check_schema().await.unwrap_err();
    assert!(matches!(refused, StoreError::NotMigrated { found: 9999, wanted } if wanted < 9999));
    assert!(matches!(test.store.migrate().await.unwrap_err(), StoreError::Migration(_)));
}

async fn an_applied_migration_that_changed_is_refused(test: TestStore) {
    let mut raw = RawConnection::to(&test.database).await;
    raw.run_on(
        "UPDATE _sqlx_migrations SET checksum = x'00' WHERE version = 1",
        r"UPDATE _sqlx_migrations SET checksum = '\x00' WHERE version = 1",
    )
    .await;
    assert!(matches!(test.store.check_schema().await.unwrap_err(), StoreError::Migration(_)));
    assert!(matches!(test.store.migrate().await.unwrap_err(), StoreError::Migration(_)));
}

#[tokio::test]
async fn opening_leaves_the_embedded_schema_alone() {
    starts_empty_and_is_migrated_by_one_of_several(Backend::Embedded).await;
}

#[tokio::test]
async fn opening_leaves_the_postgres_schema_alone() {
    starts_empty_and_is_migrated_by_one_of_several(Backend::Postgres).await;
}

async fn starts_empty_and_is_migrated_by_one_of_several(backend: Backend) {
    let test = TestStore::empty(backend).await;
    let refused = test.store.check_schema().await.unwrap_err();
    let StoreError::NotMigrated { found: 0, wanted } = refused else { panic!("{refused:?}") };
    assert!(refused.to_string().contains("deodar db migrate"));

    let others = [test.another().await, test.another().await];
    let applied = tokio::join!(test.store.migrate(), others[0].migrate(), others[1].migrate());
    let mut applied = [applied.0.unwrap(), applied.1.unwrap(), applied.2.unwrap()];
    applied.sort_unstable();
    assert_eq!(applied.map(|count| i64::try_from(count).unwrap()), [0, 0, wanted]);

    let epoch = test.store.current_revision().await.unwrap();
    for other in others {
        other.check_schema().await.unwrap();
        assert_eq!(other.current_revision().await.unwrap(), epoch);
    }
}
