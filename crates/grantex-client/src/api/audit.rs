//! The audit log.

use grantex_core::clock::Timestamp;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use super::read::{Page, Paging, present, time};
use super::{ApiError, Client, Repeat};
use crate::verify::Authorized;

/// How something ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
#[non_exhaustive]
pub enum AuditStatus {
    /// Well.
    Success,
    /// Not well.
    Failure,
    /// It was not allowed.
    Blocked,
}

/// Something that an agent did.
#[derive(Debug, Clone, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct LogEntry {
    agent_id: String,
    agent_did: String,
    grant_id: String,
    principal_id: String,
    action: String,
    metadata: Map<String, Value>,
    status: AuditStatus,
}

impl LogEntry {
    /// What was done under a verified token. The agent's id is taken from its DID; of an agent of another server, the DID stands for it.
    pub fn of(authorized: &Authorized, action: impl Into<String>) -> Self {
        let did = authorized.agent_did();
        Self::new(
            did.strip_prefix(grantex_core::id::DID_PREFIX).unwrap_or(did),
            did,
            authorized.grant_id(),
            authorized.principal_id(),
            action,
        )
    }

    /// What was done by an agent under a grant, in the place of a principal.
    pub fn new(
        agent_id: impl Into<String>,
        agent_did: impl Into<String>,
        grant_id: impl Into<String>,
        principal_id: impl Into<String>,
        action: impl Into<String>,
    ) -> Self {
        Self {
            agent_id: agent_id.into(),
            agent_did: agent_did.into(),
            grant_id: grant_id.into(),
            principal_id: principal_id.into(),
            action: action.into(),
            metadata: Map::new(),
            status: AuditStatus::Success,
        }
    }

    /// A detail.
    #[must_use]
    pub fn detail(mut self, name: impl Into<String>, value: impl Into<Value>) -> Self {
        self.metadata.insert(name.into(), value.into());
        self
    }

    /// How it ended; well by default.
    #[must_use]
    pub const fn status(mut self, status: AuditStatus) -> Self {
        self.status = status;
        self
    }
}

/// An entry in its chain.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(rename_all = "camelCase")]
#[non_exhaustive]
pub struct AuditEntry {
    /// Its id.
    pub entry_id: String,
    /// Who did it.
    pub agent_id: String,
    /// Under which grant.
    pub grant_id: String,
    /// For whom.
    pub principal_id: String,
    /// What was done.
    pub action: String,
    /// Details.
    #[serde(default)]
    pub metadata: Map<String, Value>,
    /// SHA-256 over the entry.
    pub hash: String,
    /// The hash of the entry before.
    #[serde(default)]
    pub prev_hash: Option<String>,
    /// When.
    #[serde(deserialize_with = "time")]
    pub timestamp: Timestamp,
    /// How it ended.
    pub status: AuditStatus,
}

/// Which entries.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct AuditFilter {
    agent_id: Option<String>,
    grant_id: Option<String>,
    principal_id: Option<String>,
    action: Option<String>,
    since: Option<String>,
    until: Option<String>,
}

impl AuditFilter {
    /// All of them.
    pub fn new() -> Self {
        Self::default()
    }

    /// Only with this agent id.
    #[must_use]
    pub fn agent(mut self, id: impl Into<String>) -> Self {
        self.agent_id = Some(id.into());
        self
    }

    /// Only with this grant id.
    #[must_use]
    pub fn grant(mut self, id: impl Into<String>) -> Self {
        self.grant_id = Some(id.into());
        self
    }

    /// Only with this principal.
    #[must_use]
    pub fn principal(mut self, id: impl Into<String>) -> Self {
        self.principal_id = Some(id.into());
        self
    }

    /// Only with this action.
    #[must_use]
    pub fn action(mut self, action: impl Into<String>) -> Self {
        self.action = Some(action.into());
        self
    }

    /// Not before this time.
    #[must_use]
    pub fn since(mut self, at: Timestamp) -> Self {
        self.since = Some(at.to_string());
        self
    }

    /// Before this time.
    #[must_use]
    pub fn until(mut self, at: Timestamp) -> Self {
        self.until = Some(at.to_string());
        self
    }
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct EntryList {
    entries: Vec<AuditEntry>,
    #[serde(default)]
    next_cursor: Option<String>,
}

impl Client {
    /// Appends an entry to the developer's chain.
    ///
    /// # Errors
    /// [`ApiError`]. Not repeated: an entry whose answer was lost may be in the chain.
    pub async fn log_audit(&self, entry: &LogEntry) -> Result<AuditEntry, ApiError> {
        self.post(&["v1", "audit", "log"], entry, Repeat::Unsafe).await
    }

    /// Lists entries, ascending; without a start, the newest ones.
    ///
    /// # Errors
    /// [`ApiError`].
    pub async fn audit_entries(&self, filter: &AuditFilter, paging: &Paging) -> Result<Page<AuditEntry>, ApiError> {
        let mut query = present(&[
            ("agentId", filter.agent_id.as_deref()),
            ("grantId", filter.grant_id.as_deref()),
            ("principalId", filter.principal_id.as_deref()),
            ("action", filter.action.as_deref()),
            ("since", filter.since.as_deref()),
            ("until", filter.until.as_deref()),
        ]);
        query.extend(paging.query());
        let list: EntryList = self.get(&["v1", "audit", "entries"], &query).await?;
        Ok(Page {
            items: list.entries,
            next_cursor: list.next_cursor,
        })
    }
}
