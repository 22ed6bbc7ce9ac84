//! A grant for a principal that the agent never acted for.

use serde_json::json;

use super::{Rule, RuleState, Threshold, View};
use crate::anomaly::{AnomalyKind, Finding, Severity};

pub(super) const RULE: Rule = Rule {
    id: "AD-013",
    kind: AnomalyKind::NewPrincipal,
    name: "New principal",
    description: "A grant was issued for a principal that the agent never had a grant of.",
    severity: Severity::Low,
    formula: "the first grant of the pair of agent and principal, for the first `perDay` pairs of a day; for an agent that meets at \
              least one new principal a day (warm baseline, mean over the remembered days before today) only the pairs behind \
              factor × its busiest day",
    is_learnt: false,
    state: RuleState::Active,
    thresholds: &[
        Threshold {
            name: "perDay",
            default: 10.0,
            min: 1.0,
            max: 1_000.0,
            help: "findings of one agent a day",
        },
        Threshold {
            name: "factor",
            default: 3.0,
            min: 1.0,
            max: 100.0,
            help: "times the usual number of new principals a day, for agents that meet many",
        },
    ],
    find,
};

fn find(view: &View<'_>) -> Vec<Finding> {
    let baseline = &view.activity.baseline;
    let usual = if baseline.is_warm() {
        baseline.newcomers_per_day()
    } else {
        0
    };
    let busiest = baseline.peak(|day| day.newcomers);
    let first = if usual == 0 {
        0
    } else {
        (f64::from(busiest) * view.threshold("factor")) as u32
    };
    let last = first.saturating_add(view.count("perDay"));
    let newcomers = view.activity.fresh.newcomers.iter();
    newcomers
        .filter(|(_, number)| *number > first && *number <= last)
        .map(|(principal, number)| {
            let mut finding = view.daily(
                "the agent got its first grant from this principal".to_owned(),
                json!({"windowHours": 24, "newToday": number, "usualPerDay": usual}),
            );
            finding.principal_id = Some(principal.clone());
            finding
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::super::support::*;
    use super::*;
    use crate::anomaly::signal::{Signal, SignalKind};
    use crate::clock::{Lifetime, Timestamp};

    fn grant(principal: &str, at: Timestamp) -> Signal {
        let mut signal = signal(SignalKind::Grant, at);
        signal.principal_id = principal.to_owned();
        signal
    }

    #[test]
    fn only_the_first_grant_of_a_pair_is_new() {
        let mut tale = Tale::default();
        tale.activity.fold(&grant("user-1", NOON), true, &[]);
        tale.activity.fold(&grant("user-2", NOON), false, &[]);
        let finding = only(tale.find(AnomalyKind::NewPrincipal));
        assert_eq!(finding.principal_id.as_deref(), Some("user-1"));
        assert_eq!(finding.evidence.get("windowHours"), Some(&json!(24)));
        tale.activity.settle();
        assert_eq!(tale.find(AnomalyKind::NewPrincipal), [], "told once");
    }

    #[test]
    fn one_agent_has_at_most_ten_findings_a_day() {
        let mut tale = Tale::default();
        for number in 0..12 {
            tale.activity.fold(&grant(&format!("user-{number}"), NOON), true, &[]);
        }
        assert_eq!(tale.find(AnomalyKind::NewPrincipal).len(), 10);
    }

    #[test]
    fn an_agent_that_meets_people_daily_must_meet_three_times_as_many() {
        let mut tale = Tale::default();
        for day in (1..=4).rev() {
            for number in 0..2 {
                let at = NOON.minus(Lifetime::days(day));
                tale.activity
                    .fold(&grant(&format!("user-{day}-{number}"), at), true, &[]);
            }
        }
        tale.activity.settle();
        for number in 0..6 {
            tale.activity.fold(&grant(&format!("today-{number}"), NOON), true, &[]);
        }
        assert_eq!(tale.find(AnomalyKind::NewPrincipal), []);
        tale.activity.fold(&grant("one-too-many", NOON), true, &[]);
        let finding = only(tale.find(AnomalyKind::NewPrincipal));
        assert_eq!(finding.principal_id.as_deref(), Some("one-too-many"));
    }
}
