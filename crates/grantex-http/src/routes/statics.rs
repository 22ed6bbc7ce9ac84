//! The permissions page and the files that pages use.

use actix_web::HttpResponse;
use actix_web::http::header::{self, HeaderValue};
use grantex_core::store::Store;

use crate::boundary::policy;
use crate::call::Call;
use crate::endpoint::{Access, Endpoint};
use crate::error::ApiError;
use crate::etag;
use crate::pages::{PermissionsView, assets};

pub(crate) const PERMISSIONS: Endpoint = Endpoint::get(
    "/permissions",
    Access::Public,
    "The page on which a principal sees and revokes grants",
)
.shown_to_people()
.gives_other(200, "text/html");
pub(crate) const ASSET: Endpoint = Endpoint::get("/static/{name}", Access::Public, "A file of the pages")
    .gives_other(200, "application/octet-stream")
    .refuses(&[404]);

pub(crate) async fn permissions<S: Store>(call: &mut Call<S>) -> Result<HttpResponse, ApiError> {
    let html = PermissionsView {
        base_path: &call.app.base_path,
    }
    .page()
    .map_err(ApiError::internal)?;
    let mut response = HttpResponse::Ok().content_type("text/html; charset=utf-8").body(html);
    let headers = response.headers_mut();
    headers.insert(header::CONTENT_SECURITY_POLICY, policy::PERMISSIONS);
    headers.insert(header::REFERRER_POLICY, HeaderValue::from_static("same-origin"));
    Ok(response)
}

pub(crate) async fn asset<S: Store>(call: &mut Call<S>) -> Result<HttpResponse, ApiError> {
    let asset = assets::asset(&call.segment("name")?).ok_or_else(|| ApiError::not_found("file"))?;
    let tag = asset.etag();
    let mut response = if etag::is_known(call.headers(), &tag) {
        HttpResponse::NotModified().finish()
    } else {
        HttpResponse::Ok().content_type(asset.content_type()).body(asset.body())
    };
    let cache = asset.cache_control(call.query()?.get("v"));
    let headers = response.headers_mut();
    headers.insert(header::CACHE_CONTROL, HeaderValue::from_static(cache));
    headers.insert(header::ETAG, HeaderValue::try_from(tag).map_err(ApiError::internal)?);
    Ok(response)
}
