//! Rules that developers make: more than so many signals of some sort within a window.

use serde_json::{Map, Value, json};

use super::codec::{Malformed, Reader, Writer};
use super::finding::{Finding, evidence};
use super::fingerprint::fingerprint;
use super::ring::{MINUTE, Ring};
use super::signal::{Signal, SignalKind, Subject};
use super::{AnomalyKind, Severity};
use crate::clock::{Lifetime, Timestamp};
use crate::id::{AgentId, AnomalyRuleId};

/// Rules that one developer may have: each is counted with every signal.
pub const MAX_RULES: usize = 20;
/// Agents, and scopes, that one condition may name.
pub const MAX_NAMES: usize = 100;
/// The parts that a window is counted in; a window is exact to one of them.
const SLOTS: usize = 24;
/// The largest limit.
const MAX_LIMIT: u64 = 1_000_000_000;

/// Why a condition was refused. The text names the member.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ConditionError {
    /// A member that no condition has: it would never be looked at.
    #[error("condition.{0} is not a member that rules can be made of")]
    Unknown(String),
    /// A member of the wrong form.
    #[error("condition.{member} must be {expected}")]
    Malformed {
        /// Which.
        member: &'static str,
        /// What it has to be.
        expected: &'static str,
    },
    /// Nothing to compare with.
    #[error("condition needs either threshold or ratePerMinute")]
    Limit,
}

/// A part of every day, in minutes since midnight, UTC. It may go over midnight.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct DailyHours {
    /// The first minute.
    pub start: u32,
    /// The first minute after.
    pub end: u32,
}

impl DailyHours {
    /// Whether an instant falls into it.
    pub fn admits(self, at: Timestamp) -> bool {
        let minute = u32::try_from(at.as_millis().div_euclid(MINUTE).rem_euclid(24 * 60)).unwrap_or(0);
        if self.start <= self.end {
            (self.start..self.end).contains(&minute)
        } else {
            minute >= self.start || minute < self.end
        }
    }
}

/// What a rule looks for. Members combine with "and"; an absent one admits everything.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Condition {
    /// Of these agents.
    pub agent_ids: Vec<AgentId>,
    /// With one of these scopes; a `*` at the end stands for any rest.
    pub scopes: Vec<String>,
    /// Of these kinds.
    pub signals: Vec<SignalKind>,
    /// Only what failed or was refused.
    pub failures_only: bool,
    /// Only at these hours.
    pub active_hours: Option<DailyHours>,
    /// The window, a minute to a day.
    pub window: Lifetime,
    /// More than so many are a finding.
    pub limit: u32,
}

impl Condition {
    /// Reads the wire form. Members: `agentIds`, `scopes`, `signals`, `failuresOnly`, `activeHours` (`{"start":"22:00",
    /// "end":"06:00"}`, UTC), `timeWindow` (`1m` to `24h`), and one of `threshold` (signals in the window) and `ratePerMinute`
    /// (signals a minute, on average over the window). A member that is not known is refused, because it would never be evaluated.
    pub fn parse(members: &Map<String, Value>) -> Result<Self, ConditionError> {
        const KNOWN: [&str; 8] = [
            "agentIds",
            "scopes",
            "signals",
            "failuresOnly",
            "activeHours",
            "timeWindow",
            "threshold",
            "ratePerMinute",
        ];
        if let Some(unknown) = members.keys().find(|name| !KNOWN.contains(&name.as_str())) {
            return Err(ConditionError::Unknown(unknown.chars().take(64).collect()));
        }
        let window = window(members.get("timeWindow"))?;
        Ok(Self {
            agent_ids: list(members, "agentIds", "a list of at most 100 agent ids", AgentId::parse)?,
            scopes: list(members, "scopes", "a list of at most 100 scopes", scope)?,
            signals: list(members, "signals", "a list of kinds of signals", SignalKind::parse)?,
            failures_only: match members.get("failuresOnly") {
                None => false,
                Some(Value::Bool(value)) => *value,
                Some(_) => return Err(malformed("failuresOnly", "true or false")),
            },
            active_hours: members.get("activeHours").map(hours).transpose()?,
            window,
            limit: limit(members, window)?,
        })
    }

