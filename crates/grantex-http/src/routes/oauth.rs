//! Introspection (RFC 7662) and revocation (RFC 7009) of presented tokens.

use actix_web::HttpResponse;
use grantex_core::error::StoreError;
use grantex_core::secret::Secret;
use grantex_core::store::Store;
use grantex_core::token::jwt::MAX_TOKEN_LENGTH;
use grantex_core::token::{Introspection, TokenRecord};
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};
use utoipa::ToSchema;

use crate::answer;
use crate::call::Call;
use crate::endpoint::{Access, Endpoint};
use crate::error::ApiError;
use crate::extract::{self, Body, Text, present};
use crate::openapi::schema;

pub(crate) const INTROSPECT: Endpoint = Endpoint::post(
    "/v1/introspect",
    Access::Client,
    "Tells what a presented access or refresh token is worth (RFC 7662)",
)
.speaks_oauth()
.takes(schema::<PresentedToken>)
.takes_form()
.gives(200, schema::<IntrospectionAnswer>)
.refuses(&[400]);
pub(crate) const REVOKE: Endpoint = Endpoint::post(
    "/v1/revoke",
    Access::Client,
    "Revokes a presented token; a refresh token takes its grant along (RFC 7009)",
)
.speaks_oauth()
.takes(schema::<PresentedToken>)
.takes_form()
.gives(200, schema::<Revoked>)
.refuses(&[400]);

/// A token as somebody presented it.
#[derive(Debug, Deserialize, ToSchema)]
pub(crate) struct PresentedToken {
    #[schema(value_type = String, min_length = 1)]
    token: Text<1, MAX_TOKEN_LENGTH>,
    /// `access_token` or `refresh_token`; anything else is ignored.
    #[serde(default, rename = "token_type_hint", deserialize_with = "present")]
    #[schema(nullable = false)]
    _token_type_hint: Option<String>,
}

/// What a token is worth; only `active` when it is worth nothing.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct IntrospectionAnswer<'a> {
    active: bool,
    /// `Bearer`, or `refresh_token`.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    token_type: Option<&'static str>,
    /// The members of RFC 7662 §2.2, for an access token with all of its claims.
    #[serde(flatten)]
    #[schema(value_type = Object, additional_properties)]
    claims: std::borrow::Cow<'a, Map<String, Value>>,
}

/// Done, or there was nothing to do.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct Revoked {}

async fn presented<S: Store>(call: &mut Call<S>) -> Result<PresentedToken, ApiError> {
    let members = match call.body().await? {
        Body::Json(bytes) => extract::parse_object(&bytes)?,
        Body::Form(bytes) => extract::decode_form(&bytes)?,
        Body::Absent | Body::Text => return Err(ApiError::bad_request("the body must be a form or a JSON object")),
    };
    extract::typed(members)
}

pub(crate) async fn introspect<S: Store>(call: &mut Call<S>) -> Result<HttpResponse, ApiError> {
    let developer = call.developer()?;
    let body = presented(call).await?;
    let found = call
        .read(call.grantex.introspect(call.context(), &developer, &body.token.0))
        .await?;
    let nothing = Map::new();
    let (active, token_type, claims) = match &found {
        Introspection::Inactive => (false, None, std::borrow::Cow::Borrowed(&nothing)),
        Introspection::Access(verified) => (
            true,
            Some("Bearer"),
            std::borrow::Cow::Borrowed(verified.claims.members()),
        ),
        Introspection::Refresh(record) => {
            let issuer = &call.grantex.settings().issuer;
            (
                true,
                Some("refresh_token"),
                std::borrow::Cow::Owned(claims_of(record, issuer)),
            )
        }
    };
    answer::ok(&IntrospectionAnswer {
        active,
        token_type,
        claims,
    })
}

fn claims_of(record: &TokenRecord, issuer: &str) -> Map<String, Value> {
    let grant = &record.grant;
    let mut claims = Map::new();
    let mut insert = |name: &str, value: Value| claims.insert(name.to_owned(), value);
    insert("iss", issuer.into());
    insert("sub", grant.principal_id.as_str().into());
    insert("client_id", grant.agent_id.as_str().into());
    insert("scope", grant.scopes.joined().into());
    insert("iat", record.token.issued_at.as_seconds().into());
    insert("exp", record.token.refresh_expires_at.as_seconds().into());
    if let Some(audience) = &grant.audience {
        insert("aud", audience.as_str().into());
    }
    claims
}

pub(crate) async fn revoke<S: Store>(call: &mut Call<S>) -> Result<HttpResponse, ApiError> {
    let developer = call.developer()?;
    let token = Secret::new(presented(call).await?.token.0);
    let flow = |grantex: grantex_core::Grantex<S>, ctx| async move {
        grantex.revoke_presented(&ctx, &developer, token.expose()).await
    };
    call.write::<(), StoreError, _>(flow).await?;
    answer::ok(&Revoked {})
}
