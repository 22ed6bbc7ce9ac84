//! Asking the operator's policy backend.

use std::path::Path;
use std::time::Duration;

use async_trait::async_trait;
use grantex_core::error::Cause;
use grantex_core::policy::backend::PolicyTransport;
use grantex_core::webhook::send::SendError;
use url::Url;

use crate::client::SetupError;
use crate::operator::{CallError, OperatorClient, OperatorSettings};

/// The most that an answer may hold, in bytes.
const LONGEST_ANSWER: usize = 2 << 20;

/// Posts JSON to a policy backend, as an [`OperatorClient`] does. Needs a Tokio runtime with time and I/O.
pub struct PolicyClient(OperatorClient);

/// Why there is no answer. No text holds a URL: whoever reads the log knows where the backend is, and nobody else needs to.
#[derive(Debug, thiserror::Error)]
enum Unanswered {
    #[error(transparent)]
    Failed(#[from] CallError),
    #[error("the answer's status is {0}")]
    Status(u16),
}

impl PolicyClient {
    /// A client whose requests end within `deadline`, and which trusts the certificates of a file beside those that the machine
    /// trusts.
    ///
    /// # Errors
    /// When the file cannot be read, or TLS cannot be set up.
    pub fn new(deadline: Duration, ca_file: Option<&Path>) -> Result<Self, SetupError> {
        let client = OperatorClient::new(OperatorSettings {
            deadline,
            longest_body: LONGEST_ANSWER,
            ca_file: ca_file.map(Path::to_owned),
            bearer_token: None,
        })?;
        Ok(Self(client))
    }

    async fn ask(&self, url: &str, body: String) -> Result<Vec<u8>, Unanswered> {
        let url = Url::parse(url).map_err(|_| CallError::Failed(SendError::UrlRefused))?;
        let answer = self.0.post_json(url, body).await?;
        match answer.status {
            200..=299 => Ok(answer.body),
            status => Err(Unanswered::Status(status)),
        }
    }
}

#[async_trait]
impl PolicyTransport for PolicyClient {
    async fn post(&self, url: &str, body: String) -> Result<Vec<u8>, Cause> {
        self.ask(url, body).await.map_err(Into::into)
    }
}
