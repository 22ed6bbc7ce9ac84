//! Which events somebody wants to be told of.

use std::fmt;

use super::kind;

/// A choice of events by their types: all of them, all under a prefix such as `grant.*`, or exact ones.
///
/// ```
/// use grantex_core::event::filter::EventFilter;
///
/// let filter = EventFilter::parse(["grant.*", "token.issued"]).unwrap();
/// assert!(filter.admits("grant.revoked") && filter.admits("token.issued"));
/// assert!(!filter.admits("token.revoked"));
/// ```
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct EventFilter {
    /// None at all stand for every event: the usual choice costs no memory.
    patterns: Vec<Pattern>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Pattern {
    /// Every type that begins like this; ends in a dot.
    Under(&'static str),
    /// This type.
    Only(&'static str),
}

/// A type that does not exist was asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct UnknownEventType;

impl std::error::Error for UnknownEventType {}

impl fmt::Display for UnknownEventType {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("must name event types: `*`, a prefix such as `grant.*`, or ")?;
        f.write_str(&kind::KNOWN.join(", "))
    }
}

impl EventFilter {
    /// Every event.
    pub const fn everything() -> Self {
        Self { patterns: Vec::new() }
    }

    /// Reads the wire form: each text is `*`, a prefix of known types that ends in `.*`, or a known type, exactly. No text at
    /// all means every event. However much is asked for, the result holds each choice once.
    ///
    /// # Errors
    /// When a text is none of these.
    pub fn parse<'a>(texts: impl IntoIterator<Item = &'a str>) -> Result<Self, UnknownEventType> {
        let (mut patterns, mut is_everything) = (Vec::new(), false);
        for text in texts {
            if text == "*" {
                is_everything = true;
                continue;
            }
            let pattern = Pattern::parse(text).ok_or(UnknownEventType)?;
            if !patterns.contains(&pattern) {
                patterns.push(pattern);
            }
        }
        if is_everything {
            patterns.clear();
        }
        Ok(Self { patterns })
    }

    /// Whether an event of this type is wanted.
    pub fn admits(&self, kind: &str) -> bool {
        self.is_everything() || self.patterns.iter().any(|pattern| pattern.admits(kind))
    }

    /// Whether every event is wanted.
    pub const fn is_everything(&self) -> bool {
        self.patterns.is_empty()
    }

    /// The wanted types, for a store that looks for them; `None` when every event is wanted.
    pub fn kinds(&self) -> Option<Vec<&'static str>> {
        let wanted = || kind::KNOWN.iter().copied().filter(|kind| self.admits(kind));
        (!self.is_everything()).then(|| wanted().collect())
    }

    /// Reads the stored form, which [`fmt::Display`] wrote; types that exist no longer are passed over.
    pub fn from_stored(text: &str) -> Self {
        let (mut patterns, mut is_everything) = (Vec::new(), false);
        for text in text.split(',') {
            is_everything |= text == "*";
            patterns.extend(Pattern::parse(text));
        }
        // A filter of which nothing is left wants nothing, not everything.
        if !is_everything && patterns.is_empty() {
            patterns.push(Pattern::Only(""));
        }
        if is_everything {
            patterns.clear();
        }
        Self { patterns }
    }

    /// The wire form, which [`EventFilter::parse`] reads.
    pub fn texts(&self) -> Vec<String> {
        if self.is_everything() {
            return vec!["*".to_owned()];
        }
        let text = |pattern: &Pattern| match pattern {
            Pattern::Under(prefix) => format!("{prefix}*"),
            Pattern::Only(kind) => (*kind).to_owned(),
        };
        self.patterns.iter().map(text).collect()
    }
}

impl fmt::Display for EventFilter {
    /// The stored form: the wire form, joined by commas.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.texts().join(","))
    }
}

impl Pattern {
    fn parse(text: &str) -> Option<Self> {
        match text.strip_suffix('*') {
            Some(prefix) if prefix.ends_with('.') => {
                let kind = kind::KNOWN.iter().find(|kind| kind.starts_with(prefix))?;
                kind.get(..prefix.len()).map(Self::Under)
            }
            Some(_) => None,
            None => kind::known(text).map(Self::Only),
        }
    }

