//! What webhook endpoints go through: failing, disabled, paused, changed, removed.

use grantex_core::clock::Lifetime;
use grantex_core::developer::Mode;
use grantex_core::event::filter::EventFilter;
use grantex_core::event::{DeliveryFailure, Event};
use grantex_core::page::PageRequest;
use grantex_core::store::Backlog;
use grantex_core::sweep::Retention;
use grantex_core::webhook::health::Breaker;
use grantex_core::webhook::{
    CreateWebhook, DeliveryFilter, DeliveryStatus, DisabledReason, WebhookChanges, WebhookError, WebhookState,
};
use serde_json::{Value, json};

use crate::support::World;
use crate::webhooks::{FAILED, URL, answered, wish};

#[tokio::test]
async fn webhooks_of_other_developers_hear_nothing_and_are_not_there() {
    let world = World::new().await;
    let other = world.signup("Other", Mode::Sandbox).await;
    let foreign = world.create(&other, wish(&["*"])).await.unwrap().webhook.id;
    let agent = world.agent(&[]).await;
    world.grant_of(&agent).await;
    let filter = DeliveryFilter::default();
    let page = PageRequest::default();
    let own = world
        .grantex
        .deliveries(&other, foreign.clone(), filter, page.clone())
        .await;
    assert_eq!(own.unwrap().unwrap().total, 0);
    let (ctx, me) = (world.ctx(), &world.developer);
    assert_eq!(world.grantex.webhook(me, foreign.clone()).await.unwrap(), None);
    assert_eq!(
        world
            .grantex
            .deliveries(me, foreign.clone(), filter, page)
            .await
            .unwrap(),
        None
    );
    let deleted = world.grantex.delete_webhook(&ctx, me, foreign.clone()).await;
    assert!(matches!(deleted, Err(WebhookError::NotFound)));
    let paused = world.grantex.pause_webhook(&ctx, me, foreign.clone()).await;
    assert!(matches!(paused, Err(WebhookError::NotFound)));
    let tested = world.grantex.test_webhook(&ctx, me, foreign).await;
    assert!(matches!(tested, Err(WebhookError::NotFound)));
}

#[tokio::test]
async fn the_breaker_opens_lets_one_probe_through_and_closes() {
    let world = World::new().await;
    let agent = world.agent(&[]).await;
    let id = world.webhook(&["grant.created"]).await.id;
    for _ in 0..12 {
        world.grant_of(&agent).await;
    }
    let due = world.work(&id, &[]).await;
    assert_eq!(due.len(), 12);
    for delivery in &due[..10] {
        world.record(&id, delivery, FAILED).await;
    }
    let breaker = async || {
        let work = world.grantex.webhook_work(&world.ctx(), &id, &[], 100).await.unwrap();
        work.unwrap().breaker
    };
    assert_eq!(breaker().await, Breaker::Open);
    assert_eq!(world.grantex.webhooks_with_work("me", 10).await.unwrap(), []);
    world.clock.advance(Lifetime::seconds(30));
    assert_eq!(breaker().await, Breaker::Probing);
    assert_eq!(
        world.grantex.webhooks_with_work("me", 10).await.unwrap(),
        std::slice::from_ref(&id)
    );
    world.record(&id, &due[10], answered(200)).await;
    assert_eq!(breaker().await, Breaker::Closed);
    assert!(!world.seen(&id).await.is_failing());
}

#[tokio::test]
async fn gone_disables_at_once_and_tells_everybody_else() {
    let world = World::new().await;
    let agent = world.agent(&[]).await;
    let gone = world.webhook(&["*"]).await.id;
    let watcher = world.webhook(&["webhook.disabled"]).await.id;
    world.grant_of(&agent).await;
    let due = world.work(&gone, &[]).await.remove(0);
    world.recorder.take();
    world.record(&gone, &due, answered(410)).await;
    assert_eq!(
        world.seen(&gone).await.state,
        WebhookState::Disabled(DisabledReason::Gone)
    );
    let events = world.recorder.take();
    let failure = DeliveryFailure {
        webhook_id: gone.clone(),
        url: "https://receiver.example/hook".into(),
        status_code: Some(410),
        attempt: 1,
        error: "the receiver answered 410".into(),
        agent_id: Some(agent.id.clone()),
    };
    let disabled = Event::WebhookDisabled {
        webhook_id: gone.clone(),
        reason: DisabledReason::Gone,
    };
    assert_eq!(events, [Event::WebhookDeliveryFailed(failure), disabled]);
    // What waited has failed, and nothing new is queued, not even the news about itself.
    let failed = DeliveryStatus::Failed;
    assert_eq!(
        world.statuses(&gone).await,
        [
            ("grant.created".to_owned(), failed),
            ("token.issued".to_owned(), failed)
        ]
    );
    assert_eq!(
        world.statuses(&watcher).await,
        [("webhook.disabled".to_owned(), DeliveryStatus::Pending)]
    );
    let payload: Value = serde_json::from_str(&world.deliveries(&watcher).await[0].payload).unwrap();
    assert_eq!(payload["data"], json!({"webhookId": gone, "reason": "gone"}));
    world.grant_of(&agent).await;
    assert_eq!(world.deliveries(&gone).await.len(), 2);
    assert!(!world.grantex.claim_webhook(&world.ctx(), &gone, "me").await.unwrap());
}

