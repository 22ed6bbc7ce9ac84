//! The benchmark page.

mod sections;

use std::collections::{BTreeMap, BTreeSet};

use sections::{policy_section, stream_section, webhook_section};

use crate::measure::{Operation, float};
use crate::report::{
    Labels, OperationReport, PolicyReport, Record, RunReport, StartReport, StreamReport, WebhookReport, mib, micros,
    milliseconds, ratio, spread, statuses,
};
use crate::score::{Score, label, title, unmeasured};
use crate::table::{Table, whole};
use crate::targets::{FLAT, IDLE_KIB, LOADED_KIB, P99_MS, READY_MS, Verdict, goal};

const HEAD: &str = "\
# Benchmarks

Written by `scripts/bench` from its result files; changes by hand are lost.
";

const METHOD: &str = "\
## Method

- `grantex-bench` and the server (and PostgreSQL, where it is used) run on the same machine and share its cores. The
  generator is one thread; every client is one keep-alive connection with one request under way at a time.
- Each operation is warmed up and then measured on its own. What it consumes (codes, grants, tokens) is made beforehand
  and not timed. A refresh always uses the newest token of its grant, with an `Idempotency-Key` of its own.
- Latency runs from sending a request to the last byte of its answer and includes failed requests; requests/s counts
  only answers with the right status and the right content. Every request has a deadline of 10 s.
- All writes are durable: SQLite with `synchronous=FULL`, PostgreSQL with its defaults (`fsync`, `synchronous_commit`).
- The server is the release build with `LOG_LEVEL=info`, its log written to a file in memory, and
  `RATE_LIMIT_ENABLED=false`.
- The machine is noisy, so each run has two yardsticks of its own: RSA-2048 PKCS#1 SHA-256 signatures a second on one
  core with a parsed key (the mean of one second before and one after), and the server's own rate of `GET /health`.
  “× signing” and “× health” are ratios to them.
- CPU µs is user and system time of the server process (and of PostgreSQL with its backends) a request.
";

/// The whole page.
pub fn page(records: &[Record]) -> String {
    let mut runs: Vec<&RunReport> = Vec::new();
    let mut filled: Vec<&RunReport> = Vec::new();
    let mut starts: Vec<&StartReport> = Vec::new();
    let mut webhooks: Vec<&WebhookReport> = Vec::new();
    let mut streams: Vec<&StreamReport> = Vec::new();
    let mut policies: Vec<&PolicyReport> = Vec::new();
    for record in records {
        match record {
            Record::Run(run) if run.grants.is_some() => filled.push(run),
            Record::Run(run) => runs.push(run),
            Record::Start(start) => starts.push(start),
            Record::Webhooks(report) => webhooks.push(report),
            Record::Streams(report) => streams.push(report),
            Record::Policies(report) => policies.push(report),
        }
    }
    // With many developers first: the goals are about them.
    runs.sort_by_key(|run| (run.developers == 1, place(&run.labels)));

    let mut score = Score::default();
    let mut sections = String::new();
    for run in &runs {
        sections.push_str(&run_section(run, &mut score));
    }
    sections.push_str(&memory_section(&runs, &starts, &mut score));
    sections.push_str(&growth_section(&filled, &mut score));
    sections.push_str(&webhook_section(&webhooks, &mut score));
    sections.push_str(&stream_section(&streams, &mut score));
    sections.push_str(&policy_section(&policies, &mut score));

    score.unmeasured = unmeasured(&runs, &starts, &filled);
    format!(
        "{HEAD}\n{}\n{}\n{METHOD}\n{sections}",
        machines(records),
        score.summary()
    )
    .trim_end()
    .to_owned()
        + "\n"
}

/// What sorts runs: SQLite before PostgreSQL, the default algorithm before the other.
fn place(labels: &Labels) -> (bool, bool) {
    (
        label(labels, "store") != "sqlite",
        label(labels, "algorithm") != "RS256",
    )
}

fn developers(run: &RunReport) -> String {
    if run.developers == 1 {
        "one developer".to_owned()
    } else {
        format!("{} developers", run.developers)
    }
}

