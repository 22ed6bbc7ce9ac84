//! Many who read at once.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use grantex_core::store::Store;
use tokio::task::JoinSet;

use crate::support::{add_grant, commit};
use crate::{Replicas, Tenant};

pub async fn each_of_many_callers_gets_what_he_asked_for(stores: Replicas) {
    let mut tenants = Vec::new();
    for seed in 0..10 {
        tenants.push(Tenant::new(&stores[0], 400 + seed).await);
    }
    let mut callers = JoinSet::new();
    for number in 0..400 {
        let store = stores[number % 2].clone();
        let tenant = &tenants[number % 10];
        // Every fourth asks for an agent of somebody else, every fourth for one that is not there.
        let (developer, id, expected) = match number % 4 {
            0 => (
                tenants[(number + 1) % 10].developer.id.clone(),
                tenant.agent.id.clone(),
                None,
            ),
            1 => (tenant.developer.id.clone(), tenant.fixtures.id(), None),
            _ => (
                tenant.developer.id.clone(),
                tenant.agent.id.clone(),
                Some(tenant.agent.clone()),
            ),
        };
        callers.spawn(async move {
            assert_eq!(store.agent(developer, id).await.unwrap(), expected);
        });
    }
    callers.join_all().await;
}

pub async fn a_change_is_seen_by_whoever_asks_after_it(stores: Replicas) {
    let tenant = Tenant::new(&stores[0], 420).await;
    let mut tokens = Vec::new();
    for _ in 0..40 {
        let grant = tenant.fixtures.grant(&tenant.agent);
        let token = tenant.fixtures.token(&grant);
        tokens.push(token.id.clone());
        commit(&stores[0], Some(&tenant.developer.id), move |tx| {
            Box::pin(async move { add_grant(tx, grant, Some(token)).await })
        })
        .await
        .unwrap();
    }
    // Others ask for the same tokens all the time, so that there is nearly always a query under way.
    let is_over = Arc::new(AtomicBool::new(false));
    let mut others = JoinSet::new();
    for number in 0..8 {
        let (store, tokens, is_over) = (stores[1].clone(), tokens.clone(), Arc::clone(&is_over));
        others.spawn(async move {
            for id in tokens.iter().cycle().skip(number) {
                if is_over.load(Ordering::Relaxed) {
                    return;
                }
                assert!(store.token(id.clone()).await.unwrap().is_some());
            }
        });
    }
    for id in &tokens {
        let (developer, revoked, now) = (tenant.developer.id.clone(), id.clone(), tenant.fixtures.now());
        let was_revoked = commit(&stores[0], Some(&tenant.developer.id), move |tx| {
            Box::pin(async move { tx.revoke_token(&developer, &revoked, now).await })
        });
        assert!(was_revoked.await.unwrap());
        let seen = stores[1].token(id.clone()).await.unwrap().unwrap();
        assert_eq!(seen.token.revoked_at, Some(now));
    }
    is_over.store(true, Ordering::Relaxed);
    others.join_all().await;
}
