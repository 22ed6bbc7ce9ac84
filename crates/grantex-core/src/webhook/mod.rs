//! Webhooks: what developers are told of as it happens.

pub mod send;
