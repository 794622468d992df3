//! The store's conformance suite: each sentence of the contracts in `src/store` is a case, run on both backends.

use crate::support::store::{Backend, TestStore};

mod clients;
mod decisions;
mod feed;
mod principals;
mod replicas;
mod revocations;
mod schema;
mod signals;

/// Makes each case, `async fn(TestStore)` on a migrated database, a test for each backend.
macro_rules! on_both_backends {
    ($($case:ident),* $(,)?) => {
        mod embedded {
            use crate::support::store::{Backend, TestStore};

            $(
                #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
                async fn $case() {
                    super::$case(TestStore::migrated(Backend::Embedded).await).await;
                }
            )*
        }

        mod postgres {
            use crate::support::store::{Backend, TestStore};

            $(
                #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
                async fn $case() {
                    super::$case(TestStore::migrated(Backend::Postgres).await).await;
                }
            )*
        }
    };
}
pub(crate) use on_both_backends;

on_both_backends!(says_which_backend_it_is_and_answers);

async fn says_which_backend_it_is_and_answers(test: TestStore) {
    assert!(["sqlite", "postgres"].contains(&test.store.backend()));
    test.store.ping().await.unwrap();
}

#[tokio::test]
async fn a_postgres_that_is_not_there_is_unavailable() {
    use deodar::store::{Config, Location, StoreError, open};

    let location = Location::Postgres("postgres://deodar@127.0.0.1:1/deodar".into());
    let Err(error) = open(&Config { location, max_connections: 1 }).await else { panic!("connected") };
    assert!(matches!(error, StoreError::Unavailable { backend: "postgres", .. }), "{error:?}");
}

#[tokio::test]
async fn a_file_where_no_folder_can_be_is_unavailable() {
    use deodar::store::{Config, Location, StoreError, open};

    let location = Location::Embedded("/dev/null/deodar.db".into());
    let Err(error) = open(&Config { location, max_connections: 1 }).await else { panic!("opened") };
    assert!(matches!(error, StoreError::Unavailable { backend: "sqlite", .. }), "{error:?}");
}

#[tokio::test]
async fn both_backends_are_told_apart() {
    let embedded = TestStore::empty(Backend::Embedded).await;
    let postgres = TestStore::empty(Backend::Postgres).await;
    assert_eq!((embedded.store.backend(), postgres.store.backend()), ("sqlite", "postgres"));
}
