//! Channels for anomalies over HTTP.

use std::time::Duration;

use serde_json::{Value, json};

use crate::support::{Answer, TestApp};

const PATH: &str = "/v1/anomaly/channels";
const SLACK: &str = "https://hooks.slack.example/services/T0/B0/hidden";
const KEY: &str = "0123456789abcdef0123456789abcdef";

fn wish(kind: &str, config: Value) -> Value {
    json!({"type": kind, "name": "On call", "config": config})
}

async fn create(app: &TestApp, body: &Value) -> Answer {
    app.post(PATH).key(&app.live).json(body).send().await
}

async fn list(app: &TestApp) -> Value {
    app.get(PATH).key(&app.live).send().await.expect(200)
}

fn path(channel: &Value, rest: &str) -> String {
    format!("{PATH}/{}{rest}", channel["id"].as_str().unwrap())
}

#[actix_web::test]
async fn a_channel_is_made_shown_changed_and_removed() {
    let app = TestApp::start().await;
    let made = create(&app, &wish("slack", json!({"webhookUrl": SLACK})))
        .await
        .expect(201);
    let mut expected = json!({
        "id": made["id"], "type": "slack", "name": "On call", "config": {"webhookUrl": "https://hooks.slack.example/[redacted]"},
        "severities": ["critical", "high"], "enabled": true, "disabledReason": null, "delivered": 0, "failed": 0,
        "lastSuccessAt": null, "lastFailureAt": null, "createdAt": "2030-01-02T03:04:05.006Z",
    });
    assert!(made["id"].as_str().unwrap().starts_with("achan_"));
    assert_eq!(made, expected);
    assert_eq!(list(&app).await, json!({"channels": [expected]}));
    let changes = json!({"enabled": false, "name": "Night", "severities": ["low", "critical"]});
    let changed = app.patch(&path(&made, "")).key(&app.live).json(&changes).send().await;
    expected["enabled"] = json!(false);
    expected["name"] = json!("Night");
    expected["severities"] = json!(["critical", "low"]);
    assert_eq!(changed.expect(200), expected);
    for (method, rest) in [("DELETE", ""), ("POST", "/test")] {
        let answer = app.ask(method, &path(&made, rest)).key(&app.sandbox).send().await;
        answer.problem(404, "NOT_FOUND");
    }
    let webhooks = app.get("/v1/webhooks").key(&app.live).send().await.expect(200);
    assert_eq!(webhooks, json!({"webhooks": []}), "it is no webhook");
    let as_webhook = path(&made, "").replace("/anomaly/channels/achan_", "/webhooks/wh_");
    app.get(&as_webhook)
        .key(&app.live)
        .send()
        .await
        .problem(404, "NOT_FOUND");
    let gone = app.delete(&path(&made, "")).key(&app.live).send().await;
    assert_eq!((gone.status, gone.body.len()), (204, 0));
    assert_eq!(list(&app).await, json!({"channels": []}));
    app.delete(&path(&made, ""))
        .key(&app.live)
        .send()
        .await
        .problem(404, "NOT_FOUND");
}

#[actix_web::test]
async fn secrets_are_never_shown_but_a_made_one_once() {
    let app = TestApp::start().await;
    let hidden = "sixteen letters!";
    let pager = create(&app, &wish("pagerduty", json!({"routingKey": KEY})))
        .await
        .expect(201);
    let shown = json!({"routingKey": "[redacted]", "url": "https://events.pagerduty.com/v2/enqueue"});
    assert_eq!(pager["config"], shown);
    let own = wish(
        "webhook",
        json!({"url": "https://receiver.example/a", "secret": hidden}),
    );
    let own = create(&app, &own).await.expect(201);
    assert_eq!(own["secret"], Value::Null);
    let made = create(&app, &wish("webhook", json!({"url": "https://receiver.example/b"})))
        .await
        .expect(201);
    let secret = made["secret"].as_str().unwrap();
    assert_eq!(secret.len(), 48);
    let all = list(&app).await.to_string();
    assert!(
        ![hidden, KEY, secret].iter().any(|secret| all.contains(secret)),
        "{all}"
    );
}

