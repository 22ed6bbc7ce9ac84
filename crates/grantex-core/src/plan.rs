//! Plans and what they allow (contract: plan quotas).

/// A developer's plan.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, serde::Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Plan {
    /// The smallest.
    Free,
    /// The middle one.
    Pro,
    /// Unlimited.
    Enterprise,
}

impl Plan {
    /// All plans.
    pub const ALL: [Self; 3] = [Self::Free, Self::Pro, Self::Enterprise];

    /// The wire form.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Free => "free",
            Self::Pro => "pro",
            Self::Enterprise => "enterprise",
        }
    }

    /// Reads the wire form.
    pub fn parse(text: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|plan| plan.as_str() == text)
    }

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
