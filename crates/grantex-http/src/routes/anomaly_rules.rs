//! The rules by which anomalies are found, and times in which none are raised.

use std::collections::BTreeMap;

use actix_web::HttpResponse;
use grantex_core::anomaly::book::RuleBook;
use grantex_core::anomaly::custom::{CustomRule, Mute};
use grantex_core::anomaly::manage::{ChangeRule, ChangedRule, CreateMute, CreateRule};
use grantex_core::anomaly::rules::{RULES, Rule, RuleState, rule_named};
use grantex_core::anomaly::{AnomalyKind, Severity};
use grantex_core::clock::Timestamp;
use grantex_core::id::{AgentId, AnomalyMuteId};
use grantex_core::store::Store;
use serde::{Deserialize, Deserializer, Serialize};
use serde_json::value::RawValue;
use utoipa::ToSchema;

use crate::answer;
use crate::call::Call;
use crate::endpoint::{Access, Endpoint};
use crate::error::ApiError;
use crate::extract::{Instant, NonBlank, NotServed, Text, present};
use crate::openapi::schema;

pub(crate) const RULES_LIST: Endpoint = Endpoint::get(
    "/v1/anomaly/rules",
    Access::Key,
    "Lists the rules that run, the server's first, with their thresholds",
)
.gives(200, schema::<RuleList>);
pub(crate) const RULE_CREATE: Endpoint = Endpoint::post(
    "/v1/anomaly/rules",
    Access::Key,
    "Makes a rule: more than so many signals of some sort within a window",
)
.takes(schema::<RuleBody>)
.gives(201, schema::<RuleAnswer>)
.refuses(&[400, 409]);
pub(crate) const RULE_CHANGE: Endpoint = Endpoint::patch(
    "/v1/anomaly/rules/{id}",
    Access::Key,
    "Switches a rule on or off, or sets thresholds of one of the server's",
)
.takes(schema::<RuleChangeBody>)
.gives(200, schema::<RuleAnswer>)
.refuses(&[400, 404]);
pub(crate) const RULE_DELETE: Endpoint = Endpoint::delete(
    "/v1/anomaly/rules/{id}",
    Access::Key,
    "Removes a rule of the developer's own",
)
.refuses(&[404]);
pub(crate) const MUTES: Endpoint =
    Endpoint::get("/v1/anomaly/mutes", Access::Key, "Lists mutes, the next to end first")
        .gives(200, schema::<MuteList>);
pub(crate) const MUTE: Endpoint = Endpoint::post(
    "/v1/anomaly/mutes",
    Access::Key,
    "Makes a time in which anomalies are not raised",
)
.takes(schema::<MuteBody>)
.gives(201, schema::<MuteAnswer>)
.refuses(&[400, 409]);
pub(crate) const UNMUTE: Endpoint =
    Endpoint::delete("/v1/anomaly/mutes/{id}", Access::Key, "Ends a mute").refuses(&[404]);

/// A number that a rule goes by.
#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub(crate) struct ThresholdAnswer {
    value: f64,
    default: f64,
    min: f64,
    max: f64,
    description: &'static str,
}

/// A rule.
#[derive(Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub(crate) struct RuleAnswer {
    /// The id of a developer's own rule.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    id: Option<String>,
    /// `AD-…`, or what the developer called it.
    rule_id: String,
    /// The type of its anomalies.
    #[serde(rename = "type")]
    kind: &'static str,
    name: String,
    severity: &'static str,
    description: Option<String>,
    built_in: bool,
    enabled: bool,
    /// `active`, `disabled`, or `dormant`: it has nothing to look at.
    state: &'static str,
    /// Why it is dormant.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    state_reason: Option<&'static str>,
    /// Whether it learns what is usual, and is silent until it has.
    learnt: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    formula: Option<&'static str>,
    #[schema(value_type = Object)]
    thresholds: BTreeMap<&'static str, ThresholdAnswer>,
    /// What a developer's own rule looks for.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<Object>, nullable = false)]
    condition: Option<Box<RawValue>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    alert_channels: Option<Vec<String>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<String>, format = DateTime, nullable = false)]
    created_at: Option<Timestamp>,
}

