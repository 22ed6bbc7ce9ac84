//! Where HTTP requests and failed connections are told to the metrics and the log.

mod connections;

pub use connections::ConnectionErrors;

use grantex_http::HttpObserver;
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

    fn render(&self) -> Option<String> {
        Some(self.0.render())
    }
}
