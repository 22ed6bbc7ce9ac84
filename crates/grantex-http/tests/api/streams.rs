use std::rc::Rc;

use grantex_core::clock::Lifetime;
use grantex_core::sweep::Retention;
use grantex_http::{StreamEnd, StreamNews, StreamTransport};
use serde_json::json;

use crate::support::TestApp;
use crate::support::stream::events;

const STREAM: &str = "/v1/events/stream";

fn ended(end: StreamEnd) -> StreamNews {
    StreamNews::Ended(StreamTransport::Sse, end)
}

/// What was measured of streams since the last look, without counts of events.
fn news(app: &TestApp) -> Vec<StreamNews> {
    let mut news = std::mem::take(&mut *app.measured.streams.lock().unwrap());
    news.retain(|news| !matches!(news, StreamNews::Sent(_)));
    news
}

#[actix_web::test]
async fn a_stream_begins_at_once() {
    let app = TestApp::start().await;
    let mut stream = app
        .get(STREAM)
        .key(&app.live)
        .header("accept-encoding", "gzip")
        .open()
        .await;
    assert_eq!(stream.status, 200);
    let header = |name: &str| stream.headers.get(name).map(|value| value.to_str().unwrap());
    assert_eq!(header("content-type"), Some("text/event-stream"));
    assert_eq!(header("cache-control"), Some("no-cache"));
    assert_eq!(header("x-accel-buffering"), Some("no"));
    assert_eq!((header("content-encoding"), header("content-length")), (None, None));
    assert!(header("x-request-id").is_some());
    assert_eq!(stream.next().await.as_deref(), Some(": open\nid: 0\n\n"));
    assert!(stream.is_silent());
    assert_eq!(app.measured.in_flight.lock().unwrap().iter().sum::<i64>(), 0);
    assert_eq!(news(&app), [StreamNews::Opened(StreamTransport::Sse)]);
}

#[actix_web::test]
async fn what_happens_arrives_in_the_envelope() {
    let app = TestApp::start().await;
    let agent = app.agent(&["read", "write"]).await;
    let mut stream = app.open(STREAM).await;
    let tokens = app.tokens(&agent).await;
    app.app.tend_streams().await;
    let text = stream.next().await.unwrap();
    let arrived = events(&text);
    assert_eq!(arrived.iter().map(|(seq, _)| *seq).collect::<Vec<_>>(), [1, 2]);
    let (_, created) = &arrived[0];
    assert_eq!(created["type"], "grant.created");
    assert_eq!(created["data"]["grantId"], tokens["grantId"]);
    assert_eq!(created["createdAt"], app.clock_text());
    assert!(created["id"].as_str().unwrap().starts_with("evt_"));
    assert_eq!(arrived[1].1["type"], "token.issued");
    assert!(!text.contains("event:") && text.ends_with("\n\n"));
    assert!(stream.is_silent());
    assert!(app.measured.streams.lock().unwrap().contains(&StreamNews::Sent(2)));

    let listed = app.get("/v1/events").key(&app.live).send().await.expect(200);
    assert_eq!(listed["events"], json!([arrived[1].1, arrived[0].1]));
    let other = app.get("/v1/events").key(&app.sandbox).send().await.expect(200);
    assert_eq!(other["events"], json!([]));
}

#[actix_web::test]
async fn signals_wake_streams_while_somebody_looks_after_them() {
    let app = Rc::new(TestApp::start().await);
    let agent = app.agent(&["read", "write"]).await;
    let data = app.app.clone();
    let running = actix_web::rt::spawn(async move { data.run_streams().await });
    let mut stream = app.open(STREAM).await;
    app.tokens(&agent).await;
    assert_eq!(events(&stream.next().await.unwrap()).len(), 2);
    running.abort();
}

#[actix_web::test]
async fn streams_can_be_looked_after_from_any_thread() {
    fn is_send(_: impl Send) {}
    let app = TestApp::start().await;
    is_send(app.app.run_streams());
    is_send(app.app.tend_streams());
}

