use serde_json::{Value, json};

use crate::support::TestApp;

#[actix_web::test]
async fn a_registered_agent_is_shown_in_full() {
    let app = TestApp::start().await;
    let body =
        json!({"name": "  Mail reader ", "description": "Reads mail", "scopes": ["email:read", "read"], "x": null});
    let created = app
        .post("/v1/agents")
        .key(&app.live)
        .json(&body)
        .send()
        .await
        .expect(201);
    let id = created["agentId"].as_str().unwrap();
    let me = app.get("/v1/me").key(&app.live).send().await.expect(200);
    let expected = json!({
        "id": id, "agentId": id, "did": format!("did:grantex:{id}"), "developerId": me["developerId"],
        "name": "Mail reader", "description": "Reads mail", "scopes": ["email:read", "read"], "status": "active",
        "redirectUris": [], "resourceServers": [], "keyBindingConfigured": false,
        "createdAt": "2030-01-02T03:04:05.006Z", "updatedAt": "2030-01-02T03:04:05.006Z",
    });
    assert_eq!(created, expected);
    assert_eq!(
        app.get(&format!("/v1/agents/{id}"))
            .key(&app.live)
            .send()
            .await
            .expect(200),
        expected
    );
    let list = app.get("/v1/agents").key(&app.live).send().await.expect(200);
    assert_eq!(list, json!({"agents": [expected], "page": 1, "pageSize": 100}));
}

#[actix_web::test]
async fn an_agent_is_changed_by_patch_and_by_post() {
    let app = TestApp::start().await;
    let agent = app.agent(&["read"]).await;
    let path = format!("/v1/agents/{agent}");
    let changed = app
        .patch(&path)
        .key(&app.live)
        .json(&json!({"status": "suspended"}))
        .send()
        .await
        .expect(200);
    assert_eq!(
        (&changed["status"], &changed["name"]),
        (&json!("suspended"), &json!("Assistant"))
    );
    let changed = app
        .post(&path)
        .key(&app.live)
        .json(&json!({"name": "B", "scopes": []}))
        .send()
        .await
        .expect(200);
    assert_eq!(
        (&changed["status"], &changed["name"], &changed["scopes"]),
        (&json!("suspended"), &json!("B"), &json!([]))
    );
}

#[actix_web::test]
async fn a_deleted_agent_is_gone() {
    let app = TestApp::start().await;
    let agent = app.agent(&[]).await;
    let path = format!("/v1/agents/{agent}");
    let answer = app.delete(&path).key(&app.live).send().await;
    assert_eq!(
        (answer.status, answer.body.len(), answer.header("content-type")),
        (204, 0, None)
    );
    app.delete(&path).key(&app.live).send().await.problem(404, "NOT_FOUND");
    app.get(&path).key(&app.live).send().await.problem(404, "NOT_FOUND");
    app.patch(&path)
        .key(&app.live)
        .json(&json!({"name": "x"}))
        .send()
        .await
        .problem(404, "NOT_FOUND");
}

#[actix_web::test]
async fn agents_of_others_do_not_exist() {
    let app = TestApp::start().await;
    let agent = app.agent(&[]).await;
    for path in [
        format!("/v1/agents/{agent}"),
        "/v1/agents/nonsense".into(),
        "/v1/agents/ag_%2F".into(),
    ] {
        app.get(&path).key(&app.sandbox).send().await.problem(404, "NOT_FOUND");
        app.delete(&path)
            .key(&app.sandbox)
            .send()
            .await
            .problem(404, "NOT_FOUND");
    }
}

