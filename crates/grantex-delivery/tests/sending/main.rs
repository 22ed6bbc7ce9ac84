//! The sender against real receivers on this machine, most of which do not behave.
//!
//! Receivers listen on 127.0.0.1, which stands for a public address here: it is the one network that is allowed. What must be
//! refused is everything else, 127.0.0.2 for example.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::indexing_slicing,
    reason = "a failed unwrap is a failed test"
)]

mod support;

mod addresses;
mod answers;
mod connections;
mod hostile;
mod http2;
mod requests;
mod tls;