#[actix_web::test]
async fn only_wanted_types_arrive() {
    let app = TestApp::start().await;
    let mut some = app.open("/v1/events/stream?types=grant.revoked%2Cgrant.denied").await;
    let mut prefix = app.open("/v1/events/stream?types=token.*").await;
    let mut every = app.open("/v1/events/stream?types=").await;
    app.append(&[
        "grant.created",
        "token.issued",
        "grant.revoked",
        "token.revoked",
        "grant.denied",
    ])
    .await;
    app.app.tend_streams().await;
    assert_eq!(some.seqs_now(), [3, 5]);
    assert_eq!(prefix.seqs_now(), [2, 4]);
    assert_eq!(every.seqs_now(), [1, 2, 3, 4, 5]);
    for types in [
        "nonsense",
        "grant.created, token.issued",
        "grant",
        "%20",
        "GRANT.CREATED",
        ",",
    ] {
        let message = app
            .refused(&format!("/v1/events/stream?types={}", types.replace(' ', "%20")))
            .await
            .bad_request();
        assert!(
            message.starts_with("`types` must name event types"),
            "{types}: {message}"
        );
        assert!(
            message.contains("grant.revoked") && message.contains("budget.threshold"),
            "{message}"
        );
    }
}

#[actix_web::test]
async fn a_client_goes_on_where_it_was() {
    let app = TestApp::start().await;
    let envelopes = app.append(&["grant.created"; 4]).await;
    let resume = async |query: &str, header: Option<&str>| {
        let ask = app.get(&format!("{STREAM}{query}")).key(&app.live);
        let ask = match header {
            Some(value) => ask.header("last-event-id", value),
            None => ask,
        };
        let mut stream = ask.open().await;
        assert_eq!(stream.status, 200, "{query} {header:?}");
        assert!(stream.next().await.unwrap().starts_with(": open\n"));
        stream.seqs_now()
    };
    let third = envelopes[2]["id"].as_str().unwrap();
    assert_eq!(resume("", None).await, [] as [i64; 0]);
    assert_eq!(resume("", Some("")).await, [] as [i64; 0]);
    assert_eq!(resume("", Some("0")).await, [1, 2, 3, 4]);
    assert_eq!(resume("", Some("3")).await, [4]);
    assert_eq!(resume("", Some("4")).await, [] as [i64; 0]);
    assert_eq!(resume("?lastEventId=2", None).await, [3, 4]);
    assert_eq!(
        resume("?lastEventId=0", Some("2")).await,
        [3, 4],
        "the header knows better"
    );
    assert_eq!(resume("", Some(third)).await, [4]);
    assert_eq!(resume(&format!("?lastEventId={third}"), None).await, [4]);
}

#[actix_web::test]
async fn a_position_that_is_none_is_refused() {
    let app = TestApp::start().await;
    app.append(&["grant.created"; 2]).await;
    for text in ["x", "-1", "1.5", "%20", "1e3", "evt_", "99999999999999999999"] {
        let message = app.refused(&format!("{STREAM}?lastEventId={text}")).await.bad_request();
        assert!(message.starts_with("`lastEventId` must be the id"), "{message}");
    }
    let header = app.get(STREAM).key(&app.live).header("last-event-id", "ü").send().await;
    assert!(header.bad_request().starts_with("`Last-Event-ID` must be"));
    let ahead = app.refused(&format!("{STREAM}?lastEventId=3")).await.bad_request();
    assert_eq!(ahead, "`lastEventId` is ahead of the newest event");
    assert_eq!(news(&app), []);
}

