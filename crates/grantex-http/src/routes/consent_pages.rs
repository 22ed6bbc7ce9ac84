//! Consent in a browser: a page with two forms, which works without script.

use actix_web::HttpResponse;
use actix_web::http::StatusCode;
use actix_web::http::header::{self, HeaderValue};
use grantex_core::authorize::{AuthRequestState, ConsentError, ConsentRequest};
use grantex_core::clock::Lifetime;
use grantex_core::developer::Mode;
use grantex_core::error::StoreError;
use grantex_core::id::AuthRequestId;
use grantex_core::scope;
use grantex_core::store::Store;
use url::Url;

use super::{consent, redirect};
use crate::boundary::policy;
use crate::call::Call;
use crate::endpoint::{Access, AddressLimit, Endpoint};
use crate::error::ApiError;
use crate::extract::{Body, unsupported};
use crate::limit::Bucket;
use crate::pages::{ConsentView, Message, MessageView, ScopeLine};

const HTML: &str = "text/html; charset=utf-8";

pub(crate) const SHOW: Endpoint = page(Endpoint::get(
    "/consent",
    Access::Public,
    "The page on which a principal decides",
))
.query(&[crate::endpoint::Parameter {
    name: "req",
    about: "Id of the authorization request",
}])
.gives_other(200, "text/html");
pub(crate) const APPROVE: Endpoint = page(Endpoint::post(
    "/consent/{id}/approve",
    Access::Public,
    "The page's form for approval",
))
.gives_nothing(303);
pub(crate) const DENY: Endpoint = page(Endpoint::post(
    "/consent/{id}/deny",
    Access::Public,
    "The page's form for refusal",
))
.gives_nothing(303);
pub(crate) const APPROVED: Endpoint = Endpoint::get("/consent/approved", Access::Public, "The page after an approval")
    .shown_to_people()
    .gives_other(200, "text/html");
pub(crate) const DENIED: Endpoint = Endpoint::get("/consent/denied", Access::Public, "The page after a refusal")
    .shown_to_people()
    .gives_other(200, "text/html");

const fn page(endpoint: Endpoint) -> Endpoint {
    endpoint
        .shown_to_people()
        .limited_by(AddressLimit::Own(Bucket::Consent))
        .refuses(&[403, 404, 410])
}

pub(crate) async fn show<S: Store>(call: &mut Call<S>) -> Result<HttpResponse, ApiError> {
    let id = call
        .query()?
        .get("req")
        .and_then(AuthRequestId::parse)
        .ok_or(ConsentError::NotFound)?;
    let asked = call
        .read(call.grantex.consent_request(call.context(), id.clone()))
        .await;
    let asked = explained(call, id, asked).await?;
    let html = render(call, &asked)?;
    let mut response = html_page(StatusCode::OK, html);
    response.headers_mut().insert(
        header::CONTENT_SECURITY_POLICY,
        form_policy(asked.request.redirect_uri.as_deref())?,
    );
    Ok(response)
}

/// Chromium applies `form-action` to every hop of the redirect that follows the form, so the way back must be allowed; where the
/// developer's own pages redirect to next is unknown, and over https it may be anywhere.
fn form_policy(redirect_uri: Option<&str>) -> Result<HeaderValue, ApiError> {
    let targets = match redirect_uri.and_then(|uri| Url::parse(uri).ok()) {
        Some(url) if url.scheme() == "https" => "'self' https:".to_owned(),
        Some(url) => format!("'self' https: {}", url.origin().ascii_serialization()),
        None => "'self'".to_owned(),
    };
    let policy = format!(
        "default-src 'none'; style-src 'self'; img-src 'self'; form-action {targets}; frame-ancestors 'none'; base-uri 'none'"
    );
    HeaderValue::from_str(&policy).map_err(ApiError::internal)
}

fn render<S: Store>(call: &Call<S>, asked: &ConsentRequest) -> Result<String, ApiError> {
    let request = &asked.request;
    let sentences: Vec<String> = request
        .scopes
        .as_slice()
        .iter()
        .map(|item| scope::describe(item))
        .collect();
    let scopes: Vec<ScopeLine<'_>> = std::iter::zip(request.scopes.as_slice(), &sentences)
        .map(|(raw, sentence)| ScopeLine {
            sentence,
            raw,
            is_custom: scope::is_custom(raw),
        })
        .collect();
    let returns_to = request
        .redirect_uri
        .as_deref()
        .and_then(|uri| Url::parse(uri).ok())
        .and_then(|url| url.host_str().map(str::to_owned));
    let view = ConsentView {
        base_path: &call.app.base_path,
        request_id: request.id.as_str(),
        developer_name: &asked.developer.name,
        agent_name: &asked.agent.name,
        agent_description: Some(asked.agent.description.as_str()).filter(|text| !text.is_empty()),
        agent_did: &asked.agent.id.did(),
        scopes: &scopes,
        duration_text: &in_words(request.expires_in),
        expires_in_text: &in_words(request.expires_at.since(call.grantex.now())),
        returns_to: returns_to.as_deref(),
        is_sandbox: asked.developer.mode == Mode::Sandbox,
    };
    view.page().map_err(ApiError::internal)
}

/// A span in its largest unit that is nearly exact.
fn in_words(span: Lifetime) -> String {
    let seconds = span.as_seconds().max(1);
    let (count, unit) = match seconds {
        172_800.. if seconds % 86_400 == 0 => (seconds / 86_400, "day"),
        7_200.. if seconds % 3_600 == 0 => (seconds / 3_600, "hour"),
        172_800.. => ((seconds + 43_200) / 86_400, "day"),
        7_200.. => ((seconds + 1_800) / 3_600, "hour"),
        3_600 => (1, "hour"),
        90.. => ((seconds + 30) / 60, "minute"),
        60 => (1, "minute"),
        _ => (seconds, "second"),
    };
    if count == 1 {
        format!("1 {unit}")
    } else {
        format!("{count} {unit}s")
    }
}

