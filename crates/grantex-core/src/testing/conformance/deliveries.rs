//! Deliveries of webhooks.

use super::support::{FAR, Tenant, odd_texts};
use super::webhooks::{enqueue, insert};
use crate::clock::{Lifetime, Timestamp};
use crate::id::DeliveryId;
use crate::page::{PageRequest, PageStart};
use crate::store::{Backlog, Store, WebhookCensus};
use crate::testing::fixtures::Fixtures;
use crate::webhook::health::Health;
use crate::webhook::work::DeliveryChange;
use crate::webhook::{Delivery, DeliveryFilter, DeliveryStatus, DisabledReason, Webhook, WebhookState};

async fn stored<S: Store>(store: &S, delivery: &Delivery) -> Option<Delivery> {
    let (webhook, id) = (delivery.webhook_id.clone(), delivery.id.clone());
    query!(store, [webhook, id], |tx| tx.delivery(&webhook, &id).await?)
}

fn change(delivery: &Delivery, status: DeliveryStatus, at: Timestamp) -> DeliveryChange {
    DeliveryChange {
        id: delivery.id.clone(),
        status,
        attempts: delivery.attempts + 1,
        next_attempt_at: at,
        last_status: Some(503),
        last_error: Some("the receiver answered 503".into()),
        sent_to: Some("https://receiver.example/elsewhere".into()),
        ended_at: (status != DeliveryStatus::Pending).then_some(at),
    }
}

pub async fn a_delivery_is_read_back_as_it_was_written<S: Store>(store: S) {
    let fixtures = Fixtures::new(156);
    let tenant = Tenant::create(&store, &fixtures).await;
    let (webhook, other) = (fixtures.webhook(&tenant.developer), fixtures.webhook(&tenant.developer));
    insert(&store, &webhook).await;
    insert(&store, &other).await;
    let mut deliveries: Vec<Delivery> = odd_texts()
        .into_iter()
        .zip(1..)
        .map(|(payload, seq)| Delivery {
            payload,
            ..fixtures.delivery(&webhook, seq)
        })
        .collect();
    deliveries.push(Delivery {
        kind: "token.reuse_detected".into(),
        order_key: "grnt_x".into(),
        status: DeliveryStatus::Failed,
        attempts: 10,
        last_status: Some(599),
        last_error: Some("text".into()),
        sent_to: Some("https://receiver.example/old".into()),
        ended_at: Some(FAR),
        ..fixtures.delivery(&webhook, 1_000_000_000_000)
    });
    enqueue(&store, &tenant, &deliveries).await;
    for delivery in &deliveries {
        assert_eq!(stored(&store, delivery).await.as_ref(), Some(delivery));
        let foreign = Delivery {
            webhook_id: other.id.clone(),
            ..delivery.clone()
        };
        assert_eq!(stored(&store, &foreign).await, None);
    }
}

pub async fn an_endpoint_gets_each_event_once<S: Store>(store: S) {
    let fixtures = Fixtures::new(157);
    let tenant = Tenant::create(&store, &fixtures).await;
    let webhook = fixtures.webhook(&tenant.developer);
    insert(&store, &webhook).await;
    let (first, again) = (fixtures.delivery(&webhook, 7), fixtures.delivery(&webhook, 7));
    enqueue(&store, &tenant, std::slice::from_ref(&first)).await;
    let twice = vec![again.clone()];
    let outcome = tenant.try_write(&store, move |ledger| ledger.deliveries = twice).await;
    assert!(outcome.is_err());
    assert_eq!(stored(&store, &again).await, None);
    let elsewhere = fixtures.webhook(&tenant.developer);
    insert(&store, &elsewhere).await;
    enqueue(&store, &tenant, &[fixtures.delivery(&elsewhere, 7)]).await;
    let id = webhook.id.clone();
    let positions = query!(store, [id], |tx| (
        tx.delivered_positions(&id, 1, 6).await?,
        tx.delivered_positions(&id, 7, 7).await?
    ));
    assert_eq!(positions, (vec![], vec![7]));
}

