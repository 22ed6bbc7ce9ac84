use grantex_core::clock::Lifetime;
use serde_json::json;

use crate::support::TestApp;

#[actix_web::test]
async fn the_consent_page_is_html_without_script() {
    let app = TestApp::start().await;
    let agent = app.agent(&[]).await;
    let request = app
        .pending(
            &agent,
            json!({"redirectUri": "https://app.example/cb", "expiresIn": "7d"}),
        )
        .await;
    let page = app.get(&format!("/consent?req={request}")).send().await;
    assert_eq!(
        (page.status, page.header("content-type")),
        (200, Some("text/html; charset=utf-8"))
    );
    let html = page.text();
    for part in [
        "Acme",
        "Assistant",
        "7 days",
        "15 minutes",
        "app.example",
        "id=\"deny\"",
        "id=\"approve\"",
    ] {
        assert!(html.contains(part), "{part}");
    }
    assert!(html.contains(&format!("action=\"/consent/{request}/approve\"")));
    assert!(!html.contains("<script"));
    let policy = "default-src 'none'; style-src 'self'; img-src 'self'; form-action 'self' https:; frame-ancestors 'none'; base-uri 'none'";
    assert_eq!(page.header("content-security-policy"), Some(policy));
    assert_eq!(page.header("referrer-policy"), Some("same-origin"));
    assert_eq!(page.header("cache-control"), Some("no-store"));
}

#[actix_web::test]
async fn the_way_back_over_http_is_allowed_by_name() {
    let app = TestApp::start().await;
    let agent = app.agent(&[]).await;
    for (uri, targets) in [
        (
            json!("http://localhost:8080/cb"),
            "'self' https: http://localhost:8080;",
        ),
        (json!(null), "'self';"),
    ] {
        let extra = if uri.is_null() {
            json!({})
        } else {
            json!({"redirectUri": uri})
        };
        let request = app.pending(&agent, extra).await;
        let page = app.get(&format!("/consent?req={request}")).send().await;
        let policy = page.header("content-security-policy").unwrap();
        assert!(policy.contains(&format!("form-action {targets}")), "{policy}");
    }
}

#[actix_web::test]
async fn a_decision_sends_the_browser_back() {
    let app = TestApp::start().await;
    let agent = app.agent(&[]).await;
    let back = json!({"redirectUri": "https://app.example/cb?code=old&keep=1", "state": "a&b"});
    let approved = app.pending(&agent, back.clone()).await;
    let answer = app
        .post(&format!("/consent/{approved}/approve"))
        .header("origin", "https://auth.example")
        .form("")
        .send()
        .await;
    assert_eq!((answer.status, answer.body.len()), (303, 0));
    let location = answer.header("location").unwrap();
    let code = location
        .strip_prefix("https://app.example/cb?keep=1&code=")
        .unwrap()
        .strip_suffix("&state=a%26b")
        .unwrap();
    app.exchange(&json!({"code": code, "agentId": agent})).await.expect(201);

    let denied = app.pending(&agent, back).await;
    let answer = app.post(&format!("/consent/{denied}/deny")).send().await;
    let expected = "https://app.example/cb?keep=1&error=access_denied&state=a%26b";
    assert_eq!((answer.status, answer.header("location")), (303, Some(expected)));
}

#[actix_web::test]
async fn without_a_way_back_there_is_a_page() {
    let app = TestApp::start().await;
    let agent = app.agent(&[]).await;
    for (decision, place) in [("approve", "/consent/approved"), ("deny", "/consent/denied")] {
        let request = app.pending(&agent, json!({})).await;
        let answer = app.post(&format!("/consent/{request}/{decision}")).send().await;
        assert_eq!((answer.status, answer.header("location")), (303, Some(place)));
        let page = app.get(place).send().await;
        assert_eq!(page.status, 200);
        assert!(page.text().contains("id=\"done\""));
    }
}

#[actix_web::test]
async fn a_person_sees_a_page_whatever_happens() {
    let app = TestApp::start().await;
    let agent = app.agent(&[]).await;
    let (used, late) = (
        app.pending(&agent, json!({})).await,
        app.pending(&agent, json!({})).await,
    );
    app.post(&format!("/consent/{used}/approve")).send().await;
    let problem = |path: String, origin: &'static str| {
        let ask = if path.starts_with("/consent?") || path == "/consent" {
            app.get(&path)
        } else {
            app.post(&path)
        };
        let ask = if origin.is_empty() {
            ask
        } else {
            ask.header("origin", origin)
        };
        async move {
            let page = ask.send().await;
            assert_eq!(page.header("content-type"), Some("text/html; charset=utf-8"), "{path}");
            assert!(
                page.text().contains("id=\"problem\"") && page.text().contains(page.header("x-request-id").unwrap())
            );
            (
                page.status,
                page.text()
                    .split("<h1")
                    .nth(1)
                    .unwrap()
                    .split('>')
                    .nth(1)
                    .unwrap()
                    .split('<')
                    .next()
                    .unwrap()
                    .to_owned(),
            )
        }
    };
    let answered = || (410, "This request was already answered".to_owned());
    assert_eq!(problem(format!("/consent?req={used}"), "").await, answered());
    assert_eq!(problem(format!("/consent/{used}/deny"), "").await, answered());
    assert_eq!(problem("/consent".into(), "").await.0, 404);
    assert_eq!(problem("/consent?req=nonsense".into(), "").await.0, 404);
    assert_eq!(problem("/consent?req=%00".into(), "").await.0, 400);
    assert_eq!(problem("/consent/nonsense/approve".into(), "").await.0, 404);
    let foreign = problem(format!("/consent/{late}/approve"), "https://evil.example").await;
    assert_eq!(foreign, (403, "We did not accept this answer".to_owned()));
    assert_eq!(problem(format!("/consent/{late}/approve"), "null").await.0, 403);
    app.clock.advance(Lifetime::minutes(15));
    assert_eq!(
        problem(format!("/consent?req={late}"), "").await,
        (410, "This request has expired".to_owned())
    );
    app.store.set_read_failure(true);
    assert_eq!(
        problem(format!("/consent?req={late}"), "").await,
        (503, "Please try again in a moment".to_owned())
    );
}

#[actix_web::test]
async fn the_permissions_page_has_one_script_file() {
    let app = TestApp::start().await;
    let page = app.get("/permissions").send().await;
    assert_eq!(
        (page.status, page.header("content-type")),
        (200, Some("text/html; charset=utf-8"))
    );
    let policy = page.header("content-security-policy").unwrap();
    assert!(policy.contains("script-src 'self';") && !policy.contains("unsafe"));
    let source = page
        .text()
        .split("src=\"")
        .find(|part| part.starts_with("/static/permissions.js"))
        .unwrap();
    let script = app.get(source.split('"').next().unwrap()).send().await;
    assert_eq!(script.header("content-type"), Some("text/javascript; charset=utf-8"));
    assert_eq!(
        script.header("cache-control"),
        Some("public, max-age=31536000, immutable")
    );
    let tag = script.header("etag").unwrap();
    assert_eq!(
        app.get("/static/permissions.js")
            .header("if-none-match", tag)
            .send()
            .await
            .status,
        304
    );
    assert_eq!(
        app.get("/static/permissions.js").send().await.header("cache-control"),
        Some("no-cache")
    );
    app.get("/static/../Cargo.toml").send().await.problem(404, "NOT_FOUND");
    app.get("/static/none.js").send().await.problem(404, "NOT_FOUND");
}
