use grantex_core::clock::Lifetime;
use grantex_core::event::Event;
use serde_json::json;

use crate::support::{Answer, TestApp};

fn shown(answer: &Answer) -> [u64; 3] {
    ["limit", "remaining", "reset"].map(|name| answer.header(&format!("x-ratelimit-{name}")).unwrap().parse().unwrap())
}

#[actix_web::test]
async fn answers_show_what_is_left() {
    let app = TestApp::start().await;
    assert_eq!(shown(&app.get("/health").send().await), [5_000, 4_999, 1]);
    assert_eq!(shown(&app.get("/nowhere").send().await), [5_000, 4_998, 1]);
    assert_eq!(
        shown(&app.get("/v1/agents").key(&app.live).send().await),
        [3_000, 2_999, 1]
    );
    let verify = app
        .post("/v1/tokens/verify")
        .key(&app.live)
        .json(&json!({"token": "x"}))
        .send()
        .await;
    assert_eq!(shown(&verify), [3_000, 2_998, 1]);
    let status = app.get("/v1/revocations/status?jti=x").key(&app.live).send().await;
    assert_eq!(shown(&status), [60_000, 59_999, 1], "outside the plan's bucket");
    assert_eq!(shown(&app.get("/v1/agents").send().await)[0], 5_000);
    assert_eq!(
        shown(&app.post("/v1/signup").json(&json!({"name": "a"})).send().await),
        [30, 29, 2]
    );
}

#[actix_web::test]
async fn a_refusal_says_in_seconds_when_to_come_back() {
    let app = TestApp::start().await;
    let rotate = || app.post("/v1/signup").json(&json!({})).send();
    for _ in 0..30 {
        rotate().await.bad_request();
    }
    app.events();
    let refused = rotate().await;
    let message = refused.problem(429, "RATE_LIMIT_EXCEEDED");
    assert_eq!(
        message,
        "the limit of 30 requests a minute is reached, retry in 2 seconds"
    );
    assert_eq!(
        (refused.header("retry-after"), shown(&refused)),
        (Some("2"), [30, 0, 60])
    );
    let hit = Event::RateLimitHit {
        ip: "192.0.2.1".into(),
        endpoint: "/v1/signup",
        retry_after: 2,
    };
    assert_eq!(app.events(), [hit]);
    app.post("/v1/signup")
        .json(&json!({}))
        .from("192.0.2.2:1")
        .send()
        .await
        .bad_request();
    app.clock.advance(Lifetime::seconds(2));
    rotate().await.bad_request();
}

#[actix_web::test]
async fn each_special_route_has_its_own_number() {
    let app = TestApp::start().await;
    for (method, path, limit) in [
        ("POST", "/v1/keys/rotate", 5),
        ("POST", "/v1/principal-sessions", 10),
        ("GET", "/metrics", 10),
        ("POST", "/v1/consent/x/approve", 60),
        ("POST", "/v1/signup", 30),
    ] {
        for _ in 0..limit {
            assert_ne!(app.ask(method, path).send().await.status, 429, "{path}");
        }
        let refused = app.ask(method, path).send().await;
        refused.problem(429, "RATE_LIMIT_EXCEEDED");
        assert_eq!(shown(&refused)[..2], [limit, 0], "{path}");
    }
    let page = app.get("/consent?req=x").send().await;
    assert_eq!((page.status, page.header("retry-after")), (429, Some("1")));
    assert!(page.text().contains("Please try again in a moment"));
}

#[actix_web::test]
async fn authorizations_have_a_bucket_of_their_own() {
    let app = TestApp::start_with(|_, http| http.rate_limits.authorize = 2.try_into().unwrap()).await;
    let authorize = || app.post("/v1/authorize").key(&app.live).json(&json!({})).send();
    assert_eq!(shown(&authorize().await)[0], 3_000);
    authorize().await.bad_request();
    app.events();
    let refused = authorize().await;
    refused.problem(429, "RATE_LIMIT_EXCEEDED");
    assert_eq!(
        (shown(&refused)[..2].to_vec(), refused.header("retry-after")),
        (vec![2, 0], Some("30"))
    );
    assert_eq!(app.event_names(), ["rate_limit.hit", "auth_request.rejected"]);
    app.get("/v1/agents").key(&app.live).send().await.expect(200);
}

