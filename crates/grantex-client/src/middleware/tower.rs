//! A tower layer: for axum, and whatever else takes one.
//!
//! ```no_run
//! use axum::{Extension, Router, routing::get};
//! use grantex_client::middleware::{Guard, tower::Protect};
//! use grantex_client::{Authorized, Requirements, Verifier};
//!
//! # fn app() -> Result<Router, Box<dyn std::error::Error>> {
//! let verifier = Verifier::builder("https://auth.example.com").audience("https://api.example.com").build()?;
//! let guard = Guard::new(verifier, Requirements::new().scope("calendar:read"));
//! let app = Router::new()
//!     .route("/events", get(|Extension(who): Extension<Authorized>| async move { who.agent_did().to_owned() }))
//!     .layer(Protect::new(guard));
//! # Ok(app)
//! # }
//! ```

use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll};

use http::header::{AUTHORIZATION, CONTENT_TYPE, RETRY_AFTER, WWW_AUTHENTICATE};
use http::{HeaderValue, Request, Response, StatusCode};
use tower_layer::Layer;
use tower_service::Service;

use super::{Guard, Refusal};

/// Lets through requests whose token the guard admits.
#[derive(Clone)]
pub struct Protect(Guard);

impl Protect {
    /// A layer with this guard.
    pub const fn new(guard: Guard) -> Self {
        Self(guard)
    }
}

impl<S> Layer<S> for Protect {
    type Service = Protected<S>;

    fn layer(&self, inner: S) -> Protected<S> {
        Protected {
            guard: self.0.clone(),
            inner,
        }
    }
}

/// A service behind a guard.
#[derive(Clone)]
pub struct Protected<S> {
    guard: Guard,
    inner: S,
}

impl<S, B, R> Service<Request<B>> for Protected<S>
where
    S: Service<Request<B>, Response = Response<R>> + Clone + Send + 'static,
    S::Future: Send,
    B: Send + 'static,
    R: From<String>,
{
    type Response = Response<R>;
    type Error = S::Error;
    type Future = Pin<Box<dyn Future<Output = Result<Response<R>, S::Error>> + Send>>;

    fn poll_ready(&mut self, context: &mut Context<'_>) -> Poll<Result<(), S::Error>> {
        self.inner.poll_ready(context)
    }

    fn call(&mut self, mut request: Request<B>) -> Self::Future {
        let guard = self.guard.clone();
        // The one that was found ready is used, and a copy stays.
        let copy = self.inner.clone();
        let mut inner = std::mem::replace(&mut self.inner, copy);
        Box::pin(async move {
            let headers: Vec<HeaderValue> = request.headers().get_all(AUTHORIZATION).iter().cloned().collect();
            match guard.admit(headers.iter().map(HeaderValue::as_bytes)).await {
                Ok(authorized) => {
                    request.extensions_mut().insert(authorized);
                    inner.call(request).await
                }
                Err(refusal) => Ok(answer(refusal)),
            }
        })
    }
}

fn answer<R: From<String>>(refusal: Refusal) -> Response<R> {
    let mut response = Response::new(R::from(refusal.body));
    *response.status_mut() = StatusCode::from_u16(refusal.status).unwrap_or(StatusCode::UNAUTHORIZED);
    let headers = response.headers_mut();
    headers.insert(CONTENT_TYPE, HeaderValue::from_static(super::CONTENT_TYPE));
    if let Some(challenge) = refusal.challenge.and_then(|text| HeaderValue::try_from(text).ok()) {
        headers.insert(WWW_AUTHENTICATE, challenge);
    }
    if let Some(after) = refusal.retry_after {
        headers.insert(RETRY_AFTER, HeaderValue::from_static(after));
    }
    response
}
