//! A dashboard in Grafana's JSON.

use serde_json::{Value, json};

use crate::model::{Dashboard, Exception, Levels, Link, Panel, Query, Unit, Values, Variable, View};
use crate::promql::series;

/// The tag of all dashboards, by which they link to each other.
const TAG: &str = "grantex";
/// Of Grafana 10.2: older ones migrate nothing away that is used here, newer ones migrate it forward.
const SCHEMA_VERSION: u64 = 39;
const COLUMNS: u64 = 24;

/// How a dashboard learns which data source it asks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Variant {
    /// Grafana asks when the file is imported (`${DS_PROMETHEUS}`), and only then.
    Imported,
    /// A variable of the dashboard, which works from a file as well.
    Provisioned,
}

impl Variant {
    fn source(self) -> Value {
        let uid = match self {
            Self::Imported => "${DS_PROMETHEUS}",
            Self::Provisioned => "${datasource}",
        };
        json!({"type": "prometheus", "uid": uid})
    }
}

/// The dashboard as Grafana reads it.
pub fn dashboard(dashboard: &Dashboard, variant: Variant) -> Value {
    let mut value = json!({
        "uid": dashboard.uid,
        "title": dashboard.title,
        "description": dashboard.description,
        "tags": [TAG],
        "schemaVersion": SCHEMA_VERSION,
        "version": 1,
        "editable": false,
        "graphTooltip": 1,
        "timezone": "",
        "refresh": "30s",
        "time": {"from": "now-1h", "to": "now"},
        "annotations": {"list": [starts(variant)]},
        "links": links(dashboard),
        "templating": {"list": variables(dashboard, variant)},
        "panels": panels(dashboard, variant),
    });
    if variant == Variant::Imported {
        let inputs = json!([{
            "name": "DS_PROMETHEUS",
            "label": "Prometheus",
            "description": "The Prometheus that scrapes Grantex",
            "type": "datasource",
            "pluginId": "prometheus",
            "pluginName": "Prometheus",
        }]);
        set(&mut value, "__inputs", inputs);
        set(&mut value, "__requires", requires(dashboard));
    }
    value
}

fn set(object: &mut Value, key: &str, value: Value) {
    if let Some(members) = object.as_object_mut() {
        members.insert(key.to_owned(), value);
    }
}

/// The linter's rules that the dashboard breaks in this variant.
pub fn exceptions(dashboard: &Dashboard, variant: Variant) -> Vec<Exception> {
    let mut exceptions = dashboard.exceptions.clone();
    if variant == Variant::Imported {
        exceptions.extend(
            ["template-datasource-rule", "panel-datasource-rule"].map(|rule| Exception {
                rule,
                panels: Vec::new(),
                reason: "The data source is asked for on import, as ${DS_PROMETHEUS}; the provisioned variant has a \
                variable instead.",
            }),
        );
    }
    exceptions
}

fn requires(dashboard: &Dashboard) -> Value {
    let mut kinds: Vec<&str> = dashboard
        .rows
        .iter()
        .flat_map(|row| &row.panels)
        .map(|panel| panel_type(panel.view))
        .collect();
    kinds.sort_unstable();
    kinds.dedup();
    let panels = kinds
        .into_iter()
        .map(|id| json!({"type": "panel", "id": id, "name": id, "version": ""}));
    [
        json!({"type": "grafana", "id": "grafana", "name": "Grafana", "version": "10.2.0"}),
        json!({"type": "datasource", "id": "prometheus", "name": "Prometheus", "version": "1.0.0"}),
    ]
    .into_iter()
    .chain(panels)
    .collect()
}

/// Marks where an instance was started, such as by a deployment.
fn starts(variant: Variant) -> Value {
    json!({
        "name": "Starts",
        "datasource": variant.source(),
        "enable": true,
        "expr": format!("{} * 1000", series("process_start_time_seconds")),
        "useValueForTime": "on",
        "titleFormat": "Started",
        "textFormat": "{{instance}}",
        "iconColor": "blue",
    })
}

fn links(dashboard: &Dashboard) -> Vec<Value> {
    let others = json!({
        "type": "dashboards",
        "title": "Grantex",
        "tags": [TAG],
        "asDropdown": true,
        "includeVars": true,
        "keepTime": true,
    });
    std::iter::once(others)
        .chain(dashboard.links.iter().map(link))
        .collect()
}

