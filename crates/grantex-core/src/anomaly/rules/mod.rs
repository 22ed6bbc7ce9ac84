//! The rules: each a pure function from an agent's activity to findings, in a file of its own, with its formula.

mod budget_overspend;
mod concurrent_sessions;
mod delegation_depth;
mod high_failure_rate;
mod new_principal;
mod off_hours_activity;
mod rapid_revocation;
mod rate_spike;
mod refresh_reuse;
mod scope_escalation;
mod token_replay;
mod unknown_agent;
mod unusual_scope_access;
mod velocity_spike;

#[cfg(test)]
mod support;

use serde_json::Value;

use super::activity::{Activity, DEVELOPER, hour_of, minute_of};
use super::book::RuleBook;
use super::finding::{Finding, evidence};
use super::ring::{DAY, HOUR};
use super::{AnomalyKind, Severity};
use crate::clock::Timestamp;

/// A number that a rule goes by.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Threshold {
    /// Its name on the wire.
    pub name: &'static str,
    /// What it is without a wish of the developer.
    pub default: f64,
    /// The least that a developer may set.
    pub min: f64,
    /// The most that a developer may set.
    pub max: f64,
    /// What it means.
    pub help: &'static str,
}

/// Whether a rule runs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RuleState {
    /// It runs.
    Active,
    /// It has nothing to look at yet; the text says what is missing.
    Dormant(&'static str),
}

/// A rule of the server.
#[derive(Debug)]
pub struct Rule {
    /// Its short id, for example `AD-001`.
    pub id: &'static str,
    /// What it finds.
    pub kind: AnomalyKind,
    /// A title.
    pub name: &'static str,
    /// What it looks for, in one sentence.
    pub description: &'static str,
    /// The severity of most of its findings.
    pub severity: Severity,
    /// The formula, for people.
    pub formula: &'static str,
    /// Whether it is silent until the agent's baseline is warm, at least in part.
    pub is_learnt: bool,
    /// Whether it runs.
    pub state: RuleState,
    /// The numbers it goes by.
    pub thresholds: &'static [Threshold],
    /// The function.
    pub find: fn(&View<'_>) -> Vec<Finding>,
}

/// Every rule, in the order of the catalogue.
pub static RULES: &[Rule] = &[
    rate_spike::RULE,
    high_failure_rate::RULE,
    new_principal::RULE,
    off_hours_activity::RULE,
    velocity_spike::RULE,
    scope_escalation::RULE,
    unknown_agent::RULE,
    token_replay::RULE,
    refresh_reuse::RULE,
    concurrent_sessions::RULE,
    delegation_depth::RULE,
    rapid_revocation::RULE,
    budget_overspend::RULE,
    unusual_scope_access::RULE,
];

/// The rule of a kind; developers' own rules have none here.
pub fn rule_of(kind: AnomalyKind) -> Option<&'static Rule> {
    RULES.iter().find(|rule| rule.kind == kind)
}

/// The rule with this id or kind.
pub fn rule_named(text: &str) -> Option<&'static Rule> {
    RULES.iter().find(|rule| rule.id == text || rule.kind.as_str() == text)
}

/// What a rule sees.
#[derive(Debug)]
pub struct View<'a> {
    /// The agent's activity.
    pub activity: &'a Activity,
    /// When.
    pub now: Timestamp,
    rule: &'a Rule,
    book: &'a RuleBook,
}

impl<'a> View<'a> {
    /// The view of one rule.
    pub const fn new(activity: &'a Activity, now: Timestamp, rule: &'a Rule, book: &'a RuleBook) -> Self {
        Self {
            activity,
            now,
            rule,
            book,
        }
    }

    /// A threshold by its name: the developer's, or the default.
    fn threshold(&self, name: &str) -> f64 {
        self.book.threshold(self.rule, name)
    }

    /// A threshold that is a count.
    fn count(&self, name: &str) -> u32 {
        self.threshold(name).max(0.0).min(f64::from(u32::MAX)) as u32
    }

    fn minute(&self) -> u32 {
        minute_of(self.now)
    }

    fn hour(&self) -> u32 {
        hour_of(self.now)
    }

    /// A finding of this rule, in the window of `length` milliseconds that now belongs to; windows begin `offset` after the epoch.
    fn finding(&self, length: i64, offset: i64, description: String, numbers: Value) -> Finding {
        let start = (self.now.as_millis() - offset).div_euclid(length) * length + offset;
        Finding {
            kind: self.rule.kind,
            custom: None,
            severity: self.rule.severity,
            principal_id: None,
            description,
            evidence: evidence(numbers),
            level: 0,
            window_start: Timestamp::from_millis(start),
            window_end: Timestamp::from_millis(start + length),
        }
    }

    fn hourly(&self, description: String, numbers: Value) -> Finding {
        self.finding(HOUR, 0, description, numbers)
    }

    fn daily(&self, description: String, numbers: Value) -> Finding {
        self.finding(DAY, 0, description, numbers)
    }
}

/// What all rules that are switched on find in an activity, and what the acknowledgements and earlier findings leave of it.
///
/// `agent`: whose activity it is; [`DEVELOPER`] for that of the developer as a whole. What is muted is not found, and can be found when
/// the mute has ended.
pub fn evaluate(activity: &mut Activity, book: &RuleBook, agent: &str, now: Timestamp) -> Vec<Finding> {
    let is_developer = agent == DEVELOPER;
    let mut found: Vec<Finding> = RULES
        .iter()
        .filter(|rule| rule.state == RuleState::Active && book.is_enabled(rule))
        .filter(|rule| is_developer == (rule.kind == AnomalyKind::UnknownAgent))
        .flat_map(|rule| (rule.find)(&View::new(activity, now, rule, book)))
        .collect();
    found.retain(|finding| activity.admits(finding, now) && !book.is_muted(finding.kind, agent, now));
    for finding in &found {
        let is_learnt = rule_of(finding.kind).is_some_and(|rule| rule.is_learnt);
        activity.note_raised(finding, is_learnt && finding.severity >= Severity::High);
    }
    if !book.is_muted(AnomalyKind::Custom, agent, now) {
        found.extend(activity.custom.evaluate(&book.custom, now));
    }
    found
}
