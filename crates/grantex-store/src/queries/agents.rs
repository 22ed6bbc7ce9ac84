use async_trait::async_trait;
use diesel::prelude::*;
use diesel_async::RunQueryDsl;
use grantex_core::agent::Agent;
use grantex_core::clock::Timestamp;
use grantex_core::error::StoreError;
use grantex_core::id::{AgentId, DeveloperId};
use grantex_core::page::{Cursor, Page, PageRequest};
use grantex_core::store::{AgentReads, AgentWrites, DeletedAgent};

use super::{ConnTx, Count, all, skip};
use crate::rows::{AgentChanges, AgentRow, Place};
use crate::schema::agents;

#[async_trait]
impl AgentReads for ConnTx<'_> {
    async fn agent(&mut self, developer: &DeveloperId, id: &AgentId) -> Result<Option<Agent>, StoreError> {
        let query = agents::table
            .find(id.as_str().to_owned())
            .filter(agents::developer_id.eq(developer.as_str().to_owned()))
            .filter(agents::deleted_at.is_null())
            .select(AgentRow::as_select());
        get!(self, AgentRow, query)?.map(Agent::try_from).transpose()
    }

    async fn agents(&mut self, developer: &DeveloperId, page: &PageRequest) -> Result<Page<Agent>, StoreError> {
        let mut query = agents::table
            .filter(agents::developer_id.eq(developer.as_str()))
            .filter(agents::deleted_at.is_null())
            .order((agents::created_at.desc(), agents::id.desc()))
            .limit(i64::from(page.size) + 1)
            .offset(skip(page.offset()))
            .select(AgentRow::as_select())
            .into_boxed();
        if let Some(cursor) = page.after() {
            // The first comparison bounds the index scan, the second decides among rows of the same instant.
            query = query
                .filter(agents::created_at.le(cursor.at))
                .filter(agents::created_at.lt(cursor.at).or(agents::id.lt(&cursor.id)));
        }
        let rows = query.load(self.conn().await?).await;
        let items: Vec<Agent> = all(self.note(rows)?)?;
        Ok(Page::from_overfetched(items, page.size, |agent| Cursor {
            at: agent.created_at.as_millis(),
            id: agent.id.to_string(),
        }))
    }

    async fn count_agents_up_to(&mut self, developer: &DeveloperId, limit: u64) -> Result<u64, StoreError> {
        let query = agents::table
            .filter(agents::developer_id.eq(developer.as_str()))
            .filter(agents::deleted_at.is_null())
            .select(agents::id)
            .limit(skip(limit));
        let count = Count(query).get_result::<i64>(self.conn().await?).await;
        Ok(u64::try_from(self.note(count)?).unwrap_or(0))
    }

    async fn agents_to_clear(&mut self, limit: u32) -> Result<Vec<DeletedAgent>, StoreError> {
        let query = agents::table
            .filter(agents::deleted_at.is_not_null())
            .filter(agents::cleared_at.is_null())
            .order(agents::deleted_at)
            .limit(i64::from(limit))
            .select((agents::developer_id, agents::id, agents::deleted_at.assume_not_null()));
        let rows = query.load::<(String, String, i64)>(self.conn().await?).await;
        let deleted = |(developer, agent, deleted_at): (String, String, i64)| {
            let place = Place {
                table: "agents",
                id: &agent,
            };
            Ok(DeletedAgent {
                developer_id: place.expect("developer_id", DeveloperId::parse(&developer))?,
                agent_id: place.expect("id", AgentId::parse(&agent))?,
                deleted_at: Timestamp::from_millis(deleted_at),
            })
        };
        self.note(rows)?.into_iter().map(deleted).collect()
    }
}

#[async_trait]
impl AgentWrites for ConnTx<'_> {
    async fn insert_agent(&mut self, agent: &Agent) -> Result<(), StoreError> {
        let insert = diesel::insert_into(agents::table).values(AgentRow::from(agent));
        let count = insert.execute(self.conn().await?).await;
        self.note(count).map(drop)
    }

    async fn update_agent(&mut self, agent: &Agent) -> Result<bool, StoreError> {
        let present = agents::table
            .find(agent.id.as_str())
            .filter(agents::developer_id.eq(agent.developer_id.as_str()))
            .filter(agents::deleted_at.is_null());
        let update = diesel::update(present).set(AgentChanges::from(agent));
        let count = update.execute(self.conn().await?).await;
        Ok(self.note(count)? == 1)
    }

    async fn hide_agent(&mut self, developer: &DeveloperId, id: &AgentId, now: Timestamp) -> Result<bool, StoreError> {
        let present = agents::table
            .find(id.as_str())
            .filter(agents::developer_id.eq(developer.as_str()))
            .filter(agents::deleted_at.is_null());
        let update = diesel::update(present).set(agents::deleted_at.eq(now.as_millis()));
        let count = update.execute(self.conn().await?).await;
        Ok(self.note(count)? == 1)
    }

    async fn mark_agent_cleared(&mut self, id: &AgentId, now: Timestamp) -> Result<(), StoreError> {
        let update = diesel::update(agents::table.find(id.as_str())).set(agents::cleared_at.eq(now.as_millis()));
        let count = update.execute(self.conn().await?).await;
        self.note(count).map(drop)
    }
}
