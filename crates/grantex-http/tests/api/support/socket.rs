//! A server behind a real socket, and a client that speaks WebSocket by hand.

use std::net::SocketAddr;

use actix_http::ws::{OpCode, Parser};
use actix_web::HttpServer;
use actix_web::dev::ServerHandle;
use actix_web::rt::spawn;
use actix_web::web::BytesMut;
use grantex_http::StreamNews;
use serde_json::Value;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::task::JoinHandle;
use tokio::time::timeout;

use super::stream::PATIENCE;
use super::{TestApp, actix_app};

/// A running server, whose streams are looked after.
pub struct Served {
    pub address: SocketAddr,
    server: ServerHandle,
    running: JoinHandle<()>,
}

impl Served {
    pub fn start(app: &TestApp) -> Self {
        let (data, tended) = (app.app.clone(), app.app.clone());
        let server = HttpServer::new(move || actix_app(data.clone()))
            .workers(1)
            .disable_signals();
        let server = server.bind(("127.0.0.1", 0)).unwrap();
        let address = server.addrs()[0];
        let server = server.run();
        let handle = server.handle();
        spawn(server);
        Self {
            address,
            server: handle,
            running: spawn(async move { tended.run_streams().await }),
        }
    }

    pub async fn stop(self) {
        self.running.abort();
        self.server.stop(false).await;
    }

    /// A connection that has sent a request, and whatever follows it at once.
    pub async fn ask(&self, path: &str, key: &str, headers: &str, more: &[u8]) -> Peer {
        let mut stream = TcpStream::connect(self.address).await.unwrap();
        let head = format!("GET {path} HTTP/1.1\r\nHost: a\r\nAuthorization: Bearer {key}\r\n{headers}\r\n");
        stream.write_all(&[head.as_bytes(), more].concat()).await.unwrap();
        let mut peer = Peer {
            stream,
            bytes: BytesMut::new(),
            head: String::new(),
        };
        peer.head = peer.take_head().await;
        peer
    }

    /// An upgraded connection that has sent these frames right after its handshake.
    pub async fn socket(&self, path: &str, key: &str, frames: &[u8]) -> Peer {
        let peer = self.ask(path, key, HANDSHAKE, frames).await;
        assert!(peer.head.starts_with("HTTP/1.1 101 "), "{}", peer.head);
        // The example of RFC 6455 §1.3.
        let accept = "sec-websocket-accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=";
        assert!(peer.head.contains(accept), "{}", peer.head);
        assert!(
            peer.head.to_lowercase().contains("connection: upgrade"),
            "{}",
            peer.head
        );
        peer
    }
}

pub const HANDSHAKE: &str = "Connection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\n\
    Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n";

/// A client's frame.
pub fn frame(opcode: OpCode, bytes: impl AsRef<[u8]>) -> Vec<u8> {
    let mut frame = BytesMut::new();
    Parser::write_message(&mut frame, bytes, opcode, true, true);
    frame.to_vec()
}

pub fn text(text: &str) -> Vec<u8> {
    frame(OpCode::Text, text)
}

/// The client's end of a connection.
pub struct Peer {
    pub head: String,
    pub stream: TcpStream,
    bytes: BytesMut,
}

impl Peer {
    async fn read(&mut self) -> usize {
        timeout(PATIENCE, self.stream.read_buf(&mut self.bytes))
            .await
            .expect("something comes")
            .unwrap_or(0)
    }

    async fn take_head(&mut self) -> String {
        loop {
            if let Some(end) = self.bytes.windows(4).position(|four| four == b"\r\n\r\n") {
                return String::from_utf8(self.bytes.split_to(end + 4).to_vec()).unwrap();
            }
            assert_ne!(self.read().await, 0, "the answer has a head");
        }
    }

    /// All that comes until this text.
    pub async fn until(&mut self, wanted: &str) -> String {
        loop {
            let text = String::from_utf8_lossy(&self.bytes).into_owned();
            if text.contains(wanted) {
                self.bytes.clear();
                return text;
            }
            assert_ne!(self.read().await, 0, "{wanted} did not come, only {text}");
        }
    }

    pub async fn send(&mut self, bytes: &[u8]) {
        self.stream.write_all(bytes).await.unwrap();
    }

    /// The next frame; `None` at the end.
    pub async fn next(&mut self) -> Option<(OpCode, Vec<u8>)> {
        loop {
            if let Some((_, opcode, bytes)) = Parser::parse(&mut self.bytes, false, 1 << 20).unwrap() {
                return Some((opcode, bytes.unwrap_or_default().to_vec()));
            }
            if self.read().await == 0 {
                return None;
            }
        }
    }

    /// The next frame, which holds an event.
    pub async fn event(&mut self) -> Value {
        let (opcode, bytes) = self.next().await.unwrap();
        assert_eq!(opcode, OpCode::Text);
        serde_json::from_slice(&bytes).unwrap()
    }

    /// The next frame, which says farewell, and then the end: code and reason.
    pub async fn farewell(&mut self) -> (u16, String) {
        let (opcode, bytes) = self.next().await.unwrap();
        assert_eq!(opcode, OpCode::Close);
        let (code, reason) = bytes.split_at(2);
        assert_eq!(self.next().await, None);
        let code = u16::from_be_bytes(code.try_into().unwrap());
        (code, String::from_utf8(reason.to_vec()).unwrap())
    }
}

impl TestApp {
    /// Waits until this was measured of streams.
    pub async fn until_measured(&self, news: StreamNews) {
        let wait = async {
            while !self.measured.streams.lock().unwrap().contains(&news) {
                tokio::task::yield_now().await;
            }
        };
        timeout(PATIENCE, wait).await.expect("it is measured");
    }
}
