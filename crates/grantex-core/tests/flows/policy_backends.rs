//! Policies that are kept elsewhere.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};

use async_trait::async_trait;
use grantex_core::authorize::AuthorizeError;
use grantex_core::event::{DecisionStatus, Event};
use grantex_core::policy::backend::{BackendDecision, BackendError};
use grantex_core::policy::{BackendKind, Effect, PolicyAction, PolicyBackend, PolicyQuestion, PolicyRef, Simulate};
use grantex_core::token::{ExchangeError, RefreshError};

use crate::policies::draft;
use crate::support::{World, scopes};

/// Answers as it was told last; `None` is no answer at all.
#[derive(Clone, Default)]
struct Elsewhere {
    answer: Arc<Mutex<Option<BackendDecision>>>,
    asked: Arc<AtomicUsize>,
    actions: Arc<Mutex<Vec<PolicyAction>>>,
}

impl Elsewhere {
    fn says(&self, effect: Option<Effect>) {
        let reason = effect.map(|_| "because".to_owned());
        *self.answer.lock().unwrap() = Some(BackendDecision { effect, reason });
    }

    fn is_down(&self) {
        *self.answer.lock().unwrap() = None;
    }
}

#[async_trait]
impl PolicyBackend for Elsewhere {
    fn kind(&self) -> BackendKind {
        BackendKind::Opa
    }

    async fn decide(&self, question: &PolicyQuestion<'_>) -> Result<BackendDecision, BackendError> {
        self.asked.fetch_add(1, Ordering::SeqCst);
        self.actions.lock().unwrap().push(question.action);
        let answer = self.answer.lock().unwrap().clone();
        answer.ok_or_else(|| BackendError::Transport("connection refused".into()))
    }
}

async fn world(falls_back: bool) -> (World, Elsewhere) {
    let elsewhere = Elsewhere::default();
    let backend = elsewhere.clone();
    let world = World::built(move |builder| builder.policy_backend(backend, falls_back)).await;
    (world, elsewhere)
}

fn decisions(world: &World) -> Vec<DecisionStatus> {
    let decision = |event: &Event| match event {
        Event::PolicyEvaluated { decision, .. } => Some(*decision),
        _ => None,
    };
    world.recorder.take().iter().filter_map(decision).collect()
}

#[tokio::test]
async fn the_backend_decides_instead_of_the_developers_policies() {
    let (mut world, elsewhere) = world(true).await;
    let agent = world.agent(&[]).await;
    world.policy(draft(Effect::Deny)).await;
    elsewhere.says(Some(Effect::Allow));
    let opened = world.authorize(world.request(&agent.id, &["read"])).await.unwrap();
    assert_eq!(opened.by_policy, Some(PolicyRef::Backend(BackendKind::Opa)));
    elsewhere.says(None);
    let opened = world.authorize(world.request(&agent.id, &["read"])).await.unwrap();
    assert_eq!(opened.by_policy, None);
    elsewhere.says(Some(Effect::Deny));
    let refused = world.authorize(world.request(&agent.id, &["read"])).await;
    assert!(matches!(refused, Err(AuthorizeError::PolicyDenied(denied)) if denied.0.reason == "because"));
    assert_eq!(
        decisions(&world),
        [DecisionStatus::Allow, DecisionStatus::None, DecisionStatus::Deny]
    );
    assert_eq!(world.newest_metadata().await["policyId"], "opa");
}

