use std::rc::Rc;
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use grantex_core::clock::Lifetime;
use grantex_core::id::GrantId;
use grantex_http::{FeedNews, StreamEnd};
use serde_json::{Value, json};

use crate::support::{Opened, TestApp};

const LIST: &str = "/v1/revocations";
const STREAM: &str = "/v1/revocations/stream";
const REFUSALS: &str = "/v1/revocations/refusals";

impl TestApp {
    async fn feed(&self, query: &str) -> Value {
        self.get(&format!("{LIST}{query}"))
            .key(&self.live)
            .send()
            .await
            .expect(200)
    }

    async fn follow(&self, query: &str) -> Opened {
        let opened = self.get(&format!("{STREAM}{query}")).key(&self.live).open().await;
        assert_eq!(opened.status, 200);
        opened
    }

    /// A grant of a new agent: both ids, and the answer to the exchange.
    async fn granted(&self) -> (String, Value) {
        let agent = self.agent(&["read", "write"]).await;
        let tokens = self.tokens(&agent).await;
        (agent, tokens)
    }

    async fn set_agent(&self, agent: &str, status: &str) {
        self.patch(&format!("/v1/agents/{agent}"))
            .key(&self.live)
            .json(&json!({"status": status}))
            .send()
            .await
            .expect(200);
    }

    async fn revoke(&self, tokens: &Value) {
        let path = format!("/v1/grants/{}", tokens["grantId"].as_str().unwrap());
        self.delete(&path).key(&self.live).send().await.expect(204);
    }
}

/// The events of a piece of a stream: names and data.
fn frames(text: &str) -> Vec<(String, Value)> {
    text.split_terminator("\n\n")
        .map(|frame| {
            let (event, data) = frame.split_once('\n').unwrap();
            let data = serde_json::from_str(data.strip_prefix("data: ").unwrap()).unwrap();
            (event.strip_prefix("event: ").unwrap().to_owned(), data)
        })
        .collect()
}

async fn next_frames(stream: &mut Opened) -> Vec<(String, Value)> {
    frames(&stream.next().await.unwrap())
}

fn claims(head: &Value) -> Value {
    let payload = head.as_str().unwrap().split('.').nth(1).unwrap();
    serde_json::from_slice(&URL_SAFE_NO_PAD.decode(payload).unwrap()).unwrap()
}

#[actix_web::test]
async fn a_snapshot_tells_what_is_revoked_and_since_what_happened() {
    let app = TestApp::start().await;
    let empty = app.feed("").await;
    assert_eq!(
        (
            &empty["entries"],
            &empty["cursor"],
            &empty["snapshot"],
            &empty["nextPageToken"]
        ),
        (&json!([]), &json!(0), &json!(true), &Value::Null)
    );
    let (agent, tokens) = app.granted().await;
    let (other, kept) = app.granted().await;
    app.revoke(&tokens).await;
    app.set_agent(&other, "suspended").await;
    app.set_agent(&agent, "suspended").await;
    let revoked = json!({
        "seq": 1, "action": "revoked", "grantId": tokens["grantId"], "jti": null,
        "expiresAt": app.feed("").await["entries"][0]["expiresAt"], "at": app.clock_text(),
    });
    let snapshot = app.feed("").await;
    assert_eq!(snapshot["entries"][0], revoked);
    assert_eq!(snapshot["entries"][1]["action"], "suspended");
    assert_eq!(snapshot["entries"][1]["grantId"], kept["grantId"]);
    assert_eq!(
        (&snapshot["cursor"], &snapshot["serverTime"]),
        (&json!(2), &json!(app.clock_text()))
    );

    app.set_agent(&other, "active").await;
    let changes = app.feed("?since=0").await;
    let told: Vec<_> = changes["entries"]
        .as_array()
        .unwrap()
        .iter()
        .map(|entry| &entry["seq"])
        .collect();
    assert_eq!(told, [1, 3], "the suspension is over");
    assert_eq!((&changes["cursor"], &changes["snapshot"]), (&json!(3), &json!(false)));
    assert!(changes.get("nextPageToken").is_none());
    assert_eq!(app.feed("?since=3").await["entries"], json!([]));
    let other = app.get(LIST).key(&app.sandbox).send().await.expect(200);
    assert_eq!(other["entries"], json!([]), "of nobody else");
}

