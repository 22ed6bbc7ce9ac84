//! Webhook endpoints and deliveries.

use std::collections::BTreeMap;

use async_trait::async_trait;

use super::state::{State, count, cut, index};
use crate::clock::Timestamp;
use crate::error::StoreError;
use crate::id::{DeliveryId, DeveloperId, WebhookId};
use crate::page::{Cursor, Page, PageRequest};
use crate::store::{Backlog, WebhookCensus, WebhookReads, WebhookWrites};
use crate::webhook::health::{Breaker, Health};
use crate::webhook::subscription::Subscriptions;
use crate::webhook::work::DeliveryChange;
use crate::webhook::{Counts, Delivery, DeliveryFilter, DeliveryStatus, Webhook, WebhookState};

#[derive(Clone)]
pub(super) struct WebhookRow {
    pub webhook: Webhook,
    pub deleted_at: Option<Timestamp>,
    /// Who sends to it, and until when.
    pub claim: Option<(String, Timestamp)>,
}

impl WebhookRow {
    fn is_free_for(&self, owner: &str, now: Timestamp) -> bool {
        self.claim
            .as_ref()
            .is_none_or(|(holder, until)| holder == owner || *until <= now)
    }
}

impl State {
    fn live_webhook(&self, id: &WebhookId) -> Option<&WebhookRow> {
        self.webhooks.get(id).filter(|row| row.deleted_at.is_none())
    }

    fn live_webhook_mut(&mut self, id: &WebhookId) -> Option<&mut WebhookRow> {
        self.webhooks.get_mut(id).filter(|row| row.deleted_at.is_none())
    }

    fn of_webhook<'a>(&'a self, id: &'a WebhookId, filter: DeliveryFilter) -> impl Iterator<Item = &'a Delivery> {
        let is_wanted = move |delivery: &&Delivery| {
            delivery.webhook_id == *id && filter.status.is_none_or(|status| delivery.status == status)
        };
        self.deliveries.values().filter(is_wanted)
    }

    fn pending<'a>(&'a self, id: &'a WebhookId) -> Vec<&'a Delivery> {
        let status = Some(DeliveryStatus::Pending);
        self.of_webhook(id, DeliveryFilter { status }).collect()
    }

    fn add_backlog(&self, total: &mut Backlog, row: &WebhookRow, now: Timestamp) {
        for delivery in self.pending(&row.webhook.id) {
            if row.webhook.state != WebhookState::Active {
                total.held += 1;
                continue;
            }
            match delivery.next_attempt_at <= now {
                true => total.due += 1,
                false => total.scheduled += 1,
            }
            let oldest = total.oldest.unwrap_or(delivery.created_at);
            total.oldest = Some(oldest.min(delivery.created_at));
        }
    }
}

#[async_trait]
impl WebhookReads for State {
    async fn webhook(&mut self, developer: &DeveloperId, id: &WebhookId) -> Result<Option<Webhook>, StoreError> {
        let row = self.live_webhook(id);
        let own = row.filter(|row| row.webhook.developer_id == *developer && row.webhook.channel.is_none());
        Ok(own.map(|row| row.webhook.clone()))
    }

    async fn webhook_by_id(&mut self, id: &WebhookId) -> Result<Option<Webhook>, StoreError> {
        Ok(self.live_webhook(id).map(|row| row.webhook.clone()))
    }

    async fn webhooks(&mut self, developer: &DeveloperId, limit: u32) -> Result<Vec<Webhook>, StoreError> {
        let rows = self.webhooks.values().filter(|row| row.deleted_at.is_none());
        let own = rows
            .map(|row| &row.webhook)
            .filter(|webhook| webhook.developer_id == *developer && webhook.channel.is_none());
        let mut own: Vec<Webhook> = own.cloned().collect();
        own.sort_by(|a, b| (b.created_at, &b.id).cmp(&(a.created_at, &a.id)));
        own.truncate(index(limit));
        Ok(own)
    }

    async fn channels(&mut self, developer: &DeveloperId) -> Result<Vec<Webhook>, StoreError> {
        let rows = self.webhooks.values().filter(|row| row.deleted_at.is_none());
        let own = rows
            .map(|row| &row.webhook)
            .filter(|webhook| webhook.developer_id == *developer && webhook.channel.is_some());
        let mut own: Vec<Webhook> = own.cloned().collect();
        own.sort_by(|a, b| (b.created_at, &b.id).cmp(&(a.created_at, &a.id)));
        Ok(own)
    }

    async fn webhooks_with_work(
        &mut self,
        owner: &str,
        now: Timestamp,
        limit: u32,
    ) -> Result<Vec<WebhookId>, StoreError> {
        let has_work = |row: &&WebhookRow| {
            row.deleted_at.is_none()
                && row.webhook.state == WebhookState::Active
                && row.webhook.health.breaker(now) != Breaker::Open
                && row.is_free_for(owner, now)
                && self
                    .pending(&row.webhook.id)
                    .iter()
                    .any(|delivery| delivery.next_attempt_at <= now)
        };
        let with_work = self.webhooks.values().filter(has_work).take(index(limit));
        Ok(with_work.map(|row| row.webhook.id.clone()).collect())
    }

