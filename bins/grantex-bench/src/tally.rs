//! Counts answers, failures and latencies.

use std::collections::BTreeMap;
use std::time::Duration;

use hdrhistogram::Histogram;

use crate::call::Answer;
use crate::connection::TransportError;

/// Why an answer is not what the workload expects; constant text, so that it can be counted by.
pub type Complaint = &'static str;

/// What came of the requests of one measurement.
#[derive(Clone)]
pub struct Tally {
    /// Microseconds from sending to the last byte, of every request that was sent, failed ones included.
    latencies: Histogram<u64>,
    successes: u64,
    statuses: BTreeMap<u16, u64>,
    failures: BTreeMap<String, u64>,
    /// The first answer of each kind of failure.
    examples: BTreeMap<String, String>,
}

impl Tally {
    pub fn new() -> Self {
        Self {
            latencies: histogram(),
            successes: 0,
            statuses: BTreeMap::new(),
            failures: BTreeMap::new(),
            examples: BTreeMap::new(),
        }
    }

    /// Counts an answer that the workload judged.
    pub fn answered(&mut self, took: Duration, answer: &Answer, verdict: Result<(), Complaint>) {
        self.observe(took);
        *self.statuses.entry(answer.status).or_default() += 1;
        match verdict {
            Ok(()) => self.successes += 1,
            Err(complaint) => {
                let kind = format!("{} {complaint}", answer.status);
                self.failed(kind, || answer.excerpt());
            }
        }
    }

    /// Counts a request that got no answer.
    pub fn unanswered(&mut self, took: Duration, error: &TransportError) {
        self.observe(took);
        self.failed(error.kind().to_owned(), || crate::error::with_causes(error));
    }

    fn observe(&mut self, took: Duration) {
        self.latencies
            .saturating_record(u64::try_from(took.as_micros()).unwrap_or(u64::MAX));
    }

    fn failed(&mut self, kind: String, example: impl FnOnce() -> String) {
        self.examples.entry(kind.clone()).or_insert_with(example);
        *self.failures.entry(kind).or_default() += 1;
    }

    pub fn merge(&mut self, other: &Self) {
        // Same bounds and precision everywhere, so this cannot fail.
        let _ = self.latencies.add(&other.latencies);
        self.successes += other.successes;
        for (status, count) in &other.statuses {
            *self.statuses.entry(*status).or_default() += count;
        }
        for (kind, count) in &other.failures {
            *self.failures.entry(kind.clone()).or_default() += count;
        }
        for (kind, example) in &other.examples {
            self.examples.entry(kind.clone()).or_insert_with(|| example.clone());
        }
    }

    /// Adds only the failures of another measurement, marked with its name, so that none goes unseen.
    pub fn absorb_failures(&mut self, name: &str, other: &Self) {
        for (kind, count) in &other.failures {
            let example = other.examples.get(kind).cloned().unwrap_or_default();
            let kind = format!("{name}: {kind}");
            self.examples.entry(kind.clone()).or_insert(example);
            *self.failures.entry(kind).or_default() += count;
        }
    }

    pub fn successes(&self) -> u64 {
        self.successes
    }

    pub fn failure_count(&self) -> u64 {
        self.failures.values().sum()
    }

    /// All requests sent, failed ones included.
    pub fn requests(&self) -> u64 {
        self.latencies.len()
    }

    pub fn statuses(&self) -> &BTreeMap<u16, u64> {
        &self.statuses
    }

    pub fn failures(&self) -> &BTreeMap<String, u64> {
        &self.failures
    }

    pub fn examples(&self) -> &BTreeMap<String, String> {
        &self.examples
    }

    /// The failures with their counts and first examples, for an error message.
    pub fn describe_failures(&self) -> String {
        let describe = |(kind, count): (&String, &u64)| {
            let example = self.examples.get(kind).map_or("", String::as_str);
            format!("{count} × {kind}: {example}")
        };
        self.failures.iter().map(describe).collect::<Vec<_>>().join("; ")
    }

    /// The latency in milliseconds below which this part (0 to 1) of the requests stayed.
    pub fn quantile_ms(&self, quantile: f64) -> f64 {
        milliseconds(self.latencies.value_at_quantile(quantile))
    }

    pub fn max_ms(&self) -> f64 {
        milliseconds(self.latencies.max())
    }
}

fn milliseconds(micros: u64) -> f64 {
    Duration::from_micros(micros).as_secs_f64() * 1_000.0
}

/// 1 µs to 60 s in three digits.
fn histogram() -> Histogram<u64> {
    let bounds = Histogram::new_with_bounds(1, 60_000_000, 3);
    #[expect(clippy::expect_used, reason = "the bounds are constants that the histogram accepts")]
    bounds.expect("1 to 60,000,000 in three digits")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn answer(status: u16, body: &'static str) -> Answer {
        Answer {
            status,
            body: body.into(),
        }
    }

    #[test]
    fn statuses_successes_and_failures_are_counted_apart() {
        let mut tally = Tally::new();
        for _ in 0..98 {
            tally.answered(Duration::from_millis(2), &answer(201, "{}"), Ok(()));
        }
        tally.answered(Duration::from_millis(3), &answer(201, "[]"), Err("body without code"));
        tally.answered(Duration::from_millis(4), &answer(503, "busy"), Err("unexpected status"));
        tally.unanswered(Duration::from_secs(10), &TransportError::Deadline);

        assert_eq!(tally.successes(), 98);
        assert_eq!(tally.failure_count(), 3);
        assert_eq!(tally.requests(), 101);
        assert_eq!(tally.statuses(), &BTreeMap::from([(201, 99), (503, 1)]));
        let failures: Vec<_> = tally
            .failures()
            .iter()
            .map(|(kind, count)| (kind.as_str(), *count))
            .collect();
        assert_eq!(
            failures,
            [
                ("201 body without code", 1),
                ("503 unexpected status", 1),
                ("timeout", 1)
            ]
        );
        assert_eq!(
            tally.examples().get("503 unexpected status").map(String::as_str),
            Some("busy")
        );
    }

    #[test]
    fn a_failed_request_is_part_of_the_percentiles() {
        let mut tally = Tally::new();
        for _ in 0..99 {
            tally.answered(Duration::from_millis(2), &answer(200, ""), Ok(()));
        }
        tally.unanswered(Duration::from_secs(10), &TransportError::Deadline);
        assert!((tally.quantile_ms(0.5) - 2.0).abs() < 0.01);
        assert!((tally.quantile_ms(0.99) - 2.0).abs() < 0.01);
        assert!((tally.max_ms() - 10_000.0).abs() < 20.0);
    }

    #[test]
    fn merging_adds_everything_up() {
        let mut first = Tally::new();
        first.answered(Duration::from_millis(1), &answer(200, ""), Ok(()));
        let mut second = Tally::new();
        second.answered(Duration::from_millis(9), &answer(500, "late"), Err("unexpected status"));
        second.answered(Duration::from_millis(9), &answer(200, ""), Ok(()));
        first.merge(&second);
        assert_eq!((first.successes(), first.failure_count()), (2, 1));
        assert_eq!(first.statuses(), &BTreeMap::from([(200, 2), (500, 1)]));
        assert!((first.max_ms() - 9.0).abs() < 0.02);
        assert_eq!(first.describe_failures(), "1 × 500 unexpected status: late");
    }
}
