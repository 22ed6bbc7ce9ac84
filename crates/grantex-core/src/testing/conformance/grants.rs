//! Grants, one by one and by what they belong to.

use super::support::{FAR, Tenant, odd_texts};
use crate::agent::{Agent, AgentStatus};
use crate::clock::Lifetime;
use crate::grant::{Ancestor, Grant, GrantState, RevokedBy};
use crate::id::GrantId;
use crate::scope::Scopes;
use crate::store::{PrincipalGrant, Store};
use crate::testing::fixtures::Fixtures;

pub async fn a_grant_is_read_back_as_it_was_written<S: Store>(store: S) {
    let fixtures = Fixtures::new(30);
    let tenant = Tenant::create(&store, &fixtures).await;
    let other = Tenant::create(&store, &fixtures).await;
    let root = fixtures.grant(&tenant.agent);
    let child = fixtures.child(&root, &tenant.agent);
    let (second, third) = (fixtures.agent(&tenant.developer), fixtures.agent(&tenant.developer));
    commit!(store, [second, third], |tx| {
        tx.insert_agent(&second).await?;
        tx.insert_agent(&third).await?;
    });
    // Nearest first, and an agent may hand on what it was handed before.
    let delegators = vec![third.id, tenant.agent.id.clone(), second.id, tenant.agent.id.clone()];
    let grandchild = Grant {
        delegators,
        ..fixtures.child(&child, &tenant.agent)
    };
    let mut all = vec![
        root,
        child,
        grandchild,
        Grant {
            expires_at: FAR,
            ..fixtures.grant(&tenant.agent)
        },
    ];
    all.extend(odd_texts().into_iter().map(|text| Grant {
        principal_id: text.clone(),
        scopes: Scopes::from_stored(&text),
        audience: Some(text),
        ..fixtures.grant(&tenant.agent)
    }));
    for grant in &all {
        tenant.insert_grants(&store, &[grant]).await;
    }
    let (own, foreign) = (tenant.developer.id, other.developer.id);
    for grant in all {
        let found = query!(store, [own, foreign, grant], |tx| (
            tx.grant(&own, &grant.id).await?,
            tx.grant(&foreign, &grant.id).await?
        ));
        assert_eq!(found, (Some(grant), None));
    }
    let unknown: GrantId = fixtures.id();
    assert_eq!(
        query!(store, [own, unknown], |tx| tx.grant(&own, &unknown).await?),
        None
    );
}

pub async fn ancestors_are_named_from_the_nearest_to_the_root<S: Store>(store: S) {
    let fixtures = Fixtures::new(31);
    let tenant = Tenant::create(&store, &fixtures).await;
    let id = tenant.developer.id.clone();
    let suspended = Agent {
        status: AgentStatus::Suspended,
        ..fixtures.agent(&tenant.developer)
    };
    let deleted = fixtures.agent(&tenant.developer);
    let now = fixtures.now();
    commit!(store, [id, suspended, deleted], |tx| {
        tx.insert_agent(&suspended).await?;
        tx.insert_agent(&deleted).await?;
        assert!(tx.hide_agent(&id, &deleted.id, now).await?);
    });
    let root = fixtures.grant(&tenant.agent);
    let first = fixtures.child(&root, &suspended);
    let second = fixtures.child(&first, &deleted);
    tenant.insert_grants(&store, &[&root, &first, &second]).await;
    let revoked_id = second.id.clone();
    commit!(store, [id, revoked_id], |tx| tx
        .revoke_tree(&id, &revoked_id, RevokedBy::Developer, now)
        .await?);
    // Delegated while its parent was being revoked: a state that a store must be able to tell.
    let leaf = fixtures.child(&second, &tenant.agent);
    tenant.insert_grants(&store, &[&leaf]).await;

    let found = query!(store, [root, second, leaf], |tx| [
        tx.ancestors(&root).await?,
        tx.ancestors(&second).await?,
        tx.ancestors(&leaf).await?
    ]);
    let of_root = Ancestor {
        grant_id: root.id,
        state: GrantState::Active,
        agent_status: Some(AgentStatus::Active),
    };
    let of_first = Ancestor {
        grant_id: first.id,
        state: GrantState::Active,
        agent_status: Some(AgentStatus::Suspended),
    };
    let of_second = Ancestor {
        grant_id: second.id,
        state: GrantState::Revoked { at: now },
        agent_status: None,
    };
    assert_eq!(
        found,
        [
            vec![],
            vec![of_first.clone(), of_root.clone()],
            vec![of_second, of_first, of_root]
        ]
    );
}

pub async fn only_a_grant_in_force_can_be_touched<S: Store>(store: S) {
    let fixtures = Fixtures::new(32);
    let tenant = Tenant::create(&store, &fixtures).await;
    let (active, revoked) = (fixtures.grant(&tenant.agent), fixtures.grant(&tenant.agent));
    tenant.insert_grants(&store, &[&active, &revoked]).await;
    let (id, now, unknown): (_, _, GrantId) = (tenant.developer.id, fixtures.now(), fixtures.id());
    commit!(store, [id, revoked], |tx| tx
        .revoke_tree(&id, &revoked.id, RevokedBy::Principal, now)
        .await?);

    let end = active.expires_at;
    let heir = &tenant.agent.id;
    let touched = commit!(store, [active, revoked, unknown, heir], |tx| [
        tx.touch_active_grant(&active.id, &heir, now).await?,
        tx.touch_active_grant(&active.id, &heir, end.minus(Lifetime::millis(1)))
            .await?,
        tx.touch_active_grant(&active.id, &heir, end).await?,
        tx.touch_active_grant(&revoked.id, &heir, now).await?,
        tx.touch_active_grant(&unknown, &heir, now).await?,
    ]);
    assert_eq!(touched, [true, true, false, false, false]);
    assert_eq!(
        query!(store, [id, active], |tx| tx.grant(&id, &active.id).await?),
        Some(active),
        "touching changes nothing"
    );
}

