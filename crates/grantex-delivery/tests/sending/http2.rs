//! Receivers that speak HTTP/2, well and badly.

use std::future::poll_fn;
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::Bytes;
use grantex_core::webhook::send::{Received, SendError};
use grantex_delivery::{DeliverySettings, HttpSender};
use h2::server::SendResponse;
use h2::{Reason, RecvStream};
use http::{Request, Response};

use crate::support::receiver::{Note, Receiver};
use crate::support::secure::{self, Authority, named};
use crate::support::{HOST, send, sender, settings, status};

/// A receiver of HTTP/2 and a sender that trusts it. `serve` gets each request, and ends with the connection.
async fn receiver<F, R>(test: &str, settings: DeliverySettings, serve: F) -> (Receiver, HttpSender)
where
    F: Fn(Request<RecvStream>, SendResponse<Bytes>) -> R + Clone + Send + Sync + 'static,
    R: Future<Output = String> + Send + 'static,
{
    let authority = Authority::new(test);
    let acceptor = authority.acceptor(&named(HOST), &[b"h2", b"http/1.1"]);
    let receiver = secure::receiver(acceptor, move |connection| {
        let serve = serve.clone();
        async move {
            let notes = connection.notes.clone();
            let mut http = h2::server::handshake(connection.stream).await.unwrap();
            while let Some(Ok((request, respond))) = http.accept().await {
                let (serve, notes) = (serve.clone(), notes.clone());
                tokio::spawn(async move {
                    let said = serve(request, respond).await;
                    let _ = notes.send(Note::Said(said));
                });
            }
            let _ = notes.send(Note::Closed(0));
        }
    })
    .await;
    let settings = DeliverySettings {
        ca_file: Some(authority.file.clone()),
        ..settings
    };
    let sender = sender(&settings);
    (receiver, sender)
}

fn url(receiver: &Receiver) -> String {
    receiver.url("/hook?a=b").replace("http:", "https:")
}

fn response(status: u16) -> Response<()> {
    Response::builder().status(status).body(()).unwrap()
}

/// Settings with a deadline that is meant to pass, but not before the handshakes are over.
fn hurried() -> DeliverySettings {
    DeliverySettings {
        deadline: Duration::from_secs(2),
        ..settings()
    }
}

#[tokio::test]
async fn a_request_arrives_over_one_connection() {
    let (mut receiver, sender) = receiver("h2-good", settings(), |request, mut respond| async move {
        let (head, mut body) = request.into_parts();
        let mut text = Vec::new();
        while let Some(chunk) = body.data().await {
            text.extend_from_slice(&chunk.unwrap());
        }
        let answer = Response::builder()
            .status(202)
            .header("retry-after", "9")
            .body(())
            .unwrap();
        respond.send_response(answer, true).unwrap();
        let header = |name: &str| head.headers.get(name).unwrap().to_str().unwrap().to_owned();
        format!(
            "{} {} {} {} {} {}",
            head.method,
            head.uri.path_and_query().unwrap(),
            header("content-type"),
            header("content-length"),
            header("user-agent"),
            String::from_utf8(text).unwrap()
        )
    })
    .await;
    let expected = Received {
        status: 202,
        retry_after: Some(Duration::from_secs(9)),
    };
    let request = format!(
        "POST /hook?a=b application/json 14 {} {{\"id\":\"evt_1\"}}",
        grantex_delivery::USER_AGENT
    );
    for _ in 0..3 {
        assert_eq!(send(&sender, &url(&receiver)).await, Ok(expected));
        assert_eq!(receiver.note().await, Note::Said(request.clone()));
    }
    assert_eq!(receiver.connections(), 1);
}

#[tokio::test]
async fn an_endless_body_is_reset() {
    let (mut receiver, sender) = receiver("h2-body", settings(), |_, mut respond| async move {
        let mut body = respond.send_response(response(200), false).unwrap();
        // As much as there is room for, until the sender resets the stream.
        loop {
            body.reserve_capacity(16 * 1024);
            match poll_fn(|context| body.poll_capacity(context)).await {
                Some(Ok(room)) => body.send_data(Bytes::from(vec![0; room]), false).unwrap(),
                other => return format!("{}", other.is_none_or(|room| room.is_err())),
            }
        }
    })
    .await;
    assert_eq!(send(&sender, &url(&receiver)).await, status(200));
    assert_eq!(receiver.note().await, Note::Said("true".to_owned()));
}

#[tokio::test]
async fn floods_of_interim_answers_end_at_the_deadline() {
    let (mut receiver, sender) = receiver("h2-interim", hurried(), |_, mut respond| async move {
        let is_reset = |respond: &mut SendResponse<Bytes>, context: &mut Context<'_>| {
            Poll::Ready(respond.poll_reset(context).is_ready())
        };
        while !poll_fn(|context| is_reset(&mut respond, context)).await {
            respond.send_informational(response(103)).unwrap();
            tokio::task::yield_now().await;
        }
        "reset".to_owned()
    })
    .await;
    assert_eq!(send(&sender, &url(&receiver)).await, Err(SendError::TimedOut));
    assert_eq!(receiver.note().await, Note::Said("reset".to_owned()));
}

#[tokio::test]
async fn silence_ends_at_the_deadline() {
    let (mut receiver, sender) = receiver("h2-silence", hurried(), |_, mut respond| async move {
        let reset = poll_fn(|context| respond.poll_reset(context)).await;
        format!("{:?}", reset.unwrap())
    })
    .await;
    assert_eq!(send(&sender, &url(&receiver)).await, Err(SendError::TimedOut));
    assert_eq!(receiver.note().await, Note::Said("CANCEL".to_owned()));
}

#[tokio::test]
async fn a_reset_stream_is_broken() {
    let (receiver, sender) = receiver("h2-reset", settings(), |_, mut respond| async move {
        respond.send_reset(Reason::INTERNAL_ERROR);
        String::new()
    })
    .await;
    assert_eq!(send(&sender, &url(&receiver)).await, Err(SendError::Broken));
}

#[tokio::test]
async fn a_refused_stream_is_tried_again_within_bounds() {
    // The receiver says that it has not looked at the request (RFC 9113 §8.7).
    let (mut receiver, sender) = receiver("h2-refused", settings(), |_, mut respond| async move {
        respond.send_reset(Reason::REFUSED_STREAM);
        "refused".to_owned()
    })
    .await;
    assert_eq!(send(&sender, &url(&receiver)).await, Err(SendError::Broken));
    assert_eq!(receiver.note().await, Note::Said("refused".to_owned()));
}

#[tokio::test]
async fn a_head_that_is_too_long_is_broken() {
    let (receiver, sender) = receiver("h2-head", settings(), |_, mut respond| async move {
        let answer = Response::builder()
            .status(200)
            .header("x", "y".repeat(64 * 1024))
            .body(())
            .unwrap();
        respond.send_response(answer, true).unwrap();
        String::new()
    })
    .await;
    assert_eq!(send(&sender, &url(&receiver)).await, Err(SendError::Broken));
}
