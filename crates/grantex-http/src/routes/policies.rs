//! Policies: making, listing, changing, removing.

use actix_web::HttpResponse;
use grantex_core::clock::Timestamp;
use grantex_core::id::PolicyId;
use grantex_core::policy::{Change, Effect, FieldProblem, Policy, PolicyError, Rule, RuleChanges, RuleDraft};
use grantex_core::store::Store;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::listing::{self, Paging};
use crate::answer;
use crate::call::Call;
use crate::endpoint::{Access, Endpoint};
use crate::error::ApiError;
use crate::extract::{Nullable, clearable, present};
use crate::openapi::schema;

pub(crate) const CREATE: Endpoint = Endpoint::post("/v1/policies", Access::Key, "Makes a policy")
    .takes(schema::<PolicyBody>)
    .gives(201, schema::<PolicyAnswer>)
    .refuses(&[400, 402]);
pub(crate) const LIST: Endpoint = Endpoint::get(
    "/v1/policies",
    Access::Key,
    "Lists policies, the highest priority first, then the oldest",
)
.query(listing::PAGING)
.gives(200, schema::<PolicyList>)
.refuses(&[400]);
pub(crate) const GET: Endpoint = Endpoint::get("/v1/policies/{id}", Access::Key, "Shows a policy")
    .gives(200, schema::<PolicyAnswer>)
    .refuses(&[404]);
pub(crate) const UPDATE: Endpoint = Endpoint::patch("/v1/policies/{id}", Access::Key, "Changes a policy")
    .takes(schema::<PolicyUpdate>)
    .gives(200, schema::<PolicyAnswer>)
    .refuses(&[400, 402, 404]);
pub(crate) const DELETE: Endpoint =
    Endpoint::delete("/v1/policies/{id}", Access::Key, "Removes a policy").refuses(&[404]);

/// What a policy does when it matches.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, ToSchema)]
#[serde(rename_all = "lowercase")]
pub(crate) enum PolicyEffect {
    Allow,
    Deny,
}

impl From<PolicyEffect> for Effect {
    fn from(effect: PolicyEffect) -> Self {
        match effect {
            PolicyEffect::Allow => Self::Allow,
            PolicyEffect::Deny => Self::Deny,
        }
    }
}

/// A new policy. It matches when all of its conditions hold; one that is absent always holds.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub(crate) struct PolicyBody {
    /// For people.
    #[schema(min_length = 1, max_length = 200)]
    name: String,
    /// `deny` refuses, `allow` approves without asking the person. Any matching `deny` decides before any `allow`.
    effect: PolicyEffect,
    /// Among policies of one effect the highest decides; 0 by default.
    #[serde(default, deserialize_with = "present")]
    #[schema(value_type = Option<i32>, nullable = false)]
    priority: Option<i64>,
    /// The agent that acts.
    #[serde(default, deserialize_with = "present")]
    #[schema(nullable = false)]
    agent_id: Option<String>,
    /// The person for whom it acts.
    #[serde(default, deserialize_with = "present")]
    #[schema(nullable = false, min_length = 1, max_length = 256)]
    principal_id: Option<String>,
    /// Scopes, or families of them such as `calendar:*`. `allow` needs all that are asked for to be listed, `deny` any.
    #[serde(default, deserialize_with = "present")]
    #[schema(nullable = false, min_items = 1, max_items = 100)]
    scopes: Option<Vec<String>>,
    /// The audience of the tokens. A `deny` also matches when none is named.
    #[serde(default, deserialize_with = "present")]
    #[schema(nullable = false, min_length = 1, max_length = 1024)]
    audience: Option<String>,
    /// The first minute, as HH:MM; needs `timeOfDayEnd`. Later than the end, it goes over midnight; equal to it, never matches.
    #[serde(default, deserialize_with = "present")]
    #[schema(nullable = false, pattern = r"^([01]\d|2[0-3]):[0-5]\d$")]
    time_of_day_start: Option<String>,
    /// The minute after the last, as HH:MM.
    #[serde(default, deserialize_with = "present")]
    #[schema(nullable = false, pattern = r"^([01]\d|2[0-3]):[0-5]\d$")]
    time_of_day_end: Option<String>,
    /// Whose clock is meant: a name of the IANA time zone database; UTC by default.
    #[serde(default, deserialize_with = "present")]
    #[schema(nullable = false)]
    time_zone: Option<String>,
    /// `mon` to `sun`. A window that goes over midnight belongs to the day on which it starts.
    #[serde(default, deserialize_with = "present")]
    #[schema(nullable = false, min_items = 1, max_items = 7)]
    days_of_week: Option<Vec<String>>,
}

