//! What published clients and their conformance suite rely on, whatever else changes.

use std::collections::BTreeSet;

use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD_NO_PAD, URL_SAFE_NO_PAD};
use grantex_core::clock::Lifetime;
use serde_json::{Value, json};

use crate::support::{Answer, TestApp};

fn id(answer: &Value, name: &str) -> String {
    answer[name].as_str().unwrap().to_owned()
}

async fn delegate(app: &TestApp, parent: &Value, agent: &str, scopes: &[&str]) -> Answer {
    let body = json!({"parentGrantToken": parent, "subAgentId": agent, "scopes": scopes});
    app.post("/v1/grants/delegate").key(&app.live).json(&body).send().await
}

async fn verified(app: &TestApp, token: &str) -> Value {
    let body = json!({"token": token});
    let answer = app.post("/v1/tokens/verify").key(&app.live).json(&body).send().await;
    answer.expect(200)
}

#[actix_web::test]
async fn scopes_are_free_text_wherever_they_are_named() {
    let app = TestApp::start().await;
    let words = ["read", "write", "admin"];
    let agent = app.agent(&words).await;
    let code = app.code(&agent, json!({"scopes": words})).await;
    let parent = app.exchange(&json!({"code": code, "agentId": agent})).await.expect(201);
    assert_eq!(parent["scopes"], json!(words));
    let child = delegate(&app, &parent["grantToken"], &agent, &words).await.expect(201);
    assert_eq!(
        child["scopes"],
        json!(words),
        "an agent may hand on to itself, and as much as it holds"
    );
    let shown = app
        .get(&format!("/v1/agents/{agent}"))
        .key(&app.live)
        .send()
        .await
        .expect(200);
    assert_eq!(shown["scopes"], json!(words));
}

#[actix_web::test]
async fn whatever_is_no_good_token_verifies_as_false_and_a_good_one_again_and_again() {
    let app = TestApp::start().await;
    let agent = app.agent(&[]).await;
    let tokens = app.tokens(&agent).await;
    let token = id(&tokens, "grantToken");
    for _ in 0..3 {
        assert_eq!(verified(&app, &token).await["valid"], true);
    }
    let [head, payload, signature] = token.split('.').collect::<Vec<_>>().try_into().unwrap();
    let part = |value: Value| URL_SAFE_NO_PAD.encode(value.to_string());
    let kid = serde_json::from_slice::<Value>(&URL_SAFE_NO_PAD.decode(head).unwrap()).unwrap()["kid"].clone();
    let head_of = |algorithm: &str| part(json!({"alg": algorithm, "kid": kid, "typ": "at+jwt"}));
    let flipped = if signature.starts_with('A') { "B" } else { "A" };
    for bad in [
        "x".to_owned(),
        "a.b.c".to_owned(),
        "..".to_owned(),
        format!("{head}.{payload}"),
        format!("{head}.{payload}."),
        format!("{head}.{payload}.{flipped}{}", &signature[1..]),
        format!("{head}.{}.{signature}", part(json!({"sub": "user-1"}))),
        format!("{}.{payload}.", head_of("none")),
        format!("{}.{payload}.{signature}", head_of("HS256")),
        format!("{}.{payload}.{signature}", head_of("ES256")),
        token.replace('.', "..") + "x",
        id(&tokens, "refreshToken"),
        app.session().await,
    ] {
        assert_eq!(verified(&app, &bad).await, json!({"valid": false}), "{bad}");
    }
    app.clock.advance(Lifetime::hours(24));
    assert_eq!(verified(&app, &token).await, json!({"valid": false}), "it has expired");
}

#[actix_web::test]
async fn the_servers_entries_do_not_come_between_a_callers() {
    let app = TestApp::start().await;
    let agent = app.agent(&[]).await;
    let log = async |action: &str| {
        let entry = json!({"agentId": agent, "agentDid": "d", "grantId": "g", "principalId": "p", "action": action});
        let logged = app.post("/v1/audit/log").key(&app.live).json(&entry).send().await;
        logged.expect(201)
    };
    let first = log("first").await;
    let tokens = app.tokens(&agent).await;
    delegate(&app, &tokens["grantToken"], &agent, &["read"])
        .await
        .expect(201);
    app.delete(&format!("/v1/grants/{}", id(&tokens, "grantId")))
        .key(&app.live)
        .send()
        .await
        .expect(204);
    let second = log("second").await;
    assert_eq!(first["prevHash"], Value::Null);
    assert_eq!(second["prevHash"], first["hash"]);
}

/// The suite reads claims with a browser's `atob`, which knows no base64url: no claim of ours may need its two letters.
#[actix_web::test]
async fn the_claims_of_a_token_are_plain_base64() {
    let app = TestApp::unlimited().await;
    for length in 0..6 {
        // Every alignment, since what comes before decides how characters fall into groups of three.
        let principal = format!("user{}", "x".repeat(length));
        let agent = app.agent(&["read", "write"]).await;
        let code = app.code(&agent, json!({"principalId": principal})).await;
        let parent = app.exchange(&json!({"code": code, "agentId": agent})).await.expect(201);
        let child = delegate(&app, &parent["grantToken"], &agent, &["read"])
            .await
            .expect(201);
        for tokens in [&parent, &child] {
            let token = id(tokens, "grantToken");
            let payload = token.split('.').nth(1).unwrap();
            let claims: Value = serde_json::from_slice(&STANDARD_NO_PAD.decode(payload).unwrap()).unwrap();
            assert_eq!(claims["sub"], principal.as_str());
        }
    }
}

