//! Every answer is one, whatever it says.

use std::time::Duration;

use grantex_core::testing::ManualClock;
use grantex_core::webhook::send::{Received, SendError};

use tokio::io::AsyncWriteExt;
use tokio::time::timeout;

use crate::support::receiver::{Receiver, answer};
use crate::support::{AMPLE, send, sender, settings, status};

#[tokio::test]
async fn every_status_is_an_answer() {
    let sender = sender(&settings());
    for code in [
        200, 201, 202, 203, 204, 205, 206, 226, 299, 300, 304, 305, 400, 401, 402, 403, 404, 405, 407, 408, 410, 411,
        413, 418, 421, 425, 426, 429, 431, 451, 500, 501, 502, 503, 504, 505, 511, 599, 600, 799, 999,
    ] {
        let receiver = Receiver::answering_once(format!("HTTP/1.1 {code} x\r\n\r\n")).await;
        assert_eq!(send(&sender, &receiver.url("/")).await, status(code), "{code}");
    }
}

#[tokio::test]
async fn answers_without_bodies_may_claim_one() {
    let sender = sender(&settings());
    for code in [204, 304] {
        for rest in [
            "content-length: 0\r\n\r\n",
            "content-length: 5\r\n\r\n",
            "content-length: 5\r\n\r\nhello",
            "transfer-encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n\r\n",
            "content-type: text/plain\r\n\r\nhello",
        ] {
            let receiver = Receiver::answering(format!("HTTP/1.1 {code} x\r\n{rest}")).await;
            for _ in 0..3 {
                assert_eq!(send(&sender, &receiver.url("/")).await, status(code), "{rest:?}");
            }
        }
    }
}

#[tokio::test]
async fn heads_of_many_forms_are_read() {
    let sender = sender(&settings());
    for head in [
        "HTTP/1.0 200 OK\r\n\r\n",
        "HTTP/1.1 200\r\n\r\n",
        "HTTP/1.1 200 \r\n\r\n",
        "HTTP/1.1 200 OK\n\n",
        "\r\n\r\nHTTP/1.1 200 OK\r\n\r\n",
        "HTTP/1.1 200 \u{fc}\r\n\r\n",
        "HTTP/1.1 200 OK\r\nx: \u{fc}\r\n\r\n",
        "HTTP/1.1 200 OK\r\nretry-after: \u{fc}\r\n\r\n",
        "HTTP/1.1 200 OK\r\nconnection: close\r\n\r\n",
        "HTTP/1.1 200 OK\r\nconnection: upgrade\r\nupgrade: h2c\r\n\r\n",
        "HTTP/1.1 200 OK\r\ncontent-encoding: gzip\r\n\r\nnot gzip",
        "HTTP/1.1 200 OK\r\ncontent-encoding: br\r\ncontent-length: 3\r\n\r\n\0\0\0",
    ] {
        let receiver = Receiver::answering_once(head).await;
        assert_eq!(send(&sender, &receiver.url("/")).await, status(200), "{head:?}");
    }
}

#[tokio::test]
async fn interim_answers_are_passed_over() {
    let interim = concat!(
        "HTTP/1.1 100 Continue\r\n\r\n",
        "HTTP/1.1 102 Processing\r\n\r\n",
        "HTTP/1.1 103 Early Hints\r\nlink: </x>; rel=preload\r\nretry-after: 7\r\n\r\n",
        "HTTP/1.1 199 Whatever\r\n\r\n",
    );
    let receiver = Receiver::answering(interim.to_owned() + &answer(201, &[], "")).await;
    let sender = sender(&settings());
    assert_eq!(send(&sender, &receiver.url("/")).await, status(201));
    assert_eq!(send(&sender, &receiver.url("/")).await, status(201));
    assert_eq!(receiver.connections(), 1);
}

#[tokio::test]
async fn a_switch_of_protocols_is_no_answer() {
    let switch = "HTTP/1.1 101 Switching Protocols\r\nupgrade: websocket\r\nconnection: upgrade\r\n\r\n";
    let receiver = Receiver::answering(switch).await;
    assert_eq!(
        send(&sender(&settings()), &receiver.url("/")).await,
        Err(SendError::Broken)
    );
}

#[tokio::test]
async fn bodies_do_not_matter() {
    let sender = sender(&settings());
    for rest in [
        // Cut short.
        "content-length: 1000\r\n\r\nabc",
        "content-length: 1000000000000\r\n\r\nabc",
        "transfer-encoding: chunked\r\n\r\nff\r\nabc",
        "transfer-encoding: chunked\r\n\r\n",
        // Longer than said.
        "content-length: 3\r\n\r\nabcdef",
        // No chunks.
        "transfer-encoding: chunked\r\n\r\nxyz\r\n",
        "transfer-encoding: chunked\r\n\r\nffffffffffffffffff\r\n",
    ] {
        let receiver = Receiver::answering_once(format!("HTTP/1.1 500 x\r\n{rest}")).await;
        assert_eq!(send(&sender, &receiver.url("/")).await, status(500), "{rest:?}");
    }
}

#[tokio::test]
async fn retry_after_is_a_delay_from_now() {
    // The test clock stands at 2030-01-02T03:04:05.006Z.
    let seconds = |count| Some(Duration::from_secs(count));
    let sender = sender(&settings());
    for (value, expected) in [
        ("120", seconds(120)),
        ("0", seconds(0)),
        ("Wed, 02 Jan 2030 03:05:05 GMT", Some(Duration::from_millis(59_994))),
        ("Wed, 02 Jan 2030 03:04:05 GMT", seconds(0)),
        ("999999999", seconds(86_400)),
        ("Fri, 31 Dec 9999 23:59:59 GMT", seconds(86_400)),
        ("-5", None),
        ("soon", None),
        ("", None),
    ] {
        let receiver = Receiver::answering(answer(503, &[&format!("Retry-After: {value}")], "")).await;
        let expected = Received {
            status: 503,
            retry_after: expected,
        };
        assert_eq!(send(&sender, &receiver.url("/")).await, Ok(expected), "{value:?}");
    }
    assert_eq!(ManualClock::START.to_string(), "2030-01-02T03:04:05.006Z");
}

#[tokio::test]
async fn a_body_that_never_comes_holds_nobody_up() {
    let mut receiver = Receiver::start(|mut connection| async move {
        connection.read().await;
        let head = b"HTTP/1.1 200 OK\r\ncontent-length: 10\r\n\r\n";
        connection.stream.write_all(head).await.unwrap();
        connection.until_closed().await;
    })
    .await;
    let sender = sender(&settings());
    let url = receiver.url("/");
    // Long before the deadline.
    assert_eq!(timeout(AMPLE / 2, send(&sender, &url)).await, Ok(status(200)));
    receiver.closed().await;
}