fn link(link: &Link) -> Value {
    json!({
        "type": "link",
        "title": link.title,
        "tooltip": link.tooltip,
        "url": link.url,
        "icon": "external link",
        "targetBlank": true,
        "keepTime": false,
        "includeVars": false,
    })
}

fn variables(dashboard: &Dashboard, variant: Variant) -> Vec<Value> {
    let mut variables = Vec::new();
    if variant == Variant::Provisioned {
        variables.push(json!({
            "type": "datasource",
            "name": "datasource",
            "label": "Data source",
            "query": "prometheus",
            "current": {},
            "refresh": 1,
        }));
    }
    let of_all = [
        ("job", "Job", "label_values(grantex_build_info, job)"),
        (
            "instance",
            "Instance",
            "label_values(grantex_build_info{job=~\"$job\"}, instance)",
        ),
    ];
    for (name, label, query) in of_all {
        variables.push(query_variable(name, label, query, true, variant));
    }
    for Variable { name, label, values } in &dashboard.variables {
        variables.push(match values {
            Values::Query { query, is_multiple } => query_variable(name, label, query, *is_multiple, variant),
            Values::Typed(begin) => json!({
                "type": "textbox",
                "name": name,
                "label": label,
                "query": begin,
                "current": {"text": begin, "value": begin},
            }),
        });
    }
    variables
}

fn query_variable(name: &str, label: &str, query: &str, is_multiple: bool, variant: Variant) -> Value {
    let mut variable = json!({
        "type": "query",
        "name": name,
        "label": label,
        "datasource": variant.source(),
        "query": {"query": query, "refId": name},
        "definition": query,
        // On every change of the time range.
        "refresh": 2,
        "sort": 1,
        "multi": is_multiple,
        "includeAll": is_multiple,
    });
    if is_multiple {
        set(&mut variable, "allValue", json!(".+"));
        set(&mut variable, "current", json!({"text": ["All"], "value": ["$__all"]}));
    }
    variable
}

/// Lays panels out from left to right, and breaks the line where the next one does not fit.
fn panels(dashboard: &Dashboard, variant: Variant) -> Vec<Value> {
    let mut laid_out = Vec::new();
    let (mut id, mut y) = (0_u64, 0_u64);
    for row in &dashboard.rows {
        id += 1;
        laid_out.push(json!({
            "id": id,
            "type": "row",
            "title": row.title,
            "collapsed": false,
            "panels": [],
            "gridPos": {"x": 0, "y": y, "w": COLUMNS, "h": 1},
        }));
        y += 1;
        for line in break_lines(&row.panels) {
            // As high as the highest beside it, so that there are no holes.
            let height = line.iter().map(|shown| height(shown.view)).max().unwrap_or(0);
            let mut x = 0;
            for shown in line {
                id += 1;
                let place = json!({"x": x, "y": y, "w": shown.width, "h": height});
                laid_out.push(panel(id, shown, &place, variant));
                x += shown.width;
            }
            y += height;
        }
    }
    laid_out
}

/// The panels of each line.
fn break_lines(panels: &[Panel]) -> Vec<Vec<&Panel>> {
    let mut lines: Vec<Vec<&Panel>> = Vec::new();
    let mut used = COLUMNS;
    for panel in panels {
        if used + panel.width > COLUMNS {
            lines.push(Vec::new());
            used = 0;
        }
        used += panel.width;
        if let Some(line) = lines.last_mut() {
            line.push(panel);
        }
    }
    lines
}

const fn height(view: View) -> u64 {
    match view {
        View::Stat | View::Gauge => 5,
        View::Lines | View::Stacked | View::Table => 8,
    }
}

