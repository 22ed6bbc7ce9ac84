//! Where HTTP requests and failed connections are told to the metrics and the log.

mod connections;

pub use connections::ConnectionErrors;

use grantex_http::{FeedNews, HttpObserver, StreamNews};
use grantex_metrics::Metrics;

/// HTTP requests → metrics.
pub struct HttpMetrics(pub Metrics);

impl HttpObserver for HttpMetrics {
    fn request_finished(&self, method: &'static str, route: &'static str, status: u16, seconds: f64) {
        self.0.request_finished(method, route, status, seconds);
    }

    fn in_flight(&self, delta: i64) {
        self.0.in_flight(delta);
    }

    fn stream(&self, news: StreamNews) {
        match news {
            StreamNews::Opened(transport) => self.0.stream_opened(transport),
            StreamNews::Refused(transport) => self.0.stream_refused(transport),
            StreamNews::Sent(events) => self.0.stream_sent(events),
            StreamNews::Ended(transport, end) => self.0.stream_ended(transport, end),
        }
    }

    fn revocation_feed(&self, news: FeedNews) {
        match news {
            FeedNews::Opened => self.0.revocation_stream_opened(),
            FeedNews::Refused => self.0.revocation_stream_refused(),
            FeedNews::Sent(entries) => self.0.revocations_sent(entries),
            FeedNews::Ended(end) => self.0.revocation_stream_ended(end),
            FeedNews::ReadFailed => self.0.revocation_read_failed(),
            FeedNews::Propagated(took) => self.0.revocation_propagated(took),
        }
    }

    fn render(&self) -> Option<String> {
        Some(self.0.render())
    }
}
