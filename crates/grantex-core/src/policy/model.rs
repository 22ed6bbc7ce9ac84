//! Policies as developers write them, and what must hold of one before it is kept.

use std::collections::BTreeSet;

use crate::clock::Timestamp;
use crate::id::{AgentId, DeveloperId, PolicyId};
use crate::policy::pattern::{ScopePattern, ScopePatterns};
use crate::policy::schedule::{Schedule, TimeOfDay, Weekday, Weekdays, Window, Zone};

/// The longest name, in characters.
const MAX_NAME: usize = 200;
/// The longest id of a principal, in characters: as long as a request's.
const MAX_PRINCIPAL: usize = 256;
/// The longest audience, in characters: as long as a request's.
const MAX_AUDIENCE: usize = 1_024;
/// What a policy weighs before its texts are counted, and what each scope weighs before its own: roughly what they take in
/// memory once they are indexed, with a bucket for each policy at worst.
const OVERHEAD: u64 = 1_024;
const SCOPE_OVERHEAD: u64 = 64;

/// What a policy does when it matches.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, serde::Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Effect {
    /// Approves without asking the person.
    Allow,
    /// Refuses.
    Deny,
}

impl Effect {
    /// The wire form.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Allow => "allow",
            Self::Deny => "deny",
        }
    }

    /// Reads the wire form.
    pub fn parse(text: &str) -> Option<Self> {
        match text {
            "allow" => Some(Self::Allow),
            "deny" => Some(Self::Deny),
            _ => None,
        }
    }
}

/// What a policy says. A condition that is `None` always holds.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Rule {
    /// Its name, for people.
    pub name: String,
    /// What it does when it matches.
    pub effect: Effect,
    /// Among policies of one effect, the highest decides.
    pub priority: i32,
    /// The agent that acts.
    pub agent_id: Option<AgentId>,
    /// The person for whom it acts.
    pub principal_id: Option<String>,
    /// The scopes asked for.
    pub scopes: Option<ScopePatterns>,
    /// The audience asked for.
    pub audience: Option<String>,
    /// When.
    pub schedule: Schedule,
}

impl Rule {
    /// What its author should know although it is in order.
    pub fn warnings(&self) -> Vec<FieldProblem> {
        let mut warnings = Vec::new();
        let mut warn = |field, problem: &str| {
            let problem = problem.to_owned();
            warnings.push(FieldProblem { field, problem });
        };
        let names_nobody = self.agent_id.is_none() && self.principal_id.is_none();
        let is_any_scope = |scopes: &ScopePatterns| scopes.as_slice().contains(&ScopePattern::Any);
        let is_unbound = names_nobody && self.audience.is_none() && self.schedule.is_always();
        if is_unbound && self.scopes.as_ref().is_none_or(is_any_scope) {
            match self.effect {
                Effect::Allow => warn("effect", "approves every request of every agent without asking anybody"),
                Effect::Deny => warn("effect", "refuses every request of every agent"),
            }
        }
        if self.schedule.window.is_some_and(|window| window.start == window.end) {
            warn("timeOfDayEnd", "equals `timeOfDayStart`: the policy never matches");
        }
        if self.schedule.zone.is_some() && self.schedule.is_always() {
            warn("timeZone", "has no effect without a time of day or days of the week");
        }
        warnings
    }
}

/// A policy of a developer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Policy {
    /// Identifier.
    pub id: PolicyId,
    /// The tenant.
    pub developer_id: DeveloperId,
    /// What it says.
    pub rule: Rule,
    /// When it was made.
    pub created_at: Timestamp,
    /// When it was last changed.
    pub updated_at: Timestamp,
}

impl Policy {
    /// Where it stands among policies of its effect: the highest priority first, then the oldest.
    pub(crate) fn rank(&self) -> (std::cmp::Reverse<i32>, Timestamp, &PolicyId) {
        (std::cmp::Reverse(self.rule.priority), self.created_at, &self.id)
    }

    /// Roughly how many bytes of memory it takes once it is indexed: what bounds a developer's policies beside their number.
    pub fn weight(&self) -> u64 {
        let rule = &self.rule;
        let length = |text: Option<&str>| text.map_or(0, str::len);
        let scopes = rule.scopes.as_ref();
        // Principal and scopes stand in the index once more.
        let texts = rule.name.len()
            + length(rule.audience.as_deref())
            + 2 * length(rule.principal_id.as_deref())
            + 2 * scopes.map_or(0, |scopes| scopes.joined().len());
        let entries = scopes.map_or(0, |scopes| scopes.as_slice().len());
        let number = |count: usize| u64::try_from(count).unwrap_or(u64::MAX);
        OVERHEAD + number(texts) + SCOPE_OVERHEAD * number(entries)
    }
}

