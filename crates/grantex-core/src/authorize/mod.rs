//! Authorization requests: from the developer's wish, through the person's decision, to a code.

mod decide;
mod open;
mod origin;

pub use decide::{Approved, ConsentError, ConsentRequest, Denied, SandboxDecisionError};
pub use open::{Authorize, AuthorizeError, Authorized};
pub use origin::Origin;

use crate::clock::{Lifetime, Timestamp};
use crate::id::{AgentId, AuthRequestId, DeveloperId, GrantId};
use crate::scope::Scopes;
use crate::secret::{Secret, SecretHash};
use crate::token::pkce::CodeChallenge;

/// An authorization code: 256 random bits, handed out once, stored as a hash.
pub type AuthCode = Secret<String>;

/// Where a request stands.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum AuthRequestState {
    /// Nobody has decided.
    Pending,
    /// Approved; the code waits to be exchanged.
    Approved {
        /// Hash of the code.
        code_hash: SecretHash,
        /// When the code stops working.
        code_expires_at: Timestamp,
    },
    /// Refused.
    Denied,
    /// The code was exchanged.
    Consumed {
        /// Hash of the code.
        code_hash: SecretHash,
        /// When it was exchanged.
        consumed_at: Timestamp,
        /// What came of it.
        grant_id: GrantId,
    },
}

impl AuthRequestState {
    /// The name under which the state is stored and served.
    pub const fn as_str(&self) -> &'static str {
        match self {
            Self::Pending => "pending",
            Self::Approved { .. } => "approved",
            Self::Denied => "denied",
            Self::Consumed { .. } => "consumed",
        }
    }
}

/// A request for a principal's consent.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AuthRequest {
    /// Identifier; possession allows the decision.
    pub id: AuthRequestId,
    /// Whose request it is.
    pub developer_id: DeveloperId,
    /// The agent that would act.
    pub agent_id: AgentId,
    /// The person who is asked: the end user's id in the developer's system.
    pub principal_id: String,
    /// What is asked for.
    pub scopes: Scopes,
    /// Where the browser goes after the decision.
    pub redirect_uri: Option<String>,
    /// Echoed to the redirect URI.
    pub state: Option<String>,
    /// How long the grant will live, counted from the exchange.
    pub expires_in: Lifetime,
    /// The audience of the tokens.
    pub audience: Option<String>,
    /// The PKCE challenge.
    pub code_challenge: Option<CodeChallenge>,
    /// When it was opened.
    pub created_at: Timestamp,
    /// Until when it can be decided.
    pub expires_at: Timestamp,
    /// Where it stands.
    pub status: AuthRequestState,
}
