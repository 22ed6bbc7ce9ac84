//! Grants: listing, looking, revoking.

use actix_web::HttpResponse;
use grantex_core::clock::Timestamp;
use grantex_core::grant::{Grant, GrantFilter, GrantState, GrantStatus, RevokeGrantError};
use grantex_core::id::{AgentId, GrantId};
use grantex_core::store::Store;
use serde::Serialize;
use utoipa::ToSchema;

use super::listing::{self, Paging};
use crate::answer;
use crate::call::Call;
use crate::endpoint::{Access, Endpoint, Parameter};
use crate::error::ApiError;
use crate::openapi::schema;

pub(crate) const LIST: Endpoint = Endpoint::get("/v1/grants", Access::Key, "Lists grants, newest first")
    .query(&[
        Parameter {
            name: "agentId",
            about: "Only of this agent",
        },
        Parameter {
            name: "principalId",
            about: "Only of this principal",
        },
        Parameter {
            name: "status",
            about: "Only active, expired or revoked ones",
        },
        listing::PAGE,
        listing::PAGE_SIZE,
        listing::CURSOR,
    ])
    .gives(200, schema::<GrantList>)
    .refuses(&[400]);
pub(crate) const GET: Endpoint = Endpoint::get("/v1/grants/{id}", Access::Key, "Shows a grant")
    .gives(200, schema::<GrantAnswer>)
    .refuses(&[404]);
pub(crate) const REVOKE: Endpoint = Endpoint::delete(
    "/v1/grants/{id}",
    Access::Key,
    "Revokes a grant with everything delegated from it",
)
.refuses(&[404]);

/// A grant.
#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub(crate) struct GrantAnswer {
    /// The same as `grantId`.
    #[schema(value_type = String)]
    id: GrantId,
    #[schema(value_type = String)]
    grant_id: GrantId,
    #[schema(value_type = String)]
    agent_id: AgentId,
    agent_did: String,
    principal_id: String,
    developer_id: String,
    scopes: Vec<String>,
    #[schema(value_type = String)]
    status: GrantStatus,
    #[schema(value_type = String, format = DateTime)]
    issued_at: Timestamp,
    #[schema(value_type = String, format = DateTime)]
    expires_at: Timestamp,
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<String>, format = DateTime, nullable = false)]
    revoked_at: Option<Timestamp>,
    delegation_depth: u32,
    /// The grant it was delegated from.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<String>, nullable = false)]
    parent_grant_id: Option<GrantId>,
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    audience: Option<String>,
}

/// A page of grants.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct GrantList {
    grants: Vec<GrantAnswer>,
    #[serde(flatten)]
    paging: Paging,
}

impl GrantAnswer {
    fn new(grant: Grant, now: Timestamp) -> Self {
        Self {
            status: grant.status(now),
            grant_id: grant.id.clone(),
            id: grant.id,
            agent_did: grant.agent_id.did(),
            agent_id: grant.agent_id,
            principal_id: grant.principal_id,
            developer_id: grant.developer_id.to_string(),
            scopes: grant.scopes.as_slice().to_vec(),
            issued_at: grant.issued_at,
            expires_at: grant.expires_at,
            revoked_at: match grant.state {
                GrantState::Active => None,
                GrantState::Revoked { at } => Some(at),
            },
            delegation_depth: grant.delegation_depth,
            parent_grant_id: grant.parent_grant_id,
            audience: grant.audience,
        }
    }
}

pub(crate) async fn list<S: Store>(call: &mut Call<S>) -> Result<HttpResponse, ApiError> {
    let developer = call.developer()?;
    let query = call.query()?;
    let filter = GrantFilter {
        agent_id: query.text("agentId", 256)?,
        principal_id: query.text("principalId", 256)?,
        status: query.parsed("status", GrantStatus::parse, "must be active, expired or revoked")?,
    };
    let request = query.page()?;
    let page = call
        .read(call.grantex.grants(&developer, filter, request.clone()))
        .await?;
    let paging = Paging::of(&request, &page);
    let now = call.grantex.now();
    answer::ok(&GrantList {
        grants: page
            .items
            .into_iter()
            .map(|grant| GrantAnswer::new(grant, now))
            .collect(),
        paging,
    })
}

pub(crate) async fn get<S: Store>(call: &mut Call<S>) -> Result<HttpResponse, ApiError> {
    let developer = call.developer()?;
    let grant = match id(call)? {
        Some(id) => call.read(call.grantex.grant(&developer, id)).await?,
        None => None,
    };
    let grant = grant.ok_or_else(|| ApiError::not_found("grant"))?;
    answer::ok(&GrantAnswer::new(grant, call.grantex.now()))
}

pub(crate) async fn revoke<S: Store>(call: &mut Call<S>) -> Result<HttpResponse, ApiError> {
    let developer = call.developer()?;
    call.no_body().await?;
    let id = id(call)?.ok_or(RevokeGrantError::NotFound)?;
    call.write(|grantex, ctx| async move { grantex.revoke_grant(&ctx, &developer, id).await })
        .await?;
    answer::no_content()
}

/// `None` when the segment cannot be a grant's id: then there is no such grant.
pub(super) fn id<S: Store>(call: &Call<S>) -> Result<Option<GrantId>, ApiError> {
    Ok(GrantId::parse(&call.segment("id")?))
}
