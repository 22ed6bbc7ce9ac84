//! Webhooks: what developers are told of as it happens.
//!
//! An endpoint subscribes to types of events. A unit of work that records an event adds, in the same transaction, one
//! [`Delivery`] for each endpoint that wants it ([`subscription`]); nothing that was committed can be forgotten. Deliveries are
//! sent by whoever runs the methods of [`work`], which claim an endpoint, hand out what is due and take down what came of
//! it. [`schedule`] says when to try again, [`health`] when to leave an endpoint alone, [`signature`] how the receiver knows
//! who speaks. Which URLs may be called is decided behind the port [`target`], and requests leave through the port [`send`].

pub mod address;
pub mod health;
pub mod schedule;
pub mod send;
pub mod signature;
pub mod subscription;
pub mod target;
pub mod work;

mod deliveries;
mod manage;

pub use deliveries::{DeliveryFilter, DeliveryPage, MAX_TOTAL, Recovered, RedeliverError};
pub(crate) use manage::new_signing_secret;
pub use manage::{CreateWebhook, CreatedWebhook, RotatedSecret, WebhookChanges, WebhookError, WebhookStatistics};

use crate::anomaly::channel::Channel;
use crate::clock::{Lifetime, Timestamp};
use crate::closed;
use crate::event::Event;
use crate::event::filter::EventFilter;
use crate::id::{DeliveryId, DeveloperId, EventId, WebhookId};
use crate::store::EventRow;
use crate::trace::TraceContext;
use crate::webhook::health::{Health, HealthRules};
use crate::webhook::schedule::Schedule;

/// The most endpoints that one developer may have on any plan: their subscriptions are read with every unit of work.
pub const MAX_WEBHOOKS: u64 = 1_000;

/// Numbers that deliveries go by.
#[derive(Debug, Clone)]
pub struct WebhookSettings {
    /// When to try again.
    pub schedule: Schedule,
    /// When to leave an endpoint alone.
    pub health: HealthRules,
    /// How long a replaced secret goes on signing, unless the developer says otherwise.
    pub secret_overlap: Lifetime,
}

impl Default for WebhookSettings {
    fn default() -> Self {
        Self {
            schedule: Schedule::default(),
            health: HealthRules::default(),
            secret_overlap: Lifetime::hours(24),
        }
    }
}

/// Whether an endpoint is served.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum WebhookState {
    /// Deliveries are made and sent.
    Active,
    /// Deliveries are made and wait: the developer said so.
    Paused,
    /// No deliveries are made; those that were waiting have failed.
    Disabled(DisabledReason),
}

closed! {
    /// Why the server stopped serving an endpoint.
    pub enum DisabledReason {
        /// It answered 410 Gone.
        Gone = "gone",
        /// It had failed for days without a single success.
        Failing = "failing",
    }
}

impl WebhookState {
    /// The name in the API, and the stored form.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Active => "active",
            Self::Paused => "paused",
            Self::Disabled(_) => "disabled",
        }
    }

    /// Why, when it is disabled.
    pub const fn disabled_reason(self) -> Option<DisabledReason> {
        match self {
            Self::Disabled(reason) => Some(reason),
            Self::Active | Self::Paused => None,
        }
    }

    /// Reads the stored form.
    pub fn parse(state: &str, reason: Option<&str>) -> Option<Self> {
        match (state, reason) {
            ("active", _) => Some(Self::Active),
            ("paused", _) => Some(Self::Paused),
            ("disabled", Some(reason)) => DisabledReason::parse(reason).map(Self::Disabled),
            _ => None,
        }
    }
}

/// A sealed secret that still signs beside the newer one.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PreviousSecret {
    /// The secret, sealed like the current one.
    pub sealed: String,
    /// Until when it signs.
    pub until: Timestamp,
}

/// What became of an endpoint's deliveries since it was made.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Counts {
    /// Deliveries that the receiver took.
    pub delivered: u64,
    /// Attempts that failed and were, or will be, repeated.
    pub retried: u64,
    /// Deliveries that were given up.
    pub failed: u64,
}

