//! Making, changing, listing and removing policies.

use super::{FieldProblem, Policy, Rule, RuleChanges};
use crate::context::Context;
use crate::developer::Developer;
use crate::error::StoreError;
use crate::event::{Event, PolicyChange};
use crate::grantex::{Grantex, Unit};
use crate::id::{PolicyId, new_id};
use crate::page::{Page, PageRequest};
use crate::plan::PlanLimit;
use crate::store::Store;

/// Policies of one developer at most, whatever the plan: all of them are read when one has changed.
pub const MAX_POLICIES: u64 = 20_000;
/// What the policies of one developer may weigh, in MiB.
const MAX_WEIGHT_MIB: u64 = 48;

/// Why a policy was not made, changed or removed.
#[derive(Debug, thiserror::Error)]
pub enum PolicyError {
    /// There is no such policy.
    #[error("there is no such policy")]
    NotFound,
    /// With the changes it would not be a policy.
    #[error(transparent)]
    Invalid(#[from] FieldProblem),
    /// The plan, or what one developer may have at all, allows no more.
    #[error(transparent)]
    PlanLimit(#[from] PlanLimit),
    /// The store failed.
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// A page of policies, and how many there are.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PolicyList {
    /// The page.
    pub page: Page<Policy>,
    /// How many policies the developer has.
    pub total: u64,
}

impl<S: Store> Grantex<S> {
    /// Makes a policy. It is in force for every request that begins afterwards, on every replica.
    pub async fn create_policy(&self, ctx: &Context, developer: &Developer, rule: Rule) -> Result<Policy, PolicyError> {
        let now = self.now();
        let policy = Policy {
            id: new_id(&*self.parts.random, now),
            developer_id: developer.id.clone(),
            rule,
            created_at: now,
            updated_at: now,
        };
        self.transact(ctx, Some(&developer.id), move |unit| {
            Box::pin(async move {
                let plan = unit.lock_head().await?.plan;
                let totals = unit.tx.policy_totals(&policy.developer_id).await?;
                PlanLimit::check(plan.max_policies(), totals.count, "policies")?;
                PlanLimit::check(Some(MAX_POLICIES), totals.count, "policies")?;
                check_weight(totals.weight + policy.weight())?;
                unit.tx.insert_policy(&policy).await?;
                unit.policies_changed(policy.id.clone(), PolicyChange::Created).await?;
                Ok(policy)
            })
        })
        .await
    }

    /// Changes a policy. What comes of it is checked as a whole, so a change may be refused for a member that it does not name.
    pub async fn update_policy(
        &self,
        ctx: &Context,
        developer: &Developer,
        id: PolicyId,
        changes: RuleChanges,
    ) -> Result<Policy, PolicyError> {
        self.transact(ctx, Some(&developer.id), move |unit| {
            Box::pin(async move {
                // Of two changes at once, the later must see what the earlier did.
                unit.lock_head().await?;
                let developer = unit.developer()?.clone();
                let mut policy = unit.tx.policy(&developer, &id).await?.ok_or(PolicyError::NotFound)?;
                let before = policy.weight();
                policy.rule = changes.apply(&policy.rule).check().map_err(first)?;
                policy.updated_at = unit.now;
                if policy.weight() > before {
                    let others = unit.tx.policy_totals(&developer).await?.weight.saturating_sub(before);
                    check_weight(others + policy.weight())?;
                }
                if !unit.tx.update_policy(&policy).await? {
                    return Err(PolicyError::NotFound);
                }
                unit.policies_changed(id, PolicyChange::Updated).await?;
                Ok(policy)
            })
        })
        .await
    }

    /// Removes a policy.
    pub async fn delete_policy(&self, ctx: &Context, developer: &Developer, id: PolicyId) -> Result<(), PolicyError> {
        self.transact(ctx, Some(&developer.id), move |unit| {
            Box::pin(async move {
                unit.lock_head().await?;
                let developer = unit.developer()?.clone();
                if !unit.tx.remove_policy(&developer, &id).await? {
                    return Err(PolicyError::NotFound);
                }
                unit.policies_changed(id, PolicyChange::Deleted).await?;
                Ok(())
            })
        })
        .await
    }

    /// A policy of this developer.
    pub async fn policy(&self, developer: &Developer, id: PolicyId) -> Result<Option<Policy>, StoreError> {
        let developer = developer.id.clone();
        self.store
            .read(move |tx| Box::pin(async move { tx.policy(&developer, &id).await }))
            .await
    }

    /// A developer's policies, the highest priority first, then the oldest, one page.
    pub async fn policies(&self, developer: &Developer, page: PageRequest) -> Result<PolicyList, StoreError> {
        let developer = developer.id.clone();
        self.store
            .read(move |tx| {
                Box::pin(async move {
                    let page = tx.policies(&developer, &page).await?;
                    let total = tx.policy_totals(&developer).await?.count;
                    Ok(PolicyList { page, total })
                })
            })
            .await
    }
}

impl Unit<'_> {
    /// Notes that a developer's policies have changed: no replica goes by the old ones once this is committed.
    async fn policies_changed(&mut self, policy_id: PolicyId, change: PolicyChange) -> Result<(), StoreError> {
        self.advance_policy_version().await?;
        self.record(Event::PolicyChanged { policy_id, change });
        Ok(())
    }

    /// Makes whatever is kept of the developer's policies outdated.
    pub(super) async fn advance_policy_version(&mut self) -> Result<(), StoreError> {
        let developer = self.developer()?.clone();
        self.tx.advance_policy_version(&developer).await.map(drop)
    }
}

fn first(problems: Vec<FieldProblem>) -> PolicyError {
    let unnamed = || FieldProblem {
        field: "policy",
        problem: "cannot be accepted".to_owned(),
    };
    problems.into_iter().next().unwrap_or_else(unnamed).into()
}

fn check_weight(weight: u64) -> Result<(), PlanLimit> {
    let used = weight.div_ceil(1 << 20);
    PlanLimit::check(Some(MAX_WEIGHT_MIB + 1), used, "MiB of policies").map_err(|_| PlanLimit {
        limit: MAX_WEIGHT_MIB,
        what: "MiB of policies",
    })
}
