//! Removing what is over.

use super::support::{FAR, Tenant};
use crate::audit::Chain;
use crate::authorize::{AuthRequest, AuthRequestState};
use crate::clock::Lifetime;
use crate::grant::Grant;
use crate::id::GrantId;
use crate::store::{EventRow, Store};
use crate::testing::fixtures::Fixtures;
use crate::token::{RefreshUse, Replay, Token};

/// Repeats a removal until it finds nothing, and tells what each round removed.
macro_rules! rounds {
    ($store:expr, |$tx:ident| $work:expr) => {{
        let mut rounds = Vec::new();
        loop {
            let removed: u64 = commit!($store, [], |$tx| $work);
            rounds.push(removed);
            if removed == 0 || rounds.len() > 20 {
                break rounds;
            }
        }
    }};
}

pub async fn requests_go_when_neither_they_nor_their_code_can_be_used<S: Store>(store: S) {
    let fixtures = Fixtures::new(110);
    let tenant = Tenant::create(&store, &fixtures).await;
    let before = fixtures.now().plus(Lifetime::hours(1));
    let moment = Lifetime::millis(1);
    let over = before.minus(moment);
    let request = |expires_at, status| AuthRequest {
        expires_at,
        status,
        ..fixtures.auth_request(&tenant.agent)
    };
    let approved = |code_expires_at| AuthRequestState::Approved {
        code_hash: fixtures.hash(),
        code_expires_at,
    };
    let gone = [
        request(over, AuthRequestState::Pending),
        request(over, AuthRequestState::Pending),
        request(over, approved(over)),
        request(over, approved(over)),
        request(over, AuthRequestState::Pending),
    ];
    let kept = [
        request(before, AuthRequestState::Pending),
        request(over, approved(before)),
        request(before, approved(over)),
        request(over, approved(FAR)),
    ];
    for request in gone.iter().chain(&kept) {
        commit!(store, [request], |tx| tx.insert_auth_request(&request).await?);
    }
    // A consumed code must be known for as long as somebody could take it for a good one.
    let now = fixtures.now();
    for (request, is_decided) in [(&gone[3], true), (&kept[3], true), (&gone[4], false)] {
        let AuthRequest { id, status, .. } = request.clone();
        if is_decided {
            let AuthRequestState::Approved { code_hash, .. } = status else {
                unreachable!("it was made approved")
            };
            let grant: GrantId = fixtures.id();
            assert!(commit!(store, [id, code_hash, grant], |tx| tx
                .consume_auth_request(&id, &code_hash, now, &grant)
                .await?));
        } else {
            assert!(commit!(store, [id], |tx| tx.deny_auth_request(&id, now).await?));
        }
    }
    assert_eq!(
        rounds!(store, |tx| tx.remove_auth_requests(before, 2).await?),
        [2, 2, 1, 0]
    );
    for (request, is_there) in gone
        .iter()
        .map(|request| (request, false))
        .chain(kept.iter().map(|request| (request, true)))
    {
        assert_eq!(
            query!(store, [request], |tx| tx.auth_request(&request.id).await?).is_some(),
            is_there
        );
    }
}

pub async fn tokens_go_when_both_halves_are_over<S: Store>(store: S) {
    let fixtures = Fixtures::new(111);
    let tenant = Tenant::create(&store, &fixtures).await;
    let grant = fixtures.grant(&tenant.agent);
    tenant.insert_grants(&store, &[&grant]).await;
    let before = fixtures.now().plus(Lifetime::days(40));
    let over = before.minus(Lifetime::millis(1));
    let token = |expires_at, refresh_expires_at| Token {
        expires_at,
        refresh_expires_at,
        ..fixtures.token(&grant)
    };
    let gone = [token(over, over), token(over, over), token(over, over)];
    let kept = [token(before, over), token(over, before), token(FAR, FAR)];
    tenant
        .insert_tokens(&store, &gone.iter().chain(&kept).collect::<Vec<_>>())
        .await;
    let used = fixtures.refresh_use(&kept[2]);
    let id = gone[0].id.clone();
    assert!(commit!(store, [id, used], |tx| tx
        .use_refresh_token(&id, &used)
        .await?));

    assert_eq!(rounds!(store, |tx| tx.remove_tokens(before, 2).await?), [2, 1, 0]);
    for token in &gone {
        assert_eq!(query!(store, [token], |tx| tx.token(&token.id).await?), None);
    }
    for token in kept {
        assert_eq!(
            query!(store, [token], |tx| tx.token(&token.id).await?).unwrap().token,
            token
        );
    }
    let developer = tenant.developer.id;
    assert_eq!(
        query!(store, [developer, grant], |tx| tx.grant(&developer, &grant.id).await?),
        Some(grant)
    );
}

