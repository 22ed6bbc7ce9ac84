//! Why a command failed, and with which exit code.

use std::error::Error;
use std::fmt;
use std::process::ExitCode;

use grantex_core::error::chain;

use crate::config::Problem;

/// Why a command failed.
#[derive(Debug)]
pub enum Failure {
    /// The configuration is wrong: everything that is.
    Configuration(Vec<Problem>),
    /// Something failed: what was tried, and the causes.
    Failed {
        /// What was tried.
        doing: &'static str,
        /// The error and its causes in one line.
        cause: String,
    },
    /// A check found something; it was printed.
    Found(&'static str),
}

impl Failure {
    /// Turns an error into a failure of what was tried.
    pub fn of<E: Error>(doing: &'static str) -> impl FnOnce(E) -> Self {
        move |error| Self::Failed {
            doing,
            cause: chain(&error),
        }
    }

    /// The process's exit code.
    pub fn exit_code(&self) -> ExitCode {
        match self {
            Self::Configuration(_) => ExitCode::from(2),
            Self::Failed { .. } | Self::Found(_) => ExitCode::FAILURE,
        }
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Configuration(problems) => {
                let count = problems.len();
                write!(
                    f,
                    "the configuration has {count} problem{}:",
                    if count == 1 { "" } else { "s" }
                )?;
                problems.iter().try_for_each(|problem| write!(f, "\n  {problem}"))
            }
            Self::Failed { doing, cause } => write!(f, "{doing} failed: {cause}"),
            Self::Found(what) => f.write_str(what),
        }
    }
}
