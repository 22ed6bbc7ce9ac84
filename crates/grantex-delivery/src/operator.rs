//! Questions to services that the operator named.

use std::path::PathBuf;
use std::time::Duration;

use grantex_core::clock::Timestamp;
use grantex_core::secret::Secret;
use grantex_core::webhook::send::SendError;
use reqwest::header::{AUTHORIZATION, CONTENT_TYPE, DATE, HeaderValue};
use reqwest::{Client, RequestBuilder, redirect};
use tokio::time::{Instant, timeout_at};
use url::Url;

use crate::client::SetupError;
use crate::{failure, tls};

/// The `user-agent` of every request.
const USER_AGENT: &str = concat!("Grantex/", env!("CARGO_PKG_VERSION"));

/// How an [`OperatorClient`] asks.
#[derive(Debug, Clone)]
pub struct OperatorSettings {
    /// How long a question may take, with its answer's body.
    pub deadline: Duration,
    /// The longest body that is read, in bytes.
    pub longest_body: usize,
    /// A PEM file with certificates to trust beside those of the machine.
    pub ca_file: Option<PathBuf>,
    /// Sent as a bearer token.
    pub bearer_token: Option<Secret<String>>,
}

/// An answer, whatever its status.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Answer {
    /// The status.
    pub status: u16,
    /// What the answering machine's clock said, to the second (RFC 9110 §6.6.1).
    pub date: Option<Timestamp>,
    /// The body.
    pub body: Vec<u8>,
}

/// Why there is no answer. No text holds a URL or a token.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum CallError {
    /// The call failed.
    #[error(transparent)]
    Failed(#[from] SendError),
    /// The body was longer than is read.
    #[error("the answer is too long")]
    TooLong,
    /// The token cannot stand in a header.
    #[error("the bearer token holds characters that a header cannot")]
    Token,
}

/// Asks addresses that the operator chose, wherever they are. What developers choose is for [`HttpSender`](crate::HttpSender).
///
/// No redirect is followed and no proxy used: the token goes to the host that was named, and nowhere else.
pub struct OperatorClient {
    client: Client,
    settings: OperatorSettings,
}

impl OperatorClient {
    /// A client.
    ///
    /// # Errors
    /// When the file of certificates cannot be read, or TLS cannot be set up.
    pub fn new(settings: OperatorSettings) -> Result<Self, SetupError> {
        let (tls, _) = tls::config(settings.ca_file.as_deref())?;
        let client = Client::builder()
            .user_agent(USER_AGENT)
            .tls_backend_preconfigured(tls)
            .redirect(redirect::Policy::none())
            .referer(false)
            .no_proxy()
            .connect_timeout(settings.deadline)
            .build()
            .map_err(SetupError::Client)?;
        Ok(Self { client, settings })
    }

    /// Asks.
    ///
    /// # Errors
    /// When there is no answer within the deadline, or it is too long.
    pub async fn get(&self, url: Url) -> Result<Answer, CallError> {
        self.call(self.client.get(url)).await
    }

    /// Tells JSON.
    ///
    /// # Errors
    /// As [`OperatorClient::get`].
    pub async fn post_json(&self, url: Url, body: String) -> Result<Answer, CallError> {
        let request = self
            .client
            .post(url)
            .header(CONTENT_TYPE, "application/json")
            .body(body);
        self.call(request).await
    }

    async fn call(&self, mut request: RequestBuilder) -> Result<Answer, CallError> {
        let deadline = Instant::now() + self.settings.deadline;
        if let Some(token) = &self.settings.bearer_token {
            let mut value =
                HeaderValue::from_str(&format!("Bearer {}", token.expose())).map_err(|_| CallError::Token)?;
            value.set_sensitive(true);
            request = request.header(AUTHORIZATION, value);
        }
        let mut response = timeout_at(deadline, request.send())
            .await
            .map_err(|_| SendError::TimedOut)?
            .map_err(|error| failure::classify(&error))?;
        let date = response.headers().get(DATE).and_then(date);
        let mut body = Vec::new();
        while let Some(part) = timeout_at(deadline, response.chunk())
            .await
            .map_err(|_| SendError::TimedOut)?
            .map_err(|error| failure::classify(&error))?
        {
            if body.len() + part.len() > self.settings.longest_body {
                return Err(CallError::TooLong);
            }
            body.extend_from_slice(&part);
        }
        Ok(Answer {
            status: response.status().as_u16(),
            date,
            body,
        })
    }
}

fn date(value: &HeaderValue) -> Option<Timestamp> {
    let at = httpdate::parse_http_date(value.to_str().ok()?).ok()?;
    let since_epoch = at.duration_since(std::time::UNIX_EPOCH).ok()?;
    i64::try_from(since_epoch.as_millis()).ok().map(Timestamp::from_millis)
}
