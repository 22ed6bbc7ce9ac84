//! What is done about anomalies: nothing by default; what the developer wants, once, whatever happens meanwhile.

use std::sync::Arc;

use grantex_core::agent::AgentStatus;
use grantex_core::anomaly::Severity;
use grantex_core::anomaly::detector::Detector;
use grantex_core::anomaly::manage::AnomalyError;
use grantex_core::anomaly::respond::ChangeResponsePolicy;
use grantex_core::anomaly::response::{ResponseAction, ResponseMode, ResponsePolicy, ResponseRule};
use grantex_core::error::StoreError;
use grantex_core::event::Event;
use grantex_core::grant::RevokedBy;
use grantex_core::store::{Store as _, StoredEvent};
use grantex_core::testing::StoreFailure;
use grantex_core::token::InvalidReason;
use serde_json::{Value, json};

use crate::anomalies::world;
use crate::support::World;

fn rule(rules: &[&str], severities: &[Severity], action: Option<ResponseAction>) -> ResponseRule {
    ResponseRule {
        rules: rules.iter().map(|rule| (*rule).to_owned()).collect(),
        severities: severities.to_vec(),
        action,
    }
}

impl World {
    async fn change_policy(&self, change: ChangeResponsePolicy) -> Result<ResponsePolicy, AnomalyError> {
        self.grantex
            .change_response_policy(&self.ctx(), &self.developer, change)
            .await
    }

    async fn revoke_by_default(&self) {
        let change = ChangeResponsePolicy {
            mode: Some(ResponseMode::RevokeAgentGrants),
            rules: None,
        };
        self.change_policy(change).await.unwrap();
    }

    async fn answer_with(&self, rules: Vec<ResponseRule>) {
        let change = ChangeResponsePolicy {
            mode: None,
            rules: Some(rules),
        };
        self.change_policy(change).await.unwrap();
    }

    async fn respond(&self) -> u64 {
        self.grantex.respond_to_anomalies(&self.ctx(), None).await.unwrap()
    }

    /// The developer's events of a type, also behind the first thousand.
    async fn stored_events_of(&self, kind: &'static str) -> Vec<Value> {
        let developer = self.developer.id.clone();
        let mut told = Vec::new();
        let mut after = 0;
        loop {
            let developer = developer.clone();
            let page: Result<Vec<StoredEvent>, StoreError> = self
                .store
                .read(move |tx| Box::pin(async move { tx.events_after(&developer, after, 1_000).await }))
                .await;
            let page = page.unwrap();
            let Some(last) = page.last() else { return told };
            after = last.seq;
            let wanted = page.iter().filter(|event| event.kind == kind);
            told.extend(wanted.map(|event| serde_json::from_str::<Value>(&event.payload).unwrap()));
        }
    }

    fn responses(&self) -> Vec<(ResponseAction, bool, u64)> {
        let told = self.recorder.take();
        let told = told.iter().filter_map(|event| match event {
            Event::AnomalyResponded(response) => Some((response.action, response.is_effective, response.revoked)),
            _ => None,
        });
        told.collect()
    }
}

#[tokio::test]
async fn findings_are_advice_by_default() {
    let world = world().await;
    let agent = world.agent(&[]).await;
    let token = world.issue(&agent, &["mail:read"]).await;
    world.log_entries(agent.id.as_str(), 51).await;
    assert_eq!(world.detect().await, 2, "a spike and a new principal");
    assert_eq!(world.respond().await, 0);
    assert!(world.verify(&token.jwt).await.is_ok());
    assert_eq!(world.responses(), []);
}

