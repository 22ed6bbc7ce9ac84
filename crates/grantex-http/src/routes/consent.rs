//! Consent as JSON: what is asked, and the decision. Whoever knows the request's id may ask and decide.

use actix_web::HttpResponse;
use actix_web::http::header;
use grantex_core::authorize::{ConsentError, ConsentRequest, Origin};
use grantex_core::clock::Timestamp;
use grantex_core::id::AuthRequestId;
use grantex_core::scope;
use grantex_core::store::Store;
use serde::Serialize;
use utoipa::ToSchema;

use crate::answer;
use crate::call::Call;
use crate::endpoint::{Access, AddressLimit, Endpoint};
use crate::error::ApiError;
use crate::limit::Bucket;
use crate::openapi::schema;

pub(crate) const SHOW: Endpoint = Endpoint::get("/v1/consent/{id}", Access::Public, "Shows what a principal is asked")
    .limited_by(AddressLimit::Own(Bucket::Consent))
    .gives(200, schema::<ConsentAnswer>)
    .refuses(&[404, 410]);
pub(crate) const APPROVE: Endpoint = Endpoint::post(
    "/v1/consent/{id}/approve",
    Access::Public,
    "Approves in the principal's name",
)
.limited_by(AddressLimit::Own(Bucket::Consent))
.gives(200, schema::<Decision>)
.refuses(&[403, 404, 410]);
pub(crate) const DENY: Endpoint = Endpoint::post(
    "/v1/consent/{id}/deny",
    Access::Public,
    "Refuses in the principal's name",
)
.limited_by(AddressLimit::Own(Bucket::Consent))
.gives(200, schema::<Decision>)
.refuses(&[403, 404, 410]);

/// What a principal is asked.
#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub(crate) struct ConsentAnswer {
    id: String,
    developer_name: String,
    agent_name: String,
    agent_did: String,
    agent_description: Option<String>,
    scopes: Vec<String>,
    /// A sentence for each scope, in the same order.
    scope_descriptions: Vec<String>,
    /// How long the grant would live.
    expires_in: String,
    /// Until when the request can be decided.
    #[schema(value_type = String, format = DateTime)]
    expires_at: Timestamp,
    status: &'static str,
    fido_required: bool,
}

/// Where the browser goes after a decision.
#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Decision<'a> {
    /// The authorization code, after an approval.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    code: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    redirect_uri: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    state: Option<&'a str>,
}

impl From<ConsentRequest> for ConsentAnswer {
    fn from(asked: ConsentRequest) -> Self {
        let ConsentRequest {
            request,
            developer,
            agent,
            ..
        } = asked;
        Self {
            id: request.id.to_string(),
            developer_name: developer.name,
            agent_name: agent.name,
            agent_did: agent.id.did(),
            agent_description: (!agent.description.is_empty()).then_some(agent.description),
            scope_descriptions: request
                .scopes
                .as_slice()
                .iter()
                .map(|item| scope::describe(item))
                .collect(),
            scopes: request.scopes.as_slice().to_vec(),
            expires_in: request.expires_in.to_string(),
            expires_at: request.expires_at,
            status: "pending",
            fido_required: false,
        }
    }
}

pub(crate) async fn show<S: Store>(call: &mut Call<S>) -> Result<HttpResponse, ApiError> {
    let id = id(call)?;
    let asked = call.read(call.grantex.consent_request(call.context(), id)).await?;
    answer::ok(&ConsentAnswer::from(asked))
}

pub(crate) async fn approve<S: Store>(call: &mut Call<S>) -> Result<HttpResponse, ApiError> {
    refuse_other_sites(call)?;
    call.no_body().await?;
    let (id, origin) = (id(call)?, origin(call));
    let approved = call
        .write(|grantex, ctx| async move { grantex.approve_consent(&ctx, id, origin).await })
        .await?;
    answer::ok(&Decision {
        code: Some(approved.code.expose()),
        redirect_uri: approved.redirect_uri.as_deref(),
        state: approved.state.as_deref().filter(|state| !state.is_empty()),
    })
}

pub(crate) async fn deny<S: Store>(call: &mut Call<S>) -> Result<HttpResponse, ApiError> {
    refuse_other_sites(call)?;
    call.no_body().await?;
    let (id, origin) = (id(call)?, origin(call));
    let denied = call
        .write(|grantex, ctx| async move { grantex.deny_consent(&ctx, id, origin).await })
        .await?;
    answer::ok(&Decision {
        code: None,
        redirect_uri: denied.redirect_uri.as_deref(),
        state: denied.state.as_deref().filter(|state| !state.is_empty()),
    })
}

pub(super) fn refuse_other_sites<S: Store>(call: &Call<S>) -> Result<(), ApiError> {
    if call.app.cors.is_foreign(call.request()) {
        return Err(ApiError::forbidden("other sites may not decide"));
    }
    Ok(())
}

/// Who decides, as far as it can be seen.
pub(super) fn origin<S: Store>(call: &Call<S>) -> Origin {
    Origin::new(call.client, call.header(&header::USER_AGENT))
}

/// An id that cannot be one belongs to no request.
pub(super) fn id<S: Store>(call: &Call<S>) -> Result<AuthRequestId, ApiError> {
    Ok(AuthRequestId::parse(&call.segment("id")?).ok_or(ConsentError::NotFound)?)
}
