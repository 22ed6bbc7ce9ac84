//! Anomalies: both faces of the contract (extensions §5) over one state machine, and how developers are watched.

use actix_web::HttpResponse;
use grantex_core::anomaly::alert::{Anomaly, AnomalyFilter, AnomalyStatus, MAX_NOTE_LENGTH, Note};
use grantex_core::anomaly::{Evidence, Severity};
use grantex_core::clock::{Lifetime, Timestamp};
use grantex_core::id::AnomalyId;
use grantex_core::page::{MAX_PAGE_SIZE, PageRequest, PageStart};
use grantex_core::store::Store;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::listing::{CURSOR, PAGE, PAGE_SIZE, Paging};
use crate::answer;
use crate::call::Call;
use crate::endpoint::{Access, Endpoint, Parameter};
use crate::error::ApiError;
use crate::extract::{Text, present};
use crate::openapi::schema;

const UNACKNOWLEDGED: Parameter = Parameter {
    name: "unacknowledged",
    about: "`true`: only those that nobody has acknowledged or resolved",
};
const STATUS: Parameter = Parameter {
    name: "status",
    about: "`open`, `acknowledged` or `resolved`",
};
const SEVERITY: Parameter = Parameter {
    name: "severity",
    about: "`low`, `medium`, `high` or `critical`",
};
const AGENT: Parameter = Parameter {
    name: "agentId",
    about: "Only those about this agent",
};
const LIMIT: Parameter = Parameter {
    name: "limit",
    about: "How many at most, 1 to 1000; 100 by default, and when it is no such number",
};
const WINDOW: Parameter = Parameter {
    name: "window",
    about: "`1h`, `6h`, `24h`, `7d` or `30d`; `24h` by default",
};

pub(crate) const DETECT: Endpoint = Endpoint::post(
    "/v1/anomalies/detect",
    Access::Key,
    "Looks for anomalies now, and tells those whose window has not passed",
)
.gives(200, schema::<DetectAnswer>);
pub(crate) const LIST: Endpoint = Endpoint::get("/v1/anomalies", Access::Key, "Lists anomalies, newest first")
    .query(&[UNACKNOWLEDGED, STATUS, SEVERITY, AGENT, PAGE, PAGE_SIZE, CURSOR])
    .gives(200, schema::<AnomalyList>)
    .refuses(&[400]);
pub(crate) const ACKNOWLEDGE: Endpoint = Endpoint::patch(
    "/v1/anomalies/{id}/acknowledge",
    Access::Key,
    "Says that an anomaly is known of",
)
.takes(schema::<NotesBody>)
.gives(200, schema::<AnomalyAnswer>)
.refuses(&[400, 404]);
pub(crate) const ALERTS: Endpoint = Endpoint::get("/v1/anomaly/alerts", Access::Key, "Lists alerts, newest first")
    .query(&[STATUS, SEVERITY, AGENT, LIMIT])
    .gives(200, schema::<AlertList>)
    .refuses(&[400]);
pub(crate) const ALERT: Endpoint = Endpoint::get("/v1/anomaly/alerts/{id}", Access::Key, "Shows an alert")
    .gives(200, schema::<AlertAnswer>)
    .refuses(&[404]);
pub(crate) const ACKNOWLEDGE_ALERT: Endpoint = Endpoint::post(
    "/v1/anomaly/alerts/{id}/acknowledge",
    Access::Key,
    "Says that an alert is known of",
)
.takes(schema::<NotesBody>)
.gives(200, schema::<AlertAnswer>)
.refuses(&[400, 404]);
pub(crate) const RESOLVE_ALERT: Endpoint = Endpoint::post(
    "/v1/anomaly/alerts/{id}/resolve",
    Access::Key,
    "Says that an alert is dealt with",
)
.takes(schema::<NotesBody>)
.gives(200, schema::<AlertAnswer>)
.refuses(&[400, 404]);
pub(crate) const METRICS: Endpoint = Endpoint::get(
    "/v1/anomaly/metrics",
    Access::Key,
    "Counts anomalies of a window by status and severity",
)
.query(&[WINDOW, AGENT])
.gives(200, schema::<CountsAnswer>)
.refuses(&[400]);

