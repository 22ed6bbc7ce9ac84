//! Gauges that are set from a snapshot, jobs, and the log's own counters.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use grantex_core::clock::{Clock, Timestamp};
use grantex_core::store::{Backlog, WebhookCensus};
use metrics::{Counter, Gauge, Histogram};

use crate::Metrics;
use crate::catalogue::{database, grants, jobs, keys, logs, snapshots, tokens, traces, webhooks};
use crate::exporter::Registry;
use crate::family::{Counters, Gauges, Histograms};
use crate::label::{
    EndpointState, JanitorTable, Job, JobStatus, LogLevel, Pool, QueueState, SigningKeyState, Snapshot, SpanFate,
};

/// The state of one pool.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct PoolState {
    /// Open connections.
    pub connections: u64,
    /// Connections that are working.
    pub in_use: u64,
    /// Calls that wait for one.
    pub waiting: u64,
}

pub(crate) struct GaugeMetrics {
    active_grants: Gauge,
    signing_keys: Gauges<SigningKeyState>,
    sign_duration: Histogram,
    connections: Gauges<Pool>,
    in_use: Gauges<Pool>,
    waiting: Gauges<Pool>,
    queue_depth: Gauge,
    webhook_queue: Gauges<QueueState>,
    webhook_oldest: Gauge,
    webhook_endpoints: Gauges<EndpointState>,
    job_success: Counters<Job>,
    job_error: Counters<Job>,
    job_duration: Histograms<Job>,
    job_last_success: Gauges<Job>,
    job_rows: Counters<Job>,
    janitor_rows: Counters<JanitorTable>,
    log_lines: Counters<LogLevel>,
    log_dropped: Counter,
    spans: Counters<SpanFate>,
    ages: Gauges<Snapshot>,
    /// When gauges were last set, in milliseconds of the monotonic clock.
    set_at: Vec<(Snapshot, AtomicU64)>,
    clock: Arc<dyn Clock>,
}

impl GaugeMetrics {
    pub(crate) fn of(registry: &Registry, clock: Arc<dyn Clock>) -> Self {
        let now = millis(clock.monotonic());
        Self {
            active_grants: registry.gauge(&grants::ACTIVE, &[]),
            signing_keys: Gauges::of(registry, &keys::SIGNING),
            sign_duration: registry.histogram(&tokens::SIGN_DURATION, &[]),
            connections: Gauges::of(registry, &database::CONNECTIONS),
            in_use: Gauges::of(registry, &database::IN_USE),
            waiting: Gauges::of(registry, &database::WAITING),
            queue_depth: registry.gauge(&database::QUEUE_DEPTH, &[]),
            webhook_queue: Gauges::of(registry, &webhooks::QUEUE_DEPTH),
            webhook_oldest: registry.gauge(&webhooks::OLDEST_PENDING, &[]),
            webhook_endpoints: Gauges::of(registry, &webhooks::ENDPOINTS),
            job_success: Counters::of(registry, &jobs::RUNS, &[("status", JobStatus::Success.as_str())]),
            job_error: Counters::of(registry, &jobs::RUNS, &[("status", JobStatus::Error.as_str())]),
            job_duration: Histograms::of(registry, &jobs::DURATION),
            job_last_success: Gauges::of(registry, &jobs::LAST_SUCCESS),
            job_rows: Counters::of(registry, &jobs::ROWS, &[]),
            janitor_rows: Counters::of(registry, &jobs::JANITOR_ROWS, &[]),
            log_lines: Counters::of(registry, &logs::LINES, &[]),
            log_dropped: registry.counter(&logs::DROPPED, &[]),
            spans: Counters::of(registry, &traces::SPANS, &[]),
            ages: Gauges::of(registry, &snapshots::AGE),
            set_at: Snapshot::ALL
                .iter()
                .map(|source| (*source, AtomicU64::new(now)))
                .collect(),
            clock,
        }
    }

