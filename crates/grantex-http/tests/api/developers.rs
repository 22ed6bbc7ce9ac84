use serde_json::json;

use crate::support::TestApp;

#[actix_web::test]
async fn a_signup_makes_a_working_account() {
    let app = TestApp::start().await;
    let body = json!({"name": " Acme ", "email": " Boss@ACME.example ", "mode": "sandbox"});
    let account = app.post("/v1/signup").json(&body).send().await.expect(201);
    let key = account["apiKey"].as_str().unwrap();
    assert!(key.starts_with("gx_test_") && key.len() == 51);
    let expected = json!({
        "developerId": account["developerId"], "apiKey": key, "name": "Acme", "email": "boss@acme.example", "mode": "sandbox",
        "createdAt": "2030-01-02T03:04:05.006Z",
    });
    assert_eq!(account, expected);
    let profile = json!({
        "developerId": account["developerId"], "name": "Acme", "email": "boss@acme.example", "mode": "sandbox",
        "plan": "enterprise", "fidoRequired": false, "fidoRpName": null, "createdAt": "2030-01-02T03:04:05.006Z",
    });
    assert_eq!(app.get("/v1/me").key(key).send().await.expect(200), profile);
    let again = app
        .post("/v1/signup")
        .json(&json!({"name": "B", "email": "BOSS@acme.example"}))
        .send()
        .await;
    again.problem(409, "CONFLICT");
}

#[actix_web::test]
async fn an_account_needs_no_address() {
    let app = TestApp::start().await;
    for body in [json!({"name": "A"}), json!({"name": "A", "email": null})] {
        let account = app.post("/v1/signup").json(&body).send().await.expect(201);
        assert_eq!((&account["email"], &account["mode"]), (&json!(null), &json!("live")));
    }
}

#[actix_web::test]
async fn bad_signups_are_refused_by_field() {
    let app = TestApp::unlimited().await;
    for (body, field) in [
        (json!({}), "name"),
        (json!({"name": ""}), "name"),
        (json!({"name": "\t "}), "name"),
        (json!({"name": ["a"]}), "name"),
        (json!({"name": "x".repeat(201)}), "name"),
        (json!({"name": "a", "email": ""}), "email"),
        (json!({"name": "a", "email": "a@b"}), "email"),
        (json!({"name": "a", "email": "a@b@c.d"}), "email"),
        (json!({"name": "a", "email": "a b@c.d"}), "email"),
        (json!({"name": "a", "email": "a@.d"}), "email"),
        (
            json!({"name": "a", "email": format!("{}@b.example", "x".repeat(250))}),
            "email",
        ),
        (json!({"name": "a", "email": 1}), "email"),
        (json!({"name": "a", "mode": "test"}), "mode"),
        (json!({"name": "a", "mode": null}), "mode"),
    ] {
        let message = app.post("/v1/signup").json(&body).send().await.bad_request();
        assert!(message.starts_with(&format!("`{field}` ")), "{body}: {message}");
    }
    assert!(app.events().is_empty());
}

#[actix_web::test]
async fn settings_are_changed_one_at_a_time() {
    let app = TestApp::start().await;
    let ask = |body| app.patch("/v1/me").key(&app.live).json(&body).send();
    let updated = ask(json!({"fidoRpName": "Acme login"})).await.expect(200);
    assert_eq!(
        (&updated["updated"], &updated["fidoRpName"]),
        (&json!(true), &json!("Acme login"))
    );
    assert_eq!(
        app.get("/v1/me").key(&app.live).send().await.expect(200)["fidoRpName"],
        "Acme login"
    );
    assert_eq!(ask(json!({"fidoRequired": false})).await.expect(200)["updated"], true);
    assert_eq!(
        ask(json!({"fidoRequired": true})).await.bad_request(),
        "`fidoRequired` is not served by this server"
    );
    for body in [
        json!({}),
        json!({"fidoRpName": null}),
        json!({"fidoRpName": " "}),
        json!({"fidoRequired": "no"}),
    ] {
        ask(body).await.bad_request();
    }
}

#[actix_web::test]
async fn a_rotated_key_stops_working_at_once() {
    let app = TestApp::start().await;
    let rotated = app.post("/v1/keys/rotate").key(&app.live).send().await.expect(200);
    assert_eq!(rotated["rotatedAt"], "2030-01-02T03:04:05.006Z");
    app.get("/v1/me")
        .key(&app.live)
        .send()
        .await
        .problem(401, "UNAUTHORIZED");
    app.get("/v1/me")
        .key(rotated["apiKey"].as_str().unwrap())
        .send()
        .await
        .expect(200);
}
