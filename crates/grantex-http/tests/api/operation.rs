use grantex_core::secret::Secret;
use serde_json::json;

use crate::support::TestApp;

#[actix_web::test]
async fn liveness_does_not_ask_the_store() {
    let app = TestApp::start().await;
    app.store.set_read_failure(true);
    assert_eq!(app.get("/health").send().await.expect(200), json!({"status": "ok"}));
    app.get("/.well-known/jwks.json").send().await.expect(200);
    let head = app.head("/health").send().await;
    assert_eq!(head.status, 200);
}

#[actix_web::test]
async fn readiness_names_what_fails_and_ends_with_draining() {
    let app = TestApp::start().await;
    let ready = json!({"status": "ready", "store": "ok", "migrations": "ok", "keys": "ok", "failing": []});
    assert_eq!(app.get("/ready").send().await.expect(200), ready);
    app.store.set_read_failure(true);
    let failing = app.get("/ready").send().await.expect(503);
    assert_eq!(
        (&failing["status"], &failing["failing"]),
        (&json!("unavailable"), &json!(["store"]))
    );
    assert_eq!(failing["code"], "SERVICE_UNAVAILABLE");
    app.store.set_read_failure(false);
    app.app.drain();
    assert_eq!(app.get("/ready").send().await.expect(503)["status"], "draining");
    app.get("/v1/me").key(&app.live).send().await.expect(200);
}

#[actix_web::test]
async fn metrics_are_open_unless_a_key_is_set() {
    let app = TestApp::start().await;
    let answer = app.get("/metrics").send().await;
    assert_eq!((answer.status, answer.text()), (200, "grantex_up 1\n"));
    assert_eq!(
        answer.header("content-type"),
        Some("text/plain; version=0.0.4; charset=utf-8")
    );

    let keyed = TestApp::start_with(|_, http| http.metrics_api_key = Some(Secret::new("scrape-key".into()))).await;
    keyed.get("/metrics").send().await.problem(401, "UNAUTHORIZED");
    keyed
        .get("/metrics")
        .key("scrape-kez")
        .send()
        .await
        .problem(401, "UNAUTHORIZED");
    assert_eq!(keyed.get("/metrics").key("scrape-key").send().await.status, 200);

    let required = TestApp::start_with(|_, http| http.metrics_require_auth = true).await;
    required
        .get("/metrics")
        .send()
        .await
        .problem(503, "SERVICE_UNAVAILABLE");
    let off = TestApp::start_with(|_, http| http.metrics_enabled = false).await;
    off.get("/metrics").send().await.problem(404, "NOT_FOUND");
}

#[actix_web::test]
async fn the_operator_sets_plans() {
    let closed = TestApp::start().await;
    let path = |app: &TestApp, id: &str| (app.live.clone(), format!("/v1/admin/developers/{id}/plan"));
    let (key, any) = path(&closed, "dev_x");
    closed
        .patch(&any)
        .key(&key)
        .json(&json!({"plan": "pro"}))
        .send()
        .await
        .problem(503, "SERVICE_UNAVAILABLE");

    let app = TestApp::start_with(|_, http| http.admin_api_key = Some(Secret::new("admin-key".into()))).await;
    let me = app.get("/v1/me").key(&app.live).send().await.expect(200);
    let id = me["developerId"].as_str().unwrap();
    let (_, own) = path(&app, id);
    let set = |path: &str, key: &str, plan| app.patch(path).key(key).json(&json!({"plan": plan})).send();
    set(&own, &app.live, json!("pro")).await.problem(401, "UNAUTHORIZED");
    assert_eq!(
        set(&own, "admin-key", json!("pro")).await.expect(200),
        json!({"developerId": id, "plan": "pro"})
    );
    assert_eq!(app.get("/v1/me").key(&app.live).send().await.expect(200)["plan"], "pro");
    for plan in [json!("gold"), json!(null), json!(1)] {
        assert_eq!(
            set(&own, "admin-key", plan).await.bad_request().split(' ').next(),
            Some("`plan`")
        );
    }
    for id in ["dev_01ARZ3NDEKTSV4RRFFQ69G5FAV", "nonsense"] {
        let (_, unknown) = path(&app, id);
        set(&unknown, "admin-key", json!("pro")).await.problem(404, "NOT_FOUND");
    }
}
