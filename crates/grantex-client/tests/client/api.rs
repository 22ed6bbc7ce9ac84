//! Calls of the API: what is sent, what comes of the answers.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use grantex_client::api::{
    AuditFilter, AuditStatus, AuthorizeRequest, DelegateRequest, ExchangeRequest, GrantFilter, LogEntry, Paging,
    RefreshRequest, RegisterAgent,
};
use grantex_client::{ApiError, Client, Secret, SetupError, TokenFormat, TransportError};
use serde_json::{Value, json};

use crate::service::{Reply, Service, json as answer, text};
use crate::support::key;

const TIME: &str = "2030-01-02T03:04:05.006Z";

/// A service that gives these answers, one after the other.
async fn giving(replies: Vec<Reply>) -> (Service, Client) {
    let replies = Arc::new(Mutex::new(VecDeque::from(replies)));
    let service = Service::start(move |_| {
        let reply = replies.lock().unwrap().pop_front().unwrap_or(Reply::Hangup);
        async move { reply }
    })
    .await;
    let client = Client::builder(&service.url, key()).build().unwrap();
    (service, client)
}

fn tokens() -> Value {
    json!({
        "grantToken": "t", "biscuitToken": "b", "expiresAt": TIME, "scopes": ["read"], "refreshToken": "ref_r", "grantId": "grnt_1",
    })
}

fn secret(text: &str) -> Secret<String> {
    Secret::new(text.to_owned())
}

#[tokio::test]
async fn requests_are_what_the_service_expects() {
    let (service, client) = giving(vec![
        answer(201, &json!({"authRequestId": "areq_1", "consentUrl": "https://x", "expiresAt": TIME, "status": "pending", "code": "c"})),
        answer(201, &tokens()),
        answer(201, &tokens()),
        answer(201, &tokens()),
    ])
    .await;
    let request = AuthorizeRequest::new("ag_1", "user-1", ["read"])
        .expires_in("8h")
        .code_challenge("x")
        .state("s");
    let opened = client.authorize(&request).await.unwrap();
    assert_eq!(
        (opened.status.as_str(), opened.code.unwrap().expose().as_str()),
        ("pending", "c")
    );
    let exchange = ExchangeRequest::new(secret("c"), "ag_1")
        .code_verifier(secret("v"))
        .format(TokenFormat::Both);
    let tokens = client.exchange(&exchange).await.unwrap();
    assert_eq!(tokens.biscuit_token.as_ref().unwrap().expose(), "b");
    assert!(!format!("{tokens:?}").contains("ref_r"), "secrets do not show");
    client
        .refresh(&RefreshRequest::new(secret("ref_r"), "ag_1").idempotency_key("0123456789abcdef"))
        .await
        .unwrap();
    client
        .delegate(&DelegateRequest::new(secret("t"), "ag_2", ["read"]).expires_in("5m"))
        .await
        .unwrap();
    let body = |path: &str| service.asked(path)[0].json();
    assert_eq!(
        body("/v1/authorize"),
        json!({"agentId": "ag_1", "principalId": "user-1", "scopes": ["read"], "expiresIn": "8h", "state": "s", "codeChallenge": "x", "codeChallengeMethod": "S256"})
    );
    assert_eq!(
        body("/v1/token"),
        json!({"code": "c", "agentId": "ag_1", "codeVerifier": "v", "tokenFormat": "both"})
    );
    assert_eq!(
        body("/v1/token/refresh"),
        json!({"refreshToken": "ref_r", "agentId": "ag_1"})
    );
    assert_eq!(
        body("/v1/grants/delegate"),
        json!({"parentGrantToken": "t", "subAgentId": "ag_2", "scopes": ["read"], "expiresIn": "5m", "tokenFormat": "jwt"})
    );
    let refresh = &service.asked("/v1/token/refresh")[0].headers;
    assert_eq!(refresh["idempotency-key"], "0123456789abcdef");
    assert_eq!(refresh["authorization"], "Bearer gx_test_canary");
    assert_eq!(refresh["content-type"], "application/json");
    assert!(refresh["user-agent"].starts_with("grantex-rust/"));
}

