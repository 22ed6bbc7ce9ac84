//! What the operator may do.

use actix_web::HttpResponse;
use grantex_core::developer::SetPlanError;
use grantex_core::id::DeveloperId;
use grantex_core::plan::Plan;
use grantex_core::store::Store;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use crate::answer;
use crate::call::Call;
use crate::endpoint::{Access, Endpoint};
use crate::error::ApiError;
use crate::openapi::schema;

pub(crate) const SET_PLAN: Endpoint = Endpoint::patch(
    "/v1/admin/developers/{id}/plan",
    Access::Admin,
    "Sets a developer's plan",
)
.takes(schema::<PlanBody>)
.gives(200, schema::<PlanAnswer>)
.refuses(&[400, 404, 503]);

#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, ToSchema)]
#[serde(rename_all = "lowercase")]
pub(crate) enum PlanName {
    Free,
    Pro,
    Enterprise,
}

impl From<PlanName> for Plan {
    fn from(name: PlanName) -> Self {
        match name {
            PlanName::Free => Self::Free,
            PlanName::Pro => Self::Pro,
            PlanName::Enterprise => Self::Enterprise,
        }
    }
}

/// The plan to set.
#[derive(Debug, Deserialize, ToSchema)]
pub(crate) struct PlanBody {
    plan: PlanName,
}

/// A developer's plan.
#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub(crate) struct PlanAnswer {
    developer_id: String,
    #[schema(value_type = String)]
    plan: Plan,
}

pub(crate) async fn set_plan<S: Store>(call: &mut Call<S>) -> Result<HttpResponse, ApiError> {
    let plan = Plan::from(call.json::<PlanBody>().await?.plan);
    let id = DeveloperId::parse(&call.segment("id")?).ok_or(SetPlanError::UnknownDeveloper)?;
    let developer_id = id.to_string();
    call.write(|grantex, ctx| async move { grantex.set_plan(&ctx, id, plan).await })
        .await?;
    answer::ok(&PlanAnswer { developer_id, plan })
}
