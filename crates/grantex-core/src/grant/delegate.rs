//! Handing on narrower authority to another agent (RFC 8693 in spirit: the child's token names its delegators).

use crate::agent::AgentStatus;
use crate::clock::{Lifetime, Timestamp};
use crate::context::Context;
use crate::developer::Developer;
use crate::error::StoreError;
use crate::event::Event;
use crate::grant::{Grant, GrantState};
use crate::grantex::{Grantex, Unit};
use crate::id::{AgentId, new_id};
use crate::plan::PlanLimit;
use crate::policy::{PolicyAction, PolicyDenied};
use crate::scope::Scopes;
use crate::secret::Secret;
use crate::store::Store;
use crate::token::biscuit::TokenFormat;
use crate::token::signer::SignError;
use crate::token::{FormatNotOffered, InvalidReason, IssuedToken, VerifiedToken};

/// The wish to delegate.
#[derive(Debug, Clone)]
pub struct Delegate {
    /// The token of the grant that is handed on.
    pub parent_token: Secret<String>,
    /// The agent that receives; `None` when what was sent cannot be an agent's id.
    pub sub_agent_id: Option<AgentId>,
    /// What is handed on.
    pub scopes: Scopes,
    /// For how long at most; the parent token's end is a bound too.
    pub expires_in: Lifetime,
    /// What the child's access token is made as.
    pub format: TokenFormat,
}

/// What a delegation hands out.
pub type Delegated = IssuedToken;

/// Why nothing was delegated.
#[derive(Debug, thiserror::Error)]
pub enum DelegateError {
    /// The parent token is not good.
    #[error("parentGrantToken is not a valid token")]
    ParentInvalid(InvalidReason),
    /// It belongs to another developer.
    #[error("parentGrantToken belongs to another developer")]
    ForeignParent,
    /// The grant was handed on too often.
    #[error("a grant may be delegated {limit} times at most")]
    DepthExceeded {
        /// The limit.
        limit: u32,
    },
    /// The parent token does not hold this scope.
    #[error("the parent token does not hold the scope {scope}")]
    ScopeNotInParent {
        /// The scope.
        scope: String,
    },
    /// The sub-agent did not register this scope.
    #[error("the sub-agent is not registered for the scope {scope}")]
    ScopeNotRegistered {
        /// The scope.
        scope: String,
    },
    /// There is no such active agent.
    #[error("there is no such active sub-agent")]
    SubAgentNotFound,
    /// The parent grant ended meanwhile.
    #[error("the parent grant is no longer active")]
    ParentInactive,
    /// It would live too long.
    #[error("expiresIn exceeds the maximum of {limit}")]
    TooLong {
        /// The limit.
        limit: Lifetime,
    },
    /// The parent token is a Biscuit that was narrowed: what is made from it here would not fall with its blocks.
    #[error("a narrowed Biscuit is handed on by narrowing it further")]
    ParentNarrowed,
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

impl<S: Store> Grantex<S> {
    /// Makes a child grant for a sub-agent, with scopes of the parent, its audience, and an end no later than the parent's.
    ///
    /// Serialized with whatever ends the parent grant or stops an agent: either the child is made before and falls with its
    /// parent, or it is not made at all.
    ///
    /// ```
    /// # #[cfg(all(feature = "testing", feature = "aws-lc"))]
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// use grantex_core::clock::Lifetime;
    /// use grantex_core::grant::Delegate;
    /// use grantex_core::scope::Scopes;
    /// use grantex_core::testing::Sandbox;
    /// use grantex_core::token::biscuit::TokenFormat;
    ///
    /// let sandbox = Sandbox::new().await;
    /// let (grantex, ctx, developer) = (&sandbox.grantex, &sandbox.ctx, &sandbox.developer);
    /// let parent = sandbox.issued().await;
    /// let wish = Delegate {
    ///     parent_token: parent.jwt.clone(),
    ///     sub_agent_id: Some(sandbox.sub_agent.id.clone()),
    ///     scopes: Scopes::parse_some(vec!["mail:read".to_owned()])?,
    ///     expires_in: Lifetime::minutes(10),
    ///     format: TokenFormat::Jwt,
    /// };
    /// let child = grantex.delegate(ctx, developer, wish).await?;
    /// assert_eq!(child.grant.parent_grant_id, Some(parent.grant.id.clone()));
    ///
    /// // What ends the parent ends the child.
    /// grantex.revoke_grant(ctx, developer, parent.grant.id).await?;
    /// assert!(grantex.verify_token(ctx, developer, child.jwt.expose(), None).await?.is_err());
    /// # Ok(())
    /// # }
    /// # #[cfg(not(all(feature = "testing", feature = "aws-lc")))]
    /// # fn main() {}
    /// ```
    pub async fn delegate(
        &self,
        ctx: &Context,
        developer: &Developer,
        command: Delegate,
    ) -> Result<Delegated, DelegateError> {
        let _span = ctx.recording().span("grantex.delegate");
        self.check_format(command.format)?;
        let parent = match self
            .verify_token(ctx, developer, command.parent_token.expose(), None)
            .await?
        {
            Ok(parent) => parent,
            Err(InvalidReason::Foreign) => return Err(DelegateError::ForeignParent),
            Err(reason) => return Err(DelegateError::ParentInvalid(reason)),
        };
        if parent.biscuit.as_ref().is_some_and(|chain| !chain.blocks.is_empty()) {
            return Err(DelegateError::ParentNarrowed);
        }
        let limit = self.parts.settings.max_delegation_depth;
        if parent.record.grant.delegation_depth >= limit {
            return Err(DelegateError::DepthExceeded { limit });
        }
        if let Some(scope) = command.scopes.first_outside(&parent.claims.scopes) {
            return Err(DelegateError::ScopeNotInParent {
                scope: scope.to_owned(),
            });
        }
        let heir = self.sub_agent(developer, &command).await?;
        let limit = self.parts.settings.max_grant_lifetime;
        if command.expires_in > limit {
            return Err(DelegateError::TooLong { limit });
        }
        let now = self.now();
        let child = child_of(
            &parent,
            heir.clone(),
            command.scopes,
            command.expires_in,
            now,
            new_id(&*self.parts.random, now),
        );
        let parent_id = parent.record.grant.id;
        let refusal = self.refusal(
            ctx,
            developer,
            PolicyAction::Delegate,
            child.subject(),
            Some(&parent_id),
        );
        if let Some(denied) = refusal.await? {
            return Err(denied.into());
        }
        let minted = self.mint(ctx, &child, command.format, now)?;
        self.transact(ctx, Some(&developer.id), move |unit| {
            Box::pin(async move {
                if !unit.tx.touch_active_grant(&parent_id, &heir, unit.now).await? {
                    return Err(unit.why_not_delegated(&heir).await?);
                }
                unit.insert_issued(minted, Event::TokenDelegated).await
            })
        })
        .await
    }

