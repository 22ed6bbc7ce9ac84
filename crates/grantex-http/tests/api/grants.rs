use grantex_core::clock::Lifetime;
use serde_json::{Value, json};

use crate::support::TestApp;

async fn verify(app: &TestApp, key: &str, token: &Value) -> Value {
    app.post("/v1/grants/verify")
        .key(key)
        .json(&json!({"token": token}))
        .send()
        .await
        .expect(200)
}

#[actix_web::test]
async fn a_grant_is_shown_in_full_and_stays_readable() {
    let app = TestApp::start().await;
    let agent = app.agent(&[]).await;
    let tokens = app.tokens(&agent).await;
    let id = tokens["grantId"].as_str().unwrap();
    let me = app.get("/v1/me").key(&app.live).send().await.expect(200);
    let mut expected = json!({
        "id": id, "grantId": id, "agentId": agent, "agentDid": format!("did:grantex:{agent}"), "principalId": "user-1",
        "developerId": me["developerId"], "scopes": ["read", "write"], "status": "active", "issuedAt": "2030-01-02T03:04:05.006Z",
        "expiresAt": "2030-01-03T03:04:05.000Z", "delegationDepth": 0,
    });
    let path = format!("/v1/grants/{id}");
    assert_eq!(app.get(&path).key(&app.live).send().await.expect(200), expected);
    let list = app.get("/v1/grants").key(&app.live).send().await.expect(200);
    assert_eq!(list, json!({"grants": [expected], "page": 1, "pageSize": 100}));

    let answer = app.delete(&path).key(&app.live).send().await;
    assert_eq!((answer.status, answer.body.len()), (204, 0));
    expected["status"] = json!("revoked");
    expected["revokedAt"] = json!("2030-01-02T03:04:05.006Z");
    assert_eq!(app.get(&path).key(&app.live).send().await.expect(200), expected);
    app.delete(&path).key(&app.live).send().await.problem(404, "NOT_FOUND");
}

#[actix_web::test]
async fn grants_of_others_do_not_exist() {
    let app = TestApp::start().await;
    let agent = app.agent(&[]).await;
    let tokens = app.tokens(&agent).await;
    let own = format!("/v1/grants/{}", tokens["grantId"].as_str().unwrap());
    for path in [own.as_str(), "/v1/grants/nonsense"] {
        app.get(path).key(&app.sandbox).send().await.problem(404, "NOT_FOUND");
        app.delete(path)
            .key(&app.sandbox)
            .send()
            .await
            .problem(404, "NOT_FOUND");
    }
    assert!(app.is_valid(&tokens["grantToken"]).await);
}

#[actix_web::test]
async fn a_listing_is_filtered_by_what_is_true_now() {
    let app = TestApp::start().await;
    let (agent, other) = (app.agent(&[]).await, app.agent(&[]).await);
    let short = app
        .code(&agent, json!({"expiresIn": "1m", "principalId": "user-2"}))
        .await;
    let body = json!({"code": short, "agentId": agent});
    let expired = app.exchange(&body).await.expect(201)["grantId"].clone();
    app.clock.advance(Lifetime::minutes(2));
    let active = app.tokens(&agent).await["grantId"].clone();
    let revoked = app.tokens(&other).await["grantId"].clone();
    app.delete(&format!("/v1/grants/{}", revoked.as_str().unwrap()))
        .key(&app.live)
        .send()
        .await
        .expect(204);
    for (query, expected) in [
        ("status=active", vec![&active]),
        ("status=expired", vec![&expired]),
        ("status=revoked", vec![&revoked]),
        (&format!("agentId={agent}"), vec![&active, &expired]),
        ("principalId=user-2", vec![&expired]),
        ("principalId=user-2&status=active", vec![]),
        ("agentId=nonsense", vec![]),
    ] {
        let list = app
            .get(&format!("/v1/grants?{query}"))
            .key(&app.live)
            .send()
            .await
            .expect(200);
        let ids: Vec<&Value> = list["grants"]
            .as_array()
            .unwrap()
            .iter()
            .map(|grant| &grant["grantId"])
            .collect();
        assert_eq!(ids, expected, "{query}");
    }
    for query in [
        "status=pending",
        "agentId=",
        "principalId=%00",
        "pageSize=0",
        "cursor=x",
    ] {
        app.get(&format!("/v1/grants?{query}"))
            .key(&app.live)
            .send()
            .await
            .bad_request();
    }
}

#[actix_web::test]
async fn a_verified_grant_shows_the_claims_of_its_token() {
    let app = TestApp::start().await;
    let agent = app.agent(&[]).await;
    let tokens = app.tokens(&agent).await;
    let answer = verify(&app, &app.live, &tokens["grantToken"]).await;
    let claims = &answer["claims"];
    assert_eq!(answer, json!({"active": true, "claims": claims}));
    assert_eq!(
        (&claims["iss"], &claims["sub"], &claims["grnt"]),
        (&json!("https://auth.example"), &json!("user-1"), &tokens["grantId"])
    );
    assert_eq!(
        (&claims["scp"], &claims["scope"]),
        (&json!(["read", "write"]), &json!("read write"))
    );
    assert!(claims.as_object().unwrap().values().all(|claim| !claim.is_null()));
}

#[actix_web::test]
async fn a_bad_token_has_its_reason() {
    let app = TestApp::start().await;
    let agent = app.agent(&[]).await;
    let tokens = app.tokens(&agent).await;
    let token = &tokens["grantToken"];
    let inactive = |reason: &str| json!({"active": false, "reason": reason});
    assert_eq!(
        verify(&app, &app.sandbox, token).await,
        inactive("not_found"),
        "foreign tokens are unknown"
    );
    let set = |status: &str| {
        app.patch(&format!("/v1/agents/{agent}"))
            .key(&app.live)
            .json(&json!({"status": status}))
            .send()
    };
    set("suspended").await.expect(200);
    assert_eq!(verify(&app, &app.live, token).await, inactive("suspended"));
    assert!(!app.is_valid(token).await);
    set("active").await.expect(200);
    assert!(app.is_valid(token).await);
    app.delete(&format!("/v1/grants/{}", tokens["grantId"].as_str().unwrap()))
        .key(&app.live)
        .send()
        .await
        .expect(204);
    assert_eq!(verify(&app, &app.live, token).await, inactive("revoked"));
    app.clock.advance(Lifetime::days(2));
    assert_eq!(verify(&app, &app.live, token).await, inactive("expired"));
    for body in [
        json!({}),
        json!({"token": "nonsense"}),
        json!({"token": ""}),
        json!({"token": {}}),
    ] {
        app.post("/v1/grants/verify")
            .key(&app.live)
            .json(&body)
            .send()
            .await
            .bad_request();
    }
}
