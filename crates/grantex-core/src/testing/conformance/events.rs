//! Reading events.

use super::support::{Tenant, odd_texts};
use crate::clock::{Lifetime, Timestamp};
use crate::event::filter::EventFilter;
use crate::event::history::EventQuery;
use crate::id::{DeveloperId, EventId};
use crate::page::{Page, PageRequest, PageStart};
use crate::store::{EventHead, EventRange, EventRow, Store, StoredEvent};
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

async fn list<S: Store>(
    store: &S,
    developer: &DeveloperId,
    query: &EventQuery,
    page: PageRequest,
) -> Page<StoredEvent> {
    query!(store, [developer, query, page], |tx| tx
        .events(&developer, &query, &page)
        .await?)
}

fn page(size: u32, from: PageStart) -> PageRequest {
    PageRequest { size, from }
}

pub async fn events_are_paged_newest_first<S: Store>(store: S) {
    let fixtures = Fixtures::new(82);
    let tenant = Tenant::create(&store, &fixtures).await;
    let other = Tenant::create(&store, &fixtures).await;
    let id = &tenant.developer.id;
    let everything = EventQuery::default();
    let nothing = Page {
        items: vec![],
        next: None,
    };
    assert_eq!(list(&store, id, &everything, PageRequest::default()).await, nothing);

    let events: Vec<EventRow> = (1..=7).map(|seq| fixtures.event(&tenant.developer, seq)).collect();
    append(&store, &tenant, events.clone()).await;
    append(&store, &other, vec![fixtures.event(&other.developer, 1)]).await;
    let expected: Vec<StoredEvent> = events.iter().rev().map(read_back).collect();

    let mut seen = Vec::new();
    let mut from = PageStart::Number(1);
    for number in 1..=3 {
        let by_cursor = list(&store, id, &everything, page(3, from)).await;
        assert_eq!(
            list(&store, id, &everything, page(3, PageStart::Number(number))).await,
            by_cursor,
            "page {number}"
        );
        seen.extend(by_cursor.items);
        let last = seen.last().map(StoredEvent::cursor);
        assert_eq!(by_cursor.next, last.filter(|_| number < 3));
        from = by_cursor.next.map_or(PageStart::Number(1), PageStart::After);
    }
    assert_eq!(seen, expected);
    assert_eq!(
        list(&store, id, &everything, page(7, PageStart::Number(2))).await,
        nothing
    );
}

pub async fn events_are_filtered_by_type_and_time<S: Store>(store: S) {
    let fixtures = Fixtures::new(83);
    let tenant = Tenant::create(&store, &fixtures).await;
    let start = fixtures.now();
    // Seconds at which the events happened: those of one developer may be out of order by as much as clocks disagree.
    let kinds = [
        "grant.created",
        "token.issued",
        "grant.revoked",
        "token.issued",
        "grant.denied",
    ];
    let seconds = [600, 601, 600, 900, 899];
    let at = |second: i64| start.plus(Lifetime::seconds(second));
    let events: Vec<EventRow> = (1..)
        .zip(kinds.into_iter().zip(seconds))
        .map(|(seq, (kind, second))| EventRow {
            kind,
            created_at: at(second),
            ..fixtures.event(&tenant.developer, seq)
        })
        .collect();
    append(&store, &tenant, events).await;

    let found = async |types: &[&str], since: Option<Timestamp>, until: Option<Timestamp>| {
        let filter = EventFilter::parse(types.iter().copied()).unwrap();
        let query = EventQuery { filter, since, until };
        let found = list(&store, &tenant.developer.id, &query, PageRequest::default()).await;
        found.items.iter().map(|event| event.seq).collect::<Vec<_>>()
    };
    assert_eq!(found(&["*"], None, None).await, [5, 4, 3, 2, 1]);
    assert_eq!(found(&["grant.*"], None, None).await, [5, 3, 1]);
    assert_eq!(found(&["grant.revoked", "grant.denied"], None, None).await, [5, 3]);
    assert_eq!(found(&["grant.revoked"], None, None).await, [3]);
    assert_eq!(found(&["token.issued", "grant.denied"], None, None).await, [5, 4, 2]);
    assert_eq!(found(&["budget.threshold"], None, None).await, [] as [i64; 0]);
    // `since` is inclusive, `until` exclusive, to the millisecond.
    assert_eq!(found(&[], Some(at(601)), None).await, [5, 4, 2]);
    assert_eq!(found(&[], None, Some(at(601))).await, [3, 1]);
    assert_eq!(found(&[], Some(at(600)), Some(at(900))).await, [5, 3, 2, 1]);
    assert_eq!(found(&["token.issued"], Some(at(601)), Some(at(900))).await, [2]);
    assert_eq!(found(&[], Some(at(901)), None).await, [] as [i64; 0]);
    assert_eq!(found(&[], None, Some(start)).await, [] as [i64; 0]);
    let edges = [Timestamp::from_millis(i64::MIN), Timestamp::from_millis(i64::MAX)];
    assert_eq!(found(&[], Some(edges[0]), Some(edges[1])).await, [5, 4, 3, 2, 1]);
}

