//! What is done about anomalies.

use actix_web::HttpResponse;
use grantex_core::anomaly::Severity;
use grantex_core::anomaly::respond::ChangeResponsePolicy;
use grantex_core::anomaly::response::{ResponseAction, ResponseMode, ResponsePolicy, ResponseRule};
use grantex_core::store::Store;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use crate::answer;
use crate::call::Call;
use crate::endpoint::{Access, Endpoint};
use crate::error::ApiError;
use crate::extract::present;
use crate::openapi::schema;

pub(crate) const MODE: Endpoint = Endpoint::get(
    "/v1/irregularities/response-policy",
    Access::Key,
    "Shows what is done about anomalies that no response policy speaks of",
)
.gives(200, schema::<ModeAnswer>);
pub(crate) const SET_MODE: Endpoint = Endpoint::patch(
    "/v1/irregularities/response-policy",
    Access::Key,
    "Sets what is done about anomalies that no response policy speaks of",
)
.takes(schema::<ModeBody>)
.gives(200, schema::<ModeAnswer>)
.refuses(&[400]);
pub(crate) const POLICIES: Endpoint = Endpoint::get(
    "/v1/anomaly/response-policies",
    Access::Key,
    "Shows what is done about anomalies",
)
.gives(200, schema::<PoliciesAnswer>);
pub(crate) const SET_POLICIES: Endpoint = Endpoint::patch(
    "/v1/anomaly/response-policies",
    Access::Key,
    "Sets what is done about anomalies: the mode, all policies, or both",
)
.takes(schema::<PoliciesBody>)
.gives(200, schema::<PoliciesAnswer>)
.refuses(&[400]);

/// What is done about anomalies that no policy speaks of.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct ModeAnswer {
    /// `alert_only`: they are told. `revoke_agent_grants`: of those that are high or critical, the agent's grants are revoked.
    mode: &'static str,
}

/// What is to be done about anomalies that no policy speaks of.
#[derive(Debug, Deserialize, ToSchema)]
pub(crate) struct ModeBody {
    /// `alert_only` or `revoke_agent_grants`.
    mode: String,
}

/// What is done about anomalies.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct PoliciesAnswer {
    /// For anomalies that no policy speaks of: `alert_only` or `revoke_agent_grants`.
    mode: &'static str,
    /// The first that speaks of an anomaly decides.
    policies: Vec<PolicyAnswer>,
}

impl From<ResponsePolicy> for PoliciesAnswer {
    fn from(policy: ResponsePolicy) -> Self {
        Self {
            mode: policy.mode.as_str(),
            policies: policy.rules.into_iter().map(PolicyAnswer::from).collect(),
        }
    }
}

/// One policy.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct PolicyAnswer {
    /// The ids of the rules whose anomalies it speaks of; none means all.
    rules: Vec<String>,
    /// The severities of which it speaks; none means all.
    severities: Vec<&'static str>,
    /// `alert_only`, `suspend_agent` or `revoke_agent_grants`.
    action: &'static str,
}

impl From<ResponseRule> for PolicyAnswer {
    fn from(rule: ResponseRule) -> Self {
        Self {
            rules: rule.rules,
            severities: rule.severities.into_iter().map(Severity::as_str).collect(),
            action: rule.action.map_or(ALERT_ONLY, ResponseAction::as_str),
        }
    }
}

const ALERT_ONLY: &str = ResponseMode::AlertOnly.as_str();

/// Changes of what is done about anomalies; at least one.
#[derive(Debug, Deserialize, ToSchema)]
pub(crate) struct PoliciesBody {
    /// `alert_only` or `revoke_agent_grants`.
    #[serde(default, deserialize_with = "present")]
    #[schema(nullable = false)]
    mode: Option<String>,
    /// All policies, in place of those before.
    #[serde(default, deserialize_with = "present")]
    #[schema(nullable = false, max_items = 20)]
    policies: Option<Vec<PolicyBody>>,
}

/// One policy. A member that is not known is refused: without it the policy might speak of more.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct PolicyBody {
    /// Ids or types of rules, or a `ruleId` of the developer's own; all without any.
    #[serde(default)]
    #[schema(max_items = 40)]
    rules: Vec<String>,
    /// `low`, `medium`, `high`, `critical`; all without any.
    #[serde(default)]
    severities: Vec<String>,
    /// `alert_only`, `suspend_agent` or `revoke_agent_grants`.
    action: String,
}

fn mode_of(text: &str) -> Result<ResponseMode, ApiError> {
    ResponseMode::parse(text).ok_or_else(|| ApiError::field("mode", "must be alert_only or revoke_agent_grants"))
}

fn rule_of((place, body): (usize, PolicyBody)) -> Result<ResponseRule, ApiError> {
    let refuse = |member: &str, problem: &str| ApiError::field(&format!("policies[{place}].{member}"), problem);
    let severity = |text: &String| {
        Severity::parse(text).ok_or_else(|| refuse("severities", "must be some of low, medium, high and critical"))
    };
    let action = match ResponseAction::parse(&body.action) {
        None if body.action != ALERT_ONLY => {
            return Err(refuse(
                "action",
                "must be alert_only, suspend_agent or revoke_agent_grants",
            ));
        }
        action => action,
    };
    Ok(ResponseRule {
        severities: body.severities.iter().map(severity).collect::<Result<_, _>>()?,
        rules: body.rules,
        action,
    })
}

pub(crate) async fn mode<S: Store>(call: &mut Call<S>) -> Result<HttpResponse, ApiError> {
    let developer = call.developer()?;
    let policy = call.read(call.grantex.response_policy(&developer)).await?;
    answer::ok(&ModeAnswer {
        mode: policy.mode.as_str(),
    })
}

pub(crate) async fn set_mode<S: Store>(call: &mut Call<S>) -> Result<HttpResponse, ApiError> {
    let body: ModeBody = call.json().await?;
    let change = ChangeResponsePolicy {
        mode: Some(mode_of(&body.mode)?),
        rules: None,
    };
    let policy = change_policy(call, change).await?;
    answer::ok(&ModeAnswer {
        mode: policy.mode.as_str(),
    })
}

pub(crate) async fn policies<S: Store>(call: &mut Call<S>) -> Result<HttpResponse, ApiError> {
    let developer = call.developer()?;
    let policy = call.read(call.grantex.response_policy(&developer)).await?;
    answer::ok(&PoliciesAnswer::from(policy))
}

pub(crate) async fn set_policies<S: Store>(call: &mut Call<S>) -> Result<HttpResponse, ApiError> {
    let body: PoliciesBody = call.json().await?;
    if body.mode.is_none() && body.policies.is_none() {
        return Err(ApiError::field("policies", "must be given, unless `mode` is"));
    }
    let rules = body
        .policies
        .map(|all| all.into_iter().enumerate().map(rule_of).collect::<Result<_, _>>());
    let change = ChangeResponsePolicy {
        mode: body.mode.as_deref().map(mode_of).transpose()?,
        rules: rules.transpose()?,
    };
    let policy = change_policy(call, change).await?;
    answer::ok(&PoliciesAnswer::from(policy))
}

async fn change_policy<S: Store>(call: &mut Call<S>, change: ChangeResponsePolicy) -> Result<ResponsePolicy, ApiError> {
    let developer = call.developer()?;
    call.write(move |grantex, ctx| async move { grantex.change_response_policy(&ctx, &developer, change).await })
        .await
}
