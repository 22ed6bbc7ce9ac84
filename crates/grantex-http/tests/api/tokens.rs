use grantex_core::clock::Lifetime;
use serde_json::{Value, json};

use crate::support::{PKCE_CHALLENGE, PKCE_VERIFIER, TestApp};

#[actix_web::test]
async fn a_code_becomes_tokens_once() {
    let app = TestApp::start().await;
    let agent = app.agent(&["read", "write"]).await;
    let code = app.code(&agent, json!({})).await;
    app.events();
    let exchange = || {
        app.post("/v1/token")
            .key(&app.live)
            .json(&json!({"code": code, "agentId": agent}))
            .send()
    };
    let tokens = exchange().await.expect(201);
    let expected = json!({
        "grantToken": tokens["grantToken"], "expiresAt": "2030-01-03T03:04:05.000Z", "scopes": ["read", "write"],
        "refreshToken": tokens["refreshToken"], "grantId": tokens["grantId"],
    });
    assert_eq!(tokens, expected);
    assert!(tokens["refreshToken"].as_str().unwrap().starts_with("ref_"));
    exchange().await.bad_request();
    assert!(
        app.is_valid(&tokens["grantToken"]).await,
        "an impatient retry harms nobody"
    );
    let names = [
        "grant.created",
        "token.exchanged",
        "code.reuse_detected",
        "token.exchange_rejected",
        "token.verified",
    ];
    assert_eq!(app.event_names(), names);
}

#[actix_web::test]
async fn what_cannot_be_exchanged_is_a_bad_request() {
    let app = TestApp::unlimited().await;
    let agent = app.agent(&[]).await;
    let other = app.agent(&[]).await;
    let code = app.code(&agent, json!({"redirectUri": "https://app.example/cb"})).await;
    let table: &[(Value, &str)] = &[
        (json!({}), "`code` is required"),
        (json!({"code": code}), "`agentId` is required"),
        (json!({"code": null, "agentId": agent}), "`code` must be a string"),
        (
            json!({"code": "", "agentId": agent}),
            "`code` must be 1 to 512 characters",
        ),
        (
            json!({"code": "x".repeat(513), "agentId": agent}),
            "`code` must be 1 to 512 characters",
        ),
        (
            json!({"code": "nonsense", "agentId": agent}),
            "the code is unknown, or not for this agent",
        ),
        (
            json!({"code": code, "agentId": other}),
            "the code is unknown, or not for this agent",
        ),
        (
            json!({"code": code, "agentId": "nonsense"}),
            "the code is unknown, or not for this agent",
        ),
        (
            json!({"code": code, "agentId": agent, "credentialFormat": "vc-jwt"}),
            "`credentialFormat` must be jwt: no other value is served by this server",
        ),
        (
            json!({"code": code, "agentId": agent, "redirectUri": "https://evil.example/cb"}),
            "redirectUri differs from the one of the authorization request",
        ),
    ];
    for (body, message) in table {
        assert_eq!(app.exchange(body).await.bad_request(), *message, "{body}");
    }
    app.post("/v1/token")
        .key(&app.sandbox)
        .json(&json!({"code": code, "agentId": agent}))
        .send()
        .await
        .bad_request();
    let good =
        json!({"code": code, "agentId": agent, "redirectUri": "https://app.example/cb", "credentialFormat": "jwt"});
    app.exchange(&good).await.expect(201);
}

#[actix_web::test]
async fn a_code_expires_on_its_own_clock() {
    let app = TestApp::start().await;
    let agent = app.agent(&[]).await;
    let code = app.code(&agent, json!({})).await;
    app.clock.advance(Lifetime::minutes(10));
    let answer = app.exchange(&json!({"code": code, "agentId": agent})).await;
    assert_eq!(answer.bad_request(), "the code has expired");
}

#[actix_web::test]
async fn a_challenge_asks_for_its_verifier() {
    let app = TestApp::start().await;
    let agent = app.agent(&[]).await;
    let code = app
        .code(
            &agent,
            json!({"codeChallenge": PKCE_CHALLENGE, "codeChallengeMethod": "S256"}),
        )
        .await;
    let exchange = |verifier: Value| {
        let mut body = json!({"code": code, "agentId": agent});
        body.as_object_mut()
            .unwrap()
            .extend(verifier.as_object().unwrap().clone());
        app.post("/v1/token").key(&app.live).json(&body).send()
    };
    exchange(json!({})).await.bad_request();
    exchange(json!({"codeVerifier": "short"})).await.bad_request();
    exchange(json!({"codeVerifier": "a".repeat(43)})).await.bad_request();
    exchange(json!({"codeVerifier": PKCE_VERIFIER})).await.expect(201);

    let without = app.code(&agent, json!({})).await;
    let body = json!({"code": without, "agentId": agent, "codeVerifier": "ignored"});
    app.exchange(&body).await.expect(201);
}

