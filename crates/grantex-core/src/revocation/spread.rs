//! An agent is suspended, resumed or deleted at once, by one row; the feed tells of grants. So that no unit grows without bound, the
//! first of them are told in the unit that changes the agent, and the others in units of their own right behind it.
//!
//! What is left to tell is a row in the store, written with the change: whoever finds it goes on, whatever became of the process that
//! began.

use slog::warn;

use super::change::Told;
use super::{RevocationAction, Spread};
use crate::context::Context;
use crate::error::{StoreError, chain};
use crate::grantex::{Grantex, Unit};
use crate::id::{AgentId, DeveloperId, GrantId};
use crate::page::Cursor;
use crate::store::Store;

/// Grants of an agent that one unit tells of, beside what was delegated from them.
const CHUNK: u32 = 1_000;
/// Units that the call spends on the rest before it answers.
const AT_ONCE: u32 = 4;
/// Units that one run of the job spends on one agent; the next run goes on.
const UNITS: u32 = 200;
/// Agents that one run of the job reads at a time.
const PAGE: u32 = 100;

impl<S: Store> Grantex<S> {
    /// Tells the feed of the grants of agents that were suspended, resumed or deleted and have so many that one unit did not do; returns
    /// how many units it took. To be run every few seconds. Safe on several servers at once.
    pub async fn spread_revocations(&self, ctx: &Context) -> Result<u64, StoreError> {
        let mut after = None;
        let mut units = 0;
        loop {
            let behind = after.take();
            let page: Vec<(DeveloperId, AgentId)> = self
                .store
                .read(move |tx| Box::pin(async move { tx.pending_spreads(behind.as_ref(), PAGE).await }))
                .await?;
            for (developer, agent) in &page {
                units += self.spread_some(ctx, developer, agent, UNITS).await?;
            }
            if page.len() < PAGE as usize {
                return Ok(units);
            }
            after = page.last().map(|(_, agent)| agent.clone());
        }
    }

    /// Goes on telling right after an agent was changed. A failure is made up for by the job.
    pub(crate) async fn spread_at_once(&self, ctx: &Context, developer: &DeveloperId, agent: &AgentId) {
        if let Err(error) = self.spread_some(ctx, developer, agent, AT_ONCE).await {
            warn!(ctx.logger(), "revocation_feed.not_told"; "error" => chain(&error));
        }
    }

    async fn spread_some(
        &self,
        ctx: &Context,
        developer: &DeveloperId,
        agent: &AgentId,
        limit: u32,
    ) -> Result<u64, StoreError> {
        let mut units = 0;
        for _ in 0..limit {
            let (owner, id) = (developer.clone(), agent.clone());
            let told = self
                .transact(ctx, Some(developer), move |unit| {
                    Box::pin(async move {
                        // Whoever else is at it has gone on when this unit gets the head.
                        unit.lock_head().await?;
                        let Some(spread) = unit.tx.pending_spread(&owner, &id).await? else {
                            return Ok::<_, StoreError>(None);
                        };
                        unit.spread(&id, spread.action, Some(spread.after)).await.map(Some)
                    })
                })
                .await?;
            units += u64::from(told.is_some());
            if told != Some(Told::Some) {
                break;
            }
        }
        Ok(units)
    }
}

impl Unit<'_> {
    /// Tells of the first grants of an agent, and notes what is left in place of what was left of an earlier change.
    pub(super) async fn begin_spread(&mut self, agent: &AgentId, action: RevocationAction) -> Result<Told, StoreError> {
        self.lock_head().await?;
        self.spread(agent, action, None).await
    }

    /// Tells of the next grants of an agent.
    async fn spread(
        &mut self,
        agent: &AgentId,
        action: RevocationAction,
        after: Option<Cursor>,
    ) -> Result<Told, StoreError> {
        let developer = self.developer()?.clone();
        let roots = self.tx.active_grants_of_agent(agent, after.as_ref(), CHUNK).await?;
        let mut all: Vec<GrantId> = roots.items;
        let mut level = all.clone();
        while !level.is_empty() {
            level = self.tx.child_grants(&developer, &level).await?;
            all.extend(level.iter().cloned());
        }
        self.changes.grants(action, all);
        let Some(after) = roots.next else {
            self.tx.remove_spread(agent).await?;
            return Ok(Told::Everything);
        };
        self.tx
            .put_spread(&Spread {
                developer_id: developer,
                agent_id: agent.clone(),
                action,
                after,
            })
            .await?;
        Ok(Told::Some)
    }
}