/// An endpoint.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Webhook {
    /// Identifier.
    pub id: WebhookId,
    /// The tenant.
    pub developer_id: DeveloperId,
    /// Where events are sent.
    pub url: String,
    /// Which events are sent.
    pub events: EventFilter,
    /// The developer's note.
    pub description: Option<String>,
    /// Whether it is served.
    pub state: WebhookState,
    /// The secret that signs, sealed under [`Webhook::seal_context`].
    pub sealed_secret: String,
    /// The secret before it, while both sign.
    pub previous_secret: Option<PreviousSecret>,
    /// How it has been doing.
    pub health: Health,
    /// What became of its deliveries.
    pub counts: Counts,
    /// When it was made.
    pub created_at: Timestamp,
    /// When it was last changed.
    pub updated_at: Timestamp,
    /// What else it is than a webhook: a channel for anomalies.
    pub channel: Option<Channel>,
}

impl Webhook {
    /// What its secrets are sealed under.
    pub fn seal_context(&self) -> String {
        seal_context(&self.id)
    }

    /// Whether it is served although its last attempts failed.
    pub const fn is_failing(&self) -> bool {
        matches!(self.state, WebhookState::Active) && self.health.failing_since.is_some()
    }
}

fn seal_context(id: &WebhookId) -> String {
    format!("webhook:{id}")
}

closed! {
    /// How a delivery stands.
    pub enum DeliveryStatus {
        /// It is still to be taken by the receiver.
        Pending = "pending",
        /// The receiver took it.
        Delivered = "delivered",
        /// It was given up; it can be sent again on demand.
        Failed = "failed",
    }
}

/// One event on its way to one endpoint.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Delivery {
    /// Identifier.
    pub id: DeliveryId,
    /// The endpoint.
    pub webhook_id: WebhookId,
    /// The tenant.
    pub developer_id: DeveloperId,
    /// The event.
    pub event_id: EventId,
    /// The event's position among the developer's events. An endpoint gets each event in one delivery.
    pub event_seq: i64,
    /// The event's type.
    pub kind: String,
    /// Deliveries of an endpoint with the same key reach it in the order of their events; the empty key sets no order.
    pub order_key: String,
    /// The exact bytes that are signed and sent: the event envelope as JSON.
    pub payload: String,
    /// How it stands.
    pub status: DeliveryStatus,
    /// Attempts so far.
    pub attempts: u32,
    /// When the next attempt is due, while it is pending.
    pub next_attempt_at: Timestamp,
    /// The status of the last answer, if there was one.
    pub last_status: Option<u16>,
    /// Why the last failed attempt failed; stays when a later one succeeds.
    pub last_error: Option<String>,
    /// Where the last attempt went.
    pub sent_to: Option<String>,
    /// When the event happened.
    pub created_at: Timestamp,
    /// When it was delivered or given up.
    pub ended_at: Option<Timestamp>,
    /// Where the call was in its trace that brought about the event: what receivers are sent as `traceparent`.
    pub trace: Option<TraceContext>,
}

impl Delivery {
    /// The delivery of an event that is just being recorded.
    pub(crate) fn first(id: DeliveryId, webhook_id: WebhookId, row: &EventRow, event: &Event) -> Self {
        Self {
            id,
            webhook_id,
            developer_id: row.developer_id.clone(),
            event_id: row.id.clone(),
            event_seq: row.seq,
            kind: row.kind.to_owned(),
            order_key: event.ordered_by().map(ToString::to_string).unwrap_or_default(),
            payload: row.payload.clone(),
            status: DeliveryStatus::Pending,
            attempts: 0,
            next_attempt_at: row.created_at,
            last_status: None,
            last_error: None,
            sent_to: None,
            created_at: row.created_at,
            ended_at: None,
            trace: None,
        }
    }
}
