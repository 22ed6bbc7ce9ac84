//! What a dispatcher asks for: whose turn it is, what is due, how it is sent, and what came of it.
//!
//! A dispatcher claims an endpoint before it sends to it and renews the claim while it works, so that of several servers one
//! sends, and events of one grant arrive in their order. Nothing here waits or sends; a dispatcher does, with a
//! [`Sender`](super::send::Sender). A server that dies leaves its claims to run out and its deliveries pending: they are sent
//! again, at least once in all.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;
use std::time::Duration;

use serde::Deserialize;

use super::health::Breaker;
use super::send::{Outgoing, Received, SendError};
use super::{Delivery, DeliveryStatus, DisabledReason, Webhook, WebhookState, signature};
use crate::anomaly::channel::ChannelKind;
use crate::anomaly::channels;
use crate::anomaly::manage::AnomalyChange;
use crate::clock::{Lifetime, Timestamp};
use crate::context::Context;
use crate::error::StoreError;
use crate::event::{DeliveryFailure, Event, Notification, NotificationOutcome};
use crate::grantex::Grantex;
use crate::id::{AgentId, DeliveryId, WebhookId};
use crate::secret::Secret;
use crate::store::{Backlog, Store, WebhookCensus};

/// How long a claim lasts, unless it is renewed. Longer than an attempt may take.
pub const CLAIM: Lifetime = Lifetime::seconds(30);
/// Deliveries that one unit gives up at most when an endpoint is disabled.
const FAIL_BATCH: u32 = 500;
/// Text of a delivery error, at most.
const MAX_ERROR: usize = 200;

/// What became of a delivery, for the store.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DeliveryChange {
    /// The delivery.
    pub id: DeliveryId,
    /// How it stands.
    pub status: DeliveryStatus,
    /// Attempts so far.
    pub attempts: u32,
    /// When the next attempt is due.
    pub next_attempt_at: Timestamp,
    /// The status of the answer, if there was one.
    pub last_status: Option<u16>,
    /// Why the attempt failed; `None` leaves what stands there.
    pub last_error: Option<String>,
    /// Where the attempt went; `None` when there was none.
    pub sent_to: Option<String>,
    /// When it was delivered or given up.
    pub ended_at: Option<Timestamp>,
}

/// An endpoint and what may be sent to it now.
#[derive(Debug, Clone)]
pub struct Work {
    /// The endpoint as it is now.
    pub webhook: Webhook,
    /// Whether anything, one delivery or nothing may be sent.
    pub breaker: Breaker,
    /// Deliveries whose time has come and whose turn it is: for each order key the first one only.
    pub deliveries: Vec<Delivery>,
}

/// One attempt that has ended.
#[derive(Debug, Clone)]
pub struct Attempt {
    /// What was sent.
    pub delivery: Delivery,
    /// Where it was sent.
    pub url: String,
    /// What the endpoint speaks, when it is a channel.
    pub channel: Option<ChannelKind>,
    /// What came back.
    pub outcome: Result<Received, SendError>,
    /// When it ended.
    pub ended_at: Timestamp,
    /// How long it took.
    pub took: Duration,
}

impl<S: Store> Grantex<S> {
    /// Up to `limit` endpoints that have something to be sent and that nobody else works for.
    pub async fn webhooks_with_work(&self, owner: &str, limit: u32) -> Result<Vec<WebhookId>, StoreError> {
        let (now, owner) = (self.now(), owner.to_owned());
        self.store
            .read(move |tx| Box::pin(async move { tx.webhooks_with_work(&owner, now, limit).await }))
            .await
    }

    /// Claims an endpoint, or renews the claim, for [`CLAIM`] from now; `false` when somebody else has it, or it is not to be served.
    pub async fn claim_webhook(&self, ctx: &Context, id: &WebhookId, owner: &str) -> Result<bool, StoreError> {
        let (id, owner) = (id.clone(), owner.to_owned());
        self.transact(ctx, None, move |unit| {
            Box::pin(async move {
                let now = unit.now;
                unit.tx.claim_webhook(&id, &owner, now, now.plus(CLAIM)).await
            })
        })
        .await
    }

    /// Gives a claim back, so that another server need not wait for its end.
    pub async fn release_webhook(&self, ctx: &Context, id: &WebhookId, owner: &str) -> Result<(), StoreError> {
        let (id, owner) = (id.clone(), owner.to_owned());
        self.transact(ctx, None, move |unit| {
            Box::pin(async move { unit.tx.release_webhook(&id, &owner).await })
        })
        .await
    }

