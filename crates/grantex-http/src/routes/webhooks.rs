//! Webhook endpoints (contract extensions §4, and beyond it).

use actix_web::HttpResponse;
use grantex_core::clock::{Lifetime, Timestamp};
use grantex_core::event::filter::EventFilter;
use grantex_core::id::WebhookId;
use grantex_core::secret::Secret;
use grantex_core::store::Store;
use grantex_core::webhook::{CreateWebhook, Webhook, WebhookChanges, WebhookError, WebhookState, WebhookStatistics};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use crate::answer;
use crate::call::Call;
use crate::endpoint::{Access, Endpoint};
use crate::error::ApiError;
use crate::extract::{Text, present};
use crate::openapi::schema;

/// How long both secrets may sign at most.
const MAX_OVERLAP: Lifetime = Lifetime::days(30);

pub(crate) const CREATE: Endpoint = Endpoint::post(
    "/v1/webhooks",
    Access::Key,
    "Makes a webhook; its secret is shown only here",
)
.takes(schema::<WebhookBody>)
.gives(201, schema::<CreatedAnswer>)
.refuses(&[400, 402, 503]);
pub(crate) const LIST: Endpoint =
    Endpoint::get("/v1/webhooks", Access::Key, "Lists webhooks, newest first").gives(200, schema::<WebhookList>);
pub(crate) const GET: Endpoint = Endpoint::get("/v1/webhooks/{id}", Access::Key, "Shows a webhook")
    .gives(200, schema::<WebhookAnswer>)
    .refuses(&[404]);
pub(crate) const UPDATE: Endpoint = Endpoint::patch("/v1/webhooks/{id}", Access::Key, "Changes a webhook")
    .takes(schema::<WebhookUpdate>)
    .gives(200, schema::<WebhookAnswer>)
    .refuses(&[400, 404]);
pub(crate) const DELETE: Endpoint = Endpoint::delete(
    "/v1/webhooks/{id}",
    Access::Key,
    "Deletes a webhook with its deliveries",
)
.refuses(&[404]);
pub(crate) const PAUSE: Endpoint = Endpoint::post(
    "/v1/webhooks/{id}/pause",
    Access::Key,
    "Pauses a webhook: its deliveries wait",
)
.gives(200, schema::<WebhookAnswer>)
.refuses(&[404]);
pub(crate) const RESUME: Endpoint = Endpoint::post(
    "/v1/webhooks/{id}/resume",
    Access::Key,
    "Serves a paused or disabled webhook again",
)
.gives(200, schema::<WebhookAnswer>)
.refuses(&[404]);
pub(crate) const ROTATE: Endpoint = Endpoint::post(
    "/v1/webhooks/{id}/secret",
    Access::Key,
    "Replaces a webhook's secret; for a while both sign",
)
.takes(schema::<RotationBody>)
.gives(200, schema::<RotatedAnswer>)
.refuses(&[400, 404]);
pub(crate) const TEST: Endpoint = Endpoint::post(
    "/v1/webhooks/{id}/test",
    Access::Key,
    "Sends a webhook.test event to a webhook",
)
.gives(202, schema::<Accepted>)
.refuses(&[404, 409]);
pub(crate) const STATISTICS: Endpoint = Endpoint::get(
    "/v1/webhooks/{id}/stats",
    Access::Key,
    "Shows how a webhook has been doing",
)
.gives(200, schema::<StatisticsAnswer>)
.refuses(&[404]);

/// A new webhook.
#[derive(Deserialize, ToSchema)]
pub(crate) struct WebhookBody {
    /// Where events are sent: an absolute https URL of a public host.
    #[schema(value_type = String, min_length = 1, max_length = 2048)]
    url: Text<1, 2048>,
    /// Event types, prefixes such as `grant.*`, or `*`.
    #[schema(value_type = Vec<String>, min_items = 1)]
    events: Types,
    /// The secret to sign with; one is made when there is none.
    #[serde(default, deserialize_with = "present")]
    #[schema(value_type = Option<String>, min_length = 16, max_length = 256, nullable = false)]
    secret: Option<SigningSecret>,
    #[serde(default, deserialize_with = "present")]
    #[schema(value_type = Option<String>, max_length = 256, nullable = false)]
    description: Option<Text<0, 256>>,
}

