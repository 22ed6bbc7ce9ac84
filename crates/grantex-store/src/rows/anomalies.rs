use std::collections::BTreeMap;

use diesel::prelude::*;
use grantex_core::anomaly::alert::{Anomaly, AnomalyStatus, Note};
use grantex_core::anomaly::book::RuleOverride;
use grantex_core::anomaly::custom::{Condition, CustomRule, Mute};
use grantex_core::anomaly::{AnomalyKind, Severity};
use grantex_core::clock::Timestamp;
use grantex_core::error::StoreError;
use grantex_core::id::{AgentId, AnomalyId, AnomalyMuteId, AnomalyRuleId, DeveloperId};
use serde_json::{Map, Value, json};

use super::{Place, instant};
use crate::schema::{anomalies, anomaly_mutes, anomaly_rule_overrides, anomaly_rules};

#[derive(Queryable, Selectable, Insertable)]
#[diesel(table_name = anomalies, treat_none_as_default_value = false)]
pub(crate) struct AnomalyRow {
    id: String,
    developer_id: String,
    kind: String,
    custom_rule: Option<String>,
    rule_id: String,
    severity: String,
    status: String,
    agent_id: Option<String>,
    principal_id: Option<String>,
    subject_key: String,
    description: String,
    evidence: String,
    level: i64,
    window_start: i64,
    window_end: i64,
    detected_at: i64,
    acknowledged_at: Option<i64>,
    resolved_at: Option<i64>,
    notes: String,
}

impl TryFrom<AnomalyRow> for Anomaly {
    type Error = StoreError;

    fn try_from(row: AnomalyRow) -> Result<Self, StoreError> {
        let place = Place {
            table: "anomalies",
            id: &row.id,
        };
        let custom_rule = row.custom_rule.as_deref().map(AnomalyRuleId::parse);
        Ok(Self {
            id: place.expect("id", AnomalyId::parse(&row.id))?,
            developer_id: place.expect("developer_id", DeveloperId::parse(&row.developer_id))?,
            kind: place.expect("kind", AnomalyKind::parse(&row.kind))?,
            custom_rule: custom_rule.map(|id| place.expect("custom_rule", id)).transpose()?,
            severity: place.expect("severity", Severity::parse(&row.severity))?,
            status: place.expect("status", AnomalyStatus::parse(&row.status))?,
            evidence: place.expect("evidence", serde_json::from_str(&row.evidence).ok())?,
            level: place.expect("level", u32::try_from(row.level).ok())?,
            notes: place.expect("notes", notes(&row.notes))?,
            rule_id: row.rule_id,
            agent_id: row.agent_id,
            principal_id: row.principal_id,
            description: row.description,
            window_start: Timestamp::from_millis(row.window_start),
            window_end: Timestamp::from_millis(row.window_end),
            detected_at: Timestamp::from_millis(row.detected_at),
            acknowledged_at: instant(row.acknowledged_at),
            resolved_at: instant(row.resolved_at),
        })
    }
}

impl From<&Anomaly> for AnomalyRow {
    fn from(anomaly: &Anomaly) -> Self {
        Self {
            id: anomaly.id.to_string(),
            developer_id: anomaly.developer_id.to_string(),
            kind: anomaly.kind.as_str().to_owned(),
            custom_rule: anomaly.custom_rule.as_ref().map(ToString::to_string),
            rule_id: anomaly.rule_id.clone(),
            severity: anomaly.severity.as_str().to_owned(),
            status: anomaly.status.as_str().to_owned(),
            agent_id: anomaly.agent_id.clone(),
            principal_id: anomaly.principal_id.clone(),
            subject_key: anomaly.subject_key(),
            description: anomaly.description.clone(),
            evidence: Value::Object(anomaly.evidence.clone()).to_string(),
            level: i64::from(anomaly.level),
            window_start: anomaly.window_start.as_millis(),
            window_end: anomaly.window_end.as_millis(),
            detected_at: anomaly.detected_at.as_millis(),
            acknowledged_at: anomaly.acknowledged_at.map(Timestamp::as_millis),
            resolved_at: anomaly.resolved_at.map(Timestamp::as_millis),
            notes: notes_text(&anomaly.notes),
        }
    }
}

/// `[[<milliseconds>,"<text>"], …]`.
fn notes_text(notes: &[Note]) -> String {
    let pairs: Vec<Value> = notes
        .iter()
        .map(|note| json!([note.at.as_millis(), note.text]))
        .collect();
    Value::Array(pairs).to_string()
}

fn notes(text: &str) -> Option<Vec<Note>> {
    let pairs: Vec<(i64, String)> = serde_json::from_str(text).ok()?;
    let note = |(at, text)| Note {
        at: Timestamp::from_millis(at),
        text,
    };
    Some(pairs.into_iter().map(note).collect())
}

/// What people change about an anomaly.
#[derive(AsChangeset)]
#[diesel(table_name = anomalies, treat_none_as_null = true)]
pub(crate) struct AnomalyChange {
    status: String,
    acknowledged_at: Option<i64>,
    resolved_at: Option<i64>,
    notes: String,
}

