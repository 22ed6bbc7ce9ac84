//! The headers of every answer.

use actix_web::HttpResponse;
use actix_web::http::header::{self, HeaderMap, HeaderName, HeaderValue};
use grantex_core::store::Store;

use super::REQUEST_ID;
use crate::call::Call;
use crate::endpoint::AddressLimit;

/// The policy of what is not a page.
const CSP: HeaderValue = HeaderValue::from_static("default-src 'none'; frame-ancestors 'none'; base-uri 'none'");

/// The policies of pages.
pub(crate) mod policy {
    use actix_web::http::header::HeaderValue;

    /// Pages without forms and scripts.
    pub(crate) const MESSAGE: HeaderValue = HeaderValue::from_static(
        "default-src 'none'; style-src 'self'; img-src 'self'; form-action 'none'; frame-ancestors 'none'; base-uri 'none'",
    );
    /// The permissions page.
    pub(crate) const PERMISSIONS: HeaderValue = HeaderValue::from_static(
        "default-src 'none'; script-src 'self'; connect-src 'self'; style-src 'self'; img-src 'self'; form-action 'none'; \
         frame-ancestors 'none'; base-uri 'none'",
    );
}

const ALWAYS: [(HeaderName, HeaderValue); 6] = [
    (
        header::STRICT_TRANSPORT_SECURITY,
        HeaderValue::from_static("max-age=31536000; includeSubDomains"),
    ),
    (header::X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff")),
    (header::X_FRAME_OPTIONS, HeaderValue::from_static("DENY")),
    (header::X_XSS_PROTECTION, HeaderValue::from_static("0")),
    (
        HeaderName::from_static("permissions-policy"),
        HeaderValue::from_static("camera=(), microphone=(), geolocation=()"),
    ),
    (header::VARY, HeaderValue::from_static("Origin")),
];

const UNLESS_SET: [(HeaderName, HeaderValue); 3] = [
    (header::CACHE_CONTROL, HeaderValue::from_static("no-store")),
    (
        header::REFERRER_POLICY,
        HeaderValue::from_static("strict-origin-when-cross-origin"),
    ),
    (header::CONTENT_SECURITY_POLICY, CSP),
];

const LIMIT: HeaderName = HeaderName::from_static("x-ratelimit-limit");
const REMAINING: HeaderName = HeaderName::from_static("x-ratelimit-remaining");
const RESET: HeaderName = HeaderName::from_static("x-ratelimit-reset");

/// Adds what every answer carries.
pub(super) fn complete<S: Store>(call: &Call<S>, response: &mut HttpResponse) {
    let headers = response.headers_mut();
    for (name, value) in ALWAYS {
        headers.insert(name, value);
    }
    for (name, value) in UNLESS_SET {
        if !headers.contains_key(&name) {
            headers.insert(name, value);
        }
    }
    if let Ok(id) = HeaderValue::from_str(&call.request_id) {
        headers.insert(REQUEST_ID, id);
    }
    limits(call, headers);
    call.app.cors.complete(call.request(), headers);
}

fn limits<S: Store>(call: &Call<S>, headers: &mut HeaderMap) {
    let Some(shown) = call.shown.filter(|_| call.endpoint.limit != AddressLimit::Exempt) else {
        return;
    };
    headers.insert(LIMIT, shown.limit.into());
    headers.insert(REMAINING, shown.remaining.into());
    headers.insert(RESET, shown.reset.min(3_600).into());
}
