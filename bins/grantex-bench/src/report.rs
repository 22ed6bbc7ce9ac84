//! The results as data, and as a table for the terminal.

use std::collections::BTreeMap;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::machine::Machine;
use crate::measure::{Operation, float};
use crate::process::Memory;
use crate::table::{Table, whole};
use crate::tally::Tally;

const UNMEASURED: &str = "not measured";

/// One result file.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "lowercase")]
pub enum Record {
    Run(RunReport),
    Start(StartReport),
    Webhooks(WebhookReport),
    Streams(StreamReport),
    Policies(PolicyReport),
}

/// What the caller wants remembered with a result: store, algorithm, date, commit and the like.
pub type Labels = BTreeMap<String, String>;

/// Operations measured against one server.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct RunReport {
    pub labels: Labels,
    pub machine: Machine,
    pub clients: usize,
    pub developers: usize,
    /// Active grants of the one developer before the measurements, when they were filled up on purpose.
    pub grants: Option<u64>,
    /// The same after them; an exchange makes grants.
    pub grants_after: Option<u64>,
    /// RSA-2048 signatures a second on one core, before and after the measurements.
    pub signing_per_second: f64,
    pub signing_per_second_after: f64,
    /// The server's own rate of `GET /health` in this run.
    pub health_per_second: f64,
    pub memory: Option<ServerMemory>,
    pub operations: Vec<OperationReport>,
}

/// The server's resident memory.
#[derive(Clone, Copy, Debug, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct ServerMemory {
    pub before_kib: u64,
    pub after_kib: u64,
    pub peak_kib: u64,
}

/// How long a server takes from its start to being ready, and what it holds then.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct StartReport {
    pub labels: Labels,
    pub machine: Machine,
    pub ready_ms: Vec<f64>,
    pub idle_kib: Vec<u64>,
}

/// How webhook deliveries drained, and how old events were when they arrived.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct WebhookReport {
    pub labels: Labels,
    pub machine: Machine,
    /// Developers with one endpoint each.
    pub developers: usize,
    /// Deliveries that waited.
    pub backlog: u64,
    /// Deliveries a second while they drained.
    pub per_second: f64,
    /// Requests beyond one for each delivery.
    pub doubled: u64,
    /// Processor time of the server for each delivery of the drain.
    pub cpu_micros: Option<f64>,
    /// Events a second while their age was measured.
    pub events_per_second: f64,
    /// Age of events at their arrival, of the slowest endpoint.
    pub p50_ms: f64,
    pub p99_ms: f64,
    pub max_ms: f64,
    /// Deliveries that never came.
    pub missing: u64,
}

/// Open event streams of one developer.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct StreamReport {
    pub labels: Labels,
    pub machine: Machine,
    pub transport: String,
    /// Streams that were open together.
    pub streams: u64,
    /// Streams that could not be opened.
    pub refused: u64,
    pub opened_in_seconds: f64,
    /// The server's resident memory before the first stream, with all of them silent, and after an event.
    pub before_kib: u64,
    pub idle_kib: u64,
    pub after_kib: u64,
    pub peak_kib: u64,
    /// Processor time of the server while nothing but keepalives was sent, in percent of one processor.
    pub silent_cpu_percent: f64,
    /// Time from sending an exchange to its second event on the last stream.
    pub to_all_ms: f64,
    /// Streams that did not bring it.
    pub untold: u64,
}

/// What policies of one developer cost authorizations.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct PolicyReport {
    pub labels: Labels,
    pub machine: Machine,
    pub policies: u32,
    /// Authorizations with policies, and as many without.
    pub operations: u32,
    pub figures: Vec<PolicyFigures>,
}

/// Policies of one kind.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct PolicyFigures {
    pub arrangement: String,
    /// The first authorization, which reads the policies.
    pub first_ms: f64,
    pub without_p50_micros: f64,
    pub with_p50_micros: f64,
    pub without_p99_micros: f64,
    pub with_p99_micros: f64,
}

impl PolicyFigures {
    /// What policies add to the median authorization.
    pub fn cost_micros(&self) -> f64 {
        self.with_p50_micros - self.without_p50_micros
    }
}

