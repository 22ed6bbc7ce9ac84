//! Channels: who is told of which anomalies, in what form, and what becomes of it.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use grantex_core::anomaly::Severity;
use grantex_core::anomaly::channel::{ChannelKind, MAX_CHANNELS};
use grantex_core::anomaly::channels::{ChangeChannel, ChannelView, CreateChannel};
use grantex_core::anomaly::manage::{AnomalyChange, AnomalyError};
use grantex_core::clock::Lifetime;
use grantex_core::event::{Event, NotificationOutcome};
use grantex_core::id::AnomalyChannelId;
use grantex_core::store::BoxFuture;
use grantex_core::webhook::WebhookState;
use grantex_core::webhook::send::{Mail, Message, Outgoing, Received, SendError, Sender};
use grantex_core::webhook::work::Attempt;
use grantex_core::webhook::{Delivery, Webhook};
use serde_json::{Map, Value, json};

use crate::support::World;
use crate::webhooks::answered;

const SLACK: &str = "https://hooks.slack.example/services/T0/B0/hidden";

/// Takes everything, and keeps it.
#[derive(Clone, Default)]
struct Taking(Arc<Mutex<Vec<String>>>);

impl Sender for Taking {
    fn send<'a>(&'a self, request: &'a Outgoing) -> BoxFuture<'a, Result<Received, SendError>> {
        let sent = format!("{} {}", request.url, request.body);
        self.0.lock().unwrap().push(sent);
        Box::pin(async { answered(200) })
    }

    fn has_mail(&self) -> bool {
        true
    }

    fn mail<'a>(&'a self, mail: &'a Mail) -> BoxFuture<'a, Result<Received, SendError>> {
        self.0.lock().unwrap().push(format!("{:?} {}", mail.to, mail.text));
        Box::pin(async { answered(550) })
    }
}

async fn world() -> (World, Taking) {
    let sender = Taking::default();
    let port = Arc::new(sender.clone());
    let world = World::built(|builder| builder.sender(port)).await;
    // Nine in the morning.
    world.clock.advance(Lifetime::hours(6));
    (world, sender)
}

fn wish(kind: ChannelKind, config: Value, severities: &[Severity]) -> CreateChannel {
    let Value::Object(config) = config else {
        panic!("an object")
    };
    CreateChannel {
        kind,
        name: "On call".into(),
        config,
        severities: severities.to_vec(),
    }
}

impl World {
    async fn channel(&self, kind: ChannelKind, config: Value, severities: &[Severity]) -> ChannelView {
        let ctx = self.ctx();
        let made = self
            .grantex
            .create_channel(&ctx, &self.developer, wish(kind, config, severities));
        made.await.unwrap().view
    }

    async fn slack(&self, severities: &[Severity]) -> ChannelView {
        self.channel(ChannelKind::Slack, json!({"webhookUrl": SLACK}), severities)
            .await
    }

    /// Makes an anomaly of high severity: entries about an agent that nobody registered.
    async fn strangers(&self) {
        for _ in 0..3 {
            let entry = grantex_core::audit::LogEntry {
                agent_id: "ag_01ARZ3NDEKTSV4RRFFQ69G5FAV".to_owned(),
                agent_did: String::new(),
                grant_id: String::new(),
                principal_id: "user_1".to_owned(),
                action: "mail.sent".to_owned(),
                metadata: Map::new(),
                status: grantex_core::audit::AuditStatus::Success,
            };
            let logged = self.grantex.log_audit(&self.ctx(), &self.developer, entry).await;
            logged.unwrap();
        }
        let detected = self.grantex.detect_anomalies(&self.ctx(), &self.developer.id).await;
        assert_eq!(detected.unwrap().raised.len(), 1);
    }

    async fn waiting(&self, channel: &ChannelView) -> Option<(Webhook, Vec<Delivery>)> {
        let work = self
            .grantex
            .webhook_work(&self.ctx(), &channel.id.endpoint(), &[], 100)
            .await
            .unwrap();
        work.map(|work| (work.webhook, work.deliveries))
    }

