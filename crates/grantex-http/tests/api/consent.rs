use grantex_core::clock::Lifetime;
use serde_json::json;

use crate::support::TestApp;

#[actix_web::test]
async fn a_request_tells_what_is_asked_and_nothing_about_the_principal() {
    let app = TestApp::start().await;
    let agent = app.agent(&[]).await;
    let request = app
        .pending(&agent, json!({"scopes": ["email:read", "acme:x"], "state": "s"}))
        .await;
    let shown = app.get(&format!("/v1/consent/{request}")).send().await.expect(200);
    let expected = json!({
        "id": request, "developerName": "Acme", "agentName": "Assistant", "agentDid": format!("did:grantex:{agent}"),
        "agentDescription": null, "scopes": ["email:read", "acme:x"],
        "scopeDescriptions": ["Read your e-mail", "Custom permission: acme:x"], "expiresIn": "24h",
        "expiresAt": "2030-01-02T03:19:05.006Z", "status": "pending", "fidoRequired": false,
    });
    assert_eq!(shown, expected);
}

#[actix_web::test]
async fn an_approval_needs_no_credentials_and_no_body() {
    let app = TestApp::start().await;
    let agent = app.agent(&[]).await;
    let back = json!({"redirectUri": "https://app.example/cb", "state": "s"});
    let request = app.pending(&agent, back).await;
    let path = format!("/v1/consent/{request}/approve");
    let approved = app.post(&path).send().await.expect(200);
    assert_eq!(
        approved,
        json!({"code": approved["code"], "redirectUri": "https://app.example/cb", "state": "s"})
    );
    app.post(&path).send().await.problem(410, "GONE");
    app.post(&format!("/v1/consent/{request}/deny"))
        .send()
        .await
        .problem(410, "GONE");
    app.get(&format!("/v1/consent/{request}"))
        .send()
        .await
        .problem(410, "GONE");
}

#[actix_web::test]
async fn an_empty_state_is_not_echoed() {
    let app = TestApp::start().await;
    let agent = app.agent(&[]).await;
    let request = app.pending(&agent, json!({"state": ""})).await;
    let denied = app
        .post(&format!("/v1/consent/{request}/deny"))
        .json(&json!({"any": "thing"}))
        .send()
        .await;
    assert_eq!(denied.expect(200), json!({}));
    assert_eq!(
        app.event_names(),
        ["agent.changed", "auth_request.opened", "consent", "auth_request.denied"]
    );
}

#[actix_web::test]
async fn unknown_and_expired_requests_are_told_apart() {
    let app = TestApp::start().await;
    let agent = app.agent(&[]).await;
    let request = app.pending(&agent, json!({})).await;
    app.clock.advance(Lifetime::minutes(15));
    for id in ["nonsense", "areq_01ARZ3NDEKTSV4RRFFQ69G5FAV"] {
        app.get(&format!("/v1/consent/{id}"))
            .send()
            .await
            .problem(404, "NOT_FOUND");
        app.post(&format!("/v1/consent/{id}/approve"))
            .send()
            .await
            .problem(404, "NOT_FOUND");
        app.post(&format!("/v1/consent/{id}/deny"))
            .send()
            .await
            .problem(404, "NOT_FOUND");
    }
    app.get(&format!("/v1/consent/{request}"))
        .send()
        .await
        .problem(410, "GONE");
    app.post(&format!("/v1/consent/{request}/approve"))
        .send()
        .await
        .problem(410, "GONE");
    app.post(&format!("/v1/consent/{request}/deny"))
        .send()
        .await
        .problem(410, "GONE");
}

#[actix_web::test]
async fn other_sites_may_not_decide() {
    let app = TestApp::start().await;
    let agent = app.agent(&[]).await;
    let request = app.pending(&agent, json!({})).await;
    let path = format!("/v1/consent/{request}/approve");
    for (name, value) in [
        ("origin", "https://evil.example"),
        ("origin", "null"),
        ("sec-fetch-site", "cross-site"),
    ] {
        app.post(&path)
            .header(name, value)
            .send()
            .await
            .problem(403, "FORBIDDEN");
    }
    app.post(&path)
        .header("origin", "https://auth.example")
        .send()
        .await
        .expect(200);
}

#[actix_web::test]
async fn a_decision_is_audited_with_the_address_and_the_browser_it_came_from() {
    let app = TestApp::start().await;
    let agent = app.agent(&[]).await;
    let mut paths = Vec::new();
    for path in [
        "/v1/consent/{id}/approve",
        "/consent/{id}/approve",
        "/v1/consent/{id}/deny",
        "/consent/{id}/deny",
    ] {
        paths.push(path.replace("{id}", &app.pending(&agent, json!({})).await));
    }
    let browsers = ["Mozilla/5.0 (X11)", "", "curl/8.5", &"x".repeat(4_000)];
    for (path, browser) in paths.iter().zip(browsers) {
        let answer = app
            .post(path)
            .from("198.51.100.9:4711")
            .header("user-agent", browser)
            .send()
            .await;
        assert!(answer.status < 400, "{path}: {}", answer.status);
    }
    let entries = app
        .get("/v1/audit/entries?chain=server")
        .key(&app.live)
        .send()
        .await
        .expect(200);
    let told: Vec<_> = entries["entries"]
        .as_array()
        .unwrap()
        .iter()
        .map(|entry| {
            let metadata = &entry["metadata"];
            assert_eq!(metadata["clientAddress"], "198.51.100.9");
            (entry["action"].as_str().unwrap(), metadata.get("userAgent").cloned())
        })
        .collect();
    assert_eq!(
        told,
        [
            ("grantex.grant.approved", Some(json!("Mozilla/5.0 (X11)"))),
            ("grantex.grant.approved", None),
            ("grantex.grant.denied", Some(json!("curl/8.5"))),
            ("grantex.grant.denied", Some(json!("x".repeat(256)))),
        ]
    );
}