fn machines(records: &[Record]) -> String {
    let describe = |record: &Record| {
        let (machine, labels) = match record {
            Record::Run(run) => (&run.machine, &run.labels),
            Record::Start(start) => (&start.machine, &start.labels),
            Record::Webhooks(report) => (&report.machine, &report.labels),
            Record::Streams(report) => (&report.machine, &report.labels),
            Record::Policies(report) => (&report.machine, &report.labels),
        };
        format!(
            "- {}, {} cores, {:.0} GiB of memory, Linux {}, database on {}\n",
            machine.cpu,
            machine.cores,
            float(machine.memory_mib) / 1024.0,
            machine.kernel,
            label(labels, "filesystem"),
        )
    };
    let distinct: BTreeSet<String> = records.iter().map(describe).collect();
    format!("## Machine\n\n{}", distinct.into_iter().collect::<String>())
}

/// When and with what a section was measured.
fn provenance(labels: &Labels) -> String {
    let said = ["date", "commit", "database"]
        .iter()
        .filter_map(|key| Some((*key, labels.get(*key)?)));
    let said = said.map(|(key, value)| match key {
        "commit" => format!("commit {value}"),
        _ => value.clone(),
    });
    said.collect::<Vec<_>>().join(", ")
}

fn run_section(run: &RunReport, score: &mut Score) -> String {
    let name = format!("{}, {}", title(&run.labels), developers(run));
    // The figures of one developer are shown, and not judged.
    let judged = run.developers > 1;
    let mut table = Table::new(&[
        "operation",
        "target /s",
        "requests/s",
        "verdict",
        "× signing",
        "× health",
        "p50 ms",
        "p90 ms",
        "p99 ms",
        "max ms",
        "failures",
        "statuses",
        "CPU µs",
        "PostgreSQL CPU µs",
    ]);
    for operation in &run.operations {
        let goal = goal(
            operation.operation,
            label(&run.labels, "store"),
            label(&run.labels, "algorithm"),
        );
        let verdict = goal.filter(|_| judged).map(|goal| Verdict::of(goal, operation, run));
        if let Some(verdict) = &verdict {
            score.count(verdict.is_met(), || {
                let said = verdict.describe().replace("**missed**: ", "");
                format!(
                    "{name}: {}: {said} ({}/s)",
                    operation.operation.name(),
                    whole(operation.per_second)
                )
            });
        }
        table.row(vec![
            operation.operation.name().to_owned(),
            goal.filter(|_| judged)
                .map_or_else(|| "–".to_owned(), |goal| goal.describe()),
            whole(operation.per_second),
            verdict.map_or_else(|| "–".to_owned(), |verdict| verdict.describe()),
            ratio(run.of_signing(operation)),
            ratio(run.of_health(operation)),
            milliseconds(operation.p50_ms),
            milliseconds(operation.p90_ms),
            milliseconds(operation.p99_ms),
            milliseconds(operation.max_ms),
            failures(operation),
            statuses(&operation.statuses),
            micros(operation.server_cpu_us),
            micros(operation.postgres_cpu_us),
        ]);
    }
    format!(
        "## {name}\n\n{}. {} connections. Signing {}/s before and {}/s after; p99 must stay under {P99_MS:.0} ms.\n\n{}\n",
        provenance(&run.labels),
        run.clients,
        whole(run.signing_per_second),
        whole(run.signing_per_second_after),
        table.to_markdown(),
    )
}

fn failures(operation: &OperationReport) -> String {
    match operation.failure_count() {
        0 => "0".to_owned(),
        count => {
            let kinds: Vec<_> = operation
                .failures
                .iter()
                .map(|(kind, count)| format!("{count} × {kind}"))
                .collect();
            format!("{count} ({})", kinds.join(", "))
        }
    }
}

fn met(condition: bool) -> &'static str {
    if condition { "met" } else { "**missed**" }
}