impl PolicyReport {
    pub fn to_text(&self) -> String {
        let mut text = format!(
            "{} policies of one developer, {} authorizations with and without\n",
            self.policies, self.operations
        );
        for figures in &self.figures {
            text.push_str(&format!(
                "{}: cost {:.0} µs; p50 {:.0} µs without, {:.0} µs with; p99 {:.0} µs without, {:.0} µs with; first {:.1} ms\n",
                figures.arrangement,
                figures.cost_micros(),
                figures.without_p50_micros,
                figures.with_p50_micros,
                figures.without_p99_micros,
                figures.with_p99_micros,
                figures.first_ms,
            ));
        }
        text
    }
}

impl StreamReport {
    /// What one stream adds to the server's memory.
    pub fn kib_per_stream(&self) -> f64 {
        float(self.idle_kib.saturating_sub(self.before_kib)) / float(self.streams.max(1))
    }

    pub fn to_text(&self) -> String {
        format!(
            "{} {} streams opened in {:.1} s, {} refused; server memory: {} before, {} idle ({:.1} KiB a stream), {} after an event, \
             {} at most; silence costs {:.1} % of a processor; one event reached all in {:.0} ms, {} were left out\n",
            whole(float(self.streams)),
            self.transport,
            self.opened_in_seconds,
            self.refused,
            mib(self.before_kib),
            mib(self.idle_kib),
            self.kib_per_stream(),
            mib(self.after_kib),
            mib(self.peak_kib),
            self.silent_cpu_percent,
            self.to_all_ms,
            self.untold,
        )
    }
}

impl WebhookReport {
    pub fn to_text(&self) -> String {
        format!(
            "{} deliveries to {} endpoints: {}/s, {} doubled, {} missing; at {} events/s from event to receiver: p50 {:.0} ms, p99 {:.0} ms, \
             max {:.0} ms\n",
            self.backlog,
            self.developers,
            whole(self.per_second),
            self.doubled,
            self.missing,
            whole(self.events_per_second),
            self.p50_ms,
            self.p99_ms,
            self.max_ms,
        )
    }
}

/// One measured operation.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct OperationReport {
    pub operation: Operation,
    pub requests: u64,
    pub successes: u64,
    pub seconds: f64,
    /// Successes a second.
    pub per_second: f64,
    pub p50_ms: f64,
    pub p90_ms: f64,
    pub p99_ms: f64,
    pub max_ms: f64,
    /// By status; text, because a tagged record cannot be read back with numbers for keys.
    pub statuses: BTreeMap<String, u64>,
    pub failures: BTreeMap<String, u64>,
    pub failure_examples: BTreeMap<String, String>,
    /// CPU microseconds a request.
    pub server_cpu_us: Option<f64>,
    pub postgres_cpu_us: Option<f64>,
    pub generator_cpu_us: Option<f64>,
}

impl OperationReport {
    pub fn new(operation: Operation, tally: &Tally, elapsed: Duration) -> Self {
        let seconds = elapsed.as_secs_f64();
        Self {
            operation,
            requests: tally.requests(),
            successes: tally.successes(),
            seconds,
            per_second: if seconds > 0.0 {
                float(tally.successes()) / seconds
            } else {
                0.0
            },
            p50_ms: tally.quantile_ms(0.5),
            p90_ms: tally.quantile_ms(0.9),
            p99_ms: tally.quantile_ms(0.99),
            max_ms: tally.max_ms(),
            statuses: tally
                .statuses()
                .iter()
                .map(|(status, count)| (status.to_string(), *count))
                .collect(),
            failures: tally.failures().clone(),
            failure_examples: tally.examples().clone(),
            server_cpu_us: None,
            postgres_cpu_us: None,
            generator_cpu_us: None,
        }
    }

    /// An operation that could not be measured, and why.
    pub fn unmeasured(operation: Operation, why: String) -> Self {
        let mut report = Self::new(operation, &Tally::new(), Duration::ZERO);
        report.failures.insert(UNMEASURED.to_owned(), 1);
        report.failure_examples.insert(UNMEASURED.to_owned(), why);
        report
    }

    pub fn with_server_cpu(mut self, micros: Option<f64>) -> Self {
        self.server_cpu_us = micros;
        self
    }

    pub fn with_postgres_cpu(mut self, micros: Option<f64>) -> Self {
        self.postgres_cpu_us = micros;
        self
    }

