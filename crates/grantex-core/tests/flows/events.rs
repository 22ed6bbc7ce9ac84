//! The projections of events: log lines in the documented form.

use grantex_core::event::{Event, ExchangeStatus};
use serde_json::json;
use slog::Level;

use crate::support::World;

#[tokio::test]
async fn a_grant_is_logged_with_its_scopes_as_an_array() {
    let world = World::new().await;
    let agent = world.agent(&[]).await;
    let code = world.code(&agent, &["calendar:read", "email:send"]).await;
    world.log.take();
    let token = world.exchange(&agent, &code).await.unwrap();
    let lines = world.log.take();
    assert_eq!(
        lines
            .iter()
            .map(|line| (line.level, line.message.as_str()))
            .collect::<Vec<_>>(),
        [(Level::Info, "grant.created"), (Level::Info, "token.exchanged")]
    );
    assert_eq!(
        serde_json::to_value(&lines[0].fields).unwrap(),
        json!({
            "grantId": token.grant.id, "agentId": agent.id, "principalId": "user_1",
            "scopes": ["calendar:read", "email:send"], "latencyMs": 0,
        })
    );
}

#[tokio::test]
async fn a_refusal_is_a_warning_with_its_reason() {
    let world = World::new().await;
    world.grantex.emit(
        &world.ctx(),
        &Event::TokenExchangeRejected {
            status: ExchangeStatus::Pkce,
        },
    );
    let lines = world.log.take();
    assert_eq!(
        (lines[0].level, lines[0].message.as_str()),
        (Level::Warning, "token.exchange_rejected")
    );
    assert_eq!(lines[0].fields["reason"], "pkce");
}
