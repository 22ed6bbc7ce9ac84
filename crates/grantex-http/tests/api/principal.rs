use grantex_core::clock::Lifetime;
use serde_json::{Value, json};

use crate::support::TestApp;

#[actix_web::test]
async fn a_session_opens_the_permissions_page() {
    let app = TestApp::start().await;
    let agent = app.agent(&[]).await;
    let open = |body: Value| app.post("/v1/principal-sessions").key(&app.live).json(&body).send();
    open(json!({"principalId": "user-1"})).await.problem(404, "NOT_FOUND");
    app.tokens(&agent).await;
    let opened = open(json!({"principalId": "user-1"})).await.expect(201);
    let url = format!(
        "https://auth.example/permissions#session={}",
        opened["sessionToken"].as_str().unwrap()
    );
    assert_eq!(
        (&opened["dashboardUrl"], &opened["expiresAt"]),
        (&json!(url), &json!("2030-01-02T04:04:05.000Z"))
    );
    let long = open(json!({"principalId": "user-1", "expiresIn": "30d"}))
        .await
        .expect(201);
    assert_eq!(
        long["expiresAt"], "2030-01-03T03:04:05.000Z",
        "no session lives longer than a day"
    );
    for body in [
        json!({}),
        json!({"principalId": ""}),
        json!({"principalId": "user-1", "expiresIn": "x"}),
        json!({"principalId": 1}),
    ] {
        open(body).await.bad_request();
    }
}

#[actix_web::test]
async fn a_principal_sees_and_revokes_grants() {
    let app = TestApp::start().await;
    let agent = app.agent(&[]).await;
    let tokens = app.tokens(&agent).await;
    let grant = tokens["grantId"].as_str().unwrap();
    let session = app.session().await;
    let grants = app.get("/v1/principal/grants").key(&session).send().await.expect(200);
    let expected = json!({"principalId": "user-1", "grants": [{
        "grantId": grant, "agentId": agent, "agentName": "Assistant", "agentDescription": "", "agentDid": format!("did:grantex:{agent}"),
        "scopes": ["read", "write"], "scopeDescriptions": ["Custom permission: read", "Custom permission: write"], "status": "active",
        "issuedAt": "2030-01-02T03:04:05.006Z", "expiresAt": "2030-01-03T03:04:05.000Z", "delegationDepth": 0,
    }]});
    assert_eq!(grants, expected);
    let path = format!("/v1/principal/grants/{grant}");
    let answer = app.delete(&path).key(&session).send().await;
    assert_eq!((answer.status, answer.body.len()), (204, 0));
    app.delete(&path).key(&session).send().await.problem(404, "NOT_FOUND");
    app.delete("/v1/principal/grants/nonsense")
        .key(&session)
        .send()
        .await
        .problem(404, "NOT_FOUND");
    assert!(!app.is_valid(&tokens["grantToken"]).await);
    assert_eq!(
        app.get("/v1/principal/grants").key(&session).send().await.expect(200)["grants"],
        json!([])
    );
}

#[actix_web::test]
async fn a_principal_sees_what_was_done_newest_first() {
    let app = TestApp::start().await;
    let agent = app.agent(&[]).await;
    app.tokens(&agent).await;
    for (principal, action) in [("user-1", "a"), ("user-2", "b"), ("user-1", "c")] {
        let body = json!({"agentId": agent, "agentDid": "did", "grantId": "g", "principalId": principal, "action": action, "metadata": {"n": 1}});
        app.post("/v1/audit/log")
            .key(&app.live)
            .json(&body)
            .send()
            .await
            .expect(201);
    }
    let session = app.session().await;
    let entries = app.get("/v1/principal/audit").key(&session).send().await.expect(200)["entries"].clone();
    assert_eq!(
        (
            entries.as_array().unwrap().len(),
            &entries[0]["action"],
            &entries[1]["action"]
        ),
        (2, &json!("c"), &json!("a"))
    );
    let expected = json!({
        "entryId": entries[0]["entryId"], "agentId": agent, "agentDid": "did", "grantId": "g", "principalId": "user-1", "action": "c",
        "metadata": {"n": 1}, "status": "success", "timestamp": "2030-01-02T03:04:05.006Z",
    });
    assert_eq!(entries[0], expected);
}

#[actix_web::test]
async fn sessions_keys_and_tokens_do_not_stand_in_for_each_other() {
    let app = TestApp::start().await;
    let agent = app.agent(&[]).await;
    let tokens = app.tokens(&agent).await;
    let session = app.session().await;
    app.get("/v1/agents")
        .key(&session)
        .send()
        .await
        .problem(401, "UNAUTHORIZED");
    assert!(!app.is_valid(&json!(session)).await);
    for wrong in [app.live.as_str(), tokens["grantToken"].as_str().unwrap(), "nonsense"] {
        for path in ["/v1/principal/grants", "/v1/principal/audit"] {
            app.get(path).key(wrong).send().await.problem(401, "UNAUTHORIZED");
        }
    }
    app.get("/v1/principal/grants")
        .send()
        .await
        .problem(401, "UNAUTHORIZED");
    app.clock.advance(Lifetime::hours(1));
    app.get("/v1/principal/grants")
        .key(&session)
        .send()
        .await
        .problem(401, "UNAUTHORIZED");
}
