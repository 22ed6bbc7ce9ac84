//! Revocation: one cascading function behind every way to revoke.

use crate::closed;
use crate::context::Context;
use crate::developer::Developer;
use crate::error::StoreError;
use crate::event::Event;
use crate::grant::Grant;
use crate::grantex::{Grantex, Unit};
use crate::id::{DeveloperId, GrantId};
use crate::principal::Session;
use crate::store::Store;

closed! {
    /// On whose behalf a grant was revoked.
    pub enum RevokedBy {
        /// The developer, by API key.
        Developer = "developer",
        /// The principal, on the permissions page.
        Principal = "principal",
        /// The deletion of its agent.
        AgentDeleted = "agent_deleted",
        /// The second use of its authorization code.
        CodeReuse = "code_reuse",
        /// The second use of a refresh token.
        RefreshReuse = "refresh_reuse",
        /// The revocation of its refresh token (RFC 7009).
        RefreshTokenRevoked = "refresh_token_revoked",
        /// The developer's response policy, because of an anomaly.
        Anomaly = "anomaly",
    }
}

/// Why a grant was not revoked.
#[derive(Debug, thiserror::Error)]
pub enum RevokeGrantError {
    /// There is no such grant, or neither it nor anything below it is active.
    #[error("the grant is unknown or already revoked")]
    NotFound,
    /// The store failed.
    #[error(transparent)]
    Store(#[from] StoreError),
}

impl<S: Store> Grantex<S> {
    /// Revokes a grant with everything that was delegated from it.
    ///
    /// Atomic, and visible to the very next verification on every replica. A grant that is revoked already is walked again, so
    /// that nothing active can survive below it; when nothing was, the answer is [`RevokeGrantError::NotFound`].
    ///
    /// ```
    /// # #[cfg(all(feature = "testing", feature = "aws-lc"))]
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// use grantex_core::testing::Sandbox;
    /// use grantex_core::token::InvalidReason;
    ///
    /// let sandbox = Sandbox::new().await;
    /// let (grantex, ctx, developer) = (&sandbox.grantex, &sandbox.ctx, &sandbox.developer);
    /// let issued = sandbox.issued().await;
    /// grantex.revoke_grant(ctx, developer, issued.grant.id).await?;
    /// let verdict = grantex.verify_token(ctx, developer, issued.jwt.expose(), None).await?;
    /// assert_eq!(verdict.err(), Some(InvalidReason::Revoked));
    /// # Ok(())
    /// # }
    /// # #[cfg(not(all(feature = "testing", feature = "aws-lc")))]
    /// # fn main() {}
    /// ```
    pub async fn revoke_grant(
        &self,
        ctx: &Context,
        developer: &Developer,
        id: GrantId,
    ) -> Result<(), RevokeGrantError> {
        self.revoke_if(ctx, &developer.id, id, RevokedBy::Developer, |_| true)
            .await
    }

    /// Revokes one of a principal's own grants, with everything below it.
    pub async fn revoke_own_grant(
        &self,
        ctx: &Context,
        session: &Session,
        id: GrantId,
    ) -> Result<(), RevokeGrantError> {
        let principal = session.principal_id.clone();
        self.revoke_if(ctx, &session.developer_id, id, RevokedBy::Principal, move |grant| {
            grant.principal_id == principal
        })
        .await
    }

    async fn revoke_if(
        &self,
        ctx: &Context,
        developer: &DeveloperId,
        id: GrantId,
        by: RevokedBy,
        is_theirs: impl FnOnce(&Grant) -> bool + Send + 'static,
    ) -> Result<(), RevokeGrantError> {
        let _span = ctx.recording().span("grantex.revoke");
        self.transact(ctx, Some(developer), move |unit| {
            Box::pin(async move {
                let developer = unit.developer()?.clone();
                let grant = unit.tx.grant(&developer, &id).await?;
                let grant = grant.filter(is_theirs).ok_or(RevokeGrantError::NotFound)?;
                unit.revoke_with_descendants(&grant, by)
                    .await?
                    .then_some(())
                    .ok_or(RevokeGrantError::NotFound)
            })
        })
        .await
    }
}

impl Unit<'_> {
    /// Revokes a tree and records it; `false` when nothing in it was active.
    pub(crate) async fn revoke_with_descendants(&mut self, grant: &Grant, by: RevokedBy) -> Result<bool, StoreError> {
        let revoked = self.revoke_tree(&grant.developer_id, &grant.id, by).await?;
        if revoked.grants.is_empty() {
            return Ok(false);
        }
        let root_was_active = revoked.grants.contains(&grant.id);
        let count = u64::try_from(revoked.grants.len()).unwrap_or(u64::MAX);
        self.active_grants_delta -= revoked.counted;
        self.record(Event::GrantRevoked {
            grant_id: grant.id.clone(),
            agent_id: grant.agent_id.clone(),
            principal_id: grant.principal_id.clone(),
            revoked_by: by,
            cascade_count: count - u64::from(root_was_active),
            root_was_active,
        });
        Ok(true)
    }
}