#[tokio::test]
async fn grants_are_revoked_with_what_was_delegated_and_told_once() {
    let world = world().await;
    let (agent, helper, other) = (world.agent(&[]).await, world.agent(&[]).await, world.agent(&[]).await);
    let root = world.issue(&agent, &["mail:read"]).await;
    let child = world.delegate(&root, &helper, &["mail:read"]).await.unwrap();
    let bystander = world.issue(&other, &["mail:read"]).await;
    world.revoke_by_default().await;
    world.detect().await;
    assert_eq!(world.respond().await, 0, "what is only low is told, and no more");
    world.log_entries(agent.id.as_str(), 51).await;
    assert_eq!(world.detect().await, 1);
    assert!(world.verify(&root.jwt).await.is_ok(), "nothing has responded yet");
    world.recorder.take();
    world.log.take();
    assert_eq!(world.respond().await, 1);
    assert_eq!(world.respond().await, 0);
    assert_eq!(world.responses(), [(ResponseAction::RevokeAgentGrants, true, 1)]);
    for token in [&root, &child] {
        assert_eq!(world.verify(&token.jwt).await.unwrap_err(), InvalidReason::Revoked);
    }
    assert!(world.verify(&bystander.jwt).await.is_ok());
    assert_eq!(world.active_grants().await, 1);

    let lines = world.log.take();
    let line = lines.iter().find(|line| line.message == "anomaly.responded").unwrap();
    assert_eq!(line.level, slog::Level::Warning);
    assert_eq!(line.fields.get("action"), Some(&json!("revoke_agent_grants")));
    let revoked = lines.iter().find(|line| line.message == "grant.revoked").unwrap();
    assert_eq!(
        revoked.fields.get("revokedBy"),
        Some(&json!(RevokedBy::Anomaly.as_str()))
    );
    assert_eq!(revoked.fields.get("cascadeCount"), Some(&json!(1)));
    let told = world.stored_events_of("anomaly.auto_revoked").await;
    assert_eq!(told.len(), 1);
    let data = &told[0]["data"];
    assert_eq!(data["revokedGrants"], json!([root.grant.id]));
    assert_eq!(
        (&data["anomalyCount"], &data["revokedGrantCount"], &data["type"]),
        (&json!(1), &json!(1), &json!("rate_spike"))
    );
    assert_eq!(data["metadata"]["count"], 51, "the evidence is told");
    let actions = world.server_actions().await;
    let noted = actions.iter().filter(|action| *action == "grantex.anomaly.responded");
    assert_eq!(noted.count(), 1);
}

#[tokio::test]
async fn an_agent_is_suspended_until_it_is_made_active() {
    let world = world().await;
    let agent = world.agent(&[]).await;
    let token = world.issue(&agent, &["mail:read"]).await;
    let suspend = Some(ResponseAction::SuspendAgent);
    world
        .answer_with(vec![rule(&["new_principal"], &[], None), rule(&[], &[], suspend)])
        .await;
    assert_eq!(world.detect().await, 1, "a new principal");
    world.respond().await;
    assert!(world.verify(&token.jwt).await.is_ok(), "an exception");
    world.log_entries(agent.id.as_str(), 51).await;
    world.detect().await;
    world.recorder.take();
    assert_eq!(world.respond().await, 0);
    assert_eq!(world.responses(), [(ResponseAction::SuspendAgent, true, 0)]);
    assert!(world.verify(&token.jwt).await.is_err());
    assert!(
        world
            .event_kinds()
            .await
            .contains(&"anomaly.agent_suspended".to_owned())
    );
    world.set_status(&agent, AgentStatus::Active).await;
    assert!(world.verify(&token.jwt).await.is_ok(), "its grants are there still");
    assert_eq!(world.respond().await, 0, "a response is not repeated");
    assert!(world.verify(&token.jwt).await.is_ok());
}

#[tokio::test]
async fn what_was_done_already_is_told_as_such() {
    let world = world().await;
    let agent = world.agent(&[]).await;
    world.set_status(&agent, AgentStatus::Suspended).await;
    world
        .answer_with(vec![rule(&["AD-011"], &[], Some(ResponseAction::SuspendAgent))])
        .await;
    world.log_entries(agent.id.as_str(), 51).await;
    world.detect().await;
    world.recorder.take();
    world.respond().await;
    assert_eq!(world.responses(), [(ResponseAction::SuspendAgent, false, 0)]);
}

#[tokio::test]
async fn a_failure_loses_no_response() {
    let world = world().await;
    let agent = world.agent(&[]).await;
    let token = world.issue(&agent, &["mail:read"]).await;
    world.revoke_by_default().await;
    world.log_entries(agent.id.as_str(), 51).await;
    world.detect().await;
    for failure in [StoreFailure::Unavailable, StoreFailure::OutcomeUnknownLost] {
        world.store.fail_next(failure);
        let outcome = world.grantex.respond_to_anomalies(&world.ctx(), None).await;
        assert!(outcome.is_err());
        assert!(world.verify(&token.jwt).await.is_ok());
    }
    // Another server finds it where the first one has stopped.
    let other = world.server_with(Arc::new(Detector::default()));
    assert_eq!(other.respond_to_anomalies(&world.ctx(), None).await.unwrap(), 1);
    assert!(world.verify(&token.jwt).await.is_err());
    assert_eq!(world.respond().await, 0);
}

