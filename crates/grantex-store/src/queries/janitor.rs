use async_trait::async_trait;
use diesel::prelude::*;
use diesel::sql_types::{BigInt, Text};
use diesel_async::RunQueryDsl;
use grantex_core::clock::Timestamp;
use grantex_core::error::StoreError;
use grantex_core::store::JanitorWrites;
use grantex_core::webhook::DeliveryStatus;

use super::{ConnTx, rows};
use crate::schema::tokens;

// Plain SQL: the query builder wants an alias for a table that is both changed and searched, and has no row values. Each
// search walks the oldest end of one index.

const REQUESTS: &str = "DELETE FROM auth_requests WHERE id IN (SELECT id FROM auth_requests \
    WHERE expires_at < $1 AND (code_expires_at IS NULL OR code_expires_at < $1) ORDER BY expires_at LIMIT $2)";
const TOKENS: &str = "DELETE FROM tokens WHERE id IN (SELECT id FROM tokens \
    WHERE key_id = $1 AND ends_at < $2 ORDER BY ends_at LIMIT $3)";
const REPLAYS: &str = "UPDATE tokens SET replay_sealed = NULL WHERE id IN (SELECT id FROM tokens \
    WHERE replay_sealed IS NOT NULL AND refresh_used_at < $1 ORDER BY refresh_used_at LIMIT $2)";
const REVOKED_BLOCKS: &str = "DELETE FROM revoked_blocks WHERE (developer_id, revocation_id) IN \
    (SELECT developer_id, revocation_id FROM revoked_blocks AS block WHERE revoked_at < $1 AND NOT EXISTS \
    (SELECT 1 FROM tokens WHERE biscuit_key_id IS NOT NULL AND issued_at <= block.revoked_at AND expires_at > $2) \
    ORDER BY revoked_at LIMIT $3)";
const FOLLOWED_REVOCATIONS: &str = "DELETE FROM revocations WHERE (developer_id, seq) IN \
    (SELECT developer_id, seq FROM revocations WHERE NOT is_latest AND at < $1 ORDER BY at LIMIT $2)";
const ENDED_REVOCATIONS: &str = "DELETE FROM revocations WHERE (developer_id, seq) IN \
    (SELECT developer_id, seq FROM revocations WHERE is_latest AND expires_at < $1 ORDER BY expires_at LIMIT $2)";
const EVENTS: &str = "DELETE FROM events WHERE (developer_id, seq) IN \
    (SELECT developer_id, seq FROM events WHERE created_at < $1 ORDER BY created_at LIMIT $2)";
const DELIVERED: &str = "DELETE FROM webhook_deliveries WHERE id IN (SELECT id FROM webhook_deliveries \
    WHERE status = 'delivered' AND ended_at IS NOT NULL AND ended_at < $1 ORDER BY ended_at LIMIT $2)";
const FAILED: &str = "DELETE FROM webhook_deliveries WHERE id IN (SELECT id FROM webhook_deliveries \
    WHERE status = 'failed' AND ended_at IS NOT NULL AND ended_at < $1 ORDER BY ended_at LIMIT $2)";
const OF_DELETED_WEBHOOKS: &str = "DELETE FROM webhook_deliveries WHERE id IN (SELECT d.id FROM webhooks w \
    JOIN webhook_deliveries d ON d.webhook_id = w.id WHERE w.deleted_at IS NOT NULL LIMIT $1)";
const DELETED_WEBHOOKS: &str = "DELETE FROM webhooks WHERE deleted_at IS NOT NULL \
    AND NOT EXISTS (SELECT 1 FROM webhook_deliveries d WHERE d.webhook_id = webhooks.id)";

#[async_trait]
impl JanitorWrites for ConnTx<'_> {
    async fn remove_auth_requests(&mut self, before: Timestamp, limit: u32) -> Result<u64, StoreError> {
        self.sweep(REQUESTS, before, limit).await
    }

    async fn remove_tokens(&mut self, before: Timestamp, limit: u32) -> Result<u64, StoreError> {
        // The index is sorted by key first. There are few keys, and each step finds the next one in the index.
        let (mut removed, mut after) = (0, String::new());
        loop {
            let next = tokens::table
                .filter(tokens::key_id.gt(&after))
                .order(tokens::key_id)
                .select(tokens::key_id);
            let next = next.first::<String>(self.conn().await?).await.optional();
            let Some(key) = self.note(next)? else {
                return Ok(removed);
            };
            let left = i64::from(limit).saturating_sub(i64::try_from(removed).unwrap_or(i64::MAX));
            let sweep = diesel::sql_query(TOKENS)
                .bind::<Text, _>(&key)
                .bind::<BigInt, _>(before.as_millis())
                .bind::<BigInt, _>(left);
            let count = sweep.execute(self.conn().await?).await;
            removed += rows(self.note(count)?);
            after = key;
        }
    }

    async fn remove_replays(&mut self, before: Timestamp, limit: u32) -> Result<u64, StoreError> {
        self.sweep(REPLAYS, before, limit).await
    }

    async fn remove_revoked_blocks(
        &mut self,
        before: Timestamp,
        now: Timestamp,
        limit: u32,
    ) -> Result<u64, StoreError> {
        let sweep = diesel::sql_query(REVOKED_BLOCKS)
            .bind::<BigInt, _>(before.as_millis())
            .bind::<BigInt, _>(now.as_millis())
            .bind::<BigInt, _>(i64::from(limit));
        let count = sweep.execute(self.conn().await?).await;
        self.note(count).map(rows)
    }

    async fn remove_revocations(&mut self, before: Timestamp, limit: u32) -> Result<u64, StoreError> {
        let followed = self.sweep(FOLLOWED_REVOCATIONS, before, limit).await?;
        let left = limit.saturating_sub(u32::try_from(followed).unwrap_or(u32::MAX));
        Ok(followed + self.sweep(ENDED_REVOCATIONS, before, left).await?)
    }

    async fn remove_events(&mut self, before: Timestamp, limit: u32) -> Result<u64, StoreError> {
        self.sweep(EVENTS, before, limit).await
    }

    async fn remove_deliveries(
        &mut self,
        status: DeliveryStatus,
        before: Timestamp,
        limit: u32,
    ) -> Result<u64, StoreError> {
        let sql = match status {
            DeliveryStatus::Delivered => DELIVERED,
            DeliveryStatus::Failed => FAILED,
            DeliveryStatus::Pending => return Ok(0),
        };
        self.sweep(sql, before, limit).await
    }

    async fn remove_deleted_webhooks(&mut self, limit: u32) -> Result<u64, StoreError> {
        let sweep = diesel::sql_query(OF_DELETED_WEBHOOKS).bind::<BigInt, _>(i64::from(limit));
        let count = sweep.execute(self.conn().await?).await;
        let removed = self.note(count).map(rows)?;
        let count = diesel::sql_query(DELETED_WEBHOOKS).execute(self.conn().await?).await;
        self.note(count)?;
        Ok(removed)
    }
}

impl ConnTx<'_> {
    pub(super) async fn sweep(&mut self, sql: &str, before: Timestamp, limit: u32) -> Result<u64, StoreError> {
        let sweep = diesel::sql_query(sql)
            .bind::<BigInt, _>(before.as_millis())
            .bind::<BigInt, _>(i64::from(limit));
        let count = sweep.execute(self.conn().await?).await;
        self.note(count).map(rows)
    }
}