#[tokio::test]
async fn without_an_answer_everything_is_refused() {
    let (world, elsewhere) = world(false).await;
    let agent = world.agent(&[]).await;
    elsewhere.says(None);
    let (code, token) = (
        world.code(&agent, &["read"]).await,
        world.issue(&agent, &["read"]).await,
    );
    world.recorder.take();
    elsewhere.is_down();
    assert!(matches!(
        world.authorize(world.request(&agent.id, &["read"])).await,
        Err(AuthorizeError::PolicyDenied(_))
    ));
    assert_eq!(
        world.happened(),
        [
            "policy.backend_failed",
            "policy.evaluated",
            "auth_request.denied",
            "auth_request.rejected"
        ]
    );
    assert!(matches!(
        world.exchange(&agent, &code).await,
        Err(ExchangeError::PolicyDenied(_))
    ));
    assert!(matches!(
        world.refresh(&agent, &token.refresh_token, None).await,
        Err(RefreshError::PolicyDenied(_))
    ));
    elsewhere.says(None);
    assert!(
        world.exchange(&agent, &code).await.is_ok() && world.refresh(&agent, &token.refresh_token, None).await.is_ok()
    );
    let lines = world.log.take();
    let failed = lines
        .iter()
        .find(|line| line.message == "policy.backend_failed")
        .unwrap();
    assert_eq!(failed.level, slog::Level::Error);
    assert_eq!(
        failed.fields["error"],
        "the policy backend could not be asked: connection refused"
    );
}

#[tokio::test]
async fn without_an_answer_the_developers_policies_decide_where_that_is_wanted() {
    let (mut world, elsewhere) = world(true).await;
    let agent = world.agent(&[]).await;
    elsewhere.is_down();
    assert!(
        world.authorize(world.request(&agent.id, &["read"])).await.is_ok(),
        "there are none"
    );
    let policy = world.policy(draft(Effect::Deny)).await;
    let refused = world.authorize(world.request(&agent.id, &["read"])).await;
    assert!(
        matches!(refused, Err(AuthorizeError::PolicyDenied(denied)) if denied.0.by == PolicyRef::Policy(policy.id.clone()))
    );
    assert_eq!(
        world.happened(),
        [
            "policy.backend_failed",
            "policy.evaluated",
            "auth_request.denied",
            "auth_request.rejected"
        ]
    );
}

#[tokio::test]
async fn every_step_is_put_to_the_backend_once() {
    let (world, elsewhere) = world(false).await;
    let (agent, helper) = (world.agent(&[]).await, world.agent(&[]).await);
    elsewhere.says(None);
    let token = world.issue(&agent, &["read"]).await;
    world.delegate(&token, &helper, &["read"]).await.unwrap();
    world.refresh(&agent, &token.refresh_token, None).await.unwrap();
    let actions = std::mem::take(&mut *elsewhere.actions.lock().unwrap());
    assert_eq!(
        actions,
        [
            PolicyAction::Authorize,
            PolicyAction::Exchange,
            PolicyAction::Delegate,
            PolicyAction::Refresh
        ]
    );
}

#[tokio::test]
async fn a_simulation_asks_the_backend_and_tells_what_it_said() {
    let (mut world, elsewhere) = world(false).await;
    let agent = world.agent(&[]).await;
    let policy = world.policy(draft(Effect::Allow)).await;
    let command = Simulate {
        action: PolicyAction::Authorize,
        agent_id: agent.id,
        principal_id: "user-1".into(),
        scopes: scopes(&["read"]),
        audience: None,
        at: None,
    };
    elsewhere.says(Some(Effect::Deny));
    let told = world
        .grantex
        .simulate_policies(&world.developer, command.clone())
        .await
        .unwrap();
    assert_eq!(told.backend.unwrap().decision, Some(told.decision.clone()));
    assert!(matches!(told.decision, grantex_core::policy::PolicyDecision::Deny(_)));
    assert_eq!((&told.traces[0].policy_id, told.traces[0].matches), (&policy.id, true));
    elsewhere.is_down();
    let told = world
        .grantex
        .simulate_policies(&world.developer, command)
        .await
        .unwrap();
    assert_eq!(told.backend.unwrap().decision, None);
    assert!(matches!(told.decision, grantex_core::policy::PolicyDecision::Deny(_)));
    assert_eq!(world.happened(), [""; 0]);
}
