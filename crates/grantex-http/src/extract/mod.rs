//! From bytes to commands: bodies, query strings and path segments, read strictly.
//!
//! Nothing here echoes what a client sent: an error names the field and says what it should be.

mod body;
mod field;
mod json;
mod percent;
mod query;

pub(crate) use body::{Body, read_body, unsupported};
pub(crate) use field::{
    EmailAddress, Instant, NonBlank, NotServed, Nullable, Only, OnlyValue, Text, clearable, present,
};
pub(crate) use json::{fitted, parse_object, typed};
pub(crate) use percent::{decode, decode_form};
pub(crate) use query::{Query, page_request};
