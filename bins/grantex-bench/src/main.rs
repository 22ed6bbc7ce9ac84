//! `grantex-bench`, the load generator of the Grantex server.
//!
//! It shares the machine with the server it measures, so it spends as little as it can on a request: one thread, one
//! keep-alive connection a client, and only the parsing that a flow needs. It speaks HTTP and reads `/proc`; it uses no
//! crate of the server.

mod account;
mod call;
mod clock;
mod command;
mod connection;
mod drive;
mod error;
mod machine;
mod markdown;
mod measure;
mod prepare;
mod process;
mod receiver;
mod report;
mod score;
mod signing;
mod table;
mod tally;
mod targets;
mod token;
mod work;

use std::process::ExitCode;

use clap::Parser;

use crate::command::{Command, fill, policies, publish, run, start, streams, webhooks};
use crate::error::BenchError;

#[derive(Parser)]
#[command(name = "grantex-bench", about = "Load generator of the Grantex server", version)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

fn main() -> ExitCode {
    let cli = Cli::parse();
    match dispatch(cli.command) {
        Ok(0) => ExitCode::SUCCESS,
        Ok(failures) => {
            eprintln!("grantex-bench: {failures} requests failed");
            ExitCode::from(1)
        }
        Err(error) => {
            eprintln!("grantex-bench: {}", error::with_causes(&error));
            ExitCode::from(2)
        }
    }
}

/// Runs a command and returns how many requests failed.
fn dispatch(command: Command) -> Result<u64, BenchError> {
    // One thread: what the generator uses, the server on the same cores does not have.
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .map_err(BenchError::Runtime)?;
    match command {
        Command::Run(options) => runtime.block_on(run::run(options)),
        Command::Fill(options) => runtime.block_on(fill::fill(options)),
        Command::Start(options) => runtime.block_on(start::start(options)),
        Command::Webhooks(options) => runtime.block_on(webhooks::webhooks(options)),
        Command::Streams(options) => runtime.block_on(streams::streams(options)),
        Command::Policies(options) => runtime.block_on(policies::policies(options)),
        Command::Report(options) => publish::publish(options).map(|()| 0),
    }
}
