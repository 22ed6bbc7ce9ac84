//! Reading the audit chains.

use super::support::{FAR, Tenant, odd_texts};
use crate::audit::{AuditEntry, AuditFilter, AuditRecord, AuditStatus, Chain};
use crate::clock::Lifetime;
use crate::id::{AuditId, DeveloperId};
use crate::page::{PageRequest, PageStart};
use crate::store::Store;
use crate::testing::fixtures::Fixtures;

/// Appends records to a chain and returns the entries.
async fn append<S: Store>(
    store: &S,
    tenant: &Tenant,
    fixtures: &Fixtures,
    chain: Chain,
    records: impl IntoIterator<Item = AuditRecord>,
) -> Vec<AuditEntry> {
    let mut head = tenant.head(store).await;
    let entries: Vec<AuditEntry> = records
        .into_iter()
        .map(|record| fixtures.audit_entry(&tenant.developer, chain, head.chain_mut(chain), record))
        .collect();
    let appended = entries.clone();
    tenant
        .write(store, move |ledger| {
            ledger.head = head;
            ledger.audit = appended;
        })
        .await;
    entries
}

async fn page<S: Store>(
    store: &S,
    developer: &DeveloperId,
    chain: Chain,
    filter: &AuditFilter,
    size: u32,
    from: PageStart,
) -> crate::page::Page<AuditEntry> {
    let page = PageRequest { size, from };
    query!(store, [developer, filter, page], |tx| tx
        .audit_entries(&developer, chain, &filter, &page)
        .await?)
}

/// All entries that pass a filter.
async fn all<S: Store>(store: &S, developer: &DeveloperId, chain: Chain, filter: &AuditFilter) -> Vec<AuditEntry> {
    page(store, developer, chain, filter, 1_000, PageStart::Number(1))
        .await
        .items
}

