//! The flows of the domain on a store in memory: what they answer, what they record, what they leave behind.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::indexing_slicing,
    reason = "tests fail by panicking"
)]

mod agents;
mod anomalies;
mod anomaly_channels;
mod anomaly_responses;
mod audit;
mod authorize;
mod delegate;
mod events;
mod exchange;
mod keys;
mod meanwhile;
mod policies;
mod policy_backends;
mod policy_bundles;
mod policy_management;
mod principal;
mod refresh;
mod revocation_feed;
mod revoke;
mod support;
mod sweep;
mod traces;
mod verify;
mod webhook_endpoints;
mod webhooks;