#[actix_web::test]
async fn an_entry_lives_as_long_as_any_token_of_its_grant() {
    let app = TestApp::start().await;
    let (agent, tokens) = app.granted().await;
    let refreshed = app
        .post("/v1/token/refresh")
        .key(&app.live)
        .json(&json!({"refreshToken": tokens["refreshToken"], "agentId": agent}))
        .send()
        .await
        .expect(201);
    app.revoke(&tokens).await;
    let entry = app.feed("").await["entries"][0].clone();
    let end = |answer: &Value| answer["expiresAt"].as_str().unwrap().to_owned();
    assert!(end(&entry) >= end(&tokens) && end(&entry) >= end(&refreshed));
    app.clock.advance(Lifetime::days(366));
    assert_eq!(app.feed("").await["entries"], json!([]), "what is over is not told");
}

#[actix_web::test]
async fn heads_are_signed_by_a_published_key_and_seal_every_entry() {
    let app = TestApp::start().await;
    let (_, tokens) = app.granted().await;
    app.post("/v1/tokens/revoke")
        .key(&app.live)
        .json(&json!({"jti": claims(&tokens["grantToken"])["jti"]}))
        .send()
        .await
        .expect(204);
    app.revoke(&tokens).await;
    let all = app.feed("?since=0&complete=true").await;
    let entries = all["entries"].as_array().unwrap();
    assert_eq!(entries.len(), 2);
    let head = claims(&all["head"]);
    let me = app.developer_id().await;
    assert_eq!(
        (&head["cursor"], &head["hash"], &head["developerId"]),
        (&json!(2), &entries[1]["hash"], &json!(me))
    );
    assert_eq!(
        app.feed("").await["head"],
        all["head"],
        "one signature serves for a while"
    );
    let header = all["head"].as_str().unwrap().split('.').next().unwrap();
    let header: Value = serde_json::from_slice(&URL_SAFE_NO_PAD.decode(header).unwrap()).unwrap();
    let keys = app.get("/.well-known/jwks.json").send().await.expect(200);
    assert_eq!(header["typ"], "revocation-head+jwt");
    assert!(
        keys["keys"]
            .as_array()
            .unwrap()
            .iter()
            .any(|key| key["kid"] == header["kid"])
    );
    assert!(!app.is_valid(&all["head"]).await, "it is no grant token");
}

#[actix_web::test]
async fn a_question_may_wait_for_news() {
    let app = Rc::new(TestApp::start().await);
    let (_, tokens) = app.granted().await;
    let waiting = {
        let app = Rc::clone(&app);
        actix_web::rt::spawn(async move { app.feed("?since=0&wait=25").await })
    };
    // However the two take turns: before the revocation nothing can be told, and after it nothing keeps from telling.
    for _ in 0..10 {
        tokio::task::yield_now().await;
    }
    assert!(!waiting.is_finished());
    app.revoke(&tokens).await;
    let told = tokio::time::timeout(Duration::from_secs(20), waiting)
        .await
        .unwrap()
        .unwrap();
    assert_eq!(told["entries"][0]["grantId"], tokens["grantId"]);
    let at_once = app.feed("?since=0&wait=999999999").await;
    assert_eq!(at_once["cursor"], 1);
    let nothing = app.feed("?since=1&wait=1").await;
    assert_eq!((&nothing["entries"], &nothing["cursor"]), (&json!([]), &json!(1)));
}

#[actix_web::test]
async fn news_between_the_look_and_the_wait_is_told_at_once() {
    let app = TestApp::start().await;
    let (_, tokens) = app.granted().await;
    let grant = GrantId::parse(tokens["grantId"].as_str().unwrap()).unwrap();
    let (grantex, store, key) = (app.grantex.clone(), app.store.clone(), app.live.clone());
    // The first read is of the key, the second is the look, which finds nothing.
    app.store.after_next_read(async move {
        store.after_next_read(async move {
            let ctx = grantex.context(slog::Logger::root(slog::Discard, slog::o!()), "test".into());
            let developer = grantex.authenticate(&key).await.unwrap().unwrap();
            grantex.revoke_grant(&ctx, &developer, grant).await.unwrap();
        });
    });
    let told = tokio::time::timeout(Duration::from_secs(20), app.feed("?since=0&wait=25"))
        .await
        .unwrap();
    assert_eq!(told["entries"][0]["grantId"], tokens["grantId"]);
}

