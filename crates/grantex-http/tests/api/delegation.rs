use serde_json::{Value, json};

use crate::support::{Answer, TestApp};

async fn delegate(app: &TestApp, parent: &Value, agent: &str, extra: Value) -> Answer {
    let mut body = json!({"parentGrantToken": parent, "subAgentId": agent, "scopes": ["read"]});
    body.as_object_mut().unwrap().extend(extra.as_object().unwrap().clone());
    app.post("/v1/grants/delegate").key(&app.live).json(&body).send().await
}

#[actix_web::test]
async fn a_child_falls_with_its_parent() {
    let app = TestApp::start().await;
    let (agent, sub) = (app.agent(&[]).await, app.agent(&[]).await);
    let parent = app.tokens(&agent).await;
    let child = delegate(&app, &parent["grantToken"], &sub, json!({})).await.expect(201);
    let expected = json!({
        "grantToken": child["grantToken"], "expiresAt": "2030-01-02T04:04:05.000Z", "scopes": ["read"], "grantId": child["grantId"],
        "refreshToken": child["refreshToken"],
    });
    assert_eq!(child, expected);
    let shown = app
        .get(&format!("/v1/grants/{}", child["grantId"].as_str().unwrap()))
        .key(&app.live)
        .send()
        .await
        .expect(200);
    assert_eq!(
        (&shown["delegationDepth"], &shown["parentGrantId"]),
        (&json!(1), &parent["grantId"])
    );
    assert!(app.is_valid(&child["grantToken"]).await);
    app.delete(&format!("/v1/grants/{}", parent["grantId"].as_str().unwrap()))
        .key(&app.live)
        .send()
        .await
        .expect(204);
    assert!(!app.is_valid(&child["grantToken"]).await);
    delegate(&app, &parent["grantToken"], &sub, json!({}))
        .await
        .bad_request();
}

#[actix_web::test]
async fn an_agent_may_delegate_to_itself_up_to_a_depth() {
    let app = TestApp::start().await;
    let agent = app.agent(&[]).await;
    let mut token = app.tokens(&agent).await["grantToken"].clone();
    for _ in 0..3 {
        token = delegate(&app, &token, &agent, json!({})).await.expect(201)["grantToken"].clone();
    }
    delegate(&app, &token, &agent, json!({}))
        .await
        .problem(400, "DELEGATION_DEPTH_EXCEEDED");
}

#[actix_web::test]
async fn what_cannot_be_delegated_is_refused() {
    let app = TestApp::unlimited().await;
    let (agent, restricted) = (app.agent(&[]).await, app.agent(&["write"]).await);
    let parent = app.tokens(&agent).await["grantToken"].clone();
    let wider = delegate(&app, &parent, &agent, json!({"scopes": ["read", "admin"]}))
        .await
        .bad_request();
    assert_eq!(
        wider,
        "`scopes` cannot be delegated: the parent token does not hold the scope admin"
    );
    delegate(&app, &parent, &restricted, json!({})).await.bad_request();
    delegate(&app, &parent, "nonsense", json!({}))
        .await
        .problem(404, "NOT_FOUND");
    let foreign = json!({"parentGrantToken": parent, "subAgentId": agent, "scopes": ["read"]});
    app.post("/v1/grants/delegate")
        .key(&app.sandbox)
        .json(&foreign)
        .send()
        .await
        .problem(403, "FORBIDDEN");
    let table: &[(Value, &str)] = &[
        (json!({"parentGrantToken": "nonsense"}), "parentGrantToken"),
        (json!({"parentGrantToken": null}), "parentGrantToken"),
        (json!({"subAgentId": 1}), "subAgentId"),
        (json!({"scopes": "read"}), "scopes"),
        (json!({"scopes": []}), "scopes"),
        (json!({"scopes": ["a b"]}), "scopes"),
        (json!({"expiresIn": "soon"}), "expiresIn"),
        (json!({"expiresIn": "366d"}), "expiresIn"),
        (json!({"credentialFormat": "both"}), "credentialFormat"),
    ];
    for (change, field) in table {
        let message = delegate(&app, &parent, &agent, change.clone()).await.bad_request();
        assert!(message.starts_with(&format!("`{field}` ")), "{change}: {message}");
    }
}
