//! The command line.

use std::ffi::OsStr;
use std::path::PathBuf;

use clap::builder::TypedValueParser;
use clap::error::ErrorKind;
use clap::{Arg, Args, Parser, Subcommand};
use grantex_core::clock::Lifetime;
use url::Url;

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
    /// Look at what the server depends on, a policy backend aside, and say what is wrong and what to do about it.
    ///
    /// Exit code 0 when nothing is wrong (warnings aside), 1 when something is, 2 when the configuration is.
    Doctor(Box<DoctorOptions>),
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

/// What the doctor looks at.
#[derive(Debug, Args)]
pub struct DoctorOptions {
    /// Tell the findings as one JSON object.
    #[arg(long)]
    pub json: bool,
    /// A Prometheus that should scrape this server, such as http://127.0.0.1:9090.
    #[arg(long, value_name = "URL", value_parser = Service)]
    pub prometheus: Option<Url>,
    /// The name of the job that scrapes it.
    #[arg(long, default_value = "grantex", value_parser = job)]
    pub job: String,
    /// An Alertmanager, such as http://127.0.0.1:9093: it is sent a test alert, which a receiver is told of.
    #[arg(long, value_name = "URL", value_parser = Service)]
    pub alertmanager: Option<Url>,
    /// The label `severity` of the test alert; routes choose the receiver by it.
    #[arg(long, default_value = "warning", value_parser = ["critical", "warning", "info"])]
    pub alert_severity: String,
    /// The label `category` of the test alert.
    #[arg(long, default_value = "reliability", value_parser = ["reliability", "security", "meta"])]
    pub alert_category: String,
    /// How long to wait for the receiver to be told; longer than the route's group_wait.
    #[arg(long, default_value = "90s", value_parser = span)]
    pub wait: Lifetime,
    /// A file with a bearer token for both.
    #[arg(long, value_name = "FILE")]
    pub bearer_token_file: Option<PathBuf>,
    /// A PEM file with certificates to trust beside those that the machine trusts.
    #[arg(long, value_name = "FILE")]
    pub ca_file: Option<PathBuf>,
    /// From which age on a signing key should be replaced.
    #[arg(long, default_value = "90d", value_parser = span)]
    pub max_key_age: Lifetime,
}

/// The address of a service. What is refused is not repeated, because it may hold what must not be told.
#[derive(Clone)]
struct Service;

impl TypedValueParser for Service {
    type Value = Url;

    fn parse_ref(&self, command: &clap::Command, option: Option<&Arg>, value: &OsStr) -> Result<Url, clap::Error> {
        let parsed = value
            .to_str()
            .ok_or_else(|| "must be text".to_owned())
            .and_then(service);
        parsed.map_err(|why| {
            let option = option.map(ToString::to_string).unwrap_or_default();
            clap::Error::raw(ErrorKind::ValueValidation, format!("{option}: {why}\n")).with_cmd(command)
        })
    }
}

fn service(text: &str) -> Result<Url, String> {
    let url = Url::parse(text).map_err(|error| error.to_string())?;
    if !matches!(url.scheme(), "http" | "https") || !url.has_host() {
        return Err("must begin with http:// or https://".to_owned());
    }
    if !url.username().is_empty() || url.password().is_some() {
        return Err("must not hold credentials; use --bearer-token-file".to_owned());
    }
    if url.query().is_some() || url.fragment().is_some() {
        return Err("must not hold a query".to_owned());
    }
    Ok(url)
}

/// What stands in a query must not end its quotes.
fn job(text: &str) -> Result<String, String> {
    let is_plain = |c: char| c.is_ascii_alphanumeric() || "_-./:".contains(c);
    match !text.is_empty() && text.chars().all(is_plain) {
        true => Ok(text.to_owned()),
        false => Err("may hold letters, digits and _ - . / : only".to_owned()),
    }
}

fn span(text: &str) -> Result<Lifetime, String> {
    Lifetime::parse(text).ok_or_else(|| "must be a span like 30s, 15m, 24h or 7d".to_owned())
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
