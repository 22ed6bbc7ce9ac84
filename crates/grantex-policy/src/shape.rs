//! A look at a text before it is parsed: how deep it is nested and how long its expressions are.
//!
//! Cedar's parser, and the code that drops what it made, call themselves once a level of nesting. Text that is nested a few
//! thousand levels deep overflows the stack, which ends the process whatever the caller does. So nothing of the kind reaches it.

use grantex_core::policy::engine::BundleProblem;

/// Levels of `(`, `[`, `{` and `if` in one policy at most.
pub const MAX_DEPTH: u32 = 40;
/// Characters of operators, dots, and clauses in one policy at most: `a + b + c` is nested without any bracket.
pub const MAX_SIGNS: u32 = 800;

/// `Err` when a text is nested too deeply. Says nothing about whether it is Cedar.
pub fn check(text: &str) -> Result<(), BundleProblem> {
    let mut scan = Scan::default();
    let (mut line, mut column) = (1, 0);
    let mut chars = text.chars().peekable();
    let mut word = String::new();
    while let Some(c) = chars.next() {
        column += 1;
        let next = chars.peek().copied();
        if scan.place == Place::Code && (c.is_ascii_alphanumeric() || c == '_') {
            word.push(c);
            continue;
        }
        let ended = std::mem::take(&mut word);
        let verdict = match scan.place {
            Place::Code => scan.word(&ended).and_then(|()| scan.code(c, next)),
            Place::Text => scan.text(c, &mut chars, &mut column),
            Place::Comment => Ok(()),
        };
        verdict.map_err(|message| BundleProblem {
            line: Some(line),
            column: Some(column),
            message,
            is_warning: false,
        })?;
        if c == '\n' {
            (line, column) = (line + 1, 0);
        }
        // Cedar's comments end at either; what it reads as code must count here.
        if matches!(c, '\n' | '\r') && scan.place == Place::Comment {
            scan.place = Place::Code;
        }
    }
    Ok(())
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
enum Place {
    #[default]
    Code,
    Text,
    Comment,
}

#[derive(Default)]
struct Scan {
    place: Place,
    brackets: u32,
    conditionals: u32,
    signs: u32,
}

impl Scan {
    fn word(&mut self, word: &str) -> Result<(), String> {
        match word {
            // A conditional ends nowhere in particular, so all of a policy's count as nested.
            "if" => self.conditionals += 1,
            "when" | "unless" => self.signs += 1,
            _ => {}
        }
        self.verdict()
    }

    fn code(&mut self, c: char, next: Option<char>) -> Result<(), String> {
        match c {
            '"' => self.place = Place::Text,
            '/' if next == Some('/') => self.place = Place::Comment,
            '(' | '[' | '{' => self.brackets += 1,
            ')' | ']' | '}' => self.brackets = self.brackets.saturating_sub(1),
            // Between policies; inside of one it is no Cedar, and the rest of the text counts as that policy's.
            ';' if self.brackets == 0 => *self = Self::default(),
            '.' | '+' | '-' | '*' | '&' | '|' | '!' | '<' | '>' | '=' => self.signs += 1,
            _ => {}
        }
        self.verdict()
    }

    fn text(&mut self, c: char, chars: &mut impl Iterator<Item = char>, column: &mut usize) -> Result<(), String> {
        match c {
            '"' => self.place = Place::Code,
            // Whatever is escaped does not end the text.
            '\\' => *column += usize::from(chars.next().is_some()),
            _ => {}
        }
        Ok(())
    }

    fn verdict(&self) -> Result<(), String> {
        if self.brackets + self.conditionals > MAX_DEPTH {
            return Err(format!("a policy may be nested {MAX_DEPTH} levels deep at most"));
        }
        if self.signs > MAX_SIGNS {
            return Err(format!(
                "a policy may hold {MAX_SIGNS} characters of operators, and clauses, at most"
            ));
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn policy(expression: &str) -> String {
        format!("permit(principal, action, resource) when {{ {expression} }};")
    }

    fn nested(open: &str, close: &str, levels: usize) -> String {
        policy(&format!("{}1{}", open.repeat(levels), close.repeat(levels)))
    }

    #[test]
    fn a_comment_ends_where_cedar_ends_it() {
        let deep = "(".repeat(1_000);
        for end in ["\n", "\r", "\r\n"] {
            assert!(check(&format!("// comment{end}{deep}")).is_err(), "{end:?}");
        }
        assert_eq!(check(&format!("// comment {deep}")), Ok(()));
    }

    #[test]
    fn nesting_is_bounded_whatever_it_is_made_of() {
        for (open, close) in [
            ("(", ")"),
            ("[", "]"),
            ("{a:", "}"),
            ("if true then ", " else 1"),
            ("([{a:if 1 then ", " else 1}])"),
        ] {
            let levels = open.matches(['(', '[', '{', 'f']).count();
            // The clause's own brace is a level, too.
            let most = usize::try_from(MAX_DEPTH).unwrap() - 1;
            assert_eq!(check(&nested(open, close, most / levels)), Ok(()), "{open}");
            let problem = check(&nested(open, close, most / levels + 1)).unwrap_err();
            assert_eq!(
                problem.message, "a policy may be nested 40 levels deep at most",
                "{open}"
            );
        }
        assert!(check(&"(".repeat(100_000)).is_err());
    }

    #[test]
    fn chains_are_bounded_whatever_they_are_made_of() {
        for link in ["+1", "-1", "*1", ".a", "&&true", "||true", "<1", "==1", "!"] {
            assert_eq!(check(&policy(&format!("1{}", link.repeat(390)))), Ok(()), "{link}");
            assert!(check(&policy(&format!("1{}", link.repeat(801)))).is_err(), "{link}");
        }
        let clauses = |count: usize| format!("permit(principal, action, resource){};", " when {true}".repeat(count));
        assert_eq!(check(&clauses(800)), Ok(()));
        assert!(check(&clauses(801)).is_err());
    }

    #[test]
    fn each_policy_is_measured_by_itself_and_long_lists_are_no_nesting() {
        assert_eq!(check(&nested("(", ")", 30).repeat(1_000)), Ok(()));
        let agents = "Grantex::Agent::\"ag_01ARZ3NDEKTSV4RRFFQ69G5FAV\", ".repeat(4_000);
        assert_eq!(check(&policy(&format!("principal in [{agents}]"))), Ok(()));
    }

    #[test]
    fn texts_and_comments_are_not_code() {
        let brackets = "(".repeat(1_000);
        assert_eq!(
            check(&policy(&format!("context.principalId == \"{brackets}\""))),
            Ok(())
        );
        assert_eq!(
            check(&policy(&format!("context.principalId == \"\\\"{brackets}\""))),
            Ok(())
        );
        assert_eq!(
            check(&format!("// {brackets}\npermit(principal, action, resource);")),
            Ok(())
        );
        assert!(check(&format!("permit // comment\n{brackets}")).is_err());
        assert!(check(&format!("\"a\" {brackets}")).is_err());
    }

    #[test]
    fn the_place_is_told() {
        let problem = check(&format!("permit(principal, action, resource);\n  {}", "[".repeat(50))).unwrap_err();
        assert_eq!((problem.line, problem.column), (Some(2), Some(43)));
    }
}
