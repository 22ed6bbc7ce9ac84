//! The decision: by the person on the consent page, or by a sandbox developer in their place.

use std::time::Duration;

use super::{AuthCode, AuthRequest, AuthRequestState, Origin};
use crate::agent::{Agent, AgentStatus};
use crate::context::Context;
use crate::developer::{Developer, Mode};
use crate::error::StoreError;
use crate::event::{ConsentOutcome, DecidedBy, Event};
use crate::grantex::Grantex;
use crate::id::{AuthRequestId, new_secret};
use crate::store::Store;

/// Everything the consent page tells.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct ConsentRequest {
    /// The request.
    pub request: AuthRequest,
    /// Who asks.
    pub developer: Developer,
    /// Who would act.
    pub agent: Agent,
}

/// An approval.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct Approved {
    /// The code.
    pub code: AuthCode,
    /// Where the browser goes.
    pub redirect_uri: Option<String>,
    /// Echoed there.
    pub state: Option<String>,
}

/// A refusal.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Denied {
    /// Where the browser goes.
    pub redirect_uri: Option<String>,
    /// Echoed there.
    pub state: Option<String>,
}

/// Why a request cannot be shown or decided.
#[derive(Debug, thiserror::Error)]
pub enum ConsentError {
    /// There is no such request.
    #[error("there is no such authorization request")]
    NotFound,
    /// It has expired, is decided already, or its agent may not act.
    #[error("the authorization request has expired or is already decided")]
    Gone,
    /// The store failed.
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// Why a sandbox developer could not decide.
#[derive(Debug, thiserror::Error)]
pub enum SandboxDecisionError {
    /// A live developer must ask the person.
    #[error("only the principal can decide a live request")]
    ConsentRequired,
    /// There is no such pending request of this developer.
    #[error("there is no such pending authorization request")]
    NotFound,
    /// The store failed.
    #[error(transparent)]
    Store(#[from] StoreError),
}

impl From<ConsentError> for SandboxDecisionError {
    fn from(error: ConsentError) -> Self {
        match error {
            ConsentError::NotFound | ConsentError::Gone => Self::NotFound,
            ConsentError::Store(error) => Self::Store(error),
        }
    }
}

impl<S: Store> Grantex<S> {
    /// What the consent page shows of a pending request.
    pub async fn consent_request(&self, ctx: &Context, id: AuthRequestId) -> Result<ConsentRequest, ConsentError> {
        let result = self.pending_request(id).await;
        match &result {
            Ok(_) => self.emit_consent(ctx, ConsentOutcome::Shown),
            Err(ConsentError::Gone) => self.emit_consent(ctx, ConsentOutcome::Gone),
            Err(ConsentError::NotFound | ConsentError::Store(_)) => {}
        }
        result
    }

    /// Approves a pending request on behalf of its principal; the code is handed out here and nowhere else.
    ///
    /// Nobody has proved to be the principal: `origin` is audited so that it can be judged later who it was.
    pub async fn approve_consent(
        &self,
        ctx: &Context,
        id: AuthRequestId,
        origin: Origin,
    ) -> Result<Approved, ConsentError> {
        let request = self.decidable_request(ctx, id).await?;
        self.approve(ctx, request, DecidedBy::Principal, Some(origin)).await
    }

    /// Refuses a pending request on behalf of its principal; `origin` is audited.
    pub async fn deny_consent(&self, ctx: &Context, id: AuthRequestId, origin: Origin) -> Result<Denied, ConsentError> {
        let request = self.decidable_request(ctx, id).await?;
        self.deny(ctx, request, DecidedBy::Principal, Some(origin)).await
    }

    /// Approves a pending request in the principal's place; sandbox developers only.
    pub async fn approve_in_sandbox(
        &self,
        ctx: &Context,
        developer: &Developer,
        id: AuthRequestId,
    ) -> Result<AuthCode, SandboxDecisionError> {
        let request = self.sandbox_request(developer, id).await?;
        Ok(self.approve(ctx, request, DecidedBy::Developer, None).await?.code)
    }

    /// Refuses a pending request in the principal's place; sandbox developers only.
    pub async fn deny_in_sandbox(
        &self,
        ctx: &Context,
        developer: &Developer,
        id: AuthRequestId,
    ) -> Result<(), SandboxDecisionError> {
        let request = self.sandbox_request(developer, id).await?;
        self.deny(ctx, request, DecidedBy::Developer, None).await?;
        Ok(())
    }

