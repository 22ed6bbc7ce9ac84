//! One request of a workload, with all that can be made beforehand already made.

use hyper::Method;
use hyper::Uri;
use hyper::body::Bytes;
use hyper::header::HeaderValue;

/// A request before it has a connection.
#[derive(Clone)]
pub struct Call {
    pub method: Method,
    /// Path and query.
    pub uri: Uri,
    /// The `Authorization` header.
    pub key: Option<HeaderValue>,
    pub idempotency_key: Option<HeaderValue>,
    /// A JSON body.
    pub body: Option<Bytes>,
}

impl Call {
    pub fn get(uri: Uri, key: Option<HeaderValue>) -> Self {
        Self {
            method: Method::GET,
            uri,
            key,
            idempotency_key: None,
            body: None,
        }
    }

    pub fn post(path: &'static str, key: Option<HeaderValue>, body: impl Into<Bytes>) -> Self {
        let uri = Uri::from_static(path);
        Self {
            method: Method::POST,
            uri,
            key,
            idempotency_key: None,
            body: Some(body.into()),
        }
    }

    pub fn with_idempotency_key(mut self, key: HeaderValue) -> Self {
        self.idempotency_key = Some(key);
        self
    }
}

/// A whole answer.
pub struct Answer {
    pub status: u16,
    pub body: Bytes,
}

impl Answer {
    /// The beginning of the body, for an error message.
    pub fn excerpt(&self) -> String {
        String::from_utf8_lossy(&self.body).chars().take(300).collect()
    }
}

/// Percent-encodes a query value.
pub fn query_value(text: &str) -> String {
    let mut encoded = String::with_capacity(text.len());
    for byte in text.bytes() {
        if byte.is_ascii_alphanumeric() || b"-._~".contains(&byte) {
            encoded.push(char::from(byte));
        } else {
            encoded.push_str(&format!("%{byte:02X}"));
        }
    }
    encoded
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_query_value_cannot_break_out_of_its_parameter() {
        assert_eq!(query_value("grnt_01J.x-~"), "grnt_01J.x-~");
        assert_eq!(query_value("a&b=c d/é"), "a%26b%3Dc%20d%2F%C3%A9");
    }
}
