//! What the page says first: which targets are met, missed and not measured.

use crate::measure::{Operation, float};
use crate::report::{Labels, RunReport, StartReport};
use crate::table::whole;
use crate::targets::{MANY_GRANTS, goal};

/// How many goals were reached, and which were not.
#[derive(Default)]
pub struct Score {
    met: usize,
    missed: Vec<String>,
    /// What has targets and no result.
    pub unmeasured: Vec<String>,
}

impl Score {
    pub fn count(&mut self, met: bool, what: impl FnOnce() -> String) {
        if met {
            self.met += 1;
        } else {
            self.missed.push(what());
        }
    }

    pub fn summary(&self) -> String {
        let total = self.met + self.missed.len();
        let mut text = format!("## Result\n\n{} of {total} measured targets are met.\n", self.met);
        for (title, list) in [("Missed", &self.missed), ("Not measured", &self.unmeasured)] {
            if !list.is_empty() {
                text.push_str(&format!("\n{title}:\n\n"));
                text.extend(list.iter().map(|item| format!("- {item}\n")));
            }
        }
        text
    }
}

/// The targets of stores, algorithms and growth for which there is no result.
pub fn unmeasured(runs: &[&RunReport], starts: &[&StartReport], filled: &[&RunReport]) -> Vec<String> {
    let is = |labels: &Labels, store: &str, algorithm: &str| {
        label(labels, "store") == store && label(labels, "algorithm") == algorithm
    };
    let mut missing = Vec::new();
    for store in ["sqlite", "postgres"] {
        for algorithm in ["RS256", "ES256"] {
            let name = format!("{}, {algorithm}", store_name(store));
            let of_server: Vec<_> = runs.iter().filter(|run| is(&run.labels, store, algorithm)).collect();
            let of_many = of_server.iter().find(|run| run.developers > 1);
            let absent = |operation: &Operation| {
                let measured = |run: &&RunReport| run.operations.iter().any(|figures| figures.operation == *operation);
                goal(*operation, store, algorithm).is_some() && !of_many.is_some_and(|run| measured(run))
            };
            let absent: Vec<_> = Operation::ALL.into_iter().filter(absent).map(Operation::name).collect();
            if !absent.is_empty() {
                missing.push(format!("{name}, many developers: {}", absent.join(", ")));
            }
            if store == "postgres" && !of_server.iter().any(|run| run.developers == 1) {
                missing.push(format!("{name}, one developer"));
            }
            if !starts.iter().any(|start| is(&start.labels, store, algorithm)) {
                missing.push(format!("{name}: start and idle memory"));
            }
        }
        let mut grants = filled
            .iter()
            .filter(|run| label(&run.labels, "store") == store)
            .filter_map(|run| run.grants);
        if !grants.any(|grants| grants >= MANY_GRANTS) {
            missing.push(format!(
                "{}: the cost with {} grants",
                store_name(store),
                whole(float(MANY_GRANTS))
            ));
        }
    }
    missing
}

/// A label's value, or `unknown`.
pub fn label<'a>(labels: &'a Labels, key: &str) -> &'a str {
    labels.get(key).map_or("unknown", String::as_str)
}

/// `SQLite, RS256`.
pub fn title(labels: &Labels) -> String {
    format!("{}, {}", store_name(label(labels, "store")), label(labels, "algorithm"))
}

fn store_name(store: &str) -> &str {
    match store {
        "sqlite" => "SQLite",
        "postgres" => "PostgreSQL",
        other => other,
    }
}
