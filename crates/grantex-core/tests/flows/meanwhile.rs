//! What is committed after a flow has looked and before its unit begins: the flow hands out nothing that would not verify.

use grantex_core::agent::{AgentChanges, AgentStatus};
use grantex_core::clock::Lifetime;
use grantex_core::event::{Event, ExchangeStatus, RefreshStatus};
use grantex_core::grant::DelegateError;
use grantex_core::id::{AgentId, GrantId};
use grantex_core::token::{ExchangeError, RefreshError};

use crate::support::World;

/// What somebody else does.
#[derive(Clone)]
enum Change {
    Revoke(GrantId),
    Suspend(AgentId),
    Delete(AgentId),
}

impl World {
    /// Lets somebody else's change be committed right before the next unit of work.
    fn meanwhile(&self, change: Change) {
        let (grantex, ctx, developer) = (self.grantex.clone(), self.ctx(), self.developer.clone());
        self.store.before_next_unit(async move {
            match change {
                Change::Revoke(id) => grantex.revoke_grant(&ctx, &developer, id).await.unwrap(),
                Change::Suspend(id) => {
                    let status = Some(AgentStatus::Suspended);
                    let changes = AgentChanges {
                        status,
                        ..AgentChanges::default()
                    };
                    grantex.update_agent(&ctx, &developer, id, changes).await.unwrap();
                }
                Change::Delete(id) => grantex.delete_agent(&ctx, &developer, id).await.unwrap(),
            }
        });
    }
}

/// The last thing observed, and whether anything says that tokens were handed out.
fn rejection(world: &World) -> Event {
    let mut events = world.recorder.take();
    assert!(!events.iter().any(|event| matches!(
        event,
        Event::TokenRefreshed(_) | Event::TokenExchanged(_) | Event::TokenDelegated(_) | Event::GrantCreated { .. }
    )));
    events.pop().unwrap()
}

#[tokio::test]
async fn a_revocation_beside_a_refresh_wins() {
    let world = World::new().await;
    let (agent, helper) = (world.agent(&[]).await, world.agent(&[]).await);
    let root = world.issue(&agent, &["read"]).await;
    let child = world.delegate(&root, &helper, &["read"]).await.unwrap();
    for (change, token, of) in [
        (Change::Revoke(child.grant.id.clone()), &child, &helper),
        (Change::Revoke(root.grant.id.clone()), &root, &agent),
    ] {
        world.recorder.take();
        world.meanwhile(change);
        let refused = world.refresh(of, &token.refresh_token, None).await;
        assert!(matches!(refused, Err(RefreshError::Revoked)));
        let status = RefreshStatus::Revoked;
        assert_eq!(rejection(&world), Event::TokenRefreshRejected { status });
    }
    // The refresh tokens were not consumed: to present them again is no reuse.
    let again = world.refresh(&agent, &root.refresh_token, None).await;
    assert!(matches!(again, Err(RefreshError::Revoked)));
    assert_eq!(world.active_grants().await, 0);
}

#[tokio::test]
async fn a_revocation_above_a_grant_beside_its_refresh_wins() {
    let world = World::new().await;
    let agent = world.agent(&[]).await;
    let root = world.issue(&agent, &["read"]).await;
    let child = world.delegate(&root, &agent, &["read"]).await.unwrap();
    world.meanwhile(Change::Revoke(root.grant.id.clone()));
    let refused = world.refresh(&agent, &child.refresh_token, None).await;
    assert!(matches!(refused, Err(RefreshError::Revoked)));
}

#[tokio::test]
async fn a_suspension_beside_a_refresh_wins_and_leaves_the_refresh_token() {
    let world = World::new().await;
    let (agent, helper) = (world.agent(&[]).await, world.agent(&[]).await);
    let root = world.issue(&agent, &["read"]).await;
    let child = world.delegate(&root, &helper, &["read"]).await.unwrap();
    for (token, of) in [(&root, &agent), (&child, &helper)] {
        world.meanwhile(Change::Suspend(agent.id.clone()));
        let refused = world.refresh(of, &token.refresh_token, Some("0123456789abcdef")).await;
        assert!(matches!(refused, Err(RefreshError::AgentInactive)));
        world.set_status(&agent, AgentStatus::Active).await;
        let renewed = world.refresh(of, &token.refresh_token, Some("0123456789abcdef")).await;
        assert!(world.verify(&renewed.unwrap().jwt).await.is_ok());
    }
}

