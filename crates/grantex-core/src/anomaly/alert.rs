//! A finding that was raised, and what people made of it: one state machine behind both faces of the API.

use super::{AnomalyKind, Evidence, Finding, Severity};
use crate::clock::Timestamp;
use crate::closed;
use crate::id::{AnomalyId, AnomalyRuleId, DeveloperId};
use crate::page::Cursor;

/// Notes that are kept of one anomaly; the newest displaces the oldest.
pub const MAX_NOTES: usize = 20;
/// The longest note, in characters.
pub const MAX_NOTE_LENGTH: usize = 2_000;

closed! {
    /// How an anomaly stands.
    pub enum AnomalyStatus {
        /// Nobody has said anything of it.
        Open = "open",
        /// Somebody knows of it.
        Acknowledged = "acknowledged",
        /// It is dealt with.
        Resolved = "resolved",
    }
}

/// What somebody wrote about an anomaly.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize)]
pub struct Note {
    /// When.
    pub at: Timestamp,
    /// What.
    pub text: String,
}

/// A finding that was raised.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Anomaly {
    /// Identifier; carries `detected_at`.
    pub id: AnomalyId,
    /// The tenant.
    pub developer_id: DeveloperId,
    /// The rule.
    pub kind: AnomalyKind,
    /// The developer's own rule, for [`AnomalyKind::Custom`].
    pub custom_rule: Option<AnomalyRuleId>,
    /// The rule's id on the wire: `AD-…`, or the one the developer gave.
    pub rule_id: String,
    /// How bad it is.
    pub severity: Severity,
    /// How it stands.
    pub status: AnomalyStatus,
    /// The agent; `None` when it is about the developer's agents together.
    pub agent_id: Option<String>,
    /// The principal, where it is about one.
    pub principal_id: Option<String>,
    /// One sentence for people.
    pub description: String,
    /// Numbers, window and baseline.
    pub evidence: Evidence,
    /// What was measured, in the unit of the rule's threshold.
    pub level: u32,
    /// The window that it belongs to.
    pub window_start: Timestamp,
    /// When that window ends.
    pub window_end: Timestamp,
    /// When it was raised.
    pub detected_at: Timestamp,
    /// When it was first acknowledged, or resolved without that.
    pub acknowledged_at: Option<Timestamp>,
    /// When it was first resolved.
    pub resolved_at: Option<Timestamp>,
    /// Oldest first.
    pub notes: Vec<Note>,
}

impl Anomaly {
    /// A finding as it is raised.
    pub fn raise(
        finding: Finding,
        id: AnomalyId,
        developer_id: DeveloperId,
        agent: &str,
        rule_id: String,
        now: Timestamp,
    ) -> Self {
        Self {
            id,
            developer_id,
            kind: finding.kind,
            custom_rule: finding.custom,
            rule_id,
            severity: finding.severity,
            status: AnomalyStatus::Open,
            agent_id: (!agent.is_empty()).then(|| agent.to_owned()),
            principal_id: finding.principal_id,
            description: finding.description,
            evidence: finding.evidence,
            level: finding.level,
            window_start: finding.window_start,
            window_end: finding.window_end,
            detected_at: now,
            acknowledged_at: None,
            resolved_at: None,
            notes: Vec::new(),
        }
    }

    /// Somebody knows of it. Whoever says so again changes nothing but the notes; a resolved anomaly stays resolved.
    #[must_use]
    pub fn acknowledge(mut self, note: Option<String>, now: Timestamp) -> Self {
        self.acknowledged_at.get_or_insert(now);
        if self.status == AnomalyStatus::Open {
            self.status = AnomalyStatus::Acknowledged;
        }
        self.noted(note, now)
    }

    /// It is dealt with, and known of thereby.
    #[must_use]
    pub fn resolve(mut self, note: Option<String>, now: Timestamp) -> Self {
        self.acknowledged_at.get_or_insert(now);
        self.resolved_at.get_or_insert(now);
        self.status = AnomalyStatus::Resolved;
        self.noted(note, now)
    }

    fn noted(mut self, note: Option<String>, now: Timestamp) -> Self {
        if let Some(text) = note {
            if self.notes.len() == MAX_NOTES {
                self.notes.remove(0);
            }
            self.notes.push(Note { at: now, text });
        }
        self
    }

