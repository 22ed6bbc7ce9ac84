//! The Prometheus recorder: bounds, registration, and the text that is served. Ours alone; nothing is installed globally.

use metrics::{Counter, Gauge, Histogram, Key, KeyName, Label, Level, Metadata, Recorder as _};
use metrics_exporter_prometheus::{BuildError, Matcher, PrometheusBuilder, PrometheusHandle, PrometheusRecorder};

use crate::catalogue::{Kind, Metric, recorded};

const METADATA: Metadata<'static> = Metadata::new("grantex", Level::INFO, None);

/// The metrics could not be set up.
#[derive(Debug, thiserror::Error)]
#[error("the metrics exporter could not be set up")]
pub struct SetUpError(#[from] BuildError);

/// Where metrics are registered and rendered.
pub struct Registry {
    recorder: PrometheusRecorder,
    handle: PrometheusHandle,
}

impl Registry {
    /// A registry in which every known series of the catalogue is 0.
    pub fn new(routes: &[&'static str]) -> Result<Self, SetUpError> {
        // Handles are held for good, so there is no idle timeout: an increment of a dropped series would be lost.
        let mut builder = PrometheusBuilder::new();
        for metric in recorded() {
            if let Kind::Histogram(bounds) = metric.kind {
                builder = builder.set_buckets_for_metric(Matcher::Full(metric.name.to_owned()), bounds)?;
            }
        }
        let recorder = builder.build_recorder();
        let handle = recorder.handle();
        let registry = Self { recorder, handle };
        for metric in recorded() {
            registry.describe(metric);
            for labels in metric.known_labels(routes) {
                registry.register(metric, &labels);
            }
        }
        Ok(registry)
    }

    fn describe(&self, metric: &Metric) {
        let (name, help) = (KeyName::from_const_str(metric.name), metric.help.into());
        match metric.kind {
            Kind::Counter => self.recorder.describe_counter(name, None, help),
            Kind::Gauge => self.recorder.describe_gauge(name, None, help),
            Kind::Histogram(_) => self.recorder.describe_histogram(name, None, help),
        }
    }

    fn register(&self, metric: &Metric, labels: &[(&'static str, &'static str)]) {
        match metric.kind {
            Kind::Counter => self.counter(metric, labels).increment(0),
            Kind::Gauge => self.gauge(metric, labels).set(0.0),
            Kind::Histogram(_) => drop(self.histogram(metric, labels)),
        }
    }

    /// The counter of this metric with these labels.
    pub fn counter(&self, metric: &Metric, labels: &[(&'static str, &'static str)]) -> Counter {
        self.recorder.register_counter(&key(metric, labels), &METADATA)
    }

    /// The gauge of this metric with these labels.
    pub fn gauge(&self, metric: &Metric, labels: &[(&'static str, &'static str)]) -> Gauge {
        self.recorder.register_gauge(&key(metric, labels), &METADATA)
    }

    /// The histogram of this metric with these labels.
    pub fn histogram(&self, metric: &Metric, labels: &[(&'static str, &'static str)]) -> Histogram {
        self.recorder.register_histogram(&key(metric, labels), &METADATA)
    }

    /// The histogram of this metric with labels of which some are not static.
    pub fn histogram_with(&self, metric: &Metric, labels: Vec<Label>) -> Histogram {
        self.recorder
            .register_histogram(&Key::from_parts(metric.name, labels), &METADATA)
    }

    /// The text format; ends in a newline.
    pub fn render(&self) -> String {
        self.handle.render()
    }

    /// Drains samples into buckets. Without it histograms grow by every observation until somebody renders.
    pub fn run_upkeep(&self) {
        self.handle.run_upkeep();
    }
}

fn key(metric: &Metric, labels: &[(&'static str, &'static str)]) -> Key {
    let labels: Vec<Label> = labels
        .iter()
        .map(|(name, value)| Label::from_static_parts(name, value))
        .collect();
    Key::from_parts(metric.name, labels)
}
