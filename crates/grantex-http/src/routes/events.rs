//! Events: what happened lately, and streams of what happens.

use actix_http::ws::{HandshakeError, handshake_response, verify_handshake};
use actix_web::HttpResponse;
use actix_web::http::header::{self, HeaderName, HeaderValue};
use actix_web::http::{Method, StatusCode};
use grantex_core::clock::Timestamp;
use grantex_core::event::filter::EventFilter;
use grantex_core::event::history::{EventQuery, Position};
use grantex_core::id::DeveloperId;
use grantex_core::page::Page;
use grantex_core::secret::SecretHash;
use grantex_core::store::Store;
use serde::Serialize;
use serde_json::value::RawValue;
use utoipa::ToSchema;

use super::audit::raw;
use super::listing::{self, Paging};
use crate::answer;
use crate::call::Call;
use crate::endpoint::{Access, Endpoint, Parameter};
use crate::error::ApiError;
use crate::extract::Query;
use crate::openapi::schema;
use crate::streams::sse::SseBody;
use crate::streams::ws::WsBody;
use crate::streams::{Feed, NoSeat, Opening, StreamNews, StreamTransport};

const TYPES: Parameter = Parameter {
    name: "types",
    about: "Only these types, separated by commas: exact ones, prefixes such as `grant.*`, or `*`",
};
const LAST_EVENT_ID: Parameter = Parameter {
    name: "lastEventId",
    about: "Go on behind this event: its id, or an SSE `id:`. The header Last-Event-ID goes first",
};

pub(crate) const LIST: Endpoint = Endpoint::get(
    "/v1/events",
    Access::Key,
    "Lists the events that are kept, newest first",
)
.query(&[
    TYPES,
    Parameter {
        name: "since",
        about: "Not before this time (RFC 3339)",
    },
    Parameter {
        name: "until",
        about: "Before this time (RFC 3339)",
    },
    listing::PAGE,
    listing::PAGE_SIZE,
    listing::CURSOR,
])
.gives(200, schema::<EventList>)
.refuses(&[400]);
pub(crate) const STREAM: Endpoint = Endpoint::get(
    "/v1/events/stream",
    Access::Key,
    "Streams events as they happen, as server-sent events",
)
.query(&[TYPES, LAST_EVENT_ID])
.gives_other(200, "text/event-stream")
.refuses(&[400, 410]);
pub(crate) const SOCKET: Endpoint = Endpoint::get(
    "/v1/events/ws",
    Access::Key,
    "Streams events as they happen, over a WebSocket",
)
.query(&[TYPES, LAST_EVENT_ID])
.gives_nothing(101)
.refuses(&[400, 410, 426]);

const LAST_EVENT_ID_HEADER: HeaderName = HeaderName::from_static("last-event-id");
/// Keeps nginx from holding answers back.
const ACCEL_BUFFERING: HeaderName = HeaderName::from_static("x-accel-buffering");

/// A page of events.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct EventList {
    /// Envelopes as they were sent: `id`, `type`, `createdAt`, `data`.
    #[schema(value_type = Vec<EventEnvelope>)]
    events: Vec<Box<RawValue>>,
    #[serde(flatten)]
    paging: Paging,
}

/// Something that happened.
#[derive(ToSchema)]
#[schema(rename_all = "camelCase")]
#[expect(
    dead_code,
    reason = "only described: events are served as the bytes that were stored"
)]
pub(crate) struct EventEnvelope {
    id: String,
    /// For example `grant.revoked`.
    #[schema(rename = "type")]
    kind: String,
    #[schema(format = DateTime)]
    created_at: String,
    /// What it is about; depends on the type.
    #[schema(value_type = Object)]
    data: (),
}

pub(crate) async fn list<S: Store>(call: &mut Call<S>) -> Result<HttpResponse, ApiError> {
    let developer = call.developer()?;
    let query = call.query()?;
    let wanted = EventQuery {
        filter: types(&query)?,
        since: query.parsed("since", Timestamp::parse_rfc3339, "must be an RFC 3339 date-time")?,
        until: query.parsed("until", Timestamp::parse_rfc3339, "must be an RFC 3339 date-time")?,
    };
    let request = query.page()?;
    let page = call
        .read(call.grantex.events(&developer, wanted, request.clone()))
        .await?;
    let paging = Paging::of(&request, &page);
    let Page { items, .. } = page;
    let events = items
        .into_iter()
        .map(|event| raw(event.payload))
        .collect::<Result<_, _>>()?;
    answer::ok(&EventList { events, paging })
}