#[actix_web::test]
async fn what_is_wrong_is_named() {
    let app = TestApp::unlimited().await;
    let slack = json!({"webhookUrl": SLACK});
    for (field, body) in [
        ("type", json!({"type": "pigeon", "name": "x", "config": {}})),
        ("type", wish("email", json!({"to": "a@example.com"}))),
        ("name", json!({"type": "slack", "name": " ", "config": slack})),
        ("config", json!({"type": "slack", "name": "x", "config": "x"})),
        ("config.webhookUrl", wish("slack", json!({}))),
        (
            "config.webhookUrl",
            wish("slack", json!({"webhookUrl": "https://127.0.0.1/x"})),
        ),
        ("config.url", wish("webhook", json!({"url": "http://receiver.example"}))),
        (
            "config.channel",
            wish("slack", json!({"webhookUrl": SLACK, "channel": "#a"})),
        ),
        ("config.routingKey", wish("pagerduty", json!({"routingKey": "short"}))),
        (
            "severities",
            json!({"type": "slack", "name": "x", "config": slack, "severities": []}),
        ),
        (
            "severities",
            json!({"type": "slack", "name": "x", "config": slack, "severities": ["grave"]}),
        ),
    ] {
        let problem = create(&app, &body).await.problem(400, "BAD_REQUEST");
        assert!(
            problem.to_string().contains(&format!("`{field}`")),
            "{field}: {problem}"
        );
    }
    let made = create(&app, &wish("slack", slack)).await.expect(201);
    let nothing = app.patch(&path(&made, "")).key(&app.live).json(&json!({})).send().await;
    nothing.problem(400, "BAD_REQUEST");
    for _ in 1..20 {
        create(&app, &wish("slack", json!({"webhookUrl": SLACK})))
            .await
            .expect(201);
    }
    let one_more = create(&app, &wish("slack", json!({"webhookUrl": SLACK}))).await;
    one_more.problem(409, "CONFLICT");
}

#[actix_web::test]
async fn a_test_tells_what_the_receiver_said() {
    let app = TestApp::start().await;
    for (host, expected) in [
        (
            "fine",
            json!({"delivered": true, "statusCode": 200, "error": null, "tookMs": 0}),
        ),
        (
            "full",
            json!({"delivered": false, "statusCode": 503, "error": "the receiver answered 503", "tookMs": 0}),
        ),
        (
            "down",
            json!({"delivered": false, "statusCode": null, "error": "the connection failed", "tookMs": 0}),
        ),
    ] {
        let config = json!({"webhookUrl": format!("https://{host}.example/hidden")});
        let made = create(&app, &wish("slack", config)).await.expect(201);
        let answer = app.post(&path(&made, "/test")).key(&app.live).send().await.expect(200);
        assert_eq!(answer, expected);
    }
}

#[actix_web::test]
async fn a_test_does_not_wait_longer_than_its_request_may() {
    let app = TestApp::start_with(|_, http| http.request_deadline = Duration::from_millis(500)).await;
    let config = json!({"webhookUrl": "https://silent.example/hidden"});
    let made = create(&app, &wish("slack", config)).await.expect(201);
    let answer = app.post(&path(&made, "/test")).key(&app.live).send().await.expect(200);
    let expected =
        json!({"delivered": false, "statusCode": null, "error": "there was no answer in time", "tookMs": 400});
    assert_eq!(answer, expected);
}

#[actix_web::test]
async fn a_server_that_sends_nothing_says_so() {
    let app = TestApp::without_webhooks().await;
    let answer = create(&app, &wish("slack", json!({"webhookUrl": SLACK}))).await;
    assert!((400..600).contains(&answer.status));
    assert!(String::from_utf8_lossy(&answer.body).contains("this server sends no notifications"));
}