/// A policy as it comes from the wire, before anything but types was looked at.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RuleDraft {
    /// `name`.
    pub name: String,
    /// `effect`.
    pub effect: Effect,
    /// `priority`.
    pub priority: i64,
    /// `agentId`.
    pub agent_id: Option<String>,
    /// `principalId`.
    pub principal_id: Option<String>,
    /// `scopes`.
    pub scopes: Option<Vec<String>>,
    /// `audience`.
    pub audience: Option<String>,
    /// `timeOfDayStart`.
    pub time_of_day_start: Option<String>,
    /// `timeOfDayEnd`.
    pub time_of_day_end: Option<String>,
    /// `timeZone`.
    pub time_zone: Option<String>,
    /// `daysOfWeek`.
    pub days_of_week: Option<Vec<String>>,
}

/// What is wrong with a member of a policy.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{field}` {problem}")]
pub struct FieldProblem {
    /// The member, as on the wire.
    pub field: &'static str,
    /// What is wrong, to be read behind the member's name.
    pub problem: String,
}

/// What is to change in a member that may also be empty.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub enum Change<T> {
    /// It stays as it is.
    #[default]
    Keep,
    /// It is emptied: the condition always holds.
    Clear,
    /// It is replaced.
    Set(T),
}

impl<T> Change<T> {
    fn apply(self, to: &mut Option<T>) {
        match self {
            Self::Keep => {}
            Self::Clear => *to = None,
            Self::Set(value) => *to = Some(value),
        }
    }
}

/// What is to change in a policy.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct RuleChanges {
    /// `name`.
    pub name: Option<String>,
    /// `effect`.
    pub effect: Option<Effect>,
    /// `priority`.
    pub priority: Option<i64>,
    /// `agentId`.
    pub agent_id: Change<String>,
    /// `principalId`.
    pub principal_id: Change<String>,
    /// `scopes`.
    pub scopes: Change<Vec<String>>,
    /// `audience`.
    pub audience: Change<String>,
    /// `timeOfDayStart`.
    pub time_of_day_start: Change<String>,
    /// `timeOfDayEnd`.
    pub time_of_day_end: Change<String>,
    /// `timeZone`.
    pub time_zone: Change<String>,
    /// `daysOfWeek`.
    pub days_of_week: Change<Vec<String>>,
}

impl RuleChanges {
    /// A rule with the changes made; the whole is to be checked again, because members depend on each other.
    pub fn apply(self, rule: &Rule) -> RuleDraft {
        let mut draft = RuleDraft::from(rule);
        draft.name = self.name.unwrap_or(draft.name);
        draft.effect = self.effect.unwrap_or(draft.effect);
        draft.priority = self.priority.unwrap_or(draft.priority);
        self.agent_id.apply(&mut draft.agent_id);
        self.principal_id.apply(&mut draft.principal_id);
        self.scopes.apply(&mut draft.scopes);
        self.audience.apply(&mut draft.audience);
        self.time_of_day_start.apply(&mut draft.time_of_day_start);
        self.time_of_day_end.apply(&mut draft.time_of_day_end);
        self.time_zone.apply(&mut draft.time_zone);
        self.days_of_week.apply(&mut draft.days_of_week);
        draft
    }
}

impl From<&Rule> for RuleDraft {
    fn from(rule: &Rule) -> Self {
        let schedule = &rule.schedule;
        Self {
            name: rule.name.clone(),
            effect: rule.effect,
            priority: i64::from(rule.priority),
            agent_id: rule.agent_id.as_ref().map(ToString::to_string),
            principal_id: rule.principal_id.clone(),
            scopes: rule.scopes.as_ref().map(ScopePatterns::texts),
            audience: rule.audience.clone(),
            time_of_day_start: schedule.window.map(|window| window.start.to_string()),
            time_of_day_end: schedule.window.map(|window| window.end.to_string()),
            time_zone: schedule.zone.as_ref().map(|zone| zone.name().to_owned()),
            days_of_week: schedule
                .days
                .map(|days| days.iter().map(|day| day.as_str().to_owned()).collect()),
        }
    }
}

