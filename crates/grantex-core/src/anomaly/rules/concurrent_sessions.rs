//! More grants of one principal in use at once than usual.

use serde_json::json;

use super::{Rule, RuleState, Threshold, View};
use crate::anomaly::activity::SESSION_MINUTES;
use crate::anomaly::{AnomalyKind, Finding, Severity};

pub(super) const RULE: Rule = Rule {
    id: "AD-015",
    kind: AnomalyKind::ConcurrentSessions,
    name: "Concurrent sessions",
    description: "An agent uses many grants of one principal at the same time.",
    severity: Severity::Medium,
    formula: "n = grants of one principal that were exchanged, refreshed, delegated or verified within 60 min; n ≥ ceiling, or, \
              with a warm baseline, n ≥ minimum; and in both cases n > factor × peak; peak = the most on the remembered days before \
              today (0 while the baseline is cold)",
    is_learnt: true,
    state: RuleState::Active,
    thresholds: &[
        Threshold {
            name: "minimum",
            default: 5.0,
            min: 2.0,
            max: 64.0,
            help: "sessions at once",
        },
        Threshold {
            name: "ceiling",
            default: 20.0,
            min: 2.0,
            max: 64.0,
            help: "sessions at once that need no baseline",
        },
        Threshold {
            name: "factor",
            default: 2.0,
            min: 1.0,
            max: 64.0,
            help: "times the usual peak",
        },
    ],
    find,
};

fn find(view: &View<'_>) -> Vec<Finding> {
    let Some((principal, count)) = &view.activity.fresh.sessions else {
        return Vec::new();
    };
    let baseline = &view.activity.baseline;
    let is_warm = baseline.is_warm();
    let peak = if is_warm {
        baseline.peak(|day| day.peak_sessions)
    } else {
        0
    };
    let bar = if is_warm {
        view.count("minimum")
    } else {
        view.count("ceiling")
    };
    // No more than 64 sessions are told apart, so that a usual peak beyond 32 cannot be doubled.
    if *count < bar || f64::from(*count) <= view.threshold("factor") * f64::from(peak) {
        return Vec::new();
    }
    let mut finding = view.daily(
        format!("{count} grants of one principal were in use within {SESSION_MINUTES} minutes"),
        json!({
            "count": count, "windowMinutes": SESSION_MINUTES, "threshold": bar, "usualPeak": peak,
        }),
    );
    finding.principal_id = Some(principal.clone());
    finding.level = *count;
    vec![finding]
}

#[cfg(test)]
mod tests {
    use super::super::support::*;
    use super::*;
    use crate::anomaly::signal::SignalKind;

    fn use_grants(tale: &mut Tale, count: u32) {
        for number in 0..count {
            let mut signal = signal(SignalKind::Verification, NOON);
            signal.grant_id = format!("grnt_{number}");
            tale.add(signal);
        }
    }

    #[test]
    fn five_are_many_for_an_agent_that_had_one() {
        let mut tale = Tale::of_a_settled_agent();
        use_grants(&mut tale, 4);
        assert_eq!(tale.find(AnomalyKind::ConcurrentSessions), []);
        use_grants(&mut tale, 5);
        let finding = only(tale.find(AnomalyKind::ConcurrentSessions));
        assert_eq!((finding.level, finding.severity), (5, Severity::Medium));
        assert_eq!(finding.principal_id.as_deref(), Some("user-1"));
    }

    #[test]
    fn a_beginner_needs_twenty() {
        let mut tale = Tale::default();
        use_grants(&mut tale, 19);
        assert_eq!(tale.find(AnomalyKind::ConcurrentSessions), []);
        use_grants(&mut tale, 20);
        assert_eq!(only(tale.find(AnomalyKind::ConcurrentSessions)).level, 20);
    }
}
