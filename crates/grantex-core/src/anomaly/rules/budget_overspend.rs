//! A budget that is spent faster than it lasts. There are no budgets yet, so the rule has nothing to look at, and says so.

use super::{Rule, RuleState, View};
use crate::anomaly::{AnomalyKind, Finding, Severity};

pub(super) const RULE: Rule = Rule {
    id: "AD-007",
    kind: AnomalyKind::BudgetOverspend,
    name: "Budget overspend",
    description: "An agent spends its budget faster than the budget lasts.",
    severity: Severity::High,
    formula: "none: dormant until grants have budgets",
    is_learnt: false,
    state: RuleState::Dormant("this server has no budgets, so that there is nothing to spend"),
    thresholds: &[],
    find,
};

const fn find(_: &View<'_>) -> Vec<Finding> {
    Vec::new()
}
