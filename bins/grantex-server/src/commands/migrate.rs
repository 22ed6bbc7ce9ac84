//! `migrate`.

use grantex_store::migrate as schema;

use super::line;
use crate::app::run_migrations;
use crate::config::{Config, DatabaseUrl};
use crate::error::Failure;

/// Applies pending migrations, or only looks for them.
pub async fn migrate(config: Config, only_look: bool) -> Result<(), Failure> {
    if only_look {
        return check(&config);
    }
    let applied = run_migrations(&config.database)?;
    if applied.is_empty() {
        return line("the schema is up to date");
    }
    line(&format!("applied: {}", applied.join(" ")))
}

fn check(config: &Config) -> Result<(), Failure> {
    // Opening the embedded store would make the file, and a look should change nothing.
    if let DatabaseUrl::Sqlite(path) = &config.database.url
        && !path.exists()
    {
        return Err(Failure::Found("there is no database yet; run: grantex-server migrate"));
    }
    let pending =
        schema::pending(config.database.url().expose()).map_err(Failure::of("reading the schema's version"))?;
    if pending.is_empty() {
        return line("the schema is up to date");
    }
    line(&format!("pending: {}", pending.join(" ")))?;
    Err(Failure::Found("migrations are pending; run: grantex-server migrate"))
}
