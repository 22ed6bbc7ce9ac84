//! Calls that name agents which the developer never registered.

use serde_json::json;

use super::{Rule, RuleState, Threshold, View};
use crate::anomaly::{AnomalyKind, Finding, Severity};

pub(super) const RULE: Rule = Rule {
    id: "AD-008",
    kind: AnomalyKind::UnknownAgent,
    name: "Unknown agent",
    description: "Audit entries or authorization requests name agents that are not registered.",
    severity: Severity::High,
    formula: "references(60 min) ≥ threshold, over all unknown agents of the developer; critical from criticalThreshold on",
    is_learnt: false,
    state: RuleState::Active,
    thresholds: &[
        Threshold {
            name: "threshold",
            default: 3.0,
            min: 1.0,
            max: 1_000_000.0,
            help: "references within 60 minutes",
        },
        Threshold {
            name: "criticalThreshold",
            default: 20.0,
            min: 1.0,
            max: 1_000_000.0,
            help: "references within 60 minutes that make it critical",
        },
    ],
    find,
};

fn find(view: &View<'_>) -> Vec<Finding> {
    let count = view.activity.unknown.sum(view.minute(), 60);
    if count < view.count("threshold") {
        return Vec::new();
    }
    let mut finding = view.hourly(
        format!("{count} references within an hour to agents that are not registered"),
        json!({"count": count, "windowHours": 1, "threshold": view.count("threshold")}),
    );
    finding.level = count;
    if count >= view.count("criticalThreshold") {
        finding.severity = Severity::Critical;
    }
    vec![finding]
}

#[cfg(test)]
mod tests {
    use super::super::support::*;
    use super::*;
    use crate::anomaly::signal::SignalKind;

    #[test]
    fn the_third_reference_within_an_hour_is_found() {
        let mut tale = Tale::default();
        let reference = |minutes| signal(SignalKind::AuditEntry, minutes_before(minutes));
        tale.activity.fold_unknown(&reference(60));
        tale.activity.fold_unknown(&reference(59));
        tale.activity.fold_unknown(&reference(1));
        assert_eq!(tale.find(AnomalyKind::UnknownAgent), [], "the first is an hour old");
        tale.activity.fold_unknown(&reference(0));
        assert_eq!(only(tale.find(AnomalyKind::UnknownAgent)).severity, Severity::High);
        for _ in 0..17 {
            tale.activity.fold_unknown(&reference(0));
        }
        let finding = only(tale.find(AnomalyKind::UnknownAgent));
        assert_eq!((finding.level, finding.severity), (20, Severity::Critical));
    }
}