#[actix_web::test]
async fn what_is_no_longer_kept_is_not_skipped() {
    let app = TestApp::start().await;
    let old = app.append(&["grant.created"; 3]).await;
    app.clock.advance(Lifetime::days(8));
    app.append(&["grant.created"]).await;
    app.app.grantex().janitor(&Retention::default()).await.unwrap();
    for lost in [
        "0",
        "2",
        old[1]["id"].as_str().unwrap(),
        "evt_01ARZ3NDEKTSV4RRFFQ69G5FAV",
    ] {
        let answer = app
            .get(STREAM)
            .key(&app.live)
            .header("last-event-id", lost)
            .send()
            .await;
        let message = answer.problem(410, "GONE");
        assert!(message.contains("kept"), "{lost}: {message}");
    }
    let mut stream = app.get(STREAM).key(&app.live).header("last-event-id", "3").open().await;
    stream.next().await;
    assert_eq!(stream.seqs_now(), [4]);
}

#[actix_web::test]
async fn a_stream_that_is_overtaken_by_the_janitor_says_so() {
    let app = TestApp::start().await;
    app.append(&["grant.created"; 5]).await;
    let mut stream = app.open(&format!("{STREAM}?lastEventId=0")).await;
    app.clock.advance(Lifetime::days(8));
    app.app.grantex().janitor(&Retention::default()).await.unwrap();
    // The first look finds that the channel keeps none of it, the second one that the store does not either.
    assert_eq!(stream.next().await.as_deref(), Some(": ended: expired\n\n"));
    assert_eq!(stream.next().await, None);
    assert_eq!(
        news(&app),
        [StreamNews::Opened(StreamTransport::Sse), ended(StreamEnd::Expired)]
    );
}

#[actix_web::test]
async fn thousands_of_events_arrive_once_and_in_order() {
    let app = TestApp::start().await;
    app.append(&["token.issued"; 700]).await;
    let mut stream = app.open(&format!("{STREAM}?lastEventId=0")).await;
    let mut seqs = Vec::new();
    while seqs.len() < 100 {
        seqs.extend(events(&stream.next().await.unwrap()).iter().map(|(seq, _)| *seq));
    }
    // More arrive than a channel keeps, while the stream is still behind.
    app.append(&["token.issued"; 600]).await;
    app.app.tend_streams().await;
    while seqs.len() < 1_300 {
        let text = stream.next().await.unwrap();
        assert!(text.len() < 200 * 1_024);
        seqs.extend(events(&text).iter().map(|(seq, _)| *seq));
    }
    assert_eq!(seqs, (1..=1_300).collect::<Vec<_>>());
    // Behind many that it does not want there is one that it does.
    app.append(&["grant.revoked"]).await;
    let mut rare = app.open(&format!("{STREAM}?lastEventId=0&types=grant.revoked")).await;
    app.app.tend_streams().await;
    let text = rare.next().await.unwrap();
    assert_eq!(events(&text)[0].0, 1_301, "{text:?}");
}

#[actix_web::test]
async fn a_silent_stream_says_that_it_is_there() {
    let app = TestApp::start().await;
    let mut stream = app.open("/v1/events/stream?types=grant.revoked").await;
    assert!(stream.is_silent());
    app.clock.advance(Lifetime::seconds(30));
    app.app.tend_streams().await;
    assert_eq!(stream.next().await.as_deref(), Some(": keepalive\n\n"));
    assert!(stream.is_silent());
    app.append(&["grant.created"; 2]).await;
    app.clock.advance(Lifetime::seconds(29));
    app.app.tend_streams().await;
    assert!(stream.is_silent(), "it is not time yet");
    app.clock.advance(Lifetime::seconds(1));
    app.app.tend_streams().await;
    // What it passed over need not be kept for it.
    assert_eq!(stream.next().await.as_deref(), Some(": keepalive\nid: 2\n\n"));
}

