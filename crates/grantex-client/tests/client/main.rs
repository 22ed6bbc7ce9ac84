//! The client against a service that is made of paper: it answers what the contract says, or what it must never say.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::indexing_slicing,
    reason = "a test reports by panicking"
)]

mod api;
mod attenuate;
mod feed;
mod keys;
mod middleware;
mod online;
mod service;
mod support;
mod verify;
