//! Webhook endpoints.

use super::support::{FAR, Tenant, odd_texts};
use crate::anomaly::Severity;
use crate::anomaly::channel::{Channel, ChannelKind};
use crate::clock::Lifetime;
use crate::event::filter::EventFilter;
use crate::store::Store;
use crate::testing::fixtures::Fixtures;
use crate::webhook::health::Health;
use crate::webhook::subscription::Subscriptions;
use crate::webhook::{Counts, Delivery, DeliveryStatus, DisabledReason, PreviousSecret, Webhook, WebhookState};

pub(super) async fn insert<S: Store>(store: &S, webhook: &Webhook) {
    commit!(store, [webhook], |tx| tx.insert_webhook(&webhook).await?);
}

pub(super) async fn enqueue<S: Store>(store: &S, tenant: &Tenant, deliveries: &[Delivery]) {
    let deliveries = deliveries.to_vec();
    tenant.write(store, move |ledger| ledger.deliveries = deliveries).await;
}

pub async fn an_endpoint_is_read_back_as_it_was_written<S: Store>(store: S) {
    let fixtures = Fixtures::new(150);
    let (tenant, other) = (
        Tenant::create(&store, &fixtures).await,
        Tenant::create(&store, &fixtures).await,
    );
    let plain = fixtures.webhook(&tenant.developer);
    let full = Webhook {
        url: format!("https://receiver.example/{}", "x".repeat(2_000)),
        events: EventFilter::parse(["grant.*", "token.issued"]).unwrap(),
        description: Some(odd_texts().concat()),
        state: WebhookState::Disabled(DisabledReason::Failing),
        previous_secret: Some(PreviousSecret {
            sealed: "older".into(),
            until: FAR,
        }),
        health: Health {
            failures: 12,
            openings: 2,
            failing_since: Some(fixtures.now()),
            resumes_at: Some(FAR),
            last_success_at: Some(fixtures.now()),
            last_failure_at: Some(fixtures.now()),
        },
        counts: Counts {
            delivered: 1,
            retried: 2,
            failed: 3,
        },
        ..fixtures.webhook(&tenant.developer)
    };
    for webhook in [&plain, &full] {
        insert(&store, webhook).await;
        let (owner, stranger, id) = (
            tenant.developer.id.clone(),
            other.developer.id.clone(),
            webhook.id.clone(),
        );
        let (own, foreign, any) = query!(store, [owner, stranger, id], |tx| (
            tx.webhook(&owner, &id).await?,
            tx.webhook(&stranger, &id).await?,
            tx.webhook_by_id(&id).await?
        ));
        assert_eq!(
            (own.as_ref(), foreign, any.as_ref()),
            (Some(webhook), None, Some(webhook))
        );
    }
}

pub async fn endpoints_are_listed_newest_first_and_deleted_ones_not_at_all<S: Store>(store: S) {
    let fixtures = Fixtures::new(151);
    let tenant = Tenant::create(&store, &fixtures).await;
    let made: Vec<Webhook> = (0..4).map(|_| fixtures.webhook(&tenant.developer)).collect();
    for webhook in &made {
        insert(&store, webhook).await;
    }
    let (gone, now) = (made[1].id.clone(), fixtures.now());
    let hide = [
        commit!(store, [gone], |tx| tx.hide_webhook(&gone, now).await?),
        commit!(store, [gone], |tx| tx.hide_webhook(&gone, now).await?),
    ];
    assert_eq!(hide, [true, false]);
    let owner = tenant.developer.id.clone();
    let (all, two, hidden) = query!(store, [owner, gone], |tx| (
        tx.webhooks(&owner, 100).await?,
        tx.webhooks(&owner, 2).await?,
        tx.webhook_by_id(&gone).await?
    ));
    assert_eq!(all, [made[3].clone(), made[2].clone(), made[0].clone()]);
    assert_eq!((two.as_slice(), hidden), (&all[..2], None));
    let webhook = made[1].clone();
    assert!(!commit!(store, [webhook], |tx| tx.update_webhook(&webhook).await?));
}

