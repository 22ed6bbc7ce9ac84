//! The workloads: what a client sends next, and whether an answer is right.
//!
//! A workload never touches a connection, so that it can be tested with plain answers.

use std::collections::VecDeque;
use std::sync::Arc;

use hyper::Uri;
use hyper::body::Bytes;
use hyper::header::HeaderValue;
use serde::Deserialize;
use serde_json::json;

use crate::account::{Account, GRANT_SCOPES};
use crate::call::{Answer, Call, query_value};
use crate::tally::Complaint;
use crate::token::{looks_like_jwt, token_id};

/// Long enough that every grant of a run stays active to its end.
const GRANT_LIFETIME: &str = "30d";
/// Principals each client takes turns with.
const PRINCIPALS: u64 = 1_000;

const UNEXPECTED_STATUS: Complaint = "unexpected status";

/// What exchange and refresh answer.
#[derive(Clone, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct IssuedGrant {
    pub grant_token: String,
    pub refresh_token: String,
    pub grant_id: String,
}

#[derive(Deserialize)]
struct Authorized {
    code: String,
}

#[derive(Deserialize)]
struct Verified {
    valid: bool,
}

#[derive(Deserialize)]
struct Status<'a> {
    revoked: bool,
    status: &'a str,
}

#[derive(Deserialize)]
struct Logged<'a> {
    hash: &'a str,
}

#[derive(Deserialize)]
struct Healthy<'a> {
    status: &'a str,
}

/// The part of a workload that all clients' workloads have.
pub struct Work {
    account: Arc<Account>,
    /// Tells this client's principals and idempotency keys from those of the others.
    tag: String,
    sent: u64,
    kind: Kind,
}

enum Kind {
    Health,
    /// Sandbox developers get the code at once; it is kept when somebody will exchange it.
    Authorize {
        kept: Option<Vec<String>>,
    },
    Exchange {
        codes: Vec<String>,
        kept: Option<Vec<IssuedGrant>>,
    },
    /// Each grant's chain goes on with its newest refresh token; `current` is being refreshed.
    Refresh {
        waiting: VecDeque<String>,
        current: Option<String>,
    },
    Verify {
        bodies: Vec<Bytes>,
    },
    Status {
        uris: Vec<Uri>,
    },
    Audit {
        body: Bytes,
    },
    /// Authorize and exchange in turn: the code of the one goes into the other.
    Fill {
        code: Option<String>,
        exchanging: bool,
    },
}

impl Work {
    fn new(account: &Arc<Account>, tag: &str, kind: Kind) -> Self {
        Self {
            account: Arc::clone(account),
            tag: tag.to_owned(),
            sent: 0,
            kind,
        }
    }

    pub fn health(account: &Arc<Account>, tag: &str) -> Self {
        Self::new(account, tag, Kind::Health)
    }

    pub fn authorize(account: &Arc<Account>, tag: &str) -> Self {
        Self::new(account, tag, Kind::Authorize { kept: None })
    }

    /// Authorizes and keeps the codes; see [`Self::into_codes`].
    pub fn collect_codes(account: &Arc<Account>, tag: &str) -> Self {
        Self::new(account, tag, Kind::Authorize { kept: Some(Vec::new()) })
    }

    pub fn exchange(account: &Arc<Account>, tag: &str, codes: Vec<String>) -> Self {
        Self::new(account, tag, Kind::Exchange { codes, kept: None })
    }

    /// Exchanges and keeps the grants; see [`Self::into_grants`].
    pub fn collect_grants(account: &Arc<Account>, tag: &str, codes: Vec<String>) -> Self {
        Self::new(
            account,
            tag,
            Kind::Exchange {
                codes,
                kept: Some(Vec::new()),
            },
        )
    }

    pub fn refresh(account: &Arc<Account>, tag: &str, grants: &[IssuedGrant]) -> Self {
        let waiting = grants.iter().map(|grant| grant.refresh_token.clone()).collect();
        Self::new(account, tag, Kind::Refresh { waiting, current: None })
    }

    pub fn verify(account: &Arc<Account>, tag: &str, grants: &[IssuedGrant]) -> Self {
        let body = |grant: &IssuedGrant| json!({ "token": grant.grant_token }).to_string().into();
        Self::new(
            account,
            tag,
            Kind::Verify {
                bodies: grants.iter().map(body).collect(),
            },
        )
    }

