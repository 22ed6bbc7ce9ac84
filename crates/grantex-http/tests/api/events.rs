use grantex_core::clock::Lifetime;
use serde_json::{Value, json};

use crate::support::TestApp;

async fn list(app: &TestApp, query: &str) -> Value {
    app.get(&format!("/v1/events{query}"))
        .key(&app.live)
        .send()
        .await
        .expect(200)
}

fn numbers(list: &Value) -> Vec<i64> {
    let events = list["events"].as_array().unwrap();
    events
        .iter()
        .map(|event| event["data"]["n"].as_i64().unwrap())
        .collect()
}

#[actix_web::test]
async fn events_are_listed_newest_first_in_pages() {
    let app = TestApp::start().await;
    assert_eq!(list(&app, "").await, json!({"events": [], "page": 1, "pageSize": 100}));
    let envelopes = app.append(&["grant.created", "token.issued", "grant.revoked"]).await;
    let first = list(&app, "?pageSize=2").await;
    assert_eq!(first["events"], json!([envelopes[2], envelopes[1]]));
    let cursor = first["nextCursor"].as_str().unwrap();
    app.append(&["grant.created"]).await;
    let second = list(&app, &format!("?pageSize=2&cursor={cursor}")).await;
    assert_eq!(second, json!({"events": [envelopes[0]], "pageSize": 2}));
    assert_eq!(numbers(&list(&app, "?pageSize=2&page=2").await), [2, 1]);
}

#[actix_web::test]
async fn events_are_filtered_by_type_and_time() {
    let app = TestApp::start().await;
    let first = app.append(&["grant.created", "token.issued"]).await;
    app.clock.advance(Lifetime::minutes(1));
    let second = app.append(&["grant.revoked", "grant.denied"]).await;
    assert_eq!(numbers(&list(&app, "?types=grant.*").await), [4, 3, 1]);
    assert_eq!(numbers(&list(&app, "?types=token.issued,grant.denied").await), [4, 2]);
    assert_eq!(numbers(&list(&app, "?types=*").await), [4, 3, 2, 1]);
    assert_eq!(numbers(&list(&app, "?types=vc.issued").await), [] as [i64; 0]);
    let (early, late) = (
        first[0]["createdAt"].as_str().unwrap(),
        second[0]["createdAt"].as_str().unwrap(),
    );
    assert_eq!(numbers(&list(&app, &format!("?since={late}")).await), [4, 3]);
    assert_eq!(
        numbers(&list(&app, &format!("?since={early}&until={late}")).await),
        [2, 1]
    );
    assert_eq!(numbers(&list(&app, &format!("?types=grant.*&until={late}")).await), [1]);
    for (query, name) in [
        ("types=x", "types"),
        ("since=yesterday", "since"),
        ("until=1", "until"),
        ("pageSize=0", "pageSize"),
        ("cursor=!", "cursor"),
    ] {
        let message = app.refused(&format!("/v1/events?{query}")).await.bad_request();
        assert!(message.starts_with(&format!("`{name}` must ")), "{query}: {message}");
    }
}
