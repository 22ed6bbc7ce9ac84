//! A store in memory, which takes every port at its word.

mod anomalies;
mod policies;
mod reads;
mod revocations;
mod state;
mod webhooks;
mod writes;

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use self::state::State;
use super::poll_once;
use crate::error::StoreError;
use crate::store::{BoxFuture, Reads, Store, UnitOptions, Writes};

/// A store in memory. Clones share their rows.
///
/// A unit of work runs on a copy of all rows, which takes their place when the unit succeeds: simple and exact, and meant
/// for the few rows of a test. Units run one at a time.
#[derive(Clone, Default)]
pub struct MemoryStore(Arc<Shared>);

#[derive(Default)]
struct Shared {
    state: Mutex<State>,
    next_failure: Mutex<Option<StoreFailure>>,
    before_next: Mutex<Option<BoxFuture<'static, ()>>>,
    after_next: Mutex<Option<BoxFuture<'static, ()>>>,
    are_reads_failing: AtomicBool,
}

/// How a unit of work is to fail.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum StoreFailure {
    /// [`StoreError::Unavailable`]: nothing is done.
    Unavailable,
    /// [`StoreError::OutcomeUnknown`], and the unit is committed: only its answer is lost.
    OutcomeUnknownCommitted,
    /// [`StoreError::OutcomeUnknown`], and the unit is not committed.
    OutcomeUnknownLost,
}

impl MemoryStore {
    /// A store without rows.
    pub fn new() -> Self {
        Self::default()
    }

    /// Makes the next unit of work fail, once.
    pub fn fail_next(&self, failure: StoreFailure) {
        *locked(&self.0.next_failure) = Some(failure);
    }

    /// Lets `work` happen right before the next unit of work begins, once: units of its own are committed then, between what a
    /// flow has read and what it writes.
    pub fn before_next_unit(&self, work: impl Future<Output = ()> + Send + 'static) {
        *locked(&self.0.before_next) = Some(Box::pin(work));
    }

    /// Lets `work` happen right after the next read, once, before whoever asked has the answer.
    pub fn after_next_read(&self, work: impl Future<Output = ()> + Send + 'static) {
        *locked(&self.0.after_next) = Some(Box::pin(work));
    }

    /// From now on reads and pings are refused, or served again.
    pub fn set_read_failure(&self, is_failing: bool) {
        self.0.are_reads_failing.store(is_failing, Ordering::SeqCst);
    }

    fn check_reads(&self) -> Result<(), StoreError> {
        if self.0.are_reads_failing.load(Ordering::SeqCst) {
            return Err(StoreError::unavailable("reads fail because the test says so"));
        }
        Ok(())
    }
}

impl Store for MemoryStore {
    async fn read<T, E, F>(&self, work: F) -> Result<T, E>
    where
        T: Send + 'static,
        E: From<StoreError> + Send + 'static,
        F: for<'a> FnOnce(&'a mut dyn Reads) -> BoxFuture<'a, Result<T, E>> + Send + 'static,
    {
        self.check_reads()?;
        // Taken before the read, so that reads of the work itself do not ask for it again.
        let after = locked(&self.0.after_next).take();
        let found = poll_once(work(&mut *locked(&self.0.state))).ok_or_else(waited)?;
        if let Some(after) = after {
            after.await;
        }
        found
    }

    async fn transact<T, E, F>(&self, options: UnitOptions, work: F) -> Result<T, E>
    where
        T: Send + 'static,
        E: From<StoreError> + Send + 'static,
        F: for<'a> FnOnce(&'a mut dyn Writes) -> BoxFuture<'a, Result<T, E>> + Send + 'static,
    {
        let before = locked(&self.0.before_next).take();
        if let Some(before) = before {
            before.await;
        }
        let mut state = locked(&self.0.state);
        if !options.admission.begin() {
            return Err(StoreError::Withdrawn.into());
        }
        let failure = locked(&self.0.next_failure).take();
        if failure == Some(StoreFailure::Unavailable) {
            return Err(StoreError::unavailable("the unit fails because the test says so").into());
        }
        let mut copy = state.clone();
        let value = poll_once(work(&mut copy)).ok_or_else(waited)??;
        if failure != Some(StoreFailure::OutcomeUnknownLost) {
            *state = copy;
        }
        match failure {
            Some(_) => Err(StoreError::OutcomeUnknown("the answer is lost because the test says so".into()).into()),
            None => Ok(value),
        }
    }

    async fn ping(&self) -> Result<(), StoreError> {
        self.check_reads()
    }
}