    /// `None` when a token carries no readable `jti`.
    pub fn status(account: &Arc<Account>, tag: &str, grants: &[IssuedGrant]) -> Option<Self> {
        let uri = |grant: &IssuedGrant| {
            let jti = token_id(&grant.grant_token)?;
            let (grant_id, jti) = (query_value(&grant.grant_id), query_value(&jti));
            format!("/v1/revocations/status?grantId={grant_id}&jti={jti}")
                .parse()
                .ok()
        };
        let uris = grants.iter().map(uri).collect::<Option<Vec<Uri>>>()?;
        Some(Self::new(account, tag, Kind::Status { uris }))
    }

    pub fn audit(account: &Arc<Account>, tag: &str) -> Self {
        let entry = json!({
            "agentId": account.agent_id, "agentDid": account.agent_did, "grantId": "grnt_01J00000000000000000000000",
            "principalId": format!("user-{tag}"), "action": "calendar.read", "status": "success",
            "metadata": { "calendar": "work", "items": 3 },
        });
        Self::new(
            account,
            tag,
            Kind::Audit {
                body: entry.to_string().into(),
            },
        )
    }

    pub fn fill(account: &Arc<Account>, tag: &str) -> Self {
        Self::new(
            account,
            tag,
            Kind::Fill {
                code: None,
                exchanging: false,
            },
        )
    }

    pub fn into_codes(self) -> Vec<String> {
        match self.kind {
            Kind::Authorize { kept } => kept.unwrap_or_default(),
            _ => Vec::new(),
        }
    }

    pub fn into_grants(self) -> Vec<IssuedGrant> {
        match self.kind {
            Kind::Exchange { kept, .. } => kept.unwrap_or_default(),
            _ => Vec::new(),
        }
    }

    /// How many codes an exchange has left.
    pub fn codes_left(&self) -> usize {
        match &self.kind {
            Kind::Exchange { codes, .. } => codes.len(),
            _ => 0,
        }
    }

    /// Gives an exchange more codes.
    pub fn add_codes(&mut self, more: Vec<String>) {
        if let Kind::Exchange { codes, .. } = &mut self.kind {
            codes.extend(more);
        }
    }

    /// The next request; `None` when the prepared material is used up.
    pub fn next(&mut self) -> Option<Call> {
        let number = self.sent;
        self.sent += 1;
        let key = Some(self.account.key.clone());
        let turn = |length: usize| usize::try_from(number).unwrap_or(0).checked_rem(length);
        match &mut self.kind {
            Kind::Health => Some(Call::get(Uri::from_static("/health"), None)),
            Kind::Authorize { .. } => Some(authorize(&self.account, &self.tag, number)),
            Kind::Exchange { codes, .. } => codes.pop().map(|code| exchange(&self.account, &code)),
            Kind::Refresh { waiting, current } => {
                *current = Some(waiting.pop_front()?);
                let body = json!({ "refreshToken": current, "agentId": self.account.agent_id }).to_string();
                let idempotency_key = HeaderValue::from_str(&format!("bench-{}-{number:012}", self.tag)).ok()?;
                Some(Call::post("/v1/token/refresh", key, body).with_idempotency_key(idempotency_key))
            }
            Kind::Verify { bodies } => {
                let body = bodies.get(turn(bodies.len())?)?;
                Some(Call::post("/v1/tokens/verify", key, body.clone()))
            }
            Kind::Status { uris } => Some(Call::get(uris.get(turn(uris.len())?)?.clone(), key)),
            Kind::Audit { body } => Some(Call::post("/v1/audit/log", key, body.clone())),
            Kind::Fill { code, exchanging } => {
                *exchanging = code.is_some();
                let exchanged = code.take().map(|code| exchange(&self.account, &code));
                Some(exchanged.unwrap_or_else(|| authorize(&self.account, &self.tag, number)))
            }
        }
    }

