//! Units of work: all or nothing, and only while somebody waits for them.

use super::support::{Tenant, options, options_for};
use crate::audit::Chain;
use crate::context::Admission;
use crate::error::StoreError;
use crate::grant::RevokedBy;
use crate::plan::Plan;
use crate::store::{Store, UnitOptions};
use crate::testing::fixtures::Fixtures;

/// A flow's own error.
enum Refusal {
    SecondThoughts,
    Store(StoreError),
}

impl From<StoreError> for Refusal {
    fn from(error: StoreError) -> Self {
        Self::Store(error)
    }
}

pub async fn a_failed_unit_leaves_nothing_behind<S: Store>(store: S) {
    let fixtures = Fixtures::new(120);
    let tenant = Tenant::create(&store, &fixtures).await;
    let (grant, late_grant, agent) = (
        fixtures.grant(&tenant.agent),
        fixtures.grant(&tenant.agent),
        fixtures.agent(&tenant.developer),
    );
    let (token, request) = (fixtures.token(&grant), fixtures.auth_request(&tenant.agent));
    tenant.insert_grants(&store, &[&grant]).await;
    tenant.insert_tokens(&store, &[&token]).await;
    commit!(store, [request], |tx| tx.insert_auth_request(&request).await?);
    let head = tenant.head(&store).await;

    let mut next_head = head.clone();
    let entry = fixtures.audit_entry(
        &tenant.developer,
        Chain::Server,
        &mut next_head.server,
        fixtures.audit_record(),
    );
    next_head.active_grants += 1;
    next_head.event_seq += 1;
    let event = fixtures.event(&tenant.developer, next_head.event_seq);
    let ledger = crate::store::Ledger {
        developer_id: tenant.developer.id.clone(),
        head: next_head,
        grants: vec![late_grant.clone()],
        tokens: vec![fixtures.token(&late_grant)],
        audit: vec![entry.clone()],
        events: vec![event],
        deliveries: Vec::new(),
    };
    let used = fixtures.refresh_use(&token);
    let (hash, new_hash, now) = (tenant.key_hash.clone(), fixtures.hash(), fixtures.now());
    let key = fixtures.signing_key();
    let everything = {
        let (id, grant, token, request, agent) = (
            tenant.developer.id.clone(),
            grant.clone(),
            token.clone(),
            request.clone(),
            agent.clone(),
        );
        let own_agent = tenant.agent.id.clone();
        let (hash, new_hash) = (hash.clone(), new_hash.clone());
        store.transact(options_for(&tenant.developer.id), move |tx| {
            Box::pin(async move {
                assert!(tx.set_plan(&id, Plan::Free).await?);
                assert!(tx.replace_api_key(&id, &hash, &new_hash).await?);
                tx.insert_agent(&agent).await?;
                assert!(
                    tx.approve_auth_request(&request.id, now, &new_hash, request.expires_at)
                        .await?
                );
                assert!(tx.use_refresh_token(&token.id, &used).await?);
                assert!(tx.hide_agent(&id, &own_agent, now).await?);
                assert!(tx.revoke_token(&id, &token.id, now).await?);
                assert_eq!(
                    tx.revoke_tree(&id, &grant.id, RevokedBy::Developer, now).await?.counted,
                    1
                );
                assert!(tx.insert_signing_key(&key, false).await?);
                tx.lock_head(&id).await?;
                tx.write_ledger(&ledger).await?;
                Err::<(), _>(Refusal::SecondThoughts)
            })
        })
    };
    match everything.await {
        Err(Refusal::SecondThoughts) => {}
        Err(Refusal::Store(error)) => panic!("the store failed instead of the unit: {}", crate::error::chain(&error)),
        Ok(()) => panic!("a unit that failed was committed"),
    }

    assert_eq!(tenant.head(&store).await, head);
    let id = tenant.developer.id.clone();
    let developers = query!(store, [id, hash, new_hash], |tx| (
        tx.developer(&id).await?,
        tx.developer_by_key(&hash).await?,
        tx.developer_by_key(&new_hash).await?
    ));
    assert_eq!(
        developers,
        (Some(tenant.developer.clone()), Some(tenant.developer), None)
    );
    let (own, late) = (tenant.agent, late_grant);
    let rows = query!(store, [id, own, agent, grant, late, entry], |tx| (
        tx.agent(&id, &own.id).await?,
        tx.agent(&id, &agent.id).await?,
        tx.grant(&id, &grant.id).await?,
        tx.grant(&id, &late.id).await?,
        tx.audit_entry(&id, &entry.id).await?,
        tx.events_after(&id, 0, 10).await?,
        tx.signing_keys().await?
    ));
    assert_eq!(rows, (Some(own), None, Some(grant), None, None, vec![], vec![]));
    let (found_token, found_request) = query!(store, [token, request], |tx| (
        tx.token(&token.id).await?,
        tx.auth_request(&request.id).await?
    ));
    assert_eq!(found_token.unwrap().token, token);
    assert_eq!(found_request, Some(request));
}

