use grantex_core::agent::{AgentChanges, AgentError};
use grantex_core::authorize::AuthorizeError;
use grantex_core::clock::Lifetime;
use grantex_core::event::Event;
use grantex_core::grant::RevokedBy;
use grantex_core::plan::Plan;
use grantex_core::token::InvalidReason;

use crate::support::{World, scopes};

#[tokio::test]
async fn an_agent_whose_scopes_were_emptied_may_ask_for_nothing() {
    let world = World::new().await;
    let agent = world.agent(&["read"]).await;
    let changes = AgentChanges { scopes: Some(scopes(&[])), ..AgentChanges::default() };
    world.grantex.update_agent(&world.ctx(), &world.developer, agent.id.clone(), changes).await.unwrap();
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
    world.grantex.delete_agent(&world.ctx(), &world.developer, agent.id.clone()).await.unwrap();
    let events = world.recorder.take();
    assert_eq!(events.iter().map(Event::message).collect::<Vec<_>>(), ["agent.changed", "grant.revoked"]);
    assert!(matches!(&events[1], Event::GrantRevoked { revoked_by: RevokedBy::AgentDeleted, cascade_count: 1, .. }));
    assert_eq!(world.verify(&root.jwt).await, Err(InvalidReason::Revoked));
    assert_eq!(world.verify(&child.jwt).await, Err(InvalidReason::Revoked));
    assert_eq!(world.grantex.agent(&world.developer, agent.id.clone()).await.unwrap(), None);
    assert!(world.grantex.grant(&world.developer, root.grant.id).await.unwrap().is_some(), "revoked grants stay readable");
    let again = world.grantex.delete_agent(&world.ctx(), &world.developer, agent.id).await;
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
    world.grantex.set_plan(&world.ctx(), world.developer.id.clone(), Plan::Free).await.unwrap();
    let command = grantex_core::agent::RegisterAgent {
        name: "One more".into(),
        description: String::new(),
        scopes: scopes(&[]),
        status: grantex_core::agent::AgentStatus::Active,
    };
    let refused = world.grantex.register_agent(&world.ctx(), &world.developer, command).await;
    assert!(matches!(refused, Err(AgentError::PlanLimit(limit)) if limit.limit == 500));
}