    /// What may be sent to an endpoint now, at most `limit` deliveries; `None` when it is gone or not to be served.
    ///
    /// `under_way` are deliveries that the caller is sending: neither they nor what must come behind them is handed out again.
    /// Deliveries that wait for an earlier one of the same grant are put off until that one's next attempt.
    pub async fn webhook_work(
        &self,
        ctx: &Context,
        id: &WebhookId,
        under_way: &[Delivery],
        limit: u32,
    ) -> Result<Option<Work>, StoreError> {
        let now = self.now();
        let mine: HashSet<DeliveryId> = under_way.iter().map(|delivery| delivery.id.clone()).collect();
        // What is under way is due as well.
        let wanted = limit.saturating_add(u32::try_from(under_way.len()).unwrap_or(u32::MAX));
        let webhook_id = id.clone();
        let found = self
            .store
            .read(move |tx| {
                Box::pin(async move {
                    let Some(webhook) = tx.webhook_by_id(&webhook_id).await? else {
                        return Ok(None);
                    };
                    let due = tx.due_deliveries(&webhook_id, now, wanted).await?;
                    let keys: HashSet<String> = due.iter().map(|delivery| delivery.order_key.clone()).collect();
                    let keys: Vec<String> = keys.into_iter().filter(|key| !key.is_empty()).collect();
                    let first = match keys.is_empty() {
                        true => Vec::new(),
                        false => tx.first_pending(&webhook_id, &keys).await?,
                    };
                    Ok::<_, StoreError>(Some((webhook, due, first)))
                })
            })
            .await?;
        let Some((webhook, due, first)) = found else {
            return Ok(None);
        };
        if webhook.state != WebhookState::Active {
            return Ok(None);
        }
        let first: HashMap<String, (i64, Timestamp)> =
            first.into_iter().map(|(key, seq, at)| (key, (seq, at))).collect();
        let (mut deliveries, mut waiting) = (Vec::new(), HashMap::<Timestamp, Vec<DeliveryId>>::new());
        for delivery in due {
            if mine.contains(&delivery.id) {
                continue;
            }
            match first.get(&delivery.order_key) {
                // Its turn comes when an earlier one has been delivered or given up.
                Some((seq, at)) if *seq < delivery.event_seq => {
                    if *at > now {
                        waiting.entry(*at).or_default().push(delivery.id);
                    }
                }
                _ => deliveries.push(delivery),
            }
        }
        for (until, ids) in waiting {
            self.transact(ctx, None, move |unit| {
                Box::pin(async move { unit.tx.postpone_deliveries(&ids, until).await })
            })
            .await?;
        }
        deliveries.truncate(usize::try_from(limit).unwrap_or(usize::MAX));
        let breaker = webhook.health.breaker(now);
        Ok(Some(Work {
            webhook,
            breaker,
            deliveries,
        }))
    }

    /// The request that delivers, signed now; `None` when the endpoint's secret cannot be opened with this server's master key.
    pub fn sign_delivery(&self, webhook: &Webhook, delivery: &Delivery) -> Option<Outgoing> {
        let now = self.now();
        let secret = self.open_secret(webhook, &webhook.sealed_secret)?;
        let previous = webhook
            .previous_secret
            .as_ref()
            .filter(|previous| now < previous.until)
            .and_then(|previous| self.open_secret(webhook, &previous.sealed));
        let id = delivery.event_id.as_str();
        let mut headers = signature::headers(&secret, previous.as_ref(), id, now, &delivery.payload);
        if let Some(trace) = delivery.trace {
            headers.push(("traceparent", trace.to_string()));
        }
        Some(Outgoing {
            url: webhook.url.clone(),
            headers,
            body: Arc::from(delivery.payload.as_str()),
        })
    }

    pub(crate) fn open_secret(&self, webhook: &Webhook, sealed: &str) -> Option<Secret<String>> {
        let plain = Secret::new(self.parts.sealer.open(&webhook.seal_context(), sealed)?);
        String::from_utf8(plain.expose().clone()).ok().map(Secret::new)
    }

