//! More audit entries within an hour than the threshold, and than twice the agent's usual peak once that is known to lie above it.

use serde_json::json;

use super::{Rule, RuleState, Threshold, View};
use crate::anomaly::{AnomalyKind, Finding, Severity};

pub(super) const RULE: Rule = Rule {
    id: "AD-011",
    kind: AnomalyKind::RateSpike,
    name: "Rate spike",
    description: "An agent wrote far more audit entries within an hour than it should.",
    severity: Severity::High,
    formula: "entries(60 min) > bar; bar = threshold, or factor × peak where the baseline is warm and peak > threshold; \
              peak = the most entries within 60 min on the remembered days before today",
    is_learnt: false,
    state: RuleState::Active,
    thresholds: &[
        Threshold {
            name: "threshold",
            default: 50.0,
            min: 1.0,
            max: 1_000_000.0,
            help: "entries within 60 minutes",
        },
        Threshold {
            name: "factor",
            default: 2.0,
            min: 1.0,
            max: 100.0,
            help: "times the usual peak, for agents whose usual peak is above the threshold",
        },
    ],
    find,
};

fn find(view: &View<'_>) -> Vec<Finding> {
    let count = view.activity.entries.sum(view.minute(), 60);
    let threshold = view.count("threshold");
    let baseline = &view.activity.baseline;
    let peak = baseline.peak(|day| day.peak_entries);
    let is_usual = baseline.is_warm() && peak > threshold;
    let bar = if is_usual {
        f64::from(peak) * view.threshold("factor")
    } else {
        f64::from(threshold)
    };
    if f64::from(count) <= bar {
        return Vec::new();
    }
    let mut finding = view.hourly(
        format!("{count} audit entries within an hour, over {bar:.0}"),
        json!({"count": count, "windowHours": 1, "threshold": threshold, "bar": bar, "usualPeak": peak}),
    );
    finding.level = count;
    vec![finding]
}

#[cfg(test)]
mod tests {
    use super::super::support::*;
    use super::*;
    use crate::anomaly::signal::SignalKind;
    use crate::clock::Lifetime;

    #[test]
    fn the_51st_entry_of_an_hour_is_a_spike() {
        let mut tale = Tale::default();
        tale.add_many(50, &signal(SignalKind::AuditEntry, minutes_before(59)));
        assert_eq!(tale.find(AnomalyKind::RateSpike), []);
        tale.add(signal(SignalKind::AuditEntry, NOON));
        let finding = only(tale.find(AnomalyKind::RateSpike));
        assert_eq!(finding.severity, Severity::High);
        assert_eq!(finding.evidence.get("count"), Some(&json!(51)));
        assert_eq!(finding.evidence.get("threshold"), Some(&json!(50)));
        let minute_later = NOON.plus(Lifetime::minutes(1));
        assert_eq!(
            tale.find_at(AnomalyKind::RateSpike, minute_later),
            [],
            "the hour has passed"
        );
    }

    #[test]
    fn tokens_are_no_audit_entries() {
        let mut tale = Tale::default();
        tale.add_many(500, &signal(SignalKind::Refresh, NOON));
        assert_eq!(tale.find(AnomalyKind::RateSpike), []);
    }

    #[test]
    fn an_agent_that_always_writes_much_must_double_its_peak() {
        let mut tale = Tale::default();
        for day in 1..=4 {
            tale.add_many(60, &signal(SignalKind::AuditEntry, NOON.minus(Lifetime::days(5 - day))));
        }
        tale.add_many(120, &signal(SignalKind::AuditEntry, NOON));
        assert_eq!(tale.find(AnomalyKind::RateSpike), []);
        tale.add(signal(SignalKind::AuditEntry, NOON));
        assert_eq!(only(tale.find(AnomalyKind::RateSpike)).level, 121);
    }

    #[test]
    fn a_developer_may_choose_the_threshold() {
        let mut tale = Tale::default();
        tale.book.overrides.push(crate::anomaly::book::RuleOverride {
            kind: AnomalyKind::RateSpike,
            is_enabled: true,
            thresholds: [("threshold".to_owned(), 3.0)].into(),
        });
        tale.add_many(4, &signal(SignalKind::AuditEntry, NOON));
        assert_eq!(only(tale.find(AnomalyKind::RateSpike)).level, 4);
    }
}
