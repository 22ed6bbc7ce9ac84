use grantex_core::agent::AgentStatus;
use grantex_core::clock::Lifetime;
use grantex_core::grant::{Delegate, DelegateError};
use grantex_core::token::InvalidReason;
use grantex_core::token::biscuit::TokenFormat;
use serde_json::json;

use crate::support::{World, scopes};

#[tokio::test]
async fn a_child_is_narrower_and_names_its_delegators() {
    let world = World::new().await;
    let (agent, helper, leaf) = (world.agent(&[]).await, world.agent(&[]).await, world.agent(&[]).await);
    let mut request = world.request(&agent.id, &["read", "write"]);
    request.audience = Some("https://api.example".into());
    let code = world.authorize(request).await.unwrap().code.unwrap();
    let root = world.exchange(&agent, &code).await.unwrap();
    world.recorder.take();
    let child = world.delegate(&root, &helper, &["read"]).await.unwrap();
    assert_eq!(world.happened(), ["token.verified", "grant.created", "token.delegated"]);
    let grandchild = world.delegate(&child, &leaf, &["read"]).await.unwrap();

    let claims = world.verify(&grandchild.jwt).await.unwrap().claims;
    let members = serde_json::Value::Object(claims.members().clone());
    assert_eq!(members["aud"], "https://api.example");
    assert_eq!(members["scope"], "read");
    assert_eq!(members["parentAgt"], helper.id.did());
    assert_eq!(members["parentGrnt"], child.grant.id.as_str());
    assert_eq!(members["delegationDepth"], 2);
    assert_eq!(
        members["act"],
        json!({"sub": helper.id.did(), "act": {"sub": agent.id.did()}})
    );
    assert_eq!(
        members["urn:grantex:grant"],
        json!({
            "grant_id": grandchild.grant.id, "agent_did": leaf.id.did(), "developer_id": world.developer.id,
            "parent_grant_id": child.grant.id, "delegation_depth": 2,
        })
    );
    assert_eq!(
        grandchild.expires_at,
        world.now().plus(Lifetime::hours(1)).floor_to_second()
    );
    assert_eq!(world.active_grants().await, 3);
}

#[tokio::test]
async fn a_child_never_outlives_its_parents_token() {
    let world = World::new().await;
    let agent = world.agent(&[]).await;
    let root = world.issue(&agent, &["read"]).await;
    let command = Delegate {
        parent_token: root.jwt.clone(),
        sub_agent_id: Some(agent.id.clone()),
        scopes: scopes(&["read"]),
        expires_in: Lifetime::days(30),
        format: TokenFormat::Jwt,
    };
    let child = world
        .grantex
        .delegate(&world.ctx(), &world.developer, command)
        .await
        .unwrap();
    assert_eq!(child.expires_at, root.expires_at);
}

#[tokio::test]
async fn a_child_cannot_widen_its_scopes() {
    let world = World::new().await;
    let (agent, restricted) = (world.agent(&[]).await, world.agent(&["read"]).await);
    let root = world.issue(&agent, &["read", "write"]).await;
    let refused = world.delegate(&root, &agent, &["read", "admin"]).await;
    assert!(matches!(refused, Err(DelegateError::ScopeNotInParent { scope }) if scope == "admin"));
    let refused = world.delegate(&root, &restricted, &["read", "write"]).await;
    assert!(matches!(refused, Err(DelegateError::ScopeNotRegistered { scope }) if scope == "write"));
    assert!(
        world.delegate(&root, &agent, &["read", "write"]).await.is_ok(),
        "the same scopes are no widening"
    );
    assert_eq!(world.active_grants().await, 2, "refusals leave nothing behind");
}

#[tokio::test]
async fn depth_is_limited() {
    let world = World::with_settings(|settings| settings.max_delegation_depth = 2).await;
    let agent = world.agent(&[]).await;
    let root = world.issue(&agent, &["read"]).await;
    let child = world.delegate(&root, &agent, &["read"]).await.unwrap();
    let grandchild = world.delegate(&child, &agent, &["read"]).await.unwrap();
    assert!(matches!(
        world.delegate(&grandchild, &agent, &["read"]).await,
        Err(DelegateError::DepthExceeded { limit: 2 })
    ));
}

#[tokio::test]
async fn parent_and_sub_agent_must_be_in_force() {
    let world = World::new().await;
    let (agent, helper) = (world.agent(&[]).await, world.agent(&[]).await);
    let root = world.issue(&agent, &["read"]).await;
    world.set_status(&helper, AgentStatus::Suspended).await;
    assert!(matches!(
        world.delegate(&root, &helper, &["read"]).await,
        Err(DelegateError::SubAgentNotFound)
    ));
    world.set_status(&agent, AgentStatus::Suspended).await;
    let refused = world.delegate(&root, &agent, &["read"]).await;
    assert!(matches!(
        refused,
        Err(DelegateError::ParentInvalid(InvalidReason::Suspended))
    ));

    let stranger = world.signup("Other", grantex_core::developer::Mode::Sandbox).await;
    let command = Delegate {
        parent_token: root.jwt.clone(),
        sub_agent_id: Some(agent.id.clone()),
        scopes: scopes(&["read"]),
        expires_in: Lifetime::hours(1),
        format: TokenFormat::Jwt,
    };
    let refused = world.grantex.delegate(&world.ctx(), &stranger, command).await;
    assert!(matches!(refused, Err(DelegateError::ForeignParent)));
}
