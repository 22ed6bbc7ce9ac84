//! What can be asked for.

use std::path::PathBuf;

use clap::{Args, Parser, Subcommand, ValueEnum};
use grantex_core::audit::Chain;
use grantex_core::clock::{Lifetime, Timestamp};
use grantex_core::grant::GrantStatus;
use grantex_core::token::biscuit::Ceiling;

/// Looks at tokens, grants, events and the audit log of a Grantex service.
#[derive(Debug, Parser)]
#[command(
    name = "grantex",
    version,
    about,
    after_help = "Exit codes: 0 well; 1 the answer is no (a token is not good, a chain is broken); 2 the command is wrong; 3 the service \
                  refused; 4 the service did not answer."
)]
pub struct Cli {
    /// What to do.
    #[command(subcommand)]
    pub command: Command,
    #[command(flatten)]
    pub service: Service,
    #[command(flatten)]
    pub shown: Shown,
}

/// Where the service is, and how to speak with it.
#[derive(Debug, Args)]
#[command(next_help_heading = "Service")]
pub struct Service {
    /// The service's base URL.
    #[arg(long, global = true, env = "GRANTEX_URL", hide_env_values = true, value_name = "URL")]
    pub url: Option<String>,
    /// A file with the API key. Without it the key is taken from GRANTEX_API_KEY; never from the command line, which other users can see.
    #[arg(
        long,
        global = true,
        env = "GRANTEX_API_KEY_FILE",
        hide_env_values = true,
        value_name = "FILE"
    )]
    pub api_key_file: Option<PathBuf>,
    /// How long any answer may take.
    #[arg(long, global = true, default_value = "30s", value_name = "SPAN", value_parser = span)]
    pub deadline: Lifetime,
    /// A PEM file with certificates to trust beside those of the machine.
    #[arg(long, global = true, value_name = "FILE")]
    pub ca_file: Option<PathBuf>,
    /// Allow http:// to other machines than this one: whoever is in between can read the API key and change every answer.
    #[arg(long, global = true)]
    pub insecure_http: bool,
}

/// How answers are shown.
#[derive(Debug, Args)]
#[command(next_help_heading = "Output")]
pub struct Shown {
    /// Answer with JSON: one value, or one value a line where there is no end.
    #[arg(long, global = true)]
    pub json: bool,
    /// When to use colours. `auto`: on a terminal, unless NO_COLOR is set.
    #[arg(long, global = true, value_enum, default_value = "auto", value_name = "WHEN")]
    pub color: When,
}

/// When to use colours.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum When {
    Auto,
    Always,
    Never,
}

/// What to do.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Look at tokens, JWTs and Biscuits: no account is needed.
    #[command(subcommand)]
    Token(TokenCommand),
    /// Grants.
    #[command(subcommand)]
    Grants(GrantsCommand),
    /// Events.
    #[command(subcommand)]
    Events(EventsCommand),
    /// The audit log.
    #[command(subcommand)]
    Audit(AuditCommand),
    /// Print a script that completes commands in a shell.
    Completions {
        /// The shell.
        shell: Shell,
    },
}

/// Shells for which there are completions.
#[derive(Debug, Clone, Copy, ValueEnum)]
pub enum Shell {
    Bash,
    Zsh,
    Fish,
}

impl Shell {
    pub const fn of_clap(self) -> clap_complete::Shell {
        match self {
            Self::Bash => clap_complete::Shell::Bash,
            Self::Zsh => clap_complete::Shell::Zsh,
            Self::Fish => clap_complete::Shell::Fish,
        }
    }
}

/// Tokens.
#[derive(Debug, Subcommand)]
pub enum TokenCommand {
    /// Show what a token says. Nothing is verified: anybody can write a token that says anything.
    Inspect {
        /// The file that holds the token; standard input without it, or with `-`.
        #[arg(value_name = "FILE")]
        token: Option<String>,
    },
    /// Verify a token with the issuer's published keys. Whether it was revoked is not asked: only the service knows.
    Verify(VerifyToken),
    /// Narrow a Biscuit, without asking anybody. Prints the narrower token.
    Attenuate(Attenuate),
}

