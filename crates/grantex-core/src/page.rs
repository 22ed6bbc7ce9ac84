//! Listings: a page at a time, never a whole table.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;

/// The page size without a wish.
pub const DEFAULT_PAGE_SIZE: u32 = 100;
/// The largest page.
pub const MAX_PAGE_SIZE: u32 = 1_000;

/// Which part of a listing is wanted.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PageRequest {
    /// Rows at most, 1 to [`MAX_PAGE_SIZE`].
    pub size: u32,
    /// Where to begin.
    pub from: PageStart,
}

/// Where a page begins.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum PageStart {
    /// Page `n`, from 1; pages before it are skipped.
    Number(u64),
    /// Behind the row that a cursor names.
    After(Cursor),
}

impl Default for PageRequest {
    fn default() -> Self {
        Self {
            size: DEFAULT_PAGE_SIZE,
            from: PageStart::Number(1),
        }
    }
}

impl PageRequest {
    /// Rows to skip.
    pub fn offset(&self) -> u64 {
        match self.from {
            PageStart::Number(number) => number.saturating_sub(1).saturating_mul(u64::from(self.size)),
            PageStart::After(_) => 0,
        }
    }

    /// The cursor, when the page begins behind one.
    pub fn after(&self) -> Option<&Cursor> {
        match &self.from {
            PageStart::After(cursor) => Some(cursor),
            PageStart::Number(_) => None,
        }
    }
}

/// The sort key of the last row of a page: a number (time in ms or sequence) and an id.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Cursor {
    /// The first sort column.
    pub at: i64,
    /// The second sort column, unique.
    pub id: String,
}

impl Cursor {
    /// The opaque wire form.
    pub fn encode(&self) -> String {
        URL_SAFE_NO_PAD.encode(format!("{}.{}", self.at, self.id))
    }

    /// Reads the wire form.
    pub fn decode(text: &str) -> Option<Self> {
        if text.len() > 200 {
            return None;
        }
        let bytes = URL_SAFE_NO_PAD.decode(text).ok()?;
        let (at, id) = std::str::from_utf8(&bytes).ok()?.split_once('.')?;
        let is_plain = id.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'_');
        is_plain.then_some(Self {
            at: at.parse().ok()?,
            id: id.to_owned(),
        })
    }
}

/// One page.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Page<T> {
    /// The rows in order.
    pub items: Vec<T>,
    /// Where the next page begins; `None` on the last one.
    pub next: Option<Cursor>,
}

impl<T> Page<T> {
    /// Cuts a list that was fetched with one row more than the page holds.
    pub fn from_overfetched(mut items: Vec<T>, size: u32, cursor: impl Fn(&T) -> Cursor) -> Self {
        let size = usize::try_from(size).unwrap_or(usize::MAX);
        let has_more = items.len() > size;
        items.truncate(size);
        let next = if has_more { items.last().map(cursor) } else { None };
        Self { items, next }
    }

    /// The same page of something else.
    pub fn map<U>(self, change: impl FnMut(T) -> U) -> Page<U> {
        Page {
            items: self.items.into_iter().map(change).collect(),
            next: self.next,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn cursors_round_trip_and_reject_garbage() {
        let cursor = Cursor {
            at: 1_700_000_000_000,
            id: "grnt_01ARZ3NDEKTSV4RRFFQ69G5FAV".into(),
        };
        assert_eq!(Cursor::decode(&cursor.encode()), Some(cursor));
        for text in ["", "!!!", "MTIz", "eC55", &"A".repeat(300)] {
            assert_eq!(Cursor::decode(text), None, "{text}");
        }
    }

    #[test]
    fn the_extra_row_only_tells_that_there_is_more() {
        let cursor = |n: &i64| Cursor { at: *n, id: "x".into() };
        assert_eq!(
            Page::from_overfetched(vec![1, 2, 3], 2, cursor).next,
            Some(Cursor { at: 2, id: "x".into() })
        );
        assert_eq!(
            Page::from_overfetched(vec![1, 2], 2, cursor),
            Page {
                items: vec![1, 2],
                next: None
            }
        );
    }
}
