//! Cascades, and the count of active grants.

use super::support::Tenant;
use crate::clock::{Lifetime, Timestamp};
use crate::grant::{Grant, GrantState, RevokedBy};
use crate::id::{DeveloperId, GrantId};
use crate::store::{RevokedTree, Store};
use crate::testing::fixtures::Fixtures;

async fn revoke<S: Store>(store: &S, developer: &DeveloperId, root: &GrantId, now: Timestamp) -> RevokedTree {
    commit!(store, [developer, root], |tx| tx
        .revoke_tree(&developer, &root, RevokedBy::Developer, now)
        .await?)
}

async fn states<S: Store>(store: &S, developer: &DeveloperId, grants: &[&Grant]) -> Vec<GrantState> {
    let mut states = Vec::new();
    for grant in grants {
        let id = grant.id.clone();
        states.push(
            query!(store, [developer, id], |tx| tx.grant(&developer, &id).await?)
                .unwrap()
                .state,
        );
    }
    states
}

pub async fn a_cascade_passes_through_revoked_grants<S: Store>(store: S) {
    let fixtures = Fixtures::new(40);
    let tenant = Tenant::create(&store, &fixtures).await;
    let id = tenant.developer.id.clone();
    let root = fixtures.grant(&tenant.agent);
    let middle = fixtures.child(&root, &tenant.agent);
    let bystander = fixtures.grant(&tenant.agent);
    tenant.insert_grants(&store, &[&root, &middle, &bystander]).await;
    let (earlier, later) = (fixtures.now(), fixtures.now().plus(Lifetime::seconds(5)));

    assert_eq!(
        revoke(&store, &id, &middle.id, earlier).await,
        RevokedTree {
            grants: vec![middle.id.clone()],
            counted: 1
        }
    );
    // Children that were committed while their parent was being revoked.
    let child = fixtures.child(&middle, &tenant.agent);
    let grandchild = fixtures.child(&child, &tenant.agent);
    tenant.insert_grants(&store, &[&child, &grandchild]).await;

    let expected = RevokedTree {
        grants: vec![root.id.clone(), child.id.clone(), grandchild.id.clone()],
        counted: 3,
    };
    assert_eq!(revoke(&store, &id, &root.id, later).await, expected);
    let (earlier, later) = (GrantState::Revoked { at: earlier }, GrantState::Revoked { at: later });
    let all = [&root, &middle, &child, &grandchild, &bystander];
    assert_eq!(
        states(&store, &id, &all).await,
        [later, earlier, later, later, GrantState::Active]
    );

    let much_later = fixtures.now().plus(Lifetime::hours(1));
    assert_eq!(
        revoke(&store, &id, &root.id, much_later).await,
        RevokedTree::default(),
        "nothing is left to revoke"
    );
    assert_eq!(
        states(&store, &id, &all).await,
        [later, earlier, later, later, GrantState::Active]
    );
    // A revoked root is walked all the same, so that what was committed late under it goes too.
    let straggler = fixtures.child(&middle, &tenant.agent);
    tenant.insert_grants(&store, &[&straggler]).await;
    let expected = RevokedTree {
        grants: vec![straggler.id.clone()],
        counted: 1,
    };
    assert_eq!(revoke(&store, &id, &root.id, much_later).await, expected);
    assert_eq!(
        states(&store, &id, &[&straggler]).await,
        [GrantState::Revoked { at: much_later }]
    );
}

pub async fn a_cascade_tells_how_many_counted<S: Store>(store: S) {
    let fixtures = Fixtures::new(41);
    let tenant = Tenant::create(&store, &fixtures).await;
    let id = tenant.developer.id.clone();
    let now = fixtures.now();
    let root = fixtures.grant(&tenant.agent);
    let expired = Grant {
        expires_at: now,
        ..fixtures.child(&root, &tenant.agent)
    };
    // No flow lets a child outlive its parent; a store leaves that to them.
    let below = Grant {
        expires_at: root.expires_at,
        ..fixtures.child(&expired, &tenant.agent)
    };
    tenant.insert_grants(&store, &[&root, &expired, &below]).await;
    assert_eq!(tenant.head(&store).await.active_grants, 3);
    assert_eq!(commit!(store, [], |tx| tx.uncount_expired_grants(now, 10).await?), 1);

    // The expired one is revoked with the others, and has left the count before.
    let expected = RevokedTree {
        grants: vec![root.id.clone(), expired.id.clone(), below.id.clone()],
        counted: 2,
    };
    assert_eq!(revoke(&store, &id, &root.id, now).await, expected);
    assert_eq!(
        tenant.head(&store).await.active_grants,
        2,
        "the unit's ledger takes them out of the count, not the cascade"
    );
    let all_expired = root.expires_at.plus(Lifetime::days(9));
    assert_eq!(
        commit!(store, [], |tx| tx.uncount_expired_grants(all_expired, 10).await?),
        0,
        "revoked grants do not count"
    );
}

