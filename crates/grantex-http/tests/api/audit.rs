use grantex_core::clock::Lifetime;
use serde_json::{Value, json};

use crate::support::{Answer, TestApp};

async fn log(app: &TestApp, action: &str, extra: Value) -> Answer {
    let mut body = json!({"agentId": "ag_A", "agentDid": "did:grantex:ag_A", "grantId": "grnt_G", "principalId": "user-7", "action": action});
    body.as_object_mut().unwrap().extend(extra.as_object().unwrap().clone());
    app.post("/v1/audit/log").key(&app.live).json(&body).send().await
}

async fn actions(app: &TestApp, query: &str) -> Vec<String> {
    let list = app
        .get(&format!("/v1/audit/entries?{query}"))
        .key(&app.live)
        .send()
        .await
        .expect(200);
    list["entries"]
        .as_array()
        .unwrap()
        .iter()
        .map(|entry| entry["action"].as_str().unwrap().to_owned())
        .collect()
}

#[actix_web::test]
async fn entries_form_a_chain() {
    let app = TestApp::start().await;
    let metadata = json!({"z": [1, {"a": null, "b": true}], "path": "/tmp/\"q\"\n", "amount": 12.50, "é": "ü"});
    let first = log(&app, "invoice.paid", json!({})).await.expect(201);
    let second = log(&app, "file.read", json!({"metadata": metadata, "status": "blocked"})).await;
    assert!(
        second
            .text()
            .contains(r#""metadata":{"amount":12.5,"path":"/tmp/\"q\"\n","z":[1,{"a":null,"b":true}],"é":"ü"}"#)
    );
    let second = second.expect(201);
    let me = app.get("/v1/me").key(&app.live).send().await.expect(200);
    let expected = json!({
        "entryId": first["entryId"], "agentId": "ag_A", "agentDid": "did:grantex:ag_A", "grantId": "grnt_G", "principalId": "user-7",
        "developerId": me["developerId"], "action": "invoice.paid", "metadata": {}, "hash": first["hash"], "prevHash": null,
        "timestamp": "2030-01-02T03:04:05.006Z", "status": "success", "chain": "caller", "sequence": 1,
    });
    assert_eq!(first, expected);
    let hash = first["hash"].as_str().unwrap();
    assert!(hash.len() == 64 && hash.bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f')));
    assert_eq!((&second["prevHash"], &second["metadata"]), (&first["hash"], &metadata));
    let path = format!("/v1/audit/{}", first["entryId"].as_str().unwrap());
    assert_eq!(app.get(&path).key(&app.live).send().await.expect(200), first);
    app.get(&path).key(&app.sandbox).send().await.problem(404, "NOT_FOUND");
    app.get("/v1/audit/nonsense")
        .key(&app.live)
        .send()
        .await
        .problem(404, "NOT_FOUND");
    for method in ["PUT", "PATCH", "DELETE"] {
        app.ask(method, &path)
            .key(&app.live)
            .send()
            .await
            .problem(405, "METHOD_NOT_ALLOWED");
    }
}

#[actix_web::test]
async fn the_servers_own_decisions_are_another_chain() {
    let app = TestApp::start().await;
    let agent = app.agent(&[]).await;
    log(&app, "a", json!({})).await.expect(201);
    app.tokens(&agent).await;
    log(&app, "b", json!({})).await.expect(201);
    assert_eq!(actions(&app, "").await, ["a", "b"]);
    assert_eq!(
        actions(&app, "chain=server").await,
        [
            "grantex.grant.approved",
            "grantex.grant.created",
            "grantex.token.exchanged"
        ]
    );
    let list = app
        .get("/v1/audit/entries?chain=server")
        .key(&app.live)
        .send()
        .await
        .expect(200);
    let path = format!("/v1/audit/{}", list["entries"][0]["entryId"].as_str().unwrap());
    assert_eq!(
        app.get(&path).key(&app.live).send().await.expect(200),
        list["entries"][0]
    );
}

#[actix_web::test]
async fn a_listing_is_ascending_and_begins_where_it_is_told() {
    let app = TestApp::start().await;
    for number in 0..5 {
        log(
            &app,
            &format!("a{number}"),
            json!({"principalId": format!("user-{}", number % 2)}),
        )
        .await
        .expect(201);
        app.clock.advance(Lifetime::seconds(1));
    }
    assert_eq!(actions(&app, "pageSize=2").await, ["a3", "a4"], "the newest page");
    assert_eq!(actions(&app, "page=1&pageSize=2").await, ["a0", "a1"]);
    assert_eq!(
        actions(&app, "since=2030-01-02T03:04:07.006Z&until=2030-01-02T03:04:09.006Z").await,
        ["a2", "a3"]
    );
    assert_eq!(
        actions(&app, "since=2030-01-02T04:04:07.006%2B01:00&pageSize=1").await,
        ["a2"]
    );
    assert_eq!(actions(&app, "principalId=user-1").await, ["a1", "a3"]);
    assert_eq!(actions(&app, "action=a4&agentId=ag_A&grantId=grnt_G").await, ["a4"]);
    let first = app
        .get("/v1/audit/entries?page=1&pageSize=3")
        .key(&app.live)
        .send()
        .await
        .expect(200);
    let cursor = first["nextCursor"].as_str().unwrap();
    assert_eq!(
        actions(&app, &format!("pageSize=3&cursor={cursor}")).await,
        ["a3", "a4"]
    );
    for query in [
        "since=yesterday",
        "until=",
        "chain=mine",
        "page=0",
        "pageSize=1001",
        "action=%00",
    ] {
        app.get(&format!("/v1/audit/entries?{query}"))
            .key(&app.live)
            .send()
            .await
            .bad_request();
    }
}

#[actix_web::test]
async fn bad_entries_are_refused_by_field() {
    let app = TestApp::unlimited().await;
    for field in ["agentId", "agentDid", "grantId", "principalId", "action"] {
        for value in [json!(null), json!(""), json!(7), json!("x".repeat(513))] {
            let message = log(&app, "a", json!({field: value})).await.bad_request();
            assert!(message.starts_with(&format!("`{field}` ")), "{message}");
        }
    }
    for (change, message) in [
        (json!({"metadata": []}), "`metadata` must be an object"),
        (json!({"metadata": null}), "`metadata` must be an object"),
        (
            json!({"status": "ok"}),
            "`status` must be one of `success`, `failure`, `blocked`",
        ),
    ] {
        assert_eq!(log(&app, "a", change).await.bad_request(), message);
    }
    for action in ["grantex.x", "decision.x", "evidence.x"] {
        log(&app, action, json!({})).await.problem(400, "AUDIT_ACTION_RESERVED");
    }
    log(&app, "a", json!({"metadata": {"grantex:x": 1}}))
        .await
        .problem(400, "AUDIT_METADATA_RESERVED");
    assert!(actions(&app, "").await.is_empty());
}
