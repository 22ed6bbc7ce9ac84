//! Tokens and refresh tokens.

use super::support::{FAR, Tenant, odd_texts};
use crate::agent::{Agent, AgentStatus};
use crate::clock::{Lifetime, Timestamp};
use crate::grant::{Grant, GrantState, RevokedBy};
use crate::id::{DeveloperId, GrantId, TokenId};
use crate::store::Store;
use crate::testing::fixtures::Fixtures;
use crate::token::{RefreshUse, Replay, Token, TokenRecord};

async fn read<S: Store>(store: &S, id: &TokenId) -> Option<TokenRecord> {
    query!(store, [id], |tx| tx.token(&id).await?)
}

async fn stored<S: Store>(store: &S, fixtures: &Fixtures) -> (Tenant, Grant, Token) {
    let tenant = Tenant::create(store, fixtures).await;
    let grant = fixtures.grant(&tenant.agent);
    let token = fixtures.token(&grant);
    tenant.insert_grants(store, &[&grant]).await;
    tenant.insert_tokens(store, &[&token]).await;
    (tenant, grant, token)
}

async fn use_refresh<S: Store>(store: &S, id: &TokenId, used: &RefreshUse) -> bool {
    commit!(store, [id, used], |tx| tx.use_refresh_token(&id, &used).await?)
}

pub async fn a_token_comes_with_its_grant_and_agent<S: Store>(store: S) {
    let fixtures = Fixtures::new(50);
    let (tenant, grant, token) = stored(&store, &fixtures).await;
    let (id, now) = (tenant.developer.id.clone(), fixtures.now());
    let mut expected = TokenRecord {
        token: token.clone(),
        grant: grant.clone(),
        agent_status: Some(AgentStatus::Active),
    };
    assert_eq!(read(&store, &token.id).await, Some(expected.clone()));
    assert_eq!(read(&store, &fixtures.id()).await, None);

    let suspended = Agent {
        status: AgentStatus::Suspended,
        ..tenant.agent.clone()
    };
    commit!(store, [suspended], |tx| tx.update_agent(&suspended).await?);
    expected.agent_status = Some(AgentStatus::Suspended);
    assert_eq!(read(&store, &token.id).await, Some(expected.clone()));

    commit!(store, [id, suspended], |tx| tx
        .hide_agent(&id, &suspended.id, now)
        .await?);
    expected.agent_status = None;
    assert_eq!(read(&store, &token.id).await, Some(expected.clone()));

    commit!(store, [id, grant], |tx| tx
        .revoke_tree(&id, &grant.id, RevokedBy::Developer, now)
        .await?);
    expected.grant.state = GrantState::Revoked { at: now };
    assert_eq!(read(&store, &token.id).await, Some(expected));

    // A delegated grant's token carries the whole grant too, with the agents that handed it on.
    let child = fixtures.child(&grant, &tenant.agent);
    let odd = Token {
        key_id: odd_texts().concat(),
        expires_at: FAR,
        refresh_expires_at: FAR,
        ..fixtures.token(&child)
    };
    tenant.insert_grants(&store, &[&child]).await;
    tenant.insert_tokens(&store, &[&odd]).await;
    assert_eq!(
        read(&store, &odd.id).await,
        Some(TokenRecord {
            token: odd,
            grant: child,
            agent_status: None
        })
    );
}

pub async fn a_token_is_found_by_its_refresh_token<S: Store>(store: S) {
    let fixtures = Fixtures::new(51);
    let (tenant, grant, token) = stored(&store, &fixtures).await;
    let successor = fixtures.token(&grant);
    tenant.insert_tokens(&store, &[&successor]).await;
    let used = fixtures.refresh_use(&successor);
    assert!(use_refresh(&store, &token.id, &used).await);
    let (hash, next, unknown) = (
        token.refresh_hash.clone(),
        successor.refresh_hash.clone(),
        fixtures.hash(),
    );
    let found = query!(store, [hash, next, unknown], |tx| (
        tx.token_by_refresh(&hash).await?,
        tx.token_by_refresh(&next).await?,
        tx.token_by_refresh(&unknown).await?
    ));
    let record = |token| TokenRecord {
        token,
        grant: grant.clone(),
        agent_status: Some(AgentStatus::Active),
    };
    let expected = (
        Some(record(Token {
            refresh_use: Some(used),
            ..token
        })),
        Some(record(successor)),
        None,
    );
    assert_eq!(
        found, expected,
        "used refresh tokens are found too, or reuse could not be told"
    );
}

