//! Doing what a developer wants done about findings.

use super::manage::AnomalyError;
use super::response::{
    AnomalyResponse, MAX_NAMED_GRANTS, MAX_NAMED_RULES, MAX_RESPONSE_RULES, PendingResponse, ResponseAction,
    ResponseMode, ResponsePolicy, ResponseRule,
};
use super::rules::rule_named;
use crate::agent::AgentStatus;
use crate::context::Context;
use crate::developer::Developer;
use crate::error::StoreError;
use crate::event::{AgentChange, Event};
use crate::grant::RevokedBy;
use crate::grantex::{Grantex, Unit};
use crate::id::{AnomalyId, DeveloperId};
use crate::store::Store;

/// Grants that one unit revokes, so that no unit holds up the developer's other calls for long.
const CHUNK: u32 = 200;
/// Units that one run spends on one response; the next run goes on.
const UNITS: u32 = 100;
/// Responses that one run reads at a time.
const PAGE: u32 = 100;

/// A change of what is done about findings.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct ChangeResponsePolicy {
    /// For findings that no policy speaks of.
    pub mode: Option<ResponseMode>,
    /// All policies, in place of those before. Rules are named by id, type, or the developer's `ruleId`.
    pub rules: Option<Vec<ResponseRule>>,
}

/// What became of a part of a response.
enum Step {
    /// There is more of it; so many grants were revoked.
    More(u64),
    /// It is done.
    Done(u64),
}

impl<S: Store> Grantex<S> {
    /// What a developer wants done about findings.
    pub async fn response_policy(&self, developer: &Developer) -> Result<ResponsePolicy, StoreError> {
        Ok(self.rule_book(developer).await?.response)
    }

    /// Changes what is done about findings: those that are raised from now on. Telling it again changes nothing and is not told.
    pub async fn change_response_policy(
        &self,
        ctx: &Context,
        developer: &Developer,
        change: ChangeResponsePolicy,
    ) -> Result<ResponsePolicy, AnomalyError> {
        let developer = developer.id.clone();
        let owner = developer.clone();
        // The cursor comes before the developer's head, as when anomalies are raised.
        self.transact_with(ctx, None, Some(&owner), move |unit| {
            Box::pin(async move {
                unit.tx.touch_anomaly_cursor(&developer).await?;
                let book = unit.tx.rule_book(&developer).await?;
                let before = book.response;
                let mut after = before.clone();
                if let Some(mode) = change.mode {
                    after.mode = mode;
                }
                if let Some(mut rules) = change.rules {
                    let own: Vec<&str> = book.custom.iter().map(|rule| rule.rule_id.as_str()).collect();
                    check(&mut rules, &own)?;
                    after.rules = rules;
                }
                if after != before {
                    unit.tx.put_response_policy(&developer, &after).await?;
                    unit.record(Event::ResponsePolicyChanged {
                        previous: before.mode,
                        mode: after.mode,
                        policies: after.rules.len(),
                    });
                }
                Ok(after)
            })
        })
        .await
    }

    /// Does what is still to be done about the findings of a developer, or of all; returns how many grants it revoked, without what was
    /// delegated from them.
    ///
    /// To be run after each pass that decided on responses, and every few seconds for what a crash left. A response that fails does not
    /// keep others from being done; the first error is returned in the end. Safe on several servers at once.
    pub async fn respond_to_anomalies(
        &self,
        ctx: &Context,
        developer: Option<&DeveloperId>,
    ) -> Result<u64, StoreError> {
        let (mut revoked, mut failed, mut after) = (0, None, None);
        loop {
            let (whose, behind) = (developer.cloned(), after.take());
            let page: Vec<(DeveloperId, AnomalyId)> = self
                .store
                .read(move |tx| {
                    Box::pin(async move { tx.pending_responses(whose.as_ref(), behind.as_ref(), PAGE).await })
                })
                .await?;
            for (owner, id) in &page {
                match self.respond(ctx, owner, id).await {
                    Ok(count) => revoked += count,
                    Err(error) => failed = failed.or(Some(error)),
                }
            }
            if page.len() < PAGE as usize {
                break;
            }
            after = page.last().map(|(_, id)| id.clone());
        }
        // Of the grants of agents that were suspended and have very many.
        if let Err(error) = self.spread_revocations(ctx).await {
            failed = failed.or(Some(error));
        }
        failed.map_or(Ok(revoked), Err)
    }

