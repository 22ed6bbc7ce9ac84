//! Webhooks: what is told to whom, and what becomes of deliveries.

use std::time::Duration;

use grantex_core::agent::Agent;
use grantex_core::clock::{Lifetime, Timestamp};
use grantex_core::developer::Developer;
use grantex_core::event::Event;
use grantex_core::event::filter::EventFilter;
use grantex_core::id::WebhookId;
use grantex_core::page::PageRequest;
use grantex_core::secret::Secret;
use grantex_core::webhook::send::{Received, SendError};
use grantex_core::webhook::signature;
use grantex_core::webhook::work::Attempt;
use grantex_core::webhook::{
    CreateWebhook, CreatedWebhook, Delivery, DeliveryFilter, DeliveryStatus, Recovered, RedeliverError, Webhook,
    WebhookError,
};
use serde_json::json;
use slog::Level;

use crate::support::World;

pub const URL: &str = "https://receiver.example/hook?token=hidden";
pub const FAILED: Result<Received, SendError> = Err(SendError::ConnectFailed);

pub fn answered(status: u16) -> Result<Received, SendError> {
    Ok(Received {
        status,
        retry_after: None,
    })
}

pub fn wish(events: &[&str]) -> CreateWebhook {
    CreateWebhook {
        url: URL.into(),
        events: EventFilter::parse(events.iter().copied()).unwrap(),
        description: None,
        secret: None,
    }
}

impl World {
    pub async fn webhook(&self, events: &[&str]) -> Webhook {
        self.create(&self.developer, wish(events)).await.unwrap().webhook
    }

    pub async fn create(&self, developer: &Developer, wish: CreateWebhook) -> Result<CreatedWebhook, WebhookError> {
        self.grantex.create_webhook(&self.ctx(), developer, wish).await
    }

    pub async fn seen(&self, id: &WebhookId) -> Webhook {
        self.grantex
            .webhook(&self.developer, id.clone())
            .await
            .unwrap()
            .unwrap()
    }

    /// All deliveries, in the order of their events.
    pub async fn deliveries(&self, id: &WebhookId) -> Vec<Delivery> {
        let page = PageRequest {
            size: 1_000,
            ..PageRequest::default()
        };
        let found = self
            .grantex
            .deliveries(&self.developer, id.clone(), DeliveryFilter::default(), page)
            .await
            .unwrap();
        found.unwrap().page.items.into_iter().rev().collect()
    }

    pub async fn statuses(&self, id: &WebhookId) -> Vec<(String, DeliveryStatus)> {
        let deliveries = self.deliveries(id).await;
        deliveries.into_iter().map(|found| (found.kind, found.status)).collect()
    }

    pub async fn work(&self, id: &WebhookId, under_way: &[Delivery]) -> Vec<Delivery> {
        let work = self
            .grantex
            .webhook_work(&self.ctx(), id, under_way, 100)
            .await
            .unwrap();
        work.map(|work| work.deliveries).unwrap_or_default()
    }

    pub async fn record(&self, id: &WebhookId, delivery: &Delivery, outcome: Result<Received, SendError>) {
        let attempt = Attempt {
            delivery: delivery.clone(),
            url: URL.into(),
            channel: None,
            outcome,
            ended_at: self.now(),
            took: Duration::from_millis(40),
        };
        self.grantex
            .record_attempts(&self.ctx(), id, vec![attempt])
            .await
            .unwrap();
    }

    pub async fn grant_of(&self, agent: &Agent) -> grantex_core::token::IssuedToken {
        self.issue(agent, &["read"]).await
    }
}

