//! A request in the making.

use actix_web::test::TestRequest;
use serde_json::Value;

use super::{Answer, Opened, TestApp};

/// A request that has not been sent.
pub struct Ask<'a> {
    app: &'a TestApp,
    request: TestRequest,
}

impl<'a> Ask<'a> {
    pub fn new(app: &'a TestApp, request: TestRequest) -> Self {
        let peer = "192.0.2.1:4711".parse().unwrap();
        Self {
            app,
            request: request.peer_addr(peer),
        }
    }

    pub fn key(self, key: &str) -> Self {
        self.header("authorization", &format!("Bearer {key}"))
    }

    pub fn header(self, name: &str, value: &str) -> Self {
        Self {
            request: self.request.insert_header((name, value)),
            ..self
        }
    }

    pub fn from(self, peer: &str) -> Self {
        Self {
            request: self.request.peer_addr(peer.parse().unwrap()),
            ..self
        }
    }

    pub fn json(self, body: &Value) -> Self {
        self.text("application/json", body.to_string())
    }

    pub fn form(self, body: &str) -> Self {
        self.text("application/x-www-form-urlencoded", body.to_owned())
    }

    pub fn text(self, content_type: &str, body: impl Into<Vec<u8>>) -> Self {
        let request = self
            .request
            .insert_header(("content-type", content_type))
            .set_payload(body.into());
        Self { request, ..self }
    }

    /// Sends it and leaves the answer open.
    pub async fn open(self) -> Opened {
        self.app.serve_stream(self.request).await
    }

    pub async fn send(self) -> Answer {
        self.app.serve(self.request).await
    }
}
