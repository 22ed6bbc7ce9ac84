//! Listings of agents and grants.

use super::support::Tenant;
use crate::agent::Agent;
use crate::clock::{Lifetime, Timestamp};
use crate::grant::{Grant, GrantFilter, GrantStatus, RevokedBy};
use crate::id::DeveloperId;
use crate::page::{Cursor, Page, PageRequest, PageStart};
use crate::store::Store;
use crate::testing::fixtures::Fixtures;

async fn agents<S: Store>(store: &S, developer: &DeveloperId, size: u32, from: PageStart) -> Page<Agent> {
    let page = PageRequest { size, from };
    query!(store, [developer, page], |tx| tx.agents(&developer, &page).await?)
}

async fn grants<S: Store>(
    store: &S,
    developer: &DeveloperId,
    filter: &GrantFilter,
    page: PageRequest,
    now: Timestamp,
) -> Page<Grant> {
    query!(store, [developer, filter, page], |tx| tx
        .grants(&developer, &filter, &page, now)
        .await?)
}

/// Seven rows' times: some share a millisecond, and then the greater id comes first.
fn times(start: Timestamp) -> [Timestamp; 7] {
    [0, 1, 1, 1, 2, 5, 5].map(|millis| start.plus(Lifetime::millis(millis)))
}

pub async fn agents_are_paged_newest_first<S: Store>(store: S) {
    let fixtures = Fixtures::new(90);
    let tenant = Tenant::create(&store, &fixtures).await;
    let other = Tenant::create(&store, &fixtures).await;
    let id = &tenant.developer.id;
    let mut expected = vec![tenant.agent.clone()];
    for created_at in times(fixtures.now()) {
        let agent = Agent {
            created_at,
            ..fixtures.agent(&tenant.developer)
        };
        commit!(store, [agent], |tx| tx.insert_agent(&agent).await?);
        expected.push(agent);
    }
    expected.sort_by(|a, b| (b.created_at, &b.id).cmp(&(a.created_at, &a.id)));

    let cursor = |agent: &Agent| Cursor {
        at: agent.created_at.as_millis(),
        id: agent.id.to_string(),
    };
    let mut seen: Vec<Agent> = Vec::new();
    let mut from = PageStart::Number(1);
    for number in 1..=3 {
        let by_cursor = agents(&store, id, 3, from).await;
        assert_eq!(
            agents(&store, id, 3, PageStart::Number(number)).await,
            by_cursor,
            "page {number}"
        );
        seen.extend(by_cursor.items);
        let next = by_cursor.next.clone();
        assert_eq!(next, (number < 3).then(|| cursor(seen.last().unwrap())));
        from = next.map_or(PageStart::Number(1), PageStart::After);
    }
    assert_eq!(seen, expected);
    assert_eq!(
        agents(&store, id, 8, PageStart::Number(1)).await,
        Page {
            items: expected,
            next: None
        }
    );
    assert_eq!(
        agents(&store, id, 8, PageStart::Number(2)).await,
        Page {
            items: vec![],
            next: None
        }
    );
    let far = PageStart::Number(u64::from(u32::MAX));
    assert_eq!(
        agents(&store, id, 1_000, far).await,
        Page {
            items: vec![],
            next: None
        }
    );
    let of_other = agents(&store, &other.developer.id, 10, PageStart::Number(1)).await;
    assert_eq!(
        of_other,
        Page {
            items: vec![other.agent],
            next: None
        }
    );
}

pub async fn grants_are_paged_newest_first<S: Store>(store: S) {
    let fixtures = Fixtures::new(91);
    let tenant = Tenant::create(&store, &fixtures).await;
    let other = Tenant::create(&store, &fixtures).await;
    let id = &tenant.developer.id;
    let now = fixtures.now();
    let mut expected: Vec<Grant> = times(now)
        .into_iter()
        .map(|issued_at| Grant {
            issued_at,
            ..fixtures.grant(&tenant.agent)
        })
        .collect();
    tenant.insert_grants(&store, &expected.iter().collect::<Vec<_>>()).await;
    let foreign = fixtures.grant(&other.agent);
    other.insert_grants(&store, &[&foreign]).await;
    expected.sort_by(|a, b| (b.issued_at, &b.id).cmp(&(a.issued_at, &a.id)));

    // A filter that every grant passes must not change the order: it may choose another index.
    let by_agent = GrantFilter {
        agent_id: Some(tenant.agent.id.to_string()),
        ..GrantFilter::default()
    };
    let by_principal = GrantFilter {
        principal_id: Some("user-1".into()),
        ..GrantFilter::default()
    };
    let by_status = GrantFilter {
        status: Some(GrantStatus::Active),
        ..GrantFilter::default()
    };
    for filter in [GrantFilter::default(), by_agent, by_principal, by_status] {
        let mut seen: Vec<Grant> = Vec::new();
        let mut from = PageStart::Number(1);
        for number in 1..=3 {
            let by_cursor = grants(&store, id, &filter, PageRequest { size: 3, from }, now).await;
            let numbered = PageRequest {
                size: 3,
                from: PageStart::Number(number),
            };
            assert_eq!(
                grants(&store, id, &filter, numbered, now).await,
                by_cursor,
                "page {number}, {filter:?}"
            );
            seen.extend(by_cursor.items);
            let last = seen.last().unwrap();
            let cursor = Cursor {
                at: last.issued_at.as_millis(),
                id: last.id.to_string(),
            };
            assert_eq!(by_cursor.next, (number < 3).then_some(cursor));
            from = by_cursor.next.map_or(PageStart::Number(1), PageStart::After);
        }
        assert_eq!(seen, expected, "{filter:?}");
    }
    let whole = grants(
        &store,
        id,
        &GrantFilter::default(),
        PageRequest {
            size: 7,
            from: PageStart::Number(1),
        },
        now,
    )
    .await;
    assert_eq!(
        whole,
        Page {
            items: expected,
            next: None
        }
    );
}

