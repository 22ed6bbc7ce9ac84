//! The API of the service: typed calls with an API key.
//!
//! Every call has a deadline, within which what may safely be repeated is repeated: questions, revoking a block, and refreshing,
//! which carries an idempotency key; and whatever was turned away by a limit (429) before anything happened.

mod agents;
mod audit;
mod grants;
mod read;
mod tokens;

use std::sync::Arc;
use std::time::Duration;

use grantex_core::clock::{Clock, SystemClock};
use grantex_core::id::Random as _;
use grantex_core::secret::{Secret, hex};
use grantex_core::token::crypto::SystemEntropy;
use reqwest::Method;
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use tokio::time::{Instant, sleep_until};

pub use agents::{Agent, RegisterAgent};
pub use audit::{AuditEntry, AuditFilter, AuditStatus, LogEntry};
pub use grants::{Authorization, AuthorizeRequest, DelegateRequest, Grant, GrantFilter};
pub use read::{Page, Paging};
pub use tokens::{ExchangeRequest, Introspection, RefreshRequest, Tokens, Verdict};

use crate::secure::SetupError;
use crate::wire::{Answer, Ask, Reach, Service, TransportError, reach_settings};

/// Bytes of an answer at most: a page of a thousand grants with the most and longest scopes is longer; ask for fewer then.
const MAX_BODY: usize = 8 * 1024 * 1024;
/// The first pause before a repetition; it doubles.
const FIRST_PAUSE: Duration = Duration::from_millis(200);
/// Repetitions of one call at most.
const REPETITIONS: u32 = 3;
/// The longest text of an error that is kept, in characters.
const MAX_TEXT: usize = 500;

/// Why a call failed.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum ApiError {
    /// The service refused. Its texts name fields of the request, never their values.
    #[error("the service answered {status} {code}: {message}")]
    #[non_exhaustive]
    Refused {
        /// The HTTP status.
        status: u16,
        /// The service's code, `BAD_REQUEST` for example; empty when it said none.
        code: String,
        /// What it said.
        message: String,
        /// The name of the request in the service's log.
        request_id: Option<String>,
        /// The pause it asked for.
        retry_after: Option<Duration>,
    },
    /// There is no answer.
    #[error("the service gave no answer")]
    Transport(#[from] TransportError),
    /// The answer is not what it should be.
    #[error("the answer of the service cannot be read")]
    Unreadable,
    /// The request cannot be written as JSON.
    #[error("the request cannot be written")]
    Unwritable,
}

impl ApiError {
    /// The HTTP status, if the service refused.
    pub const fn status(&self) -> Option<u16> {
        match self {
            Self::Refused { status, .. } => Some(*status),
            Self::Transport(_) | Self::Unreadable | Self::Unwritable => None,
        }
    }

    /// The service's code, if it refused.
    pub fn code(&self) -> Option<&str> {
        match self {
            Self::Refused { code, .. } => Some(code),
            Self::Transport(_) | Self::Unreadable | Self::Unwritable => None,
        }
    }
}

/// Settings of a [`Client`].
#[derive(Clone)]
pub struct ClientBuilder {
    reach: Reach,
}

/// Calls the API with one developer's key. Clones share connections.
///
/// ```no_run
/// # async fn example(key: grantex_client::Secret<String>) -> Result<(), grantex_client::ApiError> {
/// # let client = grantex_client::Client::builder("https://auth.example.com", key).build().unwrap();
/// use grantex_client::api::{AuthorizeRequest, ExchangeRequest};
///
/// let request = AuthorizeRequest::new("ag_…", "user-1", ["calendar:read"]).expires_in("8h");
/// let asked = client.authorize(&request).await?;
/// println!("send the user to {}", asked.consent_url);
///
/// # let code = grantex_client::Secret::new(String::new());
/// let tokens = client.exchange(&ExchangeRequest::new(code, "ag_…")).await?;
/// client.revoke_grant(&tokens.grant_id).await?;
/// # Ok(())
/// # }
/// ```
#[derive(Clone)]
pub struct Client {
    service: Service,
    clock: Arc<dyn Clock>,
    random: SystemEntropy,
}

/// Whether a call may be repeated when nobody knows what became of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Repeat {
    Safe,
    Unsafe,
}

/// An error as the service tells it; OAuth's form (RFC 6749 §5.2) as well.
#[derive(Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
struct Problem {
    code: Option<String>,
    message: Option<String>,
    request_id: Option<String>,
    error: Option<String>,
    #[serde(rename = "error_description")]
    error_description: Option<String>,
}

impl Client {
    /// Begins a client of the service at this address.
    pub fn builder(address: impl Into<String>, api_key: Secret<String>) -> ClientBuilder {
        ClientBuilder {
            reach: Reach {
                address: address.into(),
                api_key: Some(api_key),
                is_insecure_allowed: false,
                ca_file: None,
                deadline: Duration::from_secs(10),
            },
        }
    }

