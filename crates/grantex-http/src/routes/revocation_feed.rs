//! The revocation feed: what is revoked now, what happened since, as it happens, and how soon clients refused.

use std::time::Duration;

use actix_web::HttpResponse;
use actix_web::http::header::{self, HeaderName, HeaderValue};
use actix_web::http::{Method, StatusCode};
use grantex_core::clock::{Lifetime, Timestamp};
use grantex_core::developer::Developer;
use grantex_core::error::StoreError;
use grantex_core::id::DeveloperId;
use grantex_core::revocation::feed::{FeedChanges, FeedError, SnapshotPlace, parse_position};
use grantex_core::revocation::{FeedHead, RevocationEntry, RevocationHead};
use grantex_core::store::Store;
use serde::{Deserialize, Serialize};
use tokio::time::{Instant, timeout, timeout_at};
use utoipa::ToSchema;

use crate::answer;
use crate::call::Call;
use crate::endpoint::{Access, AddressLimit, Endpoint, Parameter};
use crate::error::ApiError;
use crate::extract::Query;
use crate::feed::wire::Entry;
use crate::feed::{FeedBody, FeedNews, FollowerOpening, Kind};
use crate::limit::Bucket;
use crate::openapi::schema;
use crate::streams::NoSeat;

/// The longest that a question waits for news, in seconds; longer wishes are cut.
const LONGEST_WAIT: u64 = 25;
/// Refusals that one report tells of at most.
const MAX_REFUSALS: usize = 100;
/// How long ago a reported refusal may be, in milliseconds.
const MAX_AGO: i64 = 60_000;

const SINCE: Parameter = Parameter {
    name: "since",
    about: "Behind this position: the `cursor` of an earlier answer",
};

pub(crate) const LIST: Endpoint = Endpoint::get(
    "/v1/revocations",
    Access::Key,
    "Tells what is revoked or suspended now or, with `since`, what happened behind a position",
)
.limited_by(AddressLimit::Developer(Bucket::RevocationFeed))
.query(&[
    SINCE,
    Parameter {
        name: "wait",
        about: "With `since`: seconds to wait while there is nothing to tell, 25 at most",
    },
    Parameter {
        name: "pageToken",
        about: "The `nextPageToken` of the page before",
    },
    Parameter {
        name: "complete",
        about: "With `since`: `true` tells every entry, with its hash, and not only the latest of each grant and token",
    },
])
.gives(200, schema::<Feed<'static>>)
.refuses(&[400, 404, 410]);
pub(crate) const STREAM: Endpoint = Endpoint::get(
    "/v1/revocations/stream",
    Access::Key,
    "Streams revocations as they happen, as server-sent events",
)
.limited_by(AddressLimit::Developer(Bucket::RevocationFeed))
.query(&[SINCE])
.gives_other(200, "text/event-stream")
.refuses(&[400, 404, 410]);
pub(crate) const REFUSALS: Endpoint = Endpoint::post(
    "/v1/revocations/refusals",
    Access::Key,
    "Tells how long ago clients first refused what the feed told, so that the time from revocation to refusal is measured",
)
.limited_by(AddressLimit::Developer(Bucket::RevocationFeed))
.takes(schema::<RefusalsBody>)
.gives(202, schema::<Accepted>)
.refuses(&[400, 404]);

/// Keeps nginx from holding answers back.
const ACCEL_BUFFERING: HeaderName = HeaderName::from_static("x-accel-buffering");

/// A part of the feed.
#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Feed<'a> {
    entries: Vec<Entry<'a>>,
    /// Of a snapshot: where the next page is; `null` on the last one.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<String>)]
    next_page_token: Option<Option<String>>,
    /// Behind which position to go on; on every page of a snapshot the same.
    cursor: i64,
    /// Whether the entries are what is revoked or suspended now, rather than what happened.
    snapshot: bool,
    #[schema(value_type = String, format = DateTime)]
    server_time: Timestamp,
    /// How far the feed went lately, signed: a compact JWS of type `revocation-head+jwt`.
    head: &'a str,
}