#[tokio::test]
async fn many_grants_are_revoked_in_parts_by_several_servers_and_counted_once() {
    let world = world().await;
    let agent = world.agent(&[]).await;
    for _ in 0..405 {
        world.issue(&agent, &["mail:read"]).await;
    }
    world.detect().await;
    world.respond().await;
    world.revoke_by_default().await;
    world.log_entries(agent.id.as_str(), 51).await;
    world.detect().await;
    let (one, two) = (
        world.server_with(Arc::new(Detector::default())),
        world.server_with(Arc::new(Detector::default())),
    );
    let ctx = world.ctx();
    let (first, second) = tokio::join!(
        one.respond_to_anomalies(&ctx, None),
        two.respond_to_anomalies(&ctx, None)
    );
    assert_eq!(first.unwrap() + second.unwrap(), 405);
    assert_eq!(world.active_grants().await, 0);
    let told = world.stored_events_of("anomaly.auto_revoked").await;
    assert_eq!(told.len(), 1);
    assert_eq!(told[0]["data"]["revokedGrantCount"], 405);
    assert_eq!(told[0]["data"]["revokedGrants"].as_array().unwrap().len(), 100);
}

#[tokio::test]
async fn what_the_server_revokes_is_no_spike_of_revocations() {
    let world = world().await;
    let agent = world.agent(&[]).await;
    for _ in 0..6 {
        world.issue(&agent, &["mail:read"]).await;
    }
    world.detect().await;
    world.revoke_by_default().await;
    world.log_entries(agent.id.as_str(), 51).await;
    world.detect().await;
    assert_eq!(world.respond().await, 6);
    assert_eq!(world.detect().await, 0);
}

#[tokio::test]
async fn a_policy_counts_for_what_is_raised_from_then_on_and_is_told_when_it_changes() {
    let world = world().await;
    let agent = world.agent(&[]).await;
    let token = world.issue(&agent, &["mail:read"]).await;
    world.log_entries(agent.id.as_str(), 51).await;
    world.detect().await;
    world.recorder.take();
    world.revoke_by_default().await;
    world.revoke_by_default().await;
    assert_eq!(
        world.happened(),
        ["response_policy.changed"],
        "saying it again is no change"
    );
    assert_eq!(world.respond().await, 0);
    assert!(world.verify(&token.jwt).await.is_ok(), "it was raised before");
    let events = world.event_kinds().await;
    let told = events.iter().filter(|kind| *kind == "irregularity.policy.updated");
    assert_eq!(told.count(), 1);
    let actions = world.server_actions().await;
    assert!(actions.contains(&"grantex.response_policy.updated".to_owned()));
    let policy = world.grantex.response_policy(&world.developer).await.unwrap();
    assert_eq!(policy.mode, ResponseMode::RevokeAgentGrants);
}

#[tokio::test]
async fn policies_name_rules_that_there_are() {
    let world = world().await;
    let refused = [
        (vec![rule(&["AD-999"], &[], None)], Some(0)),
        (vec![rule(&[], &[], None), rule(&["AD-011", ""], &[], None)], Some(1)),
        (vec![rule(&["AD-011"; 41], &[], None)], Some(0)),
        (vec![rule(&[], &[], None); 21], None),
    ];
    for (rules, expected) in refused {
        let change = ChangeResponsePolicy {
            mode: Some(ResponseMode::RevokeAgentGrants),
            rules: Some(rules),
        };
        match world.change_policy(change).await {
            Err(AnomalyError::ResponsePolicy { place, .. }) => assert_eq!(place, expected),
            other => panic!("{other:?}"),
        }
    }
    let policy = world.grantex.response_policy(&world.developer).await.unwrap();
    assert_eq!(policy, ResponsePolicy::default(), "what is refused changes nothing");
    let change = ChangeResponsePolicy {
        mode: None,
        rules: Some(vec![rule(
            &["rate_spike", "AD-009", "AD-011"],
            &[Severity::High, Severity::Low],
            None,
        )]),
    };
    let policy = world.change_policy(change).await.unwrap();
    assert_eq!(
        policy.rules,
        [rule(&["AD-009", "AD-011"], &[Severity::Low, Severity::High], None)],
        "by their ids, each once"
    );
}
