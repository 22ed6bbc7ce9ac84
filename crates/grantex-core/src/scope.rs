//! Scopes: free text without white space, kept in the order in which they were asked for.

mod describe;

pub use describe::{describe, is_custom};

/// The most scopes one agent, request or grant may name.
pub const MAX_SCOPES: usize = 100;
/// The longest scope, in characters.
pub const MAX_SCOPE_LENGTH: usize = 256;

/// Why a list of scopes was refused; `index` is the position in the list.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ScopeError {
    /// More than [`MAX_SCOPES`].
    #[error("at most {MAX_SCOPES} scopes are allowed")]
    TooMany,
    /// No scope at all, where one is needed.
    #[error("at least one scope is required")]
    Empty,
    /// A scope is empty, too long, or holds white space or a control character.
    #[error("scope {index} must be 1 to {MAX_SCOPE_LENGTH} characters without white space")]
    Malformed {
        /// Position in the list, from 0.
        index: usize,
    },
}

/// A list of scopes in a given order.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Scopes(Vec<String>);

impl Scopes {
    /// Checks a list from the wire. White space is refused because OAuth separates scopes by it (RFC 6749 §3.3).
    pub fn parse(items: Vec<String>) -> Result<Self, ScopeError> {
        if items.len() > MAX_SCOPES {
            return Err(ScopeError::TooMany);
        }
        for (index, item) in items.iter().enumerate() {
            let is_well_formed = !item.is_empty()
                && item.chars().count() <= MAX_SCOPE_LENGTH
                && !item.chars().any(|c| c.is_whitespace() || c.is_control());
            if !is_well_formed {
                return Err(ScopeError::Malformed { index });
            }
        }
        Ok(Self(items))
    }

    /// Like [`Scopes::parse`], and the list must not be empty.
    pub fn parse_some(items: Vec<String>) -> Result<Self, ScopeError> {
        if items.is_empty() {
            return Err(ScopeError::Empty);
        }
        Self::parse(items)
    }

    /// The scopes of the stored, space-separated form.
    pub fn from_stored(joined: &str) -> Self {
        Self(
            joined
                .split(' ')
                .filter(|item| !item.is_empty())
                .map(str::to_owned)
                .collect(),
        )
    }

    /// The OAuth form: one space between scopes, in order.
    pub fn joined(&self) -> String {
        self.0.join(" ")
    }

    /// The scopes in order.
    pub fn as_slice(&self) -> &[String] {
        &self.0
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// The first scope that is not literally among `allowed`.
    pub fn first_outside<'a>(&'a self, allowed: &[String]) -> Option<&'a str> {
        self.0.iter().find(|item| !allowed.contains(item)).map(String::as_str)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn scopes_are_free_text_without_white_space() {
        assert!(Scopes::parse_some(vec!["read".into(), "payments:initiate:max_500".into(), "ü".into()]).is_ok());
        assert_eq!(Scopes::parse_some(vec![]), Err(ScopeError::Empty));
        for bad in ["", "a b", "a\tb", "a\u{a0}b", "a\0"] {
            assert_eq!(
                Scopes::parse(vec!["ok".into(), bad.into()]),
                Err(ScopeError::Malformed { index: 1 }),
                "{bad:?}"
            );
        }
        assert_eq!(
            Scopes::parse(vec!["x".repeat(257)]),
            Err(ScopeError::Malformed { index: 0 })
        );
        assert_eq!(Scopes::parse(vec!["x".into(); 101]), Err(ScopeError::TooMany));
    }

    #[test]
    fn the_first_scope_outside_is_named() {
        let asked = Scopes::from_stored("read write");
        assert_eq!(asked.first_outside(&["read".into()]), Some("write"));
        assert_eq!(asked.first_outside(&["write".into(), "read".into()]), None);
    }
}
