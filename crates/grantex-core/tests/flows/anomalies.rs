//! Looking for anomalies: what is found in what flows leave behind, how often it is told, and what people make of it.

use std::sync::Arc;

use grantex_core::Grantex;
use grantex_core::anomaly::alert::{Anomaly, AnomalyFilter, AnomalyStatus};
use grantex_core::anomaly::detector::Detector;
use grantex_core::anomaly::manage::{AnomalyError, ChangeRule, CreateMute, CreateRule};
use grantex_core::anomaly::{AnomalyKind, Severity};
use grantex_core::audit::{AuditStatus, LogEntry};
use grantex_core::clock::Lifetime;
use grantex_core::event::Event;
use grantex_core::page::PageRequest;
use grantex_core::testing::{MemoryStore, StoreFailure};
use grantex_core::token::RefreshToken;
use serde_json::{Map, Value, json};

use crate::support::World;

/// A world in which it is nine in the morning: no hour of the night disturbs the tests.
pub(crate) async fn world() -> World {
    let world = World::new().await;
    world.clock.advance(Lifetime::hours(6));
    world
}

impl World {
    async fn log_entry(&self, agent: &str, status: AuditStatus) {
        self.log_entry_at(&self.grantex, agent, status).await;
    }

    async fn log_entry_at(&self, server: &Grantex<MemoryStore>, agent: &str, status: AuditStatus) {
        let entry = LogEntry {
            agent_id: agent.to_owned(),
            agent_did: String::new(),
            grant_id: String::new(),
            principal_id: "user_1".to_owned(),
            action: "mail.sent".to_owned(),
            metadata: Map::new(),
            status,
        };
        server.log_audit(&self.ctx(), &self.developer, entry).await.unwrap();
    }

    pub(crate) async fn log_entries(&self, agent: &str, count: u32) {
        for _ in 0..count {
            self.log_entry(agent, AuditStatus::Success).await;
        }
    }

    pub(crate) async fn detect(&self) -> usize {
        let detected = self.grantex.detect_anomalies(&self.ctx(), &self.developer.id).await;
        detected.unwrap().raised.len()
    }

    async fn anomalies(&self) -> Vec<Anomaly> {
        let (filter, page) = (AnomalyFilter::default(), PageRequest::default());
        let mut found = self
            .grantex
            .anomalies(&self.developer, filter, page)
            .await
            .unwrap()
            .items;
        found.reverse();
        found
    }

    /// The kinds of all anomalies, in the order of their definition.
    async fn kinds(&self) -> Vec<AnomalyKind> {
        let mut kinds: Vec<_> = self.anomalies().await.iter().map(|anomaly| anomaly.kind).collect();
        kinds.sort_by_key(|kind| kind.index());
        kinds
    }
}

#[tokio::test]
async fn what_is_found_is_told_once() {
    let world = world().await;
    let agent = world.agent(&[]).await;
    world.log_entries(agent.id.as_str(), 50).await;
    assert_eq!(world.detect().await, 0);
    world.log_entries(agent.id.as_str(), 1).await;
    world.recorder.take();
    world.log.take();
    assert_eq!(world.detect().await, 1);
    assert_eq!(world.detect().await, 0, "nothing new");
    world.log_entries(agent.id.as_str(), 10).await;
    assert_eq!(world.detect().await, 0, "the same window");

    let anomalies = world.anomalies().await;
    let anomaly = &anomalies[0];
    assert_eq!((anomalies.len(), anomaly.kind), (1, AnomalyKind::RateSpike));
    assert_eq!(anomaly.agent_id.as_deref(), Some(agent.id.as_str()));
    assert_eq!(
        (anomaly.severity, anomaly.status),
        (Severity::High, AnomalyStatus::Open)
    );
    assert_eq!(anomaly.rule_id, "AD-011");
    assert_eq!(anomaly.evidence.get("count"), Some(&json!(51)));
    let told: Vec<Event> = world.recorder.take();
    let told: Vec<&Event> = told
        .iter()
        .filter(|event| event.message() == "anomaly.detected")
        .collect();
    assert_eq!(told, [&Event::AnomalyDetected(Box::new(anomaly.clone()))]);
    let lines = world.log.take();
    let line = lines.iter().find(|line| line.message == "anomaly.detected").unwrap();
    assert_eq!(line.level, slog::Level::Warning);
    for (name, value) in [
        ("type", "rate_spike"),
        ("severity", "high"),
        ("agentId", agent.id.as_str()),
        ("anomalyId", anomaly.id.as_str()),
    ] {
        assert_eq!(line.fields.get(name), Some(&json!(value)));
    }
    let events = world.stored_events().await;
    let event = events.iter().find(|event| event.kind == "anomaly.detected").unwrap();
    let payload: Value = serde_json::from_str(&event.payload).unwrap();
    assert_eq!(payload["data"]["anomalyId"], json!(anomaly.id));
    assert_eq!(payload["data"]["type"], "rate_spike");
    assert_eq!(payload["data"]["metadata"]["count"], 51);
}

