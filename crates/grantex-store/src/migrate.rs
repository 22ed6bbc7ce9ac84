//! The schema's history, embedded, for both databases; neither needs a client library.

use std::path::Path;
use std::sync::mpsc;
use std::time::Duration;

use diesel::backend::Backend;
use diesel::migration::{Migration, MigrationSource};
use diesel_async::{AsyncMigrationHarness, SimpleAsyncConnection};
use diesel_migrations::{EmbeddedMigrations, MigrationHarness, embed_migrations};

use crate::sqlite::Role;
use crate::{OpenError, Options, Place, postgres, sqlite};

const MIGRATIONS: EmbeddedMigrations = embed_migrations!("migrations");

/// Keeps two servers from migrating one PostgreSQL database at the same time; any constant of our own will do.
const ADVISORY_LOCK: &str = "SELECT pg_advisory_lock(7315426203648017233)";

/// Why the schema was not brought up to date, or its state is not known.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum MigrateError {
    /// The database cannot be reached.
    #[error(transparent)]
    Open(#[from] OpenError),
    /// A migration failed; it was rolled back.
    #[error("the schema could not be migrated")]
    Failed(#[source] Box<dyn std::error::Error + Send + Sync>),
    /// The thread that migrates ended without an answer.
    #[error("migrating was interrupted")]
    Interrupted,
}

/// Applies what is pending; returns the versions that were applied. Blocks, and may be called from anywhere.
///
/// # Errors
/// When the database cannot be reached or a migration fails. On PostgreSQL each migration is one transaction; on SQLite all of them are one.
pub fn run(url: &str) -> Result<Vec<String>, MigrateError> {
    on(url, Task::Run)
}

/// The versions that [`run`] would apply. Blocks, and may be called from anywhere.
///
/// # Errors
/// When the database cannot be reached.
pub fn pending(url: &str) -> Result<Vec<String>, MigrateError> {
    on(url, Task::Pending)
}

/// Takes everything back, newest first: for tests and for leaving.
///
/// # Errors
/// When the database cannot be reached or a migration cannot be taken back.
pub fn revert_all(url: &str) -> Result<Vec<String>, MigrateError> {
    on(url, Task::Revert)
}

#[derive(Debug, Clone, Copy)]
enum Task {
    Run,
    Pending,
    Revert,
}

impl Task {
    fn perform<DB: Backend>(self, harness: &mut impl MigrationHarness<DB>) -> Result<Vec<String>, MigrateError>
    where
        EmbeddedMigrations: MigrationSource<DB>,
    {
        let versions = match self {
            Self::Run => harness.run_pending_migrations(MIGRATIONS),
            Self::Revert => harness.revert_all_migrations(MIGRATIONS),
            Self::Pending => {
                let pending = harness.pending_migrations(MIGRATIONS);
                return Ok(names(&pending.map_err(MigrateError::Failed)?));
            }
        };
        Ok(versions
            .map_err(MigrateError::Failed)?
            .iter()
            .map(ToString::to_string)
            .collect())
    }
}

fn names<DB: Backend>(migrations: &[Box<dyn Migration<DB>>]) -> Vec<String> {
    migrations
        .iter()
        .map(|migration| migration.name().to_string())
        .collect()
}

fn on(url: &str, task: Task) -> Result<Vec<String>, MigrateError> {
    match Place::parse(url)? {
        Place::Sqlite(path) => on_sqlite(&path, task),
        Place::Postgres(url) => on_postgres(url, task),
    }
}

fn on_sqlite(path: &Path, task: Task) -> Result<Vec<String>, MigrateError> {
    // Long enough for another process that migrates the same file.
    let mut conn = sqlite::establish(path, Role::Writer, Duration::from_secs(30))
        .map_err(|error| MigrateError::Open(OpenError::Connect(error.into())))?;
    if matches!(task, Task::Pending) {
        return task.perform(&mut conn);
    }
    // Under the write lock, so that another process that migrates the same file waits, and then finds nothing pending.
    let mut outcome = Err(MigrateError::Interrupted);
    let locked = conn.immediate_transaction(|conn| {
        outcome = task.perform(conn);
        match &outcome {
            Ok(_) => Ok(()),
            Err(_) => Err(diesel::result::Error::RollbackTransaction),
        }
    });
    match locked {
        Ok(()) | Err(diesel::result::Error::RollbackTransaction) => outcome,
        Err(error) => Err(MigrateError::Failed(error.into())),
    }
}

/// Diesel's harness blocks on its connection, so it gets a thread and a runtime of its own, whatever is running here.
fn on_postgres(url: &str, task: Task) -> Result<Vec<String>, MigrateError> {
    let target = postgres::Target::parse(url, &Options::default())?.patient();
    let (answer, result) = mpsc::channel();
    let migrate = move || {
        let driver = postgres::Driver::start(1)?;
        let handle = driver.handle().ok_or(MigrateError::Interrupted)?;
        let conn = handle.block_on(async {
            let mut conn = postgres::open(&target).await?;
            conn.batch_execute(ADVISORY_LOCK)
                .await
                .map_err(diesel::ConnectionError::CouldntSetupConfiguration)?;
            Ok(conn)
        });
        let conn = conn.map_err(|error: diesel::ConnectionError| OpenError::Connect(error.into()))?;
        let _runtime = handle.enter();
        task.perform(&mut AsyncMigrationHarness::new(conn))
    };
    std::thread::Builder::new()
        .name("grantex-migrate".to_owned())
        .spawn(move || answer.send(migrate()))
        .map_err(OpenError::Thread)?;
    result.recv().map_err(|_| MigrateError::Interrupted)?
}
