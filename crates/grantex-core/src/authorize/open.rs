//! Opening a request: may this agent ask for this at all?

use super::{AuthCode, AuthRequest, AuthRequestState};
use crate::agent::{Agent, AgentStatus};
use crate::anomaly::signal::{self, Signal, SignalKind};
use crate::clock::{Lifetime, Timestamp};
use crate::context::Context;
use crate::developer::{Developer, Mode};
use crate::error::StoreError;
use crate::event::{AuthorizeStatus, DecidedBy, Event};
use crate::grantex::Grantex;
use crate::id::{AgentId, new_secret, new_unguessable_id};
use crate::plan::PlanLimit;
use crate::policy::decide::Subject;
use crate::policy::{PolicyAction, PolicyDecision, PolicyDenied, PolicyRef};
use crate::scope::Scopes;
use crate::store::Store;
use crate::token::pkce::CodeChallenge;

/// The wish to act for a principal.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Authorize {
    /// The agent; `None` when what was sent cannot be an agent's id.
    pub agent_id: Option<AgentId>,
    /// The person.
    pub principal_id: String,
    /// What is asked for.
    pub scopes: Scopes,
    /// Where the browser goes after the decision.
    pub redirect_uri: Option<String>,
    /// Echoed to the redirect URI.
    pub state: Option<String>,
    /// How long the grant is to live.
    pub expires_in: Lifetime,
    /// The audience of the tokens.
    pub audience: Option<String>,
    /// The PKCE challenge.
    pub code_challenge: Option<CodeChallenge>,
}

/// A request that was opened.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct Authorized {
    /// The request.
    pub request: AuthRequest,
    /// The code, when nobody needs to be asked.
    pub code: Option<AuthCode>,
    /// What approved it in the person's place, if anything did.
    pub by_policy: Option<PolicyRef>,
}

