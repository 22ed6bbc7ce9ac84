//! Reading members of answers, and pages.

use grantex_core::clock::Timestamp;
use grantex_core::secret::Secret;
use serde::de::Error as _;
use serde::{Deserialize, Deserializer};

/// A part of a list.
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub struct Page<T> {
    /// What is on it.
    pub items: Vec<T>,
    /// Where the next page begins; `None` on the last one.
    pub next_cursor: Option<String>,
}

/// Which part of a list.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Paging {
    size: Option<String>,
    cursor: Option<String>,
}

impl Paging {
    /// The first page, of the service's usual size.
    pub fn first() -> Self {
        Self::default()
    }

    /// The page that begins at a [`Page::next_cursor`].
    pub fn after(cursor: impl Into<String>) -> Self {
        Self {
            size: None,
            cursor: Some(cursor.into()),
        }
    }

    /// Entries on a page, 1 to 1,000.
    #[must_use]
    pub fn size(mut self, size: u32) -> Self {
        self.size = Some(size.to_string());
        self
    }

    /// Its query parameters.
    pub(super) fn query(&self) -> impl Iterator<Item = (&'static str, &str)> {
        let size = self.size.as_deref().map(|size| ("pageSize", size));
        let cursor = self.cursor.as_deref().map(|cursor| ("cursor", cursor));
        size.into_iter().chain(cursor)
    }
}

/// The parameters of a query that are there.
pub(super) fn present<'a>(all: &[(&'static str, Option<&'a str>)]) -> Vec<(&'static str, &'a str)> {
    all.iter()
        .filter_map(|(name, value)| Some((*name, (*value)?)))
        .collect()
}

pub(super) fn time<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Timestamp, D::Error> {
    let text = String::deserialize(deserializer)?;
    Timestamp::parse_rfc3339(&text).ok_or_else(|| D::Error::custom("must be a time"))
}

pub(super) fn optional_time<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<Timestamp>, D::Error> {
    let Some(text) = Option::<String>::deserialize(deserializer)? else {
        return Ok(None);
    };
    Timestamp::parse_rfc3339(&text)
        .map(Some)
        .ok_or_else(|| D::Error::custom("must be a time"))
}

pub(super) fn secret<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Secret<String>, D::Error> {
    String::deserialize(deserializer).map(Secret::new)
}

pub(super) fn optional_secret<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<Secret<String>>, D::Error> {
    Ok(Option::<String>::deserialize(deserializer)?.map(Secret::new))
}