/// Changes of a webhook; at least one.
#[derive(Deserialize, ToSchema)]
pub(crate) struct WebhookUpdate {
    #[serde(default, deserialize_with = "present")]
    #[schema(value_type = Option<String>, min_length = 1, max_length = 2048, nullable = false)]
    url: Option<Text<1, 2048>>,
    #[serde(default, deserialize_with = "present")]
    #[schema(value_type = Option<Vec<String>>, min_items = 1, nullable = false)]
    events: Option<Types>,
    /// Empty takes it away.
    #[serde(default, deserialize_with = "present")]
    #[schema(value_type = Option<String>, max_length = 256, nullable = false)]
    description: Option<Text<0, 256>>,
}

/// How to replace a secret.
#[derive(Default, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub(crate) struct RotationBody {
    /// The new secret; one is made when there is none.
    #[serde(default, deserialize_with = "present")]
    #[schema(value_type = Option<String>, min_length = 16, max_length = 256, nullable = false)]
    secret: Option<SigningSecret>,
    /// How long the replaced secret signs as well: `0s` to `30d`, `24h` by default.
    #[serde(default, deserialize_with = "present")]
    #[schema(value_type = Option<String>, nullable = false)]
    overlap: Option<Text<1, 20>>,
}

/// Event types and patterns over them.
pub(crate) struct Types(EventFilter);

impl<'de> Deserialize<'de> for Types {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        use serde::de::Error as _;
        let items = Vec::<String>::deserialize(deserializer)?;
        if items.is_empty() {
            return Err(D::Error::custom("must hold at least one event type"));
        }
        EventFilter::parse(items.iter().map(String::as_str))
            .map(Self)
            .map_err(D::Error::custom)
    }
}

/// A secret of a client's own.
pub(crate) struct SigningSecret(Secret<String>);

impl<'de> Deserialize<'de> for SigningSecret {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        Text::<16, 256>::deserialize(deserializer).map(|text| Self(Secret::new(text.0)))
    }
}

/// A webhook.
#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub(crate) struct WebhookAnswer {
    id: String,
    url: String,
    events: Vec<String>,
    description: Option<String>,
    /// `active`, `paused` or `disabled`.
    status: &'static str,
    /// Why it is disabled: `gone` (it answered 410) or `failing` (for days, without a success).
    disabled_reason: Option<&'static str>,
    /// Since when its attempts fail; null when the last one succeeded.
    #[schema(value_type = Option<String>, format = DateTime)]
    failing_since: Option<Timestamp>,
    /// Until when a replaced secret signs as well.
    #[schema(value_type = Option<String>, format = DateTime)]
    previous_secret_until: Option<Timestamp>,
    #[schema(value_type = String, format = DateTime)]
    created_at: Timestamp,
    #[schema(value_type = String, format = DateTime)]
    updated_at: Timestamp,
}

impl WebhookAnswer {
    fn of(webhook: Webhook, now: Timestamp) -> Self {
        let previous = webhook.previous_secret.map(|previous| previous.until);
        Self {
            id: webhook.id.to_string(),
            url: webhook.url,
            events: webhook.events.texts(),
            description: webhook.description,
            status: webhook.state.as_str(),
            disabled_reason: webhook.state.disabled_reason().map(|reason| reason.as_str()),
            failing_since: webhook.health.failing_since,
            previous_secret_until: previous.filter(|until| now < *until),
            created_at: webhook.created_at,
            updated_at: webhook.updated_at,
        }
    }
}

/// A new webhook with its secret.
#[derive(Serialize, ToSchema)]
pub(crate) struct CreatedAnswer<'a> {
    /// Signs every delivery; not shown again.
    secret: &'a str,
    #[serde(flatten)]
    webhook: WebhookAnswer,
}

/// All webhooks.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct WebhookList {
    webhooks: Vec<WebhookAnswer>,
}

/// A new secret.
#[derive(Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub(crate) struct RotatedAnswer<'a> {
    secret: &'a str,
    /// Until when the replaced secret signs as well.
    #[schema(value_type = String, format = DateTime)]
    previous_secret_until: Timestamp,
}

