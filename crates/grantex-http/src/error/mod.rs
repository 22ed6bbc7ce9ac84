//! What a client is told when something does not work.
//!
//! Every refusal is an [`ApiError`]; the boundary renders it as `{message, code, requestId}`. Texts of server errors are fixed:
//! the cause goes to the log only. [`flows`] turns each error of a flow into one, exhaustively.

mod flows;

use std::borrow::Cow;

use actix_web::http::StatusCode;
use grantex_core::error::{Cause, StoreError};

use crate::limit::Decision;

/// A refusal: its status, its code for programs and its text for people.
#[derive(Debug, thiserror::Error)]
#[error("{message}")]
pub struct ApiError {
    /// HTTP status.
    pub status: StatusCode,
    /// Machine-readable code.
    pub code: &'static str,
    /// What happened, for people.
    pub message: Cow<'static, str>,
    /// Seconds until a retry may succeed.
    pub retry_after: Option<u64>,
    /// The code of RFC 6749 §5.2, for callers that speak OAuth, where the status alone does not tell it.
    pub oauth: Option<&'static str>,
    /// The policy that refuses.
    pub policy_id: Option<String>,
    /// The reason, for the log only.
    #[source]
    cause: Option<Cause>,
}

impl ApiError {
    /// A refusal without a cause.
    pub fn new(status: StatusCode, code: &'static str, message: impl Into<Cow<'static, str>>) -> Self {
        Self {
            status,
            code,
            message: message.into(),
            retry_after: None,
            oauth: None,
            policy_id: None,
            cause: None,
        }
    }

    /// 400 `BAD_REQUEST`.
    pub fn bad_request(message: impl Into<Cow<'static, str>>) -> Self {
        Self::new(StatusCode::BAD_REQUEST, "BAD_REQUEST", message)
    }

    /// 400 naming the field that is wrong.
    pub fn field(name: &str, problem: &str) -> Self {
        Self::bad_request(format!("`{name}` {problem}"))
    }

    /// The same refusal, with another code.
    #[must_use]
    pub fn coded(self, code: &'static str) -> Self {
        Self { code, ..self }
    }

    /// The same refusal, with its name in OAuth.
    #[must_use]
    pub fn oauth(self, code: &'static str) -> Self {
        Self {
            oauth: Some(code),
            ..self
        }
    }

    /// 401 `UNAUTHORIZED`.
    pub fn unauthorized(message: &'static str) -> Self {
        Self::new(StatusCode::UNAUTHORIZED, "UNAUTHORIZED", message)
    }

    /// 403 `FORBIDDEN`.
    pub fn forbidden(message: &'static str) -> Self {
        Self::new(StatusCode::FORBIDDEN, "FORBIDDEN", message)
    }

    /// 404 `NOT_FOUND`: there is no such thing, or not for this caller.
    pub fn not_found(what: &str) -> Self {
        Self::new(StatusCode::NOT_FOUND, "NOT_FOUND", format!("{what} not found"))
    }

    /// 429 `RATE_LIMIT_EXCEEDED`. Clients wait for the seconds in the text.
    pub fn rate_limited(decision: &Decision) -> Self {
        let seconds = decision.retry_after.unwrap_or(1).max(1);
        let message = format!(
            "the limit of {} requests a minute is reached, retry in {seconds} seconds",
            decision.limit
        );
        Self {
            retry_after: Some(seconds),
            ..Self::new(StatusCode::TOO_MANY_REQUESTS, "RATE_LIMIT_EXCEEDED", message)
        }
    }

    /// 503 `SERVICE_UNAVAILABLE`: nothing was done, and the same request may work later.
    pub fn unavailable(cause: impl Into<Cause>) -> Self {
        let message = "the service cannot do this at the moment, and nothing was done";
        Self {
            cause: Some(cause.into()),
            ..Self::new(StatusCode::SERVICE_UNAVAILABLE, "SERVICE_UNAVAILABLE", message)
        }
    }

    /// 503 `SERVICE_UNAVAILABLE`: the operator did not configure it.
    pub fn not_configured(message: &'static str) -> Self {
        Self::new(StatusCode::SERVICE_UNAVAILABLE, "SERVICE_UNAVAILABLE", message)
    }

    /// 503 `SERVICE_UNAVAILABLE`: the server is shutting down, and another one will do it.
    pub fn draining() -> Self {
        let message = "the server is shutting down, and nothing was done";
        Self {
            retry_after: Some(1),
            ..Self::new(StatusCode::SERVICE_UNAVAILABLE, "SERVICE_UNAVAILABLE", message)
        }
    }

    /// 500 `INTERNAL_ERROR`.
    pub fn internal(cause: impl Into<Cause>) -> Self {
        let message = "an unexpected error occurred";
        Self {
            cause: Some(cause.into()),
            ..Self::new(StatusCode::INTERNAL_SERVER_ERROR, "INTERNAL_ERROR", message)
        }
    }
}

impl From<StoreError> for ApiError {
    fn from(error: StoreError) -> Self {
        match error {
            StoreError::Unavailable(_) | StoreError::Withdrawn => Self::unavailable(error),
            StoreError::OutcomeUnknown(_) | StoreError::Corrupt { .. } => Self::internal(error),
            // The enum is open: of what we do not know we cannot say that nothing was done.
            _ => Self::internal(error),
        }
    }
}