pub async fn kept_answers_go_and_their_use_stays<S: Store>(store: S) {
    let fixtures = Fixtures::new(112);
    let tenant = Tenant::create(&store, &fixtures).await;
    let grant = fixtures.grant(&tenant.agent);
    tenant.insert_grants(&store, &[&grant]).await;
    let before = fixtures.now().plus(Lifetime::minutes(5));
    let successor = fixtures.token(&grant);
    tenant.insert_tokens(&store, &[&successor]).await;
    let mut stored = Vec::new();
    let over = before.minus(Lifetime::millis(1));
    let answer = || Some("c2VhbGVk".to_owned());
    for (at, sealed) in [
        (over, answer()),
        (over, answer()),
        (over, answer()),
        (over, None),
        (before, answer()),
    ] {
        let token = fixtures.token(&grant);
        tenant.insert_tokens(&store, &[&token]).await;
        let replay = Some(Replay {
            key_hash: fixtures.hash(),
            sealed,
        });
        let used = RefreshUse {
            at,
            replay,
            ..fixtures.refresh_use(&successor)
        };
        assert!(commit!(store, [token, used], |tx| tx
            .use_refresh_token(&token.id, &used)
            .await?));
        stored.push((token.id, used));
    }
    assert_eq!(rounds!(store, |tx| tx.remove_replays(before, 2).await?), [2, 1, 0]);
    for (id, mut used) in stored {
        if let Some(replay) = used.replay.as_mut().filter(|_| used.at < before) {
            // The hash of the key stays: it tells a late repetition from theft.
            replay.sealed = None;
        }
        assert_eq!(
            query!(store, [id], |tx| tx.token(&id).await?)
                .unwrap()
                .token
                .refresh_use,
            Some(used)
        );
    }
}

pub async fn events_go_by_age<S: Store>(store: S) {
    let fixtures = Fixtures::new(113);
    let tenant = Tenant::create(&store, &fixtures).await;
    let other = Tenant::create(&store, &fixtures).await;
    let before = fixtures.now();
    let over = before.minus(Lifetime::millis(1));
    for (tenant, ages) in [(&tenant, vec![over, over, before]), (&other, vec![over, before])] {
        let row = |(created_at, seq)| EventRow {
            created_at,
            ..fixtures.event(&tenant.developer, seq)
        };
        let events: Vec<EventRow> = ages.into_iter().zip(1..).map(row).collect();
        tenant
            .write(&store, move |ledger| {
                ledger.head.event_seq += i64::try_from(events.len()).unwrap();
                ledger.events = events;
            })
            .await;
    }
    assert_eq!(rounds!(store, |tx| tx.remove_events(before, 2).await?), [2, 1, 0]);
    for (tenant, last) in [(tenant, 3), (other, 2)] {
        let id = tenant.developer.id.clone();
        let left = query!(store, [id], |tx| tx.events_after(&id, 0, 10).await?);
        assert_eq!(left.iter().map(|event| event.seq).collect::<Vec<_>>(), [last]);
        assert_eq!(
            tenant.head(&store).await.event_seq,
            last,
            "positions are never given out again"
        );
    }
}

pub async fn grants_and_audit_entries_stay<S: Store>(store: S) {
    let fixtures = Fixtures::new(114);
    let tenant = Tenant::create(&store, &fixtures).await;
    let grant = Grant {
        expires_at: fixtures.now(),
        ..fixtures.grant(&tenant.agent)
    };
    let mut head = tenant.head(&store).await;
    let entry = fixtures.audit_entry(
        &tenant.developer,
        Chain::Caller,
        &mut head.caller,
        fixtures.audit_record(),
    );
    let (id, (inserted_grant, inserted_entry)) = (tenant.developer.id.clone(), (grant.clone(), entry.clone()));
    tenant
        .write(&store, move |ledger| {
            ledger.head = head;
            ledger.grants = vec![inserted_grant];
            ledger.audit = vec![inserted_entry];
        })
        .await;
    let removed = commit!(store, [], |tx| [
        tx.remove_auth_requests(FAR, 100).await?,
        tx.remove_tokens(FAR, 100).await?,
        tx.remove_replays(FAR, 100).await?,
        tx.remove_events(FAR, 100).await?,
    ]);
    assert_eq!(removed, [0, 0, 0, 0]);
    let found = query!(store, [id, grant, entry], |tx| (
        tx.grant(&id, &grant.id).await?,
        tx.audit_entry(&id, &entry.id).await?
    ));
    assert_eq!(found, (Some(grant), Some(entry)));
}
