//! A middleware for actix-web.
//!
//! ```no_run
//! use actix_web::{App, web};
//! use grantex_client::middleware::{Guard, actix::Protect};
//! use grantex_client::{Authorized, Requirements, Verifier};
//!
//! async fn events(who: web::ReqData<Authorized>) -> String {
//!     who.agent_did().to_owned()
//! }
//!
//! # fn app() -> Result<(), Box<dyn std::error::Error>> {
//! let verifier = Verifier::builder("https://auth.example.com").audience("https://api.example.com").build()?;
//! let guard = Guard::new(verifier, Requirements::new().scope("calendar:read"));
//! let app = App::new().service(web::scope("/calendar").wrap(Protect::new(guard)).route("/events", web::get().to(events)));
//! # Ok(())
//! # }
//! ```

use std::future::{Future, Ready, ready};
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll};

use actix_web::body::EitherBody;
use actix_web::dev::{Service, ServiceRequest, ServiceResponse, Transform};
use actix_web::http::StatusCode;
use actix_web::http::header::{AUTHORIZATION, CONTENT_TYPE, HeaderValue, RETRY_AFTER, WWW_AUTHENTICATE};
use actix_web::{Error, HttpMessage as _, HttpResponse};

use super::{Guard, Refusal};

/// Lets through requests whose token the guard admits.
#[derive(Clone)]
pub struct Protect(Guard);

impl Protect {
    /// A middleware with this guard.
    pub const fn new(guard: Guard) -> Self {
        Self(guard)
    }
}

impl<S, B> Transform<S, ServiceRequest> for Protect
where
    S: Service<ServiceRequest, Response = ServiceResponse<B>, Error = Error> + 'static,
    B: 'static,
{
    type Response = ServiceResponse<EitherBody<B>>;
    type Error = Error;
    type Transform = Protected<S>;
    type InitError = ();
    type Future = Ready<Result<Protected<S>, ()>>;

    fn new_transform(&self, service: S) -> Self::Future {
        ready(Ok(Protected {
            guard: self.0.clone(),
            inner: Rc::new(service),
        }))
    }
}

/// A service behind a guard.
pub struct Protected<S> {
    guard: Guard,
    inner: Rc<S>,
}

impl<S, B> Service<ServiceRequest> for Protected<S>
where
    S: Service<ServiceRequest, Response = ServiceResponse<B>, Error = Error> + 'static,
    B: 'static,
{
    type Response = ServiceResponse<EitherBody<B>>;
    type Error = Error;
    type Future = Pin<Box<dyn Future<Output = Result<Self::Response, Error>>>>;

    fn poll_ready(&self, context: &mut Context<'_>) -> Poll<Result<(), Error>> {
        self.inner.poll_ready(context)
    }

    fn call(&self, request: ServiceRequest) -> Self::Future {
        let (guard, inner) = (self.guard.clone(), Rc::clone(&self.inner));
        Box::pin(async move {
            let headers: Vec<HeaderValue> = request.headers().get_all(AUTHORIZATION).cloned().collect();
            match guard.admit(headers.iter().map(HeaderValue::as_bytes)).await {
                Ok(authorized) => {
                    request.extensions_mut().insert(authorized);
                    Ok(inner.call(request).await?.map_into_left_body())
                }
                Err(refusal) => Ok(request.into_response(answer(refusal)).map_into_right_body()),
            }
        })
    }
}

fn answer(refusal: Refusal) -> HttpResponse {
    let status = StatusCode::from_u16(refusal.status).unwrap_or(StatusCode::UNAUTHORIZED);
    let mut response = HttpResponse::build(status);
    response.insert_header((CONTENT_TYPE, super::CONTENT_TYPE));
    if let Some(challenge) = refusal.challenge {
        response.insert_header((WWW_AUTHENTICATE, challenge));
    }
    if let Some(after) = refusal.retry_after {
        response.insert_header((RETRY_AFTER, after));
    }
    response.body(refusal.body)
}