pub async fn an_entry_is_read_back_as_it_was_written<S: Store>(store: S) {
    let fixtures = Fixtures::new(70);
    let tenant = Tenant::create(&store, &fixtures).await;
    let other = Tenant::create(&store, &fixtures).await;
    // Hashes cover these bytes: no store may reorder members, rewrite numbers or resolve escapes.
    let metadata = r#"{"b":1e21,"a":[1,-0.5,null,true],"z":{"é":"\u0000 \ud83e\udd80 🦀 \\ \""},"":"' % _"}"#;
    let mut records = vec![
        AuditRecord {
            metadata: metadata.into(),
            status: AuditStatus::Failure,
            ..fixtures.audit_record()
        },
        AuditRecord {
            metadata: format!(r#"{{"x":"{}"}}"#, "é".repeat(30_000)),
            ..fixtures.audit_record()
        },
    ];
    records.extend(odd_texts().into_iter().map(|text| AuditRecord {
        agent_id: text.clone(),
        agent_did: text.clone(),
        grant_id: text.clone(),
        principal_id: text.clone(),
        action: text,
        metadata: "{}".into(),
        status: AuditStatus::Blocked,
    }));
    let (own, foreign) = (tenant.developer.id.clone(), other.developer.id.clone());
    for chain in Chain::ALL.iter().copied() {
        let entries = append(&store, &tenant, &fixtures, chain, records.clone()).await;
        assert_eq!(entries[0].prev_hash, None);
        assert_eq!(entries[1].prev_hash.as_ref(), Some(&entries[0].hash));
        for entry in entries {
            let found = query!(store, [own, foreign, entry], |tx| (
                tx.audit_entry(&own, &entry.id).await?,
                tx.audit_entry(&foreign, &entry.id).await?
            ));
            assert_eq!(found, (Some(entry), None));
        }
    }
    let unknown: AuditId = fixtures.id();
    assert_eq!(
        query!(store, [own, unknown], |tx| tx.audit_entry(&own, &unknown).await?),
        None
    );
}

pub async fn the_chains_are_apart<S: Store>(store: S) {
    let fixtures = Fixtures::new(71);
    let tenant = Tenant::create(&store, &fixtures).await;
    let other = Tenant::create(&store, &fixtures).await;
    let record = || [fixtures.audit_record()];
    let mut caller = append(&store, &tenant, &fixtures, Chain::Caller, record()).await;
    let server = append(&store, &tenant, &fixtures, Chain::Server, record()).await;
    caller.extend(append(&store, &tenant, &fixtures, Chain::Caller, record()).await);
    let foreign = append(&store, &other, &fixtures, Chain::Caller, record()).await;
    assert_eq!(caller.iter().map(|entry| entry.seq).collect::<Vec<_>>(), [1, 2]);

    let none = AuditFilter::default();
    assert_eq!(all(&store, &tenant.developer.id, Chain::Caller, &none).await, caller);
    assert_eq!(all(&store, &tenant.developer.id, Chain::Server, &none).await, server);
    assert_eq!(all(&store, &other.developer.id, Chain::Caller, &none).await, foreign);
    assert_eq!(all(&store, &other.developer.id, Chain::Server, &none).await, []);
}

pub async fn pages_go_on_without_gaps_or_repeats<S: Store>(store: S) {
    let fixtures = Fixtures::new(72);
    let tenant = Tenant::create(&store, &fixtures).await;
    let id = &tenant.developer.id;
    let record = |n: usize| AuditRecord {
        action: ["even", "odd"][n % 2].into(),
        ..fixtures.audit_record()
    };
    let entries = append(&store, &tenant, &fixtures, Chain::Caller, (0..7).map(record)).await;
    let odd: Vec<AuditEntry> = entries
        .iter()
        .filter(|entry| entry.record.action == "odd")
        .cloned()
        .collect();
    let only_odd = AuditFilter {
        action: Some("odd".into()),
        ..AuditFilter::default()
    };

    for (filter, expected) in [(AuditFilter::default(), &entries), (only_odd, &odd)] {
        let mut seen = Vec::new();
        let mut from = PageStart::Number(1);
        let mut number = 1;
        loop {
            let by_cursor = page(&store, id, Chain::Caller, &filter, 3, from).await;
            let by_number = page(&store, id, Chain::Caller, &filter, 3, PageStart::Number(number)).await;
            assert_eq!(by_cursor.items, by_number.items, "page {number}");
            seen.extend(by_cursor.items);
            let Some(next) = by_cursor.next else {
                assert_eq!(by_number.next, None);
                break;
            };
            assert_eq!(next.at, seen.last().unwrap().seq);
            (from, number) = (PageStart::After(next), number + 1);
        }
        assert_eq!(&seen, expected);
        let exact = u32::try_from(expected.len()).unwrap();
        let whole = page(&store, id, Chain::Caller, &filter, exact, PageStart::Number(1)).await;
        assert_eq!(
            (whole.items.len(), whole.next),
            (expected.len(), None),
            "a full page may be the last one"
        );
        let beyond = page(&store, id, Chain::Caller, &filter, exact, PageStart::Number(2)).await;
        assert_eq!((beyond.items, beyond.next), (vec![], None));
    }
    // An entry that is appended between two pages is on the last one.
    let first = page(
        &store,
        id,
        Chain::Caller,
        &AuditFilter::default(),
        6,
        PageStart::Number(1),
    )
    .await;
    let late = append(&store, &tenant, &fixtures, Chain::Caller, [record(1)]).await;
    let rest = page(
        &store,
        id,
        Chain::Caller,
        &AuditFilter::default(),
        6,
        PageStart::After(first.next.unwrap()),
    )
    .await;
    assert_eq!(rest.items, [entries[6].clone(), late[0].clone()]);
}

pub async fn since_is_inclusive_and_until_exclusive<S: Store>(store: S) {
    let fixtures = Fixtures::new(73);
    let tenant = Tenant::create(&store, &fixtures).await;
    let id = &tenant.developer.id;
    let entries = append(
        &store,
        &tenant,
        &fixtures,
        Chain::Caller,
        (0..4).map(|_| fixtures.audit_record()),
    )
    .await;
    let at = |index: usize| entries[index].timestamp;
    let range = |since, until| AuditFilter {
        since,
        until,
        ..AuditFilter::default()
    };
    for (filter, expected) in [
        (range(Some(at(1)), Some(at(3))), &entries[1..3]),
        (range(Some(at(1).plus(Lifetime::millis(1))), None), &entries[2..]),
        (range(None, Some(at(1).plus(Lifetime::millis(1)))), &entries[..2]),
        (range(Some(at(0)), None), &entries[..]),
        (range(None, Some(at(0))), &[]),
        (range(Some(at(2)), Some(at(2))), &[]),
        (range(Some(at(3)), Some(at(1))), &[]),
        (range(Some(FAR), None), &[]),
    ] {
        assert_eq!(all(&store, id, Chain::Caller, &filter).await, expected, "{filter:?}");
    }
    let filter = range(Some(at(1)), Some(at(3)));
    let newest = query!(store, [id, filter], |tx| tx
        .newest_audit_entries(&id, Chain::Caller, &filter, 1)
        .await?);
    assert_eq!(newest, entries[2..3]);
}

pub async fn filters_compare_exactly_and_combine<S: Store>(store: S) {
    let fixtures = Fixtures::new(74);
    let tenant = Tenant::create(&store, &fixtures).await;
    let id = &tenant.developer.id;
    let record = |agent: &str, grant: &str, principal: &str, action: &str| AuditRecord {
        agent_id: agent.into(),
        grant_id: grant.into(),
        principal_id: principal.into(),
        action: action.into(),
        ..fixtures.audit_record()
    };
    let records = [
        record("ag_1", "grnt_1", "user", "send"),
        record("ag_1", "grnt_2", "User", "send_all"),
        record("ag_2", "grnt_1", "user ", "send%"),
        record("", "", "us\u{e9}r", "Send"),
        record("AG_1", "GRNT_1", "use\u{301}r", "send "),
    ];
    let entries = append(&store, &tenant, &fixtures, Chain::Caller, records).await;
    let none = AuditFilter::default;
    let text = |text: &str| Some(text.to_owned());
    for (filter, expected) in [
        (
            AuditFilter {
                agent_id: text("ag_1"),
                ..none()
            },
            vec![0, 1],
        ),
        (
            AuditFilter {
                agent_id: text(""),
                ..none()
            },
            vec![3],
        ),
        (
            AuditFilter {
                grant_id: text("grnt_1"),
                ..none()
            },
            vec![0, 2],
        ),
        (
            AuditFilter {
                grant_id: text("grnt_%"),
                ..none()
            },
            vec![],
        ),
        (
            AuditFilter {
                principal_id: text("user"),
                ..none()
            },
            vec![0],
        ),
        (
            AuditFilter {
                principal_id: text("us\u{e9}r"),
                ..none()
            },
            vec![3],
        ),
        (
            AuditFilter {
                principal_id: text("USER"),
                ..none()
            },
            vec![],
        ),
        (
            AuditFilter {
                action: text("send"),
                ..none()
            },
            vec![0],
        ),
        (
            AuditFilter {
                action: text("send%"),
                ..none()
            },
            vec![2],
        ),
        (
            AuditFilter {
                agent_id: text("ag_1"),
                grant_id: text("grnt_2"),
                ..none()
            },
            vec![1],
        ),
        (
            AuditFilter {
                agent_id: text("ag_2"),
                grant_id: text("grnt_2"),
                ..none()
            },
            vec![],
        ),
        (
            AuditFilter {
                agent_id: text("ag_2"),
                grant_id: text("grnt_1"),
                principal_id: text("user "),
                action: text("send%"),
                since: Some(entries[2].timestamp),
                until: Some(entries[3].timestamp),
            },
            vec![2],
        ),
    ] {
        let expected: Vec<AuditEntry> = expected
            .into_iter()
            .map(|index: usize| entries[index].clone())
            .collect();
        assert_eq!(all(&store, id, Chain::Caller, &filter).await, expected, "{filter:?}");
        let mut newest = query!(store, [id, filter], |tx| tx
            .newest_audit_entries(&id, Chain::Caller, &filter, 9)
            .await?);
        newest.reverse();
        assert_eq!(newest, expected, "{filter:?}");
    }
}

pub async fn the_newest_entries_come_newest_first<S: Store>(store: S) {
    let fixtures = Fixtures::new(75);
    let tenant = Tenant::create(&store, &fixtures).await;
    let id = &tenant.developer.id;
    let entries = append(
        &store,
        &tenant,
        &fixtures,
        Chain::Server,
        (0..5).map(|_| fixtures.audit_record()),
    )
    .await;
    let none = AuditFilter::default();
    let (three, ten, of_caller) = query!(store, [id, none], |tx| (
        tx.newest_audit_entries(&id, Chain::Server, &none, 3).await?,
        tx.newest_audit_entries(&id, Chain::Server, &none, 10).await?,
        tx.newest_audit_entries(&id, Chain::Caller, &none, 10).await?
    ));
    let newest_first: Vec<AuditEntry> = entries.into_iter().rev().collect();
    assert_eq!(
        (&three[..], &ten, of_caller),
        (&newest_first[..3], &newest_first, vec![])
    );
}