    pub fn with_generator_cpu(mut self, micros: Option<f64>) -> Self {
        self.generator_cpu_us = micros;
        self
    }

    pub fn failure_count(&self) -> u64 {
        self.failures.values().sum()
    }
}

impl ServerMemory {
    pub fn new(before: Memory, after: Memory) -> Self {
        Self {
            before_kib: before.resident_kib,
            after_kib: after.resident_kib,
            peak_kib: after.peak_kib,
        }
    }
}

impl RunReport {
    pub fn failure_count(&self) -> u64 {
        self.operations.iter().map(OperationReport::failure_count).sum()
    }

    /// The signing rate to compare with: the mean, because the machine changes its speed in the course of a run.
    pub fn signing(&self) -> f64 {
        f64::midpoint(self.signing_per_second, self.signing_per_second_after)
    }

    pub fn of_signing(&self, operation: &OperationReport) -> f64 {
        operation.per_second / self.signing()
    }

    pub fn of_health(&self, operation: &OperationReport) -> f64 {
        operation.per_second / self.health_per_second
    }

    /// The table and what surrounds it, for a terminal.
    pub fn to_text(&self) -> String {
        let mut table = Table::new(&[
            "operation",
            "seconds",
            "requests/s",
            "p50 ms",
            "p90 ms",
            "p99 ms",
            "max ms",
            "× signing",
            "× health",
            "CPU µs/op",
            "PG µs/op",
            "own µs/op",
            "failures",
            "statuses",
        ]);
        for operation in &self.operations {
            table.row(vec![
                operation.operation.name().to_owned(),
                format!("{:.1}", operation.seconds),
                whole(operation.per_second),
                milliseconds(operation.p50_ms),
                milliseconds(operation.p90_ms),
                milliseconds(operation.p99_ms),
                milliseconds(operation.max_ms),
                ratio(self.of_signing(operation)),
                ratio(self.of_health(operation)),
                micros(operation.server_cpu_us),
                micros(operation.postgres_cpu_us),
                micros(operation.generator_cpu_us),
                operation.failure_count().to_string(),
                statuses(&operation.statuses),
            ]);
        }
        let mut text = format!("\n{}", table.to_text());
        for operation in &self.operations {
            for (kind, count) in &operation.failures {
                let example = operation.failure_examples.get(kind).map_or("", String::as_str);
                text.push_str(&format!(
                    "FAILED {}: {count} × {kind}: {example}\n",
                    operation.operation.name()
                ));
            }
        }
        text.push_str(&format!(
            "{} clients, {} developers; RSA-2048 signing on one core {}/s before, {}/s after\n",
            self.clients,
            self.developers,
            whole(self.signing_per_second),
            whole(self.signing_per_second_after),
        ));
        if let Some(grants) = self.grants {
            let after = whole(float(self.grants_after.unwrap_or(grants)));
            text.push_str(&format!(
                "active grants of the developer: {} before, {after} after\n",
                whole(float(grants))
            ));
        }
        if let Some(memory) = &self.memory {
            text.push_str(&format!(
                "server memory: {} before, {} after, {} at most\n",
                mib(memory.before_kib),
                mib(memory.after_kib),
                mib(memory.peak_kib),
            ));
        }
        text
    }
}

impl StartReport {
    pub fn to_text(&self) -> String {
        let (best, median, worst) = spread(&self.ready_ms);
        let idle = self.idle_kib.iter().copied().max().unwrap_or(0);
        format!(
            "start to ready: {median:.1} ms (best {best:.1}, worst {worst:.1}); idle memory: {}\n",
            mib(idle)
        )
    }
}

/// Least, median and greatest; zeros for none.
pub fn spread(values: &[f64]) -> (f64, f64, f64) {
    let mut sorted = values.to_vec();
    sorted.sort_by(f64::total_cmp);
    let at = |index: usize| sorted.get(index).copied().unwrap_or(0.0);
    (at(0), at(sorted.len() / 2), at(sorted.len().saturating_sub(1)))
}

pub fn milliseconds(value: f64) -> String {
    format!("{value:.2}")
}

/// A ratio to something that may not have been measured.
pub fn ratio(value: f64) -> String {
    if value.is_finite() {
        format!("{value:.2}")
    } else {
        "-".to_owned()
    }
}

