//! The Grantex server: reads its configuration, assembles store, keys, flows and routes, and runs them.
//!
//! Exit codes: 0 when all went well, 1 when something failed, 2 when the configuration is wrong.

mod app;
mod cli;
mod commands;
mod config;
mod connection;
mod error;
mod keys;
mod observe;
mod serve;
mod telemetry;
mod traces;
mod wake;
mod welcome;
mod workers;

use std::process::ExitCode;

use clap::Parser as _;

use cli::{Cli, Command, ConfigCommand, DocsCommand};
use config::{Config, Env};
use error::Failure;

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> ExitCode {
    let command = Cli::parse().command.unwrap_or(Command::Serve);
    match run(command) {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => {
            eprintln!("grantex-server: {failure}");
            failure.exit_code()
        }
    }
}

fn run(command: Command) -> Result<(), Failure> {
    match command {
        Command::Docs(DocsCommand::Metrics) => commands::print(&grantex_metrics::docs_markdown()),
        Command::Docs(DocsCommand::Configuration) => commands::print(&config::docs::markdown()),
        Command::Config(ConfigCommand::Check) => commands::config::check(&load()?),
        Command::Serve => serve::serve(load()?),
        Command::Migrate { check } => commands::block_on(commands::migrate::migrate(load()?, check)),
        Command::Keys(command) => commands::block_on(commands::keys::keys(load()?, command)),
        Command::Audit(cli::AuditCommand::Verify { developer }) => {
            commands::block_on(commands::audit::verify(load()?, developer))
        }
        Command::Doctor(options) => {
            commands::block_on(commands::doctor::doctor(Config::load(Env::of_process()), *options))
        }
        Command::Healthcheck { ready } => commands::healthcheck::healthcheck(&load()?, ready),
    }
}

fn load() -> Result<Config, Failure> {
    Config::load(Env::of_process()).map_err(Failure::Configuration)
}
