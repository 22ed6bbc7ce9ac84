//! What is told about every request: one log line, one measurement, and an attempt that no flow has counted.

use actix_web::http::{Method, StatusCode};
use grantex_core::error::chain;
use grantex_core::event::{AuthorizeStatus, Event, ExchangeStatus, RefreshStatus};
use grantex_core::store::Store;
use grantex_core::trace::{Attribute, StoreUse, TraceId};
use slog::{KV, Record, Serializer};

use crate::call::Call;
use crate::endpoint::Counted;
use crate::error::ApiError;

/// Counts an attempt that was refused before its flow began, so that ratios are true.
pub(super) fn refusal<S: Store>(call: &Call<S>, status: StatusCode) {
    let Some(counted) = call.counted else { return };
    if call.was_entered() {
        return;
    }
    let event = match (counted, Refused::of(status)) {
        (Counted::Exchange, Refused::Limited) => Event::TokenExchangeRejected {
            status: ExchangeStatus::RateLimited,
            agent_id: None,
        },
        (Counted::Exchange, Refused::Invalid) => Event::TokenExchangeRejected {
            status: ExchangeStatus::InvalidRequest,
            agent_id: None,
        },
        (Counted::Exchange, Refused::Failed) => Event::TokenExchangeRejected {
            status: ExchangeStatus::Error,
            agent_id: None,
        },
        (Counted::Refresh, Refused::Limited) => Event::TokenRefreshRejected {
            status: RefreshStatus::RateLimited,
        },
        (Counted::Refresh, Refused::Invalid) => Event::TokenRefreshRejected {
            status: RefreshStatus::InvalidRequest,
        },
        (Counted::Refresh, Refused::Failed) => Event::TokenRefreshRejected {
            status: RefreshStatus::Error,
        },
        (Counted::Authorize, Refused::Limited) => Event::AuthorizeRejected {
            status: AuthorizeStatus::RateLimited,
            agent_id: None,
        },
        (Counted::Authorize, Refused::Invalid) => Event::AuthorizeRejected {
            status: AuthorizeStatus::InvalidRequest,
            agent_id: None,
        },
        (Counted::Authorize, Refused::Failed) => Event::AuthorizeRejected {
            status: AuthorizeStatus::Error,
            agent_id: None,
        },
    };
    call.grantex.emit(call.context(), &event);
}

enum Refused {
    Limited,
    Invalid,
    Failed,
}

impl Refused {
    fn of(status: StatusCode) -> Self {
        match status {
            StatusCode::TOO_MANY_REQUESTS => Self::Limited,
            status if status.is_server_error() => Self::Failed,
            _ => Self::Invalid,
        }
    }
}

/// Logs and measures a request.
pub(super) fn finished<S: Store>(call: &Call<S>, status: StatusCode, error: Option<&ApiError>) {
    // What was waited because the client wished so says nothing of the server.
    let took = call.grantex.clock().monotonic().saturating_sub(call.started);
    let took = took.saturating_sub(call.idle);
    let method = method_name(call.request().method());
    call.app
        .observer
        .request_finished(method, call.endpoint.path, status.as_u16(), took.as_secs_f64());
    let line = Line {
        method,
        route: call.endpoint.path,
        status: status.as_u16(),
        duration_ms: took.as_secs_f64() * 1_000.0,
        store: call.recording.store_use(),
        trace_id: call.recording.place().map(|place| place.trace_id),
        developer_id: call.developer.as_ref().map(|developer| developer.id.as_str()),
        request_id: &call.request_id,
        error: error.filter(|error| error.status.is_server_error()),
    };
    trace(call, method, status);
    let logger = &call.app.logger;
    if status.is_server_error() {
        slog::error!(logger, "request.completed"; line);
    } else if status.is_client_error() {
        slog::warn!(logger, "request.completed"; line);
    } else {
        slog::info!(logger, "request.completed"; line);
    }
}

/// Hands the spans of a request to whoever wants them. Names and attributes are those of OpenTelemetry's conventions for HTTP, and
/// hold the template only.
fn trace<S: Store>(call: &Call<S>, method: &'static str, status: StatusCode) {
    let Some(tracer) = &call.app.tracer else { return };
    let used = call.recording.store_use();
    let number = |number: u64| Attribute::Number(i64::try_from(number).unwrap_or(i64::MAX));
    let attributes = vec![
        ("http.request.method", Attribute::Text(method.to_owned())),
        ("http.route", Attribute::Text(call.endpoint.path.to_owned())),
        ("http.response.status_code", number(status.as_u16().into())),
        ("grantex.request_id", Attribute::Text(call.request_id.clone())),
        ("grantex.store.statements", number(used.statements)),
    ];
    let name = format!("{method} {}", call.endpoint.path);
    let caller = call.caller.map(|caller| caller.span_id);
    let spans = call.recording.end(name, caller, status.is_server_error(), attributes);
    if !spans.is_empty() {
        tracer.ended(spans);
    }
}

/// Template, never the path or the query: those may hold what must not be logged.
struct Line<'a> {
    method: &'static str,
    route: &'static str,
    status: u16,
    duration_ms: f64,
    store: StoreUse,
    trace_id: Option<TraceId>,
    developer_id: Option<&'a str>,
    request_id: &'a str,
    error: Option<&'a ApiError>,
}

impl KV for Line<'_> {
    fn serialize(&self, _record: &Record<'_>, out: &mut dyn Serializer) -> slog::Result {
        out.emit_str("method", self.method)?;
        out.emit_str("route", self.route)?;
        out.emit_u32("status", self.status.into())?;
        // Microseconds are as exact as anybody needs it.
        let rounded = |millis: f64| (millis * 1_000.0).round() / 1_000.0;
        out.emit_f64("durationMs", rounded(self.duration_ms))?;
        out.emit_f64("dbMs", rounded(self.store.waited.as_secs_f64() * 1_000.0))?;
        out.emit_u64("dbQueries", self.store.statements)?;
        if let Some(id) = self.trace_id {
            out.emit_arguments("traceId", &format_args!("{id}"))?;
        }
        if let Some(id) = self.developer_id {
            out.emit_str("developerId", id)?;
        }
        if let Some(error) = self.error {
            out.emit_str("error", &chain(error))?;
        }
        out.emit_str("requestId", self.request_id)
    }
}

/// A closed set: clients may send any method they can think of.
fn method_name(method: &Method) -> &'static str {
    match *method {
        Method::GET => "GET",
        Method::HEAD => "HEAD",
        Method::POST => "POST",
        Method::PUT => "PUT",
        Method::PATCH => "PATCH",
        Method::DELETE => "DELETE",
        Method::OPTIONS => "OPTIONS",
        _ => "OTHER",
    }
}