#[tokio::test]
async fn lists_and_entries_are_read() {
    let grant = json!({"grantId": "grnt_1", "agentId": "ag_1", "principalId": "u", "scopes": [], "status": "active", "issuedAt": TIME, "expiresAt": TIME});
    let entry = json!({"entryId": "alog_1", "agentId": "ag_1", "grantId": "grnt_1", "principalId": "u", "action": "a", "hash": "h", "timestamp": TIME, "status": "blocked"});
    let agent = json!({"agentId": "ag_1", "did": "did:grantex:ag_1", "name": "A", "scopes": [], "status": "active", "createdAt": TIME});
    let (service, client) = giving(vec![
        answer(200, &json!({"grants": [grant], "pageSize": 1, "nextCursor": "c/1"})),
        answer(200, &grant),
        answer(204, &json!(null)),
        answer(200, &json!({"entries": [entry]})),
        answer(201, &entry),
        answer(201, &agent),
        answer(200, &json!({"agents": [agent]})),
        answer(200, &agent),
        answer(200, &json!({"valid": false})),
        answer(200, &json!({"active": true, "sub": "u"})),
    ])
    .await;
    let page = client
        .grants(&GrantFilter::new().principal("a b&c"), &Paging::after("x/y").size(1))
        .await
        .unwrap();
    assert_eq!((page.items.len(), page.next_cursor.as_deref()), (1, Some("c/1")));
    assert_eq!(
        service.asked("/v1/grants")[0].target,
        "/v1/grants?principalId=a+b%26c&pageSize=1&cursor=x%2Fy"
    );
    client.grant("../a/b?c").await.unwrap();
    assert_eq!(
        service.asked("/v1/grants/..%2Fa%2Fb%3Fc").len(),
        1,
        "an id stays one segment"
    );
    client.revoke_grant("grnt_1").await.unwrap();
    assert_eq!(service.asked("/v1/grants/grnt_1")[0].method, "DELETE");
    let entries = client
        .audit_entries(&AuditFilter::new().grant("grnt_1"), &Paging::first())
        .await
        .unwrap();
    assert_eq!(entries.items[0].status, AuditStatus::Blocked);
    let logged = LogEntry::new("ag_1", "did:grantex:ag_1", "grnt_1", "u", "a")
        .detail("n", 1)
        .status(AuditStatus::Failure);
    client.log_audit(&logged).await.unwrap();
    assert_eq!(
        service.asked("/v1/audit/log")[0].json(),
        json!({"agentId": "ag_1", "agentDid": "did:grantex:ag_1", "grantId": "grnt_1", "principalId": "u", "action": "a", "metadata": {"n": 1}, "status": "failure"})
    );
    client
        .register_agent(&RegisterAgent::new("A").scopes(["read"]))
        .await
        .unwrap();
    assert_eq!(client.agents(&Paging::first()).await.unwrap().items.len(), 1);
    assert_eq!(client.agent("ag_1").await.unwrap().name, "A");
    assert!(!client.verify_token(&secret("t"), Some("aud")).await.unwrap().valid);
    assert_eq!(client.introspect(&secret("t")).await.unwrap().members["sub"], "u");
}

#[tokio::test]
async fn a_refusal_tells_what_the_service_said() {
    let reply = Reply::Whole {
        status: 400,
        headers: vec![("x-request-id", "req_1".to_owned())],
        body: json!({"code": "BAD_REQUEST", "message": "agentId is required", "requestId": "other"})
            .to_string()
            .into_bytes(),
    };
    let (_service, client) = giving(vec![reply, text(500, "<html>"), text(200, "[]"), text(200, "x")]).await;
    let error = client
        .exchange(&ExchangeRequest::new(secret("canary"), ""))
        .await
        .unwrap_err();
    assert_eq!((error.status(), error.code()), (Some(400), Some("BAD_REQUEST")));
    assert!(matches!(&error, ApiError::Refused { request_id: Some(id), .. } if id == "req_1"));
    assert_eq!(
        error.to_string(),
        "the service answered 400 BAD_REQUEST: agentId is required"
    );
    let error = client.agent("a").await.unwrap_err();
    assert_eq!((error.status(), error.code()), (Some(500), Some("")));
    assert_eq!(client.agent("a").await.unwrap_err(), ApiError::Unreadable);
    assert_eq!(client.agent("a").await.unwrap_err(), ApiError::Unreadable);
}

