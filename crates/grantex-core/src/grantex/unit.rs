//! One unit of work: its transaction, and what it will insert and tell.

use std::sync::Arc;

use crate::anomaly::channels::told_of;
use crate::audit::chain;
use crate::audit::{AuditEntry, AuditRecord, Chain};
use crate::clock::Timestamp;
use crate::error::StoreError;
use crate::event::signal::News;
use crate::event::{Event, webhook};
use crate::grant::Grant;
use crate::id::{DeliveryId, DeveloperId, EventId, Random, WebhookId, new_id, new_ulid};
use crate::store::{DeveloperHead, EventRow, Ledger, Writes};
use crate::token::Token;
use crate::trace::TraceContext;
use crate::webhook::Delivery;
use crate::webhook::subscription::Subscriptions;

/// What a unit leaves behind once it is committed.
pub(crate) struct Finished {
    /// What happened, in order.
    pub events: Vec<Event>,
    /// What was appended to the chains.
    pub entries: Vec<AuditEntry>,
    /// Whom to wake.
    pub news: Option<News>,
    /// Endpoints whose deliveries may be due for another reason than new events.
    pub woken: Vec<WebhookId>,
}

/// A unit of work. Inserts and recorded events are gathered and written last, together with the developer's head, so that
/// the row on which a developer's units serialize is held as briefly as possible.
pub struct Unit<'t> {
    /// The transaction.
    pub tx: &'t mut dyn Writes,
    /// The time at which the unit began: one time for all that it writes.
    pub now: Timestamp,
    pub(crate) active_grants_delta: i64,
    random: Arc<dyn Random>,
    /// Where in its trace the call is that does this.
    place: Option<TraceContext>,
    developer: Option<DeveloperId>,
    head: Option<DeveloperHead>,
    grants: Vec<Grant>,
    tokens: Vec<Token>,
    logged: Vec<AuditEntry>,
    events: Vec<Event>,
    deliveries: Vec<Delivery>,
    woken: Vec<WebhookId>,
}

impl<'t> Unit<'t> {
    pub(crate) fn new(
        tx: &'t mut dyn Writes,
        developer: Option<DeveloperId>,
        now: Timestamp,
        random: Arc<dyn Random>,
        place: Option<TraceContext>,
    ) -> Self {
        Self {
            tx,
            now,
            active_grants_delta: 0,
            random,
            place,
            developer,
            head: None,
            grants: Vec::new(),
            tokens: Vec::new(),
            logged: Vec::new(),
            events: Vec::new(),
            deliveries: Vec::new(),
            woken: Vec::new(),
        }
    }

    /// The developer for whom the unit runs.
    pub(crate) fn developer(&self) -> Result<&DeveloperId, StoreError> {
        self.developer
            .as_ref()
            .ok_or_else(|| StoreError::unavailable("the unit of work has no developer"))
    }

    /// The developer's head, locked until the unit ends. Lock requests, tokens and grants before.
    pub(crate) async fn lock_head(&mut self) -> Result<&DeveloperHead, StoreError> {
        self.ensure_head().await.map(|head| &*head)
    }

    async fn ensure_head(&mut self) -> Result<&mut DeveloperHead, StoreError> {
        let head = match self.head.take() {
            Some(head) => head,
            None => {
                let developer = self.developer()?.clone();
                self.tx
                    .lock_head(&developer)
                    .await?
                    .ok_or_else(|| StoreError::Corrupt {
                        table: "developers",
                        column: "id",
                        id: developer.to_string(),
                    })?
            }
        };
        Ok(self.head.insert(head))
    }

    /// Inserts a grant with the ledger.
    pub(crate) fn insert_grant(&mut self, grant: Grant) {
        self.active_grants_delta += 1;
        self.grants.push(grant);
    }

    /// Inserts a token with the ledger.
    pub(crate) fn insert_token(&mut self, token: Token) {
        self.tokens.push(token);
    }

    /// Records what happened: audit entry and event row with the ledger, log line and metric after the commit.
    pub(crate) fn record(&mut self, event: Event) {
        self.events.push(event);
    }

    /// Inserts a delivery with the ledger.
    pub(crate) fn insert_delivery(&mut self, delivery: Delivery) {
        self.deliveries.push(delivery);
    }

