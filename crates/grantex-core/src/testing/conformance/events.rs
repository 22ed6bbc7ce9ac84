//! Reading events.

use super::support::{Tenant, odd_texts};
use crate::store::{EventRow, Store, StoredEvent};
use crate::testing::fixtures::Fixtures;

async fn append<S: Store>(store: &S, tenant: &Tenant, events: Vec<EventRow>) {
    tenant
        .write(store, move |ledger| {
            ledger.head.event_seq = events.last().unwrap().seq;
            ledger.events = events;
        })
        .await;
}

fn read_back(row: &EventRow) -> StoredEvent {
    let EventRow {
        seq,
        id,
        kind,
        payload,
        created_at,
        ..
    } = row.clone();
    StoredEvent {
        seq,
        id,
        kind: kind.to_owned(),
        payload,
        created_at,
    }
}

pub async fn events_are_read_in_order_behind_a_position<S: Store>(store: S) {
    let fixtures = Fixtures::new(80);
    let tenant = Tenant::create(&store, &fixtures).await;
    let other = Tenant::create(&store, &fixtures).await;
    let events: Vec<EventRow> = (1..=5).map(|seq| fixtures.event(&tenant.developer, seq)).collect();
    let foreign = fixtures.event(&other.developer, 1);
    append(&store, &tenant, events[..2].to_vec()).await;
    append(&store, &other, vec![foreign.clone()]).await;
    append(&store, &tenant, events[2..].to_vec()).await;

    let expected: Vec<StoredEvent> = events.iter().map(read_back).collect();
    let (own, others) = (tenant.developer.id, other.developer.id);
    let (all, two, rest, none, of_other) = query!(store, [own, others], |tx| (
        tx.events_after(&own, 0, 100).await?,
        tx.events_after(&own, 1, 2).await?,
        tx.events_after(&own, 3, 100).await?,
        tx.events_after(&own, 5, 100).await?,
        tx.events_after(&others, 0, 100).await?
    ));
    assert_eq!(all, expected);
    assert_eq!(two, expected[1..3]);
    assert_eq!(rest, expected[3..]);
    assert_eq!(none, []);
    assert_eq!(of_other, [read_back(&foreign)]);
}

pub async fn a_payload_keeps_its_bytes<S: Store>(store: S) {
    let fixtures = Fixtures::new(81);
    let tenant = Tenant::create(&store, &fixtures).await;
    // Receivers check a signature over these bytes, so their order and form must stay.
    let mut payloads = vec![
        r#"{"b": 1,  "a":1.0,"a":2,"é":"\u0041\u0000"}"#.to_owned(),
        "é".repeat(50_000),
    ];
    payloads.extend(odd_texts());
    let events: Vec<EventRow> = payloads
        .into_iter()
        .zip(1..)
        .map(|(payload, seq)| EventRow {
            payload,
            kind: "token.reuse_detected",
            ..fixtures.event(&tenant.developer, seq)
        })
        .collect();
    append(&store, &tenant, events.clone()).await;
    let id = tenant.developer.id;
    let found = query!(store, [id], |tx| tx.events_after(&id, 0, 100).await?);
    assert_eq!(found, events.iter().map(read_back).collect::<Vec<_>>());
}
