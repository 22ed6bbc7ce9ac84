//! The audit log: two hash chains per developer, one that callers write and one that the server writes.

pub mod canonical;
pub mod chain;
mod log;
mod verify;

pub use log::{AuditError, AuditFilter, LogEntry};
pub use verify::{BrokenEntry, ChainReport};

use crate::clock::Timestamp;
use crate::id::{AuditId, DeveloperId};

/// Which of a developer's two chains.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Chain {
    /// Entries that the developer logs.
    Caller,
    /// Decisions of the server itself.
    Server,
}

impl Chain {
    /// Both chains.
    pub const ALL: [Self; 2] = [Self::Caller, Self::Server];

    /// The wire form.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Caller => "caller",
            Self::Server => "server",
        }
    }

    /// Reads the wire form.
    pub fn parse(text: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|chain| chain.as_str() == text)
    }
}

/// How an audited action ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, serde::Serialize)]
#[serde(rename_all = "lowercase")]
pub enum AuditStatus {
    /// It was done.
    Success,
    /// It was tried and failed.
    Failure,
    /// It was not allowed.
    Blocked,
}

impl AuditStatus {
    /// The wire form.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Success => "success",
            Self::Failure => "failure",
            Self::Blocked => "blocked",
        }
    }

    /// Reads the wire form.
    pub fn parse(text: &str) -> Option<Self> {
        [Self::Success, Self::Failure, Self::Blocked]
            .into_iter()
            .find(|status| status.as_str() == text)
    }
}

/// What is to be recorded, before it has a place in a chain.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AuditRecord {
    /// The agent's id, or `""`.
    pub agent_id: String,
    /// The agent's DID, or `""`.
    pub agent_did: String,
    /// The grant's id, or `""`.
    pub grant_id: String,
    /// The principal, or `platform` where there is none.
    pub principal_id: String,
    /// What was done.
    pub action: String,
    /// Canonical JSON object text.
    pub metadata: String,
    /// How it ended.
    pub status: AuditStatus,
}

/// An entry in a chain.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AuditEntry {
    /// Identifier; ascending within a chain.
    pub id: AuditId,
    /// The tenant.
    pub developer_id: DeveloperId,
    /// Which chain.
    pub chain: Chain,
    /// Position in the chain, from 1.
    pub seq: i64,
    /// What is recorded.
    pub record: AuditRecord,
    /// When; never earlier than the entry before.
    pub timestamp: Timestamp,
    /// Hash of the entry before; `None` for the first.
    pub prev_hash: Option<String>,
    /// SHA-256 over the entry, 64 lower-case hex digits.
    pub hash: String,
}
