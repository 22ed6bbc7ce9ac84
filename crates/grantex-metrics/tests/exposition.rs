//! The exposition: complete from the start, well named, bounded.
#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    reason = "a failed unwrap is a failed test"
)]

mod support;

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use grantex_core::event::{StreamEnd, StreamTransport};
use grantex_metrics::catalogue::{AREAS, Kind, Metric};
use grantex_metrics::{JanitorTable, Job, LogLevel, Metrics, Pool, PoolState, SigningKeyState, docs_markdown};
use support::{ROUTES, by_name, changes, metrics, samples};

fn catalogue() -> impl Iterator<Item = &'static Metric> {
    AREAS.iter().flat_map(|area| area.metrics)
}

#[test]
fn the_documentation_is_up_to_date() {
    let written = include_str!("../../../docs/metrics.md");
    assert_eq!(
        written,
        docs_markdown(),
        "docs/metrics.md is out of date; run: just docs-metrics"
    );
}

#[test]
fn every_known_series_is_zero_from_the_start() {
    let samples = samples(&metrics().render());
    for metric in
        catalogue().filter(|metric| !metric.name.starts_with("process_") && metric.name != "grantex_build_info")
    {
        let combinations = metric.known_labels(ROUTES);
        assert!(!combinations.is_empty(), "{}", metric.name);
        for labels in combinations {
            let labels: Vec<String> = labels
                .iter()
                .map(|(name, value)| format!("{name}=\"{value}\""))
                .collect();
            let labels = if labels.is_empty() {
                String::new()
            } else {
                format!("{{{}}}", labels.join(","))
            };
            let suffix = if matches!(metric.kind, Kind::Histogram(_)) {
                "_count"
            } else {
                ""
            };
            let series = format!("{}{suffix}{labels}", metric.name);
            assert_eq!(samples.get(&series), Some(&0.0), "{series}");
        }
    }
    assert_eq!(samples.get(r#"grantex_build_info{version="1.2.3"}"#), Some(&1.0));
}

#[test]
fn the_seeds_names_and_labels_are_there() {
    let samples = samples(&metrics().render());
    for series in [
        r#"grantex_token_exchange_total{status="success"}"#,
        r#"grantex_authorize_total{status="denied"}"#,
        "grantex_grants_revoked_total",
        r#"grantex_webhook_deliveries_total{status="failed"}"#,
        r#"grantex_anomalies_detected_total{type="token_replay",severity="critical"}"#,
        "grantex_authorize_duration_seconds_count",
        "grantex_token_exchange_duration_seconds_count",
        r#"grantex_http_request_duration_seconds_count{method="GET",route="unmatched",status_code="404"}"#,
        "grantex_active_grants",
        "grantex_anomalies_unacknowledged",
    ] {
        assert!(samples.contains_key(series), "{series}");
    }
    assert_eq!(
        samples
            .keys()
            .filter(|series| series.starts_with("grantex_anomalies_detected_total{"))
            .count(),
        15 * 4
    );
}

/// The rules of `promtool check metrics`, as far as they concern us.
#[test]
fn the_exposition_passes_lint() {
    let metrics = metrics();
    metrics.request_finished("GET", "/v1/token", 200, 0.01);
    let text = metrics.render();
    assert!(text.ends_with('\n'));
    let mut types = BTreeMap::new();
    let mut helped = BTreeSet::new();
    let mut seen = BTreeSet::new();
    for line in text.lines() {
        if let Some(help) = line.strip_prefix("# HELP ") {
            let (name, help) = help.split_once(' ').unwrap();
            assert!(!help.is_empty() && helped.insert(name), "one help text: {name}");
        } else if let Some(kind) = line.strip_prefix("# TYPE ") {
            let (name, kind) = kind.split_once(' ').unwrap();
            assert!(types.insert(name, kind).is_none(), "one type: {name}");
        } else if !line.is_empty() {
            let series = line.rsplit_once(' ').unwrap().0;
            assert!(seen.insert(series), "twice: {series}");
            assert!(!series.contains("service="), "no service label: {series}");
        }
    }
    for (name, kind) in types {
        assert!(helped.contains(name), "{name} has no help text");
        assert!(
            name.bytes().all(|byte| byte.is_ascii_lowercase() || byte == b'_'),
            "{name} is snake_case"
        );
        assert_eq!(kind == "counter", name.ends_with("_total"), "{name} is a {kind}");
        for bad in [
            "_milliseconds",
            "_ms",
            "_sec",
            "_kilobytes",
            "_gauge",
            "_counter",
            "_histogram",
            "_bucket",
            "_sum",
            "_count",
        ] {
            assert!(!name.ends_with(bad), "{name}");
        }
    }
}

#[test]
fn the_catalogue_is_what_is_exposed() {
    let text = metrics().render();
    let exposed: BTreeSet<&str> = text
        .lines()
        .filter_map(|line| line.strip_prefix("# TYPE ")?.split_once(' '))
        .map(|(name, _)| name)
        .collect();
    let listed: BTreeSet<&str> = catalogue().map(|metric| metric.name).collect();
    assert_eq!(exposed, listed);
    assert_eq!(listed.len(), catalogue().count(), "no name twice");
}

#[test]
fn requests_are_measured_by_template_and_methods_are_a_closed_set() {
    let metrics = metrics();
    let changed = changes(&metrics, |metrics| {
        metrics.request_finished("POST", "/v1/token", 201, 0.003);
        metrics.request_finished("BREW", "unmatched", 404, 0.001);
        metrics.request_finished("STEAM", "unmatched", 404, 0.001);
        metrics.in_flight(2);
        metrics.in_flight(-1);
    });
    let expected = [
        (
            r#"grantex_http_request_duration_seconds_count{method="POST",route="/v1/token",status_code="201"}"#,
            1.0,
        ),
        (
            r#"grantex_http_request_duration_seconds_count{method="other",route="unmatched",status_code="404"}"#,
            2.0,
        ),
        ("grantex_http_requests_in_flight", 1.0),
    ];
    assert_eq!(changed, by_name(&expected));
}

#[test]
fn streams_are_told() {
    let metrics = metrics();
    let changed = changes(&metrics, |metrics| {
        metrics.stream_opened(StreamTransport::Sse);
        metrics.stream_opened(StreamTransport::Sse);
        metrics.stream_opened(StreamTransport::WebSocket);
        metrics.stream_refused(StreamTransport::WebSocket);
        metrics.stream_sent(64);
        metrics.stream_ended(StreamTransport::Sse, StreamEnd::Slow);
        metrics.stream_ended(StreamTransport::WebSocket, StreamEnd::KeyChanged);
    });
    let expected = [
        (r#"grantex_event_streams{transport="sse"}"#, 1.0),
        (r#"grantex_event_streams_refused_total{transport="websocket"}"#, 1.0),
        (r#"grantex_event_streams_ended_total{reason="slow"}"#, 1.0),
        (r#"grantex_event_streams_ended_total{reason="key_changed"}"#, 1.0),
        ("grantex_event_stream_events_total", 64.0),
    ];
    assert_eq!(changed, by_name(&expected));
}

#[test]
fn the_revocation_feed_is_told() {
    let metrics = metrics();
    let changed = changes(&metrics, |metrics| {
        metrics.revocation_stream_opened();
        metrics.revocation_stream_opened();
        metrics.revocation_stream_refused();
        metrics.revocations_sent(3);
        metrics.revocation_stream_ended(StreamEnd::Draining);
        metrics.revocation_read_failed();
    });
    let expected = [
        ("grantex_revocation_streams", 1.0),
        ("grantex_revocation_streams_refused_total", 1.0),
        (r#"grantex_revocation_streams_ended_total{reason="draining"}"#, 1.0),
        ("grantex_revocation_stream_entries_total", 3.0),
        ("grantex_revocation_feed_read_failures_total", 1.0),
    ];
    assert_eq!(changed, by_name(&expected));

    let changed = changes(&metrics, |metrics| {
        metrics.revocation_propagated(Duration::from_millis(70))
    });
    let name = "grantex_revocation_propagation_seconds";
    assert_eq!(changed.get(&format!("{name}_count")), Some(&1.0));
    let text = metrics.render();
    assert!(text.contains(&format!("{name}_bucket{{le=\"0.05\"}} 0")));
    assert!(text.contains(&format!("{name}_bucket{{le=\"0.1\"}} 1")));
}

#[test]
fn gauges_jobs_and_log_lines_are_told() {
    let metrics = metrics();
    let changed = changes(&metrics, |metrics| {
        metrics.set_active_grants(5);
        metrics.set_signing_keys(SigningKeyState::Pending, 1);
        metrics.set_pool(
            Pool::Postgres,
            PoolState {
                connections: 8,
                in_use: 3,
                waiting: 2,
            },
        );
        metrics.set_write_queue_depth(4);
        metrics.signed(Duration::from_micros(200));
        metrics.job_succeeded(Job::Janitor, Duration::from_millis(2), 7, 1_700_000_000.5);
        metrics.job_failed(Job::Keys, Duration::from_millis(2));
        metrics.janitor_removed(JanitorTable::Tokens, 7);
        metrics.log_line(LogLevel::Warn);
        metrics.log_line_dropped();
    });
    let expected = [
        ("grantex_active_grants", 5.0),
        (r#"grantex_signing_keys{state="pending"}"#, 1.0),
        (r#"grantex_database_pool_connections{pool="postgres"}"#, 8.0),
        (r#"grantex_database_pool_connections_in_use{pool="postgres"}"#, 3.0),
        (r#"grantex_database_pool_waiting{pool="postgres"}"#, 2.0),
        ("grantex_database_write_queue_depth", 4.0),
        ("grantex_token_sign_duration_seconds_count", 1.0),
        (r#"grantex_job_runs_total{task="janitor",status="success"}"#, 1.0),
        (r#"grantex_job_runs_total{task="keys",status="error"}"#, 1.0),
        (r#"grantex_job_duration_seconds_count{task="janitor"}"#, 1.0),
        (r#"grantex_job_duration_seconds_count{task="keys"}"#, 1.0),
        (
            r#"grantex_job_last_success_timestamp_seconds{task="janitor"}"#,
            1_700_000_000.5,
        ),
        (r#"grantex_job_rows_total{task="janitor"}"#, 7.0),
        (r#"grantex_janitor_rows_removed_total{table="tokens"}"#, 7.0),
        (r#"grantex_log_lines_total{level="warn"}"#, 1.0),
        ("grantex_log_lines_dropped_total", 1.0),
    ];
    assert_eq!(changed, by_name(&expected));
}

#[test]
fn the_process_is_described() {
    let samples = samples(&metrics().render());
    assert!(samples["process_resident_memory_bytes"] > 100_000.0);
    assert!(samples["process_virtual_memory_bytes"] >= samples["process_resident_memory_bytes"]);
    assert!(samples["process_open_fds"] >= 3.0 && samples["process_max_fds"] >= samples["process_open_fds"]);
    assert!(samples["process_start_time_seconds"] > 1_600_000_000.0);
    assert!(samples["process_cpu_seconds_total"] >= 0.0 && samples["process_threads"] >= 1.0);
}

#[test]
fn upkeep_loses_no_sample() {
    let metrics = metrics();
    for _ in 0..1000 {
        metrics.request_finished("GET", "/metrics", 200, 0.001);
    }
    metrics.run_upkeep();
    let clone: Metrics = metrics.clone();
    clone.request_finished("GET", "/metrics", 200, 0.001);
    let series = r#"grantex_http_request_duration_seconds_count{method="GET",route="/metrics",status_code="200"}"#;
    assert_eq!(samples(&metrics.render())[series], 1001.0);
}
