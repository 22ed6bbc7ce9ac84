//! What a request looks like from outside: the port through which requests are measured.

use crate::feed::FeedNews;
use crate::streams::StreamNews;

/// Learns of every request. Must not block.
pub trait HttpObserver: Send + Sync + 'static {
    /// A request was answered. `route` is the template, or `unmatched`.
    fn request_finished(&self, method: &'static str, route: &'static str, status: u16, seconds: f64);

    /// The number of requests in work changed by `delta`. An event stream counts until it is open.
    fn in_flight(&self, delta: i64);

    /// Something happened to event streams.
    fn stream(&self, news: StreamNews);

    /// Something happened to the revocation feed.
    fn revocation_feed(&self, news: FeedNews);

    /// The metrics in Prometheus text format; `None` when there are none to show, and then `/metrics` does not exist.
    fn render(&self) -> Option<String>;
}

/// Measures nothing.
#[derive(Debug, Clone, Copy, Default)]
pub struct Unmeasured;

impl HttpObserver for Unmeasured {
    fn request_finished(&self, _method: &'static str, _route: &'static str, _status: u16, _seconds: f64) {}
    fn in_flight(&self, _delta: i64) {}
    fn stream(&self, _news: StreamNews) {}
    fn revocation_feed(&self, _news: FeedNews) {}
    fn render(&self) -> Option<String> {
        None
    }
}
