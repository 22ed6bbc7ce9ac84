//! Requests and answers: every exchange has a deadline, every body a bound, no redirect is followed.

use std::path::PathBuf;
use std::time::Duration;

use grantex_core::secret::Secret;
use reqwest::header::{ACCEPT, AUTHORIZATION, CONTENT_TYPE, HeaderMap, HeaderValue, RETRY_AFTER};
use reqwest::{Client, Method, Response, redirect};
use serde::de::DeserializeOwned;
use tokio::time::{Instant, timeout_at};
use url::Url;

use crate::secure::{self, SetupError};

/// The `user-agent` of every request.
pub const USER_AGENT: &str = concat!("grantex-rust/", env!("CARGO_PKG_VERSION"));

/// The longest deadline of an exchange; a longer setting counts as this.
const LONGEST_DEADLINE: Duration = Duration::from_secs(10 * 60);
/// How long an idle connection is kept: common servers close theirs after five seconds.
const IDLE: Duration = Duration::from_secs(4);
/// The longest head of an HTTP/2 answer.
const HEAD_LIMIT: u32 = 32 * 1024;

/// Why there is no answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum TransportError {
    /// The deadline passed.
    #[error("the service did not answer in time")]
    TimedOut,
    /// No connection could be made.
    #[error("the service cannot be reached")]
    Unreachable,
    /// The exchange broke off, or was no HTTP.
    #[error("the exchange with the service broke off")]
    Broken,
    /// The answer is longer than it may be.
    #[error("the answer is longer than {limit} bytes")]
    TooLong {
        /// The bound, in bytes.
        limit: usize,
    },
}

impl TransportError {
    fn of(error: &reqwest::Error) -> Self {
        // The library's own text would name the URL.
        if error.is_timeout() {
            Self::TimedOut
        } else if error.is_connect() {
            Self::Unreachable
        } else {
            Self::Broken
        }
    }
}

/// How to reach a service.
#[derive(Debug, Clone)]
pub(crate) struct Reach {
    pub(crate) address: String,
    pub(crate) api_key: Option<Secret<String>>,
    pub(crate) is_insecure_allowed: bool,
    pub(crate) ca_file: Option<PathBuf>,
    pub(crate) deadline: Duration,
}

/// The settings of [`Reach`] that every builder has: its deadline, a certificate file, and plain `http`, each documented by what it means there.
macro_rules! reach_settings {
    ($(#[$deadline:meta])+ deadline, $(#[$http:meta])+ allow_insecure_http) => {
        $(#[$deadline])+
        #[must_use]
        pub const fn deadline(mut self, deadline: std::time::Duration) -> Self {
            self.reach.deadline = deadline;
            self
        }

        /// Certificates to trust besides those of the machine, in PEM form.
        #[must_use]
        pub fn ca_file(mut self, file: impl Into<std::path::PathBuf>) -> Self {
            self.reach.ca_file = Some(file.into());
            self
        }

        $(#[$http])+
        #[must_use]
        pub const fn allow_insecure_http(mut self) -> Self {
            self.reach.is_insecure_allowed = true;
            self
        }
    };
}
pub(crate) use reach_settings;

/// The delay that `Retry-After` asks for (RFC 9110 §10.2.3), from `now` in seconds after 1970.
pub(crate) fn retry_after(headers: &HeaderMap, now: Duration) -> Option<Duration> {
    let value = headers.get(RETRY_AFTER)?.to_str().ok()?.trim();
    if !value.is_empty() && value.bytes().all(|byte| byte.is_ascii_digit()) {
        // What overflows is absurdly long, and still a number of seconds.
        return Some(Duration::from_secs(value.parse().unwrap_or(u64::MAX)));
    }
    let at = httpdate::parse_http_date(value).ok()?;
    let at = at.duration_since(std::time::UNIX_EPOCH).ok()?;
    Some(at.saturating_sub(now))
}

/// A service that can be asked. Clones share connections.
#[derive(Clone)]
pub(crate) struct Service {
    client: Client,
    address: Url,
    authorization: Option<HeaderValue>,
    deadline: Duration,
}

/// A whole answer.
pub(crate) struct Answer {
    pub(crate) status: u16,
    pub(crate) headers: HeaderMap,
    pub(crate) body: Secret<Vec<u8>>,
}

/// What is asked.
pub(crate) struct Ask<'a> {
    pub(crate) method: Method,
    /// Below the address; each segment is encoded.
    pub(crate) path: &'a [&'a str],
    pub(crate) query: &'a [(&'a str, &'a str)],
    pub(crate) accept: &'static str,
    pub(crate) headers: &'a [(&'static str, &'a str)],
    pub(crate) body: Option<&'a Secret<Vec<u8>>>,
}

impl<'a> Ask<'a> {
    pub(crate) fn get(path: &'a [&'a str]) -> Self {
        Self {
            method: Method::GET,
            path,
            query: &[],
            accept: "application/json",
            headers: &[],
            body: None,
        }
    }
}

