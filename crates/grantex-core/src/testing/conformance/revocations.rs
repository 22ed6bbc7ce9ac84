//! The revocation feed.

use super::support::{Tenant, options_for};
use crate::agent::{Agent, AgentStatus};
use crate::clock::{Lifetime, Timestamp};
use crate::error::StoreError;
use crate::grant::{Grant, RevokedBy};
use crate::id::{AgentId, DeveloperId, GrantId};
use crate::page::Cursor;
use crate::revocation::{GrantEnd, RevocationAction, RevocationEntry, RevocationHead, Spread, Wanted};
use crate::store::Store;
use crate::testing::fixtures::Fixtures;
use crate::testing::race;

const BEGIN: Timestamp = Timestamp::from_millis(1_700_000_000_000);

fn entry(seq: i64, action: RevocationAction, subject: &str) -> RevocationEntry {
    let at = BEGIN.plus(Lifetime::seconds(seq));
    RevocationEntry {
        seq,
        action,
        subject: subject.to_owned(),
        expires_at: at.plus(Lifetime::hours(1)),
        at,
        hash: format!("hash-{seq}"),
    }
}

async fn append<S: Store>(store: &S, developer: &DeveloperId, entries: &[RevocationEntry]) {
    let entries = entries.to_vec();
    commit!(store, [developer, entries], |tx| tx
        .append_revocations(&developer, &entries)
        .await?);
}

async fn after<S: Store>(store: &S, developer: &DeveloperId, after: i64, wanted: Wanted, limit: u32) -> Vec<i64> {
    let entries = query!(store, [developer], |tx| tx
        .revocations_after(&developer, after, wanted, limit)
        .await?);
    entries.iter().map(|entry| entry.seq).collect()
}

pub async fn entries_are_read_back_in_order_and_of_their_developer<S: Store>(store: S) {
    let fixtures = Fixtures::new(160);
    let (one, two) = (
        Tenant::create(&store, &fixtures).await,
        Tenant::create(&store, &fixtures).await,
    );
    let (own, other) = (one.developer.id.clone(), two.developer.id.clone());
    let nothing = query!(store, [own], |tx| tx.revocation_head(&own).await?);
    assert_eq!(nothing, RevocationHead::default());

    let entries = [
        entry(1, RevocationAction::Suspended, "grnt_a"),
        entry(2, RevocationAction::TokenRevoked, &"ab".repeat(64)),
        entry(3, RevocationAction::Resumed, "grnt_b"),
    ];
    append(&store, &own, &entries[..2]).await;
    append(&store, &own, &entries[2..]).await;
    append(&store, &other, &[entry(1, RevocationAction::Revoked, "grnt_a")]).await;
    let read = query!(store, [own], |tx| tx
        .revocations_after(&own, 0, Wanted::All, 10)
        .await?);
    assert_eq!(read, entries);
    let head = query!(store, [own], |tx| tx.revocation_head(&own).await?);
    assert_eq!((head.seq, head.hash.as_str()), (3, "hash-3"));
    assert_eq!(after(&store, &own, 1, Wanted::All, 1).await, [2]);
    assert_eq!(after(&store, &own, 3, Wanted::All, 1).await, [0; 0]);
    assert_eq!(after(&store, &own, i64::MAX, Wanted::Latest, 1).await, [0; 0]);

    let mut times = query!(store, [own], |tx| tx.revocation_times(&own, &[3, 1, 99]).await?);
    times.sort_unstable();
    assert_eq!(times, [(1, entries[0].at), (3, entries[2].at)]);
    assert_eq!(query!(store, [own], |tx| tx.revocation_times(&own, &[]).await?), []);

    let asked = vec![own.clone(), other.clone(), fixtures.id::<DeveloperId>()];
    let mut heads = query!(store, [asked], |tx| tx.revocation_heads(&asked).await?);
    heads.sort_by_key(|head| -head.head.seq);
    let heads: Vec<_> = heads
        .into_iter()
        .map(|head| (head.developer_id, head.head.seq, head.head.hash, head.key_hash))
        .collect();
    assert_eq!(
        heads,
        [
            (own, 3, "hash-3".into(), one.key_hash.clone()),
            (other, 1, "hash-1".into(), two.key_hash.clone())
        ]
    );
}

