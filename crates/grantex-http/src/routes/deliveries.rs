//! Deliveries of a webhook: what became of each, and how to have them sent again.

use actix_web::HttpResponse;
use grantex_core::clock::Timestamp;
use grantex_core::id::DeliveryId;
use grantex_core::page::{PageRequest, PageStart};
use grantex_core::store::Store;
use grantex_core::webhook::{Delivery, DeliveryFilter, DeliveryStatus, RedeliverError, WebhookError};
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;
use utoipa::ToSchema;

use super::listing::{self, Paging};
use super::webhooks::id;
use crate::answer;
use crate::call::Call;
use crate::endpoint::{Access, Endpoint, Parameter};
use crate::error::ApiError;
use crate::extract::{Instant, page_request};
use crate::openapi::schema;

/// Deliveries on a page without a wish, and at most (contract extensions §4).
const DEFAULT_SIZE: u32 = 20;
const MAX_SIZE: u32 = 100;

pub(crate) const LIST: Endpoint = Endpoint::get(
    "/v1/webhooks/{id}/deliveries",
    Access::Key,
    "Lists a webhook's deliveries, those of the newest events first",
)
.query(&[
    Parameter {
        name: "status",
        about: "Only `pending`, `delivered` or `failed` ones",
    },
    listing::PAGE,
    Parameter {
        name: "pageSize",
        about: "Deliveries on a page, 1 to 100; 20 by default",
    },
    listing::CURSOR,
])
.gives(200, schema::<DeliveryList>)
.refuses(&[400, 404]);
pub(crate) const GET: Endpoint = Endpoint::get(
    "/v1/webhooks/{id}/deliveries/{delivery}",
    Access::Key,
    "Shows a delivery with its event",
)
.gives(200, schema::<DeliveryDetail>)
.refuses(&[404]);
pub(crate) const REDELIVER: Endpoint = Endpoint::post(
    "/v1/webhooks/{id}/deliveries/{delivery}/redeliver",
    Access::Key,
    "Sends a delivery that has ended once more",
)
.gives(202, schema::<DeliveryAnswer>)
.refuses(&[404, 409]);
pub(crate) const RECOVER: Endpoint = Endpoint::post(
    "/v1/webhooks/{id}/recover",
    Access::Key,
    "Sends everything since a time that the webhook did not get",
)
.takes(schema::<RecoveryBody>)
.gives(202, schema::<RecoveryAnswer>)
.refuses(&[400, 404, 409]);

/// A delivery.
#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub(crate) struct DeliveryAnswer {
    id: String,
    webhook_id: String,
    event_id: String,
    event_type: String,
    /// `pending`, `delivered` or `failed`.
    status: &'static str,
    attempts: u32,
    max_attempts: u32,
    /// Where the last attempt went, or the first one will go.
    url: String,
    /// The status of the last answer.
    last_status_code: Option<u16>,
    /// Why the last failed attempt failed.
    last_error: Option<String>,
    /// When the next attempt is due; null when there is none.
    #[schema(value_type = Option<String>, format = DateTime)]
    next_attempt_at: Option<Timestamp>,
    #[schema(value_type = String, format = DateTime)]
    created_at: Timestamp,
    #[schema(value_type = Option<String>, format = DateTime)]
    delivered_at: Option<Timestamp>,
    #[schema(value_type = Option<String>, format = DateTime)]
    failed_at: Option<Timestamp>,
}

/// A delivery with what is sent.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct DeliveryDetail {
    /// The event, as it is sent.
    #[schema(value_type = Object)]
    event: Box<RawValue>,
    #[serde(flatten)]
    delivery: DeliveryAnswer,
}

/// A page of deliveries.
#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub(crate) struct DeliveryList {
    deliveries: Vec<DeliveryAnswer>,
    /// How many there are, counted up to 100000.
    total: u64,
    #[serde(flatten)]
    paging: Paging,
}

/// From when on to recover.
#[derive(Debug, Deserialize, ToSchema)]
pub(crate) struct RecoveryBody {
    /// RFC 3339.
    #[schema(value_type = String, format = DateTime)]
    since: Instant,
}

