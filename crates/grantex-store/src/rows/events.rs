use diesel::prelude::*;
use grantex_core::clock::Timestamp;
use grantex_core::error::StoreError;
use grantex_core::id::EventId;
use grantex_core::store::{self, StoredEvent};

use super::Place;
use crate::schema::events;

#[derive(Queryable, Selectable, Insertable)]
#[diesel(table_name = events, treat_none_as_default_value = false)]
pub(crate) struct EventRow {
    pub developer_id: String,
    pub seq: i64,
    pub id: String,
    pub kind: String,
    pub payload: String,
    pub created_at: i64,
}

impl TryFrom<EventRow> for StoredEvent {
    type Error = StoreError;

    fn try_from(row: EventRow) -> Result<Self, StoreError> {
        let id = Place {
            table: "events",
            id: &row.id,
        }
        .expect("id", EventId::parse(&row.id))?;
        let created_at = Timestamp::from_millis(row.created_at);
        Ok(Self {
            seq: row.seq,
            id,
            kind: row.kind,
            payload: row.payload,
            created_at,
        })
    }
}

impl From<&store::EventRow> for EventRow {
    fn from(event: &store::EventRow) -> Self {
        Self {
            developer_id: event.developer_id.as_str().to_owned(),
            seq: event.seq,
            id: event.id.as_str().to_owned(),
            kind: event.kind.to_owned(),
            payload: event.payload.clone(),
            created_at: event.created_at.as_millis(),
        }
    }
}
