//! Connections are used again, and are not hoarded.

use std::sync::Arc;

use grantex_core::webhook::send::SendError;
use grantex_delivery::DeliverySettings;
use tokio::io::AsyncWriteExt;
use tokio::sync::Barrier;

use crate::support::receiver::{Note, Receiver, answer};
use crate::support::{Answer, HERE, Names, send, sender, settings, status, with_names};

#[tokio::test]
async fn a_good_receiver_keeps_its_connection() {
    let body = "x".repeat(16 * 1024);
    let chunked = "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n\r\n";
    for answer in [
        answer(204, &[], ""),
        answer(200, &[], "ok"),
        answer(500, &[], "sorry"),
        answer(200, &[], &body),
        chunked.to_owned(),
    ] {
        let receiver = Receiver::answering(answer).await;
        let sender = sender(&settings());
        for _ in 0..5 {
            send(&sender, &receiver.url("/")).await.unwrap();
        }
        assert_eq!(receiver.connections(), 1);
    }
}

#[tokio::test]
async fn a_long_answer_that_is_not_there_costs_the_connection() {
    let mut receiver = Receiver::start(|mut connection| async move {
        connection.read().await;
        let head = b"HTTP/1.1 200 OK\r\ncontent-length: 16385\r\n\r\n";
        connection.stream.write_all(head).await.unwrap();
        connection.until_closed().await;
    })
    .await;
    let sender = sender(&settings());
    assert_eq!(send(&sender, &receiver.url("/")).await, status(200));
    receiver.closed().await;
    assert_eq!(send(&sender, &receiver.url("/")).await, status(200));
    assert_eq!(receiver.connections(), 2);
}

#[tokio::test]
async fn a_kept_connection_that_died_is_replaced() {
    let mut receiver = Receiver::start(|mut connection| async move {
        connection.read().await;
        connection
            .stream
            .write_all(answer(200, &[], "").as_bytes())
            .await
            .unwrap();
        drop(connection.stream);
        let _ = connection.notes.send(Note::Said("gone".to_owned()));
    })
    .await;
    let sender = sender(&settings());
    for _ in 0..3 {
        // Between the end of a connection and the client's notice of it, a request on it may break; then it is not sent twice.
        while let Err(error) = send(&sender, &receiver.url("/")).await {
            assert_eq!(error, SendError::Broken);
        }
        while receiver.note().await != Note::Said("gone".to_owned()) {}
    }
    assert_eq!(receiver.connections(), 3);
}

#[tokio::test]
async fn hosts_beyond_the_limit_keep_nothing() {
    let settings = DeliverySettings {
        idle_per_host: 2,
        idle_total: 4,
        ..settings()
    };
    let hosts: Vec<String> = (0..4).map(|number| format!("host-{number}.example.com")).collect();
    let names = hosts.iter().fold(Names::default(), |names, host| {
        names.with(host, [Answer::Are(vec![HERE])])
    });
    let sender = with_names(&settings, &names);
    let receiver = Receiver::answering(answer(200, &[], "")).await;
    for host in &hosts {
        for _ in 0..3 {
            let url = format!("http://{host}:{}/", receiver.address.port());
            assert_eq!(send(&sender, &url).await, status(200));
        }
    }
    // Two hosts keep one connection each; the others need one a request.
    assert_eq!(receiver.connections(), 2 + 2 * 3);
}

#[tokio::test]
async fn no_more_than_the_limit_is_idle_at_a_host() {
    let settings = DeliverySettings {
        idle_per_host: 2,
        ..settings()
    };
    // Answers once five requests are there, so that there are five connections.
    let all = Arc::new(Barrier::new(5));
    let mut receiver = Receiver::start(move |mut connection| {
        let all = Arc::clone(&all);
        async move {
            while connection.read().await.is_some() {
                all.wait().await;
                let ok = answer(200, &[], "");
                connection.stream.write_all(ok.as_bytes()).await.unwrap();
            }
            connection.note(Note::Closed(0));
        }
    })
    .await;
    let sender = sender(&settings);
    let url = receiver.url("/");
    let five = || async {
        let sent = tokio::join!(
            send(&sender, &url),
            send(&sender, &url),
            send(&sender, &url),
            send(&sender, &url),
            send(&sender, &url)
        );
        assert_eq!(<[_; 5]>::from(sent), [status(200); 5]);
    };
    five().await;
    for _ in 0..3 {
        receiver.closed().await;
    }
    // Two are left, and three are opened.
    five().await;
    assert_eq!(receiver.connections(), 5 + 3);
}
