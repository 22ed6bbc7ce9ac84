//! Bundles: policies as code.

use actix_web::{HttpResponse, web};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use grantex_core::Grantex;
use grantex_core::clock::Timestamp;
use grantex_core::policy::{Bundle, BundleError, BundleFormat, SyncBundle};
use grantex_core::store::Store;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use crate::answer;
use crate::call::Call;
use crate::endpoint::{Access, Endpoint, Parameter};
use crate::error::ApiError;
use crate::extract::{NonBlank, present};
use crate::openapi::schema;

pub(crate) const SYNC: Endpoint =
    Endpoint::post("/v1/policies/sync", Access::Key, "Stores a bundle and puts it in force")
        .takes(schema::<SyncBody>)
        .gives(201, schema::<SyncAnswer>)
        .refuses(&[400]);
pub(crate) const LIST: Endpoint = Endpoint::get(
    "/v1/policies/bundles",
    Access::Key,
    "Lists the newest bundles, newest first",
)
.query(&[FORMAT])
.gives(200, schema::<BundleList>)
.refuses(&[400]);
pub(crate) const ACTIVE: Endpoint =
    Endpoint::get("/v1/policies/bundles/active", Access::Key, "Shows the bundle in force")
        .query(&[FORMAT])
        .gives(200, schema::<BundleAnswer>)
        .refuses(&[400, 404]);

const FORMAT: Parameter = Parameter {
    name: "format",
    about: "`cedar` or `rego`",
};

#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, ToSchema)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Format {
    Cedar,
    Rego,
}

impl From<Format> for BundleFormat {
    fn from(format: Format) -> Self {
        match format {
            Format::Cedar => Self::Cedar,
            Format::Rego => Self::Rego,
        }
    }
}

/// A bundle.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub(crate) struct SyncBody {
    /// `cedar` is checked and evaluated by this server; `rego` is only kept.
    format: Format,
    /// What you call this state of it.
    #[schema(value_type = String, min_length = 1, max_length = 128)]
    version: NonBlank<128>,
    /// What it holds, in base64; at most 262144 bytes once decoded.
    content: String,
    /// How many files it was made of; 1 by default.
    #[serde(default, deserialize_with = "present")]
    #[schema(nullable = false, minimum = 1, maximum = 10_000)]
    file_count: Option<u32>,
    /// Whether it is in force at once; true by default.
    #[serde(default, deserialize_with = "present")]
    #[schema(nullable = false)]
    activate: Option<bool>,
}

/// A bundle that was stored.
#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub(crate) struct SyncAnswer {
    bundle_id: String,
    /// `cedar` or `rego`.
    format: &'static str,
    version: String,
    /// SHA-256 of what it holds, in hex.
    sha256: String,
    file_count: u32,
    activated: bool,
    /// Whether this server decides by it while it is in force.
    evaluated: bool,
}

/// A bundle, without what it holds.
#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub(crate) struct BundleAnswer {
    id: String,
    developer_id: String,
    /// `cedar` or `rego`.
    format: &'static str,
    version: String,
    /// SHA-256 of what it holds, in hex.
    sha256: String,
    file_count: u32,
    active: bool,
    /// Whether this server decides by it while it is in force.
    evaluated: bool,
    #[schema(value_type = String, format = DateTime)]
    created_at: Timestamp,
    /// The same as `createdAt`.
    #[schema(value_type = String, format = DateTime)]
    uploaded_at: Timestamp,
}

/// Bundles.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct BundleList {
    bundles: Vec<BundleAnswer>,
}

impl From<Bundle> for BundleAnswer {
    fn from(bundle: Bundle) -> Self {
        Self {
            id: bundle.id.to_string(),
            developer_id: bundle.developer_id.to_string(),
            format: bundle.format.as_str(),
            version: bundle.version,
            sha256: bundle.sha256,
            file_count: bundle.file_count,
            active: bundle.is_active,
            evaluated: bundle.format.is_evaluated(),
            created_at: bundle.created_at,
            uploaded_at: bundle.created_at,
        }
    }
}

impl TryFrom<SyncBody> for SyncBundle {
    type Error = ApiError;

    fn try_from(body: SyncBody) -> Result<Self, ApiError> {
        let file_count = body.file_count.unwrap_or(1);
        if !(1..=10_000).contains(&file_count) {
            return Err(ApiError::field("fileCount", "must be from 1 to 10000"));
        }
        Ok(Self {
            format: body.format.into(),
            version: body.version.0,
            content: decoded(&body.content)?,
            file_count,
            activate: body.activate.unwrap_or(true),
        })
    }
}

/// What a bundle holds.
pub(super) fn decoded(content: &str) -> Result<Vec<u8>, ApiError> {
    STANDARD
        .decode(content)
        .map_err(|_| ApiError::field("content", "must be base64, padded and in one line"))
}

/// Compiles a bundle on a thread of its own: it may take long, and a worker has other connections to serve.
pub(super) async fn off_the_worker<S: Store, T: Send + 'static>(
    call: &Call<S>,
    check: impl FnOnce(Grantex<S>) -> Result<T, BundleError> + Send + 'static,
) -> Result<T, ApiError> {
    let grantex = call.grantex.clone();
    call.read(async {
        let checked = web::block(move || check(grantex)).await;
        checked.map_err(ApiError::internal)?.map_err(ApiError::from)
    })
    .await
}

pub(crate) async fn sync<S: Store>(call: &mut Call<S>) -> Result<HttpResponse, ApiError> {
    let developer = call.developer()?;
    let command: SyncBundle = call.json::<SyncBody>().await?.try_into()?;
    let bundle = off_the_worker(call, move |grantex| grantex.check_sync(command)).await?;
    let bundle = call
        .write(|grantex, ctx| async move { grantex.sync_bundle(&ctx, &developer, bundle).await })
        .await?;
    answer::created(&SyncAnswer {
        bundle_id: bundle.id.to_string(),
        format: bundle.format.as_str(),
        version: bundle.version,
        sha256: bundle.sha256,
        file_count: bundle.file_count,
        activated: bundle.is_active,
        evaluated: bundle.format.is_evaluated(),
    })
}

pub(crate) async fn list<S: Store>(call: &mut Call<S>) -> Result<HttpResponse, ApiError> {
    let developer = call.developer()?;
    let format = format(call)?;
    let bundles = call.read(call.grantex.bundles(&developer, format)).await?;
    answer::ok(&BundleList {
        bundles: bundles.into_iter().map(Into::into).collect(),
    })
}

pub(crate) async fn active<S: Store>(call: &mut Call<S>) -> Result<HttpResponse, ApiError> {
    let developer = call.developer()?;
    let format = format(call)?.ok_or_else(|| ApiError::field("format", "is required: cedar or rego"))?;
    let bundle = call.read(call.grantex.active_bundle(&developer, format)).await?;
    answer::ok(&BundleAnswer::from(
        bundle.ok_or_else(|| ApiError::not_found("active bundle"))?,
    ))
}

fn format<S: Store>(call: &Call<S>) -> Result<Option<BundleFormat>, ApiError> {
    call.query()?
        .parsed("format", BundleFormat::parse, "must be cedar or rego")
}
