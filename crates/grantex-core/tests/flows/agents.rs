use grantex_core::agent::{AgentChanges, AgentError};
use grantex_core::authorize::AuthorizeError;
use grantex_core::clock::Lifetime;
use grantex_core::event::{AgentChange, Event, Observer};
use grantex_core::grant::{GrantFilter, RevokedBy};
use grantex_core::page::PageRequest;
use grantex_core::plan::Plan;
use grantex_core::testing::{MemoryStore, SeededRandom, StoreFailure};
use grantex_core::token::InvalidReason;
use grantex_core::token::crypto::MasterKey;
use grantex_core::{Grantex, Settings};

use crate::support::{World, key_ring, scopes};

#[tokio::test]
async fn an_agent_whose_scopes_were_emptied_may_ask_for_nothing() {
    let world = World::new().await;
    let agent = world.agent(&["read"]).await;
    let changes = AgentChanges {
        scopes: Some(scopes(&[])),
        ..AgentChanges::default()
    };
    world
        .grantex
        .update_agent(&world.ctx(), &world.developer, agent.id.clone(), changes)
        .await
        .unwrap();
    let refused = world.authorize(world.request(&agent.id, &["read"])).await;
    assert!(matches!(refused, Err(AuthorizeError::ScopeNotRegistered { .. })));
}

#[tokio::test]
async fn deleting_an_agent_revokes_its_grants_and_those_delegated_from_them() {
    let world = World::new().await;
    let (agent, helper) = (world.agent(&[]).await, world.agent(&[]).await);
    let root = world.issue(&agent, &["read"]).await;
    let child = world.delegate(&root, &helper, &["read"]).await.unwrap();
    world.recorder.take();
    world
        .grantex
        .delete_agent(&world.ctx(), &world.developer, agent.id.clone())
        .await
        .unwrap();
    let events = world.recorder.take();
    assert_eq!(
        events.iter().map(Event::message).collect::<Vec<_>>(),
        ["agent.changed", "grant.revoked"]
    );
    assert!(matches!(
        &events[1],
        Event::GrantRevoked {
            revoked_by: RevokedBy::AgentDeleted,
            cascade_count: 1,
            ..
        }
    ));
    assert_eq!(world.verify(&root.jwt).await, Err(InvalidReason::Revoked));
    assert_eq!(world.verify(&child.jwt).await, Err(InvalidReason::Revoked));
    assert_eq!(
        world.grantex.agent(&world.developer, agent.id.clone()).await.unwrap(),
        None
    );
    assert!(
        world
            .grantex
            .grant(&world.developer, root.grant.id)
            .await
            .unwrap()
            .is_some(),
        "revoked grants stay readable"
    );
    let again = world
        .grantex
        .delete_agent(&world.ctx(), &world.developer, agent.id)
        .await;
    assert!(matches!(again, Err(AgentError::NotFound)));
    world.clock.advance(Lifetime::minutes(2));
    assert_eq!(world.grantex.clear_deleted_agents(&world.ctx()).await.unwrap(), 0);
}

#[tokio::test]
async fn a_plan_limits_the_number_of_agents() {
    let world = World::new().await;
    for _ in 0..500 {
        world.agent(&[]).await;
    }
    world
        .grantex
        .set_plan(&world.ctx(), world.developer.id.clone(), Plan::Free)
        .await
        .unwrap();
    let command = grantex_core::agent::RegisterAgent {
        name: "One more".into(),
        description: String::new(),
        scopes: scopes(&[]),
        status: grantex_core::agent::AgentStatus::Active,
    };
    let refused = world
        .grantex
        .register_agent(&world.ctx(), &world.developer, command)
        .await;
    assert!(matches!(refused, Err(AgentError::PlanLimit(limit)) if limit.limit == 500));
}

/// Refuses the unit of work that follows the deletion of an agent.
struct FailAfterDeletion(MemoryStore);

impl Observer for FailAfterDeletion {
    fn observe(&self, event: &Event, _latency: std::time::Duration) {
        if matches!(
            event,
            Event::AgentChanged {
                change: AgentChange::Deleted,
                ..
            }
        ) {
            self.0.fail_next(StoreFailure::Unavailable);
        }
    }
}

#[tokio::test]
async fn a_deletion_that_is_committed_is_not_reported_as_failed() {
    let world = World::new().await;
    let agent = world.agent(&[]).await;
    let token = world.issue(&agent, &["read"]).await;
    let sealer = MasterKey::parse(&"11".repeat(32)).unwrap();
    let settings = Settings::new("https://auth.example");
    let failing = Grantex::builder(world.store.clone(), settings, key_ring(), sealer, SeededRandom::new(8))
        .clock(world.clock.clone())
        .observer(FailAfterDeletion(world.store.clone()))
        .build();
    failing
        .delete_agent(&world.ctx(), &world.developer, agent.id)
        .await
        .unwrap();
    assert_eq!(
        world.verify(&token.jwt).await,
        Err(InvalidReason::Revoked),
        "it is hidden"
    );
    assert_eq!(world.active_grants().await, 1);
    assert_eq!(
        world.grantex.clear_deleted_agents(&world.ctx()).await.unwrap(),
        1,
        "the job goes on"
    );
    assert_eq!(world.active_grants().await, 0);
}

#[tokio::test]
async fn what_one_unit_cannot_take_is_left_to_the_job() {
    let world = World::new().await;
    world.fill_active_grants(1_200).await;
    let page = world
        .grantex
        .grants(&world.developer, GrantFilter::default(), PageRequest::default())
        .await
        .unwrap();
    let agent = page.items[0].agent_id.clone();
    world
        .grantex
        .delete_agent(&world.ctx(), &world.developer, agent)
        .await
        .unwrap();
    assert_eq!(world.active_grants().await, 200);
    assert_eq!(world.grantex.clear_deleted_agents(&world.ctx()).await.unwrap(), 200);
    assert_eq!(world.active_grants().await, 0);
}
