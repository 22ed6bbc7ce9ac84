use diesel::prelude::*;
use grantex_core::authorize::{AuthRequest, AuthRequestState};
use grantex_core::clock::{Lifetime, Timestamp};
use grantex_core::error::StoreError;
use grantex_core::id::{AgentId, AuthRequestId, DeveloperId, GrantId};
use grantex_core::scope::Scopes;
use grantex_core::secret::SecretHash;
use grantex_core::token::pkce::CodeChallenge;

use super::{Place, instant};
use crate::schema::auth_requests;

#[derive(Clone, Queryable, Selectable, Insertable)]
#[diesel(table_name = auth_requests, treat_none_as_default_value = false)]
pub(crate) struct AuthRequestRow {
    id: String,
    developer_id: String,
    agent_id: String,
    principal_id: String,
    scopes: String,
    redirect_uri: Option<String>,
    state: Option<String>,
    expires_in: i64,
    audience: Option<String>,
    code_challenge: Option<String>,
    created_at: i64,
    expires_at: i64,
    status: String,
    code_hash: Option<String>,
    code_expires_at: Option<i64>,
    consumed_at: Option<i64>,
    grant_id: Option<String>,
}

impl TryFrom<AuthRequestRow> for AuthRequest {
    type Error = StoreError;

    fn try_from(row: AuthRequestRow) -> Result<Self, StoreError> {
        let place = Place {
            table: "auth_requests",
            id: &row.id,
        };
        let code_hash = row.code_hash.map(SecretHash::from_stored);
        let status = match row.status.as_str() {
            "pending" => AuthRequestState::Pending,
            "denied" => AuthRequestState::Denied,
            "approved" => AuthRequestState::Approved {
                code_hash: place.expect("code_hash", code_hash)?,
                code_expires_at: place.expect("code_expires_at", instant(row.code_expires_at))?,
            },
            "consumed" => AuthRequestState::Consumed {
                code_hash: place.expect("code_hash", code_hash)?,
                consumed_at: place.expect("consumed_at", instant(row.consumed_at))?,
                grant_id: place.expect("grant_id", row.grant_id.as_deref().and_then(GrantId::parse))?,
            },
            _ => place.expect("status", None)?,
        };
        let code_challenge = match row.code_challenge {
            Some(text) => Some(place.expect("code_challenge", CodeChallenge::parse(&text))?),
            None => None,
        };
        Ok(Self {
            id: place.expect("id", AuthRequestId::parse(&row.id))?,
            developer_id: place.expect("developer_id", DeveloperId::parse(&row.developer_id))?,
            agent_id: place.expect("agent_id", AgentId::parse(&row.agent_id))?,
            principal_id: row.principal_id,
            scopes: Scopes::from_stored(&row.scopes),
            redirect_uri: row.redirect_uri,
            state: row.state,
            expires_in: Lifetime::millis(row.expires_in),
            audience: row.audience,
            code_challenge,
            created_at: Timestamp::from_millis(row.created_at),
            expires_at: Timestamp::from_millis(row.expires_at),
            status,
        })
    }
}

impl From<&AuthRequest> for AuthRequestRow {
    fn from(request: &AuthRequest) -> Self {
        let (mut code_hash, mut code_expires_at, mut consumed, mut grant) = (None, None, None, None);
        match &request.status {
            AuthRequestState::Pending | AuthRequestState::Denied => {}
            AuthRequestState::Approved {
                code_hash: hash,
                code_expires_at: at,
            } => {
                code_hash = Some(hash.as_str().to_owned());
                code_expires_at = Some(at.as_millis());
            }
            AuthRequestState::Consumed {
                code_hash: hash,
                consumed_at,
                grant_id,
            } => {
                code_hash = Some(hash.as_str().to_owned());
                consumed = Some(consumed_at.as_millis());
                grant = Some(grant_id.as_str().to_owned());
            }
        }
        Self {
            id: request.id.as_str().to_owned(),
            developer_id: request.developer_id.as_str().to_owned(),
            agent_id: request.agent_id.as_str().to_owned(),
            principal_id: request.principal_id.clone(),
            scopes: request.scopes.joined(),
            redirect_uri: request.redirect_uri.clone(),
            state: request.state.clone(),
            expires_in: request.expires_in.as_millis(),
            audience: request.audience.clone(),
            code_challenge: request
                .code_challenge
                .as_ref()
                .map(|challenge| challenge.as_str().to_owned()),
            created_at: request.created_at.as_millis(),
            expires_at: request.expires_at.as_millis(),
            status: request.status.as_str().to_owned(),
            code_hash,
            code_expires_at,
            consumed_at: consumed,
            grant_id: grant,
        }
    }
}