#[tokio::test]
async fn a_pass_that_fails_loses_nothing() {
    let world = world().await;
    let agent = world.agent(&[]).await;
    let token = world.issue(&agent, &["mail:read"]).await;
    assert_eq!(world.detect().await, 1, "a new principal");
    for address in ["198.51.100.1", "203.0.113.1"] {
        let client = Some(address.parse().unwrap());
        let verified = world
            .grantex
            .verify_token_of_client(&world.ctx(), &world.developer, token.jwt.expose(), None, client)
            .await;
        assert!(verified.unwrap().is_ok());
    }
    for failure in [StoreFailure::Unavailable, StoreFailure::OutcomeUnknownLost] {
        world.store.fail_next(failure);
        let outcome = world.grantex.detect_anomalies(&world.ctx(), &world.developer.id).await;
        assert!(outcome.is_err());
        assert_eq!(world.detector.waiting(), 2, "they wait for the next pass");
    }
    assert_eq!(world.detect().await, 1);
    assert_eq!(
        world.kinds().await,
        [AnomalyKind::NewPrincipal, AnomalyKind::TokenReplay]
    );
}

#[tokio::test]
async fn of_two_servers_one_tells() {
    let world = world().await;
    let agent = world.agent(&[]).await;
    world.log_entries(agent.id.as_str(), 60).await;
    let (second, ctx, developer) = (world.second_server(), world.ctx(), world.developer.id.clone());
    world.store.before_next_unit(async move {
        let detected = second.detect_anomalies(&ctx, &developer).await.unwrap();
        assert_eq!(detected.raised.len(), 1);
    });
    assert_eq!(world.detect().await, 0, "the other one was faster");
    assert_eq!(world.kinds().await, [AnomalyKind::RateSpike]);
}

#[tokio::test]
async fn servers_add_to_what_others_saw() {
    let world = world().await;
    let agent = world.agent(&[]).await;
    let second = world.second_server();
    for round in 0..4 {
        world.log_entries(agent.id.as_str(), 13).await;
        let server: &Grantex<MemoryStore> = if round % 2 == 0 { &world.grantex } else { &second };
        let detected = server
            .detect_anomalies(&world.ctx(), &world.developer.id)
            .await
            .unwrap();
        assert_eq!(
            detected.raised.len(),
            usize::from(round == 3),
            "52 entries, 26 seen by each"
        );
    }
}

#[tokio::test]
async fn entries_between_those_of_a_server_are_looked_at_too() {
    let world = world().await;
    let agent = world.agent(&[]).await;
    let second = world.second_server();
    let mut expected = 0;
    // What the first server committed itself begins, ends, and surrounds what the second did.
    for servers in ["ab", "ba", "aba", "bab", "aabbab"] {
        for server in servers.chars() {
            let server = if server == 'a' { &world.grantex } else { &second };
            world
                .log_entry_at(server, agent.id.as_str(), AuditStatus::Success)
                .await;
        }
        expected += servers.len();
        let detected = world.grantex.detect_anomalies(&world.ctx(), &world.developer.id).await;
        let (signals, is_behind) = detected.map(|one| (one.signals, one.is_behind)).unwrap();
        assert_eq!((signals, is_behind), (servers.len() as u64, false), "{servers}");
    }
    world.log_entries(agent.id.as_str(), 50 - expected as u32).await;
    assert_eq!(world.detect().await, 0, "50 entries");
    world.log_entries(agent.id.as_str(), 1).await;
    assert_eq!(world.detect().await, 1, "the 51st: each was counted once");
}

