//! Many units at once, and units that misbehave, on both databases.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::indexing_slicing,
    reason = "tests fail by panicking"
)]

mod support;

use std::sync::Arc;

use grantex_core::agent::Agent;
use grantex_core::authorize::{AuthRequest, AuthRequestState};
use grantex_core::clock::Lifetime;
use grantex_core::context::Admission;
use grantex_core::developer::Developer;
use grantex_core::error::StoreError;
use grantex_core::grant::{Grant, GrantFilter, GrantStatus, RevokedBy};
use grantex_core::page::PageRequest;
use grantex_core::store::{Store, UnitOptions};
use grantex_core::testing::fixtures::Fixtures;
use grantex_core::token::{RefreshUse, Token};
use grantex_store::AnyStore;
use support::{Databases, active_grants, add_grant, commit, insert_agent, insert_developer, insert_grant, read};
use tokio::task::JoinSet;

/// Each rule, against each database.
macro_rules! on_both {
    ($($rule:ident,)+) => {
        mod sqlite {
            $(#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
            async fn $rule() {
                let databases = super::Databases::sqlite();
                super::$rule(databases.replicas().await).await;
                databases.remove().await;
            })+
        }
        mod postgres {
            $(#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
            async fn $rule() {
                let databases = super::Databases::postgres().await;
                super::$rule(databases.replicas().await).await;
                databases.remove().await;
            })+
        }
    };
}

on_both! {
    one_of_200_redeems_a_code,
    one_of_100_uses_a_refresh_token,
    no_refresh_token_is_used_after_its_grant_has_ended,
    no_child_survives_the_revocation_of_its_parent,
    a_unit_that_fails_harms_nobody_else,
    a_unit_that_panics_harms_nobody_else,
    a_unit_whose_statement_failed_is_not_kept_whatever_it_says,
    a_unit_that_waits_for_something_else_is_not_kept,
    a_withdrawn_unit_never_runs,
    many_developers_make_progress_together,
    a_sweep_beside_exchanges_counts_every_grant_once,
}

/// Two servers on one database; callers take turns.
type Replicas = [AnyStore; 2];

/// What most rules need.
struct Tenant {
    fixtures: Arc<Fixtures>,
    developer: Developer,
    agent: Agent,
}

impl Tenant {
    async fn new(store: &AnyStore, seed: u64) -> Self {
        let fixtures = Arc::new(Fixtures::new(seed));
        let developer = insert_developer(store, &fixtures).await;
        let agent = insert_agent(store, &fixtures, &developer).await;
        Self {
            fixtures,
            developer,
            agent,
        }
    }
}

