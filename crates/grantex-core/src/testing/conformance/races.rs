//! Many units at once: exactly one wins, and nothing is lost.

use super::support::{Tenant, empty_ledger, options_for};
use crate::audit::{AuditFilter, Chain, chain};
use crate::authorize::{AuthRequest, AuthRequestState};
use crate::clock::Lifetime;
use crate::developer::Developer;
use crate::error::StoreError;
use crate::grant::{Grant, GrantFilter, GrantStatus, RevokedBy};
use crate::id::GrantId;
use crate::page::PageRequest;
use crate::secret::SecretHash;
use crate::store::Store;
use crate::testing::fixtures::Fixtures;
use crate::testing::race;
use crate::token::RefreshUse;

const RACERS: usize = 24;

/// The racers' own values.
fn each<T>(make: impl Fn() -> T) -> Vec<T> {
    (0..RACERS).map(|_| make()).collect()
}

fn winners<T: Clone>(runners: &[T], won: &[bool]) -> Vec<T> {
    assert_eq!(won.len(), runners.len());
    runners
        .iter()
        .zip(won)
        .filter(|(_, won)| **won)
        .map(|(runner, _)| runner.clone())
        .collect()
}

pub async fn one_of_many_consumes_a_code<S: Store>(store: S) {
    let fixtures = Fixtures::new(130);
    let tenant = Tenant::create(&store, &fixtures).await;
    let (hash, now) = (fixtures.hash(), fixtures.now());
    let status = AuthRequestState::Approved {
        code_hash: hash.clone(),
        code_expires_at: now.plus(Lifetime::minutes(10)),
    };
    let request = AuthRequest {
        status,
        ..fixtures.auth_request(&tenant.agent)
    };
    commit!(store, [request], |tx| tx.insert_auth_request(&request).await?);
    let grants: Vec<GrantId> = each(|| fixtures.id());
    let id = &request.id;
    let won = race(grants.iter().map(|grant| {
        let (store, hash) = (&store, &hash);
        async move {
            commit!(store, [id, hash, grant], |tx| tx
                .consume_auth_request(&id, &hash, now, &grant)
                .await?)
        }
    }))
    .await;
    let [winner] = winners(&grants, &won).try_into().unwrap();
    let expected = AuthRequestState::Consumed {
        code_hash: hash.clone(),
        consumed_at: now,
        grant_id: winner,
    };
    assert_eq!(
        query!(store, [id], |tx| tx.auth_request(&id).await?).unwrap().status,
        expected
    );
}

pub async fn one_of_many_uses_a_refresh_token<S: Store>(store: S) {
    let fixtures = Fixtures::new(131);
    let tenant = Tenant::create(&store, &fixtures).await;
    let grant = fixtures.grant(&tenant.agent);
    let token = fixtures.token(&grant);
    tenant.insert_grants(&store, &[&grant]).await;
    tenant.insert_tokens(&store, &[&token]).await;
    let uses: Vec<RefreshUse> = each(|| fixtures.refresh_use(&fixtures.token(&grant)));
    let id = &token.id;
    let won = race(uses.iter().map(|used| {
        let store = &store;
        async move { commit!(store, [id, used], |tx| tx.use_refresh_token(&id, &used).await?) }
    }))
    .await;
    let [winner] = winners(&uses, &won).try_into().unwrap();
    assert_eq!(
        query!(store, [id], |tx| tx.token(&id).await?)
            .unwrap()
            .token
            .refresh_use,
        Some(winner)
    );
}

pub async fn one_of_many_takes_an_email<S: Store>(store: S) {
    let fixtures = Fixtures::new(132);
    let email = Some("wanted@example.com".to_owned());
    let developers: Vec<(Developer, SecretHash)> = each(|| {
        (
            Developer {
                email: email.clone(),
                ..fixtures.developer()
            },
            fixtures.hash(),
        )
    });
    let won = race(developers.iter().map(|developer| {
        let store = &store;
        async move {
            commit!(store, [developer], |tx| tx
                .insert_developer(&developer.0, &developer.1)
                .await?)
        }
    }))
    .await;
    let [(winner, hash)] = winners(&developers, &won).try_into().unwrap();
    let (ids, found) = query!(store, [hash], |tx| (
        tx.developer_ids(None, 1_000).await?,
        tx.developer_by_key(&hash).await?
    ));
    assert_eq!((ids, found), (vec![winner.id.clone()], Some(winner)));
}

pub async fn one_of_many_replaces_a_key<S: Store>(store: S) {
    let fixtures = Fixtures::new(133);
    let tenant = Tenant::create(&store, &fixtures).await;
    let hashes = each(|| fixtures.hash());
    let (id, old) = (&tenant.developer.id, &tenant.key_hash);
    let won = race(hashes.iter().map(|new| {
        let store = &store;
        async move { commit!(store, [id, old, new], |tx| tx.replace_api_key(&id, &old, &new).await?) }
    }))
    .await;
    let [winner] = winners(&hashes, &won).try_into().unwrap();
    assert_eq!(
        query!(store, [winner], |tx| tx.developer_by_key(&winner).await?),
        Some(tenant.developer)
    );
}

