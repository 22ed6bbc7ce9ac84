//! How a store is opened, and what can be seen of it while it runs.

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

/// Told of every failed connection: the pool's name (`read`, `write` or `postgres`) and what went wrong, for the log.
pub type ConnectionErrorHook = Arc<dyn Fn(&'static str, &str) + Send + Sync>;

/// Told of a pool whose connections failed, when one of them answers again.
pub type ConnectionRecoveryHook = Arc<dyn Fn(&'static str) + Send + Sync>;

/// How a store is opened. The defaults suit a server on a small machine.
#[derive(Clone)]
pub struct Options {
    /// PostgreSQL: connections at most.
    pub pool_size: usize,
    /// PostgreSQL: threads that drive the connections.
    pub driver_threads: usize,
    /// SQLite: connections that read, beside the one that writes.
    pub readers: u32,
    /// How long a call waits for a connection.
    pub acquire_timeout: Duration,
    /// PostgreSQL: how long opening a connection may take.
    pub connect_timeout: Duration,
    /// PostgreSQL: `statement_timeout`.
    pub statement_timeout: Duration,
    /// PostgreSQL: `lock_timeout`. SQLite: how long to wait for another process that writes.
    pub lock_timeout: Duration,
    /// PostgreSQL: `idle_in_transaction_session_timeout`.
    pub idle_in_transaction_timeout: Duration,
    /// PostgreSQL: after this time without an answer the server is taken for lost, and the connection is given up.
    pub stall_timeout: Duration,
    /// Units of work that may wait; more are refused as unavailable.
    pub queue_capacity: usize,
    /// Told of every failed connection.
    pub on_connection_error: ConnectionErrorHook,
    /// Told of the first answer after failed connections.
    pub on_connection_recovery: ConnectionRecoveryHook,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            pool_size: 8,
            driver_threads: 1,
            readers: 4,
            acquire_timeout: Duration::from_secs(4),
            connect_timeout: Duration::from_secs(4),
            statement_timeout: Duration::from_secs(5),
            lock_timeout: Duration::from_secs(3),
            idle_in_transaction_timeout: Duration::from_secs(10),
            stall_timeout: Duration::from_secs(15),
            queue_capacity: 8_192,
            on_connection_error: Arc::new(|_, _| {}),
            on_connection_recovery: Arc::new(|_| {}),
        }
    }
}

impl fmt::Debug for Options {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Options")
            .field("pool_size", &self.pool_size)
            .field("readers", &self.readers)
            .finish_non_exhaustive()
    }
}

/// Whether the connections of one pool work, as far as is known.
pub(crate) struct Health {
    pool: &'static str,
    is_failing: AtomicBool,
    on_error: ConnectionErrorHook,
    on_recovery: ConnectionRecoveryHook,
}

impl Health {
    pub fn new(pool: &'static str, options: &Options) -> Arc<Self> {
        Arc::new(Self {
            pool,
            is_failing: AtomicBool::new(false),
            on_error: Arc::clone(&options.on_connection_error),
            on_recovery: Arc::clone(&options.on_connection_recovery),
        })
    }

    /// A connection failed.
    pub fn failed(&self, cause: &str) {
        AtomicBool::store(&self.is_failing, true, Ordering::Relaxed);
        (self.on_error)(self.pool, cause);
    }

    /// A connection answered. Asked after every read and write, so it costs a load and no more while all is well.
    pub fn answered(&self) {
        if AtomicBool::load(&self.is_failing, Ordering::Relaxed) && self.is_failing.swap(false, Ordering::Relaxed) {
            (self.on_recovery)(self.pool);
        }
    }
}

impl fmt::Debug for Health {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Health")
            .field("pool", &self.pool)
            .finish_non_exhaustive()
    }
}

/// What a store is doing right now. Costs nothing that a scrape would notice.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Stats {
    /// The pools of connections.
    pub pools: Vec<PoolStats>,
    /// Units of work that wait for their turn.
    pub write_queue: usize,
}

/// What a pool is doing right now.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PoolStats {
    /// `read`, `write` or `postgres`.
    pub pool: &'static str,
    /// Connections that it may open.
    pub max: usize,
    /// Connections that are open.
    pub open: usize,
    /// Connections that are in use.
    pub in_use: usize,
    /// Calls that wait for a connection.
    pub waiting: usize,
}