#[tokio::test]
async fn each_event_is_queued_for_those_who_want_it_in_its_own_transaction() {
    let world = World::new().await;
    let agent = world.agent(&[]).await;
    let grants = world.webhook(&["grant.*"]).await.id;
    let tokens = world.webhook(&["token.issued"]).await.id;
    let everything = world.webhook(&["*"]).await.id;
    let token = world.grant_of(&agent).await;
    world
        .grantex
        .revoke_grant(&world.ctx(), &world.developer, token.grant.id.clone())
        .await
        .unwrap();
    let kinds = async |id| {
        let all: Vec<String> = world.deliveries(id).await.into_iter().map(|found| found.kind).collect();
        all
    };
    assert_eq!(kinds(&grants).await, ["grant.created", "grant.revoked"]);
    assert_eq!(kinds(&tokens).await, ["token.issued"]);
    assert_eq!(
        kinds(&everything).await,
        ["grant.created", "token.issued", "grant.revoked"]
    );
    // The bytes are those of the event, and deliveries of one grant keep their order.
    let events = world.stored_events().await;
    for (delivery, event) in world.deliveries(&everything).await.iter().zip(&events) {
        assert_eq!((&delivery.payload, &delivery.event_id), (&event.payload, &event.id));
        assert_eq!(
            (delivery.event_seq, &delivery.order_key),
            (event.seq, &token.grant.id.to_string())
        );
    }
}

#[tokio::test]
async fn a_unit_that_fails_leaves_no_delivery() {
    let world = World::new().await;
    let agent = world.agent(&[]).await;
    let id = world.webhook(&["*"]).await.id;
    let code = world.code(&agent, &["read"]).await;
    world
        .store
        .fail_next(grantex_core::testing::StoreFailure::OutcomeUnknownLost);
    assert!(world.exchange(&agent, &code).await.is_err());
    assert_eq!(world.deliveries(&id).await, []);
    world.exchange(&agent, &code).await.unwrap();
    assert_eq!(world.deliveries(&id).await.len(), 2);
}

#[tokio::test]
async fn the_secret_is_the_clients_or_made_and_kept_sealed() {
    let world = World::new().await;
    let made = world.create(&world.developer, wish(&["*"])).await.unwrap();
    assert_eq!(made.secret.expose().len(), 48);
    assert!(
        made.secret
            .expose()
            .bytes()
            .all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f'))
    );
    assert!(!made.webhook.sealed_secret.contains(made.secret.expose()));
    let own = CreateWebhook {
        secret: Some(Secret::new("a-secret-of-mine-0123".into())),
        ..wish(&["*"])
    };
    let own = world.create(&world.developer, own).await.unwrap();
    assert_eq!(own.secret.expose(), "a-secret-of-mine-0123");

    world
        .grantex
        .test_webhook(&world.ctx(), &world.developer, own.webhook.id.clone())
        .await
        .unwrap();
    let delivery = &world.work(&own.webhook.id, &[]).await[0];
    let request = world.grantex.sign_delivery(&own.webhook, delivery).unwrap();
    assert_eq!((request.url.as_str(), &*request.body), (URL, delivery.payload.as_str()));
    let expected = signature::headers(
        &own.secret,
        None,
        delivery.event_id.as_str(),
        world.now(),
        &delivery.payload,
    );
    assert_eq!(request.headers, expected);
}

#[tokio::test]
async fn both_secrets_sign_until_the_overlap_ends() {
    let world = World::new().await;
    let made = world.create(&world.developer, wish(&["*"])).await.unwrap();
    let id = made.webhook.id.clone();
    let rotated = world
        .grantex
        .rotate_webhook_secret(
            &world.ctx(),
            &world.developer,
            id.clone(),
            None,
            Some(Lifetime::hours(1)),
        )
        .await
        .unwrap();
    assert_eq!(rotated.previous_until, world.now().plus(Lifetime::hours(1)));
    world
        .grantex
        .test_webhook(&world.ctx(), &world.developer, id.clone())
        .await
        .unwrap();
    let delivery = world.work(&id, &[]).await.remove(0);
    let webhook = world.seen(&id).await;
    let signed = |now: Timestamp, previous: Option<&Secret<String>>| {
        signature::headers(
            &rotated.secret,
            previous,
            delivery.event_id.as_str(),
            now,
            &delivery.payload,
        )
    };
    world.clock.advance(Lifetime::millis(3_599_999));
    let request = world.grantex.sign_delivery(&webhook, &delivery).unwrap();
    assert_eq!(request.headers, signed(world.now(), Some(&made.secret)));
    world.clock.advance(Lifetime::millis(1));
    let request = world.grantex.sign_delivery(&webhook, &delivery).unwrap();
    assert_eq!(request.headers, signed(world.now(), None));
}

