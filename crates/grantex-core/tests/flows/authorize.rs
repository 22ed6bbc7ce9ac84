use grantex_core::audit::{AuditFilter, Chain};
use grantex_core::authorize::{AuthorizeError, ConsentError, Origin, SandboxDecisionError};
use grantex_core::clock::Lifetime;
use grantex_core::developer::{Mode, SignupError};
use grantex_core::event::{AuthorizeStatus, ConsentOutcome, DecidedBy, Event};

use crate::support::{World, scopes};

fn origin() -> Origin {
    Origin::new([192, 0, 2, 7].into(), Some("Browser/1.0"))
}

async fn live_world() -> World {
    let mut world = World::new().await;
    world.developer = world.signup("Live", Mode::Live).await;
    world
}

#[tokio::test]
async fn a_live_request_waits_for_the_person() {
    let world = live_world().await;
    let agent = world.agent(&[]).await;
    let mut command = world.request(&agent.id, &["read"]);
    command.redirect_uri = Some("https://app.example/cb".into());
    command.state = Some("s".into());
    let opened = world.authorize(command).await.unwrap();
    assert!(opened.code.is_none());
    assert_eq!(opened.request.expires_at, world.now().plus(Lifetime::minutes(15)));
    world.recorder.take();
    let shown = world
        .grantex
        .consent_request(&world.ctx(), opened.request.id.clone())
        .await
        .unwrap();
    assert_eq!(
        (shown.developer.name.as_str(), shown.agent.id),
        ("Live", agent.id.clone())
    );

    world.clock.advance(Lifetime::seconds(3));
    let approved = world
        .grantex
        .approve_consent(&world.ctx(), opened.request.id.clone(), origin())
        .await
        .unwrap();
    assert_eq!(
        (approved.redirect_uri.as_deref(), approved.state.as_deref()),
        (Some("https://app.example/cb"), Some("s"))
    );
    assert_eq!(
        world.recorder.take(),
        [
            Event::Consent {
                outcome: ConsentOutcome::Shown,
                decided_after: None
            },
            Event::Consent {
                outcome: ConsentOutcome::Approved,
                decided_after: Some(std::time::Duration::from_secs(3))
            },
            Event::AuthRequestApproved {
                agent_id: agent.id.clone(),
                principal_id: "user_1".into(),
                by: DecidedBy::Principal,
                scopes: scopes(&["read"]),
                origin: Some(origin()),
            },
        ]
    );
    assert!(matches!(
        world
            .grantex
            .approve_consent(&world.ctx(), opened.request.id.clone(), origin())
            .await,
        Err(ConsentError::Gone)
    ));
    assert!(matches!(
        world
            .grantex
            .deny_consent(&world.ctx(), opened.request.id, origin())
            .await,
        Err(ConsentError::Gone)
    ));
    assert!(world.exchange(&agent, &approved.code).await.is_ok());
}

#[tokio::test]
async fn a_refusal_is_told_and_audited() {
    let world = live_world().await;
    let agent = world.agent(&[]).await;
    let opened = world.authorize(world.request(&agent.id, &["read"])).await.unwrap();
    world.recorder.take();
    world
        .grantex
        .deny_consent(&world.ctx(), opened.request.id.clone(), origin())
        .await
        .unwrap();
    assert_eq!(world.happened(), ["consent", "auth_request.denied"]);
    assert_eq!(world.event_kinds().await, ["grant.denied"]);
    assert_eq!(world.server_actions().await, ["grantex.grant.denied"]);
}

#[tokio::test]
async fn a_decision_is_audited_with_where_it_came_from() {
    let world = live_world().await;
    let agent = world.agent(&[]).await;
    let open = async || {
        world
            .authorize(world.request(&agent.id, &["read"]))
            .await
            .unwrap()
            .request
            .id
    };
    let (approved, denied, anonymous) = (open().await, open().await, open().await);
    let (grantex, ctx) = (&world.grantex, world.ctx());
    grantex.approve_consent(&ctx, approved, origin()).await.unwrap();
    grantex.deny_consent(&ctx, denied, origin()).await.unwrap();
    let nameless = Origin::new([192, 0, 2, 8].into(), None);
    grantex.approve_consent(&ctx, anonymous, nameless).await.unwrap();

    let page = grantex
        .audit_entries(&world.developer, Chain::Server, AuditFilter::default(), None, 10)
        .await
        .unwrap();
    let told: Vec<(String, String)> = page
        .items
        .into_iter()
        .map(|entry| (entry.record.action, entry.record.metadata))
        .collect();
    let expected = [
        (
            "grantex.grant.approved",
            r#"{"approvedBy":"principal","clientAddress":"192.0.2.7","scopes":["read"],"userAgent":"Browser/1.0"}"#,
        ),
        (
            "grantex.grant.denied",
            r#"{"clientAddress":"192.0.2.7","reason":"principal","scopes":["read"],"userAgent":"Browser/1.0"}"#,
        ),
        (
            "grantex.grant.approved",
            r#"{"approvedBy":"principal","clientAddress":"192.0.2.8","scopes":["read"]}"#,
        ),
    ];
    assert_eq!(
        told,
        expected.map(|(action, metadata)| (action.to_owned(), metadata.to_owned()))
    );
}