/// Changes to a policy: what is absent stays, null empties a condition, so that it always holds.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub(crate) struct PolicyUpdate {
    /// For people.
    #[serde(default)]
    #[schema(min_length = 1, max_length = 200)]
    name: Nullable<String>,
    #[serde(default)]
    effect: Nullable<PolicyEffect>,
    /// Among policies of one effect the highest decides.
    #[serde(default)]
    #[schema(value_type = Option<i32>)]
    priority: Nullable<i64>,
    /// The agent that acts.
    #[serde(default, deserialize_with = "clearable")]
    #[schema(value_type = Option<String>)]
    agent_id: Change<String>,
    /// The person for whom it acts.
    #[serde(default, deserialize_with = "clearable")]
    #[schema(value_type = Option<String>)]
    principal_id: Change<String>,
    /// Scopes, or families of them such as `calendar:*`.
    #[serde(default, deserialize_with = "clearable")]
    #[schema(value_type = Option<Vec<String>>)]
    scopes: Change<Vec<String>>,
    /// The audience of the tokens.
    #[serde(default, deserialize_with = "clearable")]
    #[schema(value_type = Option<String>)]
    audience: Change<String>,
    /// The first minute, as HH:MM.
    #[serde(default, deserialize_with = "clearable")]
    #[schema(value_type = Option<String>)]
    time_of_day_start: Change<String>,
    /// The minute after the last, as HH:MM.
    #[serde(default, deserialize_with = "clearable")]
    #[schema(value_type = Option<String>)]
    time_of_day_end: Change<String>,
    /// Whose clock is meant.
    #[serde(default, deserialize_with = "clearable")]
    #[schema(value_type = Option<String>)]
    time_zone: Change<String>,
    /// `mon` to `sun`.
    #[serde(default, deserialize_with = "clearable")]
    #[schema(value_type = Option<Vec<String>>)]
    days_of_week: Change<Vec<String>>,
}

/// A policy.
#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub(crate) struct PolicyAnswer {
    id: String,
    name: String,
    /// `allow` or `deny`.
    effect: &'static str,
    priority: i64,
    agent_id: Option<String>,
    principal_id: Option<String>,
    scopes: Option<Vec<String>>,
    audience: Option<String>,
    /// HH:MM.
    time_of_day_start: Option<String>,
    /// HH:MM.
    time_of_day_end: Option<String>,
    /// Null means UTC.
    time_zone: Option<String>,
    days_of_week: Option<Vec<String>>,
    #[schema(value_type = String, format = DateTime)]
    created_at: Timestamp,
    #[schema(value_type = String, format = DateTime)]
    updated_at: Timestamp,
}

/// A page of policies.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct PolicyList {
    policies: Vec<PolicyAnswer>,
    /// How many there are on all pages.
    total: u64,
    #[serde(flatten)]
    paging: Paging,
}

impl From<Policy> for PolicyAnswer {
    fn from(policy: Policy) -> Self {
        let said = RuleDraft::from(&policy.rule);
        Self {
            id: policy.id.to_string(),
            name: said.name,
            effect: said.effect.as_str(),
            priority: said.priority,
            agent_id: said.agent_id,
            principal_id: said.principal_id,
            scopes: said.scopes,
            audience: said.audience,
            time_of_day_start: said.time_of_day_start,
            time_of_day_end: said.time_of_day_end,
            time_zone: said.time_zone,
            days_of_week: said.days_of_week,
            created_at: policy.created_at,
            updated_at: policy.updated_at,
        }
    }
}

