//! What a unit of work inserts last, and the head that it advances.

use super::support::{Tenant, empty_ledger, options_for};
use crate::audit::{AuditRecord, Chain};
use crate::error::StoreError;
use crate::id::DeveloperId;
use crate::page::{MAX_PAGE_SIZE, PageRequest, PageStart};
use crate::store::{ChainHead, DeveloperHead, Ledger, Store, StoredEvent};
use crate::testing::fixtures::Fixtures;
use crate::token::Token;

/// A ledger with some of everything over the head.
fn fill(ledger: &mut Ledger, tenant: &Tenant, fixtures: &Fixtures) {
    let root = fixtures.grant(&tenant.agent);
    let child = fixtures.child(&root, &tenant.agent);
    ledger.tokens = vec![fixtures.token(&root), fixtures.token(&child)];
    ledger.grants = vec![root, child];
    ledger.head.active_grants += 2;
    for chain in [Chain::Server, Chain::Caller, Chain::Server] {
        let entry = fixtures.audit_entry(
            &tenant.developer,
            chain,
            ledger.head.chain_mut(chain),
            fixtures.audit_record(),
        );
        ledger.audit.push(entry);
    }
    for _ in 0..3 {
        ledger.head.event_seq += 1;
        ledger
            .events
            .push(fixtures.event(&tenant.developer, ledger.head.event_seq));
    }
}

/// The same ledger, made before it is known which unit writes it.
fn filled(tenant: &Tenant, fixtures: &Fixtures, head: DeveloperHead) -> Ledger {
    let mut ledger = empty_ledger(tenant.developer.id.clone(), head);
    fill(&mut ledger, tenant, fixtures);
    ledger
}

async fn write<S: Store>(store: &S, ledger: &Ledger) -> Result<(), StoreError> {
    let ledger = ledger.clone();
    let work_options = options_for(&ledger.developer_id);
    store
        .transact(work_options, move |tx| {
            Box::pin(async move {
                tx.lock_head(&ledger.developer_id).await?;
                tx.write_ledger(&ledger).await
            })
        })
        .await
}

async fn assert_written<S: Store>(store: &S, ledger: &Ledger) {
    let developer = ledger.developer_id.clone();
    assert_eq!(
        commit!(store, [developer], |tx| tx.lock_head(&developer).await?),
        Some(ledger.head.clone())
    );
    for grant in ledger.grants.clone() {
        assert_eq!(
            query!(store, [developer, grant], |tx| tx.grant(&developer, &grant.id).await?),
            Some(grant)
        );
    }
    for Token { id, .. } in &ledger.tokens {
        assert!(query!(store, [id], |tx| tx.token(&id).await?).is_some());
    }
    for entry in ledger.audit.clone() {
        assert_eq!(
            query!(store, [developer, entry], |tx| tx
                .audit_entry(&developer, &entry.id)
                .await?),
            Some(entry)
        );
    }
    for event in ledger.events.clone() {
        let found = query!(store, [developer], |tx| tx
            .events_after(&developer, event.seq - 1, 1)
            .await?);
        let (kind, payload) = (event.kind.to_owned(), event.payload);
        assert_eq!(
            found,
            [StoredEvent {
                seq: event.seq,
                id: event.id,
                kind,
                payload,
                created_at: event.created_at
            }]
        );
    }
}

pub async fn everything_in_a_ledger_is_there_afterwards<S: Store>(store: S) {
    let fixtures = Fixtures::new(60);
    let tenant = Tenant::create(&store, &fixtures).await;
    let empty = DeveloperHead {
        plan: tenant.developer.plan,
        active_grants: 0,
        event_seq: 0,
        caller: ChainHead::default(),
        server: ChainHead::default(),
        subscriptions: crate::webhook::subscription::Subscriptions::default(),
    };
    assert_eq!(tenant.head(&store).await, empty);
    let ledger = filled(&tenant, &fixtures, empty);
    write(&store, &ledger).await.unwrap();
    assert_eq!(
        (ledger.head.server.seq, ledger.head.caller.seq, ledger.head.event_seq),
        (2, 1, 3)
    );
    assert_written(&store, &ledger).await;
}

pub async fn the_head_advances_and_the_next_unit_builds_on_it<S: Store>(store: S) {
    let fixtures = Fixtures::new(61);
    let tenant = Tenant::create(&store, &fixtures).await;
    for round in 1..=3 {
        let ledger = filled(&tenant, &fixtures, tenant.head(&store).await);
        write(&store, &ledger).await.unwrap();
        assert_written(&store, &ledger).await;
        assert_eq!(
            (ledger.head.active_grants, ledger.head.event_seq),
            (2 * round, 3 * round)
        );
    }
    assert_eq!(query!(store, [], |tx| tx.total_active_grants().await?), 6);
    // A unit may have nothing to insert and still change the count.
    tenant.write(&store, |ledger| ledger.head.active_grants -= 4).await;
    let id = tenant.developer.id.clone();
    assert_eq!(
        query!(store, [id], |tx| (
            tx.active_grants(&id).await?,
            tx.total_active_grants().await?
        )),
        (2, 2)
    );
    assert_eq!(tenant.head(&store).await.event_seq, 9);
}

