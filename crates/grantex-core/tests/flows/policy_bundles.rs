//! Policies as code, in a language of three words.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use grantex_core::authorize::AuthorizeError;
use grantex_core::clock::Lifetime;
use grantex_core::event::Event;
use grantex_core::policy::engine::{BundleDecision, BundleProblem, CompiledBundle, PolicyEngine};
use grantex_core::policy::{
    Bundle, BundleError, BundleFormat, Effect, PolicyAction, PolicyDecision, PolicyQuestion, PolicyRef, Simulate,
    SyncBundle,
};
use grantex_core::token::ExchangeError;

use crate::policies::draft;
use crate::support::{World, scopes};

/// Reads bundles that consist of one word: `allow`, `deny` or `nothing`.
#[derive(Clone, Default)]
struct OneWord {
    is_broken: Arc<AtomicBool>,
}

struct Word(Option<Effect>);

impl PolicyEngine for OneWord {
    fn compile(&self, text: &str) -> Result<Arc<dyn CompiledBundle>, Vec<BundleProblem>> {
        let problem = |message: &str| {
            vec![BundleProblem {
                line: Some(1),
                column: Some(1),
                ..BundleProblem::of_all(message)
            }]
        };
        if self.is_broken.load(Ordering::SeqCst) {
            return Err(problem("out of order"));
        }
        match text {
            "nothing" => Ok(Arc::new(Word(None))),
            text => match Effect::parse(text) {
                Some(effect) => Ok(Arc::new(Word(Some(effect)))),
                None => Err(problem("no such word")),
            },
        }
    }
}

impl CompiledBundle for Word {
    fn decide(&self, _question: &PolicyQuestion<'_>) -> BundleDecision {
        BundleDecision {
            effect: self.0,
            rules: self.0.iter().map(|_| "word".to_owned()).collect(),
            failures: Vec::new(),
        }
    }

    fn warnings(&self) -> &[BundleProblem] {
        &[]
    }

    fn weight(&self) -> u64 {
        1
    }
}

fn bundle(content: &str, activate: bool) -> SyncBundle {
    SyncBundle {
        format: BundleFormat::Cedar,
        version: "v1".into(),
        content: content.as_bytes().to_vec(),
        file_count: 1,
        activate,
    }
}

impl World {
    async fn sync(&mut self, command: SyncBundle) -> Result<Bundle, BundleError> {
        self.clock.advance(Lifetime::millis(1));
        let outcome = match self.grantex.check_sync(command) {
            Ok(checked) => self.grantex.sync_bundle(&self.ctx(), &self.developer, checked).await,
            Err(error) => Err(error),
        };
        self.next_request().await;
        outcome
    }

    async fn active(&self) -> Option<Bundle> {
        self.grantex
            .active_bundle(&self.developer, BundleFormat::Cedar)
            .await
            .unwrap()
    }
}

async fn world() -> (World, OneWord) {
    let engine = OneWord::default();
    let given = engine.clone();
    (World::built(move |builder| builder.policy_engine(given)).await, engine)
}

#[tokio::test]
async fn the_bundle_in_force_decides_with_the_policies_and_a_refusal_wins() {
    let (mut world, _) = world().await;
    let agent = world.agent(&[]).await;
    let ask = async |world: &World| world.authorize(world.request(&agent.id, &["read"])).await;
    let by = |id: &Bundle| PolicyRef::Bundle {
        bundle: id.id.clone(),
        rule: Some("word".into()),
    };

    let allow = world.sync(bundle("allow", true)).await.unwrap();
    assert_eq!(ask(&world).await.unwrap().by_policy, Some(by(&allow)));
    let policy = world.policy(draft(Effect::Deny)).await;
    assert!(
        matches!(ask(&world).await, Err(AuthorizeError::PolicyDenied(d)) if d.0.by == PolicyRef::Policy(policy.id.clone()))
    );
    world.delete_policy(&policy).await;

    let policy = world.policy(draft(Effect::Allow)).await;
    assert_eq!(
        ask(&world).await.unwrap().by_policy,
        Some(PolicyRef::Policy(policy.id.clone()))
    );
    let deny = world.sync(bundle("deny", true)).await.unwrap();
    assert!(matches!(ask(&world).await, Err(AuthorizeError::PolicyDenied(denied)) if denied.0.by == by(&deny)));
    assert_eq!(world.newest_metadata().await["policyId"], format!("{}/word", deny.id));
    world.sync(bundle("nothing", true)).await.unwrap();
    assert_eq!(ask(&world).await.unwrap().by_policy, Some(PolicyRef::Policy(policy.id)));
}

