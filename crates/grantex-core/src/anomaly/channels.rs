//! What developers do with channels, and how a channel is told.

use std::sync::Arc;
use std::time::Duration;

use serde_json::{Map, Value};

use super::Severity;
use super::channel::{Channel, ChannelKind, ChannelProblem, MAX_CHANNELS, configure, in_order};
use super::manage::{AnomalyChange, AnomalyError};
use super::notice::{Notice, is_signed, test_envelope};
use crate::clock::Timestamp;
use crate::context::Context;
use crate::developer::Developer;
use crate::error::StoreError;
use crate::event::filter::EventFilter;
use crate::event::{Event, kind};
use crate::grantex::{Grantex, Unit};
use crate::id::{AnomalyChannelId, DeliveryId, DeveloperId, EventId, WebhookId, new_id};
use crate::secret::Secret;
use crate::store::Store;
use crate::webhook::health::Health;
use crate::webhook::send::{Mail, Message, Outgoing, Received, SendError};
use crate::webhook::{Counts, Delivery, DeliveryStatus, Webhook, WebhookState, new_signing_secret};

/// A channel as a developer wants it. `config` holds secrets, hence no `Debug`.
pub struct CreateChannel {
    /// What it speaks.
    pub kind: ChannelKind,
    /// For people.
    pub name: String,
    /// How it is reached.
    pub config: Map<String, Value>,
    /// Of which anomalies it is told.
    pub severities: Vec<Severity>,
}

/// What is to change.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct ChangeChannel {
    /// Whether it is told of anything.
    pub is_enabled: Option<bool>,
    /// For people.
    pub name: Option<String>,
    /// Of which anomalies it is told.
    pub severities: Option<Vec<Severity>>,
}

/// A channel that exists.
#[derive(Debug, Clone)]
pub struct ChannelView {
    /// Identifier.
    pub id: AnomalyChannelId,
    /// What it is.
    pub channel: Channel,
    /// Whether it is told; why the server stopped, if it did.
    pub state: WebhookState,
    /// How it has been doing.
    pub health: Health,
    /// What became of its notifications.
    pub counts: Counts,
    /// When it was made.
    pub created_at: Timestamp,
}

impl ChannelView {
    fn of(webhook: Webhook) -> Option<Self> {
        Some(Self {
            id: webhook.id.channel(),
            channel: webhook.channel?,
            state: webhook.state,
            health: webhook.health,
            counts: webhook.counts,
            created_at: webhook.created_at,
        })
    }
}

/// A new channel.
#[derive(Debug)]
pub struct CreatedChannel {
    /// The channel.
    pub view: ChannelView,
    /// The key that signs what a webhook channel is sent, when the server made it: shown here and never again.
    pub secret: Option<Secret<String>>,
}

/// What came of a test.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ChannelTest {
    /// What the receiver said.
    pub outcome: Result<Received, SendError>,
    /// How long it took.
    pub took: Duration,
}

impl ChannelTest {
    /// Whether the receiver took it.
    pub fn is_delivered(&self) -> bool {
        self.outcome.is_ok_and(|received| received.is_success())
    }
}

impl<S: Store> Grantex<S> {
    /// Makes a channel: anomalies that are committed after it are told to it. Nobody is contacted.
    ///
    /// # Errors
    /// [`AnomalyError::Channel`] names what is wrong; [`AnomalyError::TooMany`] beyond [`MAX_CHANNELS`].
    pub async fn create_channel(
        &self,
        ctx: &Context,
        developer: &Developer,
        wish: CreateChannel,
    ) -> Result<CreatedChannel, AnomalyError> {
        let policy = self.parts.url_policy.as_ref().ok_or(AnomalyError::NoChannels)?;
        let has_mail = self.parts.sender.as_ref().is_some_and(|sender| sender.has_mail());
        if wish.kind == ChannelKind::Email && !has_mail {
            return Err(
                ChannelProblem::of("type", "cannot be email: this server has no mail server (SMTP_HOST)").into(),
            );
        }
        let configured = configure(wish.kind, &wish.config, |url| policy.check(url))?;
        let now = self.now();
        let id: WebhookId = new_id(&*self.parts.random, now);
        let (secret, is_new) = match configured.secret {
            Some(secret) => (secret, false),
            None => (new_signing_secret(&*self.parts.random), true),
        };
        let webhook = Webhook {
            sealed_secret: self.seal_secret(&id, &secret)?,
            id,
            developer_id: developer.id.clone(),
            // What only a channel can be told goes to no URL, so that nothing that takes it for a webhook sends it there.
            url: match configured.url {
                Some(url) if is_signed(wish.kind) => url,
                _ => format!("channel:{}", wish.kind.as_str()),
            },
            events: only_anomalies(),
            description: None,
            state: WebhookState::Active,
            previous_secret: None,
            health: Health::default(),
            counts: Counts::default(),
            created_at: now,
            updated_at: now,
            channel: Some(Channel {
                kind: wish.kind,
                name: wish.name,
                config: configured.config,
                severities: in_order(&wish.severities),
            }),
        };
        let row = webhook.clone();
        self.transact(ctx, Some(&developer.id), move |unit| {
            Box::pin(async move {
                // Count and insert are serialized per developer.
                unit.lock_head().await?;
                if unit.tx.channels(&row.developer_id).await?.len() >= MAX_CHANNELS {
                    return Err(AnomalyError::TooMany {
                        what: "channels",
                        limit: MAX_CHANNELS,
                    });
                }
                unit.tx.insert_webhook(&row).await?;
                unit.record(changed(&row.id, AnomalyChange::ChannelCreated));
                Ok(())
            })
        })
        .await?;
        Ok(CreatedChannel {
            view: ChannelView::of(webhook).ok_or(AnomalyError::NotFound("channel"))?,
            secret: is_new.then_some(secret),
        })
    }

