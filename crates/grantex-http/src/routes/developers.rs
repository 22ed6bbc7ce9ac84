//! Accounts: signing up, the profile, the key.

use actix_web::HttpResponse;
use grantex_core::clock::Timestamp;
use grantex_core::developer::{Developer, Mode, Signup};
use grantex_core::error::StoreError;
use grantex_core::plan::Plan;
use grantex_core::store::Store;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use crate::answer;
use crate::call::Call;
use crate::endpoint::{Access, AddressLimit, Endpoint};
use crate::error::ApiError;
use crate::extract::{EmailAddress, NonBlank, Nullable, present};
use crate::limit::Bucket;
use crate::openapi::schema;

pub(crate) const SIGNUP: Endpoint = Endpoint::post(
    "/v1/signup",
    Access::Public,
    "Makes an account; its key is shown only here",
)
.limited_by(AddressLimit::Own(Bucket::Signup))
.takes(schema::<SignupBody>)
.gives(201, schema::<SignupAnswer>)
.refuses(&[400, 409]);
pub(crate) const ME: Endpoint = Endpoint::get("/v1/me", Access::Key, "Shows the account").gives(200, schema::<Profile>);
pub(crate) const UPDATE: Endpoint = Endpoint::patch("/v1/me", Access::Key, "Changes the account's settings")
    .takes(schema::<SettingsBody>)
    .gives(200, schema::<UpdatedProfile>)
    .refuses(&[400]);
pub(crate) const ROTATE: Endpoint = Endpoint::post(
    "/v1/keys/rotate",
    Access::Key,
    "Replaces the API key; the old one stops working at once",
)
.limited_by(AddressLimit::Own(Bucket::KeyRotation))
.gives(200, schema::<RotatedAnswer>);

#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, ToSchema)]
#[serde(rename_all = "lowercase")]
pub(crate) enum AccountMode {
    Live,
    Sandbox,
}

/// A new account.
#[derive(Debug, Deserialize, ToSchema)]
pub(crate) struct SignupBody {
    #[schema(value_type = String, min_length = 1, max_length = 200)]
    name: NonBlank<200>,
    #[serde(default)]
    #[schema(value_type = Option<String>, max_length = 254)]
    email: Nullable<EmailAddress>,
    /// `live` by default.
    #[serde(default, deserialize_with = "present")]
    #[schema(nullable = false)]
    mode: Option<AccountMode>,
}

/// An account and its key.
#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub(crate) struct SignupAnswer<'a> {
    developer_id: &'a str,
    api_key: &'a str,
    name: &'a str,
    email: Option<&'a str>,
    #[schema(value_type = String)]
    mode: Mode,
    #[schema(value_type = String, format = DateTime)]
    created_at: Timestamp,
}

/// An account.
#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Profile {
    developer_id: String,
    name: String,
    email: Option<String>,
    #[schema(value_type = String)]
    mode: Mode,
    #[schema(value_type = String)]
    plan: Plan,
    fido_required: bool,
    fido_rp_name: Option<String>,
    #[schema(value_type = String, format = DateTime)]
    created_at: Timestamp,
}

impl From<&Developer> for Profile {
    fn from(developer: &Developer) -> Self {
        Self {
            developer_id: developer.id.to_string(),
            name: developer.name.clone(),
            email: developer.email.clone(),
            mode: developer.mode,
            plan: developer.plan,
            fido_required: false,
            fido_rp_name: developer.fido_rp_name.clone(),
            created_at: developer.created_at,
        }
    }
}

/// New settings; at least one.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub(crate) struct SettingsBody {
    /// Only `false`: this server does not ask for passkeys.
    #[serde(default, deserialize_with = "present")]
    #[schema(nullable = false)]
    fido_required: Option<bool>,
    #[serde(default, deserialize_with = "present")]
    #[schema(value_type = Option<String>, min_length = 1, max_length = 100, nullable = false)]
    fido_rp_name: Option<NonBlank<100>>,
}

/// An account after a change.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct UpdatedProfile {
    updated: bool,
    #[serde(flatten)]
    profile: Profile,
}

/// A new key.
#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub(crate) struct RotatedAnswer<'a> {
    api_key: &'a str,
    #[schema(value_type = String, format = DateTime)]
    rotated_at: Timestamp,
}

pub(crate) async fn signup<S: Store>(call: &mut Call<S>) -> Result<HttpResponse, ApiError> {
    let body: SignupBody = call.json().await?;
    let mode = match body.mode {
        None | Some(AccountMode::Live) => Mode::Live,
        Some(AccountMode::Sandbox) => Mode::Sandbox,
    };
    let command = Signup {
        name: body.name.0,
        email: body.email.map(|email| email.0),
        mode,
    };
    let account = call
        .write(|grantex, ctx| async move { grantex.signup(&ctx, command).await })
        .await?;
    answer::created(&SignupAnswer {
        developer_id: account.developer.id.as_str(),
        api_key: account.api_key.expose(),
        name: &account.developer.name,
        email: account.developer.email.as_deref(),
        mode: account.developer.mode,
        created_at: account.developer.created_at,
    })
}

pub(crate) async fn me<S: Store>(call: &mut Call<S>) -> Result<HttpResponse, ApiError> {
    answer::ok(&Profile::from(&*call.developer()?))
}

pub(crate) async fn update<S: Store>(call: &mut Call<S>) -> Result<HttpResponse, ApiError> {
    let developer = call.developer()?;
    let body: SettingsBody = call.json().await?;
    if body.fido_required == Some(true) {
        return Err(ApiError::field("fidoRequired", "is not served by this server"));
    }
    if body.fido_required.is_none() && body.fido_rp_name.is_none() {
        return Err(ApiError::bad_request(
            "one of `fidoRequired` and `fidoRpName` is required",
        ));
    }
    let mut profile = Profile::from(&*developer);
    if let Some(NonBlank(name)) = body.fido_rp_name {
        profile.fido_rp_name = Some(name.clone());
        let flow = |grantex: grantex_core::Grantex<S>, ctx| async move {
            grantex.set_fido_rp_name(&ctx, &developer, name).await
        };
        call.write::<(), StoreError, _>(flow).await?;
    }
    answer::ok(&UpdatedProfile { updated: true, profile })
}

pub(crate) async fn rotate<S: Store>(call: &mut Call<S>) -> Result<HttpResponse, ApiError> {
    let developer = call.developer()?;
    call.no_body().await?;
    let presented = call
        .key
        .clone()
        .ok_or_else(|| ApiError::unauthorized("an API key is required"))?;
    let rotated = call
        .write(|grantex, ctx| async move { grantex.rotate_api_key(&ctx, &developer, &presented).await })
        .await?;
    answer::ok(&RotatedAnswer {
        api_key: rotated.api_key.expose(),
        rotated_at: rotated.rotated_at,
    })
}
