//! Policies in the flows: who is let through without asking, who is refused and where, and from when on.

use grantex_core::authorize::AuthorizeError;
use grantex_core::clock::Lifetime;
use grantex_core::developer::{Developer, Mode};
use grantex_core::error::StoreError;
use grantex_core::event::{AuthorizeStatus, DecisionStatus, Event, ExchangeStatus, RefreshStatus};
use grantex_core::grant::DelegateError;
use grantex_core::policy::{Effect, Policy, PolicyAction, PolicyDenied, PolicyRef, RuleChanges, RuleDraft};
use grantex_core::store::Store as _;
use grantex_core::token::{ExchangeError, RefreshError};
use serde_json::json;

use crate::support::World;

pub fn draft(effect: Effect) -> RuleDraft {
    RuleDraft {
        name: "rule".into(),
        effect,
        priority: 0,
        agent_id: None,
        principal_id: None,
        scopes: None,
        audience: None,
        time_of_day_start: None,
        time_of_day_end: None,
        time_zone: None,
        days_of_week: None,
    }
}

pub fn scoped(effect: Effect, scopes: &[&str]) -> RuleDraft {
    let scopes = Some(scopes.iter().map(|&scope| scope.to_owned()).collect());
    RuleDraft {
        scopes,
        ..draft(effect)
    }
}

impl World {
    pub async fn live() -> Self {
        let mut world = Self::new().await;
        world.developer = world.signup("Live", Mode::Live).await;
        world.recorder.take();
        world
    }

    /// Reads the developer again, as the next request's look-up of the key does.
    pub async fn next_request(&mut self) {
        let id = self.developer.id.clone();
        let found: Result<_, StoreError> = self
            .store
            .read(move |tx| Box::pin(async move { tx.developer(&id).await }))
            .await;
        self.developer = found.unwrap().unwrap();
    }

    /// Makes a policy; the next request goes by it.
    pub async fn policy(&mut self, draft: RuleDraft) -> Policy {
        let rule = draft.check().unwrap();
        let policy = self.grantex.create_policy(&self.ctx(), &self.developer, rule).await;
        self.next_request().await;
        self.recorder.take();
        self.log.take();
        policy.unwrap()
    }

    pub async fn delete_policy(&mut self, policy: &Policy) {
        let deleted = self
            .grantex
            .delete_policy(&self.ctx(), &self.developer, policy.id.clone())
            .await;
        deleted.unwrap();
        self.next_request().await;
        self.recorder.take();
    }

    /// The metadata of the newest entry of the server's chain.
    pub async fn newest_metadata(&self) -> serde_json::Value {
        use grantex_core::audit::{AuditFilter, Chain};
        let page = self
            .grantex
            .audit_entries(&self.developer, Chain::Server, AuditFilter::default(), None, 1_000)
            .await
            .unwrap();
        serde_json::from_str(&page.items.last().unwrap().record.metadata).unwrap()
    }

    fn policy_id_in_log(&self, message: &str) -> serde_json::Value {
        let lines = self.log.take();
        let line = lines.iter().find(|line| line.message == message);
        line.unwrap_or_else(|| panic!("no line {message}")).fields["policyId"].clone()
    }
}

fn evaluated(event: &Event) -> Option<DecisionStatus> {
    match event {
        Event::PolicyEvaluated { decision, .. } => Some(*decision),
        _ => None,
    }
}

fn is_denied_by(denied: &PolicyDenied, policy: &Policy) -> bool {
    denied.0.by == PolicyRef::Policy(policy.id.clone()) && denied.0.reason == policy.rule.name
}

#[tokio::test]
async fn a_developer_without_policies_is_not_slowed_down_by_any() {
    let mut world = World::live().await;
    let agent = world.agent(&[]).await;
    world.recorder.take();
    world.authorize(world.request(&agent.id, &["read"])).await.unwrap();
    assert_eq!(world.happened(), ["auth_request.opened"]);
    let policy = world.policy(draft(Effect::Deny)).await;
    world.delete_policy(&policy).await;
    world.authorize(world.request(&agent.id, &["read"])).await.unwrap();
    assert_eq!(world.happened(), ["auth_request.opened"]);
}

#[tokio::test]
async fn an_allow_policy_approves_in_the_persons_place() {
    let mut world = World::live().await;
    let agent = world.agent(&[]).await;
    let policy = world.policy(scoped(Effect::Allow, &["calendar:*"])).await;
    let opened = world
        .authorize(world.request(&agent.id, &["calendar:read", "calendar:write"]))
        .await
        .unwrap();
    assert_eq!(opened.by_policy, Some(PolicyRef::Policy(policy.id)));
    assert!(world.exchange(&agent, &opened.code.unwrap()).await.is_ok());

    world.recorder.take();
    let opened = world
        .authorize(world.request(&agent.id, &["calendar:read", "mail:read"]))
        .await
        .unwrap();
    assert!(
        opened.by_policy.is_none() && opened.code.is_none(),
        "not all of it is allowed"
    );
    let events = world.recorder.take();
    assert_eq!(evaluated(&events[0]), Some(DecisionStatus::None));
}

