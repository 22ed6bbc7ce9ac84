//! `grantex-bench report`.

use std::path::PathBuf;

use clap::Args;

use super::print;
use crate::error::BenchError;
use crate::markdown::page;
use crate::report::Record;

#[derive(Args)]
pub struct Options {
    /// Write the page here instead of to standard output
    #[arg(long, value_name = "FILE")]
    output: Option<PathBuf>,
    /// Result files of run, fill and start
    #[arg(required = true)]
    results: Vec<PathBuf>,
}

/// Reads the result files and writes the page.
pub fn publish(options: Options) -> Result<(), BenchError> {
    let mut records: Vec<Record> = Vec::with_capacity(options.results.len());
    for path in &options.results {
        let text = std::fs::read(path).map_err(|source| BenchError::File {
            path: path.clone(),
            source,
        })?;
        let record = serde_json::from_slice(&text);
        records.push(record.map_err(|source| BenchError::Json {
            path: path.clone(),
            source,
        })?);
    }
    let page = page(&records);
    match options.output {
        Some(path) => std::fs::write(&path, page).map_err(|source| BenchError::File { path, source }),
        None => print(&page),
    }
}
