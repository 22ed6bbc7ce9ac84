//! More than a fifth of a day's audit entries tell of a failure or a refusal.

use serde_json::json;

use super::{Rule, RuleState, Threshold, View};
use crate::anomaly::{AnomalyKind, Finding, Severity};

pub(super) const RULE: Rule = Rule {
    id: "AD-012",
    kind: AnomalyKind::HighFailureRate,
    name: "High failure rate",
    description: "Too many of an agent's audit entries tell of a failure or a refusal.",
    severity: Severity::Medium,
    formula: "entries(24 h) ≥ minimum and failures(24 h) ÷ entries(24 h) > threshold; a failure is an entry with the status \
              failure or blocked; 24 h are the current hour and the 23 before it",
    is_learnt: false,
    state: RuleState::Active,
    thresholds: &[
        Threshold {
            name: "threshold",
            default: 0.2,
            min: 0.01,
            max: 1.0,
            help: "share of failures",
        },
        Threshold {
            name: "minimum",
            default: 5.0,
            min: 1.0,
            max: 1_000_000.0,
            help: "entries within 24 hours before the share says anything",
        },
    ],
    find,
};

fn find(view: &View<'_>) -> Vec<Finding> {
    let total = view.activity.entries_by_hour.sum(view.hour(), 24);
    let bad = view.activity.failures_by_hour.sum(view.hour(), 24);
    let threshold = view.threshold("threshold");
    if total < view.count("minimum") || f64::from(bad) <= f64::from(total) * threshold {
        return Vec::new();
    }
    let percent = (f64::from(bad) * 100.0 / f64::from(total)).round() as u32;
    let mut finding = view.daily(
        format!("{bad} of {total} audit entries within 24 hours tell of a failure ({percent} %)"),
        json!({
            "badCount": bad, "totalCount": total, "percentFailure": percent, "windowHours": 24, "threshold": threshold,
        }),
    );
    finding.level = percent;
    vec![finding]
}

#[cfg(test)]
mod tests {
    use super::super::support::*;
    use super::*;
    use crate::anomaly::signal::{Signal, SignalKind};

    fn failed() -> Signal {
        let mut signal = signal(SignalKind::AuditEntry, NOON);
        signal.is_failure = true;
        signal
    }

    #[test]
    fn a_fifth_is_borne_and_more_is_found() {
        let mut tale = Tale::default();
        tale.add_many(4, &signal(SignalKind::AuditEntry, minutes_before(23 * 60)));
        tale.add(failed());
        assert_eq!(tale.find(AnomalyKind::HighFailureRate), [], "1 of 5 is exactly a fifth");
        tale.add(failed());
        let finding = only(tale.find(AnomalyKind::HighFailureRate));
        assert_eq!(finding.evidence.get("percentFailure"), Some(&json!(33)));
        assert_eq!(finding.evidence.get("badCount"), Some(&json!(2)));
        assert_eq!(finding.evidence.get("totalCount"), Some(&json!(6)));
        assert_eq!(finding.severity, Severity::Medium);
    }

    #[test]
    fn four_entries_say_nothing() {
        let mut tale = Tale::default();
        tale.add_many(4, &failed());
        assert_eq!(tale.find(AnomalyKind::HighFailureRate), []);
        tale.add(failed());
        assert_eq!(only(tale.find(AnomalyKind::HighFailureRate)).level, 100);
    }
}
