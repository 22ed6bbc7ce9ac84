//! Logging entries and reading them.

use serde_json::{Map, Value};

use super::{AuditEntry, AuditRecord, AuditStatus, Chain, canonical};
use crate::clock::Timestamp;
use crate::context::Context;
use crate::developer::Developer;
use crate::error::StoreError;
use crate::event::Event;
use crate::grantex::Grantex;
use crate::id::AuditId;
use crate::page::{Cursor, Page, PageRequest};
use crate::plan::PlanLimit;
use crate::store::Store;

/// Prefixes of actions that only the server may write.
const RESERVED_ACTIONS: [&str; 3] = ["grantex.", "decision.", "evidence."];
/// Prefix of metadata members that only the server may write.
const RESERVED_MEMBER: &str = "grantex:";

/// What a developer logs.
#[derive(Debug, Clone, PartialEq)]
pub struct LogEntry {
    /// The agent's id.
    pub agent_id: String,
    /// The agent's DID.
    pub agent_did: String,
    /// The grant's id.
    pub grant_id: String,
    /// The principal.
    pub principal_id: String,
    /// What was done.
    pub action: String,
    /// Details.
    pub metadata: Map<String, Value>,
    /// How it ended.
    pub status: AuditStatus,
}

/// Why an entry was not logged.
#[derive(Debug, thiserror::Error)]
pub enum AuditError {
    /// The action begins like those of the server.
    #[error("actions that begin with grantex., decision. or evidence. are reserved")]
    ActionReserved,
    /// A metadata member begins like those of the server.
    #[error("the metadata member {member} is reserved")]
    MetadataReserved {
        /// Its name.
        member: String,
    },
    /// The plan allows no further entry.
    #[error(transparent)]
    PlanLimit(#[from] PlanLimit),
    /// The store failed.
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// Which entries are wanted; members combine with "and".
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct AuditFilter {
    /// With this agent id.
    pub agent_id: Option<String>,
    /// With this grant id.
    pub grant_id: Option<String>,
    /// With this principal.
    pub principal_id: Option<String>,
    /// With this action.
    pub action: Option<String>,
    /// Not before.
    pub since: Option<Timestamp>,
    /// Before.
    pub until: Option<Timestamp>,
}

impl<S: Store> Grantex<S> {
    /// Appends an entry to the developer's own chain. Durable when it returns.
    pub async fn log_audit(
        &self,
        ctx: &Context,
        developer: &Developer,
        entry: LogEntry,
    ) -> Result<AuditEntry, AuditError> {
        if RESERVED_ACTIONS.iter().any(|prefix| entry.action.starts_with(prefix)) {
            return Err(AuditError::ActionReserved);
        }
        if let Some(member) = entry.metadata.keys().find(|member| member.starts_with(RESERVED_MEMBER)) {
            return Err(AuditError::MetadataReserved { member: member.clone() });
        }
        let record = AuditRecord {
            agent_id: entry.agent_id,
            agent_did: entry.agent_did,
            grant_id: entry.grant_id,
            principal_id: entry.principal_id,
            action: entry.action,
            metadata: canonical::members_text(&entry.metadata),
            status: entry.status,
        };
        self.transact(ctx, Some(&developer.id), move |unit| {
            Box::pin(async move {
                let head = unit.lock_head().await?;
                let count = u64::try_from(head.caller.seq).unwrap_or(0);
                PlanLimit::check(head.plan.max_audit_entries(), count, "audit entries")?;
                let entry = unit.append_audit(Chain::Caller, record).await?;
                unit.record(Event::AuditEntryLogged);
                Ok(entry)
            })
        })
        .await
    }

    /// An entry of this developer, from either chain.
    pub async fn audit_entry(&self, developer: &Developer, id: AuditId) -> Result<Option<AuditEntry>, StoreError> {
        let developer = developer.id.clone();
        self.store
            .read(move |tx| Box::pin(async move { tx.audit_entry(&developer, &id).await }))
            .await
    }

    /// Entries of one chain, ascending: a page, or, without one, the newest `size` entries.
    pub async fn audit_entries(
        &self,
        developer: &Developer,
        chain: Chain,
        filter: AuditFilter,
        page: Option<PageRequest>,
        size: u32,
    ) -> Result<Page<AuditEntry>, StoreError> {
        let developer = developer.id.clone();
        self.store
            .read(move |tx| {
                Box::pin(async move {
                    match page {
                        Some(page) => tx.audit_entries(&developer, chain, &filter, &page).await,
                        None => {
                            let mut items = tx.newest_audit_entries(&developer, chain, &filter, size).await?;
                            items.reverse();
                            Ok(Page { items, next: None })
                        }
                    }
                })
            })
            .await
    }
}

impl AuditEntry {
    /// The cursor that names this entry.
    pub fn cursor(&self) -> Cursor {
        Cursor {
            at: self.seq,
            id: self.id.to_string(),
        }
    }
}
