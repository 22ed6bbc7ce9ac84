use grantex_core::event::Event;
use grantex_core::grant::{GrantStatus, RevokeGrantError, RevokedBy};
use grantex_core::token::InvalidReason;

use crate::support::World;

#[tokio::test]
async fn a_revocation_takes_all_descendants_with_it_at_once() {
    let world = World::new().await;
    let agent = world.agent(&[]).await;
    let root = world.issue(&agent, &["read"]).await;
    let child = world.delegate(&root, &agent, &["read"]).await.unwrap();
    let grandchild = world.delegate(&child, &agent, &["read"]).await.unwrap();
    let bystander = world.issue(&agent, &["read"]).await;
    world.recorder.take();
    world
        .grantex
        .revoke_grant(&world.ctx(), &world.developer, root.grant.id.clone())
        .await
        .unwrap();

    assert_eq!(
        world.recorder.take(),
        [Event::GrantRevoked {
            grant_id: root.grant.id.clone(),
            agent_id: agent.id.clone(),
            principal_id: "user_1".into(),
            revoked_by: RevokedBy::Developer,
            cascade_count: 2,
            root_was_active: true,
        }]
    );
    for token in [&root, &child, &grandchild] {
        assert_eq!(world.verify(&token.jwt).await, Err(InvalidReason::Revoked));
        let grant = world
            .grantex
            .grant(&world.developer, token.grant.id.clone())
            .await
            .unwrap()
            .unwrap();
        assert_eq!(grant.status(world.now()), GrantStatus::Revoked);
    }
    assert!(world.verify(&bystander.jwt).await.is_ok());
    assert_eq!(world.active_grants().await, 1);
    let payload: serde_json::Value =
        serde_json::from_str(&world.stored_events().await.last().unwrap().payload).unwrap();
    assert_eq!(payload["type"], "grant.revoked");
    assert_eq!(payload["data"]["grantId"], root.grant.id.as_str());
    assert_eq!(payload["data"]["cascade"], true);
}

#[tokio::test]
async fn a_second_revocation_is_not_found_and_records_nothing() {
    let world = World::new().await;
    let agent = world.agent(&[]).await;
    let root = world.issue(&agent, &["read"]).await;
    world
        .grantex
        .revoke_grant(&world.ctx(), &world.developer, root.grant.id.clone())
        .await
        .unwrap();
    world.recorder.take();
    let again = world
        .grantex
        .revoke_grant(&world.ctx(), &world.developer, root.grant.id.clone())
        .await;
    assert!(matches!(again, Err(RevokeGrantError::NotFound)));
    let stranger = world.signup("Other", grantex_core::developer::Mode::Sandbox).await;
    let other = world.issue(&agent, &["read"]).await;
    world.recorder.take();
    let foreign = world
        .grantex
        .revoke_grant(&world.ctx(), &stranger, other.grant.id.clone())
        .await;
    assert!(matches!(foreign, Err(RevokeGrantError::NotFound)));
    assert!(world.recorder.events().is_empty());
    assert!(world.verify(&other.jwt).await.is_ok());
}

#[tokio::test]
async fn one_access_token_can_be_revoked_without_its_grant() {
    let world = World::new().await;
    let agent = world.agent(&[]).await;
    let token = world.issue(&agent, &["read"]).await;
    world.recorder.take();
    world
        .grantex
        .revoke_access_token(&world.ctx(), &world.developer, token.token_id.as_str())
        .await
        .unwrap();
    assert_eq!(world.happened(), ["token.revoked"]);
    assert_eq!(world.verify(&token.jwt).await, Err(InvalidReason::Revoked));
    assert!(
        world
            .grantex
            .revoke_access_token(&world.ctx(), &world.developer, token.token_id.as_str())
            .await
            .is_err()
    );
    let renewed = world.refresh(&agent, &token.refresh_token, None).await.unwrap();
    assert!(world.verify(&renewed.jwt).await.is_ok());
}

#[tokio::test]
async fn a_presented_refresh_token_revokes_its_grant_and_unknown_tokens_are_no_error() {
    let world = World::new().await;
    let agent = world.agent(&[]).await;
    let token = world.issue(&agent, &["read"]).await;
    let revoke = async |text: &str| {
        world
            .grantex
            .revoke_presented(&world.ctx(), &world.developer, text)
            .await
    };
    revoke("ref_unknown").await.unwrap();
    revoke("no token at all").await.unwrap();
    assert!(world.verify(&token.jwt).await.is_ok());
    revoke(token.refresh_token.expose()).await.unwrap();
    assert_eq!(world.verify(&token.jwt).await, Err(InvalidReason::Revoked));
}
