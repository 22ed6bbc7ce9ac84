//! Asking what policies would do, and whether a policy or bundle is in order, without changing anything.

use actix_web::HttpResponse;
use grantex_core::clock::Timestamp;
use grantex_core::developer::Mode;
use grantex_core::id::AgentId;
use grantex_core::policy::engine::BundleProblem;
use grantex_core::policy::{
    BackendTrace, BundleError, BundleFormat, BundleTrace, Effect, PolicyAction, PolicyDecision, PolicyTrace, Simulate,
    Simulation,
};
use grantex_core::scope::Scopes;
use grantex_core::store::Store;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};
use utoipa::ToSchema;

use super::policies::PolicyBody;
use super::policy_bundles::{Format, decoded, off_the_worker};
use crate::answer;
use crate::call::Call;
use crate::endpoint::{Access, Endpoint};
use crate::error::ApiError;
use crate::extract::{self, Text, present};
use crate::openapi::schema;

pub(crate) const SIMULATE: Endpoint = Endpoint::post(
    "/v1/policies/simulate",
    Access::Key,
    "Tells what the policies would do with a request, and why; changes nothing",
)
.takes(schema::<SimulateBody>)
.gives(200, schema::<SimulationAnswer>)
.refuses(&[400]);
pub(crate) const VALIDATE: Endpoint = Endpoint::post(
    "/v1/policies/validate",
    Access::Key,
    "Tells what is wrong with a policy or a bundle; changes nothing",
)
.takes(schema::<ValidateBody>)
.gives(200, schema::<ValidationAnswer>)
.refuses(&[400]);

#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, ToSchema)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Action {
    Authorize,
    Exchange,
    Refresh,
    Delegate,
}

impl From<Action> for PolicyAction {
    fn from(action: Action) -> Self {
        match action {
            Action::Authorize => Self::Authorize,
            Action::Exchange => Self::Exchange,
            Action::Refresh => Self::Refresh,
            Action::Delegate => Self::Delegate,
        }
    }
}

/// A request that nobody makes.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub(crate) struct SimulateBody {
    agent_id: String,
    #[schema(value_type = String, min_length = 1, max_length = 256)]
    principal_id: Text<1, 256>,
    #[schema(min_items = 1, max_items = 100)]
    scopes: Vec<String>,
    #[serde(default, deserialize_with = "present")]
    #[schema(value_type = Option<String>, nullable = false, min_length = 1, max_length = 1024)]
    audience: Option<Text<1, 1024>>,
    /// `authorize` by default.
    #[serde(default, deserialize_with = "present")]
    #[schema(nullable = false)]
    action: Option<Action>,
    /// When (RFC 3339); now by default.
    #[serde(default, deserialize_with = "present")]
    #[schema(nullable = false, format = DateTime)]
    at: Option<String>,
}

/// What would happen.
#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub(crate) struct SimulationAnswer {
    /// `allow`, `deny` or `none`.
    decision: &'static str,
    /// `denied`, `approved` without asking, `consent_required`, or `proceeds`.
    outcome: &'static str,
    /// What decided.
    policy_id: Option<String>,
    /// Why, for people.
    reason: Option<String>,
    action: &'static str,
    #[schema(value_type = String, format = DateTime)]
    at: Timestamp,
    /// At most 100: first those that match, in the order in which they decide, then the others.
    policies: Vec<TraceAnswer>,
    /// How many policies there are.
    total: usize,
    /// The bundle in force.
    bundle: Option<BundleTraceAnswer>,
    /// The operator's policy backend; where there is one, policies and bundle decide only in its place.
    backend: Option<BackendTraceAnswer>,
}

/// What became of one policy.
#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub(crate) struct TraceAnswer {
    policy_id: String,
    name: String,
    /// `allow` or `deny`.
    effect: &'static str,
    priority: i32,
    matches: bool,
    /// Whether it decides.
    decides: bool,
    /// The conditions that it has.
    conditions: Vec<ConditionAnswer>,
}

/// What became of one condition.
#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub(crate) struct ConditionAnswer {
    /// `agentId`, `principalId`, `scopes`, `audience` or `time`.
    condition: &'static str,
    holds: bool,
    /// Why, for people.
    reason: String,
}

