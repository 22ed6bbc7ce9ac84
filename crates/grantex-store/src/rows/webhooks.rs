use diesel::prelude::*;
use grantex_core::anomaly::channel::Channel;
use grantex_core::clock::Timestamp;
use grantex_core::error::StoreError;
use grantex_core::event::filter::EventFilter;
use grantex_core::id::{DeliveryId, DeveloperId, EventId, WebhookId};
use grantex_core::trace::TraceContext;
use grantex_core::webhook::health::Health;
use grantex_core::webhook::work::DeliveryChange;
use grantex_core::webhook::{Counts, Delivery, DeliveryStatus, PreviousSecret, Webhook, WebhookState};

use super::{Place, instant};
use crate::schema::{webhook_deliveries, webhooks};

#[derive(Queryable, Selectable, Insertable)]
#[diesel(table_name = webhooks, treat_none_as_default_value = false)]
pub(crate) struct WebhookRow {
    id: String,
    developer_id: String,
    url: String,
    events: String,
    description: Option<String>,
    state: String,
    disabled_reason: Option<String>,
    sealed_secret: String,
    sealed_previous_secret: Option<String>,
    previous_until: Option<i64>,
    created_at: i64,
    updated_at: i64,
    failures: i64,
    openings: i64,
    failing_since: Option<i64>,
    resumes_at: Option<i64>,
    last_success_at: Option<i64>,
    last_failure_at: Option<i64>,
    delivered: i64,
    retried: i64,
    failed: i64,
    channel: Option<String>,
}

impl TryFrom<WebhookRow> for Webhook {
    type Error = StoreError;

    fn try_from(row: WebhookRow) -> Result<Self, StoreError> {
        let place = Place {
            table: "webhooks",
            id: &row.id,
        };
        let previous_secret = match (row.sealed_previous_secret, row.previous_until) {
            (Some(sealed), Some(until)) => Some(PreviousSecret {
                sealed,
                until: Timestamp::from_millis(until),
            }),
            _ => None,
        };
        let channel = match &row.channel {
            Some(text) => Some(place.expect("channel", Channel::from_stored(text))?),
            None => None,
        };
        let state = WebhookState::parse(&row.state, row.disabled_reason.as_deref());
        let count = |column, value: i64| place.expect(column, u64::try_from(value).ok());
        let number = |column, value: i64| place.expect(column, u32::try_from(value).ok());
        Ok(Self {
            id: place.expect("id", WebhookId::parse(&row.id))?,
            developer_id: place.expect("developer_id", DeveloperId::parse(&row.developer_id))?,
            state: place.expect("state", state)?,
            health: Health {
                failures: number("failures", row.failures)?,
                openings: number("openings", row.openings)?,
                failing_since: instant(row.failing_since),
                resumes_at: instant(row.resumes_at),
                last_success_at: instant(row.last_success_at),
                last_failure_at: instant(row.last_failure_at),
            },
            counts: Counts {
                delivered: count("delivered", row.delivered)?,
                retried: count("retried", row.retried)?,
                failed: count("failed", row.failed)?,
            },
            url: row.url,
            events: EventFilter::from_stored(&row.events),
            description: row.description,
            sealed_secret: row.sealed_secret,
            previous_secret,
            created_at: Timestamp::from_millis(row.created_at),
            updated_at: Timestamp::from_millis(row.updated_at),
            channel,
        })
    }
}

impl From<&Webhook> for WebhookRow {
    fn from(webhook: &Webhook) -> Self {
        let previous = webhook.previous_secret.as_ref();
        let health = HealthChange::new(&webhook.health, &webhook.counts);
        Self {
            id: webhook.id.as_str().to_owned(),
            developer_id: webhook.developer_id.as_str().to_owned(),
            url: webhook.url.clone(),
            events: webhook.events.to_string(),
            description: webhook.description.clone(),
            state: webhook.state.as_str().to_owned(),
            disabled_reason: webhook.state.disabled_reason().map(|reason| reason.as_str().to_owned()),
            sealed_secret: webhook.sealed_secret.clone(),
            sealed_previous_secret: previous.map(|previous| previous.sealed.clone()),
            previous_until: previous.map(|previous| previous.until.as_millis()),
            created_at: webhook.created_at.as_millis(),
            updated_at: webhook.updated_at.as_millis(),
            failures: health.failures,
            openings: health.openings,
            failing_since: health.failing_since,
            resumes_at: health.resumes_at,
            last_success_at: health.last_success_at,
            last_failure_at: health.last_failure_at,
            delivered: health.delivered,
            retried: health.retried,
            failed: health.failed,
            channel: webhook.channel.as_ref().map(Channel::to_stored),
        }
    }
}

/// What developers, and the server when it disables an endpoint, may change.
#[derive(AsChangeset)]
#[diesel(table_name = webhooks, treat_none_as_null = true)]
pub(crate) struct WebhookChange<'a> {
    url: &'a str,
    events: String,
    description: Option<&'a str>,
    state: &'a str,
    disabled_reason: Option<&'a str>,
    sealed_secret: &'a str,
    sealed_previous_secret: Option<&'a str>,
    previous_until: Option<i64>,
    updated_at: i64,
    channel: Option<String>,
}

impl<'a> From<&'a Webhook> for WebhookChange<'a> {
    fn from(webhook: &'a Webhook) -> Self {
        let previous = webhook.previous_secret.as_ref();
        Self {
            url: &webhook.url,
            events: webhook.events.to_string(),
            description: webhook.description.as_deref(),
            state: webhook.state.as_str(),
            disabled_reason: webhook.state.disabled_reason().map(|reason| reason.as_str()),
            sealed_secret: &webhook.sealed_secret,
            sealed_previous_secret: previous.map(|previous| previous.sealed.as_str()),
            previous_until: previous.map(|previous| previous.until.as_millis()),
            updated_at: webhook.updated_at.as_millis(),
            channel: webhook.channel.as_ref().map(Channel::to_stored),
        }
    }
}