/// Why no request was opened.
#[derive(Debug, thiserror::Error)]
pub enum AuthorizeError {
    /// The plan allows no further grant.
    #[error(transparent)]
    PlanLimit(#[from] PlanLimit),
    /// There is no such active agent.
    #[error("there is no such active agent")]
    AgentNotFound,
    /// The agent did not register this scope.
    #[error("the agent is not registered for the scope {scope}")]
    ScopeNotRegistered {
        /// The scope.
        scope: String,
    },
    /// The grant would live too long.
    #[error("expiresIn exceeds the maximum of {limit}")]
    TooLong {
        /// The limit.
        limit: Lifetime,
    },
    /// A policy refuses.
    #[error(transparent)]
    PolicyDenied(#[from] PolicyDenied),
    /// The store failed.
    #[error(transparent)]
    Store(#[from] StoreError),
}

impl AuthorizeError {
    /// The label under which the attempt is counted.
    pub const fn status(&self) -> AuthorizeStatus {
        match self {
            Self::PlanLimit(_) => AuthorizeStatus::PlanLimit,
            Self::AgentNotFound => AuthorizeStatus::AgentNotFound,
            Self::ScopeNotRegistered { .. } | Self::TooLong { .. } => AuthorizeStatus::InvalidRequest,
            Self::PolicyDenied(_) => AuthorizeStatus::Denied,
            Self::Store(_) => AuthorizeStatus::Error,
        }
    }
}

impl<S: Store> Grantex<S> {
    /// Opens an authorization request.
    ///
    /// For a sandbox developer, or when a policy allows it, it is approved at once and the code is in the answer. Stores one
    /// row; touches neither counters nor chains, except that a refusal by policy is audited.
    pub async fn authorize(
        &self,
        ctx: &Context,
        developer: &Developer,
        command: Authorize,
    ) -> Result<Authorized, AuthorizeError> {
        ctx.enter();
        let _span = ctx.recording().span("grantex.authorize");
        let (named, principal_id, scopes) = (
            command.agent_id.clone(),
            command.principal_id.clone(),
            command.scopes.as_slice().to_vec(),
        );
        let mut agent_id = None;
        let result = self.try_authorize(ctx, developer, command, &mut agent_id).await;
        // A refusal by a policy is in the chain.
        if !matches!(&result, Err(AuthorizeError::PolicyDenied { .. })) {
            self.signal(&developer.id, |at| Signal {
                is_failure: result.is_err(),
                principal_id,
                scopes,
                ..Signal::new(
                    SignalKind::Authorize,
                    named.map_or(signal::Subject::None, signal::Subject::Agent),
                    at,
                )
            });
        }
        if let Err(error) = &result {
            let status = error.status();
            self.emit(ctx, &Event::AuthorizeRejected { status, agent_id });
        }
        result
    }

    /// `known` becomes the agent, once it is known to be the developer's.
    async fn try_authorize(
        &self,
        ctx: &Context,
        developer: &Developer,
        command: Authorize,
        known: &mut Option<AgentId>,
    ) -> Result<Authorized, AuthorizeError> {
        let agent_id = command.agent_id.clone().ok_or(AuthorizeError::AgentNotFound)?;
        let (agent, active) = self.agent_and_active_grants(developer, agent_id).await?;
        *known = agent.as_ref().map(|agent| agent.id.clone());
        PlanLimit::check(developer.plan.max_active_grants(), active, "active grants")?;
        let agent = agent
            .filter(|agent| agent.status == AgentStatus::Active)
            .ok_or(AuthorizeError::AgentNotFound)?;
        if let Some(scope) = agent.first_forbidden(&command.scopes) {
            return Err(AuthorizeError::ScopeNotRegistered {
                scope: scope.to_owned(),
            });
        }
        let limit = self.parts.settings.max_grant_lifetime;
        if command.expires_in > limit {
            return Err(AuthorizeError::TooLong { limit });
        }
        let subject = Subject {
            agent_id: &agent.id,
            principal_id: &command.principal_id,
            scopes: &command.scopes,
            audience: command.audience.as_deref(),
        };
        let decision = self.policy_decision(ctx, developer, PolicyAction::Authorize, subject);
        let by_policy = match decision.await? {
            PolicyDecision::Undecided => None,
            PolicyDecision::Allow(ruling) => Some(ruling.by),
            PolicyDecision::Deny(ruling) => {
                self.record_policy_denial(ctx, developer, &agent, command, ruling.by.clone())
                    .await?;
                return Err(PolicyDenied(ruling).into());
            }
        };
        self.store_request(ctx, developer, agent, command, by_policy).await
    }

    /// The count is only read for plans that have a limit.
    async fn agent_and_active_grants(
        &self,
        developer: &Developer,
        agent: AgentId,
    ) -> Result<(Option<Agent>, u64), StoreError> {
        let found = self.store.agent(developer.id.clone(), agent).await?;
        if developer.plan.max_active_grants().is_none() {
            return Ok((found, 0));
        }
        let developer = developer.id.clone();
        let active = self
            .store
            .read(move |tx| Box::pin(async move { tx.active_grants(&developer).await }))
            .await?;
        Ok((found, u64::try_from(active).unwrap_or(0)))
    }

    async fn store_request(
        &self,
        ctx: &Context,
        developer: &Developer,
        agent: Agent,
        command: Authorize,
        by_policy: Option<PolicyRef>,
    ) -> Result<Authorized, AuthorizeError> {
        let now = self.now();
        let code =
            (developer.mode == Mode::Sandbox || by_policy.is_some()).then(|| new_secret(&*self.parts.random, ""));
        let request = self.new_request(developer, &agent, command, code.as_ref(), now);
        let stored = request.clone();
        self.transact(ctx, None, move |unit| {
            Box::pin(async move {
                unit.tx.insert_auth_request(&stored).await?;
                unit.record(Event::AuthRequestOpened {
                    agent_id: stored.agent_id,
                    principal_id: stored.principal_id,
                    scopes: stored.scopes,
                });
                Ok::<_, StoreError>(())
            })
        })
        .await?;
        Ok(Authorized {
            request,
            code,
            by_policy,
        })
    }

    fn new_request(
        &self,
        developer: &Developer,
        agent: &Agent,
        command: Authorize,
        code: Option<&AuthCode>,
        now: Timestamp,
    ) -> AuthRequest {
        let settings = &self.parts.settings;
        AuthRequest {
            id: new_unguessable_id(&*self.parts.random),
            developer_id: developer.id.clone(),
            agent_id: agent.id.clone(),
            principal_id: command.principal_id,
            scopes: command.scopes,
            redirect_uri: command.redirect_uri,
            state: command.state,
            expires_in: command.expires_in,
            audience: command.audience,
            code_challenge: command.code_challenge,
            created_at: now,
            expires_at: now.plus(settings.auth_request_ttl),
            status: match code {
                Some(code) => AuthRequestState::Approved {
                    code_hash: code.sha256(),
                    code_expires_at: now.plus(settings.auth_code_ttl),
                },
                None => AuthRequestState::Pending,
            },
        }
    }

    async fn record_policy_denial(
        &self,
        ctx: &Context,
        developer: &Developer,
        agent: &Agent,
        command: Authorize,
        by: PolicyRef,
    ) -> Result<(), StoreError> {
        let event = Event::AuthRequestDenied {
            agent_id: agent.id.clone(),
            principal_id: command.principal_id,
            reason: DecidedBy::Policy(by),
            scopes: command.scopes,
            origin: None,
        };
        self.transact(ctx, Some(&developer.id), move |unit| {
            Box::pin(async move {
                unit.record(event);
                Ok(())
            })
        })
        .await
    }
}
