//! The audit log: two hash chains per developer, one that callers write and one that the server writes.

pub mod canonical;
pub mod chain;
mod log;
mod verify;

pub use log::{AuditError, AuditFilter, LogEntry};
pub use verify::{BrokenEntry, ChainReport, first_broken};

use crate::clock::Timestamp;
use crate::closed;
use crate::id::{AuditId, DeveloperId};
use crate::trace::TraceId;

closed! {
    /// Which of a developer's two chains.
    #[derive(PartialOrd, Ord)]
    pub enum Chain {
        /// Entries that the developer logs.
        Caller = "caller",
        /// Decisions of the server itself.
        Server = "server",
    }
}

closed! {
    /// How an audited action ended.
    #[derive(serde::Serialize)]
    #[serde(rename_all = "lowercase")]
    pub enum AuditStatus {
        /// It was done.
        Success = "success",
        /// It was tried and failed.
        Failure = "failure",
        /// It was not allowed.
        Blocked = "blocked",
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
    /// The trace of the call that appended it. Not part of what is hashed.
    pub trace_id: Option<TraceId>,
}