async fn one_of_200_redeems_a_code(stores: Replicas) {
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

async fn one_of_100_uses_a_refresh_token(stores: Replicas) {
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
async fn no_refresh_token_is_used_after_its_grant_has_ended(stores: Replicas) {
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

async fn active(store: &AnyStore, developer: &Developer, fixtures: &Fixtures) -> Vec<Grant> {
    let (id, now) = (developer.id.clone(), fixtures.now());
    let filter = GrantFilter {
        status: Some(GrantStatus::Active),
        ..GrantFilter::default()
    };
    let page = PageRequest {
        size: 1_000,
        ..PageRequest::default()
    };
    read(store, move |tx| {
        Box::pin(async move { tx.grants(&id, &filter, &page, now).await })
    })
    .await
    .items
}

/// Children and grandchildren are born on both servers while one of them revokes the root.
async fn no_child_survives_the_revocation_of_its_parent(stores: Replicas) {
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

fn empty(
    developer_id: grantex_core::id::DeveloperId,
    head: grantex_core::store::DeveloperHead,
) -> grantex_core::store::Ledger {
    let (grants, tokens, audit, events) = (Vec::new(), Vec::new(), Vec::new(), Vec::new());
    grantex_core::store::Ledger {
        developer_id,
        head,
        grants,
        tokens,
        audit,
        events,
    }
}

/// What a unit does after it has stored its grant.
#[derive(Clone, Copy)]
enum Then {
    Succeed,
    Fail,
    Panic,
    /// Fails a statement and says that all is well.
    Swallow,
    /// Awaits something that is not the store.
    Wander,
}

/// Forty units of one developer at once, every fourth of which does what it should not: the thirty others are kept.
async fn thirty_of_forty_are_kept(stores: Replicas, seed: u64, bad: Then) {
    let store = &stores[0];
    let tenant = Tenant::new(store, seed).await;
    let mut units = JoinSet::new();
    for number in 0..40 {
        let (store, grant) = (stores[number % 2].clone(), tenant.fixtures.grant(&tenant.agent));
        let then = if number % 4 == 0 { bad } else { Then::Succeed };
        units.spawn(async move {
            let developer = grant.developer_id.clone();
            let owner = developer.clone();
            let unit = commit(&store, Some(&developer), move |tx| {
                Box::pin(async move {
                    add_grant(tx, grant.clone(), None).await?;
                    match then {
                        Then::Succeed => Ok(()),
                        Then::Fail => Err(StoreError::unavailable("changed its mind")),
                        Then::Panic => panic!("a unit that panics, as it should here"),
                        Then::Swallow => {
                            let _ = add_grant(tx, grant, None).await;
                            let _ = tx.grant(&owner, &parse_grant()).await;
                            Ok(())
                        }
                        Then::Wander => {
                            tokio::task::yield_now().await;
                            Ok(())
                        }
                    }
                })
            });
            unit.await.is_ok()
        });
    }
    let kept = units.join_all().await.into_iter().filter(|is_kept| *is_kept).count();
    // PostgreSQL's units are tasks, so one that awaits something else is slow there, and harms nobody either.
    let expected = if matches!((bad, store), (Then::Wander, AnyStore::Postgres(_))) {
        40
    } else {
        30
    };
    assert_eq!(kept, expected);
    assert_eq!(active(store, &tenant.developer, &tenant.fixtures).await.len(), expected);
    assert_eq!(
        active_grants(store, &tenant.developer).await,
        i64::try_from(expected).unwrap()
    );
}

fn parse_grant() -> grantex_core::id::GrantId {
    grantex_core::id::GrantId::parse("grnt_01ARZ3NDEKTSV4RRFFQ69G5FAV").unwrap()
}

async fn a_unit_that_fails_harms_nobody_else(stores: Replicas) {
    thirty_of_forty_are_kept(stores, 20, Then::Fail).await;
}

async fn a_unit_that_panics_harms_nobody_else(stores: Replicas) {
    thirty_of_forty_are_kept(stores, 21, Then::Panic).await;
}

async fn a_unit_whose_statement_failed_is_not_kept_whatever_it_says(stores: Replicas) {
    thirty_of_forty_are_kept(stores, 22, Then::Swallow).await;
}

async fn a_unit_that_waits_for_something_else_is_not_kept(stores: Replicas) {
    thirty_of_forty_are_kept(stores, 23, Then::Wander).await;
}

async fn a_withdrawn_unit_never_runs(stores: Replicas) {
    let store = &stores[0];
    let tenant = Tenant::new(store, 30).await;
    let mut units = JoinSet::new();
    for number in 0..40 {
        let (store, grant) = (stores[number % 2].clone(), tenant.fixtures.grant(&tenant.agent));
        let admission = Admission::default();
        let is_withdrawn = number % 2 == 0 && admission.withdraw();
        units.spawn(async move {
            let options = UnitOptions {
                developer: Some(grant.developer_id.clone()),
                admission,
            };
            let unit = store.transact(options, move |tx| {
                Box::pin(async move { add_grant(tx, grant, None).await })
            });
            match unit.await {
                Ok(()) => assert!(!is_withdrawn),
                Err(error) => assert!(is_withdrawn && matches!(error, StoreError::Withdrawn)),
            }
        });
    }
    units.join_all().await;
    assert_eq!(active_grants(store, &tenant.developer).await, 20);
}

async fn many_developers_make_progress_together(stores: Replicas) {
    let store = &stores[0];
    let mut units = JoinSet::new();
    let mut tenants = Vec::new();
    for seed in 0..20 {
        tenants.push(Tenant::new(store, 40 + seed).await);
    }
    for number in 0..400 {
        let tenant = &tenants[number % tenants.len()];
        let (store, grant) = (stores[number % 2].clone(), tenant.fixtures.grant(&tenant.agent));
        units.spawn(async move { insert_grant(&store, &grant).await });
    }
    units.join_all().await;
    for tenant in &tenants {
        assert_eq!(active_grants(store, &tenant.developer).await, 20);
    }
    assert!(stores.iter().all(|store| store.stats().write_queue == 0));
}

/// Exchanges lock their developer, the sweep locks all developers whose grants it takes: nobody may wait in a circle.
async fn a_sweep_beside_exchanges_counts_every_grant_once(stores: Replicas) {
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
