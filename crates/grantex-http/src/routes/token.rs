//! Tokens for codes and for refresh tokens, as JSON and as OAuth forms (RFC 6749 §4.1.3, §6).

use actix_web::HttpResponse;
use actix_web::http::header::HeaderName;
use grantex_core::clock::Timestamp;
use grantex_core::grant::Grant;
use grantex_core::id::AgentId;
use grantex_core::secret::Secret;
use grantex_core::store::Store;
use grantex_core::token::biscuit::TokenFormat;
use grantex_core::token::pkce::CodeVerifier;
use grantex_core::token::{ExchangeCode, IdempotencyKey, RefreshToken};
use serde::de::Error as _;
use serde::{Deserialize, Deserializer, Serialize};
use utoipa::ToSchema;

use crate::answer;
use crate::auth;
use crate::call::Call;
use crate::endpoint::{Access, Counted, Endpoint};
use crate::error::ApiError;
use crate::extract::{self, Body, Only, OnlyValue, Text, present};
use crate::openapi::schema;

pub(crate) const EXCHANGE: Endpoint = Endpoint::post(
    "/v1/token",
    Access::Client,
    "Exchanges an authorization code for a grant and its first tokens",
)
.counted_as(Counted::Exchange)
.takes(schema::<ExchangeBody>)
.takes_form()
.gives(201, schema::<TokenAnswer>)
.refuses(&[400, 402, 403]);
pub(crate) const REFRESH: Endpoint = Endpoint::post(
    "/v1/token/refresh",
    Access::Key,
    "Exchanges a refresh token for new tokens of the same grant",
)
.counted_as(Counted::Refresh)
.takes(schema::<RefreshBody>)
.gives(201, schema::<TokenAnswer>)
.refuses(&[400, 403]);

const IDEMPOTENCY_KEY: HeaderName = HeaderName::from_static("idempotency-key");

/// The one credential format that is served.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Jwt;

impl OnlyValue for Jwt {
    const VALUE: &'static str = "jwt";
}

/// What an access token is made as.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Format(pub(crate) TokenFormat);

impl<'de> Deserialize<'de> for Format {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        let format = TokenFormat::parse(&text).map(Self);
        format.ok_or_else(|| D::Error::custom("must be jwt, biscuit or both"))
    }
}

/// A code to exchange.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub(crate) struct ExchangeBody {
    #[schema(value_type = String, min_length = 1, max_length = 512)]
    code: Text<1, 512>,
    #[schema(value_type = String, min_length = 1, max_length = 256)]
    agent_id: Text<1, 256>,
    /// Required when the request had a code challenge.
    #[serde(default, deserialize_with = "present")]
    #[schema(nullable = false, min_length = 43, max_length = 128)]
    code_verifier: Option<String>,
    /// Compared with that of the request when sent.
    #[serde(default, deserialize_with = "present")]
    #[schema(nullable = false)]
    redirect_uri: Option<String>,
    /// `jwt` (the default), `biscuit`, or `both`.
    #[serde(default, deserialize_with = "present")]
    #[schema(value_type = Option<String>, nullable = false, pattern = "^(jwt|biscuit|both)$")]
    token_format: Option<Format>,
    #[serde(default, rename = "credentialFormat")]
    #[schema(ignore)]
    _credential_format: Only<Jwt>,
}

/// A refresh token to exchange.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub(crate) struct RefreshBody {
    #[schema(value_type = String, min_length = 1, max_length = 512)]
    refresh_token: Text<1, 512>,
    #[schema(value_type = String, min_length = 1, max_length = 256)]
    agent_id: Text<1, 256>,
}

/// A form of the token endpoint.
#[derive(Debug, Deserialize)]
struct TokenForm {
    grant_type: String,
    #[serde(default)]
    code: Option<Text<1, 512>>,
    #[serde(default)]
    refresh_token: Option<Text<1, 512>>,
    #[serde(default)]
    redirect_uri: Option<String>,
    #[serde(default)]
    code_verifier: Option<String>,
    /// The agent's id.
    #[serde(default)]
    client_id: Option<String>,
    /// `jwt`, `biscuit` or `both`.
    #[serde(default)]
    token_format: Option<Format>,
}

