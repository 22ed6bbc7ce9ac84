use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use grantex_core::agent::AgentStatus;
use grantex_core::clock::Lifetime;
use grantex_core::event::{Event, VerifyStatus};
use grantex_core::grant::Delegate;
use grantex_core::scope::{MAX_SCOPE_LENGTH, MAX_SCOPES, Scopes};
use grantex_core::secret::Secret;
use grantex_core::token::biscuit::TokenFormat;
use grantex_core::token::{Introspection, InvalidReason, RevocationStatus};

use crate::support::{World, key_ring};

#[tokio::test]
async fn claims_come_in_both_forms_without_nulls() {
    let world = World::new().await;
    let agent = world.agent(&[]).await;
    let token = world.issue(&agent, &["b", "a"]).await;
    let header = token.jwt.expose().split('.').next().unwrap().to_owned();
    let header: serde_json::Value = serde_json::from_slice(&URL_SAFE_NO_PAD.decode(header).unwrap()).unwrap();
    assert_eq!(header["typ"], "at+jwt");
    let claims = world.verify(&token.jwt).await.unwrap().claims;
    let seconds = world.now().as_seconds();
    assert_eq!(
        serde_json::Value::Object(claims.members().clone()),
        serde_json::json!({
            "iss": "https://auth.example", "sub": "user_1", "jti": token.token_id, "iat": seconds, "exp": seconds + 86_400,
            "client_id": agent.id, "scope": "b a", "scp": ["b", "a"], "agt": agent.id.did(), "dev": world.developer.id,
            "grnt": token.grant.id,
            "urn:grantex:grant": {"grant_id": token.grant.id, "agent_did": agent.id.did(), "developer_id": world.developer.id},
        })
    );
}

