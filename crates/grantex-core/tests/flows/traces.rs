//! A caller's trace goes on into what its call leaves behind, and the call is recorded.

use std::sync::Arc;

use grantex_core::audit::{AuditFilter, Chain, chain};
use grantex_core::clock::Clock as _;
use grantex_core::context::Context;
use grantex_core::event::filter::EventFilter;
use grantex_core::token::biscuit::TokenFormat;
use grantex_core::trace::{Recording, TraceContext};
use grantex_core::webhook::CreateWebhook;

use crate::support::World;

const PARENT: &str = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01";

#[tokio::test]
async fn audit_entries_and_deliveries_carry_the_trace_beside_what_is_hashed() {
    let world = World::new().await;
    let agent = world.agent(&[]).await;
    let wish = CreateWebhook {
        url: "https://receiver.example/hook".into(),
        events: EventFilter::everything(),
        description: None,
        secret: None,
    };
    let created = world.grantex.create_webhook(&world.ctx(), &world.developer, wish).await;
    let webhook = created.unwrap().webhook;
    let place = TraceContext::parse(PARENT).unwrap();
    let recording = Recording::with_spans(Arc::new(world.clock.clone()), place);
    let ctx = Context::new(
        world.log.logger(),
        "req".into(),
        world.clock.monotonic(),
        recording.clone(),
    );
    let code = world.code(&agent, &["read"]).await;
    let command = grantex_core::token::ExchangeCode {
        code,
        agent_id: Some(agent.id.clone()),
        verifier: None,
        redirect_uri: None,
        format: TokenFormat::Jwt,
    };
    world
        .grantex
        .exchange_code(&ctx, &world.developer, command)
        .await
        .unwrap();

    let filter = AuditFilter::default();
    let entries = world
        .grantex
        .audit_entries(&world.developer, Chain::Server, filter, None, 10)
        .await;
    let entries = entries.unwrap().items;
    assert_eq!(entries.len(), 2);
    for entry in entries {
        assert_eq!(entry.trace_id, Some(place.trace_id));
        assert_eq!(chain::hash(&entry), entry.hash);
        assert!(!chain::hashed_text(&entry).contains("0af7651916cd43dd8448eb211c80319c"));
    }
    let work = world.grantex.webhook_work(&world.ctx(), &webhook.id, &[], 10).await;
    let delivery = work.unwrap().unwrap().deliveries.remove(0);
    let outgoing = world.grantex.sign_delivery(&webhook, &delivery).unwrap();
    assert!(outgoing.headers.contains(&("traceparent", PARENT.to_owned())));

    let spans = recording.end("POST /v1/token".into(), None, false, Vec::new());
    let names: Vec<&str> = spans.iter().map(|span| span.name.as_str()).collect();
    assert_eq!(
        names,
        ["grantex.token.sign", "grantex.token.exchange", "POST /v1/token"]
    );
}

#[tokio::test]
async fn without_a_trace_nothing_of_one_is_left() {
    let world = World::new().await;
    let agent = world.agent(&[]).await;
    world.issue(&agent, &["read"]).await;
    let filter = AuditFilter::default();
    let entries = world
        .grantex
        .audit_entries(&world.developer, Chain::Server, filter, None, 10)
        .await;
    assert!(entries.unwrap().items.iter().all(|entry| entry.trace_id.is_none()));
}
