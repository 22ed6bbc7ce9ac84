//! What is committed is what the source gives, and Grafana can tell all parts of it apart.
#![allow(clippy::unwrap_used, reason = "a failed unwrap is a failed test")]

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use grantex_dashboards::model::{Dashboard, Panel};
use grantex_dashboards::{dashboards, files};
use serde_json::Value;

fn committed() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../deploy/grafana")
}

#[test]
fn the_committed_files_are_what_the_source_gives() {
    for file in files() {
        let path = committed().join(&file.path);
        let text = std::fs::read_to_string(&path).unwrap_or_default();
        assert!(
            text == file.text,
            "{} is out of date; run: just dashboards",
            path.display()
        );
    }
}

#[test]
fn no_dashboard_is_committed_that_the_source_does_not_give() {
    let known: BTreeSet<PathBuf> = files().iter().map(|file| committed().join(&file.path)).collect();
    for directory in ["", "provisioning/dashboards/grantex"] {
        for entry in std::fs::read_dir(committed().join(directory)).unwrap() {
            let path = entry.unwrap().path();
            let is_dashboard = path.extension().is_some_and(|extension| extension == "json");
            let shown = path.display();
            assert!(
                !is_dashboard || known.contains(&path),
                "{shown} comes from nowhere; delete it"
            );
        }
    }
}

#[test]
fn names_addresses_and_panel_titles_are_unique() {
    let all = dashboards::all();
    let keys: [fn(&Dashboard) -> &'static str; 3] = [|d| d.uid, |d| d.name, |d| d.title];
    for key in keys {
        let different: BTreeSet<&str> = all.iter().map(key).collect();
        assert_eq!(different.len(), all.len());
    }
    for dashboard in &all {
        let titles: Vec<&str> = dashboard
            .rows
            .iter()
            .flat_map(|row| &row.panels)
            .map(|panel| panel.title)
            .collect();
        let different: BTreeSet<&str> = titles.iter().copied().collect();
        assert_eq!(different.len(), titles.len(), "{} has a title twice", dashboard.name);
    }
}

#[test]
fn exceptions_name_panels_that_exist() {
    for dashboard in dashboards::all() {
        let panels: Vec<&Panel> = dashboard.rows.iter().flat_map(|row| &row.panels).collect();
        for title in dashboard.exceptions.iter().flat_map(|exception| &exception.panels) {
            assert!(
                panels.iter().any(|panel| panel.title == *title),
                "{}: {title}",
                dashboard.name
            );
        }
    }
}

#[test]
fn panels_do_not_overlap_and_have_ids_of_their_own() {
    for file in files().iter().filter(|file| file.path.ends_with(".json")) {
        let dashboard: Value = serde_json::from_str(&file.text).unwrap();
        let mut taken = BTreeSet::new();
        let mut ids = BTreeSet::new();
        for panel in dashboard.get("panels").and_then(Value::as_array).unwrap() {
            assert!(
                ids.insert(panel.get("id").and_then(Value::as_u64).unwrap()),
                "{}: id twice",
                file.path
            );
            let place = |key: &str| {
                panel
                    .pointer(&format!("/gridPos/{key}"))
                    .and_then(Value::as_u64)
                    .unwrap()
            };
            let title = panel.get("title").unwrap();
            assert!(
                place("x") + place("w") <= 24,
                "{}: {title} is out of the grid",
                file.path
            );
            for x in place("x")..place("x") + place("w") {
                for y in place("y")..place("y") + place("h") {
                    assert!(taken.insert((x, y)), "{}: {title} covers another panel", file.path);
                }
            }
        }
    }
}