    /// Takes down attempts on one endpoint, in one unit, and then logs and counts each of them. An endpoint that is gone, or
    /// has failed for too long, is disabled in a second unit.
    pub async fn record_attempts(
        &self,
        ctx: &Context,
        id: &WebhookId,
        attempts: Vec<Attempt>,
    ) -> Result<(), StoreError> {
        let verdicts: Vec<Verdict> = attempts.iter().map(|attempt| self.judge(attempt)).collect();
        let changes: Vec<DeliveryChange> = verdicts.iter().map(|verdict| verdict.change.clone()).collect();
        // Those behind a delivery that was late need not wait for the time that was set for it.
        let freed: Vec<String> = attempts
            .iter()
            .zip(&verdicts)
            .filter(|(attempt, verdict)| {
                verdict.change.status != DeliveryStatus::Pending
                    && attempt.delivery.attempts > 0
                    && !attempt.delivery.order_key.is_empty()
            })
            .map(|(attempt, _)| attempt.delivery.order_key.clone())
            .collect();
        let rules = self.parts.settings.webhooks.health;
        let ends: Vec<(Timestamp, DeliveryStatus, bool)> = attempts
            .iter()
            .zip(&verdicts)
            .map(|(attempt, verdict)| (attempt.ended_at, verdict.change.status, verdict.is_gone))
            .collect();
        let webhook_id = id.clone();
        let disable = self
            .transact(ctx, None, move |unit| {
                Box::pin(async move {
                    unit.tx.change_deliveries(&changes).await?;
                    for key in &freed {
                        unit.tx.advance_deliveries(&webhook_id, key, unit.now).await?;
                    }
                    let Some(mut webhook) = unit.tx.webhook_by_id(&webhook_id).await? else {
                        return Ok(None);
                    };
                    let mut disable = None;
                    for (ended_at, status, is_gone) in ends {
                        match status {
                            DeliveryStatus::Delivered => {
                                webhook.health.succeeded(ended_at);
                                webhook.counts.delivered += 1;
                                disable = None;
                                continue;
                            }
                            DeliveryStatus::Pending => webhook.counts.retried += 1,
                            DeliveryStatus::Failed => webhook.counts.failed += 1,
                        }
                        if webhook.health.failed(ended_at, &rules) {
                            disable = Some(DisabledReason::Failing);
                        }
                        if is_gone {
                            disable = Some(DisabledReason::Gone);
                        }
                    }
                    unit.tx
                        .update_webhook_health(&webhook_id, &webhook.health, &webhook.counts)
                        .await?;
                    Ok::<_, StoreError>(disable.map(|reason| (webhook, reason)))
                })
            })
            .await?;
        for (attempt, verdict) in attempts.iter().zip(&verdicts) {
            self.emit_with(ctx, &verdict.event, attempt.took);
        }
        match disable {
            Some((webhook, reason)) => self.disable_webhook(ctx, &webhook, reason).await,
            None => Ok(()),
        }
    }

    /// Stops serving an endpoint; what waits for it has failed, and can be sent again on demand.
    async fn disable_webhook(
        &self,
        ctx: &Context,
        webhook: &Webhook,
        reason: DisabledReason,
    ) -> Result<(), StoreError> {
        // A context of its own: the caller's may be as old as the server.
        let ctx = &self.context(ctx.logger().clone(), ctx.request_id().to_owned());
        let id = webhook.id.clone();
        self.transact(ctx, Some(&webhook.developer_id), move |unit| {
            Box::pin(async move {
                let subscriptions = unit.lock_head().await?.subscriptions.without(&id);
                let Some(mut webhook) = unit.tx.webhook_by_id(&id).await? else {
                    return Ok(());
                };
                // Meanwhile its developer may have paused it, or somebody else disabled it.
                if webhook.state != WebhookState::Active {
                    return Ok(());
                }
                webhook.state = WebhookState::Disabled(reason);
                webhook.updated_at = unit.now;
                unit.tx.update_webhook(&webhook).await?;
                unit.set_subscriptions(subscriptions).await?;
                unit.record(match &webhook.channel {
                    None => Event::WebhookDisabled { webhook_id: id, reason },
                    Some(_) => channels::changed(&id, AnomalyChange::ChannelDisabled),
                });
                Ok::<_, StoreError>(())
            })
        })
        .await?;
        self.fail_pending(ctx, &webhook.id).await
    }

    /// Gives up what waits for an endpoint that is disabled, in small units.
    async fn fail_pending(&self, ctx: &Context, id: &WebhookId) -> Result<(), StoreError> {
        loop {
            let id = id.clone();
            let failed = self
                .transact(ctx, None, move |unit| {
                    Box::pin(async move {
                        let now = unit.now;
                        let state = unit.tx.webhook_by_id(&id).await?.map(|webhook| webhook.state);
                        if !matches!(state, Some(WebhookState::Disabled(_))) {
                            return Ok(0);
                        }
                        unit.tx
                            .fail_pending(&id, "the endpoint was disabled", now, FAIL_BATCH)
                            .await
                    })
                })
                .await?;
            if failed < u64::from(FAIL_BATCH) {
                return Ok(());
            }
        }
    }

    /// What waits to be delivered, for gauges.
    pub async fn webhook_backlog(&self) -> Result<Backlog, StoreError> {
        let now = self.now();
        self.store
            .read(move |tx| Box::pin(async move { tx.backlog(now).await }))
            .await
    }