#[tokio::test]
async fn acts_of_flows_are_signals() {
    let world = world().await;
    let agent = world.agent(&[]).await;
    let token = world.issue(&agent, &["mail:read"]).await;
    assert_eq!(world.detect().await, 1);
    assert_eq!(world.anomalies().await[0].principal_id.as_deref(), Some("user_1"));

    // Presented again after its use, and beyond what impatience explains.
    let used = RefreshToken {
        refresh_token: token.refresh_token.clone(),
        agent_id: Some(agent.id.clone()),
        idempotency_key: None,
    };
    world
        .grantex
        .refresh_token(&world.ctx(), &world.developer, used.clone())
        .await
        .unwrap();
    world.clock.advance(Lifetime::minutes(2));
    assert!(
        world
            .grantex
            .refresh_token(&world.ctx(), &world.developer, used)
            .await
            .is_err()
    );
    assert_eq!(world.detect().await, 1);
    assert_eq!(
        world.kinds().await,
        [AnomalyKind::NewPrincipal, AnomalyKind::RefreshReuse]
    );

    // The same pair is not new a second time, not even to a server that knows nothing.
    world.clock.advance(Lifetime::days(1));
    world.issue(&agent, &["mail:read"]).await;
    let second = world.second_server();
    let detected = second
        .detect_anomalies(&world.ctx(), &world.developer.id)
        .await
        .unwrap();
    assert_eq!(detected.raised, []);

    for _ in 0..5 {
        let token = world.issue(&agent, &["mail:read"]).await;
        world
            .grantex
            .revoke_grant(&world.ctx(), &world.developer, token.grant.id)
            .await
            .unwrap();
    }
    assert_eq!(world.detect().await, 1);
    assert_eq!(world.kinds().await.last(), Some(&AnomalyKind::RapidRevocation));
}

#[tokio::test]
async fn strangers_are_counted_for_the_developer() {
    let world = world().await;
    let agent = world.agent(&[]).await;
    world.log_entries("ag_of_nobody", 1).await;
    world.log_entries("ag_01ARZ3NDEKTSV4RRFFQ69G5FAV", 1).await;
    world.log_entries("", 5).await;
    world.log_entries(agent.id.as_str(), 5).await;
    assert_eq!(world.detect().await, 0);
    let unknown = grantex_core::id::AgentId::parse("ag_01ARZ3NDEKTSV4RRFFQ69G5FAW").unwrap();
    assert!(world.authorize(world.request(&unknown, &["mail:read"])).await.is_err());
    assert_eq!(world.detect().await, 1);
    let anomalies = world.anomalies().await;
    assert_eq!(anomalies[0].kind, AnomalyKind::UnknownAgent);
    assert_eq!(anomalies[0].agent_id, None);
    assert_eq!(anomalies[0].level, 3);
}

#[tokio::test]
async fn an_acknowledgement_raises_the_bar_and_a_resolution_does_not() {
    let world = world().await;
    let agent = world.agent(&[]).await;
    let next_hour = async |count| {
        world.clock.advance(Lifetime::hours(2));
        world.log_entries(agent.id.as_str(), count).await;
        world.detect().await
    };
    assert_eq!(next_hour(60).await, 1);
    let id = world.anomalies().await[0].id.clone();
    let note = Some("a batch job".to_owned());
    let known = world
        .grantex
        .acknowledge_anomaly(&world.ctx(), &world.developer, id.clone(), note)
        .await
        .unwrap();
    assert_eq!((known.status, known.notes.len()), (AnomalyStatus::Acknowledged, 1));
    assert_eq!(next_hour(60).await, 0, "as many as were acknowledged");
    assert_eq!(next_hour(61).await, 1);
    let second = world.anomalies().await[1].id.clone();
    let resolved = world
        .grantex
        .resolve_anomaly(&world.ctx(), &world.developer, second, None)
        .await
        .unwrap();
    assert_eq!(resolved.status, AnomalyStatus::Resolved);
    assert_eq!(next_hour(61).await, 1, "nothing was learnt from that");
    world.clock.advance(Lifetime::days(31));
    assert_eq!(next_hour(51).await, 1, "and an acknowledgement is forgotten");

    let stranger = world.signup("Other", grantex_core::developer::Mode::Sandbox).await;
    let refused = world
        .grantex
        .acknowledge_anomaly(&world.ctx(), &stranger, id, None)
        .await;
    assert!(matches!(refused, Err(AnomalyError::NotFound(_))));
}

