//! Authorization requests and their codes.

use super::support::{FAR, Tenant, odd_texts};
use crate::authorize::{AuthRequest, AuthRequestState};
use crate::clock::{Lifetime, Timestamp};
use crate::id::{AuthRequestId, GrantId};
use crate::scope::Scopes;
use crate::secret::SecretHash;
use crate::store::Store;
use crate::testing::fixtures::Fixtures;
use crate::token::pkce::CodeChallenge;

async fn pending<S: Store>(store: &S, fixtures: &Fixtures) -> AuthRequest {
    let request = fixtures.auth_request(&Tenant::create(store, fixtures).await.agent);
    commit!(store, [request], |tx| tx.insert_auth_request(&request).await?);
    request
}

async fn read<S: Store>(store: &S, id: &AuthRequestId) -> Option<AuthRequest> {
    query!(store, [id], |tx| tx.auth_request(&id).await?)
}

async fn by_code<S: Store>(store: &S, hash: &SecretHash) -> Option<AuthRequest> {
    query!(store, [hash], |tx| tx.auth_request_by_code(&hash).await?)
}

async fn approve<S: Store>(store: &S, id: &AuthRequestId, now: Timestamp, hash: &SecretHash, until: Timestamp) -> bool {
    commit!(store, [id, hash], |tx| tx
        .approve_auth_request(&id, now, &hash, until)
        .await?)
}

async fn deny<S: Store>(store: &S, id: &AuthRequestId, now: Timestamp) -> bool {
    commit!(store, [id], |tx| tx.deny_auth_request(&id, now).await?)
}

async fn consume<S: Store>(store: &S, id: &AuthRequestId, hash: &SecretHash, now: Timestamp, grant: &GrantId) -> bool {
    commit!(store, [id, hash, grant], |tx| tx
        .consume_auth_request(&id, &hash, now, &grant)
        .await?)
}

pub async fn a_request_is_read_back_as_it_was_written<S: Store>(store: S) {
    let fixtures = Fixtures::new(20);
    let agent = Tenant::create(&store, &fixtures).await.agent;
    let approved = AuthRequestState::Approved {
        code_hash: fixtures.hash(),
        code_expires_at: FAR,
    };
    let challenge = CodeChallenge::parse("E9Melhoa2OwvFrEMTJguCHaoeK1t8URWbuGJSstw-cM");
    assert!(challenge.is_some());
    let mut all = vec![
        fixtures.auth_request(&agent),
        AuthRequest {
            status: approved,
            code_challenge: challenge,
            ..fixtures.auth_request(&agent)
        },
        // Just below 2^53, the largest span that the wire can say.
        AuthRequest {
            expires_in: Lifetime::millis(9_007_199_254_740_000),
            ..fixtures.auth_request(&agent)
        },
    ];
    all.extend(odd_texts().into_iter().map(|text| AuthRequest {
        principal_id: text.clone(),
        scopes: Scopes::from_stored(&text),
        redirect_uri: Some(text.clone()),
        state: Some(text.clone()),
        audience: Some(text),
        ..fixtures.auth_request(&agent)
    }));
    for request in all {
        assert_eq!(read(&store, &request.id).await, None);
        commit!(store, [request], |tx| tx.insert_auth_request(&request).await?);
        assert_eq!(read(&store, &request.id).await, Some(request.clone()));
        if let AuthRequestState::Approved { code_hash, .. } = &request.status {
            assert_eq!(by_code(&store, code_hash).await, Some(request.clone()));
        }
    }
    assert_eq!(by_code(&store, &fixtures.hash()).await, None);
}

pub async fn a_request_is_approved_once<S: Store>(store: S) {
    let fixtures = Fixtures::new(21);
    let request = pending(&store, &fixtures).await;
    let (now, hash, other_hash) = (fixtures.now(), fixtures.hash(), fixtures.hash());
    let until = now.plus(Lifetime::minutes(10));

    assert!(approve(&store, &request.id, now, &hash, until).await);
    assert!(
        !approve(&store, &request.id, now, &other_hash, until).await,
        "it was approved already"
    );
    assert!(!deny(&store, &request.id, now).await, "it was approved already");
    let expected = AuthRequest {
        status: AuthRequestState::Approved {
            code_hash: hash.clone(),
            code_expires_at: until,
        },
        ..request.clone()
    };
    assert_eq!(read(&store, &request.id).await, Some(expected.clone()));
    assert_eq!(by_code(&store, &hash).await, Some(expected));
    assert_eq!(by_code(&store, &other_hash).await, None);
    assert!(
        !approve(&store, &fixtures.id(), now, &other_hash, until).await,
        "an unknown request"
    );
}

