//! Registering, changing and deleting agents.

use super::{Agent, AgentStatus};
use crate::clock::Lifetime;
use crate::context::Context;
use crate::developer::Developer;
use crate::error::StoreError;
use crate::event::{AgentChange, Event};
use crate::grant::RevokedBy;
use crate::grantex::Grantex;
use crate::id::{AgentId, DeveloperId, GrantId, new_id};
use crate::page::{Cursor, Page, PageRequest};
use crate::plan::PlanLimit;
use crate::revocation::change::Told;
use crate::scope::Scopes;
use crate::store::Store;

/// Roots that one unit revokes when an agent is deleted, so that no unit grows without bound.
const CLEAR_CHUNK: u32 = 1_000;
/// Units that one run of the job spends on one agent; the next run goes on.
const CLEAR_UNITS: u32 = 100;
/// How long a deleted agent is visited again: longer than any exchange that began before the deletion may still take.
const CLEAR_AGAIN_FOR: Lifetime = Lifetime::minutes(1);

/// The wish to register an agent.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RegisterAgent {
    /// Name.
    pub name: String,
    /// Description.
    pub description: String,
    /// The scopes it may ask for; none means unrestricted.
    pub scopes: Scopes,
    /// Active or suspended.
    pub status: AgentStatus,
}

/// What is to change.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct AgentChanges {
    /// Name.
    pub name: Option<String>,
    /// Description.
    pub description: Option<String>,
    /// Scopes; an agent that ever had some stays restricted when they are emptied.
    pub scopes: Option<Scopes>,
    /// Active or suspended.
    pub status: Option<AgentStatus>,
}

