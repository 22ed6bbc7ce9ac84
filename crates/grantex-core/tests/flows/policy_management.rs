//! Policies as their developers see them: made, listed, changed and removed; bounded; and simulated.

use grantex_core::clock::Lifetime;
use grantex_core::developer::{Developer, Mode};
use grantex_core::error::StoreError;
use grantex_core::plan::{Plan, PlanLimit};
use grantex_core::policy::{
    Change, Effect, MAX_POLICIES, Policy, PolicyAction, PolicyError, RuleChanges, RuleDraft, Simulate,
};
use grantex_core::store::{Store as _, UnitOptions};
use grantex_core::testing::fixtures::Fixtures;

use crate::policies::{draft, scoped};
use crate::support::{World, scopes};

#[tokio::test]
async fn policies_are_made_listed_changed_and_removed() {
    let mut world = World::live().await;
    let before = world.developer.policy_version;
    let rule = scoped(Effect::Allow, &["read"]).check().unwrap();
    let made = world
        .grantex
        .create_policy(&world.ctx(), &world.developer, rule.clone())
        .await
        .unwrap();
    assert_eq!(
        (made.created_at, made.updated_at, &made.rule),
        (world.now(), world.now(), &rule)
    );
    assert_eq!(world.happened(), ["policy.changed"]);
    world.clock.advance(Lifetime::seconds(1));
    let first = world
        .policy(RuleDraft {
            priority: 1,
            ..draft(Effect::Deny)
        })
        .await;
    let list = world
        .grantex
        .policies(&world.developer, Default::default())
        .await
        .unwrap();
    assert_eq!((list.page.items, list.total), (vec![first.clone(), made.clone()], 2));

    let changes = RuleChanges {
        scopes: Change::Clear,
        name: Some("other".into()),
        ..RuleChanges::default()
    };
    let changed = world
        .grantex
        .update_policy(&world.ctx(), &world.developer, made.id.clone(), changes)
        .await
        .unwrap();
    assert_eq!((changed.created_at, changed.updated_at), (made.created_at, world.now()));
    assert_eq!(
        (changed.rule.scopes.as_ref(), changed.rule.name.as_str()),
        (None, "other")
    );
    let stored = world.grantex.policy(&world.developer, made.id.clone()).await.unwrap();
    assert_eq!(stored, Some(changed.clone()));

    let half = RuleChanges {
        time_of_day_start: Change::Set("08:00".into()),
        ..RuleChanges::default()
    };
    let refused = world
        .grantex
        .update_policy(&world.ctx(), &world.developer, made.id.clone(), half)
        .await;
    assert!(matches!(refused, Err(PolicyError::Invalid(problem)) if problem.field == "timeOfDayEnd"));
    assert_eq!(
        world.grantex.policy(&world.developer, made.id.clone()).await.unwrap(),
        Some(changed.clone())
    );

    let stranger = world.signup("Stranger", Mode::Live).await;
    assert_eq!(world.grantex.policy(&stranger, made.id.clone()).await.unwrap(), None);
    let foreign = world
        .grantex
        .delete_policy(&world.ctx(), &stranger, made.id.clone())
        .await;
    assert!(matches!(foreign, Err(PolicyError::NotFound)));
    world.delete_policy(&changed).await;
    let again = world
        .grantex
        .delete_policy(&world.ctx(), &world.developer, made.id)
        .await;
    assert!(matches!(again, Err(PolicyError::NotFound)));
    assert_eq!(
        world.server_actions().await,
        [
            "grantex.policy.created",
            "grantex.policy.created",
            "grantex.policy.updated",
            "grantex.policy.deleted"
        ]
    );
    assert_eq!(
        world.developer.policy_version,
        before + 4,
        "what is refused changes nothing"
    );
}

/// Puts policies into the store without the flow that makes them.
async fn insert(world: &World, policies: Vec<Policy>) {
    let options = UnitOptions {
        developer: None,
        admission: Default::default(),
    };
    let inserted: Result<(), StoreError> = world
        .store
        .transact(options, move |tx| {
            Box::pin(async move {
                for policy in &policies {
                    tx.insert_policy(policy).await?;
                }
                Ok(())
            })
        })
        .await;
    inserted.unwrap();
}

