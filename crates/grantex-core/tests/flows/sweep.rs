use grantex_core::clock::Lifetime;
use grantex_core::sweep::{Retention, Swept};

use crate::support::World;

impl World {
    /// Makes this many active grants without going through the flows one by one.
    pub async fn fill_active_grants(&self, count: usize) {
        use grantex_core::context::Admission;
        use grantex_core::error::StoreError;
        use grantex_core::store::{Ledger, Store as _, UnitOptions};
        let agent = self.agent(&[]).await;
        let fixtures = grantex_core::testing::fixtures::Fixtures::new(77);
        let grants: Vec<_> = (0..count).map(|_| fixtures.grant(&agent)).collect();
        let developer = self.developer.id.clone();
        let options = UnitOptions {
            developer: Some(developer.clone()),
            admission: Admission::default(),
        };
        self.store
            .transact(options, move |tx| {
                Box::pin(async move {
                    let mut head = tx.lock_head(&developer).await?.unwrap();
                    head.active_grants += i64::try_from(grants.len()).unwrap();
                    let ledger = Ledger {
                        developer_id: developer,
                        head,
                        grants,
                        tokens: vec![],
                        audit: vec![],
                        events: vec![],
                        deliveries: vec![],
                    };
                    tx.write_ledger(&ledger).await?;
                    Ok::<_, StoreError>(())
                })
            })
            .await
            .unwrap();
    }
}

#[tokio::test]
async fn expired_grants_leave_the_count_once() {
    let world = World::new().await;
    let agent = world.agent(&[]).await;
    world.issue(&agent, &["read"]).await;
    let mut command = world.request(&agent.id, &["read"]);
    command.expires_in = Lifetime::hours(48);
    let code = world.authorize(command).await.unwrap().code.unwrap();
    world.exchange(&agent, &code).await.unwrap();
    assert_eq!(
        (
            world.grantex.sweep_expired().await.unwrap(),
            world.active_grants().await
        ),
        (0, 2)
    );
    world.clock.advance(Lifetime::hours(24));
    assert_eq!(
        (
            world.grantex.sweep_expired().await.unwrap(),
            world.active_grants().await
        ),
        (1, 1)
    );
    assert_eq!(
        (
            world.grantex.sweep_expired().await.unwrap(),
            world.active_grants().await
        ),
        (0, 1)
    );
}

#[tokio::test]
async fn the_janitor_removes_what_is_over_and_nothing_else() {
    let world = World::new().await;
    let agent = world.agent(&[]).await;
    let token = world.issue(&agent, &["read"]).await;
    world
        .refresh(&agent, &token.refresh_token, Some("0123456789abcdef"))
        .await
        .unwrap();
    let retention = Retention::default();
    assert_eq!(world.grantex.janitor(&retention).await.unwrap(), Swept::default());
    world.clock.advance(Lifetime::minutes(6));
    assert_eq!(
        world.grantex.janitor(&retention).await.unwrap(),
        Swept {
            replays: 1,
            ..Swept::default()
        }
    );
    world.clock.advance(Lifetime::days(9));
    let swept = world.grantex.janitor(&retention).await.unwrap();
    assert_eq!(
        swept,
        Swept {
            auth_requests: 1,
            tokens: 2,
            replays: 0,
            blocks: 0,
            events: 3,
            revocations: 0,
            anomalies: 0,
            deliveries: 0
        }
    );
    assert!(
        world
            .grantex
            .grant(&world.developer, token.grant.id)
            .await
            .unwrap()
            .is_some()
    );
    assert_eq!(world.server_actions().await.len(), 3);
}
