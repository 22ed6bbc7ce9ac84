use diesel::prelude::*;
use grantex_core::agent::{Agent, AgentStatus};
use grantex_core::clock::Timestamp;
use grantex_core::error::StoreError;
use grantex_core::id::{AgentId, DeveloperId};
use grantex_core::scope::Scopes;

use super::Place;
use crate::schema::agents;

#[derive(Clone, Queryable, Selectable, Insertable)]
#[diesel(table_name = agents, treat_none_as_default_value = false)]
pub(crate) struct AgentRow {
    id: String,
    developer_id: String,
    name: String,
    description: String,
    scopes: String,
    is_restricted: bool,
    status: String,
    created_at: i64,
    updated_at: i64,
}

impl TryFrom<AgentRow> for Agent {
    type Error = StoreError;

    fn try_from(row: AgentRow) -> Result<Self, StoreError> {
        let place = Place {
            table: "agents",
            id: &row.id,
        };
        Ok(Self {
            id: place.expect("id", AgentId::parse(&row.id))?,
            developer_id: place.expect("developer_id", DeveloperId::parse(&row.developer_id))?,
            scopes: Scopes::from_stored(&row.scopes),
            is_restricted: row.is_restricted,
            status: place.expect("status", AgentStatus::parse(&row.status))?,
            created_at: Timestamp::from_millis(row.created_at),
            updated_at: Timestamp::from_millis(row.updated_at),
            name: row.name,
            description: row.description,
        })
    }
}

impl From<&Agent> for AgentRow {
    fn from(agent: &Agent) -> Self {
        Self {
            id: agent.id.as_str().to_owned(),
            developer_id: agent.developer_id.as_str().to_owned(),
            name: agent.name.clone(),
            description: agent.description.clone(),
            scopes: agent.scopes.joined(),
            is_restricted: agent.is_restricted,
            status: agent.status.as_str().to_owned(),
            created_at: agent.created_at.as_millis(),
            updated_at: agent.updated_at.as_millis(),
        }
    }
}

/// What an update of an agent replaces.
#[derive(AsChangeset)]
#[diesel(table_name = agents)]
pub(crate) struct AgentChanges {
    name: String,
    description: String,
    scopes: String,
    is_restricted: bool,
    status: String,
    updated_at: i64,
}

impl From<&Agent> for AgentChanges {
    fn from(agent: &Agent) -> Self {
        let row = AgentRow::from(agent);
        Self {
            name: row.name,
            description: row.description,
            scopes: row.scopes,
            is_restricted: row.is_restricted,
            status: row.status,
            updated_at: row.updated_at,
        }
    }
}
