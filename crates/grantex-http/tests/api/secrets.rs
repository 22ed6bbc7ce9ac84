//! Secrets travel in answers that are meant to hold them, and nowhere else.

use serde_json::json;

use crate::support::{PKCE_CHALLENGE, PKCE_VERIFIER, TestApp};

#[actix_web::test]
async fn no_secret_reaches_a_log_line_a_measurement_or_an_error() {
    let app = TestApp::start().await;
    let agent = app.agent(&[]).await;
    let email = "canary@acme.example";
    let account = app
        .post("/v1/signup")
        .json(&json!({"name": "A", "email": email}))
        .send()
        .await
        .expect(201);
    let request = app
        .pending(
            &agent,
            json!({"codeChallenge": PKCE_CHALLENGE, "codeChallengeMethod": "S256", "state": "canary-state"}),
        )
        .await;
    let code = app
        .post(&format!("/v1/consent/{request}/approve"))
        .send()
        .await
        .expect(200)["code"]
        .clone();
    let exchange = json!({"code": code, "agentId": agent, "codeVerifier": PKCE_VERIFIER});
    let tokens = app.exchange(&exchange).await.expect(201);
    let session = app.session().await;
    let idempotency = "canary-idempotency-key";
    let refresh = json!({"refreshToken": tokens["refreshToken"], "agentId": agent});
    let refreshed = app
        .post("/v1/token/refresh")
        .key(&app.live)
        .header("idempotency-key", idempotency)
        .json(&refresh)
        .send()
        .await
        .expect(201);
    let text = |value: &serde_json::Value| value.as_str().unwrap().to_owned();
    let secrets = [
        app.live.clone(),
        text(&account["apiKey"]),
        request.clone(),
        text(&code),
        PKCE_VERIFIER.to_owned(),
        text(&tokens["grantToken"]),
        text(&tokens["refreshToken"]),
        text(&refreshed["grantToken"]),
        text(&refreshed["refreshToken"]),
        session,
        idempotency.to_owned(),
        email.to_owned(),
        "canary-state".to_owned(),
    ];
    let mut answers = Vec::new();
    for secret in &secrets {
        for body in [
            json!({"code": [secret]}),
            json!({"code": secret, "agentId": {"x": secret}}),
            json!({"refreshToken": secret, "agentId": "ag_x", "code": 1}),
        ] {
            for path in [
                "/v1/token",
                "/v1/token/refresh",
                "/v1/tokens/revoke",
                "/v1/authorize",
                "/v1/agents",
                "/v1/audit/log",
            ] {
                answers.push(app.post(path).key(&app.live).json(&body).send().await);
            }
        }
        answers.push(
            app.post("/v1/token")
                .key(&app.live)
                .form(&format!("grant_type={secret}&code={secret}&client_id={secret}"))
                .send()
                .await,
        );
        answers.push(
            app.post("/v1/agents")
                .key(&app.live)
                .json(&json!({"name": "a", "status": secret}))
                .send()
                .await,
        );
        answers.push(
            app.post("/v1/agents")
                .key(&app.live)
                .text("application/json", format!("{{\"{secret}\":1,\"{secret}\":1}}"))
                .send()
                .await,
        );
        answers.push(app.get(&format!("/v1/{secret}")).key(secret).send().await);
        answers.push(
            app.get(&format!("/v1/grants?status={secret}&cursor={secret}"))
                .key(&app.live)
                .send()
                .await,
        );
        answers.push(app.get(&format!("/consent?req=x{secret}")).send().await);
    }
    app.store.set_read_failure(true);
    answers.push(app.exchange(&exchange).await);
    for answer in &answers {
        assert!(answer.status >= 400, "{} {}", answer.status, answer.text());
        for secret in &secrets {
            assert!(!answer.text().contains(secret), "{}", answer.text());
        }
    }
    for line in app.lines.take() {
        let line = format!("{line:?}");
        assert!(!secrets.iter().any(|secret| line.contains(secret)), "{line}");
    }
    let measured = app.measured.requests.lock().unwrap().join("\n");
    assert!(!secrets.iter().any(|secret| measured.contains(secret)));
}
