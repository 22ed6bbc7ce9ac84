use serde_json::{Value, json};

use crate::support::{PKCE_CHALLENGE, TestApp};

#[actix_web::test]
async fn an_opened_request_tells_everything_about_itself() {
    let app = TestApp::start().await;
    let agent = app.agent(&["read", "write"]).await;
    let body = json!({
        "agentId": agent, "principalId": "user-1", "scopes": ["write"], "expiresIn": "7d", "state": "s", "audience": "https://api.example",
        "redirectUri": "http://localhost:8080/cb", "codeChallenge": PKCE_CHALLENGE, "codeChallengeMethod": "S256",
    });
    let opened = app
        .post("/v1/authorize")
        .key(&app.live)
        .json(&body)
        .send()
        .await
        .expect(201);
    let id = opened["authRequestId"].as_str().unwrap();
    let expected = json!({
        "authRequestId": id, "consentUrl": format!("https://auth.example/consent?req={id}"), "expiresAt": "2030-01-02T03:19:05.006Z",
        "agentId": agent, "principalId": "user-1", "scopes": ["write"], "expiresIn": "7d", "status": "pending",
        "createdAt": "2030-01-02T03:04:05.006Z",
    });
    assert_eq!(opened, expected);
    assert_eq!(app.event_names(), ["agent.changed", "auth_request.opened"]);
}

#[actix_web::test]
async fn a_sandbox_request_is_approved_at_once() {
    let app = TestApp::start().await;
    let agent = app.agent_of(&app.sandbox, &[]).await;
    let body = json!({"agentId": agent, "principalId": "user-1", "scopes": ["read"]});
    let opened = app
        .post("/v1/authorize")
        .key(&app.sandbox)
        .json(&body)
        .send()
        .await
        .expect(201);
    assert_eq!(
        (&opened["sandbox"], &opened["status"], &opened["expiresIn"]),
        (&json!(true), &json!("approved"), &json!("24h"))
    );
    assert_eq!(opened.get("policyEnforced"), None);
    let code = json!({"code": opened["code"], "agentId": agent});
    app.post("/v1/token")
        .key(&app.sandbox)
        .json(&code)
        .send()
        .await
        .expect(201);
}

#[actix_web::test]
async fn bad_requests_are_refused_by_field() {
    let app = TestApp::unlimited().await;
    let agent = app.agent(&[]).await;
    app.events();
    let table: &[(Value, &str)] = &[
        (json!({"agentId": null}), "agentId"),
        (json!({"agentId": ""}), "agentId"),
        (json!({"principalId": 7}), "principalId"),
        (json!({"principalId": "x".repeat(257)}), "principalId"),
        (json!({"scopes": []}), "scopes"),
        (json!({"scopes": "read"}), "scopes"),
        (json!({"scopes": ["read", " "]}), "scopes"),
        (json!({"scopes": ["read", "a\tb"]}), "scopes"),
        (json!({"scopes": ["x".repeat(257)]}), "scopes"),
        (json!({"scopes": vec!["x"; 101]}), "scopes"),
        (json!({"redirectUri": "javascript:alert(1)"}), "redirectUri"),
        (json!({"redirectUri": ""}), "redirectUri"),
        (json!({"redirectUri": null}), "redirectUri"),
        (json!({"state": "x".repeat(1025)}), "state"),
        (json!({"audience": ""}), "audience"),
        (json!({"expiresIn": "24"}), "expiresIn"),
        (json!({"expiresIn": "0h"}), "expiresIn"),
        (json!({"expiresIn": "1w"}), "expiresIn"),
        (json!({"expiresIn": 3600}), "expiresIn"),
        (json!({"expiresIn": "366d"}), "expiresIn"),
        (json!({"expiresIn": "999999999d"}), "expiresIn"),
        (json!({"codeChallenge": PKCE_CHALLENGE}), "codeChallengeMethod"),
        (json!({"codeChallengeMethod": "S256"}), "codeChallenge"),
        (
            json!({"codeChallenge": PKCE_CHALLENGE, "codeChallengeMethod": "plain"}),
            "codeChallengeMethod",
        ),
        (
            json!({"codeChallenge": "short", "codeChallengeMethod": "S256"}),
            "codeChallenge",
        ),
        (json!({"purpose": "x"}), "purpose"),
        (json!({"dataRegion": "eu"}), "dataRegion"),
    ];
    for (change, field) in table {
        let mut body = json!({"agentId": agent, "principalId": "user-1", "scopes": ["read"]});
        body.as_object_mut()
            .unwrap()
            .extend(change.as_object().unwrap().clone());
        let message = app
            .post("/v1/authorize")
            .key(&app.live)
            .json(&body)
            .send()
            .await
            .bad_request();
        assert!(message.starts_with(&format!("`{field}` ")), "{change}: {message}");
    }
    let names = app.event_names();
    assert_eq!(
        (names.len(), names.iter().all(|name| *name == "auth_request.rejected")),
        (table.len(), true)
    );
}

#[actix_web::test]
async fn only_registered_scopes_of_an_active_agent_may_be_asked_for() {
    let app = TestApp::start().await;
    let agent = app.agent(&["read"]).await;
    let ask = |agent: &str, scope: &str| {
        let body = json!({"agentId": agent, "principalId": "user-1", "scopes": [scope]});
        app.post("/v1/authorize").key(&app.live).json(&body).send()
    };
    let message = ask(&agent, "admin").await.bad_request();
    assert_eq!(
        message,
        "`scopes` cannot be asked for: the agent is not registered for the scope admin"
    );
    ask("nonsense", "read").await.problem(404, "NOT_FOUND");
    app.patch(&format!("/v1/agents/{agent}"))
        .key(&app.live)
        .json(&json!({"status": "suspended"}))
        .send()
        .await
        .expect(200);
    ask(&agent, "read").await.problem(404, "NOT_FOUND");
}

#[actix_web::test]
async fn in_production_a_redirect_uri_is_public() {
    let app = TestApp::start_with(|_, http| http.is_production = true).await;
    let agent = app.agent(&[]).await;
    for (uri, status) in [
        ("https://app.example/cb", 201),
        ("http://app.example/cb", 400),
        ("https://10.0.0.1/cb", 400),
    ] {
        let body = json!({"agentId": agent, "principalId": "user-1", "scopes": ["read"], "redirectUri": uri});
        assert_eq!(
            app.post("/v1/authorize").key(&app.live).json(&body).send().await.status,
            status,
            "{uri}"
        );
    }
}

#[actix_web::test]
async fn only_sandbox_developers_decide_for_the_principal() {
    let app = TestApp::start().await;
    let agent = app.agent(&[]).await;
    let request = app.pending(&agent, json!({})).await;
    for id in [request.as_str(), "nonsense"] {
        for decision in ["approve", "deny"] {
            let path = format!("/v1/authorize/{id}/{decision}");
            app.post(&path)
                .key(&app.live)
                .send()
                .await
                .problem(403, "CONSENT_REQUIRED");
            app.post(&path).key(&app.sandbox).send().await.problem(404, "NOT_FOUND");
        }
    }
}
