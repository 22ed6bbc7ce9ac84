//! Is the server alive, is it able to work, and what does it measure.

use std::time::Duration;

use actix_web::HttpResponse;
use actix_web::http::StatusCode;
use actix_web::http::header;
use grantex_core::store::Store;
use serde::Serialize;
use utoipa::ToSchema;

use crate::answer;
use crate::call::Call;
use crate::endpoint::{Access, AddressLimit, Endpoint};
use crate::error::ApiError;
use crate::limit::Bucket;
use crate::openapi::schema;
use crate::ready::{Check, ReadinessReport};

pub(crate) const HEALTH: Endpoint =
    Endpoint::get("/health", Access::Public, "Whether the server is alive").gives(200, schema::<Health>);
pub(crate) const READY: Endpoint =
    Endpoint::get("/ready", Access::Public, "Whether the server can do its work").gives(200, schema::<Ready>);
pub(crate) const METRICS: Endpoint = Endpoint::get("/metrics", Access::Metrics, "Metrics in Prometheus text format")
    .limited_by(AddressLimit::Own(Bucket::Metrics))
    .gives_other(200, "text/plain")
    .refuses(&[404]);

/// How long the store may take to show that it is there.
const LOOK: Duration = Duration::from_secs(2);

/// The server is alive.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct Health {
    status: &'static str,
}

/// Whether the server can do its work.
#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Ready<'a> {
    /// `ready`, `unavailable` or `draining`.
    status: &'static str,
    store: &'static str,
    migrations: &'static str,
    keys: &'static str,
    /// What is not as it should be.
    failing: Vec<&'static str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    message: Option<&'static str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    code: Option<&'static str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    request_id: Option<&'a str>,
}

pub(crate) async fn health<S: Store>(_call: &mut Call<S>) -> Result<HttpResponse, ApiError> {
    answer::ok(&Health { status: "ok" })
}

pub(crate) async fn ready<S: Store>(call: &mut Call<S>) -> Result<HttpResponse, ApiError> {
    let look = LOOK.min(call.app.settings.request_deadline);
    let no_answer = ReadinessReport {
        store: Check::Failed,
        migrations: Check::Ok,
        keys: Check::Ok,
    };
    let report = tokio::time::timeout(look, call.app.readiness.check())
        .await
        .unwrap_or(no_answer);
    let failing: Vec<&str> = report
        .checks()
        .into_iter()
        .filter(|(_, check)| *check == Check::Failed)
        .map(|(name, _)| name)
        .collect();
    let (status, message) = match (call.app.is_draining(), failing.is_empty()) {
        (true, _) => ("draining", Some("the server is shutting down")),
        (false, true) => ("ready", None),
        (false, false) => ("unavailable", Some("the server cannot do its work at the moment")),
    };
    let body = Ready {
        status,
        store: report.store.as_str(),
        migrations: report.migrations.as_str(),
        keys: report.keys.as_str(),
        failing,
        message,
        code: message.map(|_| "SERVICE_UNAVAILABLE"),
        request_id: message.map(|_| call.request_id.as_str()),
    };
    answer::json(
        if message.is_none() {
            StatusCode::OK
        } else {
            StatusCode::SERVICE_UNAVAILABLE
        },
        &body,
    )
}

pub(crate) async fn metrics<S: Store>(call: &mut Call<S>) -> Result<HttpResponse, ApiError> {
    let rendered = if call.app.settings.metrics_enabled {
        call.app.observer.render()
    } else {
        None
    };
    let text = rendered.ok_or_else(|| ApiError::not_found("route"))?;
    Ok(HttpResponse::Ok()
        .insert_header((header::CONTENT_TYPE, "text/plain; version=0.0.4; charset=utf-8"))
        .body(text))
}
