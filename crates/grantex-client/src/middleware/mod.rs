//! Routes that only a good token opens.
//!
//! A [`Guard`] takes the bearer token of a request (RFC 6750 §2.1), verifies it, and says what to answer when it does not do: 401 with a
//! challenge, 403 when it is good and does not allow the call, 503 when nobody can tell now. [`Authorized`] is put into the
//! request's extensions.

#[cfg(feature = "actix")]
pub mod actix;
#[cfg(feature = "tower")]
pub mod tower;

use std::fmt::Write as _;
use std::sync::Arc;

use grantex_core::token::jwt::MAX_TOKEN_LENGTH;
use serde_json::json;

use crate::verify::{Authorized, Requirements, Verifier, VerifyError};

/// The content type of refusals.
pub const CONTENT_TYPE: &str = "application/json";

/// After how many seconds to try again what could not be told.
const RETRY_AFTER: &str = "1";

/// A verifier, and what the routes behind it need. Clones are cheap.
#[derive(Clone)]
pub struct Guard(Arc<Parts>);

struct Parts {
    verifier: Verifier,
    requirements: Requirements,
}

/// A request that is not let through, and what to answer.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Refusal {
    /// 400, 401, 403 or 503.
    pub status: u16,
    /// The value of `WWW-Authenticate` (RFC 6750 §3); `None` for 503.
    pub challenge: Option<String>,
    /// The value of `Retry-After`; for 503 only.
    pub retry_after: Option<&'static str>,
    /// A JSON object with `error` and `error_description`.
    pub body: String,
}

impl Guard {
    /// A guard.
    pub fn new(verifier: Verifier, requirements: Requirements) -> Self {
        Self(Arc::new(Parts { verifier, requirements }))
    }

    /// Verifies the token of a request; `authorization` are the values of all its headers of that name.
    ///
    /// # Errors
    /// What to answer instead.
    pub async fn admit<'a>(&self, authorization: impl Iterator<Item = &'a [u8]>) -> Result<Authorized, Refusal> {
        let token = bearer(authorization)?;
        let parts = &self.0;
        let verdict = parts.verifier.verify(token, &parts.requirements).await;
        verdict.map_err(|error| self.refusal(&error))
    }

    fn refusal(&self, error: &VerifyError) -> Refusal {
        let description = error.to_string();
        if error.is_unavailable() {
            return Refusal {
                status: 503,
                challenge: None,
                retry_after: Some(RETRY_AFTER),
                body: body("temporarily_unavailable", &description),
            };
        }
        if error.is_insufficient() {
            let mut refusal = challenge(403, "insufficient_scope", "the token does not allow this call");
            let scopes: Vec<&str> = self
                .0
                .requirements
                .named()
                .filter(|scope| is_scope_token(scope))
                .collect();
            if let (Some(challenge), false) = (&mut refusal.challenge, scopes.is_empty()) {
                // Writing into a text does not fail.
                let _ = write!(challenge, ", scope=\"{}\"", scopes.join(" "));
            }
            refusal.body = body("insufficient_scope", &description);
            return refusal;
        }
        challenge(401, "invalid_token", &description)
    }
}

/// Finds the token. No header and other schemes are no attempt to show one, so the challenge names no error (RFC 6750 §3.1).
fn bearer<'a>(mut headers: impl Iterator<Item = &'a [u8]>) -> Result<&'a str, Refusal> {
    let malformed = || challenge(400, "invalid_request", "the Authorization header is malformed");
    let none = || Refusal {
        status: 401,
        challenge: Some("Bearer".to_owned()),
        retry_after: None,
        body: body("invalid_token", "a bearer token is needed"),
    };
    let value = headers.next().ok_or_else(none)?;
    if headers.next().is_some() {
        return Err(malformed());
    }
    let text = std::str::from_utf8(value).map_err(|_| malformed())?;
    let (scheme, token) = text.split_once(' ').unwrap_or((text, ""));
    if !scheme.eq_ignore_ascii_case("bearer") {
        return Err(none());
    }
    let token = token.trim_matches(' ');
    // RFC 6750 §2.1, b64token.
    let is_token = |byte: u8| byte.is_ascii_alphanumeric() || b"-._~+/=".contains(&byte);
    if token.is_empty() || token.len() > MAX_TOKEN_LENGTH || !token.bytes().all(is_token) {
        return Err(malformed());
    }
    Ok(token)
}