    /// Whether a signal is one of those that are counted.
    pub fn admits(&self, signal: &Signal) -> bool {
        let is_agent =
            self.agent_ids.is_empty() || matches!(&signal.subject, Subject::Agent(id) if self.agent_ids.contains(id));
        // The exchange or delegation behind a grant is a signal of its own, and carries the scopes as well.
        let is_kind = if self.signals.is_empty() {
            signal.kind != SignalKind::Grant || !self.scopes.is_empty()
        } else {
            self.signals.contains(&signal.kind)
        };
        is_agent
            && is_kind
            && (self.scopes.is_empty() || self.scopes.iter().any(|wanted| covers(wanted, &signal.scopes)))
            && (!self.failures_only || signal.is_failure)
            && self.active_hours.is_none_or(|hours| hours.admits(signal.at))
    }

    fn slot_length(&self) -> i64 {
        (self.window.as_millis() / SLOTS as i64).max(1)
    }

    fn slot_of(&self, at: Timestamp) -> u32 {
        u32::try_from(at.as_millis().div_euclid(self.slot_length())).unwrap_or(0)
    }
}

fn covers(wanted: &str, scopes: &[String]) -> bool {
    match wanted.strip_suffix('*') {
        Some(start) => scopes.iter().any(|scope| scope.starts_with(start)),
        None => scopes.iter().any(|scope| scope == wanted),
    }
}

const fn malformed(member: &'static str, expected: &'static str) -> ConditionError {
    ConditionError::Malformed { member, expected }
}

fn list<T>(
    members: &Map<String, Value>,
    member: &'static str,
    expected: &'static str,
    parse: impl Fn(&str) -> Option<T>,
) -> Result<Vec<T>, ConditionError> {
    let Some(value) = members.get(member) else {
        return Ok(Vec::new());
    };
    let items = value
        .as_array()
        .filter(|items| !items.is_empty() && items.len() <= MAX_NAMES);
    items
        .and_then(|items| items.iter().map(|item| item.as_str().and_then(&parse)).collect())
        .ok_or(malformed(member, expected))
}

fn scope(text: &str) -> Option<String> {
    let is_well_formed = !text.is_empty()
        && text.chars().count() <= crate::scope::MAX_SCOPE_LENGTH
        && !text.chars().any(|c| c.is_whitespace() || c.is_control());
    is_well_formed.then(|| text.to_owned())
}

fn window(value: Option<&Value>) -> Result<Lifetime, ConditionError> {
    let expected = "a span from 1m to 24h";
    value
        .and_then(Value::as_str)
        .and_then(Lifetime::parse)
        .filter(|window| (Lifetime::minutes(1)..=Lifetime::hours(24)).contains(window))
        .ok_or(malformed("timeWindow", expected))
}

fn limit(members: &Map<String, Value>, window: Lifetime) -> Result<u32, ConditionError> {
    match (members.get("threshold"), members.get("ratePerMinute")) {
        (Some(threshold), None) => threshold
            .as_u64()
            .filter(|threshold| *threshold <= MAX_LIMIT)
            .and_then(|threshold| u32::try_from(threshold).ok())
            .ok_or(malformed("threshold", "a whole number from 0 to 1000000000")),
        (None, Some(rate)) => rate
            .as_f64()
            .filter(|rate| *rate > 0.0 && *rate <= 1_000_000.0)
            .map(|rate| {
                (rate * window.as_millis() as f64 / MINUTE as f64)
                    .floor()
                    .min(MAX_LIMIT as f64) as u32
            })
            .ok_or(malformed("ratePerMinute", "a number over 0, at most 1000000")),
        _ => Err(ConditionError::Limit),
    }
}

fn hours(value: &Value) -> Result<DailyHours, ConditionError> {
    let expected = r#"{"start":"HH:MM","end":"HH:MM"} with two different times"#;
    let members = value.as_object().filter(|members| members.len() == 2);
    let time = |name: &str| members?.get(name)?.as_str().and_then(time_of_day);
    match (time("start"), time("end")) {
        (Some(start), Some(end)) if start != end => Ok(DailyHours { start, end }),
        _ => Err(malformed("activeHours", expected)),
    }
}

fn time_of_day(text: &str) -> Option<u32> {
    let (hour, minute) = text.split_once(':')?;
    let number = |digits: &str, most: u32| {
        let is_two_digits = digits.len() == 2 && digits.bytes().all(|byte| byte.is_ascii_digit());
        digits
            .parse()
            .ok()
            .filter(|value: &u32| is_two_digits && *value <= most)
    };
    Some(number(hour, 23)? * 60 + number(minute, 59)?)
}

/// A rule that a developer made.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CustomRule {
    /// Identifier.
    pub id: AnomalyRuleId,
    /// The developer's own name for it, unique among its rules.
    pub rule_id: String,
    /// A title.
    pub name: String,
    /// What it is for.
    pub description: Option<String>,
    /// The severity of its findings.
    pub severity: Severity,
    /// What it looks for.
    pub condition: Condition,
    /// The condition as it was given: a JSON object.
    pub condition_text: String,
    /// Whether it is evaluated.
    pub is_enabled: bool,
    /// When it was made.
    pub created_at: Timestamp,
}

