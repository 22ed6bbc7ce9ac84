//! Blocks of Biscuits.

use serde_json::json;

use super::support::{FAR, Tenant};
use crate::clock::{Lifetime, Timestamp};
use crate::grant::Grant;
use crate::grant::offline::OfflineDelegation;
use crate::id::{DeveloperId, GrantId, TokenId};
use crate::page::{PageRequest, PageStart};
use crate::store::Store;
use crate::testing::fixtures::Fixtures;
use crate::token::Token;
use crate::token::biscuit::Ceiling;

fn block(number: u8) -> String {
    format!("{number:02x}").repeat(64)
}

async fn is_revoked<S: Store>(store: &S, developer: &DeveloperId, numbers: &[u8]) -> bool {
    let ids: Vec<String> = numbers.iter().copied().map(block).collect();
    let revoked = query!(store, [developer, ids], |tx| tx
        .revoked_blocks_among(&developer, &ids)
        .await?);
    assert!(revoked.iter().all(|id| ids.contains(id)));
    !revoked.is_empty()
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

pub async fn what_was_handed_on_is_listed_newest_first<S: Store>(store: S) {
    let fixtures = Fixtures::new(58);
    let tenant = Tenant::create(&store, &fixtures).await;
    let (grant, other) = (fixtures.grant(&tenant.agent), fixtures.grant(&tenant.agent));
    tenant.insert_grants(&store, &[&grant, &other]).await;
    let one_of = |grant: &Grant, number: u8, age: i64| OfflineDelegation {
        developer_id: grant.developer_id.clone(),
        grant_id: grant.id.clone(),
        token_id: TokenId::parse("tok_01ARZ3NDEKTSV4RRFFQ69G5FAV").unwrap(),
        revocation_id: block(number),
        parent_revocation_id: number.checked_sub(1).map(block),
        agent_did: "did:web:\"sub\".example".to_owned(),
        depth: u32::from(number) + 1,
        scopes: vec!["mail:read".to_owned(), "a \"b\"".to_owned()],
        audience: (number == 1).then(|| "api".to_owned()),
        ceilings: vec![Ceiling {
            currency: "EUR".to_owned(),
            amount: i64::MAX,
        }],
        expires_at: FAR,
        blocks: vec![json!({"revocationId": block(9)}), json!({"agent": "x"})],
        first_seen_at: fixtures.now().minus(Lifetime::minutes(age)),
    };
    let all = [
        one_of(&grant, 0, 2),
        one_of(&grant, 1, 1),
        one_of(&grant, 2, 1),
        one_of(&other, 3, 0),
    ];
    let insert = async |one: &OfflineDelegation, limit: u32| {
        commit!(store, [one], |tx| tx.insert_offline_delegation(&one, limit).await?)
    };
    for one in &all {
        assert!(insert(one, 3).await);
        assert!(!insert(one, 9).await, "it is known");
    }
    assert!(!insert(&one_of(&grant, 4, 0), 3).await, "there are three of this grant");
    let (developer, foreign) = (&tenant.developer.id, fixtures.id::<DeveloperId>());
    let list = async |developer: &DeveloperId, grant: &GrantId, page: PageRequest| {
        query!(store, [developer, grant, page], |tx| tx
            .offline_delegations(&developer, &grant, &page)
            .await?)
    };
    let page = |from| PageRequest { size: 2, from };
    let first = list(developer, &grant.id, page(PageStart::Number(1))).await;
    assert_eq!(first.items, [all[2].clone(), all[1].clone()]);
    let next = first.next.clone().unwrap();
    let second = list(developer, &grant.id, page(PageStart::After(next))).await;
    assert_eq!((second.items, second.next), (vec![all[0].clone()], None));
    assert_eq!(
        list(developer, &grant.id, page(PageStart::Number(2))).await.items,
        [all[0].clone()]
    );
    assert_eq!(list(&foreign, &grant.id, page(PageStart::Number(1))).await.items, []);
    assert_eq!(
        list(developer, &other.id, page(PageStart::Number(1))).await.items,
        [all[3].clone()]
    );
}