impl RuleAnswer {
    fn of_server(rule: &'static Rule, book: &RuleBook) -> Self {
        let is_enabled = book.is_enabled(rule);
        let (state, state_reason) = match rule.state {
            RuleState::Dormant(reason) => ("dormant", Some(reason)),
            RuleState::Active if is_enabled => ("active", None),
            RuleState::Active => ("disabled", None),
        };
        let thresholds = rule.thresholds.iter().map(|threshold| {
            let answer = ThresholdAnswer {
                value: book.threshold(rule, threshold.name),
                default: threshold.default,
                min: threshold.min,
                max: threshold.max,
                description: threshold.help,
            };
            (threshold.name, answer)
        });
        Self {
            id: None,
            rule_id: rule.id.to_owned(),
            kind: rule.kind.as_str(),
            name: rule.name.to_owned(),
            severity: rule.severity.as_str(),
            description: Some(rule.description.to_owned()),
            built_in: true,
            enabled: is_enabled && state != "dormant",
            state,
            state_reason,
            learnt: rule.is_learnt,
            formula: Some(rule.formula),
            thresholds: thresholds.collect(),
            condition: None,
            alert_channels: None,
            created_at: None,
        }
    }

    fn of_developer(rule: CustomRule) -> Result<Self, ApiError> {
        Ok(Self {
            id: Some(rule.id.to_string()),
            rule_id: rule.rule_id,
            kind: AnomalyKind::Custom.as_str(),
            name: rule.name,
            severity: rule.severity.as_str(),
            description: rule.description,
            built_in: false,
            enabled: rule.is_enabled,
            state: if rule.is_enabled { "active" } else { "disabled" },
            state_reason: None,
            learnt: false,
            formula: None,
            thresholds: BTreeMap::new(),
            condition: Some(RawValue::from_string(rule.condition_text).map_err(ApiError::internal)?),
            alert_channels: Some(Vec::new()),
            created_at: Some(rule.created_at),
        })
    }
}

/// A new rule.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub(crate) struct RuleBody {
    /// The developer's name for it, unique among its rules.
    #[schema(value_type = String, min_length = 1, max_length = 64)]
    rule_id: NonBlank<64>,
    /// For people.
    #[schema(value_type = String, min_length = 1, max_length = 200)]
    name: NonBlank<200>,
    /// For people.
    #[serde(default, deserialize_with = "present")]
    #[schema(value_type = Option<String>, max_length = 2000, nullable = false)]
    description: Option<Text<0, 2_000>>,
    /// `low`, `medium` (by default), `high` or `critical`.
    #[serde(default, deserialize_with = "present")]
    #[schema(nullable = false)]
    severity: Option<String>,
    /// What is counted, and how much is too much: `timeWindow` (`1m` to `24h`) with `threshold` or `ratePerMinute`, and any of
    /// `agentIds`, `scopes`, `signals`, `failuresOnly` and `activeHours`. Nothing else.
    #[schema(value_type = Object)]
    condition: serde_json::Map<String, serde_json::Value>,
    #[serde(default, rename = "alertChannels")]
    #[schema(ignore)]
    _alert_channels: NotServed,
    #[serde(default, rename = "channels")]
    #[schema(ignore)]
    _channels: NotServed,
}

/// All rules.
#[derive(Serialize, ToSchema)]
pub(crate) struct RuleList {
    rules: Vec<RuleAnswer>,
}

