//! A refresh token becomes new tokens, once (RFC 6749 §6, RFC 9700 §4.14).

use serde_json::{Value, json};

use crate::anomaly::signal::{Signal, SignalKind};
use crate::clock::Timestamp;
use crate::context::Context;
use crate::developer::Developer;
use crate::error::StoreError;
use crate::event::{Event, RefreshStatus};
use crate::grant::{Ancestor, Grant, RevokedBy};
use crate::grantex::{Grantex, Unit};
use crate::id::{AgentId, TokenId};
use crate::policy::{PolicyAction, PolicyDenied};
use crate::secret::{Secret, SecretHash};
use crate::store::Store;
use crate::token::biscuit::TokenFormat;
use crate::token::issue::Minted;
use crate::token::signer::SignError;
use crate::token::verify::{Authority, ancestors_of, judge};
use crate::token::{RefreshUse, Replay, TokenRecord};

/// A client's name for one refresh, under which the same answer may be had again.
#[derive(Debug, Clone)]
pub struct IdempotencyKey(Secret<String>);

impl IdempotencyKey {
    /// Reads the header value: 16 to 256 printable ASCII characters.
    pub fn parse(text: &str) -> Option<Self> {
        let is_well_formed = (16..=256).contains(&text.len()) && text.bytes().all(|byte| (b' '..=b'~').contains(&byte));
        is_well_formed.then(|| Self(Secret::new(text.to_owned())))
    }
}

/// The wish to refresh.
#[derive(Debug, Clone)]
pub struct RefreshToken {
    /// The refresh token.
    pub refresh_token: Secret<String>,
    /// The agent that refreshes; `None` when what was sent cannot be an agent's id.
    pub agent_id: Option<AgentId>,
    /// Names this refresh.
    pub idempotency_key: Option<IdempotencyKey>,
}

impl RefreshToken {
    /// The key bound to developer, agent and token, so that it is worth nothing anywhere else.
    fn key_hash(&self, developer: &Developer) -> Option<SecretHash> {
        let key = self.idempotency_key.as_ref()?;
        let agent = self.agent_id.as_ref()?;
        Some(SecretHash::of(&format!(
            "{}\n{agent}\n{}\n{}",
            developer.id,
            self.refresh_token.sha256().as_str(),
            key.0.expose()
        )))
    }
}

/// What a refresh hands out.
#[derive(Debug, Clone)]
pub struct Refreshed {
    /// The grant.
    pub grant: Grant,
    /// The signed access token.
    pub jwt: Secret<String>,
    /// The next refresh token.
    pub refresh_token: Secret<String>,
    /// When the access token ends.
    pub expires_at: Timestamp,
}

