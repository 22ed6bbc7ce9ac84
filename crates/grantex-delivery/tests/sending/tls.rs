//! Receivers over TLS.

use std::path::PathBuf;
use std::sync::Arc;

use grantex_core::testing::ManualClock;
use grantex_core::webhook::send::SendError;
use grantex_delivery::{DeliverySettings, HttpSender, SetupError};
use tokio::io::AsyncWriteExt;

use crate::support::receiver::{Receiver, answer};
use crate::support::secure::{self, Authority, named};
use crate::support::{HOST, impatient, send, sender, settings, status};

const HTTP1: &[&[u8]] = &[b"http/1.1"];

fn url(receiver: &Receiver) -> String {
    receiver.url("/hook").replace("http:", "https:")
}

fn trusting(authority: &Authority) -> DeliverySettings {
    DeliverySettings {
        ca_file: Some(authority.file.clone()),
        allow_insecure_urls: false,
        ..settings()
    }
}

async fn answering(acceptor: tokio_rustls::TlsAcceptor) -> Receiver {
    secure::receiver(acceptor, |mut connection| async move {
        while connection.read().await.is_some() {
            connection
                .stream
                .write_all(answer(200, &[], "ok").as_bytes())
                .await
                .unwrap();
        }
    })
    .await
}

#[tokio::test]
async fn certificates_of_a_trusted_authority_are_accepted() {
    let authority = Authority::new("trusted");
    let mut receiver = answering(authority.acceptor(&named(HOST), HTTP1)).await;
    let sender = sender(&trusting(&authority));
    assert_eq!(send(&sender, &url(&receiver)).await, status(200));
    assert_eq!(send(&sender, &url(&receiver)).await, status(200));
    let request = receiver.request().await;
    assert_eq!(request.line, "POST /hook HTTP/1.1");
    assert_eq!(receiver.connections(), 1);
}

#[tokio::test]
async fn other_certificates_are_refused() {
    let authority = Authority::new("refused");
    let stranger = Authority::new("stranger");
    let mut expired = named(HOST);
    expired.not_before = rcgen::date_time_ymd(2019, 1, 1);
    expired.not_after = rcgen::date_time_ymd(2020, 1, 1);
    let sender = sender(&trusting(&authority));
    for acceptor in [
        stranger.acceptor(&named(HOST), HTTP1),
        authority.acceptor(&named("other.example.com"), HTTP1),
        authority.acceptor(&named("*.hooks.example.com"), HTTP1),
        authority.acceptor(&named("127.0.0.1"), HTTP1),
        authority.acceptor(&expired, HTTP1),
    ] {
        let receiver = answering(acceptor).await;
        assert_eq!(send(&sender, &url(&receiver)).await, Err(SendError::TlsFailed));
    }
}

#[tokio::test]
async fn without_a_common_protocol_there_is_no_connection() {
    let authority = Authority::new("protocol");
    let receiver = answering(authority.acceptor(&named(HOST), &[b"smtp"])).await;
    let sender = sender(&trusting(&authority));
    assert_eq!(send(&sender, &url(&receiver)).await, Err(SendError::TlsFailed));
}

#[tokio::test]
async fn what_is_no_tls_has_failed() {
    let sender = sender(&settings());
    let plain = Receiver::start(|mut connection| async move {
        let _ = connection.stream.write_all(b"HTTP/1.1 400 Bad Request\r\n\r\n").await;
        connection.until_closed().await;
    })
    .await;
    assert_eq!(send(&sender, &url(&plain)).await, Err(SendError::TlsFailed));
    let closing = Receiver::start(|connection| async move { drop(connection) }).await;
    assert_eq!(send(&sender, &url(&closing)).await, Err(SendError::TlsFailed));
    let resetting = Receiver::start(|connection| async move {
        connection.stream.readable().await.unwrap();
        connection.reset();
    })
    .await;
    assert_eq!(send(&sender, &url(&resetting)).await, Err(SendError::TlsFailed));
}

#[tokio::test]
async fn a_handshake_that_hangs_ends_at_the_deadline() {
    let mut receiver = Receiver::start(|mut connection| async move { connection.until_closed().await }).await;
    assert_eq!(
        send(&sender(&impatient()), &url(&receiver)).await,
        Err(SendError::TimedOut)
    );
    receiver.closed().await;
}

#[test]
fn a_file_without_certificates_is_a_problem_at_once() {
    let directory = PathBuf::from(env!("CARGO_TARGET_TMPDIR"));
    let empty = directory.join(format!("empty-{}.pem", std::process::id()));
    std::fs::write(&empty, "no certificate\n").unwrap();
    for file in [empty.clone(), directory.join("missing.pem"), directory] {
        let settings = DeliverySettings {
            ca_file: Some(file.clone()),
            ..DeliverySettings::default()
        };
        let problem = HttpSender::new(&settings, Arc::new(ManualClock::default())).err();
        assert!(matches!(problem, Some(SetupError::CaFile(named)) if named == file));
    }
    std::fs::remove_file(empty).unwrap();
}

#[test]
fn trusted_certificates_are_counted() {
    let authority = Authority::new("counted");
    let count = |settings: &DeliverySettings| {
        HttpSender::new(settings, Arc::new(ManualClock::default()))
            .unwrap()
            .trusted_certificates()
    };
    assert_eq!(count(&trusting(&authority)), count(&DeliverySettings::default()) + 1);
}
