//! Connections to the database file.

use std::error::Error;
use std::future::ready;
use std::path::Path;
use std::time::Duration;

use diesel::connection::SimpleConnection;
use diesel::r2d2::ManageConnection;
use diesel::{Connection, ConnectionError, ConnectionResult, SqliteConnection};
use diesel_async::SimpleAsyncConnection;
use diesel_async::pooled_connection::PoolableConnection;
use diesel_async::sync_connection_wrapper::SpawnBlocking;
use futures_util::FutureExt;
use futures_util::future::BoxFuture;

use super::Conn;
use super::checkpoint::LOG_PAGES;

/// Runs what would be sent to a blocking thread at once: whoever polls a query has chosen the thread on which it blocks.
/// Hence every future of a connection is ready when it is first polled.
pub struct Inline;

impl SpawnBlocking for Inline {
    fn spawn_blocking<'a, R>(
        &mut self,
        task: impl FnOnce() -> R + Send + 'static,
    ) -> BoxFuture<'a, Result<R, Box<dyn Error + Send + Sync + 'static>>>
    where
        R: Send + 'static,
    {
        ready(Ok(task())).boxed()
    }

    fn get_runtime() -> Self {
        Self
    }
}

/// What a connection is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Role {
    Reader,
    Writer,
    /// Copies from the write-ahead log.
    Copier,
}

/// Opens the database file, which is made if there is none.
pub(crate) fn establish(path: &Path, role: Role, lock_timeout: Duration) -> ConnectionResult<SqliteConnection> {
    let text = path
        .to_str()
        .ok_or_else(|| ConnectionError::BadConnection("the path is not UTF-8".to_owned()))?;
    let mut conn = SqliteConnection::establish(text)?;
    // synchronous=FULL makes every commit durable.
    let mut pragmas = format!(
        "PRAGMA busy_timeout = {}; PRAGMA journal_mode = WAL; PRAGMA synchronous = FULL; PRAGMA foreign_keys = ON; \
         PRAGMA temp_store = MEMORY; PRAGMA wal_autocheckpoint = {LOG_PAGES}; PRAGMA journal_size_limit = 67108864; ",
        lock_timeout.as_millis()
    );
    pragmas.push_str(match role {
        Role::Writer => "PRAGMA cache_size = -8192;",
        Role::Reader => "PRAGMA cache_size = -6144; PRAGMA query_only = ON;",
        // It reads and writes past the cache.
        Role::Copier => "PRAGMA cache_size = -64;",
    });
    conn.batch_execute(&pragmas)
        .map_err(ConnectionError::CouldntSetupConfiguration)?;
    Ok(conn)
}

/// Opens readers for the pool.
pub(crate) struct Readers {
    pub path: std::path::PathBuf,
    pub lock_timeout: Duration,
}

impl ManageConnection for Readers {
    type Connection = Conn;
    type Error = diesel::r2d2::Error;

    fn connect(&self) -> Result<Conn, Self::Error> {
        let conn = establish(&self.path, Role::Reader, self.lock_timeout).map_err(Self::Error::ConnectionError)?;
        Ok(Conn::with_runtime(conn, Inline))
    }

    fn is_valid(&self, conn: &mut Conn) -> Result<(), Self::Error> {
        let answer = SimpleAsyncConnection::batch_execute(conn, "SELECT 1").now_or_never();
        answer.unwrap_or(Ok(())).map_err(Self::Error::QueryError)
    }

    fn has_broken(&self, conn: &mut Conn) -> bool {
        PoolableConnection::is_broken(conn)
    }
}
