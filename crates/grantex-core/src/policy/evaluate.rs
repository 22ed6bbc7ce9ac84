//! Whether one policy matches, and which of many decides: the definition, without any haste.
//!
//! A policy matches when all of its conditions hold. Refusals come first: the highest-ranking matching `deny` decides, whatever
//! any `allow` says; without one, the highest-ranking matching `allow`. Rank is priority, then age. [`super::set`] must find the
//! same decision faster.

use super::{Effect, Policy, PolicyDecision, PolicyQuestion, PolicyRef, Rule, Ruling};

/// A condition of a policy.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Condition {
    /// `agentId`.
    Agent,
    /// `principalId`.
    Principal,
    /// `scopes`.
    Scopes,
    /// `audience`.
    Audience,
    /// `timeOfDayStart`, `timeOfDayEnd`, `daysOfWeek` and `timeZone`.
    Time,
}

impl Condition {
    /// All of them, in the order in which they are explained.
    pub const ALL: [Self; 5] = [Self::Agent, Self::Principal, Self::Scopes, Self::Audience, Self::Time];

    /// The name on the wire.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Agent => "agentId",
            Self::Principal => "principalId",
            Self::Scopes => "scopes",
            Self::Audience => "audience",
            Self::Time => "time",
        }
    }
}

/// What became of one condition.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Finding {
    /// Which.
    pub condition: Condition,
    /// Whether it holds.
    pub holds: bool,
    /// Why, for people.
    pub reason: String,
}

impl Rule {
    /// Whether all conditions hold.
    pub fn matches(&self, question: &PolicyQuestion<'_>) -> bool {
        // The time last: it is the only condition that costs more than comparing texts.
        [
            Condition::Agent,
            Condition::Principal,
            Condition::Audience,
            Condition::Scopes,
            Condition::Time,
        ]
        .into_iter()
        .all(|condition| self.holds(condition, question))
    }

    /// Whether one condition holds. A condition that is not there holds.
    pub fn holds(&self, condition: Condition, question: &PolicyQuestion<'_>) -> bool {
        match condition {
            Condition::Agent => self.agent_id.as_ref().is_none_or(|id| id == question.agent_id),
            Condition::Principal => self
                .principal_id
                .as_deref()
                .is_none_or(|id| id == question.principal_id),
            Condition::Scopes => self.holds_for_scopes(question.scopes.as_slice()),
            Condition::Audience => self.holds_for_audience(question.audience),
            Condition::Time => self.schedule.contains(question.at),
        }
    }

    /// All of what is asked for may be allowed, none of it may be denied: else one scope more would dodge a refusal.
    fn holds_for_scopes(&self, asked: &[String]) -> bool {
        let Some(patterns) = &self.scopes else {
            return true;
        };
        match self.effect {
            Effect::Allow => !asked.is_empty() && asked.iter().all(|scope| patterns.matches(scope)),
            Effect::Deny => asked.iter().any(|scope| patterns.matches(scope)),
        }
    }

    /// A token without an audience is good everywhere, so whoever names none asks for the denied one, too.
    fn holds_for_audience(&self, asked: Option<&str>) -> bool {
        let Some(audience) = &self.audience else {
            return true;
        };
        match (self.effect, asked) {
            (_, Some(asked)) => asked == audience,
            (Effect::Allow, None) => false,
            (Effect::Deny, None) => true,
        }
    }

    /// What became of each condition that is there.
    pub fn explain(&self, question: &PolicyQuestion<'_>) -> Vec<Finding> {
        Condition::ALL
            .into_iter()
            .filter(|condition| self.has(*condition))
            .map(|condition| {
                let holds = self.holds(condition, question);
                let reason = self.reason(condition, question, holds);
                Finding {
                    condition,
                    holds,
                    reason,
                }
            })
            .collect()
    }

    const fn has(&self, condition: Condition) -> bool {
        match condition {
            Condition::Agent => self.agent_id.is_some(),
            Condition::Principal => self.principal_id.is_some(),
            Condition::Scopes => self.scopes.is_some(),
            Condition::Audience => self.audience.is_some(),
            Condition::Time => !self.schedule.is_always(),
        }
    }