/// The counts of one rule for one agent.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Count {
    rule: u64,
    slots: Ring<SLOTS>,
    raised: i64,
}

/// The counts of a developer's rules for one agent.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct CustomCounts(Vec<Count>);

impl CustomCounts {
    /// Counts a signal for each rule that admits it.
    pub fn count(&mut self, rules: &[CustomRule], signal: &Signal) {
        for rule in rules
            .iter()
            .filter(|rule| rule.is_enabled && rule.condition.admits(signal))
        {
            let slot = rule.condition.slot_of(signal.at);
            if let Some(count) = self.of(rule) {
                count.slots.add(slot, signal.weight);
            }
        }
    }

    fn of(&mut self, rule: &CustomRule) -> Option<&mut Count> {
        let print = fingerprint(rule.id.as_str());
        let place = self.0.iter().position(|count| count.rule == print);
        if place.is_none() && self.0.len() < MAX_RULES {
            self.0.push(Count {
                rule: print,
                slots: Ring::default(),
                raised: -1,
            });
        }
        self.0.iter_mut().find(|count| count.rule == print)
    }

    /// Forgets the counts of rules that are no more.
    pub fn keep_only(&mut self, rules: &[CustomRule]) {
        let kept: Vec<u64> = rules.iter().map(|rule| fingerprint(rule.id.as_str())).collect();
        self.0.retain(|count| kept.contains(&count.rule));
    }

    /// What the rules find now. A finding is told once a window.
    pub fn evaluate(&mut self, rules: &[CustomRule], now: Timestamp) -> Vec<Finding> {
        let mut findings = Vec::new();
        for rule in rules.iter().filter(|rule| rule.is_enabled) {
            let print = fingerprint(rule.id.as_str());
            let Some(count) = self.0.iter_mut().find(|count| count.rule == print) else {
                continue;
            };
            let condition = &rule.condition;
            let seen = count.slots.sum(condition.slot_of(now), SLOTS as u32);
            let length = condition.window.as_millis();
            let start = now.as_millis().div_euclid(length) * length;
            if seen <= condition.limit || count.raised == start {
                continue;
            }
            count.raised = start;
            findings.push(Finding {
                kind: AnomalyKind::Custom,
                custom: Some(rule.id.clone()),
                severity: rule.severity,
                principal_id: None,
                description: format!("{}: {seen} within {}", rule.name, condition.window),
                evidence: evidence(json!({
                    "count": seen, "threshold": condition.limit, "window": condition.window.to_string(),
                    "ruleId": rule.rule_id,
                })),
                level: seen,
                window_start: Timestamp::from_millis(start),
                window_end: Timestamp::from_millis(start.saturating_add(length)),
            });
        }
        findings
    }

    /// Writes them.
    pub fn write(&self, out: &mut Writer) {
        out.number(self.0.len() as u64);
        for count in &self.0 {
            out.wide(count.rule);
            out.number(u64::try_from(count.raised + 1).unwrap_or(0));
            count.slots.write(out);
        }
    }

    /// Reads what [`CustomCounts::write`] wrote.
    pub fn read(from: &mut Reader<'_>) -> Result<Self, Malformed> {
        let mut counts = Vec::new();
        for _ in 0..from.length(MAX_RULES)? {
            counts.push(Count {
                rule: from.wide()?,
                raised: i64::try_from(from.number()?).map_err(|_| Malformed)? - 1,
                slots: Ring::read(from)?,
            });
        }
        Ok(Self(counts))
    }
}

/// A time in which findings are not raised.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Mute {
    /// Identifier.
    pub id: crate::id::AnomalyMuteId,
    /// Only of this kind.
    pub kind: Option<AnomalyKind>,
    /// Only of this agent.
    pub agent_id: Option<AgentId>,
    /// From when.
    pub starts_at: Timestamp,
    /// Until when.
    pub ends_at: Timestamp,
    /// Why.
    pub reason: String,
    /// When it was made.
    pub created_at: Timestamp,
}

impl Mute {
    /// Whether a finding about an agent is not to be raised now.
    pub fn silences(&self, kind: AnomalyKind, agent: &str, now: Timestamp) -> bool {
        self.starts_at <= now
            && now < self.ends_at
            && self.kind.is_none_or(|muted| muted == kind)
            && self.agent_id.as_ref().is_none_or(|muted| muted.as_str() == agent)
    }
}