pub(crate) async fn stream<S: Store>(call: &mut Call<S>) -> Result<HttpResponse, ApiError> {
    let wish = Wish::of(call)?;
    let mut response = HttpResponse::Ok();
    response
        .insert_header((header::CONTENT_TYPE, HeaderValue::from_static("text/event-stream")))
        .insert_header((header::CACHE_CONTROL, HeaderValue::from_static("no-cache")))
        .insert_header((ACCEL_BUFFERING, HeaderValue::from_static("no")));
    if call.request().method() == Method::HEAD {
        return Ok(response.finish());
    }
    let feed = open(call, StreamTransport::Sse, wish).await?;
    Ok(response.body(SseBody::new(feed)))
}

pub(crate) async fn socket<S: Store>(call: &mut Call<S>) -> Result<HttpResponse, ApiError> {
    let wish = Wish::of(call)?;
    verify_handshake(call.request().head()).map_err(not_a_handshake)?;
    let feed = open(call, StreamTransport::WebSocket, wish).await?;
    let payload = call
        .take_payload()
        .ok_or_else(|| ApiError::bad_request("the connection cannot be upgraded"))?;
    let response = handshake_response(call.request().head()).finish();
    Ok(HttpResponse::from(response)
        .set_body(WsBody::new(feed, payload))
        .map_into_boxed_body())
}

/// What a stream is to bring.
struct Wish {
    filter: EventFilter,
    after: Option<Position>,
}

impl Wish {
    fn of<S: Store>(call: &Call<S>) -> Result<Self, ApiError> {
        let query = call.query()?;
        // A browser repeats the address when it connects again, but only the header tells how far it came.
        let (name, text) = match call.headers().get(LAST_EVENT_ID_HEADER) {
            Some(value) if !value.is_empty() => ("Last-Event-ID", value.to_str().ok()),
            _ => ("lastEventId", Some(query.get("lastEventId").unwrap_or_default())),
        };
        let after = match text {
            Some("") => None,
            text => {
                let position = text.and_then(Position::parse);
                Some(
                    position
                        .ok_or_else(|| ApiError::field(name, "must be the id of an event or of a server-sent event"))?,
                )
            }
        };
        Ok(Self {
            filter: types(&query)?,
            after,
        })
    }
}

/// `types`, compared exactly; without it, and when it is empty, every type is meant.
fn types(query: &Query<'_>) -> Result<EventFilter, ApiError> {
    match query.get("types") {
        None | Some("") => Ok(EventFilter::everything()),
        Some(text) => EventFilter::parse(text.split(',')).map_err(|error| ApiError::field("types", &error.to_string())),
    }
}

/// Opens a stream for the caller.
async fn open<S: Store>(call: &Call<S>, transport: StreamTransport, wish: Wish) -> Result<Feed<S>, ApiError> {
    let developer = call.developer()?;
    let app = &call.app;
    let limit = app.settings.streams.per_developer;
    let seat = app.streams.seat(
        &developer.id,
        transport,
        usize::try_from(limit.get()).unwrap_or(usize::MAX),
    );
    let seat = match seat {
        Ok(seat) => seat,
        Err(NoSeat::Closed) => return Err(ApiError::draining()),
        Err(NoSeat::Taken) => {
            app.observer.stream(StreamNews::Refused(transport));
            let message = format!("at most {limit} event streams of this kind may be open at a time");
            return Err(ApiError::new(
                StatusCode::TOO_MANY_REQUESTS,
                "TOO_MANY_CONNECTIONS",
                message,
            ));
        }
    };
    let beginning = call.read(app.grantex.resume_events(&developer.id, wish.after)).await?;
    let opening = Opening {
        transport,
        key_hash: key_in_force(call, &developer.id).await?,
        request_id: call.request_id.clone(),
        now: app.grantex.clock().monotonic(),
        beginning,
        filter: wish.filter,
    };
    Feed::open(app.clone(), seat, opening).ok_or_else(ApiError::draining)
}

/// The key with which the stream is opened; of a caller who is known without one, the key in force: the stream ends when it is replaced.
async fn key_in_force<S: Store>(call: &Call<S>, developer: &DeveloperId) -> Result<SecretHash, ApiError> {
    if let Some(key) = &call.key {
        return Ok(key.sha256());
    }
    let heads = call.read(call.grantex.event_heads(vec![developer.clone()])).await?;
    let head = heads.into_iter().next();
    head.map(|head| head.key_hash)
        .ok_or_else(|| ApiError::unauthorized("there is no such developer"))
}

fn not_a_handshake(error: HandshakeError) -> ApiError {
    match error {
        HandshakeError::BadWebsocketKey => ApiError::field("Sec-WebSocket-Key", "must be 16 bytes in base64"),
        HandshakeError::GetMethodRequired
        | HandshakeError::NoWebsocketUpgrade
        | HandshakeError::NoConnectionUpgrade
        | HandshakeError::NoVersionHeader
        | HandshakeError::UnsupportedVersion => ApiError::new(
            StatusCode::UPGRADE_REQUIRED,
            "UPGRADE_REQUIRED",
            "this route speaks WebSocket, version 13",
        ),
    }
}