pub(crate) async fn approve<S: Store>(call: &mut Call<S>) -> Result<HttpResponse, ApiError> {
    let id = decidable(call).await?;
    let (request, origin) = (id.clone(), consent::origin(call));
    let decided = call
        .write(|grantex, ctx| async move { grantex.approve_consent(&ctx, request, origin).await })
        .await;
    let approved = explained(call, id, decided).await?;
    let code = ("code", approved.code.expose().as_str());
    let back = approved
        .redirect_uri
        .and_then(|uri| redirect::with_outcome(&uri, code, approved.state.as_deref()));
    see_other(&back.unwrap_or_else(|| format!("{}{}", call.app.base_path, APPROVED.path)))
}

pub(crate) async fn deny<S: Store>(call: &mut Call<S>) -> Result<HttpResponse, ApiError> {
    let id = decidable(call).await?;
    let (request, origin) = (id.clone(), consent::origin(call));
    let decided = call
        .write(|grantex, ctx| async move { grantex.deny_consent(&ctx, request, origin).await })
        .await;
    let denied = explained(call, id, decided).await?;
    let outcome = ("error", "access_denied");
    let back = denied
        .redirect_uri
        .and_then(|uri| redirect::with_outcome(&uri, outcome, denied.state.as_deref()));
    see_other(&back.unwrap_or_else(|| format!("{}{}", call.app.base_path, DENIED.path)))
}

/// The request to decide, when the decision comes from our own page.
async fn decidable<S: Store>(call: &mut Call<S>) -> Result<AuthRequestId, ApiError> {
    consent::refuse_other_sites(call)?;
    match call.body().await? {
        Body::Absent | Body::Form(_) => {}
        Body::Json(_) | Body::Text => return Err(unsupported()),
    }
    consent::id(call)
}

/// The flow tells a caller no more than "gone"; the person deserves to know which way.
async fn explained<S: Store, T>(
    call: &mut Call<S>,
    id: AuthRequestId,
    result: Result<T, ApiError>,
) -> Result<T, ApiError> {
    if result.as_ref().is_err_and(|error| error.status == StatusCode::GONE) {
        let store = call.grantex.store();
        let found: Result<_, ApiError> = call
            .read::<_, StoreError>(store.read(move |tx| Box::pin(async move { tx.auth_request(&id).await })))
            .await;
        let is_decided =
            found.is_ok_and(|request| request.is_some_and(|request| request.status != AuthRequestState::Pending));
        call.told = Some(if is_decided {
            Message::AlreadyUsed
        } else {
            Message::Expired
        });
    }
    result
}

pub(crate) async fn approved<S: Store>(call: &mut Call<S>) -> Result<HttpResponse, ApiError> {
    message_page(call, StatusCode::OK, Message::Approved)
}

pub(crate) async fn denied<S: Store>(call: &mut Call<S>) -> Result<HttpResponse, ApiError> {
    message_page(call, StatusCode::OK, Message::Denied)
}

/// What a person sees instead of a page that was refused.
pub(crate) fn problem<S: Store>(call: &Call<S>, error: &ApiError) -> Result<HttpResponse, ApiError> {
    let told = match error.status {
        StatusCode::GONE => call.told.unwrap_or(Message::Expired),
        StatusCode::FORBIDDEN => Message::ForeignPage,
        StatusCode::TOO_MANY_REQUESTS | StatusCode::SERVICE_UNAVAILABLE => Message::TryAgain,
        status if status.is_client_error() => Message::NotFound,
        _ => Message::SomethingWentWrong,
    };
    message_page(call, error.status, told)
}

fn message_page<S: Store>(call: &Call<S>, status: StatusCode, message: Message) -> Result<HttpResponse, ApiError> {
    let reference = (!status.is_success()).then_some(call.request_id.as_str());
    let html = MessageView {
        base_path: &call.app.base_path,
        message,
        reference,
    }
    .page()
    .map_err(ApiError::internal)?;
    let mut response = html_page(status, html);
    response
        .headers_mut()
        .insert(header::CONTENT_SECURITY_POLICY, policy::MESSAGE);
    Ok(response)
}

fn html_page(status: StatusCode, html: String) -> HttpResponse {
    // The address holds the request's id, so no other site gets it; `no-referrer` would blank the Origin of our own forms.
    HttpResponse::build(status)
        .content_type(HTML)
        .insert_header((header::REFERRER_POLICY, "same-origin"))
        .body(html)
}

fn see_other(location: &str) -> Result<HttpResponse, ApiError> {
    let location = HeaderValue::from_str(location).map_err(ApiError::internal)?;
    let mut response = HttpResponse::SeeOther();
    response
        .insert_header((header::LOCATION, location))
        .insert_header((header::REFERRER_POLICY, "no-referrer"));
    Ok(response.finish())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn spans_read_as_people_say_them() {
        for (span, text) in [
            (Lifetime::hours(24), "24 hours"),
            (Lifetime::days(7), "7 days"),
            (Lifetime::hours(1), "1 hour"),
            (Lifetime::minutes(15), "15 minutes"),
            (Lifetime::minutes(90), "90 minutes"),
            (Lifetime::seconds(60), "1 minute"),
            (Lifetime::seconds(30), "30 seconds"),
            (Lifetime::millis(899_000), "15 minutes"),
            (Lifetime::minutes(2_890), "2 days"),
            (Lifetime::days(365), "365 days"),
        ] {
            assert_eq!(in_words(span), text);
        }
    }
}