fn memory_section(runs: &[&RunReport], starts: &[&StartReport], score: &mut Score) -> String {
    let mut table = Table::new(&["server", "figure", "target", "measured", "verdict"]);
    let mut row = |server: &str, figure: &str, target: String, measured: String, is_met: bool| {
        score.count(is_met, || format!("{server}: {figure}: {measured}"));
        table.row(vec![
            server.to_owned(),
            figure.to_owned(),
            target,
            measured,
            met(is_met).to_owned(),
        ]);
    };
    for start in starts {
        let server = title(&start.labels);
        let (best, median, worst) = spread(&start.ready_ms);
        let ready = format!("{median:.0} ({best:.0} to {worst:.0}, {} starts)", start.ready_ms.len());
        row(
            &server,
            "start to ready on an existing database, ms",
            format!("≤ {READY_MS:.0}"),
            ready,
            median <= READY_MS,
        );
        let idle = start.idle_kib.iter().copied().max().unwrap_or(0);
        row(
            &server,
            "resident memory, idle",
            format!("≤ {}", mib(IDLE_KIB)),
            mib(idle),
            idle <= IDLE_KIB,
        );
    }
    for run in runs {
        let Some(memory) = &run.memory else { continue };
        let server = format!("{}, {}", title(&run.labels), developers(run));
        let measured = format!("{} ({} afterwards)", mib(memory.peak_kib), mib(memory.after_kib));
        let target = format!("≤ {}", mib(LOADED_KIB));
        row(
            &server,
            "resident memory, most under load",
            target,
            measured,
            memory.peak_kib <= LOADED_KIB,
        );
    }
    if table.is_empty() {
        return String::new();
    }
    format!("## Memory and start\n\n{}\n", table.to_markdown())
}

fn growth_section(filled: &[&RunReport], score: &mut Score) -> String {
    let mut by_server: BTreeMap<String, Vec<&RunReport>> = BTreeMap::new();
    for run in filled {
        by_server.entry(title(&run.labels)).or_default().push(run);
    }
    let mut text = String::new();
    for (server, mut runs) in by_server {
        runs.sort_by_key(|run| run.grants);
        let (Some(few), Some(many)) = (runs.first(), runs.last()) else {
            continue;
        };
        if few.grants == many.grants {
            continue;
        }
        let (few_grants, many_grants) = (grants(few), grants(many));
        let mut table = Table::new(&[
            "operation",
            &format!("requests/s at {few_grants} grants"),
            &format!("at {many_grants}"),
            "ratio",
            &format!("p99 ms at {few_grants}"),
            &format!("at {many_grants}"),
            &format!("CPU µs at {few_grants}"),
            &format!("at {many_grants}"),
            &format!("PostgreSQL CPU µs at {few_grants}"),
            &format!("at {many_grants}"),
            "verdict",
        ]);
        for before in &few.operations {
            let Some(after) = many.operations.iter().find(|after| after.operation == before.operation) else {
                continue;
            };
            let kept = after.per_second / before.per_second;
            let is_yardstick = before.operation == Operation::Health;
            let is_flat = kept >= FLAT && before.failure_count() + after.failure_count() == 0;
            if !is_yardstick {
                let name = before.operation.name();
                score.count(is_flat, || {
                    format!("{server}: {name} at {many_grants} grants: {kept:.2} of its rate at {few_grants}")
                });
            }
            table.row(vec![
                before.operation.name().to_owned(),
                whole(before.per_second),
                whole(after.per_second),
                ratio(kept),
                milliseconds(before.p99_ms),
                milliseconds(after.p99_ms),
                micros(before.server_cpu_us),
                micros(after.server_cpu_us),
                micros(before.postgres_cpu_us),
                micros(after.postgres_cpu_us),
                if is_yardstick {
                    "–".to_owned()
                } else {
                    met(is_flat).to_owned()
                },
            ]);
        }
        text.push_str(&format!(
            "### {server}\n\n{}. The measurements themselves took the developer from {few_grants} grants to {} and from \
             {many_grants} to {}. Signing {}/s and {}/s.\n\n{}\n",
            provenance(&many.labels),
            whole(float(few.grants_after.unwrap_or(0))),
            whole(float(many.grants_after.unwrap_or(0))),
            whole(few.signing_per_second),
            whole(many.signing_per_second),
            table.to_markdown(),
        ));
    }
    if text.is_empty() {
        return text;
    }
    format!(
        "## Cost against the number of active grants\n\nOne developer holds all of them, and all clients work for it. \
         “Flat” means at least {FLAT} of the rate with few grants and no failures. The log level is `warn` here.\n\n{text}"
    )
}

