//! Webhook endpoints and deliveries over HTTP.

use grantex_core::clock::Lifetime;
use serde_json::{Value, json};

use crate::support::TestApp;

const URL: &str = "https://receiver.example/hook";

async fn create(app: &TestApp, extra: Value) -> Value {
    let mut body = json!({"url": URL, "events": ["*"]});
    body.as_object_mut().unwrap().extend(extra.as_object().unwrap().clone());
    app.post("/v1/webhooks")
        .key(&app.live)
        .json(&body)
        .send()
        .await
        .expect(201)
}

fn path(webhook: &Value, rest: &str) -> String {
    format!("/v1/webhooks/{}{rest}", webhook["id"].as_str().unwrap())
}

#[actix_web::test]
async fn a_webhook_is_made_shown_changed_and_deleted() {
    let app = TestApp::start().await;
    let mut made = create(
        &app,
        json!({"description": "alerts", "events": ["grant.*", "token.issued"]}),
    )
    .await;
    let secret = made.as_object_mut().unwrap().remove("secret").unwrap();
    assert_eq!(secret.as_str().unwrap().len(), 48);
    let mut expected = json!({
        "id": made["id"], "url": URL, "events": ["grant.*", "token.issued"], "description": "alerts", "status": "active",
        "disabledReason": null, "failingSince": null, "previousSecretUntil": null,
        "createdAt": "2030-01-02T03:04:05.006Z", "updatedAt": "2030-01-02T03:04:05.006Z",
    });
    assert_eq!(made, expected);
    assert_eq!(
        app.get(&path(&made, "")).key(&app.live).send().await.expect(200),
        expected
    );
    let list = app.get("/v1/webhooks").key(&app.live).send().await.expect(200);
    assert_eq!(list, json!({"webhooks": [expected]}));

    app.clock.advance(Lifetime::seconds(1));
    let changes = json!({"url": "https://receiver.example/new", "events": ["*"], "description": ""});
    let changed = app
        .patch(&path(&made, ""))
        .key(&app.live)
        .json(&changes)
        .send()
        .await
        .expect(200);
    expected["url"] = json!("https://receiver.example/new");
    expected["events"] = json!(["*"]);
    expected["description"] = Value::Null;
    expected["updatedAt"] = json!("2030-01-02T03:04:06.006Z");
    assert_eq!(changed, expected);

    let answer = app.delete(&path(&made, "")).key(&app.live).send().await;
    assert_eq!((answer.status, answer.body.len()), (204, 0));
    for (method, rest) in [
        ("GET", ""),
        ("DELETE", ""),
        ("POST", "/pause"),
        ("POST", "/resume"),
        ("POST", "/secret"),
        ("POST", "/test"),
        ("GET", "/stats"),
        ("GET", "/deliveries"),
    ] {
        let answer = app.ask(method, &path(&made, rest)).key(&app.live).send().await;
        answer.problem(404, "NOT_FOUND");
    }
}

#[actix_web::test]
async fn a_secret_of_ones_own_is_used_and_shown_once() {
    let app = TestApp::start().await;
    let made = create(&app, json!({"secret": "0123456789abcdef"})).await;
    assert_eq!(made["secret"], "0123456789abcdef");
    let shown = app.get(&path(&made, "")).key(&app.live).send().await;
    assert!(!String::from_utf8_lossy(&shown.body).contains("0123456789abcdef"));
    for secret in [json!("short"), json!("x".repeat(257)), json!(7), Value::Null] {
        let body = json!({"url": URL, "events": ["*"], "secret": secret});
        let answer = app.post("/v1/webhooks").key(&app.live).json(&body).send().await;
        let problem = answer.problem(400, "BAD_REQUEST");
        assert!(problem.starts_with("`secret`"), "{problem}");
        assert!(!problem.contains("xxxx"), "a refused secret is not repeated");
    }
}

#[actix_web::test]
async fn a_bad_wish_names_its_field_and_makes_nothing() {
    let app = TestApp::start().await;
    for (body, field) in [
        (json!({"events": ["*"]}), "url"),
        (json!({"url": URL}), "events"),
        (json!({"url": URL, "events": []}), "events"),
        (
            json!({"url": URL, "events": ["grant.created", "grant.vanished"]}),
            "events",
        ),
        (json!({"url": URL, "events": "*"}), "events"),
        (json!({"url": URL, "events": [null]}), "events"),
        (json!({"url": "http://receiver.example/", "events": ["*"]}), "url"),
        (json!({"url": "https://127.0.0.1/", "events": ["*"]}), "url"),
        (json!({"url": "", "events": ["*"]}), "url"),
        (
            json!({"url": format!("https://receiver.example/{}", "x".repeat(2_048)), "events": ["*"]}),
            "url",
        ),
        (
            json!({"url": URL, "events": ["*"], "description": "x".repeat(257)}),
            "description",
        ),
    ] {
        let answer = app.post("/v1/webhooks").key(&app.live).json(&body).send().await;
        let problem = answer.problem(400, "BAD_REQUEST");
        assert!(problem.starts_with(&format!("`{field}")), "{body}: {problem}");
    }
    let list = app.get("/v1/webhooks").key(&app.live).send().await.expect(200);
    assert_eq!(list, json!({"webhooks": []}));
    let told = app
        .post("/v1/webhooks")
        .key(&app.live)
        .json(&json!({"url": URL, "events": ["nope"]}))
        .send()
        .await
        .problem(400, "BAD_REQUEST");
    for kind in ["grant.created", "grant.revoked", "token.issued", "anomaly.detected"] {
        assert!(told.contains(kind), "{told}");
    }
    let made = create(&app, json!({})).await;
    app.patch(&path(&made, ""))
        .key(&app.live)
        .json(&json!({}))
        .send()
        .await
        .problem(400, "BAD_REQUEST");
}