#[tokio::test]
async fn a_deletion_beside_a_refresh_wins() {
    let world = World::new().await;
    let (agent, helper) = (world.agent(&[]).await, world.agent(&[]).await);
    let root = world.issue(&agent, &["read"]).await;
    let child = world.delegate(&root, &helper, &["read"]).await.unwrap();
    world.meanwhile(Change::Delete(agent.id.clone()));
    let refused = world.refresh(&helper, &child.refresh_token, None).await;
    assert!(matches!(refused, Err(RefreshError::Revoked)));
    let refused = world.refresh(&agent, &root.refresh_token, None).await;
    assert!(matches!(refused, Err(RefreshError::Revoked)));
}

#[tokio::test]
async fn an_agent_that_is_stopped_beside_an_exchange_gets_nothing() {
    let world = World::new().await;
    let agent = world.agent(&[]).await;
    let code = world.code(&agent, &["read"]).await;
    world.recorder.take();
    world.meanwhile(Change::Suspend(agent.id.clone()));
    assert!(matches!(
        world.exchange(&agent, &code).await,
        Err(ExchangeError::InvalidCode)
    ));
    let status = ExchangeStatus::InvalidCode;
    assert_eq!(
        rejection(&world),
        Event::TokenExchangeRejected {
            status,
            agent_id: Some(agent.id.clone())
        }
    );
    assert_eq!(world.active_grants().await, 0);

    world.set_status(&agent, AgentStatus::Active).await;
    let token = world.exchange(&agent, &code).await.unwrap();
    assert!(world.verify(&token.jwt).await.is_ok(), "the code was not consumed");

    let code = world.code(&agent, &["read"]).await;
    world.meanwhile(Change::Delete(agent.id.clone()));
    assert!(matches!(
        world.exchange(&agent, &code).await,
        Err(ExchangeError::InvalidCode)
    ));
    assert_eq!(world.active_grants().await, 0);
}

#[tokio::test]
async fn a_code_that_expires_while_its_exchange_waits_is_expired() {
    let world = World::new().await;
    let agent = world.agent(&[]).await;
    let code = world.code(&agent, &["read"]).await;
    world.recorder.take();
    let clock = world.clock.clone();
    world
        .store
        .before_next_unit(async move { clock.advance(Lifetime::minutes(10)) });
    assert!(matches!(
        world.exchange(&agent, &code).await,
        Err(ExchangeError::Expired)
    ));
    let status = ExchangeStatus::Expired;
    assert_eq!(
        rejection(&world),
        Event::TokenExchangeRejected {
            status,
            agent_id: Some(agent.id.clone())
        }
    );
}

#[tokio::test]
async fn whoever_is_stopped_beside_a_delegation_hands_on_and_gets_nothing() {
    let world = World::new().await;
    let (agent, middle, heir) = (world.agent(&[]).await, world.agent(&[]).await, world.agent(&[]).await);
    let root = world.issue(&agent, &["read"]).await;
    let parent = world.delegate(&root, &middle, &["read"]).await.unwrap();
    for stopped in [&agent, &middle] {
        world.recorder.take();
        world.meanwhile(Change::Suspend(stopped.id.clone()));
        let refused = world.delegate(&parent, &heir, &["read"]).await;
        assert!(matches!(refused, Err(DelegateError::ParentInactive)));
        rejection(&world);
        world.set_status(stopped, AgentStatus::Active).await;
    }
    world.meanwhile(Change::Suspend(heir.id.clone()));
    let refused = world.delegate(&parent, &heir, &["read"]).await;
    assert!(matches!(refused, Err(DelegateError::SubAgentNotFound)));
    world.set_status(&heir, AgentStatus::Active).await;
    world.meanwhile(Change::Delete(heir.id.clone()));
    let refused = world.delegate(&parent, &heir, &["read"]).await;
    assert!(matches!(refused, Err(DelegateError::SubAgentNotFound)));

    world.meanwhile(Change::Revoke(root.grant.id.clone()));
    let refused = world.delegate(&parent, &agent, &["read"]).await;
    assert!(matches!(refused, Err(DelegateError::ParentInactive)));
    assert_eq!(world.active_grants().await, 0);
}