fn rule(condition: Value) -> CreateRule {
    CreateRule {
        rule_id: "files-at-night".to_owned(),
        name: "Files".to_owned(),
        description: None,
        severity: Severity::Critical,
        condition: condition.as_object().unwrap().clone(),
    }
}

#[tokio::test]
async fn a_rule_of_ones_own_is_evaluated() {
    let world = world().await;
    let (agent, other) = (world.agent(&[]).await, world.agent(&[]).await);
    world.issue(&agent, &["files:read"]).await;
    world.issue(&other, &["files:read"]).await;
    world.detect().await;
    let condition = json!({
        "agentIds": [agent.id], "scopes": ["files:*"], "signals": ["grant"], "timeWindow": "10m", "threshold": 2,
    });
    let made = world
        .grantex
        .create_anomaly_rule(&world.ctx(), &world.developer, rule(condition.clone()))
        .await
        .unwrap();
    let again = world
        .grantex
        .create_anomaly_rule(&world.ctx(), &world.developer, rule(condition))
        .await;
    assert!(matches!(again, Err(AnomalyError::RuleIdTaken)));
    for _ in 0..3 {
        world.issue(&other, &["files:read"]).await;
        world.issue(&agent, &["mail:read"]).await;
    }
    for _ in 0..2 {
        world.issue(&agent, &["files:read"]).await;
    }
    assert_eq!(world.detect().await, 0);
    world.issue(&agent, &["files:write"]).await;
    assert_eq!(world.detect().await, 1);
    let anomalies = world.anomalies().await;
    let found = anomalies
        .into_iter()
        .find(|one| one.kind == AnomalyKind::Custom)
        .unwrap();
    assert_eq!((found.kind, found.severity), (AnomalyKind::Custom, Severity::Critical));
    assert_eq!(
        (found.custom_rule, found.rule_id.as_str()),
        (Some(made.id), "files-at-night")
    );
    assert_eq!(found.agent_id.as_deref(), Some(agent.id.as_str()));
    assert_eq!(found.evidence.get("count"), Some(&json!(3)));

    let off = ChangeRule {
        is_enabled: Some(false),
        ..ChangeRule::default()
    };
    world
        .grantex
        .change_anomaly_rule(&world.ctx(), &world.developer, "files-at-night".into(), off)
        .await
        .unwrap();
    world.clock.advance(Lifetime::hours(1));
    for _ in 0..5 {
        world.issue(&agent, &["files:read"]).await;
    }
    assert_eq!(world.detect().await, 0, "it is switched off");
    world
        .grantex
        .delete_anomaly_rule(&world.ctx(), &world.developer, "files-at-night".into())
        .await
        .unwrap();
    assert!(
        world
            .grantex
            .rule_book(&world.developer)
            .await
            .unwrap()
            .custom
            .is_empty()
    );
}

#[tokio::test]
async fn conditions_that_cannot_be_evaluated_are_refused_by_name() {
    let world = world().await;
    for (condition, member) in [
        (json!({}), "timeWindow"),
        (json!({"timeWindow": "25h", "threshold": 1}), "timeWindow"),
        (json!({"timeWindow": "30s", "threshold": 1}), "timeWindow"),
        (json!({"timeWindow": "1h"}), "threshold"),
        (
            json!({"timeWindow": "1h", "threshold": 1, "ratePerMinute": 1}),
            "ratePerMinute",
        ),
        (json!({"timeWindow": "1h", "threshold": -1}), "threshold"),
        (json!({"timeWindow": "1h", "threshold": 1.5}), "threshold"),
        (json!({"timeWindow": "1h", "ratePerMinute": 0}), "ratePerMinute"),
        (json!({"timeWindow": "1h", "threshold": 1, "agentIds": []}), "agentIds"),
        (
            json!({"timeWindow": "1h", "threshold": 1, "agentIds": ["x"]}),
            "agentIds",
        ),
        (json!({"timeWindow": "1h", "threshold": 1, "scopes": ["a b"]}), "scopes"),
        (
            json!({"timeWindow": "1h", "threshold": 1, "signals": ["thought"]}),
            "signals",
        ),
        (
            json!({"timeWindow": "1h", "threshold": 1, "failuresOnly": 1}),
            "failuresOnly",
        ),
        (
            json!({"timeWindow": "1h", "threshold": 1, "activeHours": {"start": "9:00", "end": "10:00"}}),
            "activeHours",
        ),
        (
            json!({"timeWindow": "1h", "threshold": 1, "activeHours": {"start": "09:00"}}),
            "activeHours",
        ),
        (json!({"timeWindow": "1h", "threshold": 1, "colour": "red"}), "colour"),
    ] {
        let refused = world
            .grantex
            .create_anomaly_rule(&world.ctx(), &world.developer, rule(condition.clone()))
            .await;
        let Err(AnomalyError::Condition(error)) = refused else {
            panic!("{condition} was not refused: {refused:?}")
        };
        assert!(error.to_string().contains(member), "{condition}: {error}");
    }
}

