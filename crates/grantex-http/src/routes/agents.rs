//! Agents: registering, changing, listing, deleting.

use actix_web::HttpResponse;
use grantex_core::agent::{Agent, AgentChanges, AgentError, AgentStatus, RegisterAgent};
use grantex_core::clock::Timestamp;
use grantex_core::id::AgentId;
use grantex_core::scope::Scopes;
use grantex_core::store::Store;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::listing::{self, Paging};
use crate::answer;
use crate::call::Call;
use crate::endpoint::{Access, Endpoint};
use crate::error::ApiError;
use crate::extract::{NonBlank, NotServed, Text, present};
use crate::openapi::schema;

pub(crate) const REGISTER: Endpoint = Endpoint::post("/v1/agents", Access::Key, "Registers an agent")
    .takes(schema::<AgentRegistration>)
    .gives(201, schema::<AgentAnswer>)
    .refuses(&[400, 402]);
pub(crate) const LIST: Endpoint = Endpoint::get("/v1/agents", Access::Key, "Lists agents, newest first")
    .query(listing::PAGING)
    .gives(200, schema::<AgentList>)
    .refuses(&[400]);
pub(crate) const GET: Endpoint = Endpoint::get("/v1/agents/{id}", Access::Key, "Shows an agent")
    .gives(200, schema::<AgentAnswer>)
    .refuses(&[404]);
pub(crate) const UPDATE: Endpoint = Endpoint::patch("/v1/agents/{id}", Access::Key, "Changes an agent")
    .takes(schema::<AgentUpdate>)
    .gives(200, schema::<AgentAnswer>)
    .refuses(&[400, 404]);
pub(crate) const UPDATE_BY_POST: Endpoint = Endpoint::post(
    "/v1/agents/{id}",
    Access::Key,
    "Changes an agent, for clients that cannot send PATCH",
)
.takes(schema::<AgentUpdate>)
.gives(200, schema::<AgentAnswer>)
.refuses(&[400, 404]);
pub(crate) const DELETE: Endpoint = Endpoint::delete(
    "/v1/agents/{id}",
    Access::Key,
    "Deletes an agent and revokes its grants",
)
.refuses(&[404]);

#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, ToSchema)]
#[serde(rename_all = "lowercase")]
pub(crate) enum AgentState {
    Active,
    Suspended,
}

impl From<AgentState> for AgentStatus {
    fn from(state: AgentState) -> Self {
        match state {
            AgentState::Active => Self::Active,
            AgentState::Suspended => Self::Suspended,
        }
    }
}

/// A new agent.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub(crate) struct AgentRegistration {
    /// Shown to people.
    #[schema(value_type = String, min_length = 1, max_length = 200)]
    name: NonBlank<200>,
    /// Shown to people.
    #[serde(default, deserialize_with = "present")]
    #[schema(value_type = Option<String>, max_length = 4096, nullable = false)]
    description: Option<Text<0, 4096>>,
    /// The scopes it may ask for; none means any.
    #[serde(default, deserialize_with = "present")]
    #[schema(nullable = false)]
    scopes: Option<Vec<String>>,
    #[serde(default, deserialize_with = "present")]
    #[schema(nullable = false)]
    status: Option<AgentState>,
    #[serde(default, rename = "redirectUris")]
    #[schema(ignore)]
    _redirect_uris: NotServed,
    #[serde(default, rename = "resourceServers")]
    #[schema(ignore)]
    _resource_servers: NotServed,
    #[serde(default, rename = "publicJwk")]
    #[schema(ignore)]
    _public_jwk: NotServed,
    #[serde(default, rename = "statusReason")]
    #[schema(ignore)]
    _status_reason: NotServed,
}

/// Changes to an agent; at least one.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub(crate) struct AgentUpdate {
    /// Shown to people.
    #[serde(default, deserialize_with = "present")]
    #[schema(value_type = Option<String>, min_length = 1, max_length = 200, nullable = false)]
    name: Option<NonBlank<200>>,
    /// Shown to people.
    #[serde(default, deserialize_with = "present")]
    #[schema(value_type = Option<String>, max_length = 4096, nullable = false)]
    description: Option<Text<0, 4096>>,
    /// The scopes it may ask for.
    #[serde(default, deserialize_with = "present")]
    #[schema(nullable = false)]
    scopes: Option<Vec<String>>,
    #[serde(default, deserialize_with = "present")]
    #[schema(nullable = false)]
    status: Option<AgentState>,
    #[serde(default, rename = "redirectUris")]
    #[schema(ignore)]
    _redirect_uris: NotServed,
    #[serde(default, rename = "resourceServers")]
    #[schema(ignore)]
    _resource_servers: NotServed,
    #[serde(default, rename = "publicJwk")]
    #[schema(ignore)]
    _public_jwk: NotServed,
    #[serde(default, rename = "statusReason")]
    #[schema(ignore)]
    _status_reason: NotServed,
}