pub async fn the_latest_entry_of_a_grant_stands_for_it<S: Store>(store: S) {
    let fixtures = Fixtures::new(161);
    let tenant = Tenant::create(&store, &fixtures).await;
    let id = tenant.developer.id.clone();
    let mut short = entry(6, RevocationAction::Revoked, "grnt_c");
    short.expires_at = short.at;
    append(
        &store,
        &id,
        &[
            entry(1, RevocationAction::Suspended, "grnt_a"),
            entry(2, RevocationAction::Suspended, "grnt_b"),
        ],
    )
    .await;
    append(
        &store,
        &id,
        &[
            entry(3, RevocationAction::Resumed, "grnt_a"),
            entry(4, RevocationAction::TokenRevoked, "tok_a"),
        ],
    )
    .await;
    append(
        &store,
        &id,
        &[entry(5, RevocationAction::Revoked, "grnt_b"), short.clone()],
    )
    .await;
    let now = short.at;
    assert_eq!(after(&store, &id, 0, Wanted::All, 10).await, [1, 2, 3, 4, 5, 6]);
    assert_eq!(after(&store, &id, 0, Wanted::Latest, 10).await, [3, 4, 5, 6]);
    assert_eq!(after(&store, &id, 0, Wanted::InForce(now), 10).await, [4, 5]);
    assert_eq!(after(&store, &id, 4, Wanted::InForce(now), 10).await, [5]);
    let just_before = now.minus(Lifetime::millis(1));
    assert_eq!(after(&store, &id, 0, Wanted::InForce(just_before), 10).await, [4, 5, 6]);
}

pub async fn entries_are_removed_when_nobody_needs_them<S: Store>(store: S) {
    let fixtures = Fixtures::new(162);
    let tenant = Tenant::create(&store, &fixtures).await;
    let id = tenant.developer.id.clone();
    append(
        &store,
        &id,
        &[
            entry(1, RevocationAction::Suspended, "grnt_a"),
            entry(2, RevocationAction::Suspended, "grnt_b"),
        ],
    )
    .await;
    append(
        &store,
        &id,
        &[
            entry(3, RevocationAction::Resumed, "grnt_a"),
            entry(4, RevocationAction::Resumed, "grnt_b"),
            entry(5, RevocationAction::TokenRevoked, "tok_a"),
        ],
    )
    .await;
    let remove = async |before, limit| commit!(store, [], |tx| tx.remove_revocations(before, limit).await?);
    let at = entry(2, RevocationAction::Resumed, "").at;
    assert_eq!(
        remove(at, 10).await,
        1,
        "the earlier entry of a grant goes by its own time"
    );
    assert_eq!(remove(at, 10).await, 0);
    let end = entry(5, RevocationAction::Resumed, "").expires_at;
    assert_eq!(remove(end, 1).await, 1);
    assert_eq!((remove(end, 10).await, remove(end, 10).await), (2, 0));
    assert_eq!(
        after(&store, &id, 0, Wanted::All, 10).await,
        [5],
        "what lives may be asked for"
    );
    let head = query!(store, [id], |tx| tx.revocation_head(&id).await?);
    assert_eq!(head.seq, 5, "positions are not counted anew");
}

pub async fn a_unit_that_fails_tells_nothing<S: Store>(store: S) {
    let fixtures = Fixtures::new(163);
    let tenant = Tenant::create(&store, &fixtures).await;
    let id = tenant.developer.id.clone();
    append(&store, &id, &[entry(1, RevocationAction::Suspended, "grnt_a")]).await;
    let owner = id.clone();
    let failed: Result<(), StoreError> = store
        .transact(options_for(&id), move |tx| {
            Box::pin(async move {
                tx.append_revocations(&owner, &[entry(2, RevocationAction::Revoked, "grnt_a")])
                    .await?;
                Err(StoreError::unavailable("on purpose"))
            })
        })
        .await;
    assert!(failed.is_err());
    assert_eq!(after(&store, &id, 0, Wanted::Latest, 10).await, [1]);
    let head = query!(store, [id], |tx| tx.revocation_head(&id).await?);
    assert_eq!(head.seq, 1);
}

fn sorted(mut ids: Vec<GrantId>) -> Vec<GrantId> {
    ids.sort_unstable();
    ids
}