pub async fn deliveries_are_paged_newest_event_first<S: Store>(store: S) {
    let fixtures = Fixtures::new(158);
    let tenant = Tenant::create(&store, &fixtures).await;
    let webhook = fixtures.webhook(&tenant.developer);
    insert(&store, &webhook).await;
    let mut deliveries: Vec<Delivery> = (1..=5).map(|seq| fixtures.delivery(&webhook, seq)).collect();
    deliveries[1].status = DeliveryStatus::Failed;
    deliveries[3].status = DeliveryStatus::Failed;
    enqueue(&store, &tenant, &deliveries).await;
    let id = webhook.id.clone();
    let (mut found, mut from) = (Vec::new(), PageStart::Number(1));
    loop {
        let page = PageRequest { size: 2, from };
        let page = query!(store, [id, page], |tx| tx
            .deliveries(&id, &DeliveryFilter::default(), &page)
            .await?);
        found.extend(page.items);
        match page.next {
            Some(cursor) => from = PageStart::After(cursor),
            None => break,
        }
    }
    let newest_first: Vec<Delivery> = deliveries.iter().rev().cloned().collect();
    assert_eq!(found, newest_first);
    let failed = DeliveryFilter {
        status: Some(DeliveryStatus::Failed),
    };
    let second = PageRequest {
        size: 1,
        from: PageStart::Number(2),
    };
    let (page, all, some, at_most) = query!(store, [id, second], |tx| (
        tx.deliveries(&id, &failed, &second).await?,
        tx.count_deliveries_up_to(&id, &DeliveryFilter::default(), 100).await?,
        tx.count_deliveries_up_to(&id, &failed, 100).await?,
        tx.count_deliveries_up_to(&id, &DeliveryFilter::default(), 3).await?
    ));
    assert_eq!((page.items, all, some, at_most), (vec![deliveries[1].clone()], 5, 2, 3));
}

pub async fn due_deliveries_come_longest_due_first<S: Store>(store: S) {
    let fixtures = Fixtures::new(159);
    let tenant = Tenant::create(&store, &fixtures).await;
    let webhook = fixtures.webhook(&tenant.developer);
    insert(&store, &webhook).await;
    let now = fixtures.now().plus(Lifetime::hours(1));
    let mut deliveries: Vec<Delivery> = (1..=5).map(|seq| fixtures.delivery(&webhook, seq)).collect();
    deliveries[0].next_attempt_at = now;
    deliveries[1].next_attempt_at = now.plus(Lifetime::millis(1));
    deliveries[2].status = DeliveryStatus::Delivered;
    deliveries[4].next_attempt_at = now;
    enqueue(&store, &tenant, &deliveries).await;
    let id = webhook.id.clone();
    let (due, one) = query!(store, [id], |tx| (
        tx.due_deliveries(&id, now, 10).await?,
        tx.due_deliveries(&id, now, 1).await?
    ));
    assert_eq!(
        due,
        [deliveries[3].clone(), deliveries[0].clone(), deliveries[4].clone()]
    );
    assert_eq!(one, due[..1]);
}

pub async fn the_first_pending_of_each_key_is_found<S: Store>(store: S) {
    let fixtures = Fixtures::new(160);
    let tenant = Tenant::create(&store, &fixtures).await;
    let (webhook, other) = (fixtures.webhook(&tenant.developer), fixtures.webhook(&tenant.developer));
    insert(&store, &webhook).await;
    insert(&store, &other).await;
    let keyed = |webhook: &Webhook, seq, key: &str, status| Delivery {
        order_key: key.into(),
        status,
        ..fixtures.delivery(webhook, seq)
    };
    let (pending, over) = (DeliveryStatus::Pending, DeliveryStatus::Delivered);
    let mut late = keyed(&webhook, 2, "a", pending);
    late.next_attempt_at = FAR;
    let deliveries = [
        keyed(&webhook, 1, "a", over),
        late.clone(),
        keyed(&webhook, 3, "a", pending),
        keyed(&webhook, 4, "b", pending),
        keyed(&webhook, 5, "c", over),
        keyed(&webhook, 6, "d", pending),
        keyed(&other, 1, "a", pending),
    ];
    enqueue(&store, &tenant, &deliveries).await;
    let (id, keys) = (webhook.id.clone(), ["a", "b", "c", "x"].map(str::to_owned).to_vec());
    let mut first = query!(store, [id, keys], |tx| tx.first_pending(&id, &keys).await?);
    first.sort();
    let expected = [
        ("a".to_owned(), 2, FAR),
        ("b".to_owned(), 4, deliveries[3].next_attempt_at),
    ];
    assert_eq!(first, expected);
}

