//! One keep-alive HTTP/1.1 connection.

use std::sync::Arc;
use std::time::Duration;

use http_body_util::{BodyExt, Full, Limited};
use hyper::body::Bytes;
use hyper::client::conn::http1::{SendRequest, handshake};
use hyper::header::{AUTHORIZATION, CONTENT_TYPE, HOST, HeaderName, HeaderValue};
use hyper::{Request, Uri};
use hyper_util::rt::TokioIo;
use tokio::net::TcpStream;
use tokio::task::AbortHandle;

use crate::call::{Answer, Call};
use crate::error::BenchError;

/// No request, connecting included, takes longer than this.
pub const DEADLINE: Duration = Duration::from_secs(10);
/// Above every answer the workloads ask for.
const MAX_BODY: usize = 4 * 1024 * 1024;

const IDEMPOTENCY_KEY: HeaderName = HeaderName::from_static("idempotency-key");
const JSON: HeaderValue = HeaderValue::from_static("application/json");

/// Why there is no answer.
#[derive(Debug, thiserror::Error)]
pub enum TransportError {
    #[error("no answer within 10 s")]
    Deadline,
    #[error("the connection was refused or lost while connecting")]
    Connect(#[source] std::io::Error),
    #[error("the exchange on the connection failed")]
    Exchange(#[source] hyper::Error),
    #[error("the answer's body could not be read")]
    Body(#[source] Box<dyn std::error::Error + Send + Sync>),
}

impl TransportError {
    /// A short name to count by.
    pub fn kind(&self) -> &'static str {
        match self {
            Self::Deadline => "timeout",
            Self::Connect(_) => "connect",
            Self::Exchange(_) | Self::Body(_) => "connection lost",
        }
    }
}

/// The server to talk to.
#[derive(Clone)]
pub struct Target {
    authority: Arc<str>,
    host: HeaderValue,
}

impl Target {
    /// Parses a base URL such as `http://127.0.0.1:3001`.
    pub fn parse(url: &str) -> Result<Self, BenchError> {
        let bad = |reason| BenchError::Url {
            url: url.to_owned(),
            reason,
        };
        let uri: Uri = url.parse().map_err(|_| bad("it does not parse"))?;
        if uri.scheme_str() != Some("http") {
            return Err(bad("only http is spoken"));
        }
        if uri.path() != "/" || uri.query().is_some() {
            return Err(bad("a path is not supported"));
        }
        let host = uri.host().ok_or_else(|| bad("the host is missing"))?;
        let authority = format!("{host}:{}", uri.port_u16().unwrap_or(80));
        let host = HeaderValue::from_str(&authority).map_err(|_| bad("the host is not a header value"))?;
        Ok(Self {
            authority: authority.into(),
            host,
        })
    }

    pub fn authority(&self) -> &str {
        &self.authority
    }
}

struct Open {
    sender: SendRequest<Full<Bytes>>,
    /// The task that moves the bytes.
    driver: AbortHandle,
}

impl Drop for Open {
    fn drop(&mut self) {
        self.driver.abort();
    }
}

/// A connection that opens itself again after it was lost.
pub struct Connection {
    target: Target,
    open: Option<Open>,
}

impl Connection {
    pub fn new(target: Target) -> Self {
        Self { target, open: None }
    }

    /// Opens the connection anew, so that a measurement neither counts the handshake nor meets a connection that the
    /// server closed for idling.
    pub async fn reopen(&mut self) -> Result<(), TransportError> {
        self.open = None;
        match tokio::time::timeout(DEADLINE, connect(&self.target)).await {
            Ok(opened) => self.open = Some(opened?),
            Err(_) => return Err(TransportError::Deadline),
        }
        Ok(())
    }

    /// Sends a request and reads the whole answer.
    ///
    /// # Errors
    /// After an error the connection is dropped; the request is never sent a second time.
    pub async fn send(&mut self, call: Call) -> Result<Answer, TransportError> {
        let answered = tokio::time::timeout(DEADLINE, self.exchange(call)).await;
        let answered = answered.unwrap_or(Err(TransportError::Deadline));
        if answered.is_err() {
            self.open = None;
        }
        answered
    }

    async fn exchange(&mut self, call: Call) -> Result<Answer, TransportError> {
        if self.open.as_ref().is_none_or(|open| open.sender.is_closed()) {
            self.open = Some(connect(&self.target).await?);
        }
        let Some(open) = self.open.as_mut() else {
            return Err(TransportError::Deadline);
        };
        open.sender.ready().await.map_err(TransportError::Exchange)?;
        let response = open
            .sender
            .send_request(self.target.request(call))
            .await
            .map_err(TransportError::Exchange)?;
        let status = response.status().as_u16();
        let body = Limited::new(response.into_body(), MAX_BODY)
            .collect()
            .await
            .map_err(TransportError::Body)?;
        Ok(Answer {
            status,
            body: body.to_bytes(),
        })
    }
}

impl Target {
    fn request(&self, call: Call) -> Request<Full<Bytes>> {
        let has_body = call.body.is_some();
        let mut request = Request::new(Full::new(call.body.unwrap_or_default()));
        *request.method_mut() = call.method;
        *request.uri_mut() = call.uri;
        let headers = request.headers_mut();
        headers.insert(HOST, self.host.clone());
        if let Some(key) = call.key {
            headers.insert(AUTHORIZATION, key);
        }
        if let Some(key) = call.idempotency_key {
            headers.insert(IDEMPOTENCY_KEY, key);
        }
        if has_body {
            headers.insert(CONTENT_TYPE, JSON);
        }
        request
    }
}

async fn connect(target: &Target) -> Result<Open, TransportError> {
    let stream = TcpStream::connect(target.authority())
        .await
        .map_err(TransportError::Connect)?;
    // Without this a request in two segments waits for the peer's delayed acknowledgement.
    stream.set_nodelay(true).map_err(TransportError::Connect)?;
    let (sender, driver) = handshake(TokioIo::new(stream))
        .await
        .map_err(TransportError::Exchange)?;
    // How the connection ended reaches the caller through the sender.
    let driver = tokio::spawn(async move { drop(driver.await) }).abort_handle();
    Ok(Open { sender, driver })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_base_url_names_host_and_port_and_nothing_else() {
        assert_eq!(
            Target::parse("http://127.0.0.1:3001").unwrap().authority(),
            "127.0.0.1:3001"
        );
        assert_eq!(Target::parse("http://localhost/").unwrap().authority(), "localhost:80");
        assert!(Target::parse("https://127.0.0.1:3001").is_err());
        assert!(Target::parse("http://127.0.0.1:3001/v1").is_err());
        assert!(Target::parse("127.0.0.1").is_err());
    }
}
