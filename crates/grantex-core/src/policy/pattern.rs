//! Scopes as policies name them: literally, or a whole family at once.

use std::fmt;

use crate::scope::{MAX_SCOPE_LENGTH, MAX_SCOPES};

/// One entry of a policy's list of scopes.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum ScopePattern {
    /// `*`: every scope.
    Any,
    /// `calendar:*`: every scope that begins with the text in front of the star, which ends in a colon.
    Under(String),
    /// This scope.
    Exactly(String),
}

/// Why a list of patterns was refused.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum PatternError {
    /// A list that matches nothing would be a policy that never does.
    #[error("must hold 1 to {MAX_SCOPES} scopes")]
    Count,
    /// An entry is empty, too long, or holds white space or a control character.
    #[error("entry {index} must be 1 to {MAX_SCOPE_LENGTH} characters without white space")]
    Malformed {
        /// Position in the list, from 0.
        index: usize,
    },
    /// A star stands where it would not be understood.
    #[error("entry {index}: `*` may stand alone or behind a last colon, as in `calendar:*`")]
    Star {
        /// Position in the list, from 0.
        index: usize,
    },
}

impl ScopePattern {
    fn parse(text: &str) -> Option<Self> {
        if text == "*" {
            return Some(Self::Any);
        }
        match text.strip_suffix('*') {
            Some(prefix) => (prefix.ends_with(':') && !prefix.contains('*')).then(|| Self::Under(prefix.to_owned())),
            None => (!text.contains('*')).then(|| Self::Exactly(text.to_owned())),
        }
    }

    /// Whether it stands for this scope.
    pub fn matches(&self, scope: &str) -> bool {
        match self {
            Self::Any => true,
            Self::Under(prefix) => scope.starts_with(prefix.as_str()),
            Self::Exactly(text) => scope == text,
        }
    }
}

impl fmt::Display for ScopePattern {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Any => f.write_str("*"),
            Self::Under(prefix) => write!(f, "{prefix}*"),
            Self::Exactly(text) => f.write_str(text),
        }
    }
}

/// A policy's list of scopes; never empty.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ScopePatterns(Vec<ScopePattern>);

impl ScopePatterns {
    /// Checks a list from the wire.
    pub fn parse(items: &[String]) -> Result<Self, PatternError> {
        if items.is_empty() || items.len() > MAX_SCOPES {
            return Err(PatternError::Count);
        }
        let mut patterns = Vec::with_capacity(items.len());
        for (index, item) in items.iter().enumerate() {
            let is_well_formed = !item.is_empty()
                && item.chars().count() <= MAX_SCOPE_LENGTH
                && !item.chars().any(|c| c.is_whitespace() || c.is_control());
            if !is_well_formed {
                return Err(PatternError::Malformed { index });
            }
            patterns.push(ScopePattern::parse(item).ok_or(PatternError::Star { index })?);
        }
        Ok(Self(patterns))
    }

    /// The patterns of the stored, space-separated form; `None` when it is none.
    pub fn from_stored(joined: &str) -> Option<Self> {
        let items: Vec<String> = joined.split(' ').map(str::to_owned).collect();
        Self::parse(&items).ok()
    }

    /// The stored form: one space between patterns, in order.
    pub fn joined(&self) -> String {
        self.texts().join(" ")
    }

    /// The patterns as they were written.
    pub fn texts(&self) -> Vec<String> {
        self.0.iter().map(ToString::to_string).collect()
    }

    /// The patterns in order.
    pub fn as_slice(&self) -> &[ScopePattern] {
        &self.0
    }

    /// Whether one of them stands for this scope.
    pub fn matches(&self, scope: &str) -> bool {
        self.0.iter().any(|pattern| pattern.matches(scope))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(items: &[&str]) -> Result<ScopePatterns, PatternError> {
        ScopePatterns::parse(&items.iter().map(|&item| item.to_owned()).collect::<Vec<_>>())
    }

    #[test]
    fn a_star_stands_for_everything_behind_its_colon() {
        let patterns = parse(&["calendar:*", "mail:read"]).unwrap();
        for (scope, is_matched) in [
            ("calendar:read", true),
            ("calendar:events:write", true),
            ("calendar:*", true),
            ("calendar:", true),
            ("calendar", false),
            ("calendars:read", false),
            ("mail:read", true),
            ("mail:read:all", false),
            ("Mail:read", false),
        ] {
            assert_eq!(patterns.matches(scope), is_matched, "{scope}");
        }
        assert!(parse(&["*"]).unwrap().matches("anything"));
    }

    #[test]
    fn patterns_round_trip() {
        let patterns = parse(&["*", "a:*", "a:b:*", "payments:initiate:max_500", "ü"]).unwrap();
        assert_eq!(ScopePatterns::from_stored(&patterns.joined()), Some(patterns.clone()));
        assert_eq!(
            patterns.texts(),
            ["*", "a:*", "a:b:*", "payments:initiate:max_500", "ü"]
        );
        assert_eq!(ScopePatterns::from_stored(""), None);
    }

    #[test]
    fn what_would_never_match_or_be_misread_is_refused() {
        assert_eq!(parse(&[]), Err(PatternError::Count));
        assert_eq!(parse(&["x"; 101]), Err(PatternError::Count));
        for bad in ["", "a b", "a\u{a0}b", "a\0", &"x".repeat(257)] {
            assert_eq!(
                parse(&["ok", bad]),
                Err(PatternError::Malformed { index: 1 }),
                "{bad:?}"
            );
        }
        for bad in ["calendar*", "*:read", "a:*:c", "**", "a:**", ":*:*"] {
            assert_eq!(parse(&[bad]), Err(PatternError::Star { index: 0 }), "{bad}");
        }
    }
}
