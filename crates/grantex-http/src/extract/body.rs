//! Reading a request's body: how much, and of which type.

use actix_web::http::StatusCode;
use actix_web::http::header::{CONTENT_LENGTH, CONTENT_TYPE, HeaderMap};
use actix_web::web::{Bytes, BytesMut, Payload};
use futures_util::StreamExt as _;

use crate::error::ApiError;

/// The most a body may hold.
const MAX_BYTES: usize = 1 << 20;

/// A body as it came.
#[derive(Debug)]
pub(crate) enum Body {
    /// There is none, and no content type either.
    Absent,
    /// `application/json`, not empty.
    Json(Bytes),
    /// `application/x-www-form-urlencoded`.
    Form(Bytes),
    /// `text/plain`.
    Text,
}

enum Kind {
    Json,
    Form,
    Text,
}

/// Reads the body. Its type is judged first, so that nothing is read for nothing.
pub(crate) async fn read_body(headers: &HeaderMap, payload: &mut Payload) -> Result<Body, ApiError> {
    let kind = match headers.get(CONTENT_TYPE) {
        Some(value) => Some(value.to_str().ok().and_then(kind).ok_or_else(unsupported)?),
        None => None,
    };
    let announced = headers
        .get(CONTENT_LENGTH)
        .and_then(|value| value.to_str().ok()?.parse::<u64>().ok());
    if announced.is_some_and(|length| length > MAX_BYTES as u64) {
        return Err(too_large());
    }
    let bytes = collect(payload).await?;
    match kind {
        None if bytes.is_empty() => Ok(Body::Absent),
        None => Err(unsupported()),
        Some(Kind::Json) if bytes.is_empty() => Err(ApiError::bad_request("the body is empty, but announced as JSON")),
        Some(Kind::Json) => Ok(Body::Json(bytes)),
        Some(Kind::Form) => Ok(Body::Form(bytes)),
        Some(Kind::Text) => Ok(Body::Text),
    }
}

async fn collect(payload: &mut Payload) -> Result<Bytes, ApiError> {
    let mut whole = match next(payload).await? {
        Some(first) => first,
        None => return Ok(Bytes::new()),
    };
    let mut gathered: Option<BytesMut> = None;
    while let Some(chunk) = next(payload).await? {
        let buffer = gathered.get_or_insert_with(|| BytesMut::from(&*whole));
        if buffer.len() + chunk.len() > MAX_BYTES {
            return Err(too_large());
        }
        buffer.extend_from_slice(&chunk);
    }
    if let Some(buffer) = gathered {
        whole = buffer.freeze();
    }
    if whole.len() > MAX_BYTES {
        Err(too_large())
    } else {
        Ok(whole)
    }
}

async fn next(payload: &mut Payload) -> Result<Option<Bytes>, ApiError> {
    payload
        .next()
        .await
        .transpose()
        .map_err(|_| ApiError::bad_request("the body could not be read"))
}

fn kind(content_type: &str) -> Option<Kind> {
    let (essence, parameters) = content_type.split_once(';').unwrap_or((content_type, ""));
    let charset = parameters
        .split(';')
        .filter_map(|parameter| parameter.trim().split_once('='))
        .find_map(|(name, value)| {
            name.trim()
                .eq_ignore_ascii_case("charset")
                .then(|| value.trim().trim_matches('"'))
        });
    if charset.is_some_and(|charset| !charset.eq_ignore_ascii_case("utf-8") && !charset.eq_ignore_ascii_case("utf8")) {
        return None;
    }
    let essence = essence.trim();
    [
        ("application/json", Kind::Json),
        ("application/x-www-form-urlencoded", Kind::Form),
        ("text/plain", Kind::Text),
    ]
    .into_iter()
    .find(|(name, _)| essence.eq_ignore_ascii_case(name))
    .map(|(_, kind)| kind)
}

/// Refuses the type of a body.
pub(crate) fn unsupported() -> ApiError {
    ApiError::new(
        StatusCode::UNSUPPORTED_MEDIA_TYPE,
        "UNSUPPORTED_MEDIA_TYPE",
        "the content type must be application/json",
    )
}

fn too_large() -> ApiError {
    ApiError::new(
        StatusCode::PAYLOAD_TOO_LARGE,
        "PAYLOAD_TOO_LARGE",
        "the body may hold at most 1048576 bytes",
    )
}