pub async fn a_cascade_reaches_wide_and_deep<S: Store>(store: S) {
    let fixtures = Fixtures::new(42);
    let tenant = Tenant::create(&store, &fixtures).await;
    let id = tenant.developer.id.clone();
    let mut grants = vec![fixtures.grant(&tenant.agent)];
    for depth in 0..10 {
        grants.push(fixtures.child(&grants[depth], &tenant.agent));
    }
    grants.extend(
        (0..60)
            .map(|_| fixtures.child(&grants[0], &tenant.agent))
            .collect::<Vec<_>>(),
    );
    let all: Vec<&Grant> = grants.iter().collect();
    tenant.insert_grants(&store, &all).await;

    let now = fixtures.now();
    let revoked = revoke(&store, &id, &grants[0].id, now).await;
    assert_eq!(revoked.counted, 71);
    assert_eq!(revoked.grants.first(), Some(&grants[0].id));
    assert_eq!(revoked.grants.last(), Some(&grants[10].id), "the deepest goes last");
    let mut ids: Vec<GrantId> = grants.iter().map(|grant| grant.id.clone()).collect();
    let mut revoked_ids = revoked.grants;
    ids.sort();
    revoked_ids.sort();
    assert_eq!(revoked_ids, ids);
    assert_eq!(
        states(&store, &id, &all).await,
        vec![GrantState::Revoked { at: now }; 71]
    );
}

pub async fn a_cascade_stays_with_its_developer<S: Store>(store: S) {
    let fixtures = Fixtures::new(43);
    let tenant = Tenant::create(&store, &fixtures).await;
    let other = Tenant::create(&store, &fixtures).await;
    let root = fixtures.grant(&tenant.agent);
    let child = fixtures.child(&root, &tenant.agent);
    tenant.insert_grants(&store, &[&root, &child]).await;
    let now = fixtures.now();
    assert_eq!(
        revoke(&store, &other.developer.id, &root.id, now).await,
        RevokedTree::default()
    );
    assert_eq!(
        revoke(&store, &tenant.developer.id, &fixtures.id(), now).await,
        RevokedTree::default(),
        "an unknown grant"
    );
    assert_eq!(
        states(&store, &tenant.developer.id, &[&root, &child]).await,
        [GrantState::Active, GrantState::Active]
    );
    // A cascade begins where it is told to: what stands above stays.
    assert_eq!(
        revoke(&store, &tenant.developer.id, &child.id, now).await,
        RevokedTree {
            grants: vec![child.id.clone()],
            counted: 1
        }
    );
    let expected = [GrantState::Active, GrantState::Revoked { at: now }];
    assert_eq!(states(&store, &tenant.developer.id, &[&root, &child]).await, expected);
}

pub async fn expired_grants_are_uncounted_once<S: Store>(store: S) {
    let fixtures = Fixtures::new(44);
    let first = Tenant::create(&store, &fixtures).await;
    let second = Tenant::create(&store, &fixtures).await;
    let end = fixtures.now().plus(Lifetime::minutes(1));
    let expiring = |tenant: &Tenant| Grant {
        expires_at: end,
        ..fixtures.grant(&tenant.agent)
    };
    let lasting = fixtures.grant(&first.agent);
    let of_first = [expiring(&first), expiring(&first), expiring(&first)];
    let of_second = [expiring(&second), expiring(&second)];
    first
        .insert_grants(&store, &[&lasting, &of_first[0], &of_first[1], &of_first[2]])
        .await;
    second.insert_grants(&store, &[&of_second[0], &of_second[1]]).await;
    assert_eq!(query!(store, [], |tx| tx.total_active_grants().await?), 6);

    let before_end = end.minus(Lifetime::millis(1));
    assert_eq!(
        commit!(store, [], |tx| tx.uncount_expired_grants(before_end, 10).await?),
        0
    );
    let mut counts = Vec::new();
    for _ in 0..4 {
        let uncounted = commit!(store, [], |tx| tx.uncount_expired_grants(end, 2).await?);
        counts.push((uncounted, query!(store, [], |tx| tx.total_active_grants().await?)));
    }
    assert_eq!(counts, [(2, 4), (2, 2), (1, 1), (0, 1)]);
    assert_eq!(
        (
            first.head(&store).await.active_grants,
            second.head(&store).await.active_grants
        ),
        (1, 0)
    );
    let id = &first.developer.id;
    assert_eq!(
        states(&store, id, &[&of_first[0], &lasting]).await,
        [GrantState::Active; 2],
        "expiry is never stored"
    );
}