/// A note about an anomaly. `notes` is the older name of `note`.
#[derive(Debug, Default, Deserialize, ToSchema)]
pub(crate) struct NotesBody {
    #[serde(default, deserialize_with = "present")]
    #[schema(value_type = Option<String>, min_length = 1, max_length = 2000, nullable = false)]
    note: Option<Text<1, MAX_NOTE_LENGTH>>,
    #[serde(default, deserialize_with = "present")]
    #[schema(value_type = Option<String>, min_length = 1, max_length = 2000, nullable = false)]
    notes: Option<Text<1, MAX_NOTE_LENGTH>>,
}

impl NotesBody {
    fn text(self) -> Option<String> {
        self.note.or(self.notes).map(|note| note.0)
    }
}

/// What somebody wrote.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct NoteAnswer {
    #[schema(value_type = String, format = DateTime)]
    at: Timestamp,
    text: String,
}

impl From<Note> for NoteAnswer {
    fn from(note: Note) -> Self {
        Self {
            at: note.at,
            text: note.text,
        }
    }
}

/// An anomaly.
#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub(crate) struct AnomalyAnswer {
    id: String,
    /// The rule that found it, for example `rate_spike`; `custom` for a developer's own.
    #[serde(rename = "type")]
    kind: &'static str,
    /// `low`, `medium`, `high` or `critical`.
    severity: &'static str,
    /// `open`, `acknowledged` or `resolved`.
    status: &'static str,
    rule_id: String,
    agent_id: Option<String>,
    principal_id: Option<String>,
    description: String,
    /// The numbers behind it: what was counted, in which window, against which threshold and baseline.
    #[schema(value_type = Object)]
    metadata: Evidence,
    #[schema(value_type = String, format = DateTime)]
    detected_at: Timestamp,
    #[schema(value_type = Option<String>, format = DateTime)]
    acknowledged_at: Option<Timestamp>,
    #[schema(value_type = Option<String>, format = DateTime)]
    resolved_at: Option<Timestamp>,
    notes: Vec<NoteAnswer>,
}

impl From<Anomaly> for AnomalyAnswer {
    fn from(anomaly: Anomaly) -> Self {
        Self {
            id: anomaly.id.to_string(),
            kind: anomaly.kind.as_str(),
            severity: anomaly.severity.as_str(),
            status: anomaly.status.as_str(),
            rule_id: anomaly.rule_id,
            agent_id: anomaly.agent_id,
            principal_id: anomaly.principal_id,
            description: anomaly.description,
            metadata: anomaly.evidence,
            detected_at: anomaly.detected_at,
            acknowledged_at: anomaly.acknowledged_at,
            resolved_at: anomaly.resolved_at,
            notes: anomaly.notes.into_iter().map(NoteAnswer::from).collect(),
        }
    }
}

/// What was found.
#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub(crate) struct DetectAnswer {
    #[schema(value_type = String, format = DateTime)]
    detected_at: Timestamp,
    total: usize,
    /// Grants that were revoked by this call because of what was found, without what was delegated from them.
    auto_revoked_grants: u64,
    /// What is done about anomalies that no response policy speaks of: `alert_only` or `revoke_agent_grants`.
    response_mode: &'static str,
    /// Those whose window has not passed and that are not resolved, newest first, at most 1000. The same finding keeps its id.
    anomalies: Vec<AnomalyAnswer>,
}

/// A page of anomalies.
#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub(crate) struct AnomalyList {
    anomalies: Vec<AnomalyAnswer>,
    /// How many this page holds.
    total: usize,
    #[serde(flatten)]
    paging: Paging,
}

/// An anomaly, as the newer face calls its members.
#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub(crate) struct AlertAnswer {
    alert_id: String,
    rule_id: String,
    /// The type of the anomaly.
    rule_name: &'static str,
    severity: &'static str,
    status: &'static str,
    agent_id: Option<String>,
    principal_id: Option<String>,
    #[schema(value_type = String, format = DateTime)]
    detected_at: Timestamp,
    description: String,
    /// The numbers behind it.
    #[schema(value_type = Object)]
    context: Evidence,
    #[schema(value_type = Option<String>, format = DateTime)]
    acknowledged_at: Option<Timestamp>,
    #[schema(value_type = Option<String>, format = DateTime)]
    resolved_at: Option<Timestamp>,
    notes: Vec<NoteAnswer>,
}