/// What deliveries change.
#[derive(AsChangeset)]
#[diesel(table_name = webhooks, treat_none_as_null = true)]
pub(crate) struct HealthChange {
    failures: i64,
    openings: i64,
    failing_since: Option<i64>,
    resumes_at: Option<i64>,
    last_success_at: Option<i64>,
    last_failure_at: Option<i64>,
    delivered: i64,
    retried: i64,
    failed: i64,
}

impl HealthChange {
    pub fn new(health: &Health, counts: &Counts) -> Self {
        let millis = |at: Option<Timestamp>| at.map(Timestamp::as_millis);
        let number = |count: u64| i64::try_from(count).unwrap_or(i64::MAX);
        Self {
            failures: i64::from(health.failures),
            openings: i64::from(health.openings),
            failing_since: millis(health.failing_since),
            resumes_at: millis(health.resumes_at),
            last_success_at: millis(health.last_success_at),
            last_failure_at: millis(health.last_failure_at),
            delivered: number(counts.delivered),
            retried: number(counts.retried),
            failed: number(counts.failed),
        }
    }
}

#[derive(Queryable, Selectable, Insertable)]
#[diesel(table_name = webhook_deliveries, treat_none_as_default_value = false)]
pub(crate) struct DeliveryRow {
    pub id: String,
    pub webhook_id: String,
    pub developer_id: String,
    pub event_id: String,
    pub event_seq: i64,
    pub kind: String,
    pub order_key: String,
    pub payload: String,
    pub status: String,
    pub attempts: i64,
    pub next_attempt_at: i64,
    pub last_status: Option<i64>,
    pub last_error: Option<String>,
    pub sent_to: Option<String>,
    pub created_at: i64,
    pub ended_at: Option<i64>,
    pub traceparent: Option<String>,
}

impl TryFrom<DeliveryRow> for Delivery {
    type Error = StoreError;

    fn try_from(row: DeliveryRow) -> Result<Self, StoreError> {
        let place = Place {
            table: "webhook_deliveries",
            id: &row.id,
        };
        let last_status = match row.last_status {
            Some(status) => Some(place.expect("last_status", u16::try_from(status).ok())?),
            None => None,
        };
        let trace = match &row.traceparent {
            Some(text) => Some(place.expect("traceparent", TraceContext::parse(text))?),
            None => None,
        };
        Ok(Self {
            trace,
            id: place.expect("id", DeliveryId::parse(&row.id))?,
            webhook_id: place.expect("webhook_id", WebhookId::parse(&row.webhook_id))?,
            developer_id: place.expect("developer_id", DeveloperId::parse(&row.developer_id))?,
            event_id: place.expect("event_id", EventId::parse(&row.event_id))?,
            status: place.expect("status", DeliveryStatus::parse(&row.status))?,
            attempts: place.expect("attempts", u32::try_from(row.attempts).ok())?,
            last_status,
            event_seq: row.event_seq,
            kind: row.kind,
            order_key: row.order_key,
            payload: row.payload,
            next_attempt_at: Timestamp::from_millis(row.next_attempt_at),
            last_error: row.last_error,
            sent_to: row.sent_to,
            created_at: Timestamp::from_millis(row.created_at),
            ended_at: instant(row.ended_at),
        })
    }
}

impl From<&Delivery> for DeliveryRow {
    fn from(delivery: &Delivery) -> Self {
        Self {
            id: delivery.id.as_str().to_owned(),
            webhook_id: delivery.webhook_id.as_str().to_owned(),
            developer_id: delivery.developer_id.as_str().to_owned(),
            event_id: delivery.event_id.as_str().to_owned(),
            event_seq: delivery.event_seq,
            kind: delivery.kind.clone(),
            order_key: delivery.order_key.clone(),
            payload: delivery.payload.clone(),
            status: delivery.status.as_str().to_owned(),
            attempts: i64::from(delivery.attempts),
            next_attempt_at: delivery.next_attempt_at.as_millis(),
            last_status: delivery.last_status.map(i64::from),
            last_error: delivery.last_error.clone(),
            sent_to: delivery.sent_to.clone(),
            created_at: delivery.created_at.as_millis(),
            ended_at: delivery.ended_at.map(Timestamp::as_millis),
            traceparent: delivery.trace.map(|trace| trace.to_string()),
        }
    }
}

/// What became of a delivery: the columns of one change, in the order of the statement that writes it.
pub(crate) struct DeliveryChangeRow {
    pub id: String,
    pub status: String,
    pub attempts: i64,
    pub next_attempt_at: i64,
    pub last_status: Option<i64>,
    pub last_error: Option<String>,
    pub sent_to: Option<String>,
    pub ended_at: Option<i64>,
}

impl From<&DeliveryChange> for DeliveryChangeRow {
    fn from(change: &DeliveryChange) -> Self {
        Self {
            id: change.id.as_str().to_owned(),
            status: change.status.as_str().to_owned(),
            attempts: i64::from(change.attempts),
            next_attempt_at: change.next_attempt_at.as_millis(),
            last_status: change.last_status.map(i64::from),
            last_error: change.last_error.clone(),
            sent_to: change.sent_to.clone(),
            ended_at: change.ended_at.map(Timestamp::as_millis),
        }
    }
}
