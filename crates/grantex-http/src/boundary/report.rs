//! What is told about every request: one log line, one measurement, and an attempt that no flow has counted.

use actix_web::http::{Method, StatusCode};
use grantex_core::error::chain;
use grantex_core::event::{AuthorizeStatus, Event, ExchangeStatus, RefreshStatus};
use grantex_core::store::Store;
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
    call.app.grantex.emit(call.context(), &event);
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
    let took = call.app.grantex.clock().monotonic().saturating_sub(call.started);
    let method = method_name(call.request().method());
    call.app
        .observer
        .request_finished(method, call.endpoint.path, status.as_u16(), took.as_secs_f64());
    let line = Line {
        method,
        route: call.endpoint.path,
        status: status.as_u16(),
        duration_ms: took.as_secs_f64() * 1_000.0,
        developer_id: call.developer.as_ref().map(|developer| developer.id.as_str()),
        request_id: &call.request_id,
        error: error.filter(|error| error.status.is_server_error()),
    };
    let logger = &call.app.logger;
    if status.is_server_error() {
        slog::error!(logger, "request.completed"; line);
    } else if status.is_client_error() {
        slog::warn!(logger, "request.completed"; line);
    } else {
        slog::info!(logger, "request.completed"; line);
    }
}

/// Template, never the path or the query: those may hold what must not be logged.
struct Line<'a> {
    method: &'static str,
    route: &'static str,
    status: u16,
    duration_ms: f64,
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
        out.emit_f64("durationMs", (self.duration_ms * 1_000.0).round() / 1_000.0)?;
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