    /// Judges the answer to the request that [`Self::next`] gave last.
    pub fn accept(&mut self, answer: &Answer) -> Result<(), Complaint> {
        match &mut self.kind {
            Kind::Health => {
                let healthy: Healthy<'_> = body_of(answer, 200, "body without status")?;
                holds(healthy.status == "ok", "status is not ok")
            }
            Kind::Authorize { kept } => {
                let code = code_of(answer)?;
                if let Some(kept) = kept {
                    kept.push(code);
                }
                Ok(())
            }
            Kind::Exchange { kept, .. } => {
                let grant = grant_of(answer)?;
                self.account.count_grant();
                if let Some(kept) = kept {
                    kept.push(grant);
                }
                Ok(())
            }
            Kind::Refresh { waiting, current } => {
                let grant = grant_of(answer)?;
                holds(
                    current.as_deref() != Some(grant.refresh_token.as_str()),
                    "refresh token was not rotated",
                )?;
                waiting.push_back(grant.refresh_token);
                Ok(())
            }
            Kind::Verify { .. } => {
                let verified: Verified = body_of(answer, 200, "body without valid")?;
                holds(verified.valid, "live token is not valid")
            }
            Kind::Status { .. } => {
                let status: Status<'_> = body_of(answer, 200, "body without revoked and status")?;
                holds(!status.revoked && status.status == "active", "live grant is not active")
            }
            Kind::Audit { .. } => {
                let logged: Logged<'_> = body_of(answer, 201, "body without hash")?;
                holds(logged.hash.len() == 64, "hash is not SHA-256")
            }
            Kind::Fill {
                code,
                exchanging: false,
            } => {
                *code = Some(code_of(answer)?);
                Ok(())
            }
            Kind::Fill { exchanging: true, .. } => {
                grant_of(answer)?;
                self.account.count_grant();
                Ok(())
            }
        }
    }
}

fn authorize(account: &Account, tag: &str, number: u64) -> Call {
    let body = json!({
        "agentId": account.agent_id, "principalId": format!("user-{tag}-{}", number % PRINCIPALS),
        "scopes": GRANT_SCOPES, "expiresIn": GRANT_LIFETIME,
    });
    Call::post("/v1/authorize", Some(account.key.clone()), body.to_string())
}

fn exchange(account: &Account, code: &str) -> Call {
    let body = json!({ "code": code, "agentId": account.agent_id }).to_string();
    Call::post("/v1/token", Some(account.key.clone()), body)
}

fn holds(condition: bool, complaint: Complaint) -> Result<(), Complaint> {
    if condition { Ok(()) } else { Err(complaint) }
}

fn body_of<'a, T: Deserialize<'a>>(answer: &'a Answer, status: u16, complaint: Complaint) -> Result<T, Complaint> {
    holds(answer.status == status, UNEXPECTED_STATUS)?;
    serde_json::from_slice(&answer.body).map_err(|_| complaint)
}

fn code_of(answer: &Answer) -> Result<String, Complaint> {
    let authorized: Authorized = body_of(answer, 201, "body without code")?;
    holds(!authorized.code.is_empty(), "code is empty")?;
    Ok(authorized.code)
}

fn grant_of(answer: &Answer) -> Result<IssuedGrant, Complaint> {
    let grant: IssuedGrant = body_of(answer, 201, "body without grant and tokens")?;
    holds(looks_like_jwt(&grant.grant_token), "grant token is not a JWT")?;
    holds(
        !grant.refresh_token.is_empty() && !grant.grant_id.is_empty(),
        "grant or refresh token is empty",
    )?;
    Ok(grant)
}

#[cfg(test)]
mod tests {
    use super::*;

    const ISSUED: &str =
        r#"{"grantToken":"eyJ4Ijp9.eyJqdGkiOiJ0b2tfMSJ9.c2ln","refreshToken":"ref_2","grantId":"grnt_1"}"#;

    fn account() -> Arc<Account> {
        Arc::new(Account::new("key".to_owned(), "ag_1".to_owned(), "did:grantex:ag_1".to_owned(), 0).unwrap())
    }

    fn answer(status: u16, body: &'static str) -> Answer {
        Answer {
            status,
            body: body.into(),
        }
    }

    fn issued() -> IssuedGrant {
        serde_json::from_str(ISSUED).unwrap()
    }

    fn body(call: &Call) -> serde_json::Value {
        serde_json::from_slice(call.body.as_ref().unwrap()).unwrap()
    }

