use diesel::prelude::*;
use grantex_core::anomaly::Severity;
use grantex_core::anomaly::response::{PendingResponse, ResponseAction, ResponseMode, ResponsePolicy, ResponseRule};
use grantex_core::clock::Timestamp;
use grantex_core::error::StoreError;
use grantex_core::id::{AgentId, AnomalyId, DeveloperId, GrantId};
use grantex_core::page::Cursor;
use serde_json::{Value, json};

use super::Place;
use crate::schema::{anomaly_response_policies, anomaly_responses};

#[derive(Queryable, Selectable, Insertable)]
#[diesel(table_name = anomaly_response_policies)]
pub(crate) struct ResponsePolicyRow {
    developer_id: String,
    pub mode: String,
    pub policies: String,
}

impl ResponsePolicyRow {
    pub fn new(developer: &DeveloperId, policy: &ResponsePolicy) -> Self {
        let policies: Vec<Value> = policy.rules.iter().map(rule_value).collect();
        Self {
            developer_id: developer.to_string(),
            mode: policy.mode.as_str().to_owned(),
            policies: Value::Array(policies).to_string(),
        }
    }
}

impl TryFrom<ResponsePolicyRow> for ResponsePolicy {
    type Error = StoreError;

    fn try_from(row: ResponsePolicyRow) -> Result<Self, StoreError> {
        let place = Place {
            table: "anomaly_response_policies",
            id: &row.developer_id,
        };
        Ok(Self {
            mode: place.expect("mode", ResponseMode::parse(&row.mode))?,
            rules: place.expect("policies", rules(&row.policies))?,
        })
    }
}

/// `[["<rule>", …], ["<severity>", …], "<action>" or null]`.
fn rule_value(rule: &ResponseRule) -> Value {
    let severities: Vec<&str> = rule.severities.iter().map(|severity| severity.as_str()).collect();
    json!([rule.rules, severities, rule.action.map(ResponseAction::as_str)])
}

fn rules(text: &str) -> Option<Vec<ResponseRule>> {
    let stored: Vec<(Vec<String>, Vec<String>, Option<String>)> = serde_json::from_str(text).ok()?;
    let rule = |(rules, severities, action): (Vec<String>, Vec<String>, Option<String>)| {
        Some(ResponseRule {
            rules,
            severities: severities
                .iter()
                .map(|text| Severity::parse(text))
                .collect::<Option<_>>()?,
            action: match action {
                None => None,
                Some(text) => Some(ResponseAction::parse(&text)?),
            },
        })
    };
    stored.into_iter().map(rule).collect()
}

#[derive(Queryable, Selectable, Insertable)]
#[diesel(table_name = anomaly_responses, treat_none_as_default_value = false)]
pub(crate) struct ResponseRow {
    pub anomaly_id: String,
    developer_id: String,
    agent_id: String,
    action: String,
    pub after_at: Option<i64>,
    pub after_id: Option<String>,
    pub revoked: i64,
    pub grant_ids: String,
    created_at: i64,
}

impl From<&PendingResponse> for ResponseRow {
    fn from(response: &PendingResponse) -> Self {
        Self {
            anomaly_id: response.anomaly_id.to_string(),
            developer_id: response.developer_id.to_string(),
            agent_id: response.agent_id.to_string(),
            action: response.action.as_str().to_owned(),
            after_at: response.after.as_ref().map(|cursor| cursor.at),
            after_id: response.after.as_ref().map(|cursor| cursor.id.clone()),
            revoked: i64::try_from(response.revoked).unwrap_or(i64::MAX),
            grant_ids: json!(response.grants).to_string(),
            created_at: response.created_at.as_millis(),
        }
    }
}

impl TryFrom<ResponseRow> for PendingResponse {
    type Error = StoreError;

    fn try_from(row: ResponseRow) -> Result<Self, StoreError> {
        let place = Place {
            table: "anomaly_responses",
            id: &row.anomaly_id,
        };
        Ok(Self {
            anomaly_id: place.expect("anomaly_id", AnomalyId::parse(&row.anomaly_id))?,
            developer_id: place.expect("developer_id", DeveloperId::parse(&row.developer_id))?,
            agent_id: place.expect("agent_id", AgentId::parse(&row.agent_id))?,
            action: place.expect("action", ResponseAction::parse(&row.action))?,
            revoked: place.expect("revoked", u64::try_from(row.revoked).ok())?,
            grants: place.expect("grant_ids", grants(&row.grant_ids))?,
            after: row.after_at.zip(row.after_id).map(|(at, id)| Cursor { at, id }),
            created_at: Timestamp::from_millis(row.created_at),
        })
    }
}

fn grants(text: &str) -> Option<Vec<GrantId>> {
    let ids: Vec<String> = serde_json::from_str(text).ok()?;
    ids.iter().map(|id| GrantId::parse(id)).collect()
}
