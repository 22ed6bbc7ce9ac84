//! What is counted of one agent. All of it is atomic: counting and reading need no lock.

use std::fmt::{self, Write};
use std::sync::atomic::{AtomicI64, AtomicU64, Ordering};
use std::time::Duration;

use grantex_core::event::ExchangeStatus;

use crate::catalogue::REQUEST_SECONDS;
use crate::label::{Closed, Severity, WebhookStatus};

/// No value yet.
const UNKNOWN: i64 = i64::MIN;

/// The series of one agent, or of all others.
pub struct AgentSeries {
    exchanges: Each<ExchangeStatus>,
    authorizations: Durations,
    anomalies: Each<Severity>,
    deliveries: Each<WebhookStatus>,
    active_grants: AtomicI64,
}

impl AgentSeries {
    pub fn new() -> Self {
        Self {
            exchanges: Each::new(),
            authorizations: Durations::new(),
            anomalies: Each::new(),
            deliveries: Each::new(),
            active_grants: AtomicI64::new(UNKNOWN),
        }
    }

    /// The series of all others: they have no grants until somebody counts.
    pub fn of_others() -> Self {
        let series = Self::new();
        series.set_active_grants(0);
        series
    }

    pub fn exchanged(&self, status: ExchangeStatus) {
        self.exchanges.increment(status);
    }

    pub fn authorized(&self, took: Duration) {
        self.authorizations.record(took);
    }

    pub fn anomaly(&self, severity: Severity) {
        self.anomalies.increment(severity);
    }

    pub fn delivery(&self, status: WebhookStatus) {
        self.deliveries.increment(status);
    }

    pub fn set_active_grants(&self, count: u64) {
        let count = i64::try_from(count).unwrap_or(i64::MAX);
        self.active_grants.store(count, Ordering::Relaxed);
    }

    pub fn write_exchanges(&self, to: &mut dyn Write, name: &str, agent: &str) -> fmt::Result {
        self.exchanges.write(to, name, agent, "status")
    }

    pub fn write_authorizations(&self, to: &mut dyn Write, name: &str, agent: &str) -> fmt::Result {
        self.authorizations.write(to, name, agent)
    }

    pub fn write_anomalies(&self, to: &mut dyn Write, name: &str, agent: &str) -> fmt::Result {
        self.anomalies.write(to, name, agent, "severity")
    }

    pub fn write_deliveries(&self, to: &mut dyn Write, name: &str, agent: &str) -> fmt::Result {
        self.deliveries.write(to, name, agent, "status")
    }

    /// Nothing as long as nobody has counted them.
    pub fn write_active_grants(&self, to: &mut dyn Write, name: &str, agent: &str) -> fmt::Result {
        match self.active_grants.load(Ordering::Relaxed) {
            UNKNOWN => Ok(()),
            count => writeln!(to, "{name}{{agent_id=\"{agent}\"}} {count}"),
        }
    }
}

/// A counter for each value of a closed label.
struct Each<T>(Vec<(T, AtomicU64)>);

impl<T: Closed> Each<T> {
    fn new() -> Self {
        Self(T::ALL.iter().map(|value| (*value, AtomicU64::new(0))).collect())
    }

    fn increment(&self, value: T) {
        if let Some((_, count)) = self.0.iter().find(|(known, _)| *known == value) {
            count.fetch_add(1, Ordering::Relaxed);
        }
    }

    fn write(&self, to: &mut dyn Write, name: &str, agent: &str, label: &str) -> fmt::Result {
        for (value, count) in &self.0 {
            let (value, count) = (value.text(), count.load(Ordering::Relaxed));
            writeln!(to, "{name}{{agent_id=\"{agent}\",{label}=\"{value}\"}} {count}")?;
        }
        Ok(())
    }
}

/// A histogram over [`REQUEST_SECONDS`]. The last bucket is that of everything beyond.
struct Durations {
    buckets: Vec<AtomicU64>,
    nanoseconds: AtomicU64,
}

impl Durations {
    fn new() -> Self {
        Self {
            buckets: (0..=REQUEST_SECONDS.len()).map(|_| AtomicU64::new(0)).collect(),
            nanoseconds: AtomicU64::new(0),
        }
    }

    fn record(&self, took: Duration) {
        let seconds = took.as_secs_f64();
        let place = REQUEST_SECONDS.partition_point(|bound| *bound < seconds);
        if let Some(bucket) = self.buckets.get(place) {
            bucket.fetch_add(1, Ordering::Relaxed);
        }
        let nanoseconds = u64::try_from(took.as_nanos()).unwrap_or(u64::MAX);
        self.nanoseconds.fetch_add(nanoseconds, Ordering::Relaxed);
    }

    fn write(&self, to: &mut dyn Write, name: &str, agent: &str) -> fmt::Result {
        // The count is the sum of what was just read, so that it agrees with the buckets whatever is recorded meanwhile.
        let mut count = 0;
        let mut bounds = REQUEST_SECONDS.iter();
        for bucket in &self.buckets {
            count += bucket.load(Ordering::Relaxed);
            match bounds.next() {
                Some(bound) => writeln!(to, "{name}_bucket{{agent_id=\"{agent}\",le=\"{bound}\"}} {count}")?,
                None => writeln!(to, "{name}_bucket{{agent_id=\"{agent}\",le=\"+Inf\"}} {count}")?,
            }
        }
        let sum = Duration::from_nanos(self.nanoseconds.load(Ordering::Relaxed)).as_secs_f64();
        writeln!(to, "{name}_sum{{agent_id=\"{agent}\"}} {sum}")?;
        writeln!(to, "{name}_count{{agent_id=\"{agent}\"}} {count}")
    }
}