    #[test]
    fn codes_go_from_authorize_to_exchange_and_run_out() {
        let account = account();
        let mut authorize = Work::collect_codes(&account, "t");
        let call = authorize.next().unwrap();
        assert_eq!(body(&call)["principalId"], "user-t-0");
        authorize
            .accept(&answer(201, r#"{"authRequestId":"areq_1","code":"c1","sandbox":true}"#))
            .unwrap();
        let codes = authorize.into_codes();
        assert_eq!(codes, ["c1"]);

        let mut exchange = Work::collect_grants(&account, "t", codes);
        let call = exchange.next().unwrap();
        assert_eq!(
            (call.uri.path(), body(&call)["code"].as_str()),
            ("/v1/token", Some("c1"))
        );
        exchange.accept(&answer(201, ISSUED)).unwrap();
        assert!(exchange.next().is_none());
        assert_eq!(account.grants(), 1);
        assert_eq!(exchange.into_grants().len(), 1);
    }

    #[test]
    fn each_refresh_uses_the_newest_token_and_its_own_idempotency_key() {
        let grant = IssuedGrant {
            refresh_token: "ref_1".to_owned(),
            ..issued()
        };
        let mut refresh = Work::refresh(&account(), "t", &[grant]);
        let first = refresh.next().unwrap();
        assert_eq!(body(&first)["refreshToken"], "ref_1");
        refresh.accept(&answer(201, ISSUED)).unwrap();
        let second = refresh.next().unwrap();
        assert_eq!(body(&second)["refreshToken"], "ref_2");
        assert_ne!(first.idempotency_key, second.idempotency_key);
        assert!(first.idempotency_key.unwrap().len() >= 16);
        // The same token again is no rotation, and ends the chain.
        assert_eq!(
            refresh.accept(&answer(201, ISSUED)),
            Err("refresh token was not rotated")
        );
        assert!(refresh.next().is_none());
    }

    #[test]
    fn a_failed_answer_is_a_complaint_and_never_a_success() {
        let account = account();
        let cases: [(Work, u16, &'static str, Complaint); 8] = [
            (
                Work::health(&account, "t"),
                503,
                r#"{"status":"ok"}"#,
                UNEXPECTED_STATUS,
            ),
            (
                Work::health(&account, "t"),
                200,
                r#"{"status":"down"}"#,
                "status is not ok",
            ),
            (
                Work::authorize(&account, "t"),
                201,
                r#"{"authRequestId":"areq_1"}"#,
                "body without code",
            ),
            (Work::exchange(&account, "t", vec![]), 200, ISSUED, UNEXPECTED_STATUS),
            (
                Work::verify(&account, "t", &[issued()]),
                200,
                r#"{"valid":false}"#,
                "live token is not valid",
            ),
            (
                Work::status(&account, "t", &[issued()]).unwrap(),
                200,
                r#"{"revoked":true,"status":"unknown"}"#,
                "live grant is not active",
            ),
            (
                Work::audit(&account, "t"),
                201,
                r#"{"hash":"ab"}"#,
                "hash is not SHA-256",
            ),
            (Work::audit(&account, "t"), 201, "", "body without hash"),
        ];
        for (mut work, status, body, complaint) in cases {
            assert_eq!(work.accept(&answer(status, body)), Err(complaint));
        }
    }

    #[test]
    fn a_status_request_names_grant_and_token() {
        let mut status = Work::status(&account(), "t", &[issued()]).unwrap();
        for _ in 0..3 {
            assert_eq!(
                status.next().unwrap().uri,
                "/v1/revocations/status?grantId=grnt_1&jti=tok_1"
            );
        }
    }

    #[test]
    fn filling_takes_turns_and_starts_over_after_a_failure() {
        let account = account();
        let mut fill = Work::fill(&account, "t");
        assert_eq!(fill.next().unwrap().uri.path(), "/v1/authorize");
        fill.accept(&answer(201, r#"{"code":"c1"}"#)).unwrap();
        assert_eq!(fill.next().unwrap().uri.path(), "/v1/token");
        assert_eq!(fill.accept(&answer(500, "")), Err(UNEXPECTED_STATUS));
        assert_eq!(fill.next().unwrap().uri.path(), "/v1/authorize");
        fill.accept(&answer(201, r#"{"code":"c2"}"#)).unwrap();
        fill.next().unwrap();
        fill.accept(&answer(201, ISSUED)).unwrap();
        assert_eq!(account.grants(), 1);
    }
}
