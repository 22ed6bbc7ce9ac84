use grantex_core::clock::Lifetime;
use grantex_core::grant::RevokeGrantError;
use grantex_core::principal::SessionError;

use crate::support::World;

#[tokio::test]
async fn a_principal_sees_and_revokes_their_own_grants() {
    let world = World::new().await;
    let agent = world.agent(&[]).await;
    let token = world.issue(&agent, &["read"]).await;
    let mut command = world.request(&agent.id, &["read"]);
    command.principal_id = "user_2".into();
    let code = world.authorize(command).await.unwrap().code.unwrap();
    let foreign = world.exchange(&agent, &code).await.unwrap();

    let opened = world
        .grantex
        .open_session(&world.ctx(), &world.developer, "user_1".into(), Lifetime::days(9))
        .await
        .unwrap();
    assert_eq!(
        opened.expires_at,
        world.now().plus(Lifetime::hours(24)).floor_to_second(),
        "cut to a day"
    );
    let session = world.grantex.session(opened.token.expose()).unwrap();
    let grants = world.grantex.principal_grants(&session).await.unwrap();
    assert_eq!(
        grants.iter().map(|found| &found.grant).collect::<Vec<_>>(),
        [&token.grant]
    );
    assert_eq!(
        grants[0].agent.as_ref().map(|agent| agent.name.as_str()),
        Some("Assistant")
    );

    let refused = world
        .grantex
        .revoke_own_grant(&world.ctx(), &session, foreign.grant.id)
        .await;
    assert!(matches!(refused, Err(RevokeGrantError::NotFound)));
    world
        .grantex
        .revoke_own_grant(&world.ctx(), &session, token.grant.id)
        .await
        .unwrap();
    assert!(world.grantex.principal_grants(&session).await.unwrap().is_empty());
    world.clock.advance(Lifetime::hours(24));
    assert_eq!(world.grantex.session(opened.token.expose()), None);
}

#[tokio::test]
async fn no_session_without_an_active_grant() {
    let world = World::new().await;
    let agent = world.agent(&[]).await;
    world.issue(&agent, &["read"]).await;
    let open = async |who: &str| {
        world
            .grantex
            .open_session(&world.ctx(), &world.developer, who.into(), Lifetime::hours(1))
            .await
    };
    assert!(matches!(open("user_9").await, Err(SessionError::NoActiveGrant)));
    assert!(open("user_1").await.is_ok());
    world.clock.advance(Lifetime::hours(24));
    assert!(matches!(open("user_1").await, Err(SessionError::NoActiveGrant)));
}