#[actix_web::test]
async fn bad_agents_are_refused_by_field() {
    let app = TestApp::start().await;
    let table: &[(Value, &str)] = &[
        (json!({}), "`name` is required"),
        (json!({"name": null}), "`name` must be a string"),
        (json!({"name": " "}), "`name` must not be blank"),
        (json!({"name": "x".repeat(201)}), "`name` must be 1 to 200 characters"),
        (
            json!({"name": "a", "description": null}),
            "`description` must be a string",
        ),
        (json!({"name": "a", "scopes": "read"}), "`scopes` must be an array"),
        (json!({"name": "a", "scopes": [1]}), "`scopes[0]` must be a string"),
        (
            json!({"name": "a", "scopes": ["a b"]}),
            "`scopes` cannot be accepted: scope 0 must be 1 to 256 characters without white space",
        ),
        (
            json!({"name": "a", "scopes": vec!["x"; 101]}),
            "`scopes` cannot be accepted: at most 100 scopes are allowed",
        ),
        (
            json!({"name": "a", "status": "revoked"}),
            "`status` must be `active` or `suspended`",
        ),
        (
            json!({"name": "a", "redirectUris": ["https://x.example"]}),
            "`redirectUris` is not served by this server",
        ),
        (
            json!({"name": "a", "resourceServers": ["https://x.example"]}),
            "`resourceServers` is not served by this server",
        ),
        (
            json!({"name": "a", "publicJwk": {"kty": "RSA"}}),
            "`publicJwk` is not served by this server",
        ),
        (
            json!({"name": "a", "statusReason": "x"}),
            "`statusReason` is not served by this server",
        ),
    ];
    for (body, message) in table {
        let answer = app.post("/v1/agents").key(&app.live).json(body).send().await;
        assert_eq!(answer.bad_request(), *message, "{body}");
    }
    let empty = json!({"name": "a", "redirectUris": [], "resourceServers": null, "publicJwk": {}, "statusReason": ""});
    app.post("/v1/agents")
        .key(&app.live)
        .json(&empty)
        .send()
        .await
        .expect(201);
    let agent = app.agent(&[]).await;
    let nothing = app
        .patch(&format!("/v1/agents/{agent}"))
        .key(&app.live)
        .json(&json!({"x": 1}))
        .send()
        .await;
    assert_eq!(
        nothing.bad_request(),
        "one of `name`, `description`, `scopes` and `status` is required"
    );
    let null = app
        .patch(&format!("/v1/agents/{agent}"))
        .key(&app.live)
        .json(&json!({"scopes": null}))
        .send()
        .await;
    assert_eq!(null.bad_request(), "`scopes` must be an array");
}

#[actix_web::test]
async fn a_listing_goes_by_pages_and_by_cursors() {
    let app = TestApp::start().await;
    for _ in 0..5 {
        app.clock.advance(grantex_core::clock::Lifetime::millis(1));
        app.agent(&[]).await;
    }
    let all = app.get("/v1/agents").key(&app.live).send().await.expect(200)["agents"].clone();
    let second = app
        .get("/v1/agents?page=2&pageSize=2")
        .key(&app.live)
        .send()
        .await
        .expect(200);
    assert_eq!(second["agents"], json!([all[2], all[3]]));
    assert_eq!((&second["page"], &second["pageSize"]), (&json!(2), &json!(2)));
    let cursor = second["nextCursor"].as_str().unwrap();
    let last = app
        .get(&format!("/v1/agents?pageSize=2&cursor={cursor}"))
        .key(&app.live)
        .send()
        .await
        .expect(200);
    assert_eq!(last, json!({"agents": [all[4]], "pageSize": 2}));
}

#[actix_web::test]
async fn a_plan_limits_the_number_of_agents() {
    let app = TestApp::start_with(|settings, http| {
        settings.default_plan = grantex_core::plan::Plan::Free;
        http.rate_limits.is_enabled = false;
    })
    .await;
    for _ in 0..500 {
        app.agent(&[]).await;
    }
    let answer = app
        .post("/v1/agents")
        .key(&app.live)
        .json(&json!({"name": "one more"}))
        .send()
        .await;
    assert_eq!(answer.problem(402, "PLAN_LIMIT_EXCEEDED"), "the plan allows 500 agents");
}
