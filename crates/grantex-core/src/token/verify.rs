//! Is a token good, now? Signature, issuer, expiry, and then what the store says of token, grant, agent and ancestors.

use std::net::IpAddr;

use serde_json::Value;

use crate::agent::AgentStatus;
use crate::anomaly::signal::{Network, Signal, SignalKind, Subject};
use crate::clock::{Lifetime, Timestamp};
use crate::closed;
use crate::context::Context;
use crate::developer::Developer;
use crate::error::StoreError;
use crate::event::{Event, VerifyStatus};
use crate::grant::{Ancestor, Grant, GrantState, GrantStatus};
use crate::grantex::Grantex;
use crate::id::{AgentId, DID_PREFIX, GrantId, TokenId};
use crate::secret::Secret;
use crate::store::{Reads, Store};
use crate::token::biscuit::{Chain, agent_of_did};
use crate::token::claims::Claims;
use crate::token::{RevokeTokenError, TokenRecord, jwt};

/// A token that is good.
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub struct VerifiedToken {
    /// Its claims.
    pub claims: Claims,
    /// Its row and grant.
    pub record: TokenRecord,
    /// Its blocks, if it is a Biscuit; the claims are then the intersection over them.
    pub biscuit: Option<Box<Chain>>,
}

/// A token that is authentic.
struct Opened {
    claims: Claims,
    chain: Option<Box<Chain>>,
}

/// Why a token is not good.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum InvalidReason {
    /// It is no grant token of this server.
    Malformed,
    /// It has expired.
    Expired,
    /// Nobody issued it to this developer.
    Unknown,
    /// It belongs to another developer; to be answered like [`InvalidReason::Unknown`] wherever that would tell something.
    Foreign,
    /// It, its grant or a grant above is revoked, or the agent was deleted.
    Revoked,
    /// Its agent, or an agent above, is suspended.
    Suspended,
    /// It is for another audience.
    Audience,
}

impl InvalidReason {
    /// The label under which the verification is counted.
    pub const fn status(self) -> VerifyStatus {
        match self {
            Self::Malformed => VerifyStatus::Malformed,
            Self::Expired => VerifyStatus::Expired,
            Self::Unknown | Self::Foreign => VerifyStatus::Unknown,
            Self::Revoked => VerifyStatus::Revoked,
            Self::Suspended => VerifyStatus::Suspended,
            Self::Audience => VerifyStatus::Audience,
        }
    }
}

/// What stands in the way of a grant that is stored as active.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Authority {
    /// Nothing.
    InForce,
    /// It, or a grant above, is revoked, or an agent was deleted.
    Revoked,
    /// Its agent, or an agent above, is suspended.
    Suspended,
    /// It has expired.
    Expired,
}

/// Judges a grant with its agent and everything above it.
pub fn judge(grant: &Grant, agent: Option<AgentStatus>, ancestors: &[Ancestor], now: Timestamp) -> Authority {
    let is_gone =
        |state: &GrantState, agent: Option<AgentStatus>| matches!(state, GrantState::Revoked { .. }) || agent.is_none();
    if is_gone(&grant.state, agent) || ancestors.iter().any(|above| is_gone(&above.state, above.agent_status)) {
        return Authority::Revoked;
    }
    let is_suspended = |agent: Option<AgentStatus>| agent == Some(AgentStatus::Suspended);
    if is_suspended(agent) || ancestors.iter().any(|above| is_suspended(above.agent_status)) {
        return Authority::Suspended;
    }
    if grant.status(now) == GrantStatus::Expired {
        Authority::Expired
    } else {
        Authority::InForce
    }
}

pub(super) async fn ancestors_of(tx: &mut dyn Reads, grant: &Grant) -> Result<Vec<Ancestor>, StoreError> {
    if grant.parent_grant_id.is_none() {
        Ok(Vec::new())
    } else {
        tx.ancestors(grant).await
    }
}

closed! {
    /// The state of a grant or token, as resource servers ask for it before every call.
    pub enum RevocationStatus {
        /// In force.
        Active = "active",
        /// Revoked.
        Revoked = "revoked",
        /// Its agent, or an agent above, is suspended.
        Suspended = "suspended",
        /// Expired.
        Expired = "expired",
        /// Not of this developer, or never issued: the two cannot be told apart.
        Unknown = "unknown",
    }
}