#[actix_web::test]
async fn what_protocol_suites_ask_for_is_accepted() {
    let app = TestApp::start().await;
    let body =
        json!({"url": "https://example.com/webhook", "events": ["grant.created", "grant.revoked", "token.issued"]});
    let made = app
        .post("/v1/webhooks")
        .key(&app.live)
        .json(&body)
        .send()
        .await
        .expect(201);
    assert!(made["secret"].is_string() && made["createdAt"].is_string());
}

#[actix_web::test]
async fn webhooks_of_others_do_not_exist() {
    let app = TestApp::start().await;
    let made = create(&app, json!({})).await;
    for (method, rest) in [
        ("GET", ""),
        ("DELETE", ""),
        ("POST", "/test"),
        ("GET", "/deliveries"),
        ("GET", "/stats"),
    ] {
        for path in [path(&made, rest), format!("/v1/webhooks/nonsense{rest}")] {
            let answer = app.ask(method, &path).key(&app.sandbox).send().await;
            answer.problem(404, "NOT_FOUND");
        }
    }
    assert_eq!(app.get(&path(&made, "")).key(&app.live).send().await.status, 200);
}

#[actix_web::test]
async fn deliveries_are_listed_shown_and_counted() {
    let app = TestApp::start().await;
    let made = create(&app, json!({})).await;
    let agent = app.agent(&[]).await;
    let tokens = app.tokens(&agent).await;
    let list = app
        .get(&path(&made, "/deliveries"))
        .key(&app.live)
        .send()
        .await
        .expect(200);
    assert_eq!(
        (&list["total"], &list["page"], &list["pageSize"]),
        (&json!(2), &json!(1), &json!(20))
    );
    let deliveries = list["deliveries"].as_array().unwrap();
    let kinds: Vec<&Value> = deliveries.iter().map(|delivery| &delivery["eventType"]).collect();
    assert_eq!(
        kinds,
        ["token.issued", "grant.created"],
        "those of the newest events first"
    );
    let newest = deliveries[0].clone();
    let expected = json!({
        "id": newest["id"], "webhookId": made["id"], "eventId": newest["eventId"], "eventType": "token.issued",
        "status": "pending", "attempts": 0, "maxAttempts": 10, "url": URL, "lastStatusCode": null, "lastError": null,
        "nextAttemptAt": "2030-01-02T03:04:05.006Z", "createdAt": "2030-01-02T03:04:05.006Z", "deliveredAt": null,
        "failedAt": null,
    });
    assert_eq!(newest, expected);
    let delivery = path(&made, &format!("/deliveries/{}", newest["id"].as_str().unwrap()));
    let mut shown = app.get(&delivery).key(&app.live).send().await.expect(200);
    let event = shown.as_object_mut().unwrap().remove("event").unwrap();
    assert_eq!(shown, expected);
    assert_eq!(
        (&event["id"], &event["type"]),
        (&newest["eventId"], &json!("token.issued"))
    );
    assert_eq!(event["data"]["grantId"], tokens["grantId"]);

    for (query, count) in [
        ("status=pending", 2),
        ("status=delivered", 0),
        ("status=failed", 0),
        ("page=2", 0),
        ("pageSize=1", 1),
    ] {
        let list = app
            .get(&path(&made, &format!("/deliveries?{query}")))
            .key(&app.live)
            .send()
            .await
            .expect(200);
        assert_eq!(list["deliveries"].as_array().unwrap().len(), count, "{query}");
    }
    for (query, field) in [
        ("status=lost", "status"),
        ("page=0", "page"),
        ("pageSize=x", "pageSize"),
        ("cursor=!", "cursor"),
    ] {
        let answer = app
            .get(&path(&made, &format!("/deliveries?{query}")))
            .key(&app.live)
            .send()
            .await;
        let problem = answer.problem(400, "BAD_REQUEST");
        assert!(problem.starts_with(&format!("`{field}`")), "{problem}");
    }
    let stats = app.get(&path(&made, "/stats")).key(&app.live).send().await.expect(200);
    let expected = json!({
        "webhookId": made["id"], "status": "active", "breaker": "closed", "resumesAt": null, "consecutiveFailures": 0,
        "failingSince": null, "lastSuccessAt": null, "lastFailureAt": null, "delivered": 0, "retried": 0, "failed": 0,
        "pending": 2, "oldestPendingAt": "2030-01-02T03:04:05.006Z",
    });
    assert_eq!(stats, expected);
}

