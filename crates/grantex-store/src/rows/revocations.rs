use diesel::prelude::*;
use grantex_core::clock::Timestamp;
use grantex_core::error::StoreError;
use grantex_core::id::{AgentId, DeveloperId};
use grantex_core::page::Cursor;
use grantex_core::revocation::{RevocationAction, RevocationEntry, Spread};

use super::Place;
use crate::schema::{revocation_spreads, revocations};

#[derive(Queryable, Selectable, Insertable)]
#[diesel(table_name = revocations, treat_none_as_default_value = false)]
pub(crate) struct RevocationRow {
    pub developer_id: String,
    pub seq: i64,
    pub action: String,
    pub subject: String,
    pub expires_at: i64,
    pub at: i64,
    pub hash: String,
    pub is_latest: bool,
}

impl RevocationRow {
    pub fn new(developer: &DeveloperId, entry: &RevocationEntry) -> Self {
        Self {
            developer_id: developer.to_string(),
            seq: entry.seq,
            action: entry.action.as_str().to_owned(),
            subject: entry.subject.clone(),
            expires_at: entry.expires_at.as_millis(),
            at: entry.at.as_millis(),
            hash: entry.hash.clone(),
            is_latest: true,
        }
    }
}

impl TryFrom<RevocationRow> for RevocationEntry {
    type Error = StoreError;

    fn try_from(row: RevocationRow) -> Result<Self, StoreError> {
        let action = Place {
            table: "revocations",
            id: &row.subject,
        }
        .expect("action", RevocationAction::parse(&row.action))?;
        Ok(Self {
            seq: row.seq,
            action,
            subject: row.subject,
            expires_at: Timestamp::from_millis(row.expires_at),
            at: Timestamp::from_millis(row.at),
            hash: row.hash,
        })
    }
}

#[derive(Queryable, Selectable, Insertable)]
#[diesel(table_name = revocation_spreads, treat_none_as_default_value = false)]
pub(crate) struct SpreadRow {
    pub agent_id: String,
    pub developer_id: String,
    pub action: String,
    pub after_at: i64,
    pub after_id: String,
}

impl From<&Spread> for SpreadRow {
    fn from(spread: &Spread) -> Self {
        Self {
            agent_id: spread.agent_id.to_string(),
            developer_id: spread.developer_id.to_string(),
            action: spread.action.as_str().to_owned(),
            after_at: spread.after.at,
            after_id: spread.after.id.clone(),
        }
    }
}

impl TryFrom<SpreadRow> for Spread {
    type Error = StoreError;

    fn try_from(row: SpreadRow) -> Result<Self, StoreError> {
        let place = Place {
            table: "revocation_spreads",
            id: &row.agent_id,
        };
        Ok(Self {
            developer_id: place.expect("developer_id", DeveloperId::parse(&row.developer_id))?,
            agent_id: place.expect("agent_id", AgentId::parse(&row.agent_id))?,
            action: place.expect("action", RevocationAction::parse(&row.action))?,
            after: Cursor {
                at: row.after_at,
                id: row.after_id,
            },
        })
    }
}
