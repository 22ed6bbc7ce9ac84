//! What is shown: JSON for programs, text for people.
//!
//! People's terminals obey control characters, and much of what is shown was written by others: texts are made harmless here.

use std::fmt::Write as _;
use std::io::{IsTerminal as _, Write as _};

use serde_json::Value;

use crate::cli::{Shown, When};
use crate::error::Failure;

/// How a piece of text is meant.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Tone {
    Plain,
    Good,
    Bad,
    Warning,
    Faint,
    Strong,
}

impl Tone {
    const fn code(self) -> &'static str {
        match self {
            Self::Plain => "",
            Self::Good => "32",
            Self::Bad => "31",
            Self::Warning => "33",
            Self::Faint => "2",
            Self::Strong => "1",
        }
    }
}

/// Where answers go.
pub struct Output {
    is_json: bool,
    is_coloured: bool,
}

impl Output {
    pub fn new(shown: &Shown) -> Self {
        let is_coloured = match shown.color {
            When::Always => true,
            When::Never => false,
            // https://no-color.org: any value that is not empty.
            When::Auto => {
                let is_unwanted = std::env::var_os("NO_COLOR").is_some_and(|value| !value.is_empty());
                let is_dumb = std::env::var_os("TERM").is_some_and(|value| value == "dumb");
                std::io::stdout().is_terminal() && !is_unwanted && !is_dumb
            }
        };
        Self {
            is_json: shown.json,
            is_coloured: is_coloured && !shown.json,
        }
    }

    pub const fn is_json(&self) -> bool {
        self.is_json
    }

    /// Writes text that is known to be harmless.
    pub fn raw(&self, text: &str) -> Result<(), Failure> {
        let mut out = std::io::stdout().lock();
        out.write_all(text.as_bytes())
            .and_then(|()| out.flush())
            .map_err(Failure::writing)
    }

    /// Writes a line for people.
    pub fn line(&self, text: &str) -> Result<(), Failure> {
        self.raw(&format!("{text}\n"))
    }

    /// Writes a JSON value in one line.
    pub fn json(&self, value: &Value) -> Result<(), Failure> {
        self.raw(&format!("{value}\n"))
    }

    /// Tells something beside the answer, on standard error.
    pub fn note(&self, text: &str) {
        // Where standard error is gone there is nobody to tell.
        let _ = writeln!(std::io::stderr(), "{text}");
    }

    /// Tells what went wrong, on standard error.
    pub fn complain(&self, text: &str) {
        self.note(&format!("grantex: {}", harmless(text)));
    }

    /// Others' text, made harmless, in a tone.
    pub fn toned(&self, tone: Tone, text: &str) -> String {
        let text = harmless(text);
        match self.is_coloured && tone != Tone::Plain {
            true => format!("\u{1b}[{}m{text}\u{1b}[0m", tone.code()),
            false => text,
        }
    }

    /// Rows under a heading, as wide as they need to be.
    pub fn table(&self, heading: &[&str], rows: &[Vec<(Tone, String)>]) -> String {
        let mut widths: Vec<usize> = heading.iter().map(|text| text.chars().count()).collect();
        let rows: Vec<Vec<(Tone, String)>> = rows
            .iter()
            .map(|row| row.iter().map(|(tone, text)| (*tone, harmless(text))).collect())
            .collect();
        for row in &rows {
            for (width, (_, text)) in widths.iter_mut().zip(row) {
                *width = (*width).max(text.chars().count());
            }
        }
        let heading: Vec<(Tone, String)> = heading.iter().map(|text| (Tone::Strong, (*text).to_owned())).collect();
        let mut out = String::new();
        for row in std::iter::once(&heading).chain(&rows) {
            let mut line = String::new();
            for (index, ((tone, text), width)) in row.iter().zip(&widths).enumerate() {
                let is_last = index + 1 == row.len();
                let padding = if is_last {
                    0
                } else {
                    width.saturating_sub(text.chars().count()) + 2
                };
                line.push_str(&self.toned(*tone, text));
                line.push_str(&" ".repeat(padding));
            }
            out.push_str(line.trim_end());
            out.push('\n');
        }
        out
    }

    /// Members of an object, one a line; what is nested is shown as JSON.
    pub fn members<'v>(&self, members: impl IntoIterator<Item = (&'v String, &'v Value)>) -> String {
        let members: Vec<(&String, &Value)> = members.into_iter().collect();
        let width = members.iter().map(|(name, _)| name.chars().count()).max().unwrap_or(0);
        let mut out = String::new();
        for (name, value) in members {
            let padding = " ".repeat(width.saturating_sub(name.chars().count()));
            // Writing to a String cannot fail.
            let _ = writeln!(
                out,
                "  {}{padding}  {}",
                self.toned(Tone::Faint, name),
                harmless(&shown(value))
            );
        }
        out
    }
}

/// A value in a line: texts without quotes, lists of texts with commas.
pub fn shown(value: &Value) -> String {
    match value {
        Value::String(text) => text.clone(),
        Value::Array(items) if items.iter().all(Value::is_string) => {
            let texts: Vec<&str> = items.iter().filter_map(Value::as_str).collect();
            texts.join(", ")
        }
        value => value.to_string(),
    }
}

/// Writes control characters, and those that turn the direction of a line, as `\u{…}`.
pub fn harmless(text: &str) -> String {
    let is_harmful = |c: char| {
        c.is_control()
            || matches!(c, '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2060}'..='\u{206f}' | '\u{feff}')
    };
    if !text.contains(is_harmful) {
        return text.to_owned();
    }
    text.chars()
        .map(|c| match is_harmful(c) {
            true => c.escape_unicode().to_string(),
            false => c.to_string(),
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn others_texts_cannot_steer_a_terminal() {
        assert_eq!(harmless("Ünïcode 漢字 \"q\""), "Ünïcode 漢字 \"q\"");
        assert_eq!(
            harmless("a\u{1b}[2Jb\r\n\u{202e}c\u{9b}"),
            "a\\u{1b}[2Jb\\u{d}\\u{a}\\u{202e}c\\u{9b}"
        );
    }

    #[test]
    fn tables_are_as_wide_as_they_need_to_be() {
        let output = Output {
            is_json: false,
            is_coloured: false,
        };
        let row = |a: &str, b: &str| vec![(Tone::Good, a.to_owned()), (Tone::Plain, b.to_owned())];
        assert_eq!(
            output.table(&["A", "B"], &[row("long", "x"), row("é", "")]),
            "A     B\nlong  x\né\n"
        );
        let output = Output {
            is_json: false,
            is_coloured: true,
        };
        assert_eq!(output.toned(Tone::Bad, "no\u{7}"), "\u{1b}[31mno\\u{7}\u{1b}[0m");
    }
}
