use serde_json::json;

use crate::support::TestApp;

#[actix_web::test]
async fn every_answer_carries_the_headers_of_a_careful_server() {
    let app = TestApp::start().await;
    for (path, status) in [
        ("/health", 200),
        ("/v1/me", 401),
        ("/nowhere", 404),
        ("/.well-known/jwks.json", 200),
        ("/permissions", 200),
    ] {
        let answer = app.get(path).header("x-request-id", "mine").send().await;
        assert_eq!(answer.status, status);
        for (name, value) in [
            ("strict-transport-security", "max-age=31536000; includeSubDomains"),
            ("x-content-type-options", "nosniff"),
            ("x-frame-options", "DENY"),
            ("x-xss-protection", "0"),
            ("permissions-policy", "camera=(), microphone=(), geolocation=()"),
            ("vary", "Origin"),
        ] {
            assert_eq!(answer.header(name), Some(value), "{path}");
        }
        let id = answer.header("x-request-id").unwrap();
        assert!(id.len() == 36 && id.as_bytes()[14] == b'4', "{id}");
        assert!(answer.header("cache-control").is_some() && answer.header("content-security-policy").is_some());
    }
    let plain = app.get("/health").send().await;
    assert_eq!(plain.header("cache-control"), Some("no-store"));
    assert_eq!(plain.header("referrer-policy"), Some("strict-origin-when-cross-origin"));
    assert_eq!(
        plain.header("content-security-policy"),
        Some("default-src 'none'; frame-ancestors 'none'; base-uri 'none'")
    );
    assert_eq!(plain.header("content-type"), Some("application/json; charset=utf-8"));
}

#[actix_web::test]
async fn what_is_no_route_is_refused_in_the_usual_form() {
    let app = TestApp::start().await;
    for path in [
        "/",
        "/v1",
        "/v1/agents/",
        "/v1/agents/a/b",
        "/.well-known/other",
        "/v1//agents",
        "/v2/agents?key=secret",
    ] {
        for key in ["", app.live.as_str()] {
            app.get(path).key(key).send().await.problem(404, "NOT_FOUND");
        }
    }
    let answer = app.ask("PUT", "/v1/agents/x").key(&app.live).send().await;
    answer.problem(405, "METHOD_NOT_ALLOWED");
    assert_eq!(answer.header("allow"), Some("GET, HEAD, PATCH, POST, DELETE"));
    app.get("/v1/token").send().await.problem(405, "METHOD_NOT_ALLOWED");
    app.ask("BREW", "/v1/token")
        .send()
        .await
        .problem(405, "METHOD_NOT_ALLOWED");
}

#[actix_web::test]
async fn every_get_route_answers_head() {
    let app = TestApp::unlimited().await;
    for path in [
        "/health",
        "/v1/me",
        "/v1/agents",
        "/v1/grants",
        "/v1/audit/entries",
        "/metrics",
        "/permissions",
        "/openapi.json",
    ] {
        let (get, head) = (
            app.get(path).key(&app.live).send().await,
            app.head(path).key(&app.live).send().await,
        );
        assert_eq!(
            (get.status, get.header("content-type")),
            (head.status, head.header("content-type")),
            "{path}"
        );
    }
}

#[actix_web::test]
async fn a_path_is_text() {
    let app = TestApp::start().await;
    for path in [
        "/v1/agents/%00",
        "/v1/agents/ag_%ff",
        "/v1/%00",
        "/v1/consent/%C3/approve",
    ] {
        app.get(path).key(&app.live).send().await.bad_request();
    }
    app.get("/v1/agents/ag_%3A")
        .key(&app.live)
        .send()
        .await
        .problem(404, "NOT_FOUND");
}

#[actix_web::test]
async fn one_line_tells_of_each_request_without_its_path() {
    let app = TestApp::start().await;
    let agent = app.agent(&[]).await;
    let me = app.get("/v1/me").key(&app.live).send().await.expect(200);
    app.lines.take();
    app.measured.requests.lock().unwrap().clear();
    let found = app
        .get(&format!("/v1/agents/{agent}?token=secret"))
        .key(&app.live)
        .send()
        .await;
    let lost = app.get("/secret?token=secret").send().await;
    let lines = app.lines.take();
    let lines: Vec<_> = lines
        .iter()
        .filter(|line| line.message == "request.completed")
        .collect();
    let fields = |number: usize| -> serde_json::Value {
        let mut fields = lines[number].fields.clone();
        for time in ["durationMs", "dbMs"] {
            assert!(fields.remove(time).unwrap().is_number());
        }
        serde_json::to_value(fields).unwrap()
    };
    let id = |answer: &crate::support::Answer| answer.header("x-request-id").unwrap().to_owned();
    let expected = json!({"method": "GET", "route": "/v1/agents/{id}", "status": 200, "dbQueries": 0, "developerId": me["developerId"], "requestId": id(&found)});
    assert_eq!(fields(0), expected);
    assert_eq!(
        fields(1),
        json!({"method": "GET", "route": "unmatched", "status": 404, "dbQueries": 0, "requestId": id(&lost)})
    );
    assert_eq!(
        (lines.len(), lines[0].level, lines[1].level),
        (2, slog::Level::Info, slog::Level::Warning)
    );
    let measured = app.measured.requests.lock().unwrap().clone();
    assert_eq!(measured, ["GET /v1/agents/{id} 200", "GET unmatched 404"]);
    assert_eq!(app.measured.in_flight.lock().unwrap().iter().sum::<i64>(), 0);
}

#[actix_web::test]
async fn listed_origins_may_read_and_others_may_not() {
    let app = TestApp::start_with(|_, http| http.cors_allowed_origins = vec!["https://app.example".into()]).await;
    let allowed = app
        .get("/v1/me")
        .key(&app.live)
        .header("origin", "https://app.example")
        .send()
        .await;
    assert_eq!(
        allowed.header("access-control-allow-origin"),
        Some("https://app.example")
    );
    assert_eq!(allowed.header("access-control-allow-credentials"), Some("true"));
    assert!(
        allowed
            .header("access-control-expose-headers")
            .unwrap()
            .contains("X-Request-Id")
    );
    let foreign = app
        .get("/v1/me")
        .key(&app.live)
        .header("origin", "https://evil.example")
        .send()
        .await;
    assert_eq!(
        (foreign.status, foreign.header("access-control-allow-origin")),
        (200, None)
    );

    let preflight = |origin: &'static str, path: &'static str| {
        app.ask("OPTIONS", path)
            .header("origin", origin)
            .header("access-control-request-method", "POST")
            .send()
    };
    for path in ["/v1/agents", "/nowhere"] {
        let answer = preflight("https://app.example", path).await;
        assert_eq!(
            (answer.status, answer.body.len(), answer.header("allow")),
            (204, 0, None)
        );
        assert_eq!(
            answer.header("access-control-allow-methods"),
            Some("GET, POST, PUT, PATCH, DELETE, OPTIONS")
        );
        assert_eq!(
            answer.header("access-control-allow-headers"),
            Some("Content-Type, Authorization, Idempotency-Key")
        );
        assert_eq!(answer.header("access-control-max-age"), Some("600"));
        let answer = preflight("https://evil.example", path).await;
        assert_eq!(
            (answer.status, answer.header("access-control-allow-origin")),
            (204, None)
        );
    }
}