impl From<Anomaly> for AlertAnswer {
    fn from(anomaly: Anomaly) -> Self {
        Self {
            alert_id: anomaly.id.to_string(),
            rule_id: anomaly.rule_id,
            rule_name: anomaly.kind.as_str(),
            severity: anomaly.severity.as_str(),
            status: anomaly.status.as_str(),
            agent_id: anomaly.agent_id,
            principal_id: anomaly.principal_id,
            detected_at: anomaly.detected_at,
            description: anomaly.description,
            context: anomaly.evidence,
            acknowledged_at: anomaly.acknowledged_at,
            resolved_at: anomaly.resolved_at,
            notes: anomaly.notes.into_iter().map(NoteAnswer::from).collect(),
        }
    }
}

/// Alerts.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct AlertList {
    data: Vec<AlertAnswer>,
}

/// Counts by status.
#[derive(Debug, Default, Serialize, ToSchema)]
pub(crate) struct ByStatus {
    open: u64,
    acknowledged: u64,
    resolved: u64,
}

/// Counts by severity.
#[derive(Debug, Default, Serialize, ToSchema)]
pub(crate) struct BySeverity {
    critical: u64,
    high: u64,
    medium: u64,
    low: u64,
}

/// How many anomalies there were.
#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub(crate) struct CountsAnswer {
    window: String,
    total: u64,
    by_status: ByStatus,
    by_severity: BySeverity,
}

pub(crate) async fn detect<S: Store>(call: &mut Call<S>) -> Result<HttpResponse, ApiError> {
    let developer = call.developer()?;
    call.no_body().await?;
    let id = developer.id.clone();
    let revoked = call
        .write(move |grantex, ctx| async move {
            grantex.detect_anomalies(&ctx, &id).await?;
            grantex.respond_to_anomalies(&ctx, Some(&id)).await
        })
        .await?;
    let policy = call.read(call.grantex.response_policy(&developer)).await?;
    let now = call.grantex.now();
    let filter = AnomalyFilter {
        current_at: Some(now),
        unresolved: true,
        ..AnomalyFilter::default()
    };
    let page = call
        .read(call.grantex.anomalies(&developer, filter, first(MAX_PAGE_SIZE)))
        .await?;
    let anomalies: Vec<AnomalyAnswer> = page.items.into_iter().map(AnomalyAnswer::from).collect();
    answer::ok(&DetectAnswer {
        detected_at: now,
        total: anomalies.len(),
        auto_revoked_grants: revoked,
        response_mode: policy.mode.as_str(),
        anomalies,
    })
}

pub(crate) async fn list<S: Store>(call: &mut Call<S>) -> Result<HttpResponse, ApiError> {
    let developer = call.developer()?;
    let query = call.query()?;
    let mut filter = filter(&query)?;
    if query.parsed("unacknowledged", boolean, "must be true or false")? == Some(true) {
        if filter.status.is_some_and(|status| status != AnomalyStatus::Open) {
            return Err(ApiError::field("status", "must not contradict `unacknowledged`"));
        }
        filter.status = Some(AnomalyStatus::Open);
    }
    let request = query.page()?;
    let page = call
        .read(call.grantex.anomalies(&developer, filter, request.clone()))
        .await?;
    let paging = Paging::of(&request, &page);
    let anomalies: Vec<AnomalyAnswer> = page.items.into_iter().map(AnomalyAnswer::from).collect();
    answer::ok(&AnomalyList {
        total: anomalies.len(),
        anomalies,
        paging,
    })
}

pub(crate) async fn acknowledge<S: Store>(call: &mut Call<S>) -> Result<HttpResponse, ApiError> {
    answer::ok(&AnomalyAnswer::from(acknowledged(call).await?))
}

pub(crate) async fn alerts<S: Store>(call: &mut Call<S>) -> Result<HttpResponse, ApiError> {
    let developer = call.developer()?;
    let query = call.query()?;
    let filter = filter(&query)?;
    // Published clients rely on garbage meaning the default.
    let limit = query.get("limit").and_then(|text| text.parse().ok());
    let limit = limit.filter(|limit| (1..=MAX_PAGE_SIZE).contains(limit)).unwrap_or(100);
    let page = call
        .read(call.grantex.anomalies(&developer, filter, first(limit)))
        .await?;
    answer::ok(&AlertList {
        data: page.items.into_iter().map(AlertAnswer::from).collect(),
    })
}

