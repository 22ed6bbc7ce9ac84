//! Storage for Grantex: SQLite, embedded and durable, and PostgreSQL, from one source of queries.
//!
//! [`open`] gives an [`AnyStore`], which implements the domain's [`Store`]. The tables are made by [`migrate::run`].
//!
//! - `queries/` implements the domain's ports on one connection and is compiled once for each backend;
//! - `rows/` holds the rows and what they mean;
//! - `sqlite/` and `postgres/` each own their connections, decide where a unit of work runs and with which others it is
//!   committed, and answer the few questions that the databases answer differently.
//!
//! No rule of the domain lives here, and nothing outside this crate knows of diesel.
#![allow(
    clippy::duplicate_mod,
    reason = "the queries are one source that is compiled once for each backend"
)]

pub mod migrate;

mod job;
mod options;
mod postgres;
mod rows;
mod schema;
mod sqlite;
mod statements;

use std::path::PathBuf;

use grantex_core::agent::Agent;
use grantex_core::authorize::AuthRequest;
use grantex_core::clock::Timestamp;
use grantex_core::developer::Developer;
use grantex_core::error::StoreError;
use grantex_core::id::{AgentId, DeveloperId, TokenId};
use grantex_core::secret::SecretHash;
use grantex_core::store::{BoxFuture, Reads, Store, UnitOptions, Writes};
use grantex_core::token::TokenRecord;
use grantex_core::trace::Recording;

pub use options::{ConnectionErrorHook, ConnectionRecoveryHook, Options, PoolStats, Stats};
pub use postgres::{Heard, HeardHook, Herald, PostgresStore};
pub use sqlite::SqliteStore;

