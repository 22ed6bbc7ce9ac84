//! Biscuits on the wire.

use biscuit_auth::{BlockBuilder, UnverifiedBiscuit};
use serde_json::{Value, json};

use crate::support::TestApp;

fn append(token: &Value, datalog: &str) -> String {
    let block = BlockBuilder::new().code(datalog).unwrap();
    let token = UnverifiedBiscuit::from_base64(token.as_str().unwrap()).unwrap();
    token.append(block).unwrap().to_base64().unwrap()
}

async fn issue(app: &TestApp, format: &str) -> Value {
    let agent = app.agent(&[]).await;
    let code = app.code(&agent, json!({"scopes": ["read", "write"]})).await;
    let body = json!({"code": code, "agentId": agent, "tokenFormat": format});
    app.exchange(&body).await.expect(201)
}

async fn ask(app: &TestApp, path: &str, token: &str) -> Value {
    let answer = app
        .post(path)
        .key(&app.live)
        .json(&json!({"token": token}))
        .send()
        .await;
    answer.expect(200)
}

#[actix_web::test]
async fn a_format_is_chosen_at_issuance() {
    let app = TestApp::unlimited().await;
    let biscuit = issue(&app, "biscuit").await;
    assert!(!biscuit["grantToken"].as_str().unwrap().contains('.'));
    assert_eq!(biscuit.get("biscuitToken"), None);
    let both = issue(&app, "both").await;
    assert!(both["grantToken"].as_str().unwrap().contains('.'));
    assert!(app.is_valid(&both["grantToken"]).await);
    assert!(app.is_valid(&both["biscuitToken"]).await);
    let jwt = issue(&app, "jwt").await;
    assert_eq!(jwt.get("biscuitToken"), None);
    let agent = app.agent(&[]).await;
    let body = json!({"code": "code", "agentId": agent, "tokenFormat": "macaroon"});
    let message = app.exchange(&body).await.bad_request();
    assert!(message.contains("tokenFormat"), "{message}");
    let child = json!({
        "parentGrantToken": biscuit["grantToken"], "subAgentId": agent, "scopes": ["read"], "tokenFormat": "both",
    });
    let child = app
        .post("/v1/grants/delegate")
        .key(&app.live)
        .json(&child)
        .send()
        .await
        .expect(201);
    assert!(app.is_valid(&child["biscuitToken"]).await);
    let narrowed = append(&biscuit["grantToken"], "");
    let refused = json!({"parentGrantToken": narrowed, "subAgentId": agent, "scopes": ["read"]});
    let message = app
        .post("/v1/grants/delegate")
        .key(&app.live)
        .json(&refused)
        .send()
        .await
        .bad_request();
    assert!(message.contains("parentGrantToken"), "{message}");
}

#[actix_web::test]
async fn every_question_is_answered_with_the_intersection_and_the_blocks() {
    let app = TestApp::unlimited().await;
    let issued = issue(&app, "biscuit").await;
    let token = append(
        &issued["grantToken"],
        r#"check if operation("read"); check if audience("api"); check if spend($n, "EUR"), $n <= 500; agent("did:web:sub");"#,
    );
    let found = ask(&app, "/v1/tokens/verify", &token).await;
    assert_eq!(found["valid"], true);
    assert_eq!(found["scopes"], json!(["read"]));
    assert_eq!(found["agent"], "did:web:sub");
    assert_eq!(found["tokenFormat"], "biscuit");
    assert_eq!(found["audience"], "api");
    assert_eq!(found["spendingCeilings"], json!([{"currency": "EUR", "amount": 500}]));
    assert_eq!(found["delegationDepth"], 1);
    let blocks = found["blocks"].as_array().unwrap();
    assert_eq!(blocks.len(), 2);
    assert_eq!(blocks[0]["scopes"], json!(["read", "write"]));
    assert_eq!(blocks[1]["scopes"], json!(["read"]));
    let claims = ask(&app, "/v1/grants/verify", &token).await["claims"].clone();
    assert_eq!(
        (&claims["scope"], &claims["grnt"]),
        (&json!("read"), &issued["grantId"])
    );
    assert_eq!(claims["blocks"], found["blocks"]);
    let told = ask(&app, "/v1/introspect", &token).await;
    assert_eq!(
        (&told["active"], &told["scope"], &told["aud"]),
        (&json!(true), &json!("read"), &json!("api"))
    );
    assert_eq!(told["blocks"], found["blocks"]);
}

#[actix_web::test]
async fn a_block_is_revoked_by_its_id() {
    let app = TestApp::unlimited().await;
    let issued = issue(&app, "biscuit").await;
    let token = append(&issued["grantToken"], "");
    let below = append(&json!(token), "");
    let found = ask(&app, "/v1/tokens/verify", &token).await;
    let id = found["blocks"][1]["revocationId"].clone();
    let revoke = async |body: Value| app.post("/v1/tokens/revoke").key(&app.live).json(&body).send().await;
    for body in [
        json!({}),
        json!({"revocationId": "ab"}),
        json!({"revocationId": "zz".repeat(64)}),
        json!({"revocationId": id, "jti": "tok_x"}),
    ] {
        revoke(body).await.bad_request();
    }
    assert!(app.is_valid(&json!(below)).await);
    revoke(json!({"revocationId": id})).await.expect(204);
    revoke(json!({"revocationId": id})).await.expect(204);
    assert!(!app.is_valid(&json!(token)).await);
    assert!(!app.is_valid(&json!(below)).await);
    assert!(app.is_valid(&issued["grantToken"]).await);
    let body = json!({"token": issued["grantToken"]});
    app.post("/v1/revoke")
        .key(&app.live)
        .json(&body)
        .send()
        .await
        .expect(200);
    assert!(!app.is_valid(&issued["grantToken"]).await);
}

#[actix_web::test]
async fn a_hostile_biscuit_is_refused_like_any_bad_token() {
    let app = TestApp::unlimited().await;
    let issued = issue(&app, "biscuit").await;
    let slow = append(
        &issued["grantToken"],
        r#"check if scope($a), scope($b), scope($c), scope($d), scope($e), $a == "z"; check if operation($o), $o.matches("(a*)*b");"#,
    );
    let wide = append(&issued["grantToken"], r#"scope("admin");"#);
    let deep = (0..40).fold(issued["grantToken"].clone(), |token, _| json!(append(&token, "")));
    for token in [json!(slow), json!(wide), deep, json!("A".repeat(200_000))] {
        let body = json!({"token": token});
        let answer = app.post("/v1/grants/verify").key(&app.live).json(&body).send().await;
        assert!(answer.bad_request().contains("token"));
        assert_eq!(
            ask(&app, "/v1/tokens/verify", token.as_str().unwrap()).await,
            json!({"valid": false})
        );
        assert_eq!(
            ask(&app, "/v1/introspect", token.as_str().unwrap()).await,
            json!({"active": false})
        );
    }
}