    fn admits(&self, kind: &str) -> bool {
        match self {
            Self::Under(prefix) => kind.starts_with(prefix),
            Self::Only(wanted) => kind == *wanted,
        }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a failed unwrap is a failed test")]

    use proptest::prelude::*;

    use super::*;

    fn parse(text: &str) -> Result<EventFilter, UnknownEventType> {
        EventFilter::parse(text.split(','))
    }

    #[test]
    fn nothing_and_a_star_mean_everything() {
        for filter in [
            EventFilter::default(),
            EventFilter::parse([]).unwrap(),
            parse("*").unwrap(),
            parse("grant.created,*").unwrap(),
        ] {
            assert!(filter.is_everything() && filter.admits("grant.created") && filter.admits("not.yet.known"));
            assert_eq!((filter.kinds(), filter.texts()), (None, vec!["*".to_owned()]));
        }
    }

    #[test]
    fn prefixes_cover_what_is_below_them() {
        let filter = parse("sso.connection.*,vc.issued,vc.issued").unwrap();
        assert_eq!(
            filter.kinds().unwrap(),
            [
                "sso.connection.created",
                "sso.connection.deleted",
                "sso.connection.updated",
                "vc.issued"
            ]
        );
        assert!(!filter.admits("sso.login"));
        assert_eq!(filter.texts(), ["sso.connection.*", "vc.issued"]);
        assert!(parse("sso.*").unwrap().admits("sso.connection.created"));
    }

    #[test]
    fn types_are_compared_exactly() {
        for text in [
            "",
            " grant.created",
            "grant.created,",
            "Grant.created",
            "grant",
            "grant.",
            "grant*",
            "gr.*",
            "gran*",
            ".*",
            "**",
            "*.created",
            "grant.created.*",
            "\0",
        ] {
            assert_eq!(parse(text), Err(UnknownEventType), "{text:?}");
        }
        assert!(UnknownEventType.to_string().contains("grant.revoked"));
    }

    #[test]
    fn every_known_type_can_be_asked_for() {
        for kind in kind::KNOWN {
            let filter = parse(kind).unwrap();
            assert_eq!(filter.kinds().unwrap(), [*kind]);
        }
        assert!(kind::EMITTED.iter().all(|kind| kind::known(kind) == Some(kind)));
    }

    #[test]
    fn the_stored_form_is_read_back_and_what_is_unknown_is_passed_over() {
        for text in ["*", "grant.*,token.issued", "sso.connection.*"] {
            let filter = parse(text).unwrap();
            assert_eq!(
                (filter.to_string(), EventFilter::from_stored(text)),
                (text.to_owned(), filter)
            );
        }
        let filter = EventFilter::from_stored("gone.for.good,token.issued");
        assert!(filter.admits("token.issued") && !filter.admits("gone.for.good"));
        assert!(!EventFilter::from_stored("gone.for.good").admits("token.issued"));
        assert!(!EventFilter::from_stored("").admits("token.issued"));
    }

    proptest! {
        #[test]
        fn any_text_is_read_or_refused(texts in proptest::collection::vec("[a-z.*_-]{0,16}|grant\\.\\*|[*]|token\\.issued|\\PC{0,8}", 0..6)) {
            if let Ok(filter) = EventFilter::parse(texts.iter().map(String::as_str)) {
                let again = filter.texts();
                prop_assert_eq!(EventFilter::parse(again.iter().map(String::as_str)).unwrap(), filter.clone());
                for kind in kind::KNOWN {
                    let is_asked_for = texts.is_empty()
                        || texts.iter().any(|text| text == kind || text == "*" || text.strip_suffix('*').is_some_and(|prefix| kind.starts_with(prefix)));
                    prop_assert_eq!(filter.admits(kind), is_asked_for);
                }
            }
        }
    }
}