fn waited() -> StoreError {
    StoreError::unavailable("the work waited for something other than the store")
}

/// A unit that panicked leaves the rows as they were, so a poisoned lock is no reason to stop.
fn locked<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::context::Admission;
    use crate::testing::fixtures::Fixtures;

    fn options() -> UnitOptions {
        UnitOptions {
            developer: None,
            admission: Admission::default(),
        }
    }

    /// Inserts a developer and tells whether it is there afterwards.
    async fn insert(store: &MemoryStore) -> (Result<bool, StoreError>, bool) {
        let fixtures = Fixtures::new(1);
        let (developer, hash) = (fixtures.developer(), fixtures.hash());
        let outcome = store.transact(options(), move |tx| {
            Box::pin(async move { tx.insert_developer(&developer, &hash).await })
        });
        let outcome = outcome.await;
        let is_empty = store
            .read(|tx| Box::pin(async move { tx.has_no_developer().await }))
            .await;
        (outcome, !is_empty.unwrap_or_else(|error: StoreError| panic!("{error}")))
    }

    #[tokio::test]
    async fn a_failure_happens_once_and_is_what_was_asked_for() {
        let store = MemoryStore::new();
        store.fail_next(StoreFailure::Unavailable);
        assert!(matches!(insert(&store).await, (Err(StoreError::Unavailable(_)), false)));
        store.fail_next(StoreFailure::OutcomeUnknownLost);
        assert!(matches!(
            insert(&store).await,
            (Err(StoreError::OutcomeUnknown(_)), false)
        ));
        assert!(matches!(insert(&store).await, (Ok(true), true)));

        let store = MemoryStore::new();
        store.fail_next(StoreFailure::OutcomeUnknownCommitted);
        assert!(matches!(
            insert(&store).await,
            (Err(StoreError::OutcomeUnknown(_)), true)
        ));
    }

    #[tokio::test]
    async fn what_is_to_happen_before_a_unit_is_committed_when_it_begins() {
        let store = MemoryStore::new();
        let earlier = store.clone();
        store.before_next_unit(async move { assert!(matches!(insert(&earlier).await, (Ok(true), true))) });
        let read = store.transact(options(), |tx| Box::pin(async move { tx.has_no_developer().await }));
        let is_empty: Result<bool, StoreError> = read.await;
        assert!(matches!(is_empty, Ok(false)));
    }

    #[tokio::test]
    async fn reads_fail_for_as_long_as_they_are_told_to() {
        let store = MemoryStore::new();
        let read = || store.read(|tx| Box::pin(async move { tx.has_no_developer().await }));
        store.set_read_failure(true);
        assert!(matches!(read().await, Err(StoreError::Unavailable(_))));
        assert!(matches!(store.ping().await, Err(StoreError::Unavailable(_))));
        store.set_read_failure(false);
        assert!(matches!(read().await, Ok(true)));
        assert!(store.ping().await.is_ok());
    }

    #[tokio::test]
    async fn a_unit_may_await_nothing_but_its_transaction() {
        let store = MemoryStore::new();
        let outcome: Result<(), StoreError> = store
            .transact(options(), |_| Box::pin(async { std::future::pending().await }))
            .await;
        assert!(matches!(outcome, Err(StoreError::Unavailable(_))));
    }

    #[tokio::test]
    async fn a_unit_that_panics_changes_nothing() {
        let store = MemoryStore::new();
        let panicking = store.clone();
        let unit = tokio::spawn(async move {
            let fixtures = Fixtures::new(2);
            let (developer, hash) = (fixtures.developer(), fixtures.hash());
            let work = panicking.transact(options(), move |tx| {
                Box::pin(async move {
                    assert!(tx.insert_developer(&developer, &hash).await?);
                    panic!("half-way")
                })
            });
            let _: Result<(), StoreError> = work.await;
        });
        assert!(unit.await.is_err_and(|error| error.is_panic()));
        assert!(matches!(insert(&store).await, (Ok(true), true)));
    }
}