/// What clients refused.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub(crate) struct RefusalsBody {
    /// 1 to 100 of them.
    #[schema(min_items = 1, max_items = 100)]
    refusals: Vec<Refusal>,
}

/// The first refusal because of an entry.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Refusal {
    /// The entry's position.
    #[schema(minimum = 1)]
    seq: i64,
    /// How long ago that was when the report was sent, in milliseconds.
    #[schema(minimum = 0, maximum = 60_000)]
    milliseconds_ago: i64,
}

/// How many of the refusals were measured.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct Accepted {
    /// Those of known entries, as far as an entry was not reported too often.
    accepted: usize,
}

pub(crate) async fn list<S: Store>(call: &mut Call<S>) -> Result<HttpResponse, ApiError> {
    enabled(call)?;
    let developer = call.developer()?;
    let query = call.query()?;
    let place = query.parsed(
        "pageToken",
        |text| (!text.is_empty()).then(|| SnapshotPlace::parse(text)).flatten(),
        "must be a nextPageToken of this listing",
    )?;
    let Some(since) = since(&query)? else {
        return snapshot(call, &developer, place).await;
    };
    if place.is_some() {
        return Err(ApiError::field("pageToken", "must not be combined with `since`"));
    }
    let wait = query
        .parsed("wait", seconds, "must be a number of seconds")?
        .unwrap_or_default();
    let is_complete = query
        .parsed("complete", flag, "must be `true` or `false`")?
        .unwrap_or(false);
    let is_head = call.request().method() == Method::HEAD;
    let wait = if is_complete || is_head { Duration::ZERO } else { wait };
    let changes = match is_complete {
        true => read(call, call.grantex.all_revocations_since(&developer.id, since)).await?,
        false => changes(call, &developer, since, wait).await?,
    };
    let part = Part {
        entries: &changes.entries,
        next: None,
        cursor: changes.cursor,
        is_snapshot: false,
        has_hashes: is_complete,
        head: &changes.head,
    };
    part.answer(call, &developer.id)
}

async fn snapshot<S: Store>(
    call: &Call<S>,
    developer: &Developer,
    place: Option<SnapshotPlace>,
) -> Result<HttpResponse, ApiError> {
    let reading = async { Ok(call.grantex.revocation_snapshot(&developer.id, place).await?) };
    let page = read(call, reading).await?;
    let part = Part {
        entries: &page.entries,
        next: Some(page.next.map(SnapshotPlace::encode)),
        cursor: page.cursor,
        is_snapshot: true,
        has_hashes: false,
        head: &page.head,
    };
    part.answer(call, &developer.id)
}

/// What is answered, before it is put into words.
struct Part<'a> {
    entries: &'a [RevocationEntry],
    next: Option<Option<String>>,
    cursor: i64,
    is_snapshot: bool,
    has_hashes: bool,
    head: &'a RevocationHead,
}

impl Part<'_> {
    fn answer<S: Store>(self, call: &Call<S>, developer: &DeveloperId) -> Result<HttpResponse, ApiError> {
        let head = call.app.signed_head(developer, self.head).map_err(ApiError::internal)?;
        let entries = self.entries.iter();
        answer::ok(&Feed {
            entries: entries.map(|entry| Entry::of(entry, self.has_hashes)).collect(),
            next_page_token: self.next,
            cursor: self.cursor,
            snapshot: self.is_snapshot,
            server_time: call.grantex.now(),
            head: &head,
        })
    }
}