#[actix_web::test]
async fn a_store_that_cannot_be_read_is_told_and_counted_at_each_question() {
    for path in [LIST.to_owned(), format!("{LIST}?since=0"), format!("{STREAM}?since=0")] {
        let app = TestApp::start().await;
        let store = app.store.clone();
        // Of the key's read the client learns that it is known.
        app.store.after_next_read(async move { store.set_read_failure(true) });
        let problem = app.get(&path).key(&app.live).send().await.expect(503);
        assert_eq!(problem["code"], "FEED_UNAVAILABLE", "{path}");
        assert_eq!(*app.measured.feed.lock().unwrap(), [FeedNews::ReadFailed], "{path}");
    }
}

#[actix_web::test]
async fn nobody_waits_for_a_server_that_stops() {
    let app = Rc::new(TestApp::start().await);
    let waiting = {
        let app = Rc::clone(&app);
        actix_web::rt::spawn(async move { app.feed("?since=0&wait=25").await })
    };
    for _ in 0..10 {
        tokio::task::yield_now().await;
    }
    app.app.drain();
    let told = tokio::time::timeout(Duration::from_secs(20), waiting)
        .await
        .unwrap()
        .unwrap();
    assert_eq!(told["entries"], json!([]));
    assert_eq!(app.feed("?since=0&wait=25").await["cursor"], 0, "and none begins to");
}

#[actix_web::test]
async fn a_stream_says_that_it_is_up_to_date_only_when_the_store_was_read() {
    let app = TestApp::start().await;
    let (_, tokens) = app.granted().await;
    let mut stream = app.follow("?since=0").await;
    let header = |name: &str| stream.headers.get(name).map(|value| value.to_str().unwrap().to_owned());
    assert_eq!(header("content-type").as_deref(), Some("text/event-stream"));
    assert_eq!(header("x-accel-buffering").as_deref(), Some("no"));
    let [(event, ready)] = <[_; 1]>::try_from(next_frames(&mut stream).await).unwrap();
    assert_eq!(
        (event.as_str(), &ready["cursor"], &ready["serverTime"]),
        ("ready", &json!(0), &json!(app.clock_text()))
    );
    assert_eq!(claims(&ready["head"])["cursor"], 0);
    assert!(stream.is_silent());

    app.app.tend_streams().await;
    let beat = json!({"cursor": 0, "freshAt": app.clock_text()});
    assert_eq!(next_frames(&mut stream).await, [("heartbeat".to_owned(), beat)]);
    assert!(stream.is_silent(), "once for each look");
    app.store.set_read_failure(true);
    app.app.tend_streams().await;
    assert!(stream.is_silent());
    assert!(app.measured.feed.lock().unwrap().contains(&FeedNews::ReadFailed));
    app.store.set_read_failure(false);
    app.clock.advance(Lifetime::seconds(2));

    app.revoke(&tokens).await;
    let [(event, entry)] = <[_; 1]>::try_from(next_frames(&mut stream).await).unwrap();
    assert_eq!(
        (event.as_str(), &entry["seq"], &entry["action"]),
        ("revocation", &json!(1), &json!("revoked"))
    );
    assert_eq!((&entry["grantId"], &entry["jti"]), (&tokens["grantId"], &Value::Null));
    app.app.tend_streams().await;
    let [(event, beat)] = <[_; 1]>::try_from(next_frames(&mut stream).await).unwrap();
    assert_eq!((event.as_str(), &beat["cursor"]), ("heartbeat", &json!(1)));
    assert_eq!(claims(&beat["head"])["cursor"], 1, "a new head is told");
}

#[actix_web::test]
async fn a_stream_goes_on_behind_its_position_with_the_latest_of_each() {
    let app = TestApp::start().await;
    let (agent, tokens) = app.granted().await;
    for status in ["suspended", "active", "suspended"] {
        app.set_agent(&agent, status).await;
    }
    app.revoke(&tokens).await;
    let mut stream = app.follow("?since=1").await;
    assert_eq!(next_frames(&mut stream).await[0].1["cursor"], 1);
    let told = next_frames(&mut stream).await;
    assert_eq!(
        told.len(),
        1,
        "neither resumed nor suspended where it is revoked now: {told:?}"
    );
    assert_eq!(
        (&told[0].1["seq"], &told[0].1["action"]),
        (&json!(4), &json!("revoked"))
    );
    let mut fresh = app.follow("").await;
    assert_eq!(
        next_frames(&mut fresh).await[0].1["cursor"],
        4,
        "without a position from now on"
    );
    assert!(fresh.is_silent());
    let head = app.head(&format!("{STREAM}?since=0")).key(&app.live).open().await;
    assert_eq!(head.status, 200);
}