    async fn tried(&self, channel: &ChannelView, delivery: &Delivery, outcome: Result<Received, SendError>) {
        let attempt = Attempt {
            delivery: delivery.clone(),
            url: "channel:slack".into(),
            channel: Some(channel.channel.kind),
            outcome,
            ended_at: self.now(),
            took: Duration::from_millis(40),
        };
        let recorded = self
            .grantex
            .record_attempts(&self.ctx(), &channel.id.endpoint(), vec![attempt])
            .await;
        recorded.unwrap();
    }

    async fn only_channel(&self) -> ChannelView {
        let mut all = self.grantex.channels(&self.developer).await.unwrap();
        assert_eq!(all.len(), 1);
        all.remove(0)
    }
}

#[tokio::test]
async fn an_anomaly_is_queued_for_the_channels_that_want_its_severity() {
    let (world, _) = world().await;
    let high = world.slack(&[Severity::High]).await;
    let grave = world.slack(&[Severity::Critical]).await;
    let other = world.signup("Other", grantex_core::developer::Mode::Sandbox).await;
    let theirs = wish(ChannelKind::Slack, json!({"webhookUrl": SLACK}), &[Severity::High]);
    let theirs = world
        .grantex
        .create_channel(&world.ctx(), &other, theirs)
        .await
        .unwrap();
    world.strangers().await;
    let (endpoint, deliveries) = world.waiting(&high).await.unwrap();
    assert_eq!(deliveries.len(), 1);
    assert_eq!(deliveries[0].kind, "anomaly.detected");
    let Some(Message::Http(request)) = world.grantex.message(&endpoint, &deliveries[0]) else {
        panic!("a request")
    };
    assert_eq!((request.url.as_str(), request.headers.len()), (SLACK, 0));
    let body: Value = serde_json::from_str(&request.body).unwrap();
    assert_eq!(body["text"], "Grantex anomaly – high: unknown_agent");
    assert_eq!(world.waiting(&grave).await.unwrap().1, []);
    assert_eq!(world.waiting(&theirs.view).await.unwrap().1, []);
    // It is no webhook.
    let endpoint = high.id.endpoint();
    assert_eq!(world.grantex.webhook(&world.developer, endpoint).await.unwrap(), None);
    assert_eq!(world.grantex.webhooks(&world.developer).await.unwrap(), []);
}

#[tokio::test]
async fn each_kind_is_told_in_its_own_form() {
    let (world, _) = world().await;
    let all = Severity::ALL;
    let key = "0123456789abcdef0123456789abcdef";
    let signed = world
        .channel(ChannelKind::Webhook, json!({"url": "https://receiver.example/a"}), all)
        .await;
    let pager = world
        .channel(
            ChannelKind::PagerDuty,
            json!({"routingKey": key, "url": "https://events.eu.example/v2/enqueue"}),
            all,
        )
        .await;
    let mail = world
        .channel(
            ChannelKind::Email,
            json!({"to": ["a@example.com", "b@example.com"]}),
            all,
        )
        .await;
    world.strangers().await;
    let mut told = Vec::new();
    for channel in [&signed, &pager, &mail] {
        let (endpoint, deliveries) = world.waiting(channel).await.unwrap();
        told.push((
            world.grantex.message(&endpoint, &deliveries[0]).unwrap(),
            deliveries[0].clone(),
        ));
    }
    let [
        (Message::Http(signed), delivery),
        (Message::Http(pager), _),
        (Message::Mail(mail), _),
    ] = told.as_slice()
    else {
        panic!("two requests and a mail")
    };
    assert_eq!(
        (signed.url.as_str(), &*signed.body),
        ("https://receiver.example/a", delivery.payload.as_str())
    );
    assert!(signed.headers.iter().any(|(name, _)| *name == "X-Grantex-Signature-V2"));
    assert_eq!(pager.url, "https://events.eu.example/v2/enqueue");
    let event: Value = serde_json::from_str(&pager.body).unwrap();
    assert_eq!(
        (&event["routing_key"], &event["payload"]["severity"]),
        (&json!(key), &json!("error"))
    );
    assert_eq!(mail.to, ["a@example.com", "b@example.com"]);
    assert_eq!(mail.subject, "[Grantex] high: unknown_agent");
    assert_eq!(mail.id, delivery.event_id.as_str());
}

