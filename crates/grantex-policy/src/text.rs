//! Cedar's complaints as problems with a line and a column.

use std::collections::HashSet;

use grantex_core::policy::engine::BundleProblem;
use miette::Diagnostic;

/// Problems of one bundle that are told at most.
const MAX_PROBLEMS: usize = 50;
/// The longest message, in characters: Cedar repeats what it read.
const MAX_MESSAGE: usize = 300;

/// What Cedar says, once a place: it checks each policy for every action.
pub fn problems<'a, D: Diagnostic + 'a>(
    text: &str,
    said: impl Iterator<Item = &'a D>,
    is_warning: bool,
) -> Vec<BundleProblem> {
    let mut places = HashSet::new();
    said.map(|said| problem(text, said, is_warning))
        .filter(|problem| problem.line.is_none() || places.insert((problem.line, problem.column)))
        .take(MAX_PROBLEMS)
        .collect()
}

/// What Cedar says, and where in the text.
fn problem(text: &str, said: &dyn Diagnostic, is_warning: bool) -> BundleProblem {
    let offset = said
        .labels()
        .and_then(|mut labels| labels.next())
        .map(|label| label.offset());
    let (line, column) = offset.map(|offset| place(text, offset)).unzip();
    let mut message = said.to_string();
    if let Some(help) = said.help() {
        message = format!("{message}: {help}");
    }
    BundleProblem {
        line,
        column,
        message: one_line(&message),
        is_warning,
    }
}

/// Line and column, from 1, of a byte of the text.
fn place(text: &str, offset: usize) -> (usize, usize) {
    let mut offset = offset.min(text.len());
    while !text.is_char_boundary(offset) {
        offset -= 1;
    }
    let before = text.get(..offset).unwrap_or_default();
    let line = before.rsplit('\n').next().unwrap_or_default();
    (before.matches('\n').count() + 1, line.chars().count() + 1)
}

/// A message in one line, not too long.
pub fn one_line(message: &str) -> String {
    let plain = |c: char| if c.is_control() { ' ' } else { c };
    message.chars().take(MAX_MESSAGE).map(plain).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn places_are_counted_in_lines_and_characters() {
        let text = "ü\nab\n";
        for (offset, expected) in [
            (0, (1, 1)),
            (1, (1, 1)),
            (2, (1, 2)),
            (3, (2, 1)),
            (4, (2, 2)),
            (6, (3, 1)),
            (99, (3, 1)),
        ] {
            assert_eq!(place(text, offset), expected, "{offset}");
        }
    }

    #[test]
    fn messages_are_one_line() {
        assert_eq!(one_line("a\nb\u{7}c"), "a b c");
        assert_eq!(one_line(&"ü".repeat(1_000)).chars().count(), 300);
    }
}
