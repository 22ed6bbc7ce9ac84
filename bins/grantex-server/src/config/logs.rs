//! The log.

use std::io::IsTerminal as _;

use slog::Level;

use super::{Env, Variable};

const FORMAT: Variable = Variable::new(
    "LOG_FORMAT",
    "terminal on a terminal, else json",
    "`json`: one object a line on standard output. `terminal`: for people.",
);
const LEVEL: Variable = Variable::new(
    "LOG_LEVEL",
    "info",
    "The lowest level that is written: `error`, `warn`, `info`, `debug` or `trace`.",
);

/// The variables of this section.
pub const VARIABLES: &[&Variable] = &[&FORMAT, &LEVEL];

/// How lines are written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LogFormat {
    /// One JSON object a line.
    Json,
    /// For people.
    Terminal,
}

/// The section.
#[derive(Debug, Clone, Copy)]
pub struct Logs {
    /// How lines are written.
    pub format: LogFormat,
    /// The lowest level that is written.
    pub level: Level,
}

pub(super) fn read(env: &mut Env) -> Logs {
    let default = if std::io::stdout().is_terminal() {
        LogFormat::Terminal
    } else {
        LogFormat::Json
    };
    Logs {
        format: env.parsed(&FORMAT, default, |text| match text {
            "json" => Ok(LogFormat::Json),
            "terminal" => Ok(LogFormat::Terminal),
            _ => Err("must be json or terminal".to_owned()),
        }),
        level: env.parsed(&LEVEL, Level::Info, |text| match text {
            "error" => Ok(Level::Error),
            "warn" => Ok(Level::Warning),
            "info" => Ok(Level::Info),
            "debug" => Ok(Level::Debug),
            "trace" => Ok(Level::Trace),
            _ => Err("must be error, warn, info, debug or trace".to_owned()),
        }),
    }
}
