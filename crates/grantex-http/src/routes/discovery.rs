//! What the server publishes about itself.

use actix_web::HttpResponse;
use actix_web::http::header::{self, HeaderValue};
use grantex_core::store::Store;
use serde_json::{Value, json};

use crate::answer;
use crate::call::Call;
use crate::endpoint::{Access, AddressLimit, Endpoint};
use crate::error::ApiError;
use crate::etag;
use crate::openapi::any_object;

pub(crate) const JWKS: Endpoint = Endpoint::get(
    "/.well-known/jwks.json",
    Access::Public,
    "The public keys of tokens (RFC 7517)",
)
.limited_by(AddressLimit::Exempt)
.gives(200, any_object);
pub(crate) const BISCUIT_KEYS: Endpoint = Endpoint::get(
    "/.well-known/biscuit-keys.json",
    Access::Public,
    "The public root keys of Biscuits: JWKs (RFC 8037) with the number by which tokens name them",
)
.limited_by(AddressLimit::Exempt)
.gives(200, any_object);
pub(crate) const DID: Endpoint =
    Endpoint::get("/.well-known/did.json", Access::Public, "The server's own DID document").gives(200, any_object);
pub(crate) const METADATA: Endpoint = Endpoint::get(
    "/.well-known/oauth-authorization-server",
    Access::Public,
    "What OAuth clients need to know (RFC 8414)",
)
.gives(200, any_object);
pub(crate) const OPENAPI: Endpoint =
    Endpoint::get("/openapi.json", Access::Public, "This description of the API").gives(200, any_object);

/// Verifiers may keep keys for five minutes; a new key is published longer than that before it signs.
const CACHED: HeaderValue = HeaderValue::from_static("public, max-age=300");

pub(crate) async fn jwks<S: Store>(call: &mut Call<S>) -> Result<HttpResponse, ApiError> {
    let keys = call.grantex.keys();
    let mut response = if etag::is_known(call.headers(), keys.jwks_etag()) {
        HttpResponse::NotModified().finish()
    } else {
        HttpResponse::Ok()
            .insert_header((header::CONTENT_TYPE, answer::JSON))
            .body(keys.jwks().to_owned())
    };
    let headers = response.headers_mut();
    headers.insert(header::CACHE_CONTROL, CACHED);
    headers.insert(
        header::ETAG,
        HeaderValue::from_str(keys.jwks_etag()).map_err(ApiError::internal)?,
    );
    Ok(response)
}

/// No keys where Biscuits are not offered: there are none to verify.
pub(crate) async fn biscuit_keys<S: Store>(call: &mut Call<S>) -> Result<HttpResponse, ApiError> {
    let keys = call.grantex.keys();
    let published = keys.biscuits().map(|biscuits| biscuits.published()).unwrap_or_default();
    cached(&json!({"keys": published}))
}

pub(crate) async fn did<S: Store>(call: &mut Call<S>) -> Result<HttpResponse, ApiError> {
    let did = format!("did:web:{}", call.app.settings.did_web_domain);
    let keys = call.grantex.keys();
    let mut ids: Vec<String> = Vec::new();
    let mut methods: Vec<Value> = Vec::new();
    let biscuits = keys.biscuits().map(|biscuits| biscuits.published()).unwrap_or_default();
    for key in keys.public_keys().iter().chain(biscuits) {
        let id = format!("{did}#{}", key.get("kid").and_then(Value::as_str).unwrap_or_default());
        methods.push(json!({"id": id, "type": "JsonWebKey2020", "controller": did, "publicKeyJwk": key}));
        ids.push(id);
    }
    cached(&json!({
        "@context": ["https://www.w3.org/ns/did/v1", "https://w3id.org/security/suites/jws-2020/v1"],
        "id": did,
        "verificationMethod": methods,
        "authentication": ids,
        "assertionMethod": ids,
        "service": [
            {"id": format!("{did}#jwks"), "type": "JsonWebKeySet", "serviceEndpoint": call.app.link(JWKS.path)},
            {"id": format!("{did}#grant-protocol"), "type": "GrantexProtocol", "serviceEndpoint": call.app.link("/v1")},
        ],
    }))
}

pub(crate) async fn metadata<S: Store>(call: &mut Call<S>) -> Result<HttpResponse, ApiError> {
    let app = &call.app;
    cached(&json!({
        "issuer": app.grantex.settings().issuer,
        "token_endpoint": app.link(super::token::EXCHANGE.path),
        "jwks_uri": app.link(JWKS.path),
        "introspection_endpoint": app.link(super::oauth::INTROSPECT.path),
        "revocation_endpoint": app.link(super::oauth::REVOKE.path),
        "service_documentation": app.link(OPENAPI.path),
        "grant_types_supported": ["authorization_code", "refresh_token"],
        // Codes come from POST /v1/authorize and the consent page; there is no authorization endpoint for browsers.
        "response_types_supported": ["code"],
        "response_modes_supported": ["query"],
        "token_endpoint_auth_methods_supported": ["client_secret_basic"],
        "introspection_endpoint_auth_methods_supported": ["client_secret_basic", "Bearer"],
        "revocation_endpoint_auth_methods_supported": ["client_secret_basic", "Bearer"],
        "code_challenge_methods_supported": ["S256"],
    }))
}

pub(crate) async fn openapi<S: Store>(call: &mut Call<S>) -> Result<HttpResponse, ApiError> {
    let app = &call.app;
    let text = app
        .openapi
        .text(super::ENDPOINTS, &app.grantex.settings().public_base_url)?;
    let body = HttpResponse::Ok()
        .insert_header((header::CONTENT_TYPE, answer::JSON))
        .body(text);
    Ok(body)
}

fn cached(value: &Value) -> Result<HttpResponse, ApiError> {
    let mut response = answer::ok(value)?;
    response.headers_mut().insert(header::CACHE_CONTROL, CACHED);
    Ok(response)
}