pub async fn a_change_leaves_what_it_does_not_name<S: Store>(store: S) {
    let fixtures = Fixtures::new(161);
    let tenant = Tenant::create(&store, &fixtures).await;
    let webhook = fixtures.webhook(&tenant.developer);
    insert(&store, &webhook).await;
    let deliveries: Vec<Delivery> = (1..=3).map(|seq| fixtures.delivery(&webhook, seq)).collect();
    enqueue(&store, &tenant, &deliveries).await;
    let failed = [
        change(&deliveries[0], DeliveryStatus::Pending, FAR),
        change(&deliveries[1], DeliveryStatus::Failed, FAR),
    ];
    commit!(store, [failed], |tx| tx.change_deliveries(&failed).await?);
    let after = stored(&store, &deliveries[0]).await.unwrap();
    let expected = Delivery {
        attempts: 1,
        next_attempt_at: FAR,
        last_status: Some(503),
        last_error: Some("the receiver answered 503".into()),
        sent_to: Some("https://receiver.example/elsewhere".into()),
        ..deliveries[0].clone()
    };
    assert_eq!(after, expected);
    assert_eq!(stored(&store, &deliveries[1]).await.unwrap().ended_at, Some(FAR));
    assert_eq!(stored(&store, &deliveries[2]).await.as_ref(), Some(&deliveries[2]));
    let delivered = [DeliveryChange {
        last_status: Some(204),
        last_error: None,
        sent_to: None,
        ..change(&after, DeliveryStatus::Delivered, FAR)
    }];
    commit!(store, [delivered], |tx| tx.change_deliveries(&delivered).await?);
    let expected = Delivery {
        status: DeliveryStatus::Delivered,
        attempts: 2,
        last_status: Some(204),
        ended_at: Some(FAR),
        ..expected
    };
    assert_eq!(stored(&store, &deliveries[0]).await, Some(expected));
    commit!(store, [], |tx| tx.change_deliveries(&[]).await?);
}

pub async fn pending_deliveries_are_postponed_and_advanced<S: Store>(store: S) {
    let fixtures = Fixtures::new(162);
    let tenant = Tenant::create(&store, &fixtures).await;
    let webhook = fixtures.webhook(&tenant.developer);
    insert(&store, &webhook).await;
    let keyed = |seq, key: &str, status| Delivery {
        order_key: key.into(),
        status,
        ..fixtures.delivery(&webhook, seq)
    };
    let (pending, failed) = (DeliveryStatus::Pending, DeliveryStatus::Failed);
    let deliveries = [
        keyed(1, "a", pending),
        keyed(2, "a", failed),
        keyed(3, "b", pending),
        keyed(4, "a", pending),
    ];
    enqueue(&store, &tenant, &deliveries).await;
    let ids: Vec<DeliveryId> = deliveries.iter().map(|delivery| delivery.id.clone()).collect();
    commit!(store, [ids], |tx| tx.postpone_deliveries(&ids, FAR).await?);
    let (id, now) = (webhook.id.clone(), fixtures.now());
    commit!(store, [id], |tx| tx.advance_deliveries(&id, "a", now).await?);
    let mut times = Vec::new();
    for delivery in &deliveries {
        times.push(stored(&store, delivery).await.unwrap().next_attempt_at);
    }
    assert_eq!(times, [now, deliveries[1].next_attempt_at, FAR, now]);
}