#[tokio::test]
async fn what_is_not_a_token_of_these_keys_is_malformed() {
    let world = World::new().await;
    let agent = world.agent(&[]).await;
    let token = world.issue(&agent, &["read"]).await;
    let text = token.jwt.expose();
    let parts: Vec<&str> = text.split('.').collect();
    let encode = |value: &str| URL_SAFE_NO_PAD.encode(value);
    let unsigned = format!("{}.{}.", encode(r#"{"alg":"none","typ":"at+jwt"}"#), parts[1]);
    let hmac = format!(
        "{}.{}.{}",
        encode(r#"{"alg":"HS256","typ":"at+jwt","kid":"x"}"#),
        parts[1],
        parts[2]
    );
    let changed = format!("{}.{}.{}", parts[0], encode(r#"{"sub":"admin"}"#), parts[2]);
    for bad in [
        "",
        ".",
        "..",
        "a.b.c",
        "garbage",
        &unsigned,
        &hmac,
        &changed,
        &format!("{text}.x"),
        &text[..text.len() - 2],
        &"x".repeat(20_000),
    ] {
        assert_eq!(
            world.verify(&Secret::new((*bad).to_owned())).await,
            Err(InvalidReason::Malformed)
        );
    }
    world.grantex.set_keys(key_ring());
    assert_eq!(
        world.verify(&token.jwt).await,
        Err(InvalidReason::Malformed),
        "a key that is not published verifies nothing"
    );
}

#[tokio::test]
async fn a_token_is_worth_nothing_to_another_developer_or_audience() {
    let world = World::new().await;
    let agent = world.agent(&[]).await;
    let token = world.issue(&agent, &["read"]).await;
    let stranger = world.signup("Other", grantex_core::developer::Mode::Live).await;
    world.recorder.take();
    let verdict = world
        .grantex
        .verify_token(&world.ctx(), &stranger, token.jwt.expose(), None)
        .await
        .unwrap();
    assert_eq!(verdict, Err(InvalidReason::Foreign));
    assert_eq!(
        world.recorder.take(),
        [Event::TokenVerificationFailed {
            status: VerifyStatus::Unknown,
            token_id: Some(token.token_id.clone())
        }]
    );
    let verdict = world
        .grantex
        .verify_token(&world.ctx(), &world.developer, token.jwt.expose(), Some("https://x"))
        .await
        .unwrap();
    assert_eq!(verdict, Err(InvalidReason::Audience));
    let status = world
        .grantex
        .revocation_status(&stranger, Some(token.grant.id.as_str()), None)
        .await
        .unwrap();
    assert_eq!(status.status, RevocationStatus::Unknown);
}

#[tokio::test]
async fn suspension_anywhere_above_fails_verification_and_leaves_the_grant_alone() {
    let world = World::new().await;
    let (agent, helper) = (world.agent(&[]).await, world.agent(&[]).await);
    let root = world.issue(&agent, &["read"]).await;
    let child = world.delegate(&root, &helper, &["read"]).await.unwrap();
    world.set_status(&agent, AgentStatus::Suspended).await;
    assert_eq!(world.verify(&root.jwt).await, Err(InvalidReason::Suspended));
    assert_eq!(world.verify(&child.jwt).await, Err(InvalidReason::Suspended));
    let (grant, jti) = (Some(child.grant.id.as_str()), Some(child.token_id.as_str()));
    let status = world
        .grantex
        .revocation_status(&world.developer, grant, jti)
        .await
        .unwrap();
    assert_eq!(status.status, RevocationStatus::Suspended);
    world.set_status(&agent, AgentStatus::Active).await;
    assert!(world.verify(&child.jwt).await.is_ok());
}

#[tokio::test]
async fn the_status_of_a_token_is_that_of_token_and_grant() {
    let world = World::new().await;
    let agent = world.agent(&[]).await;
    let (token, other) = (
        world.issue(&agent, &["read"]).await,
        world.issue(&agent, &["read"]).await,
    );
    let status = async |grant: Option<&str>, jti: Option<&str>| {
        world
            .grantex
            .revocation_status(&world.developer, grant, jti)
            .await
            .unwrap()
            .status
    };
    let (grant, jti) = (token.grant.id.as_str(), token.token_id.as_str());
    assert_eq!(status(Some(grant), Some(jti)).await, RevocationStatus::Active);
    assert_eq!(status(Some(grant), None).await, RevocationStatus::Active);
    assert_eq!(
        status(Some(other.grant.id.as_str()), Some(jti)).await,
        RevocationStatus::Unknown
    );
    assert_eq!(
        status(Some(grant), Some("tok_nonsense")).await,
        RevocationStatus::Unknown
    );
    world
        .grantex
        .revoke_access_token(&world.ctx(), &world.developer, jti)
        .await
        .unwrap();
    assert_eq!(status(Some(grant), Some(jti)).await, RevocationStatus::Revoked);
    assert_eq!(status(Some(grant), None).await, RevocationStatus::Active);
    world.clock.advance(Lifetime::hours(24));
    assert_eq!(status(Some(grant), None).await, RevocationStatus::Expired);
    assert_eq!(world.verify(&other.jwt).await, Err(InvalidReason::Expired));
}

#[tokio::test]
async fn introspection_knows_both_kinds_of_tokens() {
    let world = World::new().await;
    let agent = world.agent(&[]).await;
    let token = world.issue(&agent, &["read"]).await;
    let ask = async |text: &str| {
        world
            .grantex
            .introspect(&world.ctx(), &world.developer, text)
            .await
            .unwrap()
    };
    assert!(matches!(ask(token.jwt.expose()).await, Introspection::Access(_)));
    assert!(matches!(
        ask(token.refresh_token.expose()).await,
        Introspection::Refresh(_)
    ));
    assert_eq!(ask("ref_unknown").await, Introspection::Inactive);
    assert_eq!(ask("nonsense").await, Introspection::Inactive);
    world.refresh(&agent, &token.refresh_token, None).await.unwrap();
    assert_eq!(
        ask(token.refresh_token.expose()).await,
        Introspection::Inactive,
        "a used refresh token is not active"
    );
}

#[tokio::test]
async fn a_session_token_is_no_grant_token_and_the_other_way_round() {
    let world = World::new().await;
    let agent = world.agent(&[]).await;
    let token = world.issue(&agent, &["read"]).await;
    let session = world
        .grantex
        .open_session(&world.ctx(), &world.developer, "user_1".into(), Lifetime::hours(1))
        .await
        .unwrap();
    assert_eq!(world.verify(&session.token).await, Err(InvalidReason::Malformed));
    assert_eq!(world.grantex.session(token.jwt.expose()), None);
}

#[tokio::test]
async fn the_largest_token_that_can_be_issued_is_not_too_long_to_be_verified() {
    let world = World::new().await;
    let agent = world.agent(&[]).await;
    let widest: Vec<String> = (0..MAX_SCOPES).map(|_| "\u{1f511}".repeat(MAX_SCOPE_LENGTH)).collect();
    let mut command = world.request(&agent.id, &[]);
    command.scopes = Scopes::parse_some(widest).unwrap();
    command.principal_id = "\u{1}".repeat(256);
    command.audience = Some("\u{1}".repeat(1_024));
    let code = world.authorize(command).await.unwrap().code.unwrap();
    let mut token = world.exchange(&agent, &code).await.unwrap();
    for _ in 0..3 {
        let command = Delegate {
            parent_token: token.jwt.clone(),
            sub_agent_id: Some(agent.id.clone()),
            scopes: token.grant.scopes.clone(),
            expires_in: Lifetime::hours(1),
            format: TokenFormat::Jwt,
        };
        token = world
            .grantex
            .delegate(&world.ctx(), &world.developer, command)
            .await
            .unwrap();
    }
    assert!(world.verify(&token.jwt).await.is_ok());
}

#[tokio::test]
async fn a_verification_that_the_store_could_not_answer_is_counted() {
    let world = World::new().await;
    let agent = world.agent(&[]).await;
    let token = world.issue(&agent, &["read"]).await;
    world.recorder.take();
    world.store.set_read_failure(true);
    let answer = world
        .grantex
        .verify_token(&world.ctx(), &world.developer, token.jwt.expose(), None)
        .await;
    assert!(answer.is_err());
    assert_eq!(
        world.recorder.take(),
        [Event::TokenVerificationFailed {
            status: VerifyStatus::Error,
            token_id: Some(token.token_id)
        }]
    );
}
