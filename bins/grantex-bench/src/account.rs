//! The developers a benchmark works for.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use hyper::header::HeaderValue;
use serde::Deserialize;
use serde_json::json;

use crate::call::{Answer, Call};
use crate::connection::{Connection, Target};
use crate::error::BenchError;

/// What the benchmark's agent registers and what each grant asks for.
const AGENT_SCOPES: [&str; 3] = ["calendar:read", "calendar:write", "email:send"];
/// A subset of [`AGENT_SCOPES`], so that the server's scope check has work to do.
pub const GRANT_SCOPES: [&str; 2] = ["calendar:read", "email:send"];

/// A sandbox developer with one agent.
pub struct Account {
    /// Kept to write a state file; shown nowhere.
    pub api_key: String,
    pub agent_id: String,
    pub agent_did: String,
    /// The whole `Authorization` header.
    pub key: HeaderValue,
    /// Grants made for this developer.
    grants: AtomicU64,
}

impl Account {
    pub fn new(api_key: String, agent_id: String, agent_did: String, grants: u64) -> Result<Self, BenchError> {
        let mut key = HeaderValue::from_str(&format!("Bearer {api_key}"))
            .map_err(|_| BenchError::Usage("the API key is not a header value".to_owned()))?;
        key.set_sensitive(true);
        Ok(Self {
            api_key,
            agent_id,
            agent_did,
            key,
            grants: AtomicU64::new(grants),
        })
    }

    pub fn count_grant(&self) {
        self.grants.fetch_add(1, Ordering::Relaxed);
    }

    pub fn grants(&self) -> u64 {
        self.grants.load(Ordering::Relaxed)
    }
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct SignedUp {
    api_key: String,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Registered {
    agent_id: String,
    did: String,
}

/// Signs up that many developers and registers one agent for each.
pub async fn open_accounts(target: &Target, count: usize) -> Result<Vec<Arc<Account>>, BenchError> {
    let mut connection = Connection::new(target.clone());
    let mut accounts = Vec::with_capacity(count);
    for number in 0..count {
        accounts.push(Arc::new(open_account(target, &mut connection, number).await?));
    }
    Ok(accounts)
}

async fn open_account(target: &Target, connection: &mut Connection, number: usize) -> Result<Account, BenchError> {
    let body = json!({ "name": format!("Benchmark {number}"), "mode": "sandbox" }).to_string();
    let signed_up: SignedUp = created(
        target,
        connection,
        "signing up a developer",
        Call::post("/v1/signup", None, body),
    )
    .await?;
    // The agent is not known yet; the key is what the next call needs.
    let account = Account::new(signed_up.api_key, String::new(), String::new(), 0)?;

    let body = json!({ "name": "Benchmark agent", "description": "", "scopes": AGENT_SCOPES }).to_string();
    let call = Call::post("/v1/agents", Some(account.key.clone()), body);
    let registered: Registered = created(target, connection, "registering an agent", call).await?;
    Ok(Account {
        agent_id: registered.agent_id,
        agent_did: registered.did,
        ..account
    })
}

async fn created<T: for<'de> Deserialize<'de>>(
    target: &Target,
    connection: &mut Connection,
    what: &'static str,
    call: Call,
) -> Result<T, BenchError> {
    let answer = connection.send(call).await.map_err(|source| BenchError::Unreachable {
        what,
        authority: target.authority().to_owned(),
        source,
    })?;
    let refused = |answer: &Answer| BenchError::Refused {
        what,
        status: answer.status,
        body: answer.excerpt(),
    };
    if answer.status != 201 {
        return Err(refused(&answer));
    }
    serde_json::from_slice(&answer.body).map_err(|_| refused(&answer))
}