#[tokio::test]
async fn five_days_of_failure_disable_and_resuming_starts_anew() {
    let world = World::new().await;
    let agent = world.agent(&[]).await;
    let id = world.webhook(&["grant.created"]).await.id;
    for day in [0, 2, 5] {
        assert_eq!(world.seen(&id).await.state, WebhookState::Active, "day {day}");
        world.grant_of(&agent).await;
        let newest = world.deliveries(&id).await.pop().unwrap();
        world.record(&id, &newest, FAILED).await;
        world.clock.advance(Lifetime::days(if day == 0 { 2 } else { 3 }));
    }
    assert_eq!(
        world.seen(&id).await.state,
        WebhookState::Disabled(DisabledReason::Failing)
    );
    let resumed = world
        .grantex
        .resume_webhook(&world.ctx(), &world.developer, id.clone())
        .await
        .unwrap();
    assert_eq!((resumed.state, resumed.health.failures), (WebhookState::Active, 0));
    world.grant_of(&agent).await;
    let newest = world.deliveries(&id).await.pop().unwrap();
    assert_eq!(newest.status, DeliveryStatus::Pending, "it is told of events again");
}

#[tokio::test]
async fn a_paused_endpoint_collects_and_a_resumed_one_gets_it_all() {
    let world = World::new().await;
    let agent = world.agent(&[]).await;
    let id = world.webhook(&["grant.created"]).await.id;
    let paused = world
        .grantex
        .pause_webhook(&world.ctx(), &world.developer, id.clone())
        .await
        .unwrap();
    assert_eq!(paused.state, WebhookState::Paused);
    world.grant_of(&agent).await;
    assert_eq!(world.work(&id, &[]).await, []);
    assert_eq!(world.grantex.webhooks_with_work("me", 10).await.unwrap(), []);
    let held = Backlog {
        held: 1,
        ..Backlog::default()
    };
    assert_eq!(world.grantex.webhook_backlog().await.unwrap(), held);
    world
        .grantex
        .resume_webhook(&world.ctx(), &world.developer, id.clone())
        .await
        .unwrap();
    assert_eq!(world.work(&id, &[]).await.len(), 1);
}

#[tokio::test]
async fn changed_wishes_count_from_the_next_event_on() {
    let world = World::new().await;
    let agent = world.agent(&[]).await;
    let id = world.webhook(&["grant.created"]).await.id;
    world.grant_of(&agent).await;
    let changes = WebhookChanges {
        events: Some(EventFilter::parse(["token.issued"]).unwrap()),
        description: Some(Some("note".into())),
        ..WebhookChanges::default()
    };
    let changed = world
        .grantex
        .update_webhook(&world.ctx(), &world.developer, id.clone(), changes)
        .await
        .unwrap();
    assert_eq!(
        (changed.url.as_str(), changed.description.as_deref()),
        (URL, Some("note"))
    );
    world.grant_of(&agent).await;
    let pending = DeliveryStatus::Pending;
    assert_eq!(
        world.statuses(&id).await,
        [
            ("grant.created".to_owned(), pending),
            ("token.issued".to_owned(), pending)
        ]
    );
}

#[tokio::test]
async fn a_deleted_endpoint_is_gone_with_its_deliveries() {
    let world = World::new().await;
    let agent = world.agent(&[]).await;
    let id = world.webhook(&["*"]).await.id;
    world.grant_of(&agent).await;
    let due = world.work(&id, &[]).await.remove(0);
    world
        .grantex
        .delete_webhook(&world.ctx(), &world.developer, id.clone())
        .await
        .unwrap();
    assert_eq!(world.grantex.webhooks(&world.developer).await.unwrap(), []);
    world.grant_of(&agent).await;
    // An attempt that was under way is taken down without harm.
    world.record(&id, &due, FAILED).await;
    let swept = world.grantex.janitor(&Retention::default()).await.unwrap();
    assert_eq!(swept.deliveries, 2);
    assert_eq!(
        world.grantex.janitor(&Retention::default()).await.unwrap().deliveries,
        0
    );
}

#[tokio::test]
async fn plans_and_url_rules_are_obeyed() {
    let world = World::new().await;
    let bad = CreateWebhook {
        url: "http://receiver.example/".into(),
        ..wish(&["*"])
    };
    assert!(matches!(
        world.create(&world.developer, bad).await,
        Err(WebhookError::Url(_))
    ));
    world
        .grantex
        .set_plan(&world.ctx(), world.developer.id.clone(), grantex_core::plan::Plan::Free)
        .await
        .unwrap();
    for _ in 0..30 {
        world.webhook(&["*"]).await;
    }
    let outcome = world.create(&world.developer, wish(&["*"])).await;
    assert!(matches!(outcome, Err(WebhookError::PlanLimit(limit)) if limit.limit == 30));
}