    async fn respond(&self, ctx: &Context, developer: &DeveloperId, id: &AnomalyId) -> Result<u64, StoreError> {
        let mut revoked = 0;
        for _ in 0..UNITS {
            let id = id.clone();
            let step = self
                .transact(ctx, Some(developer), move |unit| {
                    Box::pin(async move { unit.respond_in_part(&id).await })
                })
                .await?;
            match step {
                Step::More(count) => revoked += count,
                Step::Done(count) => return Ok(revoked + count),
            }
        }
        Ok(revoked)
    }
}

impl Unit<'_> {
    async fn respond_in_part(&mut self, id: &AnomalyId) -> Result<Step, StoreError> {
        // Whoever else is at it has done a part when this unit gets the head, and left where to go on.
        self.lock_head().await?;
        let developer = self.developer()?.clone();
        let Some(mut pending) = self.tx.pending_response(&developer, id).await? else {
            return Ok(Step::Done(0));
        };
        let Some(anomaly) = self.tx.anomaly(&developer, id).await? else {
            // The finding is so old that it was removed: nobody could be told why.
            self.tx.remove_response(id).await?;
            return Ok(Step::Done(0));
        };
        let (count, is_effective) = match pending.action {
            ResponseAction::SuspendAgent => (0, self.suspend(&pending).await?),
            ResponseAction::RevokeAgentGrants => {
                let count = self.revoke_some(&mut pending).await?;
                if pending.after.is_some() {
                    self.tx.update_response(&pending).await?;
                    return Ok(Step::More(count));
                }
                (count, pending.revoked > 0)
            }
        };
        if self.tx.remove_response(id).await? {
            self.record(Event::AnomalyResponded(Box::new(AnomalyResponse {
                anomaly,
                agent_id: pending.agent_id,
                action: pending.action,
                is_effective,
                revoked: pending.revoked,
                grants: pending.grants,
            })));
        }
        Ok(Step::Done(count))
    }

    /// Suspends the agent; `false` when it was not active.
    async fn suspend(&mut self, pending: &PendingResponse) -> Result<bool, StoreError> {
        let agent = self.tx.agent(&pending.developer_id, &pending.agent_id).await?;
        let Some(mut agent) = agent.filter(|agent| agent.status == AgentStatus::Active) else {
            return Ok(false);
        };
        agent.status = AgentStatus::Suspended;
        agent.updated_at = self.now;
        if self.save_agent(&agent, AgentStatus::Active).await?.is_none() {
            return Ok(false);
        }
        self.record(Event::AgentChanged {
            agent_id: agent.id,
            change: AgentChange::Suspended,
        });
        Ok(true)
    }

    /// Revokes the next grants of the agent, and notes them and where to go on.
    async fn revoke_some(&mut self, pending: &mut PendingResponse) -> Result<u64, StoreError> {
        let roots = self
            .tx
            .active_grants_of_agent(&pending.agent_id, pending.after.as_ref(), CHUNK)
            .await?;
        let mut count = 0;
        for root in &roots.items {
            let Some(grant) = self.tx.grant(&pending.developer_id, root).await? else {
                continue;
            };
            // One that went with a grant before it in this unit is not revoked again.
            if self.revoke_with_descendants(&grant, RevokedBy::Anomaly).await? {
                count += 1;
                if pending.grants.len() < MAX_NAMED_GRANTS {
                    pending.grants.push(grant.id);
                }
            }
        }
        pending.revoked += count;
        pending.after = roots.next;
        Ok(count)
    }
}

/// Checks policies, and calls the server's rules by their ids.
fn check(rules: &mut [ResponseRule], own: &[&str]) -> Result<(), AnomalyError> {
    if rules.len() > MAX_RESPONSE_RULES {
        return Err(AnomalyError::ResponsePolicy {
            place: None,
            problem: "must have at most 20 items",
        });
    }
    for (place, rule) in rules.iter_mut().enumerate() {
        let refuse = |problem| AnomalyError::ResponsePolicy {
            place: Some(place),
            problem,
        };
        if rule.rules.len() > MAX_NAMED_RULES {
            return Err(refuse("must have at most 40 items"));
        }
        for name in &mut rule.rules {
            match rule_named(name) {
                Some(known) => known.id.clone_into(name),
                None if own.contains(&name.as_str()) => {}
                None => return Err(refuse("must name rules, by id or type")),
            }
        }
        rule.rules.sort_unstable();
        rule.rules.dedup();
        rule.severities.sort_unstable();
        rule.severities.dedup();
    }
    Ok(())
}