/// A grant's tokens.
#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub(crate) struct TokenAnswer<'a> {
    /// A JWT, or a Biscuit if that is all that was asked for.
    grant_token: &'a str,
    /// If both were asked for.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    biscuit_token: Option<&'a str>,
    /// When the token ends.
    #[schema(value_type = String, format = DateTime)]
    expires_at: Timestamp,
    #[schema(value_type = Vec<String>)]
    scopes: &'a [String],
    refresh_token: &'a str,
    grant_id: &'a str,
}

/// The same in OAuth's words (RFC 6749 §5.1).
#[derive(Debug, Serialize)]
struct OAuthTokenAnswer<'a> {
    access_token: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    biscuit_token: Option<&'a str>,
    token_type: &'static str,
    expires_in: i64,
    refresh_token: &'a str,
    scope: String,
}

/// What both flows hand out.
pub(super) struct Issued<'a> {
    pub(super) grant: &'a Grant,
    pub(super) jwt: &'a Secret<String>,
    pub(super) biscuit: Option<&'a Secret<String>>,
    pub(super) refresh_token: &'a Secret<String>,
    pub(super) expires_at: Timestamp,
}

impl Issued<'_> {
    pub(super) fn answer(&self) -> Result<HttpResponse, ApiError> {
        answer::created(&TokenAnswer {
            grant_token: self.jwt.expose(),
            biscuit_token: self.biscuit.map(|biscuit| biscuit.expose().as_str()),
            expires_at: self.expires_at,
            scopes: self.grant.scopes.as_slice(),
            refresh_token: self.refresh_token.expose(),
            grant_id: self.grant.id.as_str(),
        })
    }

    fn oauth_answer(&self, now: Timestamp) -> Result<HttpResponse, ApiError> {
        answer::ok(&OAuthTokenAnswer {
            access_token: self.jwt.expose(),
            biscuit_token: self.biscuit.map(|biscuit| biscuit.expose().as_str()),
            token_type: "Bearer",
            expires_in: self.expires_at.since(now).as_seconds(),
            refresh_token: self.refresh_token.expose(),
            scope: self.grant.scopes.joined(),
        })
    }
}

pub(crate) async fn exchange<S: Store>(call: &mut Call<S>) -> Result<HttpResponse, ApiError> {
    let members = match call.body().await? {
        Body::Json(bytes) => extract::parse_object(&bytes)?,
        Body::Form(bytes) => return oauth(call, &bytes).await,
        Body::Absent | Body::Text => return Err(ApiError::bad_request("the body must be a JSON object or a form")),
    };
    let body: ExchangeBody = extract::typed(members)?;
    let command = ExchangeCode {
        code: Secret::new(body.code.0),
        agent_id: AgentId::parse(&body.agent_id.0),
        // A verifier of impossible form is as good as none: it is asked for when there was a challenge, and ignored when not.
        verifier: body.code_verifier.as_deref().and_then(CodeVerifier::parse),
        redirect_uri: body.redirect_uri,
        format: body.token_format.unwrap_or_default().0,
    };
    let issued = exchange_code(call, command).await?;
    Issued {
        grant: &issued.grant,
        jwt: &issued.jwt,
        biscuit: issued.biscuit.as_ref(),
        refresh_token: &issued.refresh_token,
        expires_at: issued.expires_at,
    }
    .answer()
}

async fn exchange_code<S: Store>(
    call: &mut Call<S>,
    command: ExchangeCode,
) -> Result<grantex_core::token::IssuedToken, ApiError> {
    let developer = call.developer()?;
    call.write(|grantex, ctx| async move { grantex.exchange_code(&ctx, &developer, command).await })
        .await
}

