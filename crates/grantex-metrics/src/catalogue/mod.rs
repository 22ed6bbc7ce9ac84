//! Every metric: its name, type, help, unit and labels. From here they are described, exported as 0 from the start, and
//! documented.

mod areas;
mod docs;

use std::fmt;

pub use areas::AREAS;
pub use docs::docs_markdown;

pub use areas::{
    agents, anomalies, authorize, build, consent, database, grants, http, jobs, keys, limits, logs, policies, process,
    revocations, single_agents, snapshots, streams, tokens, traces, webhooks,
};

/// The label value for requests that no route matched.
pub const UNMATCHED: &str = "unmatched";
/// The label value for agents that have no series of their own, and for what no agent can be blamed for.
pub const OTHER: &str = "other";

/// Bucket bounds for the durations of requests, in seconds: the bounds of the latency alerts (0.5 and 2) are among them.
pub const REQUEST_SECONDS: &[f64] = &[
    0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.0, 5.0, 10.0,
];
/// Bucket bounds for how long people take, in seconds.
pub const PEOPLE_SECONDS: &[f64] = &[1.0, 2.0, 5.0, 10.0, 30.0, 60.0, 120.0, 300.0, 600.0, 900.0];
/// Bucket bounds for the way from an event to its receiver, in seconds: milliseconds to three days.
pub const DELIVERY_SECONDS: &[f64] = &[
    0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 60.0, 600.0, 3_600.0, 21_600.0, 86_400.0, 259_200.0,
];
/// Bucket bounds for the way from a revocation to the first refusal because of it, in seconds: clients refuse everything when they
/// have heard nothing for five.
pub const PROPAGATION_SECONDS: &[f64] = &[0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.0, 5.0, 10.0, 60.0, 600.0];
/// Bucket bounds for jobs, in seconds.
pub const JOB_SECONDS: &[f64] = &[0.001, 0.005, 0.01, 0.05, 0.1, 0.5, 1.0, 5.0, 10.0, 30.0, 60.0];
/// Bucket bounds for signatures, in seconds: an RSA-2048 signature takes about 0.2 ms, an ECDSA one about 0.01 ms.
pub const SIGN_SECONDS: &[f64] = &[
    0.00001, 0.000025, 0.00005, 0.0001, 0.00025, 0.0005, 0.001, 0.0025, 0.005, 0.01, 0.05, 0.1,
];
/// Bucket bounds for policy decisions, in seconds: from memory they take microseconds, from elsewhere up to the deadline.
pub const POLICY_SECONDS: &[f64] = &[
    0.000005, 0.00001, 0.000025, 0.00005, 0.0001, 0.0002, 0.0005, 0.001, 0.0025, 0.005, 0.01, 0.05, 0.1, 0.5, 1.0, 5.0,
];
/// Bucket bounds for delegation depths: every depth that can be allowed.
pub const DEPTHS: &[f64] = &[0.0, 1.0, 2.0, 3.0, 4.0, 5.0, 6.0, 7.0, 8.0, 9.0, 10.0];
/// Bucket bounds for how many grants went with a revoked one.
pub const CASCADES: &[f64] = &[0.0, 1.0, 2.0, 5.0, 10.0, 20.0, 50.0, 100.0, 1000.0, 10_000.0];

/// What a metric is.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Kind {
    /// Only goes up.
    Counter,
    /// Goes up and down.
    Gauge,
    /// Distribution over these bucket bounds.
    Histogram(&'static [f64]),
}

impl Kind {
    /// The name in the exposition format.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Counter => "counter",
            Self::Gauge => "gauge",
            Self::Histogram(_) => "histogram",
        }
    }
}