    async fn delivery(&mut self, webhook: &WebhookId, id: &DeliveryId) -> Result<Option<Delivery>, StoreError> {
        let found = self.deliveries.get(id);
        Ok(found.filter(|delivery| delivery.webhook_id == *webhook).cloned())
    }

    async fn deliveries(
        &mut self,
        webhook: &WebhookId,
        filter: &DeliveryFilter,
        page: &PageRequest,
    ) -> Result<Page<Delivery>, StoreError> {
        let mut rows: Vec<&Delivery> = self.of_webhook(webhook, *filter).collect();
        rows.sort_by_key(|delivery| std::cmp::Reverse(delivery.event_seq));
        let after = page.after().map(|cursor| cursor.at);
        let rows = rows
            .into_iter()
            .filter(|row| after.is_none_or(|after| row.event_seq < after));
        Ok(cut(rows, page, |row| Cursor {
            at: row.event_seq,
            id: row.id.to_string(),
        }))
    }

    async fn count_deliveries_up_to(
        &mut self,
        webhook: &WebhookId,
        filter: &DeliveryFilter,
        limit: u64,
    ) -> Result<u64, StoreError> {
        Ok(count(self.of_webhook(webhook, *filter).count()).min(limit))
    }

    async fn due_deliveries(
        &mut self,
        webhook: &WebhookId,
        now: Timestamp,
        limit: u32,
    ) -> Result<Vec<Delivery>, StoreError> {
        let mut due = self.pending(webhook);
        due.retain(|delivery| delivery.next_attempt_at <= now);
        due.sort_by_key(|delivery| (delivery.next_attempt_at, delivery.event_seq));
        Ok(due.into_iter().take(index(limit)).cloned().collect())
    }

    async fn first_pending(
        &mut self,
        webhook: &WebhookId,
        order_keys: &[String],
    ) -> Result<Vec<(String, i64, Timestamp)>, StoreError> {
        let mut first = BTreeMap::<String, (i64, Timestamp)>::new();
        for delivery in self.pending(webhook) {
            if order_keys.contains(&delivery.order_key) {
                let found = (delivery.event_seq, delivery.next_attempt_at);
                let known = first.entry(delivery.order_key.clone()).or_insert(found);
                *known = (*known).min(found);
            }
        }
        Ok(first.into_iter().map(|(key, (seq, at))| (key, seq, at)).collect())
    }

    async fn delivered_positions(
        &mut self,
        webhook: &WebhookId,
        first: i64,
        last: i64,
    ) -> Result<Vec<i64>, StoreError> {
        let all = self.of_webhook(webhook, DeliveryFilter::default());
        let mut positions: Vec<i64> = all.map(|delivery| delivery.event_seq).collect();
        positions.retain(|seq| (first..=last).contains(seq));
        positions.sort_unstable();
        Ok(positions)
    }

    async fn backlog(&mut self, now: Timestamp) -> Result<Backlog, StoreError> {
        let mut total = Backlog::default();
        for row in self.webhooks.values().filter(|row| row.deleted_at.is_none()) {
            self.add_backlog(&mut total, row, now);
        }
        Ok(total)
    }

    async fn backlog_of(&mut self, webhook: &WebhookId, now: Timestamp) -> Result<Backlog, StoreError> {
        let mut total = Backlog::default();
        if let Some(row) = self.live_webhook(webhook) {
            self.add_backlog(&mut total, row, now);
        }
        Ok(total)
    }

    async fn webhook_census(&mut self) -> Result<WebhookCensus, StoreError> {
        let mut census = WebhookCensus::default();
        let live = |row: &&WebhookRow| row.deleted_at.is_none() && row.webhook.channel.is_none();
        for row in self.webhooks.values().filter(live) {
            match row.webhook.state {
                WebhookState::Active if row.webhook.is_failing() => census.failing += 1,
                WebhookState::Active => census.active += 1,
                WebhookState::Paused => census.paused += 1,
                WebhookState::Disabled(_) => census.disabled += 1,
            }
        }
        Ok(census)
    }
}

#[async_trait]
impl WebhookWrites for State {
    async fn insert_webhook(&mut self, webhook: &Webhook) -> Result<(), StoreError> {
        let row = WebhookRow {
            webhook: webhook.clone(),
            deleted_at: None,
            claim: None,
        };
        match self.webhooks.insert(webhook.id.clone(), row) {
            None => Ok(()),
            Some(_) => Err(StoreError::unavailable("a second row with this webhook id was refused")),
        }
    }

    async fn update_webhook(&mut self, webhook: &Webhook) -> Result<bool, StoreError> {
        let Some(row) = self.live_webhook_mut(&webhook.id) else {
            return Ok(false);
        };
        row.webhook = Webhook {
            developer_id: row.webhook.developer_id.clone(),
            health: row.webhook.health,
            counts: row.webhook.counts,
            created_at: row.webhook.created_at,
            ..webhook.clone()
        };
        Ok(true)
    }

