//! Biscuits: made, narrowed by the library that anybody would use, opened; hostile ones; and the flows around them.
#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::print_stdout,
    reason = "a test reports by panicking"
)]

mod flows;
mod forms;
mod hostile;
mod narrowing;
mod public;
mod support;
