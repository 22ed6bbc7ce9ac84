//! What ends a benchmark early. Failed requests of a measurement do not: they are counted.

use std::error::Error;
use std::path::PathBuf;

use crate::connection::TransportError;

#[derive(Debug, thiserror::Error)]
pub enum BenchError {
    #[error("{url:?} is not a base URL of the form http://host:port: {reason}")]
    Url { url: String, reason: &'static str },
    #[error("{what}: the server at {authority} cannot be reached")]
    Unreachable {
        what: &'static str,
        authority: String,
        source: TransportError,
    },
    #[error("{what}: unexpected answer {status}: {body}")]
    Refused {
        what: &'static str,
        status: u16,
        body: String,
    },
    #[error("{what}: {failures} requests failed ({kinds})")]
    Preparation {
        what: &'static str,
        failures: u64,
        kinds: String,
    },
    #[error("reading the process {pid} from /proc")]
    Process { pid: u32, source: std::io::Error },
    #[error("{path}: the content of /proc is not understood")]
    ProcFormat { path: String },
    #[error("the RSA signing rate cannot be measured")]
    Signing,
    #[error("a client ended before its time")]
    Client(#[source] tokio::task::JoinError),
    #[error("the runtime does not start")]
    Runtime(#[source] std::io::Error),
    #[error("{}", path.display())]
    File { path: PathBuf, source: std::io::Error },
    #[error("{}: not a result of grantex-bench", path.display())]
    Json { path: PathBuf, source: serde_json::Error },
    #[error("the table cannot be printed")]
    Output(#[source] std::io::Error),
    #[error("{0}")]
    Usage(String),
    #[error("{program:?} cannot be started")]
    Spawn { program: String, source: std::io::Error },
    #[error("{program:?} ended with {status} before it was ready")]
    Ended { program: String, status: String },
    #[error("{url} was not ready within {seconds} s")]
    NotReady { url: String, seconds: u64 },
    #[error("{program:?} was still there {seconds} s after SIGTERM")]
    Lingers { program: String, seconds: u64 },
    #[error("only {reached} of {wanted} grants could be made")]
    Short { reached: u64, wanted: u64 },
}

/// The error and what caused it, in one line.
pub fn with_causes(error: &dyn Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        text.push_str(": ");
        text.push_str(&error.to_string());
        cause = error.source();
    }
    text
}
