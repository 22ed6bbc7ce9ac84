//! Policies that are kept elsewhere: Open Policy Agent or a Cedar agent, asked over HTTP (contract: external backends).
//!
//! What is sent and how an answer is read is here; sending it is a port, [`PolicyTransport`].

use async_trait::async_trait;
use serde_json::{Value, json};

use super::{Effect, PolicyAction, PolicyQuestion};
use crate::closed;
use crate::error::Cause;

/// The longest reason that is passed on, in characters.
const MAX_REASON: usize = 500;

closed! {
    /// What kind of program is asked.
    pub enum BackendKind {
        /// Open Policy Agent.
        Opa = "opa",
        /// A Cedar agent.
        Cedar = "cedar",
        /// The developer's own bundle, evaluated in this process.
        Bundle = "bundle",
    }
}

/// What a backend says.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct BackendDecision {
    /// What it decides, if anything.
    pub effect: Option<Effect>,
    /// Why, if it says.
    pub reason: Option<String>,
}

/// Why a backend has decided nothing.
#[derive(Debug, thiserror::Error)]
pub enum BackendError {
    /// It could not be asked, or did not answer in time or with success.
    #[error("the policy backend could not be asked")]
    Transport(#[source] Cause),
    /// Its answer cannot be understood.
    #[error("the policy backend's answer cannot be understood: {0}")]
    Answer(&'static str),
}

/// Policies that are kept elsewhere.
#[async_trait]
pub trait PolicyBackend: Send + Sync + 'static {
    /// What kind it is.
    fn kind(&self) -> BackendKind;
    /// What it says; must end in time.
    async fn decide(&self, question: &PolicyQuestion<'_>) -> Result<BackendDecision, BackendError>;
}

/// Sends JSON and brings the answer.
#[async_trait]
pub trait PolicyTransport: Send + Sync + 'static {
    /// Posts a JSON text and returns the body of an answer with a status from 200 to 299. Follows no redirect, waits no longer
    /// than its deadline, reads no more than 2 MiB.
    async fn post(&self, url: &str, body: String) -> Result<Vec<u8>, Cause>;
}

/// A backend that is asked over HTTP.
pub struct HttpBackend<T> {
    kind: BackendKind,
    url: String,
    transport: T,
}

impl<T: PolicyTransport> HttpBackend<T> {
    /// Open Policy Agent at a base URL. A path that leads to the decision already is understood.
    pub fn opa(url: &str, transport: T) -> Self {
        Self::new(BackendKind::Opa, url, "/v1/data/grantex/authz", transport)
    }

    /// A Cedar agent at a base URL.
    pub fn cedar(url: &str, transport: T) -> Self {
        Self::new(BackendKind::Cedar, url, "/v1/is_authorized", transport)
    }

    fn new(kind: BackendKind, url: &str, path: &str, transport: T) -> Self {
        let base = url.trim_end_matches('/');
        let base = base.strip_suffix(path).unwrap_or(base).trim_end_matches('/');
        Self {
            kind,
            url: format!("{base}{path}"),
            transport,
        }
    }
}

#[async_trait]
impl<T: PolicyTransport> PolicyBackend for HttpBackend<T> {
    fn kind(&self) -> BackendKind {
        self.kind
    }

