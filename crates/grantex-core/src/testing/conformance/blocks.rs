//! Blocks of Biscuits.

use super::support::{FAR, Tenant};
use crate::clock::{Lifetime, Timestamp};
use crate::id::DeveloperId;
use crate::store::Store;
use crate::testing::fixtures::Fixtures;
use crate::token::Token;

fn block(number: u8) -> String {
    format!("{number:02x}").repeat(64)
}

async fn is_revoked<S: Store>(store: &S, developer: &DeveloperId, numbers: &[u8]) -> bool {
    let ids: Vec<String> = numbers.iter().copied().map(block).collect();
    query!(store, [developer, ids], |tx| tx
        .is_any_block_revoked(&developer, &ids)
        .await?)
}

async fn revoke<S: Store>(store: &S, developer: &DeveloperId, number: u8, now: Timestamp) -> bool {
    commit!(store, [developer], |tx| tx
        .revoke_block(&developer, &block(number), now)
        .await?)
}

pub async fn a_block_is_revoked_once_and_by_its_developer<S: Store>(store: S) {
    let fixtures = Fixtures::new(55);
    let (one, other) = (fixtures.id::<DeveloperId>(), fixtures.id::<DeveloperId>());
    let now = fixtures.now();
    assert!(!is_revoked(&store, &one, &[1, 2]).await);
    assert!(!is_revoked(&store, &one, &[]).await);
    assert!(revoke(&store, &one, 2, now).await);
    assert!(!revoke(&store, &one, 2, now).await, "it is revoked already");
    assert!(is_revoked(&store, &one, &[1, 2]).await);
    assert!(is_revoked(&store, &one, &[2]).await);
    assert!(!is_revoked(&store, &one, &[1]).await);
    assert!(!is_revoked(&store, &one, &[]).await);
    assert!(!is_revoked(&store, &other, &[1, 2]).await);
    assert!(revoke(&store, &other, 2, now).await);
    assert!(revoke(&store, &one, 1, FAR).await);
}

pub async fn revocations_of_blocks_are_removed_by_age<S: Store>(store: S) {
    let fixtures = Fixtures::new(56);
    let (developer, now) = (fixtures.id::<DeveloperId>(), fixtures.now());
    for (number, age) in [(1, 3), (2, 2), (3, 1), (4, 0)] {
        assert!(revoke(&store, &developer, number, now.minus(Lifetime::minutes(age))).await);
    }
    // A Biscuit as old as the second revocation: it may hold what was revoked since.
    let tenant = Tenant::create(&store, &fixtures).await;
    let grant = fixtures.grant(&tenant.agent);
    let end = now.plus(Lifetime::minutes(5));
    let token = Token {
        biscuit_key_id: Some("root".into()),
        issued_at: now.minus(Lifetime::minutes(2)),
        expires_at: end,
        ..fixtures.token(&grant)
    };
    tenant.insert_grants(&store, &[&grant]).await;
    tenant.insert_tokens(&store, &[&token]).await;
    let remove = async |at| commit!(store, [], |tx| tx.remove_revoked_blocks(now, at, 2).await?);
    assert_eq!((remove(now).await, remove(now).await), (1, 0));
    assert!(is_revoked(&store, &developer, &[2]).await && is_revoked(&store, &developer, &[3]).await);
    assert_eq!((remove(end).await, remove(end).await), (2, 0));
    assert!(!is_revoked(&store, &developer, &[1, 2, 3]).await);
    assert!(is_revoked(&store, &developer, &[4]).await, "it is not older");
}

pub async fn a_root_key_is_needed_while_a_biscuit_of_it_lives<S: Store>(store: S) {
    let fixtures = Fixtures::new(57);
    let tenant = Tenant::create(&store, &fixtures).await;
    let grant = fixtures.grant(&tenant.agent);
    let end = fixtures.now().plus(Lifetime::minutes(5));
    let token = Token {
        key_id: "signing".into(),
        biscuit_key_id: Some("root".into()),
        expires_at: end,
        ..fixtures.token(&grant)
    };
    tenant.insert_grants(&store, &[&grant]).await;
    tenant.insert_tokens(&store, &[&token]).await;
    let now = fixtures.now();
    let (id, found) = (
        token.id.clone(),
        query!(store, [], |tx| [
            tx.has_live_token("root", now).await?,
            tx.has_live_token("signing", now).await?,
            tx.has_live_token("root", end).await?,
        ]),
    );
    assert_eq!(found, [true, true, false]);
    let read = query!(store, [id], |tx| tx.token(&id).await?).unwrap();
    assert_eq!(read.token, token);
}
