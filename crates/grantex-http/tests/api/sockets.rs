//! Streams over real connections: WebSocket, and clients that go away.

use actix_http::ws::{OpCode, Parser};
use actix_web::web::BytesMut;
use grantex_core::clock::Lifetime;
use grantex_http::{StreamEnd, StreamNews, StreamTransport};
use serde_json::json;

use crate::support::TestApp;
use crate::support::socket::{HANDSHAKE, Served, frame, text};

const SOCKET: &str = "/v1/events/ws";

const fn ended(end: StreamEnd) -> StreamNews {
    StreamNews::Ended(StreamTransport::WebSocket, end)
}

#[actix_web::test]
async fn every_event_is_one_text_frame() {
    let app = TestApp::start().await;
    let served = Served::start(&app);
    let agent = app.agent(&["read", "write"]).await;
    let mut peer = served.socket(SOCKET, &app.live, b"").await;
    app.tokens(&agent).await;
    let arrived = [peer.event().await, peer.event().await];
    let listed = app.get("/v1/events").key(&app.live).send().await.expect(200);
    assert_eq!(listed["events"], json!([arrived[1], arrived[0]]));
    assert_eq!(arrived[0]["type"], "grant.created");
    served.stop().await;
}

#[actix_web::test]
async fn a_filter_right_after_the_handshake_is_not_lost() {
    let app = TestApp::start().await;
    let served = Served::start(&app);
    let mut peer = served
        .socket(SOCKET, &app.live, &text(r#"{"types":["grant.revoked"]}"#))
        .await;
    let mut every = served.socket(SOCKET, &app.live, b"").await;
    let mut by_query = served.socket("/v1/events/ws?types=token.*", &app.live, b"").await;
    // The answer to a ping shows that everything before it was read.
    for peer in [&mut peer, &mut every, &mut by_query] {
        peer.send(&frame(OpCode::Ping, "1")).await;
        assert_eq!(peer.next().await, Some((OpCode::Pong, b"1".to_vec())));
    }
    app.append(&["grant.created", "token.issued", "grant.revoked"]).await;
    assert_eq!(peer.event().await["type"], "grant.revoked");
    assert_eq!(by_query.event().await["type"], "token.issued");
    for kind in ["grant.created", "token.issued", "grant.revoked"] {
        assert_eq!(every.event().await["type"], kind);
    }
    served.stop().await;
}

#[actix_web::test]
async fn a_filter_replaces_the_one_before_and_all_else_is_ignored() {
    let app = TestApp::start().await;
    let served = Served::start(&app);
    let mut peer = served.socket("/v1/events/ws?types=grant.created", &app.live, b"").await;
    let parts = |opcode, is_last, bytes: &str| {
        let mut part = BytesMut::new();
        Parser::write_message(&mut part, bytes, opcode, is_last, true);
        part.to_vec()
    };
    for ignored in [
        text("hello"),
        text(""),
        text("{}"),
        text(r#"{"types":"grant.created"}"#),
        text(r#"{"types":[1]}"#),
        text("[]"),
        frame(OpCode::Binary, r#"{"types":["grant.revoked"]}"#),
        frame(OpCode::Pong, ""),
    ] {
        peer.send(&ignored).await;
    }
    app.append(&["grant.revoked", "grant.created"]).await;
    assert_eq!(peer.event().await["type"], "grant.created");

    peer.send(&parts(OpCode::Text, false, r#"{"types":["grant."#)).await;
    peer.send(&frame(OpCode::Ping, "in between")).await;
    assert_eq!(peer.next().await, Some((OpCode::Pong, b"in between".to_vec())));
    peer.send(&parts(OpCode::Continue, true, r#"revoked"],"more":1}"#))
        .await;
    peer.send(&frame(OpCode::Ping, "")).await;
    assert_eq!(peer.next().await, Some((OpCode::Pong, vec![])));
    app.append(&["grant.created", "grant.revoked"]).await;
    assert_eq!(peer.event().await["type"], "grant.revoked");
    served.stop().await;
}

#[actix_web::test]
async fn what_cannot_be_done_closes_with_its_reason() {
    let app = TestApp::unlimited().await;
    let served = Served::start(&app);
    let mut unmasked = BytesMut::new();
    Parser::write_message(&mut unmasked, "x", OpCode::Text, true, false);
    for (sent, code, reason) in [
        (text(r#"{"types":["nonsense"]}"#), 1008, "types must name event types"),
        (text(&"x".repeat(8_193)), 1009, "a message may hold at most 8192 bytes"),
        (
            frame(OpCode::Binary, vec![0; 1 << 20]),
            1009,
            "a message may hold at most 8192 bytes",
        ),
        (unmasked.to_vec(), 1002, "the frame breaks the protocol"),
        (frame(OpCode::Text, b"\xff"), 1007, "a text message must be UTF-8"),
    ] {
        let mut peer = served.socket(SOCKET, &app.live, b"").await;
        // A server that has closed reads no further; the rest may be refused.
        let _ = tokio::io::AsyncWriteExt::write_all(&mut peer.stream, &sent).await;
        assert_eq!(peer.farewell().await, (code, reason.to_owned()));
    }
    app.until_measured(ended(StreamEnd::Client)).await;
    served.stop().await;
}

#[actix_web::test]
async fn a_farewell_is_returned_and_frees_the_seat() {
    let app = TestApp::start_with(|_, http| http.streams.per_developer = 1.try_into().unwrap()).await;
    let served = Served::start(&app);
    for sent in [frame(OpCode::Close, b"\x03\xe8"), frame(OpCode::Close, b"\x0f\xa1bye")] {
        let mut peer = served.socket(SOCKET, &app.live, &sent).await;
        let code = u16::from_be_bytes([sent[6] ^ sent[2], sent[7] ^ sent[3]]);
        assert_eq!(peer.farewell().await, (code, String::new()));
    }
    let mut peer = served.socket(SOCKET, &app.live, &frame(OpCode::Close, b"")).await;
    assert_eq!(peer.next().await, Some((OpCode::Close, vec![])));
    served.stop().await;
}

#[actix_web::test]
async fn refusals_come_before_the_upgrade() {
    let app = TestApp::start_with(|_, http| http.streams.per_developer = 1.try_into().unwrap()).await;
    let served = Served::start(&app);
    let open = served.socket(SOCKET, &app.live, b"").await;
    let status = async |path: &str, key: &str, headers: &str| {
        let peer = served.ask(path, key, headers, b"").await;
        (peer.head[9..12].to_owned(), peer.head.clone())
    };
    assert_eq!(status(SOCKET, "gx_live_wrong", HANDSHAKE).await.0, "401");
    assert_eq!(status(SOCKET, &app.live, HANDSHAKE).await.0, "429");
    assert_eq!(status("/v1/events/ws?types=x", &app.live, HANDSHAKE).await.0, "400");
    assert_eq!(
        status("/v1/events/ws?lastEventId=9", &app.sandbox, HANDSHAKE).await.0,
        "400"
    );
    for headers in [
        "",
        "Connection: Upgrade\r\nUpgrade: h2c\r\n",
        &HANDSHAKE.replace("Version: 13", "Version: 8"),
        &HANDSHAKE.replace("Connection: Upgrade", "Connection: keep-alive"),
    ] {
        let (status, head) = status(SOCKET, &app.sandbox, headers).await;
        assert_eq!(status, "426", "{headers}");
        assert!(
            head.contains("sec-websocket-version: 13") && head.contains("upgrade: websocket"),
            "{head}"
        );
    }
    assert_eq!(
        status(SOCKET, &app.sandbox, &HANDSHAKE.replace("dGhl", "d")).await.0,
        "400"
    );
    // Each kind has seats of its own.
    assert_eq!(status("/v1/events/stream", &app.live, "").await.0, "200");
    drop(open);
    app.until_measured(ended(StreamEnd::Client)).await;
    served.socket(SOCKET, &app.live, b"").await;
    served.stop().await;
}

#[actix_web::test]
async fn a_socket_goes_on_behind_an_event() {
    let app = TestApp::start().await;
    let served = Served::start(&app);
    let envelopes = app.append(&["grant.created"; 3]).await;
    let second = envelopes[1]["id"].as_str().unwrap();
    let mut peer = served
        .socket(&format!("{SOCKET}?lastEventId={second}"), &app.live, b"")
        .await;
    assert_eq!(peer.event().await, envelopes[2]);
    served.stop().await;
}

#[actix_web::test]
async fn a_silent_socket_is_pinged_and_ended_when_it_does_not_answer() {
    let app = TestApp::start().await;
    let served = Served::start(&app);
    let mut peer = served.socket(SOCKET, &app.live, b"").await;
    for _ in 0..2 {
        app.clock.advance(Lifetime::seconds(30));
        assert_eq!(peer.next().await, Some((OpCode::Ping, vec![])));
        peer.send(&frame(OpCode::Pong, "")).await;
        // Until the answer was heard.
        peer.send(&frame(OpCode::Ping, "")).await;
        assert_eq!(peer.next().await, Some((OpCode::Pong, vec![])));
    }
    app.clock.advance(Lifetime::seconds(30));
    assert_eq!(peer.next().await, Some((OpCode::Ping, vec![])));
    app.clock.advance(Lifetime::seconds(30));
    assert_eq!(peer.next().await, None);
    app.until_measured(ended(StreamEnd::Client)).await;
    served.stop().await;
}

#[actix_web::test]
async fn a_server_that_drains_says_farewell() {
    let app = TestApp::start().await;
    let served = Served::start(&app);
    let mut peer = served.socket(SOCKET, &app.live, b"").await;
    let mut sse = served.ask("/v1/events/stream", &app.live, "", b"").await;
    app.app.drain();
    assert_eq!(peer.farewell().await, (1001, "draining".to_owned()));
    assert!(sse.until("\r\n0\r\n\r\n").await.contains(": ended: draining\n\n"));
    assert!(
        served
            .ask(SOCKET, &app.live, HANDSHAKE, b"")
            .await
            .head
            .starts_with("HTTP/1.1 503 ")
    );
    served.stop().await;
}

#[actix_web::test]
async fn a_replaced_key_closes_the_socket() {
    let app = TestApp::start().await;
    let served = Served::start(&app);
    let mut peer = served.socket(SOCKET, &app.live, b"").await;
    app.post("/v1/keys/rotate").key(&app.live).send().await.expect(200);
    assert_eq!(peer.farewell().await, (1008, "key_changed".to_owned()));
    served.stop().await;
}

#[actix_web::test]
async fn clients_that_vanish_give_their_seats_back() {
    let app = TestApp::start_with(|_, http| http.streams.per_developer = 1.try_into().unwrap()).await;
    let served = Served::start(&app);
    for is_abrupt in [false, true] {
        for (path, headers, transport) in [
            ("/v1/events/stream", "", StreamTransport::Sse),
            (SOCKET, HANDSHAKE, StreamTransport::WebSocket),
        ] {
            let peer = served.ask(path, &app.live, headers, b"").await;
            assert!(!peer.head.contains(" 429 "), "{}", peer.head);
            app.until_measured(StreamNews::Opened(transport)).await;
            if is_abrupt {
                // A reset instead of an orderly end.
                peer.stream.set_zero_linger().unwrap();
            }
            drop(peer);
            app.until_measured(StreamNews::Ended(transport, StreamEnd::Client))
                .await;
            app.measured.streams.lock().unwrap().clear();
        }
    }
    assert_eq!(app.measured.in_flight.lock().unwrap().iter().sum::<i64>(), 0);
    served.stop().await;
}

#[actix_web::test]
async fn a_connection_serves_on_when_its_stream_has_ended() {
    let app = TestApp::start().await;
    let served = Served::start(&app);
    let mut peer = served.ask("/v1/events/stream", &app.live, "", b"").await;
    peer.until(": open\nid: 0\n\n").await;
    app.post("/v1/keys/rotate").key(&app.live).send().await.expect(200);
    peer.until("\r\n0\r\n\r\n").await;
    peer.send(b"GET /health HTTP/1.1\r\nHost: a\r\n\r\n").await;
    peer.until(r#"{"status":"ok"}"#).await;
    served.stop().await;
}