pub async fn grants_tell_their_ends_their_children_and_whether_they_are_in_force<S: Store>(store: S) {
    let fixtures = Fixtures::new(164);
    let tenant = Tenant::create(&store, &fixtures).await;
    let stranger = Tenant::create(&store, &fixtures).await;
    let id = tenant.developer.id.clone();
    let helper = fixtures.agent(&tenant.developer);
    commit!(store, [helper], |tx| tx.insert_agent(&helper).await?);
    let root = fixtures.grant(&tenant.agent);
    let child = fixtures.child(&root, &helper);
    let grandchild = fixtures.child(&child, &tenant.agent);
    let revoked = fixtures.grant(&tenant.agent);
    let foreign = fixtures.grant(&stranger.agent);
    tenant
        .insert_grants(&store, &[&root, &child, &grandchild, &revoked])
        .await;
    stranger.insert_grants(&store, &[&foreign]).await;
    let now = fixtures.now();
    let gone = revoked.id.clone();
    commit!(store, [id, gone], |tx| tx
        .revoke_tree(&id, &gone, RevokedBy::Developer, now)
        .await?);

    let unknown = fixtures.id::<GrantId>();
    let all: Vec<GrantId> = [&root, &child, &grandchild, &revoked, &foreign]
        .map(|grant: &Grant| grant.id.clone())
        .into_iter()
        .chain([unknown])
        .collect();
    let mut ends = query!(store, [id, all], |tx| tx.grant_ends(&id, &all).await?);
    ends.sort_by(|a, b| a.id.cmp(&b.id));
    let end = |grant: &Grant, is_revoked| GrantEnd {
        id: grant.id.clone(),
        expires_at: grant.expires_at,
        is_revoked,
    };
    let mut expected = vec![
        end(&root, false),
        end(&child, false),
        end(&grandchild, false),
        end(&revoked, true),
    ];
    expected.sort_by(|a, b| a.id.cmp(&b.id));
    assert_eq!(ends, expected);

    let below = query!(store, [id, all], |tx| tx.child_grants(&id, &all).await?);
    assert_eq!(sorted(below), sorted(vec![child.id.clone(), grandchild.id.clone()]));
    assert_eq!(query!(store, [id], |tx| tx.child_grants(&id, &[]).await?), []);

    let in_force = async || sorted(query!(store, [id, all], |tx| tx.grants_in_force(&id, &all).await?));
    let three = vec![root.id.clone(), child.id.clone(), grandchild.id.clone()];
    assert_eq!(in_force().await, sorted(three));
    let suspended = Agent {
        status: AgentStatus::Suspended,
        ..helper.clone()
    };
    assert!(commit!(store, [suspended], |tx| tx.update_agent(&suspended).await?));
    assert_eq!(in_force().await, vec![root.id.clone()], "nor what stands below it");
    let agent = tenant.agent.id.clone();
    assert!(commit!(store, [id, agent], |tx| tx
        .hide_agent(&id, &agent, now)
        .await?));
    assert_eq!(in_force().await, []);
}

pub async fn what_is_left_to_tell_waits_until_it_is_told<S: Store>(store: S) {
    let fixtures = Fixtures::new(165);
    let tenant = Tenant::create(&store, &fixtures).await;
    let id = tenant.developer.id.clone();
    let (one, two) = (fixtures.id::<AgentId>(), fixtures.id::<AgentId>());
    let spread = |agent: &AgentId, action, at| Spread {
        developer_id: id.clone(),
        agent_id: agent.clone(),
        action,
        after: Cursor {
            at,
            id: "grnt_1".into(),
        },
    };
    let list = async |after: Option<AgentId>, limit| {
        query!(store, [after], |tx| tx.pending_spreads(after.as_ref(), limit).await?)
    };
    assert_eq!(list(None, 10).await, []);
    for spread in [
        spread(&one, RevocationAction::Suspended, 1),
        spread(&two, RevocationAction::Suspended, 2),
        spread(&one, RevocationAction::Resumed, 3),
    ] {
        commit!(store, [spread], |tx| tx.put_spread(&spread).await?);
    }
    let mut agents = [one.clone(), two.clone()];
    agents.sort_unstable();
    let [first, second] = agents;
    assert_eq!(list(None, 1).await, [(id.clone(), first.clone())]);
    assert_eq!(list(Some(first), 10).await, [(id.clone(), second)]);
    let found = query!(store, [id, one], |tx| tx.pending_spread(&id, &one).await?);
    assert_eq!(found, Some(spread(&one, RevocationAction::Resumed, 3)));
    let stranger = fixtures.id::<DeveloperId>();
    assert_eq!(
        query!(store, [stranger, one], |tx| tx.pending_spread(&stranger, &one).await?),
        None
    );
    commit!(store, [one], |tx| tx.remove_spread(&one).await?);
    commit!(store, [one], |tx| tx.remove_spread(&one).await?);
    assert_eq!(list(None, 10).await, [(id.clone(), two)]);
}

pub async fn positions_are_in_the_order_of_commits<S: Store>(store: S) {
    let fixtures = Fixtures::new(166);
    let tenant = Tenant::create(&store, &fixtures).await;
    let id = tenant.developer.id.clone();
    race((0..8).map(|writer| {
        let (store, id) = (&store, &id);
        async move {
            for round in 0..5 {
                let owner = id.clone();
                let told: Result<i64, StoreError> = store
                    .transact(options_for(id), move |tx| {
                        Box::pin(async move {
                            tx.lock_head(&owner).await?;
                            let head = tx.revocation_head(&owner).await?;
                            let subject = format!("grnt_{writer}_{round}");
                            let next = entry(head.seq + 1, RevocationAction::Revoked, &subject);
                            tx.append_revocations(&owner, &[next]).await?;
                            Ok(head.seq + 1)
                        })
                    })
                    .await;
                // Whoever reads while others write never finds a position with one missing before it.
                let seen = after(store, id, 0, Wanted::Latest, 100).await;
                assert!((1..).zip(&seen).all(|(place, seq)| place == *seq), "{seen:?}");
                assert!(seen.contains(&told.unwrap()));
            }
        }
    }))
    .await;
    assert_eq!(after(&store, &id, 0, Wanted::All, 100).await.len(), 40);
}
