//! Where HTTP requests and failed connections are told to the metrics and the log.

use std::time::Duration;

use grantex_core::event::{Event, Observer as _};
use grantex_http::HttpObserver;
use grantex_metrics::Metrics;
use slog::Logger;

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

/// Failed connections → log and metrics. They belong to no request, so no flow can tell of them.
pub struct ConnectionErrors {
    logger: Logger,
    metrics: Option<Metrics>,
}

impl ConnectionErrors {
    /// Tells this logger and these metrics.
    pub const fn new(logger: Logger, metrics: Option<Metrics>) -> Self {
        Self { logger, metrics }
    }

    /// A connection of this pool failed.
    pub fn report(&self, pool: &'static str, error: &str) {
        let event = Event::DatabaseConnectionError {
            error: error.to_owned(),
            pool,
        };
        event.log(&self.logger, Duration::ZERO);
        if let Some(metrics) = &self.metrics {
            metrics.observe(&event, Duration::ZERO);
        }
    }
}