#[actix_web::test]
async fn streams_end_with_the_server_the_key_and_a_client_that_takes_nothing() {
    let app = TestApp::start_with(|_, http| http.feed.per_developer = 2.try_into().unwrap()).await;
    let (mut slow, mut one) = (app.follow("").await, app.follow("").await);
    for stream in [&mut slow, &mut one] {
        assert_eq!(next_frames(stream).await[0].0, "ready");
    }
    let refused = app.get(STREAM).key(&app.live).send().await;
    refused.problem(429, "TOO_MANY_CONNECTIONS");
    assert!(one.is_silent(), "it waits, and the other one does not even ask");
    app.clock.advance(Lifetime::seconds(31));
    app.app.tend_streams().await;
    let news = |news| app.measured.feed.lock().unwrap().contains(&news);
    assert!(news(FeedNews::Ended(StreamEnd::Slow)) && news(FeedNews::Refused));
    assert_eq!(slow.next().await.as_deref(), Some(": ended: slow\n\n"));
    assert_eq!(slow.next().await, None);
    assert_eq!(next_frames(&mut one).await[0].0, "heartbeat");

    let mut rotated = app.get(STREAM).key(&app.sandbox).open().await;
    assert_eq!(next_frames(&mut rotated).await[0].0, "ready");
    app.post("/v1/keys/rotate").key(&app.sandbox).send().await.expect(200);
    app.app.tend_streams().await;
    assert_eq!(rotated.next().await.as_deref(), Some(": ended: key_changed\n\n"));
    app.app.drain();
    assert_eq!(one.next().await.as_deref(), Some(": ended: draining\n\n"));
    assert_eq!(app.get(STREAM).key(&app.live).send().await.status, 503);
    drop((slow, one, rotated));
    let opened = app
        .measured
        .feed
        .lock()
        .unwrap()
        .iter()
        .filter(|news| **news == FeedNews::Opened)
        .count();
    let ended = app
        .measured
        .feed
        .lock()
        .unwrap()
        .iter()
        .filter(|news| matches!(news, FeedNews::Ended(_)))
        .count();
    assert_eq!((opened, ended), (3, 3));
}

#[actix_web::test]
async fn whoever_follows_while_somebody_looks_hears_at_once() {
    let app = Rc::new(TestApp::start().await);
    let data = app.app.clone();
    let running = actix_web::rt::spawn(async move { data.run_streams().await });
    let (_, tokens) = app.granted().await;
    let mut stream = app.follow("").await;
    assert_eq!(next_frames(&mut stream).await[0].0, "ready");
    app.revoke(&tokens).await;
    loop {
        let told = next_frames(&mut stream).await;
        if told[0].0 == "revocation" {
            break assert_eq!(told[0].1["grantId"], tokens["grantId"]);
        }
        assert_eq!(told[0].0, "heartbeat");
    }
    running.abort();
}

