//! OAuth's own questions about tokens: introspection (RFC 7662) and revocation (RFC 7009).

use crate::context::Context;
use crate::developer::Developer;
use crate::error::StoreError;
use crate::grant::RevokedBy;
use crate::grantex::Grantex;
use crate::secret::SecretHash;
use crate::store::Store;
use crate::token::verify::{Authority, judge};
use crate::token::{TokenRecord, VerifiedToken};

/// What the caller believes a token to be; only an order of search (RFC 7662 §2.1), and the forms differ anyway.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum TokenHint {
    /// An access token.
    AccessToken,
    /// A refresh token.
    RefreshToken,
}

/// The answer to an introspection.
#[derive(Debug, Clone, PartialEq)]
pub enum Introspection {
    /// Not a token that is good for this developer.
    Inactive,
    /// A good access token.
    Access(Box<VerifiedToken>),
    /// A refresh token that would work.
    Refresh(Box<TokenRecord>),
}

/// Why a token was not revoked.
#[derive(Debug, thiserror::Error)]
pub enum RevokeTokenError {
    /// Unknown, of another developer, or revoked already.
    #[error("the token is unknown or already revoked")]
    NotFound,
    /// The store failed.
    #[error(transparent)]
    Store(#[from] StoreError),
}

const REFRESH_PREFIX: &str = "ref_";

impl<S: Store> Grantex<S> {
    /// Tells what a presented access or refresh token is worth to this developer.
    pub async fn introspect(
        &self,
        ctx: &Context,
        developer: &Developer,
        token: &str,
    ) -> Result<Introspection, StoreError> {
        if token.starts_with(REFRESH_PREFIX) {
            return self.introspect_refresh(developer, token).await;
        }
        let verdict = self.verify_token(ctx, developer, token, None).await?;
        Ok(verdict.map_or(Introspection::Inactive, |verified| {
            Introspection::Access(Box::new(verified))
        }))
    }

    async fn introspect_refresh(&self, developer: &Developer, token: &str) -> Result<Introspection, StoreError> {
        let found = self.refresh_record(SecretHash::of(token)).await?;
        let Some((record, ancestors)) = found else {
            return Ok(Introspection::Inactive);
        };
        let now = self.now();
        let is_good = record.token.developer_id == developer.id
            && record.token.refresh_use.is_none()
            && record.token.refresh_expires_at > now
            && judge(&record.grant, record.agent_status, &ancestors, now) == Authority::InForce;
        Ok(if is_good {
            Introspection::Refresh(Box::new(record))
        } else {
            Introspection::Inactive
        })
    }

    /// Revokes a presented token: a refresh token takes its grant and all descendants with it, an access token only itself.
    /// An unknown token is no error (RFC 7009 §2.2).
    pub async fn revoke_presented(&self, ctx: &Context, developer: &Developer, token: &str) -> Result<(), StoreError> {
        if token.starts_with(REFRESH_PREFIX) {
            return self.revoke_by_refresh_token(ctx, developer, token).await;
        }
        if let Some(chain) = self.open_own_biscuit(developer, token) {
            return self
                .revoke_block(ctx, developer, chain.own_revocation_id().to_owned())
                .await;
        }
        let Some(authentic) = crate::token::jwt::open(&self.keys(), &self.parts.verified, token) else {
            return Ok(());
        };
        let Some(jti) = authentic.claims.get("jti").and_then(serde_json::Value::as_str) else {
            return Ok(());
        };
        match self.revoke_access_token(ctx, developer, jti).await {
            Ok(()) | Err(RevokeTokenError::NotFound) => Ok(()),
            Err(RevokeTokenError::Store(error)) => Err(error),
        }
    }

    async fn revoke_by_refresh_token(
        &self,
        ctx: &Context,
        developer: &Developer,
        token: &str,
    ) -> Result<(), StoreError> {
        let hash = SecretHash::of(token);
        self.transact(ctx, Some(&developer.id), move |unit| {
            Box::pin(async move {
                let developer = unit.developer()?.clone();
                let record = unit.tx.token_by_refresh(&hash).await?;
                if let Some(record) = record.filter(|record| record.token.developer_id == developer) {
                    unit.revoke_with_descendants(&record.grant, RevokedBy::RefreshTokenRevoked)
                        .await?;
                }
                Ok(())
            })
        })
        .await
    }
}
