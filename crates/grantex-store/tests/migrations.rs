//! The schema goes up, down and up again on both databases, and tells what is pending.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::indexing_slicing,
    reason = "tests fail by panicking"
)]

mod support;

use grantex_core::store::Store;
use grantex_core::testing::fixtures::Fixtures;
use grantex_store::{AnyStore, Options, migrate};
use support::{Databases, has_developer, insert_developer};

async fn blocking<T: Send + 'static>(work: impl FnOnce() -> T + Send + 'static) -> T {
    tokio::task::spawn_blocking(work).await.unwrap()
}

async fn up_down_up(databases: Databases) {
    let url = databases.url().await;
    let at = |task: fn(&str) -> Result<Vec<String>, migrate::MigrateError>| {
        let url = url.clone();
        blocking(move || task(&url).unwrap())
    };
    assert_eq!(at(migrate::pending).await, Vec::<String>::new());

    let reverted = at(migrate::revert_all).await;
    assert!(!reverted.is_empty());
    assert_eq!(at(migrate::pending).await.len(), reverted.len());

    let mut applied = at(migrate::run).await;
    applied.reverse();
    assert_eq!(applied, reverted);
    assert_eq!(at(migrate::pending).await, Vec::<String>::new());
    assert_eq!(at(migrate::run).await, Vec::<String>::new());

    let store = grantex_store::open(&url, Options::default()).await.unwrap();
    let developer = insert_developer(&store, &Fixtures::new(1)).await;
    assert!(has_developer(&store, &developer).await);
    drop(store);
    databases.remove().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn sqlite_migrates_up_down_and_up() {
    up_down_up(Databases::sqlite()).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn postgres_migrates_up_down_and_up() {
    up_down_up(Databases::postgres().await).await;
}

/// Several servers that start at once on an empty database.
async fn many_at_once(databases: Databases) {
    let url = databases.url().await;
    let revert = url.clone();
    let reverted = blocking(move || migrate::revert_all(&revert).unwrap()).await;
    let runs: Vec<_> = (0..4)
        .map(|_| {
            let url = url.clone();
            tokio::task::spawn_blocking(move || migrate::run(&url))
        })
        .collect();
    let mut applied = 0;
    for run in runs {
        applied += run.await.unwrap().unwrap().len();
    }
    assert_eq!(applied, reverted.len(), "each migration once, by whichever of them");
    databases.remove().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn one_of_many_migrates_sqlite() {
    many_at_once(Databases::sqlite()).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn one_of_many_migrates_postgres() {
    many_at_once(Databases::postgres().await).await;
}

/// From a runtime with one thread, as actix has them.
#[tokio::test(flavor = "current_thread")]
async fn postgres_migrates_from_a_runtime_with_one_thread() {
    let databases = Databases::postgres().await;
    let url = databases.url().await;
    assert_eq!(migrate::pending(&url).unwrap(), Vec::<String>::new());
    databases.remove().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_was_committed_is_there_after_reopening() {
    for databases in [Databases::sqlite(), Databases::postgres().await] {
        let url = databases.url().await;
        let store = grantex_store::open(&url, Options::default()).await.unwrap();
        let developer = insert_developer(&store, &Fixtures::new(2)).await;
        drop(store);
        let store = grantex_store::open(&url, Options::default()).await.unwrap();
        assert!(has_developer(&store, &developer).await);
        assert_eq!(matches!(store, AnyStore::Sqlite(_)), url.starts_with("sqlite:"));
        store.ping().await.unwrap();
        drop(store);
        databases.remove().await;
    }
}
