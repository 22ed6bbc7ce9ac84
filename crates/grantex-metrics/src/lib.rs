//! The service's metrics: a catalogue of every name, and [`Metrics`], which counts what happens and renders the text that
//! Prometheus scrapes.
//!
//! [`Metrics`] is core's [`Observer`](grantex_core::event::Observer): what happened is counted in one exhaustive match. HTTP
//! requests, gauges, jobs and log lines are told to it by the server. Nothing here is global; a process without metrics
//! simply makes none.

mod agents;
mod anomalies;
pub mod catalogue;
mod events;
mod exporter;
mod family;
mod gauges;
mod http;
pub mod label;
mod process;
mod revocations;
mod streams;

pub use agents::MOST_AGENTS;
pub use catalogue::docs_markdown;
pub use exporter::SetUpError;
pub use gauges::PoolState;
pub use label::{JanitorTable, Job, LogLevel, Pool, SigningKeyState, Snapshot, SpanFate};

use std::sync::Arc;

use grantex_core::clock::{Clock, SystemClock};

use exporter::Registry;

/// Counts what happens. Cheap to clone; clones count together.
#[derive(Clone)]
pub struct Metrics(Arc<Inner>);

struct Inner {
    registry: Registry,
    events: events::EventMetrics,
    agents: agents::AgentMetrics,
    gauges: gauges::GaugeMetrics,
    http: http::HttpMetrics,
    streams: streams::StreamMetrics,
    revocations: revocations::RevocationMetrics,
    anomalies: anomalies::AnomalyMetrics,
}

/// How many agents have series of their own, unless something else is asked for.
pub const AGENT_SERIES: u32 = 100;

impl Metrics {
    /// Metrics of this version of the server, whose requests go to these routes (their templates). All known series are 0.
    ///
    /// # Errors
    /// When the exporter refuses its bucket bounds.
    pub fn new(version: &'static str, routes: &[&'static str]) -> Result<Self, SetUpError> {
        Self::with_agents(version, routes, AGENT_SERIES, Arc::new(SystemClock::new()))
    }

    /// The same, with series of their own for up to `agents` agents ([`MOST_AGENTS`] at most; 0 for none). `clock` says when
    /// an agent has been idle for long, and how old gauges are.
    ///
    /// # Errors
    /// When the exporter refuses its bucket bounds.
    pub fn with_agents(
        version: &'static str,
        routes: &[&'static str],
        agents: u32,
        clock: Arc<dyn Clock>,
    ) -> Result<Self, SetUpError> {
        let registry = Registry::new(routes)?;
        registry
            .gauge(&catalogue::build::INFO, &[("version", version)])
            .set(1.0);
        Ok(Self(Arc::new(Inner {
            events: events::EventMetrics::of(&registry, routes),
            agents: agents::AgentMetrics::of(&registry, agents, Arc::clone(&clock)),
            gauges: gauges::GaugeMetrics::of(&registry, clock),
            http: http::HttpMetrics::of(&registry),
            streams: streams::StreamMetrics::of(&registry),
            revocations: revocations::RevocationMetrics::of(&registry),
            anomalies: anomalies::AnomalyMetrics::of(&registry),
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
        self.0.gauges.set_ages();
        self.0.agents.set_count();
        let mut text = self.0.registry.render();
        // A String takes everything.
        let _ = self.0.agents.render(&mut text);
        text.push_str(&process::render());
        text
    }

    /// Folds what was observed into buckets, and takes series from agents that are idle: call it every few seconds, or memory
    /// grows between scrapes.
    pub fn run_upkeep(&self) {
        self.0.agents.tidy();
        self.0.registry.run_upkeep();
    }
}