#[actix_web::test]
async fn refusals_are_measured_by_the_servers_clock() {
    let app = TestApp::start().await;
    let (_, tokens) = app.granted().await;
    app.revoke(&tokens).await;
    app.clock.advance(Lifetime::millis(250));
    let report = async |refusals: Value| {
        let body = json!({"refusals": refusals});
        app.post(REFUSALS).key(&app.live).json(&body).send().await
    };
    let accepted = report(json!([
        {"seq": 1, "millisecondsAgo": 40}, {"seq": 1, "millisecondsAgo": 60000}, {"seq": 2, "millisecondsAgo": 0},
    ]))
    .await
    .expect(202);
    assert_eq!(accepted, json!({"accepted": 2}));
    let measured = |app: &TestApp| {
        let news = std::mem::take(&mut *app.measured.feed.lock().unwrap());
        let took = news.into_iter().filter_map(|news| match news {
            FeedNews::Propagated(took) => Some(took.as_millis()),
            _ => None,
        });
        took.collect::<Vec<_>>()
    };
    assert_eq!(measured(&app), [210, 0], "never less than nothing");
    let foreign = app
        .post(REFUSALS)
        .key(&app.sandbox)
        .json(&json!({"refusals": [{"seq": 1, "millisecondsAgo": 0}]}))
        .send()
        .await
        .expect(202);
    assert_eq!(foreign, json!({"accepted": 0}));
    let many = Value::Array(vec![json!({"seq": 1, "millisecondsAgo": 0}); 100]);
    assert_eq!(
        report(many.clone()).await.expect(202),
        json!({"accepted": 98}),
        "a hundred of one entry"
    );
    assert_eq!(report(many).await.expect(202), json!({"accepted": 0}));
    for (refusals, name) in [
        (json!([]), "refusals"),
        (
            Value::Array(vec![json!({"seq": 1, "millisecondsAgo": 0}); 101]),
            "refusals",
        ),
        (json!([{"seq": 0, "millisecondsAgo": 0}]), "refusals[0].seq"),
        (
            json!([{"seq": 1, "millisecondsAgo": 0}, {"seq": 1, "millisecondsAgo": 60001}]),
            "refusals[1].millisecondsAgo",
        ),
        (
            json!([{"seq": 1, "millisecondsAgo": -1}]),
            "refusals[0].millisecondsAgo",
        ),
    ] {
        let message = report(refusals).await.bad_request();
        assert!(message.starts_with(&format!("`{name}` ")), "{message}");
    }
}

#[actix_web::test]
async fn bad_questions_name_what_is_wrong() {
    let app = TestApp::start().await;
    for (query, name) in [
        ("?since=-1", "since"),
        ("?since=x", "since"),
        ("?since=", "since"),
        ("?since=1000000000000000000", "since"),
        ("?since=0&wait=x", "wait"),
        ("?since=0&wait=1.5", "wait"),
        ("?since=0&complete=1", "complete"),
        ("?pageToken=x", "pageToken"),
        ("?pageToken=1.2.3", "pageToken"),
        ("?since=0&pageToken=0.0", "pageToken"),
    ] {
        let refused = app.get(&format!("{LIST}{query}")).key(&app.live).send().await;
        let message = refused.bad_request();
        assert!(message.starts_with(&format!("`{name}` ")), "{query}: {message}");
    }
    for path in [LIST, STREAM] {
        let gone = app.get(&format!("{path}?since=7")).key(&app.live).send().await;
        // A client takes a new snapshot then.
        gone.problem(410, "CURSOR_GONE");
    }
}

#[actix_web::test]
async fn a_store_that_cannot_be_read_is_told_apart_from_nothing_revoked() {
    let app = TestApp::start().await;
    app.feed("").await;
    app.store.set_read_failure(true);
    for path in [LIST, "/v1/revocations?since=0", STREAM] {
        let refused = app.get(path).key(&app.live).send().await;
        assert_eq!(refused.status, 503, "{path}");
    }
}

#[actix_web::test]
async fn a_feed_that_is_switched_off_does_not_exist() {
    let app = TestApp::start_with(|_, http| http.feed.is_enabled = false).await;
    let (_, tokens) = app.granted().await;
    app.revoke(&tokens).await;
    for path in [LIST, STREAM] {
        assert_eq!(app.get(path).key(&app.live).send().await.status, 404);
    }
    let body = json!({"refusals": [{"seq": 1, "millisecondsAgo": 0}]});
    assert_eq!(app.post(REFUSALS).key(&app.live).json(&body).send().await.status, 404);
    let path = format!("/v1/revocations/status?grantId={}", tokens["grantId"].as_str().unwrap());
    let status = app.get(&path).key(&app.live).send().await.expect(200);
    assert_eq!(status["status"], "revoked");
}

#[actix_web::test]
async fn the_feed_is_counted_apart_from_the_plan() {
    let app = TestApp::start_with(|_, http| {
        http.rate_limits.developer = 1.try_into().unwrap();
        http.rate_limits.revocation_feed = 3.try_into().unwrap();
    })
    .await;
    for _ in 0..3 {
        app.feed("").await;
    }
    assert_eq!(app.get(LIST).key(&app.live).send().await.status, 429);
    app.get("/v1/me").key(&app.live).send().await.expect(200);
}