pub async fn pending_deliveries_are_given_up_in_batches<S: Store>(store: S) {
    let fixtures = Fixtures::new(163);
    let tenant = Tenant::create(&store, &fixtures).await;
    let (webhook, other) = (fixtures.webhook(&tenant.developer), fixtures.webhook(&tenant.developer));
    insert(&store, &webhook).await;
    insert(&store, &other).await;
    let mut deliveries: Vec<Delivery> = (1..=4).map(|seq| fixtures.delivery(&webhook, seq)).collect();
    deliveries[2].status = DeliveryStatus::Delivered;
    deliveries.push(fixtures.delivery(&other, 1));
    enqueue(&store, &tenant, &deliveries).await;
    let (id, now) = (webhook.id.clone(), fixtures.now());
    let mut counts = Vec::new();
    for _ in 0..3 {
        counts.push(commit!(store, [id], |tx| tx
            .fail_pending(&id, "disabled", now, 2)
            .await?));
    }
    assert_eq!(counts, [2, 1, 0]);
    let expected = Delivery {
        status: DeliveryStatus::Failed,
        last_error: Some("disabled".into()),
        ended_at: Some(now),
        ..deliveries[0].clone()
    };
    assert_eq!(stored(&store, &deliveries[0]).await, Some(expected));
    for untouched in &deliveries[2..] {
        let found = stored(&store, untouched).await.unwrap();
        let is_untouched = found == *untouched;
        assert_eq!(is_untouched, untouched.event_seq != 4, "{found:?}");
    }
}

pub async fn failed_deliveries_are_queued_again<S: Store>(store: S) {
    let fixtures = Fixtures::new(164);
    let tenant = Tenant::create(&store, &fixtures).await;
    let webhook = fixtures.webhook(&tenant.developer);
    insert(&store, &webhook).await;
    let since = fixtures.now().plus(Lifetime::hours(1));
    let mut deliveries: Vec<Delivery> = (1..=5)
        .map(|seq| Delivery {
            status: DeliveryStatus::Failed,
            attempts: 10,
            last_error: Some("text".into()),
            ended_at: Some(FAR),
            created_at: since,
            ..fixtures.delivery(&webhook, seq)
        })
        .collect();
    deliveries[0].created_at = since.minus(Lifetime::millis(1));
    deliveries[1].status = DeliveryStatus::Delivered;
    enqueue(&store, &tenant, &deliveries).await;
    let (id, now) = (webhook.id.clone(), since.plus(Lifetime::hours(1)));
    let mut counts = Vec::new();
    for _ in 0..3 {
        counts.push(commit!(store, [id], |tx| tx.requeue_failed(&id, since, now, 2).await?));
    }
    assert_eq!(counts, [2, 1, 0]);
    for (delivery, is_meant) in deliveries.iter().zip([false, false, true, true, true]) {
        let expected = match is_meant {
            false => delivery.clone(),
            true => Delivery {
                status: DeliveryStatus::Pending,
                attempts: 0,
                next_attempt_at: now,
                ended_at: None,
                ..delivery.clone()
            },
        };
        assert_eq!(stored(&store, delivery).await, Some(expected));
    }
}

