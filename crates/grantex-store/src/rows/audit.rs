use diesel::prelude::*;
use grantex_core::audit::{AuditEntry, AuditRecord, AuditStatus, Chain};
use grantex_core::clock::Timestamp;
use grantex_core::error::StoreError;
use grantex_core::id::{AuditId, DeveloperId};
use grantex_core::trace::TraceId;

use super::Place;
use crate::schema::audit_entries;

#[derive(Queryable, Selectable, Insertable)]
#[diesel(table_name = audit_entries, treat_none_as_default_value = false)]
pub(crate) struct AuditRow {
    pub developer_id: String,
    pub chain: String,
    pub seq: i64,
    pub id: String,
    pub agent_id: String,
    pub agent_did: String,
    pub grant_id: String,
    pub principal_id: String,
    pub action: String,
    pub metadata: String,
    pub status: String,
    pub timestamp: i64,
    pub prev_hash: Option<String>,
    pub hash: String,
    pub trace_id: Option<String>,
}

impl TryFrom<AuditRow> for AuditEntry {
    type Error = StoreError;

    fn try_from(row: AuditRow) -> Result<Self, StoreError> {
        let place = Place {
            table: "audit_entries",
            id: &row.id,
        };
        Ok(Self {
            id: place.expect("id", AuditId::parse(&row.id))?,
            developer_id: place.expect("developer_id", DeveloperId::parse(&row.developer_id))?,
            chain: place.expect("chain", Chain::parse(&row.chain))?,
            seq: row.seq,
            record: AuditRecord {
                status: place.expect("status", AuditStatus::parse(&row.status))?,
                agent_id: row.agent_id,
                agent_did: row.agent_did,
                grant_id: row.grant_id,
                principal_id: row.principal_id,
                action: row.action,
                metadata: row.metadata,
            },
            timestamp: Timestamp::from_millis(row.timestamp),
            prev_hash: row.prev_hash,
            hash: row.hash,
            trace_id: match row.trace_id {
                Some(text) => Some(place.expect("trace_id", TraceId::parse(&text))?),
                None => None,
            },
        })
    }
}

impl From<&AuditEntry> for AuditRow {
    fn from(entry: &AuditEntry) -> Self {
        let record = &entry.record;
        Self {
            developer_id: entry.developer_id.as_str().to_owned(),
            chain: entry.chain.as_str().to_owned(),
            seq: entry.seq,
            id: entry.id.as_str().to_owned(),
            agent_id: record.agent_id.clone(),
            agent_did: record.agent_did.clone(),
            grant_id: record.grant_id.clone(),
            principal_id: record.principal_id.clone(),
            action: record.action.clone(),
            metadata: record.metadata.clone(),
            status: record.status.as_str().to_owned(),
            timestamp: entry.timestamp.as_millis(),
            prev_hash: entry.prev_hash.clone(),
            hash: entry.hash.clone(),
            trace_id: entry.trace_id.map(|id| id.to_string()),
        }
    }
}