#[tokio::test]
async fn a_rule_that_is_off_and_a_mute_raise_nothing() {
    let world = world().await;
    let agent = world.agent(&[]).await;
    let change = |is_enabled, value: Option<f64>| ChangeRule {
        is_enabled: Some(is_enabled),
        thresholds: value
            .map(|value| ("threshold".to_owned(), Some(value)))
            .into_iter()
            .collect(),
    };
    let set = async |change| {
        world
            .grantex
            .change_anomaly_rule(&world.ctx(), &world.developer, "AD-011".into(), change)
            .await
    };
    set(change(false, None)).await.unwrap();
    world.log_entries(agent.id.as_str(), 60).await;
    assert_eq!(world.detect().await, 0);
    world.clock.advance(Lifetime::hours(2));
    set(change(true, Some(5.0))).await.unwrap();
    world.log_entries(agent.id.as_str(), 6).await;
    assert_eq!(world.detect().await, 1);
    assert!(matches!(
        set(change(true, Some(0.0))).await,
        Err(AnomalyError::Threshold { .. })
    ));
    let unknown = ChangeRule {
        thresholds: [("colour".to_owned(), Some(1.0))].into(),
        ..ChangeRule::default()
    };
    assert!(matches!(set(unknown).await, Err(AnomalyError::UnknownThreshold(_))));

    world.clock.advance(Lifetime::hours(2));
    let mute = CreateMute {
        kind: Some(AnomalyKind::RateSpike),
        agent_id: Some(agent.id.clone()),
        starts_at: None,
        ends_at: world.now().plus(Lifetime::hours(1)),
        reason: "load test".to_owned(),
    };
    let wrong = CreateMute {
        ends_at: world.now(),
        ..mute.clone()
    };
    let refused = world
        .grantex
        .create_anomaly_mute(&world.ctx(), &world.developer, wrong)
        .await;
    assert!(matches!(refused, Err(AnomalyError::MuteTimes)));
    world
        .grantex
        .create_anomaly_mute(&world.ctx(), &world.developer, mute)
        .await
        .unwrap();
    world.log_entries(agent.id.as_str(), 60).await;
    assert_eq!(world.detect().await, 0, "muted");
    world.clock.advance(Lifetime::hours(2));
    world.log_entries(agent.id.as_str(), 6).await;
    assert_eq!(world.detect().await, 1, "the mute has ended");
}

#[tokio::test]
async fn developers_nobody_was_called_for_are_found() {
    let world = world().await;
    let agent = world.agent(&[]).await;
    world.log_entries(agent.id.as_str(), 51).await;
    let second = world.second_server();
    let behind = second.developers_to_look_at(None, 10).await.unwrap();
    assert_eq!(behind, std::slice::from_ref(&world.developer.id));
    let detected = second
        .detect_anomalies(&world.ctx(), &world.developer.id)
        .await
        .unwrap();
    assert_eq!((detected.raised.len(), detected.signals), (1, 51));
    assert_eq!(second.developers_to_look_at(None, 10).await.unwrap(), []);
}

#[tokio::test]
async fn an_old_chain_teaches_and_is_not_told() {
    let world = world().await;
    let agent = world.agent(&[]).await;
    world.log_entries(agent.id.as_str(), 200).await;
    world.clock.advance(Lifetime::days(3));
    world.log_entries(agent.id.as_str(), 1).await;
    assert_eq!(world.detect().await, 0);
    assert_eq!(world.kinds().await, []);
}

impl World {
    /// A server over the same store that has seen nothing yet.
    fn second_server(&self) -> Grantex<MemoryStore> {
        self.server_with(Arc::new(Detector::default()))
    }
}