/// What the bundle in force says.
#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub(crate) struct BundleTraceAnswer {
    bundle_id: String,
    version: String,
    /// `allow`, `deny` or `none`.
    decision: &'static str,
    /// The rules that decided.
    rules: Vec<String>,
    /// Rules that could not be evaluated.
    failures: Vec<String>,
}

/// What the policy backend says.
#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub(crate) struct BackendTraceAnswer {
    /// `opa` or `cedar`.
    backend: &'static str,
    /// `allow`, `deny`, `none`, or null when it did not answer.
    decision: Option<&'static str>,
}

/// A policy, or a bundle.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub(crate) struct ValidateBody {
    /// As it would be sent to make it.
    #[serde(default, deserialize_with = "present")]
    #[schema(value_type = Option<PolicyBody>, nullable = false)]
    policy: Option<Map<String, Value>>,
    /// Of a bundle.
    #[serde(default, deserialize_with = "present")]
    #[schema(nullable = false)]
    format: Option<Format>,
    /// What a bundle holds, in base64.
    #[serde(default, deserialize_with = "present")]
    #[schema(nullable = false)]
    content: Option<String>,
}

/// What is wrong.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct ValidationAnswer {
    /// Whether it would be accepted.
    valid: bool,
    problems: Vec<ProblemAnswer>,
}

/// One thing that is wrong, or should be known.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct ProblemAnswer {
    /// `error`, or `warning` when it would be accepted all the same.
    severity: &'static str,
    /// The member of the policy.
    field: Option<String>,
    /// The line of the bundle, from 1.
    line: Option<usize>,
    /// The column, in characters, from 1.
    column: Option<usize>,
    message: String,
}

impl TryFrom<SimulateBody> for Simulate {
    type Error = ApiError;

    fn try_from(body: SimulateBody) -> Result<Self, ApiError> {
        let at = body.at.map(|text| {
            let at = Timestamp::parse_rfc3339(&text);
            at.ok_or_else(|| ApiError::field("at", "must be an RFC 3339 date-time"))
        });
        Ok(Self {
            action: body.action.map_or(PolicyAction::Authorize, Into::into),
            agent_id: AgentId::parse(&body.agent_id)
                .ok_or_else(|| ApiError::field("agentId", "must be an agent's id"))?,
            principal_id: body.principal_id.0,
            scopes: Scopes::parse_some(body.scopes)
                .map_err(|error| ApiError::field("scopes", &format!("cannot be accepted: {error}")))?,
            audience: body.audience.map(|audience| audience.0),
            at: at.transpose()?,
        })
    }
}

const fn named(effect: Option<Effect>) -> &'static str {
    match effect {
        Some(effect) => effect.as_str(),
        None => "none",
    }
}

const fn effect(decision: &PolicyDecision) -> Option<Effect> {
    match decision {
        PolicyDecision::Undecided => None,
        PolicyDecision::Allow(_) => Some(Effect::Allow),
        PolicyDecision::Deny(_) => Some(Effect::Deny),
    }
}

const fn outcome(decision: Option<Effect>, action: PolicyAction, mode: Mode) -> &'static str {
    match (decision, action, mode) {
        (Some(Effect::Deny), ..) => "denied",
        (Some(Effect::Allow), ..) | (None, PolicyAction::Authorize, Mode::Sandbox) => "approved",
        (None, PolicyAction::Authorize, Mode::Live) => "consent_required",
        (None, ..) => "proceeds",
    }
}

impl SimulationAnswer {
    fn of(told: Simulation, action: PolicyAction, mode: Mode) -> Self {
        let decided = effect(&told.decision);
        let ruling = match told.decision {
            PolicyDecision::Undecided => None,
            PolicyDecision::Allow(ruling) | PolicyDecision::Deny(ruling) => Some(ruling),
        };
        let policy_id = ruling.as_ref().map(|ruling| ruling.by.to_string());
        Self {
            decision: named(decided),
            outcome: outcome(decided, action, mode),
            reason: ruling.map(|ruling| ruling.reason),
            action: action.as_str(),
            at: told.at,
            policies: told
                .traces
                .into_iter()
                .map(|trace| TraceAnswer::of(trace, policy_id.as_deref()))
                .collect(),
            total: told.total,
            bundle: told.bundle.map(Into::into),
            backend: told.backend.map(Into::into),
            policy_id,
        }
    }
}