/// What will be sent again.
#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub(crate) struct RecoveryAnswer {
    /// Deliveries that had failed.
    failed: u64,
    /// Events for which there was no delivery.
    missing: u64,
    /// Whether there may be more: then ask again.
    partial: bool,
}

impl DeliveryAnswer {
    fn of<S: Store>(call: &Call<S>, delivery: Delivery, url: &str) -> Self {
        let ended_at = |status| delivery.ended_at.filter(|_| delivery.status == status);
        Self {
            id: delivery.id.to_string(),
            webhook_id: delivery.webhook_id.to_string(),
            event_id: delivery.event_id.to_string(),
            status: delivery.status.as_str(),
            attempts: delivery.attempts,
            max_attempts: call.grantex.settings().webhooks.schedule.max_attempts(),
            last_status_code: delivery.last_status,
            next_attempt_at: (delivery.status == DeliveryStatus::Pending).then_some(delivery.next_attempt_at),
            created_at: delivery.created_at,
            delivered_at: ended_at(DeliveryStatus::Delivered),
            failed_at: ended_at(DeliveryStatus::Failed),
            url: delivery.sent_to.unwrap_or_else(|| url.to_owned()),
            event_type: delivery.kind,
            last_error: delivery.last_error,
        }
    }
}

pub(crate) async fn list<S: Store>(call: &mut Call<S>) -> Result<HttpResponse, ApiError> {
    let (developer, id) = (call.developer()?, id(call)?);
    let query = call.query()?;
    let filter = DeliveryFilter {
        status: query.parsed("status", DeliveryStatus::parse, "must be pending, delivered or failed")?,
    };
    let (from, size) = page_request(&query)?;
    let request = PageRequest {
        // Larger pages than the protocol knows are cut, as its other servers do.
        size: match query.get("pageSize") {
            None => DEFAULT_SIZE,
            Some(_) => size.min(MAX_SIZE),
        },
        from: from.unwrap_or(PageStart::Number(1)),
    };
    let found = call
        .read(call.grantex.deliveries(&developer, id, filter, request.clone()))
        .await?;
    let found = found.ok_or(WebhookError::NotFound)?;
    let paging = Paging::of(&request, &found.page);
    let (url, total) = (found.url, found.total);
    let deliveries = found.page.items.into_iter();
    answer::ok(&DeliveryList {
        deliveries: deliveries
            .map(|delivery| DeliveryAnswer::of(call, delivery, &url))
            .collect(),
        total,
        paging,
    })
}

pub(crate) async fn get<S: Store>(call: &mut Call<S>) -> Result<HttpResponse, ApiError> {
    let (developer, id) = (call.developer()?, id(call)?);
    let delivery = delivery_id(call)?;
    let found = call.read(call.grantex.delivery(&developer, id, delivery)).await?;
    let (delivery, url) = found.ok_or(RedeliverError::NotFound)?;
    let event = RawValue::from_string(delivery.payload.clone()).map_err(ApiError::internal)?;
    answer::ok(&DeliveryDetail {
        event,
        delivery: DeliveryAnswer::of(call, delivery, &url),
    })
}

pub(crate) async fn redeliver<S: Store>(call: &mut Call<S>) -> Result<HttpResponse, ApiError> {
    let developer = call.developer()?;
    call.no_body().await?;
    let (id, delivery) = (id(call)?, delivery_id(call)?);
    let (delivery, url) = call
        .write(|grantex, ctx| async move { grantex.redeliver(&ctx, &developer, id, delivery).await })
        .await?;
    answer::accepted(&DeliveryAnswer::of(call, delivery, &url))
}

pub(crate) async fn recover<S: Store>(call: &mut Call<S>) -> Result<HttpResponse, ApiError> {
    let developer = call.developer()?;
    let body: RecoveryBody = call.json().await?;
    let id = id(call)?;
    let recovered = call
        .write(|grantex, ctx| async move { grantex.recover_webhook(&ctx, &developer, id, body.since.0).await })
        .await?;
    answer::accepted(&RecoveryAnswer {
        failed: recovered.failed,
        missing: recovered.missing,
        partial: recovered.is_partial,
    })
}

fn delivery_id<S: Store>(call: &Call<S>) -> Result<DeliveryId, ApiError> {
    Ok(DeliveryId::parse(&call.segment("delivery")?).ok_or(RedeliverError::NotFound)?)
}