#[tokio::test]
async fn a_delivery_that_fails_is_tried_again_on_schedule_and_then_given_up() {
    let world = World::with_settings(|settings| {
        settings.webhooks.schedule = grantex_core::webhook::schedule::Schedule::short();
    })
    .await;
    let agent = world.agent(&[]).await;
    let id = world.webhook(&["grant.created"]).await.id;
    world.grant_of(&agent).await;
    world.recorder.take();
    world.log.take();
    let mut waits = Vec::new();
    for attempt in 1..=5 {
        let due = world.work(&id, &[]).await;
        assert_eq!(due.len(), 1, "attempt {attempt}");
        assert_eq!(due[0].attempts, attempt - 1);
        world.record(&id, &due[0], answered(500)).await;
        let after = world.deliveries(&id).await.remove(0);
        if attempt < 5 {
            assert_eq!(world.work(&id, &[]).await, [], "not before its time");
            let wait = after.next_attempt_at.since(world.now());
            waits.push(wait.as_millis() / 1_000);
            world.clock.advance(wait);
        }
    }
    assert!(
        waits
            .iter()
            .zip([30, 60, 120, 240])
            .all(|(wait, planned)| (planned..=planned * 11 / 10).contains(wait)),
        "{waits:?}"
    );
    let given_up = world.deliveries(&id).await.remove(0);
    assert_eq!(
        (
            given_up.status,
            given_up.attempts,
            given_up.last_status,
            given_up.last_error.as_deref()
        ),
        (DeliveryStatus::Failed, 5, Some(500), Some("the receiver answered 500"))
    );
    assert_eq!(given_up.sent_to.as_deref(), Some(URL));
    let names: Vec<&str> = world.recorder.take().iter().map(Event::message).collect();
    assert_eq!(
        names,
        [
            "webhook.delivery_retried",
            "webhook.delivery_retried",
            "webhook.delivery_retried",
            "webhook.delivery_retried",
            "webhook.delivery_failed"
        ]
    );
    let line = world.log.take().pop().unwrap();
    assert_eq!(
        (line.level, line.message.as_str()),
        (Level::Error, "webhook.delivery_failed")
    );
    assert_eq!(
        serde_json::to_value(&line.fields).unwrap(),
        json!({
            "webhookId": id, "agentId": agent.id, "url": "https://receiver.example/hook", "statusCode": 500, "attempt": 5,
            "error": "the receiver answered 500", "latencyMs": 40,
        })
    );
    let counts = world.seen(&id).await.counts;
    assert_eq!((counts.delivered, counts.retried, counts.failed), (0, 4, 1));
}

#[tokio::test]
async fn every_status_is_data_and_only_2xx_counts() {
    let world = World::new().await;
    let agent = world.agent(&[]).await;
    let id = world.webhook(&["grant.created"]).await.id;
    for status in [200, 204, 205, 299] {
        world.grant_of(&agent).await;
        let delivery = world.work(&id, &[]).await.remove(0);
        world.record(&id, &delivery, answered(status)).await;
        let newest = world.deliveries(&id).await.pop().unwrap();
        assert_eq!(
            (newest.status, newest.last_status),
            (DeliveryStatus::Delivered, Some(status))
        );
        assert_eq!(newest.ended_at, Some(world.now()));
    }
    for status in [300, 304, 400, 404, 429, 500, 599, 999] {
        world.grant_of(&agent).await;
        let delivery = world.work(&id, &[]).await.remove(0);
        world.record(&id, &delivery, answered(status)).await;
        let newest = world.deliveries(&id).await.pop().unwrap();
        assert_eq!(
            (newest.status, newest.last_status),
            (DeliveryStatus::Pending, Some(status))
        );
    }
}

