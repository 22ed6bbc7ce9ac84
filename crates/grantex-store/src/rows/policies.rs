use diesel::prelude::*;
use grantex_core::clock::Timestamp;
use grantex_core::error::StoreError;
use grantex_core::id::{BundleId, DeveloperId, PolicyId};
use grantex_core::policy::{Bundle, BundleFormat, Effect, Policy, RuleDraft};

use super::Place;
use crate::schema::{policies, policy_bundles};

#[derive(Queryable, Selectable, Insertable)]
#[diesel(table_name = policies, treat_none_as_default_value = false)]
pub(crate) struct PolicyRow {
    id: String,
    developer_id: String,
    name: String,
    effect: String,
    priority: i64,
    agent_id: Option<String>,
    principal_id: Option<String>,
    scopes: Option<String>,
    audience: Option<String>,
    time_of_day_start: Option<String>,
    time_of_day_end: Option<String>,
    time_zone: Option<String>,
    days_of_week: Option<String>,
    weight: i64,
    created_at: i64,
    updated_at: i64,
}

impl TryFrom<PolicyRow> for Policy {
    type Error = StoreError;

    fn try_from(row: PolicyRow) -> Result<Self, StoreError> {
        let place = Place {
            table: "policies",
            id: &row.id,
        };
        let draft = RuleDraft {
            name: row.name,
            effect: place.expect("effect", Effect::parse(&row.effect))?,
            priority: row.priority,
            agent_id: row.agent_id,
            principal_id: row.principal_id,
            scopes: row.scopes.as_deref().map(words),
            audience: row.audience,
            time_of_day_start: row.time_of_day_start,
            time_of_day_end: row.time_of_day_end,
            time_zone: row.time_zone,
            days_of_week: row.days_of_week.as_deref().map(words),
        };
        let rule = draft.check().or_else(|problems| {
            let column = problems.first().map_or("name", |problem| column(problem.field));
            place.expect(column, None)
        })?;
        Ok(Self {
            id: place.expect("id", PolicyId::parse(&row.id))?,
            developer_id: place.expect("developer_id", DeveloperId::parse(&row.developer_id))?,
            rule,
            created_at: Timestamp::from_millis(row.created_at),
            updated_at: Timestamp::from_millis(row.updated_at),
        })
    }
}

fn words(joined: &str) -> Vec<String> {
    joined.split(' ').map(str::to_owned).collect()
}

/// The column that holds a member of a rule.
fn column(member: &'static str) -> &'static str {
    match member {
        "agentId" => "agent_id",
        "principalId" => "principal_id",
        "timeOfDayStart" => "time_of_day_start",
        "timeOfDayEnd" => "time_of_day_end",
        "timeZone" => "time_zone",
        "daysOfWeek" => "days_of_week",
        same => same,
    }
}

impl From<&Policy> for PolicyRow {
    fn from(policy: &Policy) -> Self {
        let draft = RuleDraft::from(&policy.rule);
        Self {
            id: policy.id.as_str().to_owned(),
            developer_id: policy.developer_id.as_str().to_owned(),
            name: draft.name,
            effect: draft.effect.as_str().to_owned(),
            priority: draft.priority,
            agent_id: draft.agent_id,
            principal_id: draft.principal_id,
            scopes: draft.scopes.map(|scopes| scopes.join(" ")),
            audience: draft.audience,
            time_of_day_start: draft.time_of_day_start,
            time_of_day_end: draft.time_of_day_end,
            time_zone: draft.time_zone,
            days_of_week: draft.days_of_week.map(|days| days.join(" ")),
            weight: i64::try_from(policy.weight()).unwrap_or(i64::MAX),
            created_at: policy.created_at.as_millis(),
            updated_at: policy.updated_at.as_millis(),
        }
    }
}

/// What an update of a policy replaces: a condition that is no more is emptied.
#[derive(AsChangeset)]
#[diesel(table_name = policies, treat_none_as_null = true)]
pub(crate) struct PolicyChanges {
    name: String,
    effect: String,
    priority: i64,
    agent_id: Option<String>,
    principal_id: Option<String>,
    scopes: Option<String>,
    audience: Option<String>,
    time_of_day_start: Option<String>,
    time_of_day_end: Option<String>,
    time_zone: Option<String>,
    days_of_week: Option<String>,
    weight: i64,
    updated_at: i64,
}

impl From<&Policy> for PolicyChanges {
    fn from(policy: &Policy) -> Self {
        let row = PolicyRow::from(policy);
        Self {
            name: row.name,
            effect: row.effect,
            priority: row.priority,
            agent_id: row.agent_id,
            principal_id: row.principal_id,
            scopes: row.scopes,
            audience: row.audience,
            time_of_day_start: row.time_of_day_start,
            time_of_day_end: row.time_of_day_end,
            time_zone: row.time_zone,
            days_of_week: row.days_of_week,
            weight: row.weight,
            updated_at: row.updated_at,
        }
    }
}

/// A bundle without its content.
#[derive(Queryable, Selectable, Insertable)]
#[diesel(table_name = policy_bundles)]
pub(crate) struct BundleRow {
    id: String,
    developer_id: String,
    format: String,
    version: String,
    sha256: String,
    file_count: i64,
    is_active: bool,
    created_at: i64,
}

impl TryFrom<BundleRow> for Bundle {
    type Error = StoreError;

    fn try_from(row: BundleRow) -> Result<Self, StoreError> {
        let place = Place {
            table: "policy_bundles",
            id: &row.id,
        };
        Ok(Self {
            id: place.expect("id", BundleId::parse(&row.id))?,
            developer_id: place.expect("developer_id", DeveloperId::parse(&row.developer_id))?,
            format: place.expect("format", BundleFormat::parse(&row.format))?,
            file_count: place.expect("file_count", u32::try_from(row.file_count).ok())?,
            version: row.version,
            sha256: row.sha256,
            is_active: row.is_active,
            created_at: Timestamp::from_millis(row.created_at),
        })
    }
}

impl From<&Bundle> for BundleRow {
    fn from(bundle: &Bundle) -> Self {
        Self {
            id: bundle.id.as_str().to_owned(),
            developer_id: bundle.developer_id.as_str().to_owned(),
            format: bundle.format.as_str().to_owned(),
            version: bundle.version.clone(),
            sha256: bundle.sha256.clone(),
            file_count: i64::from(bundle.file_count),
            is_active: bundle.is_active,
            created_at: bundle.created_at.as_millis(),
        }
    }
}