/// Changes of a rule; at least one.
#[derive(Debug, Deserialize, ToSchema)]
pub(crate) struct RuleChangeBody {
    #[serde(default, deserialize_with = "present")]
    #[schema(nullable = false)]
    enabled: Option<bool>,
    /// Numbers by the names of the rule's thresholds; `"default"` puts the default back.
    #[serde(default)]
    #[schema(value_type = Option<Object>, nullable = false)]
    thresholds: BTreeMap<String, Wish>,
    #[serde(default, rename = "name")]
    #[schema(ignore)]
    _name: NotServed,
    #[serde(default, rename = "description")]
    #[schema(ignore)]
    _description: NotServed,
    #[serde(default, rename = "severity")]
    #[schema(ignore)]
    _severity: NotServed,
    #[serde(default, rename = "condition")]
    #[schema(ignore)]
    _condition: NotServed,
}

/// A threshold's value.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Wish(Option<f64>);

impl<'de> Deserialize<'de> for Wish {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        match serde_json::Value::deserialize(deserializer)? {
            serde_json::Value::Number(number) => Ok(Self(number.as_f64())),
            serde_json::Value::String(text) if text == "default" => Ok(Self(None)),
            _ => Err(serde::de::Error::custom("must be a number or \"default\"")),
        }
    }
}

/// A time in which anomalies are not to be raised.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub(crate) struct MuteBody {
    /// Only of this rule: its id or its type. Without it of all.
    #[serde(default, deserialize_with = "present")]
    #[schema(value_type = Option<String>, nullable = false)]
    rule: Option<Text<1, 64>>,
    /// Only of this agent. Without it of all.
    #[serde(default, deserialize_with = "present")]
    #[schema(value_type = Option<String>, nullable = false)]
    agent_id: Option<Text<1, 64>>,
    /// Now by default.
    #[serde(default, deserialize_with = "present")]
    #[schema(value_type = Option<String>, format = DateTime, nullable = false)]
    starts_at: Option<Instant>,
    /// At most 90 days after the start.
    #[schema(value_type = String, format = DateTime)]
    ends_at: Instant,
    #[serde(default, deserialize_with = "present")]
    #[schema(value_type = Option<String>, max_length = 256, nullable = false)]
    reason: Option<Text<0, 256>>,
}

/// A mute.
#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub(crate) struct MuteAnswer {
    id: String,
    /// The type of the anomalies that are muted; null for all.
    rule: Option<&'static str>,
    agent_id: Option<String>,
    #[schema(value_type = String, format = DateTime)]
    starts_at: Timestamp,
    #[schema(value_type = String, format = DateTime)]
    ends_at: Timestamp,
    reason: String,
    #[schema(value_type = String, format = DateTime)]
    created_at: Timestamp,
}

impl From<Mute> for MuteAnswer {
    fn from(mute: Mute) -> Self {
        Self {
            id: mute.id.to_string(),
            rule: mute.kind.map(AnomalyKind::as_str),
            agent_id: mute.agent_id.as_ref().map(ToString::to_string),
            starts_at: mute.starts_at,
            ends_at: mute.ends_at,
            reason: mute.reason,
            created_at: mute.created_at,
        }
    }
}

/// All mutes.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct MuteList {
    mutes: Vec<MuteAnswer>,
}

pub(crate) async fn list<S: Store>(call: &mut Call<S>) -> Result<HttpResponse, ApiError> {
    let developer = call.developer()?;
    let book = call.read(call.grantex.rule_book(&developer)).await?;
    let mut rules: Vec<RuleAnswer> = RULES.iter().map(|rule| RuleAnswer::of_server(rule, &book)).collect();
    for rule in book.custom {
        rules.push(RuleAnswer::of_developer(rule)?);
    }
    answer::ok(&RuleList { rules })
}

pub(crate) async fn create<S: Store>(call: &mut Call<S>) -> Result<HttpResponse, ApiError> {
    let developer = call.developer()?;
    let body: RuleBody = call.json().await?;
    let severity = match &body.severity {
        None => Severity::Medium,
        Some(text) => {
            Severity::parse(text).ok_or_else(|| ApiError::field("severity", "must be low, medium, high or critical"))?
        }
    };
    let wish = CreateRule {
        rule_id: body.rule_id.0,
        name: body.name.0,
        description: body.description.map(|description| description.0),
        severity,
        condition: body.condition,
    };
    let rule = call
        .write(move |grantex, ctx| async move { grantex.create_anomaly_rule(&ctx, &developer, wish).await })
        .await?;
    answer::created(&RuleAnswer::of_developer(rule)?)
}