#[tokio::test]
async fn a_receiver_may_ask_for_more_time() {
    let world = World::new().await;
    let agent = world.agent(&[]).await;
    let id = world.webhook(&["grant.created"]).await.id;
    world.grant_of(&agent).await;
    let delivery = world.work(&id, &[]).await.remove(0);
    let busy = Ok(Received {
        status: 503,
        retry_after: Some(Duration::from_secs(900)),
    });
    world.record(&id, &delivery, busy).await;
    let after = world.deliveries(&id).await.remove(0);
    assert_eq!(after.next_attempt_at, world.now().plus(Lifetime::minutes(15)));
}

#[tokio::test]
async fn events_of_one_grant_wait_for_each_other_and_others_do_not() {
    let world = World::new().await;
    let agent = world.agent(&[]).await;
    let id = world.webhook(&["*"]).await.id;
    let (first, second) = (world.grant_of(&agent).await, world.grant_of(&agent).await);
    let keys = |due: &[Delivery]| {
        let all: Vec<(String, String)> = due
            .iter()
            .map(|found| (found.order_key.clone(), found.kind.clone()))
            .collect();
        all
    };
    let of = |grant: &grantex_core::token::IssuedToken, kind: &str| (grant.grant.id.to_string(), kind.to_owned());
    let due = world.work(&id, &[]).await;
    assert_eq!(keys(&due), [of(&first, "grant.created"), of(&second, "grant.created")]);
    assert_eq!(world.work(&id, &due).await, [], "nothing overtakes what is under way");

    world.record(&id, &due[0], FAILED).await;
    world.record(&id, &due[1], answered(200)).await;
    let due = world.work(&id, &[]).await;
    assert_eq!(keys(&due), [of(&second, "token.issued")]);
    world.record(&id, &due[0], answered(200)).await;
    assert_eq!(world.work(&id, &[]).await, []);
    // What waits behind the failed one was put off until its time, and comes right behind it.
    let waiting = world.deliveries(&id).await;
    assert_eq!(waiting[0].next_attempt_at, waiting[1].next_attempt_at);
    world.clock.advance(Lifetime::seconds(6));
    let due = world.work(&id, &[]).await;
    assert_eq!(keys(&due), [of(&first, "grant.created")]);
    world.record(&id, &due[0], answered(200)).await;
    assert_eq!(keys(&world.work(&id, &[]).await), [of(&first, "token.issued")]);
}

#[tokio::test]
async fn a_late_delivery_frees_those_behind_it() {
    let world = World::new().await;
    let agent = world.agent(&[]).await;
    let id = world.webhook(&["*"]).await.id;
    world.grant_of(&agent).await;
    let due = world.work(&id, &[]).await.remove(0);
    world.record(&id, &due, FAILED).await;
    world.clock.advance(Lifetime::seconds(6));
    let again = world.work(&id, &[]).await.remove(0);
    world.record(&id, &again, FAILED).await;
    assert_eq!(world.work(&id, &[]).await, [], "the second waits with the first");
    world.clock.advance(Lifetime::seconds(40));
    let again = world.work(&id, &[]).await.remove(0);
    world.record(&id, &again, answered(200)).await;
    assert_eq!(world.work(&id, &[]).await.len(), 1);
}

#[tokio::test]
async fn a_test_event_reaches_only_the_endpoint_under_test() {
    let world = World::new().await;
    let id = world.webhook(&["grant.created"]).await.id;
    let other = world.webhook(&["*"]).await.id;
    world
        .grantex
        .test_webhook(&world.ctx(), &world.developer, id.clone())
        .await
        .unwrap();
    assert_eq!(
        world.statuses(&id).await,
        [("webhook.test".to_owned(), DeliveryStatus::Pending)]
    );
    assert_eq!(world.deliveries(&other).await, []);
}

