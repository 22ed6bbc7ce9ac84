//! Channels through which people are told of anomalies.

use actix_web::HttpResponse;
use grantex_core::anomaly::Severity;
use grantex_core::anomaly::channel::ChannelKind;
use grantex_core::anomaly::channels::{ChangeChannel, ChannelTest, ChannelView, CreateChannel};
use grantex_core::clock::Timestamp;
use grantex_core::closed::Closed as _;
use grantex_core::id::AnomalyChannelId;
use grantex_core::store::Store;
use grantex_core::webhook::WebhookState;
use grantex_core::webhook::send::SendError;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};
use tokio::time::timeout;
use utoipa::ToSchema;

use crate::answer;
use crate::call::Call;
use crate::endpoint::{Access, AddressLimit, Endpoint};
use crate::error::ApiError;
use crate::extract::{NonBlank, NotServed, present};
use crate::limit::Bucket;
use crate::openapi::schema;

pub(crate) const LIST: Endpoint = Endpoint::get(
    "/v1/anomaly/channels",
    Access::Key,
    "Lists the channels that are told of anomalies, newest first",
)
.gives(200, schema::<ChannelList>);
pub(crate) const CREATE: Endpoint = Endpoint::post(
    "/v1/anomaly/channels",
    Access::Key,
    "Makes a channel that is told of anomalies",
)
.takes(schema::<ChannelBody>)
.gives(201, schema::<CreatedAnswer>)
.refuses(&[400, 409]);
pub(crate) const CHANGE: Endpoint = Endpoint::patch(
    "/v1/anomaly/channels/{id}",
    Access::Key,
    "Switches a channel on or off, or changes its name or severities",
)
.takes(schema::<ChannelChangeBody>)
.gives(200, schema::<ChannelAnswer>)
.refuses(&[400, 404]);
pub(crate) const DELETE: Endpoint =
    Endpoint::delete("/v1/anomaly/channels/{id}", Access::Key, "Removes a channel").refuses(&[404]);
pub(crate) const TEST: Endpoint = Endpoint::post(
    "/v1/anomaly/channels/{id}/test",
    Access::Key,
    "Sends a test to a channel now, and tells what the receiver said",
)
.limited_by(AddressLimit::Own(Bucket::ChannelTests))
.gives(200, schema::<TestAnswer>)
.refuses(&[404]);

/// A new channel.
#[derive(Deserialize, ToSchema)]
pub(crate) struct ChannelBody {
    /// `webhook`, `slack`, `pagerduty` or `email`.
    #[serde(rename = "type")]
    kind: String,
    /// For people.
    #[schema(value_type = String, min_length = 1, max_length = 200)]
    name: NonBlank<200>,
    /// `webhook`: `url`, and `secret` (made when there is none). `slack`: `webhookUrl`. `pagerduty`: `routingKey`, and `url`.
    /// `email`: `to`, one address or a list. Nothing else.
    #[schema(value_type = Object)]
    config: Map<String, Value>,
    /// Of which anomalies it is told: `low`, `medium`, `high`, `critical`; the last two by default.
    #[serde(default, deserialize_with = "present")]
    #[schema(nullable = false)]
    severities: Option<Vec<String>>,
}

/// Changes of a channel; at least one.
#[derive(Debug, Deserialize, ToSchema)]
pub(crate) struct ChannelChangeBody {
    #[serde(default, deserialize_with = "present")]
    #[schema(nullable = false)]
    enabled: Option<bool>,
    #[serde(default, deserialize_with = "present")]
    #[schema(value_type = Option<String>, min_length = 1, max_length = 200, nullable = false)]
    name: Option<NonBlank<200>>,
    #[serde(default, deserialize_with = "present")]
    #[schema(nullable = false)]
    severities: Option<Vec<String>>,
    // Where a channel leads cannot be changed.
    #[serde(default, rename = "type")]
    #[schema(ignore)]
    _kind: NotServed,
    #[serde(default, rename = "config")]
    #[schema(ignore)]
    _config: NotServed,
}

/// A channel.
#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub(crate) struct ChannelAnswer {
    id: String,
    #[serde(rename = "type")]
    kind: &'static str,
    name: String,
    /// How it is reached; `[redacted]` stands in the place of secrets.
    #[schema(value_type = Object)]
    config: Map<String, Value>,
    severities: Vec<&'static str>,
    /// Whether it is told of anomalies.
    enabled: bool,
    /// Why the server switched it off: `gone` (the receiver answered 410) or `failing` (for days, without a success).
    disabled_reason: Option<&'static str>,
    /// How many notifications the receiver took.
    delivered: u64,
    /// How many were given up.
    failed: u64,
    #[schema(value_type = Option<String>, format = DateTime)]
    last_success_at: Option<Timestamp>,
    #[schema(value_type = Option<String>, format = DateTime)]
    last_failure_at: Option<Timestamp>,
    #[schema(value_type = String, format = DateTime)]
    created_at: Timestamp,
}

impl From<ChannelView> for ChannelAnswer {
    fn from(view: ChannelView) -> Self {
        Self {
            id: view.id.to_string(),
            kind: view.channel.kind.as_str(),
            name: view.channel.name,
            config: view.channel.config,
            severities: view
                .channel
                .severities
                .iter()
                .map(|severity| severity.as_str())
                .collect(),
            enabled: view.state == WebhookState::Active,
            disabled_reason: view.state.disabled_reason().map(|reason| reason.as_str()),
            delivered: view.counts.delivered,
            failed: view.counts.failed,
            last_success_at: view.health.last_success_at,
            last_failure_at: view.health.last_failure_at,
            created_at: view.created_at,
        }
    }
}