    /// A developer's channels, newest first: all of them, which are at most [`MAX_CHANNELS`].
    pub async fn channels(&self, developer: &Developer) -> Result<Vec<ChannelView>, StoreError> {
        let developer = developer.id.clone();
        let found: Vec<Webhook> = self
            .store
            .read(move |tx| Box::pin(async move { tx.channels(&developer).await }))
            .await?;
        Ok(found.into_iter().filter_map(ChannelView::of).collect())
    }

    /// Changes a channel. One that is switched on again is told of what comes from then on, and its failures are forgotten; what
    /// waited when it was switched off is still sent.
    pub async fn change_channel(
        &self,
        ctx: &Context,
        developer: &Developer,
        id: AnomalyChannelId,
        change: ChangeChannel,
    ) -> Result<ChannelView, AnomalyError> {
        self.transact(ctx, Some(&developer.id), move |unit| {
            Box::pin(async move {
                unit.lock_head().await?;
                let mut webhook = found(unit, &id).await?;
                if let Some(channel) = &mut webhook.channel {
                    if let Some(name) = change.name {
                        channel.name = name;
                    }
                    if let Some(severities) = change.severities {
                        channel.severities = in_order(&severities);
                    }
                }
                match change.is_enabled {
                    Some(true) => {
                        webhook.state = WebhookState::Active;
                        let health = webhook.health.forgiven();
                        if health != webhook.health {
                            webhook.health = health;
                            unit.tx
                                .update_webhook_health(&webhook.id, &health, &webhook.counts)
                                .await?;
                        }
                        unit.wake(&webhook.id);
                    }
                    Some(false) if webhook.state == WebhookState::Active => webhook.state = WebhookState::Paused,
                    _ => {}
                }
                webhook.updated_at = unit.now;
                unit.tx.update_webhook(&webhook).await?;
                unit.record(changed(&webhook.id, AnomalyChange::ChannelChanged));
                ChannelView::of(webhook).ok_or(AnomalyError::NotFound("channel"))
            })
        })
        .await
    }

    /// Removes a channel, with what waits for it.
    pub async fn delete_channel(
        &self,
        ctx: &Context,
        developer: &Developer,
        id: AnomalyChannelId,
    ) -> Result<(), AnomalyError> {
        self.transact(ctx, Some(&developer.id), move |unit| {
            Box::pin(async move {
                unit.lock_head().await?;
                let webhook = found(unit, &id).await?;
                let now = unit.now;
                if !unit.tx.hide_webhook(&webhook.id, now).await? {
                    return Err(AnomalyError::NotFound("channel"));
                }
                unit.record(changed(&webhook.id, AnomalyChange::ChannelDeleted));
                Ok(())
            })
        })
        .await
    }

