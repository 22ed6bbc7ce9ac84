use grantex_core::agent::AgentStatus;
use grantex_core::clock::Lifetime;
use grantex_core::event::{Event, ExchangeStatus};
use grantex_core::grant::GrantStatus;
use grantex_core::plan::Plan;
use grantex_core::testing::StoreFailure;
use grantex_core::token::biscuit::TokenFormat;
use grantex_core::token::pkce::{CodeChallenge, CodeVerifier};
use grantex_core::token::{ExchangeCode, ExchangeError, InvalidReason};

use crate::support::{World, scopes};

#[tokio::test]
async fn a_code_becomes_a_grant_and_its_first_tokens() {
    let world = World::new().await;
    let agent = world.agent(&["read", "write"]).await;
    world.recorder.take();
    let token = world.issue(&agent, &["read"]).await;

    assert_eq!(
        world.happened(),
        ["auth_request.opened", "grant.created", "token.exchanged"]
    );
    assert_eq!(world.event_kinds().await, ["grant.created", "token.issued"]);
    assert_eq!(
        world.server_actions().await,
        ["grantex.grant.created", "grantex.token.exchanged"]
    );
    assert_eq!(world.active_grants().await, 1);
    assert_eq!(token.grant.scopes, scopes(&["read"]));
    assert_eq!(
        token.grant.expires_at,
        world.now().plus(Lifetime::hours(24)).floor_to_second()
    );
    assert_eq!(token.grant.status(world.now()), GrantStatus::Active);
    assert!(token.refresh_token.expose().starts_with("ref_"));
    let verified = world.verify(&token.jwt).await.unwrap();
    assert_eq!(verified.record.grant, token.grant);
}

#[tokio::test]
async fn a_code_works_for_its_agent_and_developer_only() {
    let world = World::new().await;
    let (agent, other) = (world.agent(&[]).await, world.agent(&[]).await);
    let code = world.code(&agent, &["read"]).await;
    assert!(matches!(
        world.exchange(&other, &code).await,
        Err(ExchangeError::InvalidCode)
    ));

    let stranger = world.signup("Other", grantex_core::developer::Mode::Sandbox).await;
    let command = ExchangeCode {
        code: code.clone(),
        agent_id: Some(agent.id.clone()),
        verifier: None,
        redirect_uri: None,
        format: TokenFormat::Jwt,
    };
    let answer = world.grantex.exchange_code(&world.ctx(), &stranger, command).await;
    assert!(matches!(answer, Err(ExchangeError::InvalidCode)));
    assert!(
        world.exchange(&agent, &code).await.is_ok(),
        "refusals do not burn the code"
    );
}

#[tokio::test]
async fn an_early_second_use_of_a_code_is_refused_and_harms_nothing() {
    let world = World::new().await;
    let agent = world.agent(&[]).await;
    let code = world.code(&agent, &["read"]).await;
    let token = world.exchange(&agent, &code).await.unwrap();
    world.recorder.take();
    world.clock.advance(Lifetime::seconds(10));
    assert!(matches!(
        world.exchange(&agent, &code).await,
        Err(ExchangeError::Reused)
    ));
    let events = world.recorder.take();
    assert!(matches!(&events[0], Event::CodeReuseDetected { is_revoked: false, .. }));
    assert_eq!(
        events[1..],
        [Event::TokenExchangeRejected {
            status: ExchangeStatus::Reuse,
            agent_id: Some(agent.id.clone()),
        }]
    );
    assert!(world.verify(&token.jwt).await.is_ok());
}

