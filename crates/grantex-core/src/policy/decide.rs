//! Asking the policies: once a step, outside of every unit of work.

use std::time::Duration;

use super::backend::{BackendDecision, BackendKind};
use super::{Effect, PolicyAction, PolicyDecision, PolicyDenied, PolicyQuestion, PolicyRef, Ruling};
use crate::clock::Timestamp;
use crate::context::Context;
use crate::developer::Developer;
use crate::error::{self, StoreError};
use crate::event::{DecisionStatus, Event};
use crate::grant::Grant;
use crate::grantex::Grantex;
use crate::id::{AgentId, GrantId};
use crate::scope::Scopes;
use crate::store::Store;

/// Who wants what; with the developer and the time it becomes a question.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Subject<'a> {
    pub agent_id: &'a AgentId,
    pub principal_id: &'a str,
    pub scopes: &'a Scopes,
    pub audience: Option<&'a str>,
}

impl Grant {
    /// What policies are asked about it.
    pub(crate) fn subject(&self) -> Subject<'_> {
        Subject {
            agent_id: &self.agent_id,
            principal_id: &self.principal_id,
            scopes: &self.scopes,
            audience: self.audience.as_deref(),
        }
    }
}

impl Subject<'_> {
    pub fn question<'q>(&'q self, action: PolicyAction, developer: &'q Developer, at: Timestamp) -> PolicyQuestion<'q> {
        PolicyQuestion {
            action,
            developer_id: &developer.id,
            agent_id: self.agent_id,
            principal_id: self.principal_id,
            scopes: self.scopes,
            audience: self.audience,
            at,
        }
    }
}

impl<S: Store> Grantex<S> {
    /// What the policies say to a request for consent. Costs nothing for a developer who never had a policy.
    pub(crate) async fn policy_decision(
        &self,
        ctx: &Context,
        developer: &Developer,
        action: PolicyAction,
        subject: Subject<'_>,
    ) -> Result<PolicyDecision, StoreError> {
        let started = self.parts.clock.monotonic();
        let question = subject.question(action, developer, self.now());
        let asked = match &self.parts.policy_backend {
            Some(external) => match external.backend.decide(&question).await {
                Ok(decision) => Some(of_backend(external.backend.kind(), decision)),
                Err(failure) => {
                    let backend = external.backend.kind();
                    self.policy_backend_failed(ctx, backend, error::chain(&failure));
                    if external.falls_back {
                        self.built_in_decision(ctx, developer, &question).await?
                    } else {
                        Some(PolicyDecision::Deny(no_answer(backend)))
                    }
                }
            },
            None => self.built_in_decision(ctx, developer, &question).await?,
        };
        let Some(decision) = asked else {
            return Ok(PolicyDecision::Undecided);
        };
        let decision = match decision {
            // Only a request for consent can be allowed; later there is nothing left to allow.
            PolicyDecision::Allow(_) if action != PolicyAction::Authorize => PolicyDecision::Undecided,
            decision => decision,
        };
        let took = self.parts.clock.monotonic().saturating_sub(started);
        self.policy_evaluated(ctx, &decision, took);
        Ok(decision)
    }

    /// The refusal, recorded, when a policy refuses a step after the consent.
    pub(crate) async fn refusal(
        &self,
        ctx: &Context,
        developer: &Developer,
        action: PolicyAction,
        subject: Subject<'_>,
        grant_id: Option<&GrantId>,
    ) -> Result<Option<PolicyDenied>, StoreError> {
        let PolicyDecision::Deny(ruling) = self.policy_decision(ctx, developer, action, subject).await? else {
            return Ok(None);
        };
        let event = Event::PolicyDenied {
            action,
            by: ruling.by.clone(),
            agent_id: subject.agent_id.clone(),
            principal_id: subject.principal_id.to_owned(),
            scopes: subject.scopes.clone(),
            grant_id: grant_id.cloned(),
        };
        self.transact(ctx, Some(&developer.id), move |unit| {
            Box::pin(async move {
                unit.record(event);
                Ok::<_, StoreError>(())
            })
        })
        .await?;
        Ok(Some(PolicyDenied(ruling)))
    }

    /// What policies and bundle say; `None` when there are none to ask.
    async fn built_in_decision(
        &self,
        ctx: &Context,
        developer: &Developer,
        question: &PolicyQuestion<'_>,
    ) -> Result<Option<PolicyDecision>, StoreError> {
        if developer.policy_version == 0 {
            return Ok(None);
        }
        let in_force = self.in_force(developer).await?;
        if in_force.is_empty() {
            return Ok(None);
        }
        if in_force.bundle.as_ref().is_some_and(|active| active.compiled.is_none()) {
            self.policy_backend_failed(
                ctx,
                BackendKind::Bundle,
                "the bundle in force cannot be read".to_owned(),
            );
        }
        Ok(Some(in_force.decide(question)))
    }

    fn policy_backend_failed(&self, ctx: &Context, backend: BackendKind, error: String) {
        self.emit(ctx, &Event::PolicyBackendFailed { backend, error });
    }

    fn policy_evaluated(&self, ctx: &Context, decision: &PolicyDecision, took: Duration) {
        let decision = match decision {
            PolicyDecision::Undecided => DecisionStatus::None,
            PolicyDecision::Allow(_) => DecisionStatus::Allow,
            PolicyDecision::Deny(_) => DecisionStatus::Deny,
        };
        self.emit(ctx, &Event::PolicyEvaluated { decision, took });
    }
}

/// What a backend's decision means.
pub(super) fn of_backend(backend: BackendKind, decision: BackendDecision) -> PolicyDecision {
    let ruling = Ruling {
        by: PolicyRef::Backend(backend),
        reason: decision
            .reason
            .unwrap_or_else(|| format!("decided by {}", backend.as_str())),
    };
    match decision.effect {
        None => PolicyDecision::Undecided,
        Some(Effect::Allow) => PolicyDecision::Allow(ruling),
        Some(Effect::Deny) => PolicyDecision::Deny(ruling),
    }
}

/// The refusal when nobody could be asked.
pub(super) fn no_answer(backend: BackendKind) -> Ruling {
    Ruling {
        by: PolicyRef::Backend(backend),
        reason: "the policies could not be asked".to_owned(),
    }
}