/// What happened behind a position; if nothing did, what happens until the wait is over.
async fn changes<S: Store>(
    call: &mut Call<S>,
    developer: &Developer,
    since: i64,
    wait: Duration,
) -> Result<FeedChanges, ApiError> {
    let app = call.app.clone();
    // Whoever asks too often at a time is answered at once; one that is about to stop has no time.
    let limit = usize::try_from(app.settings.feed.per_developer.get()).unwrap_or(usize::MAX);
    let seat = match wait.is_zero() {
        true => None,
        false => app.streams.follow(&developer.id, Kind::Poll, limit).ok(),
    };
    // `told` is taken before each read: what is told meanwhile must not be missed.
    let mut seen = seat.as_ref().map(|seat| seat.channel().seen());
    let deadline = Instant::now() + wait;
    loop {
        let told = seen
            .as_mut()
            .map_or(since, |seen| seen.borrow_and_update().told.max(since));
        let found = read(call, call.grantex.revocations_since(&developer.id, since)).await?;
        let (Some(seen), true) = (&mut seen, found.entries.is_empty() && found.cursor == since) else {
            return Ok(found);
        };
        let began = app.grantex.clock().monotonic();
        let news = timeout_at(deadline, seen.wait_for(|seen| seen.told > told || seen.is_closed)).await;
        call.idle += app.grantex.clock().monotonic().saturating_sub(began);
        let is_over = match news {
            Ok(Ok(seen)) => seen.is_closed,
            Ok(Err(_)) | Err(_) => true,
        };
        if is_over {
            // What is answered is what the store says now, not what it said when the wait began.
            return read(call, call.grantex.revocations_since(&developer.id, since)).await;
        }
    }
}

pub(crate) async fn stream<S: Store>(call: &mut Call<S>) -> Result<HttpResponse, ApiError> {
    enabled(call)?;
    let developer = call.developer()?;
    let wish = since(&call.query()?)?;
    let mut response = HttpResponse::Ok();
    response
        .insert_header((header::CONTENT_TYPE, HeaderValue::from_static("text/event-stream")))
        .insert_header((header::CACHE_CONTROL, HeaderValue::from_static("no-cache")))
        .insert_header((ACCEL_BUFFERING, HeaderValue::from_static("no")));
    if call.request().method() == Method::HEAD {
        return Ok(response.finish());
    }
    let app = call.app.clone();
    let limit = app.settings.feed.per_developer;
    let seats = usize::try_from(limit.get()).unwrap_or(usize::MAX);
    let seat = match app.streams.follow(&developer.id, Kind::Stream, seats) {
        Ok(seat) => seat,
        Err(NoSeat::Closed) => return Err(ApiError::draining()),
        Err(NoSeat::Taken) => {
            app.observer.revocation_feed(FeedNews::Refused);
            let message = format!("at most {limit} streams of the revocation feed may be open at a time");
            return Err(ApiError::new(
                StatusCode::TOO_MANY_REQUESTS,
                "TOO_MANY_CONNECTIONS",
                message,
            ));
        }
    };
    // Without a position, from now on: for who needs no snapshot.
    let first = match wish {
        Some(since) => read(call, call.grantex.revocations_since(&developer.id, since)).await?,
        None => read(call, newest(call, &developer.id)).await?,
    };
    let key_hash = match &call.key {
        Some(key) => key.sha256(),
        // Of a caller who is known without one, the key in force: the stream ends when it is replaced.
        None => read(call, head_of(call, &developer.id))
            .await?
            .map(|found| found.key_hash)
            .ok_or_else(|| ApiError::unauthorized("there is no such developer"))?,
    };
    let opening = FollowerOpening {
        key_hash,
        request_id: call.request_id.clone(),
        now: app.grantex.clock().monotonic(),
    };
    let since = wish.unwrap_or(first.cursor);
    let body = FeedBody::open(app, seat, opening, since, first).ok_or_else(ApiError::draining)?;
    Ok(response.body(body))
}

async fn head_of<S: Store>(call: &Call<S>, developer: &DeveloperId) -> Result<Option<FeedHead>, FeedError> {
    let heads = call.grantex.revocation_heads(vec![developer.clone()]).await?;
    Ok(heads.into_iter().next())
}

