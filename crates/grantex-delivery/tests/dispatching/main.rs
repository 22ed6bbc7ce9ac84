//! The dispatcher over a store in memory, with a sender that does as it is told.
#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    missing_docs,
    reason = "a failed unwrap is a failed test"
)]

mod support;

use std::time::Duration;

use grantex_core::clock::Lifetime;
use grantex_core::webhook::send::{Received, SendError};
use grantex_core::webhook::{DeliveryStatus, DisabledReason, WebhookState};

use support::{Answer, World};

#[tokio::test]
async fn what_is_committed_is_sent_at_once_and_taken_down() {
    let world = World::start().await;
    let hook = world.webhook("a", &["grant.created", "token.issued"]).await;
    world.grant().await;
    world
        .until(async || world.count(&hook, DeliveryStatus::Delivered).await == 2)
        .await;
    assert_eq!(world.sender.kinds("a"), ["grant.created", "token.issued"]);
    assert_eq!(world.events(), ["webhook.delivered", "webhook.delivered"]);
    world.stop().await;
}

#[tokio::test]
async fn what_waited_before_the_start_is_found_without_a_hint() {
    let world = World::new().await;
    let hook = world.webhook("a", &["*"]).await;
    world.grant().await;
    world.bell.rung().await;
    let world = world.run();
    world
        .until(async || world.count(&hook, DeliveryStatus::Delivered).await == 2)
        .await;
    world.stop().await;
}

#[tokio::test]
async fn a_receiver_that_hangs_holds_up_no_other() {
    let world = World::start().await;
    world.sender.set("dead", Answer::Hang);
    let dead = world.webhook("dead", &["grant.created"]).await;
    let sound = world.webhook("sound", &["grant.created"]).await;
    for _ in 0..40 {
        world.grant().await;
    }
    world
        .until(async || world.count(&sound, DeliveryStatus::Delivered).await == 40)
        .await;
    assert_eq!(world.count(&dead, DeliveryStatus::Pending).await, 40);
    assert_eq!(world.sender.under_way("dead"), 4, "as many as one endpoint may have");
    world.sender.set("dead", Answer::Status(200));
    world
        .until(async || world.count(&dead, DeliveryStatus::Delivered).await == 40)
        .await;
    world.stop().await;
}

#[tokio::test]
async fn not_more_is_under_way_in_all_than_may_be() {
    let world = World::start().await;
    for name in ["a", "b", "c", "d"] {
        world.sender.set(name, Answer::Hang);
        world.webhook(name, &["grant.created"]).await;
    }
    for _ in 0..8 {
        world.grant().await;
    }
    world.until(async || world.sender.total() == 10).await;
    for name in ["a", "b", "c", "d"] {
        world.sender.set(name, Answer::Status(200));
    }
    world.until(async || world.sender.sent() == 32).await;
    assert_eq!(world.sender.peak(), 10);
    world.stop().await;
}

#[tokio::test]
async fn events_of_one_grant_arrive_in_their_order() {
    let world = World::start().await;
    let hook = world.webhook("a", &["*"]).await;
    let mut grants = Vec::new();
    for _ in 0..20 {
        grants.push(world.grant().await);
    }
    for grant in &grants {
        world.revoke(grant).await;
    }
    world
        .until(async || world.count(&hook, DeliveryStatus::Delivered).await == 60)
        .await;
    for grant in &grants {
        assert_eq!(
            world.sender.kinds_of("a", grant),
            ["grant.created", "token.issued", "grant.revoked"]
        );
    }
    world.stop().await;
}

#[tokio::test]
async fn a_failure_is_repeated_when_its_time_has_come_and_not_before() {
    let world = World::start().await;
    world.sender.set("a", Answer::Fail(SendError::ConnectFailed));
    let hook = world.webhook("a", &["grant.created"]).await;
    world.grant().await;
    world.until(async || world.attempts(&hook).await == [1]).await;
    world.sender.set("a", Answer::Status(204));
    world.looks(3).await;
    assert_eq!(world.sender.sent(), 1);
    world.clock.advance(Lifetime::seconds(6));
    world
        .until(async || world.count(&hook, DeliveryStatus::Delivered).await == 1)
        .await;
    assert_eq!(world.attempts(&hook).await, [2]);
    assert_eq!(world.events(), ["webhook.delivery_retried", "webhook.delivered"]);
    let bodies = world.sender.bodies("a");
    assert_eq!(bodies[0], bodies[1], "byte for byte");
    world.stop().await;
}