    /// Tells a channel, now and once, that this is a test, whether it is switched on or not. What comes of it changes nothing about
    /// the channel.
    ///
    /// # Errors
    /// [`AnomalyError::NoChannels`] when this service sends nothing. A receiver that fails is no error but the outcome.
    pub async fn test_channel(
        &self,
        ctx: &Context,
        developer: &Developer,
        id: AnomalyChannelId,
    ) -> Result<ChannelTest, AnomalyError> {
        let sender = self.parts.sender.as_ref().ok_or(AnomalyError::NoChannels)?;
        let (owner, endpoint) = (developer.id.clone(), id.endpoint());
        let webhook: Option<Webhook> = self
            .store
            .read(move |tx| Box::pin(async move { tx.webhook_by_id(&endpoint).await }))
            .await?;
        let webhook = webhook.filter(|webhook| webhook.developer_id == owner);
        let Some((webhook, channel)) = webhook.and_then(|webhook| Some((webhook.clone(), webhook.channel?))) else {
            return Err(AnomalyError::NotFound("channel"));
        };
        self.emit(ctx, &changed(&webhook.id, AnomalyChange::ChannelTested));
        let (began, delivery) = (self.parts.clock.monotonic(), self.test_of(&webhook, &channel, &id));
        let outcome = match self.message(&webhook, &delivery) {
            Some(message) => sender.deliver(&message).await,
            None => Err(SendError::Unsigned),
        };
        Ok(ChannelTest {
            outcome,
            took: self.parts.clock.monotonic().saturating_sub(began),
        })
    }

    /// A delivery that is stored nowhere.
    fn test_of(&self, webhook: &Webhook, channel: &Channel, id: &AnomalyChannelId) -> Delivery {
        let (random, now) = (&*self.parts.random, self.now());
        let event_id: EventId = new_id(random, now);
        Delivery {
            id: new_id::<DeliveryId>(random, now),
            webhook_id: webhook.id.clone(),
            developer_id: webhook.developer_id.clone(),
            event_seq: 0,
            kind: kind::WEBHOOK_TEST.to_owned(),
            order_key: String::new(),
            payload: test_envelope(event_id.as_str(), kind::WEBHOOK_TEST, now, id.as_str(), channel),
            event_id,
            status: DeliveryStatus::Pending,
            attempts: 0,
            next_attempt_at: now,
            last_status: None,
            last_error: None,
            sent_to: None,
            created_at: now,
            ended_at: None,
            trace: None,
        }
    }

    /// What an endpoint is sent of a delivery, signed now; `None` when its secret cannot be opened with this server's master key.
    pub fn message(&self, webhook: &Webhook, delivery: &Delivery) -> Option<Message> {
        let channel = match &webhook.channel {
            Some(channel) if !is_signed(channel.kind) => channel,
            _ => return self.sign_delivery(webhook, delivery).map(Message::Http),
        };
        let secret = self.open_secret(webhook, &webhook.sealed_secret)?;
        let notice = Notice::parse(&delivery.payload)?;
        let post = |url: &str, body: String| {
            Message::Http(Outgoing {
                url: url.to_owned(),
                headers: Vec::new(),
                body: Arc::from(body),
            })
        };
        Some(match channel.kind {
            ChannelKind::PagerDuty => {
                let url = channel.config.get("url").and_then(Value::as_str)?;
                post(url, notice.pagerduty(secret.expose()))
            }
            ChannelKind::Email => {
                let (subject, text) = notice.mail();
                Message::Mail(Mail {
                    to: channel.addresses(),
                    subject,
                    text,
                    id: notice.id,
                })
            }
            ChannelKind::Slack | ChannelKind::Webhook => post(secret.expose(), notice.slack()),
        })
    }
}

/// The active channels among these that want an anomaly of this severity.
pub(crate) fn told_of(channels: &[Webhook], severity: Severity) -> impl Iterator<Item = &WebhookId> {
    let is_told = move |webhook: &&Webhook| {
        let channel = webhook.channel.as_ref();
        webhook.state == WebhookState::Active && channel.is_some_and(|channel| channel.wants(severity))
    };
    channels.iter().filter(is_told).map(|webhook| &webhook.id)
}

pub(crate) fn changed(id: &WebhookId, change: AnomalyChange) -> Event {
    Event::AnomalyChanged {
        subject: id.channel().to_string(),
        change,
    }
}

fn only_anomalies() -> EventFilter {
    EventFilter::from_stored(kind::ANOMALY_DETECTED)
}

async fn found(unit: &mut Unit<'_>, id: &AnomalyChannelId) -> Result<Webhook, AnomalyError> {
    let developer: DeveloperId = unit.developer()?.clone();
    let found = unit.tx.webhook_by_id(&id.endpoint()).await?;
    found
        .filter(|webhook| webhook.developer_id == developer && webhook.channel.is_some())
        .ok_or(AnomalyError::NotFound("channel"))
}
