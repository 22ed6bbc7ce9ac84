//! Authorization requests.

use actix_web::HttpResponse;
use grantex_core::authorize::{Authorize, Authorized, SandboxDecisionError};
use grantex_core::clock::{Lifetime, Timestamp};
use grantex_core::developer::{Developer, Mode};
use grantex_core::id::{AgentId, AuthRequestId};
use grantex_core::scope::Scopes;
use grantex_core::store::Store;
use grantex_core::token::pkce::CodeChallenge;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::redirect;
use crate::answer;
use crate::call::Call;
use crate::endpoint::{Access, Counted, Endpoint};
use crate::error::ApiError;
use crate::extract::{NotServed, Text, present};
use crate::limit::{Bucket, Caller};
use crate::openapi::schema;

pub(crate) const AUTHORIZE: Endpoint = Endpoint::post("/v1/authorize", Access::Key, "Asks a principal for consent")
    .counted_as(Counted::Authorize)
    .takes(schema::<AuthorizeBody>)
    .gives(201, schema::<AuthorizeAnswer>)
    .refuses(&[400, 402, 403, 404]);
pub(crate) const APPROVE: Endpoint = Endpoint::post(
    "/v1/authorize/{id}/approve",
    Access::Key,
    "Approves a request in the principal's place; sandbox only",
)
.gives(200, schema::<SandboxDecision>)
.refuses(&[403, 404]);
pub(crate) const DENY: Endpoint = Endpoint::post(
    "/v1/authorize/{id}/deny",
    Access::Key,
    "Refuses a request in the principal's place; sandbox only",
)
.gives(200, schema::<SandboxDecision>)
.refuses(&[403, 404]);

const DEFAULT_LIFETIME: &str = "24h";

/// A wish to act for a principal.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub(crate) struct AuthorizeBody {
    #[schema(value_type = String, min_length = 1, max_length = 256)]
    agent_id: Text<1, 256>,
    /// The end user, as the developer names them.
    #[schema(value_type = String, min_length = 1, max_length = 256)]
    principal_id: Text<1, 256>,
    #[schema(min_items = 1, max_items = 100)]
    scopes: Vec<String>,
    /// Where the browser goes after the decision.
    #[serde(default, deserialize_with = "present")]
    #[schema(nullable = false, max_length = 2048)]
    redirect_uri: Option<String>,
    /// Echoed to the redirect URI.
    #[serde(default, deserialize_with = "present")]
    #[schema(value_type = Option<String>, nullable = false, max_length = 1024)]
    state: Option<Text<0, 1024>>,
    /// How long the grant lives: a number and `s`, `m`, `h` or `d`; `24h` by default.
    #[serde(default, deserialize_with = "present")]
    #[schema(nullable = false, pattern = r"^\d+[smhd]$")]
    expires_in: Option<String>,
    /// The `aud` of the tokens.
    #[serde(default, deserialize_with = "present")]
    #[schema(value_type = Option<String>, nullable = false, min_length = 1, max_length = 1024)]
    audience: Option<Text<1, 1024>>,
    /// SHA-256 of the code verifier, in base64url (RFC 7636).
    #[serde(default, deserialize_with = "present")]
    #[schema(nullable = false, min_length = 43, max_length = 43)]
    code_challenge: Option<String>,
    /// Only `S256`; needed with `codeChallenge`.
    #[serde(default, deserialize_with = "present")]
    #[schema(nullable = false)]
    code_challenge_method: Option<String>,
    #[serde(default, rename = "purpose")]
    #[schema(ignore)]
    _purpose: NotServed,
    #[serde(default, rename = "dataRegion")]
    #[schema(ignore)]
    _data_region: NotServed,
}

/// A request that was opened, and the code when nobody needs to be asked.
#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub(crate) struct AuthorizeAnswer<'a> {
    auth_request_id: &'a str,
    /// Where the principal decides.
    consent_url: String,
    /// Until when the request can be decided.
    #[schema(value_type = String, format = DateTime)]
    expires_at: Timestamp,
    agent_id: &'a str,
    principal_id: &'a str,
    #[schema(value_type = Vec<String>)]
    scopes: &'a [String],
    expires_in: &'a str,
    status: &'a str,
    #[schema(value_type = String, format = DateTime)]
    created_at: Timestamp,
    /// Present for sandbox accounts: approved at once.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    sandbox: Option<bool>,
    /// Present when a policy decided.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    policy_enforced: Option<bool>,
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    effect: Option<&'a str>,
    /// The policy that decided.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    policy_id: Option<String>,
    /// The authorization code, when approved at once.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    code: Option<&'a str>,
}

/// What a sandbox developer decided.
#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub(crate) struct SandboxDecision<'a> {
    request_id: &'a str,
    status: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    code: Option<&'a str>,
}

