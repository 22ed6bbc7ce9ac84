use std::collections::BTreeSet;

use serde_json::Value;

use crate::support::TestApp;

fn references<'a>(value: &'a Value, found: &mut BTreeSet<&'a str>) {
    match value {
        Value::Object(members) => {
            found.extend(members.get("$ref").and_then(Value::as_str));
            members.values().for_each(|member| references(member, found));
        }
        Value::Array(items) => items.iter().for_each(|item| references(item, found)),
        _ => {}
    }
}

#[actix_web::test]
async fn the_description_covers_every_route_and_refers_to_nothing_missing() {
    let app = TestApp::start().await;
    let answer = app.get("/openapi.json").send().await;
    let document = answer.expect(200);
    let described: BTreeSet<&str> = document["paths"]
        .as_object()
        .unwrap()
        .keys()
        .map(String::as_str)
        .collect();
    let served: BTreeSet<&str> = grantex_http::route_templates()
        .into_iter()
        .filter(|path| *path != "unmatched")
        .collect();
    assert_eq!(described, served);
    let mut found = BTreeSet::new();
    references(&document, &mut found);
    for reference in found {
        let pointer = reference.strip_prefix('#').unwrap();
        assert!(document.pointer(pointer).is_some(), "{reference}");
    }
    assert_eq!(app.get("/openapi.json").send().await.text(), answer.text());
}

#[actix_web::test]
async fn a_body_is_described_as_it_is_read() {
    let app = TestApp::start().await;
    let document = app.get("/openapi.json").send().await.expect(200);
    let operation = &document["paths"]["/v1/agents"]["post"];
    assert_eq!(
        operation["responses"].as_object().unwrap().keys().collect::<Vec<_>>(),
        ["201", "400", "401", "402", "413", "415", "429", "500", "503"]
    );
    let schema = &document["components"]["schemas"]["AgentRegistration"];
    assert_eq!(schema["required"], serde_json::json!(["name"]));
    assert_eq!(schema["properties"]["name"]["maxLength"], 200);
    assert_eq!(schema["properties"]["description"]["type"], "string");
    assert_eq!(schema["properties"].get("redirectUris"), None);
    let mut both: Vec<&String> = document["paths"]["/v1/agents/{id}"]
        .as_object()
        .unwrap()
        .keys()
        .collect();
    both.sort_unstable();
    assert_eq!(both, ["delete", "get", "patch", "post"]);
}
