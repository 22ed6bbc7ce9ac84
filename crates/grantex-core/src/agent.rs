//! Agents: who acts for a principal.

mod registry;

pub use registry::{AgentChanges, AgentError, RegisterAgent};

use crate::clock::Timestamp;
use crate::closed;
use crate::id::{AgentId, DeveloperId};
use crate::scope::Scopes;

closed! {
    /// Whether an agent may act.
    #[derive(serde::Serialize)]
    #[serde(rename_all = "lowercase")]
    pub enum AgentStatus {
        /// It may.
        Active = "active",
        /// It may not, and its tokens fail verification, until it is active again.
        Suspended = "suspended",
    }
}

/// An agent of a developer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Agent {
    /// Identifier; the DID derives from it.
    pub id: AgentId,
    /// The developer it belongs to.
    pub developer_id: DeveloperId,
    /// Name, shown to principals.
    pub name: String,
    /// Description, shown to principals; may be empty.
    pub description: String,
    /// The scopes it may ask for.
    pub scopes: Scopes,
    /// Whether it ever registered a scope: only an agent that never did is unrestricted.
    pub is_restricted: bool,
    /// Active or suspended.
    pub status: AgentStatus,
    /// When it was registered.
    pub created_at: Timestamp,
    /// When it was last changed.
    pub updated_at: Timestamp,
}

impl Agent {
    /// The first of `asked` that this agent may not ask for.
    pub fn first_forbidden<'a>(&self, asked: &'a Scopes) -> Option<&'a str> {
        if self.is_restricted {
            asked.first_outside(self.scopes.as_slice())
        } else {
            None
        }
    }
}