pub fn micros(value: Option<f64>) -> String {
    value.map_or_else(|| "-".to_owned(), |value| format!("{value:.0}"))
}

pub fn mib(kib: u64) -> String {
    format!("{:.1} MiB", float(kib) / 1024.0)
}

/// `200 × 5, 503 × 1`.
pub fn statuses(counts: &BTreeMap<String, u64>) -> String {
    counts
        .iter()
        .map(|(status, count)| format!("{status} × {count}"))
        .collect::<Vec<_>>()
        .join(", ")
}

#[cfg(test)]
pub mod tests {
    use super::*;
    use crate::call::Answer;

    pub fn operation(operation: Operation, per_second: f64) -> OperationReport {
        OperationReport {
            per_second,
            p99_ms: 9.0,
            ..OperationReport::new(operation, &Tally::new(), Duration::from_secs(1))
        }
    }

    pub fn run(labels: &[(&str, &str)], operations: Vec<OperationReport>) -> RunReport {
        let machine = Machine {
            cpu: "Test CPU".to_owned(),
            cores: 2,
            memory_mib: 1024,
            kernel: "6".to_owned(),
        };
        RunReport {
            labels: labels
                .iter()
                .map(|(key, value)| ((*key).to_owned(), (*value).to_owned()))
                .collect(),
            machine,
            clients: 32,
            developers: 32,
            grants: None,
            grants_after: None,
            signing_per_second: 4_000.0,
            signing_per_second_after: 4_000.0,
            health_per_second: 40_000.0,
            memory: Some(ServerMemory {
                before_kib: 20 * 1024,
                after_kib: 50 * 1024,
                peak_kib: 60 * 1024,
            }),
            operations,
        }
    }

    #[test]
    fn the_table_shows_percentiles_ratios_and_statuses() {
        let mut tally = Tally::new();
        for millis in 1..=100 {
            let answer = Answer {
                status: 201,
                body: "".into(),
            };
            tally.answered(Duration::from_millis(millis), &answer, Ok(()));
        }
        let answer = Answer {
            status: 503,
            body: "busy".into(),
        };
        tally.answered(Duration::from_millis(100), &answer, Err("unexpected status"));
        let exchange = OperationReport::new(Operation::Exchange, &tally, Duration::from_millis(50));
        let text = run(&[], vec![exchange.with_server_cpu(Some(211.4))]).to_text();
        let row = text.lines().find(|line| line.starts_with("exchange")).unwrap();
        let cells: Vec<_> = row.split_ascii_whitespace().collect();
        assert_eq!(
            cells.first_chunk::<13>().unwrap(),
            &[
                "exchange", "0.1", "2,000", "51.01", "91.01", "100.03", "100.03", "0.50", "0.05", "211", "-", "-", "1"
            ]
        );
        assert!(row.ends_with("201 × 100, 503 × 1"));
        assert!(text.contains("FAILED exchange: 1 × 503 unexpected status: busy"));
        assert!(text.contains("20.0 MiB before, 50.0 MiB after, 60.0 MiB at most"));
    }

    #[test]
    fn a_result_survives_its_file() {
        let mut tally = Tally::new();
        let answer = Answer {
            status: 200,
            body: "".into(),
        };
        tally.answered(Duration::from_millis(1), &answer, Ok(()));
        let verify = OperationReport::new(Operation::Verify, &tally, Duration::from_secs(1));
        let record = Record::Run(run(&[("store", "sqlite")], vec![verify]));
        let text = serde_json::to_string(&record).unwrap();
        let Record::Run(read) = serde_json::from_str(&text).unwrap() else {
            panic!("not a run: {text}")
        };
        assert_eq!(read.labels.get("store").unwrap(), "sqlite");
        let verify = read.operations.first().unwrap();
        assert_eq!(verify.operation, Operation::Verify);
        assert_eq!(verify.statuses, BTreeMap::from([("200".to_owned(), 1)]));
        assert!(text.contains(r#""kind":"run""#), "{text}");
    }

    #[test]
    fn the_spread_of_nothing_is_zero() {
        assert_eq!(spread(&[3.0, 1.0, 2.0]), (1.0, 2.0, 3.0));
        assert_eq!(spread(&[]), (0.0, 0.0, 0.0));
    }
}