impl TraceAnswer {
    fn of(trace: PolicyTrace, deciding: Option<&str>) -> Self {
        let conditions = trace.findings.into_iter().map(|finding| ConditionAnswer {
            condition: finding.condition.as_str(),
            holds: finding.holds,
            reason: finding.reason,
        });
        Self {
            decides: deciding == Some(trace.policy_id.as_str()),
            policy_id: trace.policy_id.to_string(),
            name: trace.name,
            effect: trace.effect.as_str(),
            priority: trace.priority,
            matches: trace.matches,
            conditions: conditions.collect(),
        }
    }
}

impl From<BundleTrace> for BundleTraceAnswer {
    fn from(trace: BundleTrace) -> Self {
        Self {
            bundle_id: trace.bundle.id.to_string(),
            version: trace.bundle.version,
            decision: named(trace.decision.effect),
            rules: trace.decision.rules,
            failures: trace.decision.failures,
        }
    }
}

impl From<BackendTrace> for BackendTraceAnswer {
    fn from(trace: BackendTrace) -> Self {
        Self {
            backend: trace.backend.as_str(),
            decision: trace.decision.map(|decision| named(effect(&decision))),
        }
    }
}

impl ProblemAnswer {
    fn of_member(severity: &'static str, field: Option<String>, message: String) -> Self {
        Self {
            severity,
            field,
            line: None,
            column: None,
            message,
        }
    }
}

impl From<BundleProblem> for ProblemAnswer {
    fn from(problem: BundleProblem) -> Self {
        Self {
            severity: if problem.is_warning { "warning" } else { "error" },
            field: None,
            line: problem.line,
            column: problem.column,
            message: problem.message,
        }
    }
}

pub(crate) async fn simulate<S: Store>(call: &mut Call<S>) -> Result<HttpResponse, ApiError> {
    let developer = call.developer()?;
    let command: Simulate = call.json::<SimulateBody>().await?.try_into()?;
    let action = command.action;
    let told = call.read(call.grantex.simulate_policies(&developer, command)).await?;
    answer::ok(&SimulationAnswer::of(told, action, developer.mode))
}

pub(crate) async fn validate<S: Store>(call: &mut Call<S>) -> Result<HttpResponse, ApiError> {
    let body: ValidateBody = call.json().await?;
    let problems = match (body.policy, body.format, body.content) {
        (Some(policy), None, None) => problems_of_policy(policy),
        (None, Some(format), Some(content)) => problems_of_bundle(call, format.into(), &content).await?,
        (None, Some(_), None) => return Err(ApiError::field("content", "is required with `format`")),
        (None, None, Some(_)) => return Err(ApiError::field("format", "is required with `content`")),
        (None, None, None) => return Err(ApiError::field("policy", "is required, or `format` and `content`")),
        (Some(_), ..) => return Err(ApiError::field("policy", "must not be combined with a bundle")),
    };
    answer::ok(&ValidationAnswer {
        valid: problems.iter().all(|problem| problem.severity != "error"),
        problems,
    })
}

fn problems_of_policy(policy: Map<String, Value>) -> Vec<ProblemAnswer> {
    let body: PolicyBody = match extract::fitted(policy) {
        Ok(body) => body,
        Err(misfit) => return vec![ProblemAnswer::of_member("error", misfit.path, misfit.problem)],
    };
    let (severity, problems) = match body.check() {
        Ok(rule) => ("warning", rule.warnings()),
        Err(problems) => ("error", problems),
    };
    let answer = |problem: grantex_core::policy::FieldProblem| {
        ProblemAnswer::of_member(severity, Some(problem.field.to_owned()), problem.problem)
    };
    problems.into_iter().map(answer).collect()
}

async fn problems_of_bundle<S: Store>(
    call: &Call<S>,
    format: BundleFormat,
    content: &str,
) -> Result<Vec<ProblemAnswer>, ApiError> {
    let content = decoded(content)?;
    let problems = off_the_worker(call, move |grantex| match grantex.check_bundle(format, &content) {
        Err(BundleError::Invalid(problems)) => Ok(problems),
        outcome => outcome,
    })
    .await?;
    let mut problems: Vec<ProblemAnswer> = problems.into_iter().map(Into::into).collect();
    if !format.is_evaluated() {
        let message = "this server keeps bundles of this format, but does not evaluate them".to_owned();
        problems.push(ProblemAnswer::of_member("warning", None, message));
    }
    Ok(problems)
}