/// A new channel, and the key that signs what it is sent, if the server made it: shown here and never again.
#[derive(Serialize, ToSchema)]
pub(crate) struct CreatedAnswer {
    #[serde(flatten)]
    channel: ChannelAnswer,
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    secret: Option<String>,
}

/// All channels.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct ChannelList {
    channels: Vec<ChannelAnswer>,
}

/// What came of a test.
#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub(crate) struct TestAnswer {
    /// Whether the receiver took it.
    delivered: bool,
    /// The status that the receiver answered with, or the mail server's reply code; null when there was no answer.
    status_code: Option<u16>,
    /// What went wrong.
    error: Option<String>,
    /// How long it took, in milliseconds.
    took_ms: u64,
}

impl From<ChannelTest> for TestAnswer {
    fn from(test: ChannelTest) -> Self {
        let (status_code, error) = match test.outcome {
            Ok(received) if received.is_success() => (Some(received.status), None),
            Ok(received) => (
                Some(received.status),
                Some(format!("the receiver answered {}", received.status)),
            ),
            Err(error) => (None, Some(error.to_string())),
        };
        Self {
            delivered: test.is_delivered(),
            status_code,
            error,
            took_ms: u64::try_from(test.took.as_millis()).unwrap_or(u64::MAX),
        }
    }
}

pub(crate) async fn list<S: Store>(call: &mut Call<S>) -> Result<HttpResponse, ApiError> {
    let developer = call.developer()?;
    let channels = call.read(call.grantex.channels(&developer)).await?;
    answer::ok(&ChannelList {
        channels: channels.into_iter().map(ChannelAnswer::from).collect(),
    })
}

pub(crate) async fn create<S: Store>(call: &mut Call<S>) -> Result<HttpResponse, ApiError> {
    let developer = call.developer()?;
    let body: ChannelBody = call.json().await?;
    let kind = ChannelKind::parse(&body.kind)
        .ok_or_else(|| ApiError::field("type", &format!("must be one of {}", ChannelKind::texts().join(", "))))?;
    let wish = CreateChannel {
        kind,
        name: body.name.0,
        config: body.config,
        severities: match body.severities {
            None => vec![Severity::Critical, Severity::High],
            Some(texts) => severities(&texts)?,
        },
    };
    let created = call
        .write(move |grantex, ctx| async move { grantex.create_channel(&ctx, &developer, wish).await })
        .await?;
    answer::created(&CreatedAnswer {
        secret: created.secret.map(|secret| secret.expose().clone()),
        channel: created.view.into(),
    })
}

pub(crate) async fn change<S: Store>(call: &mut Call<S>) -> Result<HttpResponse, ApiError> {
    let developer = call.developer()?;
    let id = id(call)?;
    let body: ChannelChangeBody = call.json().await?;
    if body.enabled.is_none() && body.name.is_none() && body.severities.is_none() {
        return Err(ApiError::field(
            "enabled",
            "must be true or false, unless `name` or `severities` are set",
        ));
    }
    let change = ChangeChannel {
        is_enabled: body.enabled,
        name: body.name.map(|name| name.0),
        severities: body.severities.map(|texts| severities(&texts)).transpose()?,
    };
    let changed = call
        .write(move |grantex, ctx| async move { grantex.change_channel(&ctx, &developer, id, change).await })
        .await?;
    answer::ok(&ChannelAnswer::from(changed))
}

pub(crate) async fn delete<S: Store>(call: &mut Call<S>) -> Result<HttpResponse, ApiError> {
    let developer = call.developer()?;
    call.no_body().await?;
    let id = id(call)?;
    call.write(move |grantex, ctx| async move { grantex.delete_channel(&ctx, &developer, id).await })
        .await?;
    answer::no_content()
}

pub(crate) async fn test<S: Store>(call: &mut Call<S>) -> Result<HttpResponse, ApiError> {
    let developer = call.developer()?;
    call.no_body().await?;
    let id = id(call)?;
    // A receiver may take longer than this request may.
    let (grantex, patience) = (&call.grantex, call.app.settings.request_deadline * 4 / 5);
    let test = call
        .read(async {
            match timeout(patience, grantex.test_channel(call.context(), &developer, id)).await {
                Ok(test) => test,
                Err(_) => Ok(ChannelTest {
                    outcome: Err(SendError::TimedOut),
                    took: patience,
                }),
            }
        })
        .await?;
    answer::ok(&TestAnswer::from(test))
}

fn id<S: Store>(call: &Call<S>) -> Result<AnomalyChannelId, ApiError> {
    AnomalyChannelId::parse(&call.segment("id")?).ok_or_else(|| ApiError::not_found("channel"))
}

fn severities(texts: &[String]) -> Result<Vec<Severity>, ApiError> {
    let all: Option<Vec<Severity>> = texts.iter().map(|text| Severity::parse(text)).collect();
    all.filter(|all| !all.is_empty())
        .ok_or_else(|| ApiError::field("severities", "must hold one or more of low, medium, high and critical"))
}
