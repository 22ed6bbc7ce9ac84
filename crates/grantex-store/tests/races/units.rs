//! Many units of work, some of which misbehave.

use grantex_core::context::Admission;
use grantex_core::error::StoreError;
use grantex_core::id::GrantId;
use grantex_core::store::{Store, UnitOptions};
use grantex_store::AnyStore;
use tokio::task::JoinSet;

use crate::support::{active_grants, add_grant, commit, insert_grant};
use crate::{Replicas, Tenant, active};

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

fn parse_grant() -> GrantId {
    GrantId::parse("grnt_01ARZ3NDEKTSV4RRFFQ69G5FAV").unwrap()
}

pub async fn a_unit_that_fails_harms_nobody_else(stores: Replicas) {
    thirty_of_forty_are_kept(stores, 20, Then::Fail).await;
}

pub async fn a_unit_that_panics_harms_nobody_else(stores: Replicas) {
    thirty_of_forty_are_kept(stores, 21, Then::Panic).await;
}

pub async fn a_unit_whose_statement_failed_is_not_kept_whatever_it_says(stores: Replicas) {
    thirty_of_forty_are_kept(stores, 22, Then::Swallow).await;
}

pub async fn a_unit_that_waits_for_something_else_is_not_kept(stores: Replicas) {
    thirty_of_forty_are_kept(stores, 23, Then::Wander).await;
}

/// A ledger is refused behind the back of its unit, which has said that all is well. PostgreSQL then refuses the whole transaction,
/// which units of other developers may share; the others may repeat theirs.
pub async fn a_unit_whose_ledger_is_refused_is_not_kept_and_nobody_is_told_wrong(stores: Replicas) {
    let mut tenants = Vec::new();
    for seed in 0..10 {
        tenants.push(Tenant::new(&stores[0], 70 + seed).await);
    }
    let taken = tenants[0].fixtures.grant(&tenants[0].agent);
    insert_grant(&stores[0], &taken).await;
    let mut units = JoinSet::new();
    for number in 0..200 {
        let (store, index) = (stores[number % 2].clone(), number / 2 % 10);
        let tenant = &tenants[index];
        let grant = if index == 0 {
            taken.clone()
        } else {
            tenant.fixtures.grant(&tenant.agent)
        };
        units.spawn(async move {
            let developer = grant.developer_id.clone();
            let unit = commit(&store, Some(&developer), move |tx| {
                Box::pin(async move { add_grant(tx, grant, None).await })
            });
            (index, unit.await)
        });
    }
    let mut kept = [0; 10];
    for (index, result) in units.join_all().await {
        match result {
            Ok(()) => kept[index] += 1,
            Err(error) => assert!(matches!(error, StoreError::Unavailable(_)), "{error:?}"),
        }
    }
    assert_eq!(kept[0], 0);
    for (index, tenant) in tenants.iter().enumerate() {
        let expected = kept[index] + usize::from(index == 0);
        assert_eq!(
            active(&stores[0], &tenant.developer, &tenant.fixtures).await.len(),
            expected
        );
        assert_eq!(
            active_grants(&stores[0], &tenant.developer).await,
            i64::try_from(expected).unwrap()
        );
    }
}

pub async fn a_withdrawn_unit_never_runs(stores: Replicas) {
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

pub async fn many_developers_make_progress_together(stores: Replicas) {
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
