//! More than ten audit entries between 22:00 and 06:00 UTC, from an agent that does not usually work at night.

use serde_json::json;

use super::{Rule, RuleState, Threshold, View};
use crate::anomaly::baseline::is_night;
use crate::anomaly::ring::{DAY, HOUR};
use crate::anomaly::{AnomalyKind, Finding, Severity};

const NOON_HOUR: u32 = 12;

pub(super) const RULE: Rule = Rule {
    id: "AD-004",
    kind: AnomalyKind::OffHoursActivity,
    name: "Off-hours activity",
    description: "An agent worked at night, between 22:00 and 06:00 UTC.",
    severity: Severity::Low,
    formula: "entries at night(24 h) > threshold, unless the baseline is warm and at least half of the remembered days before \
              today had more than threshold ÷ 2 entries at night; 24 h begin at noon UTC",
    is_learnt: false,
    state: RuleState::Active,
    thresholds: &[Threshold {
        name: "threshold",
        default: 10.0,
        min: 1.0,
        max: 1_000_000.0,
        help: "entries at night within 24 hours",
    }],
    find,
};

fn find(view: &View<'_>) -> Vec<Finding> {
    // From noon to noon, so that one night belongs to one window.
    let oldest = view.hour().saturating_sub(NOON_HOUR) / 24 * 24 + NOON_HOUR;
    let nights = view.activity.entries_by_hour.counted();
    let count = nights
        .filter(|(hour, _)| (oldest..=view.hour()).contains(hour) && is_night(hour % 24))
        .fold(0_u32, |sum, (_, count)| sum.saturating_add(count));
    let threshold = view.count("threshold");
    let baseline = &view.activity.baseline;
    let is_usual = baseline.is_warm() && baseline.works_at_night(threshold / 2);
    if count <= threshold || is_usual {
        return Vec::new();
    }
    let mut finding = view.finding(
        DAY,
        i64::from(NOON_HOUR) * HOUR,
        format!("{count} audit entries between 22:00 and 06:00 UTC within 24 hours"),
        json!({"count": count, "windowHours": 24, "threshold": threshold}),
    );
    finding.level = count;
    vec![finding]
}

#[cfg(test)]
mod tests {
    use super::super::support::*;
    use super::*;
    use crate::anomaly::signal::SignalKind;
    use crate::clock::{Lifetime, Timestamp};

    /// `hours` after the noon before, so 10 is 22:00.
    fn last_night(hours: i64) -> Timestamp {
        NOON.minus(Lifetime::hours(24 - hours))
    }

    #[test]
    fn the_eleventh_entry_of_a_night_is_found() {
        let mut tale = Tale::default();
        tale.add_many(5, &signal(SignalKind::AuditEntry, last_night(10)));
        tale.add_many(5, &signal(SignalKind::AuditEntry, last_night(17)));
        tale.add_many(100, &signal(SignalKind::AuditEntry, last_night(9)));
        tale.add_many(100, &signal(SignalKind::AuditEntry, last_night(18)));
        let found = tale.find_at(AnomalyKind::OffHoursActivity, last_night(20));
        assert_eq!(found, [], "21:00 and 06:00 are day");
        tale.add(signal(SignalKind::AuditEntry, last_night(17)));
        let finding = only(tale.find_at(AnomalyKind::OffHoursActivity, last_night(20)));
        assert_eq!(finding.level, 11);
        assert_eq!(finding.window_start, last_night(0));
        let later = tale.find_at(AnomalyKind::OffHoursActivity, last_night(24));
        assert_eq!(later, [], "one night, one window");
    }

    #[test]
    fn who_works_at_night_every_night_does_nothing_unusual() {
        let mut tale = Tale::default();
        for day in (0..5).rev() {
            let night = last_night(11).minus(Lifetime::days(day));
            tale.add_many(11, &signal(SignalKind::AuditEntry, night));
        }
        assert_eq!(tale.find_at(AnomalyKind::OffHoursActivity, last_night(20)), []);
    }
}
