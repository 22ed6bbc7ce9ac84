//! A store written by its author: one that keeps a limit and a deadline around another store, so that a service with many callers never
//! has more than so many units under way, and answers "unavailable" instead of queueing without end.
//!
//! Core asks of a store what the ports in `grantex_core::store` say; `grantex_core::testing::conformance` proves that it does. What is
//! proved here is the bounded store over SQLite, and that its bound holds. A store that speaks to a database of its own implements the
//! port of each aggregate as well (`DeveloperReads`, `GrantWrites`, …) and is proved by the same call.

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use grantex_core::context::Admission;
use grantex_core::error::StoreError;
use grantex_core::store::{BoxFuture, Reads, Store, UnitOptions, Writes};
use grantex_core::testing::conformance;
use grantex_core::trace::Recording;
use grantex_examples::{Failure, Scratch};
use grantex_store::{AnyStore, Options, migrate};
use tokio::sync::{Semaphore, SemaphorePermit};
use tokio::time::timeout;

/// How long a call waits for its turn.
const PATIENCE: Duration = Duration::from_secs(10);

/// A store with a bound. Clones share it.
#[derive(Clone)]
struct Bounded<S> {
    inner: S,
    turns: Arc<Semaphore>,
    patience: Duration,
}

impl<S: Store> Bounded<S> {
    fn new(inner: S, at_once: usize, patience: Duration) -> Self {
        Self {
            inner,
            turns: Arc::new(Semaphore::new(at_once)),
            patience,
        }
    }

    /// A turn, or "nothing was done": the caller may try again.
    async fn turn(&self) -> Result<SemaphorePermit<'_>, StoreError> {
        match timeout(self.patience, self.turns.acquire()).await {
            Ok(turn) => turn.map_err(StoreError::unavailable),
            Err(late) => Err(StoreError::unavailable(late)),
        }
    }
}

impl<S: Store> Store for Bounded<S> {
    fn recorded(&self, recording: &Recording) -> Self {
        Self {
            inner: self.inner.recorded(recording),
            ..self.clone()
        }
    }

    async fn read<T, E, F>(&self, work: F) -> Result<T, E>
    where
        T: Send + 'static,
        E: From<StoreError> + Send + 'static,
        F: for<'a> FnOnce(&'a mut dyn Reads) -> BoxFuture<'a, Result<T, E>> + Send + 'static,
    {
        let _turn = self.turn().await?;
        self.inner.read(work).await
    }

    // The turn is waited for before the admission is asked, which the store inside does right before the first statement: a caller that
    // gave up while it waited is told that nothing was done, and nothing is.
    async fn transact<T, E, F>(&self, options: UnitOptions, work: F) -> Result<T, E>
    where
        T: Send + 'static,
        E: From<StoreError> + Send + 'static,
        F: for<'a> FnOnce(&'a mut dyn Writes) -> BoxFuture<'a, Result<T, E>> + Send + 'static,
    {
        let _turn = self.turn().await?;
        self.inner.transact(options, work).await
    }

    async fn ping(&self) -> Result<(), StoreError> {
        // Readiness asks whether the database answers, not whether it is busy.
        self.inner.ping().await
    }
}

/// A store on a database of its own, made from an empty one that has its schema already.
async fn open(scratch: &Scratch) -> AnyStore {
    static NUMBER: AtomicU32 = AtomicU32::new(0);
    let path = scratch.file(&format!("{}.db", NUMBER.fetch_add(1, Ordering::Relaxed)));
    let made = std::fs::copy(scratch.file("template.db"), &path);
    assert!(made.is_ok(), "the template can be copied");
    let opened = grantex_store::open(&format!("sqlite:{}", path.display()), Options::default()).await;
    match opened {
        Ok(store) => store,
        Err(error) => panic!("{error}"),
    }
}

#[tokio::main]
async fn main() -> Result<(), Failure> {
    let scratch = Scratch::new("store")?;
    let template = format!("sqlite:{}", scratch.file("template.db").display());
    tokio::task::spawn_blocking(move || migrate::run(&template)).await??;

    // Every rule that core relies on: isolation, compare-and-set, cascades, races.
    conformance::run(async || Bounded::new(open(&scratch).await, 4, PATIENCE)).await;

    // And the one that this store adds.
    let store = Bounded::new(open(&scratch).await, 1, Duration::from_millis(10));
    let held = store.turns.acquire().await?;
    let options = UnitOptions {
        developer: None,
        admission: Admission::default(),
    };
    let refused: Result<(), StoreError> = store.transact(options, |_| Box::pin(async { Ok(()) })).await;
    assert!(matches!(refused, Err(StoreError::Unavailable(_))), "{refused:?}");
    assert!(store.ping().await.is_ok());
    drop(held);
    let read: Result<bool, StoreError> = store
        .read(|tx| Box::pin(async move { tx.has_no_developer().await }))
        .await;
    assert!(matches!(read, Ok(true)), "{read:?}");
    Ok(())
}
