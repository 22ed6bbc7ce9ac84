//! Policies: rules that approve or refuse before a person is asked, and refuse tokens afterwards.
//!
//! What a policy says is in [`model`]; when and for which scopes it applies, in [`schedule`] and [`pattern`]; how many of them
//! decide together, in [`evaluate`] (purely, one by one) and [`set`] (the same, indexed). A developer's set and bundle are kept
//! in memory until the developer's policy version says otherwise. The language of bundles is a port, [`engine`]; so are
//! policies that are kept elsewhere, [`backend`].
//!
//! The flows ask once, outside of their unit of work, right before they would do what is asked.

pub mod backend;
pub mod bundle;
pub(crate) mod cache;
pub(crate) mod decide;
pub mod engine;
pub mod evaluate;
pub(crate) mod in_force;
pub mod model;
pub mod pattern;
mod registry;
pub mod schedule;
pub mod set;
mod simulate;
mod sync;
mod zone;

use std::fmt;

use crate::clock::Timestamp;
use crate::closed;
use crate::id::{AgentId, BundleId, DeveloperId, PolicyId};
use crate::scope::Scopes;

pub use backend::{BackendKind, PolicyBackend};
pub use bundle::{Bundle, BundleFormat};
pub use engine::PolicyEngine;
pub use model::{Change, Effect, FieldProblem, Policy, Rule, RuleChanges, RuleDraft};
pub use registry::{MAX_POLICIES, PolicyError, PolicyList};
pub use simulate::{BackendTrace, BundleTrace, PolicyTrace, Simulate, Simulation};
pub use sync::{BundleError, CheckedBundle, SyncBundle};

closed! {
    /// What somebody is about to do, as told on the wire, in the log and in bundles.
    pub enum PolicyAction {
        /// A developer asks for a person's consent. The only one that can be allowed; the others can only be refused.
        Authorize = "authorize",
        /// A code is exchanged for a grant.
        Exchange = "exchange",
        /// A refresh token is exchanged for new tokens.
        Refresh = "refresh",
        /// A grant is handed on to another agent.
        Delegate = "delegate",
    }
}

/// What policies are asked: may this agent do this for this person, now?
#[derive(Debug, Clone, Copy)]
pub struct PolicyQuestion<'a> {
    /// What is to be done.
    pub action: PolicyAction,
    /// Whose policies are asked.
    pub developer_id: &'a DeveloperId,
    /// The agent that would act; for a delegation, the one that receives.
    pub agent_id: &'a AgentId,
    /// The person for whom it would act.
    pub principal_id: &'a str,
    /// The scopes it would have.
    pub scopes: &'a Scopes,
    /// The audience of its tokens, when one was named.
    pub audience: Option<&'a str>,
    /// When.
    pub at: Timestamp,
}

/// What decided.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum PolicyRef {
    /// A policy.
    Policy(PolicyId),
    /// A rule of the bundle in force; `None` when the bundle as a whole decided.
    Bundle {
        /// The bundle.
        bundle: BundleId,
        /// The rule's name.
        rule: Option<String>,
    },
    /// The operator's policy backend.
    Backend(BackendKind),
}

impl fmt::Display for PolicyRef {
    /// What is served as `policyId`, logged and audited.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Policy(id) => f.write_str(id.as_str()),
            Self::Bundle { bundle, rule: None } => f.write_str(bundle.as_str()),
            Self::Bundle {
                bundle,
                rule: Some(rule),
            } => write!(f, "{bundle}/{rule}"),
            Self::Backend(kind) => f.write_str(kind.as_str()),
        }
    }
}

/// A decision's author and reason.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Ruling {
    /// What decided.
    pub by: PolicyRef,
    /// Why, for the developer.
    pub reason: String,
}

/// A policy refuses.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("a policy denies this request: {}", .0.reason)]
pub struct PolicyDenied(pub Ruling);

/// What policies say.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum PolicyDecision {
    /// Nothing matches: the person decides.
    Undecided,
    /// Allowed without asking.
    Allow(Ruling),
    /// Refused without asking.
    Deny(Ruling),
}