#[tokio::test]
async fn a_deny_policy_refuses_and_is_named_everywhere() {
    let mut world = World::new().await;
    let agent = world.agent(&[]).await;
    world
        .policy(RuleDraft {
            priority: 9,
            ..draft(Effect::Allow)
        })
        .await;
    let policy = world.policy(scoped(Effect::Deny, &["payments:*"])).await;
    let refused = world
        .authorize(world.request(&agent.id, &["read", "payments:send"]))
        .await;
    assert!(
        matches!(&refused, Err(AuthorizeError::PolicyDenied(denied)) if is_denied_by(denied, &policy)),
        "over an allow of higher priority, and over the sandbox: {refused:?}"
    );
    let events = world.recorder.take();
    assert_eq!(evaluated(&events[0]), Some(DecisionStatus::Deny));
    assert!(matches!(events[1], Event::AuthRequestDenied { .. }));
    let rejected = Event::AuthorizeRejected {
        status: AuthorizeStatus::Denied,
        agent_id: Some(agent.id.clone()),
    };
    assert_eq!(events[2..], [rejected], "counted once");
    assert_eq!(world.policy_id_in_log("auth_request.denied"), policy.id.as_str());
    let metadata = json!({"reason": "policy", "scopes": ["read", "payments:send"], "policyId": policy.id});
    assert_eq!(world.newest_metadata().await, metadata);
    let stored = world.stored_events().await.pop().unwrap();
    let payload: serde_json::Value = serde_json::from_str(&stored.payload).unwrap();
    assert_eq!(
        (stored.kind.as_str(), &payload["data"]["policyId"]),
        ("grant.denied", &json!(policy.id))
    );

    world.delete_policy(&policy).await;
    assert!(
        world
            .authorize(world.request(&agent.id, &["payments:send"]))
            .await
            .is_ok()
    );
}

#[tokio::test]
async fn a_deny_policy_stops_an_exchange_and_the_code_stays_usable() {
    let mut world = World::new().await;
    let agent = world.agent(&[]).await;
    let code = world.code(&agent, &["read"]).await;
    let policy = world
        .policy(RuleDraft {
            agent_id: Some(agent.id.to_string()),
            ..draft(Effect::Deny)
        })
        .await;
    for _ in 0..2 {
        let refused = world.exchange(&agent, &code).await;
        assert!(matches!(&refused, Err(ExchangeError::PolicyDenied(denied)) if is_denied_by(denied, &policy)));
    }
    let events = world.recorder.take();
    assert_eq!(events.len(), 6);
    assert_eq!(evaluated(&events[0]), Some(DecisionStatus::Deny));
    assert!(matches!(
        &events[1],
        Event::PolicyDenied {
            action: PolicyAction::Exchange,
            grant_id: None,
            ..
        }
    ));
    let rejected = Event::TokenExchangeRejected {
        status: ExchangeStatus::Denied,
        agent_id: Some(agent.id.clone()),
    };
    assert_eq!(events[2], rejected);
    assert_eq!(world.policy_id_in_log("policy.denied"), policy.id.as_str());
    let metadata = json!({"action": "exchange", "scopes": ["read"], "policyId": policy.id});
    assert_eq!(world.newest_metadata().await, metadata);
    assert_eq!(
        world.server_actions().await[1..],
        ["grantex.policy.denied", "grantex.policy.denied"]
    );

    world.delete_policy(&policy).await;
    assert!(world.exchange(&agent, &code).await.is_ok(), "nothing was consumed");
}

#[tokio::test]
async fn whoever_merely_holds_a_code_learns_nothing_of_policies() {
    let mut world = World::new().await;
    let (agent, other) = (world.agent(&[]).await, world.agent(&[]).await);
    let code = world.code(&agent, &["read"]).await;
    world.policy(draft(Effect::Deny)).await;
    assert!(matches!(
        world.exchange(&other, &code).await,
        Err(ExchangeError::InvalidCode)
    ));
    assert_eq!(world.happened(), ["token.exchange_rejected"]);
}

