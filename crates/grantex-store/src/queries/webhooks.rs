use async_trait::async_trait;
use diesel::prelude::*;
use diesel::query_builder::{AstPass, Query, QueryFragment, QueryId};
use diesel::sql_types::{BigInt, Nullable, Text};
use diesel_async::RunQueryDsl;
use grantex_core::clock::Timestamp;
use grantex_core::error::StoreError;
use grantex_core::id::{DeliveryId, DeveloperId, WebhookId};
use grantex_core::page::{Cursor, Page, PageRequest};
use grantex_core::store::{Backlog, WebhookCensus, WebhookReads, WebhookWrites};
use grantex_core::webhook::health::Health;
use grantex_core::webhook::subscription::Subscriptions;
use grantex_core::webhook::work::DeliveryChange;
use grantex_core::webhook::{Counts, Delivery, DeliveryFilter, Webhook};

use super::super::Db;
use super::{CHUNK, ConnTx, all, rows, skip};
use crate::rows::{DeliveryRow, HealthChange, Place, WebhookChange, WebhookRow};
use crate::schema::{developers, webhook_deliveries as deliveries, webhooks};
use crate::statements::Fixed;

/// Active endpoints that somebody may send to: each is asked for one due delivery, which is one look into an index.
struct WithWork<'a> {
    owner: &'a str,
    now: i64,
    limit: i64,
}

impl QueryId for WithWork<'_> {
    type QueryId = WithWork<'static>;
    const HAS_STATIC_QUERY_ID: bool = true;
}

impl Query for WithWork<'_> {
    type SqlType = Text;
}

impl QueryFragment<Db> for WithWork<'_> {
    fn walk_ast<'b>(&'b self, mut out: AstPass<'_, 'b, Db>) -> QueryResult<()> {
        out.push_sql(
            "SELECT w.id FROM webhooks w WHERE w.state = 'active' AND w.deleted_at IS NULL \
             AND (w.resumes_at IS NULL OR w.resumes_at <= ",
        );
        out.push_bind_param::<BigInt, _>(&self.now)?;
        out.push_sql(") AND (w.claimed_until IS NULL OR w.claimed_until <= ");
        out.push_bind_param::<BigInt, _>(&self.now)?;
        out.push_sql(" OR w.claimed_by = ");
        out.push_bind_param::<Text, str>(self.owner)?;
        out.push_sql(
            ") AND EXISTS (SELECT 1 FROM webhook_deliveries d WHERE d.webhook_id = w.id AND d.status = 'pending' \
             AND d.next_attempt_at <= ",
        );
        out.push_bind_param::<BigInt, _>(&self.now)?;
        out.push_sql(") LIMIT ");
        out.push_bind_param::<BigInt, _>(&self.limit)
    }
}

/// What waits, by endpoint: counted in an index that holds nothing else.
struct Waiting<'a> {
    now: i64,
    webhook: Option<&'a str>,
}

impl QueryId for Waiting<'_> {
    type QueryId = ();
    const HAS_STATIC_QUERY_ID: bool = false;
}

/// State of the endpoint, due, waiting in all, and the oldest event's time.
type WaitingRow = (Text, BigInt, BigInt, Nullable<BigInt>);

impl Query for Waiting<'_> {
    type SqlType = WaitingRow;
}

impl QueryFragment<Db> for Waiting<'_> {
    fn walk_ast<'b>(&'b self, mut out: AstPass<'_, 'b, Db>) -> QueryResult<()> {
        out.push_sql(
            "SELECT w.state, CAST(SUM(b.due) AS BIGINT), CAST(SUM(b.waiting) AS BIGINT), MIN(b.oldest) FROM \
             (SELECT webhook_id, COUNT(*) AS waiting, MIN(created_at) AS oldest, \
             SUM(CASE WHEN next_attempt_at <= ",
        );
        out.push_bind_param::<BigInt, _>(&self.now)?;
        out.push_sql(" THEN 1 ELSE 0 END) AS due FROM webhook_deliveries WHERE status = 'pending'");
        if let Some(webhook) = &self.webhook {
            out.push_sql(" AND webhook_id = ");
            out.push_bind_param::<Text, str>(webhook)?;
        }
        out.push_sql(
            " GROUP BY webhook_id) b JOIN webhooks w ON w.id = b.webhook_id \
             WHERE w.deleted_at IS NULL GROUP BY w.state",
        );
        Ok(())
    }
}

