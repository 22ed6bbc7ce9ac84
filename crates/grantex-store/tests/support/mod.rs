//! Databases for tests: temporary files, and databases of their own on the server of `GRANTEX_TEST_POSTGRES_URL`.
#![allow(dead_code, reason = "each test binary uses a part")]

use std::path::PathBuf;
use std::sync::atomic::{AtomicU32, Ordering};

use grantex_store::{AnyStore, Options, migrate};
use tokio_postgres::NoTls;

static COUNTER: AtomicU32 = AtomicU32::new(0);

fn unique(prefix: &str) -> String {
    format!("{prefix}_{}_{}", std::process::id(), COUNTER.fetch_add(1, Ordering::Relaxed))
}

/// Where a test keeps its databases; they go with it.
pub enum Databases {
    Files(PathBuf),
    Server { admin_url: String, template: String, made: std::sync::Mutex<Vec<String>> },
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
        tokio::task::spawn_blocking(move || migrate::run(&url).unwrap()).await.unwrap();
        Self::Server { admin_url, template, made: std::sync::Mutex::default() }
    }

    /// The URL of a new database with tables and no rows.
    pub async fn url(&self) -> String {
        match self {
            Self::Files(dir) => {
                let path = dir.join(unique("store")).with_extension("db");
                std::fs::copy(dir.join("template.db"), &path).unwrap();
                format!("sqlite:{}", path.display())
            }
            Self::Server { admin_url, template, made } => {
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

    pub async fn store_with(&self, options: Options) -> AnyStore {
        grantex_store::open(&self.url().await, options).await.unwrap()
    }

    /// Removes everything. A test that fails leaves its databases behind, to be looked at.
    pub async fn remove(self) {
        match self {
            Self::Files(dir) => std::fs::remove_dir_all(dir).unwrap(),
            Self::Server { admin_url, template, made } => {
                for name in made.into_inner().unwrap().into_iter().chain([template]) {
                    execute(&admin_url, &format!("DROP DATABASE {name} WITH (FORCE)")).await;
                }
            }
        }
    }
}

/// The server's URL with another database.
pub fn with_database(url: &str, name: &str) -> String {
    let (base, query) = url.split_once('?').map_or((url, String::new()), |(base, query)| (base, format!("?{query}")));
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