impl From<&Anomaly> for AnomalyChange {
    fn from(anomaly: &Anomaly) -> Self {
        let row = AnomalyRow::from(anomaly);
        Self {
            status: row.status,
            acknowledged_at: row.acknowledged_at,
            resolved_at: row.resolved_at,
            notes: row.notes,
        }
    }
}

#[derive(Queryable, Selectable, Insertable)]
#[diesel(table_name = anomaly_rule_overrides, treat_none_as_default_value = false)]
pub(crate) struct OverrideRow {
    developer_id: String,
    kind: String,
    pub is_enabled: bool,
    pub thresholds: String,
}

impl OverrideRow {
    pub fn new(developer: &DeveloperId, change: &RuleOverride) -> Self {
        Self {
            developer_id: developer.to_string(),
            kind: change.kind.as_str().to_owned(),
            is_enabled: change.is_enabled,
            thresholds: json!(change.thresholds).to_string(),
        }
    }
}

impl TryFrom<OverrideRow> for RuleOverride {
    type Error = StoreError;

    fn try_from(row: OverrideRow) -> Result<Self, StoreError> {
        let place = Place {
            table: "anomaly_rule_overrides",
            id: &row.developer_id,
        };
        let thresholds: Option<BTreeMap<String, f64>> = serde_json::from_str(&row.thresholds).ok();
        Ok(Self {
            kind: place.expect("kind", AnomalyKind::parse(&row.kind))?,
            is_enabled: row.is_enabled,
            thresholds: place.expect("thresholds", thresholds)?,
        })
    }
}

#[derive(Queryable, Selectable, Insertable)]
#[diesel(table_name = anomaly_rules, treat_none_as_default_value = false)]
pub(crate) struct CustomRuleRow {
    id: String,
    developer_id: String,
    rule_id: String,
    name: String,
    description: Option<String>,
    severity: String,
    condition_text: String,
    is_enabled: bool,
    created_at: i64,
}

impl CustomRuleRow {
    pub fn new(developer: &DeveloperId, rule: &CustomRule) -> Self {
        Self {
            id: rule.id.to_string(),
            developer_id: developer.to_string(),
            rule_id: rule.rule_id.clone(),
            name: rule.name.clone(),
            description: rule.description.clone(),
            severity: rule.severity.as_str().to_owned(),
            condition_text: rule.condition_text.clone(),
            is_enabled: rule.is_enabled,
            created_at: rule.created_at.as_millis(),
        }
    }
}

impl TryFrom<CustomRuleRow> for CustomRule {
    type Error = StoreError;

    fn try_from(row: CustomRuleRow) -> Result<Self, StoreError> {
        let place = Place {
            table: "anomaly_rules",
            id: &row.id,
        };
        let members: Option<Map<String, Value>> = serde_json::from_str(&row.condition_text).ok();
        let condition = members.and_then(|members| Condition::parse(&members).ok());
        Ok(Self {
            id: place.expect("id", AnomalyRuleId::parse(&row.id))?,
            severity: place.expect("severity", Severity::parse(&row.severity))?,
            condition: place.expect("condition_text", condition)?,
            rule_id: row.rule_id,
            name: row.name,
            description: row.description,
            condition_text: row.condition_text,
            is_enabled: row.is_enabled,
            created_at: Timestamp::from_millis(row.created_at),
        })
    }
}

#[derive(Queryable, Selectable, Insertable)]
#[diesel(table_name = anomaly_mutes, treat_none_as_default_value = false)]
pub(crate) struct MuteRow {
    id: String,
    developer_id: String,
    kind: Option<String>,
    agent_id: Option<String>,
    starts_at: i64,
    ends_at: i64,
    reason: String,
    created_at: i64,
}

impl MuteRow {
    pub fn new(developer: &DeveloperId, mute: &Mute) -> Self {
        Self {
            id: mute.id.to_string(),
            developer_id: developer.to_string(),
            kind: mute.kind.map(|kind| kind.as_str().to_owned()),
            agent_id: mute.agent_id.as_ref().map(ToString::to_string),
            starts_at: mute.starts_at.as_millis(),
            ends_at: mute.ends_at.as_millis(),
            reason: mute.reason.clone(),
            created_at: mute.created_at.as_millis(),
        }
    }
}

impl TryFrom<MuteRow> for Mute {
    type Error = StoreError;

    fn try_from(row: MuteRow) -> Result<Self, StoreError> {
        let place = Place {
            table: "anomaly_mutes",
            id: &row.id,
        };
        let (kind, agent) = (
            row.kind.as_deref().map(AnomalyKind::parse),
            row.agent_id.as_deref().map(AgentId::parse),
        );
        Ok(Self {
            id: place.expect("id", AnomalyMuteId::parse(&row.id))?,
            kind: kind.map(|kind| place.expect("kind", kind)).transpose()?,
            agent_id: agent.map(|agent| place.expect("agent_id", agent)).transpose()?,
            starts_at: Timestamp::from_millis(row.starts_at),
            ends_at: Timestamp::from_millis(row.ends_at),
            reason: row.reason,
            created_at: Timestamp::from_millis(row.created_at),
        })
    }
}
