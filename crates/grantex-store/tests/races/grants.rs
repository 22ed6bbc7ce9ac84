//! Grants that are handed on, revoked and counted at the same time.

use grantex_core::clock::Lifetime;
use grantex_core::grant::{Grant, RevokedBy};
use tokio::task::JoinSet;

use crate::support::{active_grants, add_grant, commit, insert_grant};
use crate::{Replicas, Tenant, active, empty};

/// Children and grandchildren are born on both servers while one of them revokes the root.
pub async fn no_child_survives_the_revocation_of_its_parent(stores: Replicas) {
    let store = &stores[0];
    for round in 0..6 {
        let tenant = Tenant::new(store, 10 + round).await;
        let root = tenant.fixtures.grant(&tenant.agent);
        let child = tenant.fixtures.child(&root, &tenant.agent);
        insert_grant(store, &root).await;
        insert_grant(store, &child).await;
        let now = tenant.fixtures.now();

        let mut racers = JoinSet::new();
        for number in 0..24 {
            let parent = if number % 2 == 0 { root.clone() } else { child.clone() };
            let born = tenant.fixtures.child(&parent, &tenant.agent);
            let (store, developer) = (stores[number % 2].clone(), tenant.developer.id.clone());
            racers.spawn(async move {
                let delegate = commit(&store, Some(&developer), move |tx| {
                    Box::pin(async move {
                        if tx.touch_active_grant(&parent.id, &parent.agent_id, now).await? {
                            add_grant(tx, born, None).await?;
                        }
                        Ok(())
                    })
                });
                delegate.await.unwrap();
            });
            if number == 12 {
                let (store, developer, root) =
                    (stores[number % 2].clone(), tenant.developer.id.clone(), root.id.clone());
                racers.spawn(async move {
                    let owner = developer.clone();
                    let revoke = commit(&store, Some(&owner), move |tx| {
                        Box::pin(async move {
                            let tree = tx.revoke_tree(&developer, &root, RevokedBy::Developer, now).await?;
                            let mut head = tx.lock_head(&developer).await?.unwrap();
                            head.active_grants -= tree.counted;
                            let ledger = empty(developer, head);
                            tx.write_ledger(&ledger).await
                        })
                    });
                    revoke.await.unwrap();
                });
            }
        }
        racers.join_all().await;
        assert_eq!(
            active(store, &tenant.developer, &tenant.fixtures).await,
            Vec::<Grant>::new()
        );
        assert_eq!(active_grants(store, &tenant.developer).await, 0);
    }
}

/// Exchanges lock their developer, the sweep locks all developers whose grants it takes: nobody may wait in a circle.
pub async fn a_sweep_beside_exchanges_counts_every_grant_once(stores: Replicas) {
    let store = &stores[0];
    let mut tenants = Vec::new();
    for seed in 0..6 {
        tenants.push(Tenant::new(store, 70 + seed).await);
    }
    let later = tenants[0].fixtures.now().plus(Lifetime::days(2));
    for tenant in &tenants {
        for _ in 0..10 {
            insert_grant(store, &tenant.fixtures.grant(&tenant.agent)).await;
        }
    }
    let mut units = JoinSet::new();
    for number in 0..120 {
        let tenant = &tenants[number % tenants.len()];
        let expires_at = later.plus(Lifetime::days(1));
        let grant = Grant {
            expires_at,
            ..tenant.fixtures.grant(&tenant.agent)
        };
        let store = stores[number % 2].clone();
        units.spawn(async move {
            if number % 10 == 0 {
                let sweep = commit(&store, None, move |tx| {
                    Box::pin(async move { tx.uncount_expired_grants(later, 25).await })
                });
                return sweep.await.unwrap();
            }
            insert_grant(&store, &grant).await;
            0
        });
    }
    let mut swept: u64 = units.join_all().await.into_iter().sum();
    // Sweeps that met on the same grants left the rest to the next one.
    for _ in 0..3 {
        swept += commit(store, None, move |tx| {
            Box::pin(async move { tx.uncount_expired_grants(later, 25).await })
        })
        .await
        .unwrap();
    }
    assert_eq!(swept, 60);
    let mut counted = 0;
    for tenant in &tenants {
        counted += active_grants(store, &tenant.developer).await;
    }
    assert_eq!(counted, 108);
}
