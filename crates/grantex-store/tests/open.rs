//! What can be opened, and what is refused with a reason.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::indexing_slicing,
    reason = "tests fail by panicking"
)]

mod support;

use std::sync::{Arc, Mutex};

use grantex_core::store::Store;
use grantex_store::{OpenError, Options};
use support::Databases;

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