/// Verifying a token.
#[derive(Debug, Args)]
pub struct VerifyToken {
    /// The file that holds the token; standard input without it, or with `-`.
    #[arg(value_name = "FILE")]
    pub token: Option<String>,
    /// Who must have issued it, such as `https://auth.example.com`: the token's `iss`, and where its keys are published.
    #[arg(long, value_name = "URL")]
    pub issuer: String,
    /// Where the keys are asked for, when the issuer is reached under another address from here.
    #[arg(long, value_name = "URL")]
    pub at: Option<String>,
    /// The audience that the token must be for. Without it a token that is for an audience is good as well, and the answer names it.
    #[arg(long)]
    pub audience: Option<String>,
    /// A scope that the token must allow; may be given several times.
    #[arg(long = "scope", value_name = "SCOPE")]
    pub scopes: Vec<String>,
}

/// Narrowing a token.
#[derive(Debug, Args)]
pub struct Attenuate {
    /// The file that holds the token; standard input without it, or with `-`.
    #[arg(value_name = "FILE")]
    pub token: Option<String>,
    /// Allow only this scope; may be given several times.
    #[arg(long = "scope", value_name = "SCOPE")]
    pub scopes: Vec<String>,
    /// End it after this span (15m, 24h) from now.
    #[arg(long, value_name = "SPAN", value_parser = span, conflicts_with = "expires_at")]
    pub expires_in: Option<Lifetime>,
    /// End it then (RFC 3339); fractions of seconds are dropped.
    #[arg(long, value_name = "TIME", value_parser = time)]
    pub expires_at: Option<Timestamp>,
    /// Bind it to this audience.
    #[arg(long)]
    pub audience: Option<String>,
    /// Allow no more than this to be spent at once, in the currency's smallest unit: EUR:5000; may be given several times.
    #[arg(long = "ceiling", value_name = "CURRENCY:AMOUNT", value_parser = ceiling)]
    pub ceilings: Vec<Ceiling>,
    /// The agent that it is handed to: a DID.
    #[arg(long = "to", value_name = "DID")]
    pub to: Option<String>,
    /// Write the token into this file, which nobody else may read, and not to standard output.
    #[arg(long, short, value_name = "FILE")]
    pub output: Option<PathBuf>,
}

/// Grants.
#[derive(Debug, Subcommand)]
pub enum GrantsCommand {
    /// List grants, newest first.
    List(ListGrants),
    /// Show who handed what to whom.
    Tree(TreeOfGrants),
    /// Show one grant.
    Show {
        /// The grant's id.
        id: String,
    },
    /// Revoke a grant with everything that was delegated from it.
    Revoke {
        /// The grant's id.
        id: String,
    },
}

/// Which grants.
#[derive(Debug, Args)]
pub struct WhichGrants {
    /// Only of this agent.
    #[arg(long, value_name = "ID")]
    pub agent: Option<String>,
    /// Only of this principal.
    #[arg(long, value_name = "ID")]
    pub principal: Option<String>,
    /// Only active, expired or revoked ones.
    #[arg(long, value_parser = status)]
    pub status: Option<GrantStatus>,
}

/// Listing grants.
#[derive(Debug, Args)]
pub struct ListGrants {
    #[command(flatten)]
    pub which: WhichGrants,
    /// How many at most.
    #[arg(long, default_value = "100", value_name = "COUNT", value_parser = clap::value_parser!(u32).range(1..=1_000_000))]
    pub limit: u32,
}

/// Showing trees of grants.
#[derive(Debug, Args)]
pub struct TreeOfGrants {
    /// Only this grant and what was delegated from it.
    pub id: Option<String>,
    #[command(flatten)]
    pub which: WhichGrants,
    /// How many grants are looked at, at most.
    #[arg(long, default_value = "10000", value_name = "COUNT", value_parser = clap::value_parser!(u32).range(1..=1_000_000))]
    pub limit: u32,
}

/// Events.
#[derive(Debug, Subcommand)]
pub enum EventsCommand {
    /// Show events as they happen, and go on after interruptions without missing any.
    Tail(Tail),
}

