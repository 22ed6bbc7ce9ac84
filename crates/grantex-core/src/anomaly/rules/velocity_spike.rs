//! A burst: five minutes with three times the rolling hour, and more than the agent ever had.

use serde_json::json;

use super::{Rule, RuleState, Threshold, View};
use crate::anomaly::{AnomalyKind, Finding, Severity};

pub(super) const RULE: Rule = Rule {
    id: "AD-001",
    kind: AnomalyKind::VelocitySpike,
    name: "Velocity spike",
    description: "An agent acts several times as fast as in the hour before, and as it ever did.",
    severity: Severity::High,
    formula: "c = signals(5 min); c ≥ minimum, c > factor × signals(55 min before) ÷ 11, and c > peakFactor × peak; peak = the most \
              signals within 5 min on the remembered days before today; silent until the baseline is warm",
    is_learnt: true,
    state: RuleState::Active,
    thresholds: &[
        Threshold {
            name: "factor",
            default: 3.0,
            min: 1.0,
            max: 1_000.0,
            help: "times the mean of the rolling hour",
        },
        Threshold {
            name: "minimum",
            default: 30.0,
            min: 1.0,
            max: 1_000_000.0,
            help: "signals within 5 minutes",
        },
        Threshold {
            name: "peakFactor",
            default: 2.0,
            min: 1.0,
            max: 1_000.0,
            help: "times the usual peak",
        },
    ],
    find,
};

fn find(view: &View<'_>) -> Vec<Finding> {
    let baseline = &view.activity.baseline;
    if !baseline.is_warm() {
        return Vec::new();
    }
    let now = view.activity.signals.sum(view.minute(), 5);
    let before = view.activity.signals.sum(view.minute().saturating_sub(5), 55);
    let mean = f64::from(before) / 11.0;
    let peak = baseline.peak(|day| day.peak_five_minutes);
    let is_spike = now >= view.count("minimum")
        && f64::from(now) > view.threshold("factor") * mean
        && f64::from(now) > view.threshold("peakFactor") * f64::from(peak);
    if !is_spike {
        return Vec::new();
    }
    let mut finding = view.hourly(
        format!(
            "{now} signals within 5 minutes; {mean:.1} were usual in the hour before, {peak} the most on earlier days"
        ),
        json!({
            "count": now, "windowMinutes": 5, "hourMean": mean, "usualPeak": peak,
            "factor": view.threshold("factor"), "threshold": view.count("minimum"),
        }),
    );
    finding.level = now;
    vec![finding]
}

#[cfg(test)]
mod tests {
    use super::super::support::*;
    use super::*;
    use crate::anomaly::signal::SignalKind;

    #[test]
    fn a_burst_is_thirty_and_three_times_the_hour() {
        let mut tale = Tale::of_a_settled_agent();
        tale.add_many(110, &signal(SignalKind::Refresh, minutes_before(30)));
        tale.add_many(30, &signal(SignalKind::Refresh, NOON));
        assert_eq!(
            tale.find(AnomalyKind::VelocitySpike),
            [],
            "30 is three times the mean of 10"
        );
        tale.add(signal(SignalKind::Refresh, minutes_before(4)));
        let finding = only(tale.find(AnomalyKind::VelocitySpike));
        assert_eq!((finding.level, finding.severity), (31, Severity::High));
        assert_eq!(finding.evidence.get("usualPeak"), Some(&json!(10)));
    }

    #[test]
    fn few_are_no_burst_and_a_beginner_has_none() {
        let mut tale = Tale::of_a_settled_agent();
        tale.add_many(29, &signal(SignalKind::Refresh, NOON));
        assert_eq!(tale.find(AnomalyKind::VelocitySpike), []);
        tale.add(signal(SignalKind::Refresh, NOON));
        assert_eq!(only(tale.find(AnomalyKind::VelocitySpike)).level, 30);

        let mut beginner = Tale::default();
        beginner.add_many(1_000, &signal(SignalKind::Refresh, NOON));
        assert_eq!(beginner.find(AnomalyKind::VelocitySpike), []);
    }

    #[test]
    fn who_bursts_every_day_must_double_it() {
        let mut tale = Tale::default();
        for day in (1..=4).rev() {
            let at = NOON.minus(crate::clock::Lifetime::days(day));
            tale.add_many(200, &signal(SignalKind::Refresh, at));
        }
        tale.add_many(400, &signal(SignalKind::Refresh, NOON));
        assert_eq!(tale.find(AnomalyKind::VelocitySpike), []);
        tale.add(signal(SignalKind::Refresh, NOON));
        assert_eq!(only(tale.find(AnomalyKind::VelocitySpike)).level, 401);
    }
}