#[tokio::test]
async fn a_delivery_that_has_ended_can_be_sent_again() {
    let world = World::new().await;
    let agent = world.agent(&[]).await;
    let id = world.webhook(&["grant.created"]).await.id;
    world.grant_of(&agent).await;
    let due = world.work(&id, &[]).await.remove(0);
    let redeliver = async |delivery| {
        world
            .grantex
            .redeliver(&world.ctx(), &world.developer, id.clone(), delivery)
            .await
    };
    assert!(matches!(redeliver(due.id.clone()).await, Err(RedeliverError::Pending)));
    world.record(&id, &due, answered(200)).await;
    let (again, url) = redeliver(due.id.clone()).await.unwrap();
    assert_eq!(
        (again.status, again.attempts, url.as_str()),
        (DeliveryStatus::Pending, 0, URL)
    );
    let due_again = world.work(&id, &[]).await.remove(0);
    assert_eq!((&due_again.id, &due_again.payload), (&due.id, &due.payload));
}

#[tokio::test]
async fn everything_since_a_time_is_recovered_once() {
    let world = World::with_settings(|settings| {
        settings.webhooks.schedule = grantex_core::webhook::schedule::Schedule::new(Vec::new()).unwrap();
    })
    .await;
    let agent = world.agent(&[]).await;
    world.grant_of(&agent).await;
    world.clock.advance(Lifetime::hours(1));
    let since = world.now();
    world.grant_of(&agent).await;
    let id = world.webhook(&["grant.*"]).await.id;
    world.grant_of(&agent).await;
    world.grant_of(&agent).await;
    let due = world.work(&id, &[]).await;
    world.record(&id, &due[0], FAILED).await;
    world.record(&id, &due[1], answered(200)).await;
    let recover = async || {
        world
            .grantex
            .recover_webhook(&world.ctx(), &world.developer, id.clone(), since)
            .await
            .unwrap()
    };
    // One had failed, one happened before there was an endpoint, one happened too early.
    let expected = Recovered {
        failed: 1,
        missing: 1,
        is_partial: false,
    };
    assert_eq!(recover().await, expected);
    let (pending, delivered) = (DeliveryStatus::Pending, DeliveryStatus::Delivered);
    let statuses: Vec<_> = world
        .statuses(&id)
        .await
        .into_iter()
        .map(|(_, status)| status)
        .collect();
    assert_eq!(statuses, [pending, pending, delivered]);
    assert_eq!(recover().await, Recovered::default(), "what waits is not queued twice");
    let recovered = world.deliveries(&id).await.remove(0);
    assert!(
        !recovered.order_key.is_empty(),
        "it keeps its place among the events of its grant"
    );
}

#[tokio::test]
async fn several_attempts_are_taken_down_together() {
    let world = World::new().await;
    let agent = world.agent(&[]).await;
    let id = world.webhook(&["grant.created"]).await.id;
    for _ in 0..3 {
        world.grant_of(&agent).await;
    }
    world.clock.advance(Lifetime::seconds(2));
    let attempts: Vec<Attempt> = world
        .work(&id, &[])
        .await
        .into_iter()
        .zip([answered(200), FAILED, answered(202)])
        .map(|(delivery, outcome)| Attempt {
            delivery,
            url: URL.into(),
            channel: None,
            outcome,
            ended_at: world.now(),
            took: Duration::from_millis(40),
        })
        .collect();
    world.recorder.take();
    world
        .grantex
        .record_attempts(&world.ctx(), &id, attempts)
        .await
        .unwrap();
    let events = world.recorder.take();
    assert_eq!(
        events.iter().map(Event::message).collect::<Vec<_>>(),
        ["webhook.delivered", "webhook.delivery_retried", "webhook.delivered"]
    );
    let delivered = Event::WebhookDelivered {
        webhook_id: id.clone(),
        status_code: 200,
        attempt: 1,
        since_event: Duration::from_secs(2),
        agent_id: Some(agent.id.clone()),
    };
    assert_eq!(events[0], delivered);
    let webhook = world.seen(&id).await;
    assert_eq!((webhook.counts.delivered, webhook.counts.retried), (2, 1));
    assert!(!webhook.is_failing(), "the last word was a success");
}
