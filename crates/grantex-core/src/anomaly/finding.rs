//! What a rule found.

use serde_json::{Map, Value};

use super::{AnomalyKind, Severity};
use crate::clock::Timestamp;
use crate::id::AnomalyRuleId;

/// The numbers behind a finding, as a JSON object.
pub type Evidence = Map<String, Value>;

/// What a rule found in the activity of one agent.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Finding {
    /// The rule.
    pub kind: AnomalyKind,
    /// The developer's own rule, for [`AnomalyKind::Custom`].
    pub custom: Option<AnomalyRuleId>,
    /// How bad it is.
    pub severity: Severity,
    /// For whom the agent acted, where the finding is about one principal.
    pub principal_id: Option<String>,
    /// One sentence for people.
    pub description: String,
    /// Numbers, window and baseline.
    pub evidence: Evidence,
    /// What was measured, in the unit of the rule's threshold; an acknowledgement raises the bar to it.
    pub level: u32,
    /// The window that it belongs to: of one window it is raised once.
    pub window_start: Timestamp,
    /// When that window ends.
    pub window_end: Timestamp,
}

/// The object of a `json!({…})`.
pub fn evidence(value: Value) -> Evidence {
    match value {
        Value::Object(members) => members,
        _ => Map::new(),
    }
}
