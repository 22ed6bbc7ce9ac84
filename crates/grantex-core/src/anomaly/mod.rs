//! Anomalies: what an agent does that it should not, or does unlike itself.
//!
//! A [`Signal`](signal::Signal) is one thing that an agent did. Signals feed the agent's [`Activity`](activity::Activity): counts in
//! rolling windows, small sets of what was seen lately, and a learnt [`Baseline`](baseline::Baseline), all of bounded size.
//! [`rules`] are pure functions from an activity to [`Finding`]s. A finding becomes an [`Anomaly`](alert::Anomaly), which is
//! open until somebody acknowledges or resolves it.
//!
//! What was committed is read back from the audit chains, by position ([`entry`]), so no write is ever missed, whichever server did it
//! and whatever happened to it since. Reads and refusals (verifications, rejected exchanges) come through a bounded queue in memory
//! ([`detector`]). [`Grantex::detect_anomalies`](crate::Grantex::detect_anomalies) folds both in one transaction, which one of several servers wins.
//!
//! People are told through [`channel`]s.
//!
//! Findings are advice. Only where a developer has a [`ResponsePolicy`](response::ResponsePolicy) that says so, an agent is suspended or loses
//! its grants because of one: what is to be done is stored with the finding, and done right after ([`respond`]).

pub mod activity;
pub mod alert;
pub mod baseline;
pub mod book;
pub mod channel;
pub mod channels;
pub mod codec;
pub mod custom;
pub mod detect;
pub mod detector;
pub mod entry;
pub mod finding;
pub mod fingerprint;
pub mod manage;
pub mod notice;
mod recent;
pub mod respond;
pub mod response;
pub mod ring;
pub mod rules;
pub mod seen;
pub mod signal;
pub mod watcher;

pub use finding::{Evidence, Finding};

use crate::closed;

closed! {
    /// What an anomaly is about: the rule that found it.
    pub enum AnomalyKind {
        /// Far more audit entries than usual.
        RateSpike = "rate_spike",
        /// Too many failures.
        HighFailureRate = "high_failure_rate",
        /// A principal the agent never acted for.
        NewPrincipal = "new_principal",
        /// Activity at unusual hours.
        OffHoursActivity = "off_hours_activity",
        /// A burst.
        VelocitySpike = "velocity_spike",
        /// Wider scopes than before.
        ScopeEscalation = "scope_escalation",
        /// An agent nobody registered.
        UnknownAgent = "unknown_agent",
        /// One token from several places.
        TokenReplay = "token_replay",
        /// A refresh token was used twice.
        RefreshReuse = "refresh_reuse",
        /// More sessions at once than usual.
        ConcurrentSessions = "concurrent_sessions",
        /// Delegation deeper than usual.
        DelegationDepth = "delegation_depth",
        /// Many revocations in a short time.
        RapidRevocation = "rapid_revocation",
        /// A budget is spent too fast.
        BudgetOverspend = "budget_overspend",
        /// Scopes that this agent never used.
        UnusualScopeAccess = "unusual_scope_access",
        /// What a developer's own rule looks for.
        Custom = "custom",
    }
}

impl AnomalyKind {
    /// Position in [`AnomalyKind::ALL`].
    pub const fn index(self) -> usize {
        self as usize
    }
}

closed! {
    /// How bad an anomaly is.
    #[derive(PartialOrd, Ord)]
    pub enum Severity {
        /// Worth a look.
        Low = "low",
        /// Look today.
        Medium = "medium",
        /// Look now.
        High = "high",
        /// Act now.
        Critical = "critical",
    }
}
