//! Policies and bundles.

use super::support::{FAR, Tenant, odd_texts};
use crate::clock::Timestamp;
use crate::developer::Developer;
use crate::id::{BundleId, DeveloperId, PolicyId};
use crate::page::{PageRequest, PageStart};
use crate::policy::{Bundle, BundleFormat, Effect, Policy, RuleDraft};
use crate::store::{PolicyTotals, Store};
use crate::testing::fixtures::Fixtures;

/// A policy with every member, and one with none that may be missing.
fn full_and_bare(fixtures: &Fixtures, tenant: &Tenant) -> [Policy; 2] {
    let bare = fixtures.policy(&tenant.developer);
    let full = RuleDraft {
        priority: i64::from(i32::MIN),
        agent_id: Some(tenant.agent.id.to_string()),
        principal_id: Some("user-1".into()),
        scopes: Some(vec!["calendar:*".into(), "ü".into(), "*".into()]),
        audience: Some("https://api.example".into()),
        time_of_day_start: Some("22:00".into()),
        time_of_day_end: Some("06:30".into()),
        time_zone: Some("America/Argentina/Ushuaia".into()),
        days_of_week: Some(vec!["mon".into(), "sun".into()]),
        effect: Effect::Deny,
        name: "Nights".into(),
    };
    let full = Policy {
        rule: full.check().unwrap(),
        ..fixtures.policy(&tenant.developer)
    };
    [full, bare]
}

async fn insert<S: Store>(store: &S, policy: &Policy) {
    commit!(store, [policy], |tx| tx.insert_policy(&policy).await?);
}

pub async fn a_policy_is_read_back_as_it_was_written<S: Store>(store: S) {
    let fixtures = Fixtures::new(1);
    let tenant = Tenant::create(&store, &fixtures).await;
    let mut all = full_and_bare(&fixtures, &tenant).to_vec();
    for text in odd_texts().into_iter().filter(|text| !text.is_empty()) {
        let mut policy = fixtures.policy(&tenant.developer);
        policy.rule.name = text.clone();
        policy.rule.principal_id = Some(text.clone());
        policy.rule.audience = Some(text);
        policy.rule.priority = i32::MAX;
        policy.created_at = FAR;
        all.push(policy);
    }
    // What a policy's check would not let through, the rows may not change either.
    all.retain(|policy| crate::policy::RuleDraft::from(&policy.rule).check().as_ref() == Ok(&policy.rule));
    assert!(all.len() > 5);
    let owner = tenant.developer.id.clone();
    for policy in &all {
        let id = policy.id.clone();
        assert_eq!(query!(store, [owner, id], |tx| tx.policy(&owner, &id).await?), None);
        insert(&store, policy).await;
        let found = query!(store, [owner, id], |tx| tx.policy(&owner, &id).await?);
        assert_eq!(found.as_ref(), Some(policy));
    }
    let mut found = query!(store, [owner], |tx| tx.all_policies(&owner).await?);
    found.sort_by(|a, b| a.id.cmp(&b.id));
    all.sort_by(|a, b| a.id.cmp(&b.id));
    assert_eq!(found, all);
}

pub async fn a_policy_is_changed_and_removed_by_its_developer_only<S: Store>(store: S) {
    let fixtures = Fixtures::new(2);
    let tenant = Tenant::create(&store, &fixtures).await;
    let (owner, stranger) = (
        tenant.developer.id.clone(),
        Tenant::create(&store, &fixtures).await.developer.id,
    );
    let [full, bare] = full_and_bare(&fixtures, &tenant);
    insert(&store, &full).await;

    let id = full.id.clone();
    let seen = query!(store, [stranger, id], |tx| (
        tx.policy(&stranger, &id).await?,
        tx.all_policies(&stranger).await?
    ));
    assert_eq!(seen, (None, vec![]));
    let stolen = Policy {
        developer_id: stranger.clone(),
        ..full.clone()
    };
    assert!(!commit!(store, [stolen], |tx| tx.update_policy(&stolen).await?));
    assert!(!commit!(store, [stranger, id], |tx| tx
        .remove_policy(&stranger, &id)
        .await?));

    // Every member goes from something to nothing and back.
    for rule in [&bare.rule, &full.rule] {
        let changed = Policy {
            rule: rule.clone(),
            updated_at: FAR,
            created_at: Timestamp::from_millis(1),
            ..full.clone()
        };
        assert!(commit!(store, [changed], |tx| tx.update_policy(&changed).await?));
        let expected = Policy {
            created_at: full.created_at,
            ..changed
        };
        let found = query!(store, [owner, id], |tx| tx.policy(&owner, &id).await?);
        assert_eq!(found, Some(expected), "when it was made does not change");
    }
    assert!(commit!(store, [owner, id], |tx| tx.remove_policy(&owner, &id).await?));
    assert!(!commit!(store, [owner, id], |tx| tx.remove_policy(&owner, &id).await?));
    assert!(
        !commit!(store, [full], |tx| tx.update_policy(&full).await?),
        "it is gone"
    );
}

