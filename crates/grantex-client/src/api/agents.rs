//! Agents.

use grantex_core::clock::Timestamp;
use serde::{Deserialize, Serialize};

use super::read::{Page, Paging, time};
use super::{ApiError, Client, Repeat};

/// A new agent.
#[derive(Debug, Clone, Serialize)]
pub struct RegisterAgent {
    name: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    description: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    scopes: Option<Vec<String>>,
}

impl RegisterAgent {
    /// An agent of this name, which people are shown.
    pub fn new(name: impl Into<String>) -> Self {
        Self {
            name: name.into(),
            description: None,
            scopes: None,
        }
    }

    /// What people are told of it.
    #[must_use]
    pub fn description(mut self, text: impl Into<String>) -> Self {
        self.description = Some(text.into());
        self
    }

    /// The scopes that it may ask for; without any, it may ask for all.
    #[must_use]
    pub fn scopes<S: Into<String>>(mut self, scopes: impl IntoIterator<Item = S>) -> Self {
        self.scopes = Some(scopes.into_iter().map(Into::into).collect());
        self
    }
}

/// An agent.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase")]
#[non_exhaustive]
pub struct Agent {
    /// Its id.
    pub agent_id: String,
    /// Its decentralized identifier.
    pub did: String,
    /// Its name.
    pub name: String,
    /// What people are told of it.
    #[serde(default)]
    pub description: String,
    /// The scopes that it may ask for.
    pub scopes: Vec<String>,
    /// `active` or `suspended`.
    pub status: String,
    /// When it was registered.
    #[serde(deserialize_with = "time")]
    pub created_at: Timestamp,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct AgentList {
    agents: Vec<Agent>,
    #[serde(default)]
    next_cursor: Option<String>,
}

impl Client {
    /// Registers an agent.
    ///
    /// # Errors
    /// [`ApiError`].
    pub async fn register_agent(&self, agent: &RegisterAgent) -> Result<Agent, ApiError> {
        self.post(&["v1", "agents"], agent, Repeat::Unsafe).await
    }

    /// Lists agents, newest first.
    ///
    /// # Errors
    /// [`ApiError`].
    pub async fn agents(&self, paging: &Paging) -> Result<Page<Agent>, ApiError> {
        let query: Vec<(&str, &str)> = paging.query().collect();
        let list: AgentList = self.get(&["v1", "agents"], &query).await?;
        Ok(Page {
            items: list.agents,
            next_cursor: list.next_cursor,
        })
    }

    /// An agent.
    ///
    /// # Errors
    /// [`ApiError`]; 404 when there is none.
    pub async fn agent(&self, id: &str) -> Result<Agent, ApiError> {
        self.get(&["v1", "agents", id], &[]).await
    }
}