pub(crate) async fn delete<S: Store>(call: &mut Call<S>) -> Result<HttpResponse, ApiError> {
    let developer = call.developer()?;
    call.no_body().await?;
    let named = call.segment("id")?;
    call.write(move |grantex, ctx| async move { grantex.delete_anomaly_rule(&ctx, &developer, named).await })
        .await?;
    answer::no_content()
}

pub(crate) async fn change<S: Store>(call: &mut Call<S>) -> Result<HttpResponse, ApiError> {
    let developer = call.developer()?;
    let named = call.segment("id")?;
    let body: RuleChangeBody = call.json().await?;
    if body.enabled.is_none() && body.thresholds.is_empty() {
        return Err(ApiError::field(
            "enabled",
            "must be true or false, unless `thresholds` are set",
        ));
    }
    let wish = ChangeRule {
        is_enabled: body.enabled,
        thresholds: body.thresholds.into_iter().map(|(name, wish)| (name, wish.0)).collect(),
    };
    let changed = call
        .write(move |grantex, ctx| async move { grantex.change_anomaly_rule(&ctx, &developer, named, wish).await })
        .await?;
    answer::ok(&match changed {
        ChangedRule::Server(rule, change) => {
            let book = RuleBook {
                overrides: vec![change],
                ..RuleBook::default()
            };
            RuleAnswer::of_server(rule, &book)
        }
        ChangedRule::Custom(rule) => RuleAnswer::of_developer(*rule)?,
    })
}

pub(crate) async fn mutes<S: Store>(call: &mut Call<S>) -> Result<HttpResponse, ApiError> {
    let developer = call.developer()?;
    let book = call.read(call.grantex.rule_book(&developer)).await?;
    answer::ok(&MuteList {
        mutes: book.mutes.into_iter().map(MuteAnswer::from).collect(),
    })
}

pub(crate) async fn mute<S: Store>(call: &mut Call<S>) -> Result<HttpResponse, ApiError> {
    let developer = call.developer()?;
    let body: MuteBody = call.json().await?;
    let kind = body.rule.map(|rule| kind_of(&rule.0)).transpose()?;
    let agent_id = body
        .agent_id
        .map(|agent| AgentId::parse(&agent.0).ok_or_else(|| ApiError::field("agentId", "must be an agent's id")))
        .transpose()?;
    let wish = CreateMute {
        kind,
        agent_id,
        starts_at: body.starts_at.map(|instant| instant.0),
        ends_at: body.ends_at.0,
        reason: body.reason.map(|reason| reason.0).unwrap_or_default(),
    };
    let mute = call
        .write(move |grantex, ctx| async move { grantex.create_anomaly_mute(&ctx, &developer, wish).await })
        .await?;
    answer::created(&MuteAnswer::from(mute))
}

pub(crate) async fn unmute<S: Store>(call: &mut Call<S>) -> Result<HttpResponse, ApiError> {
    let developer = call.developer()?;
    call.no_body().await?;
    let id = AnomalyMuteId::parse(&call.segment("id")?).ok_or_else(|| ApiError::not_found("mute"))?;
    call.write(move |grantex, ctx| async move { grantex.delete_anomaly_mute(&ctx, &developer, id).await })
        .await?;
    answer::no_content()
}

fn kind_of(text: &str) -> Result<AnomalyKind, ApiError> {
    rule_named(text)
        .map(|rule| rule.kind)
        .or_else(|| AnomalyKind::parse(text))
        .ok_or_else(|| ApiError::field("rule", "must be the id or the type of a rule"))
}
