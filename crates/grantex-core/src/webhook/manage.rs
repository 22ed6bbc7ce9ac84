//! Endpoints: making, changing, pausing and deleting them, and their secrets.

use super::target::UrlRefusal;
use super::{Counts, MAX_WEBHOOKS, PreviousSecret, Webhook, WebhookState, seal_context};
use crate::clock::{Lifetime, Timestamp};
use crate::context::Context;
use crate::developer::Developer;
use crate::error::StoreError;
use crate::event::filter::EventFilter;
use crate::event::{Event, WebhookChange};
use crate::grantex::{Grantex, Unit};
use crate::id::{Random, WebhookId, new_id};
use crate::plan::PlanLimit;
use crate::secret::{Secret, hex};
use crate::store::{Backlog, Store};
use crate::token::signer::SignError;
use crate::webhook::health::Health;

/// The wish for an endpoint.
#[derive(Debug)]
pub struct CreateWebhook {
    /// Where events are to be sent.
    pub url: String,
    /// Which events.
    pub events: EventFilter,
    /// A note.
    pub description: Option<String>,
    /// The secret to sign with; one is made when there is none.
    pub secret: Option<Secret<String>>,
}

/// A new endpoint.
#[derive(Debug)]
pub struct CreatedWebhook {
    /// The endpoint.
    pub webhook: Webhook,
    /// The secret: shown here and never again.
    pub secret: Secret<String>,
}

/// What is to change.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct WebhookChanges {
    /// Where events are sent; deliveries that wait go there too.
    pub url: Option<String>,
    /// Which events are sent, from now on.
    pub events: Option<EventFilter>,
    /// The note; `Some(None)` takes it away.
    pub description: Option<Option<String>>,
}

/// A replaced secret.
#[derive(Debug)]
pub struct RotatedSecret {
    /// The new secret: shown here and never again.
    pub secret: Secret<String>,
    /// Until when the replaced one signs as well.
    pub previous_until: Timestamp,
}

/// How an endpoint has been doing.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct WebhookStatistics {
    /// The endpoint.
    pub webhook: Webhook,
    /// What waits for it.
    pub backlog: Backlog,
    /// When this was read.
    pub at: Timestamp,
}