#[actix_web::test]
async fn a_refresh_is_answered_the_same_for_the_same_key() {
    let app = TestApp::start().await;
    let agent = app.agent(&[]).await;
    let tokens = app.tokens(&agent).await;
    app.events();
    let body = json!({"refreshToken": tokens["refreshToken"], "agentId": agent});
    let refresh = |key: &'static str| {
        app.post("/v1/token/refresh")
            .key(&app.live)
            .header("idempotency-key", key)
            .json(&body)
            .send()
    };
    refresh("too short").await.bad_request();
    let first = refresh("0123456789abcdef").await.expect(201);
    assert_eq!(refresh("0123456789abcdef").await.expect(201), first);
    assert_ne!(first["refreshToken"], tokens["refreshToken"]);
    assert_eq!(
        (&first["grantId"], &first["expiresAt"]),
        (&tokens["grantId"], &tokens["expiresAt"])
    );
    refresh("another-key-0123").await.bad_request();
    app.post("/v1/token/refresh")
        .key(&app.live)
        .json(&body)
        .send()
        .await
        .bad_request();
    assert!(app.is_valid(&first["grantToken"]).await);
    let names = app.event_names();
    assert_eq!(
        &names[..3],
        ["token.refresh_rejected", "token.refreshed", "token.refresh_replayed"]
    );
}

#[actix_web::test]
async fn bad_refreshes_are_bad_requests() {
    let app = TestApp::start().await;
    let agent = app.agent(&[]).await;
    let other = app.agent(&[]).await;
    let tokens = app.tokens(&agent).await;
    for body in [
        json!({"refreshToken": tokens["refreshToken"]}),
        json!({"agentId": agent}),
        json!({"refreshToken": tokens["refreshToken"], "agentId": other}),
        json!({"refreshToken": tokens["refreshToken"], "agentId": "nonsense"}),
        json!({"refreshToken": "ref_nonsense", "agentId": agent}),
        json!({"refreshToken": null, "agentId": agent}),
    ] {
        app.post("/v1/token/refresh")
            .key(&app.live)
            .json(&body)
            .send()
            .await
            .bad_request();
    }
    let good = json!({"refreshToken": tokens["refreshToken"], "agentId": agent});
    app.post("/v1/token/refresh")
        .key(&app.live)
        .json(&good)
        .send()
        .await
        .expect(201);
}

#[actix_web::test]
async fn a_good_token_tells_what_it_allows() {
    let app = TestApp::start().await;
    let agent = app.agent(&[]).await;
    let code = app.code(&agent, json!({"audience": "https://api.example"})).await;
    let tokens = app.exchange(&json!({"code": code, "agentId": agent})).await.expect(201);
    let verify = |body: Value| app.post("/v1/tokens/verify").key(&app.live).json(&body).send();
    let expected = json!({
        "valid": true, "grantId": tokens["grantId"], "scopes": ["read", "write"], "principal": "user-1",
        "agent": format!("did:grantex:{agent}"), "expiresAt": "2030-01-03T03:04:05.000Z",
    });
    let token = &tokens["grantToken"];
    assert_eq!(verify(json!({"token": token})).await.expect(200), expected);
    assert_eq!(
        verify(json!({"token": token, "audience": "https://api.example"}))
            .await
            .expect(200),
        expected
    );
    for body in [
        json!({"token": token, "audience": "https://other.example"}),
        json!({"token": "nonsense"}),
        json!({"token": "eyJhbGciOiJub25lIn0.e30."}),
        json!({"token": tokens["refreshToken"]}),
    ] {
        assert_eq!(verify(body).await.expect(200), json!({"valid": false}));
    }
    let foreign = app
        .post("/v1/tokens/verify")
        .key(&app.sandbox)
        .json(&json!({"token": token}))
        .send()
        .await;
    assert_eq!(foreign.expect(200), json!({"valid": false}));
    for body in [
        json!({}),
        json!({"token": ""}),
        json!({"token": null}),
        json!({"token": 1}),
        json!({"token": "a", "audience": null}),
    ] {
        verify(body).await.bad_request();
    }
}

