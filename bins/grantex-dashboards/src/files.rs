//! Which files there are.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use serde_json::Value;

use crate::dashboards;
use crate::grafana::{self, Variant};

/// A generated file.
#[derive(Debug, Clone)]
pub struct File {
    /// Its path below `deploy/grafana`.
    pub path: String,
    /// What it holds.
    pub text: String,
}

/// Every generated file: each dashboard in both variants, and beside them which of the linter's rules are broken on purpose.
pub fn files() -> Vec<File> {
    let all = dashboards::all();
    let mut files = Vec::new();
    for (directory, variant) in [
        // Imported by hand: Grafana asks for the data source then.
        ("", Variant::Imported),
        // Read by Grafana from a directory, where nobody can be asked.
        ("provisioning/dashboards/grantex/", Variant::Provisioned),
    ] {
        let mut exceptions = Exceptions::new();
        for dashboard in &all {
            files.push(File {
                path: format!("{directory}{}-dashboard.json", dashboard.name),
                // `{:#}` of a JSON value is the pretty form.
                text: format!("{:#}\n", by_name(grafana::dashboard(dashboard, variant))),
            });
            for exception in grafana::exceptions(dashboard, variant) {
                let entries = exceptions.entry((exception.rule, exception.reason)).or_default();
                entries.extend(exception.panels.iter().map(|panel| (dashboard.title, *panel)));
            }
        }
        files.push(File {
            path: format!("{directory}.lint"),
            text: lint_file(&exceptions),
        });
    }
    files
}

/// Members by name, whatever order the maps of this build keep: another crate's features decide that.
fn by_name(value: Value) -> Value {
    match value {
        Value::Object(members) => {
            let sorted: BTreeMap<String, Value> = members
                .into_iter()
                .map(|(name, member)| (name, by_name(member)))
                .collect();
            Value::Object(sorted.into_iter().collect())
        }
        Value::Array(elements) => elements.into_iter().map(by_name).collect(),
        plain => plain,
    }
}

/// By rule and reason: the titles of dashboard and panel.
type Exceptions = BTreeMap<(&'static str, &'static str), Vec<(&'static str, &'static str)>>;

/// In the form that Grafana's dashboard linter reads.
fn lint_file(exceptions: &Exceptions) -> String {
    let mut text =
        "# Written by grantex-dashboards: rules of dashboard-linter that are broken on purpose.\nexclusions:\n"
            .to_owned();
    for ((rule, reason), entries) in exceptions {
        let _ = writeln!(text, "  {rule}:\n    reason: {reason:?}");
        if !entries.is_empty() {
            text.push_str("    entries:\n");
        }
        for (dashboard, panel) in entries {
            let _ = writeln!(text, "    - dashboard: {dashboard:?}\n      panel: {panel:?}");
        }
    }
    text
}