#[actix_web::test]
async fn pausing_resuming_testing_and_rotating_answer_with_what_is_then_true() {
    let app = TestApp::start().await;
    let made = create(&app, json!({"events": ["grant.created"]})).await;
    let post = async |rest: &str| app.post(&path(&made, rest)).key(&app.live).send().await;
    assert_eq!(post("/pause").await.expect(200)["status"], "paused");
    assert_eq!(post("/resume").await.expect(200)["status"], "active");
    assert_eq!(post("/test").await.expect(202), json!({"accepted": true}));
    let list = app
        .get(&path(&made, "/deliveries"))
        .key(&app.live)
        .send()
        .await
        .expect(200);
    assert_eq!(list["deliveries"][0]["eventType"], "webhook.test");

    let rotated = post("/secret").await.expect(200);
    assert_ne!(rotated["secret"], made["secret"]);
    assert_eq!(rotated["previousSecretUntil"], "2030-01-03T03:04:05.006Z");
    let body = json!({"secret": "fedcba9876543210", "overlap": "0s"});
    let rotated = app
        .post(&path(&made, "/secret"))
        .key(&app.live)
        .json(&body)
        .send()
        .await
        .expect(200);
    assert_eq!(
        (&rotated["secret"], &rotated["previousSecretUntil"]),
        (&json!("fedcba9876543210"), &json!("2030-01-02T03:04:05.006Z"))
    );
    for overlap in ["31d", "soon", "-1s", ""] {
        let body = json!({"overlap": overlap});
        let answer = app
            .post(&path(&made, "/secret"))
            .key(&app.live)
            .json(&body)
            .send()
            .await;
        assert!(answer.problem(400, "BAD_REQUEST").starts_with("`overlap`"));
    }
    let messages: Vec<&str> = app.event_names();
    assert_eq!(
        messages,
        [
            "webhook.changed",
            "webhook.changed",
            "webhook.changed",
            "webhook.tested",
            "webhook.changed",
            "webhook.changed"
        ]
    );
}

#[actix_web::test]
async fn only_what_has_ended_is_sent_again() {
    let app = TestApp::start().await;
    let made = create(&app, json!({})).await;
    let agent = app.agent(&[]).await;
    app.tokens(&agent).await;
    let list = app
        .get(&path(&made, "/deliveries"))
        .key(&app.live)
        .send()
        .await
        .expect(200);
    let id = list["deliveries"][0]["id"].as_str().unwrap();
    let redeliver = path(&made, &format!("/deliveries/{id}/redeliver"));
    app.post(&redeliver)
        .key(&app.live)
        .send()
        .await
        .problem(409, "CONFLICT");
    app.post(&redeliver)
        .key(&app.sandbox)
        .send()
        .await
        .problem(404, "NOT_FOUND");
    let unknown = path(&made, "/deliveries/whd_01ARZ3NDEKTSV4RRFFQ69G5FAV/redeliver");
    app.post(&unknown).key(&app.live).send().await.problem(404, "NOT_FOUND");
    let recover = async |body: Value| {
        app.post(&path(&made, "/recover"))
            .key(&app.live)
            .json(&body)
            .send()
            .await
    };
    let nothing = json!({"failed": 0, "missing": 0, "partial": false});
    assert_eq!(
        recover(json!({"since": "2030-01-01T00:00:00Z"})).await.expect(202),
        nothing
    );
    for body in [json!({}), json!({"since": "yesterday"}), json!({"since": 5})] {
        let problem = recover(body).await.problem(400, "BAD_REQUEST");
        assert!(problem.starts_with("`since`"), "{problem}");
    }
    let later = create(&app, json!({"events": ["grant.created"]})).await;
    let answer = app
        .post(&path(&later, "/recover"))
        .key(&app.live)
        .json(&json!({"since": "2030-01-01T00:00:00Z"}))
        .send()
        .await;
    assert_eq!(answer.expect(202), json!({"failed": 0, "missing": 1, "partial": false}));
}

#[actix_web::test]
async fn a_server_without_webhooks_says_so() {
    let app = TestApp::without_webhooks().await;
    let body = json!({"url": URL, "events": ["*"]});
    let answer = app.post("/v1/webhooks").key(&app.live).json(&body).send().await;
    answer.problem(503, "SERVICE_UNAVAILABLE");
}