pub async fn a_cursor_is_not_moved_by_new_rows<S: Store>(store: S) {
    let fixtures = Fixtures::new(92);
    let tenant = Tenant::create(&store, &fixtures).await;
    let id = &tenant.developer.id;
    let (oldest, middle, newest) = (
        fixtures.grant(&tenant.agent),
        fixtures.grant(&tenant.agent),
        fixtures.grant(&tenant.agent),
    );
    tenant.insert_grants(&store, &[&oldest, &middle, &newest]).await;
    let (filter, now) = (GrantFilter::default(), fixtures.now());
    let first = grants(
        &store,
        id,
        &filter,
        PageRequest {
            size: 2,
            from: PageStart::Number(1),
        },
        now,
    )
    .await;
    assert_eq!(first.items, [newest, middle]);
    tenant.insert_grants(&store, &[&fixtures.grant(&tenant.agent)]).await;
    let from = PageStart::After(first.next.unwrap());
    let rest = grants(&store, id, &filter, PageRequest { size: 2, from }, now).await;
    assert_eq!(
        rest,
        Page {
            items: vec![oldest],
            next: None
        }
    );
    // A cursor need not name a row that is there.
    let from = PageStart::After(Cursor {
        at: 0,
        id: "zzz".into(),
    });
    assert_eq!(
        grants(&store, id, &filter, PageRequest { size: 2, from }, now)
            .await
            .items,
        []
    );
}

pub async fn grants_are_filtered_by_status_at_the_time_of_the_listing<S: Store>(store: S) {
    let fixtures = Fixtures::new(93);
    let tenant = Tenant::create(&store, &fixtures).await;
    let id = &tenant.developer.id;
    let end = fixtures.now().plus(Lifetime::hours(1));
    let short = Grant {
        expires_at: end,
        ..fixtures.grant(&tenant.agent)
    };
    let long = fixtures.grant(&tenant.agent);
    let mut revoked = Grant {
        expires_at: end,
        ..fixtures.grant(&tenant.agent)
    };
    tenant.insert_grants(&store, &[&short, &long, &revoked]).await;
    let now = fixtures.now();
    commit!(store, [id, revoked], |tx| tx
        .revoke_tree(&id, &revoked.id, RevokedBy::Developer, now)
        .await?);
    revoked.state = crate::grant::GrantState::Revoked { at: now };

    let just_before = end.minus(Lifetime::millis(1));
    for (status, at, expected) in [
        (GrantStatus::Active, just_before, vec![&long, &short]),
        (GrantStatus::Active, end, vec![&long]),
        (GrantStatus::Active, long.expires_at, vec![]),
        (GrantStatus::Expired, just_before, vec![]),
        (GrantStatus::Expired, end, vec![&short]),
        (GrantStatus::Expired, long.expires_at, vec![&long, &short]),
        (GrantStatus::Revoked, just_before, vec![&revoked]),
        (GrantStatus::Revoked, long.expires_at, vec![&revoked]),
    ] {
        let filter = GrantFilter {
            status: Some(status),
            ..GrantFilter::default()
        };
        let found = grants(&store, id, &filter, PageRequest::default(), at).await;
        assert_eq!(found.items.iter().collect::<Vec<_>>(), expected, "{status:?} at {at}");
    }
}

pub async fn grants_are_filtered_by_agent_and_principal<S: Store>(store: S) {
    let fixtures = Fixtures::new(94);
    let tenant = Tenant::create(&store, &fixtures).await;
    let other = Tenant::create(&store, &fixtures).await;
    let id = &tenant.developer.id;
    let second = fixtures.agent(&tenant.developer);
    commit!(store, [second], |tx| tx.insert_agent(&second).await?);
    let of = |agent: &Agent, principal: &str| Grant {
        principal_id: principal.into(),
        ..fixtures.grant(agent)
    };
    let all = [
        of(&tenant.agent, "ann"),
        of(&tenant.agent, "Ann"),
        of(&second, "ann"),
        of(&second, ""),
        of(&second, "a%"),
        of(&other.agent, "ann"),
    ];
    tenant
        .insert_grants(&store, &[&all[0], &all[1], &all[2], &all[3], &all[4]])
        .await;
    other.insert_grants(&store, &[&all[5]]).await;

    let (first_agent, second_agent, foreign_agent) = (
        tenant.agent.id.to_string(),
        second.id.to_string(),
        other.agent.id.to_string(),
    );
    let filter = |agent: Option<&str>, principal: Option<&str>| GrantFilter {
        agent_id: agent.map(str::to_owned),
        principal_id: principal.map(str::to_owned),
        status: None,
    };
    for (filter, expected) in [
        (filter(Some(&first_agent), None), vec![1, 0]),
        (filter(None, Some("ann")), vec![2, 0]),
        (filter(None, Some("")), vec![3]),
        (filter(None, Some("a%")), vec![4]),
        (filter(None, Some("ANN")), vec![]),
        (filter(Some(&second_agent), Some("ann")), vec![2]),
        (filter(Some(&first_agent), Some("")), vec![]),
        (filter(Some(&foreign_agent), None), vec![]),
        (filter(Some("not an id"), None), vec![]),
        (filter(Some(""), None), vec![]),
    ] {
        let found = grants(&store, id, &filter, PageRequest::default(), fixtures.now()).await;
        let expected: Vec<Grant> = expected.into_iter().map(|index: usize| all[index].clone()).collect();
        assert_eq!(
            found,
            Page {
                items: expected,
                next: None
            },
            "{filter:?}"
        );
    }
}
