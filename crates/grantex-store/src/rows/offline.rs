use diesel::prelude::*;
use grantex_core::clock::Timestamp;
use grantex_core::error::StoreError;
use grantex_core::grant::offline::OfflineDelegation;
use grantex_core::id::{DeveloperId, GrantId, TokenId};
use grantex_core::token::biscuit::Ceiling;
use serde_json::{Value, json};

use super::Place;
use crate::schema::offline_delegations;

#[derive(Queryable, Selectable, Insertable)]
#[diesel(table_name = offline_delegations)]
pub(crate) struct OfflineDelegationRow {
    developer_id: String,
    revocation_id: String,
    parent_revocation_id: Option<String>,
    grant_id: String,
    token_id: String,
    agent_did: String,
    depth: i64,
    scopes: String,
    audience: Option<String>,
    ceilings: String,
    blocks: String,
    expires_at: i64,
    first_seen_at: i64,
}

impl From<&OfflineDelegation> for OfflineDelegationRow {
    fn from(delegation: &OfflineDelegation) -> Self {
        Self {
            developer_id: delegation.developer_id.to_string(),
            revocation_id: delegation.revocation_id.clone(),
            parent_revocation_id: delegation.parent_revocation_id.clone(),
            grant_id: delegation.grant_id.to_string(),
            token_id: delegation.token_id.to_string(),
            agent_did: delegation.agent_did.clone(),
            depth: i64::from(delegation.depth),
            scopes: json!(delegation.scopes).to_string(),
            audience: delegation.audience.clone(),
            ceilings: json!(delegation.ceilings).to_string(),
            blocks: Value::Array(delegation.blocks.clone()).to_string(),
            expires_at: delegation.expires_at.as_millis(),
            first_seen_at: delegation.first_seen_at.as_millis(),
        }
    }
}

impl TryFrom<OfflineDelegationRow> for OfflineDelegation {
    type Error = StoreError;

    fn try_from(row: OfflineDelegationRow) -> Result<Self, StoreError> {
        let place = Place {
            table: "offline_delegations",
            id: &row.revocation_id,
        };
        Ok(Self {
            developer_id: place.expect("developer_id", DeveloperId::parse(&row.developer_id))?,
            grant_id: place.expect("grant_id", GrantId::parse(&row.grant_id))?,
            token_id: place.expect("token_id", TokenId::parse(&row.token_id))?,
            depth: place.expect("depth", u32::try_from(row.depth).ok())?,
            scopes: place.expect("scopes", serde_json::from_str(&row.scopes).ok())?,
            ceilings: place.expect("ceilings", ceilings(&row.ceilings))?,
            blocks: place.expect("blocks", serde_json::from_str(&row.blocks).ok())?,
            expires_at: Timestamp::from_millis(row.expires_at),
            first_seen_at: Timestamp::from_millis(row.first_seen_at),
            parent_revocation_id: row.parent_revocation_id,
            agent_did: row.agent_did,
            audience: row.audience,
            revocation_id: row.revocation_id,
        })
    }
}

fn ceilings(text: &str) -> Option<Vec<Ceiling>> {
    let stored: Vec<Value> = serde_json::from_str(text).ok()?;
    let ceiling = |one: &Value| {
        Some(Ceiling {
            currency: one.get("currency")?.as_str()?.to_owned(),
            amount: one.get("amount")?.as_i64()?,
        })
    };
    stored.iter().map(ceiling).collect()
}