    async fn update_webhook_health(
        &mut self,
        id: &WebhookId,
        health: &Health,
        counts: &Counts,
    ) -> Result<(), StoreError> {
        if let Some(row) = self.webhooks.get_mut(id) {
            row.webhook.health = *health;
            row.webhook.counts = *counts;
        }
        Ok(())
    }

    async fn hide_webhook(&mut self, id: &WebhookId, now: Timestamp) -> Result<bool, StoreError> {
        let Some(row) = self.live_webhook_mut(id) else {
            return Ok(false);
        };
        row.deleted_at = Some(now);
        Ok(true)
    }

    async fn set_subscriptions(&mut self, developer: &DeveloperId, all: &Subscriptions) -> Result<(), StoreError> {
        if let Some(row) = self.developers.get_mut(developer) {
            row.head.subscriptions = all.clone();
        }
        Ok(())
    }

    async fn claim_webhook(
        &mut self,
        id: &WebhookId,
        owner: &str,
        now: Timestamp,
        until: Timestamp,
    ) -> Result<bool, StoreError> {
        let row = self.live_webhook_mut(id);
        let Some(row) = row.filter(|row| row.webhook.state == WebhookState::Active && row.is_free_for(owner, now))
        else {
            return Ok(false);
        };
        row.claim = Some((owner.to_owned(), until));
        Ok(true)
    }

    async fn release_webhook(&mut self, id: &WebhookId, owner: &str) -> Result<(), StoreError> {
        let row = self.webhooks.get_mut(id);
        if let Some(row) = row.filter(|row| row.claim.as_ref().is_some_and(|(holder, _)| holder == owner)) {
            row.claim = None;
        }
        Ok(())
    }

    async fn change_deliveries(&mut self, changes: &[DeliveryChange]) -> Result<(), StoreError> {
        for change in changes {
            let Some(delivery) = self.deliveries.get_mut(&change.id) else {
                continue;
            };
            delivery.status = change.status;
            delivery.attempts = change.attempts;
            delivery.next_attempt_at = change.next_attempt_at;
            delivery.last_status = change.last_status;
            delivery.ended_at = change.ended_at;
            if change.last_error.is_some() {
                delivery.last_error.clone_from(&change.last_error);
            }
            if change.sent_to.is_some() {
                delivery.sent_to.clone_from(&change.sent_to);
            }
        }
        Ok(())
    }

    async fn postpone_deliveries(&mut self, ids: &[DeliveryId], until: Timestamp) -> Result<(), StoreError> {
        for id in ids {
            let delivery = self.deliveries.get_mut(id);
            if let Some(delivery) = delivery.filter(|delivery| delivery.status == DeliveryStatus::Pending) {
                delivery.next_attempt_at = until;
            }
        }
        Ok(())
    }

    async fn advance_deliveries(
        &mut self,
        webhook: &WebhookId,
        order_key: &str,
        now: Timestamp,
    ) -> Result<(), StoreError> {
        let waits = |delivery: &&mut Delivery| {
            delivery.webhook_id == *webhook
                && delivery.order_key == order_key
                && delivery.status == DeliveryStatus::Pending
                && delivery.next_attempt_at > now
        };
        let waiting = self.deliveries.values_mut().filter(waits);
        waiting.for_each(|delivery| delivery.next_attempt_at = now);
        Ok(())
    }

    async fn fail_pending(
        &mut self,
        webhook: &WebhookId,
        reason: &str,
        now: Timestamp,
        limit: u32,
    ) -> Result<u64, StoreError> {
        let waits =
            |delivery: &&mut Delivery| delivery.webhook_id == *webhook && delivery.status == DeliveryStatus::Pending;
        let mut failed = 0;
        for delivery in self.deliveries.values_mut().filter(waits).take(index(limit)) {
            delivery.status = DeliveryStatus::Failed;
            delivery.last_error = Some(reason.to_owned());
            delivery.ended_at = Some(now);
            failed += 1;
        }
        Ok(failed)
    }

    async fn requeue_failed(
        &mut self,
        webhook: &WebhookId,
        since: Timestamp,
        now: Timestamp,
        limit: u32,
    ) -> Result<u64, StoreError> {
        let is_meant = |delivery: &&mut Delivery| {
            delivery.webhook_id == *webhook && delivery.status == DeliveryStatus::Failed && delivery.created_at >= since
        };
        let mut requeued = 0;
        for delivery in self.deliveries.values_mut().filter(is_meant).take(index(limit)) {
            delivery.status = DeliveryStatus::Pending;
            delivery.attempts = 0;
            delivery.next_attempt_at = now;
            delivery.ended_at = None;
            requeued += 1;
        }
        Ok(requeued)
    }
}

impl State {
    pub(super) fn remove_deliveries_where(&mut self, limit: u32, is_over: impl Fn(&Delivery) -> bool) -> u64 {
        let over = self.deliveries.values().filter(|delivery| is_over(delivery));
        let ids: Vec<DeliveryId> = over.take(index(limit)).map(|delivery| delivery.id.clone()).collect();
        ids.iter().for_each(|id| drop(self.deliveries.remove(id)));
        count(ids.len())
    }
}