    /// How many endpoints there are, for gauges.
    pub async fn webhook_census(&self) -> Result<WebhookCensus, StoreError> {
        self.store
            .read(|tx| Box::pin(async move { tx.webhook_census().await }))
            .await
    }

    fn judge(&self, attempt: &Attempt) -> Verdict {
        let (number, delivery) = (attempt.delivery.attempts.saturating_add(1), &attempt.delivery);
        let last_status = attempt.outcome.ok().map(|received| received.status);
        let agent_id = agent_of(&delivery.payload);
        let change = |status, next_attempt_at, last_error| DeliveryChange {
            id: delivery.id.clone(),
            status,
            attempts: number,
            next_attempt_at,
            last_status,
            last_error,
            // Where a channel leads may be a secret.
            sent_to: Some(match attempt.channel {
                Some(kind) => format!("channel:{}", kind.as_str()),
                None => attempt.url.clone(),
            }),
            ended_at: (status != DeliveryStatus::Pending).then_some(attempt.ended_at),
        };
        let (error, retry_after) = match attempt.outcome {
            Ok(received) if received.is_success() => {
                let event = match attempt.channel {
                    Some(kind) => notified(attempt, kind, NotificationOutcome::Delivered, None),
                    None => Event::WebhookDelivered {
                        webhook_id: delivery.webhook_id.clone(),
                        status_code: received.status,
                        attempt: number,
                        since_event: since(delivery.created_at, attempt.ended_at),
                        agent_id,
                    },
                };
                return Verdict {
                    change: change(DeliveryStatus::Delivered, attempt.ended_at, None),
                    event,
                    is_gone: false,
                };
            }
            Ok(received) => (
                format!("the receiver answered {}", received.status),
                received.retry_after.map(lifetime),
            ),
            Err(error) => (error.to_string(), None),
        };
        let is_gone = last_status == Some(410);
        let schedule = &self.parts.settings.webhooks.schedule;
        let delay = schedule
            .delay_after(number, retry_after, &*self.parts.random)
            .filter(|_| !is_gone);
        let failure = DeliveryFailure {
            webhook_id: delivery.webhook_id.clone(),
            url: without_query(&attempt.url).to_owned(),
            status_code: last_status,
            attempt: number,
            error: error.clone(),
            agent_id,
        };
        let event = match (attempt.channel, delay) {
            (Some(kind), Some(_)) => notified(attempt, kind, NotificationOutcome::Retried, Some(error.clone())),
            (Some(kind), None) => notified(attempt, kind, NotificationOutcome::Failed, Some(error.clone())),
            (None, Some(_)) => Event::WebhookDeliveryRetried(failure),
            (None, None) => Event::WebhookDeliveryFailed(failure),
        };
        let error = Some(error.chars().take(MAX_ERROR).collect());
        let change = match delay {
            Some(delay) => change(DeliveryStatus::Pending, attempt.ended_at.plus(delay), error),
            None => change(DeliveryStatus::Failed, attempt.ended_at, error),
        };
        Verdict { change, event, is_gone }
    }
}

/// An attempt to tell a channel. Where it went is a secret of some channels, and in no event.
fn notified(attempt: &Attempt, kind: ChannelKind, outcome: NotificationOutcome, error: Option<String>) -> Event {
    Event::ChannelNotified(Notification {
        channel_id: attempt.delivery.webhook_id.channel(),
        kind,
        outcome,
        status_code: attempt.outcome.ok().map(|received| received.status),
        attempt: attempt.delivery.attempts.saturating_add(1),
        error,
    })
}

/// What an attempt means.
struct Verdict {
    change: DeliveryChange,
    event: Event,
    is_gone: bool,
}

/// Query strings of receivers often hold credentials; they stay out of the log.
fn without_query(url: &str) -> &str {
    url.split(['?', '#']).next().unwrap_or_default()
}

/// The agent that an event is about, from its payload.
fn agent_of(payload: &str) -> Option<AgentId> {
    #[derive(Deserialize)]
    struct Envelope<'a> {
        #[serde(borrow)]
        data: Data<'a>,
    }
    #[derive(Deserialize)]
    struct Data<'a> {
        #[serde(borrow, rename = "agentId")]
        agent_id: Option<&'a str>,
    }
    let envelope: Envelope<'_> = serde_json::from_str(payload).ok()?;
    AgentId::parse(envelope.data.agent_id?)
}

fn since(from: Timestamp, to: Timestamp) -> Duration {
    Duration::from_millis(u64::try_from(to.since(from).as_millis()).unwrap_or(0))
}

fn lifetime(span: Duration) -> Lifetime {
    Lifetime::millis(i64::try_from(span.as_millis()).unwrap_or(i64::MAX))
}
