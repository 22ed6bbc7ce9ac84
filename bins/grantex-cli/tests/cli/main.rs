//! The real binary against a service in this process: each command, its answers to the byte, and its exit codes.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::disallowed_methods,
    reason = "a failed unwrap is a failed test, and waits have deadlines"
)]

mod audit;
mod events;
mod grants;
mod support;
mod surface;
mod tokens;
