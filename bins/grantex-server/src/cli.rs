//! The command line.

use std::path::PathBuf;

use clap::{Parser, Subcommand};

/// Authorization server for AI agents. Configured by environment variables: see docs/configuration.md.
#[derive(Debug, Parser)]
#[command(name = "grantex-server", version, about)]
pub struct Cli {
    /// What to do; without it, the server is started.
    #[command(subcommand)]
    pub command: Option<Command>,
}

/// What to do.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Start the server (the default).
    Serve,
    /// Bring the database to the newest schema.
    Migrate {
        /// Only look: exit code 1 when migrations are pending.
        #[arg(long)]
        check: bool,
    },
    /// Signing keys.
    #[command(subcommand)]
    Keys(KeysCommand),
    /// The audit chains.
    #[command(subcommand)]
    Audit(AuditCommand),
    /// The configuration.
    #[command(subcommand)]
    Config(ConfigCommand),
    /// Look at everything the server depends on, and say what is wrong.
    Doctor,
    /// Ask the running server whether it is alive: for container health checks.
    Healthcheck {
        /// Ask whether it is ready instead.
        #[arg(long)]
        ready: bool,
    },
    /// Print generated documentation.
    #[command(subcommand)]
    Docs(DocsCommand),
}

/// Signing keys.
#[derive(Debug, Subcommand)]
pub enum KeysCommand {
    /// List the keys and what each is doing.
    List,
    /// Make a new key; it signs after KEY_ACTIVATION_DELAY.
    Rotate {
        /// Make a root key of Biscuits instead.
        #[arg(long)]
        biscuit: bool,
    },
    /// Stop signing with a key; it stays published until its last token has expired.
    Retire {
        /// The key's id.
        kid: String,
    },
    /// Import a PKCS#8 PEM key from a file, from standard input (`-`), or from RSA_PRIVATE_KEY.
    Import {
        /// The file; without it RSA_PRIVATE_KEY is taken.
        file: Option<PathBuf>,
    },
}

/// The audit chains.
#[derive(Debug, Subcommand)]
pub enum AuditCommand {
    /// Recompute both chains of every developer; exit code 1 and the first broken entry when one does not fit.
    Verify {
        /// Only this developer.
        #[arg(long)]
        developer: Option<String>,
    },
}

/// The configuration.
#[derive(Debug, Subcommand)]
pub enum ConfigCommand {
    /// Report every problem and warning; exit code 2 when there are problems.
    Check,
}

/// Generated documentation.
#[derive(Debug, Subcommand)]
pub enum DocsCommand {
    /// docs/metrics.md.
    Metrics,
    /// docs/configuration.md.
    Configuration,
}
