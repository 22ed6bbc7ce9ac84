//! A code becomes a grant and its first tokens (RFC 6749 §4.1.3).

use crate::agent::AgentStatus;
use crate::anomaly::signal::{Signal, SignalKind};
use crate::authorize::{AuthCode, AuthRequest, AuthRequestState};
use crate::clock::Timestamp;
use crate::context::Context;
use crate::developer::Developer;
use crate::error::StoreError;
use crate::event::{Event, ExchangeStatus};
use crate::grant::{Grant, GrantState, RevokedBy};
use crate::grantex::{Grantex, Unit};
use crate::id::{AgentId, AuthRequestId, GrantId, new_id};
use crate::plan::PlanLimit;
use crate::policy::decide::Subject;
use crate::policy::{PolicyAction, PolicyDenied};
use crate::secret::SecretHash;
use crate::store::Store;
use crate::token::biscuit::TokenFormat;
use crate::token::issue::Minted;
use crate::token::pkce::CodeVerifier;
use crate::token::signer::SignError;
use crate::token::{FormatNotOffered, IssuedToken};

/// The wish to exchange a code.
#[derive(Debug, Clone)]
pub struct ExchangeCode {
    /// The code.
    pub code: AuthCode,
    /// The agent that exchanges it; `None` when what was sent cannot be an agent's id.
    pub agent_id: Option<AgentId>,
    /// The PKCE verifier.
    pub verifier: Option<CodeVerifier>,
    /// Compared with the request's when sent.
    pub redirect_uri: Option<String>,
    /// What the access token is made as.
    pub format: TokenFormat,
}