/// Nothing, behind the newest entry.
async fn newest<S: Store>(call: &Call<S>, developer: &DeveloperId) -> Result<FeedChanges, FeedError> {
    let head = head_of(call, developer)
        .await?
        .map(|found| found.head)
        .unwrap_or_default();
    Ok(FeedChanges {
        entries: Vec::new(),
        cursor: head.seq,
        head,
    })
}

pub(crate) async fn refusals<S: Store>(call: &mut Call<S>) -> Result<HttpResponse, ApiError> {
    enabled(call)?;
    let developer = call.developer()?;
    let body: RefusalsBody = call.json().await?;
    let received = call.grantex.now();
    if !(1..=MAX_REFUSALS).contains(&body.refusals.len()) {
        return Err(ApiError::field("refusals", "must have 1 to 100 items"));
    }
    for (place, refusal) in body.refusals.iter().enumerate() {
        if refusal.seq < 1 {
            return Err(ApiError::field(&format!("refusals[{place}].seq"), "must be at least 1"));
        }
        if !(0..=MAX_AGO).contains(&refusal.milliseconds_ago) {
            let name = format!("refusals[{place}].millisecondsAgo");
            return Err(ApiError::field(&name, "must be a number from 0 to 60000"));
        }
    }
    let mut seqs: Vec<i64> = body.refusals.iter().map(|refusal| refusal.seq).collect();
    seqs.sort_unstable();
    seqs.dedup();
    let reading = async { Ok(call.grantex.revocation_times(&developer.id, seqs).await?) };
    let times = read(call, reading).await?;
    let mut accepted = 0;
    for refusal in &body.refusals {
        let Some((seq, at)) = times.iter().find(|(seq, _)| *seq == refusal.seq) else {
            continue;
        };
        if !call.app.streams.revocations().refusals.count(&developer.id, *seq) {
            continue;
        }
        accepted += 1;
        // Never negative: a client that is too sure of itself measures nothing.
        let took = received.minus(Lifetime::millis(refusal.milliseconds_ago)).since(*at);
        let took = Duration::from_millis(u64::try_from(took.as_millis()).unwrap_or(0));
        call.app.observer.revocation_feed(FeedNews::Propagated(took));
    }
    answer::accepted(&Accepted { accepted })
}

fn enabled<S: Store>(call: &Call<S>) -> Result<(), ApiError> {
    let is_enabled = call.app.settings.feed.is_enabled;
    is_enabled
        .then_some(())
        .ok_or_else(|| ApiError::not_found("revocation feed"))
}

fn since(query: &Query<'_>) -> Result<Option<i64>, ApiError> {
    query.parsed("since", parse_position, "must be the cursor of an earlier answer")
}

fn seconds(text: &str) -> Option<Duration> {
    let is_number = (1..=9).contains(&text.len()) && text.bytes().all(|byte| byte.is_ascii_digit());
    let seconds: u64 = is_number.then(|| text.parse().ok()).flatten()?;
    Some(Duration::from_secs(seconds.min(LONGEST_WAIT)))
}

fn flag(text: &str) -> Option<bool> {
    match text {
        "true" => Some(true),
        "false" => Some(false),
        _ => None,
    }
}

/// Reads the feed. Its deadline counts from here, not from the request's beginning, which may have been a wait ago.
async fn read<T, S: Store>(call: &Call<S>, reading: impl Future<Output = Result<T, FeedError>>) -> Result<T, ApiError> {
    let reading = timeout(call.app.settings.request_deadline, reading).await;
    reading
        .unwrap_or_else(|elapsed| Err(StoreError::unavailable(elapsed).into()))
        .map_err(|error| match error {
            FeedError::Ahead | FeedError::Expired => ApiError::new(StatusCode::GONE, "CURSOR_GONE", error.to_string()),
            // Whatever it is, a client must not take what it knows for all there is.
            FeedError::Store(cause) => {
                call.app.observer.revocation_feed(FeedNews::ReadFailed);
                ApiError::unavailable(cause).coded("FEED_UNAVAILABLE")
            }
        })
}