pub async fn an_unknown_developer_has_no_head<S: Store>(store: S) {
    let unknown: DeveloperId = Fixtures::new(62).id();
    assert_eq!(commit!(store, [unknown], |tx| tx.lock_head(&unknown).await?), None);
}

pub async fn heads_of_developers_are_independent<S: Store>(store: S) {
    let fixtures = Fixtures::new(63);
    let first = Tenant::create(&store, &fixtures).await;
    let second = Tenant::create(&store, &fixtures).await;
    let before = second.head(&store).await;
    write(&store, &filled(&first, &fixtures, first.head(&store).await))
        .await
        .unwrap();
    assert_eq!(second.head(&store).await, before);
    // Both number their entries and events from 1.
    let ledger = filled(&second, &fixtures, before);
    write(&store, &ledger).await.unwrap();
    assert_written(&store, &ledger).await;
    let (first, second) = (first.developer.id, second.developer.id);
    let counts = query!(store, [first, second], |tx| [
        tx.active_grants(&first).await?,
        tx.active_grants(&second).await?,
        tx.total_active_grants().await?
    ]);
    assert_eq!(counts, [2, 2, 4]);
}

pub async fn a_second_row_with_the_same_id_fails_the_unit<S: Store>(store: S) {
    let fixtures = Fixtures::new(64);
    let tenant = Tenant::create(&store, &fixtures).await;
    let first = filled(&tenant, &fixtures, tenant.head(&store).await);
    write(&store, &first).await.unwrap();

    let fresh = || filled(&tenant, &fixtures, first.head.clone());
    let spoil = |spoil: &dyn Fn(&mut Ledger)| {
        let mut ledger = fresh();
        spoil(&mut ledger);
        ledger
    };
    let spoiled = [
        spoil(&|ledger| ledger.grants[1].id = first.grants[0].id.clone()),
        spoil(&|ledger| ledger.tokens[0].id = first.tokens[0].id.clone()),
        spoil(&|ledger| ledger.tokens[1].refresh_hash = first.tokens[0].refresh_hash.clone()),
        spoil(&|ledger| ledger.audit[0].seq = first.audit[0].seq),
        spoil(&|ledger| ledger.audit[0].id = first.audit[0].id.clone()),
        spoil(&|ledger| ledger.events[0].seq = first.events[0].seq),
    ];
    for (index, ledger) in spoiled.into_iter().enumerate() {
        assert!(
            matches!(write(&store, &ledger).await, Err(StoreError::Unavailable(_))),
            "ledger {index} was taken"
        );
    }
    assert_written(&store, &first).await;
    let (id, seq) = (tenant.developer.id.clone(), first.head.event_seq);
    assert_eq!(
        query!(store, [id], |tx| tx.events_after(&id, seq, 10).await?),
        [],
        "nothing of the others is left"
    );
    let next = fresh();
    write(&store, &next).await.unwrap();
    assert_written(&store, &next).await;
}

pub async fn a_large_ledger_fits<S: Store>(store: S) {
    // The deletion of an agent with a thousand grants records a thousand revocations in one unit.
    const COUNT: i64 = 1_000;
    let fixtures = Fixtures::new(65);
    let tenant = Tenant::create(&store, &fixtures).await;
    let mut ledger = empty_ledger(tenant.developer.id.clone(), tenant.head(&store).await);
    for seq in 1..=COUNT {
        let grant = fixtures.grant(&tenant.agent);
        let record = AuditRecord {
            grant_id: grant.id.to_string(),
            ..fixtures.audit_record()
        };
        ledger
            .audit
            .push(fixtures.audit_entry(&tenant.developer, Chain::Server, &mut ledger.head.server, record));
        ledger.events.push(fixtures.event(&tenant.developer, seq));
        ledger.tokens.push(fixtures.token(&grant));
        ledger.grants.push(grant);
    }
    ledger.head.active_grants = COUNT;
    ledger.head.event_seq = COUNT;
    write(&store, &ledger).await.unwrap();

    let developer = tenant.developer.id.clone();
    assert_eq!(tenant.head(&store).await, ledger.head);
    let page = PageRequest {
        size: MAX_PAGE_SIZE,
        from: PageStart::Number(1),
    };
    let (entries, events) = query!(store, [developer, page], |tx| (
        tx.audit_entries(&developer, Chain::Server, &crate::audit::AuditFilter::default(), &page)
            .await?,
        tx.events_after(&developer, 0, MAX_PAGE_SIZE).await?
    ));
    assert_eq!(entries.next, None);
    assert_eq!(entries.items, ledger.audit);
    assert_eq!(
        events.iter().map(|event| event.seq).collect::<Vec<_>>(),
        (1..=COUNT).collect::<Vec<_>>()
    );
    let last = ledger.tokens.pop().unwrap();
    assert_eq!(
        query!(store, [last], |tx| tx.token(&last.id).await?).unwrap().token,
        last
    );
}
