//! Following what is revoked.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use grantex_client::{
    Attenuate, FeedBuilder, FeedState, Requirements, RevocationFeed, Transport, Verifier, VerifyError,
};
use grantex_core::clock::Lifetime;
use grantex_core::testing::ManualClock;
use serde_json::{Value, json};
use tokio::sync::mpsc::{UnboundedReceiver, UnboundedSender, unbounded_channel};

use crate::service::{Reply, Service, json as answer, text, until};
use crate::support::{ISSUING, checked, claims_with, id, key};

const PAGES: &str = "/v1/revocations";
const STREAM: &str = "/v1/revocations/stream";
const REFUSALS: &str = "/v1/revocations/refusals";

fn entry(seq: i64, action: &str, id: &str) -> Value {
    let (grant, jti) = if action == "token_revoked" {
        (None, Some(id))
    } else {
        (Some(id), None)
    };
    json!({"seq": seq, "action": action, "grantId": grant, "jti": jti, "expiresAt": null, "at": "2030-01-02T03:04:05.006Z"})
}

fn page(entries: Vec<Value>, cursor: i64, next: Option<&str>) -> Value {
    json!({
        "entries": entries, "nextPageToken": next, "cursor": cursor, "snapshot": true,
        "serverTime": "2030-01-02T03:04:05.006Z", "head": {"signature": "x"},
    })
}

fn event(name: &str, data: &Value) -> String {
    format!("event: {name}\ndata: {data}\n\n")
}

/// What the service says: pages of the snapshot, and a connection for each stream.
#[derive(Clone)]
struct Script {
    status: u16,
    pages: Vec<(Option<&'static str>, Value)>,
}

struct World {
    service: Service,
    script: Arc<Mutex<Script>>,
    streams: Arc<Mutex<UnboundedReceiver<UnboundedSender<String>>>>,
    clock: ManualClock,
}

impl World {
    async fn with(entries: Vec<Value>) -> Self {
        Self::scripted(vec![(None, page(entries, 5, None))]).await
    }

