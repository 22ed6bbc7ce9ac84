//! A store in memory, which takes every port at its word.

mod reads;
mod state;
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
        poll_once(work(&mut *locked(&self.0.state))).ok_or_else(waited)?
    }

    async fn transact<T, E, F>(&self, options: UnitOptions, work: F) -> Result<T, E>
    where
        T: Send + 'static,
        E: From<StoreError> + Send + 'static,
        F: for<'a> FnOnce(&'a mut dyn Writes) -> BoxFuture<'a, Result<T, E>> + Send + 'static,
    {
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