/// Why there are no new tokens.
#[derive(Debug, thiserror::Error)]
pub enum RefreshError {
    /// Unknown, or of another developer.
    #[error("the refresh token is unknown")]
    Unknown,
    /// It belongs to another agent.
    #[error("the refresh token is not for this agent")]
    AgentMismatch,
    /// It was used before.
    #[error("the refresh token was already used")]
    Reused,
    /// It, or its grant, has expired.
    #[error("the refresh token or its grant has expired")]
    Expired,
    /// The grant, or one above it, is revoked, or its agent was deleted.
    #[error("the grant is revoked")]
    Revoked,
    /// The agent, or one that handed the grant on, is suspended.
    #[error("the agent is not active")]
    AgentInactive,
    /// A policy refuses.
    #[error(transparent)]
    PolicyDenied(#[from] PolicyDenied),
    /// The token could not be signed.
    #[error("signing the token failed")]
    Signing(#[from] SignError),
    /// The store failed.
    #[error(transparent)]
    Store(#[from] StoreError),
}

impl RefreshError {
    /// The label under which the attempt is counted.
    pub const fn status(&self) -> RefreshStatus {
        match self {
            Self::Unknown | Self::AgentMismatch => RefreshStatus::InvalidRequest,
            Self::Reused => RefreshStatus::ReuseDetected,
            Self::Expired => RefreshStatus::Expired,
            Self::Revoked | Self::AgentInactive => RefreshStatus::Revoked,
            Self::PolicyDenied(_) => RefreshStatus::Denied,
            Self::Signing(_) | Self::Store(_) => RefreshStatus::Error,
        }
    }
}

/// A presented refresh token, and what stands above its grant.
struct Presented {
    record: TokenRecord,
    ancestors: Vec<Ancestor>,
}

impl Presented {
    /// Judged like the tokens that would come of it: nothing is issued that would not verify.
    fn check(&self, now: Timestamp) -> Result<(), RefreshError> {
        let Self { record, ancestors } = self;
        match judge(&record.grant, record.agent_status, ancestors, now) {
            Authority::Revoked => Err(RefreshError::Revoked),
            Authority::Suspended => Err(RefreshError::AgentInactive),
            Authority::Expired => Err(RefreshError::Expired),
            Authority::InForce if record.token.refresh_expires_at <= now && record.token.refresh_use.is_none() => {
                Err(RefreshError::Expired)
            }
            Authority::InForce => Ok(()),
        }
    }
}

/// What a unit found when it tried to use the refresh token.
enum Attempt {
    Done(Box<Refreshed>),
    Lost,
}

impl<S: Store> Grantex<S> {
    /// Exchanges a refresh token for new tokens of the same grant, with the same expiry.
    ///
    /// The refresh token works once; it stays usable when a policy refuses. With an idempotency key the same call may be repeated for
    /// [`Settings::replay_window`](crate::Settings) and is answered the same, while the new refresh token is unused. Any other second use fails
    /// and revokes the grant with all that was delegated from it, unless it comes within
    /// [`Settings::refresh_grace`](crate::Settings) while the new refresh token is unused.
    ///
    /// Serialized with whatever ends the grant: tokens are only handed out if they were good when they were committed. Otherwise
    /// nothing is committed, and the refresh token stays unused.
    pub async fn refresh_token(
        &self,
        ctx: &Context,
        developer: &Developer,
        command: RefreshToken,
    ) -> Result<Refreshed, RefreshError> {
        ctx.enter();
        let _span = ctx.recording().span("grantex.token.refresh");
        let result = self.try_refresh(ctx, developer, &command).await;
        if let Err(error) = &result {
            // A refusal by a policy is in the chain.
            if !matches!(error, RefreshError::PolicyDenied(_)) {
                let named = command.agent_id.clone();
                self.signal(&developer.id, |at| Signal::refused(SignalKind::Refresh, named, at));
            }
            self.emit(ctx, &Event::TokenRefreshRejected { status: error.status() });
        }
        result
    }

    async fn try_refresh(
        &self,
        ctx: &Context,
        developer: &Developer,
        command: &RefreshToken,
    ) -> Result<Refreshed, RefreshError> {
        let presented = self.presented(developer, command).await?;
        if presented.record.token.refresh_use.is_some() {
            return self.refresh_again(ctx, developer, command, presented).await;
        }
        let now = self.now();
        presented.check(now)?;
        self.check_policies(ctx, developer, &presented).await?;
        let minted = self.mint(ctx, &presented.record.grant, TokenFormat::Jwt, now)?;
        match self
            .store_refresh(ctx, developer, command, &presented.record, minted)
            .await?
        {
            Attempt::Done(refreshed) => Ok(*refreshed),
            Attempt::Lost => {
                let presented = self.presented(developer, command).await?;
                self.refresh_again(ctx, developer, command, presented).await
            }
        }
    }

    /// Tokens that exist already are not handed out again either while a policy refuses them.
    async fn check_policies(
        &self,
        ctx: &Context,
        developer: &Developer,
        presented: &Presented,
    ) -> Result<(), RefreshError> {
        let grant = &presented.record.grant;
        let refusal = self.refusal(ctx, developer, PolicyAction::Refresh, grant.subject(), Some(&grant.id));
        match refusal.await? {
            Some(denied) => Err(denied.into()),
            None => Ok(()),
        }
    }

    async fn presented(&self, developer: &Developer, command: &RefreshToken) -> Result<Presented, RefreshError> {
        let found = self.refresh_record(command.refresh_token.sha256()).await?;
        let (record, ancestors) = found
            .filter(|(record, _)| record.token.developer_id == developer.id)
            .ok_or(RefreshError::Unknown)?;
        if command.agent_id.as_ref() != Some(record.agent_id()) {
            return Err(RefreshError::AgentMismatch);
        }
        Ok(Presented { record, ancestors })
    }

    /// The issuance of a refresh token, whoever the developer is, with what stands above its grant.
    pub(super) async fn refresh_record(
        &self,
        hash: SecretHash,
    ) -> Result<Option<(TokenRecord, Vec<Ancestor>)>, StoreError> {
        let record = self.store.token_by_refresh(hash).await?;
        self.with_ancestors(record).await
    }

    async fn store_refresh(
        &self,
        ctx: &Context,
        developer: &Developer,
        command: &RefreshToken,
        record: &TokenRecord,
        minted: Minted,
    ) -> Result<Attempt, RefreshError> {
        let used = RefreshUse {
            at: self.now(),
            successor: minted.row.id.clone(),
            replay: self.seal_replay(developer, command, record, &minted)?,
        };
        let id = record.token.id.clone();
        self.transact(ctx, Some(&developer.id), move |unit| {
            Box::pin(async move {
                if !unit.tx.use_refresh_token(&id, &used).await? {
                    return unit.why_not_refreshed(&id).await;
                }
                unit.record(Event::TokenRefreshed(minted.event()));
                unit.insert_token(minted.row);
                let issued = minted.issued;
                Ok(Attempt::Done(Box::new(Refreshed {
                    grant: issued.grant,
                    jwt: issued.jwt,
                    refresh_token: issued.refresh_token,
                    expires_at: issued.expires_at,
                })))
            })
        })
        .await
    }

    /// The refresh token was used before: repeat the answer, refuse, or revoke.
    async fn refresh_again(
        &self,
        ctx: &Context,
        developer: &Developer,
        command: &RefreshToken,
        presented: Presented,
    ) -> Result<Refreshed, RefreshError> {
        let Some(used) = presented.record.token.refresh_use.clone() else {
            return Err(RefreshError::Reused);
        };
        let now = self.now();
        let successor = self.store.token(used.successor.clone()).await?;
        let is_successor_unused = successor
            .as_ref()
            .is_some_and(|successor| successor.token.refresh_use.is_none());
        let key_hash = command.key_hash(developer);
        if let (Some(key_hash), Some(replay)) = (&key_hash, &used.replay)
            && *key_hash == replay.key_hash
        {
            // The client says that this is the same refresh, so it is never taken for theft.
            presented.check(now)?;
            self.check_policies(ctx, developer, &presented).await?;
            let is_fresh = now <= used.at.plus(self.parts.settings.replay_window);
            let opened = replay.sealed.as_deref().filter(|_| is_fresh && is_successor_unused);
            let answer = opened
                .and_then(|sealed| self.open_replay(&presented.record, sealed))
                .ok_or(RefreshError::Reused)?;
            self.emit(
                ctx,
                &Event::RefreshReplayed {
                    grant_id: answer.grant.id.clone(),
                    agent_id: answer.grant.agent_id.clone(),
                },
            );
            return Ok(answer);
        }
        let is_impatient = now <= used.at.plus(self.parts.settings.refresh_grace) && is_successor_unused;
        self.refresh_was_reused(ctx, developer, presented.record, is_impatient)
            .await?;
        Err(RefreshError::Reused)
    }

    /// Somebody else holds the token: the kept answer is forgotten, and without the excuse of impatience the grant is revoked.
    async fn refresh_was_reused(
        &self,
        ctx: &Context,
        developer: &Developer,
        record: TokenRecord,
        is_impatient: bool,
    ) -> Result<(), StoreError> {
        self.transact(ctx, Some(&developer.id), move |unit| {
            Box::pin(async move {
                unit.tx.forget_replay(&record.token.id).await?;
                let is_revoked = !is_impatient
                    && unit
                        .revoke_with_descendants(&record.grant, RevokedBy::RefreshReuse)
                        .await?;
                unit.record(Event::RefreshReuseDetected {
                    grant_id: record.grant.id,
                    agent_id: record.grant.agent_id,
                    principal_id: record.grant.principal_id,
                    is_revoked,
                });
                Ok(())
            })
        })
        .await
    }

    fn seal_replay(
        &self,
        developer: &Developer,
        command: &RefreshToken,
        record: &TokenRecord,
        minted: &Minted,
    ) -> Result<Option<Replay>, SignError> {
        let Some(key_hash) = command.key_hash(developer) else {
            return Ok(None);
        };
        let answer = json!({
            "jwt": minted.issued.jwt.expose(),
            "refreshToken": minted.issued.refresh_token.expose(),
            "expiresAt": minted.issued.expires_at.as_millis(),
        });
        let plain = Secret::new(answer.to_string());
        let sealed = self
            .parts
            .sealer
            .seal(&replay_context(record), plain.expose().as_bytes())?;
        Ok(Some(Replay {
            key_hash,
            sealed: Some(sealed),
        }))
    }

    fn open_replay(&self, record: &TokenRecord, sealed: &str) -> Option<Refreshed> {
        let plain = Secret::new(self.parts.sealer.open(&replay_context(record), sealed)?);
        let answer: Value = serde_json::from_slice(plain.expose()).ok()?;
        let text = |name: &str| {
            answer
                .get(name)
                .and_then(Value::as_str)
                .map(|text| Secret::new(text.to_owned()))
        };
        Some(Refreshed {
            grant: record.grant.clone(),
            jwt: text("jwt")?,
            refresh_token: text("refreshToken")?,
            expires_at: Timestamp::from_millis(answer.get("expiresAt")?.as_i64()?),
        })
    }
}

impl Unit<'_> {
    /// Tells why a refresh token that was good a moment ago cannot be used: somebody else was faster, or ended the grant.
    async fn why_not_refreshed(&mut self, id: &TokenId) -> Result<Attempt, RefreshError> {
        let record = self.tx.token(id).await?.ok_or(RefreshError::Unknown)?;
        if record.token.refresh_use.is_some() {
            return Ok(Attempt::Lost);
        }
        let ancestors = ancestors_of(self.tx, &record.grant).await?;
        Presented { record, ancestors }.check(self.now)?;
        Err(StoreError::unavailable("the grant changed while its token was refreshed").into())
    }
}

fn replay_context(record: &TokenRecord) -> String {
    format!("refresh-replay:{}", record.token.id)
}
