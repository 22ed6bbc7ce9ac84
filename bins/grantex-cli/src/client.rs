//! Speaking HTTP with a service: every call has a deadline, every answer a limit, and the API key goes to the host that was named and
//! nowhere else.

use std::path::Path;
use std::time::Duration;

use grantex_client::secure::{self, SetupError};
use grantex_core::clock::Lifetime;
use grantex_core::error::chain;
use grantex_core::secret::Secret;
use reqwest::header::{ACCEPT, AUTHORIZATION, HeaderMap, HeaderValue, RETRY_AFTER};
use reqwest::{Method, RequestBuilder, Response, StatusCode, redirect};
use rustls::ClientConfig;
use serde_json::Value;
use serde_json::value::RawValue;
use tokio::time::{Instant, sleep, timeout_at};
use url::Url;

use crate::cli::Service;
use crate::error::Failure;
use crate::input;

/// The `user-agent` of every request.
const USER_AGENT: &str = concat!("grantex-cli/", env!("CARGO_PKG_VERSION"));
/// The longest answer that is read: a full page of the longest audit entries.
const LONGEST_BODY: usize = 256 << 20;
/// Longer refusals are cut; the words of this service are shorter.
const LONGEST_REFUSAL: usize = 64 << 10;
/// How often a call waits for its turn when the service says that there were too many.
const TURNS: u32 = 5;
/// The longest such wait.
const LONGEST_WAIT: Duration = Duration::from_secs(60);

/// A service.
pub struct Client {
    http: reqwest::Client,
    base: Url,
    authorization: Option<HeaderValue>,
    deadline: Duration,
}

impl Client {
    /// The service of GRANTEX_URL with the account of GRANTEX_API_KEY.
    pub fn of_account(service: &Service) -> Result<Self, Failure> {
        let url = service
            .url
            .as_deref()
            .ok_or_else(|| Failure::Usage("say where the service is: set GRANTEX_URL or give --url".to_owned()))?;
        let mut client = Self::anonymous(service, "GRANTEX_URL", url)?;
        client.authorization = Some(authorization(&key_of(service)?)?);
        Ok(client)
    }

    /// A service that needs to know nobody; `name` is that of the setting from which `url` comes.
    pub fn anonymous(service: &Service, name: &str, url: &str) -> Result<Self, Failure> {
        let base = base(url, service.insecure_http).map_err(|why| Failure::Usage(format!("{name} {why}")))?;
        let deadline = duration(service.deadline);
        let mut builder = reqwest::Client::builder()
            .user_agent(USER_AGENT)
            .tls_backend_preconfigured(tls(service.ca_file.as_deref())?)
            .redirect(redirect::Policy::none())
            .referer(false)
            .connect_timeout(deadline);
        if base.scheme() == "http" {
            // A proxy would read what is not encrypted.
            builder = builder.no_proxy();
        }
        Ok(Self {
            http: builder.build().map_err(Failure::of("setting up the HTTP client"))?,
            base,
            authorization: None,
            deadline,
        })
    }

    /// An answer in JSON.
    pub async fn get(&self, path: &[&str], query: &[(&str, &str)]) -> Result<Value, Failure> {
        let body = self.call(Method::GET, path, query).await?;
        serde_json::from_slice(&body).map_err(|_| not_json())
    }

    /// An answer in JSON as it was sent, for what must stay as it is to the byte.
    pub async fn get_raw(&self, path: &[&str], query: &[(&str, &str)]) -> Result<Box<RawValue>, Failure> {
        let body = self.call(Method::GET, path, query).await?;
        serde_json::from_slice(&body).map_err(|_| not_json())
    }

    /// Deletes something.
    pub async fn delete(&self, path: &[&str]) -> Result<(), Failure> {
        self.call(Method::DELETE, path, &[]).await.map(drop)
    }

    /// An answer that does not end; its head comes within the deadline.
    pub async fn open(&self, path: &[&str], query: &[(&str, &str)], headers: HeaderMap) -> Result<Response, Failure> {
        let deadline = Instant::now() + self.deadline;
        let request = self.request(Method::GET, path, query)?.headers(headers);
        let response = answer(deadline, request.send()).await?;
        match response.status().is_success() {
            true => Ok(response),
            false => Err(refusal(deadline, response).await),
        }
    }

    async fn call(&self, method: Method, path: &[&str], query: &[(&str, &str)]) -> Result<Vec<u8>, Failure> {
        let mut turns = 0;
        loop {
            let deadline = Instant::now() + self.deadline;
            let request = self.request(method.clone(), path, query)?;
            let response = answer(deadline, request.send()).await?;
            if response.status().is_success() {
                return body(deadline, response, LONGEST_BODY).await;
            }
            turns += 1;
            match turn(&response).filter(|_| turns < TURNS) {
                Some(wait) => sleep(wait).await,
                None => return Err(refusal(deadline, response).await),
            }
        }
    }

    fn request(&self, method: Method, path: &[&str], query: &[(&str, &str)]) -> Result<RequestBuilder, Failure> {
        let mut url = self.base.clone();
        url.path_segments_mut()
            .map_err(|()| Failure::Usage("the service's URL cannot be a base".to_owned()))?
            .pop_if_empty()
            .extend(path);
        if !query.is_empty() {
            url.query_pairs_mut().extend_pairs(query);
        }
        let mut request = self.http.request(method, url).header(ACCEPT, "application/json");
        if let Some(authorization) = &self.authorization {
            request = request.header(AUTHORIZATION, authorization);
        }
        Ok(request)
    }
}