/// Why nothing was done to an endpoint.
#[derive(Debug, thiserror::Error)]
pub enum WebhookError {
    /// This service sends no webhooks.
    #[error("this server does not send webhooks")]
    NotOffered,
    /// There is no such endpoint.
    #[error("there is no such webhook")]
    NotFound,
    /// The endpoint is disabled.
    #[error("the webhook is disabled; resume it first")]
    Disabled,
    /// The URL may not be called.
    #[error(transparent)]
    Url(#[from] UrlRefusal),
    /// The plan allows no further endpoint.
    #[error(transparent)]
    PlanLimit(#[from] PlanLimit),
    /// The secret could not be sealed.
    #[error("sealing the secret failed")]
    Sealing(#[from] SignError),
    /// The store failed.
    #[error(transparent)]
    Store(#[from] StoreError),
}

impl<S: Store> Grantex<S> {
    /// Makes an endpoint. Events that are committed after it are delivered to it. Count and insert are serialized per developer.
    ///
    /// # Errors
    /// [`WebhookError::Url`] is decided without contacting anybody.
    pub async fn create_webhook(
        &self,
        ctx: &Context,
        developer: &Developer,
        command: CreateWebhook,
    ) -> Result<CreatedWebhook, WebhookError> {
        self.check_url(&command.url)?;
        let now = self.now();
        let id: WebhookId = new_id(&*self.parts.random, now);
        let secret = command
            .secret
            .unwrap_or_else(|| new_signing_secret(&*self.parts.random));
        let webhook = Webhook {
            sealed_secret: self.seal_secret(&id, &secret)?,
            id,
            developer_id: developer.id.clone(),
            url: command.url,
            events: command.events,
            description: command.description,
            state: WebhookState::Active,
            previous_secret: None,
            health: Health::default(),
            counts: Counts::default(),
            created_at: now,
            updated_at: now,
            channel: None,
        };
        let row = webhook.clone();
        self.transact(ctx, Some(&developer.id), move |unit| {
            Box::pin(async move {
                let head = unit.lock_head().await?;
                let (plan, subscriptions) = (head.plan, head.subscriptions.with(&row.id, &row.events));
                let limit = plan.max_webhooks().unwrap_or(MAX_WEBHOOKS);
                let wanted = u32::try_from(limit).unwrap_or(u32::MAX);
                let count = unit.tx.webhooks(&row.developer_id, wanted).await?.len();
                PlanLimit::check(Some(limit), u64::try_from(count).unwrap_or(u64::MAX), "webhooks")?;
                unit.tx.insert_webhook(&row).await?;
                unit.set_subscriptions(subscriptions).await?;
                unit.record(changed(&row.id, WebhookChange::Created));
                Ok::<_, WebhookError>(())
            })
        })
        .await?;
        Ok(CreatedWebhook { webhook, secret })
    }

    /// An endpoint of this developer.
    pub async fn webhook(&self, developer: &Developer, id: WebhookId) -> Result<Option<Webhook>, StoreError> {
        let developer = developer.id.clone();
        self.store
            .read(move |tx| Box::pin(async move { tx.webhook(&developer, &id).await }))
            .await
    }

    /// A developer's endpoints, newest first: all of them, which are at most [`MAX_WEBHOOKS`].
    pub async fn webhooks(&self, developer: &Developer) -> Result<Vec<Webhook>, StoreError> {
        let developer = developer.id.clone();
        let limit = u32::try_from(MAX_WEBHOOKS).unwrap_or(u32::MAX);
        self.store
            .read(move |tx| Box::pin(async move { tx.webhooks(&developer, limit).await }))
            .await
    }

    /// How an endpoint has been doing.
    pub async fn webhook_statistics(
        &self,
        developer: &Developer,
        id: WebhookId,
    ) -> Result<Option<WebhookStatistics>, StoreError> {
        let (developer, at) = (developer.id.clone(), self.now());
        self.store
            .read(move |tx| {
                Box::pin(async move {
                    let Some(webhook) = tx.webhook(&developer, &id).await? else {
                        return Ok(None);
                    };
                    let backlog = tx.backlog_of(&id, at).await?;
                    Ok(Some(WebhookStatistics { webhook, backlog, at }))
                })
            })
            .await
    }

    /// Changes an endpoint.
    pub async fn update_webhook(
        &self,
        ctx: &Context,
        developer: &Developer,
        id: WebhookId,
        changes: WebhookChanges,
    ) -> Result<Webhook, WebhookError> {
        if let Some(url) = &changes.url {
            self.check_url(url)?;
        }
        self.change_webhook(ctx, developer, id, WebhookChange::Updated, move |webhook| {
            if let Some(url) = changes.url {
                webhook.url = url;
            }
            if let Some(events) = changes.events {
                webhook.events = events;
            }
            if let Some(description) = changes.description {
                webhook.description = description;
            }
        })
        .await
    }

    /// Pauses an endpoint: deliveries are made and wait until it is resumed. An attempt that is under way ends as it ends. A
    /// disabled endpoint stays disabled.
    pub async fn pause_webhook(
        &self,
        ctx: &Context,
        developer: &Developer,
        id: WebhookId,
    ) -> Result<Webhook, WebhookError> {
        self.change_webhook(ctx, developer, id, WebhookChange::Paused, |webhook| {
            if webhook.state == WebhookState::Active {
                webhook.state = WebhookState::Paused;
            }
        })
        .await
    }

    /// Serves an endpoint again, whether it was paused or disabled, and forgets its failures.
    pub async fn resume_webhook(
        &self,
        ctx: &Context,
        developer: &Developer,
        id: WebhookId,
    ) -> Result<Webhook, WebhookError> {
        self.change_webhook(ctx, developer, id, WebhookChange::Resumed, |webhook| {
            webhook.state = WebhookState::Active;
            webhook.health = webhook.health.forgiven();
        })
        .await
    }

    /// Replaces an endpoint's secret. For `overlap` (by default that of the settings) both sign.
    pub async fn rotate_webhook_secret(
        &self,
        ctx: &Context,
        developer: &Developer,
        id: WebhookId,
        secret: Option<Secret<String>>,
        overlap: Option<Lifetime>,
    ) -> Result<RotatedSecret, WebhookError> {
        let secret = secret.unwrap_or_else(|| new_signing_secret(&*self.parts.random));
        let sealed = self.seal_secret(&id, &secret)?;
        let overlap = overlap.unwrap_or(self.parts.settings.webhooks.secret_overlap);
        let previous_until = self.now().plus(overlap);
        self.change_webhook(ctx, developer, id, WebhookChange::SecretRotated, move |webhook| {
            let replaced = std::mem::replace(&mut webhook.sealed_secret, sealed);
            webhook.previous_secret = Some(PreviousSecret {
                sealed: replaced,
                until: previous_until,
            });
        })
        .await?;
        Ok(RotatedSecret { secret, previous_until })
    }

    /// Deletes an endpoint with its deliveries: they are gone from every listing at once and removed by the janitor.
    pub async fn delete_webhook(
        &self,
        ctx: &Context,
        developer: &Developer,
        id: WebhookId,
    ) -> Result<(), WebhookError> {
        self.transact(ctx, Some(&developer.id), move |unit| {
            Box::pin(async move {
                let subscriptions = unit.lock_head().await?.subscriptions.without(&id);
                found(unit, &id).await?;
                let now = unit.now;
                if !unit.tx.hide_webhook(&id, now).await? {
                    return Err(WebhookError::NotFound);
                }
                unit.set_subscriptions(subscriptions).await?;
                unit.record(changed(&id, WebhookChange::Deleted));
                Ok(())
            })
        })
        .await
    }

    /// Sends a test event to an endpoint, whatever it subscribed to, through the ordinary machinery.
    ///
    /// # Errors
    /// [`WebhookError::Disabled`]: nothing is sent to a disabled endpoint until it is resumed.
    pub async fn test_webhook(&self, ctx: &Context, developer: &Developer, id: WebhookId) -> Result<(), WebhookError> {
        self.transact(ctx, Some(&developer.id), move |unit| {
            Box::pin(async move {
                unit.lock_head().await?;
                if matches!(found(unit, &id).await?.state, WebhookState::Disabled(_)) {
                    return Err(WebhookError::Disabled);
                }
                unit.record(Event::WebhookTested { webhook_id: id });
                Ok(())
            })
        })
        .await
    }

    /// Changes an endpoint under its developer's lock, with its subscription.
    async fn change_webhook(
        &self,
        ctx: &Context,
        developer: &Developer,
        id: WebhookId,
        change: WebhookChange,
        apply: impl FnOnce(&mut Webhook) + Send + 'static,
    ) -> Result<Webhook, WebhookError> {
        self.transact(ctx, Some(&developer.id), move |unit| {
            Box::pin(async move {
                let subscriptions = unit.lock_head().await?.subscriptions.clone();
                let before = found(unit, &id).await?;
                let mut webhook = before.clone();
                apply(&mut webhook);
                webhook.updated_at = unit.now;
                if !unit.tx.update_webhook(&webhook).await? {
                    return Err(WebhookError::NotFound);
                }
                if webhook.health != before.health {
                    unit.tx
                        .update_webhook_health(&id, &webhook.health, &webhook.counts)
                        .await?;
                }
                let is_served = !matches!(webhook.state, WebhookState::Disabled(_));
                if is_served && (webhook.events != before.events || webhook.state != before.state) {
                    unit.set_subscriptions(subscriptions.with(&id, &webhook.events)).await?;
                }
                unit.wake(&id);
                unit.record(changed(&id, change));
                Ok(webhook)
            })
        })
        .await
    }

    fn check_url(&self, url: &str) -> Result<(), WebhookError> {
        let policy = self.parts.url_policy.as_ref().ok_or(WebhookError::NotOffered)?;
        Ok(policy.check(url)?)
    }

    pub(crate) fn seal_secret(&self, id: &WebhookId, secret: &Secret<String>) -> Result<String, SignError> {
        self.parts.sealer.seal(&seal_context(id), secret.expose().as_bytes())
    }
}

/// The endpoint of the unit's developer.
pub(super) async fn found(unit: &mut Unit<'_>, id: &WebhookId) -> Result<Webhook, WebhookError> {
    let developer = unit.developer()?.clone();
    unit.tx.webhook(&developer, id).await?.ok_or(WebhookError::NotFound)
}

fn changed(id: &WebhookId, change: WebhookChange) -> Event {
    Event::WebhookChanged {
        webhook_id: id.clone(),
        change,
    }
}

/// 192 random bits as 48 hex digits: the form that published clients know (contract extensions §4).
pub(crate) fn new_signing_secret(random: &dyn Random) -> Secret<String> {
    let mut bytes = [0_u8; 24];
    random.fill(&mut bytes);
    let secret = Secret::new(hex(&bytes));
    zeroize::Zeroize::zeroize(&mut bytes);
    secret
}
