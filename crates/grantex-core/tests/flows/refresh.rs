use grantex_core::agent::{Agent, AgentStatus};
use grantex_core::clock::Lifetime;
use grantex_core::event::{Event, RefreshStatus};
use grantex_core::secret::Secret;
use grantex_core::token::{IdempotencyKey, InvalidReason, RefreshError, RefreshToken, Refreshed};

use crate::support::World;

const KEY: &str = "0123456789abcdef-key";

impl World {
    pub async fn refresh(
        &self,
        agent: &Agent,
        token: &Secret<String>,
        key: Option<&str>,
    ) -> Result<Refreshed, RefreshError> {
        let command = RefreshToken {
            refresh_token: token.clone(),
            agent_id: Some(agent.id.clone()),
            idempotency_key: key.map(|key| IdempotencyKey::parse(key).unwrap()),
        };
        self.grantex.refresh_token(&self.ctx(), &self.developer, command).await
    }
}

#[tokio::test]
async fn a_refresh_renews_the_tokens_and_not_the_expiry() {
    let world = World::new().await;
    let agent = world.agent(&[]).await;
    let first = world.issue(&agent, &["read"]).await;
    world.clock.advance(Lifetime::hours(1));
    world.recorder.take();
    let second = world.refresh(&agent, &first.refresh_token, None).await.unwrap();
    assert_eq!(world.happened(), ["token.refreshed"]);
    assert_eq!(second.expires_at, first.expires_at);
    assert_eq!(second.grant, first.grant);
    assert_ne!(second.refresh_token.expose(), first.refresh_token.expose());
    assert!(
        world.verify(&first.jwt).await.is_ok(),
        "earlier access tokens stay good"
    );
    assert!(world.verify(&second.jwt).await.is_ok());
    assert_eq!(world.active_grants().await, 1);
}

#[tokio::test]
async fn the_same_key_gets_the_same_answer_for_five_minutes() {
    let world = World::new().await;
    let agent = world.agent(&[]).await;
    let first = world.issue(&agent, &["read"]).await;
    let answer = world.refresh(&agent, &first.refresh_token, Some(KEY)).await.unwrap();
    world.recorder.take();
    world.clock.advance(Lifetime::seconds(300));
    let again = world.refresh(&agent, &first.refresh_token, Some(KEY)).await.unwrap();
    assert_eq!(again.jwt.expose(), answer.jwt.expose());
    assert_eq!(again.refresh_token.expose(), answer.refresh_token.expose());
    assert_eq!(again.expires_at, answer.expires_at);
    assert_eq!(world.happened(), ["token.refresh_replayed"]);

    world.clock.advance(Lifetime::millis(1));
    assert!(matches!(
        world.refresh(&agent, &first.refresh_token, Some(KEY)).await,
        Err(RefreshError::Reused)
    ));
    assert!(
        world.verify(&answer.jwt).await.is_ok(),
        "a late repetition by the same client is not theft"
    );
}

#[tokio::test]
async fn no_answer_is_repeated_once_the_new_refresh_token_was_used() {
    let world = World::new().await;
    let agent = world.agent(&[]).await;
    let first = world.issue(&agent, &["read"]).await;
    let second = world.refresh(&agent, &first.refresh_token, Some(KEY)).await.unwrap();
    world
        .refresh(&agent, &second.refresh_token, Some("another-idempotency-key"))
        .await
        .unwrap();
    assert!(matches!(
        world.refresh(&agent, &first.refresh_token, Some(KEY)).await,
        Err(RefreshError::Reused)
    ));
    assert!(world.verify(&second.jwt).await.is_ok());
}

#[tokio::test]
async fn no_answer_is_repeated_for_a_revoked_grant_or_a_suspended_agent() {
    let world = World::new().await;
    let agent = world.agent(&[]).await;
    let first = world.issue(&agent, &["read"]).await;
    world.refresh(&agent, &first.refresh_token, Some(KEY)).await.unwrap();
    world.set_status(&agent, AgentStatus::Suspended).await;
    assert!(matches!(
        world.refresh(&agent, &first.refresh_token, Some(KEY)).await,
        Err(RefreshError::AgentInactive)
    ));
    world.set_status(&agent, AgentStatus::Active).await;
    world
        .grantex
        .revoke_grant(&world.ctx(), &world.developer, first.grant.id.clone())
        .await
        .unwrap();
    assert!(matches!(
        world.refresh(&agent, &first.refresh_token, Some(KEY)).await,
        Err(RefreshError::Revoked)
    ));
}

