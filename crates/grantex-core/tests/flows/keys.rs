use std::sync::Arc;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use grantex_core::clock::{Clock, Lifetime};
use grantex_core::keys::{Imported, KeyManager, KeyManagerError, KeySettings};
use grantex_core::secret::Secret;
use grantex_core::testing::MemoryStore;
use grantex_core::token::crypto::{KeyPair, MasterKey};
use grantex_core::token::signer::Algorithm;
use serde_json::json;

use crate::support::World;

fn manager(world: &World, algorithm: Algorithm, master: &str) -> KeyManager<MemoryStore> {
    let clock: Arc<dyn Clock> = Arc::new(world.clock.clone());
    let sealer = Arc::new(MasterKey::parse(&master.repeat(32)).unwrap());
    KeyManager::new(
        world.store.clone(),
        sealer,
        clock,
        KeySettings {
            algorithm,
            activation_delay: Lifetime::minutes(10),
        },
    )
}

#[tokio::test]
async fn a_new_key_is_published_before_it_signs_and_an_old_one_until_its_tokens_have_expired() {
    let world = World::new().await;
    let keys = manager(&world, Algorithm::Rs256, "22");
    keys.ensure().await.unwrap();
    keys.ensure().await.unwrap();
    let first = keys.ring().await.unwrap().token_signer().key_id().to_owned();
    assert_eq!(keys.list().await.unwrap().len(), 1, "ensuring twice makes one key");
    world.grantex.set_keys(keys.ring().await.unwrap());
    let agent = world.agent(&[]).await;
    let token = world.issue(&agent, &["read"]).await;

    let second = keys.rotate().await.unwrap().kid;
    let ring = keys.ring().await.unwrap();
    assert_eq!(ring.token_signer().key_id(), first);
    assert_eq!(ring.public_keys().len(), 2);
    assert!(matches!(
        keys.retire(&first).await,
        Err(KeyManagerError::LastKey { .. })
    ));
    world.clock.advance(Lifetime::minutes(10));
    let ring = keys.ring().await.unwrap();
    assert_eq!(ring.token_signer().key_id(), second);
    world.grantex.set_keys(ring);
    assert!(world.verify(&token.jwt).await.is_ok());

    world.clock.advance(Lifetime::minutes(2));
    assert_eq!(
        keys.prune().await.unwrap(),
        Vec::<String>::new(),
        "superseded, and a token of it is alive"
    );
    world.clock.advance(Lifetime::hours(25));
    assert_eq!(keys.prune().await.unwrap(), [first]);
    assert_eq!(keys.ring().await.unwrap().public_keys().len(), 1);
}

#[tokio::test]
async fn es256_keeps_an_rsa_key_beside_it() {
    let world = World::new().await;
    let keys = manager(&world, Algorithm::Es256, "22");
    keys.ensure().await.unwrap();
    let ring = keys.ring().await.unwrap();
    assert_eq!(ring.token_signer().algorithm(), Algorithm::Es256);
    assert_eq!(ring.session_signer().algorithm(), Algorithm::Rs256);
    let kinds: Vec<_> = ring
        .public_keys()
        .iter()
        .map(|jwk| jwk["kty"].as_str().unwrap())
        .collect();
    assert_eq!(kinds.len(), 2);
    assert!(kinds.contains(&"RSA") && kinds.contains(&"EC"));
    assert!(
        ring.public_keys().iter().all(|jwk| jwk.get("d").is_none()),
        "no private member is published"
    );
}

#[tokio::test]
async fn another_master_key_opens_nothing() {
    let world = World::new().await;
    manager(&world, Algorithm::Rs256, "22").ensure().await.unwrap();
    let other = manager(&world, Algorithm::Rs256, "33");
    assert!(matches!(
        other.ring().await,
        Err(KeyManagerError::WrongMasterKey { .. })
    ));
}

#[tokio::test]
async fn an_old_key_stays_published_as_long_as_a_session_it_signed_may_live() {
    let world = World::new().await;
    let keys = manager(&world, Algorithm::Rs256, "22");
    keys.ensure().await.unwrap();
    world.grantex.set_keys(keys.ring().await.unwrap());
    let agent = world.agent(&[]).await;
    let mut request = world.request(&agent.id, &["read"]);
    request.expires_in = Lifetime::hours(1);
    let code = world.authorize(request).await.unwrap().code.unwrap();
    world.exchange(&agent, &code).await.unwrap();
    let first = keys
        .rotate()
        .await
        .map(|_| ())
        .and(keys.ring().await)
        .unwrap()
        .token_signer()
        .key_id()
        .to_owned();
    world.clock.advance(Lifetime::minutes(10));
    let session = world
        .grantex
        .open_session(&world.ctx(), &world.developer, "user_1".into(), Lifetime::hours(24))
        .await
        .unwrap();
    world.clock.advance(Lifetime::minutes(2));
    assert_eq!(keys.prune().await.unwrap(), Vec::<String>::new(), "retired now");
    world.clock.advance(Lifetime::hours(23));
    assert_eq!(
        keys.prune().await.unwrap(),
        Vec::<String>::new(),
        "no grant token is alive, but the session is"
    );
    world.grantex.set_keys(keys.ring().await.unwrap());
    assert!(world.grantex.session(session.token.expose()).is_some());
    world.clock.advance(Lifetime::hours(2));
    assert_eq!(keys.prune().await.unwrap(), [first]);
}

