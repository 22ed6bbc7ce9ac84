//! The commands and the options they share.

pub mod fill;
pub mod policies;
pub mod publish;
pub mod run;
pub mod start;
pub mod streams;
pub mod webhooks;

use std::io::Write;
use std::path::{Path, PathBuf};
use std::time::Duration;

use clap::{Args, Subcommand};

use crate::account::Account;
use crate::connection::Target;
use crate::error::{BenchError, with_causes};
use crate::machine::Machine;
use crate::measure::{Extent, Operation, Watched, measure};
use crate::prepare::Setup;
use crate::process;
use crate::report::{Labels, OperationReport, Record, RunReport, ServerMemory};
use crate::signing::rsa_2048_per_second;

/// How long the signing rate is measured.
const SIGNING_TIME: Duration = Duration::from_secs(1);

#[derive(Subcommand)]
pub enum Command {
    /// Measure operations with sandbox developers made for it
    Run(run::Options),
    /// Bring one developer to many active grants, then measure what that costs
    Fill(fill::Options),
    /// Measure how long a server takes from start to ready on its database, and its idle memory
    Start(start::Options),
    /// Measure how fast webhook deliveries drain, and how old events are when they arrive
    Webhooks(webhooks::Options),
    /// Open event streams, measure what they cost, and how long an event takes to reach them all
    Streams(streams::Options),
    /// Measure what many policies of one developer cost an authorization
    Policies(policies::Options),
    /// Write result files up as a Markdown page with the targets beside the figures
    Report(publish::Options),
}

/// What `run` and `fill` have in common.
#[derive(Args)]
pub struct LoadOptions {
    /// The server's base URL
    #[arg(long)]
    url: String,
    /// The server's process id, for its CPU time and memory
    #[arg(long)]
    server_pid: Option<u32>,
    /// PostgreSQL's postmaster, for the CPU time of it and its backends
    #[arg(long)]
    postgres_pid: Option<u32>,
    /// Connections, each with one request under way
    #[arg(long, default_value_t = 32, value_parser = clap::value_parser!(u16).range(1..=1024))]
    clients: u16,
    /// How long to measure each operation
    #[arg(long, default_value_t = 5.0, conflicts_with = "operations")]
    seconds: f64,
    /// Measure this many requests of each operation instead
    #[arg(long, value_parser = clap::value_parser!(u64).range(1..=1_000_000))]
    operations: Option<u64>,
    /// Remember something with the result, such as store=sqlite (may be repeated)
    #[arg(long = "label", value_name = "KEY=VALUE", value_parser = parse_label)]
    labels: Vec<(String, String)>,
    /// Write the result to this file as well
    #[arg(long, value_name = "FILE")]
    json: Option<PathBuf>,
}

impl LoadOptions {
    fn target(&self) -> Result<Target, BenchError> {
        Target::parse(&self.url)
    }

    fn extent(&self) -> Result<Extent, BenchError> {
        match self.operations {
            Some(count) => Ok(Extent::Requests(count)),
            None if (0.1..=600.0).contains(&self.seconds) => Ok(Extent::Time(Duration::from_secs_f64(self.seconds))),
            None => Err(BenchError::Usage("--seconds is between 0.1 and 600".to_owned())),
        }
    }

    fn watched(&self) -> Watched {
        Watched {
            server: self.server_pid,
            postgres: self.postgres_pid,
        }
    }

    fn labels(&self) -> Labels {
        self.labels.iter().cloned().collect()
    }

    fn server_memory(&self) -> Result<Option<process::Memory>, BenchError> {
        self.server_pid.map(process::memory).transpose()
    }
}

fn parse_label(text: &str) -> Result<(String, String), String> {
    let (key, value) = text.split_once('=').ok_or("a label looks like key=value")?;
    if key.is_empty() {
        return Err("the label has no key".to_owned());
    }
    Ok((key.to_owned(), value.to_owned()))
}

/// Measures the yardsticks and the operations, prints the table and writes the result file.
///
/// Returns how many requests failed.
async fn measure_all(
    options: &LoadOptions,
    setup: &Setup,
    wanted: &[Operation],
    signing_per_second: f64,
    filled: Option<&Account>,
) -> Result<u64, BenchError> {
    let before = options.server_memory()?;
    let grants = filled.map(Account::grants);
    // Every figure is printed as a ratio to /health, so it is always part of the run.
    let mut operations = vec![Operation::Health];
    operations.extend(
        wanted
            .iter()
            .copied()
            .filter(|operation| *operation != Operation::Health),
    );
    operations.dedup();

    let mut measured = Vec::with_capacity(operations.len());
    for operation in operations {
        progress(&format!("measuring {}", operation.name()));
        let figures = measure(setup, operation, options.extent()?, options.watched()).await;
        // One operation that cannot be measured must not cost the figures of the others; it counts as failed.
        measured.push(figures.unwrap_or_else(|error| OperationReport::unmeasured(operation, with_causes(&error))));
    }
    let after = options.server_memory().unwrap_or(None);
    let report = RunReport {
        labels: options.labels(),
        machine: Machine::read(),
        clients: setup.clients,
        developers: setup.accounts.len(),
        grants,
        grants_after: filled.map(Account::grants),
        signing_per_second,
        signing_per_second_after: rsa_2048_per_second(SIGNING_TIME)?,
        health_per_second: measured.first().map_or(0.0, |health| health.per_second),
        memory: before
            .zip(after)
            .map(|(before, after)| ServerMemory::new(before, after)),
        operations: measured,
    };
    print(&report.to_text())?;
    let failures = report.failure_count();
    save(options.json.as_deref(), &Record::Run(report))?;
    Ok(failures)
}

/// The rate to compare with, taken while the server has nothing to do.
fn signing_rate() -> Result<f64, BenchError> {
    progress("measuring the signing rate");
    rsa_2048_per_second(SIGNING_TIME)
}

fn progress(what: &str) {
    eprintln!("grantex-bench: {what}");
}

fn print(text: &str) -> Result<(), BenchError> {
    std::io::stdout()
        .lock()
        .write_all(text.as_bytes())
        .map_err(BenchError::Output)
}

fn save(path: Option<&Path>, record: &Record) -> Result<(), BenchError> {
    let Some(path) = path else { return Ok(()) };
    let json = |source| BenchError::Json {
        path: path.to_owned(),
        source,
    };
    let mut text = serde_json::to_string_pretty(record).map_err(json)?;
    text.push('\n');
    std::fs::write(path, text).map_err(|source| BenchError::File {
        path: path.to_owned(),
        source,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_label_is_a_key_and_a_value() {
        assert_eq!(parse_label("disk=a=b").unwrap(), ("disk".to_owned(), "a=b".to_owned()));
        assert!(parse_label("disk").is_err());
        assert!(parse_label("=x").is_err());
    }
}