#[actix_web::test]
async fn a_revoked_token_leaves_its_grant() {
    let app = TestApp::start().await;
    let agent = app.agent(&[]).await;
    let tokens = app.tokens(&agent).await;
    let verified = json!({"token": tokens["grantToken"]});
    let claims = app
        .post("/v1/grants/verify")
        .key(&app.live)
        .json(&verified)
        .send()
        .await
        .expect(200)["claims"]
        .clone();
    let revoke = |key: &str| {
        app.post("/v1/tokens/revoke")
            .key(key)
            .json(&json!({"jti": claims["jti"]}))
            .send()
    };
    revoke(&app.sandbox).await.problem(404, "NOT_FOUND");
    let answer = revoke(&app.live).await;
    assert_eq!((answer.status, answer.body.len()), (204, 0));
    revoke(&app.live).await.problem(404, "NOT_FOUND");
    assert!(!app.is_valid(&tokens["grantToken"]).await);
    let grant = app
        .get(&format!("/v1/grants/{}", tokens["grantId"].as_str().unwrap()))
        .key(&app.live)
        .send()
        .await;
    assert_eq!(grant.expect(200)["status"], "active");
    for body in [
        json!({}),
        json!({"jti": ""}),
        json!({"jti": "x".repeat(513)}),
        json!({"jti": [1]}),
    ] {
        app.post("/v1/tokens/revoke")
            .key(&app.live)
            .json(&body)
            .send()
            .await
            .bad_request();
    }
}

#[actix_web::test]
async fn the_status_of_a_token_is_cacheable_for_a_second() {
    let app = TestApp::start().await;
    let agent = app.agent(&[]).await;
    let tokens = app.tokens(&agent).await;
    let grant = tokens["grantId"].as_str().unwrap();
    let path = format!("/v1/revocations/status?grantId={grant}");
    let answer = app.get(&path).key(&app.live).send().await;
    let expected = json!({
        "status": "active", "revoked": false, "grantId": grant, "expiresAt": "2030-01-03T03:04:05.000Z",
        "checkedAt": "2030-01-02T03:04:05.006Z",
    });
    assert_eq!(answer.expect(200), expected);
    assert_eq!(answer.header("cache-control"), Some("private, max-age=1"));
    let tag = answer.header("etag").unwrap();
    assert!(tag.starts_with("W/\""));
    let unchanged = app.get(&path).key(&app.live).header("if-none-match", tag).send().await;
    assert_eq!(
        (unchanged.status, unchanged.body.len(), unchanged.header("etag")),
        (304, 0, Some(tag))
    );

    app.delete(&format!("/v1/grants/{grant}"))
        .key(&app.live)
        .send()
        .await
        .expect(204);
    let revoked = app
        .get(&path)
        .key(&app.live)
        .header("if-none-match", tag)
        .send()
        .await
        .expect(200);
    assert_eq!(
        (&revoked["status"], &revoked["revoked"]),
        (&json!("revoked"), &json!(true))
    );
    let foreign = app.get(&path).key(&app.sandbox).send().await.expect(200);
    assert_eq!(
        (&foreign["status"], &foreign["revoked"], &foreign["expiresAt"]),
        (&json!("unknown"), &json!(true), &json!(null))
    );
}

#[actix_web::test]
async fn a_status_needs_something_to_ask_about() {
    let app = TestApp::start().await;
    for query in ["", "?grantId=", "?x=1", "?jti=%00", "?grantId=%ff"] {
        app.get(&format!("/v1/revocations/status{query}"))
            .key(&app.live)
            .send()
            .await
            .bad_request();
    }
    let long = app
        .get(&format!("/v1/revocations/status?grantId={}", "x".repeat(257)))
        .key(&app.live)
        .send()
        .await;
    assert_eq!(long.bad_request(), "`grantId` must be 1 to 256 characters");
}

#[actix_web::test]
async fn the_longest_token_that_can_be_issued_is_verified() {
    let app = TestApp::start().await;
    let agent = app.agent(&[]).await;
    let scopes: Vec<String> = (0..100)
        .map(|number| format!("{number:03}{}", "\u{1f512}".repeat(253)))
        .collect();
    let code = app.code(&agent, json!({"scopes": scopes})).await;
    let exchange = json!({"code": code, "agentId": agent});
    let tokens = app.exchange(&exchange).await.expect(201);
    assert!(tokens["grantToken"].as_str().unwrap().len() > 65_536);
    assert!(app.is_valid(&tokens["grantToken"]).await);
    let introspected = app
        .post("/v1/introspect")
        .key(&app.live)
        .json(&json!({"token": tokens["grantToken"]}))
        .send()
        .await;
    assert_eq!(introspected.expect(200)["active"], true);
}
