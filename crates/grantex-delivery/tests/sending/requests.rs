//! What a receiver gets to see.

use std::process::Command;
use std::sync::Arc;

use grantex_core::webhook::send::{Outgoing, Sender};

use crate::support::receiver::{Receiver, answer};
use crate::support::{HOST, send, sender, settings, status};

#[tokio::test]
async fn a_request_is_a_post_of_the_exact_body() {
    let mut receiver = Receiver::answering(answer(200, &[], "ok")).await;
    let body = "{\"id\":\"evt_1\",\"text\":\"süß \\u0000\"}";
    let request = Outgoing {
        url: receiver.url("/hook/%7B?a=b&c"),
        headers: vec![
            ("X-Grantex-Signature", "sha256=00ff".to_owned()),
            ("webhook-id", "evt_1".to_owned()),
        ],
        body: Arc::from(body),
    };
    assert_eq!(sender(&settings()).send(&request).await, status(200));

    let seen = receiver.request().await;
    assert_eq!(seen.line, "POST /hook/%7B?a=b&c HTTP/1.1");
    assert_eq!(seen.body, body);
    let mut headers = seen.headers;
    headers.sort();
    let host = format!("{HOST}:{}", receiver.address.port());
    assert_eq!(
        headers,
        [
            ("accept", "*/*"),
            ("content-length", &*body.len().to_string()),
            ("content-type", "application/json"),
            ("host", &*host),
            ("user-agent", concat!("Grantex-Webhooks/", env!("CARGO_PKG_VERSION"))),
            ("webhook-id", "evt_1"),
            ("x-grantex-signature", "sha256=00ff"),
        ]
        .map(|(name, value)| (name.to_owned(), value.to_owned()))
    );
}

#[tokio::test]
async fn large_and_empty_bodies_have_their_length() {
    let mut receiver = Receiver::answering(answer(200, &[], "")).await;
    let sender = sender(&settings());
    for body in ["x".repeat(3_000_000), String::new()] {
        let request = Outgoing {
            url: receiver.url("/"),
            headers: Vec::new(),
            body: Arc::from(body.as_str()),
        };
        assert_eq!(sender.send(&request).await, status(200));
        let seen = receiver.request().await;
        assert_eq!(seen.header("content-length"), Some(&*body.len().to_string()));
        assert_eq!(seen.header("transfer-encoding"), None);
        assert!(seen.body == body);
    }
}

#[tokio::test]
async fn redirects_are_answers() {
    let elsewhere = Receiver::answering(answer(200, &[], "")).await;
    let location = format!("location: {}", elsewhere.url("/"));
    let sender = sender(&settings());
    for code in [301, 302, 303, 307, 308] {
        let receiver = Receiver::answering(answer(code, &[&location], "")).await;
        assert_eq!(send(&sender, &receiver.url("/")).await, status(code));
    }
    elsewhere.assert_untouched().await;
}

#[tokio::test]
async fn nothing_is_remembered_of_an_answer() {
    let headers = [
        "set-cookie: session=1; Path=/",
        "www-authenticate: Basic",
        "alt-svc: h2=\":443\"",
        "strict-transport-security: max-age=1000",
    ];
    let mut receiver = Receiver::answering(answer(401, &headers, "")).await;
    let sender = sender(&settings());
    assert_eq!(send(&sender, &receiver.url("/")).await, status(401));
    assert_eq!(send(&sender, &receiver.url("/")).await, status(401));
    assert_eq!(receiver.request().await, receiver.request().await);
}

/// Runs another test of this file in a process whose environment names proxies at which nobody listens.
#[test]
fn proxies_of_the_environment_are_not_used() {
    let nobody = "http://127.0.0.1:1";
    let output = Command::new(std::env::current_exe().unwrap())
        .args(["--exact", "requests::a_request_is_a_post_of_the_exact_body"])
        .envs(
            [
                "http_proxy",
                "HTTP_PROXY",
                "https_proxy",
                "HTTPS_PROXY",
                "all_proxy",
                "ALL_PROXY",
            ]
            .map(|n| (n, nobody)),
        )
        .output()
        .unwrap();
    let text = String::from_utf8_lossy(&output.stdout);
    assert!(output.status.success() && text.contains("1 passed"), "{text}");
}
