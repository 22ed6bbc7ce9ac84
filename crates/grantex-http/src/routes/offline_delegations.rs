//! What was handed on of a grant without the server.

use actix_web::HttpResponse;
use grantex_core::clock::Timestamp;
use grantex_core::grant::GrantStatus;
use grantex_core::grant::offline::OfflineDelegation;
use grantex_core::id::{AgentId, GrantId, TokenId};
use grantex_core::store::Store;
use grantex_core::token::biscuit::Ceiling;
use serde::Serialize;
use serde_json::Value;
use utoipa::ToSchema;

use super::grants;
use super::listing::{self, Paging};
use crate::answer;
use crate::call::Call;
use crate::endpoint::{Access, Endpoint};
use crate::error::ApiError;
use crate::openapi::schema;

pub(crate) const LIST: Endpoint = Endpoint::get(
    "/v1/grants/{id}/offline-delegations",
    Access::Key,
    "Lists agents that Biscuits showed to hold authority of a grant without the server's doing, newest first",
)
.query(listing::PAGING)
.gives(200, schema::<OfflineDelegationList>)
.refuses(&[400, 404]);

/// Authority that one agent handed to another, as it was first seen.
#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub(crate) struct OfflineDelegationAnswer {
    /// The block that names the agent: revoke it to take the authority back.
    revocation_id: String,
    /// The block by which the one who handed it on had got it; absent when that was the grant's own agent.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    parent_revocation_id: Option<String>,
    /// The agent that got it.
    agent_did: String,
    /// Its id, if it is an agent of this server.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<String>, nullable = false)]
    agent_id: Option<AgentId>,
    #[schema(value_type = String)]
    grant_id: GrantId,
    /// The token that was narrowed.
    #[schema(value_type = String)]
    token_id: TokenId,
    /// How often the authority had been handed on then.
    delegation_depth: u32,
    scopes: Vec<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    audience: Option<String>,
    /// All of them hold.
    #[schema(value_type = Vec<Object>)]
    spending_ceilings: Vec<Ceiling>,
    #[schema(value_type = String, format = DateTime)]
    expires_at: Timestamp,
    #[schema(value_type = String)]
    status: GrantStatus,
    #[schema(value_type = String, format = DateTime)]
    first_seen_at: Timestamp,
    /// The blocks up to the one that names the agent, first one first.
    #[schema(value_type = Vec<Object>)]
    blocks: Vec<Value>,
}

/// A page of what was handed on.
#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub(crate) struct OfflineDelegationList {
    offline_delegations: Vec<OfflineDelegationAnswer>,
    #[serde(flatten)]
    paging: Paging,
}

impl OfflineDelegationAnswer {
    fn new(delegation: OfflineDelegation, status: GrantStatus) -> Self {
        Self {
            agent_id: delegation.agent_id(),
            revocation_id: delegation.revocation_id,
            parent_revocation_id: delegation.parent_revocation_id,
            agent_did: delegation.agent_did,
            grant_id: delegation.grant_id,
            token_id: delegation.token_id,
            delegation_depth: delegation.depth,
            scopes: delegation.scopes,
            audience: delegation.audience,
            spending_ceilings: delegation.ceilings,
            expires_at: delegation.expires_at,
            status,
            first_seen_at: delegation.first_seen_at,
            blocks: delegation.blocks,
        }
    }
}

pub(crate) async fn list<S: Store>(call: &mut Call<S>) -> Result<HttpResponse, ApiError> {
    let developer = call.developer()?;
    let request = call.query()?.page()?;
    let page = match grants::id(call)? {
        Some(id) => {
            call.read(call.grantex.offline_delegations(&developer, id, request.clone()))
                .await?
        }
        None => None,
    };
    let page = page.ok_or_else(|| ApiError::not_found("grant"))?;
    let paging = Paging::of(&request, &page);
    answer::ok(&OfflineDelegationList {
        offline_delegations: page
            .items
            .into_iter()
            .map(|(one, status)| OfflineDelegationAnswer::new(one, status))
            .collect(),
        paging,
    })
}