pub async fn a_request_is_denied_once<S: Store>(store: S) {
    let fixtures = Fixtures::new(22);
    let request = pending(&store, &fixtures).await;
    let (now, hash) = (fixtures.now(), fixtures.hash());

    assert!(deny(&store, &request.id, now).await);
    assert!(!deny(&store, &request.id, now).await, "it was denied already");
    assert!(
        !approve(&store, &request.id, now, &hash, FAR).await,
        "it was denied already"
    );
    assert_eq!(
        read(&store, &request.id).await,
        Some(AuthRequest {
            status: AuthRequestState::Denied,
            ..request
        })
    );
    assert_eq!(by_code(&store, &hash).await, None);
    assert!(!deny(&store, &fixtures.id(), now).await, "an unknown request");
}

pub async fn an_expired_request_cannot_be_decided<S: Store>(store: S) {
    let fixtures = Fixtures::new(23);
    let request = pending(&store, &fixtures).await;
    let hash = fixtures.hash();
    assert!(
        !approve(&store, &request.id, request.expires_at, &hash, FAR).await,
        "it ends with its last millisecond"
    );
    assert!(!deny(&store, &request.id, request.expires_at).await);
    assert_eq!(read(&store, &request.id).await, Some(request.clone()));
    let last_moment = request.expires_at.minus(Lifetime::millis(1));
    assert!(approve(&store, &request.id, last_moment, &hash, FAR).await);

    let request = pending(&store, &fixtures).await;
    assert!(deny(&store, &request.id, request.expires_at.minus(Lifetime::millis(1))).await);
}

pub async fn a_code_is_consumed_once_and_still_found<S: Store>(store: S) {
    let fixtures = Fixtures::new(24);
    let request = pending(&store, &fixtures).await;
    let (now, hash) = (fixtures.now(), fixtures.hash());
    let (grant, other_grant): (GrantId, GrantId) = (fixtures.id(), fixtures.id());
    assert!(approve(&store, &request.id, now, &hash, FAR).await);

    let consumed_at = now.plus(Lifetime::millis(7));
    assert!(consume(&store, &request.id, &hash, consumed_at, &grant).await);
    assert!(
        !consume(&store, &request.id, &hash, consumed_at, &other_grant).await,
        "it was consumed already"
    );
    assert!(!approve(&store, &request.id, now, &fixtures.hash(), FAR).await);
    assert!(!deny(&store, &request.id, now).await);
    let status = AuthRequestState::Consumed {
        code_hash: hash.clone(),
        consumed_at,
        grant_id: grant,
    };
    let expected = AuthRequest { status, ..request };
    assert_eq!(read(&store, &expected.id).await, Some(expected.clone()));
    assert_eq!(
        by_code(&store, &hash).await,
        Some(expected),
        "a second use must find what the first one made"
    );
}

pub async fn a_code_is_consumed_only_by_its_hash_and_in_time<S: Store>(store: S) {
    let fixtures = Fixtures::new(25);
    let request = pending(&store, &fixtures).await;
    let (now, hash, grant) = (fixtures.now(), fixtures.hash(), fixtures.id());
    // The code has a clock of its own: it works when the request could not be decided any more.
    let until = request.expires_at.plus(Lifetime::minutes(5));
    assert!(approve(&store, &request.id, now, &hash, until).await);
    assert!(
        !consume(&store, &request.id, &fixtures.hash(), now, &grant).await,
        "another code"
    );
    assert!(
        !consume(&store, &request.id, &hash, until, &grant).await,
        "it ends with its last millisecond"
    );
    assert!(
        !consume(&store, &fixtures.id(), &hash, now, &grant).await,
        "another request"
    );
    assert!(consume(&store, &request.id, &hash, until.minus(Lifetime::millis(1)), &grant).await);
}

pub async fn a_request_that_is_not_approved_cannot_be_consumed<S: Store>(store: S) {
    let fixtures = Fixtures::new(26);
    let (undecided, denied) = (pending(&store, &fixtures).await, pending(&store, &fixtures).await);
    let now = fixtures.now();
    assert!(deny(&store, &denied.id, now).await);
    for id in [&undecided.id, &denied.id] {
        assert!(!consume(&store, id, &fixtures.hash(), now, &fixtures.id()).await);
    }
    assert_eq!(read(&store, &undecided.id).await, Some(undecided));
}
