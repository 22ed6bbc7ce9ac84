//! Signing keys.

use super::support::{FAR, Tenant, odd_texts};
use crate::clock::Lifetime;
use crate::store::{KeyState, Store, StoredKey};
use crate::testing::fixtures::Fixtures;
use crate::token::Token;

async fn insert<S: Store>(store: &S, key: &StoredKey, is_first: bool) -> bool {
    commit!(store, [key], |tx| tx.insert_signing_key(&key, is_first).await?)
}

async fn all<S: Store>(store: &S) -> Vec<StoredKey> {
    query!(store, [], |tx| tx.signing_keys().await?)
}

pub async fn a_key_is_read_back_as_it_was_written<S: Store>(store: S) {
    let fixtures = Fixtures::new(100);
    assert_eq!(all(&store).await, []);
    let now = fixtures.now();
    let oldest = StoredKey {
        algorithm: "ES256".into(),
        activates_at: FAR,
        ..fixtures.signing_key()
    };
    let imported = StoredKey {
        state: KeyState::Retired,
        retired_at: Some(now),
        ..fixtures.signing_key()
    };
    let odd = StoredKey {
        sealed_private_key: "QUJD".repeat(1_000),
        public_jwk: odd_texts().concat(),
        ..fixtures.signing_key()
    };
    for key in [&odd, &oldest, &imported] {
        assert!(insert(&store, key, false).await);
    }
    assert!(
        !insert(
            &store,
            &StoredKey {
                public_jwk: "another".into(),
                ..odd.clone()
            },
            false
        )
        .await,
        "the kid is there already"
    );
    assert_eq!(all(&store).await, [oldest.clone(), imported.clone(), odd.clone()]);
    let (active, retired) = query!(store, [], |tx| (
        tx.signing_keys_in(KeyState::Active).await?,
        tx.signing_keys_in(KeyState::Retired).await?
    ));
    assert_eq!((active, retired), (vec![oldest, odd], vec![imported]));
}

pub async fn only_one_first_key_of_an_algorithm_is_accepted<S: Store>(store: S) {
    let fixtures = Fixtures::new(101);
    let (first, second, rotated, third) = (
        fixtures.signing_key(),
        fixtures.signing_key(),
        fixtures.signing_key(),
        fixtures.signing_key(),
    );
    let other_algorithm = StoredKey {
        algorithm: "ES256".into(),
        ..fixtures.signing_key()
    };
    let now = fixtures.now();
    assert!(insert(&store, &first, true).await);
    assert!(
        !insert(&store, &second, true).await,
        "the first of its algorithm is there"
    );
    assert!(!insert(&store, &first, true).await);
    assert!(insert(&store, &other_algorithm, true).await);
    assert!(
        insert(&store, &rotated, false).await,
        "a rotation adds a second active key"
    );
    assert!(!insert(&store, &third, true).await);
    for key in [&first, &rotated] {
        let kid = key.kid.clone();
        assert!(commit!(store, [kid], |tx| tx.retire_signing_key(&kid, now).await?));
    }
    assert!(insert(&store, &third, true).await, "no key of its algorithm is active");
    assert_eq!(
        all(&store).await.iter().map(|key| &key.kid).collect::<Vec<_>>(),
        [&first.kid, &rotated.kid, &third.kid, &other_algorithm.kid]
    );
}

pub async fn a_key_is_retired_and_removed_in_this_order<S: Store>(store: S) {
    let fixtures = Fixtures::new(102);
    let (key, other) = (fixtures.signing_key(), fixtures.signing_key());
    assert!(insert(&store, &key, false).await);
    assert!(insert(&store, &other, false).await);
    let (kid, now) = (key.kid.clone(), fixtures.now());
    assert!(
        !commit!(store, [kid], |tx| tx.remove_signing_key(&kid, now).await?),
        "an active key stays"
    );
    assert!(commit!(store, [kid], |tx| tx.retire_signing_key(&kid, now).await?));
    assert!(
        !commit!(store, [kid], |tx| tx.retire_signing_key(&kid, FAR).await?),
        "retired already"
    );
    let retired = StoredKey {
        state: KeyState::Retired,
        retired_at: Some(now),
        ..key
    };
    assert_eq!(all(&store).await, [retired, other.clone()]);
    assert!(commit!(store, [kid], |tx| tx.remove_signing_key(&kid, now).await?));
    let is_found = commit!(store, [kid], |tx| (
        tx.remove_signing_key(&kid, now).await?,
        tx.retire_signing_key(&kid, now).await?
    ));
    assert_eq!(is_found, (false, false));
    assert_eq!(all(&store).await, [other]);
}

pub async fn a_removed_key_stays_removed<S: Store>(store: S) {
    let fixtures = Fixtures::new(104);
    let (key, other) = (fixtures.signing_key(), fixtures.signing_key());
    let (kid, now) = (key.kid.clone(), fixtures.now());
    assert!(insert(&store, &key, true).await);
    let other_kid = other.kid.clone();
    let removed = async || {
        query!(store, [kid, other_kid], |tx| (
            tx.was_signing_key_removed(&kid).await?,
            tx.was_signing_key_removed(&other_kid).await?
        ))
    };
    assert!(commit!(store, [kid], |tx| tx.retire_signing_key(&kid, now).await?));
    assert_eq!(removed().await, (false, false), "a retired key is still there");
    assert!(commit!(store, [kid], |tx| tx.remove_signing_key(&kid, now).await?));
    assert_eq!(removed().await, (true, false));
    for is_first in [false, true] {
        assert!(!insert(&store, &key, is_first).await);
    }
    assert_eq!(all(&store).await, []);
    assert!(insert(&store, &other, true).await, "it is no rival of a first key");
    let kids: Vec<String> = all(&store).await.into_iter().map(|key| key.kid).collect();
    assert_eq!(kids, [other.kid]);
}

pub async fn a_key_is_needed_while_a_token_of_it_lives<S: Store>(store: S) {
    let fixtures = Fixtures::new(103);
    let tenant = Tenant::create(&store, &fixtures).await;
    let grant = fixtures.grant(&tenant.agent);
    let end = fixtures.now().plus(Lifetime::minutes(5));
    let short = Token {
        key_id: "old".into(),
        expires_at: end,
        ..fixtures.token(&grant)
    };
    let shorter = Token {
        key_id: "old".into(),
        expires_at: end.minus(Lifetime::minutes(1)),
        ..fixtures.token(&grant)
    };
    let revoked = Token {
        key_id: "revoked".into(),
        revoked_at: Some(end),
        ..fixtures.token(&grant)
    };
    tenant.insert_grants(&store, &[&grant]).await;
    tenant.insert_tokens(&store, &[&short, &shorter, &revoked]).await;
    let now = fixtures.now();
    let is_needed = query!(store, [], |tx| [
        tx.has_live_token("old", now).await?,
        tx.has_live_token("old", end.minus(Lifetime::millis(1))).await?,
        tx.has_live_token("old", end).await?,
        tx.has_live_token("OLD", now).await?,
        // A revoked token's signature is still checked before its revocation is found.
        tx.has_live_token("revoked", now).await?,
        tx.has_live_token("", now).await?,
    ]);
    assert_eq!(is_needed, [true, true, false, false, true, false]);
}