impl Service {
    pub(crate) fn new(reach: &Reach) -> Result<Self, SetupError> {
        let address = secure::address(&reach.address, reach.is_insecure_allowed)?;
        let deadline = reach.deadline.min(LONGEST_DEADLINE);
        let client = Client::builder()
            .user_agent(USER_AGENT)
            .tls_backend_preconfigured(secure::tls(reach.ca_file.as_deref())?)
            .redirect(redirect::Policy::none())
            .referer(false)
            .no_proxy()
            .connect_timeout(deadline * 3 / 4)
            .pool_idle_timeout(IDLE)
            .http2_max_header_list_size(HEAD_LIMIT)
            .build()
            .map_err(SetupError::Client)?;
        Ok(Self {
            client,
            address,
            authorization: reach.api_key.as_ref().map(bearer).transpose()?,
            deadline,
        })
    }

    pub(crate) const fn deadline(&self) -> Duration {
        self.deadline
    }

    /// Asks, and reads the whole answer, within the deadline.
    pub(crate) async fn ask(&self, ask: &Ask<'_>, limit: usize) -> Result<Answer, TransportError> {
        self.ask_until(ask, limit, Instant::now() + self.deadline).await
    }

    /// Asks, and reads the whole answer, until then.
    pub(crate) async fn ask_until(
        &self,
        ask: &Ask<'_>,
        limit: usize,
        until: Instant,
    ) -> Result<Answer, TransportError> {
        let response = self.open(ask, until).await?;
        let (status, headers) = (response.status().as_u16(), response.headers().clone());
        Ok(Answer {
            status,
            headers,
            body: read(response, limit, until).await?,
        })
    }

    /// Asks; the body is the caller's to read.
    pub(crate) async fn open(&self, ask: &Ask<'_>, until: Instant) -> Result<Response, TransportError> {
        let mut request = self
            .client
            .request(ask.method.clone(), self.url(ask))
            .header(ACCEPT, ask.accept);
        if let Some(authorization) = &self.authorization {
            request = request.header(AUTHORIZATION, authorization.clone());
        }
        for (name, value) in ask.headers {
            request = request.header(*name, *value);
        }
        if let Some(body) = ask.body {
            request = request
                .header(CONTENT_TYPE, "application/json")
                .body(body.expose().clone());
        }
        timeout_at(until, request.send())
            .await
            .map_err(|_| TransportError::TimedOut)?
            .map_err(|error| TransportError::of(&error))
    }

    fn url(&self, ask: &Ask<'_>) -> Url {
        let mut url = self.address.clone();
        if let Ok(mut segments) = url.path_segments_mut() {
            segments.pop_if_empty().extend(ask.path);
        }
        if !ask.query.is_empty() {
            url.query_pairs_mut().extend_pairs(ask.query);
        }
        url
    }
}

fn bearer(key: &Secret<String>) -> Result<HeaderValue, SetupError> {
    let text = Secret::new(format!("Bearer {}", key.expose().trim()));
    let mut value = HeaderValue::from_str(text.expose())
        .map_err(|_| SetupError::Setting("the API key holds what no header may hold"))?;
    value.set_sensitive(true);
    Ok(value)
}

/// Reads a body that may not be longer than `limit` bytes.
async fn read(mut response: Response, limit: usize, until: Instant) -> Result<Secret<Vec<u8>>, TransportError> {
    let too_long = TransportError::TooLong { limit };
    if response.content_length().is_some_and(|length| length > limit as u64) {
        return Err(too_long);
    }
    let mut body = Vec::new();
    while let Some(chunk) = chunk(&mut response, until).await? {
        if body.len() + chunk.len() > limit {
            return Err(too_long);
        }
        body.extend_from_slice(&chunk);
    }
    Ok(Secret::new(body))
}

/// The next part of a body, until then.
pub(crate) async fn chunk(response: &mut Response, until: Instant) -> Result<Option<Vec<u8>>, TransportError> {
    let read = timeout_at(until, response.chunk())
        .await
        .map_err(|_| TransportError::TimedOut)?;
    let part = read.map_err(|error| TransportError::of(&error))?;
    Ok(part.map(|bytes| bytes.to_vec()))
}

impl Answer {
    /// The body, which must be a JSON object: an array would be taken for the members in their order.
    pub(crate) fn object<T: DeserializeOwned>(&self) -> Option<T> {
        let body = self.body.expose().trim_ascii_start();
        body.starts_with(b"{").then(|| serde_json::from_slice(body).ok())?
    }

    /// The delay that `Retry-After` asks for, from `now` in seconds after 1970.
    pub(crate) fn retry_after(&self, now: Duration) -> Option<Duration> {
        retry_after(&self.headers, now)
    }
}