/// Why an agent was not registered, changed or deleted.
#[derive(Debug, thiserror::Error)]
pub enum AgentError {
    /// There is no such agent.
    #[error("there is no such agent")]
    NotFound,
    /// The plan allows no further agent.
    #[error(transparent)]
    PlanLimit(#[from] PlanLimit),
    /// The store failed.
    #[error(transparent)]
    Store(#[from] StoreError),
}

impl<S: Store> Grantex<S> {
    /// Registers an agent. Count and insert are serialized per developer where the plan has a limit.
    pub async fn register_agent(
        &self,
        ctx: &Context,
        developer: &Developer,
        command: RegisterAgent,
    ) -> Result<Agent, AgentError> {
        let now = self.now();
        let agent = Agent {
            id: new_id(&*self.parts.random, now),
            developer_id: developer.id.clone(),
            name: command.name,
            description: command.description,
            is_restricted: !command.scopes.is_empty(),
            scopes: command.scopes,
            status: command.status,
            created_at: now,
            updated_at: now,
        };
        let row = agent.clone();
        self.transact(ctx, Some(&developer.id), move |unit| {
            Box::pin(async move {
                if let Some(limit) = unit.lock_head().await?.plan.max_agents() {
                    let count = unit.tx.count_agents_up_to(&row.developer_id, limit).await?;
                    PlanLimit::check(Some(limit), count, "agents")?;
                }
                unit.tx.insert_agent(&row).await?;
                unit.record(Event::AgentChanged {
                    agent_id: row.id,
                    change: AgentChange::Registered,
                });
                Ok::<_, AgentError>(())
            })
        })
        .await?;
        Ok(agent)
    }

    /// Changes an agent. Suspending it makes its tokens, and those delegated from them, fail verification at once.
    pub async fn update_agent(
        &self,
        ctx: &Context,
        developer: &Developer,
        id: AgentId,
        changes: AgentChanges,
    ) -> Result<Agent, AgentError> {
        let changed = self.transact(ctx, Some(&developer.id), move |unit| {
            Box::pin(async move {
                // Of two changes at once, the later one must not undo the earlier: a renaming never ends a suspension.
                unit.lock_head().await?;
                let developer = unit.developer()?.clone();
                let mut agent = unit.tx.agent(&developer, &id).await?.ok_or(AgentError::NotFound)?;
                let change = match changes.status {
                    Some(AgentStatus::Suspended) if agent.status == AgentStatus::Active => AgentChange::Suspended,
                    Some(AgentStatus::Active) if agent.status == AgentStatus::Suspended => AgentChange::Resumed,
                    _ => AgentChange::Updated,
                };
                let before = agent.status;
                agent.apply(changes);
                agent.updated_at = unit.now;
                let told = unit.save_agent(&agent, before).await?.ok_or(AgentError::NotFound)?;
                unit.record(Event::AgentChanged { agent_id: id, change });
                Ok::<_, AgentError>((agent, told))
            })
        });
        let (agent, told) = changed.await?;
        if told == Told::Some {
            self.spread_at_once(ctx, &developer.id, &agent.id).await;
        }
        Ok(agent)
    }

    /// Deletes an agent: it is hidden at once, so that its tokens fail. The first of its grants are revoked right after, the
    /// others by [`Grantex::clear_deleted_agents`].
    pub async fn delete_agent(&self, ctx: &Context, developer: &Developer, id: AgentId) -> Result<(), AgentError> {
        let hidden = id.clone();
        // Whoever hands out tokens of the agent holds the developer's head, and must not do so beside the deletion.
        let deleted = self.transact(ctx, Some(&developer.id), move |unit| {
            Box::pin(async move {
                let told = unit.hide_agent(&hidden).await?.ok_or(AgentError::NotFound)?;
                unit.record(Event::AgentChanged {
                    agent_id: hidden,
                    change: AgentChange::Deleted,
                });
                Ok::<_, AgentError>(told)
            })
        });
        // The deletion is committed: a failure from here on must not be taken for its own, and the job makes up for it.
        if deleted.await? == Told::Some {
            self.spread_at_once(ctx, &developer.id, &id).await;
        }
        let _ = self.revoke_some_grants_of_agent(ctx, &developer.id, &id, None).await;
        Ok(())
    }

    /// An agent of this developer.
    pub async fn agent(&self, developer: &Developer, id: AgentId) -> Result<Option<Agent>, StoreError> {
        self.store.agent(developer.id.clone(), id).await
    }

    /// A developer's agents, newest first, one page.
    pub async fn agents(&self, developer: &Developer, page: PageRequest) -> Result<Page<Agent>, StoreError> {
        let developer = developer.id.clone();
        self.store
            .read(move |tx| Box::pin(async move { tx.agents(&developer, &page).await }))
            .await
    }

    /// How many of an agent's last `among` grants are in force: for gauges. Reads `among` rows at most.
    pub async fn count_agent_grants(&self, id: &AgentId, among: u64) -> Result<u64, StoreError> {
        let (id, now) = (id.clone(), self.now());
        self.store
            .read(move |tx| Box::pin(async move { tx.count_agent_grants(&id, now, among).await }))
            .await
    }

    /// Revokes what deleted agents left behind; returns how many of their grants were revoked, not counting descendants. To be
    /// run every few seconds. An agent's grants are revoked over several units, and several runs if there are very many.
    pub async fn clear_deleted_agents(&self, ctx: &Context) -> Result<u64, StoreError> {
        let agents = self
            .store
            .read(|tx| Box::pin(async move { tx.agents_to_clear(100).await }))
            .await?;
        let mut revoked = 0;
        for agent in agents {
            // Judged before the grants are read, so that an exchange which ends in between is met by another visit.
            let is_settled = agent.deleted_at.plus(CLEAR_AGAIN_FOR) < self.now();
            let mut next = None;
            let mut is_cleared = false;
            for _ in 0..CLEAR_UNITS {
                let visited = self
                    .revoke_some_grants_of_agent(ctx, &agent.developer_id, &agent.agent_id, next)
                    .await?;
                revoked += u64::try_from(visited.items.len()).unwrap_or(u64::MAX);
                next = visited.next;
                is_cleared = next.is_none();
                if is_cleared {
                    break;
                }
            }
            if is_cleared && is_settled {
                self.transact(ctx, None, move |unit| {
                    Box::pin(async move { unit.tx.mark_agent_cleared(&agent.agent_id, unit.now).await })
                })
                .await?;
            }
        }
        Ok(revoked)
    }

    /// Revokes up to [`CLEAR_CHUNK`] grants of a deleted agent in one unit; returns what it found, and where to go on.
    async fn revoke_some_grants_of_agent(
        &self,
        ctx: &Context,
        developer: &DeveloperId,
        agent: &AgentId,
        after: Option<Cursor>,
    ) -> Result<Page<GrantId>, StoreError> {
        let agent = agent.clone();
        self.transact(ctx, Some(developer), move |unit| {
            Box::pin(async move {
                let roots = unit
                    .tx
                    .active_grants_of_agent(&agent, after.as_ref(), CLEAR_CHUNK)
                    .await?;
                let developer = unit.developer()?.clone();
                for root in &roots.items {
                    if let Some(grant) = unit.tx.grant(&developer, root).await? {
                        unit.revoke_with_descendants(&grant, RevokedBy::AgentDeleted).await?;
                    }
                }
                Ok(roots)
            })
        })
        .await
    }
}

impl Agent {
    fn apply(&mut self, changes: AgentChanges) {
        if let Some(name) = changes.name {
            self.name = name;
        }
        if let Some(description) = changes.description {
            self.description = description;
        }
        if let Some(scopes) = changes.scopes {
            self.is_restricted |= !scopes.is_empty();
            self.scopes = scopes;
        }
        if let Some(status) = changes.status {
            self.status = status;
        }
    }
}
