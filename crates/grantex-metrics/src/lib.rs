//! The service's metrics: a catalogue of every name, and [`Metrics`], which counts what happens and renders the text that
//! Prometheus scrapes.
//!
//! [`Metrics`] is core's [`Observer`](grantex_core::event::Observer): what happened is counted in one exhaustive match. HTTP
//! requests, gauges, jobs and log lines are told to it by the server. Nothing here is global; a process without metrics
//! simply makes none.

pub mod catalogue;
mod events;
mod exporter;
mod family;
mod gauges;
mod http;
pub mod label;
mod process;
mod streams;

pub use catalogue::docs_markdown;
pub use exporter::SetUpError;
pub use gauges::PoolState;
pub use label::{JanitorTable, Job, LogLevel, Pool, SigningKeyState, StreamEnd, StreamTransport};

use std::sync::Arc;

use exporter::Registry;

/// Counts what happens. Cheap to clone; clones count together.
#[derive(Clone)]
pub struct Metrics(Arc<Inner>);

struct Inner {
    registry: Registry,
    events: events::EventMetrics,
    gauges: gauges::GaugeMetrics,
    http: http::HttpMetrics,
    streams: streams::StreamMetrics,
}

impl Metrics {
    /// Metrics of this version of the server, whose requests go to these routes (their templates). All known series are 0.
    ///
    /// # Errors
    /// When the exporter refuses its bucket bounds.
    pub fn new(version: &'static str, routes: &[&'static str]) -> Result<Self, SetUpError> {
        let registry = Registry::new(routes)?;
        registry
            .gauge(&catalogue::build::INFO, &[("version", version)])
            .set(1.0);
        Ok(Self(Arc::new(Inner {
            events: events::EventMetrics::of(&registry, routes),
            gauges: gauges::GaugeMetrics::of(&registry),
            http: http::HttpMetrics::of(&registry),
            streams: streams::StreamMetrics::of(&registry),
            registry,
        })))
    }

    /// Tells of a finished HTTP request. `route` is its template, or [`catalogue::UNMATCHED`].
    pub fn request_finished(&self, method: &str, route: &'static str, status: u16, seconds: f64) {
        self.0.http.finished(&self.0.registry, method, route, status, seconds);
    }

    /// Tells how many requests began (or, negative, ended).
    pub fn in_flight(&self, delta: i64) {
        self.0.http.in_flight(delta);
    }

    /// The exposition text: format 0.0.4, ending in a newline.
    pub fn render(&self) -> String {
        let mut text = self.0.registry.render();
        text.push_str(&process::render());
        text
    }

    /// Folds what was observed into buckets: call it every few seconds, or memory grows between scrapes.
    pub fn run_upkeep(&self) {
        self.0.registry.run_upkeep();
    }
}
