//! Verifying tokens online.

use std::net::IpAddr;

use actix_web::HttpResponse;
use grantex_core::clock::Timestamp;
use grantex_core::store::Store;
use grantex_core::token::biscuit::{Ceiling, TokenFormat};
use grantex_core::token::jwt::MAX_TOKEN_LENGTH;
use grantex_core::token::{InvalidReason, VerifiedToken};
use serde::{Deserialize, Serialize};
use serde_json::Value;
use utoipa::ToSchema;

use crate::answer;
use crate::call::Call;
use crate::endpoint::{Access, Endpoint};
use crate::error::ApiError;
use crate::extract::{Text, present};
use crate::openapi::schema;

pub(crate) const VERIFY: Endpoint =
    Endpoint::post("/v1/tokens/verify", Access::Key, "Tells whether a token is good now")
        .takes(schema::<VerifyBody>)
        .gives(200, schema::<VerifyAnswer>)
        .refuses(&[400]);
pub(crate) const GRANT_VERIFY: Endpoint = Endpoint::post(
    "/v1/grants/verify",
    Access::Key,
    "Tells whether a token is good now, with its claims or the reason",
)
.takes(schema::<VerifyBody>)
.gives(200, schema::<GrantVerifyAnswer>)
.refuses(&[400]);

/// A token to verify.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub(crate) struct VerifyBody {
    #[schema(value_type = String, min_length = 1)]
    token: Text<1, MAX_TOKEN_LENGTH>,
    /// Must equal the token's `aud` when sent.
    #[serde(default, deserialize_with = "present")]
    #[schema(value_type = Option<String>, nullable = false, min_length = 1, max_length = 1024)]
    audience: Option<Text<1, 1024>>,
    /// The address of whoever presented the token to the caller. It does not change the verdict; one token from several networks is
    /// an anomaly.
    #[serde(default, deserialize_with = "present")]
    #[schema(value_type = Option<String>, nullable = false)]
    client_ip: Option<Address>,
}

/// An IP address.
#[derive(Debug, Clone, Copy)]
struct Address(IpAddr);

impl<'de> Deserialize<'de> for Address {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        text.parse()
            .map(Self)
            .map_err(|_| serde::de::Error::custom("must be an IPv4 or IPv6 address"))
    }
}

/// Whether a token is good, and what it says if so.
#[derive(Debug, Default, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub(crate) struct VerifyAnswer<'a> {
    valid: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    grant_id: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<Vec<String>>, nullable = false)]
    scopes: Option<&'a [String]>,
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    principal: Option<&'a str>,
    /// The agent's decentralized identifier.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    agent: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<String>, format = DateTime, nullable = false)]
    expires_at: Option<Timestamp>,
    /// `biscuit` for a Biscuit; what is told of scopes, agent and end is then the intersection over its blocks.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    token_format: Option<&'static str>,
    /// Whom a Biscuit is for.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    audience: Option<&'a str>,
    /// The most that may be spent at once by the holder of a Biscuit: `currency`, and `amount` in its smallest unit. All hold.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    #[schema(value_type = Option<Vec<Object>>, nullable = false)]
    spending_ceilings: Vec<Ceiling>,
    /// How often a Biscuit's authority was handed on.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    delegation_depth: Option<u32>,
    /// The blocks of a Biscuit, first one first: `revocationId`, and what each says.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    #[schema(value_type = Option<Vec<Object>>, nullable = false)]
    blocks: Vec<Value>,
}

/// Whether a token is good, with its claims or the reason.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct GrantVerifyAnswer<'a> {
    active: bool,
    /// `revoked`, `not_found`, `expired`, `suspended` or `audience`.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    reason: Option<&'a str>,
    /// The token's own claims, verbatim.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<Object>, nullable = false)]
    claims: Option<&'a serde_json::Map<String, serde_json::Value>>,
}

pub(crate) async fn verify<S: Store>(call: &mut Call<S>) -> Result<HttpResponse, ApiError> {
    match &verdict(call).await? {
        Ok(verified) => answer::ok(&VerifyAnswer {
            valid: true,
            grant_id: Some(verified.claims.grant_id.as_str()),
            scopes: Some(&verified.claims.scopes),
            principal: Some(&verified.claims.principal_id),
            agent: Some(&verified.claims.agent_did),
            expires_at: Some(verified.claims.expires_at),
            ..biscuit(verified)
        }),
        Err(_) => answer::ok(&VerifyAnswer::default()),
    }
}

/// What is told of Biscuits only.
fn biscuit(verified: &VerifiedToken) -> VerifyAnswer<'_> {
    let Some(chain) = &verified.biscuit else {
        return VerifyAnswer::default();
    };
    let effective = chain.effective();
    VerifyAnswer {
        token_format: Some(TokenFormat::Biscuit.as_str()),
        audience: verified.claims.audience.as_deref(),
        spending_ceilings: effective.ceilings,
        delegation_depth: Some(effective.depth),
        blocks: chain.described(),
        ..VerifyAnswer::default()
    }
}

pub(crate) async fn verify_grant<S: Store>(call: &mut Call<S>) -> Result<HttpResponse, ApiError> {
    let reason = match verdict(call).await? {
        Ok(verified) => {
            return answer::ok(&GrantVerifyAnswer {
                active: true,
                reason: None,
                claims: Some(verified.claims.members()),
            });
        }
        Err(InvalidReason::Malformed) => return Err(ApiError::field("token", "must be a grant token of this server")),
        Err(InvalidReason::Expired) => "expired",
        // That a token is real is nobody's business but its developer's.
        Err(InvalidReason::Unknown | InvalidReason::Foreign) => "not_found",
        Err(InvalidReason::Revoked) => "revoked",
        Err(InvalidReason::Suspended) => "suspended",
        Err(InvalidReason::Audience) => "audience",
    };
    answer::ok(&GrantVerifyAnswer {
        active: false,
        reason: Some(reason),
        claims: None,
    })
}

async fn verdict<S: Store>(call: &mut Call<S>) -> Result<Result<VerifiedToken, InvalidReason>, ApiError> {
    let developer = call.developer()?;
    let body: VerifyBody = call.json().await?;
    let audience = body.audience.as_ref().map(|audience| audience.0.as_str());
    let client = body.client_ip.map(|address| address.0);
    call.read(
        call.grantex
            .verify_token_of_client(call.context(), &developer, &body.token.0, audience, client),
    )
    .await
}