const CENSUS: &str = "SELECT state, CASE WHEN failing_since IS NULL THEN 0 ELSE 1 END AS is_failing, COUNT(*) AS count \
    FROM webhooks WHERE deleted_at IS NULL AND channel IS NULL GROUP BY 1, 2";

#[derive(QueryableByName)]
struct CensusRow {
    #[diesel(sql_type = Text)]
    state: String,
    #[diesel(sql_type = diesel::sql_types::Integer)]
    is_failing: i32,
    #[diesel(sql_type = BigInt)]
    count: i64,
}

const FAIL_PENDING: &str = "UPDATE webhook_deliveries SET status = 'failed', last_error = $1, ended_at = $2 WHERE id IN \
    (SELECT id FROM webhook_deliveries WHERE webhook_id = $3 AND status = 'pending' ORDER BY next_attempt_at LIMIT $4)";
const REQUEUE_FAILED: &str = "UPDATE webhook_deliveries SET status = 'pending', attempts = 0, next_attempt_at = $1, \
    ended_at = NULL WHERE id IN (SELECT id FROM webhook_deliveries WHERE webhook_id = $2 AND status = 'failed' \
    AND created_at >= $3 ORDER BY created_at LIMIT $4)";

#[async_trait]
impl WebhookReads for ConnTx<'_> {
    async fn webhook(&mut self, developer: &DeveloperId, id: &WebhookId) -> Result<Option<Webhook>, StoreError> {
        let found = self.webhook_by_id(id).await?;
        Ok(found.filter(|webhook| webhook.developer_id == *developer && webhook.channel.is_none()))
    }

    async fn webhook_by_id(&mut self, id: &WebhookId) -> Result<Option<Webhook>, StoreError> {
        let query = webhooks::table
            .find(id.as_str().to_owned())
            .filter(webhooks::deleted_at.is_null())
            .select(WebhookRow::as_select());
        get!(self, WebhookRow, query)?.map(Webhook::try_from).transpose()
    }

    async fn webhooks(&mut self, developer: &DeveloperId, limit: u32) -> Result<Vec<Webhook>, StoreError> {
        let query = webhooks::table
            .filter(webhooks::developer_id.eq(developer.as_str()))
            .filter(webhooks::deleted_at.is_null())
            .filter(webhooks::channel.is_null())
            .order((webhooks::created_at.desc(), webhooks::id.desc()))
            .limit(i64::from(limit))
            .select(WebhookRow::as_select());
        let found = query.load(self.conn().await?).await;
        all(self.note(found)?)
    }

    async fn channels(&mut self, developer: &DeveloperId) -> Result<Vec<Webhook>, StoreError> {
        let query = webhooks::table
            .filter(webhooks::developer_id.eq(developer.as_str()))
            .filter(webhooks::deleted_at.is_null())
            .filter(webhooks::channel.is_not_null())
            .order((webhooks::created_at.desc(), webhooks::id.desc()))
            .select(WebhookRow::as_select());
        let found = query.load(self.conn().await?).await;
        all(self.note(found)?)
    }

    async fn webhooks_with_work(
        &mut self,
        owner: &str,
        now: Timestamp,
        limit: u32,
    ) -> Result<Vec<WebhookId>, StoreError> {
        let query = WithWork {
            owner,
            now: now.as_millis(),
            limit: i64::from(limit),
        };
        let ids = query.load::<String>(self.conn().await?).await;
        let ids = self.note(ids)?;
        let id = |id: &String| Place { table: "webhooks", id }.expect("id", WebhookId::parse(id));
        ids.iter().map(id).collect()
    }

    async fn delivery(&mut self, webhook: &WebhookId, id: &DeliveryId) -> Result<Option<Delivery>, StoreError> {
        let query = deliveries::table
            .find(id.as_str().to_owned())
            .filter(deliveries::webhook_id.eq(webhook.as_str().to_owned()))
            .select(DeliveryRow::as_select());
        get!(self, DeliveryRow, query)?.map(Delivery::try_from).transpose()
    }

    async fn deliveries(
        &mut self,
        webhook: &WebhookId,
        filter: &DeliveryFilter,
        page: &PageRequest,
    ) -> Result<Page<Delivery>, StoreError> {
        let mut query = deliveries::table
            .filter(deliveries::webhook_id.eq(webhook.as_str()))
            .order(deliveries::event_seq.desc())
            .limit(i64::from(page.size) + 1)
            .offset(skip(page.offset()))
            .select(DeliveryRow::as_select())
            .into_boxed();
        if let Some(status) = filter.status {
            query = query.filter(deliveries::status.eq(status.as_str()));
        }
        if let Some(cursor) = page.after() {
            query = query.filter(deliveries::event_seq.lt(cursor.at));
        }
        let found = query.load(self.conn().await?).await;
        let items: Vec<Delivery> = all(self.note(found)?)?;
        Ok(Page::from_overfetched(items, page.size, |delivery| Cursor {
            at: delivery.event_seq,
            id: delivery.id.to_string(),
        }))
    }

    async fn count_deliveries_up_to(
        &mut self,
        webhook: &WebhookId,
        filter: &DeliveryFilter,
        limit: u64,
    ) -> Result<u64, StoreError> {
        let query = deliveries::table
            .filter(deliveries::webhook_id.eq(webhook.as_str()))
            .select(deliveries::event_seq)
            .limit(skip(limit));
        let count = match filter.status {
            None => super::Count(query).get_result::<i64>(self.conn().await?).await,
            Some(status) => {
                let query = query.filter(deliveries::status.eq(status.as_str()));
                super::Count(query).get_result::<i64>(self.conn().await?).await
            }
        };
        Ok(u64::try_from(self.note(count)?).unwrap_or(0))
    }

    async fn due_deliveries(
        &mut self,
        webhook: &WebhookId,
        now: Timestamp,
        limit: u32,
    ) -> Result<Vec<Delivery>, StoreError> {
        let query = deliveries::table
            .filter(deliveries::webhook_id.eq(webhook.as_str()))
            .filter(diesel::dsl::sql::<diesel::sql_types::Bool>("status = 'pending'"))
            .filter(deliveries::next_attempt_at.le(now.as_millis()))
            .order((deliveries::next_attempt_at, deliveries::event_seq))
            .limit(i64::from(limit))
            .select(DeliveryRow::as_select());
        let found = query.load(self.conn().await?).await;
        all(self.note(found)?)
    }

    async fn first_pending(
        &mut self,
        webhook: &WebhookId,
        order_keys: &[String],
    ) -> Result<Vec<(String, i64, Timestamp)>, StoreError> {
        let mut first = Vec::with_capacity(order_keys.len());
        for chunk in order_keys.chunks(CHUNK) {
            let query = deliveries::table
                .filter(deliveries::webhook_id.eq(webhook.as_str()))
                .filter(diesel::dsl::sql::<diesel::sql_types::Bool>(
                    "status = 'pending' AND order_key <> ''",
                ))
                .filter(deliveries::order_key.eq_any(chunk))
                .group_by(deliveries::order_key)
                .select((deliveries::order_key, diesel::dsl::min(deliveries::event_seq)));
            let found = query.load::<(String, Option<i64>)>(self.conn().await?).await;
            let positions: Vec<i64> = self.note(found)?.into_iter().filter_map(|(_, seq)| seq).collect();
            for chunk in positions.chunks(CHUNK) {
                let query = deliveries::table
                    .filter(deliveries::webhook_id.eq(webhook.as_str()))
                    .filter(deliveries::event_seq.eq_any(chunk))
                    .select((
                        deliveries::order_key,
                        deliveries::event_seq,
                        deliveries::next_attempt_at,
                    ));
                let found = query.load::<(String, i64, i64)>(self.conn().await?).await;
                let found = self.note(found)?.into_iter();
                first.extend(found.map(|(key, seq, at)| (key, seq, Timestamp::from_millis(at))));
            }
        }
        Ok(first)
    }

    async fn delivered_positions(
        &mut self,
        webhook: &WebhookId,
        first: i64,
        last: i64,
    ) -> Result<Vec<i64>, StoreError> {
        let query = deliveries::table
            .filter(deliveries::webhook_id.eq(webhook.as_str()))
            .filter(deliveries::event_seq.between(first, last))
            .order(deliveries::event_seq)
            .select(deliveries::event_seq);
        let found = query.load::<i64>(self.conn().await?).await;
        self.note(found)
    }

    async fn backlog(&mut self, now: Timestamp) -> Result<Backlog, StoreError> {
        self.waiting(now, None).await
    }

    async fn backlog_of(&mut self, webhook: &WebhookId, now: Timestamp) -> Result<Backlog, StoreError> {
        self.waiting(now, Some(webhook.as_str())).await
    }

    async fn webhook_census(&mut self) -> Result<WebhookCensus, StoreError> {
        let found = diesel::sql_query(CENSUS).load::<CensusRow>(self.conn().await?).await;
        let mut census = WebhookCensus::default();
        for row in self.note(found)? {
            let count = u64::try_from(row.count).unwrap_or(0);
            match (row.state.as_str(), row.is_failing) {
                ("active", 0) => census.active += count,
                ("active", _) => census.failing += count,
                ("paused", _) => census.paused += count,
                _ => census.disabled += count,
            }
        }
        Ok(census)
    }
}

