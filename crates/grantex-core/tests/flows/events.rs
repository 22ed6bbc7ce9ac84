//! The projections of events: log lines in the documented form; and reading what developers were told.

use grantex_core::clock::Lifetime;
use grantex_core::developer::Mode;
use grantex_core::event::history::{Beginning, Position, ResumeError};
use grantex_core::event::{Event, ExchangeStatus, kind};
use grantex_core::store::StoredEvent;
use grantex_core::sweep::Retention;
use serde_json::json;
use slog::Level;

use crate::support::World;

#[tokio::test]
async fn a_grant_is_logged_with_its_scopes_as_an_array() {
    let world = World::new().await;
    let agent = world.agent(&[]).await;
    let code = world.code(&agent, &["calendar:read", "email:send"]).await;
    world.log.take();
    let token = world.exchange(&agent, &code).await.unwrap();
    let lines = world.log.take();
    assert_eq!(
        lines
            .iter()
            .map(|line| (line.level, line.message.as_str()))
            .collect::<Vec<_>>(),
        [(Level::Info, "grant.created"), (Level::Info, "token.exchanged")]
    );
    assert_eq!(
        serde_json::to_value(&lines[0].fields).unwrap(),
        json!({
            "grantId": token.grant.id, "agentId": agent.id, "principalId": "user_1",
            "scopes": ["calendar:read", "email:send"], "latencyMs": 0,
        })
    );
}

#[tokio::test]
async fn a_refusal_is_a_warning_with_its_reason() {
    let world = World::new().await;
    world.grantex.emit(
        &world.ctx(),
        &Event::TokenExchangeRejected {
            status: ExchangeStatus::Pkce,
            agent_id: None,
        },
    );
    let lines = world.log.take();
    assert_eq!(
        (lines[0].level, lines[0].message.as_str()),
        (Level::Warning, "token.exchange_rejected")
    );
    assert_eq!(lines[0].fields["reason"], "pkce");
}

/// Issues tokens `count` times, an event or two each; the developer's events afterwards.
async fn events_of(world: &World, count: usize) -> Vec<StoredEvent> {
    let agent = world.agent(&[]).await;
    for _ in 0..count {
        let code = world.code(&agent, &["calendar:read"]).await;
        world.exchange(&agent, &code).await.unwrap();
    }
    world.grantex.events_after(&world.developer.id, 0, 1_000).await.unwrap()
}

#[tokio::test]
async fn every_type_that_is_told_is_listed() {
    let world = World::new().await;
    let agent = world.agent(&[]).await;
    let code = world.code(&agent, &["calendar:read"]).await;
    world.exchange(&agent, &code).await.unwrap();
    for event in world.recorder.events() {
        if let Some((kind, _)) = event.webhook() {
            assert!(kind::EMITTED.contains(&kind), "{kind}");
        }
    }
}

#[tokio::test]
async fn reading_begins_where_it_is_told_to() {
    let world = World::new().await;
    let developer = &world.developer.id;
    let begin = async |after: Option<Position>| {
        let beginning = world.grantex.resume_events(developer, after).await?;
        assert!(beginning.after <= beginning.newest);
        Ok::<_, ResumeError>(beginning.after)
    };
    assert_eq!(begin(None).await.unwrap(), 0);
    assert_eq!(begin(Some(Position::Seq(0))).await.unwrap(), 0);

    let events = events_of(&world, 2).await;
    assert_eq!(events.iter().map(|event| event.seq).collect::<Vec<_>>(), [1, 2, 3, 4]);
    assert_eq!(begin(None).await.unwrap(), 4);
    assert_eq!(begin(Some(Position::Seq(0))).await.unwrap(), 0);
    assert_eq!(begin(Some(Position::Seq(4))).await.unwrap(), 4);
    let third = events[2].id.clone();
    assert_eq!(begin(Some(Position::Event(third.clone()))).await.unwrap(), 3);
    assert!(matches!(begin(Some(Position::Seq(5))).await, Err(ResumeError::Ahead)));
    let stranger = world.signup("Stranger", Mode::Live).await;
    let foreign = world
        .grantex
        .resume_events(&stranger.id, Some(Position::Event(third)))
        .await;
    assert!(matches!(foreign, Err(ResumeError::UnknownEvent)), "{foreign:?}");
}

#[tokio::test]
async fn a_position_in_front_of_removed_events_is_refused() {
    let world = World::new().await;
    let events = events_of(&world, 1).await;
    world.clock.advance(Lifetime::days(7));
    events_of(&world, 1).await;
    world.clock.advance(Lifetime::seconds(1));
    world.grantex.janitor(&Retention::default()).await.unwrap();
    let begin = |after: Position| world.grantex.resume_events(&world.developer.id, Some(after));
    for lost in [0, 1] {
        assert!(
            matches!(
                begin(Position::Seq(lost)).await,
                Err(ResumeError::Expired { oldest: 3 })
            ),
            "{lost}"
        );
    }
    let last = events[1].id.clone();
    assert!(matches!(
        begin(Position::Event(last)).await,
        Err(ResumeError::UnknownEvent)
    ));
    // The last event that was removed was seen by whoever names it.
    let beginning = |after| Beginning { after, newest: 4 };
    assert_eq!(begin(Position::Seq(2)).await.unwrap(), beginning(2));
    assert_eq!(begin(Position::Seq(3)).await.unwrap(), beginning(3));
}

#[tokio::test]
async fn an_events_id_tells_when_it_happened() {
    let world = World::new().await;
    for event in events_of(&world, 1).await {
        assert_eq!(event.id.time(), Some(event.created_at));
    }
}
