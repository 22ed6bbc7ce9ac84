//! The store.

use std::path::PathBuf;
use std::time::Duration;

use grantex_core::secret::Secret;
use grantex_store::Options;

use super::{Env, Variable};

const URL: Variable = Variable {
    name: "DATABASE_URL",
    default: "./grantex.db",
    about: "`sqlite:<path>` or a path for the embedded store, `postgres://…` for PostgreSQL (`sslmode=disable`, `require` or `verify-full`).",
    is_secret: true,
};
const POOL_SIZE: Variable = Variable::new(
    "DATABASE_POOL_SIZE",
    "8 for PostgreSQL, 4 for the embedded store",
    "Connections, 1 to 1000: to PostgreSQL in all, of the embedded store for reading (it writes through one more).",
);
const MIGRATE_ON_START: Variable = Variable::new(
    "MIGRATE_ON_START",
    "true",
    "Whether the server brings the schema up to date when it starts. With `false` it refuses to start on an old schema; run \
     `grantex-server migrate` before.",
);
const STATEMENT_TIMEOUT: Variable = Variable::new(
    "DATABASE_STATEMENT_TIMEOUT",
    "5s",
    "PostgreSQL: after how long a statement is cancelled.",
);
const ACQUIRE_TIMEOUT: Variable = Variable::new(
    "DATABASE_ACQUIRE_TIMEOUT",
    "4s",
    "How long a call waits for a connection before it is a 503.",
);

/// The variables of this section.
pub const VARIABLES: &[&Variable] = &[
    &URL,
    &POOL_SIZE,
    &ACQUIRE_TIMEOUT,
    &STATEMENT_TIMEOUT,
    &MIGRATE_ON_START,
];

/// Where the data is.
#[derive(Debug, Clone)]
pub enum DatabaseUrl {
    /// A file.
    Sqlite(PathBuf),
    /// A server; the URL may hold a password.
    Postgres(Secret<String>),
}

/// The section.
#[derive(Debug, Clone)]
pub struct Database {
    /// Where the data is.
    pub url: DatabaseUrl,
    /// How many connections; `None` is the store's default.
    pub pool_size: Option<u32>,
    /// How long to wait for one.
    pub acquire_timeout: Duration,
    /// After how long a statement is cancelled.
    pub statement_timeout: Duration,
    /// Whether to migrate at start.
    pub migrate_on_start: bool,
}

impl Database {
    /// The URL, for the store.
    pub fn url(&self) -> Secret<String> {
        match &self.url {
            DatabaseUrl::Sqlite(path) => Secret::new(format!("sqlite:{}", path.display())),
            DatabaseUrl::Postgres(url) => url.clone(),
        }
    }

    /// How the store is opened.
    pub fn options(&self) -> Options {
        let mut options = Options {
            acquire_timeout: self.acquire_timeout,
            statement_timeout: self.statement_timeout,
            ..Options::default()
        };
        if let Some(size) = self.pool_size {
            options.readers = size;
            options.pool_size = usize::try_from(size).unwrap_or(options.pool_size);
        }
        options
    }

    /// The kind of store, for the log.
    pub const fn kind(&self) -> &'static str {
        match self.url {
            DatabaseUrl::Sqlite(_) => "sqlite",
            DatabaseUrl::Postgres(_) => "postgres",
        }
    }
}

pub(super) fn read(env: &mut Env) -> Database {
    let url = match env.secret(&URL) {
        Some(text) => match parse(&text) {
            Ok(url) => url,
            Err(what) => {
                env.problem(URL.name, what);
                default()
            }
        },
        None => default(),
    };
    Database {
        url,
        // No pool has 0 connections, so 0 stands for absent.
        pool_size: Some(env.number(&POOL_SIZE, 0, 1..=1000)).filter(|size| *size > 0),
        acquire_timeout: env.duration(&ACQUIRE_TIMEOUT, Duration::from_secs(4)),
        statement_timeout: env.duration(&STATEMENT_TIMEOUT, Duration::from_secs(5)),
        migrate_on_start: env.flag(&MIGRATE_ON_START, true),
    }
}

fn default() -> DatabaseUrl {
    DatabaseUrl::Sqlite(PathBuf::from("./grantex.db"))
}

fn parse(text: &Secret<String>) -> Result<DatabaseUrl, &'static str> {
    let plain = text.expose();
    if plain.starts_with("postgres://") || plain.starts_with("postgresql://") {
        let url = url::Url::parse(plain).map_err(|_| "is no valid postgres URL")?;
        return if url.has_host() {
            Ok(DatabaseUrl::Postgres(text.clone()))
        } else {
            Err("names no PostgreSQL host")
        };
    }
    let path = plain.strip_prefix("sqlite:").unwrap_or(plain);
    let path = path.strip_prefix("//").unwrap_or(path);
    if path.contains("://") {
        return Err("must be a path, sqlite:<path> or postgres://…");
    }
    if path.is_empty() || path == ":memory:" {
        return Err("must name a file: the embedded store does not run in memory");
    }
    Ok(DatabaseUrl::Sqlite(PathBuf::from(path)))
}
