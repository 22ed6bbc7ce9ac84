//! Many revocations within minutes: somebody cleans up, or breaks things.

use serde_json::json;

use super::{Rule, RuleState, Threshold, View};
use crate::anomaly::{AnomalyKind, Finding, Severity};

/// Minutes within which revocations are counted.
const MINUTES: u32 = 10;

pub(super) const RULE: Rule = Rule {
    id: "AD-006",
    kind: AnomalyKind::RapidRevocation,
    name: "Rapid revocation",
    description: "Many of an agent's grants or tokens were revoked within minutes.",
    severity: Severity::High,
    formula: "revocations(10 min) ≥ threshold; a cascade is one revocation, and those that follow from the deletion of an agent \
              are none; critical from criticalThreshold on",
    is_learnt: false,
    state: RuleState::Active,
    thresholds: &[
        Threshold {
            name: "threshold",
            default: 5.0,
            min: 2.0,
            max: 1_000_000.0,
            help: "revocations within 10 minutes",
        },
        Threshold {
            name: "criticalThreshold",
            default: 20.0,
            min: 2.0,
            max: 1_000_000.0,
            help: "revocations within 10 minutes that make it critical",
        },
    ],
    find,
};

fn find(view: &View<'_>) -> Vec<Finding> {
    let count = view.activity.revocations.sum(view.minute(), MINUTES);
    if count < view.count("threshold") {
        return Vec::new();
    }
    let mut finding = view.hourly(
        format!("{count} revocations within {MINUTES} minutes"),
        json!({"count": count, "windowMinutes": MINUTES, "threshold": view.count("threshold")}),
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
    fn the_fifth_within_ten_minutes_is_found() {
        let mut tale = Tale::default();
        tale.add(signal(SignalKind::Revocation, minutes_before(10)));
        tale.add_many(4, &signal(SignalKind::Revocation, minutes_before(9)));
        assert_eq!(tale.find(AnomalyKind::RapidRevocation), []);
        let mut routine = signal(SignalKind::Revocation, NOON);
        routine.is_routine = true;
        tale.add_many(100, &routine);
        assert_eq!(
            tale.find(AnomalyKind::RapidRevocation),
            [],
            "a deleted agent's grants go at once"
        );
        tale.add(signal(SignalKind::Revocation, NOON));
        let finding = only(tale.find(AnomalyKind::RapidRevocation));
        assert_eq!((finding.level, finding.severity), (5, Severity::High));
        tale.add_many(15, &signal(SignalKind::Revocation, NOON));
        assert_eq!(
            only(tale.find(AnomalyKind::RapidRevocation)).severity,
            Severity::Critical
        );
    }
}