pub(crate) async fn refresh<S: Store>(call: &mut Call<S>) -> Result<HttpResponse, ApiError> {
    let developer = call.developer()?;
    let body: RefreshBody = call.json().await?;
    let command = RefreshToken {
        refresh_token: Secret::new(body.refresh_token.0),
        agent_id: AgentId::parse(&body.agent_id.0),
        idempotency_key: idempotency_key(call)?,
    };
    let refreshed = call
        .write(|grantex, ctx| async move { grantex.refresh_token(&ctx, &developer, command).await })
        .await?;
    Issued {
        grant: &refreshed.grant,
        jwt: &refreshed.jwt,
        biscuit: None,
        refresh_token: &refreshed.refresh_token,
        expires_at: refreshed.expires_at,
    }
    .answer()
}

fn idempotency_key<S: Store>(call: &Call<S>) -> Result<Option<IdempotencyKey>, ApiError> {
    let Some(value) = call.headers().get(IDEMPOTENCY_KEY) else {
        return Ok(None);
    };
    let key = value.to_str().ok().and_then(IdempotencyKey::parse);
    key.map(Some)
        .ok_or_else(|| ApiError::field("Idempotency-Key", "must be 16 to 256 characters"))
}

async fn oauth<S: Store>(call: &mut Call<S>, bytes: &[u8]) -> Result<HttpResponse, ApiError> {
    call.is_oauth = true;
    let form: TokenForm = extract::typed(extract::decode_form(bytes)?)?;
    match form.grant_type.as_str() {
        "authorization_code" => oauth_exchange(call, form).await,
        "refresh_token" => {
            call.counted = Some(Counted::Refresh);
            oauth_refresh(call, form).await
        }
        _ => Err(
            ApiError::field("grant_type", "must be authorization_code or refresh_token")
                .oauth("unsupported_grant_type"),
        ),
    }
}

/// The agent acts as the OAuth client: `client_id`, in the form or as the user of HTTP Basic, is its id.
fn client_id<S: Store>(call: &Call<S>, form: &TokenForm) -> Result<Option<AgentId>, ApiError> {
    let named = form
        .client_id
        .clone()
        .or_else(|| auth::basic(call).map(|basic| basic.user))
        .filter(|id| !id.is_empty());
    named
        .map(|id| AgentId::parse(&id))
        .ok_or_else(|| ApiError::field("client_id", "is required: the agent's id"))
}

fn required<T>(name: &str, value: Option<T>) -> Result<T, ApiError> {
    value.ok_or_else(|| ApiError::field(name, "is required"))
}

async fn oauth_exchange<S: Store>(call: &mut Call<S>, form: TokenForm) -> Result<HttpResponse, ApiError> {
    let agent_id = client_id(call, &form)?;
    let command = ExchangeCode {
        code: Secret::new(required("code", form.code)?.0),
        agent_id,
        verifier: form.code_verifier.as_deref().and_then(CodeVerifier::parse),
        redirect_uri: form.redirect_uri,
        format: form.token_format.unwrap_or_default().0,
    };
    let issued = exchange_code(call, command).await?;
    let now = call.grantex.now();
    Issued {
        grant: &issued.grant,
        jwt: &issued.jwt,
        biscuit: issued.biscuit.as_ref(),
        refresh_token: &issued.refresh_token,
        expires_at: issued.expires_at,
    }
    .oauth_answer(now)
}

async fn oauth_refresh<S: Store>(call: &mut Call<S>, form: TokenForm) -> Result<HttpResponse, ApiError> {
    let developer = call.developer()?;
    let agent_id = client_id(call, &form)?;
    let command = RefreshToken {
        refresh_token: Secret::new(required("refresh_token", form.refresh_token)?.0),
        agent_id,
        idempotency_key: idempotency_key(call)?,
    };
    let refreshed = call
        .write(|grantex, ctx| async move { grantex.refresh_token(&ctx, &developer, command).await })
        .await?;
    let now = call.grantex.now();
    Issued {
        grant: &refreshed.grant,
        jwt: &refreshed.jwt,
        biscuit: None,
        refresh_token: &refreshed.refresh_token,
        expires_at: refreshed.expires_at,
    }
    .oauth_answer(now)
}
