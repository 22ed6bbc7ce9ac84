//! The HTTP side of Grantex as a library: routes that any actix app can mount.
//!
//! [`App`] holds the service and how it is to be served; [`routes`] mounts everything. Every request goes through one boundary,
//! which gives it an id, applies limits in the order address, key, body, renders every error as `{message, code, requestId}`,
//! and tells about it once: in one log line and one measurement. Handlers translate between JSON and the flows of
//! [`grantex_core`], and do nothing else.
//!
//! An application that knows its callers by means of its own says who they are with [`KnownDeveloper`].

mod answer;
mod app;
mod auth;
mod boundary;
mod call;
mod client;
mod endpoint;
mod error;
mod etag;
mod extract;
mod feed;
mod known;
pub mod limit;
mod observe;
mod openapi;
pub mod pages;
mod ready;
mod routes;
mod settings;
mod streams;

pub use app::App;
pub use boundary::collapse_leading_slashes;
pub use client::{TrustProxy, TrustProxyError};
pub use feed::{FeedNews, FeedSettings, Followers};
pub use known::KnownDeveloper;
pub use limit::RateLimits;
pub use observe::{HttpObserver, Unmeasured};
pub use ready::{Check, Readiness, ReadinessReport};
pub use routes::{route_templates, routes};
pub use settings::HttpSettings;
pub use streams::{StreamEnd, StreamNews, StreamSettings, StreamTransport, Streams};