/// Why there are no tokens.
#[derive(Debug, thiserror::Error)]
pub enum ExchangeError {
    /// Unknown, of another developer or agent, or the agent may not act: one answer, so that codes cannot be probed.
    #[error("the code is unknown, or not for this agent")]
    InvalidCode,
    /// It was exchanged before.
    #[error("the code was already used")]
    Reused,
    /// It is too old.
    #[error("the code has expired")]
    Expired,
    /// The request had a challenge and no verifier came.
    #[error("codeVerifier is required for this code")]
    VerifierRequired,
    /// The verifier is not that of the challenge.
    #[error("codeVerifier does not match the code challenge")]
    VerifierMismatch,
    /// Another redirect URI than in the request.
    #[error("redirectUri differs from the one of the authorization request")]
    RedirectUriMismatch,
    /// The format is not offered.
    #[error(transparent)]
    FormatNotOffered(#[from] FormatNotOffered),
    /// A policy refuses.
    #[error(transparent)]
    PolicyDenied(#[from] PolicyDenied),
    /// The plan allows no further grant.
    #[error(transparent)]
    PlanLimit(#[from] PlanLimit),
    /// The token could not be signed.
    #[error("signing the token failed")]
    Signing(#[from] SignError),
    /// The store failed.
    #[error(transparent)]
    Store(#[from] StoreError),
}

impl ExchangeError {
    /// The label under which the attempt is counted.
    pub const fn status(&self) -> ExchangeStatus {
        match self {
            Self::InvalidCode => ExchangeStatus::InvalidCode,
            Self::Reused => ExchangeStatus::Reuse,
            Self::Expired => ExchangeStatus::Expired,
            Self::VerifierRequired | Self::VerifierMismatch => ExchangeStatus::Pkce,
            Self::RedirectUriMismatch | Self::FormatNotOffered(_) => ExchangeStatus::InvalidRequest,
            Self::PolicyDenied(_) => ExchangeStatus::Denied,
            Self::PlanLimit(_) => ExchangeStatus::PlanLimit,
            Self::Signing(_) | Self::Store(_) => ExchangeStatus::Error,
        }
    }
}

impl<S: Store> Grantex<S> {
    /// Exchanges an authorization code for a grant and its first tokens.
    ///
    /// The code is consumed, the grant stored and its events queued in one transaction; on any error the code stays usable, also
    /// when a policy refuses.
    /// Of several concurrent calls with the same code exactly one succeeds. A second use revokes the grant with all that was
    /// delegated from it, unless it comes within [`Settings::code_reuse_grace`](crate::Settings) and the grant's refresh token is unused:
    /// then it is taken for an impatient retry.
    ///
    /// ```
    /// # #[cfg(all(feature = "testing", feature = "aws-lc"))]
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// use grantex_core::testing::Sandbox;
    /// use grantex_core::token::ExchangeError;
    ///
    /// let sandbox = Sandbox::new().await;
    /// let (grantex, ctx, developer) = (&sandbox.grantex, &sandbox.ctx, &sandbox.developer);
    /// let exchange = sandbox.approved().await;
    /// let issued = grantex.exchange_code(ctx, developer, exchange.clone()).await?;
    /// assert_eq!(issued.grant.principal_id, "user-1");
    ///
    /// // A code works once.
    /// let again = grantex.exchange_code(ctx, developer, exchange).await;
    /// assert!(matches!(again, Err(ExchangeError::Reused)));
    /// # Ok(())
    /// # }
    /// # #[cfg(not(all(feature = "testing", feature = "aws-lc")))]
    /// # fn main() {}
    /// ```
    pub async fn exchange_code(
        &self,
        ctx: &Context,
        developer: &Developer,
        command: ExchangeCode,
    ) -> Result<IssuedToken, ExchangeError> {
        ctx.enter();
        let _span = ctx.recording().span("grantex.token.exchange");
        let named = command.agent_id.clone();
        let mut agent_id = None;
        let result = self.try_exchange(ctx, developer, command, &mut agent_id).await;
        if let Err(error) = &result {
            // A refusal by a policy is in the chain.
            if !matches!(error, ExchangeError::PolicyDenied(_)) {
                self.signal(&developer.id, |at| Signal::refused(SignalKind::Exchange, named, at));
            }
            let status = error.status();
            self.emit(ctx, &Event::TokenExchangeRejected { status, agent_id });
        }
        result
    }

    /// `known` becomes the agent, once the code is known to be its.
    async fn try_exchange(
        &self,
        ctx: &Context,
        developer: &Developer,
        command: ExchangeCode,
        known: &mut Option<AgentId>,
    ) -> Result<IssuedToken, ExchangeError> {
        self.check_format(command.format)?;
        let code_hash = command.code.sha256();
        let (request, agent) = self
            .store
            .request_of_code(code_hash.clone())
            .await?
            .ok_or(ExchangeError::InvalidCode)?;
        let is_for_caller =
            request.developer_id == developer.id && command.agent_id.as_ref() == Some(&request.agent_id);
        if !is_for_caller {
            return Err(ExchangeError::InvalidCode);
        }
        *known = command.agent_id;
        // Before the agent is looked at: a stolen code is noticed while the agent is suspended, too.
        if let AuthRequestState::Consumed {
            consumed_at, grant_id, ..
        } = &request.status
        {
            self.code_was_reused(ctx, developer, grant_id.clone(), *consumed_at)
                .await?;
            return Err(ExchangeError::Reused);
        }
        if agent.is_none_or(|agent| agent.status != AgentStatus::Active) {
            return Err(ExchangeError::InvalidCode);
        }
        let now = self.now();
        match &request.status {
            AuthRequestState::Approved { code_expires_at, .. } if *code_expires_at <= now => {
                return Err(ExchangeError::Expired);
            }
            AuthRequestState::Approved { .. } => {}
            AuthRequestState::Pending | AuthRequestState::Denied | AuthRequestState::Consumed { .. } => {
                return Err(ExchangeError::InvalidCode);
            }
        }
        if command.redirect_uri.is_some() && command.redirect_uri != request.redirect_uri {
            return Err(ExchangeError::RedirectUriMismatch);
        }
        if let Some(challenge) = &request.code_challenge {
            let verifier = command.verifier.as_ref().ok_or(ExchangeError::VerifierRequired)?;
            if !challenge.is_met_by(verifier) {
                return Err(ExchangeError::VerifierMismatch);
            }
        }
        // Last, so that whoever merely holds a code learns nothing of the policies.
        let subject = Subject {
            agent_id: &request.agent_id,
            principal_id: &request.principal_id,
            scopes: &request.scopes,
            audience: request.audience.as_deref(),
        };
        let refusal = self.refusal(ctx, developer, PolicyAction::Exchange, subject, None);
        if let Some(denied) = refusal.await? {
            return Err(denied.into());
        }
        let minted = self.mint(ctx, &self.grant_of_request(&request, now), command.format, now)?;
        match self
            .store_exchange(ctx, developer, request, code_hash.clone(), minted)
            .await
        {
            Err(ExchangeError::Reused) => {
                // Lost a race for the code: what won is there now.
                if let Some((request, _)) = self.store.request_of_code(code_hash).await?
                    && let AuthRequestState::Consumed {
                        consumed_at, grant_id, ..
                    } = request.status
                {
                    self.code_was_reused(ctx, developer, grant_id, consumed_at).await?;
                }
                Err(ExchangeError::Reused)
            }
            result => result,
        }
    }

    fn grant_of_request(&self, request: &AuthRequest, now: Timestamp) -> Grant {
        Grant {
            id: new_id(&*self.parts.random, now),
            developer_id: request.developer_id.clone(),
            agent_id: request.agent_id.clone(),
            principal_id: request.principal_id.clone(),
            scopes: request.scopes.clone(),
            audience: request.audience.clone(),
            state: GrantState::Active,
            issued_at: now,
            expires_at: now.plus(request.expires_in).floor_to_second(),
            parent_grant_id: None,
            delegation_depth: 0,
            delegators: Vec::new(),
        }
    }

    async fn store_exchange(
        &self,
        ctx: &Context,
        developer: &Developer,
        request: AuthRequest,
        code_hash: SecretHash,
        minted: Minted,
    ) -> Result<IssuedToken, ExchangeError> {
        self.transact(ctx, Some(&developer.id), move |unit| {
            Box::pin(async move {
                if !unit
                    .tx
                    .consume_auth_request(&request.id, &code_hash, unit.now, &minted.issued.grant.id)
                    .await?
                {
                    return Err(unit.why_not_exchanged(&request.id).await?);
                }
                unit.insert_issued(minted, Event::TokenExchanged).await
            })
        })
        .await
    }

    async fn code_was_reused(
        &self,
        ctx: &Context,
        developer: &Developer,
        grant_id: GrantId,
        consumed_at: Timestamp,
    ) -> Result<(), StoreError> {
        let is_early = self.now() <= consumed_at.plus(self.parts.settings.code_reuse_grace);
        self.transact(ctx, Some(&developer.id), move |unit| {
            Box::pin(async move {
                let first = unit.tx.first_token_of_grant(&grant_id).await?;
                let is_impatient = is_early && first.as_ref().is_none_or(|first| first.token.refresh_use.is_none());
                let developer = unit.developer()?.clone();
                let Some(grant) = unit.tx.grant(&developer, &grant_id).await? else {
                    return Ok(());
                };
                let is_revoked = !is_impatient && unit.revoke_with_descendants(&grant, RevokedBy::CodeReuse).await?;
                unit.record(Event::CodeReuseDetected {
                    grant_id,
                    agent_id: grant.agent_id,
                    principal_id: grant.principal_id,
                    is_revoked,
                });
                Ok(())
            })
        })
        .await
    }
}

impl Unit<'_> {
    /// Tells why a code that was good a moment ago cannot be used: somebody else was faster, it expired, or its agent may not
    /// act any more.
    async fn why_not_exchanged(&mut self, id: &AuthRequestId) -> Result<ExchangeError, StoreError> {
        let request = self.tx.auth_request(id).await?;
        Ok(match request.map(|request| request.status) {
            Some(AuthRequestState::Consumed { .. }) => ExchangeError::Reused,
            Some(AuthRequestState::Approved { code_expires_at, .. }) if code_expires_at <= self.now => {
                ExchangeError::Expired
            }
            Some(AuthRequestState::Approved { .. } | AuthRequestState::Pending | AuthRequestState::Denied) | None => {
                ExchangeError::InvalidCode
            }
        })
    }
}
