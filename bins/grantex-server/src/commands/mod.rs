//! Everything but serving: one file a command.

pub mod audit;
pub mod config;
pub mod doctor;
pub mod healthcheck;
pub mod keys;
pub mod migrate;

use std::future::Future;
use std::io::Write as _;

use slog::{Discard, Logger, o};

use crate::error::Failure;

/// Runs a command that needs a runtime.
pub fn block_on<T>(command: impl Future<Output = Result<T, Failure>>) -> Result<T, Failure> {
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(1)
        .enable_all()
        .build()
        .map_err(Failure::of("starting the runtime"))?;
    let ended = runtime.block_on(command);
    // A thread that was given up on, such as one that resolves a name, must not hold up the end.
    runtime.shutdown_background();
    ended
}

/// Writes to standard output.
pub fn print(text: &str) -> Result<(), Failure> {
    std::io::stdout()
        .write_all(text.as_bytes())
        .map_err(Failure::of("writing"))
}

/// Writes a line to standard output.
pub fn line(text: &str) -> Result<(), Failure> {
    print(&format!("{text}\n"))
}

/// Commands answer on standard output and log nothing.
pub fn silent() -> Logger {
    Logger::root(Discard, o!())
}