    async fn scripted(pages: Vec<(Option<&'static str>, Value)>) -> Self {
        let script = Arc::new(Mutex::new(Script { status: 200, pages }));
        let (opened, streams) = unbounded_channel();
        let said = Arc::clone(&script);
        let service = Service::start(move |asked| {
            let said = said.lock().unwrap().clone();
            let opened = opened.clone();
            async move {
                match asked.path() {
                    PAGES => {
                        let token = asked.target.split_once("pageToken=").map(|(_, token)| token);
                        let found = said.pages.iter().find(|(of, _)| *of == token);
                        answer(said.status, &found.map_or(Value::Null, |(_, page)| page.clone()))
                    }
                    STREAM => {
                        let (sender, receiver) = unbounded_channel();
                        opened.send(sender).unwrap();
                        Reply::Stream(receiver)
                    }
                    REFUSALS => answer(202, &json!({"accepted": 1})),
                    _ => ISSUING.published(&asked),
                }
            }
        })
        .await;
        Self {
            service,
            script,
            streams: Arc::new(Mutex::new(streams)),
            clock: ManualClock::default(),
        }
    }

    fn feed(&self, change: impl FnOnce(FeedBuilder) -> FeedBuilder) -> RevocationFeed {
        let builder = RevocationFeed::builder(&self.service.url, key())
            .clock(self.clock.clone())
            // Freshness is by the manual clock; the connection may be silent as long as a slow machine needs.
            .stale_after(Duration::from_secs(60))
            .pauses(Duration::from_millis(1), Duration::from_millis(5));
        change(builder).start().unwrap()
    }

    fn verifier(&self, feed: &RevocationFeed) -> Verifier {
        checked(&self.service, &self.clock, feed.clone())
    }

    /// The service's end of the next stream.
    async fn stream(&self) -> UnboundedSender<String> {
        let mut found = None;
        until(|| {
            found = self.streams.lock().unwrap().try_recv().ok();
            let is_found = found.is_some();
            async move { is_found }
        })
        .await;
        found.unwrap()
    }
}

async fn verdict(verifier: &Verifier, token: &str) -> Result<(), VerifyError> {
    verifier.verify(token, &Requirements::new()).await.map(|_| ())
}

/// Waits until a token is judged so.
async fn becomes(verifier: &Verifier, token: &str, expected: Result<(), VerifyError>) {
    until(|| async { verdict(verifier, token).await == expected }).await;
}

#[tokio::test]
async fn a_snapshot_of_pages_is_followed_by_changes() {
    let world = World::scripted(vec![
        (
            None,
            page(vec![entry(1, "revoked", &id("grnt", 8))], 7, Some("next%2F1")),
        ),
        (
            Some("next%252F1"),
            page(vec![entry(2, "token_revoked", &id("tok", 9))], 9, None),
        ),
    ])
    .await;
    let feed = world.feed(|builder| builder);
    let verifier = world.verifier(&feed);
    let token = ISSUING.token();
    assert_eq!(verdict(&verifier, &token).await, Ok(()));
    assert_eq!((feed.state(), feed.len()), (FeedState::Live, 2));
    let of = |changes: Value| ISSUING.sign(&claims_with(changes));
    assert_eq!(
        verdict(&verifier, &of(json!({"grnt": id("grnt", 8)}))).await,
        Err(VerifyError::Revoked)
    );
    assert_eq!(
        verdict(&verifier, &of(json!({"jti": id("tok", 9)}))).await,
        Err(VerifyError::Revoked)
    );
    assert_eq!(
        verdict(&verifier, &of(json!({"parentGrnt": id("grnt", 8)}))).await,
        Err(VerifyError::Revoked)
    );

    let stream = world.stream().await;
    let asked = world.service.was_asked(STREAM, 1).await;
    assert_eq!(
        asked[0].target, "/v1/revocations/stream?since=7",
        "where the earliest page stood"
    );
    assert_eq!(asked[0].headers["authorization"], "Bearer gx_test_canary");
    assert_eq!(asked[0].headers["accept"], "text/event-stream");
    stream.send(event("ready", &json!({"cursor": 9}))).unwrap();
    stream
        .send(event("revocation", &entry(10, "suspended", &id("grnt", 1))))
        .unwrap();
    becomes(&verifier, &token, Err(VerifyError::Suspended)).await;
    stream
        .send(event("revocation", &entry(11, "resumed", &id("grnt", 1))))
        .unwrap();
    becomes(&verifier, &token, Ok(())).await;
    // A history that is sent again forgets nothing.
    stream
        .send(event("revocation", &entry(12, "revoked", &id("grnt", 1))))
        .unwrap();
    stream
        .send(event("revocation", &entry(10, "suspended", &id("grnt", 1))))
        .unwrap();
    stream
        .send(event("revocation", &entry(11, "resumed", &id("grnt", 1))))
        .unwrap();
    stream
        .send(event("revocation", &entry(13, "revoked", &id("grnt", 2))))
        .unwrap();
    until(|| async { feed.len() == 4 }).await;
    assert_eq!(verdict(&verifier, &token).await, Err(VerifyError::Revoked));
}

#[tokio::test]
async fn a_block_of_a_biscuit_is_revoked_with_all_that_was_derived_from_it() {
    let whole = ISSUING.biscuit();
    let narrowed = Attenuate::new(&whole).unwrap().scopes(["read"]).build().unwrap();
    let further = Attenuate::new(narrowed.expose())
        .unwrap()
        .hand_to("did:web:x")
        .build()
        .unwrap();
    let chain = grantex_biscuit::narrow::read_unverified(further.expose()).unwrap();
    let world = World::with(vec![entry(1, "token_revoked", &chain.blocks[0].revocation_id)]).await;
    let verifier = world.verifier(&world.feed(|builder| builder));
    assert_eq!(verdict(&verifier, &whole).await, Ok(()));
    assert_eq!(verdict(&verifier, narrowed.expose()).await, Err(VerifyError::Revoked));
    assert_eq!(verdict(&verifier, further.expose()).await, Err(VerifyError::Revoked));
}

#[tokio::test]
async fn what_is_stale_counts_no_more_and_comments_renew_nothing() {
    let world = World::with(vec![entry(1, "revoked", &id("grnt", 8))]).await;
    let feed = world.feed(|builder| builder);
    let verifier = world.verifier(&feed);
    let token = ISSUING.token();
    assert_eq!(verdict(&verifier, &token).await, Ok(()));
    let stream = world.stream().await;
    world.clock.advance(Lifetime::seconds(59));
    assert_eq!(verdict(&verifier, &token).await, Ok(()));
    world.clock.advance(Lifetime::seconds(1));
    assert!(!feed.is_current());
    assert_eq!(verdict(&verifier, &token).await, Err(VerifyError::RevocationUnknown));
    let revoked = ISSUING.sign(&claims_with(json!({"grnt": id("grnt", 8)})));
    assert_eq!(
        verdict(&verifier, &revoked).await,
        Err(VerifyError::Revoked),
        "what is known stays so"
    );
    // The end of the stream shows that what came before was read; a service that then fails renews nothing either.
    stream
        .send(format!(": ping\n\n{}", event("unknown", &json!({}))))
        .unwrap();
    world.script.lock().unwrap().status = 500;
    drop(stream);
    feed.reached(FeedState::Network).await;
    assert!(!feed.is_current());
    assert_eq!(verdict(&verifier, &token).await, Err(VerifyError::RevocationUnknown));
    world.script.lock().unwrap().status = 200;
    becomes(&verifier, &token, Ok(())).await;
    let stream = world.stream().await;
    world.clock.advance(Lifetime::seconds(60));
    assert_eq!(verdict(&verifier, &token).await, Err(VerifyError::RevocationUnknown));
    stream
        .send(event("heartbeat", &json!({"cursor": 5, "freshAt": "x"})))
        .unwrap();
    becomes(&verifier, &token, Ok(())).await;
}

#[tokio::test]
async fn a_broken_stream_is_followed_by_a_new_snapshot() {
    let world = World::with(vec![entry(1, "revoked", &id("grnt", 1))]).await;
    let feed = world.feed(|builder| builder);
    let verifier = world.verifier(&feed);
    let token = ISSUING.token();
    assert_eq!(verdict(&verifier, &token).await, Err(VerifyError::Revoked));
    let stream = world.stream().await;
    world.script.lock().unwrap().pages = vec![(None, page(vec![entry(2, "revoked", &id("grnt", 2))], 6, None))];
    // It cannot be read, so it may be any.
    stream.send(event("revocation", &json!("x"))).unwrap();
    becomes(&verifier, &token, Ok(())).await;
    assert_eq!(
        world.service.was_asked(STREAM, 2).await[1].target,
        "/v1/revocations/stream?since=6"
    );
    assert_eq!(feed.len(), 1);
    // It ends in order.
    drop(world.stream().await);
    world.service.was_asked(STREAM, 3).await;
}

#[tokio::test]
async fn a_service_that_cannot_say_is_not_believed() {
    for (status, state) in [
        (404, FeedState::Disabled),
        (503, FeedState::NotReady),
        (401, FeedState::Unauthorized),
        (403, FeedState::Unauthorized),
        (500, FeedState::Network),
        (429, FeedState::Network),
    ] {
        let world = World::with(Vec::new()).await;
        world.script.lock().unwrap().status = status;
        let feed = world.feed(|builder| builder);
        let verifier = world.verifier(&feed);
        assert_eq!(
            verdict(&verifier, &ISSUING.token()).await,
            Err(VerifyError::RevocationUnknown),
            "{status}"
        );
        assert_eq!(feed.state(), state);
        world.script.lock().unwrap().status = 200;
        becomes(&verifier, &ISSUING.token(), Ok(())).await;
        // At once, and not only when it would be stale, if the service says that it cannot vouch for it.
        world.script.lock().unwrap().status = status;
        drop(world.stream().await);
        feed.reached(state).await;
        let expected = if state == FeedState::Network {
            Ok(())
        } else {
            Err(VerifyError::RevocationUnknown)
        };
        assert_eq!(verdict(&verifier, &ISSUING.token()).await, expected, "{status}");
    }
}

#[tokio::test]
async fn failing_open_is_a_choice() {
    let world = World::with(Vec::new()).await;
    world.script.lock().unwrap().status = 503;
    let verifier = world.verifier(&world.feed(FeedBuilder::fail_open));
    assert_eq!(verdict(&verifier, &ISSUING.token()).await, Ok(()));
}

#[tokio::test]
async fn more_than_may_be_kept_is_refused() {
    let entries = (0..4)
        .map(|number| entry(1, "revoked", &id("grnt", 10 + number)))
        .collect();
    let world = World::with(entries).await;
    let feed = world.feed(|builder| builder.max_entries(3));
    feed.reached(FeedState::TooMany).await;
    assert_eq!(
        verdict(&world.verifier(&feed), &ISSUING.token()).await,
        Err(VerifyError::RevocationUnknown)
    );
}

#[tokio::test]
async fn nonsense_is_no_snapshot() {
    for body in [
        "",
        "[]",
        "null",
        r#"{"entries":[{}]}"#,
        r#"{"entries":7}"#,
        // What a gateway may answer with status 200 is no empty snapshot.
        "{}",
        r#"{"error":"maintenance"}"#,
        r#"{"entries":[]}"#,
        r#"{"cursor":7}"#,
        r#"{"entries":[{"seq":1,"action":"revoked"}],"cursor":1}"#,
        r#"{"cursor":"x"}"#,
    ] {
        let body = body.to_owned();
        let service = Service::start(move |asked| {
            let reply = if asked.path() == PAGES {
                text(200, &body)
            } else {
                ISSUING.published(&asked)
            };
            async move { reply }
        })
        .await;
        let feed = RevocationFeed::builder(&service.url, key()).start().unwrap();
        feed.reached(FeedState::Network).await;
        assert!(!feed.is_current());
    }
}

#[tokio::test]
async fn questions_go_on_where_the_service_says() {
    let asked = Arc::new(Mutex::new(0));
    let count = Arc::clone(&asked);
    let service = Service::start(move |asked| {
        let count = Arc::clone(&count);
        async move {
            if asked.path() != PAGES {
                return ISSUING.published(&asked);
            }
            if !asked.target.contains("since=") {
                return answer(200, &page(Vec::new(), 3, None));
            }
            let number = {
                let mut count = count.lock().unwrap();
                *count += 1;
                *count
            };
            match number {
                // The entry is ahead of what is settled.
                1 => answer(200, &page(vec![entry(12, "revoked", &id("grnt", 1))], 11, None)),
                _ => Reply::Silence,
            }
        }
    })
    .await;
    let clock = ManualClock::default();
    let feed = RevocationFeed::builder(&service.url, key())
        .clock(clock.clone())
        .transport(Transport::Poll)
        .stale_after(Duration::from_secs(60));
    let verifier = checked(&service, &clock, feed.start().unwrap());
    becomes(&verifier, &ISSUING.token(), Err(VerifyError::Revoked)).await;
    let targets: Vec<String> = service
        .was_asked(PAGES, 3)
        .await
        .into_iter()
        .map(|asked| asked.target)
        .collect();
    assert_eq!(
        targets[..3],
        [
            "/v1/revocations",
            "/v1/revocations?since=3&wait=30",
            "/v1/revocations?since=11&wait=30"
        ]
    );
}

#[tokio::test]
async fn the_first_refusal_of_each_entry_is_reported() {
    let world = World::with(vec![
        entry(7, "revoked", &id("grnt", 1)),
        entry(9, "token_revoked", &id("tok", 9)),
    ])
    .await;
    let verifier = world.verifier(&world.feed(|builder| builder));
    let other = ISSUING.sign(&claims_with(json!({"jti": id("tok", 9), "grnt": id("grnt", 2)})));
    for _ in 0..3 {
        assert_eq!(verdict(&verifier, &ISSUING.token()).await, Err(VerifyError::Revoked));
        assert_eq!(verdict(&verifier, &other).await, Err(VerifyError::Revoked));
    }
    let told = |asked: &[crate::service::Asked]| -> Vec<i64> {
        let bodies = asked.iter().map(crate::service::Asked::json);
        bodies
            .flat_map(|body| body["refusals"].as_array().unwrap().clone())
            .map(|refusal| {
                assert_eq!(refusal["millisecondsAgo"], 0);
                refusal["seq"].as_i64().unwrap()
            })
            .collect()
    };
    until(|| async { told(&world.service.asked(REFUSALS)).len() >= 2 }).await;
    let asked = world.service.asked(REFUSALS);
    assert_eq!(told(&asked), [7, 9]);
    assert_eq!(
        (asked[0].method.as_str(), asked[0].headers["authorization"].as_str()),
        ("POST", "Bearer gx_test_canary")
    );
}
