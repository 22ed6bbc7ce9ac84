//! Requests to a collector of traces: one address, which the operator chose.

use std::time::Duration;

use grantex_core::secret::Secret;
use reqwest::header::{CONTENT_TYPE, HeaderMap, HeaderName, HeaderValue};
use reqwest::{Client, redirect};
use tokio::time::timeout;
use url::Url;

use crate::client::SetupError;
use crate::{failure, tls};
use grantex_core::webhook::send::SendError;

/// Why a collector did not take what it was sent. No text names an address or a header.
#[derive(Debug, thiserror::Error)]
pub enum CollectorError {
    /// It answered with this status.
    #[error("the collector answered {0}")]
    Refused(u16),
    /// It did not answer.
    #[error("the collector did not answer: {0}")]
    Unanswered(#[source] SendError),
}

/// Sends protobuf messages to a collector. No redirect is followed, no proxy used.
pub struct CollectorClient {
    client: Client,
    url: Url,
    headers: HeaderMap,
    deadline: Duration,
}

impl CollectorClient {
    /// A client of the collector at `url`. Headers that cannot be headers are an error that names none.
    ///
    /// # Errors
    /// When TLS cannot be set up.
    pub fn new(url: Url, headers: &[(String, Secret<String>)], deadline: Duration) -> Result<Self, SetupError> {
        let (tls, _) = tls::config(None)?;
        let client = Client::builder()
            .tls_backend_preconfigured(tls)
            .redirect(redirect::Policy::none())
            .referer(false)
            .no_proxy()
            .connect_timeout(deadline)
            .pool_max_idle_per_host(1)
            .build()
            .map_err(SetupError::Client)?;
        let mut map = HeaderMap::new();
        for (name, value) in headers {
            let name = HeaderName::from_bytes(name.as_bytes()).map_err(|_| SetupError::Header)?;
            let mut value = HeaderValue::from_str(value.expose()).map_err(|_| SetupError::Header)?;
            value.set_sensitive(true);
            map.insert(name, value);
        }
        map.insert(CONTENT_TYPE, HeaderValue::from_static("application/x-protobuf"));
        Ok(Self {
            client,
            url,
            headers: map,
            deadline,
        })
    }

    /// Sends one message; ends by the deadline, whatever the collector does.
    ///
    /// # Errors
    /// When the collector does not answer in time, or with another status than 2xx.
    pub async fn send(&self, body: Vec<u8>) -> Result<(), CollectorError> {
        let request = self
            .client
            .post(self.url.clone())
            .headers(self.headers.clone())
            .body(body);
        let response = timeout(self.deadline, request.send())
            .await
            .map_err(|_| CollectorError::Unanswered(SendError::TimedOut))?
            .map_err(|error| CollectorError::Unanswered(failure::classify(&error)))?;
        match response.status() {
            status if status.is_success() => Ok(()),
            status => Err(CollectorError::Refused(status.as_u16())),
        }
    }
}
