//! Receivers that never come to an end, or to a beginning.

use std::time::Duration;

use grantex_core::webhook::send::{SendError, Sender};
use grantex_delivery::DeliverySettings;
use tokio::io::AsyncWriteExt;
use tokio::net::TcpSocket;

use crate::support::receiver::{Note, Receiver};
use crate::support::{HOST, impatient, outgoing, send, sender, settings, status};

/// More than buffers of both sockets and the client hold, and far less than a flood brings in its time.
const BUFFERED: usize = 16 << 20;

#[tokio::test]
async fn endless_bodies_are_cut_off() {
    let sender = sender(&settings());
    for head in [
        &b"HTTP/1.1 200 OK\r\n\r\n"[..],
        b"HTTP/1.1 200 OK\r\ncontent-length: 9223372036854775807\r\n\r\n",
        b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\nfffffffffffffff\r\n",
    ] {
        let mut receiver = Receiver::flooding(head, &[b'x'; 4096]).await;
        assert_eq!(send(&sender, &receiver.url("/")).await, status(200));
        assert!(receiver.closed().await < BUFFERED);
    }
}

#[tokio::test]
async fn a_body_that_trickles_is_cut_off() {
    let chunks = b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n";
    let mut receiver = Receiver::start(move |mut connection| async move {
        connection.read().await;
        connection.stream.write_all(chunks).await.unwrap();
        while connection.stream.write_all(b"1\r\nx\r\n").await.is_ok() {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        connection.note(Note::Closed(0));
    })
    .await;
    assert_eq!(send(&sender(&settings()), &receiver.url("/")).await, status(200));
    receiver.closed().await;
}

#[tokio::test]
async fn floods_of_interim_answers_end_at_the_deadline() {
    for interim in [
        &b"HTTP/1.1 100 Continue\r\n\r\n"[..],
        b"HTTP/1.1 103 Early Hints\r\nlink: </style.css>; rel=preload\r\n\r\n",
    ] {
        let mut receiver = Receiver::flooding(interim, interim).await;
        assert_eq!(
            send(&sender(&impatient()), &receiver.url("/")).await,
            Err(SendError::TimedOut)
        );
        receiver.closed().await;
    }
}

#[tokio::test]
async fn endless_heads_are_broken() {
    let sender = sender(&settings());
    for (start, more) in [
        // Many headers, one long header, one long reason, no end of empty lines.
        (&b"HTTP/1.1 200 OK\r\n"[..], &b"x: y\r\n"[..]),
        (b"HTTP/1.1 200 OK\r\nx: ", &[b'y'; 4096]),
        (b"HTTP/1.1 200 ", &[b'K'; 4096]),
    ] {
        let mut receiver = Receiver::flooding(start, more).await;
        assert_eq!(send(&sender, &receiver.url("/")).await, Err(SendError::Broken));
        assert!(receiver.closed().await < BUFFERED);
    }
}

#[tokio::test]
async fn what_is_no_http_is_broken() {
    let sender = sender(&settings());
    for garbage in [
        // HTTP/0.9.
        &b"<html>hello</html>"[..],
        b"OK\r\n",
        b"SSH-2.0-OpenSSH_9.6\r\n",
        b"220 mail.example.com ESMTP\r\n",
        b"-ERR unknown command\r\n",
        b"\0\0\0\x04\x08\0\0\0\0\0\0\x0f\0\x01",
        b"\x15\x03\x01\x00\x02\x02\x46",
        b"HTTP/2.0 200 OK\r\n\r\n",
        b"HTTP/3 200 OK\r\n\r\n",
        b"HTTP/1.2 200 OK\r\n\r\n",
        b"HTTP/1.1 99 x\r\n\r\n",
        b"HTTP/1.1 000 x\r\n\r\n",
        b"HTTP/1.1 2000 x\r\n\r\n",
        b"HTTP/1.1 abc x\r\n\r\n",
        b"HTTP/1.1 -20 x\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nno colon\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nx y: z\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nx: \0\r\n\r\n",
        b"HTTP/1.1 200 OK\r\ncontent-length: 1\r\ncontent-length: 2\r\n\r\nx",
        b"HTTP/1.1 200 OK\r\ncontent-length: x\r\n\r\n",
        // The head is cut short, or there is none.
        b"HTTP/1.1 200 OK\r\n",
        b"HTTP/1.1 200",
        b"H",
        b"HTTP/1.1 100 Continue\r\n\r\n",
        b"",
    ] {
        let receiver = Receiver::answering_once(garbage).await;
        let text = String::from_utf8_lossy(garbage);
        assert_eq!(
            send(&sender, &receiver.url("/")).await,
            Err(SendError::Broken),
            "{text:?}"
        );
    }
}

#[tokio::test]
async fn connections_that_end_without_a_head_are_broken() {
    let sender = sender(&settings());
    let unread = Receiver::start(|connection| async move { drop(connection) }).await;
    assert_eq!(send(&sender, &unread.url("/")).await, Err(SendError::Broken));
    let reset = Receiver::start(|mut connection| async move {
        connection.read().await;
        connection.reset();
    })
    .await;
    assert_eq!(send(&sender, &reset.url("/")).await, Err(SendError::Broken));
    let reset_within = Receiver::start(|mut connection| async move {
        connection.read().await;
        connection.stream.write_all(b"HTTP/1.1 200 OK\r\nx: ").await.unwrap();
        connection.reset();
    })
    .await;
    assert_eq!(send(&sender, &reset_within.url("/")).await, Err(SendError::Broken));
}

#[tokio::test]
async fn silence_ends_at_the_deadline() {
    // Reads nothing, answers nothing.
    let mut silent = Receiver::start(|mut connection| async move { connection.until_closed().await }).await;
    assert_eq!(
        send(&sender(&impatient()), &silent.url("/")).await,
        Err(SendError::TimedOut)
    );
    silent.closed().await;
}

#[tokio::test]
async fn a_head_that_trickles_ends_at_the_deadline() {
    let mut receiver = Receiver::start(|mut connection| async move {
        connection.read().await;
        let head = b"HTTP/1.1 200 OK\r\nx: ".iter().chain(std::iter::repeat(&b'y'));
        for byte in head {
            if connection.stream.write_all(&[*byte]).await.is_err() {
                break;
            }
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
        connection.note(Note::Closed(0));
    })
    .await;
    assert_eq!(
        send(&sender(&impatient()), &receiver.url("/")).await,
        Err(SendError::TimedOut)
    );
    receiver.closed().await;
}

#[tokio::test]
async fn a_request_that_is_not_read_ends_at_the_deadline() {
    let mut receiver = Receiver::start(|connection| async move {
        connection.note(Note::Said("connected".to_owned()));
        let _held = connection.stream;
        std::future::pending::<()>().await;
    })
    .await;
    let mut request = outgoing(&receiver.url("/"));
    request.body = "x".repeat(16 << 20).into();
    let hurried = DeliverySettings {
        deadline: Duration::from_secs(2),
        ..settings()
    };
    assert_eq!(sender(&hurried).send(&request).await, Err(SendError::TimedOut));
    assert_eq!(receiver.note().await, Note::Said("connected".to_owned()));
}

#[tokio::test]
async fn a_refused_connection_has_failed() {
    // A port that is taken, and at which nobody listens.
    let socket = TcpSocket::new_v4().unwrap();
    socket.bind("127.0.0.1:0".parse().unwrap()).unwrap();
    let port = socket.local_addr().unwrap().port();
    let url = format!("http://{HOST}:{port}/");
    assert_eq!(send(&sender(&settings()), &url).await, Err(SendError::ConnectFailed));
}

#[tokio::test]
async fn giving_up_closes_the_connection() {
    let mut receiver = Receiver::start(|mut connection| async move {
        connection.read().await;
        connection.until_closed().await;
    })
    .await;
    let sender = sender(&settings());
    let request = outgoing(&receiver.url("/"));
    let mut sending = sender.send(&request);
    tokio::select! {
        answer = &mut sending => panic!("{answer:?} from nobody"),
        _ = receiver.request() => {}
    }
    drop(sending);
    receiver.closed().await;
}