impl AuthorizeBody {
    fn command(self, is_production: bool) -> Result<Authorize, ApiError> {
        let scopes = Scopes::parse_some(self.scopes)
            .map_err(|error| ApiError::field("scopes", &format!("cannot be accepted: {error}")))?;
        if let Some(uri) = &self.redirect_uri {
            redirect::check(uri, is_production)?;
        }
        Ok(Authorize {
            agent_id: AgentId::parse(&self.agent_id.0),
            principal_id: self.principal_id.0,
            scopes,
            redirect_uri: self.redirect_uri,
            state: self.state.map(|state| state.0),
            expires_in: lifetime(self.expires_in.as_deref().unwrap_or(DEFAULT_LIFETIME))?,
            audience: self.audience.map(|audience| audience.0),
            code_challenge: challenge(self.code_challenge.as_deref(), self.code_challenge_method.as_deref())?,
        })
    }
}

fn challenge(challenge: Option<&str>, method: Option<&str>) -> Result<Option<CodeChallenge>, ApiError> {
    match (challenge, method) {
        (None, None) => Ok(None),
        (Some(challenge), Some("S256")) => CodeChallenge::parse(challenge)
            .map(Some)
            .ok_or_else(|| ApiError::field("codeChallenge", "must be 43 base64url characters")),
        (Some(_), Some(_)) => Err(ApiError::field("codeChallengeMethod", "must be S256")),
        (Some(_), None) => Err(ApiError::field(
            "codeChallengeMethod",
            "is required with `codeChallenge`",
        )),
        (None, Some(_)) => Err(ApiError::field(
            "codeChallenge",
            "is required with `codeChallengeMethod`",
        )),
    }
}

/// A lifetime in its wire form.
pub(super) fn lifetime(text: &str) -> Result<Lifetime, ApiError> {
    Lifetime::parse(text)
        .ok_or_else(|| ApiError::field("expiresIn", "must be a positive number and one of s, m, h and d"))
}

pub(crate) async fn authorize<S: Store>(call: &mut Call<S>) -> Result<HttpResponse, ApiError> {
    let developer = call.developer()?;
    call.count_authorization(&developer)?;
    let body: AuthorizeBody = call.json().await?;
    let expires_in = body.expires_in.clone();
    let command = body.command(call.app.settings.is_production)?;
    let mode = developer.mode;
    let opened = call
        .write(|grantex, ctx| async move { grantex.authorize(&ctx, &developer, command).await })
        .await?;
    let consent_url = call.app.link(&format!("/consent?req={}", opened.request.id));
    answer::created(&describe(
        &opened,
        mode,
        consent_url,
        expires_in.as_deref().unwrap_or(DEFAULT_LIFETIME),
    ))
}

fn describe<'a>(opened: &'a Authorized, mode: Mode, consent_url: String, expires_in: &'a str) -> AuthorizeAnswer<'a> {
    let request = &opened.request;
    let is_sandbox = mode == Mode::Sandbox;
    let by_policy = opened.by_policy.as_ref().filter(|_| !is_sandbox);
    AuthorizeAnswer {
        auth_request_id: request.id.as_str(),
        consent_url,
        expires_at: request.expires_at,
        agent_id: request.agent_id.as_str(),
        principal_id: &request.principal_id,
        scopes: request.scopes.as_slice(),
        expires_in,
        status: request.status.as_str(),
        created_at: request.created_at,
        sandbox: is_sandbox.then_some(true),
        policy_enforced: by_policy.map(|_| true),
        effect: by_policy.map(|_| "allow"),
        policy_id: by_policy.map(ToString::to_string),
        code: opened.code.as_ref().map(|code| code.expose().as_str()),
    }
}

impl<S: Store> Call<S> {
    /// Authorizations have a bucket of their own; the answer shows it only when it refuses.
    fn count_authorization(&mut self, developer: &Developer) -> Result<(), ApiError> {
        let shown = self.shown;
        self.count(Bucket::Authorize, Caller::developer(&developer.id))?;
        self.shown = shown;
        Ok(())
    }
}

pub(crate) async fn approve<S: Store>(call: &mut Call<S>) -> Result<HttpResponse, ApiError> {
    let developer = call.developer()?;
    call.no_body().await?;
    let id = pending(call, &developer)?;
    let request = id.clone();
    let code = call
        .write(|grantex, ctx| async move { grantex.approve_in_sandbox(&ctx, &developer, request).await })
        .await?;
    answer::ok(&SandboxDecision {
        request_id: id.as_str(),
        status: "approved",
        code: Some(code.expose()),
    })
}

pub(crate) async fn deny<S: Store>(call: &mut Call<S>) -> Result<HttpResponse, ApiError> {
    let developer = call.developer()?;
    call.no_body().await?;
    let id = pending(call, &developer)?;
    let request = id.clone();
    call.write(|grantex, ctx| async move { grantex.deny_in_sandbox(&ctx, &developer, request).await })
        .await?;
    answer::ok(&SandboxDecision {
        request_id: id.as_str(),
        status: "denied",
        code: None,
    })
}

/// A live developer learns nothing about ids, not even about malformed ones.
fn pending<S: Store>(call: &Call<S>, developer: &Developer) -> Result<AuthRequestId, ApiError> {
    let id = AuthRequestId::parse(&call.segment("id")?);
    match (developer.mode, id) {
        (Mode::Live, _) => Err(SandboxDecisionError::ConsentRequired.into()),
        (Mode::Sandbox, Some(id)) => Ok(id),
        (Mode::Sandbox, None) => Err(SandboxDecisionError::NotFound.into()),
    }
}
