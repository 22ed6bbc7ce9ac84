//! Developers: accounts, their API keys and their plan.

mod account;

pub use account::{RotateKeyError, RotatedKey, SetPlanError, SignedUp, Signup, SignupError};

use crate::clock::Timestamp;
use crate::closed;
use crate::id::DeveloperId;
use crate::plan::Plan;

closed! {
    /// Whether a developer works for real or tries things out.
    #[derive(serde::Serialize)]
    #[serde(rename_all = "lowercase")]
    pub enum Mode {
        /// People are asked for consent.
        Live = "live",
        /// Requests are approved at once.
        Sandbox = "sandbox",
    }
}

impl Mode {
    /// What API keys of this mode begin with.
    pub const fn key_prefix(self) -> &'static str {
        match self {
            Self::Live => "gx_live_",
            Self::Sandbox => "gx_test_",
        }
    }
}

/// A developer: the tenant whose key calls the API.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Developer {
    /// Identifier.
    pub id: DeveloperId,
    /// Name, shown to principals.
    pub name: String,
    /// E-mail in lower case, unique.
    pub email: Option<String>,
    /// Live or sandbox.
    pub mode: Mode,
    /// The plan.
    pub plan: Plan,
    /// The name under which passkeys would be registered; kept for clients that set it.
    pub fido_rp_name: Option<String>,
    /// How often the policies of this developer have changed. It comes with every look-up of the API key, so that whoever
    /// keeps policies in memory knows whether they are still in force.
    pub policy_version: i64,
    /// When the account was made.
    pub created_at: Timestamp,
}