pub async fn the_first_token_is_the_one_that_succeeds_none<S: Store>(store: S) {
    let fixtures = Fixtures::new(52);
    let (tenant, grant, second) = stored(&store, &fixtures).await;
    // Issued first by a replica whose clock is ahead, so that its id and its time come last.
    let first = fixtures.token(&grant);
    let third = fixtures.token(&grant);
    tenant.insert_tokens(&store, &[&third, &first]).await;
    let of_another_grant = fixtures.grant(&tenant.agent);
    tenant.insert_grants(&store, &[&of_another_grant]).await;
    let first_use = fixtures.refresh_use(&second);
    assert!(use_refresh(&store, &first.id, &first_use).await);
    assert!(use_refresh(&store, &second.id, &fixtures.refresh_use(&third)).await);

    let (id, other, unknown): (_, _, GrantId) = (grant.id.clone(), of_another_grant.id, fixtures.id());
    let found = query!(store, [id, other, unknown], |tx| (
        tx.first_token_of_grant(&id).await?,
        tx.first_token_of_grant(&other).await?,
        tx.first_token_of_grant(&unknown).await?
    ));
    let token = Token {
        refresh_use: Some(first_use),
        ..first
    };
    assert_eq!(
        found,
        (
            Some(TokenRecord {
                token,
                grant,
                agent_status: Some(AgentStatus::Active)
            }),
            None,
            None
        )
    );
}

pub async fn a_refresh_token_is_used_once<S: Store>(store: S) {
    let fixtures = Fixtures::new(53);
    let (_, grant, token) = stored(&store, &fixtures).await;
    let used = fixtures.refresh_use(&fixtures.token(&grant));
    let again = fixtures.refresh_use(&fixtures.token(&grant));
    assert!(use_refresh(&store, &token.id, &used).await);
    assert!(!use_refresh(&store, &token.id, &again).await);
    assert!(!use_refresh(&store, &fixtures.id(), &again).await, "an unknown token");
    assert_eq!(
        read(&store, &token.id).await.unwrap().token,
        Token {
            refresh_use: Some(used),
            ..token
        }
    );
}

pub async fn a_kept_answer_can_be_forgotten<S: Store>(store: S) {
    let fixtures = Fixtures::new(54);
    let (tenant, grant, token) = stored(&store, &fixtures).await;
    let answer = Replay {
        key_hash: fixtures.hash(),
        sealed: Some("c2VhbGVk".repeat(300)),
    };
    let used = RefreshUse {
        replay: Some(answer.clone()),
        ..fixtures.refresh_use(&fixtures.token(&grant))
    };
    let (id, unknown): (_, TokenId) = (token.id.clone(), fixtures.id());
    assert!(use_refresh(&store, &id, &used).await);
    assert_eq!(read(&store, &id).await.unwrap().token.refresh_use, Some(used.clone()));
    for _ in 0..2 {
        commit!(store, [id], |tx| tx.forget_replay(&id).await?);
        let replay = Some(Replay {
            sealed: None,
            ..answer.clone()
        });
        assert_eq!(
            read(&store, &id).await.unwrap().token.refresh_use,
            Some(RefreshUse { replay, ..used.clone() })
        );
    }
    // Where nothing is kept there is nothing to forget.
    let without = fixtures.token(&grant);
    tenant.insert_tokens(&store, &[&without]).await;
    let (id, used) = (without.id, RefreshUse { replay: None, ..used });
    assert!(use_refresh(&store, &id, &used).await);
    commit!(store, [id], |tx| tx.forget_replay(&id).await?);
    assert_eq!(read(&store, &id).await.unwrap().token.refresh_use, Some(used));
    commit!(store, [unknown], |tx| tx.forget_replay(&unknown).await?);
}

pub async fn a_token_is_revoked_once_and_by_its_developer<S: Store>(store: S) {
    async fn revoke<S: Store>(store: &S, developer: &DeveloperId, id: &TokenId, now: Timestamp) -> bool {
        commit!(store, [developer, id], |tx| tx
            .revoke_token(&developer, &id, now)
            .await?)
    }
    let fixtures = Fixtures::new(55);
    let (tenant, grant, token) = stored(&store, &fixtures).await;
    let sibling = fixtures.token(&grant);
    tenant.insert_tokens(&store, &[&sibling]).await;
    let other = Tenant::create(&store, &fixtures).await;
    let (own, now) = (&tenant.developer.id, fixtures.now());

    assert!(
        !revoke(&store, &other.developer.id, &token.id, now).await,
        "not their token"
    );
    assert!(!revoke(&store, own, &fixtures.id(), now).await, "an unknown token");
    assert!(revoke(&store, own, &token.id, now).await);
    assert!(
        !revoke(&store, own, &token.id, now.plus(Lifetime::seconds(1))).await,
        "revoked already"
    );
    let record = read(&store, &token.id).await.unwrap();
    assert_eq!(
        record.token,
        Token {
            revoked_at: Some(now),
            ..token
        }
    );
    assert_eq!(record.grant, grant, "the grant is untouched");
    assert_eq!(read(&store, &sibling.id).await.unwrap().token, sibling);
}