#[tokio::test]
async fn a_late_second_use_of_a_code_revokes_its_grant_and_descendants() {
    let world = World::new().await;
    let agent = world.agent(&[]).await;
    let code = world.code(&agent, &["read"]).await;
    let token = world.exchange(&agent, &code).await.unwrap();
    let child = world.delegate(&token, &agent, &["read"]).await.unwrap();
    world.clock.advance(Lifetime::millis(10_001));
    world.recorder.take();
    assert!(matches!(
        world.exchange(&agent, &code).await,
        Err(ExchangeError::Reused)
    ));
    assert_eq!(
        world.happened(),
        ["grant.revoked", "code.reuse_detected", "token.exchange_rejected"]
    );
    assert_eq!(world.verify(&token.jwt).await, Err(InvalidReason::Revoked));
    assert_eq!(world.verify(&child.jwt).await, Err(InvalidReason::Revoked));
    assert_eq!(world.active_grants().await, 0);
    assert_eq!(
        world.event_kinds().await[4..],
        ["grant.revoked", "token.reuse_detected"]
    );
}

#[tokio::test]
async fn a_second_use_after_a_refresh_revokes_at_once() {
    let world = World::new().await;
    let agent = world.agent(&[]).await;
    let code = world.code(&agent, &["read"]).await;
    let token = world.exchange(&agent, &code).await.unwrap();
    world.refresh(&agent, &token.refresh_token, None).await.unwrap();
    assert!(matches!(
        world.exchange(&agent, &code).await,
        Err(ExchangeError::Reused)
    ));
    assert_eq!(world.verify(&token.jwt).await, Err(InvalidReason::Revoked));
}

#[tokio::test]
async fn a_code_expires_ten_minutes_after_the_approval() {
    let world = World::new().await;
    let agent = world.agent(&[]).await;
    let code = world.code(&agent, &["read"]).await;
    world.clock.advance(Lifetime::minutes(10));
    assert!(matches!(
        world.exchange(&agent, &code).await,
        Err(ExchangeError::Expired)
    ));
}

#[tokio::test]
async fn a_challenge_must_be_met_and_a_failure_does_not_burn_the_code() {
    let world = World::new().await;
    let agent = world.agent(&[]).await;
    let mut request = world.request(&agent.id, &["read"]);
    request.code_challenge = CodeChallenge::parse("E9Melhoa2OwvFrEMTJguCHaoeK1t8URWbuGJSstw-cM");
    let code = world.authorize(request).await.unwrap().code.unwrap();
    let attempt = async |verifier: Option<&str>| {
        let verifier = verifier.map(|text| CodeVerifier::parse(text).unwrap());
        let command = ExchangeCode {
            code: code.clone(),
            agent_id: Some(agent.id.clone()),
            verifier,
            redirect_uri: None,
            format: TokenFormat::Jwt,
        };
        world
            .grantex
            .exchange_code(&world.ctx(), &world.developer, command)
            .await
    };
    assert!(matches!(attempt(None).await, Err(ExchangeError::VerifierRequired)));
    assert!(matches!(
        attempt(Some(&"a".repeat(43))).await,
        Err(ExchangeError::VerifierMismatch)
    ));
    assert!(
        attempt(Some("dBjftJeZ4CVP-mB92K27uhbUJU1p1r_wW1gFWFOEjXk"))
            .await
            .is_ok()
    );
}

#[tokio::test]
async fn a_redirect_uri_is_compared_when_it_is_sent() {
    let world = World::new().await;
    let agent = world.agent(&[]).await;
    let mut request = world.request(&agent.id, &["read"]);
    request.redirect_uri = Some("https://app.example/cb".into());
    let code = world.authorize(request).await.unwrap().code.unwrap();
    let attempt = async |redirect_uri: Option<&str>| {
        let command = ExchangeCode {
            code: code.clone(),
            agent_id: Some(agent.id.clone()),
            verifier: None,
            redirect_uri: redirect_uri.map(str::to_owned),
            format: TokenFormat::Jwt,
        };
        world
            .grantex
            .exchange_code(&world.ctx(), &world.developer, command)
            .await
    };
    assert!(matches!(
        attempt(Some("https://evil.example/cb")).await,
        Err(ExchangeError::RedirectUriMismatch)
    ));
    assert!(attempt(Some("https://app.example/cb")).await.is_ok());
}