    async fn decide(&self, question: &PolicyQuestion<'_>) -> Result<BackendDecision, BackendError> {
        let body = match self.kind {
            BackendKind::Cedar => cedar_request(question),
            BackendKind::Opa | BackendKind::Bundle => opa_request(question),
        };
        let answer = self.transport.post(&self.url, body.to_string()).await;
        let answer = answer.map_err(BackendError::Transport)?;
        let answer: Value = serde_json::from_slice(&answer).map_err(|_| BackendError::Answer("it is no JSON"))?;
        match self.kind {
            BackendKind::Cedar => cedar_answer(&answer, question.action),
            BackendKind::Opa | BackendKind::Bundle => opa_answer(&answer),
        }
    }
}

/// The contract's members, and the same in the words of AuthZEN.
fn opa_request(question: &PolicyQuestion<'_>) -> Value {
    let (agent, principal, scopes) = (question.agent_id, question.principal_id, question.scopes.as_slice());
    json!({"input": {
        "agent_id": agent,
        "principal_id": principal,
        "scopes": scopes,
        "developer_id": question.developer_id,
        "audience": question.audience,
        "time": question.at,
        "subject": {"type": "agent", "id": agent},
        "action": {"name": question.action.as_str()},
        "resource": {"type": "grant", "id": "pending"},
        "context": {
            "principal_id": principal, "scopes": scopes, "developer_id": question.developer_id,
            "audience": question.audience, "time": question.at,
        },
    }})
}

fn opa_answer(answer: &Value) -> Result<BackendDecision, BackendError> {
    let Some(answer) = answer.as_object() else {
        return Err(BackendError::Answer("it is no object"));
    };
    // An undefined rule is no error: OPA leaves the member out.
    let Some(result) = answer.get("result") else {
        return Ok(BackendDecision::default());
    };
    let result = result
        .as_object()
        .ok_or(BackendError::Answer("`result` is no object"))?;
    let effect = match result.get("allow") {
        None => None,
        Some(Value::Bool(true)) => Some(Effect::Allow),
        Some(Value::Bool(false)) => Some(Effect::Deny),
        Some(_) => return Err(BackendError::Answer("`allow` is neither true nor false")),
    };
    let reason = result.get("reason").and_then(Value::as_str).map(printable);
    Ok(BackendDecision { effect, reason })
}

fn cedar_request(question: &PolicyQuestion<'_>) -> Value {
    let mut context = json!({
        "principalId": question.principal_id,
        "scopes": question.scopes.as_slice(),
        "developerId": question.developer_id,
        "time": question.at,
    });
    // Cedar knows no null: what is not there is left out.
    if let (Some(audience), Some(members)) = (question.audience, context.as_object_mut()) {
        members.insert("audience".into(), json!(audience));
    }
    json!({
        "principal": {"type": "Grantex::Agent", "id": question.agent_id},
        "action": {"type": "Grantex::Action", "id": question.action.as_str()},
        "resource": {"type": "Grantex::Grant", "id": "pending"},
        "context": context,
    })
}

fn cedar_answer(answer: &Value, action: PolicyAction) -> Result<BackendDecision, BackendError> {
    let reasons: Vec<&str> = match answer.pointer("/diagnostics/reason") {
        Some(Value::Array(reasons)) => reasons.iter().filter_map(Value::as_str).take(20).collect(),
        _ => Vec::new(),
    };
    let says = |member: &str| match answer.pointer(member) {
        None | Some(Value::Null) => false,
        Some(Value::Array(items)) => !items.is_empty(),
        Some(_) => true,
    };
    // A refusal that could not be evaluated stands for itself, as it does in a bundle.
    let is_silent = !says("/diagnostics/reason") && !says("/diagnostics/errors");
    let effect = match answer.get("decision").and_then(Value::as_str) {
        Some("Allow") => Some(Effect::Allow),
        // Cedar denies what nothing permits. Permits are written for the request for consent, so at all later steps only a
        // refusal that some policy stands for counts.
        Some("Deny") if action != PolicyAction::Authorize && is_silent => None,
        Some("Deny") => Some(Effect::Deny),
        _ => return Err(BackendError::Answer("`decision` is neither Allow nor Deny")),
    };
    let reason = (!reasons.is_empty()).then(|| printable(&reasons.join(", ")));
    Ok(BackendDecision { effect, reason })
}

/// A text from elsewhere, in one line and not too long.
fn printable(text: &str) -> String {
    text.chars()
        .take(MAX_REASON)
        .map(|c| if c.is_control() { ' ' } else { c })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::clock::Timestamp;
    use crate::id::{AgentId, DeveloperId};
    use crate::scope::Scopes;
    use crate::testing::poll_once;
    use std::sync::Mutex;

    const AGENT: &str = "ag_01ARZ3NDEKTSV4RRFFQ69G5FAV";
    const DEVELOPER: &str = "dev_01ARZ3NDEKTSV4RRFFQ69G5FAV";

    /// Keeps what it is asked and answers what it is told.
    struct Canned(&'static str, Mutex<Vec<(String, Value)>>);

    #[async_trait]
    impl PolicyTransport for &'static Canned {
        async fn post(&self, url: &str, body: String) -> Result<Vec<u8>, Cause> {
            let body = serde_json::from_str(&body)?;
            self.1.lock().unwrap().push((url.to_owned(), body));
            match self.0 {
                "down" => Err("connection refused".into()),
                answer => Ok(answer.as_bytes().to_vec()),
            }
        }
    }

    fn canned(answer: &'static str) -> &'static Canned {
        Box::leak(Box::new(Canned(answer, Mutex::default())))
    }

    fn ask(
        backend: &impl PolicyBackend,
        action: PolicyAction,
        audience: Option<&str>,
    ) -> Result<BackendDecision, BackendError> {
        let (developer_id, agent_id) = (DeveloperId::parse(DEVELOPER).unwrap(), AgentId::parse(AGENT).unwrap());
        let scopes = Scopes::from_stored("read write");
        let question = PolicyQuestion {
            action,
            developer_id: &developer_id,
            agent_id: &agent_id,
            principal_id: "user-1",
            scopes: &scopes,
            audience,
            at: Timestamp::parse_rfc3339("2030-01-02T03:04:05.006Z").unwrap(),
        };
        poll_once(backend.decide(&question)).unwrap()
    }

    #[test]
    fn opa_is_asked_as_the_contract_says_and_more() {
        let transport = canned(r#"{"result": {"allow": true}}"#);
        for url in [
            "http://opa:8181",
            "http://opa:8181/",
            "http://opa:8181/v1/data/grantex/authz",
        ] {
            ask(&HttpBackend::opa(url, transport), PolicyAction::Exchange, None).unwrap();
        }
        let asked = transport.1.lock().unwrap();
        for (url, body) in asked.iter() {
            assert_eq!(url, "http://opa:8181/v1/data/grantex/authz");
            let expected = json!({"input": {
                "agent_id": AGENT, "principal_id": "user-1", "scopes": ["read", "write"], "developer_id": DEVELOPER,
                "audience": null, "time": "2030-01-02T03:04:05.006Z",
                "subject": {"type": "agent", "id": AGENT}, "action": {"name": "exchange"},
                "resource": {"type": "grant", "id": "pending"},
                "context": {"principal_id": "user-1", "scopes": ["read", "write"], "developer_id": DEVELOPER, "audience": null,
                    "time": "2030-01-02T03:04:05.006Z"},
            }});
            assert_eq!(*body, expected);
        }
        assert_eq!(asked.len(), 3);
    }

    #[test]
    fn opa_allows_denies_or_says_nothing() {
        let answer = |text| {
            ask(
                &HttpBackend::opa("http://opa", canned(text)),
                PolicyAction::Authorize,
                None,
            )
        };
        let decided = |effect, reason: Option<&str>| BackendDecision {
            effect,
            reason: reason.map(str::to_owned),
        };
        for (text, expected) in [
            (r#"{"result":{"allow":true}}"#, decided(Some(Effect::Allow), None)),
            (
                r#"{"result":{"allow":false,"reason":"a\nb"}}"#,
                decided(Some(Effect::Deny), Some("a b")),
            ),
            (r#"{"result":{"reason":7}}"#, decided(None, None)),
            ("{}", decided(None, None)),
        ] {
            assert_eq!(answer(text).unwrap(), expected, "{text}");
        }
        for text in [
            "",
            "[]",
            "null",
            r#"{"result":true}"#,
            r#"{"result":{"allow":"true"}}"#,
            r#"{"result":{"allow":null}}"#,
            "{",
        ] {
            assert!(matches!(answer(text), Err(BackendError::Answer(_))), "{text}");
        }
        assert!(matches!(answer("down"), Err(BackendError::Transport(_))));
    }

    #[test]
    fn cedar_is_asked_as_the_contract_says() {
        let transport = canned(r#"{"decision": "Allow"}"#);
        let backend = HttpBackend::cedar("https://cedar/base/", transport);
        ask(&backend, PolicyAction::Authorize, Some("https://api.example")).unwrap();
        let (url, body) = transport.1.lock().unwrap().remove(0);
        assert_eq!(url, "https://cedar/base/v1/is_authorized");
        let expected = json!({
            "principal": {"type": "Grantex::Agent", "id": AGENT}, "action": {"type": "Grantex::Action", "id": "authorize"},
            "resource": {"type": "Grantex::Grant", "id": "pending"},
            "context": {"principalId": "user-1", "scopes": ["read", "write"], "developerId": DEVELOPER,
                "audience": "https://api.example", "time": "2030-01-02T03:04:05.006Z"},
        });
        assert_eq!(body, expected);
    }

    #[test]
    fn what_cedar_merely_does_not_permit_stops_no_later_step() {
        let answer = |text, action| {
            ask(&HttpBackend::cedar("http://cedar", canned(text)), action, None).map(|found| found.effect)
        };
        let silent = r#"{"decision":"Deny"}"#;
        let stood_for = r#"{"decision":"Deny","diagnostics":{"reason":["p1"],"errors":[]}}"#;
        assert_eq!(answer(silent, PolicyAction::Authorize).unwrap(), Some(Effect::Deny));
        assert_eq!(answer(silent, PolicyAction::Refresh).unwrap(), None);
        assert_eq!(answer(stood_for, PolicyAction::Refresh).unwrap(), Some(Effect::Deny));
        for unclear in [
            r#"{"decision":"Deny","diagnostics":{"reason":[],"errors":["overflow"]}}"#,
            r#"{"decision":"Deny","diagnostics":{"reason":[{"id":"p1"}]}}"#,
            r#"{"decision":"Deny","diagnostics":{"reason":"p1"}}"#,
        ] {
            assert_eq!(
                answer(unclear, PolicyAction::Refresh).unwrap(),
                Some(Effect::Deny),
                "{unclear}"
            );
        }
        for text in ["{}", r#"{"decision":"allow"}"#, "[]"] {
            assert!(
                matches!(answer(text, PolicyAction::Authorize), Err(BackendError::Answer(_))),
                "{text}"
            );
        }
    }
}
