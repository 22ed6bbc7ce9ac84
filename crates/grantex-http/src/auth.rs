//! Who calls: API keys, session tokens, and the operator's keys.

use std::sync::Arc;

use actix_web::HttpMessage as _;
use actix_web::http::header::AUTHORIZATION;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use grantex_core::developer::Developer;
use grantex_core::secret::{Secret, SecretHash};
use grantex_core::store::Store;

use crate::call::Call;
use crate::endpoint::{Access, AddressLimit};
use crate::error::ApiError;
use crate::known::KnownDeveloper;
use crate::limit::{Bucket, Caller};

/// Lets the caller of a route in, or says why not.
pub(crate) async fn admit<S: Store>(call: &mut Call<S>) -> Result<(), ApiError> {
    match call.endpoint.access {
        Access::Public => Ok(()),
        Access::Key => {
            let presented = bearer(call).map(str::to_owned);
            developer(call, presented).await
        }
        Access::Client => {
            let presented = bearer(call)
                .map(str::to_owned)
                .or_else(|| basic(call).map(|basic| basic.password));
            developer(call, presented).await
        }
        Access::Session => {
            let session = bearer(call).and_then(|token| call.grantex.session(token));
            call.session = Some(
                session.ok_or_else(|| ApiError::unauthorized("the session token is missing, invalid or expired"))?,
            );
            Ok(())
        }
        Access::Admin => {
            let Some(expected) = call.app.settings.admin_api_key.clone() else {
                return Err(ApiError::not_configured("no admin key is configured"));
            };
            operator(call, &expected, "a valid admin key is required")
        }
        Access::Metrics => match call.app.settings.metrics_api_key.clone() {
            Some(expected) => operator(call, &expected, "a valid metrics key is required"),
            None if call.app.settings.metrics_require_auth => {
                Err(ApiError::not_configured("no metrics key is configured"))
            }
            None => Ok(()),
        },
    }
}

/// The credentials of an HTTP Basic header.
pub(crate) struct Basic {
    pub(crate) user: String,
    pub(crate) password: String,
}

/// The HTTP Basic credentials, if there are any (RFC 7617; form-encoded as RFC 6749 §2.3.1 wants it).
pub(crate) fn basic<S: Store>(call: &Call<S>) -> Option<Basic> {
    let encoded = credential(call.header(&AUTHORIZATION)?, "basic")?;
    let text = String::from_utf8(STANDARD.decode(encoded).ok()?).ok()?;
    let (user, password) = text.split_once(':')?;
    Some(Basic {
        user: crate::extract::decode(user)?.into_owned(),
        password: crate::extract::decode(password)?.into_owned(),
    })
}

fn bearer<S: Store>(call: &Call<S>) -> Option<&str> {
    credential(call.header(&AUTHORIZATION)?, "bearer")
}

/// What follows the scheme: one word, after at least one space or tab.
fn credential<'a>(header: &'a str, scheme: &str) -> Option<&'a str> {
    let (name, rest) = header.trim_ascii().split_at_checked(scheme.len())?;
    if !name.eq_ignore_ascii_case(scheme) || !rest.starts_with([' ', '\t']) {
        return None;
    }
    let credential = rest.trim_start_matches([' ', '\t']);
    (!credential.is_empty() && !credential.contains(char::is_whitespace)).then_some(credential)
}

/// Lets in the developer whom the application around the routes knows; `None` when it named nobody.
async fn known<S: Store>(call: &Call<S>) -> Result<Option<Developer>, ApiError> {
    let known = call.request().extensions().get::<KnownDeveloper>().cloned();
    let Some(known) = known else { return Ok(None) };
    let found = call.read(call.grantex.developer(known.id().clone())).await?;
    found
        .map(Some)
        .ok_or_else(|| ApiError::unauthorized("there is no such developer"))
}

async fn developer<S: Store>(call: &mut Call<S>, presented: Option<String>) -> Result<(), ApiError> {
    if let Some(developer) = known(call).await? {
        return admitted(call, developer);
    }
    let address = Caller::address(call.client);
    // Asked before the look-up: after too many wrong keys even a right one tells nothing.
    if let Some(decision) = call.app.limiter.is_exhausted(Bucket::FailedKeys, address) {
        call.obey(decision)?;
    }
    let Some(presented) = presented.map(Secret::new) else {
        // Nothing was guessed; but this route counts developers only, and here there is none.
        if matches!(call.endpoint.limit, AddressLimit::Developer(_)) {
            call.count(Bucket::Ip, address)?;
        }
        return Err(ApiError::unauthorized("an API key is required"));
    };
    let Some(developer) = call.read(call.grantex.authenticate(presented.expose())).await? else {
        call.count(Bucket::FailedKeys, address)?;
        return Err(ApiError::unauthorized("the API key is not valid"));
    };
    call.key = Some(presented);
    admitted(call, developer)
}

/// Counts a developer's request.
fn admitted<S: Store>(call: &mut Call<S>, developer: Developer) -> Result<(), ApiError> {
    let caller = Caller::developer(&developer.id);
    call.developer = Some(Arc::new(developer));
    let bucket = match call.endpoint.limit {
        AddressLimit::Developer(bucket) => bucket,
        AddressLimit::Common | AddressLimit::Own(_) | AddressLimit::Exempt => Bucket::Developer,
    };
    call.count(bucket, caller)
}

fn operator<S: Store>(call: &mut Call<S>, expected: &Secret<String>, message: &'static str) -> Result<(), ApiError> {
    let address = Caller::address(call.client);
    if let Some(decision) = call.app.limiter.is_exhausted(Bucket::FailedKeys, address) {
        call.obey(decision)?;
    }
    let Some(presented) = bearer(call) else {
        return Err(ApiError::unauthorized(message));
    };
    // Hashes are compared, so that not even the length of the key shows in the time.
    let expected = expected.sha256();
    if Secret::new(SecretHash::of(presented).as_str().to_owned()).matches(expected.as_str()) {
        return Ok(());
    }
    call.count(Bucket::FailedKeys, address)?;
    Err(ApiError::unauthorized(message))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_credential_is_one_word_after_its_scheme() {
        for header in ["Bearer gx_live_1", "bearer\tgx_live_1", "BEARER   gx_live_1 "] {
            assert_eq!(credential(header, "bearer"), Some("gx_live_1"), "{header}");
        }
        for header in [
            "",
            "Bearer",
            "Bearer ",
            "Bearergx_live_1",
            "Basic gx_live_1",
            "Bearer gx live",
            "Bearer a\u{a0}b",
            "é",
        ] {
            assert_eq!(credential(header, "bearer"), None, "{header}");
        }
    }
}
