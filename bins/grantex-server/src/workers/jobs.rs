//! What the periodic jobs do, and what is told of each run.

use std::error::Error;
use std::time::Duration;

use grantex_core::clock::Timestamp;
use grantex_core::error::{StoreError, chain};
use grantex_core::sweep::Retention;
use grantex_metrics::{JanitorTable, Job, Metrics, Snapshot};
use slog::{Logger, debug, error, info};

use super::gauges;
use crate::app::Assembly;
use crate::keys::measured;

/// Among how many of its last grants those of an agent are counted: some milliseconds of reading.
const LAST_GRANTS: u64 = 10_000;
/// Developers that one statement names at most.
const PAGE: u32 = 1_000;

type Outcome = Result<u64, Box<dyn Error>>;

/// The jobs and what they work with.
pub struct Jobs {
    assembly: Assembly,
    metrics: Option<Metrics>,
    logger: Logger,
    retention: Retention,
    /// Whether this server looks for anomalies by itself.
    is_detecting: bool,
}

impl Jobs {
    pub const fn new(
        assembly: Assembly,
        metrics: Option<Metrics>,
        logger: Logger,
        retention: Retention,
        is_detecting: bool,
    ) -> Self {
        Self {
            assembly,
            metrics,
            logger,
            retention,
            is_detecting,
        }
    }

    pub const fn has_metrics(&self) -> bool {
        self.metrics.is_some()
    }

    /// Runs a job once. A failure is logged and counted; the next run tries again.
    pub async fn run(&self, job: Job) {
        let began = self.assembly.clock.monotonic();
        let outcome = match job {
            Job::Keys => self.keys().await,
            Job::ExpiredGrants => self.expired_grants().await,
            Job::DeletedAgents => self.deleted_agents().await,
            Job::Janitor => self.janitor().await,
            Job::WebhookBacklog => self.webhook_backlog().await,
            Job::AgentGrants => self.agent_grants().await,
            Job::Anomalies => self.anomalies().await,
        };
        let took = self.assembly.clock.monotonic().saturating_sub(began);
        match outcome {
            Ok(rows) => self.succeeded(job, took, rows),
            Err(cause) => {
                error!(self.logger, "job.failed"; "error" => chain(&*cause), "job" => job.as_str());
                if let Some(metrics) = &self.metrics {
                    metrics.job_failed(job, took);
                }
            }
        }
    }

    fn succeeded(&self, job: Job, took: Duration, rows: u64) {
        if rows > 0 {
            debug!(self.logger, "job.done"; "rows" => rows, "job" => job.as_str());
        }
        if let Some(metrics) = &self.metrics {
            metrics.job_succeeded(job, took, rows, seconds(self.assembly.clock.now()));
        }
    }

    /// Puts the stored keys in force, and retires and removes what is over.
    async fn keys(&self) -> Outcome {
        let removed = self.assembly.keys.prune().await?;
        for kid in &removed {
            info!(self.logger, "signing_key.removed"; "kid" => kid);
        }
        let ring = self.assembly.keys.ring().await?;
        if !ring.is_same_as(&self.assembly.grantex.keys()) {
            let (published, signs) = (ring.public_keys().len(), ring.token_signer().key_id().to_owned());
            self.assembly
                .grantex
                .set_keys(measured(ring, self.metrics.as_ref(), &self.assembly.clock));
            info!(self.logger, "signing_keys.changed"; "published" => published, "signing" => signs);
        }
        if let Some(metrics) = &self.metrics {
            metrics.janitor_removed(JanitorTable::SigningKeys, u64::try_from(removed.len()).unwrap_or(0));
            gauges::signing_keys(metrics, &self.assembly).await?;
            metrics.snapshot_taken(Snapshot::SigningKeys);
        }
        Ok(u64::try_from(removed.len()).unwrap_or(0))
    }

    async fn expired_grants(&self) -> Outcome {
        let expired = self.assembly.grantex.sweep_expired().await?;
        if let Some(metrics) = &self.metrics {
            metrics.set_active_grants(self.assembly.grantex.total_active_grants().await?);
            metrics.snapshot_taken(Snapshot::ActiveGrants);
        }
        Ok(expired)
    }

