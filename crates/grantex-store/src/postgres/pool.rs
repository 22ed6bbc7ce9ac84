//! The pool of connections.

use deadpool::Runtime;
use deadpool::managed::{Manager, Metrics, Pool, RecycleError, RecycleResult};
use diesel::ConnectionError;
use diesel_async::pooled_connection::PoolableConnection;

use super::Conn;
use super::connection::{Target, open};
use super::runtime::Driver;
use crate::OpenError;
use crate::options::Options;

/// A connection, and which texts of the ledger's statement are prepared on it.
pub(super) struct PooledConn {
    pub conn: Conn,
    pub prepared: u32,
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
        Ok(PooledConn { conn, prepared: 0 })
    }

    async fn recycle(&self, pooled: &mut PooledConn, _: &Metrics) -> RecycleResult<ConnectionError> {
        if PoolableConnection::is_broken(&mut pooled.conn) {
            return Err(RecycleError::message("the connection was closed"));
        }
        Ok(())
    }
}

pub(super) fn build(target: Target, driver: Driver, options: &Options) -> Result<Pool<Connector>, OpenError> {
    Pool::builder(Connector { target, driver })
        .max_size(options.pool_size.max(1))
        .wait_timeout(Some(options.acquire_timeout))
        .create_timeout(Some(options.connect_timeout))
        .runtime(Runtime::Tokio1)
        .build()
        .map_err(|error| OpenError::Connect(error.into()))
}
