//! Grants: what a principal allowed an agent, and what agents handed on.

mod delegate;
mod list;
pub mod offline;
mod revoke;

pub use delegate::{Delegate, DelegateError, Delegated};
pub use list::GrantFilter;
pub use revoke::{RevokeGrantError, RevokedBy};

use crate::agent::AgentStatus;
use crate::clock::Timestamp;
use crate::closed;
use crate::id::{AgentId, DeveloperId, GrantId};
use crate::scope::Scopes;

/// The stored state of a grant.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum GrantState {
    /// In force until it expires.
    Active,
    /// Revoked.
    Revoked {
        /// When.
        at: Timestamp,
    },
}

closed! {
    /// The state of a grant as served: `expired` is computed, never stored.
    #[derive(serde::Serialize)]
    #[serde(rename_all = "lowercase")]
    pub enum GrantStatus {
        /// In force.
        Active = "active",
        /// Past its expiry.
        Expired = "expired",
        /// Revoked.
        Revoked = "revoked",
    }
}

/// A grant.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Grant {
    /// Identifier.
    pub id: GrantId,
    /// The tenant.
    pub developer_id: DeveloperId,
    /// The agent that may act.
    pub agent_id: AgentId,
    /// The person who allowed it.
    pub principal_id: String,
    /// What is allowed.
    pub scopes: Scopes,
    /// The audience of its tokens.
    pub audience: Option<String>,
    /// Active or revoked.
    pub state: GrantState,
    /// When it was made.
    pub issued_at: Timestamp,
    /// When it ends, in whole seconds.
    pub expires_at: Timestamp,
    /// The grant it was delegated from.
    pub parent_grant_id: Option<GrantId>,
    /// 0 for a grant by a person, one more for each hand-over.
    pub delegation_depth: u32,
    /// The agents that handed it on, nearest first: the `act` chain of its tokens (RFC 8693 §4.1).
    pub delegators: Vec<AgentId>,
}

impl Grant {
    /// The state at `now`.
    pub fn status(&self, now: Timestamp) -> GrantStatus {
        match self.state {
            GrantState::Revoked { .. } => GrantStatus::Revoked,
            GrantState::Active if self.expires_at <= now => GrantStatus::Expired,
            GrantState::Active => GrantStatus::Active,
        }
    }
}

/// What stands above a grant: its parent, or its parent's parent, and whether the agent there may act.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Ancestor {
    /// The grant.
    pub grant_id: GrantId,
    /// Active or revoked.
    pub state: GrantState,
    /// The state of its agent; `None` when the agent was deleted.
    pub agent_status: Option<AgentStatus>,
}
