//! Tokens: made from grants, verified, renewed and revoked.

pub mod biscuit;
pub mod claims;
#[cfg(feature = "aws-lc")]
pub mod crypto;
mod exchange;
mod introspect;
mod issue;
pub mod jwt;
pub mod pkce;
#[cfg(feature = "aws-lc")]
pub mod public_key;
mod refresh;
pub mod signer;
pub mod verified;
mod verify;

pub use exchange::{ExchangeCode, ExchangeError};
pub use introspect::{Introspection, RevokeTokenError, TokenHint};
pub use issue::{FormatNotOffered, IssuedToken};
pub use refresh::{IdempotencyKey, RefreshError, RefreshToken, Refreshed};
pub use verify::{Authority, InvalidReason, RevocationStatus, StatusOfGrant, VerifiedToken};

use crate::agent::AgentStatus;
use crate::clock::Timestamp;
use crate::grant::Grant;
use crate::id::{AgentId, DeveloperId, GrantId, TokenId};
use crate::secret::SecretHash;

/// One issuance: an access token and the refresh token that came with it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Token {
    /// The `jti` of the access token.
    pub id: TokenId,
    /// The grant it stands for.
    pub grant_id: GrantId,
    /// The tenant.
    pub developer_id: DeveloperId,
    /// The key that signed it: the JWT, or the Biscuit when that is all there is.
    pub key_id: String,
    /// The root key of the Biscuit, if there is one.
    pub biscuit_key_id: Option<String>,
    /// `iat`, in whole seconds.
    pub issued_at: Timestamp,
    /// `exp`, in whole seconds.
    pub expires_at: Timestamp,
    /// When the access token was revoked on its own.
    pub revoked_at: Option<Timestamp>,
    /// Hash of the refresh token.
    pub refresh_hash: SecretHash,
    /// When the refresh token stops working.
    pub refresh_expires_at: Timestamp,
    /// What became of the refresh token.
    pub refresh_use: Option<RefreshUse>,
}

/// How a refresh token was used.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RefreshUse {
    /// When.
    pub at: Timestamp,
    /// The issuance that replaced this one.
    pub successor: TokenId,
    /// What a repetition with the same idempotency key is answered.
    pub replay: Option<Replay>,
}

/// A kept answer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Replay {
    /// Hash over developer, agent, refresh token and idempotency key.
    pub key_hash: SecretHash,
    /// The answer, sealed with the master key, in base64; removed when it may no longer be repeated.
    pub sealed: Option<String>,
}

/// What decides whether a token is good: its row, its grant, and the agent.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TokenRecord {
    /// The issuance.
    pub token: Token,
    /// The grant.
    pub grant: Grant,
    /// The state of the agent; `None` when it was deleted.
    pub agent_status: Option<AgentStatus>,
}

impl TokenRecord {
    /// The agent that acts.
    pub fn agent_id(&self) -> &AgentId {
        &self.grant.agent_id
    }
}
