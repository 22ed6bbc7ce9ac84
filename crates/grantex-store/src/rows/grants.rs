use diesel::prelude::*;
use grantex_core::clock::Timestamp;
use grantex_core::error::StoreError;
use grantex_core::grant::{Grant, GrantState};
use grantex_core::id::{AgentId, DeveloperId, GrantId};
use grantex_core::scope::Scopes;

use super::Place;
use crate::schema::grants;

#[derive(Clone, Queryable, Selectable, Insertable)]
#[diesel(table_name = grants, treat_none_as_default_value = false)]
pub(crate) struct GrantRow {
    pub id: String,
    pub developer_id: String,
    pub agent_id: String,
    pub principal_id: String,
    pub scopes: String,
    pub audience: Option<String>,
    pub issued_at: i64,
    pub expires_at: i64,
    pub revoked_at: Option<i64>,
    pub parent_grant_id: Option<String>,
    pub delegation_depth: i64,
    pub delegators: String,
    pub is_counted: bool,
}

/// The state that a revocation time stands for.
pub(crate) fn state(revoked_at: Option<i64>) -> GrantState {
    match revoked_at {
        Some(at) => GrantState::Revoked {
            at: Timestamp::from_millis(at),
        },
        None => GrantState::Active,
    }
}

impl TryFrom<GrantRow> for Grant {
    type Error = StoreError;

    fn try_from(row: GrantRow) -> Result<Self, StoreError> {
        let place = Place {
            table: "grants",
            id: &row.id,
        };
        let parent_grant_id = match &row.parent_grant_id {
            Some(text) => Some(place.expect("parent_grant_id", GrantId::parse(text))?),
            None => None,
        };
        let delegators = row
            .delegators
            .split(' ')
            .filter(|id| !id.is_empty())
            .map(AgentId::parse)
            .collect();
        Ok(Self {
            id: place.expect("id", GrantId::parse(&row.id))?,
            developer_id: place.expect("developer_id", DeveloperId::parse(&row.developer_id))?,
            agent_id: place.expect("agent_id", AgentId::parse(&row.agent_id))?,
            scopes: Scopes::from_stored(&row.scopes),
            audience: row.audience,
            state: state(row.revoked_at),
            issued_at: Timestamp::from_millis(row.issued_at),
            expires_at: Timestamp::from_millis(row.expires_at),
            parent_grant_id,
            delegation_depth: place.expect("delegation_depth", u32::try_from(row.delegation_depth).ok())?,
            delegators: place.expect("delegators", delegators)?,
            principal_id: row.principal_id,
        })
    }
}

impl From<&Grant> for GrantRow {
    fn from(grant: &Grant) -> Self {
        let revoked_at = match grant.state {
            GrantState::Active => None,
            GrantState::Revoked { at } => Some(at.as_millis()),
        };
        Self {
            id: grant.id.as_str().to_owned(),
            developer_id: grant.developer_id.as_str().to_owned(),
            agent_id: grant.agent_id.as_str().to_owned(),
            principal_id: grant.principal_id.clone(),
            scopes: grant.scopes.joined(),
            audience: grant.audience.clone(),
            issued_at: grant.issued_at.as_millis(),
            expires_at: grant.expires_at.as_millis(),
            revoked_at,
            parent_grant_id: grant.parent_grant_id.as_ref().map(|id| id.as_str().to_owned()),
            delegation_depth: i64::from(grant.delegation_depth),
            delegators: grant
                .delegators
                .iter()
                .map(AgentId::as_str)
                .collect::<Vec<_>>()
                .join(" "),
            is_counted: revoked_at.is_none(),
        }
    }
}