/// It will be done.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct Accepted {
    accepted: bool,
}

/// How a webhook has been doing since it was made.
#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub(crate) struct StatisticsAnswer {
    webhook_id: String,
    /// `active`, `paused` or `disabled`.
    status: &'static str,
    /// `closed`, `open` (nothing is sent for a while) or `half_open` (one delivery probes).
    breaker: &'static str,
    /// When an open breaker lets a delivery through.
    #[schema(value_type = Option<String>, format = DateTime)]
    resumes_at: Option<Timestamp>,
    consecutive_failures: u32,
    #[schema(value_type = Option<String>, format = DateTime)]
    failing_since: Option<Timestamp>,
    #[schema(value_type = Option<String>, format = DateTime)]
    last_success_at: Option<Timestamp>,
    #[schema(value_type = Option<String>, format = DateTime)]
    last_failure_at: Option<Timestamp>,
    /// Deliveries that the receiver took.
    delivered: u64,
    /// Attempts that failed and were, or will be, repeated.
    retried: u64,
    /// Deliveries that were given up.
    failed: u64,
    /// Deliveries that wait.
    pending: u64,
    /// When the event of the oldest waiting delivery happened.
    #[schema(value_type = Option<String>, format = DateTime)]
    oldest_pending_at: Option<Timestamp>,
}

impl From<WebhookStatistics> for StatisticsAnswer {
    fn from(statistics: WebhookStatistics) -> Self {
        let WebhookStatistics { webhook, backlog, at } = statistics;
        Self {
            webhook_id: webhook.id.to_string(),
            status: webhook.state.as_str(),
            breaker: match webhook.state {
                WebhookState::Active | WebhookState::Paused => webhook.health.breaker(at).as_str(),
                WebhookState::Disabled(_) => "open",
            },
            resumes_at: webhook.health.resumes_at,
            consecutive_failures: webhook.health.failures,
            failing_since: webhook.health.failing_since,
            last_success_at: webhook.health.last_success_at,
            last_failure_at: webhook.health.last_failure_at,
            delivered: webhook.counts.delivered,
            retried: webhook.counts.retried,
            failed: webhook.counts.failed,
            pending: backlog.due + backlog.scheduled + backlog.held,
            oldest_pending_at: backlog.oldest,
        }
    }
}

pub(crate) async fn create<S: Store>(call: &mut Call<S>) -> Result<HttpResponse, ApiError> {
    let developer = call.developer()?;
    let body: WebhookBody = call.json().await?;
    let command = CreateWebhook {
        url: body.url.0,
        events: body.events.0,
        description: body.description.map(|text| text.0).filter(|text| !text.is_empty()),
        secret: body.secret.map(|secret| secret.0),
    };
    let created = call
        .write(|grantex, ctx| async move { grantex.create_webhook(&ctx, &developer, command).await })
        .await?;
    let now = call.grantex.now();
    answer::created(&CreatedAnswer {
        secret: created.secret.expose(),
        webhook: WebhookAnswer::of(created.webhook, now),
    })
}

pub(crate) async fn list<S: Store>(call: &mut Call<S>) -> Result<HttpResponse, ApiError> {
    let developer = call.developer()?;
    let webhooks = call.read(call.grantex.webhooks(&developer)).await?;
    let now = call.grantex.now();
    let webhooks = webhooks.into_iter().map(|webhook| WebhookAnswer::of(webhook, now));
    answer::ok(&WebhookList {
        webhooks: webhooks.collect(),
    })
}

pub(crate) async fn get<S: Store>(call: &mut Call<S>) -> Result<HttpResponse, ApiError> {
    let (developer, id) = (call.developer()?, id(call)?);
    let webhook = call.read(call.grantex.webhook(&developer, id)).await?;
    show(call, webhook.ok_or(WebhookError::NotFound)?)
}

