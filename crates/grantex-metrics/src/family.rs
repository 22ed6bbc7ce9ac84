//! Handles of one metric, one for each value of a closed label, registered once so that counting is an index and an add.

use metrics::{Counter, Gauge, Histogram};

use crate::catalogue::Metric;
use crate::exporter::Registry;
use crate::label::Closed;

/// Counters of one metric with one closed label.
pub struct Counters<T>(Vec<(T, Counter)>);

impl<T: Closed> Counters<T> {
    /// Registers one counter a value of the metric's first label, with `fixed` values of further labels.
    pub fn of(registry: &Registry, metric: &Metric, fixed: &[(&'static str, &'static str)]) -> Self {
        Self(each(metric, fixed, |labels| registry.counter(metric, labels)))
    }

    /// Adds one.
    pub fn increment(&self, value: T) {
        self.add(value, 1);
    }

    /// Adds many.
    pub fn add(&self, value: T, count: u64) {
        if let Some(counter) = find(&self.0, value) {
            counter.increment(count);
        }
    }
}

/// Gauges of one metric with one closed label.
pub struct Gauges<T>(Vec<(T, Gauge)>);

impl<T: Closed> Gauges<T> {
    /// Registers one gauge a value of the metric's label.
    pub fn of(registry: &Registry, metric: &Metric) -> Self {
        Self(each(metric, &[], |labels| registry.gauge(metric, labels)))
    }

    /// Sets one.
    pub fn set(&self, value: T, to: f64) {
        if let Some(gauge) = find(&self.0, value) {
            gauge.set(to);
        }
    }

    /// Changes one.
    pub fn add(&self, value: T, delta: f64) {
        if let Some(gauge) = find(&self.0, value) {
            gauge.increment(delta);
        }
    }
}

/// Histograms of one metric with one closed label.
pub struct Histograms<T>(Vec<(T, Histogram)>);

impl<T: Closed> Histograms<T> {
    /// Registers one histogram a value of the metric's label.
    pub fn of(registry: &Registry, metric: &Metric) -> Self {
        Self(each(metric, &[], |labels| registry.histogram(metric, labels)))
    }

    /// Observes one value.
    pub fn record(&self, value: T, observed: f64) {
        if let Some(histogram) = find(&self.0, value) {
            histogram.record(observed);
        }
    }
}

fn each<T: Closed, H>(
    metric: &Metric,
    fixed: &[(&'static str, &'static str)],
    register: impl Fn(&[(&'static str, &'static str)]) -> H,
) -> Vec<(T, H)> {
    let name = metric.labels.first().map_or("", |label| label.name);
    T::ALL
        .iter()
        .map(|value| (*value, register(&[&[(name, value.text())], fixed].concat())))
        .collect()
}

fn find<T: Closed, H>(handles: &[(T, H)], value: T) -> Option<&H> {
    handles
        .iter()
        .find(|(known, _)| *known == value)
        .map(|(_, handle)| handle)
}