fn challenge(status: u16, error: &str, description: &str) -> Refusal {
    // Descriptions here are our own constant texts, or hold a scope, which may be anything.
    let quoted: String = description.chars().filter(|c| is_quotable(*c)).collect();
    Refusal {
        status,
        challenge: Some(format!("Bearer error=\"{error}\", error_description=\"{quoted}\"")),
        retry_after: None,
        body: body(error, description),
    }
}

/// RFC 6750 §3: what may stand in `error_description`.
const fn is_quotable(c: char) -> bool {
    matches!(c, ' '..='~') && !matches!(c, '"' | '\\')
}

/// RFC 6750 §3: what may stand in `scope`.
fn is_scope_token(scope: &str) -> bool {
    !scope.is_empty() && scope.chars().all(|c| is_quotable(c) && c != ' ')
}

fn body(error: &str, description: &str) -> String {
    json!({"error": error, "error_description": description}).to_string()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn found(headers: &[&str]) -> Result<String, u16> {
        bearer(headers.iter().map(|header| header.as_bytes()))
            .map(str::to_owned)
            .map_err(|refusal| refusal.status)
    }

    #[test]
    fn a_bearer_token_is_found_and_nothing_else() {
        assert_eq!(found(&["Bearer a.b-c_~+/="]), Ok("a.b-c_~+/=".to_owned()));
        assert_eq!(found(&["bEARER  x "]), Ok("x".to_owned()));
        for headers in [&[][..], &["Basic eDp5"], &["Bearers x"], &["x"]] {
            assert_eq!(found(headers), Err(401), "{headers:?}");
        }
        for headers in [
            &["Bearer"][..],
            &["Bearer "],
            &["Bearer a b"],
            &["Bearer ü"],
            &["Bearer a,b"],
            &["Bearer a", "Bearer b"],
        ] {
            assert_eq!(found(headers), Err(400), "{headers:?}");
        }
        assert_eq!(bearer([&b"Bearer \xff"[..]].into_iter()).unwrap_err().status, 400);
    }

    #[test]
    fn no_token_is_no_error_of_a_token() {
        let refusal = bearer(std::iter::empty()).unwrap_err();
        assert_eq!(refusal.challenge.as_deref(), Some("Bearer"));
    }

    #[test]
    fn challenges_hold_nothing_that_ends_a_quotation() {
        let verifier = Verifier::builder("https://auth.example").build().unwrap();
        let needs = Requirements::new()
            .scopes(["a", "b\"c", "d\\e", "ü", "f g"])
            .scope_up_to("pay", 5);
        let guard = Guard::new(verifier, needs);
        let refusal = guard.refusal(&VerifyError::Scope("b\"c".to_owned()));
        assert_eq!(
            refusal.challenge.as_deref(),
            Some(
                "Bearer error=\"insufficient_scope\", error_description=\"the token does not allow this call\", scope=\"a pay\""
            )
        );
        assert_eq!(refusal.status, 403);
        let refusal = guard.refusal(&VerifyError::KeysUnavailable);
        assert_eq!(
            (refusal.status, refusal.challenge, refusal.retry_after),
            (503, None, Some("1"))
        );
        let refusal = guard.refusal(&VerifyError::Revoked);
        assert_eq!(refusal.status, 401);
        assert_eq!(
            refusal.body,
            r#"{"error":"invalid_token","error_description":"the token was revoked"}"#
        );
    }

    proptest! {
        #[test]
        fn no_header_panics(header in prop::collection::vec(any::<u8>(), 0..80)) {
            let _ = bearer(std::iter::once(header.as_slice()));
        }
    }
}
