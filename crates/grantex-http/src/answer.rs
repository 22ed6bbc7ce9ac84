//! Answers in JSON.

use actix_web::http::StatusCode;
use actix_web::http::header::{self, HeaderValue};
use actix_web::{HttpResponse, HttpResponseBuilder};
use serde::Serialize;

use crate::error::ApiError;

/// The content type of every JSON answer.
pub(crate) const JSON: HeaderValue = HeaderValue::from_static("application/json; charset=utf-8");

/// 200 with a body.
pub(crate) fn ok(value: &impl Serialize) -> Result<HttpResponse, ApiError> {
    json(StatusCode::OK, value)
}

/// 201 with a body.
pub(crate) fn created(value: &impl Serialize) -> Result<HttpResponse, ApiError> {
    json(StatusCode::CREATED, value)
}

/// 202 with a body: it will be done.
pub(crate) fn accepted(value: &impl Serialize) -> Result<HttpResponse, ApiError> {
    json(StatusCode::ACCEPTED, value)
}

/// 204: done, and nothing to say.
pub(crate) fn no_content() -> Result<HttpResponse, ApiError> {
    Ok(HttpResponse::NoContent().finish())
}

/// A body with a status.
pub(crate) fn json(status: StatusCode, value: &impl Serialize) -> Result<HttpResponse, ApiError> {
    let text = serde_json::to_string(value).map_err(ApiError::internal)?;
    Ok(HttpResponse::build(status)
        .insert_header((header::CONTENT_TYPE, JSON))
        .body(text))
}

/// Ends a response with a body that is nothing but strings and numbers, which cannot fail to be JSON.
pub(crate) fn body(response: &mut HttpResponseBuilder, value: &impl Serialize) -> HttpResponse {
    response
        .insert_header((header::CONTENT_TYPE, JSON))
        .body(serde_json::to_string(value).unwrap_or_default())
}
