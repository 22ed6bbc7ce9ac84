//! The policy backend's client, against backends that do as they should and others.
#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    reason = "a failed unwrap is a failed test"
)]

use std::time::Duration;

use grantex_core::error::{Cause, chain};
use grantex_core::policy::backend::PolicyTransport as _;
use grantex_delivery::PolicyClient;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpListener;
use tokio::task::JoinHandle;

/// Takes one connection, reads one request and writes these bytes; gives back the request.
async fn backend(answer: Vec<u8>) -> (String, JoinHandle<String>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}/v1/data/grantex/authz", listener.local_addr().unwrap());
    let serving = tokio::spawn(async move {
        let (mut stream, _) = listener.accept().await.unwrap();
        let mut request = Vec::new();
        let mut buffer = [0; 4096];
        while !request.ends_with(b"}") {
            let count = stream.read(&mut buffer).await.unwrap();
            request.extend_from_slice(&buffer[..count]);
        }
        // A client that has had enough closes the connection.
        let _ = stream.write_all(&answer).await;
        let _ = stream.shutdown().await;
        String::from_utf8(request).unwrap()
    });
    (url, serving)
}

fn with_status(status: &str, body: &str) -> Vec<u8> {
    format!("HTTP/1.1 {status}\r\ncontent-length: {}\r\n\r\n{body}", body.len()).into_bytes()
}

async fn ask(url: &str, deadline: Duration) -> Result<Vec<u8>, Cause> {
    let client = PolicyClient::new(deadline, None).unwrap();
    client.post(url, r#"{"input":{}}"#.to_owned()).await
}

async fn failure(answer: Vec<u8>) -> String {
    let (url, serving) = backend(answer).await;
    let error = ask(&url, Duration::from_secs(30)).await.unwrap_err();
    serving.abort();
    let text = chain(&*error);
    assert!(!text.contains("127.0.0.1"), "{text}");
    text
}

#[tokio::test]
async fn json_is_posted_and_the_answer_brought() {
    let (url, serving) = backend(with_status("200 OK", r#"{"result":{"allow":true}}"#)).await;
    let answer = ask(&url, Duration::from_secs(30)).await.unwrap();
    assert_eq!(answer, br#"{"result":{"allow":true}}"#);
    let request = serving.await.unwrap().to_lowercase();
    assert!(request.starts_with("post /v1/data/grantex/authz http/1.1\r\n"));
    assert!(request.contains("content-type: application/json\r\n") && request.ends_with("\r\n\r\n{\"input\":{}}"));
}

#[tokio::test]
async fn only_success_is_an_answer_and_redirects_are_not_followed() {
    for status in [
        "404 Not Found",
        "500 Internal Server Error",
        "302 Found\r\nlocation: http://127.0.0.1:1/",
        "304 Not Modified",
    ] {
        let code = status.split(' ').next().unwrap();
        assert_eq!(
            failure(with_status(status, "")).await,
            format!("the answer's status is {code}")
        );
    }
    let (url, _serving) = backend(with_status("204 No Content", "")).await;
    assert_eq!(ask(&url, Duration::from_secs(30)).await.unwrap(), b"");
}

#[tokio::test]
async fn an_answer_of_two_mebibytes_is_read_and_no_more() {
    let most = " ".repeat(2 << 20);
    let (url, _serving) = backend(with_status("200 OK", &most)).await;
    assert_eq!(ask(&url, Duration::from_secs(30)).await.unwrap().len(), 2 << 20);
    let endless = format!("HTTP/1.1 200 OK\r\nconnection: close\r\n\r\n{most} ").into_bytes();
    assert_eq!(failure(endless).await, "the answer is too long");
}

#[tokio::test]
async fn a_backend_that_breaks_off_or_is_not_there_is_a_failure() {
    for broken in [
        "HTTP/1.1 200 OK\r\ncontent-length: 10\r\n\r\n{",
        "SSH-2.0-OpenSSH_9.2\r\n",
    ] {
        assert_eq!(
            failure(broken.as_bytes().to_vec()).await,
            "the connection broke before an answer"
        );
    }
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}/", listener.local_addr().unwrap());
    drop(listener);
    let error = ask(&url, Duration::from_secs(30)).await.unwrap_err();
    assert_eq!(chain(&*error), "the connection failed");
}

#[tokio::test]
async fn a_silent_backend_is_given_up_at_the_deadline() {
    // It accepts connections, as the system does, and nobody ever answers.
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}/", listener.local_addr().unwrap());
    let error = ask(&url, Duration::from_millis(50)).await.unwrap_err();
    assert_eq!(error.to_string(), "there was no answer in time");
}