#[actix_web::test]
async fn a_client_that_takes_nothing_is_dropped() {
    let app = TestApp::start_with(|_, http| http.streams.per_developer = 1.try_into().unwrap()).await;
    let mut stream = app.open(STREAM).await;
    app.append(&["grant.created"; 100]).await;
    app.app.tend_streams().await;
    assert_eq!(events(&stream.next().await.unwrap()).len(), 64);
    app.clock.advance(Lifetime::seconds(29));
    app.app.tend_streams().await;
    app.refused(STREAM).await.problem(429, "TOO_MANY_CONNECTIONS");
    news(&app);
    app.clock.advance(Lifetime::seconds(1));
    app.app.tend_streams().await;
    assert_eq!(news(&app), [ended(StreamEnd::Slow)]);
    // Its seat is free at once, although its connection is still there.
    app.open(STREAM).await;
    assert_eq!(stream.next().await.as_deref(), Some(": ended: slow\n\n"));
    assert_eq!(stream.next().await, None);
    let lines = app.lines.lines();
    let line = lines.iter().find(|line| line.message == "event_stream.ended").unwrap();
    assert_eq!(line.level, slog::Level::Warning);
    assert_eq!(line.fields["reason"], "slow");
    assert_eq!(line.fields["transport"], "sse");
    assert_eq!(line.fields["events"], 64);
    assert_eq!(line.fields["durationMs"], 30_000);
    assert_eq!(line.fields["developerId"], app.developer_id().await.as_str());
    assert_eq!(line.fields["requestId"].as_str().unwrap().len(), 36);
}

#[actix_web::test]
async fn a_replaced_key_ends_what_it_opened() {
    let app = TestApp::start().await;
    let mut stream = app.open(STREAM).await;
    let rotated = app.post("/v1/keys/rotate").key(&app.live).send().await.expect(200);
    let mut newer = app.get(STREAM).key(rotated["apiKey"].as_str().unwrap()).open().await;
    newer.next().await;
    app.app.tend_streams().await;
    assert_eq!(stream.next().await.as_deref(), Some(": ended: key_changed\n\n"));
    assert_eq!(stream.next().await, None);
    assert!(newer.is_silent());
    assert!(news(&app).contains(&ended(StreamEnd::KeyChanged)));
}

#[actix_web::test]
async fn a_server_that_drains_ends_its_streams_and_opens_none() {
    let app = TestApp::start().await;
    let mut stream = app.open(STREAM).await;
    app.app.drain();
    assert_eq!(stream.next().await.as_deref(), Some(": ended: draining\n\n"));
    assert_eq!(stream.next().await, None);
    drop(stream);
    assert_eq!(
        news(&app),
        [StreamNews::Opened(StreamTransport::Sse), ended(StreamEnd::Draining)]
    );
    let refused = app.refused(STREAM).await;
    refused.problem(503, "SERVICE_UNAVAILABLE");
    assert_eq!(refused.header("retry-after"), Some("1"));
    assert_eq!(app.get("/v1/events").key(&app.live).send().await.status, 200);
}

#[actix_web::test]
async fn five_streams_of_a_kind_are_enough() {
    let app = TestApp::start().await;
    let mut open = Vec::new();
    for _ in 0..5 {
        open.push(app.open(STREAM).await);
    }
    let refused = app.refused(STREAM).await;
    let message = refused.problem(429, "TOO_MANY_CONNECTIONS");
    assert_eq!(message, "at most 5 event streams of this kind may be open at a time");
    let of_other = app.get(STREAM).key(&app.sandbox).open().await;
    assert_eq!(of_other.status, 200);
    assert!(news(&app).contains(&StreamNews::Refused(StreamTransport::Sse)));

    drop(open.pop());
    assert_eq!(news(&app), [ended(StreamEnd::Client)]);
    open.push(app.open(STREAM).await);
    // A stream that could not begin takes no seat.
    drop(open.pop());
    for _ in 0..3 {
        app.refused(&format!("{STREAM}?lastEventId=7")).await.bad_request();
    }
    app.open(STREAM).await;
}