impl PolicyBody {
    /// The rule, or everything that is wrong with it.
    pub(super) fn check(self) -> Result<Rule, Vec<FieldProblem>> {
        let draft = RuleDraft {
            name: self.name,
            effect: self.effect.into(),
            priority: self.priority.unwrap_or(0),
            agent_id: self.agent_id,
            principal_id: self.principal_id,
            scopes: self.scopes,
            audience: self.audience,
            time_of_day_start: self.time_of_day_start,
            time_of_day_end: self.time_of_day_end,
            time_zone: self.time_zone,
            days_of_week: self.days_of_week,
        };
        draft.check()
    }
}

impl From<PolicyUpdate> for RuleChanges {
    fn from(body: PolicyUpdate) -> Self {
        Self {
            name: body.name,
            effect: body.effect.map(Into::into),
            priority: body.priority,
            agent_id: body.agent_id,
            principal_id: body.principal_id,
            scopes: body.scopes,
            audience: body.audience,
            time_of_day_start: body.time_of_day_start,
            time_of_day_end: body.time_of_day_end,
            time_zone: body.time_zone,
            days_of_week: body.days_of_week,
        }
    }
}

/// The first of all that is wrong, as a refusal.
fn first(problems: Vec<FieldProblem>) -> ApiError {
    let first = problems.into_iter().next();
    first.map_or_else(|| ApiError::bad_request("the policy cannot be accepted"), Into::into)
}

pub(crate) async fn create<S: Store>(call: &mut Call<S>) -> Result<HttpResponse, ApiError> {
    let developer = call.developer()?;
    let rule = call.json::<PolicyBody>().await?.check().map_err(first)?;
    let policy = call
        .write(|grantex, ctx| async move { grantex.create_policy(&ctx, &developer, rule).await })
        .await?;
    answer::created(&PolicyAnswer::from(policy))
}

pub(crate) async fn list<S: Store>(call: &mut Call<S>) -> Result<HttpResponse, ApiError> {
    let developer = call.developer()?;
    let request = call.query()?.page()?;
    let list = call.read(call.grantex.policies(&developer, request.clone())).await?;
    let paging = Paging::of(&request, &list.page);
    answer::ok(&PolicyList {
        policies: list.page.items.into_iter().map(Into::into).collect(),
        total: list.total,
        paging,
    })
}

pub(crate) async fn get<S: Store>(call: &mut Call<S>) -> Result<HttpResponse, ApiError> {
    let developer = call.developer()?;
    let policy = match id(call)? {
        Some(id) => call.read(call.grantex.policy(&developer, id)).await?,
        None => None,
    };
    answer::ok(&PolicyAnswer::from(policy.ok_or(PolicyError::NotFound)?))
}

pub(crate) async fn update<S: Store>(call: &mut Call<S>) -> Result<HttpResponse, ApiError> {
    let developer = call.developer()?;
    let changes: RuleChanges = call.json::<PolicyUpdate>().await?.into();
    let id = id(call)?.ok_or(PolicyError::NotFound)?;
    let policy = call
        .write(|grantex, ctx| async move { grantex.update_policy(&ctx, &developer, id, changes).await })
        .await?;
    answer::ok(&PolicyAnswer::from(policy))
}

pub(crate) async fn delete<S: Store>(call: &mut Call<S>) -> Result<HttpResponse, ApiError> {
    let developer = call.developer()?;
    call.no_body().await?;
    let id = id(call)?.ok_or(PolicyError::NotFound)?;
    call.write(|grantex, ctx| async move { grantex.delete_policy(&ctx, &developer, id).await })
        .await?;
    answer::no_content()
}

/// `None` when the segment cannot be a policy's id: then there is no such policy.
fn id<S: Store>(call: &Call<S>) -> Result<Option<PolicyId>, ApiError> {
    Ok(PolicyId::parse(&call.segment("id")?))
}