fn grants(run: &RunReport) -> String {
    whole(float(run.grants.unwrap_or(0)))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::report::tests::{operation, run};

    const SQLITE: [(&str, &str); 4] = [
        ("store", "sqlite"),
        ("algorithm", "RS256"),
        ("date", "2030-01-02"),
        ("commit", "abc1234"),
    ];

    #[test]
    fn the_page_names_what_is_missed() {
        let operations = vec![
            operation(Operation::Health, 40_000.0),
            operation(Operation::Audit, 6_000.0),
        ];
        let start = StartReport {
            labels: run(&SQLITE, vec![]).labels,
            machine: run(&[], vec![]).machine,
            ready_ms: vec![90.0, 200.0, 100.0],
            idle_kib: vec![41 * 1024, 30 * 1024],
        };
        let page = page(&[Record::Start(start), Record::Run(run(&SQLITE, operations))]);
        assert!(page.contains("2 of 4 measured targets are met.\n\nMissed:\n"), "{page}");
        assert!(
            page.contains("- SQLite, RS256, 32 developers: audit: under 7,000/s (6,000/s)\n"),
            "{page}"
        );
        assert!(
            page.contains("- SQLite, RS256: resident memory, idle: 41.0 MiB\n"),
            "{page}"
        );
        assert!(
            page.contains("| audit | ≥ 7,000 | 6,000 | **missed**: under 7,000/s | 1.50 | 0.15 |"),
            "{page}"
        );
        assert!(page.contains("2030-01-02, commit abc1234"), "{page}");
        assert!(
            page.contains("- SQLite, RS256, many developers: exchange, refresh, verify, status, authorize\n"),
            "{page}"
        );
        assert!(
            page.contains("- PostgreSQL: the cost with 1,000,000 grants\n"),
            "{page}"
        );
        assert!(!page.contains("- SQLite, RS256: start"), "{page}");
        assert!(page.contains("| 100 (90 to 200, 3 starts) | met |"), "{page}");
    }

    #[test]
    fn one_developer_is_shown_but_not_judged() {
        let single = RunReport {
            developers: 1,
            memory: None,
            ..run(&SQLITE, vec![operation(Operation::Audit, 10.0)])
        };
        let page = page(&[Record::Run(single)]);
        assert!(page.contains("0 of 0 measured targets"), "{page}");
        assert!(page.contains("## SQLite, RS256, one developer"), "{page}");
        assert!(page.contains("| audit | – | 10 | – |"), "{page}");
    }

    #[test]
    fn growth_compares_few_grants_with_many() {
        let at = |grants, per_second| {
            let operations = vec![operation(Operation::Exchange, per_second)];
            Record::Run(RunReport {
                grants: Some(grants),
                developers: 1,
                ..run(&SQLITE, operations)
            })
        };
        let steady = page(&[at(1_000_000, 2_900.0), at(1_000, 3_000.0)]);
        assert!(steady.contains("| exchange | 3,000 | 2,900 | 0.97 |"), "{steady}");
        assert!(steady.contains("1 of 1 measured targets are met."), "{steady}");
        let falling = page(&[at(1_000, 569.0), at(1_000_000, 27.0)]);
        assert!(
            falling.contains("- SQLite, RS256: exchange at 1,000,000 grants: 0.05 of its rate at 1,000"),
            "{falling}"
        );
    }

    #[test]
    fn runs_stand_in_a_fixed_order() {
        let labelled = |store, algorithm, developers| {
            let labels = [("store", store), ("algorithm", algorithm)];
            Record::Run(RunReport {
                developers,
                memory: None,
                ..run(&labels, vec![])
            })
        };
        let page = page(&[
            labelled("postgres", "RS256", 1),
            labelled("postgres", "ES256", 32),
            labelled("sqlite", "ES256", 32),
            labelled("sqlite", "RS256", 32),
        ]);
        let headings: Vec<_> = page
            .lines()
            .filter_map(|line| line.strip_prefix("## "))
            .skip(3)
            .collect();
        assert_eq!(
            headings,
            [
                "SQLite, RS256, 32 developers",
                "SQLite, ES256, 32 developers",
                "PostgreSQL, ES256, 32 developers",
                "PostgreSQL, RS256, one developer",
            ]
        );
    }
}
