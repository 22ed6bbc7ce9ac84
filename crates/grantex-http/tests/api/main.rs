//! The API as its callers see it: over a store in memory, with a clock and ids that repeat.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::indexing_slicing,
    missing_docs,
    reason = "a failed unwrap is a failed test"
)]

mod support;

mod access;
mod agents;
mod anomalies;
mod anomaly_channels;
mod anomaly_responses;
mod audit;
mod authorize;
mod biscuits;
mod bodies;
mod boundary;
mod clients;
mod consent;
mod deadlines;
mod delegation;
mod developers;
mod discovery;
mod events;
mod failures;
mod grants;
mod limits;
mod mounted;
mod oauth;
mod openapi;
mod operation;
mod pages;
mod policies;
mod policy_bundles;
mod principal;
mod revocation_feed;
mod secrets;
mod sockets;
mod streams;
mod tokens;
mod webhooks;
mod wire;