#[tokio::test]
async fn a_deny_policy_stops_a_refresh_and_the_refresh_token_stays_usable() {
    const KEY: &str = "0123456789abcdef-key";
    let mut world = World::new().await;
    let agent = world.agent(&[]).await;
    let first = world.issue(&agent, &["read"]).await;
    let policy = world.policy(scoped(Effect::Deny, &["*"])).await;
    let refused = world.refresh(&agent, &first.refresh_token, None).await;
    assert!(matches!(&refused, Err(RefreshError::PolicyDenied(denied)) if is_denied_by(denied, &policy)));
    let events = world.recorder.take();
    assert!(matches!(&events[1],
        Event::PolicyDenied { action: PolicyAction::Refresh, grant_id: Some(id), .. } if *id == first.grant.id));
    let rejected = Event::TokenRefreshRejected {
        status: RefreshStatus::Denied,
    };
    assert_eq!(events[2..], [rejected]);

    world.delete_policy(&policy).await;
    let second = world.refresh(&agent, &first.refresh_token, Some(KEY)).await.unwrap();
    let policy = world.policy(draft(Effect::Deny)).await;
    assert!(
        matches!(
            world.refresh(&agent, &first.refresh_token, Some(KEY)).await,
            Err(RefreshError::PolicyDenied(_))
        ),
        "what was handed out is not handed out again"
    );
    world.recorder.take();
    world.clock.advance(Lifetime::seconds(61));
    assert!(matches!(
        world.refresh(&agent, &first.refresh_token, None).await,
        Err(RefreshError::Reused)
    ));
    assert_eq!(
        world.happened(),
        ["grant.revoked", "token.reuse_detected", "token.refresh_rejected"],
        "theft is noticed while a policy refuses, too"
    );
    world.delete_policy(&policy).await;
    assert!(world.verify(&second.jwt).await.is_err());
}

#[tokio::test]
async fn a_deny_policy_stops_a_delegation_to_its_agent() {
    let mut world = World::new().await;
    let (agent, helper, other) = (world.agent(&[]).await, world.agent(&[]).await, world.agent(&[]).await);
    let root = world.issue(&agent, &["read", "write"]).await;
    let policy = world
        .policy(RuleDraft {
            agent_id: Some(helper.id.to_string()),
            ..scoped(Effect::Deny, &["write"])
        })
        .await;
    let refused = world.delegate(&root, &helper, &["read", "write"]).await;
    assert!(matches!(&refused, Err(DelegateError::PolicyDenied(denied)) if is_denied_by(denied, &policy)));
    assert_eq!(
        world.happened(),
        ["token.verified", "policy.evaluated", "policy.denied"]
    );
    assert_eq!(world.newest_metadata().await["action"], "delegate");
    assert!(world.delegate(&root, &helper, &["read"]).await.is_ok());
    assert!(world.delegate(&root, &other, &["write"]).await.is_ok());
    assert_eq!(world.active_grants().await, 3);
}

#[tokio::test]
async fn after_the_consent_there_is_nothing_left_to_allow() {
    let mut world = World::new().await;
    let agent = world.agent(&[]).await;
    let code = world.code(&agent, &["read"]).await;
    world.policy(draft(Effect::Allow)).await;
    world.exchange(&agent, &code).await.unwrap();
    let decisions: Vec<_> = world.recorder.take().iter().filter_map(evaluated).collect();
    assert_eq!(decisions, [DecisionStatus::None]);
}

#[tokio::test]
async fn a_window_is_in_the_policys_own_time_zone() {
    let mut world = World::new().await;
    let agent = world.agent(&[]).await;
    // The clock stands at 03:04:05 UTC on a Wednesday, which is 22:04 on Tuesday in New York.
    world
        .policy(RuleDraft {
            time_of_day_start: Some("22:00".into()),
            time_of_day_end: Some("23:00".into()),
            time_zone: Some("America/New_York".into()),
            days_of_week: Some(vec!["tue".into()]),
            ..draft(Effect::Deny)
        })
        .await;
    let ask = async |world: &World| world.authorize(world.request(&agent.id, &["read"])).await.is_ok();
    assert!(!ask(&world).await);
    world.clock.advance(Lifetime::minutes(55));
    assert!(!ask(&world).await, "22:59");
    world.clock.advance(Lifetime::minutes(1));
    assert!(ask(&world).await, "23:00");
}

#[tokio::test]
async fn every_replica_goes_by_a_change_with_the_very_next_request() {
    let mut world = World::new().await;
    let agent = world.agent(&[]).await;
    let policy = world.policy(draft(Effect::Allow)).await;
    let other = World::built(|builder| builder).await;
    let replica = grantex_core::Grantex::builder(
        world.store.clone(),
        other.grantex.settings().clone(),
        crate::support::key_ring(),
        grantex_core::token::crypto::MasterKey::parse(&"11".repeat(32)).unwrap(),
        grantex_core::testing::SeededRandom::new(8),
    )
    .build();
    let by_replica = async |world: &World, developer: &Developer| {
        replica
            .authorize(&world.ctx(), developer, world.request(&agent.id, &["read"]))
            .await
            .is_ok()
    };
    assert!(
        by_replica(&world, &world.developer).await,
        "and it keeps the policies in memory"
    );
    let before = world.developer.clone();
    let deny = RuleChanges {
        effect: Some(Effect::Deny),
        ..RuleChanges::default()
    };
    world
        .grantex
        .update_policy(&world.ctx(), &world.developer, policy.id.clone(), deny)
        .await
        .unwrap();
    world.next_request().await;
    assert_eq!(world.developer.policy_version, before.policy_version + 1);
    assert!(!by_replica(&world, &world.developer).await);
    assert!(
        !by_replica(&world, &before).await,
        "a request that began before may go by what is newer, never the other way"
    );
    world.delete_policy(&policy).await;
    assert!(by_replica(&world, &world.developer).await);
}