#[tokio::test]
async fn an_impatient_second_use_without_a_key_is_only_refused() {
    let world = World::new().await;
    let agent = world.agent(&[]).await;
    let first = world.issue(&agent, &["read"]).await;
    let second = world.refresh(&agent, &first.refresh_token, None).await.unwrap();
    world.clock.advance(Lifetime::seconds(60));
    world.recorder.take();
    assert!(matches!(
        world.refresh(&agent, &first.refresh_token, None).await,
        Err(RefreshError::Reused)
    ));
    let events = world.recorder.take();
    assert!(matches!(
        &events[0],
        Event::RefreshReuseDetected { is_revoked: false, .. }
    ));
    assert_eq!(
        events[1..],
        [Event::TokenRefreshRejected {
            status: RefreshStatus::ReuseDetected
        }]
    );
    assert!(world.verify(&second.jwt).await.is_ok());
}

#[tokio::test]
async fn a_late_second_use_revokes_the_grant_and_its_descendants() {
    let world = World::new().await;
    let agent = world.agent(&[]).await;
    let first = world.issue(&agent, &["read"]).await;
    let child = world.delegate(&first, &agent, &["read"]).await.unwrap();
    let second = world.refresh(&agent, &first.refresh_token, Some(KEY)).await.unwrap();
    world.clock.advance(Lifetime::millis(60_001));
    world.recorder.take();
    let other_key = Some("somebody-elses-key-here");
    assert!(matches!(
        world.refresh(&agent, &first.refresh_token, other_key).await,
        Err(RefreshError::Reused)
    ));
    assert_eq!(
        world.happened(),
        ["grant.revoked", "token.reuse_detected", "token.refresh_rejected"]
    );
    assert_eq!(world.verify(&second.jwt).await, Err(InvalidReason::Revoked));
    assert_eq!(world.verify(&child.jwt).await, Err(InvalidReason::Revoked));
}

#[tokio::test]
async fn a_second_use_is_theft_once_the_new_refresh_token_was_used() {
    let world = World::new().await;
    let agent = world.agent(&[]).await;
    let first = world.issue(&agent, &["read"]).await;
    let second = world.refresh(&agent, &first.refresh_token, None).await.unwrap();
    let third = world.refresh(&agent, &second.refresh_token, None).await.unwrap();
    assert!(matches!(
        world.refresh(&agent, &first.refresh_token, None).await,
        Err(RefreshError::Reused)
    ));
    assert_eq!(world.verify(&third.jwt).await, Err(InvalidReason::Revoked));
}

#[tokio::test]
async fn another_key_ends_the_right_to_a_repetition() {
    let world = World::new().await;
    let agent = world.agent(&[]).await;
    let first = world.issue(&agent, &["read"]).await;
    let second = world.refresh(&agent, &first.refresh_token, Some(KEY)).await.unwrap();
    assert!(matches!(
        world
            .refresh(&agent, &first.refresh_token, Some("another-idempotency-key"))
            .await,
        Err(RefreshError::Reused)
    ));
    assert!(matches!(
        world.refresh(&agent, &first.refresh_token, Some(KEY)).await,
        Err(RefreshError::Reused)
    ));
    assert!(world.verify(&second.jwt).await.is_ok());
}

#[tokio::test]
async fn a_refresh_token_is_bound_to_its_agent_and_developer_and_ends_with_the_grant() {
    let world = World::new().await;
    let (agent, other) = (world.agent(&[]).await, world.agent(&[]).await);
    let token = world.issue(&agent, &["read"]).await;
    assert!(matches!(
        world.refresh(&other, &token.refresh_token, None).await,
        Err(RefreshError::AgentMismatch)
    ));
    let stranger = world.signup("Other", grantex_core::developer::Mode::Sandbox).await;
    let command = RefreshToken {
        refresh_token: token.refresh_token.clone(),
        agent_id: Some(agent.id.clone()),
        idempotency_key: None,
    };
    assert!(matches!(
        world.grantex.refresh_token(&world.ctx(), &stranger, command).await,
        Err(RefreshError::Unknown)
    ));
    world.clock.advance(Lifetime::hours(24));
    assert!(matches!(
        world.refresh(&agent, &token.refresh_token, None).await,
        Err(RefreshError::Expired)
    ));
}

#[tokio::test]
async fn a_delegated_grant_is_not_refreshed_while_its_delegator_may_not_act() {
    let world = World::new().await;
    let (agent, helper) = (world.agent(&[]).await, world.agent(&[]).await);
    let root = world.issue(&agent, &["read"]).await;
    let child = world.delegate(&root, &helper, &["read"]).await.unwrap();
    world.set_status(&agent, AgentStatus::Suspended).await;
    assert!(matches!(
        world.refresh(&helper, &child.refresh_token, None).await,
        Err(RefreshError::AgentInactive)
    ));
    world.set_status(&agent, AgentStatus::Active).await;
    world.refresh(&helper, &child.refresh_token, Some(KEY)).await.unwrap();
    world.set_status(&agent, AgentStatus::Suspended).await;
    assert!(matches!(
        world.refresh(&helper, &child.refresh_token, Some(KEY)).await,
        Err(RefreshError::AgentInactive)
    ));
}
