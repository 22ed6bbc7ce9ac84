//! Plans and what they allow (contract: plan quotas).

use crate::closed;

closed! {
    /// A developer's plan.
    #[derive(serde::Serialize)]
    #[serde(rename_all = "lowercase")]
    pub enum Plan {
        /// The smallest.
        Free = "free",
        /// The middle one.
        Pro = "pro",
        /// Unlimited.
        Enterprise = "enterprise",
    }
}

impl Plan {
    /// How many agents may be registered; `None` is unlimited.
    pub const fn max_agents(self) -> Option<u64> {
        match self {
            Self::Free => Some(500),
            Self::Pro => Some(5_000),
            Self::Enterprise => None,
        }
    }

    /// How many grants may be active at once; `None` is unlimited.
    pub const fn max_active_grants(self) -> Option<u64> {
        match self {
            Self::Free => Some(1_000),
            Self::Pro => Some(50_000),
            Self::Enterprise => None,
        }
    }

    /// How many webhook endpoints there may be; `None` is unlimited.
    pub const fn max_webhooks(self) -> Option<u64> {
        match self {
            Self::Free => Some(30),
            Self::Pro => Some(200),
            Self::Enterprise => None,
        }
    }

    /// How many policies may be kept; `None` is unlimited.
    pub const fn max_policies(self) -> Option<u64> {
        match self {
            Self::Free => Some(50),
            Self::Pro => Some(500),
            Self::Enterprise => None,
        }
    }

    /// How many entries the developer's own audit chain may hold; `None` is unlimited.
    pub const fn max_audit_entries(self) -> Option<u64> {
        match self {
            Self::Free => Some(20_000),
            Self::Pro => Some(1_000_000),
            Self::Enterprise => None,
        }
    }
}

/// What a plan does not allow.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the plan allows {limit} {what}")]
pub struct PlanLimit {
    /// The number that was reached.
    pub limit: u64,
    /// What is counted, in the plural.
    pub what: &'static str,
}

impl PlanLimit {
    /// `Err` when `count` things already reach the limit.
    pub fn check(limit: Option<u64>, count: u64, what: &'static str) -> Result<(), Self> {
        match limit {
            Some(limit) if count >= limit => Err(Self { limit, what }),
            _ => Ok(()),
        }
    }
}