#[tokio::test]
async fn only_what_is_safe_is_repeated() {
    let agent =
        json!({"agentId": "ag_1", "did": "d", "name": "A", "scopes": [], "status": "active", "createdAt": TIME});
    let busy = || Reply::Whole {
        status: 429,
        headers: vec![("retry-after", "0".to_owned())],
        body: Vec::new(),
    };
    let (service, client) = giving(vec![text(503, ""), Reply::Hangup, busy(), answer(200, &agent)]).await;
    assert!(client.agent("ag_1").await.is_ok());
    assert_eq!(service.asked("/v1/agents/ag_1").len(), 4);

    let (service, client) = giving(vec![text(503, ""), answer(201, &agent)]).await;
    assert_eq!(
        client
            .register_agent(&RegisterAgent::new("A"))
            .await
            .unwrap_err()
            .status(),
        Some(503)
    );
    assert_eq!(service.asked("/v1/agents").len(), 1);

    let (service, client) = giving(vec![busy(), answer(201, &agent)]).await;
    assert!(
        client.register_agent(&RegisterAgent::new("A")).await.is_ok(),
        "it was turned away before anything happened"
    );
    assert_eq!(service.asked("/v1/agents").len(), 2);

    let (service, client) = giving(vec![Reply::Hangup, text(502, ""), answer(201, &tokens())]).await;
    client.refresh(&RefreshRequest::new(secret("r"), "ag_1")).await.unwrap();
    let keys: Vec<String> = service
        .asked("/v1/token/refresh")
        .iter()
        .map(|asked| asked.headers["idempotency-key"].clone())
        .collect();
    assert_eq!(keys.len(), 3);
    assert!(keys.iter().all(|key| *key == keys[0] && key.len() == 32));

    // What asks for more time than there is, is not waited for.
    let late = Reply::Whole {
        status: 429,
        headers: vec![("retry-after", "3600".to_owned())],
        body: Vec::new(),
    };
    let (service, client) = giving(vec![late]).await;
    let error = client.agent("ag_1").await.unwrap_err();
    assert!(matches!(error, ApiError::Refused { retry_after: Some(after), .. } if after == Duration::from_secs(3_600)));
    assert_eq!(service.asked("/v1/agents/ag_1").len(), 1);
}

#[tokio::test]
async fn redirects_length_and_time_are_bounded() {
    let turn = Reply::Whole {
        status: 307,
        headers: vec![("location", "http://127.0.0.1:1/".to_owned())],
        body: Vec::new(),
    };
    let long = Reply::Whole {
        status: 200,
        headers: Vec::new(),
        body: vec![b' '; 9 * 1024 * 1024],
    };
    let (_service, client) = giving(vec![turn, long]).await;
    assert_eq!(
        client
            .exchange(&ExchangeRequest::new(secret("c"), "a"))
            .await
            .unwrap_err()
            .status(),
        Some(307)
    );
    let error = client.agent("a").await.unwrap_err();
    assert!(
        matches!(error, ApiError::Transport(TransportError::TooLong { .. })),
        "{error:?}"
    );

    let service = Service::start(|_| async { Reply::Silence }).await;
    let client = Client::builder(&service.url, key())
        .deadline(Duration::from_millis(50))
        .build()
        .unwrap();
    let error = client.agent("a").await.unwrap_err();
    assert_eq!(error, ApiError::Transport(TransportError::TimedOut));
    assert!(!format!("{error:?} {error}").contains("127.0.0.1"));
    assert!(matches!(
        Client::builder("http://auth.example", key()).build(),
        Err(SetupError::Insecure)
    ));
    assert!(matches!(
        Client::builder("https://auth.example", secret("a\nb")).build(),
        Err(SetupError::Setting(_))
    ));
}
