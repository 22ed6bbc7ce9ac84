//! Event streams: how many are open, what is sent over them, and why they end.

use grantex_core::event::{StreamEnd, StreamTransport};
use metrics::Counter;

use crate::Metrics;
use crate::catalogue::streams;
use crate::exporter::Registry;
use crate::family::{Counters, Gauges};

pub(crate) struct StreamMetrics {
    open: Gauges<StreamTransport>,
    refused: Counters<StreamTransport>,
    ended: Counters<StreamEnd>,
    sent: Counter,
}

impl StreamMetrics {
    pub(crate) fn of(registry: &Registry) -> Self {
        Self {
            open: Gauges::of(registry, &streams::OPEN),
            refused: Counters::of(registry, &streams::REFUSED, &[]),
            ended: Counters::of(registry, &streams::ENDED, &[]),
            sent: registry.counter(&streams::SENT, &[]),
        }
    }
}

impl Metrics {
    /// Tells of an event stream that was opened.
    pub fn stream_opened(&self, transport: StreamTransport) {
        self.0.streams.open.add(transport, 1.0);
    }

    /// Tells of an event stream that was refused, because its developer had too many.
    pub fn stream_refused(&self, transport: StreamTransport) {
        self.0.streams.refused.increment(transport);
    }

    /// Tells of an event stream that ended.
    pub fn stream_ended(&self, transport: StreamTransport, end: StreamEnd) {
        self.0.streams.open.add(transport, -1.0);
        self.0.streams.ended.increment(end);
    }

    /// Tells of events that were handed to the connection of a stream.
    pub fn stream_sent(&self, events: u64) {
        self.0.streams.sent.increment(events);
    }
}