pub async fn a_principals_grants_are_those_in_force_newest_first<S: Store>(store: S) {
    let fixtures = Fixtures::new(33);
    let tenant = Tenant::create(&store, &fixtures).await;
    let other = Tenant::create(&store, &fixtures).await;
    let (id, now) = (tenant.developer.id.clone(), fixtures.now().plus(Lifetime::hours(1)));
    let deleted = fixtures.agent(&tenant.developer);
    commit!(store, [id, deleted], |tx| {
        tx.insert_agent(&deleted).await?;
        assert!(tx.hide_agent(&id, &deleted.id, now).await?);
    });
    let oldest = fixtures.grant(&tenant.agent);
    let expired = Grant {
        expires_at: now,
        ..fixtures.grant(&tenant.agent)
    };
    let revoked = fixtures.grant(&tenant.agent);
    let without_agent = fixtures.grant(&deleted);
    let child = fixtures.child(&oldest, &tenant.agent);
    let of_another_person = Grant {
        principal_id: "User-1".into(),
        ..fixtures.grant(&tenant.agent)
    };
    let of_another_developer = fixtures.grant(&other.agent);
    tenant
        .insert_grants(
            &store,
            &[&oldest, &expired, &revoked, &without_agent, &child, &of_another_person],
        )
        .await;
    other.insert_grants(&store, &[&of_another_developer]).await;
    commit!(store, [id, revoked], |tx| tx
        .revoke_tree(&id, &revoked.id, RevokedBy::Principal, now)
        .await?);

    let (all, two) = query!(store, [id], |tx| (
        tx.grants_of_principal(&id, "user-1", now, 100).await?,
        tx.grants_of_principal(&id, "user-1", now, 2).await?
    ));
    let expected = [
        PrincipalGrant {
            grant: child,
            agent: Some(tenant.agent.clone()),
        },
        PrincipalGrant {
            grant: without_agent,
            agent: None,
        },
        PrincipalGrant {
            grant: oldest.clone(),
            agent: Some(tenant.agent),
        },
    ];
    assert_eq!(all, expected);
    assert_eq!(two, expected[..2]);

    let end = oldest.expires_at;
    let has_any = query!(store, [id], |tx| [
        tx.has_active_grant(&id, "user-1", end.minus(Lifetime::millis(1)))
            .await?,
        tx.has_active_grant(&id, "user-1", FAR).await?,
        tx.has_active_grant(&id, "USER-1", now).await?,
        tx.has_active_grant(&id, "user-1 ", now).await?,
        tx.has_active_grant(&id, "", now).await?,
    ]);
    assert_eq!(has_any, [true, false, false, false, false]);
}

pub async fn an_agents_grants_are_those_stored_as_active<S: Store>(store: S) {
    let fixtures = Fixtures::new(34);
    let tenant = Tenant::create(&store, &fixtures).await;
    let (id, now) = (tenant.developer.id.clone(), fixtures.now());
    let bystander = fixtures.agent(&tenant.developer);
    commit!(store, [bystander], |tx| tx.insert_agent(&bystander).await?);
    let active = fixtures.grant(&tenant.agent);
    // Expiry is not stored: what has run out is still to be revoked with its agent, or its children would outlive it.
    let expired = Grant {
        expires_at: now.minus(Lifetime::days(1)),
        ..fixtures.grant(&tenant.agent)
    };
    let (revoked, foreign) = (fixtures.grant(&tenant.agent), fixtures.grant(&bystander));
    tenant
        .insert_grants(&store, &[&active, &expired, &revoked, &foreign])
        .await;
    commit!(store, [id, revoked], |tx| tx
        .revoke_tree(&id, &revoked.id, RevokedBy::Principal, now)
        .await?);

    let (agent, end) = (tenant.agent.id.clone(), active.expires_at);
    let counts = query!(store, [agent], |tx| [
        tx.count_agent_grants(&agent, now, 10).await?,
        tx.count_agent_grants(&agent, now.minus(Lifetime::days(2)), 10).await?,
        tx.count_agent_grants(&agent, now.minus(Lifetime::days(2)), 2).await?,
        tx.count_agent_grants(&agent, now.minus(Lifetime::days(2)), 1).await?,
        tx.count_agent_grants(&agent, end, 10).await?,
    ]);
    assert_eq!(
        counts,
        [1, 2, 1, 0, 0],
        "in force, whatever is stored, among the last ones: the newest is revoked"
    );
    let all = query!(store, [agent], |tx| tx.active_grants_of_agent(&agent, None, 10).await?);
    let mut expected = [&active, &expired];
    expected.sort_by_key(|grant| (grant.issued_at, grant.id.clone()));
    let expected: Vec<_> = expected.iter().map(|grant| grant.id.clone()).collect();
    assert_eq!((all.items, all.next), (expected.clone(), None));
    let first = query!(store, [agent], |tx| tx.active_grants_of_agent(&agent, None, 1).await?);
    assert_eq!(first.items, expected[..1]);
    let next = first.next;
    let rest = query!(store, [agent], |tx| tx
        .active_grants_of_agent(&agent, next.as_ref(), 1)
        .await?);
    assert_eq!((rest.items, rest.next), (expected[1..].to_vec(), None));
    // Deleting the agent does not hide its grants from the job that revokes them.
    commit!(store, [id, agent], |tx| tx.hide_agent(&id, &agent, now).await?);
    assert_eq!(
        query!(store, [agent], |tx| tx.active_grants_of_agent(&agent, None, 10).await?)
            .items
            .len(),
        2
    );
}
