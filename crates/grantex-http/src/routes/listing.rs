//! What all listings share.

use grantex_core::page::{Page, PageRequest, PageStart};
use serde::Serialize;
use utoipa::ToSchema;

use crate::endpoint::Parameter;

/// The parameters of every listing.
pub(crate) const PAGING: &[Parameter] = &[PAGE, PAGE_SIZE, CURSOR];

pub(crate) const PAGE: Parameter = Parameter {
    name: "page",
    about: "Number of the page, from 1",
};
pub(crate) const PAGE_SIZE: Parameter = Parameter {
    name: "pageSize",
    about: "Entries on a page, 1 to 1000; 100 by default",
};
pub(crate) const CURSOR: Parameter = Parameter {
    name: "cursor",
    about: "nextCursor of the page before",
};

/// Where a listing stands.
#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Paging {
    /// Number of the page, unless it was reached by a cursor.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    page: Option<u64>,
    /// The most entries a page of this size holds.
    page_size: u32,
    /// Where the next page begins; absent on the last one.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    next_cursor: Option<String>,
}

impl Paging {
    /// The newest entries, which are no numbered page.
    pub(crate) const fn newest(size: u32) -> Self {
        Self {
            page: None,
            page_size: size,
            next_cursor: None,
        }
    }

    pub(crate) fn of<T>(request: &PageRequest, page: &Page<T>) -> Self {
        let number = match request.from {
            PageStart::Number(number) => Some(number),
            PageStart::After(_) => None,
        };
        Self {
            page: number,
            page_size: request.size,
            next_cursor: page.next.as_ref().map(|cursor| cursor.encode()),
        }
    }
}
