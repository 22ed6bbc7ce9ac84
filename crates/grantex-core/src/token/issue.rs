//! Making a grant's tokens: ids, signature, refresh token.

use crate::clock::Timestamp;
use crate::context::Context;
use crate::error::StoreError;
use crate::event::{Event, TokenIssue};
use crate::grant::Grant;
use crate::grantex::{Grantex, Unit};
use crate::id::{TokenId, new_id, new_secret};
use crate::plan::PlanLimit;
use crate::secret::Secret;
use crate::store::Store;
use crate::token::biscuit::{Root, TokenFormat};
use crate::token::signer::SignError;
use crate::token::{Token, claims, jwt};

/// A grant's tokens as handed out.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct IssuedToken {
    /// The grant.
    pub grant: Grant,
    /// The `jti`.
    pub token_id: TokenId,
    /// The signed access token: a JWT, or a Biscuit when that is all that was asked for.
    pub jwt: Secret<String>,
    /// The Biscuit, when both were asked for.
    pub biscuit: Option<Secret<String>>,
    /// The refresh token.
    pub refresh_token: Secret<String>,
    /// When the access token ends.
    pub expires_at: Timestamp,
}

/// Tokens that are signed and not yet stored.
pub(crate) struct Minted {
    pub issued: IssuedToken,
    pub row: Token,
}

impl Minted {
    pub fn event(&self) -> TokenIssue {
        let issued = &self.issued;
        TokenIssue {
            token_id: issued.token_id.clone(),
            grant_id: issued.grant.id.clone(),
            agent_id: issued.grant.agent_id.clone(),
            principal_id: issued.grant.principal_id.clone(),
            scopes: issued.grant.scopes.clone(),
            expires_at: issued.expires_at,
        }
    }
}

/// A format was asked for that is not offered.
#[derive(Debug, thiserror::Error)]
#[error("this server does not issue Biscuits")]
pub struct FormatNotOffered;

impl<S: Store> Grantex<S> {
    /// Whether tokens can be made in this format now.
    pub(crate) fn check_format(&self, format: TokenFormat) -> Result<(), FormatNotOffered> {
        match format {
            TokenFormat::Jwt => Ok(()),
            TokenFormat::Biscuit | TokenFormat::Both if self.keys().biscuits().is_some() => Ok(()),
            TokenFormat::Biscuit | TokenFormat::Both => Err(FormatNotOffered),
        }
    }

    /// Signs an access token for a grant and makes a refresh token beside it. Nothing is stored yet, so that the signature (the
    /// costliest step of an exchange) is made outside the transaction.
    pub(crate) fn mint(
        &self,
        ctx: &Context,
        grant: &Grant,
        format: TokenFormat,
        now: Timestamp,
    ) -> Result<Minted, SignError> {
        let _span = ctx.recording().span("grantex.token.sign");
        let random = &*self.parts.random;
        let token_id: TokenId = new_id(random, now);
        let (issued_at, expires_at) = (now.floor_to_second(), grant.expires_at);
        let issuer = &self.parts.settings.issuer;
        let keys = self.keys();
        let signer = keys.token_signer();
        let jwt = match format {
            TokenFormat::Biscuit => None,
            TokenFormat::Jwt | TokenFormat::Both => {
                let payload = claims::payload(issuer, grant, &token_id, issued_at, expires_at);
                Some(jwt::sign(&**signer, jwt::GRANT_TOKEN_TYPE, &payload)?)
            }
        };
        let biscuits = match format {
            TokenFormat::Jwt => None,
            TokenFormat::Biscuit | TokenFormat::Both => keys.biscuits(),
        };
        let biscuit = biscuits
            .map(|biscuits| biscuits.mint(&Root::of(issuer, grant, &token_id, issued_at)))
            .transpose()?;
        let biscuit_key_id = biscuits.map(|biscuits| biscuits.signing_kid().to_owned());
        let key_id = match (&jwt, &biscuit_key_id) {
            (None, Some(kid)) => kid.clone(),
            _ => signer.key_id().to_owned(),
        };
        let (jwt, biscuit) = match (jwt, biscuit) {
            (Some(jwt), biscuit) => (jwt, biscuit),
            (None, Some(biscuit)) => (biscuit, None),
            (None, None) => return Err(SignError("there is no root key of Biscuits".into())),
        };
        let refresh_token = new_secret(random, "ref_");
        let row = Token {
            id: token_id.clone(),
            grant_id: grant.id.clone(),
            developer_id: grant.developer_id.clone(),
            key_id,
            biscuit_key_id,
            issued_at,
            expires_at,
            revoked_at: None,
            refresh_hash: refresh_token.sha256(),
            refresh_expires_at: now.plus(self.parts.settings.refresh_token_ttl).min(grant.expires_at),
            refresh_use: None,
        };
        let issued = IssuedToken {
            grant: grant.clone(),
            token_id,
            jwt,
            biscuit,
            refresh_token,
            expires_at,
        };
        Ok(Minted { issued, row })
    }
}

impl Unit<'_> {
    /// Inserts a new grant with its first tokens, if the plan allows one more; `told` is the event that tells of the tokens.
    pub(crate) async fn insert_issued<E>(
        &mut self,
        minted: Minted,
        told: fn(TokenIssue) -> Event,
    ) -> Result<IssuedToken, E>
    where
        E: From<StoreError> + From<PlanLimit>,
    {
        let head = self.lock_head().await?;
        let active = u64::try_from(head.active_grants).unwrap_or(0);
        PlanLimit::check(head.plan.max_active_grants(), active, "active grants")?;
        let grant = minted.issued.grant.clone();
        self.record(grant.created_event());
        self.record(told(minted.event()));
        self.insert_grant(grant);
        self.insert_token(minted.row);
        Ok(minted.issued)
    }
}

impl Grant {
    /// The event that tells of this grant's creation.
    fn created_event(&self) -> Event {
        Event::GrantCreated {
            grant_id: self.id.clone(),
            agent_id: self.agent_id.clone(),
            principal_id: self.principal_id.clone(),
            scopes: self.scopes.clone(),
            expires_at: self.expires_at,
            delegation_depth: self.delegation_depth,
            parent_grant_id: self.parent_grant_id.clone(),
        }
    }
}