pub(crate) async fn alert<S: Store>(call: &mut Call<S>) -> Result<HttpResponse, ApiError> {
    let developer = call.developer()?;
    let id = id(call)?;
    let anomaly = call.read(call.grantex.anomaly(&developer, id)).await?;
    answer::ok(&AlertAnswer::from(anomaly))
}

pub(crate) async fn acknowledge_alert<S: Store>(call: &mut Call<S>) -> Result<HttpResponse, ApiError> {
    answer::ok(&AlertAnswer::from(acknowledged(call).await?))
}

pub(crate) async fn resolve_alert<S: Store>(call: &mut Call<S>) -> Result<HttpResponse, ApiError> {
    let developer = call.developer()?;
    let id = id(call)?;
    let note = call.optional_json::<NotesBody>().await?.text();
    let anomaly = call
        .write(move |grantex, ctx| async move { grantex.resolve_anomaly(&ctx, &developer, id, note).await })
        .await?;
    answer::ok(&AlertAnswer::from(anomaly))
}

pub(crate) async fn metrics<S: Store>(call: &mut Call<S>) -> Result<HttpResponse, ApiError> {
    let developer = call.developer()?;
    let query = call.query()?;
    let window = query.get("window").unwrap_or("24h").to_owned();
    let length = match window.as_str() {
        "1h" => Lifetime::hours(1),
        "6h" => Lifetime::hours(6),
        "24h" => Lifetime::hours(24),
        "7d" => Lifetime::days(7),
        "30d" => Lifetime::days(30),
        _ => return Err(ApiError::field("window", "must be 1h, 6h, 24h, 7d or 30d")),
    };
    let agent = query.text("agentId", 256)?;
    let since = call.grantex.now().minus(length);
    let counts = call
        .read(call.grantex.count_anomalies(&developer, agent, since))
        .await?;
    let mut answer = CountsAnswer {
        window,
        total: 0,
        by_status: ByStatus::default(),
        by_severity: BySeverity::default(),
    };
    for group in counts {
        answer.total += group.count;
        *match group.status {
            AnomalyStatus::Open => &mut answer.by_status.open,
            AnomalyStatus::Acknowledged => &mut answer.by_status.acknowledged,
            AnomalyStatus::Resolved => &mut answer.by_status.resolved,
        } += group.count;
        *match group.severity {
            Severity::Critical => &mut answer.by_severity.critical,
            Severity::High => &mut answer.by_severity.high,
            Severity::Medium => &mut answer.by_severity.medium,
            Severity::Low => &mut answer.by_severity.low,
        } += group.count;
    }
    answer::ok(&answer)
}

async fn acknowledged<S: Store>(call: &mut Call<S>) -> Result<Anomaly, ApiError> {
    let developer = call.developer()?;
    let id = id(call)?;
    let note = call.optional_json::<NotesBody>().await?.text();
    call.write(move |grantex, ctx| async move { grantex.acknowledge_anomaly(&ctx, &developer, id, note).await })
        .await
}

fn id<S: Store>(call: &Call<S>) -> Result<AnomalyId, ApiError> {
    AnomalyId::parse(&call.segment("id")?).ok_or_else(|| ApiError::not_found("anomaly"))
}

fn filter(query: &crate::extract::Query<'_>) -> Result<AnomalyFilter, ApiError> {
    Ok(AnomalyFilter {
        status: query.parsed("status", AnomalyStatus::parse, "must be open, acknowledged or resolved")?,
        severity: query.parsed("severity", Severity::parse, "must be critical, high, medium or low")?,
        agent_id: query.text("agentId", 256)?,
        ..AnomalyFilter::default()
    })
}

const fn first(size: u32) -> PageRequest {
    PageRequest {
        size,
        from: PageStart::Number(1),
    }
}

fn boolean(text: &str) -> Option<bool> {
    match text {
        "true" => Some(true),
        "false" => Some(false),
        _ => None,
    }
}