#[tokio::test]
async fn the_plan_and_memory_bound_how_many_policies_there_are() {
    let mut world = World::live().await;
    let fixtures = Fixtures::new(1);
    let make = async |world: &World, rule| world.grantex.create_policy(&world.ctx(), &world.developer, rule).await;
    let rule = || draft(Effect::Allow).check().unwrap();
    let set_plan = async |world: &World, plan| {
        world
            .grantex
            .set_plan(&world.ctx(), world.developer.id.clone(), plan)
            .await
            .unwrap();
    };
    insert(&world, (0..49).map(|_| fixtures.policy(&world.developer)).collect()).await;
    set_plan(&world, Plan::Free).await;
    assert!(make(&world, rule()).await.is_ok());
    let refused = |limit, what| Some(PlanLimit { limit, what });
    let limit = |outcome: Result<Policy, PolicyError>| match outcome {
        Err(PolicyError::PlanLimit(limit)) => Some(limit),
        _ => None,
    };
    assert_eq!(limit(make(&world, rule()).await), refused(50, "policies"));
    set_plan(&world, Plan::Enterprise).await;
    let rest = usize::try_from(MAX_POLICIES).unwrap() - 50;
    insert(&world, (0..rest).map(|_| fixtures.policy(&world.developer)).collect()).await;
    assert_eq!(limit(make(&world, rule()).await), refused(MAX_POLICIES, "policies"));

    world.developer = world.signup("Heavy", Mode::Live).await;
    let long: Vec<String> = (0..100)
        .map(|number| format!("{number:03}{}", "x".repeat(253)))
        .collect();
    let heavy = |developer: &Developer| {
        let mut policy = fixtures.policy(developer);
        policy.rule.scopes = Some(grantex_core::policy::pattern::ScopePatterns::parse(&long).unwrap());
        policy
    };
    let count = (48 << 20) / heavy(&world.developer).weight();
    insert(&world, (0..count).map(|_| heavy(&world.developer)).collect()).await;
    let too_heavy = RuleDraft {
        scopes: Some(long.clone()),
        ..draft(Effect::Deny)
    }
    .check()
    .unwrap();
    assert_eq!(limit(make(&world, too_heavy).await), refused(48, "MiB of policies"));
    let light = make(&world, rule()).await.unwrap();
    let grow = RuleChanges {
        scopes: Change::Set(heavy(&world.developer).rule.scopes.unwrap().texts()),
        ..RuleChanges::default()
    };
    let grown = world
        .grantex
        .update_policy(&world.ctx(), &world.developer, light.id, grow)
        .await;
    assert_eq!(limit(grown), refused(48, "MiB of policies"));
}

#[tokio::test]
async fn a_simulation_tells_what_would_happen_and_why_and_leaves_no_trace() {
    let mut world = World::live().await;
    let agent = world.agent(&[]).await;
    let allow = world.policy(scoped(Effect::Allow, &["read"])).await;
    let night = world
        .policy(RuleDraft {
            name: "Nights".into(),
            time_of_day_start: Some("22:00".into()),
            time_of_day_end: Some("06:00".into()),
            principal_id: Some("user-2".into()),
            ..scoped(Effect::Deny, &["write", "read"])
        })
        .await;
    let command = Simulate {
        action: PolicyAction::Authorize,
        agent_id: agent.id.clone(),
        principal_id: "user-1".into(),
        scopes: scopes(&["read"]),
        audience: None,
        at: None,
    };
    let told = world
        .grantex
        .simulate_policies(&world.developer, command.clone())
        .await
        .unwrap();
    assert_eq!(told.decision, allow.decision());
    assert_eq!((told.at, told.total, told.traces.len()), (world.now(), 2, 2));
    assert!(told.bundle.is_none() && told.backend.is_none());
    let [first, second] = &told.traces[..] else {
        panic!("two traces");
    };
    assert_eq!((&first.policy_id, first.matches), (&allow.id, true));
    assert_eq!((&second.policy_id, second.matches), (&night.id, false));
    let findings: Vec<_> = second
        .findings
        .iter()
        .map(|finding| (finding.condition.as_str(), finding.holds, finding.reason.as_str()))
        .collect();
    assert_eq!(
        findings,
        [
            ("principalId", false, "the principal is not the policy's"),
            ("scopes", true, "the policy lists the scope read"),
            ("time", true, "wed 03:04 in UTC is in the policy's time"),
        ]
    );
    let for_the_other = Simulate {
        principal_id: "user-2".into(),
        ..command.clone()
    };
    let told = world
        .grantex
        .simulate_policies(&world.developer, for_the_other.clone())
        .await
        .unwrap();
    assert_eq!(told.decision, night.decision());
    let at_noon = Simulate {
        at: Some(world.now().plus(Lifetime::hours(9))),
        ..for_the_other
    };
    let told = world
        .grantex
        .simulate_policies(&world.developer, at_noon)
        .await
        .unwrap();
    assert_eq!(told.decision, allow.decision());
    let exchange = Simulate {
        action: PolicyAction::Exchange,
        ..command
    };
    let told = world
        .grantex
        .simulate_policies(&world.developer, exchange)
        .await
        .unwrap();
    assert_eq!(told.decision, grantex_core::policy::PolicyDecision::Undecided);
    assert_eq!(world.happened(), [""; 0]);
    assert!(world.log.take().is_empty());
}

#[tokio::test]
async fn a_simulation_over_many_policies_is_bounded() {
    let world = World::live().await;
    let agent = world.agent(&[]).await;
    let fixtures = Fixtures::new(2);
    insert(&world, (0..250).map(|_| fixtures.policy(&world.developer)).collect()).await;
    let command = Simulate {
        action: PolicyAction::Authorize,
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
    assert_eq!((told.total, told.traces.len()), (250, 100));
}
