//! One request on its way through its handler: who asks, what was sent, and how long it may take.

use std::cell::OnceCell;
use std::future::Future;
use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use actix_web::http::header::{HeaderMap, HeaderName, HeaderValue};
use actix_web::{HttpRequest, web};
use grantex_core::Grantex;
use grantex_core::context::Context;
use grantex_core::developer::Developer;
use grantex_core::event::Event;
use grantex_core::principal::Session;
use grantex_core::secret::Secret;
use grantex_core::store::Store;
use grantex_core::trace::{Recording, TraceContext};
use serde::de::DeserializeOwned;
use serde_json::{Map, Value};
use tokio::time::Instant;

use crate::app::App;
use crate::endpoint::{Counted, Endpoint};
use crate::error::ApiError;
use crate::extract::{self, Body, Query};
use crate::limit::{Bucket, Caller, Decision};
use crate::pages::Message;

const TRACEPARENT: HeaderName = HeaderName::from_static("traceparent");

/// A request in work. Handlers ask it for what they need, in the order in which it may be refused.
pub(crate) struct Call<S: Store> {
    pub(crate) app: web::Data<App<S>>,
    /// The service, which records what this call asks of the store.
    pub(crate) grantex: Grantex<S>,
    /// Who called, as they say in `traceparent`.
    pub(crate) caller: Option<TraceContext>,
    pub(crate) recording: Recording,
    pub(crate) endpoint: Endpoint,
    pub(crate) request_id: String,
    pub(crate) started: Duration,
    /// How long it waited because it was asked to.
    pub(crate) idle: Duration,
    pub(crate) client: IpAddr,
    pub(crate) developer: Option<Arc<Developer>>,
    pub(crate) key: Option<Secret<String>>,
    pub(crate) session: Option<Session>,
    /// The limit that the answer shows.
    pub(crate) shown: Option<Decision>,
    /// The flow that counts this attempt.
    pub(crate) counted: Option<Counted>,
    /// Whether the caller expects errors as OAuth words them.
    pub(crate) is_oauth: bool,
    /// What a person is told about a request that is gone.
    pub(crate) told: Option<Message>,
    /// The methods that the path does answer, when it does not answer this one.
    pub(crate) allow: Option<HeaderValue>,
    request: HttpRequest,
    payload: Option<web::Payload>,
    deadline: Instant,
    context: OnceCell<Context>,
}

impl<S: Store> Call<S> {
    pub(crate) fn new(app: web::Data<App<S>>, endpoint: Endpoint, request: HttpRequest, payload: web::Payload) -> Self {
        let mut random = [0_u8; 16];
        app.random.fill(&mut random);
        let request_id = uuid::Builder::from_random_bytes(random).into_uuid().to_string();
        let caller = traceparent(request.headers());
        let recording = app.recording(caller);
        Self {
            grantex: app.grantex.recorded(&recording),
            caller,
            recording,
            started: app.grantex.clock().monotonic(),
            idle: Duration::ZERO,
            client: app.settings.trust_proxy.client_of(&request),
            deadline: Instant::now() + app.settings.request_deadline,
            endpoint,
            request_id,
            developer: None,
            key: None,
            session: None,
            shown: None,
            counted: endpoint.counted,
            is_oauth: endpoint.is_oauth,
            told: None,
            allow: None,
            request,
            payload: Some(payload),
            context: OnceCell::new(),
            app,
        }
    }

    pub(crate) fn request(&self) -> &HttpRequest {
        &self.request
    }

    pub(crate) fn headers(&self) -> &HeaderMap {
        self.request.headers()
    }

    /// A header that is text; `None` also when it is not.
    pub(crate) fn header(&self, name: &HeaderName) -> Option<&str> {
        self.headers().get(name).and_then(|value| value.to_str().ok())
    }

    /// The context of this call's flows; made when it is first needed, dated from the start of the request.
    pub(crate) fn context(&self) -> &Context {
        self.context.get_or_init(|| {
            let id = self.request_id.clone();
            let logger = match self.recording.place() {
                Some(place) => {
                    let trace_id = place.trace_id.to_string();
                    self.app
                        .logger
                        .new(slog::o!("traceId" => trace_id, "requestId" => id.clone()))
                }
                None => self.app.logger.new(slog::o!("requestId" => id.clone())),
            };
            Context::new(logger, id, self.started, self.recording.clone())
        })
    }

    /// Whether a flow has taken over reporting.
    pub(crate) fn was_entered(&self) -> bool {
        self.context.get().is_some_and(Context::was_entered)
    }

    /// The developer whose key was presented.
    pub(crate) fn developer(&self) -> Result<Arc<Developer>, ApiError> {
        self.developer
            .clone()
            .ok_or_else(|| ApiError::unauthorized("an API key is required"))
    }

    /// The principal whose session was presented.
    pub(crate) fn session(&self) -> Result<Session, ApiError> {
        self.session
            .clone()
            .ok_or_else(|| ApiError::unauthorized("a session token is required"))
    }

    /// A segment of the path; `None` when it cannot be an id, because it is no text.
    pub(crate) fn segment(&self, name: &str) -> Result<String, ApiError> {
        let text = self.request.match_info().get(name).unwrap_or_default();
        extract::decode(text)
            .map(std::borrow::Cow::into_owned)
            .ok_or_else(bad_path)
    }

