//! Why a call is not allowed.

/// Why a token is not accepted. No text names the token, or anything that it holds.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum VerifyError {
    /// It is no grant token of the issuer: form, signature, type, issuer or claims are wrong.
    #[error("the token is no grant token of this issuer")]
    Malformed,
    /// It has expired.
    #[error("the token has expired")]
    Expired,
    /// It says that it was, or will be, made later than now and the leeway.
    #[error("the token is not valid yet")]
    NotYetValid,
    /// It is for another audience, for nobody, or for somebody where no audience was configured.
    #[error("the token is not for this audience")]
    Audience,
    /// It, its grant, the grant above, or one of its blocks is revoked.
    #[error("the token was revoked")]
    Revoked,
    /// The service knows no such token of the developer who asks.
    #[error("the service does not know the token")]
    NotKnown,
    /// Its agent, or an agent above, is suspended.
    #[error("the agent of the token is suspended")]
    Suspended,
    /// It lacks this scope of those that were asked for.
    #[error("the token lacks the scope {0:?}")]
    Scope(String),
    /// More is to be spent than it allows.
    #[error("the token does not allow to spend that much")]
    Ceiling,
    /// Another agent acts than the one that was asked for.
    #[error("the token is not of this agent")]
    Agent,
    /// It is of another developer than the one that was asked for.
    #[error("the token is not of this developer")]
    Developer,
    /// Keys cannot be fetched, and none that may be used are kept.
    #[error("the keys of the issuer cannot be had")]
    KeysUnavailable,
    /// Whether it was revoked cannot be told now; see [`RevocationFeed::state`](crate::RevocationFeed::state).
    #[error("whether the token was revoked cannot be told now")]
    RevocationUnknown,
}

impl VerifyError {
    /// Whether the token may be good and only we cannot tell: try again.
    pub const fn is_unavailable(&self) -> bool {
        matches!(self, Self::KeysUnavailable | Self::RevocationUnknown)
    }

    /// Whether the token is good, and merely does not allow this call.
    pub const fn is_insufficient(&self) -> bool {
        matches!(self, Self::Scope(_) | Self::Ceiling | Self::Agent | Self::Developer)
    }
}
