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
        ExitCode::from(self.code())
    }

    const fn code(&self) -> u8 {
        match self {
            Self::Closed => 0,
            Self::No => 1,
            Self::Usage(_) | Self::Failed { .. } => 2,
            Self::Refused { status: 400..=499, .. } => 3,
            // A redirect, for example: whoever answered is not the service, or is in no state to answer.
            Self::Refused { .. } | Self::Unanswered(_) => 4,
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_4xx_is_a_refusal() {
        for (status, code) in [(302, 4), (400, 3), (429, 3), (499, 3), (500, 4), (600, 4)] {
            let refused = Failure::Refused {
                status,
                message: String::new(),
                request_id: None,
            };
            assert_eq!(refused.code(), code, "{status}");
        }
    }
}
