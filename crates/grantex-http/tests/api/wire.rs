//! The same over a real connection, where bodies that are not read and answers without a body show.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::time::Duration;

use actix_web::{App, HttpServer, web};

use crate::support::TestApp;

async fn serve(app: &TestApp) -> (SocketAddr, actix_web::dev::ServerHandle) {
    let data = app.app.clone();
    let server = HttpServer::new(move || App::new().configure(grantex_http::routes(data.clone()))).workers(1);
    let server = server.bind(("127.0.0.1", 0)).unwrap();
    let address = server.addrs()[0];
    let server = server.run();
    let handle = server.handle();
    actix_web::rt::spawn(server);
    (address, handle)
}

/// Sends requests over one connection and returns all that comes back until it is closed.
async fn exchange(address: SocketAddr, parts: Vec<Vec<u8>>) -> String {
    web::block(move || {
        let mut stream = TcpStream::connect(address).unwrap();
        stream.set_read_timeout(Some(Duration::from_secs(60))).unwrap();
        for part in parts {
            // A server that has refused may stop listening; what it said is still to be read.
            if stream.write_all(&part).is_err() {
                break;
            }
        }
        let mut answer = Vec::new();
        let mut buffer = [0_u8; 4_096];
        while let Ok(count) = stream.read(&mut buffer) {
            if count == 0 {
                break;
            }
            answer.extend_from_slice(&buffer[..count]);
        }
        String::from_utf8(answer).unwrap()
    })
    .await
    .unwrap()
}

#[actix_web::test]
async fn answers_to_head_have_a_length_and_no_body() {
    let app = TestApp::start().await;
    let (address, handle) = serve(&app).await;
    let head = b"HEAD /health HTTP/1.1\r\nHost: a\r\n\r\n".to_vec();
    let get = b"GET /health HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n".to_vec();
    let answer = exchange(address, vec![head, get]).await;
    assert_eq!(answer.matches("HTTP/1.1 200 OK").count(), 2, "{answer}");
    assert_eq!(answer.matches("content-length: 15").count(), 2, "{answer}");
    assert_eq!(answer.matches(r#"{"status":"ok"}"#).count(), 1, "{answer}");
    handle.stop(false).await;
}

#[actix_web::test]
async fn a_refusal_arrives_although_its_body_was_not_read() {
    let app = TestApp::start().await;
    let (address, handle) = serve(&app).await;
    let head = |length: usize| {
        format!(
            "POST /v1/agents HTTP/1.1\r\nHost: a\r\nContent-Type: application/json\r\nContent-Length: {length}\r\nConnection: close\r\n"
        )
    };
    let unauthorized = exchange(
        address,
        vec![format!("{}\r\n", head(100_000)).into_bytes(), vec![b' '; 100_000]],
    )
    .await;
    assert!(unauthorized.starts_with("HTTP/1.1 401"), "{unauthorized}");
    let key = format!("Authorization: Bearer {}\r\n\r\n", app.live);
    let too_large = exchange(
        address,
        vec![format!("{}{key}", head(2_000_000)).into_bytes(), vec![b' '; 2_000_000]],
    )
    .await;
    assert!(
        too_large.starts_with("HTTP/1.1 413") && too_large.contains("PAYLOAD_TOO_LARGE"),
        "{too_large}"
    );
    handle.stop(false).await;
}

#[actix_web::test]
async fn a_connection_serves_on_after_a_refusal() {
    let app = TestApp::start().await;
    let (address, handle) = serve(&app).await;
    let refused = b"POST /v1/agents HTTP/1.1\r\nHost: a\r\nContent-Type: application/json\r\nContent-Length: 13\r\n\r\n{\"name\": \"a\"}".to_vec();
    let next = b"GET /health HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n".to_vec();
    let answer = exchange(address, vec![refused, next]).await;
    assert!(
        answer.starts_with("HTTP/1.1 401") && answer.contains(r#"{"status":"ok"}"#),
        "{answer}"
    );
    handle.stop(false).await;
}
