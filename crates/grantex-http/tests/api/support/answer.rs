//! What came back.

use actix_web::body::{BoxBody, to_bytes};
use actix_web::dev::ServiceResponse;
use actix_web::http::header::HeaderMap;
use serde_json::Value;

/// An answer, read to its end.
#[derive(Debug)]
pub struct Answer {
    pub status: u16,
    pub headers: HeaderMap,
    pub body: Vec<u8>,
}

impl Answer {
    pub async fn read(response: ServiceResponse<BoxBody>) -> Self {
        let (status, headers) = (response.status().as_u16(), response.headers().clone());
        let body = to_bytes(response.into_body()).await.unwrap().to_vec();
        Self { status, headers, body }
    }

    pub fn text(&self) -> &str {
        std::str::from_utf8(&self.body).unwrap()
    }

    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.get(name).map(|value| value.to_str().unwrap())
    }

    pub fn value(&self) -> Value {
        serde_json::from_str(self.text()).unwrap_or_else(|_| panic!("{} {:?} is no JSON", self.status, self.text()))
    }

    /// The body, when the status is as expected.
    #[track_caller]
    pub fn expect(&self, status: u16) -> Value {
        assert_eq!(self.status, status, "{}", self.text());
        if self.body.is_empty() {
            Value::Null
        } else {
            self.value()
        }
    }

    /// The message of a refusal with this status and code, after a look at its form.
    #[track_caller]
    pub fn problem(&self, status: u16, code: &str) -> String {
        let body = self.expect(status);
        assert_eq!(body["code"], code, "{body}");
        assert_eq!(body["requestId"].as_str(), self.header("x-request-id"));
        assert_eq!(body["requestId"].as_str().unwrap().len(), 36);
        let mut members: Vec<&str> = body.as_object().unwrap().keys().map(String::as_str).collect();
        members.retain(|name| !name.starts_with("error"));
        members.sort_unstable();
        assert_eq!(members, ["code", "message", "requestId"]);
        body["message"].as_str().unwrap().to_owned()
    }

    /// The message of a 400.
    #[track_caller]
    pub fn bad_request(&self) -> String {
        self.problem(400, "BAD_REQUEST")
    }
}
