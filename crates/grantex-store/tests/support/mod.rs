//! Databases for tests: temporary files, and databases of their own on the server of `GRANTEX_TEST_POSTGRES_URL`.
#![allow(dead_code, reason = "each test binary uses a part")]

use std::path::PathBuf;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use grantex_core::agent::Agent;
use grantex_core::context::Admission;
use grantex_core::developer::Developer;
use grantex_core::error::StoreError;
use grantex_core::grant::Grant;
use grantex_core::id::DeveloperId;
use grantex_core::store::{BoxFuture, Ledger, Reads, Store, UnitOptions, Writes};
use grantex_core::testing::fixtures::Fixtures;
use grantex_core::token::Token;
use grantex_store::{AnyStore, Options, migrate};
use tokio_postgres::NoTls;

static COUNTER: AtomicU32 = AtomicU32::new(0);

fn unique(prefix: &str) -> String {
    format!(
        "{prefix}_{}_{}",
        std::process::id(),
        COUNTER.fetch_add(1, Ordering::Relaxed)
    )
}

/// Where a test keeps its databases; they go with it.
pub enum Databases {
    Files(PathBuf),
    Server {
        admin_url: String,
        template: String,
        made: std::sync::Mutex<Vec<String>>,
    },
}

impl Databases {
    pub fn sqlite() -> Self {
        let dir = std::env::temp_dir().join(unique("grantex_store"));
        std::fs::create_dir_all(&dir).unwrap();
        let template = dir.join("template.db");
        migrate::run(template.to_str().unwrap()).unwrap();
        Self::Files(dir)
    }

    pub async fn postgres() -> Self {
        let admin_url = std::env::var("GRANTEX_TEST_POSTGRES_URL")
            .expect("GRANTEX_TEST_POSTGRES_URL must name a PostgreSQL server for tests; `scripts/pg start` prints one");
        let template = unique("grantex_template");
        execute(&admin_url, &format!("CREATE DATABASE {template}")).await;
        let url = with_database(&admin_url, &template);
        tokio::task::spawn_blocking(move || migrate::run(&url).unwrap())
            .await
            .unwrap();
        Self::Server {
            admin_url,
            template,
            made: std::sync::Mutex::default(),
        }
    }

    /// The URL of a new database with tables and no rows.
    pub async fn url(&self) -> String {
        match self {
            Self::Files(dir) => {
                let path = dir.join(unique("store")).with_extension("db");
                std::fs::copy(dir.join("template.db"), &path).unwrap();
                format!("sqlite:{}", path.display())
            }
            Self::Server {
                admin_url,
                template,
                made,
            } => {
                let name = unique("grantex_test");
                execute(admin_url, &format!("CREATE DATABASE {name} TEMPLATE {template}")).await;
                made.lock().unwrap().push(name.clone());
                with_database(admin_url, &name)
            }
        }
    }

    /// A store on a new database.
    pub async fn store(&self) -> AnyStore {
        self.store_with(Options::default()).await
    }

    /// Two stores on one new database, as two servers would open it. They wait for each other for as long as it takes: who gives
    /// up first on a busy machine is not what races are about.
    pub async fn replicas(&self) -> [AnyStore; 2] {
        let url = self.url().await;
        let patience = Duration::from_secs(60);
        let options = Options {
            acquire_timeout: patience,
            connect_timeout: patience,
            statement_timeout: patience,
            lock_timeout: patience,
            idle_in_transaction_timeout: patience,
            stall_timeout: patience,
            ..Options::default()
        };
        let open = || grantex_store::open(&url, options.clone());
        [open().await.unwrap(), open().await.unwrap()]
    }

    pub async fn store_with(&self, options: Options) -> AnyStore {
        grantex_store::open(&self.url().await, options).await.unwrap()
    }

    /// Removes everything. A test that fails leaves its databases behind, to be looked at.
    pub async fn remove(self) {
        match self {
            // A connection that is closing in another thread may add a file meanwhile; what is left then is temporary anyway.
            Self::Files(dir) => {
                let is_removed = (0..1_000).any(|_| {
                    std::thread::yield_now();
                    std::fs::remove_dir_all(&dir).is_ok()
                });
                if !is_removed {
                    eprintln!("left behind: {}", dir.display());
                }
            }
            Self::Server {
                admin_url,
                template,
                made,
            } => {
                for name in made.into_inner().unwrap().into_iter().chain([template]) {
                    execute(&admin_url, &format!("DROP DATABASE {name} WITH (FORCE)")).await;
                }
            }
        }
    }
}

