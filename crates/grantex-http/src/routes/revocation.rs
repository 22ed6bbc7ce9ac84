//! Revoking single tokens, and the question whether one is revoked.

use actix_web::HttpResponse;
use actix_web::http::header::{self, HeaderValue};
use grantex_core::clock::Timestamp;
use grantex_core::error::StoreError;
use grantex_core::store::Store;
use grantex_core::token::biscuit::parse_revocation_id;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use crate::answer;
use crate::call::Call;
use crate::endpoint::{Access, AddressLimit, Endpoint, Parameter};
use crate::error::ApiError;
use crate::etag;
use crate::extract::{Text, present};
use crate::limit::Bucket;
use crate::openapi::schema;

pub(crate) const REVOKE: Endpoint = Endpoint::post(
    "/v1/tokens/revoke",
    Access::Key,
    "Revokes one token, or one block of Biscuits with all that was derived from it; the grant stays",
)
.takes(schema::<RevokeBody>)
.gives_nothing(204)
.refuses(&[400, 404]);
pub(crate) const STATUS: Endpoint = Endpoint::get(
    "/v1/revocations/status",
    Access::Key,
    "Tells whether a grant or token is still in force",
)
.limited_by(AddressLimit::Developer(Bucket::RevocationStatus))
.query(&[
    Parameter {
        name: "grantId",
        about: "Id of the grant; this or `jti` is required",
    },
    Parameter {
        name: "jti",
        about: "Id of the token",
    },
])
.gives(200, schema::<StatusAnswer>)
.refuses(&[400]);

/// A token or block to revoke.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub(crate) struct RevokeBody {
    /// The token's `jti`: this or `revocationId` is required.
    #[serde(default, deserialize_with = "present")]
    #[schema(value_type = Option<String>, nullable = false, min_length = 1, max_length = 512)]
    jti: Option<Text<1, 512>>,
    /// A block's signature in hexadecimal digits, as a Biscuit tells it.
    #[serde(default, deserialize_with = "present")]
    #[schema(nullable = false, min_length = 128, max_length = 128)]
    revocation_id: Option<String>,
}

/// Whether a grant or token is in force.
#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub(crate) struct StatusAnswer<'a> {
    /// `active`, `revoked`, `suspended`, `expired` or `unknown`.
    status: &'static str,
    /// False only for `active`.
    revoked: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    grant_id: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    jti: Option<&'a str>,
    #[schema(value_type = Option<String>, format = DateTime)]
    expires_at: Option<Timestamp>,
    #[schema(value_type = String, format = DateTime)]
    checked_at: Timestamp,
}

pub(crate) async fn revoke<S: Store>(call: &mut Call<S>) -> Result<HttpResponse, ApiError> {
    let developer = call.developer()?;
    let body: RevokeBody = call.json().await?;
    match (body.jti, body.revocation_id) {
        (Some(jti), None) => {
            call.write(|grantex, ctx| async move { grantex.revoke_access_token(&ctx, &developer, &jti.0).await })
                .await?;
        }
        (None, Some(id)) => {
            let id = parse_revocation_id(&id)
                .ok_or_else(|| ApiError::field("revocationId", "must be 128 hexadecimal digits"))?;
            let flow = |grantex: grantex_core::Grantex<S>, ctx| async move {
                grantex.revoke_block(&ctx, &developer, id).await
            };
            call.write::<(), StoreError, _>(flow).await?;
        }
        (None, None) => return Err(ApiError::field("jti", "is required, or `revocationId`")),
        (Some(_), Some(_)) => return Err(ApiError::field("revocationId", "cannot be sent together with `jti`")),
    }
    answer::no_content()
}

pub(crate) async fn status<S: Store>(call: &mut Call<S>) -> Result<HttpResponse, ApiError> {
    let developer = call.developer()?;
    let query = call.query()?;
    let grant_id = query.text("grantId", 256)?;
    let jti = query.text("jti", 512)?;
    if grant_id.is_none() && jti.is_none() {
        return Err(ApiError::bad_request("one of `grantId` and `jti` is required"));
    }
    let found = call
        .read(
            call.grantex
                .revocation_status(&developer, grant_id.as_deref(), jti.as_deref()),
        )
        .await?;
    // Of one address only these two can change; the time of the check is no part of what is told.
    let tag = format!(
        "W/\"{}-{}\"",
        found.status.as_str(),
        found.expires_at.map_or(0, Timestamp::as_millis)
    );
    let mut response = if etag::is_known(call.headers(), &tag) {
        HttpResponse::NotModified().finish()
    } else {
        answer::ok(&StatusAnswer {
            status: found.status.as_str(),
            revoked: found.status.is_revoked(),
            grant_id: grant_id.as_deref(),
            jti: jti.as_deref(),
            expires_at: found.expires_at,
            checked_at: call.grantex.now(),
        })?
    };
    let headers = response.headers_mut();
    headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("private, max-age=1"));
    headers.insert(header::ETAG, HeaderValue::try_from(tag).map_err(ApiError::internal)?);
    Ok(response)
}
