//! A grant that was handed on more often than usual.

use serde_json::json;

use super::{Rule, RuleState, Threshold, View};
use crate::anomaly::{AnomalyKind, Finding, Severity};

pub(super) const RULE: Rule = Rule {
    id: "AD-005",
    kind: AnomalyKind::DelegationDepth,
    name: "Delegation depth",
    description: "An agent got a grant that had been handed on several times.",
    severity: Severity::High,
    formula: "depth ≥ threshold, and, with a warm baseline, deeper than any grant of the agent before",
    is_learnt: false,
    state: RuleState::Active,
    thresholds: &[Threshold {
        name: "threshold",
        default: 3.0,
        min: 1.0,
        max: 10.0,
        help: "times that the grant was handed on",
    }],
    find,
};

fn find(view: &View<'_>) -> Vec<Finding> {
    let Some((principal, depth)) = &view.activity.fresh.depth else {
        return Vec::new();
    };
    let baseline = &view.activity.baseline;
    let is_usual = baseline.is_warm() && *depth <= baseline.deepest;
    if *depth < view.count("threshold") || is_usual {
        return Vec::new();
    }
    let mut finding = view.daily(
        format!("a grant was handed on {depth} times"),
        json!({"depth": depth, "threshold": view.count("threshold"), "deepestBefore": baseline.deepest}),
    );
    finding.principal_id = Some(principal.clone());
    finding.level = *depth;
    vec![finding]
}

#[cfg(test)]
mod tests {
    use super::super::support::*;
    use super::*;
    use crate::anomaly::signal::{Signal, SignalKind};

    fn delegated(depth: u32) -> Signal {
        let mut signal = signal(SignalKind::Grant, NOON);
        signal.depth = depth;
        signal
    }

    #[test]
    fn the_third_hand_is_found() {
        let mut tale = Tale::default();
        tale.add(delegated(2));
        assert_eq!(tale.find(AnomalyKind::DelegationDepth), []);
        tale.add(delegated(3));
        assert_eq!(only(tale.find(AnomalyKind::DelegationDepth)).level, 3);
    }

    #[test]
    fn who_always_gets_third_hand_grants_gets_nothing_unusual() {
        let mut tale = Tale::of_a_settled_agent();
        tale.activity.baseline.deepest = 3;
        tale.add(signal(SignalKind::Refresh, NOON)).add(delegated(3));
        assert_eq!(tale.find(AnomalyKind::DelegationDepth), []);
        tale.add(delegated(4));
        assert_eq!(only(tale.find(AnomalyKind::DelegationDepth)).level, 4);
    }
}
