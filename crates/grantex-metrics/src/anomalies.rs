//! Detection of anomalies: how far behind it is, and what becomes of signals. Found anomalies are counted by their events.

use std::time::Duration;

use grantex_core::anomaly::detector::SignalCounts;
use metrics::{Counter, Gauge, Histogram};

use crate::Metrics;
use crate::catalogue::anomalies;
use crate::exporter::Registry;
use crate::label::{Closed as _, SignalOutcome};

pub(crate) struct AnomalyMetrics {
    open: Gauge,
    waiting: Gauge,
    lag: Histogram,
    folded: Counter,
    skipped: Counter,
    sampled: Counter,
    dropped: Counter,
}

impl AnomalyMetrics {
    pub(crate) fn of(registry: &Registry) -> Self {
        let signals = |outcome: SignalOutcome| registry.counter(&anomalies::SIGNALS, &[("outcome", outcome.text())]);
        Self {
            open: registry.gauge(&anomalies::UNACKNOWLEDGED, &[]),
            waiting: registry.gauge(&anomalies::WAITING, &[]),
            lag: registry.histogram(&anomalies::LAG, &[]),
            folded: signals(SignalOutcome::Folded),
            skipped: signals(SignalOutcome::Skipped),
            sampled: signals(SignalOutcome::Sampled),
            dropped: signals(SignalOutcome::Dropped),
        }
    }
}

impl Metrics {
    /// Sets how many anomalies are open.
    pub fn set_open_anomalies(&self, count: i64) {
        self.0.anomalies.open.set(count as f64);
    }

    /// Tells of a pass: the age of its oldest signal at its end.
    pub fn anomalies_looked_for(&self, lag: Duration) {
        self.0.anomalies.lag.record(lag);
    }

    /// Tells what became of signals since the start, and how many wait.
    pub fn set_signals(&self, counts: SignalCounts, waiting: usize) {
        self.0.anomalies.folded.absolute(counts.folded);
        self.0.anomalies.skipped.absolute(counts.skipped);
        self.0.anomalies.sampled.absolute(counts.sampled);
        self.0.anomalies.dropped.absolute(counts.dropped);
        self.0.anomalies.waiting.set(waiting as f64);
    }
}
