//! What callers share on PostgreSQL, a transaction or a query, and how little they suffer from each other.

use std::time::Duration;

use grantex_core::developer::Developer;
use grantex_core::error::StoreError;
use grantex_core::plan::Plan;
use grantex_core::store::Store;
use grantex_store::{AnyStore, Options};
use tokio::sync::oneshot;
use tokio::task::JoinHandle;
use tokio_postgres::NoTls;

use crate::support::{Databases, add_grant, commit};
use crate::{Tenant, active};

/// One connection, hence one group at a time: what is queued behind a unit that waits is one group.
fn one_connection() -> Options {
    Options {
        pool_size: 1,
        lock_timeout: Duration::from_millis(200),
        ..Options::default()
    }
}

/// A unit that has begun, and whose transaction lasts until it is let go.
struct Occupied {
    release: oneshot::Sender<()>,
    unit: JoinHandle<Result<(), StoreError>>,
}

async fn occupy(store: &AnyStore, developer: &Developer) -> Occupied {
    let (release, released) = oneshot::channel();
    let (begin, begun) = oneshot::channel();
    let (store, id) = (store.clone(), developer.id.clone());
    let unit = tokio::spawn(async move {
        commit(&store, Some(&id), move |_| {
            Box::pin(async move {
                begin.send(()).unwrap();
                released.await.unwrap();
                Ok(())
            })
        })
        .await
    });
    begun.await.unwrap();
    Occupied { release, unit }
}

impl Occupied {
    async fn let_go(self) {
        self.release.send(()).unwrap();
        self.unit.await.unwrap().unwrap();
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn a_developer_who_cannot_be_locked_harms_nobody_else() {
    let databases = Databases::postgres().await;
    let url = databases.url().await;
    let store = grantex_store::open(&url, one_connection()).await.unwrap();
    let elsewhere = grantex_store::open(&url, Options::default()).await.unwrap();
    let (locked, free, first) = (
        Tenant::new(&store, 500).await,
        Tenant::new(&store, 501).await,
        Tenant::new(&store, 502).await,
    );
    let holder = occupy(&elsewhere, &locked.developer).await;
    let gate = occupy(&store, &first.developer).await;
    let (of_locked, of_free) = (locked.fixtures.grant(&locked.agent), free.fixtures.grant(&free.agent));
    let (refused, kept, ()) = tokio::join!(
        commit(&store, Some(&locked.developer.id), move |tx| {
            Box::pin(async move { add_grant(tx, of_locked, None).await })
        }),
        commit(&store, Some(&free.developer.id), move |tx| {
            Box::pin(async move { add_grant(tx, of_free, None).await })
        }),
        gate.let_go(),
    );
    assert!(matches!(refused, Err(StoreError::Unavailable(_))), "{refused:?}");
    kept.unwrap();
    holder.let_go().await;
    assert_eq!(active(&store, &locked.developer, &locked.fixtures).await.len(), 0);
    assert_eq!(active(&store, &free.developer, &free.fixtures).await.len(), 1);
    databases.remove().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn what_a_failed_unit_changed_of_its_developer_is_not_seen_by_the_next() {
    let databases = Databases::postgres().await;
    let store = databases.store_with(one_connection()).await;
    let (tenant, first) = (Tenant::new(&store, 510).await, Tenant::new(&store, 511).await);
    let id = tenant.developer.id.clone();
    let other = if tenant.developer.plan == Plan::Free {
        Plan::Pro
    } else {
        Plan::Free
    };
    let gate = occupy(&store, &first.developer).await;
    let (failing, reading) = (id.clone(), id.clone());
    let (failed, seen, ()) = tokio::join!(
        commit(&store, Some(&id), move |tx| {
            Box::pin(async move {
                assert!(tx.set_plan(&failing, other).await?);
                assert_eq!(tx.lock_head(&failing).await?.unwrap().plan, other);
                Err::<(), _>(StoreError::unavailable("changed its mind"))
            })
        }),
        commit(&store, Some(&id), move |tx| {
            Box::pin(async move { Ok(tx.lock_head(&reading).await?.unwrap().plan) })
        }),
        gate.let_go(),
    );
    assert!(failed.is_err());
    assert_eq!(seen.unwrap(), tenant.developer.plan);
    databases.remove().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn nobody_is_left_behind_by_a_query_that_is_late() {
    let databases = Databases::postgres().await;
    let url = databases.url().await;
    let options = Options {
        statement_timeout: Duration::from_secs(60),
        lock_timeout: Duration::from_secs(60),
        ..Options::default()
    };
    let store = grantex_store::open(&url, options).await.unwrap();
    let tenant = Tenant::new(&store, 520).await;
    let (locker, connection) = tokio_postgres::connect(&url, NoTls).await.unwrap();
    let driver = tokio::spawn(connection);
    locker
        .batch_execute("BEGIN; LOCK TABLE agents IN ACCESS EXCLUSIVE MODE")
        .await
        .unwrap();
    let ask = || {
        let (store, developer, agent) = (store.clone(), tenant.developer.id.clone(), tenant.agent.id.clone());
        tokio::spawn(async move { store.agent(developer, agent).await })
    };
    let are_in_use = async |count: usize| {
        while store.stats().pools[0].in_use != count {
            tokio::task::yield_now().await;
        }
    };
    let early = ask();
    are_in_use(1).await;
    // Asks while the first query is under way, and nobody after it.
    let late = ask();
    are_in_use(2).await;
    locker.batch_execute("ROLLBACK").await.unwrap();
    for asked in [early, late] {
        assert_eq!(asked.await.unwrap().unwrap(), Some(tenant.agent.clone()));
    }
    drop(locker);
    driver.await.unwrap().unwrap();
    databases.remove().await;
}