#[tokio::test]
async fn attempts_are_told_as_notifications_and_a_secret_is_in_nothing() {
    let (world, _) = world().await;
    let channel = world.slack(&[Severity::High]).await;
    world.strangers().await;
    let (_, deliveries) = world.waiting(&channel).await.unwrap();
    world.recorder.take();
    world.tried(&channel, &deliveries[0], answered(503)).await;
    world.clock.advance(Lifetime::seconds(6));
    let (_, again) = world.waiting(&channel).await.unwrap();
    world.tried(&channel, &again[0], answered(200)).await;
    let told: Vec<(NotificationOutcome, Option<u16>, u32)> = world
        .recorder
        .take()
        .into_iter()
        .map(|event| match event {
            Event::ChannelNotified(told) => {
                assert_eq!((told.channel_id, told.kind), (channel.id.clone(), ChannelKind::Slack));
                (told.outcome, told.status_code, told.attempt)
            }
            other => panic!("{other:?}"),
        })
        .collect();
    let expected = [
        (NotificationOutcome::Retried, Some(503), 1),
        (NotificationOutcome::Delivered, Some(200), 2),
    ];
    assert_eq!(told, expected);
    let seen = world.only_channel().await;
    assert_eq!((seen.counts.delivered, seen.counts.retried), (1, 1));
    let lines = format!("{:?} {seen:?} {deliveries:?}", world.log.take());
    assert!(!lines.contains("hidden"), "{lines}");
}

#[tokio::test]
async fn a_receiver_that_is_gone_switches_its_channel_off_until_somebody_switches_it_on() {
    let (world, _) = world().await;
    let channel = world.slack(&[Severity::High]).await;
    world.strangers().await;
    let (_, deliveries) = world.waiting(&channel).await.unwrap();
    world.recorder.take();
    world.tried(&channel, &deliveries[0], answered(410)).await;
    let told = world.recorder.take();
    let is_told = |change| {
        let subject = channel.id.to_string();
        told.contains(&Event::AnomalyChanged { subject, change })
    };
    assert!(is_told(AnomalyChange::ChannelDisabled), "{told:?}");
    assert!(matches!(world.only_channel().await.state, WebhookState::Disabled(_)));
    assert!(world.waiting(&channel).await.is_none());
    let on = ChangeChannel {
        is_enabled: Some(true),
        ..ChangeChannel::default()
    };
    let changed = world
        .grantex
        .change_channel(&world.ctx(), &world.developer, channel.id.clone(), on)
        .await
        .unwrap();
    assert_eq!((changed.state, changed.health.failures), (WebhookState::Active, 0));
}

#[tokio::test]
async fn a_channel_is_changed_and_one_that_is_off_is_told_nothing() {
    let (world, _) = world().await;
    let channel = world.slack(&[Severity::High]).await;
    let change = ChangeChannel {
        is_enabled: Some(false),
        name: Some("Night".into()),
        severities: Some(vec![Severity::Low, Severity::High]),
    };
    let changed = world
        .grantex
        .change_channel(&world.ctx(), &world.developer, channel.id.clone(), change)
        .await
        .unwrap();
    assert_eq!(
        (changed.channel.name.as_str(), changed.state),
        ("Night", WebhookState::Paused)
    );
    assert_eq!(changed.channel.severities, [Severity::High, Severity::Low]);
    world.strangers().await;
    let on = ChangeChannel {
        is_enabled: Some(true),
        ..ChangeChannel::default()
    };
    let ctx = world.ctx();
    let on = world
        .grantex
        .change_channel(&ctx, &world.developer, channel.id.clone(), on);
    on.await.unwrap();
    assert_eq!(world.waiting(&channel).await.unwrap().1, []);
}