#[actix_web::test]
async fn a_failing_store_costs_no_stream_that_is_up_to_date() {
    let app = TestApp::start().await;
    let mut stream = app.open(STREAM).await;
    assert!(stream.is_silent());
    app.append(&["grant.created"]).await;
    app.store.set_read_failure(true);
    for _ in 0..3 {
        app.app.tend_streams().await;
    }
    let failures = |app: &TestApp| {
        let lines = app.lines.lines();
        lines
            .iter()
            .filter(|line| line.message == "event_streams.read_failed")
            .count()
    };
    assert_eq!(failures(&app), 1, "an outage is told once");
    app.store.set_read_failure(false);
    app.app.tend_streams().await;
    assert_eq!(events(&stream.next().await.unwrap())[0].0, 1);
    app.store.set_read_failure(true);
    app.app.tend_streams().await;
    assert_eq!(failures(&app), 2);
}

#[actix_web::test]
async fn a_store_that_fails_a_stream_that_is_behind_ends_it() {
    let app = TestApp::start().await;
    app.append(&["grant.created"]).await;
    let mut stream = app.open(&format!("{STREAM}?lastEventId=0")).await;
    app.store.set_read_failure(true);
    assert_eq!(stream.next().await.as_deref(), Some(": ended: error\n\n"));
    assert_eq!(stream.next().await, None);
    assert!(news(&app).contains(&ended(StreamEnd::Error)));
    let lines = app.lines.lines();
    assert!(
        lines
            .iter()
            .any(|line| line.message == "event_stream.read_failed" && line.level == slog::Level::Error)
    );
    app.refused(STREAM).await.problem(503, "SERVICE_UNAVAILABLE");
}

#[actix_web::test]
async fn a_connection_that_stirs_for_no_reason_is_tried() {
    let app = TestApp::start().await;
    let mut stream = app.open(STREAM).await;
    assert!(stream.is_silent());
    assert_eq!(stream.next().await.as_deref(), Some(":\n\n"));
    assert!(stream.is_silent());
    app.app.tend_streams().await;
    assert_eq!(
        stream.next().await.as_deref(),
        Some(":\n\n"),
        "twice: only the second write would fail"
    );
    assert!(stream.is_silent());
    app.app.tend_streams().await;
    assert!(
        stream.is_silent() && stream.is_silent(),
        "who stirs all the time is not answered all the time"
    );
}

#[actix_web::test]
async fn streams_behave_like_other_routes() {
    let app = TestApp::start().await;
    for path in [STREAM, "/v1/events/ws", "/v1/events"] {
        app.get(path).send().await.problem(401, "UNAUTHORIZED");
        let wrong = app.post(path).key(&app.live).send().await;
        wrong.problem(405, "METHOD_NOT_ALLOWED");
        assert_eq!(wrong.header("allow"), Some("GET, HEAD"));
    }
    let head = app.head(STREAM).key(&app.live).send().await;
    assert_eq!(
        (head.status, head.header("content-type")),
        (200, Some("text/event-stream"))
    );
    assert_eq!(head.body, b"");
    assert_eq!(news(&app), [], "a look at the head opens nothing");
    app.head(&format!("{STREAM}?types=x"))
        .key(&app.live)
        .send()
        .await
        .bad_request();
}

#[actix_web::test]
async fn leading_slashes_count_as_one() {
    let app = TestApp::start().await;
    for path in ["//v1/events/stream", "///v1/events/stream?types=grant.*"] {
        assert_eq!(app.get(path).key(&app.live).open().await.status, 200);
    }
    assert_eq!(app.get("//health").send().await.status, 200);
    assert_eq!(app.get("//").send().await.status, 404);
    assert_eq!(app.get("/v1//events").key(&app.live).send().await.status, 404);
    let requests = app.measured.requests.lock().unwrap().clone();
    assert_eq!(requests[..2], ["GET /v1/events/stream 200"; 2]);
}
