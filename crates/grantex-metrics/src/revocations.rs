//! The revocation feed: streams, failed looks, and how soon clients refuse.

use std::time::Duration;

use grantex_core::event::StreamEnd;
use metrics::{Counter, Gauge, Histogram};

use crate::Metrics;
use crate::catalogue::revocations;
use crate::exporter::Registry;
use crate::family::Counters;

pub(crate) struct RevocationMetrics {
    propagation: Histogram,
    open: Gauge,
    refused: Counter,
    ended: Counters<StreamEnd>,
    sent: Counter,
    read_failures: Counter,
}

impl RevocationMetrics {
    pub(crate) fn of(registry: &Registry) -> Self {
        Self {
            propagation: registry.histogram(&revocations::PROPAGATION, &[]),
            open: registry.gauge(&revocations::OPEN, &[]),
            refused: registry.counter(&revocations::REFUSED, &[]),
            ended: Counters::of(registry, &revocations::ENDED, &[]),
            sent: registry.counter(&revocations::SENT, &[]),
            read_failures: registry.counter(&revocations::READ_FAILURES, &[]),
        }
    }
}

impl Metrics {
    /// Tells of a stream of the revocation feed that was opened.
    pub fn revocation_stream_opened(&self) {
        self.0.revocations.open.increment(1.0);
    }

    /// Tells of a stream of the revocation feed that was refused, because its developer had too many.
    pub fn revocation_stream_refused(&self) {
        self.0.revocations.refused.increment(1);
    }

    /// Tells of a stream of the revocation feed that ended.
    pub fn revocation_stream_ended(&self, end: StreamEnd) {
        self.0.revocations.open.decrement(1.0);
        self.0.revocations.ended.increment(end);
    }

    /// Tells of entries that were handed to the connection of a stream of the revocation feed.
    pub fn revocations_sent(&self, entries: u64) {
        self.0.revocations.sent.increment(entries);
    }

    /// Tells that the revocation feed could not be read.
    pub fn revocation_read_failed(&self) {
        self.0.revocations.read_failures.increment(1);
    }

    /// Tells how long it took from a revocation to the first refusal at a client.
    pub fn revocation_propagated(&self, took: Duration) {
        self.0.revocations.propagation.record(took.as_secs_f64());
    }
}
