use serde_json::json;

use crate::support::TestApp;

#[actix_web::test]
async fn a_key_is_one_word_behind_any_case_of_bearer() {
    let app = TestApp::start().await;
    for scheme in ["Bearer ", "bearer ", "BEARER\t", "Bearer   "] {
        let header = format!("{scheme}{}", app.live);
        assert_eq!(
            app.get("/v1/me").header("authorization", &header).send().await.status,
            200,
            "{scheme:?}"
        );
    }
    let answer = app.get("/v1/me").send().await;
    answer.problem(401, "UNAUTHORIZED");
    assert_eq!(answer.header("www-authenticate"), None);
    for header in [
        app.live.clone(),
        format!("Basic {}", app.live),
        format!("Bearer {} x", app.live),
        "Bearer".into(),
        "Bearer short".into(),
        format!("Bearer {}", "x".repeat(513)),
    ] {
        app.get("/v1/me")
            .header("authorization", &header)
            .send()
            .await
            .problem(401, "UNAUTHORIZED");
    }
}

#[actix_web::test]
async fn every_route_with_a_key_refuses_without_one_before_it_reads_the_body() {
    let app = TestApp::unlimited().await;
    let document = app.get("/openapi.json").send().await.expect(200);
    let mut checked = 0;
    for (path, operations) in document["paths"].as_object().unwrap() {
        for (method, operation) in operations.as_object().unwrap() {
            let needs_key = operation["security"]
                .as_array()
                .is_some_and(|schemes| schemes.iter().any(|scheme| scheme.get("apiKey").is_some()));
            if !needs_key {
                continue;
            }
            let path = path.replace("{id}", "x");
            let answer = app
                .ask(&method.to_uppercase(), &path)
                .text("application/json", "{not json")
                .send()
                .await;
            answer.problem(401, "UNAUTHORIZED");
            checked += 1;
        }
    }
    assert!(checked > 25, "{checked}");
}

#[actix_web::test]
async fn after_too_many_wrong_keys_a_right_one_tells_nothing() {
    let app = TestApp::start().await;
    for number in 0..60 {
        app.get("/v1/me")
            .key(&format!("gx_live_guess_{number:040}"))
            .send()
            .await
            .problem(401, "UNAUTHORIZED");
    }
    app.get("/v1/me")
        .key("gx_live_guess_one_more")
        .send()
        .await
        .problem(429, "RATE_LIMIT_EXCEEDED");
    app.get("/v1/me")
        .key(&app.live)
        .send()
        .await
        .problem(429, "RATE_LIMIT_EXCEEDED");
    app.get("/v1/nowhere")
        .key("gx_live_guess_one_more")
        .send()
        .await
        .problem(404, "NOT_FOUND");
    app.get("/v1/me")
        .key(&app.live)
        .from("192.0.2.2:1")
        .send()
        .await
        .expect(200);
}

#[actix_web::test]
async fn a_key_of_a_host_app_mounted_under_a_prefix_works() {
    use actix_web::test::{TestRequest, call_service, init_service};
    let app = TestApp::start().await;
    let scope = actix_web::web::scope("/auth").configure(grantex_http::routes(app.app.clone()));
    let service = init_service(actix_web::App::new().service(scope)).await;
    let header = ("authorization", format!("Bearer {}", app.live));
    for (path, status) in [
        ("/auth/v1/me", 200),
        ("/auth/v1/agents/nonsense", 404),
        ("/auth/nowhere", 404),
    ] {
        let answer = call_service(
            &service,
            TestRequest::get().uri(path).insert_header(header.clone()).to_request(),
        )
        .await;
        assert_eq!(
            (answer.status().as_u16(), answer.headers().contains_key("x-request-id")),
            (status, true),
            "{path}"
        );
    }
    let body = json!({"name": "a"});
    let answer = call_service(
        &service,
        TestRequest::post()
            .uri("/auth/v1/agents")
            .insert_header(header)
            .set_json(body)
            .to_request(),
    )
    .await;
    assert_eq!(answer.status(), 201);
}
