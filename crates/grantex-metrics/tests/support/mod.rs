//! Reads the exposition text the way Prometheus does.
#![allow(
    dead_code,
    clippy::unwrap_used,
    clippy::indexing_slicing,
    reason = "shared by several tests; a failed unwrap is a failed test"
)]

use std::collections::BTreeMap;
use std::sync::Arc;

use grantex_core::testing::ManualClock;
use grantex_metrics::{AGENT_SERIES, Metrics};

/// Routes of a small server.
pub const ROUTES: &[&str] = &["/v1/token", "/metrics"];

/// Fresh metrics.
pub fn metrics() -> Metrics {
    Metrics::with_agents("1.2.3", ROUTES, AGENT_SERIES, Arc::new(ManualClock::default())).unwrap()
}

/// Every sample: `name{labels}` and its value.
pub fn samples(text: &str) -> BTreeMap<String, f64> {
    text.lines()
        .filter(|line| !line.is_empty() && !line.starts_with('#'))
        .map(|line| {
            let (series, value) = line.rsplit_once(' ').unwrap();
            (series.to_owned(), value.parse().unwrap())
        })
        .collect()
}

/// What `act` changes, without buckets, sums, the process's own metrics and those of single agents.
pub fn changes(metrics: &Metrics, act: impl FnOnce(&Metrics)) -> BTreeMap<String, f64> {
    let mut changes = all_changes(metrics, act);
    changes.retain(|series, _| !series.contains("agent_id="));
    changes
}

/// What `act` changes of the series of single agents, without buckets and sums.
pub fn agent_changes(metrics: &Metrics, act: impl FnOnce(&Metrics)) -> BTreeMap<String, f64> {
    let mut changes = all_changes(metrics, act);
    changes.retain(|series, _| series.contains("agent_id="));
    changes
}

fn all_changes(metrics: &Metrics, act: impl FnOnce(&Metrics)) -> BTreeMap<String, f64> {
    let before = samples(&metrics.render());
    act(metrics);
    samples(&metrics.render())
        .into_iter()
        .filter(|(series, _)| {
            !series.starts_with("process_") && !series.contains("_bucket{") && !series.contains("_sum")
        })
        .filter_map(|(series, value)| {
            let difference = value - before.get(&series).copied().unwrap_or(0.0);
            (difference != 0.0).then_some((series, difference))
        })
        .collect()
}

/// Series and by how much each changed, as [`changes`] tells it.
pub fn by_name(expected: &[(&str, f64)]) -> BTreeMap<String, f64> {
    expected
        .iter()
        .map(|(series, by)| ((*series).to_owned(), *by))
        .collect()
}
