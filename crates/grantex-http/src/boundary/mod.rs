//! What is true of every request, whatever its route: an id, limits, the right to be here, the answer's headers, one log line
//! and one measurement. The one place that renders errors.

mod cors;
mod headers;
mod report;
mod slashes;

use std::sync::Arc;

use actix_web::http::header::{self, HeaderName, HeaderValue};
use actix_web::http::{Method, StatusCode};
use actix_web::{HttpRequest, HttpResponse, web};
use grantex_core::store::Store;
use serde::Serialize;

pub(crate) use cors::Cors;
pub(crate) use headers::policy;
pub use slashes::collapse_leading_slashes;

use crate::answer;
use crate::app::App;
use crate::auth;
use crate::call::{Call, bad_path};
use crate::endpoint::{AddressLimit, Endpoint};
use crate::error::ApiError;
use crate::extract;
use crate::limit::Bucket;
use crate::observe::HttpObserver;
use crate::routes;

/// Takes a request through its handler and makes the answer whole.
pub(crate) async fn serve<S, F>(
    app: web::Data<App<S>>,
    endpoint: Endpoint,
    request: HttpRequest,
    payload: web::Payload,
    handler: F,
) -> HttpResponse
where
    S: Store,
    F: AsyncFnOnce(&mut Call<S>) -> Result<HttpResponse, ApiError>,
{
    let _in_flight = InFlight::begin(&app.observer);
    let mut call = Call::new(app, endpoint, request, payload);
    let answer = match admit(&mut call).await {
        Ok(()) => handler(&mut call).await,
        Err(refusal) => Err(refusal),
    };
    let (mut response, error) = match answer {
        Ok(response) => (response, None),
        Err(error) => {
            report::refusal(&call, error.status);
            (render(&call, &error), Some(error))
        }
    };
    headers::complete(&call, &mut response);
    report::finished(&call, response.status(), error.as_ref());
    response
}

/// Per-address limits, then the path, then the key: in the order in which they cost.
async fn admit<S: Store>(call: &mut Call<S>) -> Result<(), ApiError> {
    match call.endpoint.limit {
        AddressLimit::Common => call.count_address(Bucket::Ip)?,
        AddressLimit::Own(bucket) => {
            call.count_address(Bucket::Ip)?;
            call.count_address(bucket)?;
        }
        AddressLimit::Developer(_) | AddressLimit::Exempt => {}
    }
    if extract::decode(call.request().uri().path()).is_none() {
        return Err(bad_path());
    }
    auth::admit(call).await
}

/// What answers where no route is, and requests that browsers send ahead of others.
pub(crate) async fn nowhere<S: Store>(call: &mut Call<S>) -> Result<HttpResponse, ApiError> {
    if call.request().method() == Method::OPTIONS && call.headers().contains_key(header::ACCESS_CONTROL_REQUEST_METHOD)
    {
        return Ok(HttpResponse::NoContent().finish());
    }
    if call.endpoint.path == UNMATCHED {
        return Err(ApiError::not_found("route"));
    }
    Err(ApiError::new(
        StatusCode::METHOD_NOT_ALLOWED,
        "METHOD_NOT_ALLOWED",
        "this route does not answer this method",
    ))
}

/// The label of all paths that are no route.
pub(crate) const UNMATCHED: &str = "unmatched";

/// The body of every refusal.
#[derive(Debug, Serialize, utoipa::ToSchema)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Problem<'a> {
    /// What happened, for people.
    pub message: &'a str,
    /// What happened, for programs.
    pub code: &'a str,
    /// The request, as in the log and in `x-request-id`.
    pub request_id: &'a str,
    /// The policy that refuses, where one does.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    pub policy_id: Option<&'a str>,
    /// The error code of RFC 6749 §5.2, where an OAuth client asked.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub error: Option<&'a str>,
    /// The same text as `message`, where an OAuth client asked.
    #[serde(rename = "error_description", skip_serializing_if = "Option::is_none")]
    pub error_description: Option<&'a str>,
}

fn render<S: Store>(call: &Call<S>, error: &ApiError) -> HttpResponse {
    if call.endpoint.is_page
        && let Ok(mut page) = routes::problem_page(call, error)
    {
        if let Some(seconds) = error.retry_after {
            page.headers_mut().insert(header::RETRY_AFTER, seconds.into());
        }
        return page;
    }
    let oauth = call.is_oauth.then(|| oauth_code(error));
    let problem = Problem {
        message: &error.message,
        code: error.code,
        request_id: &call.request_id,
        policy_id: error.policy_id.as_deref(),
        error: oauth,
        error_description: oauth.map(|_| &*error.message),
    };
    let mut response = HttpResponse::build(error.status);
    if let Some(seconds) = error.retry_after {
        response.insert_header((header::RETRY_AFTER, seconds));
    }
    if let Some(allow) = &call.allow {
        response.insert_header((header::ALLOW, allow.clone()));
    }
    // RFC 9110 §15.5.22 and RFC 6455 §4.4: the client is told what it should have spoken.
    if error.status == StatusCode::UPGRADE_REQUIRED {
        response
            .insert_header((header::UPGRADE, HeaderValue::from_static("websocket")))
            .insert_header((header::SEC_WEBSOCKET_VERSION, HeaderValue::from_static("13")));
    }
    // RFC 6749 §5.2: a client that tried the Authorization header is told the scheme.
    if error.status == StatusCode::UNAUTHORIZED && call.is_oauth {
        response.insert_header((
            header::WWW_AUTHENTICATE,
            HeaderValue::from_static("Basic realm=\"grantex\""),
        ));
    }
    answer::body(&mut response, &problem)
}

fn oauth_code(error: &ApiError) -> &'static str {
    match (error.status, error.oauth) {
        (_, Some(code)) => code,
        (StatusCode::UNAUTHORIZED, None) => "invalid_client",
        (StatusCode::SERVICE_UNAVAILABLE | StatusCode::TOO_MANY_REQUESTS, None) => "temporarily_unavailable",
        (status, None) if status.is_server_error() => "server_error",
        (_, None) => "invalid_request",
    }
}

/// Counts a request as in work for as long as it lives, also when its client leaves.
struct InFlight(Arc<dyn HttpObserver>);

impl InFlight {
    fn begin(observer: &Arc<dyn HttpObserver>) -> Self {
        observer.in_flight(1);
        Self(Arc::clone(observer))
    }
}

impl Drop for InFlight {
    fn drop(&mut self) {
        self.0.in_flight(-1);
    }
}

/// The header that carries the request id.
pub(crate) const REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");
