use grantex_core::event::{Event, ExchangeStatus};
use grantex_core::testing::StoreFailure;
use serde_json::json;

use crate::support::TestApp;

#[actix_web::test]
async fn a_store_that_cannot_be_read_is_503_and_nothing_was_done() {
    let app = TestApp::start().await;
    let agent = app.agent(&[]).await;
    let code = app.code(&agent, json!({})).await;
    app.store.set_read_failure(true);
    app.lines.take();
    app.events();
    let exchange = || {
        app.post("/v1/token")
            .key(&app.live)
            .json(&json!({"code": code, "agentId": agent}))
            .send()
    };
    let answer = exchange().await;
    let message = answer.problem(503, "SERVICE_UNAVAILABLE");
    assert_eq!(
        message,
        "the service cannot do this at the moment, and nothing was done"
    );
    assert_eq!(
        app.events(),
        [Event::TokenExchangeRejected {
            status: ExchangeStatus::Error,
            agent_id: None,
        }],
        "counted although no flow began"
    );
    let lines = app.lines.take();
    let failed: Vec<_> = lines.iter().filter(|line| line.level == slog::Level::Error).collect();
    assert_eq!((failed.len(), failed[0].message.as_str()), (1, "request.completed"));
    let error = failed[0].fields["error"].as_str().unwrap();
    assert!(
        error.ends_with("the store is unavailable: reads fail because the test says so"),
        "{error}"
    );
    app.store.set_read_failure(false);
    exchange().await.expect(201);
}

#[actix_web::test]
async fn a_unit_that_was_not_committed_is_503() {
    let app = TestApp::start().await;
    let agent = app.agent(&[]).await;
    let code = app.code(&agent, json!({})).await;
    let exchange = || {
        app.post("/v1/token")
            .key(&app.live)
            .json(&json!({"code": code, "agentId": agent}))
            .send()
    };
    app.store.fail_next(StoreFailure::Unavailable);
    exchange().await.problem(503, "SERVICE_UNAVAILABLE");
    exchange().await.expect(201);
}

#[actix_web::test]
async fn an_unknown_outcome_is_never_503() {
    let app = TestApp::start().await;
    for failure in [StoreFailure::OutcomeUnknownCommitted, StoreFailure::OutcomeUnknownLost] {
        app.store.fail_next(failure);
        let answer = app
            .post("/v1/agents")
            .key(&app.live)
            .json(&json!({"name": "a"}))
            .send()
            .await;
        assert_eq!(answer.problem(500, "INTERNAL_ERROR"), "an unexpected error occurred");
    }
}