    async fn sub_agent(&self, developer: &Developer, command: &Delegate) -> Result<AgentId, DelegateError> {
        let id = command.sub_agent_id.clone().ok_or(DelegateError::SubAgentNotFound)?;
        let agent = self
            .agent(developer, id)
            .await?
            .ok_or(DelegateError::SubAgentNotFound)?;
        if agent.status != AgentStatus::Active {
            return Err(DelegateError::SubAgentNotFound);
        }
        match agent.first_forbidden(&command.scopes) {
            Some(scope) => Err(DelegateError::ScopeNotRegistered {
                scope: scope.to_owned(),
            }),
            None => Ok(agent.id),
        }
    }
}

impl Unit<'_> {
    /// Tells why what could be handed on a moment ago cannot be any more.
    async fn why_not_delegated(&mut self, heir: &AgentId) -> Result<DelegateError, StoreError> {
        let developer = self.developer()?.clone();
        let heir = self.tx.agent(&developer, heir).await?;
        Ok(match heir {
            Some(heir) if heir.status == AgentStatus::Active => DelegateError::ParentInactive,
            _ => DelegateError::SubAgentNotFound,
        })
    }
}

fn child_of(
    parent: &VerifiedToken,
    agent_id: AgentId,
    scopes: Scopes,
    expires_in: Lifetime,
    now: Timestamp,
    id: crate::id::GrantId,
) -> Grant {
    let above = &parent.record.grant;
    let mut delegators = vec![above.agent_id.clone()];
    delegators.extend(above.delegators.iter().cloned());
    Grant {
        id,
        developer_id: above.developer_id.clone(),
        agent_id,
        principal_id: above.principal_id.clone(),
        scopes,
        audience: above.audience.clone(),
        state: GrantState::Active,
        issued_at: now,
        expires_at: parent.claims.expires_at.min(now.plus(expires_in)).floor_to_second(),
        parent_grant_id: Some(above.id.clone()),
        delegation_depth: above.delegation_depth + 1,
        delegators,
    }
}