#[tokio::test]
async fn requests_expire_and_unknown_ones_are_not_found() {
    let world = live_world().await;
    let agent = world.agent(&[]).await;
    let opened = world.authorize(world.request(&agent.id, &["read"])).await.unwrap();
    world.clock.advance(Lifetime::minutes(15));
    assert!(matches!(
        world
            .grantex
            .consent_request(&world.ctx(), opened.request.id.clone())
            .await,
        Err(ConsentError::Gone)
    ));
    assert!(matches!(
        world
            .grantex
            .deny_consent(&world.ctx(), opened.request.id, origin())
            .await,
        Err(ConsentError::Gone)
    ));
    let unknown = grantex_core::id::new_unguessable_id(&grantex_core::testing::SeededRandom::new(99));
    assert!(matches!(
        world.grantex.approve_consent(&world.ctx(), unknown, origin()).await,
        Err(ConsentError::NotFound)
    ));
}

#[tokio::test]
async fn only_registered_scopes_of_active_agents_within_the_maximum_may_be_asked_for() {
    let world = World::new().await;
    let agent = world.agent(&["read"]).await;
    world.recorder.take();
    let refused = world.authorize(world.request(&agent.id, &["read", "admin"])).await;
    assert!(matches!(refused, Err(AuthorizeError::ScopeNotRegistered { scope }) if scope == "admin"));
    let mut command = world.request(&agent.id, &["read"]);
    command.expires_in = Lifetime::days(366);
    assert!(matches!(
        world.authorize(command).await,
        Err(AuthorizeError::TooLong { .. })
    ));
    let mut command = world.request(&agent.id, &["read"]);
    command.agent_id = None;
    assert!(matches!(
        world.authorize(command).await,
        Err(AuthorizeError::AgentNotFound)
    ));
    let rejected = |status, agent: Option<&grantex_core::id::AgentId>| Event::AuthorizeRejected {
        status,
        agent_id: agent.cloned(),
    };
    assert_eq!(
        world.recorder.take(),
        [
            rejected(AuthorizeStatus::InvalidRequest, Some(&agent.id)),
            rejected(AuthorizeStatus::InvalidRequest, Some(&agent.id)),
            rejected(AuthorizeStatus::AgentNotFound, None)
        ]
    );
}

#[tokio::test]
async fn live_developers_cannot_decide_in_the_persons_place() {
    let world = live_world().await;
    let agent = world.agent(&[]).await;
    let opened = world.authorize(world.request(&agent.id, &["read"])).await.unwrap();
    let answer = world
        .grantex
        .approve_in_sandbox(&world.ctx(), &world.developer, opened.request.id)
        .await;
    assert!(matches!(answer, Err(SandboxDecisionError::ConsentRequired)));
}

#[tokio::test]
async fn accounts_have_one_key_and_unique_e_mails() {
    use grantex_core::developer::Signup;
    let world = World::new().await;
    let command = || Signup {
        name: "A".into(),
        email: Some("a@example.com".into()),
        mode: Mode::Live,
    };
    let first = world.grantex.signup(&world.ctx(), command()).await.unwrap();
    assert!(matches!(
        world.grantex.signup(&world.ctx(), command()).await,
        Err(SignupError::EmailTaken)
    ));
    assert!(first.api_key.expose().starts_with("gx_live_"));
    let found = world.grantex.authenticate(first.api_key.expose()).await.unwrap();
    assert_eq!(found, Some(first.developer.clone()));
    let rotated = world
        .grantex
        .rotate_api_key(&world.ctx(), &first.developer, &first.api_key)
        .await
        .unwrap();
    assert_eq!(world.grantex.authenticate(first.api_key.expose()).await.unwrap(), None);
    assert_eq!(
        world.grantex.authenticate(rotated.api_key.expose()).await.unwrap(),
        Some(first.developer.clone())
    );
    assert!(
        world
            .grantex
            .rotate_api_key(&world.ctx(), &first.developer, &first.api_key)
            .await
            .is_err()
    );
    assert_eq!(world.grantex.authenticate("short").await.unwrap(), None);
    assert!(
        world
            .grantex
            .authenticate(world.api_key.expose())
            .await
            .unwrap()
            .is_some()
    );
}