pub async fn policies_are_paged_by_priority_then_age<S: Store>(store: S) {
    let fixtures = Fixtures::new(3);
    let tenant = Tenant::create(&store, &fixtures).await;
    let other = Tenant::create(&store, &fixtures).await;
    let mut expected = Vec::new();
    for priority in [0, 5, -5, 5, i32::MAX, i32::MIN, 0] {
        let mut policy = fixtures.policy(&tenant.developer);
        policy.rule.priority = priority;
        insert(&store, &policy).await;
        insert(&store, &fixtures.policy(&other.developer)).await;
        expected.push(policy);
    }
    expected.sort_by_key(|policy| (std::cmp::Reverse(policy.rule.priority), policy.created_at));
    let owner = tenant.developer.id.clone();

    let mut page = PageRequest {
        size: 3,
        from: PageStart::Number(1),
    };
    let mut listed = Vec::new();
    for number in 1..=3 {
        let by_number = PageRequest {
            size: 3,
            from: PageStart::Number(number),
        };
        let same = query!(store, [owner, by_number], |tx| tx.policies(&owner, &by_number).await?);
        let found = query!(store, [owner, page], |tx| tx.policies(&owner, &page).await?);
        assert_eq!(found, same);
        listed.extend(found.items);
        match found.next {
            Some(cursor) => page.from = PageStart::After(cursor),
            None => assert_eq!(number, 3),
        }
    }
    assert_eq!(listed, expected);
}

pub async fn policies_are_counted_and_weighed<S: Store>(store: S) {
    let fixtures = Fixtures::new(4);
    let tenant = Tenant::create(&store, &fixtures).await;
    let other = Tenant::create(&store, &fixtures).await.developer.id;
    let owner = tenant.developer.id.clone();
    let totals = async |owner: &DeveloperId| query!(store, [owner], |tx| tx.policy_totals(&owner).await?);
    assert_eq!(totals(&owner).await, PolicyTotals::default());
    let policies = full_and_bare(&fixtures, &tenant);
    for policy in &policies {
        insert(&store, policy).await;
    }
    let weight = policies.iter().map(Policy::weight).sum();
    assert_eq!(totals(&owner).await, PolicyTotals { count: 2, weight });
    // A change changes the weight, too.
    let [full, bare] = policies;
    let lighter = Policy {
        rule: bare.rule.clone(),
        ..full
    };
    assert!(commit!(store, [lighter], |tx| tx.update_policy(&lighter).await?));
    let weight = lighter.weight() + bare.weight();
    assert_eq!(totals(&owner).await, PolicyTotals { count: 2, weight });
    assert_eq!(totals(&other).await, PolicyTotals::default());
}

pub async fn the_policy_version_comes_with_the_developer<S: Store>(store: S) {
    let fixtures = Fixtures::new(5);
    let tenant = Tenant::create(&store, &fixtures).await;
    let other = Tenant::create(&store, &fixtures).await;
    let (owner, key_hash, unknown) = (
        tenant.developer.id.clone(),
        tenant.key_hash.clone(),
        fixtures.id::<DeveloperId>(),
    );
    for version in 1..=3 {
        assert!(commit!(store, [owner], |tx| tx.advance_policy_version(&owner).await?));
        let found = query!(store, [owner, key_hash], |tx| (
            tx.policy_version(&owner).await?,
            tx.developer(&owner).await?,
            tx.developer_by_key(&key_hash).await?
        ));
        let expected = Developer {
            policy_version: version,
            ..tenant.developer.clone()
        };
        assert_eq!(found, (version, Some(expected.clone()), Some(expected)));
    }
    assert!(!commit!(store, [unknown], |tx| tx
        .advance_policy_version(&unknown)
        .await?));
    // Neither ledgers nor anybody else touch it.
    tenant.write(&store, |ledger| ledger.head.event_seq += 1).await;
    assert_eq!(query!(store, [owner], |tx| tx.policy_version(&owner).await?), 3);
    let other = other.developer.id;
    assert_eq!(query!(store, [other], |tx| tx.policy_version(&other).await?), 0);
}