pub(crate) async fn update<S: Store>(call: &mut Call<S>) -> Result<HttpResponse, ApiError> {
    let developer = call.developer()?;
    let body: WebhookUpdate = call.json().await?;
    let changes = WebhookChanges {
        url: body.url.map(|text| text.0),
        events: body.events.map(|types| types.0),
        description: body
            .description
            .map(|text| Some(text.0).filter(|text| !text.is_empty())),
    };
    if changes == WebhookChanges::default() {
        return Err(ApiError::bad_request(
            "one of `url`, `events` and `description` is required",
        ));
    }
    let id = id(call)?;
    let webhook = call
        .write(|grantex, ctx| async move { grantex.update_webhook(&ctx, &developer, id, changes).await })
        .await?;
    show(call, webhook)
}

pub(crate) async fn delete<S: Store>(call: &mut Call<S>) -> Result<HttpResponse, ApiError> {
    let developer = call.developer()?;
    call.no_body().await?;
    let id = id(call)?;
    call.write(|grantex, ctx| async move { grantex.delete_webhook(&ctx, &developer, id).await })
        .await?;
    answer::no_content()
}

pub(crate) async fn pause<S: Store>(call: &mut Call<S>) -> Result<HttpResponse, ApiError> {
    let developer = call.developer()?;
    call.no_body().await?;
    let id = id(call)?;
    let webhook = call
        .write(|grantex, ctx| async move { grantex.pause_webhook(&ctx, &developer, id).await })
        .await?;
    show(call, webhook)
}

pub(crate) async fn resume<S: Store>(call: &mut Call<S>) -> Result<HttpResponse, ApiError> {
    let developer = call.developer()?;
    call.no_body().await?;
    let id = id(call)?;
    let webhook = call
        .write(|grantex, ctx| async move { grantex.resume_webhook(&ctx, &developer, id).await })
        .await?;
    show(call, webhook)
}

pub(crate) async fn rotate<S: Store>(call: &mut Call<S>) -> Result<HttpResponse, ApiError> {
    let developer = call.developer()?;
    let body: RotationBody = call.optional_json().await?;
    let overlap = match body.overlap {
        Some(text) => Some(
            overlap(&text.0).ok_or_else(|| ApiError::field("overlap", "must be a time from 0s to 30d, such as 24h"))?,
        ),
        None => None,
    };
    let (id, secret) = (id(call)?, body.secret.map(|secret| secret.0));
    let rotated = call
        .write(|grantex, ctx| async move {
            grantex
                .rotate_webhook_secret(&ctx, &developer, id, secret, overlap)
                .await
        })
        .await?;
    answer::ok(&RotatedAnswer {
        secret: rotated.secret.expose(),
        previous_secret_until: rotated.previous_until,
    })
}

pub(crate) async fn test<S: Store>(call: &mut Call<S>) -> Result<HttpResponse, ApiError> {
    let developer = call.developer()?;
    call.no_body().await?;
    let id = id(call)?;
    call.write(|grantex, ctx| async move { grantex.test_webhook(&ctx, &developer, id).await })
        .await?;
    answer::accepted(&Accepted { accepted: true })
}

pub(crate) async fn statistics<S: Store>(call: &mut Call<S>) -> Result<HttpResponse, ApiError> {
    let (developer, id) = (call.developer()?, id(call)?);
    let statistics = call.read(call.grantex.webhook_statistics(&developer, id)).await?;
    answer::ok(&StatisticsAnswer::from(statistics.ok_or(WebhookError::NotFound)?))
}

fn show<S: Store>(call: &Call<S>, webhook: Webhook) -> Result<HttpResponse, ApiError> {
    answer::ok(&WebhookAnswer::of(webhook, call.grantex.now()))
}

/// Whatever cannot be an id names no webhook.
pub(super) fn id<S: Store>(call: &Call<S>) -> Result<WebhookId, ApiError> {
    Ok(WebhookId::parse(&call.segment("id")?).ok_or(WebhookError::NotFound)?)
}

/// `0s` is a time of no length, which [`Lifetime::parse`] refuses.
fn overlap(text: &str) -> Option<Lifetime> {
    let overlap = match text {
        "0s" => Lifetime::millis(0),
        text => Lifetime::parse(text)?,
    };
    (overlap.as_millis() <= MAX_OVERLAP.as_millis()).then_some(overlap)
}