impl RuleDraft {
    /// The rule, or everything that is wrong with it, in the order of its members.
    pub fn check(self) -> Result<Rule, Vec<FieldProblem>> {
        let mut check = Check::default();
        let rule = Rule {
            name: check.name(self.name),
            effect: self.effect,
            priority: check.priority(self.priority),
            agent_id: self.agent_id.and_then(|text| check.agent(&text)),
            principal_id: check.text("principalId", self.principal_id, MAX_PRINCIPAL),
            scopes: self.scopes.and_then(|items| check.scopes(&items)),
            audience: check.text("audience", self.audience, MAX_AUDIENCE),
            schedule: Schedule {
                window: check.window(self.time_of_day_start, self.time_of_day_end),
                zone: self.time_zone.and_then(|name| check.zone(&name)),
                days: self.days_of_week.and_then(|names| check.days(&names)),
            },
        };
        if check.0.is_empty() { Ok(rule) } else { Err(check.0) }
    }
}

/// Gathers problems.
#[derive(Default)]
struct Check(Vec<FieldProblem>);

impl Check {
    fn refuse(&mut self, field: &'static str, problem: impl Into<String>) {
        let problem = problem.into();
        self.0.push(FieldProblem { field, problem });
    }

    fn name(&mut self, name: String) -> String {
        let trimmed = name.trim();
        if trimmed.is_empty() || name.chars().count() > MAX_NAME {
            self.refuse("name", format!("must be 1 to {MAX_NAME} characters and not blank"));
        }
        trimmed.to_owned()
    }

    fn priority(&mut self, priority: i64) -> i32 {
        i32::try_from(priority).unwrap_or_else(|_| {
            self.refuse("priority", format!("must be from {} to {}", i32::MIN, i32::MAX));
            0
        })
    }

    fn agent(&mut self, text: &str) -> Option<AgentId> {
        let id = AgentId::parse(text);
        if id.is_none() {
            self.refuse(
                "agentId",
                "must be an agent's id: a policy for anything else would never match",
            );
        }
        id
    }

    fn text(&mut self, field: &'static str, text: Option<String>, max: usize) -> Option<String> {
        let text = text?;
        if text.is_empty() || text.chars().count() > max {
            self.refuse(field, format!("must be 1 to {max} characters"));
        }
        Some(text)
    }

    fn scopes(&mut self, items: &[String]) -> Option<ScopePatterns> {
        ScopePatterns::parse(items)
            .map_err(|error| self.refuse("scopes", error.to_string()))
            .ok()
    }

    fn window(&mut self, start: Option<String>, end: Option<String>) -> Option<Window> {
        let mut time = |field, text: Option<String>| {
            let text = text?;
            let time = TimeOfDay::parse(&text);
            if time.is_none() {
                self.refuse(field, "must be a time from 00:00 to 23:59, as HH:MM");
            }
            Some(time)
        };
        let (start, end) = (time("timeOfDayStart", start), time("timeOfDayEnd", end));
        match (start, end) {
            (None, None) => None,
            (Some(_), None) => {
                self.refuse("timeOfDayEnd", "is required with `timeOfDayStart`");
                None
            }
            (None, Some(_)) => {
                self.refuse("timeOfDayStart", "is required with `timeOfDayEnd`");
                None
            }
            (Some(start), Some(end)) => Some(Window {
                start: start?,
                end: end?,
            }),
        }
    }

    fn zone(&mut self, name: &str) -> Option<Zone> {
        let zone = Zone::parse(name);
        if zone.is_none() {
            self.refuse(
                "timeZone",
                "must be a name of the IANA time zone database, such as Europe/Berlin",
            );
        }
        zone
    }

    fn days(&mut self, names: &[String]) -> Option<Weekdays> {
        let days: Option<BTreeSet<Weekday>> = names.iter().map(|name| Weekday::parse(name)).collect();
        let days = days.filter(|days| days.len() == names.len()).and_then(Weekdays::of);
        if days.is_none() {
            self.refuse(
                "daysOfWeek",
                "must hold 1 to 7 different days: mon, tue, wed, thu, fri, sat, sun",
            );
        }
        days
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const AGENT: &str = "ag_01ARZ3NDEKTSV4RRFFQ69G5FAV";

    fn draft() -> RuleDraft {
        RuleDraft {
            name: "Nights".into(),
            effect: Effect::Deny,
            priority: 7,
            agent_id: Some(AGENT.into()),
            principal_id: Some("user-1".into()),
            scopes: Some(vec!["calendar:*".into(), "mail:read".into()]),
            audience: Some("https://api.example".into()),
            time_of_day_start: Some("22:00".into()),
            time_of_day_end: Some("06:00".into()),
            time_zone: Some("europe/berlin".into()),
            days_of_week: Some(vec!["sun".into(), "mon".into()]),
        }
    }

    fn fields(draft: RuleDraft) -> Vec<&'static str> {
        draft.check().unwrap_err().iter().map(|problem| problem.field).collect()
    }