#[actix_web::test]
async fn a_developer_is_limited_wherever_requests_come_from() {
    let app = TestApp::start_with(|_, http| http.rate_limits.developer = 3.try_into().unwrap()).await;
    for last in 1..=3 {
        app.get("/v1/me")
            .key(&app.live)
            .from(&format!("192.0.2.{last}:1"))
            .send()
            .await
            .expect(200);
    }
    app.get("/v1/me")
        .key(&app.live)
        .from("192.0.2.4:1")
        .send()
        .await
        .problem(429, "RATE_LIMIT_EXCEEDED");
    app.get("/v1/me")
        .key(&app.sandbox)
        .from("192.0.2.4:1")
        .send()
        .await
        .expect(200);
    app.get("/v1/revocations/status?jti=x")
        .key(&app.live)
        .send()
        .await
        .expect(200);
}

#[actix_web::test]
async fn unknown_routes_and_preflights_count_and_keys_do_not() {
    let app = TestApp::start_with(|_, http| http.rate_limits.ip = 2.try_into().unwrap()).await;
    for _ in 0..20 {
        app.get("/.well-known/jwks.json").send().await.expect(200);
        app.get("/v1/revocations/status?jti=x")
            .key(&app.live)
            .send()
            .await
            .expect(200);
    }
    app.get("/nowhere").send().await.problem(404, "NOT_FOUND");
    app.ask("OPTIONS", "/v1/me")
        .header("access-control-request-method", "GET")
        .send()
        .await
        .expect(204);
    app.get("/nowhere").send().await.problem(429, "RATE_LIMIT_EXCEEDED");
    app.get("/health").send().await.problem(429, "RATE_LIMIT_EXCEEDED");
    app.get("/v1/revocations/status?jti=x")
        .send()
        .await
        .problem(429, "RATE_LIMIT_EXCEEDED");
}

#[actix_web::test]
async fn switched_off_limits_refuse_nothing_and_still_show_themselves() {
    let app = TestApp::start_with(|_, http| {
        http.rate_limits.is_enabled = false;
        http.rate_limits.ip = 1.try_into().unwrap();
        http.rate_limits.failed_keys = 1.try_into().unwrap();
    })
    .await;
    for remaining in [0, 0, 0] {
        assert_eq!(shown(&app.get("/health").send().await)[..2], [1, remaining]);
        app.get("/v1/me")
            .key("gx_live_wrong_wrong_wrong")
            .send()
            .await
            .problem(401, "UNAUTHORIZED");
    }
    app.get("/v1/me").key(&app.live).send().await.expect(200);
    assert!(app.events().is_empty());
}

#[actix_web::test]
async fn a_trusted_proxy_names_the_client() {
    let proxies = grantex_http::TrustProxy::parse("192.0.2.0/24").unwrap();
    let app = TestApp::start_with(|_, http| {
        http.trust_proxy = proxies;
        http.rate_limits.ip = 1.try_into().unwrap();
    })
    .await;
    for (client, status) in [
        ("198.51.100.1", 200),
        ("198.51.100.2", 200),
        ("198.51.100.1", 429),
        ("203.0.113.9, 198.51.100.2", 429),
    ] {
        assert_eq!(
            app.get("/health").header("x-forwarded-for", client).send().await.status,
            status,
            "{client}"
        );
    }
    let direct = |client| {
        app.get("/health")
            .header("x-forwarded-for", client)
            .from("203.0.113.1:1")
            .send()
    };
    assert_eq!(
        (direct("198.51.100.7").await.status, direct("198.51.100.8").await.status),
        (200, 429)
    );
}