pub async fn what_deliveries_change_and_what_developers_change_is_apart<S: Store>(store: S) {
    let fixtures = Fixtures::new(152);
    let tenant = Tenant::create(&store, &fixtures).await;
    let made = fixtures.webhook(&tenant.developer);
    insert(&store, &made).await;
    let (id, health, counts) = (
        made.id.clone(),
        Health {
            failures: 3,
            failing_since: Some(fixtures.now()),
            last_failure_at: Some(fixtures.now()),
            ..Health::default()
        },
        Counts {
            retried: 3,
            ..Counts::default()
        },
    );
    commit!(store, [id], |tx| tx
        .update_webhook_health(&id, &health, &counts)
        .await?);
    let changed = Webhook {
        url: "https://receiver.example/new".into(),
        events: EventFilter::parse(["token.*"]).unwrap(),
        description: Some("note".into()),
        state: WebhookState::Paused,
        sealed_secret: "newer".into(),
        previous_secret: Some(PreviousSecret {
            sealed: made.sealed_secret.clone(),
            until: FAR,
        }),
        updated_at: FAR,
        // These are not the developer's to change.
        health: Health::default(),
        counts: Counts::default(),
        created_at: FAR,
        ..made.clone()
    };
    assert!(commit!(store, [changed], |tx| tx.update_webhook(&changed).await?));
    let found = query!(store, [id], |tx| tx.webhook_by_id(&id).await?).unwrap();
    let expected = Webhook {
        health,
        counts,
        created_at: made.created_at,
        ..changed
    };
    assert_eq!(found, expected);
}

pub async fn subscriptions_stand_with_the_head_and_ledgers_leave_them_alone<S: Store>(store: S) {
    let fixtures = Fixtures::new(153);
    let tenant = Tenant::create(&store, &fixtures).await;
    let webhook = fixtures.webhook(&tenant.developer);
    let wanted = Subscriptions::default().with(&webhook.id, &EventFilter::parse(["grant.*"]).unwrap());
    let (owner, all) = (tenant.developer.id.clone(), wanted.clone());
    // The same unit sees them when it asks for the head again, although it had locked it before.
    let seen = commit!(store, [owner, all], |tx| {
        tx.lock_head(&owner).await?;
        tx.set_subscriptions(&owner, &all).await?;
        tx.lock_head(&owner).await?.unwrap().subscriptions
    });
    assert_eq!(seen, wanted);
    tenant
        .write(&store, |ledger| {
            ledger.head.event_seq += 1;
            ledger.head.subscriptions = Subscriptions::default();
        })
        .await;
    let head = tenant.head(&store).await;
    assert_eq!((head.event_seq, head.subscriptions), (1, wanted));
}

pub async fn an_endpoint_is_claimed_by_one<S: Store>(store: S) {
    let fixtures = Fixtures::new(154);
    let tenant = Tenant::create(&store, &fixtures).await;
    let webhook = fixtures.webhook(&tenant.developer);
    insert(&store, &webhook).await;
    let (id, now) = (webhook.id.clone(), fixtures.now());
    let later = now.plus(Lifetime::seconds(30));
    macro_rules! claim {
        ($owner:literal, $now:expr) => {
            commit!(store, [id], |tx| tx
                .claim_webhook(&id, $owner, $now, $now.plus(Lifetime::seconds(30)))
                .await?)
        };
    }
    assert!(claim!("a", now));
    assert!(claim!("a", now), "the holder may renew");
    assert!(!claim!("b", now));
    assert!(!claim!("b", later.minus(Lifetime::millis(1))));
    assert!(claim!("b", later), "a claim runs out");
    assert!(!claim!("a", later));
    commit!(store, [id], |tx| tx.release_webhook(&id, "a").await?);
    assert!(!claim!("a", later), "nobody gives back what is another's");
    commit!(store, [id], |tx| tx.release_webhook(&id, "b").await?);
    assert!(claim!("a", later));
    let paused = Webhook {
        state: WebhookState::Paused,
        ..webhook
    };
    commit!(store, [paused], |tx| tx.update_webhook(&paused).await?);
    assert!(!claim!("a", later), "only active endpoints are served");
}

