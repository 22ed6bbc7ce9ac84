use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Value, json};

use crate::support::{Answer, TestApp};

fn basic(user: &str, password: &str) -> String {
    format!("Basic {}", STANDARD.encode(format!("{user}:{password}")))
}

async fn token(app: &TestApp, form: &str) -> Answer {
    app.post("/v1/token").key(&app.live).form(form).send().await
}

#[actix_web::test]
async fn the_token_endpoint_speaks_oauth() {
    let app = TestApp::start().await;
    let agent = app.agent(&[]).await;
    let code = app.code(&agent, json!({"redirectUri": "https://app.example/cb"})).await;
    let form = format!("grant_type=authorization_code&code={code}&redirect_uri=https%3A%2F%2Fapp.example%2Fcb");
    let answer = app
        .post("/v1/token")
        .header("authorization", &basic(&agent, &app.live))
        .form(&form)
        .send()
        .await;
    let issued = answer.expect(200);
    let expected = json!({
        "access_token": issued["access_token"], "token_type": "Bearer", "expires_in": 86399, "refresh_token": issued["refresh_token"],
        "scope": "read write",
    });
    assert_eq!(
        (issued, answer.header("cache-control")),
        (expected.clone(), Some("no-store"))
    );
    assert!(app.is_valid(&expected["access_token"]).await);
    let refresh = expected["refresh_token"].as_str().unwrap();
    let refreshed = token(
        &app,
        &format!("grant_type=refresh_token&refresh_token={refresh}&client_id={agent}"),
    )
    .await
    .expect(200);
    assert_ne!(refreshed["refresh_token"], expected["refresh_token"]);
}

#[actix_web::test]
async fn oauth_refusals_carry_their_names() {
    let app = TestApp::start().await;
    let agent = app.agent(&[]).await;
    for (form, error) in [
        (
            format!("grant_type=authorization_code&code=nonsense&client_id={agent}"),
            "invalid_grant",
        ),
        (
            format!("grant_type=refresh_token&refresh_token=ref_x&client_id={agent}"),
            "invalid_grant",
        ),
        (
            format!("grant_type=password&client_id={agent}"),
            "unsupported_grant_type",
        ),
        (format!("code=x&client_id={agent}"), "invalid_request"),
        ("grant_type=authorization_code&code=x".into(), "invalid_request"),
        (
            format!("grant_type=authorization_code&client_id={agent}"),
            "invalid_request",
        ),
        (
            "grant_type=refresh_token&grant_type=refresh_token".into(),
            "invalid_request",
        ),
        ("grant_type=%00".into(), "invalid_request"),
    ] {
        let answer = token(&app, &form).await;
        let message = answer.bad_request();
        let body = answer.value();
        assert_eq!(
            (&body["error"], &body["error_description"]),
            (&json!(error), &json!(message)),
            "{form}"
        );
    }
    let bad = app
        .post("/v1/introspect")
        .header("authorization", &basic("x", "gx_live_wrong_wrong_wrong"))
        .form("token=a")
        .send()
        .await;
    bad.problem(401, "UNAUTHORIZED");
    assert_eq!(
        (bad.value()["error"].as_str(), bad.header("www-authenticate")),
        (Some("invalid_client"), Some("Basic realm=\"grantex\""))
    );
    let plain = app.get("/v1/me").key("gx_live_wrong_wrong_wrong").send().await;
    assert_eq!((plain.status, plain.header("www-authenticate")), (401, None));
}

#[actix_web::test]
async fn a_presented_token_is_introspected() {
    let app = TestApp::start().await;
    let agent = app.agent(&[]).await;
    let tokens = app.tokens(&agent).await;
    let ask = |token: &Value| {
        let form = format!("token={}&token_type_hint=whatever", token.as_str().unwrap());
        app.post("/v1/introspect")
            .header("authorization", &basic(&agent, &app.live))
            .form(&form)
            .send()
    };
    let access = ask(&tokens["grantToken"]).await.expect(200);
    assert_eq!(
        (&access["active"], &access["token_type"], &access["client_id"]),
        (&json!(true), &json!("Bearer"), &json!(agent))
    );
    assert_eq!(
        (&access["scope"], &access["sub"], &access["exp"]),
        (&json!("read write"), &json!("user-1"), &json!(1_893_639_845))
    );
    let refresh = ask(&tokens["refreshToken"]).await.expect(200);
    let expected = json!({
        "active": true, "token_type": "refresh_token", "iss": "https://auth.example", "sub": "user-1", "client_id": agent,
        "scope": "read write", "iat": 1_893_553_445, "exp": refresh["exp"],
    });
    assert_eq!(refresh, expected);
    assert_eq!(ask(&json!("nonsense")).await.expect(200), json!({"active": false}));
    let foreign = app
        .post("/v1/introspect")
        .key(&app.sandbox)
        .json(&json!({"token": tokens["grantToken"]}))
        .send()
        .await;
    assert_eq!(foreign.expect(200), json!({"active": false}));
    for body in [json!({}), json!({"token": null}), json!({"token": ""})] {
        app.post("/v1/introspect")
            .key(&app.live)
            .json(&body)
            .send()
            .await
            .bad_request();
    }
    app.post("/v1/introspect").key(&app.live).send().await.bad_request();
}

#[actix_web::test]
async fn a_presented_token_is_revoked() {
    let app = TestApp::start().await;
    let agent = app.agent(&[]).await;
    let (first, second) = (app.tokens(&agent).await, app.tokens(&agent).await);
    let revoke = |key: &str, token: &Value| {
        app.post("/v1/revoke")
            .key(key)
            .form(&format!("token={}", token.as_str().unwrap()))
            .send()
    };
    assert_eq!(
        revoke(&app.sandbox, &first["refreshToken"]).await.expect(200),
        json!({})
    );
    assert!(app.is_valid(&first["grantToken"]).await, "nobody revokes for others");
    assert_eq!(revoke(&app.live, &first["grantToken"]).await.expect(200), json!({}));
    assert_eq!(revoke(&app.live, &first["grantToken"]).await.expect(200), json!({}));
    assert_eq!(revoke(&app.live, &json!("nonsense")).await.expect(200), json!({}));
    assert!(!app.is_valid(&first["grantToken"]).await);
    let shown = app
        .get(&format!("/v1/grants/{}", first["grantId"].as_str().unwrap()))
        .key(&app.live)
        .send()
        .await
        .expect(200);
    assert_eq!(shown["status"], "active", "an access token takes nothing along");
    revoke(&app.live, &second["refreshToken"]).await.expect(200);
    let shown = app
        .get(&format!("/v1/grants/{}", second["grantId"].as_str().unwrap()))
        .key(&app.live)
        .send()
        .await
        .expect(200);
    assert_eq!(shown["status"], "revoked");
}