/// The server's URL with another database.
pub fn with_database(url: &str, name: &str) -> String {
    let (base, query) = url
        .split_once('?')
        .map_or((url, String::new()), |(base, query)| (base, format!("?{query}")));
    let (server, _) = base.rsplit_once('/').unwrap();
    format!("{server}/{name}{query}")
}

/// Runs one statement on a connection of its own.
pub async fn execute(url: &str, sql: &str) {
    let (client, connection) = tokio_postgres::connect(url, NoTls).await.unwrap();
    let driver = tokio::spawn(connection);
    client.batch_execute(sql).await.unwrap();
    drop(client);
    driver.await.unwrap().unwrap();
}

/// Ends every other connection to a database, as a restart of the server would.
pub async fn disconnect_all(url: &str) {
    let (server, database) = url.rsplit_once('/').unwrap();
    let admin = format!("{server}/postgres");
    let sql = format!("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = '{database}'");
    execute(&admin, &sql).await;
}

/// A unit that nobody withdraws, of a developer or of none.
pub fn options(developer: Option<&DeveloperId>) -> UnitOptions {
    UnitOptions {
        developer: developer.cloned(),
        admission: Admission::default(),
    }
}

/// Runs a unit of work.
pub async fn commit<T, F>(store: &AnyStore, developer: Option<&DeveloperId>, work: F) -> Result<T, StoreError>
where
    T: Send + 'static,
    F: for<'a> FnOnce(&'a mut dyn Writes) -> BoxFuture<'a, Result<T, StoreError>> + Send + 'static,
{
    store.transact(options(developer), work).await
}

/// Reads.
pub async fn read<T, F>(store: &AnyStore, work: F) -> T
where
    T: Send + 'static,
    F: for<'a> FnOnce(&'a mut dyn Reads) -> BoxFuture<'a, Result<T, StoreError>> + Send + 'static,
{
    store.read(work).await.unwrap()
}

pub async fn insert_developer(store: &AnyStore, fixtures: &Fixtures) -> Developer {
    let (developer, hash) = (fixtures.developer(), fixtures.hash());
    let stored = developer.clone();
    let insert = commit(store, None, move |tx| {
        Box::pin(async move { tx.insert_developer(&stored, &hash).await })
    });
    assert!(insert.await.unwrap());
    developer
}

pub async fn insert_agent(store: &AnyStore, fixtures: &Fixtures, developer: &Developer) -> Agent {
    let agent = fixtures.agent(developer);
    let stored = agent.clone();
    commit(store, None, move |tx| {
        Box::pin(async move { tx.insert_agent(&stored).await })
    })
    .await
    .unwrap();
    agent
}

/// Stores a grant and counts it.
pub async fn insert_grant(store: &AnyStore, grant: &Grant) {
    let grant = grant.clone();
    let developer = grant.developer_id.clone();
    commit(store, Some(&developer), move |tx| {
        Box::pin(async move { add_grant(tx, grant, None).await })
    })
    .await
    .unwrap();
}

/// Stores a grant and a token with the developer's head advanced, inside a unit.
pub async fn add_grant(tx: &mut dyn Writes, grant: Grant, token: Option<Token>) -> Result<(), StoreError> {
    let developer_id = grant.developer_id.clone();
    let mut head = tx.lock_head(&developer_id).await?.unwrap();
    head.active_grants += 1;
    let (grants, tokens) = (vec![grant], token.into_iter().collect());
    tx.write_ledger(&Ledger {
        developer_id,
        head,
        grants,
        tokens,
        audit: Vec::new(),
        events: Vec::new(),
        deliveries: Vec::new(),
    })
    .await
}

pub async fn has_developer(store: &AnyStore, developer: &Developer) -> bool {
    let id = developer.id.clone();
    read(store, move |tx| Box::pin(async move { tx.developer(&id).await }))
        .await
        .as_ref()
        == Some(developer)
}

pub async fn active_grants(store: &AnyStore, developer: &Developer) -> i64 {
    let id = developer.id.clone();
    read(store, move |tx| Box::pin(async move { tx.active_grants(&id).await })).await
}
