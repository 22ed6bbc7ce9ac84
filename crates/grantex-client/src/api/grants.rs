//! Grants: asked for, handed on, listed, revoked.

use grantex_core::clock::Timestamp;
use grantex_core::secret::Secret;
use grantex_core::token::biscuit::TokenFormat;
use serde::{Deserialize, Serialize};
use serde_json::json;

use super::read::{Page, Paging, optional_secret, optional_time, present, time};
use super::tokens::Tokens;
use super::{ApiError, Client, Repeat};

/// A wish to act for a principal.
#[derive(Debug, Clone, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct AuthorizeRequest {
    agent_id: String,
    principal_id: String,
    scopes: Vec<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    redirect_uri: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    state: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    expires_in: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    audience: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    code_challenge: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    code_challenge_method: Option<&'static str>,
}

impl AuthorizeRequest {
    /// An agent, the principal as you name them, and what the agent is to be allowed.
    pub fn new<S: Into<String>>(
        agent_id: impl Into<String>,
        principal_id: impl Into<String>,
        scopes: impl IntoIterator<Item = S>,
    ) -> Self {
        Self {
            agent_id: agent_id.into(),
            principal_id: principal_id.into(),
            scopes: scopes.into_iter().map(Into::into).collect(),
            redirect_uri: None,
            state: None,
            expires_in: None,
            audience: None,
            code_challenge: None,
            code_challenge_method: None,
        }
    }

    /// Where the browser goes after the decision.
    #[must_use]
    pub fn redirect_uri(mut self, uri: impl Into<String>) -> Self {
        self.redirect_uri = Some(uri.into());
        self
    }

    /// What is given back to the redirect URI.
    #[must_use]
    pub fn state(mut self, state: impl Into<String>) -> Self {
        self.state = Some(state.into());
        self
    }

    /// How long the grant lives: a number and `s`, `m`, `h` or `d`; `24h` by default.
    #[must_use]
    pub fn expires_in(mut self, lifetime: impl Into<String>) -> Self {
        self.expires_in = Some(lifetime.into());
        self
    }

    /// The audience of the tokens.
    #[must_use]
    pub fn audience(mut self, audience: impl Into<String>) -> Self {
        self.audience = Some(audience.into());
        self
    }

    /// A code challenge (RFC 7636), S256.
    #[must_use]
    pub fn code_challenge(mut self, challenge: impl Into<String>) -> Self {
        self.code_challenge = Some(challenge.into());
        self.code_challenge_method = Some("S256");
        self
    }
}

/// A request for consent that was opened.
#[derive(Debug, Clone, Deserialize)]
#[serde(rename_all = "camelCase")]
#[non_exhaustive]
pub struct Authorization {
    /// The request. Whoever has it can decide it: a secret.
    #[serde(deserialize_with = "super::read::secret")]
    pub auth_request_id: Secret<String>,
    /// Where the principal decides.
    pub consent_url: String,
    /// Until when it can be decided.
    #[serde(deserialize_with = "time")]
    pub expires_at: Timestamp,
    /// `pending`, `approved` or `denied`.
    pub status: String,
    /// The code, when nobody needs to be asked.
    #[serde(default, deserialize_with = "optional_secret")]
    pub code: Option<Secret<String>>,
}

/// A part of a grant for another agent.
#[derive(Debug, Clone)]
pub struct DelegateRequest {
    parent_token: Secret<String>,
    sub_agent_id: String,
    scopes: Vec<String>,
    expires_in: Option<String>,
    format: TokenFormat,
}

impl DelegateRequest {
    /// A token of the grant that is handed on, the agent that receives, and what of it.
    pub fn new<S: Into<String>>(
        parent_token: Secret<String>,
        sub_agent_id: impl Into<String>,
        scopes: impl IntoIterator<Item = S>,
    ) -> Self {
        Self {
            parent_token,
            sub_agent_id: sub_agent_id.into(),
            scopes: scopes.into_iter().map(Into::into).collect(),
            expires_in: None,
            format: TokenFormat::Jwt,
        }
    }

    /// How long it lives, at most as long as the parent: a number and `s`, `m`, `h` or `d`; `1h` by default.
    #[must_use]
    pub fn expires_in(mut self, lifetime: impl Into<String>) -> Self {
        self.expires_in = Some(lifetime.into());
        self
    }