    async fn sandbox_request(
        &self,
        developer: &Developer,
        id: AuthRequestId,
    ) -> Result<AuthRequest, SandboxDecisionError> {
        if developer.mode != Mode::Sandbox {
            return Err(SandboxDecisionError::ConsentRequired);
        }
        let request = self.pending_request(id).await?.request;
        if request.developer_id == developer.id {
            Ok(request)
        } else {
            Err(SandboxDecisionError::NotFound)
        }
    }

    async fn decidable_request(&self, ctx: &Context, id: AuthRequestId) -> Result<AuthRequest, ConsentError> {
        let result = self.pending_request(id).await;
        if matches!(result, Err(ConsentError::Gone)) {
            self.emit_consent(ctx, ConsentOutcome::Gone);
        }
        result.map(|found| found.request)
    }

    async fn pending_request(&self, id: AuthRequestId) -> Result<ConsentRequest, ConsentError> {
        let (request, developer, agent) = self
            .store
            .read(move |tx| {
                Box::pin(async move {
                    let request = tx.auth_request(&id).await?.ok_or(ConsentError::NotFound)?;
                    let developer = tx.developer(&request.developer_id).await?;
                    let agent = tx.agent(&request.developer_id, &request.agent_id).await?;
                    Ok::<_, ConsentError>((request, developer, agent))
                })
            })
            .await?;
        let is_pending = request.status == AuthRequestState::Pending && request.expires_at > self.now();
        match (developer, agent) {
            (Some(developer), Some(agent)) if is_pending && agent.status == AgentStatus::Active => Ok(ConsentRequest {
                request,
                developer,
                agent,
            }),
            _ => Err(ConsentError::Gone),
        }
    }

    async fn approve(
        &self,
        ctx: &Context,
        request: AuthRequest,
        by: DecidedBy,
        origin: Option<Origin>,
    ) -> Result<Approved, ConsentError> {
        let code = new_secret(&*self.parts.random, "");
        let code_hash = code.sha256();
        let code_ttl = self.parts.settings.auth_code_ttl;
        let approved = Approved {
            code,
            redirect_uri: request.redirect_uri.clone(),
            state: request.state.clone(),
        };
        let developer = request.developer_id.clone();
        self.transact(ctx, Some(&developer), move |unit| {
            Box::pin(async move {
                if !unit
                    .tx
                    .approve_auth_request(&request.id, unit.now, &code_hash, unit.now.plus(code_ttl))
                    .await?
                {
                    return Err(ConsentError::Gone);
                }
                unit.record(decided(
                    ConsentOutcome::Approved,
                    unit.now.since(request.created_at).as_millis(),
                ));
                unit.record(Event::AuthRequestApproved {
                    agent_id: request.agent_id,
                    principal_id: request.principal_id,
                    by,
                    scopes: request.scopes,
                    origin,
                });
                Ok(())
            })
        })
        .await?;
        Ok(approved)
    }

    async fn deny(
        &self,
        ctx: &Context,
        request: AuthRequest,
        reason: DecidedBy,
        origin: Option<Origin>,
    ) -> Result<Denied, ConsentError> {
        let denied = Denied {
            redirect_uri: request.redirect_uri.clone(),
            state: request.state.clone(),
        };
        let developer = request.developer_id.clone();
        self.transact(ctx, Some(&developer), move |unit| {
            Box::pin(async move {
                if !unit.tx.deny_auth_request(&request.id, unit.now).await? {
                    return Err(ConsentError::Gone);
                }
                unit.record(decided(
                    ConsentOutcome::Denied,
                    unit.now.since(request.created_at).as_millis(),
                ));
                unit.record(Event::AuthRequestDenied {
                    agent_id: request.agent_id,
                    principal_id: request.principal_id,
                    reason,
                    scopes: request.scopes,
                    origin,
                });
                Ok(())
            })
        })
        .await?;
        Ok(denied)
    }

    fn emit_consent(&self, ctx: &Context, outcome: ConsentOutcome) {
        self.emit(
            ctx,
            &Event::Consent {
                outcome,
                decided_after: None,
            },
        );
    }
}

fn decided(outcome: ConsentOutcome, millis: i64) -> Event {
    let after = Duration::from_millis(u64::try_from(millis).unwrap_or(0));
    Event::Consent {
        outcome,
        decided_after: Some(after),
    }
}