fn not_json() -> Failure {
    Failure::Unanswered("the answer is not JSON: is this the address of a Grantex service?".to_owned())
}

fn key_of(service: &Service) -> Result<Secret<String>, Failure> {
    if let Some(file) = &service.api_key_file {
        return input::key(file);
    }
    let key = std::env::var("GRANTEX_API_KEY").map(Secret::new);
    key.ok()
        .filter(|key| !key.expose().trim().is_empty())
        .ok_or_else(|| Failure::Usage("say who you are: set GRANTEX_API_KEY or GRANTEX_API_KEY_FILE".to_owned()))
}

fn authorization(key: &Secret<String>) -> Result<HeaderValue, Failure> {
    let text = Secret::new(format!("Bearer {}", key.expose().trim()));
    let mut value = HeaderValue::from_str(text.expose())
        .map_err(|_| Failure::Usage("the API key holds characters that no key has".to_owned()))?;
    value.set_sensitive(true);
    Ok(value)
}

/// Reads a base URL. What is refused is not repeated, because it may hold what must not be told.
fn base(text: &str, is_insecure_allowed: bool) -> Result<Url, &'static str> {
    secure::address(text, is_insecure_allowed).map_err(|error| match error {
        SetupError::Insecure => {
            "must begin with https:// unless it is this machine's; --insecure-http allows it nevertheless"
        }
        _ => "must be an absolute URL, https://…, without credentials and query",
    })
}

fn duration(span: Lifetime) -> Duration {
    Duration::from_millis(u64::try_from(span.as_millis()).unwrap_or(0))
}

fn tls(ca_file: Option<&Path>) -> Result<ClientConfig, Failure> {
    ca_file.map(input::named).transpose()?;
    secure::tls(ca_file).map_err(|error| match error {
        SetupError::CaFile(_) => Failure::Usage(error.to_string()),
        _ => Failure::of("setting up TLS")(error),
    })
}

async fn answer(
    deadline: Instant,
    sending: impl Future<Output = Result<Response, reqwest::Error>>,
) -> Result<Response, Failure> {
    match timeout_at(deadline, sending).await {
        Ok(answered) => answered.map_err(unanswered),
        Err(_) => Err(late()),
    }
}

async fn body(deadline: Instant, mut response: Response, longest: usize) -> Result<Vec<u8>, Failure> {
    let mut body = Vec::new();
    while let Some(part) = part(deadline, &mut response).await? {
        if body.len() + part.len() > longest {
            return Err(Failure::Unanswered(format!(
                "the answer is longer than {longest} bytes"
            )));
        }
        body.extend_from_slice(&part);
    }
    Ok(body)
}

/// The next part of a body; `None` at its end.
pub async fn part(deadline: Instant, response: &mut Response) -> Result<Option<Vec<u8>>, Failure> {
    match timeout_at(deadline, response.chunk()).await {
        Ok(read) => read.map(|part| part.map(|bytes| bytes.to_vec())).map_err(unanswered),
        Err(_) => Err(late()),
    }
}

fn late() -> Failure {
    Failure::Unanswered("the service did not answer in time".to_owned())
}

fn unanswered(error: reqwest::Error) -> Failure {
    let what = if error.is_connect() {
        "the service cannot be reached"
    } else {
        "the service gave no whole answer"
    };
    Failure::Unanswered(format!("{what}: {}", chain(&error.without_url())))
}

/// How long to wait for another turn, when the service names a time worth waiting for.
fn turn(response: &Response) -> Option<Duration> {
    if response.status() != StatusCode::TOO_MANY_REQUESTS {
        return None;
    }
    let seconds = response.headers().get(RETRY_AFTER)?.to_str().ok()?.parse().ok()?;
    Some(Duration::from_secs(seconds)).filter(|wait| *wait <= LONGEST_WAIT)
}

async fn refusal(deadline: Instant, response: Response) -> Failure {
    let status = response.status();
    let body = body(deadline, response, LONGEST_REFUSAL).await.unwrap_or_default();
    let told: Value = serde_json::from_slice(&body).unwrap_or_default();
    let text = |name: &str| told.get(name).and_then(Value::as_str).map(str::to_owned);
    let known = status.canonical_reason().unwrap_or("it said no more").to_owned();
    Failure::Refused {
        status: status.as_u16(),
        message: text("message").unwrap_or(known),
        request_id: text("requestId"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_goes_over_encrypted_connections_only() {
        for good in [
            "https://auth.example",
            "http://127.0.0.1:3001/auth/",
            "http://[::1]:3001",
            "http://localhost:3001",
        ] {
            assert!(base(good, false).is_ok(), "{good}");
        }
        for bad in [
            "http://auth.example",
            "http://127.0.0.1.example",
            "http://10.0.0.1",
            "http://localhost.example",
        ] {
            assert!(base(bad, false).is_err(), "{bad}");
            assert!(base(bad, true).is_ok(), "{bad}");
        }
        for bad in [
            "",
            "auth.example",
            "ftp://a",
            "https://u:p@a",
            "https://u@a",
            "https://a?b",
            "https://a#b",
            "file:///etc",
        ] {
            assert!(base(bad, true).is_err(), "{bad}");
        }
    }
}
