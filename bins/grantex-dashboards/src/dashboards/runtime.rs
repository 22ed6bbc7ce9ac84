//! What limits the service: database, jobs, process, requests.

use crate::model::{Dashboard, Row, Unit, lines, row, stacked, stat, table};
use crate::promql::{growth, max_by, quantile_by, rate_by, series, sum, sum_by};

const REQUESTS: &str = "grantex_http_request_duration_seconds";

pub(super) fn dashboard() -> Dashboard {
    Dashboard {
        name: "runtime",
        uid: "grantex-runtime",
        title: "Grantex Runtime",
        description: "What limits the service: its database, its jobs, its processes, its busiest routes.",
        variables: Vec::new(),
        links: Vec::new(),
        rows: vec![now(), database(), jobs(), processes(), requests(), watching()],
        exceptions: Vec::new(),
    }
}

fn now() -> Row {
    row(
        "Now",
        vec![
            stat(
                "Waiting for a Connection",
                "Calls that wait for a database connection. Not 0 for long: the database is slow, or \
                DATABASE_POOL_SIZE too small.",
            )
            .query(sum("grantex_database_pool_waiting"), "waiting")
            .bad_above(1.0, 50.0),
            stat(
                "Write Queue",
                "Units of work that wait to be written. Growing: the disk or the database cannot keep up.",
            )
            .query(sum("grantex_database_write_queue_depth"), "units")
            .bad_above(100.0, 500.0),
            stat(
                "Connection Errors",
                "Database connections that failed in the time that is shown. Not 0: see the log lines \
                database.connection_error.",
            )
            .query(growth("grantex_database_connection_errors_total"), "errors")
            .bad_above(1.0, 10.0),
            stat(
                "Failed Jobs",
                "Runs of periodic jobs that failed in the time that is shown. Not 0: see the log lines \
                job.failed.",
            )
            .query(growth(r#"grantex_job_runs_total{status="error"}"#), "runs")
            .bad_above(1.0, 10.0),
            stat(
                "In Flight",
                "Requests that are being answered. Growing without more traffic: answers have become slow.",
            )
            .query(sum("grantex_http_requests_in_flight"), "requests"),
            stat(
                "Log Lines Dropped",
                "Lines that the log's writer could not keep up with, in the time that is shown. Not 0: \
                whatever reads standard output is too slow.",
            )
            .query(growth("grantex_log_lines_dropped_total"), "lines")
            .bad_above(1.0, 100.0),
        ],
    )
}

fn database() -> Row {
    row(
        "Database",
        vec![
            lines(
                "Connections",
                "Open and working connections by pool. All working for long: the pool is the limit.",
            )
            .query(sum_by("pool", "grantex_database_pool_connections"), "{{pool}}, open")
            .query(
                sum_by("pool", "grantex_database_pool_connections_in_use"),
                "{{pool}}, working",
            ),
            lines("Calls Waiting", "Calls that wait for a connection, by pool.")
                .query(sum_by("pool", "grantex_database_pool_waiting"), "{{pool}}"),
            lines(
                "Write Queue over Time",
                "Units of work that wait for the writer, or for their developer's turn. Sawteeth are groups \
                being committed; a plateau is a stall.",
            )
            .query(sum_by("instance", "grantex_database_write_queue_depth"), "{{instance}}"),
            lines(
                "Connection Errors by Pool",
                "Connections that could not be opened, or did not answer. Look at the database's own log at \
                the same time.",
            )
            .width(24)
            .unit(Unit::PerSecond)
            .query(rate_by("pool", "grantex_database_connection_errors_total"), "{{pool}}"),
        ],
    )
}

/// Which periodic job a series is about is the label `task`; `job` is the target's.
fn jobs() -> Row {
    row(
        "Jobs",
        vec![
            lines(
                "Time since Success",
                "How long ago each job last succeeded. More than a few of its intervals: it hangs or fails.",
            )
            .unit(Unit::Seconds)
            .query(
                format!(
                    "time() - max by (task) ({} > 0)",
                    series("grantex_job_last_success_timestamp_seconds")
                ),
                "{{task}}",
            ),
            lines("Runs", "Runs of periodic jobs. error: see the log lines job.failed.")
                .unit(Unit::PerSecond)
                .query(
                    rate_by("task, status", "grantex_job_runs_total"),
                    "{{task}}, {{status}}",
                ),
            lines(
                "Duration p99",
                "How long the jobs take. The janitor may take long after a pause; the others should not.",
            )
            .unit(Unit::Seconds)
            .query(quantile_by(0.99, "task", "grantex_job_duration_seconds"), "{{task}}"),
            lines("Rows by Job", "Rows that jobs changed or removed.")
                .width(12)
                .unit(Unit::PerSecond)
                .query(rate_by("task", "grantex_job_rows_total"), "{{task}}"),
            lines(
                "Rows Removed by the Janitor",
                "What the janitor removes, by table. Nothing for a day: is JANITOR_ENABLED set to false?",
            )
            .width(12)
            .unit(Unit::PerSecond)
            .query(rate_by("table", "grantex_janitor_rows_removed_total"), "{{table}}"),
        ],
    )
}

fn processes() -> Row {
    row(
        "Processes",
        vec![
            lines(
                "Processor",
                "Processors in use. At the number of processors: add some, or another instance.",
            )
            .query(
                format!("rate({}[$__rate_interval])", series("process_cpu_seconds_total")),
                "{{instance}}",
            ),
            lines(
                "Memory",
                "Resident memory. A steady rise over days without more grants or traffic: report it.",
            )
            .unit(Unit::Bytes)
            .query(series("process_resident_memory_bytes"), "{{instance}}"),
            lines(
                "Open Files",
                "Share of the file descriptors that are open. Near 1: raise the limit (LimitNOFILE).",
            )
            .unit(Unit::Share)
            .query(
                format!("{} / {}", series("process_open_fds"), series("process_max_fds")),
                "{{instance}}",
            )
            .bad_above(0.8, 0.95),
            lines("Threads", "Threads of the processes. It does not depend on traffic.")
                .query(series("process_threads"), "{{instance}}"),
            lines(
                "Time since Start",
                "How long the processes have been running. Sawteeth: they are restarted again and again.",
            )
            .unit(Unit::Seconds)
            .query(
                format!("time() - {}", series("process_start_time_seconds")),
                "{{instance}}",
            ),
            stacked(
                "Log Lines",
                "Log lines by level. error: somebody should act; each says what on.",
            )
            .unit(Unit::PerSecond)
            .query(rate_by("level", "grantex_log_lines_total"), "{{level}}"),
        ],
    )
}

fn requests() -> Row {
    let count = format!("{REQUESTS}_count");
    row(
        "Requests",
        vec![
            lines("Busiest Routes", "The ten routes with the most requests.")
                .width(12)
                .unit(Unit::PerSecond)
                .query(format!("topk(10, {})", rate_by("route", &count)), "{{route}}"),
            lines(
                "Slowest Routes p99",
                "The ten routes that are slowest for one request in a hundred. Event streams stay open on \
                purpose.",
            )
            .width(12)
            .unit(Unit::Seconds)
            .query(
                format!("topk(10, {})", quantile_by(0.99, "route", REQUESTS)),
                "{{route}}",
            ),
            table(
                "Answers by Route",
                "The twenty commonest answers. Follow a route's log lines request.completed for single \
                requests.",
            )
            .width(24)
            .unit(Unit::PerSecond)
            .query(
                format!("topk(20, {})", rate_by("route, method, status_code", &count)),
                "{{route}}",
            ),
        ],
    )
}

fn watching() -> Row {
    row(
        "Being watched",
        vec![
            lines(
                "Scrape Duration",
                "How long a scrape takes. More than a second: Prometheus or the host is overloaded.",
            )
            .width(12)
            .unit(Unit::Seconds)
            .query(max_by("instance", "scrape_duration_seconds"), "{{instance}}"),
            lines(
                "Series per Instance",
                "Series in a scrape. The labels are closed sets, so this does not grow with agents or \
                clients.",
            )
            .width(12)
            .query(max_by("instance", "scrape_samples_scraped"), "{{instance}}"),
        ],
    )
}
