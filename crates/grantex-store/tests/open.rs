//! What can be opened, and what is refused with a reason.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::indexing_slicing,
    reason = "tests fail by panicking"
)]

mod support;

use std::sync::{Arc, Mutex, mpsc};
use std::time::Duration;

use grantex_core::error::StoreError;
use grantex_core::store::Store;
use grantex_store::{AnyStore, OpenError, Options};
use support::{Databases, commit};
use tokio::sync::oneshot;

async fn refusal(url: &str) -> OpenError {
    match grantex_store::open(url, Options::default()).await {
        Ok(_) => panic!("{url} was opened"),
        Err(error) => error,
    }
}

#[tokio::test]
async fn urls_that_cannot_work_are_refused() {
    assert!(matches!(refusal("mysql://localhost/grantex").await, OpenError::Url(_)));
    assert!(matches!(refusal("sqlite:").await, OpenError::Url(_)));
    assert!(matches!(refusal("sqlite::memory:").await, OpenError::Url(_)));
    assert!(matches!(
        refusal("/no/such/directory/grantex.db").await,
        OpenError::Connect(_)
    ));
}

#[tokio::test(flavor = "multi_thread")]
async fn encryption_that_is_not_supported_is_refused_at_the_start() {
    for mode in ["allow", "verify-ca", "nonsense"] {
        let url = format!("postgres://user:secret@127.0.0.1:1/db?sslmode={mode}");
        assert!(matches!(refusal(&url).await, OpenError::SslMode(name) if name == mode));
    }
    let missing = "postgres://user:secret@127.0.0.1:1/db?sslmode=verify-full&sslrootcert=/no/such/file";
    assert!(matches!(refusal(missing).await, OpenError::Tls(_)));
}

#[tokio::test(flavor = "multi_thread")]
async fn encryption_that_the_server_lacks_is_an_error_and_never_silently_dropped() {
    let databases = Databases::postgres().await;
    let url = databases.url().await;
    assert!(matches!(
        refusal(&format!("{url}?sslmode=require")).await,
        OpenError::Connect(_)
    ));
    for mode in ["disable", "prefer"] {
        let store = grantex_store::open(&format!("{url}?sslmode={mode}"), Options::default())
            .await
            .unwrap();
        store.ping().await.unwrap();
    }
    databases.remove().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn no_error_shows_the_password() {
    for url in [
        "postgres://user:hunter2@127.0.0.1:1/db",
        "postgres://user:hunter2@[::1:bad/db?connect_timeout=x",
    ] {
        let error = refusal(url).await;
        let text = format!("{error:?} {}", grantex_core::error::chain(&error));
        assert!(!text.contains("hunter2"), "{text}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_that_went_away_is_told_of_and_found_again() {
    let databases = Databases::postgres().await;
    let url = databases.url().await;
    let told = Arc::new(Mutex::new(Vec::new()));
    let hook = Arc::clone(&told);
    let options = Options {
        pool_size: 2,
        on_connection_error: Arc::new(move |pool, _| hook.lock().unwrap().push(pool)),
        ..Options::default()
    };
    let store = grantex_store::open(&url, options).await.unwrap();
    store.ping().await.unwrap();
    support::disconnect_all(&url).await;
    // A connection that died unnoticed may cost one call; the next one gets a new connection.
    let mut failures = 0;
    while store.ping().await.is_err() {
        failures += 1;
        assert!(failures <= 2, "the pool keeps dead connections");
    }
    assert_eq!(store.stats().pools[0].pool, "postgres");
    drop(store);
    databases.remove().await;
    assert!(told.lock().unwrap().iter().all(|pool| *pool == "postgres"));
}

/// What the hooks of a store were told.
#[derive(Clone, Default)]
struct Told(Arc<Mutex<Vec<(&'static str, &'static str)>>>);

impl Told {
    /// Options under which a store soon gives up waiting, and tells of it here.
    fn options(&self) -> Options {
        let (failed, restored) = (self.clone(), self.clone());
        Options {
            pool_size: 1,
            acquire_timeout: Duration::from_secs(1),
            lock_timeout: Duration::from_secs(1),
            on_connection_error: Arc::new(move |pool, _| failed.0.lock().unwrap().push((pool, "failed"))),
            on_connection_recovery: Arc::new(move |pool| restored.0.lock().unwrap().push((pool, "restored"))),
            ..Options::default()
        }
    }

    fn take(&self) -> Vec<(&'static str, &'static str)> {
        std::mem::take(&mut self.0.lock().unwrap())
    }
}

async fn write_nothing(store: &AnyStore) -> Result<(), StoreError> {
    commit(store, None, |tx| {
        Box::pin(async move { tx.has_no_developer().await.map(drop) })
    })
    .await
}

#[tokio::test(flavor = "multi_thread")]
async fn the_first_answer_after_failures_is_told_on_postgres() {
    let (databases, told) = (Databases::postgres().await, Told::default());
    let store = databases.store_with(told.options()).await;
    store.ping().await.unwrap();
    assert_eq!(told.take(), [], "all is well");

    // The only connection is taken, and stays so.
    let (has_begun, begun) = oneshot::channel();
    let (end, ended) = oneshot::channel::<()>();
    let holder = store.clone();
    let unit = tokio::spawn(async move {
        let hold = commit(&holder, None, move |_| {
            Box::pin(async move {
                has_begun.send(()).unwrap();
                ended.await.unwrap();
                Ok(())
            })
        });
        hold.await
    });
    begun.await.unwrap();
    assert!(store.ping().await.is_err());
    assert!(write_nothing(&store).await.is_err());
    assert_eq!(told.take(), [("postgres", "failed"); 2]);

    end.send(()).unwrap();
    unit.await.unwrap().unwrap();
    store.ping().await.unwrap();
    write_nothing(&store).await.unwrap();
    assert_eq!(told.take(), [("postgres", "restored")], "once");
    drop(store);
    databases.remove().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_first_answer_after_failures_is_told_on_sqlite() {
    let (databases, told) = (Databases::sqlite(), Told::default());
    let url = databases.url().await;
    let open = |options| grantex_store::open(&url, options);
    let (store, other) = (
        open(told.options()).await.unwrap(),
        open(Options::default()).await.unwrap(),
    );
    write_nothing(&store).await.unwrap();
    assert_eq!(told.take(), [], "all is well");

    // Another process writes, and goes on for longer than this one waits.
    let (has_begun, begun) = oneshot::channel();
    let (end, ended) = mpsc::channel::<()>();
    let unit = tokio::spawn(async move {
        let hold = commit(&other, None, move |_| {
            Box::pin(async move {
                has_begun.send(()).unwrap();
                ended.recv().unwrap();
                Ok(())
            })
        });
        hold.await
    });
    begun.await.unwrap();
    for _ in 0..2 {
        assert!(write_nothing(&store).await.is_err());
    }
    store.ping().await.unwrap();
    assert_eq!(told.take(), [("write", "failed"); 2]);

    end.send(()).unwrap();
    unit.await.unwrap().unwrap();
    for _ in 0..2 {
        write_nothing(&store).await.unwrap();
    }
    assert_eq!(told.take(), [("write", "restored")], "once");
    drop(store);
    databases.remove().await;
}
