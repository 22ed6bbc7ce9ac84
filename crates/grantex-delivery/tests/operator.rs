//! Questions to services that the operator named end, whatever the service does, and tell the token to nobody else.
#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    reason = "a failed unwrap is a failed test"
)]

use std::time::Duration;

use grantex_core::clock::Timestamp;
use grantex_core::secret::Secret;
use grantex_core::webhook::send::SendError;
use grantex_delivery::{Answer, CallError, OperatorClient, OperatorSettings};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinHandle;
use url::Url;

fn client(deadline: Duration, token: Option<&str>) -> OperatorClient {
    OperatorClient::new(OperatorSettings {
        deadline,
        longest_body: 100,
        ca_file: None,
        bearer_token: token.map(|token| Secret::new(token.to_owned())),
    })
    .unwrap()
}

/// A service that takes one request, gives `answer`, and then nothing more while it is open.
async fn service(answer: &'static str) -> (Url, JoinHandle<(String, TcpStream)>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}/path", listener.local_addr().unwrap());
    let serving = tokio::spawn(async move {
        let (mut stream, _) = listener.accept().await.unwrap();
        let mut request = Vec::new();
        while !request.windows(4).any(|end| end == b"\r\n\r\n") {
            let mut part = [0; 1024];
            let count = stream.read(&mut part).await.unwrap();
            assert!(count > 0, "a request");
            request.extend_from_slice(&part[..count]);
        }
        stream.write_all(answer.as_bytes()).await.unwrap();
        (String::from_utf8(request).unwrap().to_lowercase(), stream)
    });
    (url.parse().unwrap(), serving)
}

const PATIENT: Duration = Duration::from_secs(60);
const SHORT: Duration = Duration::from_millis(300);

#[tokio::test]
async fn an_answer_has_status_date_and_body() {
    let (url, serving) =
        service("HTTP/1.1 503 No\r\ndate: Tue, 01 Jan 2030 00:00:01 GMT\r\ncontent-length: 2\r\n\r\nhi").await;
    let answer = client(PATIENT, Some("a-token")).get(url).await.unwrap();
    let expected = Answer {
        status: 503,
        date: Some(Timestamp::from_millis(1_893_456_001_000)),
        body: b"hi".to_vec(),
    };
    assert_eq!(answer, expected);
    let (request, _) = serving.await.unwrap();
    assert!(request.starts_with("get /path http/1.1\r\n"), "{request}");
    assert!(request.contains("authorization: bearer a-token\r\n"), "{request}");
}

#[tokio::test]
async fn a_redirect_is_an_answer_and_not_followed() {
    let (elsewhere, _untouched) = service("HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n").await;
    let head = format!("HTTP/1.1 302 Found\r\nlocation: {elsewhere}\r\ncontent-length: 0\r\n\r\n");
    let (url, _serving) = service(head.leak()).await;
    assert_eq!(client(PATIENT, Some("a-token")).get(url).await.unwrap().status, 302);
}

#[tokio::test]
async fn what_is_told_is_json() {
    let (url, serving) = service("HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n").await;
    let answer = client(PATIENT, None).post_json(url, "[]".to_owned()).await.unwrap();
    assert_eq!((answer.status, answer.date), (200, None));
    let (request, _) = serving.await.unwrap();
    assert!(request.contains("content-type: application/json\r\n"), "{request}");
    assert!(!request.contains("authorization"), "{request}");
}

#[tokio::test]
async fn a_body_that_is_too_long_is_not_read() {
    let long = format!("HTTP/1.1 200 OK\r\nconnection: close\r\n\r\n{}", "x".repeat(101));
    let (url, _serving) = service(long.leak()).await;
    assert_eq!(client(PATIENT, None).get(url).await, Err(CallError::TooLong));
}

#[tokio::test]
async fn silence_ends_by_the_deadline() {
    for answer in [
        "",
        "HTTP/1.1 200 OK\r\n",
        "HTTP/1.1 200 OK\r\ncontent-length: 9\r\n\r\nhalf",
    ] {
        let (url, _serving) = service(answer).await;
        let ended = client(SHORT, None).get(url).await;
        assert_eq!(ended, Err(CallError::Failed(SendError::TimedOut)), "{answer:?}");
    }
}

#[tokio::test]
async fn a_token_that_no_header_can_hold_is_refused_without_being_told() {
    let (url, _untouched) = service("").await;
    let error = client(PATIENT, Some("two\nlines")).get(url).await.unwrap_err();
    assert_eq!(error, CallError::Token);
    assert!(!format!("{error} {error:?}").contains("lines"));
}
