//! Which other sites' scripts may call, and which sites may answer for a person.

use actix_web::HttpRequest;
use actix_web::http::Method;
use actix_web::http::header::{self, HeaderMap, HeaderName, HeaderValue};

const SEC_FETCH_SITE: HeaderName = HeaderName::from_static("sec-fetch-site");

/// The origins that are known.
#[derive(Debug)]
pub(crate) struct Cors {
    allowed: Vec<String>,
    own: Option<String>,
    may_be_any_own_name: bool,
}

impl Cors {
    /// `allowed` may read answers; the origin of `base_url` is our own. Outside production a server is often reached under
    /// several names, so there the name in the request counts as our own too.
    pub(crate) fn new(allowed: &[String], base_url: &str, is_production: bool) -> Self {
        Self {
            allowed: allowed
                .iter()
                .map(|origin| origin.trim_end_matches('/').to_owned())
                .collect(),
            own: url::Url::parse(base_url)
                .ok()
                .map(|url| url.origin().ascii_serialization()),
            may_be_any_own_name: !is_production,
        }
    }

    /// Adds what an allowed origin needs; to others the browser shows nothing.
    pub(crate) fn complete(&self, request: &HttpRequest, headers: &mut HeaderMap) {
        if self.allowed.is_empty() {
            return;
        }
        let Some(origin) = request.headers().get(header::ORIGIN) else {
            return;
        };
        if !origin
            .to_str()
            .is_ok_and(|origin| self.allowed.iter().any(|allowed| allowed == origin))
        {
            return;
        }
        headers.insert(header::ACCESS_CONTROL_ALLOW_ORIGIN, origin.clone());
        headers.insert(
            header::ACCESS_CONTROL_ALLOW_CREDENTIALS,
            HeaderValue::from_static("true"),
        );
        headers.insert(
            header::ACCESS_CONTROL_EXPOSE_HEADERS,
            HeaderValue::from_static(
                "X-RateLimit-Limit, X-RateLimit-Remaining, X-RateLimit-Reset, Retry-After, X-Request-Id",
            ),
        );
        if request.method() == Method::OPTIONS && request.headers().contains_key(header::ACCESS_CONTROL_REQUEST_METHOD)
        {
            headers.insert(
                header::ACCESS_CONTROL_ALLOW_METHODS,
                HeaderValue::from_static("GET, POST, PUT, PATCH, DELETE, OPTIONS"),
            );
            headers.insert(
                header::ACCESS_CONTROL_ALLOW_HEADERS,
                HeaderValue::from_static("Content-Type, Authorization, Idempotency-Key"),
            );
            headers.insert(header::ACCESS_CONTROL_MAX_AGE, HeaderValue::from_static("600"));
        }
    }

    /// Whether a browser says that another site made it send this. Callers that are no browsers say nothing.
    pub(crate) fn is_foreign(&self, request: &HttpRequest) -> bool {
        let text = |name: &HeaderName| {
            request
                .headers()
                .get(name)
                .map(|value| value.to_str().unwrap_or("null"))
        };
        match text(&header::ORIGIN) {
            Some(origin) => !self.is_known(origin, text(&header::HOST)),
            None => text(&SEC_FETCH_SITE).is_some_and(|site| site.eq_ignore_ascii_case("cross-site")),
        }
    }

    fn is_known(&self, origin: &str, host: Option<&str>) -> bool {
        let is_own = self.own.as_deref() == Some(origin);
        let is_allowed = self.allowed.iter().any(|allowed| allowed == origin);
        let is_host = || {
            let authority = origin
                .strip_prefix("http://")
                .or_else(|| origin.strip_prefix("https://"));
            self.may_be_any_own_name && authority.is_some() && authority == host
        };
        is_own || is_allowed || is_host()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn is_foreign(cors: &Cors, fields: &[(&'static str, &'static str)]) -> bool {
        let mut request = actix_web::test::TestRequest::post();
        for field in fields {
            request = request.insert_header(*field);
        }
        cors.is_foreign(&request.to_http_request())
    }

    #[test]
    fn other_sites_are_foreign_and_programs_are_not() {
        let cors = Cors::new(&["https://app.example".into()], "https://auth.example/base", true);
        assert!(!is_foreign(&cors, &[]));
        for origin in ["https://auth.example", "https://app.example"] {
            assert!(!is_foreign(&cors, &[("origin", origin)]), "{origin}");
        }
        for origin in [
            "https://evil.example",
            "null",
            "http://auth.example",
            "https://auth.example:8443",
            "https://auth.example.evil",
        ] {
            assert!(is_foreign(&cors, &[("origin", origin)]), "{origin}");
        }
        assert!(is_foreign(&cors, &[("sec-fetch-site", "cross-site")]));
        assert!(!is_foreign(&cors, &[("sec-fetch-site", "same-origin")]));
    }

    #[test]
    fn outside_production_the_name_in_the_request_is_our_own() {
        let fields = [("origin", "http://localhost:3001"), ("host", "localhost:3001")];
        assert!(!is_foreign(&Cors::new(&[], "http://127.0.0.1:3001", false), &fields));
        assert!(is_foreign(&Cors::new(&[], "http://127.0.0.1:3001", true), &fields));
    }
}
