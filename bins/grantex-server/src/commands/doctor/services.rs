//! Prometheus and Alertmanager, over HTTP.

use std::time::Duration;

use grantex_core::clock::{Clock, Lifetime};
use grantex_core::error::chain;
use grantex_core::secret::Secret;
use grantex_delivery::{Answer, OperatorClient, OperatorSettings};
use serde_json::Value;
use url::Url;

use super::database::compare;
use super::findings::Findings;
use crate::cli::DoctorOptions;
use crate::error::Failure;

const DEADLINE: Duration = Duration::from_secs(10);
/// A Prometheus with thousands of rules answers with some megabytes.
const LONGEST_BODY: usize = 32 << 20;
/// How much of what a service says is told on.
const LONGEST_QUOTE: usize = 200;

/// Asks services.
pub struct Services {
    client: OperatorClient,
}

impl Services {
    /// What asks, when there is somebody to be asked.
    pub fn of(options: &DoctorOptions, findings: &mut Findings) -> Result<Option<Self>, Failure> {
        if options.prometheus.is_none() && options.alertmanager.is_none() {
            return Ok(None);
        }
        let bearer_token = match &options.bearer_token_file {
            None => None,
            Some(path) => match std::fs::read_to_string(path) {
                Ok(text) => Some(Secret::new(text.trim().to_owned())),
                Err(error) => {
                    let what = format!("{} cannot be read: {error}", path.display());
                    findings.failed("bearer token", what, "name a file that this account may read")?;
                    return Ok(None);
                }
            },
        };
        let settings = OperatorSettings {
            deadline: DEADLINE,
            longest_body: LONGEST_BODY,
            ca_file: options.ca_file.clone(),
            bearer_token,
        };
        match OperatorClient::new(settings) {
            Ok(client) => Ok(Some(Self { client })),
            Err(error) => {
                findings.failed("certificates", chain(&error), "name a PEM file with certificates")?;
                Ok(None)
            }
        }
    }

    /// Asks; the text of an answer that is good, or why there is none.
    pub async fn get(&self, base: &Url, path: &str, query: &[(&str, &str)]) -> Result<Answer, String> {
        let mut url = below(base, path);
        if !query.is_empty() {
            url.query_pairs_mut().extend_pairs(query);
        }
        good(self.client.get(url).await.map_err(|error| error.to_string())?)
    }

    /// Asks for JSON.
    pub async fn json(&self, base: &Url, path: &str, query: &[(&str, &str)]) -> Result<Value, String> {
        let answer = self.get(base, path, query).await?;
        serde_json::from_slice(&answer.body).map_err(|_| "the answer is no JSON".to_owned())
    }

    /// Tells JSON.
    pub async fn post(&self, base: &Url, path: &str, body: &Value) -> Result<(), String> {
        let answer = self.client.post_json(below(base, path), body.to_string()).await;
        good(answer.map_err(|error| error.to_string())?).map(drop)
    }

    /// Compares this machine's clock with that of a service, which tells it to the second.
    pub async fn clock(
        &self,
        base: &Url,
        path: &str,
        whose: &str,
        clock: &dyn Clock,
        findings: &mut Findings,
    ) -> Result<(), Failure> {
        let before = clock.now();
        match self.get(base, path, &[]).await {
            Ok(Answer { date: Some(theirs), .. }) => {
                compare(before, clock.now(), theirs, Lifetime::seconds(1), whose, findings)
            }
            // Reported by the check that asks first, or it does not tell the time.
            Ok(_) | Err(_) => Ok(()),
        }
    }
}

/// An address below the service's, which may itself have a path.
fn below(base: &Url, path: &str) -> Url {
    let mut url = base.clone();
    url.set_path(&format!("{}{path}", base.path().trim_end_matches('/')));
    url
}

fn good(answer: Answer) -> Result<Answer, String> {
    match answer.status {
        200 => Ok(answer),
        status => Err(format!("it answered {status}")),
    }
}

/// What a service says, short enough to be told.
pub fn quote(text: &str) -> String {
    match text.char_indices().nth(LONGEST_QUOTE) {
        Some((end, _)) => format!("{}…", text.get(..end).unwrap_or_default()),
        None => text.to_owned(),
    }
}

/// The items of an array somewhere in JSON.
pub fn items<'a>(value: &'a Value, pointer: &str) -> &'a [Value] {
    value
        .pointer(pointer)
        .and_then(Value::as_array)
        .map_or(&[], Vec::as_slice)
}

/// A text somewhere in JSON; empty when it is not there.
pub fn text<'a>(value: &'a Value, pointer: &str) -> &'a str {
    value.pointer(pointer).and_then(Value::as_str).unwrap_or_default()
}