/// Showing events.
#[derive(Debug, Args)]
pub struct Tail {
    /// Only these types: exact ones, prefixes such as grant.*, or *; may be given several times or separated by commas.
    #[arg(long = "type", value_name = "TYPE", value_delimiter = ',')]
    pub types: Vec<String>,
    /// Only about this grant.
    #[arg(long, value_name = "ID")]
    pub grant: Option<String>,
    /// Only about this agent.
    #[arg(long, value_name = "ID")]
    pub agent: Option<String>,
    /// Only about this principal.
    #[arg(long, value_name = "ID")]
    pub principal: Option<String>,
    /// Begin behind this event: its id, or a position of the stream. Without it, with what happens from now on.
    #[arg(long, value_name = "ID")]
    pub after: Option<String>,
    /// End after so many events.
    #[arg(long, value_name = "COUNT", value_parser = clap::value_parser!(u64).range(1..))]
    pub count: Option<u64>,
    /// Connect again when nothing came for so long. Longer than the service's EVENT_STREAM_KEEPALIVE.
    #[arg(long, default_value = "90s", value_name = "SPAN", value_parser = span)]
    pub silence: Lifetime,
}

/// The audit log.
#[derive(Debug, Subcommand)]
pub enum AuditCommand {
    /// Write entries as JSON lines, in the order of their chains.
    Export(Export),
    /// Recompute hash chains: of an export, or without one of the service's entries. Exit code 1 when one is broken.
    Verify(VerifyAudit),
}

/// Which chains.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Chains {
    /// What the developer logs.
    Caller,
    /// What the service itself decided.
    Server,
    /// Both, one after the other.
    All,
}

impl Chains {
    pub const fn each(self) -> &'static [Chain] {
        match self {
            Self::Caller => &[Chain::Caller],
            Self::Server => &[Chain::Server],
            Self::All => &[Chain::Caller, Chain::Server],
        }
    }
}

/// Exporting entries.
#[derive(Debug, Args)]
pub struct Export {
    /// Which chains.
    #[arg(long, value_enum, default_value = "all")]
    pub chain: Chains,
    /// Not before this time (RFC 3339). The export does not begin a chain then: verify it with --partial.
    #[arg(long, value_name = "TIME", value_parser = time)]
    pub since: Option<Timestamp>,
    /// Before this time (RFC 3339).
    #[arg(long, value_name = "TIME", value_parser = time)]
    pub until: Option<Timestamp>,
    /// Write into this file, which is complete once it is there, and not to standard output.
    #[arg(long, short, value_name = "FILE")]
    pub output: Option<PathBuf>,
}

/// Verifying chains.
#[derive(Debug, Args)]
pub struct VerifyAudit {
    /// An export; `-` is standard input. Without it the service is asked.
    #[arg(value_name = "FILE")]
    pub file: Option<PathBuf>,
    /// Which chains are asked of the service.
    #[arg(long, value_enum, default_value = "all", conflicts_with = "file")]
    pub chain: Chains,
    /// Accept a chain that does not begin at its first entry.
    #[arg(long)]
    pub partial: bool,
}

fn span(text: &str) -> Result<Lifetime, String> {
    Lifetime::parse(text).ok_or_else(|| "must be a span like 30s, 15m, 24h or 7d".to_owned())
}

fn time(text: &str) -> Result<Timestamp, String> {
    Timestamp::parse_rfc3339(text).ok_or_else(|| "must be a time like 2030-01-02T03:04:05Z".to_owned())
}

fn status(text: &str) -> Result<GrantStatus, String> {
    GrantStatus::parse(text).ok_or_else(|| "must be active, expired or revoked".to_owned())
}

fn ceiling(text: &str) -> Result<Ceiling, String> {
    let parsed = text.split_once(':').and_then(|(currency, amount)| {
        let amount = amount.parse::<i64>().ok().filter(|amount| *amount >= 0)?;
        (!currency.is_empty()).then(|| Ceiling {
            currency: currency.to_owned(),
            amount,
        })
    });
    parsed.ok_or_else(|| "must be a currency and an amount in its smallest unit, such as EUR:5000".to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::CommandFactory as _;

    #[test]
    fn the_commands_are_well_defined() {
        Cli::command().debug_assert();
    }

    #[test]
    fn ceilings_are_a_currency_and_an_amount() {
        assert_eq!(
            ceiling("EUR:5000"),
            Ok(Ceiling {
                currency: "EUR".to_owned(),
                amount: 5_000
            })
        );
        for text in ["", "EUR", ":1", "EUR:", "EUR:-1", "EUR:1.5", "EUR:99999999999999999999"] {
            assert!(ceiling(text).is_err(), "{text}");
        }
    }
}