    /// What makes a finding one and the same: rule, agent and principal. Together with developer and window it is unique. What becomes
    /// critical is another finding than what was less before.
    pub fn subject_key(&self) -> String {
        let rule = self.custom_rule.as_ref().map_or("", AnomalyRuleId::as_str);
        let agent = self.agent_id.as_deref().unwrap_or_default();
        let principal = self.principal_id.as_deref().unwrap_or_default();
        let is_grave = self.severity == Severity::Critical && self.custom_rule.is_none();
        let grave = if is_grave { "!" } else { "" };
        // The principal comes last, because it alone may contain anything.
        format!("{}{grave} {rule} {agent} {principal}", self.kind.as_str())
    }

    /// The cursor that names this anomaly in a listing.
    pub fn cursor(&self) -> Cursor {
        Cursor {
            at: self.detected_at.as_millis(),
            id: self.id.to_string(),
        }
    }
}

/// Which anomalies are wanted; members combine with "and".
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct AnomalyFilter {
    /// With this status.
    pub status: Option<AnomalyStatus>,
    /// Of this severity.
    pub severity: Option<Severity>,
    /// About this agent.
    pub agent_id: Option<String>,
    /// Found by this rule.
    pub kind: Option<AnomalyKind>,
    /// Raised at or after.
    pub since: Option<Timestamp>,
    /// Whose window ends after.
    pub current_at: Option<Timestamp>,
    /// Not resolved.
    pub unresolved: bool,
}

/// How many anomalies there are of each severity and status.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct AnomalyCount {
    /// Severity.
    pub severity: Severity,
    /// Status.
    pub status: AnomalyStatus,
    /// How many.
    pub count: u64,
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::anomaly::finding::evidence;
    use serde_json::json;

    const T0: Timestamp = Timestamp::from_millis(1_000);
    const T1: Timestamp = Timestamp::from_millis(2_000);

    fn raised() -> Anomaly {
        let finding = Finding {
            kind: AnomalyKind::RateSpike,
            custom: None,
            severity: Severity::High,
            principal_id: None,
            description: "much".to_owned(),
            evidence: evidence(json!({"count": 51})),
            level: 51,
            window_start: T0,
            window_end: T1,
        };
        let id = AnomalyId::parse("anm_01ARZ3NDEKTSV4RRFFQ69G5FAV").unwrap();
        let developer = DeveloperId::parse("dev_01ARZ3NDEKTSV4RRFFQ69G5FAV").unwrap();
        Anomaly::raise(finding, id, developer, "ag_1", "AD-011".to_owned(), T0)
    }

    #[test]
    fn an_anomaly_is_open_then_known_then_resolved() {
        let open = raised();
        assert_eq!((open.status, open.acknowledged_at), (AnomalyStatus::Open, None));
        let known = open.acknowledge(Some("a deployment".to_owned()), T0);
        assert_eq!(
            (known.status, known.acknowledged_at),
            (AnomalyStatus::Acknowledged, Some(T0))
        );
        let resolved = known.resolve(None, T1);
        assert_eq!(
            (resolved.status, resolved.resolved_at),
            (AnomalyStatus::Resolved, Some(T1))
        );
        assert_eq!(resolved.acknowledged_at, Some(T0));
        assert_eq!(resolved.notes.len(), 1);
    }

    #[test]
    fn what_is_resolved_was_known_and_stays_resolved() {
        let resolved = raised().resolve(Some("gone".to_owned()), T0);
        assert_eq!(resolved.acknowledged_at, Some(T0));
        let again = resolved.acknowledge(Some("indeed".to_owned()), T1);
        assert_eq!(
            (again.status, again.acknowledged_at),
            (AnomalyStatus::Resolved, Some(T0))
        );
        let texts: Vec<&str> = again.notes.iter().map(|note| note.text.as_str()).collect();
        assert_eq!(texts, ["gone", "indeed"]);
    }

    #[test]
    fn notes_are_bounded() {
        let noted = (0..30).fold(raised(), |anomaly, number| {
            anomaly.acknowledge(Some(number.to_string()), T1)
        });
        assert_eq!(noted.notes.len(), MAX_NOTES);
        assert_eq!(noted.notes.last().map(|note| note.text.as_str()), Some("29"));
    }
}
