//! Query strings.

use std::borrow::Cow;

use grantex_core::page::{Cursor, DEFAULT_PAGE_SIZE, MAX_PAGE_SIZE, PageRequest, PageStart};

use super::percent::pairs;
use crate::error::ApiError;

/// Far beyond any listing; bounds the work of skipping.
const MAX_PAGE: u64 = 1_000_000;

/// The parameters of a request. Of a repeated one the last counts; unknown ones are ignored.
#[derive(Debug)]
pub(crate) struct Query<'a>(Vec<(Cow<'a, str>, Cow<'a, str>)>);

impl<'a> Query<'a> {
    pub(crate) fn parse(text: &'a str) -> Result<Self, ApiError> {
        pairs(text).collect::<Result<_, _>>().map(Self)
    }

    pub(crate) fn get(&self, name: &str) -> Option<&str> {
        self.0
            .iter()
            .rev()
            .find(|(key, _)| key == name)
            .map(|(_, value)| &**value)
    }

    /// A filter value: not empty, and short enough to exist.
    pub(crate) fn text(&self, name: &str, max: usize) -> Result<Option<String>, ApiError> {
        match self.get(name) {
            Some(value) if value.is_empty() || value.chars().count() > max => {
                Err(ApiError::field(name, &format!("must be 1 to {max} characters")))
            }
            value => Ok(value.map(str::to_owned)),
        }
    }

    /// A value that `parse` understands; `expected` says what that is.
    pub(crate) fn parsed<T>(
        &self,
        name: &str,
        parse: impl FnOnce(&str) -> Option<T>,
        expected: &str,
    ) -> Result<Option<T>, ApiError> {
        self.get(name)
            .map(|value| parse(value).ok_or_else(|| ApiError::field(name, expected)))
            .transpose()
    }
}

/// `page`, `pageSize` and `cursor`; the first part is `None` when neither `page` nor `cursor` is given.
pub(crate) fn page_request(query: &Query<'_>) -> Result<(Option<PageStart>, u32), ApiError> {
    let size = query.parsed(
        "pageSize",
        |text| number(text, u64::from(MAX_PAGE_SIZE)),
        "must be a number from 1 to 1000",
    )?;
    let size = size
        .and_then(|size| u32::try_from(size).ok())
        .unwrap_or(DEFAULT_PAGE_SIZE);
    let page = query.parsed(
        "page",
        |text| number(text, MAX_PAGE),
        "must be a number from 1 to 1000000",
    )?;
    let cursor = query.parsed("cursor", Cursor::decode, "must be a nextCursor of this listing")?;
    match (page, cursor) {
        (Some(_), Some(_)) => Err(ApiError::field("cursor", "must not be combined with `page`")),
        (Some(page), None) => Ok((Some(PageStart::Number(page)), size)),
        (None, Some(cursor)) => Ok((Some(PageStart::After(cursor)), size)),
        (None, None) => Ok((None, size)),
    }
}

impl Query<'_> {
    /// The page that is asked for, the first one by default.
    pub(crate) fn page(&self) -> Result<PageRequest, ApiError> {
        let (from, size) = page_request(self)?;
        Ok(PageRequest {
            size,
            from: from.unwrap_or(PageStart::Number(1)),
        })
    }
}

fn number(text: &str, max: u64) -> Option<u64> {
    let is_plain = !text.is_empty() && text.len() <= 10 && text.bytes().all(|byte| byte.is_ascii_digit());
    let number = if is_plain { text.parse().ok()? } else { return None };
    (1..=max).contains(&number).then_some(number)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a failed unwrap is a failed test")]

    use super::*;

    fn page(text: &str) -> Result<PageRequest, ApiError> {
        Query::parse(text).unwrap().page()
    }

    #[test]
    fn the_first_page_holds_a_hundred() {
        assert_eq!(page("").unwrap(), PageRequest::default());
        assert_eq!(
            page("page=3&pageSize=20&x=1").unwrap(),
            PageRequest {
                size: 20,
                from: PageStart::Number(3)
            }
        );
        assert_eq!(page("page=1&page=2").unwrap().from, PageStart::Number(2));
        let cursor = Cursor {
            at: 5,
            id: "grnt_1".into(),
        };
        assert_eq!(
            page(&format!("cursor={}", cursor.encode())).unwrap().from,
            PageStart::After(cursor)
        );
    }

    #[test]
    fn a_bad_page_names_its_parameter() {
        for (text, name) in [
            ("pageSize=0", "pageSize"),
            ("pageSize=1001", "pageSize"),
            ("pageSize=ten", "pageSize"),
            ("page=0", "page"),
            ("page=-1", "page"),
            ("page=99999999999999999999", "page"),
            ("page=", "page"),
            ("cursor=%21", "cursor"),
            ("page=1&cursor=MS5h", "cursor"),
        ] {
            let message = page(text).unwrap_err().message;
            assert!(message.starts_with(&format!("`{name}` must ")), "{text}: {message}");
        }
    }
}
