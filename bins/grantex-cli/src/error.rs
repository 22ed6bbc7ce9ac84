//! Why a command did not go well, and with which exit code it ends.

use std::error::Error;
use std::io;
use std::process::ExitCode;

use grantex_core::error::chain;

/// Why a command did not go well. No text holds a token or an API key.
#[derive(Debug)]
pub enum Failure {
    /// The answer is no, and was given.
    No,
    /// The command cannot be run as it was given.
    Usage(String),
    /// Something on this machine failed.
    Failed {
        /// What was tried.
        doing: &'static str,
        /// The error and its causes in one line.
        cause: String,
    },
    /// The service refused.
    Refused {
        /// The status.
        status: u16,
        /// Its words, or what is known without them.
        message: String,
        /// By which its log can be searched.
        request_id: Option<String>,
    },
    /// The service gave no answer, or one that makes no sense.
    Unanswered(String),
    /// Whoever reads the output has seen enough.
    Closed,
}

impl Failure {
    /// Turns an error into a failure of what was tried.
    pub fn of<E: Error>(doing: &'static str) -> impl FnOnce(E) -> Self {
        move |error| Self::Failed {
            doing,
            cause: chain(&error),
        }
    }

    /// What became of writing to standard output.
    pub fn writing(error: io::Error) -> Self {
        match error.kind() {
            io::ErrorKind::BrokenPipe => Self::Closed,
            _ => Self::of("writing")(error),
        }
    }

    /// Whether asking again may help.
    pub fn is_passing(&self) -> bool {
        match self {
            Self::Unanswered(_) => true,
            Self::Refused { status, .. } => matches!(status, 408 | 429 | 500..),
            Self::No | Self::Usage(_) | Self::Failed { .. } | Self::Closed => false,
        }
    }

    /// The process's exit code.
    pub fn exit_code(&self) -> ExitCode {
        match self {
            Self::Closed => ExitCode::SUCCESS,
            Self::No => ExitCode::from(1),
            Self::Usage(_) | Self::Failed { .. } => ExitCode::from(2),
            Self::Refused { status: 500.., .. } | Self::Unanswered(_) => ExitCode::from(4),
            Self::Refused { .. } => ExitCode::from(3),
        }
    }

    /// What is told on standard error; `None` when everything was said.
    pub fn text(&self) -> Option<String> {
        match self {
            Self::No | Self::Closed => None,
            Self::Usage(what) | Self::Unanswered(what) => Some(what.clone()),
            Self::Failed { doing, cause } => Some(format!("{doing} failed: {cause}")),
            Self::Refused {
                status,
                message,
                request_id,
            } => {
                let request = request_id
                    .as_ref()
                    .map(|id| format!(", request {id}"))
                    .unwrap_or_default();
                Some(format!("the service answered {status}: {message}{request}"))
            }
        }
    }
}