    async fn get<T: DeserializeOwned>(&self, path: &[&str], query: &[(&str, &str)]) -> Result<T, ApiError> {
        let ask = Ask {
            query,
            ..Ask::get(path)
        };
        parse(&self.call(&ask, Repeat::Safe).await?)
    }

    async fn post<T: DeserializeOwned>(
        &self,
        path: &[&str],
        body: &impl Serialize,
        repeat: Repeat,
    ) -> Result<T, ApiError> {
        parse(&self.send(path, body, &[], repeat).await?)
    }

    async fn send(
        &self,
        path: &[&str],
        body: &impl Serialize,
        headers: &[(&'static str, &str)],
        repeat: Repeat,
    ) -> Result<Answer, ApiError> {
        let body = Secret::new(serde_json::to_vec(body).map_err(|_| ApiError::Unwritable)?);
        let ask = Ask {
            method: Method::POST,
            headers,
            body: Some(&body),
            ..Ask::get(path)
        };
        self.call(&ask, repeat).await
    }

    async fn delete(&self, path: &[&str]) -> Result<(), ApiError> {
        let ask = Ask {
            method: Method::DELETE,
            ..Ask::get(path)
        };
        self.call(&ask, Repeat::Unsafe).await.map(|_| ())
    }

    /// Asks until there is an answer that will not change, the deadline has passed, or it was asked often enough.
    async fn call(&self, ask: &Ask<'_>, repeat: Repeat) -> Result<Answer, ApiError> {
        let until = Instant::now() + self.service.deadline();
        let mut repetition = 0;
        loop {
            let failed = match self.service.ask_until(ask, MAX_BODY, until).await {
                Ok(answer) if (200..300).contains(&answer.status) => return Ok(answer),
                Ok(answer) => self.refusal(&answer),
                Err(error) => ApiError::Transport(error),
            };
            let again_at = Instant::now() + self.pause(&failed, repetition);
            if repetition >= REPETITIONS || !may_repeat(&failed, repeat) || again_at >= until {
                return Err(failed);
            }
            repetition += 1;
            sleep_until(again_at).await;
        }
    }

    /// What the service asked for, or a little more each time, by chance shortened by up to a half.
    fn pause(&self, failed: &ApiError, repetition: u32) -> Duration {
        if let ApiError::Refused {
            retry_after: Some(pause),
            ..
        } = failed
        {
            return *pause;
        }
        let mut byte = [0_u8; 1];
        self.random.fill(&mut byte);
        let [byte] = byte;
        (FIRST_PAUSE * (1 << repetition)).mul_f64(0.5 + f64::from(byte) / 512.0)
    }

    fn refusal(&self, answer: &Answer) -> ApiError {
        let problem: Problem = answer.object().unwrap_or_default();
        let cut = |text: String| text.chars().take(MAX_TEXT).collect::<String>();
        let now = Duration::from_millis(u64::try_from(self.clock.now().as_millis()).unwrap_or(0));
        let named = answer.headers.get("x-request-id").and_then(|value| value.to_str().ok());
        ApiError::Refused {
            status: answer.status,
            code: problem.code.or(problem.error).map(cut).unwrap_or_default(),
            message: problem
                .message
                .or(problem.error_description)
                .map(cut)
                .unwrap_or_default(),
            request_id: named.map(str::to_owned).or(problem.request_id).map(cut),
            retry_after: answer.retry_after(now),
        }
    }

    /// A new idempotency key: 128 random bits.
    fn idempotency_key(&self) -> String {
        let mut bytes = [0_u8; 16];
        self.random.fill(&mut bytes);
        hex(&bytes)
    }
}

fn may_repeat(failed: &ApiError, repeat: Repeat) -> bool {
    match failed {
        // Turned away before anything happened.
        ApiError::Refused { status: 429, .. } => true,
        ApiError::Refused { status: 502..=504, .. } => repeat == Repeat::Safe,
        ApiError::Transport(TransportError::Unreachable | TransportError::Broken) => repeat == Repeat::Safe,
        ApiError::Refused { .. } | ApiError::Transport(_) | ApiError::Unreadable | ApiError::Unwritable => false,
    }
}

fn parse<T: DeserializeOwned>(answer: &Answer) -> Result<T, ApiError> {
    answer.object().ok_or(ApiError::Unreadable)
}

impl ClientBuilder {
    reach_settings! {
        /// How long a call may take, repetitions included; 10 seconds by default.
        deadline,
        /// Allows plain `http` to other machines: whoever is between can then read the API key and all tokens.
        allow_insecure_http
    }

    /// The client. Asks nothing yet.
    ///
    /// # Errors
    /// When the address or the key cannot be, or TLS cannot be set up.
    pub fn build(self) -> Result<Client, SetupError> {
        Ok(Client {
            service: Service::new(&self.reach)?,
            clock: Arc::new(SystemClock::new()),
            random: SystemEntropy::default(),
        })
    }
}