    /// Has deliveries of this endpoint looked for after the commit.
    pub(crate) fn wake(&mut self, webhook: &WebhookId) {
        self.woken.push(webhook.clone());
    }

    /// Replaces the developer's subscriptions: events that this unit records already go by them.
    pub(crate) async fn set_subscriptions(&mut self, subscriptions: Subscriptions) -> Result<(), StoreError> {
        let developer = self.developer()?.clone();
        self.ensure_head().await?.subscriptions = subscriptions.clone();
        self.tx.set_subscriptions(&developer, &subscriptions).await
    }

    /// A source of randomness.
    pub(crate) fn random(&self) -> &dyn Random {
        &*self.random
    }

    /// Appends an entry to one of the developer's chains; it is inserted with the ledger.
    pub(crate) async fn append_audit(
        &mut self,
        chain_kind: Chain,
        record: AuditRecord,
    ) -> Result<AuditEntry, StoreError> {
        let developer = self.developer()?.clone();
        let (now, random) = (self.now, Arc::clone(&self.random));
        let place = self.place;
        let head = self.ensure_head().await?.chain_mut(chain_kind);
        let mut entry = chain::append(head, developer, chain_kind, record, now, |at| new_ulid(&*random, at));
        entry.trace_id = place.map(|place| place.trace_id);
        self.logged.push(entry.clone());
        Ok(entry)
    }

    /// Writes the ledger, if there is anything to write, and hands out the recorded events.
    pub(crate) async fn finish(mut self) -> Result<Finished, StoreError> {
        let events = std::mem::take(&mut self.events);
        let mut rows: Vec<EventRow> = Vec::new();
        let mut woken = std::mem::take(&mut self.woken);
        let mut deliveries = std::mem::take(&mut self.deliveries);
        let mut told: Vec<WebhookId> = Vec::new();
        // Anomalies are rare; whatever else happens pays nothing for channels.
        let channels = match events.iter().any(|event| event.severity().is_some()) {
            true => {
                let developer = self.developer()?.clone();
                // Under the head's lock, as channels are made and removed.
                self.ensure_head().await?;
                self.tx.channels(&developer).await?
            }
            false => Vec::new(),
        };
        for event in &events {
            if let Some(record) = event.audit() {
                self.append_audit(Chain::Server, record).await?;
            }
            if let Some((kind, data)) = event.webhook() {
                let developer_id = self.developer()?.clone();
                let (now, id) = (self.now, new_id::<EventId>(&*self.random, self.now));
                let head = self.ensure_head().await?;
                head.event_seq += 1;
                let row = EventRow {
                    developer_id,
                    seq: head.event_seq,
                    payload: webhook::envelope(&id, kind, now, &data),
                    id,
                    kind,
                    created_at: now,
                };
                let mut receivers: Vec<WebhookId> = match event.addressee() {
                    Some(only) => vec![only.clone()],
                    None => head.subscriptions.of(kind).cloned().collect(),
                };
                if let Some(severity) = event.severity() {
                    receivers.extend(told_of(&channels, severity).cloned());
                }
                for webhook_id in receivers {
                    let id = new_id::<DeliveryId>(&*self.random, now);
                    let mut delivery = Delivery::first(id, webhook_id.clone(), &row, event);
                    delivery.trace = self.place;
                    deliveries.push(delivery);
                    if !told.contains(&webhook_id) {
                        told.push(webhook_id);
                    }
                }
                rows.push(row);
            }
        }
        let news = rows.last().map(|newest| News {
            developer_id: newest.developer_id.clone(),
            event_seq: newest.seq,
            webhooks: told,
        });
        let mut entries = Vec::new();
        let delta = self.active_grants_delta;
        let is_needed = delta != 0
            || !rows.is_empty()
            || !self.logged.is_empty()
            || !self.grants.is_empty()
            || !self.tokens.is_empty()
            || !deliveries.is_empty();
        if is_needed {
            let mut head = self.ensure_head().await?.clone();
            head.active_grants += delta;
            let ledger = Ledger {
                developer_id: self.developer()?.clone(),
                head,
                grants: self.grants,
                tokens: self.tokens,
                audit: self.logged,
                events: rows,
                deliveries,
            };
            self.tx.write_ledger(&ledger).await?;
            entries = ledger.audit;
        }
        woken.dedup();
        Ok(Finished {
            events,
            entries,
            news,
            woken,
        })
    }
}