impl RevocationStatus {
    /// Everything but `active` counts as revoked.
    pub fn is_revoked(self) -> bool {
        self != Self::Active
    }
}

/// The answer to a status question.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub struct StatusOfGrant {
    /// The state.
    pub status: RevocationStatus,
    /// When the token or grant ends; `None` when it is unknown.
    pub expires_at: Option<Timestamp>,
}

impl StatusOfGrant {
    const UNKNOWN: Self = Self {
        status: RevocationStatus::Unknown,
        expires_at: None,
    };
}

/// What rules want to know of a token whose signature was good.
struct Presented {
    subject: Subject,
    principal_id: String,
    grant_id: String,
    token_id: String,
    network: Option<Network>,
}

impl Presented {
    /// Whoever holds a Biscuit can name any agent in it, so rules look at the one that its grant is for. And each agent that it was
    /// handed to presents it from a place of its own: to rules, what it was handed is a token of its own.
    fn of(opened: &Opened, client: Option<IpAddr>) -> Self {
        let (claims, chain) = (&opened.claims, opened.chain.as_deref());
        let agent_did = chain.map_or(&claims.agent_did, |chain| &chain.root.agent_did);
        let handed = chain.and_then(Chain::last_handed);
        Self {
            subject: Subject::named(agent_did.strip_prefix(DID_PREFIX).unwrap_or_default()),
            principal_id: claims.principal_id.clone(),
            grant_id: claims.grant_id.to_string(),
            token_id: handed.unwrap_or(claims.token_id.as_str()).to_owned(),
            network: client.map(Network::of),
        }
    }

    fn signal(self, at: Timestamp, is_failure: bool) -> Signal {
        Signal {
            is_failure,
            principal_id: self.principal_id,
            grant_id: self.grant_id,
            token_id: self.token_id,
            network: self.network,
            ..Signal::new(SignalKind::Verification, self.subject, at)
        }
    }
}

impl<S: Store> Grantex<S> {
    /// Verifies a grant token of this developer against the authoritative store.
    ///
    /// `audience`, when given, must equal the token's `aud`. A token may be verified any number of times. Costs one read, one
    /// more if the grant was delegated, and for a token that was not seen lately a signature check. A Biscuit that was handed on without
    /// the server is recorded when it is seen first, which is a write.
    ///
    /// ```
    /// # #[cfg(all(feature = "testing", feature = "aws-lc"))]
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// use grantex_core::testing::Sandbox;
    /// use grantex_core::token::InvalidReason;
    ///
    /// let sandbox = Sandbox::new().await;
    /// let issued = sandbox.issued().await;
    /// let verify = async |token: &str| sandbox.grantex.verify_token(&sandbox.ctx, &sandbox.developer, token, None).await;
    ///
    /// // The outer result is about the store, the inner one about the token.
    /// let verified = verify(issued.jwt.expose()).await?.expect("the token is good");
    /// assert_eq!(verified.claims.scopes, ["calendar:read", "mail:read"]);
    /// assert_eq!(verify("no token").await?.err(), Some(InvalidReason::Malformed));
    /// # Ok(())
    /// # }
    /// # #[cfg(not(all(feature = "testing", feature = "aws-lc")))]
    /// # fn main() {}
    /// ```
    pub async fn verify_token(
        &self,
        ctx: &Context,
        developer: &Developer,
        token: &str,
        audience: Option<&str>,
    ) -> Result<Result<VerifiedToken, InvalidReason>, StoreError> {
        self.verify_token_of_client(ctx, developer, token, audience, None).await
    }

