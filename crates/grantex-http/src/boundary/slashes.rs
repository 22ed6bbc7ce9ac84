//! Paths that begin with several slashes.

use actix_web::dev::ServiceRequest;
use actix_web::http::uri::{PathAndQuery, Uri};

/// Takes a request that begins `//v1/…` for one that begins `/v1/…`.
///
/// A published client writes its base URL, slash included, in front of the path of event streams. Routes cannot do this for
/// themselves, so wrap the app that mounts them:
///
/// ```no_run
/// # use actix_web::dev::Service as _;
/// # use grantex_core::store::Store;
/// # fn app<S: Store>(app: actix_web::web::Data<grantex_http::App<S>>) {
/// let app = actix_web::App::new()
///     .wrap_fn(|request, routes| routes.call(grantex_http::collapse_leading_slashes(request)))
///     .configure(grantex_http::routes(app));
/// # }
/// ```
pub fn collapse_leading_slashes(mut request: ServiceRequest) -> ServiceRequest {
    let uri = request.uri();
    let Some(shortened) = uri.path_and_query().and_then(shorten) else {
        return request;
    };
    let mut parts = uri.clone().into_parts();
    parts.path_and_query = Some(shortened);
    if let Ok(uri) = Uri::from_parts(parts) {
        request.match_info_mut().get_mut().update(&uri);
        request.head_mut().uri = uri;
    }
    request
}

fn shorten(path: &PathAndQuery) -> Option<PathAndQuery> {
    let text = path.as_str();
    if !text.starts_with("//") {
        return None;
    }
    format!("/{}", text.trim_start_matches('/')).parse().ok()
}