pub async fn the_range_tells_what_is_kept<S: Store>(store: S) {
    let fixtures = Fixtures::new(84);
    let tenant = Tenant::create(&store, &fixtures).await;
    let (id, stranger) = (tenant.developer.id.clone(), fixtures.developer().id);
    let range = async |id: &DeveloperId| query!(store, [id], |tx| tx.event_range(&id).await?);
    let none = EventRange { oldest: 1, newest: 0 };
    assert_eq!((range(&id).await, range(&stranger).await), (none, none));

    let events: Vec<EventRow> = (1..=3).map(|seq| fixtures.event(&tenant.developer, seq)).collect();
    let (first, last) = (events[0].created_at, events[2].created_at);
    append(&store, &tenant, events).await;
    assert_eq!(range(&id).await, EventRange { oldest: 1, newest: 3 });
    let after = first.plus(Lifetime::millis(1));
    commit!(store, [], |tx| tx.remove_events(after, 10).await?);
    assert_eq!(range(&id).await, EventRange { oldest: 2, newest: 3 });
    let after = last.plus(Lifetime::millis(1));
    commit!(store, [], |tx| tx.remove_events(after, 10).await?);
    assert_eq!(range(&id).await, EventRange { oldest: 4, newest: 3 });
}

pub async fn an_event_is_found_by_its_id<S: Store>(store: S) {
    let fixtures = Fixtures::new(85);
    let tenant = Tenant::create(&store, &fixtures).await;
    let other = Tenant::create(&store, &fixtures).await;
    let now = fixtures.now();
    // Two that share their millisecond.
    let events: Vec<EventRow> = (1..=2)
        .map(|seq| EventRow {
            created_at: now,
            id: crate::id::new_id(fixtures.random(), now),
            ..fixtures.event(&tenant.developer, seq)
        })
        .collect();
    append(&store, &tenant, events.clone()).await;
    let seq = async |developer: &DeveloperId, event: &EventId| {
        query!(store, [developer, event], |tx| tx.event_seq(&developer, &event).await?)
    };
    for event in &events {
        assert_eq!(seq(&tenant.developer.id, &event.id).await, Some(event.seq));
        assert_eq!(
            seq(&other.developer.id, &event.id).await,
            None,
            "it is another developer's"
        );
    }
    assert_eq!(seq(&tenant.developer.id, &fixtures.id()).await, None);
}

pub async fn heads_tell_the_newest_position_and_the_key<S: Store>(store: S) {
    let fixtures = Fixtures::new(86);
    let (one, two) = (
        Tenant::create(&store, &fixtures).await,
        Tenant::create(&store, &fixtures).await,
    );
    append(&store, &two, vec![fixtures.event(&two.developer, 1)]).await;
    let mut ids = vec![one.developer.id.clone(), two.developer.id.clone()];
    // More than one statement can name at once.
    ids.extend((0..2_500).map(|_| fixtures.id::<DeveloperId>()));
    let mut heads = query!(store, [ids], |tx| tx.event_heads(&ids).await?);
    heads.sort_by(|a, b| a.developer_id.cmp(&b.developer_id));
    let head = |tenant: &Tenant, newest| EventHead {
        developer_id: tenant.developer.id.clone(),
        newest,
        key_hash: tenant.key_hash.clone(),
    };
    let mut expected = [head(&one, 0), head(&two, 1)];
    expected.sort_by(|a, b| a.developer_id.cmp(&b.developer_id));
    assert_eq!(heads, expected);
    let none = query!(store, [], |tx| tx.event_heads(&[]).await?);
    assert_eq!(none, []);
}