    /// Like [`Grantex::verify_token`]; `client` is the address of whoever presented the token to the verifier, which rules look at: one
    /// token from several networks is an anomaly. It does not change the verdict.
    pub async fn verify_token_of_client(
        &self,
        ctx: &Context,
        developer: &Developer,
        token: &str,
        audience: Option<&str>,
        client: Option<IpAddr>,
    ) -> Result<Result<VerifiedToken, InvalidReason>, StoreError> {
        let _span = ctx.recording().span("grantex.token.verify");
        let opened = self.open_grant_token(token);
        let token_id = opened.as_ref().ok().map(|opened| opened.claims.token_id.clone());
        let presented = opened
            .as_ref()
            .ok()
            .filter(|opened| self.parts.detector.is_some() && opened.claims.developer_id == developer.id);
        let signal = presented.map(|opened| Presented::of(opened, client));
        let verdict = match opened {
            Ok(opened) => self.judge_token(developer, opened, audience).await,
            Err(reason) => Ok(Err(reason)),
        };
        let status = match &verdict {
            Ok(Ok(_)) => None,
            Ok(Err(reason)) => Some(reason.status()),
            Err(_) => Some(VerifyStatus::Error),
        };
        if let Some(presented) = signal.filter(|_| verdict.is_ok()) {
            self.signal(&developer.id, |at| presented.signal(at, status.is_some()));
        }
        if let Ok(Ok(verified)) = &verdict {
            self.record_offline_delegations(ctx, developer, verified).await;
        }
        match status {
            None => self.emit(ctx, &Event::TokenVerified),
            Some(status) => self.emit(ctx, &Event::TokenVerificationFailed { status, token_id }),
        }
        verdict
    }

    /// Signatures, issuer, type and claims; says nothing of expiry or revocation. A JWT has dots, a Biscuit has none.
    fn open_grant_token(&self, token: &str) -> Result<Opened, InvalidReason> {
        if token.contains('.') {
            return self.open_jwt(token);
        }
        let keys = self.keys();
        let chain = keys.biscuits().and_then(|biscuits| biscuits.open(token));
        let chain = chain.ok_or(InvalidReason::Malformed)?;
        if chain.root.issuer != self.parts.settings.issuer {
            return Err(InvalidReason::Malformed);
        }
        let claims = Claims::read(chain.claims()).ok_or(InvalidReason::Malformed)?;
        Ok(Opened {
            claims,
            chain: Some(Box::new(chain)),
        })
    }

    fn open_jwt(&self, token: &str) -> Result<Opened, InvalidReason> {
        let authentic = jwt::open(&self.keys(), &self.parts.verified, token).ok_or(InvalidReason::Malformed)?;
        // Tokens of other kinds share the keys and must never pass for grant tokens.
        let is_grant_token = authentic.typ.as_deref() == Some(jwt::GRANT_TOKEN_TYPE);
        let is_ours = authentic.claims.get("iss").and_then(Value::as_str) == Some(&self.parts.settings.issuer);
        if !is_grant_token || !is_ours {
            return Err(InvalidReason::Malformed);
        }
        let claims = Claims::read(authentic.claims).ok_or(InvalidReason::Malformed)?;
        Ok(Opened { claims, chain: None })
    }

    /// What was read of a token, with what stands above its grant: one more read for a delegated grant.
    pub(super) async fn with_ancestors(
        &self,
        record: Option<TokenRecord>,
    ) -> Result<Option<(TokenRecord, Vec<Ancestor>)>, StoreError> {
        let Some(record) = record else { return Ok(None) };
        if record.grant.parent_grant_id.is_none() {
            return Ok(Some((record, Vec::new())));
        }
        let grant = record.grant.clone();
        let ancestors = self
            .store
            .read(move |tx| Box::pin(async move { tx.ancestors(&grant).await }))
            .await?;
        Ok(Some((record, ancestors)))
    }

    async fn judge_token(
        &self,
        developer: &Developer,
        opened: Opened,
        audience: Option<&str>,
    ) -> Result<Result<VerifiedToken, InvalidReason>, StoreError> {
        let Opened { mut claims, chain } = opened;
        if claims.developer_id != developer.id {
            return Ok(Err(InvalidReason::Foreign));
        }
        let now = self.now();
        if claims.expires_at <= now {
            return Ok(Err(InvalidReason::Expired));
        }
        let record = self.store.token(claims.token_id.clone()).await?;
        let Some((record, ancestors)) = self.with_ancestors(record).await? else {
            return Ok(Err(InvalidReason::Unknown));
        };
        if record.token.developer_id != developer.id || record.grant.id != claims.grant_id {
            return Ok(Err(InvalidReason::Unknown));
        }
        if record.token.revoked_at.is_some() {
            return Ok(Err(InvalidReason::Revoked));
        }
        let mut is_for_nobody = false;
        if let Some(chain) = &chain {
            let effective = chain.effective();
            // What the server handed on itself was allowed then.
            if chain.handed_to().next().is_some() && effective.depth > self.parts.settings.max_delegation_depth {
                return Ok(Err(InvalidReason::Malformed));
            }
            if let Some(reason) = self.judge_blocks(developer, chain).await? {
                return Ok(Err(reason));
            }
            is_for_nobody = effective.is_for_nobody;
            claims.complete(chain, &record.grant);
        }
        Ok(match judge(&record.grant, record.agent_status, &ancestors, now) {
            Authority::Revoked => Err(InvalidReason::Revoked),
            Authority::Suspended => Err(InvalidReason::Suspended),
            Authority::Expired => Err(InvalidReason::Expired),
            Authority::InForce if is_for_nobody => Err(InvalidReason::Audience),
            Authority::InForce if audience.is_some() && claims.audience.as_deref() != audience => {
                Err(InvalidReason::Audience)
            }
            Authority::InForce => Ok(VerifiedToken {
                claims,
                record,
                biscuit: chain,
            }),
        })
    }

