//! Codes and refresh tokens, which are used once, and not behind the end of their grant.

use grantex_core::authorize::{AuthRequest, AuthRequestState};
use grantex_core::clock::Lifetime;
use grantex_core::grant::RevokedBy;
use grantex_core::token::{RefreshUse, Token};
use tokio::task::JoinSet;

use crate::support::{active_grants, add_grant, commit, insert_grant, read};
use crate::{Replicas, Tenant, empty};

pub async fn one_of_200_redeems_a_code(stores: Replicas) {
    let store = &stores[0];
    let tenant = Tenant::new(store, 1).await;
    let (hash, now) = (tenant.fixtures.hash(), tenant.fixtures.now());
    let code_expires_at = now.plus(Lifetime::minutes(10));
    let status = AuthRequestState::Approved {
        code_hash: hash.clone(),
        code_expires_at,
    };
    let request = AuthRequest {
        status,
        ..tenant.fixtures.auth_request(&tenant.agent)
    };
    let stored = request.clone();
    commit(store, None, move |tx| {
        Box::pin(async move { tx.insert_auth_request(&stored).await })
    })
    .await
    .unwrap();

    let mut racers = JoinSet::new();
    for number in 0..200 {
        let (store, hash, id) = (stores[number % 2].clone(), hash.clone(), request.id.clone());
        let grant = tenant.fixtures.grant(&tenant.agent);
        let token = tenant.fixtures.token(&grant);
        racers.spawn(async move {
            let (developer, token_id) = (grant.developer_id.clone(), token.id.clone());
            let redeem = commit(&store, Some(&developer), move |tx| {
                Box::pin(async move {
                    if !tx.consume_auth_request(&id, &hash, now, &grant.id).await? {
                        return Ok(false);
                    }
                    add_grant(tx, grant, Some(token)).await.map(|()| true)
                })
            });
            redeem.await.unwrap().then_some(token_id)
        });
    }
    let winners: Vec<_> = racers.join_all().await.into_iter().flatten().collect();
    let [winner] = winners.try_into().unwrap();
    let record = read(store, move |tx| Box::pin(async move { tx.token(&winner).await }))
        .await
        .unwrap();
    assert_eq!(record.grant.developer_id, tenant.developer.id);
    assert_eq!(active_grants(store, &tenant.developer).await, 1);
}

pub async fn one_of_100_uses_a_refresh_token(stores: Replicas) {
    let store = &stores[0];
    let tenant = Tenant::new(store, 2).await;
    let grant = tenant.fixtures.grant(&tenant.agent);
    let token = tenant.fixtures.token(&grant);
    let (first, issued) = (grant.clone(), token.clone());
    let developer = tenant.developer.id.clone();
    let insert = commit(store, Some(&developer), move |tx| {
        Box::pin(async move { add_grant(tx, first, Some(issued)).await })
    });
    insert.await.unwrap();

    let mut racers = JoinSet::new();
    for number in 0..100 {
        let (store, id, developer) = (stores[number % 2].clone(), token.id.clone(), developer.clone());
        let successor = tenant.fixtures.token(&grant).id;
        let used = RefreshUse {
            at: tenant.fixtures.now(),
            successor: successor.clone(),
            replay: None,
        };
        racers.spawn(async move {
            let refresh = commit(&store, Some(&developer), move |tx| {
                Box::pin(async move { tx.use_refresh_token(&id, &used).await })
            });
            refresh.await.unwrap().then_some(successor)
        });
    }
    let winners: Vec<_> = racers.join_all().await.into_iter().flatten().collect();
    let [winner] = winners.try_into().unwrap();
    let id = token.id.clone();
    let record = read(store, move |tx| Box::pin(async move { tx.token(&id).await }))
        .await
        .unwrap();
    assert_eq!(record.token.refresh_use.unwrap().successor, winner);
}

/// Two hundred refreshes of one grant on both servers, and in the middle of them its end: no refresh token is used behind it.
pub async fn no_refresh_token_is_used_after_its_grant_has_ended(stores: Replicas) {
    let store = &stores[0];
    for round in 0..4 {
        let tenant = Tenant::new(store, 50 + round).await;
        let grant = tenant.fixtures.grant(&tenant.agent);
        let tokens: Vec<Token> = (0..200).map(|_| tenant.fixtures.token(&grant)).collect();
        insert_grant(store, &grant).await;
        let (developer, issued) = (tenant.developer.id.clone(), tokens.clone());
        let insert = commit(store, Some(&tenant.developer.id), move |tx| {
            Box::pin(async move {
                let mut ledger = empty(developer.clone(), tx.lock_head(&developer).await?.unwrap());
                ledger.tokens = issued;
                tx.write_ledger(&ledger).await
            })
        });
        insert.await.unwrap();

        let mut racers = JoinSet::new();
        for (number, token) in tokens.into_iter().enumerate() {
            let (store, developer, grant) = (stores[number % 2].clone(), tenant.developer.id.clone(), grant.clone());
            let used = tenant.fixtures.refresh_use(&token);
            racers.spawn(async move {
                let owner = developer.clone();
                let is_end = number == 100;
                let unit = commit(&store, Some(&owner), move |tx| {
                    Box::pin(async move {
                        if is_end && round % 2 == 0 {
                            tx.revoke_tree(&developer, &grant.id, RevokedBy::Developer, used.at)
                                .await?;
                        } else if is_end {
                            assert!(tx.hide_agent(&developer, &grant.agent_id, used.at).await?);
                        } else if !tx.use_refresh_token(&token.id, &used).await? {
                            return Ok(None);
                        }
                        // The place of this unit in the order of commits.
                        let mut head = tx.lock_head(&developer).await?.unwrap();
                        head.event_seq += 1;
                        let place = head.event_seq;
                        tx.write_ledger(&empty(developer, head)).await?;
                        Ok(Some(place))
                    })
                });
                (is_end, unit.await.unwrap())
            });
        }
        let places = racers.join_all().await;
        let end = places
            .iter()
            .find_map(|(is_end, place)| place.filter(|_| *is_end))
            .unwrap();
        let last = places.iter().filter_map(|(_, place)| *place).max();
        assert_eq!(last, Some(end), "the end is the last that happened");
    }
}
