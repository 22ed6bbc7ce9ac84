//! The pool of connections.

use std::sync::Arc;

use deadpool::Runtime;
use deadpool::managed::{Manager, Metrics, Object, Pool, PoolError, RecycleError, RecycleResult};
use diesel::ConnectionError;
use diesel_async::pooled_connection::PoolableConnection;

use super::Conn;
use super::connection::{Target, open};
use super::put_off::Shapes;
use super::runtime::Driver;
use crate::OpenError;
use crate::options::{Health, Options, PoolStats};

/// A connection, and which texts of what may be put off are prepared on it.
pub(super) struct PooledConn {
    pub conn: Conn,
    pub prepared: Shapes,
    /// A transaction was begun and nobody knows its end.
    pub is_in_transaction: bool,
}

/// Opens connections on the driver's runtime and never asks a connection whether it is alive: that would double the cost of
/// a point read. A connection that the driver saw closed is replaced.
pub(super) struct Connector {
    target: Target,
    driver: Driver,
}

impl Manager for Connector {
    type Type = PooledConn;
    type Error = ConnectionError;

    async fn create(&self) -> Result<PooledConn, ConnectionError> {
        let target = self.target.clone();
        let bad = |cause: String| ConnectionError::BadConnection(cause);
        let handle = self
            .driver
            .handle()
            .ok_or_else(|| bad("the store is closed".to_owned()))?;
        let opened = handle.spawn(async move { open(&target).await }).await;
        let conn = opened.map_err(|error| bad(error.to_string()))??;
        Ok(PooledConn {
            conn,
            prepared: 0,
            is_in_transaction: false,
        })
    }

    async fn recycle(&self, pooled: &mut PooledConn, _: &Metrics) -> RecycleResult<ConnectionError> {
        if PoolableConnection::is_broken(&mut pooled.conn) {
            return Err(RecycleError::message("the connection was closed"));
        }
        if pooled.is_in_transaction {
            return Err(RecycleError::message("a transaction was abandoned"));
        }
        Ok(())
    }
}

/// A connection on loan.
pub(super) type Pooled = Object<Connector>;

/// The pool, the runtime that drives it, and how long anything may take.
pub(super) struct Connections {
    pool: Pool<Connector>,
    pub driver: Driver,
    pub health: Arc<Health>,
    pub options: Options,
}

impl Connections {
    /// Opens a first connection.
    pub async fn open(target: Target, options: Options) -> Result<Self, OpenError> {
        let driver = Driver::start(options.driver_threads)?;
        let connector = Connector {
            target,
            driver: driver.clone(),
        };
        let pool = Pool::builder(connector)
            .max_size(options.pool_size.max(1))
            .wait_timeout(Some(options.acquire_timeout))
            .create_timeout(Some(options.connect_timeout))
            .runtime(Runtime::Tokio1)
            .build()
            .map_err(|error| OpenError::Connect(error.into()))?;
        let first = pool.get().await;
        drop(first.map_err(|error| OpenError::Connect(describe(&error).into()))?);
        Ok(Self {
            pool,
            driver,
            health: Health::new("postgres", &options),
            options,
        })
    }

    /// A connection for one transaction or query.
    pub async fn get(&self) -> Result<Pooled, String> {
        self.pool.get().await.map_err(|error| {
            let cause = describe(&error);
            self.health.failed(&cause);
            cause
        })
    }

    /// Closes a connection of which nobody knows what it will answer next.
    pub fn give_up(&self, pooled: Pooled) {
        self.health
            .failed("the connection was given up: the server did not answer");
        drop(Object::take(pooled));
    }

    pub fn stats(&self) -> PoolStats {
        let status = self.pool.status();
        PoolStats {
            pool: "postgres",
            max: status.max_size,
            open: status.size,
            in_use: status.size.saturating_sub(status.available),
            waiting: status.waiting,
        }
    }
}

fn describe(error: &PoolError<ConnectionError>) -> String {
    match error {
        PoolError::Timeout(_) => "no connection was free in time".to_owned(),
        PoolError::Backend(error) => error.to_string(),
        other => other.to_string(),
    }
}