    /// What stands in the way of a Biscuit's blocks: one of them is revoked, or an agent that it was handed to may not act.
    /// Agents of other servers are taken at their word. One read, and one more for each agent of this server.
    async fn judge_blocks(&self, developer: &Developer, chain: &Chain) -> Result<Option<InvalidReason>, StoreError> {
        let developer = developer.id.clone();
        let ids: Vec<String> = chain.revocation_ids().map(str::to_owned).collect();
        let ours = chain.handed_to().filter(|did| did.starts_with(DID_PREFIX));
        let agents: Vec<Option<AgentId>> = ours.map(agent_of_did).collect();
        self.store
            .read(move |tx| {
                Box::pin(async move {
                    if !tx.revoked_blocks_among(&developer, &ids).await?.is_empty() {
                        return Ok(Some(InvalidReason::Revoked));
                    }
                    for id in agents {
                        let agent = match id {
                            Some(id) => tx.agent(&developer, &id).await?,
                            None => None,
                        };
                        match agent.map(|agent| agent.status) {
                            Some(AgentStatus::Active) => {}
                            Some(AgentStatus::Suspended) => return Ok(Some(InvalidReason::Suspended)),
                            None => return Ok(Some(InvalidReason::Revoked)),
                        }
                    }
                    Ok(None)
                })
            })
            .await
    }

    /// The state of a grant, a token, or a token of a grant, read from the authoritative store.
    ///
    /// What cannot be an id, is unknown or foreign is [`RevocationStatus::Unknown`]. Emits no event: it is asked before every
    /// call of a tool.
    pub async fn revocation_status(
        &self,
        developer: &Developer,
        grant_id: Option<&str>,
        token_id: Option<&str>,
    ) -> Result<StatusOfGrant, StoreError> {
        let (grant_text, token_text) = (grant_id, token_id);
        let grant_id = grant_text.and_then(GrantId::parse);
        let token_id = token_text.and_then(TokenId::parse);
        if (grant_text.is_some() && grant_id.is_none()) || (token_text.is_some() && token_id.is_none()) {
            return Ok(StatusOfGrant::UNKNOWN);
        }
        match (token_id, grant_id) {
            (Some(token_id), grant_id) => self.status_of_token(developer, token_id, grant_id).await,
            (None, Some(grant_id)) => self.status_of_grant(developer, grant_id).await,
            (None, None) => Ok(StatusOfGrant::UNKNOWN),
        }
    }

    async fn status_of_token(
        &self,
        developer: &Developer,
        token_id: TokenId,
        grant_id: Option<GrantId>,
    ) -> Result<StatusOfGrant, StoreError> {
        let record = self.store.token(token_id).await?;
        let Some((record, ancestors)) = self.with_ancestors(record).await? else {
            return Ok(StatusOfGrant::UNKNOWN);
        };
        let is_of_grant = grant_id.is_none_or(|grant_id| grant_id == record.grant.id);
        if record.token.developer_id != developer.id || !is_of_grant {
            return Ok(StatusOfGrant::UNKNOWN);
        }
        let now = self.now();
        let authority = judge(&record.grant, record.agent_status, &ancestors, now);
        let status = match authority {
            _ if record.token.revoked_at.is_some() => RevocationStatus::Revoked,
            Authority::InForce if record.token.expires_at <= now => RevocationStatus::Expired,
            authority => authority.into(),
        };
        Ok(StatusOfGrant {
            status,
            expires_at: Some(record.token.expires_at),
        })
    }