    /// Sets how old the gauges are that are read from the database.
    pub(crate) fn set_ages(&self) {
        let now = millis(self.clock.monotonic());
        for (source, at) in &self.set_at {
            let age = now.saturating_sub(at.load(Ordering::Relaxed));
            self.ages.set(*source, age as f64 / 1_000.0);
        }
    }
}

fn millis(span: Duration) -> u64 {
    u64::try_from(span.as_millis()).unwrap_or(u64::MAX)
}

impl Metrics {
    /// Notes that gauges were just read from the database and set.
    pub fn snapshot_taken(&self, source: Snapshot) {
        let gauges = &self.0.gauges;
        if let Some((_, at)) = gauges.set_at.iter().find(|(known, _)| *known == source) {
            at.store(millis(gauges.clock.monotonic()), Ordering::Relaxed);
        }
    }

    /// Sets how many grants are active.
    pub fn set_active_grants(&self, count: i64) {
        self.0.gauges.active_grants.set(count as f64);
    }

    /// Sets how many signing keys are in a state.
    pub fn set_signing_keys(&self, state: SigningKeyState, count: usize) {
        self.0.gauges.signing_keys.set(state, count as f64);
    }

    /// Tells how long a signature took.
    pub fn signed(&self, took: Duration) {
        self.0.gauges.sign_duration.record(took);
    }

    /// Sets the state of a pool.
    pub fn set_pool(&self, pool: Pool, state: PoolState) {
        self.0.gauges.connections.set(pool, state.connections as f64);
        self.0.gauges.in_use.set(pool, state.in_use as f64);
        self.0.gauges.waiting.set(pool, state.waiting as f64);
    }

    /// Sets how many units of work wait to be written.
    pub fn set_write_queue_depth(&self, depth: usize) {
        self.0.gauges.queue_depth.set(depth as f64);
    }

    /// Sets what waits to be delivered at `now`, and how endpoints stand.
    pub fn set_webhooks(&self, backlog: &Backlog, census: &WebhookCensus, now: Timestamp) {
        let to = &self.0.gauges;
        to.webhook_queue.set(QueueState::Due, backlog.due as f64);
        to.webhook_queue.set(QueueState::Scheduled, backlog.scheduled as f64);
        to.webhook_queue.set(QueueState::Held, backlog.held as f64);
        let age = backlog.oldest.map_or(0, |oldest| now.since(oldest).as_millis());
        to.webhook_oldest.set(age as f64 / 1_000.0);
        to.webhook_endpoints.set(EndpointState::Active, census.active as f64);
        to.webhook_endpoints.set(EndpointState::Failing, census.failing as f64);
        to.webhook_endpoints.set(EndpointState::Paused, census.paused as f64);
        to.webhook_endpoints
            .set(EndpointState::Disabled, census.disabled as f64);
    }

    /// Tells of a run of a job that did what it should: how long it took, how many rows it changed, and the time (seconds
    /// since the Unix epoch).
    pub fn job_succeeded(&self, job: Job, took: Duration, rows: u64, at: f64) {
        self.0.gauges.job_success.increment(job);
        self.0.gauges.job_duration.record(job, took.as_secs_f64());
        self.0.gauges.job_rows.add(job, rows);
        self.0.gauges.job_last_success.set(job, at);
    }

    /// Tells of a run of a job that failed.
    pub fn job_failed(&self, job: Job, took: Duration) {
        self.0.gauges.job_error.increment(job);
        self.0.gauges.job_duration.record(job, took.as_secs_f64());
    }

    /// Tells how many rows the janitor removed from a table.
    pub fn janitor_removed(&self, table: JanitorTable, rows: u64) {
        self.0.gauges.janitor_rows.add(table, rows);
    }

    /// Tells of a log line.
    pub fn log_line(&self, level: LogLevel) {
        self.0.gauges.log_lines.increment(level);
    }

    /// Tells what became of spans.
    pub fn spans(&self, fate: SpanFate, count: u64) {
        self.0.gauges.spans.add(fate, count);
    }

    /// Tells of a log line that was dropped.
    pub fn log_line_dropped(&self) {
        self.0.gauges.log_dropped.increment(1);
    }
}
