//! Failed connections → log and metrics. They belong to no request, so no flow can tell of them.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use grantex_core::clock::Clock;
use grantex_core::event::{Event, Observer as _};
use grantex_metrics::Metrics;
use slog::Logger;

/// The least time between two lines about failures of one pool. During an outage nearly every request meets one, and a log
/// that says so each time buries what else there is to see.
const PAUSE: Duration = Duration::from_secs(10);

/// Counts every failed connection and logs some of them: the first at once, then one per pool and pause at most.
pub struct ConnectionErrors {
    logger: Logger,
    metrics: Option<Metrics>,
    clock: Arc<dyn Clock>,
    pools: Mutex<BTreeMap<&'static str, Told>>,
}

/// What the log knows of a pool.
#[derive(Default)]
struct Told {
    /// When its last failure was logged, by the monotonic clock.
    last: Option<Duration>,
    /// Failures since then.
    unlogged: u64,
    /// Whether the log believes that it fails.
    is_failing: bool,
}

impl ConnectionErrors {
    /// Tells this logger and these metrics.
    pub fn new(logger: Logger, metrics: Option<Metrics>, clock: Arc<dyn Clock>) -> Self {
        Self {
            logger,
            metrics,
            clock,
            pools: Mutex::default(),
        }
    }

    /// A connection of this pool failed.
    pub fn failed(&self, pool: &'static str, error: &str) {
        let unlogged = self.to_be_logged(pool);
        let event = Event::DatabaseConnectionError {
            error: error.to_owned(),
            pool,
            unlogged: unlogged.unwrap_or(0),
        };
        if unlogged.is_some() {
            event.log(&self.logger, Duration::ZERO);
        }
        if let Some(metrics) = &self.metrics {
            metrics.observe(&event, Duration::ZERO);
        }
    }

    /// A connection of this pool answered after failures.
    pub fn restored(&self, pool: &'static str) {
        let unlogged = {
            let mut pools = self.pools();
            let Some(told) = pools.get_mut(pool).filter(|told| told.is_failing) else {
                return;
            };
            told.is_failing = false;
            std::mem::take(&mut told.unlogged)
        };
        let event = Event::DatabaseConnectionRestored { pool, unlogged };
        event.log(&self.logger, Duration::ZERO);
        if let Some(metrics) = &self.metrics {
            metrics.observe(&event, Duration::ZERO);
        }
    }

    /// Whether a failure is to be logged, and if so how many were not since the last one that was.
    fn to_be_logged(&self, pool: &'static str) -> Option<u64> {
        let now = self.clock.monotonic();
        let mut pools = self.pools();
        let told = pools.entry(pool).or_default();
        if told.last.is_some_and(|last| now.saturating_sub(last) < PAUSE) {
            told.unlogged += 1;
            return None;
        }
        told.last = Some(now);
        told.is_failing = true;
        Some(std::mem::take(&mut told.unlogged))
    }

    fn pools(&self) -> MutexGuard<'_, BTreeMap<&'static str, Told>> {
        self.pools.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use grantex_core::clock::Lifetime;
    use grantex_core::testing::{LogLines, ManualClock};
    use serde_json::Value;

    use super::*;

    struct Outage {
        errors: ConnectionErrors,
        clock: ManualClock,
        log: LogLines,
        metrics: Metrics,
    }

    impl Outage {
        fn new() -> Self {
            let (clock, log) = (ManualClock::default(), LogLines::default());
            let metrics = Metrics::new("0", &[]).unwrap();
            let errors = ConnectionErrors::new(log.logger(), Some(metrics.clone()), Arc::new(clock.clone()));
            Self {
                errors,
                clock,
                log,
                metrics,
            }
        }

        /// Message, pool and number of unlogged failures of each line since the last call.
        fn lines(&self) -> Vec<(String, String, u64)> {
            let line = |line: grantex_core::testing::LogLine| {
                let pool = line.fields["pool"].as_str().unwrap().to_owned();
                let unlogged = line.fields.get("unlogged").and_then(Value::as_u64).unwrap_or(0);
                (line.message, pool, unlogged)
            };
            self.log.take().into_iter().map(line).collect()
        }

        fn counted(&self, pool: &str) -> u64 {
            let series = format!("grantex_database_connection_errors_total{{pool=\"{pool}\"}} ");
            let rendered = self.metrics.render();
            let count = rendered.lines().find_map(|line| line.strip_prefix(&series));
            count.unwrap().parse().unwrap()
        }
    }

    fn failure(pool: &str, unlogged: u64) -> (String, String, u64) {
        ("database.connection_error".to_owned(), pool.to_owned(), unlogged)
    }

    fn recovery(pool: &str, unlogged: u64) -> (String, String, u64) {
        ("database.connection_restored".to_owned(), pool.to_owned(), unlogged)
    }

    #[test]
    fn an_outage_leaves_a_line_at_once_and_then_one_every_ten_seconds() {
        let outage = Outage::new();
        outage.errors.failed("postgres", "refused");
        assert_eq!(outage.lines(), [failure("postgres", 0)]);
        for _ in 0..100 {
            outage.clock.advance(Lifetime::millis(99));
            outage.errors.failed("postgres", "refused");
        }
        assert_eq!(outage.lines(), []);
        outage.clock.advance(Lifetime::millis(100));
        outage.errors.failed("postgres", "refused");
        assert_eq!(outage.lines(), [failure("postgres", 100)]);
        outage.clock.advance(Lifetime::seconds(10));
        outage.errors.failed("postgres", "refused");
        assert_eq!(outage.lines(), [failure("postgres", 0)]);
        assert_eq!(outage.counted("postgres"), 103, "the metric counts every one");
    }

    #[test]
    fn every_pool_has_lines_of_its_own() {
        let outage = Outage::new();
        for pool in ["read", "write", "read"] {
            outage.errors.failed(pool, "disk I/O error");
        }
        assert_eq!(outage.lines(), [failure("read", 0), failure("write", 0)]);
        assert_eq!((outage.counted("read"), outage.counted("write")), (2, 1));
    }

    #[test]
    fn the_end_of_an_outage_is_told_once() {
        let outage = Outage::new();
        outage.errors.restored("postgres");
        assert_eq!(outage.lines(), [], "there was none");
        for _ in 0..5 {
            outage.errors.failed("postgres", "refused");
        }
        outage.errors.restored("postgres");
        outage.errors.restored("postgres");
        assert_eq!(outage.lines(), [failure("postgres", 0), recovery("postgres", 4)]);
    }

    #[test]
    fn a_database_that_comes_and_goes_fills_no_log() {
        let outage = Outage::new();
        for _ in 0..1_000 {
            outage.errors.failed("postgres", "refused");
            outage.errors.restored("postgres");
        }
        assert_eq!(outage.lines(), [failure("postgres", 0), recovery("postgres", 0)]);
        outage.clock.advance(Lifetime::seconds(10));
        outage.errors.failed("postgres", "refused");
        assert_eq!(outage.lines(), [failure("postgres", 999)]);
        assert_eq!(outage.counted("postgres"), 1_001);
    }
}
