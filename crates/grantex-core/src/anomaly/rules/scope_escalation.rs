//! Authority that grows: a scope of further reach than the agent ever had, or step after step.

use serde_json::json;

use super::{Rule, RuleState, Threshold, View};
use crate::anomaly::activity::STEP_DAYS;
use crate::anomaly::seen::Reach;
use crate::anomaly::{AnomalyKind, Finding, Severity};

pub(super) const RULE: Rule = Rule {
    id: "AD-002",
    kind: AnomalyKind::ScopeEscalation,
    name: "Scope escalation",
    description: "An agent was granted wider scopes than it ever had, at once or step by step.",
    severity: Severity::High,
    formula: "a grant brings an unknown scope whose reach (read < write < admin, by the words of its name) exceeds that of all \
              scopes before (critical when it is admin), or it is at least the `steps`th grant with an unknown scope within \
              7 days; silent until the baseline is warm",
    is_learnt: true,
    state: RuleState::Active,
    thresholds: &[Threshold {
        name: "steps",
        default: 3.0,
        min: 1.0,
        max: 16.0,
        help: "grants with unknown scopes within 7 days",
    }],
    find,
};

fn find(view: &View<'_>) -> Vec<Finding> {
    let steps = view.activity.recent_steps(view.now);
    let news = &view.activity.fresh.scopes;
    // The gravest of them: there is one finding a day for the agent.
    let furthest = news
        .iter()
        .filter(|new| new.before.is_some_and(|before| new.reach > before))
        .max_by_key(|new| new.reach);
    let (new, is_further) = match (furthest, news.last()) {
        (Some(new), _) => (new, true),
        (None, Some(new)) if steps >= view.count("steps") => (new, false),
        _ => return Vec::new(),
    };
    let description = if is_further {
        format!("a grant reaches further than any before: {}", new.scopes.join(" "))
    } else {
        format!("{steps} grants within {STEP_DAYS} days brought scopes that the agent never had")
    };
    let mut finding = view.daily(
        description,
        json!({
            "scopes": new.scopes, "steps": steps, "windowDays": STEP_DAYS, "threshold": view.count("steps"),
            "reach": name(new.reach), "reachBefore": new.before.map(name), "principalId": new.principal_id,
        }),
    );
    if is_further && new.reach == Reach::Admin {
        finding.severity = Severity::Critical;
    }
    vec![finding]
}

const fn name(reach: Reach) -> &'static str {
    match reach {
        Reach::Read => "read",
        Reach::Write => "write",
        Reach::Admin => "admin",
    }
}

#[cfg(test)]
mod tests {
    use super::super::support::*;
    use super::*;
    use crate::anomaly::signal::{Signal, SignalKind};

    fn grant(scopes: &[&str]) -> Signal {
        let mut signal = signal(SignalKind::Grant, NOON);
        signal.scopes = scopes.iter().map(|scope| (*scope).to_owned()).collect();
        signal
    }

    fn reader() -> Tale {
        let mut tale = Tale::default();
        let mut first = grant(&["mail:read"]);
        first.at = NOON.minus(crate::clock::Lifetime::days(5));
        tale.add(first);
        for day in (1..=4).rev() {
            tale.add(signal(
                SignalKind::Refresh,
                NOON.minus(crate::clock::Lifetime::days(day)),
            ));
        }
        tale.activity.settle();
        tale.add(signal(SignalKind::Refresh, NOON));
        tale
    }

    #[test]
    fn a_further_reach_is_found_at_once() {
        let mut tale = reader();
        tale.add(grant(&["mail:read", "calendar:read"]));
        assert_eq!(tale.find(AnomalyKind::ScopeEscalation), [], "as far as before");
        tale.add(grant(&["mail:send"]));
        assert_eq!(only(tale.find(AnomalyKind::ScopeEscalation)).severity, Severity::High);
        tale.add(grant(&["mail:admin"]));
        assert_eq!(
            only(tale.find(AnomalyKind::ScopeEscalation)).severity,
            Severity::Critical
        );
    }

    #[test]
    fn the_third_small_step_is_found() {
        let mut tale = reader();
        for scope in ["calendar:read", "contacts:read"] {
            tale.add(grant(&[scope]));
            assert_eq!(tale.find(AnomalyKind::ScopeEscalation), [], "{scope}");
        }
        tale.add(grant(&["files:read"]));
        let finding = only(tale.find(AnomalyKind::ScopeEscalation));
        assert_eq!(finding.evidence.get("steps"), Some(&json!(3)));
        assert_eq!(finding.severity, Severity::High);
    }

    #[test]
    fn known_scopes_are_no_step_and_a_beginner_takes_none() {
        let mut tale = reader();
        for _ in 0..5 {
            tale.add(grant(&["mail:read"]));
        }
        assert_eq!(tale.find(AnomalyKind::ScopeEscalation), []);
        let mut beginner = Tale::default();
        beginner.add(grant(&["mail:read"])).add(grant(&["mail:admin"]));
        assert_eq!(beginner.find(AnomalyKind::ScopeEscalation), []);
    }
}