    #[test]
    fn a_rule_says_what_its_draft_says() {
        let rule = draft().check().unwrap();
        let expected = RuleDraft {
            time_zone: Some("Europe/Berlin".into()),
            days_of_week: Some(vec!["mon".into(), "sun".into()]),
            ..draft()
        };
        assert_eq!(RuleDraft::from(&rule), expected);
        assert_eq!(expected.check().unwrap(), rule);
    }

    #[test]
    fn every_member_that_is_wrong_is_named() {
        let bad = RuleDraft {
            name: " ".into(),
            effect: Effect::Allow,
            priority: 1 << 31,
            agent_id: Some("agent-1".into()),
            principal_id: Some(String::new()),
            scopes: Some(vec![]),
            audience: Some("x".repeat(1_025)),
            time_of_day_start: Some("25:00".into()),
            time_of_day_end: Some("6:00".into()),
            time_zone: Some("Mars/Olympus".into()),
            days_of_week: Some(vec!["monday".into()]),
        };
        let expected = [
            "name",
            "priority",
            "agentId",
            "principalId",
            "scopes",
            "audience",
            "timeOfDayStart",
            "timeOfDayEnd",
            "timeZone",
            "daysOfWeek",
        ];
        assert_eq!(fields(bad), expected);
    }

    #[test]
    fn a_window_needs_both_ends() {
        let half = RuleDraft {
            time_of_day_end: None,
            ..draft()
        };
        assert_eq!(fields(half), ["timeOfDayEnd"]);
        let half = RuleDraft {
            time_of_day_start: None,
            ..draft()
        };
        assert_eq!(fields(half), ["timeOfDayStart"]);
    }

    #[test]
    fn days_are_different_and_at_least_one() {
        for days in [
            vec![],
            vec!["mon", "mon"],
            vec!["Mon"],
            vec!["mon", "tue", "wed", "thu", "fri", "sat", "sun", "mon"],
        ] {
            let names = days.iter().map(|&name| name.to_owned()).collect();
            let bad = RuleDraft {
                days_of_week: Some(names),
                ..draft()
            };
            assert_eq!(fields(bad), ["daysOfWeek"], "{days:?}");
        }
    }

    #[test]
    fn what_is_in_order_may_still_be_a_mistake() {
        let bare = |effect| RuleDraft {
            effect,
            agent_id: None,
            principal_id: None,
            scopes: None,
            audience: None,
            time_of_day_start: None,
            time_of_day_end: None,
            time_zone: None,
            days_of_week: None,
            ..draft()
        };
        let warned = |draft: RuleDraft| -> Vec<&'static str> {
            let warnings = draft.check().unwrap().warnings();
            warnings.iter().map(|warning| warning.field).collect()
        };
        assert_eq!(warned(draft()), [""; 0]);
        assert_eq!(warned(bare(Effect::Allow)), ["effect"]);
        let everything = Some(vec!["read".into(), "*".into()]);
        assert_eq!(
            warned(RuleDraft {
                scopes: everything,
                ..bare(Effect::Deny)
            }),
            ["effect"]
        );
        assert_eq!(
            warned(RuleDraft {
                time_of_day_end: Some("22:00".into()),
                ..draft()
            }),
            ["timeOfDayEnd"]
        );
        let agent_id = Some(AGENT.into());
        let zone = RuleDraft {
            agent_id,
            time_zone: Some("UTC".into()),
            ..bare(Effect::Deny)
        };
        assert_eq!(warned(zone), ["timeZone"]);
    }

    #[test]
    fn changes_keep_clear_and_set() {
        let rule = draft().check().unwrap();
        assert_eq!(RuleChanges::default().apply(&rule).check(), Ok(rule.clone()));
        let changes = RuleChanges {
            effect: Some(Effect::Allow),
            scopes: Change::Clear,
            time_of_day_start: Change::Clear,
            time_of_day_end: Change::Clear,
            principal_id: Change::Set("user-2".into()),
            ..RuleChanges::default()
        };
        let changed = changes.apply(&rule).check().unwrap();
        let expected = Rule {
            effect: Effect::Allow,
            scopes: None,
            principal_id: Some("user-2".into()),
            schedule: Schedule {
                window: None,
                ..rule.schedule.clone()
            },
            ..rule.clone()
        };
        assert_eq!(changed, expected);
        let half = RuleChanges {
            time_of_day_start: Change::Clear,
            ..RuleChanges::default()
        };
        assert_eq!(fields(half.apply(&rule)), ["timeOfDayStart"]);
    }
}