pub async fn one_bundle_of_a_format_is_in_force<S: Store>(store: S) {
    let fixtures = Fixtures::new(6);
    let tenant = Tenant::create(&store, &fixtures).await;
    let stranger = Tenant::create(&store, &fixtures).await.developer.id;
    let owner = tenant.developer.id.clone();
    let active = async |format: BundleFormat| {
        query!(store, [owner], |tx| tx.active_policy_bundle(&owner, format).await?).map(|bundle| bundle.id)
    };
    let first = fixtures.bundle(&tenant.developer, BundleFormat::Cedar);
    let rego = fixtures.bundle(&tenant.developer, BundleFormat::Rego);
    let second = fixtures.bundle(&tenant.developer, BundleFormat::Cedar);
    let idle = Bundle {
        is_active: false,
        ..fixtures.bundle(&tenant.developer, BundleFormat::Cedar)
    };
    for bundle in [&first, &rego, &second, &idle] {
        let content = format!("content of {}", bundle.id);
        commit!(store, [owner, bundle, content], |tx| {
            if bundle.is_active {
                tx.deactivate_policy_bundle(&owner, bundle.format).await?;
            }
            tx.insert_policy_bundle(&bundle, &content).await?;
        });
    }
    assert_eq!(active(BundleFormat::Cedar).await, Some(second.id.clone()));
    assert_eq!(active(BundleFormat::Rego).await, Some(rego.id.clone()));
    let listed = |format: Option<BundleFormat>, limit| {
        let (store, owner) = (&store, &owner);
        async move { query!(store, [owner], |tx| tx.policy_bundles(&owner, format, limit).await?) }
    };
    let first = Bundle {
        is_active: false,
        ..first
    };
    assert_eq!(
        listed(None, 9).await,
        [idle.clone(), second.clone(), rego.clone(), first.clone()]
    );
    assert_eq!(
        listed(Some(BundleFormat::Cedar), 9).await,
        [idle.clone(), second.clone(), first]
    );
    assert_eq!(listed(None, 1).await, std::slice::from_ref(&idle));
    let content = query!(store, [owner, stranger, second], |tx| (
        tx.policy_bundle_content(&owner, &second.id).await?,
        tx.policy_bundle_content(&stranger, &second.id).await?,
        tx.active_policy_bundle(&stranger, BundleFormat::Cedar).await?,
        tx.policy_bundles(&stranger, None, 9).await?,
    ));
    assert_eq!(content, (Some(format!("content of {}", second.id)), None, None, vec![]));
    commit!(store, [stranger], |tx| tx
        .deactivate_policy_bundle(&stranger, BundleFormat::Cedar)
        .await?);
    assert_eq!(active(BundleFormat::Cedar).await, Some(second.id));
}

pub async fn old_bundles_go_and_the_one_in_force_stays<S: Store>(store: S) {
    let fixtures = Fixtures::new(7);
    let tenant = Tenant::create(&store, &fixtures).await;
    let owner = tenant.developer.id.clone();
    let mut ids: Vec<BundleId> = Vec::new();
    for number in 0..5 {
        let bundle = Bundle {
            is_active: number == 0,
            ..fixtures.bundle(&tenant.developer, BundleFormat::Cedar)
        };
        ids.push(bundle.id.clone());
        commit!(store, [bundle], |tx| tx.insert_policy_bundle(&bundle, "").await?);
    }
    let rego = fixtures.bundle(&tenant.developer, BundleFormat::Rego);
    commit!(store, [rego], |tx| tx.insert_policy_bundle(&rego, "").await?);
    let remove = || {
        let (store, owner) = (&store, &owner);
        async move {
            commit!(store, [owner], |tx| tx
                .remove_old_policy_bundles(&owner, BundleFormat::Cedar, 2)
                .await?)
        }
    };
    assert_eq!(remove().await, 2);
    assert_eq!(remove().await, 0);
    let left = query!(store, [owner], |tx| tx.policy_bundles(&owner, None, 9).await?);
    let left: Vec<BundleId> = left.into_iter().map(|bundle| bundle.id).collect();
    assert_eq!(left, [rego.id, ids[4].clone(), ids[3].clone(), ids[0].clone()]);
}

pub async fn a_policy_of_nobody_is_not_there<S: Store>(store: S) {
    let fixtures = Fixtures::new(8);
    let (nobody, id) = (fixtures.id::<DeveloperId>(), fixtures.id::<PolicyId>());
    let found = query!(store, [nobody, id], |tx| (
        tx.policy(&nobody, &id).await?,
        tx.policy_version(&nobody).await?,
        tx.policy_totals(&nobody).await?
    ));
    assert_eq!(found, (None, 0, PolicyTotals::default()));
}
