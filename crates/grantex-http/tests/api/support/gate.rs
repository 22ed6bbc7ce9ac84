//! A store that can be made to wait, before its units begin or while they run.

use std::sync::Arc;
use std::sync::atomic::{AtomicU8, Ordering};

use grantex_core::error::StoreError;
use grantex_core::store::{BoxFuture, Reads, Store, UnitOptions, Writes};
use grantex_core::testing::MemoryStore;
use tokio::sync::Notify;

/// Where the store waits.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u8)]
pub enum Wait {
    Nowhere,
    Reading,
    BeforeUnits,
    InUnits,
}

/// A store in memory behind a gate.
#[derive(Clone, Default)]
pub struct GatedStore(Arc<Gate>);

#[derive(Default)]
struct Gate {
    store: MemoryStore,
    wait: AtomicU8,
    opened: Notify,
    reached: Notify,
}

impl GatedStore {
    pub fn close(&self, wait: Wait) {
        self.0.wait.store(wait as u8, Ordering::SeqCst);
    }

    pub fn open(&self) {
        self.close(Wait::Nowhere);
        self.0.opened.notify_waiters();
    }

    /// Waits until somebody waits at the closed gate.
    pub async fn reached(&self) {
        self.0.reached.notified().await;
    }

    async fn pass(&self, wait: Wait) {
        let opened = self.0.opened.notified();
        if self.0.wait.load(Ordering::SeqCst) == wait as u8 {
            self.0.reached.notify_one();
            opened.await;
        }
    }
}

impl Store for GatedStore {
    async fn read<T, E, F>(&self, work: F) -> Result<T, E>
    where
        T: Send + 'static,
        E: From<StoreError> + Send + 'static,
        F: for<'a> FnOnce(&'a mut dyn Reads) -> BoxFuture<'a, Result<T, E>> + Send + 'static,
    {
        self.pass(Wait::Reading).await;
        self.0.store.read(work).await
    }

    async fn transact<T, E, F>(&self, options: UnitOptions, work: F) -> Result<T, E>
    where
        T: Send + 'static,
        E: From<StoreError> + Send + 'static,
        F: for<'a> FnOnce(&'a mut dyn Writes) -> BoxFuture<'a, Result<T, E>> + Send + 'static,
    {
        self.pass(Wait::BeforeUnits).await;
        if !options.admission.begin() {
            return Err(StoreError::Withdrawn.into());
        }
        self.pass(Wait::InUnits).await;
        self.0.store.transact(options, work).await
    }

    async fn ping(&self) -> Result<(), StoreError> {
        self.pass(Wait::Reading).await;
        self.0.store.ping().await
    }
}