    async fn status_of_grant(&self, developer: &Developer, grant_id: GrantId) -> Result<StatusOfGrant, StoreError> {
        let developer = developer.id.clone();
        let found = self
            .store
            .read(move |tx| {
                Box::pin(async move {
                    let Some(grant) = tx.grant(&developer, &grant_id).await? else {
                        return Ok(None);
                    };
                    let agent = tx.agent(&developer, &grant.agent_id).await?;
                    let ancestors = ancestors_of(tx, &grant).await?;
                    Ok::<_, StoreError>(Some((grant, agent, ancestors)))
                })
            })
            .await?;
        let Some((grant, agent, ancestors)) = found else {
            return Ok(StatusOfGrant::UNKNOWN);
        };
        let status = judge(&grant, agent.map(|agent| agent.status), &ancestors, self.now()).into();
        Ok(StatusOfGrant {
            status,
            expires_at: Some(grant.expires_at),
        })
    }

    /// Revokes a block of Biscuits with all that was derived from it; what it was derived from stays good. Blocks are made
    /// without this server, so any id is accepted; revoking it again changes nothing.
    pub async fn revoke_block(&self, ctx: &Context, developer: &Developer, id: String) -> Result<(), StoreError> {
        // Nothing says which Biscuit holds the block, and the longest grant may have been longer when that was made.
        let longest = self.parts.settings.max_grant_lifetime.max(Lifetime::days(365));
        self.transact(ctx, Some(&developer.id), move |unit| {
            Box::pin(async move {
                if unit.revoke_block(&id, unit.now.plus(longest)).await? {
                    unit.record(Event::BlockRevoked { revocation_id: id });
                }
                Ok(())
            })
        })
        .await
    }

    /// The chain of a Biscuit of this developer, whatever became of it since.
    pub(super) fn open_own_biscuit(&self, developer: &Developer, token: &str) -> Option<Box<Chain>> {
        let opened = self.open_grant_token(token).ok()?;
        opened.chain.filter(|chain| chain.root.developer_id == developer.id)
    }

    /// Revokes one access token; its grant and refresh token stay good.
    pub async fn revoke_access_token(
        &self,
        ctx: &Context,
        developer: &Developer,
        jti: &str,
    ) -> Result<(), RevokeTokenError> {
        let id = TokenId::parse(jti).ok_or(RevokeTokenError::NotFound)?;
        self.transact(ctx, Some(&developer.id), move |unit| {
            Box::pin(async move {
                let record = unit.tx.token(&id).await?.ok_or(RevokeTokenError::NotFound)?;
                if !unit.revoke_token(&id, record.token.expires_at).await? {
                    return Err(RevokeTokenError::NotFound);
                }
                unit.record(Event::TokenRevoked {
                    token_id: id,
                    grant_id: record.grant.id,
                    agent_id: record.grant.agent_id,
                    principal_id: record.grant.principal_id,
                });
                Ok(())
            })
        })
        .await
    }

    /// A session token's claims, when it is one of this server and unexpired.
    pub(crate) fn open_session_token(&self, token: &str, purpose: &str) -> Option<serde_json::Map<String, Value>> {
        let claims = jwt::open(&self.keys(), &self.parts.verified, token)?.claims;
        let text = |name: &str| claims.get(name).and_then(Value::as_str);
        let is_ours = text("iss") == Some(&self.parts.settings.issuer) && text("purpose") == Some(purpose);
        let expires_at = claims.get("exp")?.as_i64()?;
        (is_ours && expires_at > self.now().as_seconds()).then_some(claims)
    }

    /// Signs the payload of a session token.
    pub(crate) fn sign_session(&self, payload: &str) -> Result<Secret<String>, crate::token::signer::SignError> {
        jwt::sign(&**self.keys().session_signer(), "session+jwt", payload)
    }
}

impl From<Authority> for RevocationStatus {
    fn from(authority: Authority) -> Self {
        match authority {
            Authority::InForce => Self::Active,
            Authority::Revoked => Self::Revoked,
            Authority::Suspended => Self::Suspended,
            Authority::Expired => Self::Expired,
        }
    }
}
