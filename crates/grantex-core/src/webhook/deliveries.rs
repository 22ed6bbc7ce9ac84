//! Deliveries as developers see them: what became of each, and how to have them sent again.

use std::collections::HashSet;

use super::manage::found;
use super::{Delivery, DeliveryStatus, WebhookError, WebhookState};
use crate::clock::Timestamp;
use crate::context::Context;
use crate::developer::Developer;
use crate::error::StoreError;
use crate::event::history::EventQuery;
use crate::event::kind;
use crate::grantex::{Grantex, Unit};
use crate::id::{DeliveryId, DeveloperId, WebhookId, new_id};
use crate::page::{Cursor, Page, PageRequest, PageStart};
use crate::store::{Store, StoredEvent};
use crate::webhook::work::DeliveryChange;

/// Deliveries are counted no further than this.
pub const MAX_TOTAL: u64 = 100_000;
/// Rows that one unit of a recovery touches.
const BATCH: u32 = 500;
/// Units that one recovery makes at most; whoever asks again goes on.
const MAX_UNITS: u32 = 200;

/// Which deliveries are wanted.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct DeliveryFilter {
    /// Only those that stand like this.
    pub status: Option<DeliveryStatus>,
}

/// One page of an endpoint's deliveries.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DeliveryPage {
    /// The page.
    pub page: Page<Delivery>,
    /// How many there are, counted up to [`MAX_TOTAL`].
    pub total: u64,
    /// Where the endpoint is now; deliveries that were not sent yet will go there.
    pub url: String,
}

/// What a recovery will send.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Recovered {
    /// Deliveries that had failed.
    pub failed: u64,
    /// Events for which there was no delivery.
    pub missing: u64,
    /// Whether there may be more: then ask again.
    pub is_partial: bool,
}

/// Why a delivery is not sent again.
#[derive(Debug, thiserror::Error)]
pub enum RedeliverError {
    /// There is no such endpoint or delivery.
    #[error("there is no such delivery")]
    NotFound,
    /// It has not ended yet.
    #[error("the delivery is still pending")]
    Pending,
    /// The endpoint is disabled.
    #[error("the webhook is disabled; resume it first")]
    Disabled,
    /// The store failed.
    #[error(transparent)]
    Store(#[from] StoreError),
}

impl From<WebhookError> for RedeliverError {
    fn from(error: WebhookError) -> Self {
        match error {
            WebhookError::Store(error) => Self::Store(error),
            _ => Self::NotFound,
        }
    }
}

impl<S: Store> Grantex<S> {
    /// An endpoint's deliveries, those of the newest events first, one page; `None` when there is no such endpoint.
    pub async fn deliveries(
        &self,
        developer: &Developer,
        id: WebhookId,
        filter: DeliveryFilter,
        page: PageRequest,
    ) -> Result<Option<DeliveryPage>, StoreError> {
        let developer = developer.id.clone();
        self.store
            .read(move |tx| {
                Box::pin(async move {
                    let Some(webhook) = tx.webhook(&developer, &id).await? else {
                        return Ok(None);
                    };
                    Ok(Some(DeliveryPage {
                        page: tx.deliveries(&id, &filter, &page).await?,
                        total: tx.count_deliveries_up_to(&id, &filter, MAX_TOTAL).await?,
                        url: webhook.url,
                    }))
                })
            })
            .await
    }

    /// A delivery, and where its endpoint is now.
    pub async fn delivery(
        &self,
        developer: &Developer,
        webhook: WebhookId,
        id: DeliveryId,
    ) -> Result<Option<(Delivery, String)>, StoreError> {
        let developer = developer.id.clone();
        self.store
            .read(move |tx| {
                Box::pin(async move {
                    let Some(endpoint) = tx.webhook(&developer, &webhook).await? else {
                        return Ok(None);
                    };
                    let delivery = tx.delivery(&webhook, &id).await?;
                    Ok(delivery.map(|delivery| (delivery, endpoint.url)))
                })
            })
            .await
    }

    /// Sends a delivery that has ended once more, with all attempts before it: the same event, the same bytes. Returns it with
    /// the URL that it will go to.
    pub async fn redeliver(
        &self,
        ctx: &Context,
        developer: &Developer,
        webhook: WebhookId,
        id: DeliveryId,
    ) -> Result<(Delivery, String), RedeliverError> {
        self.transact(ctx, Some(&developer.id), move |unit| {
            Box::pin(async move {
                unit.lock_head().await?;
                let endpoint = found(unit, &webhook).await?;
                if matches!(endpoint.state, WebhookState::Disabled(_)) {
                    return Err(RedeliverError::Disabled);
                }
                let delivery = unit.tx.delivery(&webhook, &id).await?;
                let mut delivery = delivery.ok_or(RedeliverError::NotFound)?;
                if delivery.status == DeliveryStatus::Pending {
                    return Err(RedeliverError::Pending);
                }
                delivery.status = DeliveryStatus::Pending;
                delivery.attempts = 0;
                delivery.next_attempt_at = unit.now;
                delivery.ended_at = None;
                let change = DeliveryChange {
                    id,
                    status: delivery.status,
                    attempts: 0,
                    next_attempt_at: delivery.next_attempt_at,
                    last_status: delivery.last_status,
                    last_error: None,
                    sent_to: None,
                    ended_at: None,
                };
                unit.tx.change_deliveries(&[change]).await?;
                unit.wake(&webhook);
                Ok((delivery, endpoint.url))
            })
        })
        .await
    }