pub async fn the_backlog_is_counted_by_what_it_waits_for<S: Store>(store: S) {
    let fixtures = Fixtures::new(165);
    let tenant = Tenant::create(&store, &fixtures).await;
    let now = fixtures.now().plus(Lifetime::hours(1));
    assert_eq!(query!(store, [], |tx| tx.backlog(now).await?), Backlog::default());
    let (active, paused) = (
        fixtures.webhook(&tenant.developer),
        Webhook {
            state: WebhookState::Paused,
            ..fixtures.webhook(&tenant.developer)
        },
    );
    let failing = Webhook {
        health: Health {
            failing_since: Some(now),
            ..Health::default()
        },
        ..fixtures.webhook(&tenant.developer)
    };
    let disabled = Webhook {
        state: WebhookState::Disabled(DisabledReason::Gone),
        ..fixtures.webhook(&tenant.developer)
    };
    for webhook in [&active, &paused, &failing, &disabled] {
        insert(&store, webhook).await;
    }
    let mut held = fixtures.delivery(&paused, 1);
    held.created_at = Timestamp::from_millis(1);
    let mut over = fixtures.delivery(&active, 1);
    over.status = DeliveryStatus::Delivered;
    let oldest = fixtures.delivery(&active, 2);
    let mut later = fixtures.delivery(&active, 3);
    later.next_attempt_at = now.plus(Lifetime::millis(1));
    let other = fixtures.delivery(&failing, 1);
    enqueue(&store, &tenant, &[held, over, oldest.clone(), later, other]).await;
    let id = active.id.clone();
    let (all, own, census) = query!(store, [id], |tx| (
        tx.backlog(now).await?,
        tx.backlog_of(&id, now).await?,
        tx.webhook_census().await?
    ));
    let expected = Backlog {
        due: 1,
        scheduled: 1,
        held: 0,
        oldest: Some(oldest.created_at),
    };
    assert_eq!(own, expected);
    let expected = Backlog {
        due: 2,
        held: 1,
        ..expected
    };
    assert_eq!(all, expected);
    let expected = WebhookCensus {
        active: 1,
        failing: 1,
        paused: 1,
        disabled: 1,
    };
    assert_eq!(census, expected);
}

pub async fn ended_deliveries_go_by_age_and_pending_ones_never<S: Store>(store: S) {
    let fixtures = Fixtures::new(166);
    let tenant = Tenant::create(&store, &fixtures).await;
    let webhook = fixtures.webhook(&tenant.developer);
    insert(&store, &webhook).await;
    let before = fixtures.now().plus(Lifetime::hours(1));
    let ended = |seq, status, ended_at| Delivery {
        status,
        ended_at,
        ..fixtures.delivery(&webhook, seq)
    };
    let over = Some(before.minus(Lifetime::millis(1)));
    let deliveries = [
        ended(1, DeliveryStatus::Delivered, over),
        ended(2, DeliveryStatus::Delivered, over),
        ended(3, DeliveryStatus::Delivered, Some(before)),
        ended(4, DeliveryStatus::Failed, over),
        ended(5, DeliveryStatus::Pending, None),
    ];
    enqueue(&store, &tenant, &deliveries).await;
    macro_rules! remove {
        ($status:ident) => {
            commit!(store, [], |tx| tx
                .remove_deliveries(DeliveryStatus::$status, before, 1)
                .await?)
        };
    }
    let removed = [
        remove!(Delivered),
        remove!(Delivered),
        remove!(Delivered),
        remove!(Pending),
    ];
    assert_eq!(removed, [1, 1, 0, 0]);
    let mut left = Vec::new();
    for delivery in &deliveries {
        left.push(stored(&store, delivery).await.is_some());
    }
    assert_eq!(left, [false, false, true, true, true]);
    assert_eq!([remove!(Failed), remove!(Failed)], [1, 0]);
}

pub async fn what_a_deleted_endpoint_left_goes_in_batches<S: Store>(store: S) {
    let fixtures = Fixtures::new(167);
    let tenant = Tenant::create(&store, &fixtures).await;
    let (gone, kept) = (fixtures.webhook(&tenant.developer), fixtures.webhook(&tenant.developer));
    insert(&store, &gone).await;
    insert(&store, &kept).await;
    let mut deliveries: Vec<Delivery> = (1..=3).map(|seq| fixtures.delivery(&gone, seq)).collect();
    deliveries.push(fixtures.delivery(&kept, 1));
    enqueue(&store, &tenant, &deliveries).await;
    let (id, now) = (gone.id.clone(), fixtures.now());
    assert!(commit!(store, [id], |tx| tx.hide_webhook(&id, now).await?));
    let mut removed = Vec::new();
    for _ in 0..3 {
        removed.push(commit!(store, [], |tx| tx.remove_deleted_webhooks(2).await?));
    }
    assert_eq!(removed, [2, 1, 0]);
    assert_eq!(stored(&store, &deliveries[0]).await, None);
    assert_eq!(stored(&store, &deliveries[3]).await.as_ref(), Some(&deliveries[3]));
    // Its row is gone as well: another with this id can be made.
    insert(&store, &gone).await;
}