fn panel(id: u64, panel: &Panel, place: &Value, variant: Variant) -> Value {
    let mut defaults = json!({
        "unit": unit(panel.unit),
        "color": {"mode": color_mode(panel.view)},
        "thresholds": {"mode": "absolute", "steps": steps(panel.levels)},
        "custom": custom(panel),
    });
    if panel.view == View::Gauge {
        set(&mut defaults, "min", json!(0));
        set(&mut defaults, "max", json!(1));
    }
    if panel.view == View::Stat && panel.unit == Unit::Count {
        // Prometheus extrapolates what a counter has grown by.
        set(&mut defaults, "decimals", json!(0));
    }
    if let Some(text) = panel.when_empty {
        set(&mut defaults, "noValue", json!(text));
    }
    json!({
        "id": id,
        "type": panel_type(panel.view),
        "title": panel.title,
        "description": panel.description,
        "datasource": variant.source(),
        "gridPos": place,
        "targets": panel.queries.iter().zip('A'..='Z').map(|(query, id)| target(query, id, panel.view, variant)).collect::<Vec<_>>(),
        "fieldConfig": {"defaults": defaults, "overrides": []},
        "options": options(panel.view),
        "transformations": transformations(panel.view),
    })
}

const fn panel_type(view: View) -> &'static str {
    match view {
        View::Stat => "stat",
        View::Gauge => "gauge",
        View::Lines | View::Stacked => "timeseries",
        View::Table => "table",
    }
}

const fn color_mode(view: View) -> &'static str {
    match view {
        View::Lines | View::Stacked => "palette-classic",
        View::Stat | View::Gauge | View::Table => "thresholds",
    }
}

const fn unit(unit: Unit) -> &'static str {
    match unit {
        Unit::Count => "short",
        Unit::PerSecond => "ops",
        Unit::PerMinute => "opm",
        Unit::Share => "percentunit",
        Unit::Seconds => "s",
        Unit::Bytes => "bytes",
        Unit::Factor => "none",
    }
}

fn steps(levels: Levels) -> Value {
    match levels {
        Levels::None => json!([{"color": "blue", "value": null}]),
        Levels::Above(warning, critical) => json!([
            {"color": "green", "value": null},
            {"color": "orange", "value": warning},
            {"color": "red", "value": critical},
        ]),
        Levels::Below(warning, critical) => json!([
            {"color": "red", "value": null},
            {"color": "orange", "value": critical},
            {"color": "green", "value": warning},
        ]),
    }
}

fn custom(panel: &Panel) -> Value {
    if !matches!(panel.view, View::Lines | View::Stacked) {
        return json!({});
    }
    let is_stacked = panel.view == View::Stacked;
    json!({
        "drawStyle": "line",
        // On a stack the line of a series that is 0 would lie on top of the others.
        "lineWidth": u8::from(!is_stacked),
        "fillOpacity": if is_stacked { 60 } else { 5 },
        "showPoints": "never",
        "spanNulls": false,
        "axisSoftMin": 0,
        "stacking": {"mode": if is_stacked { "normal" } else { "none" }, "group": "A"},
        "thresholdsStyle": {"mode": if panel.levels == Levels::None { "off" } else { "dashed" }},
    })
}

fn options(view: View) -> Value {
    let newest = json!({"calcs": ["lastNotNull"], "fields": "", "values": false});
    match view {
        View::Stat => json!({
            "reduceOptions": newest,
            "colorMode": "value",
            "graphMode": "area",
            "justifyMode": "auto",
            "orientation": "auto",
            "textMode": "auto",
        }),
        View::Gauge => json!({
            "reduceOptions": newest,
            "orientation": "auto",
            "showThresholdLabels": false,
            "showThresholdMarkers": true,
        }),
        View::Lines | View::Stacked => json!({
            "legend": {"displayMode": "list", "placement": "bottom", "showLegend": true, "calcs": []},
            "tooltip": {"mode": "multi", "sort": "desc"},
        }),
        View::Table => json!({"showHeader": true, "cellHeight": "sm"}),
    }
}

/// The time is the same in every row of a table.
fn transformations(view: View) -> Value {
    if view == View::Table {
        json!([{"id": "organize", "options": {"excludeByName": {"Time": true}}}])
    } else {
        json!([])
    }
}

fn target(query: &Query, id: char, view: View, variant: Variant) -> Value {
    let is_table = view == View::Table;
    json!({
        "refId": id.to_string(),
        "datasource": variant.source(),
        "editorMode": "code",
        "expr": query.expr,
        "legendFormat": query.legend,
        "format": if is_table { "table" } else { "time_series" },
        "instant": is_table,
        "range": !is_table,
    })
}