    fn reason(&self, condition: Condition, question: &PolicyQuestion<'_>, holds: bool) -> String {
        let is = if holds { "is" } else { "is not" };
        match condition {
            Condition::Agent => format!("the agent {is} the policy's"),
            Condition::Principal => format!("the principal {is} the policy's"),
            Condition::Scopes => self.reason_of_scopes(question.scopes.as_slice()),
            Condition::Audience => match question.audience {
                Some(_) => format!("the audience {is} the policy's"),
                None if holds => "no audience is named, and such a token is good for the policy's, too".to_owned(),
                None => "no audience is named".to_owned(),
            },
            Condition::Time => {
                let now = self.schedule.local(question.at);
                let zone = self.schedule.zone.as_ref().map_or("UTC", |zone| zone.name());
                let within = if holds { "in" } else { "outside" };
                format!(
                    "{} {} in {zone} is {within} the policy's time",
                    now.day.as_str(),
                    now.time
                )
            }
        }
    }

    fn reason_of_scopes(&self, asked: &[String]) -> String {
        let is_listed = |scope: &&String| self.scopes.as_ref().is_some_and(|patterns| patterns.matches(scope));
        let decisive = match self.effect {
            Effect::Allow => asked.iter().find(|scope| !is_listed(scope)),
            Effect::Deny => asked.iter().find(is_listed),
        };
        match (self.effect, decisive) {
            (Effect::Allow, None) if asked.is_empty() => "no scope is asked for".to_owned(),
            (Effect::Allow, None) => "the policy lists every scope that is asked for".to_owned(),
            (Effect::Allow, Some(scope)) => format!("the policy does not list the scope {scope}"),
            (Effect::Deny, None) => "the policy lists none of the scopes that are asked for".to_owned(),
            (Effect::Deny, Some(scope)) => format!("the policy lists the scope {scope}"),
        }
    }
}

impl Policy {
    /// What is decided when this policy decides.
    pub fn decision(&self) -> PolicyDecision {
        let ruling = Ruling {
            by: PolicyRef::Policy(self.id.clone()),
            reason: self.rule.name.clone(),
        };
        match self.rule.effect {
            Effect::Allow => PolicyDecision::Allow(ruling),
            Effect::Deny => PolicyDecision::Deny(ruling),
        }
    }
}

