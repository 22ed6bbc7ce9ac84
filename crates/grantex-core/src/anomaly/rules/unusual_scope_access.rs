//! A scope that the agent never had, of no further reach than those it has.

use serde_json::json;

use super::{Rule, RuleState, View};
use crate::anomaly::{AnomalyKind, Finding, Severity};

pub(super) const RULE: Rule = Rule {
    id: "AD-016",
    kind: AnomalyKind::UnusualScopeAccess,
    name: "Unusual scope access",
    description: "An agent was granted scopes that it never had before.",
    severity: Severity::Medium,
    formula: "a grant brings a scope that is not among the 64 last granted to the agent; silent until the baseline is warm, and for \
              agents that had more than 64 scopes",
    is_learnt: true,
    state: RuleState::Active,
    thresholds: &[],
    find,
};

fn find(view: &View<'_>) -> Vec<Finding> {
    let news = view.activity.fresh.scopes.iter();
    news.map(|new| {
        let mut finding = view.daily(
            format!("the agent never had: {}", new.scopes.join(" ")),
            json!({"scopes": new.scopes, "threshold": 1}),
        );
        finding.principal_id = Some(new.principal_id.clone());
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

    fn grant(scope: &str, at: Timestamp) -> Signal {
        let mut signal = signal(SignalKind::Grant, at);
        signal.scopes = vec![scope.to_owned()];
        signal
    }

    #[test]
    fn the_first_grant_of_a_scope_is_found_once_the_agent_is_known() {
        let mut tale = Tale::default();
        for day in (1..=3).rev() {
            tale.add(grant("mail:read", NOON.minus(Lifetime::days(day))));
        }
        tale.add(grant("mail:read", NOON));
        assert_eq!(tale.find(AnomalyKind::UnusualScopeAccess), []);
        tale.add(grant("files:read", NOON));
        let finding = only(tale.find(AnomalyKind::UnusualScopeAccess));
        assert_eq!(finding.evidence.get("scopes"), Some(&json!(["files:read"])));
        tale.activity.settle();
        tale.add(grant("files:read", NOON));
        assert_eq!(tale.find(AnomalyKind::UnusualScopeAccess), [], "known by now");
    }

    #[test]
    fn a_beginner_has_no_habits() {
        let mut tale = Tale::default();
        tale.add(grant("mail:read", NOON.minus(Lifetime::days(1))));
        tale.add(grant("files:read", NOON));
        assert_eq!(tale.find(AnomalyKind::UnusualScopeAccess), []);
    }
}