    /// Sends everything since `since` that the endpoint did not get: deliveries that failed, and events that it subscribes to
    /// now and for which there is no delivery, as far as events are kept. In small units; deliveries that were made stay made.
    pub async fn recover_webhook(
        &self,
        ctx: &Context,
        developer: &Developer,
        id: WebhookId,
        since: Timestamp,
    ) -> Result<Recovered, RedeliverError> {
        let mut recovered = Recovered::default();
        for _ in 0..MAX_UNITS {
            let count = self.requeue_failed(ctx, &developer.id, &id, since).await?;
            recovered.failed += count;
            if count < u64::from(BATCH) {
                return self.recover_missing(ctx, developer, &id, since, recovered).await;
            }
        }
        recovered.is_partial = true;
        Ok(recovered)
    }

    async fn requeue_failed(
        &self,
        ctx: &Context,
        developer: &DeveloperId,
        id: &WebhookId,
        since: Timestamp,
    ) -> Result<u64, RedeliverError> {
        let id = id.clone();
        self.transact(ctx, Some(developer), move |unit| {
            Box::pin(async move {
                unit.lock_head().await?;
                if matches!(found(unit, &id).await?.state, WebhookState::Disabled(_)) {
                    return Err(RedeliverError::Disabled);
                }
                let now = unit.now;
                unit.wake(&id);
                Ok(unit.tx.requeue_failed(&id, since, now, BATCH).await?)
            })
        })
        .await
    }

    /// Walks the events since `since` from the newest one backwards, and makes the deliveries that are not there.
    async fn recover_missing(
        &self,
        ctx: &Context,
        developer: &Developer,
        id: &WebhookId,
        since: Timestamp,
        mut recovered: Recovered,
    ) -> Result<Recovered, RedeliverError> {
        let mut page = PageRequest {
            size: BATCH,
            ..PageRequest::default()
        };
        for _ in 0..MAX_UNITS {
            let (id, wanted) = (id.clone(), page.clone());
            let (count, next) = self
                .transact(ctx, Some(&developer.id), move |unit| {
                    Box::pin(async move { recover_page(unit, &id, since, &wanted).await })
                })
                .await?;
            recovered.missing += count;
            match next {
                Some(cursor) => page.from = PageStart::After(cursor),
                None => return Ok(recovered),
            }
        }
        recovered.is_partial = true;
        Ok(recovered)
    }
}

/// Makes the deliveries that are missing for one page of events; tells how many, and where the next page begins.
async fn recover_page(
    unit: &mut Unit<'_>,
    id: &WebhookId,
    since: Timestamp,
    page: &PageRequest,
) -> Result<(u64, Option<Cursor>), RedeliverError> {
    unit.lock_head().await?;
    let webhook = found(unit, id).await?;
    let owner = unit.developer()?.clone();
    let query = EventQuery {
        filter: webhook.events,
        since: Some(since),
        until: None,
    };
    let events = unit.tx.events(&owner, &query, page).await?;
    let (Some(newest), Some(oldest)) = (events.items.first(), events.items.last()) else {
        return Ok((0, None));
    };
    let known = unit.tx.delivered_positions(id, oldest.seq, newest.seq).await?;
    let known: HashSet<i64> = known.into_iter().collect();
    let mut count = 0;
    for event in events.items {
        // A test event was for one endpoint only.
        if event.kind != kind::WEBHOOK_TEST && !known.contains(&event.seq) {
            let delivery = recovered_delivery(unit, id, &owner, event);
            unit.insert_delivery(delivery);
            count += 1;
        }
    }
    unit.wake(id);
    Ok((count, events.next))
}

fn recovered_delivery(unit: &Unit<'_>, webhook: &WebhookId, developer: &DeveloperId, event: StoredEvent) -> Delivery {
    Delivery {
        id: new_id(unit.random(), unit.now),
        webhook_id: webhook.clone(),
        developer_id: developer.clone(),
        event_id: event.id,
        event_seq: event.seq,
        order_key: order_key(&event.payload),
        kind: event.kind,
        payload: event.payload,
        status: DeliveryStatus::Pending,
        attempts: 0,
        next_attempt_at: unit.now,
        last_status: None,
        last_error: None,
        sent_to: None,
        created_at: event.created_at,
        ended_at: None,
        trace: None,
    }
}

/// The grant that an event is about, from its payload: what [`Event::ordered_by`](crate::event::Event::ordered_by) said when
/// it was recorded.
fn order_key(payload: &str) -> String {
    let value: serde_json::Value = serde_json::from_str(payload).unwrap_or_default();
    let grant = value.pointer("/data/grantId").and_then(serde_json::Value::as_str);
    grant.unwrap_or_default().to_owned()
}