#[tokio::test]
async fn a_suspended_or_deleted_agent_cannot_exchange() {
    let world = World::new().await;
    let agent = world.agent(&[]).await;
    let code = world.code(&agent, &["read"]).await;
    world.set_status(&agent, AgentStatus::Suspended).await;
    assert!(matches!(
        world.exchange(&agent, &code).await,
        Err(ExchangeError::InvalidCode)
    ));
    world
        .grantex
        .delete_agent(&world.ctx(), &world.developer, agent.id.clone())
        .await
        .unwrap();
    assert!(matches!(
        world.exchange(&agent, &code).await,
        Err(ExchangeError::InvalidCode)
    ));
}

#[tokio::test]
async fn a_full_plan_refuses_and_leaves_the_code_usable() {
    let world = World::new().await;
    let agent = world.agent(&[]).await;
    let codes = [world.code(&agent, &["read"]).await, world.code(&agent, &["read"]).await];
    world.fill_active_grants(1_000).await;
    world
        .grantex
        .set_plan(&world.ctx(), world.developer.id.clone(), Plan::Free)
        .await
        .unwrap();
    world.recorder.take();
    assert!(
        matches!(world.exchange(&agent, &codes[0]).await, Err(ExchangeError::PlanLimit(limit)) if limit.limit == 1_000)
    );
    assert_eq!(
        world.recorder.take(),
        [Event::TokenExchangeRejected {
            status: ExchangeStatus::PlanLimit,
            agent_id: Some(agent.id.clone()),
        }]
    );
    world
        .grantex
        .set_plan(&world.ctx(), world.developer.id.clone(), Plan::Pro)
        .await
        .unwrap();
    assert!(world.exchange(&agent, &codes[0]).await.is_ok());
}

#[tokio::test]
async fn a_store_that_fails_leaves_the_code_usable_and_is_counted() {
    let world = World::new().await;
    let agent = world.agent(&[]).await;
    let code = world.code(&agent, &["read"]).await;
    world.recorder.take();
    world.store.fail_next(StoreFailure::Unavailable);
    assert!(matches!(
        world.exchange(&agent, &code).await,
        Err(ExchangeError::Store(_))
    ));
    assert_eq!(
        world.recorder.take(),
        [Event::TokenExchangeRejected {
            status: ExchangeStatus::Error,
            agent_id: Some(agent.id.clone()),
        }]
    );
    assert!(world.exchange(&agent, &code).await.is_ok());
}

#[tokio::test]
async fn a_caller_that_gave_up_in_time_gets_nothing_done() {
    let world = World::new().await;
    let agent = world.agent(&[]).await;
    let code = world.code(&agent, &["read"]).await;
    let ctx = world.ctx();
    assert!(ctx.admission().withdraw());
    let command = ExchangeCode {
        code: code.clone(),
        agent_id: Some(agent.id.clone()),
        verifier: None,
        redirect_uri: None,
        format: TokenFormat::Jwt,
    };
    assert!(
        world
            .grantex
            .exchange_code(&ctx, &world.developer, command)
            .await
            .is_err()
    );
    assert!(world.exchange(&agent, &code).await.is_ok());
}

#[tokio::test]
async fn a_second_use_is_noticed_while_the_agent_is_suspended() {
    let world = World::new().await;
    let agent = world.agent(&[]).await;
    let code = world.code(&agent, &["read"]).await;
    let token = world.exchange(&agent, &code).await.unwrap();
    world.set_status(&agent, AgentStatus::Suspended).await;
    world.clock.advance(Lifetime::minutes(1));
    assert!(matches!(
        world.exchange(&agent, &code).await,
        Err(ExchangeError::Reused)
    ));
    world.set_status(&agent, AgentStatus::Active).await;
    assert_eq!(world.verify(&token.jwt).await, Err(InvalidReason::Revoked));
}
