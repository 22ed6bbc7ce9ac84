//! Asking the service for each call.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use grantex_core::secret::Secret;
use reqwest::Method;
use serde::Deserialize;
use serde_json::json;
use sha2::{Digest, Sha256};
use tokio::sync::{OnceCell, Semaphore};
use tokio::time::timeout;

use crate::secure::SetupError;
use crate::verify::{Opened, VerifyError};
use crate::wire::{Ask, Reach, Service, reach_settings};

/// Bytes of an answer at most: what is told of a Biscuit lists its blocks.
const MAX_BODY: usize = 1024 * 1024;

/// Names a question: SHA-256 of what is asked about.
type Question = [u8; 32];
type Verdict = Result<(), VerifyError>;

/// Asks the service whether a token still counts, each time: `GET /v1/revocations/status`, and for a Biscuit, whose blocks that does not
/// know, `POST /v1/grants/verify`.
///
/// Calls that ask the same at the same time share one question, so an answer may be as old as the question took. Fails closed.
#[derive(Clone)]
pub struct OnlineCheck(Arc<Parts>);

struct Parts {
    service: Service,
    is_open_on_failure: bool,
    asking: Mutex<HashMap<Question, Arc<OnceCell<Verdict>>>>,
    permits: Semaphore,
}

/// Settings of an [`OnlineCheck`].
#[derive(Clone)]
pub struct OnlineBuilder {
    reach: Reach,
    is_open_on_failure: bool,
    questions: usize,
}

/// An answer of `/v1/revocations/status`.
#[derive(Deserialize)]
struct Status {
    revoked: bool,
    status: Option<String>,
}

/// An answer of `/v1/grants/verify`.
#[derive(Deserialize)]
struct Active {
    active: bool,
    reason: Option<String>,
}

/// A caller's part in a question. The question is forgotten once it was answered, or everybody who asked it went away.
struct Shared<'a> {
    parts: &'a Parts,
    question: Question,
    cell: Arc<OnceCell<Verdict>>,
}

impl Parts {
    fn asking(&self) -> MutexGuard<'_, HashMap<Question, Arc<OnceCell<Verdict>>>> {
        self.asking.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Shared<'_> {
    fn drop(&mut self) {
        let mut asking = self.parts.asking();
        let is_current = asking
            .get(&self.question)
            .is_some_and(|current| Arc::ptr_eq(current, &self.cell));
        // Besides this caller only the map holds it.
        if is_current && (self.cell.initialized() || Arc::strong_count(&self.cell) <= 2) {
            asking.remove(&self.question);
        }
    }
}

impl OnlineCheck {
    /// Begins a check with the service at this address.
    pub fn builder(address: impl Into<String>, api_key: Secret<String>) -> OnlineBuilder {
        OnlineBuilder {
            reach: Reach {
                address: address.into(),
                api_key: Some(api_key),
                is_insecure_allowed: false,
                ca_file: None,
                deadline: Duration::from_secs(2),
            },
            is_open_on_failure: false,
            questions: 64,
        }
    }

    pub(crate) async fn check(&self, opened: &Opened, token: &str) -> Verdict {
        let claims = &opened.claims;
        let name = if opened.biscuit.is_some() {
            Sha256::digest(token.as_bytes())
        } else {
            Sha256::digest(format!("{} {}", claims.grant_id, claims.token_id))
        };
        let question: Question = name.into();
        let shared = Shared {
            cell: Arc::clone(self.0.asking().entry(question).or_default()),
            parts: &self.0,
            question,
        };
        let verdict = shared.cell.get_or_init(|| self.ask(opened, token)).await.clone();
        drop(shared);
        match verdict {
            Err(VerifyError::RevocationUnknown) if self.0.is_open_on_failure => Ok(()),
            verdict => verdict,
        }
    }

    async fn ask(&self, opened: &Opened, token: &str) -> Verdict {
        let parts = &self.0;
        let asked = async {
            let _permit = parts.permits.acquire().await.ok()?;
            if opened.biscuit.is_some() {
                self.ask_about_biscuit(token).await
            } else {
                self.ask_about_token(opened).await
            }
        };
        let answered = timeout(parts.service.deadline(), asked).await;
        answered.ok().flatten().unwrap_or(Err(VerifyError::RevocationUnknown))
    }

    /// `None` when there is no answer that can be read.
    async fn ask_about_token(&self, opened: &Opened) -> Option<Verdict> {
        let query = [
            ("grantId", opened.claims.grant_id.as_str()),
            ("jti", opened.claims.token_id.as_str()),
        ];
        let ask = Ask {
            query: &query,
            ..Ask::get(&["v1", "revocations", "status"])
        };
        let answer = self.0.service.ask(&ask, MAX_BODY).await.ok()?;
        if answer.status != 200 {
            return None;
        }
        let told: Status = answer.object()?;
        match (told.revoked, told.status.as_deref()) {
            (false, Some("active")) => Some(Ok(())),
            // Whatever contradicts itself is no answer.
            (false, _) => None,
            (true, reason) => Some(Err(refusal(reason))),
        }
    }

    async fn ask_about_biscuit(&self, token: &str) -> Option<Verdict> {
        let body = Secret::new(json!({ "token": token }).to_string().into_bytes());
        let ask = Ask {
            method: Method::POST,
            body: Some(&body),
            ..Ask::get(&["v1", "grants", "verify"])
        };
        let answer = self.0.service.ask(&ask, MAX_BODY).await.ok()?;
        match answer.status {
            200 => {}
            400 => return Some(Err(VerifyError::Malformed)),
            _ => return None,
        }
        let told: Active = answer.object()?;
        Some(if told.active {
            Ok(())
        } else {
            Err(refusal(told.reason.as_deref()))
        })
    }
}

fn refusal(reason: Option<&str>) -> VerifyError {
    match reason {
        Some("suspended") => VerifyError::Suspended,
        Some("expired") => VerifyError::Expired,
        Some("audience") => VerifyError::Audience,
        Some("unknown" | "not_found") => VerifyError::NotKnown,
        _ => VerifyError::Revoked,
    }
}

impl OnlineBuilder {
    /// How many questions may be asked at the same time; 64 by default.
    #[must_use]
    pub const fn concurrent_questions(mut self, count: usize) -> Self {
        self.questions = count;
        self
    }

    /// Accepts tokens when the service gives no answer. Whoever can cut the connection to it can then use a revoked token until it ends.
    #[must_use]
    pub const fn fail_open(mut self) -> Self {
        self.is_open_on_failure = true;
        self
    }

    reach_settings! {
        /// How long a question may take, waiting for others included; 2 seconds by default.
        deadline,
        /// Allows plain `http` to other machines: whoever is between can then read the API key, and make up answers.
        allow_insecure_http
    }

    /// The check. Asks nothing yet.
    ///
    /// # Errors
    /// When the address, the key or a setting cannot be, or TLS cannot be set up.
    pub fn build(self) -> Result<OnlineCheck, SetupError> {
        if !(1..=Semaphore::MAX_PERMITS).contains(&self.questions) {
            return Err(SetupError::Setting("at least one question must be allowed"));
        }
        Ok(OnlineCheck(Arc::new(Parts {
            service: Service::new(&self.reach)?,
            is_open_on_failure: self.is_open_on_failure,
            asking: Mutex::default(),
            permits: Semaphore::new(self.questions),
        })))
    }
}