    /// The query string, read strictly.
    pub(crate) fn query(&self) -> Result<Query<'_>, ApiError> {
        Query::parse(self.request.query_string())
    }

    /// What the client sends, for who reads it for as long as the connection lasts.
    pub(crate) fn take_payload(&mut self) -> Option<web::Payload> {
        self.payload.take()
    }

    /// The body, as far as it may be used.
    pub(crate) async fn body(&mut self) -> Result<Body, ApiError> {
        let Some(payload) = &mut self.payload else {
            return Ok(Body::Absent);
        };
        match tokio::time::timeout_at(self.deadline, extract::read_body(self.request.headers(), payload)).await {
            Ok(body) => body,
            Err(_) => {
                let message = "the body did not arrive in time";
                Err(ApiError::new(
                    actix_web::http::StatusCode::REQUEST_TIMEOUT,
                    "REQUEST_TIMEOUT",
                    message,
                ))
            }
        }
    }

    /// The body as a JSON object, which must be there.
    pub(crate) async fn object(&mut self) -> Result<Map<String, Value>, ApiError> {
        match self.body().await? {
            Body::Json(bytes) => extract::parse_object(&bytes),
            Body::Absent | Body::Text => Err(ApiError::bad_request("the body must be a JSON object")),
            Body::Form(_) => Err(extract::unsupported()),
        }
    }

    /// The body as a typed JSON object, which must be there.
    pub(crate) async fn json<T: DeserializeOwned>(&mut self) -> Result<T, ApiError> {
        extract::typed(self.object().await?)
    }

    /// The body as a typed JSON object, all of whose members are optional, so that there need not be any body.
    pub(crate) async fn optional_json<T: DeserializeOwned + Default>(&mut self) -> Result<T, ApiError> {
        match self.body().await? {
            Body::Json(bytes) => extract::typed(extract::parse_object(&bytes)?),
            Body::Absent | Body::Text => Ok(T::default()),
            Body::Form(_) => Err(extract::unsupported()),
        }
    }

    /// Reads a body that means nothing here, and still refuses what is no body at all.
    pub(crate) async fn no_body(&mut self) -> Result<(), ApiError> {
        match self.body().await? {
            Body::Json(bytes) => extract::parse_object(&bytes).map(drop),
            Body::Absent | Body::Text => Ok(()),
            Body::Form(_) => Err(extract::unsupported()),
        }
    }

    /// Takes one from a bucket of this address; what is left is shown.
    pub(crate) fn count_address(&mut self, bucket: Bucket) -> Result<(), ApiError> {
        self.count(bucket, Caller::address(self.client))
    }

    /// Takes one from a bucket of a caller; what is left is shown.
    pub(crate) fn count(&mut self, bucket: Bucket, caller: Caller) -> Result<(), ApiError> {
        let decision = self.app.limiter.take(bucket, caller);
        self.obey(decision)
    }

    /// Shows a limiter's decision, and refuses when it does and limits are on.
    pub(crate) fn obey(&mut self, decision: Decision) -> Result<(), ApiError> {
        self.shown = Some(decision);
        let Some(retry_after) = decision
            .retry_after
            .filter(|_| self.app.settings.rate_limits.is_enabled)
        else {
            return Ok(());
        };
        let event = Event::RateLimitHit {
            ip: self.client.to_string(),
            endpoint: self.endpoint.path,
            retry_after,
        };
        self.grantex.emit(self.context(), &event);
        Err(ApiError::rate_limited(&decision))
    }

    /// Runs what only reads, until the deadline.
    pub(crate) async fn read<T, E: Into<ApiError>>(
        &self,
        work: impl Future<Output = Result<T, E>>,
    ) -> Result<T, ApiError> {
        match tokio::time::timeout_at(self.deadline, work).await {
            Ok(result) => result.map_err(Into::into),
            Err(elapsed) => Err(ApiError::unavailable(elapsed)),
        }
    }

    /// Runs what may write, in a task of its own: neither a vanished client nor the deadline stops it halfway.
    ///
    /// At the deadline the unit of work is withdrawn if it has not begun, and then nothing was done; if it has, nobody can say.
    pub(crate) async fn write<T, E, W>(&self, flow: impl FnOnce(Grantex<S>, Context) -> W) -> Result<T, ApiError>
    where
        T: Send + 'static,
        E: Into<ApiError> + Send + 'static,
        W: Future<Output = Result<T, E>> + Send + 'static,
    {
        let task = tokio::spawn(flow(self.grantex.clone(), self.context().clone()));
        match tokio::time::timeout_at(self.deadline, task).await {
            Ok(Ok(result)) => result.map_err(Into::into),
            Ok(Err(panicked)) => Err(ApiError::internal(panicked)),
            Err(elapsed) if self.context().admission().withdraw() => Err(ApiError::unavailable(elapsed)),
            Err(elapsed) => Err(ApiError::internal(elapsed)),
        }
    }
}

/// Where the caller is in its trace. A header that is none, or is there twice, is ignored (W3C Trace Context §4.3).
fn traceparent(headers: &HeaderMap) -> Option<TraceContext> {
    let mut values = headers.get_all(TRACEPARENT);
    let value = values.next()?;
    match values.next() {
        Some(_) => None,
        None => TraceContext::parse(value.to_str().ok()?),
    }
}

/// Refuses a path that is no text.
pub(crate) fn bad_path() -> ApiError {
    ApiError::bad_request("the path must be UTF-8 text without NUL")
}