#[tokio::test]
async fn an_open_breaker_lets_one_probe_through() {
    let world = World::start().await;
    world.sender.set("a", Answer::Status(500));
    let hook = world.webhook("a", &["grant.created"]).await;
    for _ in 0..30 {
        world.grant().await;
    }
    world
        .until(async || world.sender.sent() >= 10 && world.sender.under_way("a") == 0)
        .await;
    world.looks(3).await;
    let sent = world.sender.sent();
    assert!((10..=13).contains(&sent), "{sent} were sent before the breaker opened");
    world.sender.set("a", Answer::Hang);
    world.clock.advance(Lifetime::seconds(31));
    world.until(async || world.sender.under_way("a") == 1).await;
    world.looks(3).await;
    assert_eq!(world.sender.under_way("a"), 1, "only one probes");
    world.sender.set("a", Answer::Status(200));
    world.clock.advance(Lifetime::minutes(5));
    world
        .until(async || world.count(&hook, DeliveryStatus::Delivered).await == 30)
        .await;
    world.stop().await;
}

#[tokio::test]
async fn gone_ends_the_endpoint() {
    let world = World::start().await;
    world.sender.set("a", Answer::Status(410));
    let hook = world.webhook("a", &["*"]).await;
    world.grant().await;
    world
        .until(async || world.count(&hook, DeliveryStatus::Failed).await == 2)
        .await;
    assert_eq!(world.state(&hook).await, WebhookState::Disabled(DisabledReason::Gone));
    world.grant().await;
    world.looks(3).await;
    assert_eq!((world.sender.sent(), world.total(&hook).await), (1, 2));
    world.stop().await;
}

#[tokio::test]
async fn a_paused_endpoint_is_left_alone_until_it_is_resumed() {
    let world = World::start().await;
    let hook = world.webhook("a", &["grant.created"]).await;
    world.pause(&hook).await;
    world.grant().await;
    world.looks(3).await;
    assert_eq!(world.sender.sent(), 0);
    world.resume(&hook).await;
    world
        .until(async || world.count(&hook, DeliveryStatus::Delivered).await == 1)
        .await;
    world.stop().await;
}

#[tokio::test]
async fn a_stop_lets_what_is_under_way_end_and_begins_nothing() {
    let world = World::start().await;
    world.sender.set("a", Answer::Hang);
    let hook = world.webhook("a", &["grant.created"]).await;
    for _ in 0..6 {
        world.grant().await;
    }
    world.until(async || world.sender.under_way("a") == 4).await;
    let stopping = world.begin_to_stop();
    world.sender.set("a", Answer::Status(200));
    stopping.await.unwrap();
    assert_eq!(world.count(&hook, DeliveryStatus::Delivered).await, 4);
    assert_eq!(world.count(&hook, DeliveryStatus::Pending).await, 2);
    assert!(world.is_claimable_by_another(&hook).await, "the claim was given back");
}

#[tokio::test]
async fn an_endpoint_of_another_server_is_left_alone_until_its_claim_runs_out() {
    let world = World::new().await;
    let hook = world.webhook("a", &["grant.created"]).await;
    world.claim_for_another(&hook).await;
    world.grant().await;
    let world = world.run();
    world.looks(3).await;
    assert_eq!(world.sender.sent(), 0);
    world.clock.advance(Lifetime::seconds(30));
    world
        .until(async || world.count(&hook, DeliveryStatus::Delivered).await == 1)
        .await;
    world.stop().await;
}

#[tokio::test]
async fn a_store_that_fails_for_a_while_loses_nothing() {
    let world = World::start().await;
    let hook = world.webhook("a", &["grant.created"]).await;
    world.store.set_read_failure(true);
    world.grant_without_reads().await;
    world.looks(2).await;
    world.store.set_read_failure(false);
    world
        .until(async || world.count(&hook, DeliveryStatus::Delivered).await == 1)
        .await;
    world.stop().await;
}

#[tokio::test]
async fn the_receivers_wish_for_time_is_passed_on() {
    let world = World::start().await;
    let busy = Received {
        status: 429,
        retry_after: Some(Duration::from_secs(120)),
    };
    world.sender.set("a", Answer::Whole(busy));
    let hook = world.webhook("a", &["grant.created"]).await;
    world.grant().await;
    world.until(async || world.attempts(&hook).await == [1]).await;
    world.sender.set("a", Answer::Status(200));
    world.clock.advance(Lifetime::seconds(119));
    world.looks(3).await;
    assert_eq!(world.sender.sent(), 1);
    world.clock.advance(Lifetime::seconds(1));
    world.until(async || world.sender.sent() == 2).await;
    world.stop().await;
}
