//! Principals: what a person sees and takes back in a session that their developer opened.

use actix_web::HttpResponse;
use grantex_core::audit::{AuditEntry, AuditStatus};
use grantex_core::clock::Timestamp;
use grantex_core::grant::RevokeGrantError;
use grantex_core::scope;
use grantex_core::store::{PrincipalGrant, Store};
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;
use utoipa::ToSchema;

use super::audit::raw;
use super::authorize::lifetime;
use super::grants;
use crate::answer;
use crate::call::Call;
use crate::endpoint::{Access, AddressLimit, Endpoint};
use crate::error::ApiError;
use crate::extract::{Text, present};
use crate::limit::Bucket;
use crate::openapi::schema;

pub(crate) const OPEN: Endpoint = Endpoint::post(
    "/v1/principal-sessions",
    Access::Key,
    "Opens a session in which a principal sees and revokes grants",
)
.limited_by(AddressLimit::Own(Bucket::PrincipalSessions))
.takes(schema::<SessionBody>)
.gives(201, schema::<SessionAnswer>)
.refuses(&[400, 404]);
pub(crate) const GRANTS: Endpoint = Endpoint::get(
    "/v1/principal/grants",
    Access::Session,
    "Lists the principal's grants in force, newest first",
)
.gives(200, schema::<PrincipalGrants>);
pub(crate) const AUDIT: Endpoint = Endpoint::get(
    "/v1/principal/audit",
    Access::Session,
    "Lists what agents did for the principal, newest first",
)
.gives(200, schema::<PrincipalEntries>);
pub(crate) const REVOKE: Endpoint = Endpoint::delete(
    "/v1/principal/grants/{id}",
    Access::Session,
    "Revokes one of the principal's grants with everything below it",
)
.refuses(&[404]);

const DEFAULT_LIFETIME: &str = "1h";

/// Whose session, and how long.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub(crate) struct SessionBody {
    #[schema(value_type = String, min_length = 1, max_length = 256)]
    principal_id: Text<1, 256>,
    /// A number and `s`, `m`, `h` or `d`; `1h` by default, cut at 24 hours.
    #[serde(default, deserialize_with = "present")]
    #[schema(nullable = false, pattern = r"^\d+[smhd]$")]
    expires_in: Option<String>,
}

/// A session.
#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub(crate) struct SessionAnswer<'a> {
    session_token: &'a str,
    /// The permissions page with the session in its fragment, which browsers do not send.
    dashboard_url: String,
    #[schema(value_type = String, format = DateTime)]
    expires_at: Timestamp,
}

/// A grant as its principal sees it.
#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub(crate) struct PrincipalGrantAnswer {
    grant_id: String,
    agent_id: String,
    agent_name: Option<String>,
    agent_description: Option<String>,
    agent_did: Option<String>,
    scopes: Vec<String>,
    /// A sentence for each scope, in the same order.
    scope_descriptions: Vec<String>,
    status: &'static str,
    #[schema(value_type = String, format = DateTime)]
    issued_at: Timestamp,
    #[schema(value_type = String, format = DateTime)]
    expires_at: Timestamp,
    delegation_depth: u32,
}

/// A principal's grants.
#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub(crate) struct PrincipalGrants {
    grants: Vec<PrincipalGrantAnswer>,
    principal_id: String,
}

/// An audit entry as its principal sees it.
#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub(crate) struct PrincipalEntry {
    entry_id: String,
    agent_id: String,
    agent_did: String,
    grant_id: String,
    principal_id: String,
    action: String,
    #[schema(value_type = Object)]
    metadata: Box<RawValue>,
    #[schema(value_type = String)]
    status: AuditStatus,
    #[schema(value_type = String, format = DateTime)]
    timestamp: Timestamp,
}

/// What agents did for a principal.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct PrincipalEntries {
    entries: Vec<PrincipalEntry>,
}

impl From<PrincipalGrant> for PrincipalGrantAnswer {
    fn from(found: PrincipalGrant) -> Self {
        let PrincipalGrant { grant, agent } = found;
        Self {
            grant_id: grant.id.to_string(),
            agent_id: grant.agent_id.to_string(),
            agent_did: Some(grant.agent_id.did()),
            agent_description: agent.as_ref().map(|agent| agent.description.clone()),
            agent_name: agent.map(|agent| agent.name),
            scope_descriptions: grant
                .scopes
                .as_slice()
                .iter()
                .map(|item| scope::describe(item))
                .collect(),
            scopes: grant.scopes.as_slice().to_vec(),
            status: "active",
            issued_at: grant.issued_at,
            expires_at: grant.expires_at,
            delegation_depth: grant.delegation_depth,
        }
    }
}

impl TryFrom<AuditEntry> for PrincipalEntry {
    type Error = ApiError;

    fn try_from(entry: AuditEntry) -> Result<Self, ApiError> {
        Ok(Self {
            entry_id: entry.id.to_string(),
            agent_id: entry.record.agent_id,
            agent_did: entry.record.agent_did,
            grant_id: entry.record.grant_id,
            principal_id: entry.record.principal_id,
            action: entry.record.action,
            metadata: raw(entry.record.metadata)?,
            status: entry.record.status,
            timestamp: entry.timestamp,
        })
    }
}

pub(crate) async fn open<S: Store>(call: &mut Call<S>) -> Result<HttpResponse, ApiError> {
    let developer = call.developer()?;
    let body: SessionBody = call.json().await?;
    let life = lifetime(body.expires_in.as_deref().unwrap_or(DEFAULT_LIFETIME))?;
    let principal = body.principal_id.0;
    let session = call
        .read(call.grantex.open_session(call.context(), &developer, principal, life))
        .await?;
    // A JWT is made of characters that a fragment may hold as they are.
    let dashboard_url = call
        .app
        .link(&format!("/permissions#session={}", session.token.expose()));
    answer::created(&SessionAnswer {
        session_token: session.token.expose(),
        dashboard_url,
        expires_at: session.expires_at,
    })
}

pub(crate) async fn grants<S: Store>(call: &mut Call<S>) -> Result<HttpResponse, ApiError> {
    let session = call.session()?;
    let grants = call.read(call.grantex.principal_grants(&session)).await?;
    answer::ok(&PrincipalGrants {
        grants: grants.into_iter().map(Into::into).collect(),
        principal_id: session.principal_id,
    })
}

pub(crate) async fn audit<S: Store>(call: &mut Call<S>) -> Result<HttpResponse, ApiError> {
    let session = call.session()?;
    let entries = call.read(call.grantex.principal_audit(&session)).await?;
    answer::ok(&PrincipalEntries {
        entries: entries
            .into_iter()
            .map(PrincipalEntry::try_from)
            .collect::<Result<_, _>>()?,
    })
}

pub(crate) async fn revoke<S: Store>(call: &mut Call<S>) -> Result<HttpResponse, ApiError> {
    let session = call.session()?;
    call.no_body().await?;
    let id = grants::id(call)?.ok_or(RevokeGrantError::NotFound)?;
    call.write(|grantex, ctx| async move { grantex.revoke_own_grant(&ctx, &session, id).await })
        .await?;
    answer::no_content()
}
