//! Jobs that keep counters true and remove what is over.

use crate::anomaly::activity::Activity;
use crate::clock::Lifetime;
use crate::context::Admission;
use crate::error::StoreError;
use crate::grantex::Grantex;
use crate::store::{Store, UnitOptions};
use crate::webhook::DeliveryStatus;

/// Rows that one unit of a job touches, so that no unit holds the writer for long.
const BATCH: u32 = 500;
/// Units that one run of a job makes at most; the next run goes on.
const MAX_UNITS: u32 = 200;

/// How long things are kept after they are over.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Retention {
    /// Authorization requests, after they and their code expired.
    pub auth_requests: Lifetime,
    /// Tokens, after access token and refresh token ended.
    pub tokens: Lifetime,
    /// Events, after they happened.
    pub events: Lifetime,
    /// Entries of revocation feeds: the latest of a grant or token, after that ended; earlier ones, after they happened.
    pub revocations: Lifetime,
    /// Deliveries, after the receiver took them.
    pub delivered: Lifetime,
    /// Deliveries, after they were given up.
    pub failed: Lifetime,
    /// Anomalies, after they were resolved.
    pub resolved_anomalies: Lifetime,
    /// Anomalies that nobody resolved, after they were raised.
    pub unresolved_anomalies: Lifetime,
}

impl Default for Retention {
    fn default() -> Self {
        Self {
            auth_requests: Lifetime::days(1),
            tokens: Lifetime::days(7),
            events: Lifetime::days(7),
            revocations: Lifetime::hours(48),
            delivered: Lifetime::days(7),
            failed: Lifetime::days(30),
            resolved_anomalies: Lifetime::days(90),
            unresolved_anomalies: Lifetime::days(365),
        }
    }
}

/// What a run of the janitor removed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Swept {
    /// Authorization requests.
    pub auth_requests: u64,
    /// Tokens.
    pub tokens: u64,
    /// Kept refresh answers.
    pub replays: u64,
    /// Revocations of blocks of Biscuits.
    pub blocks: u64,
    /// Events.
    pub events: u64,
    /// Entries of revocation feeds.
    pub revocations: u64,
    /// Webhook deliveries that had ended, and those of deleted endpoints.
    pub deliveries: u64,
    /// Anomalies, mutes that had ended, and activities of agents that did nothing for long.
    pub anomalies: u64,
}

#[derive(Debug, Clone, Copy)]
enum Job {
    ExpiredGrants,
    AuthRequests,
    Tokens,
    Replays,
    RevokedBlocks,
    Events,
    Revocations,
    Delivered,
    Failed,
    DeletedWebhooks,
    ResolvedAnomalies,
    UnresolvedAnomalies,
    Mutes,
    Activities,
}

impl<S: Store> Grantex<S> {
    /// Takes grants that expired since the last run out of the active counts; returns how many.
    pub async fn sweep_expired(&self) -> Result<u64, StoreError> {
        self.run_in_batches(Job::ExpiredGrants, Lifetime::millis(0)).await
    }

    /// Removes what has been over for longer than it is kept, in small batches. Never touches audit entries or grants.
    pub async fn janitor(&self, retention: &Retention) -> Result<Swept, StoreError> {
        Ok(Swept {
            auth_requests: self.run_in_batches(Job::AuthRequests, retention.auth_requests).await?,
            tokens: self.run_in_batches(Job::Tokens, retention.tokens).await?,
            replays: self
                .run_in_batches(Job::Replays, self.parts.settings.replay_window)
                .await?,
            // No token outlives the longest grant; those of a time when grants could be longer are looked at.
            blocks: self
                .run_in_batches(Job::RevokedBlocks, self.parts.settings.max_grant_lifetime)
                .await?,
            events: self.run_in_batches(Job::Events, retention.events).await?,
            revocations: self.run_in_batches(Job::Revocations, retention.revocations).await?,
            deliveries: self.run_in_batches(Job::Delivered, retention.delivered).await?
                + self.run_in_batches(Job::Failed, retention.failed).await?
                + self.run_in_batches(Job::DeletedWebhooks, Lifetime::millis(0)).await?,
            anomalies: self
                .run_in_batches(Job::ResolvedAnomalies, retention.resolved_anomalies)
                .await?
                + self
                    .run_in_batches(Job::UnresolvedAnomalies, retention.unresolved_anomalies)
                    .await?
                + self.run_in_batches(Job::Mutes, retention.resolved_anomalies).await?
                + self.run_in_batches(Job::Activities, Activity::kept_for()).await?,
        })
    }

    async fn run_in_batches(&self, job: Job, kept_for: Lifetime) -> Result<u64, StoreError> {
        let now = self.now();
        let before = now.minus(kept_for);
        let mut total = 0;
        for _ in 0..MAX_UNITS {
            let options = UnitOptions {
                developer: None,
                admission: Admission::default(),
            };
            let count = self
                .store
                .transact(options, move |tx| {
                    Box::pin(async move {
                        match job {
                            Job::ExpiredGrants => tx.uncount_expired_grants(now, BATCH).await,
                            Job::AuthRequests => tx.remove_auth_requests(before, BATCH).await,
                            Job::Tokens => tx.remove_tokens(before, BATCH).await,
                            Job::Replays => tx.remove_replays(before, BATCH).await,
                            Job::RevokedBlocks => tx.remove_revoked_blocks(before, now, BATCH).await,
                            Job::Events => tx.remove_events(before, BATCH).await,
                            Job::Revocations => tx.remove_revocations(before, BATCH).await,
                            Job::Delivered => tx.remove_deliveries(DeliveryStatus::Delivered, before, BATCH).await,
                            Job::Failed => tx.remove_deliveries(DeliveryStatus::Failed, before, BATCH).await,
                            Job::DeletedWebhooks => tx.remove_deleted_webhooks(BATCH).await,
                            Job::ResolvedAnomalies => tx.remove_anomalies(false, before, BATCH).await,
                            Job::UnresolvedAnomalies => tx.remove_anomalies(true, before, BATCH).await,
                            Job::Mutes => tx.remove_anomaly_mutes(before, BATCH).await,
                            Job::Activities => tx.remove_activities(before, BATCH).await,
                        }
                    })
                })
                .await?;
            total += count;
            if count < u64::from(BATCH) {
                break;
            }
        }
        Ok(total)
    }
}