pub async fn a_unit_sees_what_it_wrote<S: Store>(store: S) {
    let fixtures = Fixtures::new(121);
    let (developer, hash) = (fixtures.developer(), fixtures.hash());
    let agent = fixtures.agent(&developer);
    let request = fixtures.auth_request(&agent);
    let (code_hash, now) = (fixtures.hash(), fixtures.now());
    let grant = fixtures.grant(&agent);
    let found = commit!(store, [developer, hash, agent, request, code_hash, grant], |tx| {
        assert!(tx.insert_developer(&developer, &hash).await?);
        tx.insert_agent(&agent).await?;
        tx.insert_auth_request(&request).await?;
        assert!(
            tx.approve_auth_request(&request.id, now, &code_hash, request.expires_at)
                .await?
        );
        assert!(tx.consume_auth_request(&request.id, &code_hash, now, &grant.id).await?);
        let mut head = tx.lock_head(&developer.id).await?.unwrap();
        head.active_grants += 1;
        let mut ledger = super::support::empty_ledger(developer.id.clone(), head);
        ledger.grants.push(grant.clone());
        tx.write_ledger(&ledger).await?;
        let status = tx.auth_request_by_code(&code_hash).await?.unwrap().status;
        (
            tx.developer_by_key(&hash).await?,
            tx.agent(&developer.id, &agent.id).await?,
            status.as_str(),
            tx.grant(&developer.id, &grant.id).await?,
            tx.lock_head(&developer.id).await?.unwrap().active_grants,
            tx.touch_active_grant(&grant.id, &grant.agent_id, now).await?,
        )
    });
    assert_eq!(found, (Some(developer), Some(agent), "consumed", Some(grant), 1, true));
}

pub async fn a_committed_unit_is_seen_by_the_next_read<S: Store>(store: S) {
    let fixtures = Fixtures::new(122);
    let tenant = Tenant::create(&store, &fixtures).await;
    let other_handle = store.clone();
    let id = tenant.developer.id.clone();
    for plan in [Plan::Free, Plan::Pro, Plan::Enterprise].into_iter().cycle().take(12) {
        assert!(commit!(store, [id], |tx| tx.set_plan(&id, plan).await?));
        assert_eq!(
            query!(other_handle, [id], |tx| tx.developer(&id).await?).unwrap().plan,
            plan
        );
    }
}

pub async fn a_withdrawn_unit_does_nothing<S: Store>(store: S) {
    let fixtures = Fixtures::new(123);
    let tenant = Tenant::create(&store, &fixtures).await;
    for developer in [None, Some(tenant.developer.id.clone())] {
        let admission = Admission::default();
        assert!(admission.withdraw());
        let (id, unit) = (tenant.developer.id.clone(), UnitOptions { developer, admission });
        let outcome: Result<bool, StoreError> = store
            .transact(unit, move |tx| {
                Box::pin(async move { tx.set_plan(&id, Plan::Free).await })
            })
            .await;
        assert!(matches!(outcome, Err(StoreError::Withdrawn)));
    }
    assert_eq!(tenant.head(&store).await.plan, tenant.developer.plan);
    // A unit that ran took away its caller's right to withdraw.
    let unit = options();
    let admission = unit.admission.clone();
    let outcome: Result<(), StoreError> = store.transact(unit, |_| Box::pin(async { Ok(()) })).await;
    assert!(outcome.is_ok());
    assert!(!admission.withdraw());
}

pub async fn a_store_answers_a_ping<S: Store>(store: S) {
    assert!(store.ping().await.is_ok());
}
