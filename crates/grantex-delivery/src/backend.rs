//! Asking the operator's policy backend. Other than receivers of webhooks it is chosen by the operator, so plain http and private
//! addresses are as good as any.

use std::path::Path;
use std::time::Duration;

use async_trait::async_trait;
use grantex_core::error::Cause;
use grantex_core::policy::backend::PolicyTransport;
use reqwest::header::{ACCEPT, CONTENT_TYPE};
use reqwest::{Client, redirect};
use tokio::time::timeout;

use crate::client::SetupError;
use crate::tls;

/// The most that an answer may hold.
const MAX_ANSWER: usize = 2 << 20;
/// How long an idle connection is kept.
const IDLE: Duration = Duration::from_secs(30);

/// Posts JSON to a policy backend. No redirect is followed, no proxy used. Needs a Tokio runtime with time and I/O.
#[derive(Clone)]
pub struct PolicyClient {
    client: Client,
    deadline: Duration,
}

/// Why there is no answer.
#[derive(Debug, thiserror::Error)]
enum Unanswered {
    #[error("no answer within {} ms", .0.as_millis())]
    TimedOut(Duration),
    #[error("the request failed")]
    Failed(#[source] reqwest::Error),
    #[error("the answer's status is {0}")]
    Status(u16),
    #[error("the answer is longer than {MAX_ANSWER} bytes")]
    TooLong,
}

impl From<reqwest::Error> for Unanswered {
    fn from(error: reqwest::Error) -> Self {
        // Whoever reads the log knows where the backend is; nobody else needs to.
        Self::Failed(error.without_url())
    }
}

impl PolicyClient {
    /// A client whose requests end within `deadline`, and which trusts the certificates of a file beside those that the machine
    /// trusts.
    ///
    /// # Errors
    /// When the file cannot be read, or TLS cannot be set up.
    pub fn new(deadline: Duration, ca_file: Option<&Path>) -> Result<Self, SetupError> {
        let (tls, _) = tls::config(ca_file)?;
        let client = Client::builder()
            .user_agent(concat!("Grantex/", env!("CARGO_PKG_VERSION")))
            .tls_backend_preconfigured(tls)
            .redirect(redirect::Policy::none())
            .referer(false)
            .no_proxy()
            .connect_timeout(deadline)
            .pool_idle_timeout(IDLE)
            .build()
            .map_err(SetupError::Client)?;
        Ok(Self { client, deadline })
    }

    async fn ask(&self, url: &str, body: String) -> Result<Vec<u8>, Unanswered> {
        let request = self
            .client
            .post(url)
            .header(CONTENT_TYPE, "application/json")
            .header(ACCEPT, "application/json")
            .body(body);
        let mut response = request.send().await?;
        let status = response.status();
        if !status.is_success() {
            return Err(Unanswered::Status(status.as_u16()));
        }
        let mut answer = Vec::new();
        while let Some(chunk) = response.chunk().await? {
            if answer.len() + chunk.len() > MAX_ANSWER {
                return Err(Unanswered::TooLong);
            }
            answer.extend_from_slice(&chunk);
        }
        Ok(answer)
    }
}

#[async_trait]
impl PolicyTransport for PolicyClient {
    async fn post(&self, url: &str, body: String) -> Result<Vec<u8>, Cause> {
        match timeout(self.deadline, self.ask(url, body)).await {
            Ok(answer) => answer.map_err(Into::into),
            Err(_) => Err(Unanswered::TimedOut(self.deadline).into()),
        }
    }
}