/// The values a label can have.
#[derive(Debug, Clone, Copy)]
pub enum Values {
    /// These, each exported from the start.
    Closed(fn() -> Vec<&'static str>),
    /// The templates of the routes, each exported from the start.
    Routes,
    /// The templates of the routes; exported once there is something to count.
    SeenRoutes,
    /// Three digits; exported once there is something to count.
    SeenStatusCodes,
    /// The ids of some agents, exported once there is something to count; all others are [`OTHER`].
    Agents,
    /// One value for the whole process.
    Fixed(&'static str),
}

/// A label.
#[derive(Debug, Clone, Copy)]
pub struct Label {
    /// Its name.
    pub name: &'static str,
    /// Its values.
    pub values: Values,
}

impl Label {
    /// A label with a closed set of values.
    pub const fn closed(name: &'static str, values: fn() -> Vec<&'static str>) -> Self {
        Self {
            name,
            values: Values::Closed(values),
        }
    }
}

/// A metric.
#[derive(Debug, Clone, Copy)]
pub struct Metric {
    /// Its name.
    pub name: &'static str,
    /// What it is.
    pub kind: Kind,
    /// One sentence.
    pub help: &'static str,
    /// Its labels.
    pub labels: &'static [Label],
    /// Whether the recorder keeps it; if not, its text is written when somebody asks.
    pub is_recorded: bool,
}

impl Metric {
    /// A counter; its name ends in `_total`.
    pub const fn counter(name: &'static str, help: &'static str) -> Self {
        Self {
            name,
            kind: Kind::Counter,
            help,
            labels: &[],
            is_recorded: true,
        }
    }

    /// A gauge.
    pub const fn gauge(name: &'static str, help: &'static str) -> Self {
        Self {
            name,
            kind: Kind::Gauge,
            help,
            labels: &[],
            is_recorded: true,
        }
    }

    /// A histogram over these bounds.
    pub const fn histogram(name: &'static str, bounds: &'static [f64], help: &'static str) -> Self {
        Self {
            name,
            kind: Kind::Histogram(bounds),
            help,
            labels: &[],
            is_recorded: true,
        }
    }

    /// The same with labels.
    #[must_use]
    pub const fn labelled(self, labels: &'static [Label]) -> Self {
        Self { labels, ..self }
    }

    /// The same, written when somebody asks.
    #[must_use]
    pub const fn unrecorded(self) -> Self {
        Self {
            is_recorded: false,
            ..self
        }
    }

    /// Writes what precedes its samples in the exposition.
    pub(crate) fn write_head(&self, to: &mut dyn fmt::Write) -> fmt::Result {
        let (name, kind) = (self.name, self.kind.as_str());
        writeln!(to, "# HELP {name} {}\n# TYPE {name} {kind}", self.help)
    }

    /// Every combination of label values that is exported from the start.
    pub fn known_labels(&self, routes: &[&'static str]) -> Vec<Vec<(&'static str, &'static str)>> {
        let mut combinations = vec![Vec::new()];
        for label in self.labels {
            let values = match label.values {
                Values::Closed(values) => values(),
                Values::Routes => {
                    let mut values = routes.to_vec();
                    if !values.contains(&UNMATCHED) {
                        values.push(UNMATCHED);
                    }
                    values
                }
                Values::SeenRoutes => vec![UNMATCHED],
                Values::SeenStatusCodes => vec!["404"],
                Values::Agents => vec![OTHER],
                // Set when the value is known; a second series with another value would be wrong.
                Values::Fixed(_) => return Vec::new(),
            };
            combinations = combinations
                .iter()
                .flat_map(|known| {
                    values
                        .iter()
                        .map(move |value| [known.as_slice(), &[(label.name, *value)]].concat())
                })
                .collect();
        }
        combinations
    }
}

/// Metrics of one subject.
#[derive(Debug, Clone, Copy)]
pub struct Area {
    /// The heading.
    pub title: &'static str,
    /// The metrics.
    pub metrics: &'static [Metric],
}

/// Every metric that the recorder keeps.
pub fn recorded() -> impl Iterator<Item = &'static Metric> {
    AREAS
        .iter()
        .flat_map(|area| area.metrics)
        .filter(|metric| metric.is_recorded)
}