#[tokio::test]
async fn a_channel_is_of_its_developer_only_and_gone_when_it_is_removed() {
    let (world, _) = world().await;
    let channel = world.slack(&[Severity::High]).await;
    let stranger = world.signup("Other", grantex_core::developer::Mode::Sandbox).await;
    let webhook = world.webhook(&["*"]).await;
    for (developer, id) in [
        (&stranger, channel.id.clone()),
        (&world.developer, webhook.id.channel()),
        (
            &world.developer,
            AnomalyChannelId::parse("achan_01ARZ3NDEKTSV4RRFFQ69G5FAV").unwrap(),
        ),
    ] {
        let (ctx, change) = (world.ctx(), ChangeChannel::default());
        let refused = [
            world.grantex.delete_channel(&ctx, developer, id.clone()).await.err(),
            world
                .grantex
                .change_channel(&ctx, developer, id.clone(), change)
                .await
                .err(),
            world.grantex.test_channel(&ctx, developer, id.clone()).await.err(),
        ];
        let is_not_found = |error: &Option<AnomalyError>| matches!(error, Some(AnomalyError::NotFound("channel")));
        assert!(refused.iter().all(is_not_found), "{refused:?}");
    }
    let ctx = world.ctx();
    let removed = world.grantex.delete_channel(&ctx, &world.developer, channel.id.clone());
    removed.await.unwrap();
    assert!(world.grantex.channels(&world.developer).await.unwrap().is_empty());
    assert!(world.waiting(&channel).await.is_none());
}

#[tokio::test]
async fn a_test_is_sent_at_once_and_its_outcome_is_told() {
    let (world, sender) = world().await;
    let slack = world.slack(&[Severity::High]).await;
    let mail = world
        .channel(ChannelKind::Email, json!({"to": "a@example.com"}), &[Severity::High])
        .await;
    let test = |id: AnomalyChannelId| {
        let (grantex, ctx, developer) = (world.grantex.clone(), world.ctx(), world.developer.clone());
        async move { grantex.test_channel(&ctx, &developer, id).await.unwrap() }
    };
    assert!(test(slack.id.clone()).await.is_delivered());
    let refused = test(mail.id.clone()).await;
    assert_eq!((refused.is_delivered(), refused.outcome), (false, answered(550)));
    let sent = sender.0.lock().unwrap().clone();
    assert!(
        sent[0].starts_with(SLACK) && sent[0].contains("a test of the channel On call"),
        "{sent:?}"
    );
    assert!(
        sent[1].contains("a@example.com") && sent[1].contains("a test of the channel On call"),
        "{sent:?}"
    );
    assert!(world.stored_events().await.is_empty(), "nothing happened");
}

#[tokio::test]
async fn what_cannot_be_told_is_refused() {
    let without = World::new().await;
    let refuse = async |world: &World, kind, config| {
        let ctx = world.ctx();
        let made = world
            .grantex
            .create_channel(&ctx, &world.developer, wish(kind, config, &[Severity::High]));
        match made.await.unwrap_err() {
            AnomalyError::Channel(problem) => problem.field,
            other => panic!("{other:?}"),
        }
    };
    let to = json!({"to": "a@example.com"});
    assert_eq!(refuse(&without, ChannelKind::Email, to).await, "type", "no mail server");
    let (world, _) = world().await;
    let insecure = json!({"webhookUrl": "http://hooks.slack.example/x"});
    assert_eq!(refuse(&world, ChannelKind::Slack, insecure).await, "config.webhookUrl");
    for _ in 0..MAX_CHANNELS {
        world.slack(&[Severity::High]).await;
    }
    let one_more = wish(ChannelKind::Slack, json!({"webhookUrl": SLACK}), &[Severity::High]);
    let refused = world
        .grantex
        .create_channel(&world.ctx(), &world.developer, one_more)
        .await
        .unwrap_err();
    assert!(
        matches!(refused, AnomalyError::TooMany { what: "channels", .. }),
        "{refused:?}"
    );
}
