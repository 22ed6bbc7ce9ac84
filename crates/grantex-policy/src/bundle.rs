//! A bundle that was read: its rules by name, and what they say to a question.

use std::collections::HashSet;

use cedar_policy::{AuthorizationError, Authorizer, Decision, Entities, ParseErrors, Policy, PolicyId, PolicySet};
use grantex_core::policy::engine::{BundleDecision, BundleProblem, CompiledBundle, MAX_NAMED_RULES};
use grantex_core::policy::{Effect, PolicyQuestion};

use crate::MAX_POLICIES;
use crate::question::Names;
use crate::text;

/// The longest name of a rule.
const MAX_RULE_NAME: usize = 128;
/// Bytes of memory a byte of text takes once it is read, roughly.
const WEIGHT: u64 = 40;

/// A bundle in Cedar.
pub struct CedarBundle {
    authorizer: Authorizer,
    policies: PolicySet,
    names: Option<Names>,
    warnings: Vec<BundleProblem>,
    weight: u64,
}

/// Reads policies and gives each its name.
pub fn parse(text: &str) -> Result<PolicySet, Vec<BundleProblem>> {
    let read: PolicySet = text
        .parse()
        .map_err(|errors: ParseErrors| text::problems(text, errors.iter(), false))?;
    let refuse = |message: String| Err(vec![BundleProblem::of_all(message)]);
    if read.num_of_templates() > 0 {
        return refuse("templates are not supported: there is nothing to fill their slots with".to_owned());
    }
    if read.num_of_policies() == 0 {
        return refuse("a bundle must hold at least one policy".to_owned());
    }
    if read.num_of_policies() > MAX_POLICIES {
        return refuse(format!("a bundle may hold {MAX_POLICIES} policies at most"));
    }
    let mut taken = HashSet::new();
    let mut named = PolicySet::new();
    for policy in read.policies() {
        let policy = with_name(policy, &mut taken).map_err(|problem| vec![problem])?;
        named
            .add(policy)
            .map_err(|error| vec![BundleProblem::of_all(text::one_line(&error.to_string()))])?;
    }
    Ok(named)
}

/// A policy under the name that its `@id` gives it.
fn with_name(policy: &Policy, taken: &mut HashSet<String>) -> Result<Policy, BundleProblem> {
    let given = policy.annotation("id");
    let name = given.map_or_else(|| policy.id().to_string(), str::to_owned);
    let is_plain = !name.is_empty()
        && name.len() <= MAX_RULE_NAME
        && name
            .bytes()
            .all(|byte| byte.is_ascii_alphanumeric() || b"._:-".contains(&byte));
    if !is_plain {
        let message =
            format!("an @id must be 1 to {MAX_RULE_NAME} letters, digits, dots, colons, dashes and underscores");
        return Err(BundleProblem::of_all(message));
    }
    if !taken.insert(name.clone()) {
        return Err(BundleProblem::of_all(format!("two policies have the @id {name}")));
    }
    Ok(policy.new_id(PolicyId::new(name)))
}

impl CedarBundle {
    pub fn new(policies: PolicySet, warnings: Vec<BundleProblem>, length: usize) -> Self {
        Self {
            authorizer: Authorizer::new(),
            policies,
            names: Names::new(),
            warnings,
            weight: u64::try_from(length).unwrap_or(u64::MAX).saturating_mul(WEIGHT),
        }
    }

    fn is_forbid(&self, id: &PolicyId) -> bool {
        let effect = self.policies.policy(id).map(Policy::effect);
        // A rule that nobody knows must not be taken for one that merely does not permit.
        effect != Some(cedar_policy::Effect::Permit)
    }
}

impl CompiledBundle for CedarBundle {
    fn decide(&self, question: &PolicyQuestion<'_>) -> BundleDecision {
        let Some(request) = self.names.as_ref().and_then(|names| names.request(question)) else {
            return BundleDecision {
                effect: Some(Effect::Deny),
                rules: Vec::new(),
                failures: vec!["the question cannot be put in the terms of the bundle".to_owned()],
            };
        };
        let response = self
            .authorizer
            .is_authorized(&request, &self.policies, &Entities::empty());
        let mut rules: Vec<String> = response.diagnostics().reason().map(ToString::to_string).collect();
        let errors: Vec<_> = response.diagnostics().errors().collect();
        let failed_forbids: Vec<String> = errors
            .iter()
            .map(|AuthorizationError::PolicyEvaluationError(error)| error.policy_id())
            .filter(|id| self.is_forbid(id))
            .map(ToString::to_string)
            .collect();
        let effect = match response.decision() {
            // Cedar skips what cannot be evaluated; a refusal must not be lost like that.
            Decision::Allow if !failed_forbids.is_empty() => {
                rules = failed_forbids;
                Some(Effect::Deny)
            }
            Decision::Allow => Some(Effect::Allow),
            Decision::Deny if !rules.is_empty() => Some(Effect::Deny),
            Decision::Deny if !failed_forbids.is_empty() => {
                rules = failed_forbids;
                Some(Effect::Deny)
            }
            Decision::Deny => None,
        };
        rules.sort_unstable();
        rules.truncate(MAX_NAMED_RULES);
        let failures = errors.iter().take(MAX_NAMED_RULES);
        BundleDecision {
            effect,
            rules,
            failures: failures.map(|error| text::one_line(&error.to_string())).collect(),
        }
    }

    fn warnings(&self) -> &[BundleProblem] {
        &self.warnings
    }

    fn weight(&self) -> u64 {
        self.weight
    }
}