/// The policy that decides, by looking at each; order does not matter. The definition that [`super::set::PolicySet`] is
/// tested against.
pub fn decisive<'a>(policies: &'a [Policy], question: &PolicyQuestion<'_>) -> Option<&'a Policy> {
    let matching = policies.iter().filter(|policy| policy.rule.matches(question));
    matching.min_by_key(|policy| (policy.rule.effect == Effect::Allow, policy.rank()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::clock::Timestamp;
    use crate::id::{AgentId, DeveloperId, PolicyId};
    use crate::policy::{PolicyAction, RuleDraft};
    use crate::scope::Scopes;

    const AGENT: &str = "ag_01ARZ3NDEKTSV4RRFFQ69G5FAV";

    fn draft(effect: Effect) -> RuleDraft {
        RuleDraft {
            name: "rule".into(),
            effect,
            priority: 0,
            agent_id: None,
            principal_id: None,
            scopes: None,
            audience: None,
            time_of_day_start: None,
            time_of_day_end: None,
            time_zone: None,
            days_of_week: None,
        }
    }

    fn policy(number: u8, draft: RuleDraft) -> Policy {
        Policy {
            id: PolicyId::parse(&format!("pol_01ARZ3NDEKTSV4RRFFQ69G5FA{number}")).unwrap(),
            developer_id: DeveloperId::parse("dev_01ARZ3NDEKTSV4RRFFQ69G5FAV").unwrap(),
            rule: draft.check().unwrap(),
            created_at: Timestamp::from_millis(i64::from(number)),
            updated_at: Timestamp::from_millis(i64::from(number)),
        }
    }

    /// Who decides when `scopes` are asked for at half past eight in UTC.
    fn decided(policies: &[Policy], scopes: &str, audience: Option<&str>) -> Option<String> {
        let question = PolicyQuestion {
            action: PolicyAction::Authorize,
            developer_id: &DeveloperId::parse("dev_01ARZ3NDEKTSV4RRFFQ69G5FAV").unwrap(),
            agent_id: &AgentId::parse(AGENT).unwrap(),
            principal_id: "user-1",
            scopes: &Scopes::from_stored(scopes),
            audience,
            at: Timestamp::parse_rfc3339("2030-01-02T08:30:00Z").unwrap(),
        };
        let found = decisive(policies, &question).map(|policy| policy.id.to_string());
        assert_eq!(
            found,
            crate::policy::set::PolicySet::new(policies.to_vec())
                .decisive(&question)
                .map(|policy| policy.id.to_string())
        );
        found.map(|id| id.chars().last().into_iter().collect())
    }

    fn scoped(effect: Effect, scopes: &[&str]) -> RuleDraft {
        let scopes = Some(scopes.iter().map(|&scope| scope.to_owned()).collect());
        RuleDraft {
            scopes,
            ..draft(effect)
        }
    }

    #[test]
    fn a_deny_wins_whatever_the_priority_of_an_allow() {
        let policies = [
            policy(
                1,
                RuleDraft {
                    priority: 100,
                    ..draft(Effect::Allow)
                },
            ),
            policy(
                2,
                RuleDraft {
                    priority: -100,
                    ..draft(Effect::Deny)
                },
            ),
        ];
        assert_eq!(decided(&policies, "read", None).as_deref(), Some("2"));
    }

    #[test]
    fn among_equals_the_higher_priority_decides_then_the_older() {
        for effect in [Effect::Allow, Effect::Deny] {
            let policies = [
                policy(
                    1,
                    RuleDraft {
                        priority: 1,
                        ..draft(effect)
                    },
                ),
                policy(
                    2,
                    RuleDraft {
                        priority: 2,
                        ..draft(effect)
                    },
                ),
                policy(
                    3,
                    RuleDraft {
                        priority: 2,
                        ..draft(effect)
                    },
                ),
            ];
            assert_eq!(decided(&policies, "read", None).as_deref(), Some("2"));
        }
    }

    #[test]
    fn allow_wants_every_scope_and_deny_any() {
        let allow = [policy(1, scoped(Effect::Allow, &["read", "calendar:*"]))];
        assert_eq!(decided(&allow, "calendar:x read", None).as_deref(), Some("1"));
        assert_eq!(decided(&allow, "read write", None), None);
        assert_eq!(decided(&allow, "", None), None);
        let deny = [policy(1, scoped(Effect::Deny, &["payments:*", "admin"]))];
        assert_eq!(decided(&deny, "read payments:send", None).as_deref(), Some("1"));
        assert_eq!(decided(&deny, "read write", None), None);
        assert_eq!(decided(&deny, "", None), None);
    }

    #[test]
    fn every_condition_must_hold() {
        let base = || RuleDraft {
            agent_id: Some(AGENT.into()),
            principal_id: Some("user-1".into()),
            audience: Some("x".into()),
            time_of_day_start: Some("08:30".into()),
            time_of_day_end: Some("08:31".into()),
            days_of_week: Some(vec!["wed".into()]),
            ..scoped(Effect::Deny, &["read"])
        };
        let other_agent = "ag_01ARZ3NDEKTSV4RRFFQ69G5FA0";
        let matched = |draft| decided(&[policy(1, draft)], "read", Some("x")).is_some();
        assert!(matched(base()));
        assert!(!matched(RuleDraft {
            agent_id: Some(other_agent.into()),
            ..base()
        }));
        assert!(!matched(RuleDraft {
            principal_id: Some("user-2".into()),
            ..base()
        }));
        assert!(!matched(RuleDraft {
            audience: Some("y".into()),
            ..base()
        }));
        assert!(!matched(RuleDraft {
            scopes: Some(vec!["write".into()]),
            ..base()
        }));
        assert!(!matched(RuleDraft {
            days_of_week: Some(vec!["thu".into()]),
            ..base()
        }));
        assert!(!matched(RuleDraft {
            time_zone: Some("Europe/Berlin".into()),
            ..base()
        }));
    }

    #[test]
    fn whoever_names_no_audience_asks_for_all_of_them() {
        let for_x = |effect| {
            [policy(
                1,
                RuleDraft {
                    audience: Some("x".into()),
                    ..draft(effect)
                },
            )]
        };
        assert_eq!(decided(&for_x(Effect::Deny), "read", None).as_deref(), Some("1"));
        assert_eq!(decided(&for_x(Effect::Deny), "read", Some("y")), None);
        assert_eq!(decided(&for_x(Effect::Allow), "read", None), None);
        assert_eq!(decided(&for_x(Effect::Allow), "read", Some("x")).as_deref(), Some("1"));
    }
}
