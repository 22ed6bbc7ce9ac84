//! What was found, as text while it is found or as JSON at the end.

use serde_json::{Value, json};

use super::super::line;
use crate::error::Failure;

/// How a finding is meant.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Level {
    Ok,
    Warning,
    Failed,
}

impl Level {
    const fn text(self) -> &'static str {
        match self {
            Self::Ok => "ok",
            Self::Warning => "warning",
            Self::Failed => "failed",
        }
    }
}

/// Everything that was found so far.
pub struct Findings {
    is_json: bool,
    worst: Level,
    told: Vec<Value>,
}

impl Findings {
    /// Nothing yet.
    pub const fn new(is_json: bool) -> Self {
        Self {
            is_json,
            worst: Level::Ok,
            told: Vec::new(),
        }
    }

    /// Something is as it should be.
    pub fn ok(&mut self, check: &'static str, what: impl Into<String>) -> Result<(), Failure> {
        self.add(Level::Ok, check, what.into(), None)
    }

    /// Something works, and should be looked at.
    pub fn warning(
        &mut self,
        check: &'static str,
        what: impl Into<String>,
        advice: impl Into<String>,
    ) -> Result<(), Failure> {
        self.add(Level::Warning, check, what.into(), Some(advice.into()))
    }

    /// Something is wrong.
    pub fn failed(
        &mut self,
        check: &'static str,
        what: impl Into<String>,
        advice: impl Into<String>,
    ) -> Result<(), Failure> {
        self.add(Level::Failed, check, what.into(), Some(advice.into()))
    }

    /// Whether something is wrong.
    pub fn has_failed(&self) -> bool {
        self.worst == Level::Failed
    }

    fn add(&mut self, level: Level, check: &'static str, what: String, advice: Option<String>) -> Result<(), Failure> {
        self.worst = self.worst.max(level);
        // What comes from other services must not move the terminal's cursor.
        let what: String = what.chars().map(|c| if c.is_control() { ' ' } else { c }).collect();
        if self.is_json {
            self.told
                .push(json!({"check": check, "status": level.text(), "what": what, "do": advice}));
            return Ok(());
        }
        let word = if level == Level::Failed { "FAILED" } else { level.text() };
        line(&format!("{word:<9}{check}: {what}"))?;
        match advice {
            Some(advice) => line(&format!("{:<9}  do: {advice}", "")),
            None => Ok(()),
        }
    }

    /// Tells the rest.
    pub fn finish(self) -> Result<(), Failure> {
        if !self.is_json {
            return Ok(());
        }
        let all = json!({
            "version": env!("CARGO_PKG_VERSION"),
            "status": self.worst.text(),
            "findings": self.told,
        });
        line(&format!("{all:#}"))
    }
}