/// An agent.
#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub(crate) struct AgentAnswer {
    /// The same as `agentId`.
    #[schema(value_type = String)]
    id: AgentId,
    #[schema(value_type = String)]
    agent_id: AgentId,
    /// Decentralized identifier.
    did: String,
    developer_id: String,
    name: String,
    description: String,
    scopes: Vec<String>,
    #[schema(value_type = String)]
    status: AgentStatus,
    /// Always empty: this server does not register redirect URIs.
    redirect_uris: [String; 0],
    /// Always empty: this server does not register resource servers.
    resource_servers: [String; 0],
    /// Always false: this server does not bind keys to agents.
    key_binding_configured: bool,
    #[schema(value_type = String, format = DateTime)]
    created_at: Timestamp,
    #[schema(value_type = String, format = DateTime)]
    updated_at: Timestamp,
}

/// A page of agents.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct AgentList {
    agents: Vec<AgentAnswer>,
    #[serde(flatten)]
    paging: Paging,
}

impl From<Agent> for AgentAnswer {
    fn from(agent: Agent) -> Self {
        Self {
            agent_id: agent.id.clone(),
            did: agent.id.did(),
            id: agent.id,
            developer_id: agent.developer_id.to_string(),
            name: agent.name,
            description: agent.description,
            scopes: agent.scopes.as_slice().to_vec(),
            status: agent.status,
            redirect_uris: [],
            resource_servers: [],
            key_binding_configured: false,
            created_at: agent.created_at,
            updated_at: agent.updated_at,
        }
    }
}

impl TryFrom<AgentRegistration> for RegisterAgent {
    type Error = ApiError;

    fn try_from(body: AgentRegistration) -> Result<Self, ApiError> {
        Ok(Self {
            name: body.name.0,
            description: body.description.map(|text| text.0).unwrap_or_default(),
            scopes: scopes(body.scopes.unwrap_or_default())?,
            status: body.status.map_or(AgentStatus::Active, Into::into),
        })
    }
}

impl TryFrom<AgentUpdate> for AgentChanges {
    type Error = ApiError;

    fn try_from(body: AgentUpdate) -> Result<Self, ApiError> {
        let changes = Self {
            name: body.name.map(|text| text.0),
            description: body.description.map(|text| text.0),
            scopes: body.scopes.map(scopes).transpose()?,
            status: body.status.map(Into::into),
        };
        if changes == Self::default() {
            return Err(ApiError::bad_request(
                "one of `name`, `description`, `scopes` and `status` is required",
            ));
        }
        Ok(changes)
    }
}

fn scopes(items: Vec<String>) -> Result<Scopes, ApiError> {
    Scopes::parse(items).map_err(|error| ApiError::field("scopes", &format!("cannot be accepted: {error}")))
}

pub(crate) async fn register<S: Store>(call: &mut Call<S>) -> Result<HttpResponse, ApiError> {
    let developer = call.developer()?;
    let command: RegisterAgent = call.json::<AgentRegistration>().await?.try_into()?;
    let agent = call
        .write(|grantex, ctx| async move { grantex.register_agent(&ctx, &developer, command).await })
        .await?;
    answer::created(&AgentAnswer::from(agent))
}

pub(crate) async fn list<S: Store>(call: &mut Call<S>) -> Result<HttpResponse, ApiError> {
    let developer = call.developer()?;
    let request = call.query()?.page()?;
    let page = call.read(call.grantex.agents(&developer, request.clone())).await?;
    let paging = Paging::of(&request, &page);
    answer::ok(&AgentList {
        agents: page.items.into_iter().map(Into::into).collect(),
        paging,
    })
}

pub(crate) async fn get<S: Store>(call: &mut Call<S>) -> Result<HttpResponse, ApiError> {
    let developer = call.developer()?;
    let agent = match id(call)? {
        Some(id) => call.read(call.grantex.agent(&developer, id)).await?,
        None => None,
    };
    answer::ok(&AgentAnswer::from(agent.ok_or(AgentError::NotFound)?))
}

pub(crate) async fn update<S: Store>(call: &mut Call<S>) -> Result<HttpResponse, ApiError> {
    let developer = call.developer()?;
    let changes: AgentChanges = call.json::<AgentUpdate>().await?.try_into()?;
    let id = id(call)?.ok_or(AgentError::NotFound)?;
    let agent = call
        .write(|grantex, ctx| async move { grantex.update_agent(&ctx, &developer, id, changes).await })
        .await?;
    answer::ok(&AgentAnswer::from(agent))
}

pub(crate) async fn delete<S: Store>(call: &mut Call<S>) -> Result<HttpResponse, ApiError> {
    let developer = call.developer()?;
    call.no_body().await?;
    let id = id(call)?.ok_or(AgentError::NotFound)?;
    call.write(|grantex, ctx| async move { grantex.delete_agent(&ctx, &developer, id).await })
        .await?;
    answer::no_content()
}

/// `None` when the segment cannot be an agent's id: then there is no such agent.
fn id<S: Store>(call: &Call<S>) -> Result<Option<AgentId>, ApiError> {
    Ok(AgentId::parse(&call.segment("id")?))
}
