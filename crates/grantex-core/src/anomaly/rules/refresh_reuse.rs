//! A refresh token that was used before was presented again: there are two holders.

use serde_json::json;

use super::{Rule, RuleState, Threshold, View};
use crate::anomaly::{AnomalyKind, Finding, Severity};

pub(super) const RULE: Rule = Rule {
    id: "AD-014",
    kind: AnomalyKind::RefreshReuse,
    name: "Refresh token reuse",
    description: "A refresh token was presented a second time, beyond what an impatient retry explains.",
    severity: Severity::High,
    formula: "each detected reuse; critical when reuses(24 h) ≥ criticalThreshold",
    is_learnt: false,
    state: RuleState::Active,
    thresholds: &[Threshold {
        name: "criticalThreshold",
        default: 3.0,
        min: 1.0,
        max: 1_000.0,
        help: "reuses within 24 hours that make it critical",
    }],
    find,
};

fn find(view: &View<'_>) -> Vec<Finding> {
    let count = view.activity.reuse.sum(view.hour(), 24);
    let mut principals: Vec<&String> = view.activity.fresh.reuse.iter().collect();
    principals.sort_unstable();
    principals.dedup();
    principals
        .into_iter()
        .map(|principal| {
            let mut finding = view.hourly(
                "a refresh token was presented again after its use".to_owned(),
                json!({"count": count, "windowHours": 24, "threshold": 1}),
            );
            finding.principal_id = Some(principal.clone());
            if count >= view.count("criticalThreshold") {
                finding.severity = Severity::Critical;
            }
            finding
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::super::support::*;
    use super::*;
    use crate::anomaly::signal::SignalKind;

    #[test]
    fn one_is_grave_and_three_within_a_day_are_critical() {
        let mut tale = Tale::default();
        tale.add(signal(SignalKind::Refresh, NOON));
        assert_eq!(tale.find(AnomalyKind::RefreshReuse), []);
        tale.add(signal(SignalKind::RefreshReuse, minutes_before(23 * 60)));
        let finding = only(tale.find(AnomalyKind::RefreshReuse));
        assert_eq!(finding.severity, Severity::High);
        assert_eq!(finding.principal_id.as_deref(), Some("user-1"));
        tale.add_many(2, &signal(SignalKind::RefreshReuse, NOON));
        assert_eq!(only(tale.find(AnomalyKind::RefreshReuse)).severity, Severity::Critical);
    }
}
