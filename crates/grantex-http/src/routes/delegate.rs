//! Delegation: handing a part of a grant on to another agent.

use actix_web::HttpResponse;
use grantex_core::grant::Delegate;
use grantex_core::id::AgentId;
use grantex_core::scope::Scopes;
use grantex_core::secret::Secret;
use grantex_core::store::Store;
use grantex_core::token::jwt::MAX_TOKEN_LENGTH;
use serde::Deserialize;
use utoipa::ToSchema;

use super::authorize::lifetime;
use super::token::{Format, Issued, Jwt, TokenAnswer};
use crate::call::Call;
use crate::endpoint::{Access, Endpoint};
use crate::error::ApiError;
use crate::extract::{Only, Text, present};
use crate::openapi::schema;

pub(crate) const DELEGATE: Endpoint = Endpoint::post(
    "/v1/grants/delegate",
    Access::Key,
    "Makes a child grant with scopes of its parent for another agent",
)
.takes(schema::<DelegateBody>)
.gives(201, schema::<TokenAnswer>)
.refuses(&[400, 402, 403, 404]);

const DEFAULT_LIFETIME: &str = "1h";

/// What is handed on, and to whom.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub(crate) struct DelegateBody {
    /// A token of the grant that is handed on.
    #[schema(value_type = String, min_length = 1)]
    parent_grant_token: Text<1, MAX_TOKEN_LENGTH>,
    /// The agent that receives.
    #[schema(value_type = String, min_length = 1, max_length = 256)]
    sub_agent_id: Text<1, 256>,
    /// Each must be in the parent token.
    #[schema(min_items = 1, max_items = 100)]
    scopes: Vec<String>,
    /// At most as long as the parent token: a number and `s`, `m`, `h` or `d`; `1h` by default.
    #[serde(default, deserialize_with = "present")]
    #[schema(nullable = false, pattern = r"^\d+[smhd]$")]
    expires_in: Option<String>,
    /// `jwt` (the default), `biscuit`, or `both`.
    #[serde(default, deserialize_with = "present")]
    #[schema(value_type = Option<String>, nullable = false, pattern = "^(jwt|biscuit|both)$")]
    token_format: Option<Format>,
    #[serde(default, rename = "credentialFormat")]
    #[schema(ignore)]
    _credential_format: Only<Jwt>,
}

impl TryFrom<DelegateBody> for Delegate {
    type Error = ApiError;

    fn try_from(body: DelegateBody) -> Result<Self, ApiError> {
        Ok(Self {
            parent_token: Secret::new(body.parent_grant_token.0),
            sub_agent_id: AgentId::parse(&body.sub_agent_id.0),
            scopes: Scopes::parse_some(body.scopes)
                .map_err(|error| ApiError::field("scopes", &format!("cannot be accepted: {error}")))?,
            expires_in: lifetime(body.expires_in.as_deref().unwrap_or(DEFAULT_LIFETIME))?,
            format: body.token_format.unwrap_or_default().0,
        })
    }
}

pub(crate) async fn delegate<S: Store>(call: &mut Call<S>) -> Result<HttpResponse, ApiError> {
    let developer = call.developer()?;
    let command: Delegate = call.json::<DelegateBody>().await?.try_into()?;
    let child = call
        .write(|grantex, ctx| async move { grantex.delegate(&ctx, &developer, command).await })
        .await?;
    Issued {
        grant: &child.grant,
        jwt: &child.jwt,
        biscuit: child.biscuit.as_ref(),
        refresh_token: &child.refresh_token,
        expires_at: child.expires_at,
    }
    .answer()
}