    async fn deleted_agents(&self) -> Outcome {
        let ctx = self.assembly.grantex.context(self.logger.clone(), "job".to_owned());
        // First, so that nothing of a deleted agent is used while its grants are being revoked. Neither may keep the other from its work.
        let told = self.assembly.grantex.spread_revocations(&ctx).await;
        let cleared = self.assembly.grantex.clear_deleted_agents(&ctx).await;
        Ok(told? + cleared?)
    }

    async fn janitor(&self) -> Outcome {
        let swept = self.assembly.grantex.janitor(&self.retention).await?;
        if let Some(metrics) = &self.metrics {
            metrics.janitor_removed(JanitorTable::AuthRequests, swept.auth_requests);
            metrics.janitor_removed(JanitorTable::Tokens, swept.tokens);
            metrics.janitor_removed(JanitorTable::Replays, swept.replays);
            metrics.janitor_removed(JanitorTable::RevokedBlocks, swept.blocks);
            metrics.janitor_removed(JanitorTable::Events, swept.events);
            metrics.janitor_removed(JanitorTable::Revocations, swept.revocations);
            metrics.janitor_removed(JanitorTable::Deliveries, swept.deliveries);
            metrics.janitor_removed(JanitorTable::Anomalies, swept.anomalies);
        }
        let rows = swept.auth_requests + swept.tokens + swept.replays + swept.blocks + swept.events;
        Ok(rows + swept.revocations + swept.deliveries + swept.anomalies)
    }

    /// Counts what waits to be delivered; changes nothing.
    async fn webhook_backlog(&self) -> Outcome {
        if let Some(metrics) = &self.metrics {
            let grantex = &self.assembly.grantex;
            let (backlog, census) = (grantex.webhook_backlog().await?, grantex.webhook_census().await?);
            metrics.set_webhooks(&backlog, &census, grantex.now());
            metrics.snapshot_taken(Snapshot::Webhooks);
        }
        Ok(0)
    }

    /// Counts the grants of the agents that have series, one after another, so that no connection is held for long; changes nothing.
    async fn agent_grants(&self) -> Outcome {
        if let Some(metrics) = &self.metrics {
            let grantex = &self.assembly.grantex;
            let mut counts = Vec::new();
            for agent in metrics.busiest_agents() {
                let count = grantex.count_agent_grants(&agent, LAST_GRANTS).await?;
                counts.push((agent, count));
            }
            let total = grantex.total_active_grants().await?;
            metrics.set_agent_grants(&counts, u64::try_from(total).unwrap_or(0));
            metrics.snapshot_taken(Snapshot::Agents);
        }
        Ok(0)
    }

    /// Calls for developers whom nobody looks at, where this server looks at all: what wrote their entries may be gone. Does what is left to
    /// be done about anomalies, and tells how many grants it revoked. Counts open ones.
    async fn anomalies(&self) -> Outcome {
        let grantex = &self.assembly.grantex;
        if self.is_detecting {
            self.call_those_behind().await?;
        }
        if let Some(metrics) = &self.metrics {
            metrics.set_open_anomalies(grantex.open_anomalies().await?);
        }
        let ctx = grantex.context(self.logger.clone(), "job".to_owned());
        Ok(grantex.respond_to_anomalies(&ctx, None).await?)
    }

    async fn call_those_behind(&self) -> Result<(), StoreError> {
        let mut after = None;
        loop {
            let behind = self.assembly.grantex.developers_to_look_at(after.take(), PAGE).await?;
            for developer in &behind {
                self.assembly.detector.call(developer);
            }
            after = behind.last().filter(|_| behind.len() == PAGE as usize).cloned();
            if after.is_none() {
                return Ok(());
            }
        }
    }

    /// Sets the gauges that cost nothing, and folds histograms.
    pub fn set_gauges(&self) {
        if let Some(metrics) = &self.metrics {
            gauges::pools(metrics, &self.assembly.grantex.store().stats());
            metrics.set_signals(self.assembly.detector.counts(), self.assembly.detector.waiting());
            metrics.run_upkeep();
        }
    }
}

fn seconds(at: Timestamp) -> f64 {
    at.as_millis() as f64 / 1000.0
}
