//! What would happen, and why: the same decision as in earnest, with every policy's findings, and nothing recorded.

use super::backend::BackendKind;
use super::decide::{Subject, no_answer, of_backend};
use super::engine::BundleDecision;
use super::evaluate::Finding;
use super::in_force::InForce;
use super::{Bundle, Effect, Policy, PolicyAction, PolicyDecision, PolicyQuestion};
use crate::clock::Timestamp;
use crate::developer::Developer;
use crate::error::StoreError;
use crate::grantex::Grantex;
use crate::id::{AgentId, PolicyId};
use crate::scope::Scopes;
use crate::store::Store;

/// Policies that a simulation tells of at most.
pub const MAX_TRACES: usize = 100;

/// A request that nobody makes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Simulate {
    /// What would be done.
    pub action: PolicyAction,
    /// The agent that would act.
    pub agent_id: AgentId,
    /// The person for whom it would act.
    pub principal_id: String,
    /// The scopes it would have.
    pub scopes: Scopes,
    /// The audience of its tokens.
    pub audience: Option<String>,
    /// When; now, when nothing is said.
    pub at: Option<Timestamp>,
}

/// What would happen.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Simulation {
    /// The decision and what made it.
    pub decision: PolicyDecision,
    /// The time for which it holds.
    pub at: Timestamp,
    /// The developer's policies: first those that match, in the order in which they decide, then the others, at most
    /// `MAX_TRACES` in all.
    pub traces: Vec<PolicyTrace>,
    /// How many policies the developer has.
    pub total: usize,
    /// What the bundle in force says.
    pub bundle: Option<BundleTrace>,
    /// What the operator's policy backend says. Where there is one, policies and bundle decide only in its place.
    pub backend: Option<BackendTrace>,
}

/// What became of one policy.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PolicyTrace {
    /// The policy.
    pub policy_id: PolicyId,
    /// Its name.
    pub name: String,
    /// What it would do.
    pub effect: Effect,
    /// Its priority.
    pub priority: i32,
    /// Whether all of its conditions hold.
    pub matches: bool,
    /// What became of each condition that it has.
    pub findings: Vec<Finding>,
}

/// What a bundle says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BundleTrace {
    /// The bundle.
    pub bundle: Bundle,
    /// Its decision.
    pub decision: BundleDecision,
}

/// What a backend says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BackendTrace {
    /// What kind it is.
    pub backend: BackendKind,
    /// Its decision; `None` when it could not be asked.
    pub decision: Option<PolicyDecision>,
}

impl<S: Store> Grantex<S> {
    /// What the policies would say to a request, and why. Records, counts and consumes nothing. Looks at every policy.
    pub async fn simulate_policies(&self, developer: &Developer, command: Simulate) -> Result<Simulation, StoreError> {
        let at = command.at.unwrap_or_else(|| self.now());
        let subject = Subject {
            agent_id: &command.agent_id,
            principal_id: &command.principal_id,
            scopes: &command.scopes,
            audience: command.audience.as_deref(),
        };
        let question = subject.question(command.action, developer, at);
        let in_force = self.in_force(developer).await?;
        let (backend, decision) = match &self.parts.policy_backend {
            None => (None, in_force.decide(&question)),
            Some(external) => {
                let kind = external.backend.kind();
                let said = external.backend.decide(&question).await;
                let said = said.ok().map(|decision| of_backend(kind, decision));
                let decision = match &said {
                    Some(decision) => decision.clone(),
                    None if external.falls_back => in_force.decide(&question),
                    None => PolicyDecision::Deny(no_answer(kind)),
                };
                let trace = BackendTrace {
                    backend: kind,
                    decision: said,
                };
                (Some(trace), decision)
            }
        };
        let decision = match decision {
            PolicyDecision::Allow(_) if command.action != PolicyAction::Authorize => PolicyDecision::Undecided,
            decision => decision,
        };
        Ok(Simulation {
            decision,
            at,
            traces: traces(&in_force, &question),
            total: in_force.set.policies().len(),
            bundle: in_force.bundle.as_ref().map(|active| BundleTrace {
                bundle: active.bundle.clone(),
                decision: active.evaluate(&question),
            }),
            backend,
        })
    }
}

fn traces(in_force: &InForce, question: &PolicyQuestion<'_>) -> Vec<PolicyTrace> {
    let policies = in_force.set.policies();
    let (mut matching, mut others): (Vec<&Policy>, Vec<&Policy>) = (Vec::new(), Vec::new());
    for policy in policies {
        let list = if policy.rule.matches(question) {
            &mut matching
        } else {
            &mut others
        };
        if list.len() < MAX_TRACES {
            list.push(policy);
        }
    }
    let trace = |(policy, matches): (&Policy, bool)| PolicyTrace {
        policy_id: policy.id.clone(),
        name: policy.rule.name.clone(),
        effect: policy.rule.effect,
        priority: policy.rule.priority,
        matches,
        findings: policy.rule.explain(question),
    };
    let matching = matching.into_iter().map(|policy| (policy, true));
    let others = others.into_iter().map(|policy| (policy, false));
    matching.chain(others).take(MAX_TRACES).map(trace).collect()
}