#[actix_web::test]
async fn calls_without_a_body_need_no_content_type() {
    let app = TestApp::start().await;
    let agent = app.agent(&[]).await;
    for (decision, status) in [("approve", 200), ("deny", 200)] {
        let request = app.pending(&agent, json!({})).await;
        app.post(&format!("/v1/consent/{request}/{decision}"))
            .send()
            .await
            .expect(status);
    }
    let grant = id(&app.tokens(&agent).await, "grantId");
    for path in [format!("/v1/grants/{grant}"), format!("/v1/agents/{agent}")] {
        app.delete(&path).key(&app.live).send().await.expect(204);
    }
    for decision in ["approve", "deny"] {
        let path = format!("/v1/authorize/areq_01ARZ3NDEKTSV4RRFFQ69G5FAV/{decision}");
        app.post(&path).key(&app.sandbox).send().await.problem(404, "NOT_FOUND");
    }
    app.post("/v1/keys/rotate").key(&app.live).send().await.expect(200);
}

#[actix_web::test]
async fn a_204_is_empty_and_every_other_success_is_json_or_a_stream() {
    let app = TestApp::start().await;
    let agent = app.agent(&[]).await;
    let (tokens, other) = (app.tokens(&agent).await, app.tokens(&agent).await);
    let claims = app
        .post("/v1/grants/verify")
        .key(&app.live)
        .json(&json!({"token": tokens["grantToken"]}))
        .send()
        .await
        .expect(200)["claims"]
        .clone();
    let session = app.session().await;
    let grant = |tokens: &Value| format!("/v1/grants/{}", id(tokens, "grantId"));
    let own = format!("/v1/principal/grants/{}", id(&other, "grantId"));
    let revoke = json!({"jti": claims["jti"]});
    let empty = [
        app.post("/v1/tokens/revoke").key(&app.live).json(&revoke).send().await,
        app.delete(&grant(&tokens)).key(&app.live).send().await,
        app.delete(&own).key(&session).send().await,
        app.delete(&format!("/v1/agents/{agent}")).key(&app.live).send().await,
    ];
    for answer in &empty {
        assert_eq!((answer.status, answer.body.len()), (204, 0));
        assert_eq!(answer.header("content-type"), None);
    }

    let document = app.get("/openapi.json").send().await.expect(200);
    let mut seen = BTreeSet::new();
    for (path, operations) in document["paths"].as_object().unwrap() {
        for (method, operation) in operations.as_object().unwrap() {
            for (status, answer) in operation["responses"].as_object().unwrap() {
                let types: Vec<&String> = answer
                    .get("content")
                    .and_then(Value::as_object)
                    .map_or_else(Vec::new, |content| content.keys().collect());
                let is_for_machines = path.starts_with("/v1/") && status.starts_with('2');
                if !is_for_machines {
                    continue;
                }
                seen.insert(status.as_str());
                let expected: &[&str] = match status.as_str() {
                    "204" => &[],
                    _ if path.ends_with("/stream") => &["text/event-stream"],
                    _ => &["application/json"],
                };
                assert_eq!(types, expected, "{method} {path} {status}");
            }
        }
    }
    assert_eq!(seen, BTreeSet::from(["200", "201", "202", "204"]));
}

#[actix_web::test]
async fn every_refusal_of_a_limit_can_be_waited_for() {
    let app = TestApp::start_with(|_, http| {
        http.rate_limits.authorize = 2.try_into().unwrap();
        http.rate_limits.developer = 5.try_into().unwrap();
        http.rate_limits.ip = 9.try_into().unwrap();
    })
    .await;
    let mut refused = BTreeSet::new();
    for (path, count) in [("/v1/authorize", 3), ("/v1/me", 5), ("/nowhere", 9)] {
        for _ in 0..count {
            let answer = app.ask(if path == "/v1/me" { "GET" } else { "POST" }, path);
            let answer = answer.key(&app.live).json(&json!({})).send().await;
            if answer.status != 429 {
                continue;
            }
            let message = answer.problem(429, "RATE_LIMIT_EXCEEDED");
            let (_, said) = message.split_once("retry in ").unwrap();
            let seconds: u64 = said.split(' ').next().unwrap().parse().unwrap();
            assert_eq!(
                answer.header("retry-after"),
                Some(seconds.to_string().as_str()),
                "{path}"
            );
            let reset: u64 = answer.header("x-ratelimit-reset").unwrap().parse().unwrap();
            assert!(seconds > 0 && reset <= 3_600, "{path}: {seconds}, {reset}");
            refused.insert(path);
        }
    }
    assert_eq!(refused.len(), 3, "each limit was met: {refused:?}");
}