#[async_trait]
impl WebhookWrites for ConnTx<'_> {
    async fn insert_webhook(&mut self, webhook: &Webhook) -> Result<(), StoreError> {
        let insert = diesel::insert_into(webhooks::table).values(WebhookRow::from(webhook));
        let count = insert.execute(self.conn().await?).await;
        self.note(count).map(drop)
    }

    async fn update_webhook(&mut self, webhook: &Webhook) -> Result<bool, StoreError> {
        let known = webhooks::table
            .find(webhook.id.as_str())
            .filter(webhooks::deleted_at.is_null());
        let update = diesel::update(known).set(WebhookChange::from(webhook));
        let count = Fixed(update).execute(self.conn().await?).await;
        Ok(self.note(count)? == 1)
    }

    async fn update_webhook_health(
        &mut self,
        id: &WebhookId,
        health: &Health,
        counts: &Counts,
    ) -> Result<(), StoreError> {
        let update = diesel::update(webhooks::table.find(id.as_str())).set(HealthChange::new(health, counts));
        let count = Fixed(update).execute(self.conn().await?).await;
        self.note(count).map(drop)
    }

    async fn hide_webhook(&mut self, id: &WebhookId, now: Timestamp) -> Result<bool, StoreError> {
        let known = webhooks::table.find(id.as_str()).filter(webhooks::deleted_at.is_null());
        let update = diesel::update(known).set(webhooks::deleted_at.eq(now.as_millis()));
        let count = Fixed(update).execute(self.conn().await?).await;
        Ok(self.note(count)? == 1)
    }

    async fn set_subscriptions(&mut self, developer: &DeveloperId, all: &Subscriptions) -> Result<(), StoreError> {
        // A head that was locked before carries the subscriptions as they were.
        self.local.forget_head();
        let update = diesel::update(developers::table.find(developer.as_str()))
            .set(developers::subscriptions.eq(all.to_string()));
        let count = Fixed(update).execute(self.conn().await?).await;
        self.note(count).map(drop)
    }

    async fn claim_webhook(
        &mut self,
        id: &WebhookId,
        owner: &str,
        now: Timestamp,
        until: Timestamp,
    ) -> Result<bool, StoreError> {
        let free = webhooks::table
            .find(id.as_str())
            .filter(webhooks::deleted_at.is_null())
            .filter(webhooks::state.eq("active"))
            .filter(
                webhooks::claimed_until
                    .is_null()
                    .or(webhooks::claimed_until.le(now.as_millis()))
                    .or(webhooks::claimed_by.eq(owner)),
            );
        let update = diesel::update(free).set((
            webhooks::claimed_by.eq(owner),
            webhooks::claimed_until.eq(until.as_millis()),
        ));
        let count = Fixed(update).execute(self.conn().await?).await;
        Ok(self.note(count)? == 1)
    }

    async fn release_webhook(&mut self, id: &WebhookId, owner: &str) -> Result<(), StoreError> {
        let own = webhooks::table.find(id.as_str()).filter(webhooks::claimed_by.eq(owner));
        let update = diesel::update(own).set((
            webhooks::claimed_by.eq(None::<String>),
            webhooks::claimed_until.eq(None::<i64>),
        ));
        let count = Fixed(update).execute(self.conn().await?).await;
        self.note(count).map(drop)
    }

    async fn change_deliveries(&mut self, changes: &[DeliveryChange]) -> Result<(), StoreError> {
        super::super::change_deliveries(self, changes).await
    }

    async fn postpone_deliveries(&mut self, ids: &[DeliveryId], until: Timestamp) -> Result<(), StoreError> {
        let ids: Vec<&str> = ids.iter().map(DeliveryId::as_str).collect();
        for chunk in ids.chunks(CHUNK) {
            let pending = deliveries::table
                .filter(deliveries::id.eq_any(chunk))
                .filter(deliveries::status.eq("pending"));
            let update = diesel::update(pending).set(deliveries::next_attempt_at.eq(until.as_millis()));
            let count = update.execute(self.conn().await?).await;
            self.note(count)?;
        }
        Ok(())
    }

    async fn advance_deliveries(
        &mut self,
        webhook: &WebhookId,
        order_key: &str,
        now: Timestamp,
    ) -> Result<(), StoreError> {
        let waiting = deliveries::table
            .filter(deliveries::webhook_id.eq(webhook.as_str()))
            .filter(deliveries::order_key.eq(order_key))
            .filter(diesel::dsl::sql::<diesel::sql_types::Bool>(
                "status = 'pending' AND order_key <> ''",
            ))
            .filter(deliveries::next_attempt_at.gt(now.as_millis()));
        let update = diesel::update(waiting).set(deliveries::next_attempt_at.eq(now.as_millis()));
        let count = Fixed(update).execute(self.conn().await?).await;
        self.note(count).map(drop)
    }

    async fn fail_pending(
        &mut self,
        webhook: &WebhookId,
        reason: &str,
        now: Timestamp,
        limit: u32,
    ) -> Result<u64, StoreError> {
        let update = diesel::sql_query(FAIL_PENDING)
            .bind::<Text, _>(reason)
            .bind::<BigInt, _>(now.as_millis())
            .bind::<Text, _>(webhook.as_str())
            .bind::<BigInt, _>(i64::from(limit));
        let count = update.execute(self.conn().await?).await;
        self.note(count).map(rows)
    }

    async fn requeue_failed(
        &mut self,
        webhook: &WebhookId,
        since: Timestamp,
        now: Timestamp,
        limit: u32,
    ) -> Result<u64, StoreError> {
        let update = diesel::sql_query(REQUEUE_FAILED)
            .bind::<BigInt, _>(now.as_millis())
            .bind::<Text, _>(webhook.as_str())
            .bind::<BigInt, _>(since.as_millis())
            .bind::<BigInt, _>(i64::from(limit));
        let count = update.execute(self.conn().await?).await;
        self.note(count).map(rows)
    }
}

impl ConnTx<'_> {
    async fn waiting(&mut self, now: Timestamp, webhook: Option<&str>) -> Result<Backlog, StoreError> {
        let query = Waiting {
            now: now.as_millis(),
            webhook,
        };
        let found = query.load::<(String, i64, i64, Option<i64>)>(self.conn().await?).await;
        let mut backlog = Backlog::default();
        for (state, due, waiting, oldest) in self.note(found)? {
            let (due, waiting) = (u64::try_from(due).unwrap_or(0), u64::try_from(waiting).unwrap_or(0));
            if state == "active" {
                backlog.due += due;
                backlog.scheduled += waiting.saturating_sub(due);
                backlog.oldest = oldest.map(Timestamp::from_millis);
            } else {
                backlog.held += waiting;
            }
        }
        Ok(backlog)
    }
}