pub async fn one_of_many_inserts_the_first_signing_key<S: Store>(store: S) {
    let fixtures = Fixtures::new(134);
    let keys = each(|| fixtures.signing_key());
    let won = race(keys.iter().map(|key| {
        let store = &store;
        async move { commit!(store, [key], |tx| tx.insert_signing_key(&key, true).await?) }
    }))
    .await;
    assert_eq!(query!(store, [], |tx| tx.signing_keys().await?), winners(&keys, &won));
    assert_eq!(won.iter().filter(|won| **won).count(), 1);
}

pub async fn appends_to_one_chain_leave_no_gap<S: Store>(store: S) {
    let fixtures = Fixtures::new(135);
    let tenant = Tenant::create(&store, &fixtures).await;
    let developer = &tenant.developer;
    race((0..RACERS).map(|_| {
        let (store, developer, fixtures) = (&store, developer.clone(), fixtures.clone());
        async move {
            let options = options_for(&developer.id);
            let outcome: Result<(), StoreError> = store
                .transact(options, move |tx| {
                    Box::pin(async move {
                        let head = tx.lock_head(&developer.id).await?.unwrap();
                        let mut ledger = empty_ledger(developer.id.clone(), head);
                        let record = fixtures.audit_record();
                        ledger.audit.push(fixtures.audit_entry(
                            &developer,
                            Chain::Caller,
                            &mut ledger.head.caller,
                            record,
                        ));
                        ledger.head.event_seq += 1;
                        ledger.events.push(fixtures.event(&developer, ledger.head.event_seq));
                        tx.write_ledger(&ledger).await
                    })
                })
                .await;
            outcome.unwrap();
        }
    }))
    .await;
    let id = &developer.id;
    let (entries, events) = query!(store, [id], |tx| (
        tx.audit_entries(&id, Chain::Caller, &AuditFilter::default(), &PageRequest::default())
            .await?
            .items,
        tx.events_after(&id, 0, 1_000).await?
    ));
    let positions: Vec<i64> = (1..).take(RACERS).collect();
    assert_eq!(entries.iter().map(|entry| entry.seq).collect::<Vec<_>>(), positions);
    assert_eq!(events.iter().map(|event| event.seq).collect::<Vec<_>>(), positions);
    let mut prev_hash = None;
    for entry in entries {
        assert_eq!((&entry.prev_hash, &entry.hash), (&prev_hash, &chain::hash(&entry)));
        prev_hash = Some(entry.hash);
    }
    assert_eq!(tenant.head(&store).await.caller.last.map(|last| last.hash), prev_hash);
}

pub async fn grants_are_uncounted_once_by_many_sweepers<S: Store>(store: S) {
    let fixtures = Fixtures::new(136);
    let tenants = [
        Tenant::create(&store, &fixtures).await,
        Tenant::create(&store, &fixtures).await,
    ];
    let end = fixtures.now();
    for tenant in &tenants {
        let grants: Vec<Grant> = each(|| Grant {
            expires_at: end,
            ..fixtures.grant(&tenant.agent)
        });
        tenant.insert_grants(&store, &grants.iter().collect::<Vec<_>>()).await;
    }
    let swept = race((0..RACERS).map(|_| {
        let store = &store;
        async move { commit!(store, [], |tx| tx.uncount_expired_grants(end, 10).await?) }
    }))
    .await;
    // Sweepers may step around each other's rows and leave some for the next round.
    let rest = commit!(store, [], |tx| tx.uncount_expired_grants(end, 1_000).await?);
    assert_eq!(swept.iter().sum::<u64>() + rest, 2 * u64::try_from(RACERS).unwrap());
    for tenant in tenants {
        assert_eq!(tenant.head(&store).await.active_grants, 0);
    }
}

pub async fn no_child_survives_a_revocation_that_ran_beside_its_birth<S: Store>(store: S) {
    let fixtures = Fixtures::new(137);
    let tenant = Tenant::create(&store, &fixtures).await;
    let parent = fixtures.grant(&tenant.agent);
    tenant.insert_grants(&store, &[&parent]).await;
    let now = fixtures.now();
    let units = (0..RACERS).map(|runner| {
        let (store, parent) = (&store, parent.clone());
        let child = fixtures.child(&parent, &tenant.agent);
        async move {
            let developer_id = parent.developer_id.clone();
            let outcome: Result<(), StoreError> = store
                .transact(options_for(&parent.developer_id), move |tx| {
                    Box::pin(async move {
                        let mut delta = 1;
                        let mut grants = vec![child];
                        if runner == RACERS / 2 {
                            grants.clear();
                            delta = -tx
                                .revoke_tree(&developer_id, &parent.id, RevokedBy::Developer, now)
                                .await?
                                .counted;
                        } else if !tx.touch_active_grant(&parent.id, &parent.agent_id, now).await? {
                            return Ok(());
                        }
                        let mut head = tx.lock_head(&developer_id).await?.unwrap();
                        head.active_grants += delta;
                        let mut ledger = empty_ledger(developer_id, head);
                        ledger.grants = grants;
                        tx.write_ledger(&ledger).await
                    })
                })
                .await;
            outcome.unwrap();
        }
    });
    race(units).await;
    let id = &tenant.developer.id;
    let active = GrantFilter {
        status: Some(GrantStatus::Active),
        ..GrantFilter::default()
    };
    let survivors = query!(store, [id, active], |tx| tx
        .grants(&id, &active, &PageRequest::default(), now)
        .await?
        .items);
    assert_eq!(
        survivors,
        [],
        "whoever touched the parent before its revocation is found by the cascade"
    );
    assert_eq!(tenant.head(&store).await.active_grants, 0);
}
