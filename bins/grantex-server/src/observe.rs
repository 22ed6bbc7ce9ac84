//! Where HTTP requests and failed connections are told to the metrics and the log.

mod connections;

pub use connections::ConnectionErrors;

use grantex_http::{HttpObserver, StreamEnd, StreamNews, Transport};
use grantex_metrics::{Metrics, StreamTransport};

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
            StreamNews::Opened(transport) => self.0.stream_opened(carried(transport)),
            StreamNews::Refused(transport) => self.0.stream_refused(carried(transport)),
            StreamNews::Sent(events) => self.0.stream_sent(events),
            StreamNews::Ended(transport, end) => self.0.stream_ended(carried(transport), reason(end)),
        }
    }

    fn render(&self) -> Option<String> {
        Some(self.0.render())
    }
}

const fn carried(transport: Transport) -> StreamTransport {
    match transport {
        Transport::Sse => StreamTransport::Sse,
        Transport::WebSocket => StreamTransport::WebSocket,
    }
}

const fn reason(end: StreamEnd) -> grantex_metrics::StreamEnd {
    match end {
        StreamEnd::Client => grantex_metrics::StreamEnd::Client,
        StreamEnd::Draining => grantex_metrics::StreamEnd::Draining,
        StreamEnd::Slow => grantex_metrics::StreamEnd::Slow,
        StreamEnd::KeyChanged => grantex_metrics::StreamEnd::KeyChanged,
        StreamEnd::Expired => grantex_metrics::StreamEnd::Expired,
        StreamEnd::Error => grantex_metrics::StreamEnd::Error,
    }
}