#[tokio::test]
async fn a_bundle_is_put_in_force_in_one_step_and_named_by_its_hash() {
    let (mut world, _) = world().await;
    let first = world.sync(bundle("allow", true)).await.unwrap();
    assert_eq!(first.sha256, grantex_core::secret::SecretHash::of("allow").as_str());
    assert_eq!(world.active().await, Some(first.clone()));
    let idle = world.sync(bundle("deny", false)).await.unwrap();
    assert_eq!(world.active().await, Some(first.clone()));
    let second = world.sync(bundle("nothing", true)).await.unwrap();
    assert_eq!(world.active().await, Some(second.clone()));
    let listed = world.grantex.bundles(&world.developer, None).await.unwrap();
    let first = Bundle {
        is_active: false,
        ..first
    };
    assert_eq!(listed, [second, idle, first]);
    let stored: Vec<bool> = world
        .recorder
        .take()
        .iter()
        .filter_map(|event| match event {
            Event::PolicyBundleStored { is_active, .. } => Some(*is_active),
            _ => None,
        })
        .collect();
    assert_eq!(stored, [true, false, true]);
    assert_eq!(world.server_actions().await, ["grantex.policy_bundle.stored"; 3]);
}

#[tokio::test]
async fn a_bundle_that_cannot_be_evaluated_changes_nothing() {
    let (mut world, _) = world().await;
    let first = world.sync(bundle("allow", true)).await.unwrap();
    let before = world.developer.clone();
    world.recorder.take();
    for activate in [true, false] {
        let refused = world.sync(bundle("perhaps", activate)).await;
        assert!(matches!(refused, Err(BundleError::Invalid(problems)) if problems[0].message == "no such word"));
        let mut binary = bundle("", activate);
        binary.content = vec![0xff];
        assert!(matches!(world.sync(binary.clone()).await, Err(BundleError::Invalid(_))));
        binary.content = Vec::new();
        assert!(matches!(world.sync(binary.clone()).await, Err(BundleError::Size)));
        binary.content = vec![b'x'; 256 * 1024 + 1];
        assert!(matches!(world.sync(binary).await, Err(BundleError::Size)));
    }
    assert_eq!((world.active().await, world.developer.clone()), (Some(first), before));
    assert_eq!(world.happened(), [""; 0]);
}

#[tokio::test]
async fn a_bundle_stops_later_steps_too() {
    let (mut world, _) = world().await;
    let agent = world.agent(&[]).await;
    let code = world.code(&agent, &["read"]).await;
    world.sync(bundle("deny", true)).await.unwrap();
    assert!(matches!(
        world.exchange(&agent, &code).await,
        Err(ExchangeError::PolicyDenied(_))
    ));
    world.sync(bundle("allow", true)).await.unwrap();
    assert!(world.exchange(&agent, &code).await.is_ok());
}

#[tokio::test]
async fn rego_is_kept_and_does_not_decide() {
    let (mut world, _) = world().await;
    let agent = world.agent(&[]).await;
    let mut rego = bundle("package grantex.authz", true);
    rego.format = BundleFormat::Rego;
    rego.content.push(0xff);
    world.sync(rego).await.unwrap();
    assert!(
        world
            .authorize(world.request(&agent.id, &["read"]))
            .await
            .unwrap()
            .by_policy
            .is_none()
    );
    assert_eq!(world.active().await, None);
}

#[tokio::test]
async fn a_bundle_that_can_no_longer_be_read_refuses_everything() {
    let (mut world, engine) = world().await;
    let agent = world.agent(&[]).await;
    let allow = world.sync(bundle("allow", true)).await.unwrap();
    engine.is_broken.store(true, Ordering::SeqCst);
    world.recorder.take();
    let refused = world.authorize(world.request(&agent.id, &["read"])).await;
    let by = PolicyRef::Bundle {
        bundle: allow.id,
        rule: None,
    };
    assert!(matches!(refused, Err(AuthorizeError::PolicyDenied(denied)) if denied.0.by == by));
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
async fn without_an_engine_there_are_no_bundles() {
    let mut world = World::new().await;
    assert!(matches!(
        world.sync(bundle("allow", true)).await,
        Err(BundleError::Invalid(_))
    ));
}

#[tokio::test]
async fn a_simulation_tells_which_rules_of_the_bundle_decided() {
    let (mut world, _) = world().await;
    let agent = world.agent(&[]).await;
    let deny = world.sync(bundle("deny", true)).await.unwrap();
    let command = Simulate {
        action: PolicyAction::Refresh,
        agent_id: agent.id,
        principal_id: "user-1".into(),
        scopes: scopes(&["read"]),
        audience: None,
        at: None,
    };
    let told = world
        .grantex
        .simulate_policies(&world.developer, command)
        .await
        .unwrap();
    let trace = told.bundle.unwrap();
    assert_eq!((trace.bundle, trace.decision.rules), (deny, vec!["word".to_owned()]));
    assert!(matches!(told.decision, PolicyDecision::Deny(_)));
}