/// Why a store was not opened. No text names a password.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum OpenError {
    /// The URL cannot be understood.
    #[error("the database URL cannot be used: {0}")]
    Url(String),
    /// The URL asks for a kind of encryption that does not exist here.
    #[error("sslmode {0} is not supported; use disable, prefer, require or verify-full")]
    SslMode(String),
    /// Encryption cannot be set up.
    #[error("TLS to the database cannot be set up: {0}")]
    Tls(String),
    /// The first connection failed.
    #[error("the database cannot be opened")]
    Connect(#[source] Box<dyn std::error::Error + Send + Sync>),
    /// The operating system gave no thread.
    #[error("a thread for the database could not be started")]
    Thread(#[source] std::io::Error),
}

/// Where a database is.
enum Place<'a> {
    Sqlite(PathBuf),
    Postgres(&'a str),
}

impl<'a> Place<'a> {
    fn parse(url: &'a str) -> Result<Self, OpenError> {
        if url.starts_with("postgres://") || url.starts_with("postgresql://") {
            return Ok(Self::Postgres(url));
        }
        let path = match url.strip_prefix("sqlite:") {
            Some(path) => path.strip_prefix("//").unwrap_or(path),
            None => url,
        };
        match path {
            "" => Err(OpenError::Url("the path is empty".to_owned())),
            ":memory:" => Err(OpenError::Url("the store needs a file".to_owned())),
            _ if url.contains("://") && !url.starts_with("sqlite:") => Err(OpenError::Url(
                "it must begin with sqlite: or postgres://, or be a path".to_owned(),
            )),
            _ => Ok(Self::Sqlite(PathBuf::from(path))),
        }
    }
}

/// A store of either kind. Cheap to clone; all clones share connections and queues.
#[derive(Clone)]
pub enum AnyStore {
    /// The embedded one.
    Sqlite(SqliteStore),
    /// A server's.
    Postgres(PostgresStore),
}

/// Opens the store at `url`: `sqlite:<path>`, a plain path, or `postgres://user:password@host/database?sslmode=…`.
///
/// Opens connections and starts threads, but makes no tables: that is [`migrate::run`]'s business.
///
/// # Errors
/// When the URL asks for what is not supported, or the first connection fails.
pub async fn open(url: &str, options: Options) -> Result<AnyStore, OpenError> {
    match Place::parse(url)? {
        Place::Sqlite(path) => SqliteStore::open(&path, options).map(AnyStore::Sqlite),
        Place::Postgres(url) => PostgresStore::open(url, options).await.map(AnyStore::Postgres),
    }
}

impl AnyStore {
    /// A line to the other servers of the same database, over which they tell each other of new events; `None` where a
    /// database is not shared like that. `on_heard` is called for what others tell, and must not block.
    ///
    /// Takes one connection beside the pool and opens it again whenever it is lost; a failure is told to
    /// [`Options::on_connection_error`].
    pub fn herald(&self, on_heard: HeardHook) -> Option<Herald> {
        match self {
            Self::Sqlite(_) => None,
            Self::Postgres(store) => Some(store.herald(on_heard)),
        }
    }

    /// What the database's clock says; `None` where the database has none of its own.
    ///
    /// # Errors
    /// [`StoreError::Unavailable`] when the database does not answer.
    pub async fn clock(&self) -> Result<Option<Timestamp>, StoreError> {
        match self {
            Self::Sqlite(_) => Ok(None),
            Self::Postgres(store) => store.clock().await.map(Some),
        }
    }

    /// What the store is doing right now, for gauges.
    pub fn stats(&self) -> Stats {
        match self {
            Self::Sqlite(store) => store.stats(),
            Self::Postgres(store) => store.stats(),
        }
    }
}

impl Store for AnyStore {
    fn recorded(&self, recording: &Recording) -> Self {
        match self {
            Self::Sqlite(store) => Self::Sqlite(store.recorded(recording)),
            Self::Postgres(store) => Self::Postgres(store.recorded(recording)),
        }
    }

    async fn read<T, E, F>(&self, work: F) -> Result<T, E>
    where
        T: Send + 'static,
        E: From<StoreError> + Send + 'static,
        F: for<'a> FnOnce(&'a mut dyn Reads) -> BoxFuture<'a, Result<T, E>> + Send + 'static,
    {
        match self {
            Self::Sqlite(store) => store.read(work).await,
            Self::Postgres(store) => store.read(work).await,
        }
    }

    async fn transact<T, E, F>(&self, options: UnitOptions, work: F) -> Result<T, E>
    where
        T: Send + 'static,
        E: From<StoreError> + Send + 'static,
        F: for<'a> FnOnce(&'a mut dyn Writes) -> BoxFuture<'a, Result<T, E>> + Send + 'static,
    {
        match self {
            Self::Sqlite(store) => store.transact(options, work).await,
            Self::Postgres(store) => store.transact(options, work).await,
        }
    }

    async fn developer_by_key(&self, key_hash: SecretHash) -> Result<Option<Developer>, StoreError> {
        match self {
            Self::Sqlite(store) => store.developer_by_key(key_hash).await,
            Self::Postgres(store) => store.developer_by_key(key_hash).await,
        }
    }

    async fn agent(&self, developer: DeveloperId, id: AgentId) -> Result<Option<Agent>, StoreError> {
        match self {
            Self::Sqlite(store) => store.agent(developer, id).await,
            Self::Postgres(store) => store.agent(developer, id).await,
        }
    }

    async fn request_of_code(&self, code_hash: SecretHash) -> Result<Option<(AuthRequest, Option<Agent>)>, StoreError> {
        match self {
            Self::Sqlite(store) => store.request_of_code(code_hash).await,
            Self::Postgres(store) => store.request_of_code(code_hash).await,
        }
    }

    async fn token(&self, id: TokenId) -> Result<Option<TokenRecord>, StoreError> {
        match self {
            Self::Sqlite(store) => store.token(id).await,
            Self::Postgres(store) => store.token(id).await,
        }
    }

    async fn token_by_refresh(&self, refresh_hash: SecretHash) -> Result<Option<TokenRecord>, StoreError> {
        match self {
            Self::Sqlite(store) => store.token_by_refresh(refresh_hash).await,
            Self::Postgres(store) => store.token_by_refresh(refresh_hash).await,
        }
    }

    async fn ping(&self) -> Result<(), StoreError> {
        match self {
            Self::Sqlite(store) => store.ping().await,
            Self::Postgres(store) => store.ping().await,
        }
    }
}
