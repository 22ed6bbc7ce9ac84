//! Bundles over the API, in a language of one word (see the support's engine).

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Value, json};

use crate::support::{Answer, TestApp};

fn bundle(content: &str) -> Value {
    json!({"format": "cedar", "version": "v1", "content": STANDARD.encode(content)})
}

impl TestApp {
    async fn sync(&self, body: &Value) -> Answer {
        self.post("/v1/policies/sync").key(&self.live).json(body).send().await
    }

    async fn active(&self, format: &str) -> Answer {
        let path = format!("/v1/policies/bundles/active?format={format}");
        self.get(&path).key(&self.live).send().await
    }
}

#[actix_web::test]
async fn a_bundle_is_stored_put_in_force_and_served() {
    let app = TestApp::start().await;
    let synced = app.sync(&bundle("deny")).await.expect(201);
    let id = synced["bundleId"].as_str().unwrap();
    let sha256 = grantex_core::secret::SecretHash::of("deny").as_str().to_owned();
    let expected = json!({
        "bundleId": id, "format": "cedar", "version": "v1", "sha256": sha256, "fileCount": 1, "activated": true, "evaluated": true,
    });
    assert_eq!(synced, expected);
    let active = app.active("cedar").await.expect(200);
    let expected = json!({
        "id": id, "developerId": active["developerId"], "format": "cedar", "version": "v1", "sha256": sha256, "fileCount": 1,
        "active": true, "evaluated": true, "createdAt": "2030-01-02T03:04:05.006Z", "uploadedAt": "2030-01-02T03:04:05.006Z",
    });
    assert_eq!(active, expected);

    let agent = app.agent(&[]).await;
    let ask = json!({"agentId": agent, "principalId": "user-1", "scopes": ["read"]});
    let refused = app
        .post("/v1/authorize")
        .key(&app.live)
        .json(&ask)
        .send()
        .await
        .expect(403);
    assert_eq!(
        (&refused["code"], &refused["policyId"], &refused["message"]),
        (
            &json!("POLICY_DENIED"),
            &json!(format!("{id}/word")),
            &json!("a policy denies this request: rule word of bundle v1")
        )
    );
    let told = app
        .post("/v1/policies/simulate")
        .key(&app.live)
        .json(&ask)
        .send()
        .await
        .expect(200);
    let trace = json!({"bundleId": id, "version": "v1", "decision": "deny", "rules": ["word"], "failures": []});
    assert_eq!(told["bundle"], trace);

    app.clock.advance(grantex_core::clock::Lifetime::seconds(1));
    let mut rego = json!({"format": "rego", "version": "v2", "content": "/w==", "fileCount": 12, "activate": false});
    let synced = app.sync(&rego).await.expect(201);
    assert_eq!(
        (&synced["activated"], &synced["evaluated"], &synced["fileCount"]),
        (&json!(false), &json!(false), &json!(12))
    );
    app.active("rego").await.problem(404, "NOT_FOUND");
    rego["activate"] = json!(true);
    app.sync(&rego).await.expect(201);
    app.active("rego").await.expect(200);
    let formats = async |query: &str| -> Vec<String> {
        let listed = app
            .get(&format!("/v1/policies/bundles{query}"))
            .key(&app.live)
            .send()
            .await
            .expect(200);
        let bundles = listed["bundles"].as_array().unwrap();
        bundles
            .iter()
            .map(|bundle| bundle["format"].as_str().unwrap().to_owned())
            .collect()
    };
    assert_eq!(formats("").await, ["rego", "rego", "cedar"]);
    assert_eq!(formats("?format=cedar").await, ["cedar"]);
    let foreign = app
        .get("/v1/policies/bundles")
        .key(&app.sandbox)
        .send()
        .await
        .expect(200);
    assert_eq!(foreign, json!({"bundles": []}));
}

#[actix_web::test]
async fn a_bundle_that_cannot_be_evaluated_is_refused_and_changes_nothing() {
    let app = TestApp::unlimited().await;
    let before = app.sync(&bundle("allow")).await.expect(201);
    app.events();
    let message = app.sync(&bundle("perhaps")).await.bad_request();
    assert_eq!(message, "`content` cannot be evaluated: line 1, column 1: no such word");
    let with = |name: &str, value: Value| {
        let mut body = bundle("deny");
        body[name] = value;
        body
    };
    for (body, field) in [
        (json!({}), "format"),
        (with("format", json!("yaml")), "format"),
        (with("format", json!(null)), "format"),
        (with("version", json!("")), "version"),
        (with("version", json!("x".repeat(129))), "version"),
        (with("content", json!("deny")), "content"),
        (with("content", json!("ZGVueQ")), "content"),
        (with("content", json!("")), "content"),
        (with("content", json!("/w==")), "content"),
        (
            with("content", json!(STANDARD.encode(vec![b' '; 256 * 1024 + 1]))),
            "content",
        ),
        (with("fileCount", json!(0)), "fileCount"),
        (with("fileCount", json!(10_001)), "fileCount"),
        (with("fileCount", json!(-1)), "fileCount"),
        (with("activate", json!("yes")), "activate"),
    ] {
        let message = app.sync(&body).await.bad_request();
        assert!(message.starts_with(&format!("`{field}` ")), "{message}");
    }
    assert_eq!(app.active("cedar").await.expect(200)["id"], before["bundleId"]);
    assert_eq!(app.event_names(), [""; 0]);
    for path in [
        "/v1/policies/bundles/active",
        "/v1/policies/bundles?format=x",
        "/v1/policies/bundles/active?format=",
    ] {
        let message = app.get(path).key(&app.live).send().await.bad_request();
        assert!(message.starts_with("`format` "), "{message}");
    }
}

#[actix_web::test]
async fn a_bundle_is_validated_with_positions() {
    let app = TestApp::start().await;
    let validate = async |body: Value| {
        app.post("/v1/policies/validate")
            .key(&app.live)
            .json(&body)
            .send()
            .await
            .expect(200)
    };
    let content = |text: &str| json!({"format": "cedar", "content": STANDARD.encode(text)});
    assert_eq!(validate(content("deny")).await, json!({"valid": true, "problems": []}));
    let problem = json!({"severity": "error", "field": null, "line": 1, "column": 1, "message": "no such word"});
    assert_eq!(
        validate(content("perhaps")).await,
        json!({"valid": false, "problems": [problem]})
    );
    let told = validate(json!({"format": "rego", "content": "/w=="})).await;
    assert_eq!(
        (&told["valid"], &told["problems"][0]["severity"]),
        (&json!(true), &json!("warning"))
    );
}