pub async fn only_endpoints_with_due_work_are_named<S: Store>(store: S) {
    let fixtures = Fixtures::new(155);
    let tenant = Tenant::create(&store, &fixtures).await;
    let now = fixtures.now().plus(Lifetime::hours(1));
    let health = |resumes_at| Health {
        failures: 10,
        openings: 1,
        resumes_at: Some(resumes_at),
        ..Health::default()
    };
    let make = |state, health| Webhook {
        state,
        health,
        ..fixtures.webhook(&tenant.developer)
    };
    let due = make(WebhookState::Active, Health::default());
    let probing = make(WebhookState::Active, health(now));
    let open = make(WebhookState::Active, health(now.plus(Lifetime::millis(1))));
    let paused = make(WebhookState::Paused, Health::default());
    let claimed = make(WebhookState::Active, Health::default());
    let waiting = make(WebhookState::Active, Health::default());
    let done = make(WebhookState::Active, Health::default());
    let deleted = make(WebhookState::Active, Health::default());
    let idle = make(WebhookState::Active, Health::default());
    let all = [&due, &probing, &open, &paused, &claimed, &waiting, &done, &deleted];
    for webhook in all.into_iter().chain([&idle]) {
        insert(&store, webhook).await;
    }
    let mut deliveries: Vec<Delivery> = all.iter().map(|webhook| fixtures.delivery(webhook, 1)).collect();
    deliveries[5].next_attempt_at = now.plus(Lifetime::millis(1));
    deliveries[6].status = DeliveryStatus::Delivered;
    deliveries[6].ended_at = Some(now);
    enqueue(&store, &tenant, &deliveries).await;
    let (held, gone) = (claimed.id.clone(), deleted.id.clone());
    commit!(store, [held, gone], |tx| {
        assert!(tx.claim_webhook(&held, "other", now, FAR).await?);
        assert!(tx.hide_webhook(&gone, now).await?);
    });
    let sorted = |mut ids: Vec<_>| {
        ids.sort();
        ids
    };
    let (mine, others, one) = query!(store, [], |tx| (
        tx.webhooks_with_work("me", now, 100).await?,
        tx.webhooks_with_work("other", now, 100).await?,
        tx.webhooks_with_work("me", now, 1).await?
    ));
    assert_eq!(sorted(mine), sorted(vec![due.id.clone(), probing.id.clone()]));
    assert_eq!(sorted(others), sorted(vec![due.id, probing.id, claimed.id]));
    assert_eq!(one.len(), 1);
}

pub async fn channels_are_endpoints_that_are_no_webhooks<S: Store>(store: S) {
    let fixtures = Fixtures::new(156);
    let (tenant, other) = (
        Tenant::create(&store, &fixtures).await,
        Tenant::create(&store, &fixtures).await,
    );
    let channel = |name: &str| Channel {
        kind: ChannelKind::Slack,
        name: name.into(),
        config: serde_json::Map::from_iter([("webhookUrl".to_owned(), odd_texts().concat().into())]),
        severities: vec![Severity::Critical, Severity::Low],
    };
    let make = |channel| Webhook {
        channel,
        ..fixtures.webhook(&tenant.developer)
    };
    let (webhook, older, gone) = (make(None), make(Some(channel("older"))), make(Some(channel("gone"))));
    let newer = make(Some(channel(&odd_texts().concat())));
    let theirs = Webhook {
        channel: Some(channel("theirs")),
        ..fixtures.webhook(&other.developer)
    };
    for endpoint in [&webhook, &older, &gone, &newer, &theirs] {
        insert(&store, endpoint).await;
    }
    let (hidden, now) = (gone.id.clone(), fixtures.now());
    assert!(commit!(store, [hidden], |tx| tx.hide_webhook(&hidden, now).await?));
    let (owner, id) = (tenant.developer.id.clone(), newer.id.clone());
    let (channels, webhooks, as_webhook, any, census) = query!(store, [owner, id], |tx| (
        tx.channels(&owner).await?,
        tx.webhooks(&owner, 100).await?,
        tx.webhook(&owner, &id).await?,
        tx.webhook_by_id(&id).await?,
        tx.webhook_census().await?
    ));
    assert_eq!(channels, [newer.clone(), older.clone()]);
    assert_eq!(webhooks, [webhook]);
    assert_eq!((as_webhook, any.as_ref()), (None, Some(&newer)));
    assert_eq!((census.active, census.paused), (1, 0), "channels are not counted");
    let changed = Webhook {
        channel: Some(channel("renamed")),
        state: WebhookState::Paused,
        ..older
    };
    assert!(commit!(store, [changed], |tx| tx.update_webhook(&changed).await?));
    let (owner, expected) = (tenant.developer.id.clone(), [newer, changed]);
    let channels = query!(store, [owner], |tx| tx.channels(&owner).await?);
    assert_eq!(channels, expected);
}