    /// What the token is to be made as; a JWT by default.
    #[must_use]
    pub const fn format(mut self, format: TokenFormat) -> Self {
        self.format = format;
        self
    }
}

/// A grant.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase")]
#[non_exhaustive]
pub struct Grant {
    /// Its id.
    pub grant_id: String,
    /// The agent that it was made for.
    pub agent_id: String,
    /// Who consented.
    pub principal_id: String,
    /// What is allowed.
    pub scopes: Vec<String>,
    /// `active`, `expired` or `revoked`.
    pub status: String,
    /// When it was made.
    #[serde(deserialize_with = "time")]
    pub issued_at: Timestamp,
    /// When it ends.
    #[serde(deserialize_with = "time")]
    pub expires_at: Timestamp,
    /// When it was revoked.
    #[serde(default, deserialize_with = "optional_time")]
    pub revoked_at: Option<Timestamp>,
    /// How often it was handed on.
    #[serde(default)]
    pub delegation_depth: u32,
    /// The grant that it was delegated from.
    #[serde(default)]
    pub parent_grant_id: Option<String>,
    /// Whom its tokens are for.
    #[serde(default)]
    pub audience: Option<String>,
}

/// Which grants.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct GrantFilter {
    agent_id: Option<String>,
    principal_id: Option<String>,
    status: Option<String>,
}

impl GrantFilter {
    /// All of them.
    pub fn new() -> Self {
        Self::default()
    }

    /// Only of this agent.
    #[must_use]
    pub fn agent(mut self, id: impl Into<String>) -> Self {
        self.agent_id = Some(id.into());
        self
    }

    /// Only of this principal.
    #[must_use]
    pub fn principal(mut self, id: impl Into<String>) -> Self {
        self.principal_id = Some(id.into());
        self
    }

    /// Only `active`, `expired` or `revoked` ones.
    #[must_use]
    pub fn status(mut self, status: impl Into<String>) -> Self {
        self.status = Some(status.into());
        self
    }
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct GrantList {
    grants: Vec<Grant>,
    #[serde(default)]
    next_cursor: Option<String>,
}

impl Client {
    /// Asks a principal for consent.
    ///
    /// # Errors
    /// [`ApiError`].
    pub async fn authorize(&self, request: &AuthorizeRequest) -> Result<Authorization, ApiError> {
        self.post(&["v1", "authorize"], request, Repeat::Unsafe).await
    }

    /// Makes a child grant for another agent.
    ///
    /// # Errors
    /// [`ApiError`].
    pub async fn delegate(&self, request: &DelegateRequest) -> Result<Tokens, ApiError> {
        let mut body = json!({
            "parentGrantToken": request.parent_token.expose(), "subAgentId": request.sub_agent_id,
            "scopes": request.scopes, "tokenFormat": request.format.as_str(),
        });
        if let (Some(members), Some(lifetime)) = (body.as_object_mut(), &request.expires_in) {
            members.insert("expiresIn".into(), json!(lifetime));
        }
        self.post(&["v1", "grants", "delegate"], &body, Repeat::Unsafe).await
    }

    /// Lists grants, newest first.
    ///
    /// # Errors
    /// [`ApiError`].
    pub async fn grants(&self, filter: &GrantFilter, paging: &Paging) -> Result<Page<Grant>, ApiError> {
        let mut query = present(&[
            ("agentId", filter.agent_id.as_deref()),
            ("principalId", filter.principal_id.as_deref()),
            ("status", filter.status.as_deref()),
        ]);
        query.extend(paging.query());
        let list: GrantList = self.get(&["v1", "grants"], &query).await?;
        Ok(Page {
            items: list.grants,
            next_cursor: list.next_cursor,
        })
    }

    /// A grant.
    ///
    /// # Errors
    /// [`ApiError`]; 404 when there is none.
    pub async fn grant(&self, id: &str) -> Result<Grant, ApiError> {
        self.get(&["v1", "grants", id], &[]).await
    }

    /// Revokes a grant with everything that was delegated from it.
    ///
    /// # Errors
    /// [`ApiError`]; 404 when there is none, or it is revoked already: also the answer to a repetition, so it is not repeated here.
    pub async fn revoke_grant(&self, id: &str) -> Result<(), ApiError> {
        self.delete(&["v1", "grants", id]).await
    }
}