#[tokio::test]
async fn the_first_key_of_a_new_algorithm_is_published_before_it_signs() {
    let world = World::new().await;
    manager(&world, Algorithm::Rs256, "22").ensure().await.unwrap();
    let keys = manager(&world, Algorithm::Es256, "22");
    keys.ensure().await.unwrap();
    let ring = keys.ring().await.unwrap();
    assert_eq!(ring.public_keys().len(), 2);
    assert_eq!(ring.token_signer().algorithm(), Algorithm::Rs256);
    assert_eq!(
        keys.signing_kid().await.unwrap().as_deref(),
        Some(ring.token_signer().key_id())
    );
    world.clock.advance(Lifetime::minutes(10));
    let ring = keys.ring().await.unwrap();
    assert_eq!(ring.token_signer().algorithm(), Algorithm::Es256);
    assert_eq!(ring.session_signer().algorithm(), Algorithm::Rs256);
}

#[tokio::test]
async fn a_key_of_an_algorithm_that_is_no_longer_used_can_be_retired() {
    let world = World::new().await;
    let es256 = manager(&world, Algorithm::Es256, "22");
    es256.ensure().await.unwrap();
    let kid = es256.ring().await.unwrap().token_signer().key_id().to_owned();
    assert!(matches!(es256.retire(&kid).await, Err(KeyManagerError::LastKey { .. })));
    let rs256 = manager(&world, Algorithm::Rs256, "22");
    rs256.retire(&kid).await.unwrap();
    world.clock.advance(Lifetime::hours(25));
    assert_eq!(rs256.prune().await.unwrap(), [kid]);
}

fn pem_of_a_new_key() -> Secret<String> {
    let (_, der) = KeyPair::generate(Algorithm::Rs256).unwrap();
    let body = STANDARD.encode(der.expose());
    Secret::new(format!(
        "-----BEGIN PRIVATE KEY-----\n{body}\n-----END PRIVATE KEY-----\n"
    ))
}

#[tokio::test]
async fn a_key_that_was_removed_is_not_imported_again() {
    let world = World::new().await;
    let keys = manager(&world, Algorithm::Rs256, "22");
    let pem = pem_of_a_new_key();
    let (kid, outcome) = keys.import(&pem).await.unwrap();
    assert_eq!(outcome, Imported::Now);
    assert_eq!(keys.import(&pem).await.unwrap(), (kid.clone(), Imported::Before));

    keys.rotate().await.unwrap();
    world.clock.advance(Lifetime::minutes(12));
    keys.prune().await.unwrap();
    assert_eq!(
        keys.import(&pem).await.unwrap(),
        (kid.clone(), Imported::Before),
        "a retired key stays retired"
    );
    world.clock.advance(Lifetime::hours(25));
    assert_eq!(keys.prune().await.unwrap(), std::slice::from_ref(&kid));
    // Another server, which begins with the variable still set.
    let replica = manager(&world, Algorithm::Rs256, "22");
    assert_eq!(replica.import(&pem).await.unwrap(), (kid.clone(), Imported::Removed));
    replica.ensure().await.unwrap();
    let listed: Vec<String> = replica.list().await.unwrap().into_iter().map(|key| key.kid).collect();
    assert_eq!(listed.len(), 1);
    assert!(!listed.contains(&kid), "neither listed nor published");
    assert_eq!(replica.ring().await.unwrap().public_keys().len(), 1);
}

#[tokio::test]
async fn every_published_key_is_rsa_and_has_an_id_of_its_own() {
    let world = World::new().await;
    let keys = manager(&world, Algorithm::Rs256, "22");
    keys.ensure().await.unwrap();
    let pem = pem_of_a_new_key();
    keys.import(&pem).await.unwrap();
    keys.import(&pem).await.unwrap();
    keys.rotate().await.unwrap();
    world.clock.advance(Lifetime::minutes(12));
    keys.prune().await.unwrap();
    let ring = keys.ring().await.unwrap();
    let mut kids: Vec<&str> = Vec::new();
    for jwk in ring.public_keys() {
        assert_eq!((&jwk["kty"], &jwk["alg"]), (&json!("RSA"), &json!("RS256")));
        kids.push(jwk["kid"].as_str().unwrap());
    }
    kids.sort_unstable();
    kids.dedup();
    assert_eq!(kids.len(), 3, "clients refuse a key set that has two keys for an id");
    assert_eq!(ring.public_keys().len(), 3);
}
