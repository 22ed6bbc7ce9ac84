//! An agent that hands part of its authority to a sub-agent: without asking anybody, and so that it cannot be handed back more.
//!
//! A person allowed an agent three things for a day. For one task the agent starts another one, which needs one of them for ten minutes. It
//! appends a block to its Biscuit and hands that on. A resource server reads both tokens with the published keys alone.

use std::sync::Arc;

use grantex_biscuit::narrow::{NarrowError, narrow};
use grantex_biscuit::{Biscuits, PublicRootKeys};
use grantex_core::clock::{Clock as _, Lifetime, SystemClock, Timestamp};
use grantex_core::id::{DeveloperId, GrantId, TokenId, new_id};
use grantex_core::secret::Secret;
use grantex_core::token::biscuit::{BiscuitFormat as _, BiscuitKey, BiscuitKeys, Ceiling, Effective, Narrowing, Root};
use grantex_core::token::crypto::SystemEntropy;
use grantex_examples::Failure;

const SUB_AGENT: &str = "did:web:sub.example";
const API: &str = "https://mail.example";

fn main() -> Result<(), Failure> {
    let now = SystemClock::new().now().floor_to_second();
    let issuer = issuer()?;
    let token = whole(&*issuer, now)?;

    // The agent. It has the token and nothing else.
    let task = Narrowing {
        scopes: Some(vec!["mail:read".to_owned()]),
        expires_at: Some(now.plus(Lifetime::minutes(10))),
        audience: Some(API.to_owned()),
        ceilings: vec![Ceiling {
            currency: "EUR".to_owned(),
            amount: 0,
        }],
        agent_did: Some(SUB_AGENT.to_owned()),
        ..Narrowing::default()
    };
    let handed = narrow(token.expose(), &task)?;

    // The sub-agent. What it was not given it cannot take.
    let more = Narrowing {
        scopes: Some(vec!["mail:send".to_owned()]),
        ..Narrowing::default()
    };
    assert_eq!(narrow(handed.expose(), &more).err(), Some(NarrowError::Scopes));

    // The resource server. It has what the issuer publishes and nothing else.
    let published = PublicRootKeys::read(issuer.published());
    let of_agent = published.open(token.expose()).ok_or("the whole token is good")?;
    let of_sub_agent = published.open(handed.expose()).ok_or("the narrowed token is good")?;
    assert!(allows(&of_agent.effective(), "mail:send", API, now));
    let left = of_sub_agent.effective();
    assert!(allows(&left, "mail:read", API, now));
    assert!(!allows(&left, "mail:send", API, now), "another scope");
    assert!(
        !allows(&left, "mail:read", "https://other.example", now),
        "another audience"
    );
    assert!(
        !allows(&left, "mail:read", API, now.plus(Lifetime::minutes(10))),
        "later"
    );
    assert_eq!((left.agent_did.as_str(), left.depth), (SUB_AGENT, 1));
    // Who handed it on can take it back, and keeps what it was derived from: POST /v1/tokens/revoke with this id.
    assert_ne!(of_sub_agent.own_revocation_id(), of_agent.own_revocation_id());

    // A token that somebody else signed says the same, and is worth nothing.
    let forged = whole(&*self::issuer()?, now)?;
    assert!(published.open(forged.expose()).is_none());
    Ok(())
}

/// What a resource server asks before it acts. Whether the token was revoked only the issuer knows.
fn allows(token: &Effective, scope: &str, audience: &str, now: Timestamp) -> bool {
    let is_for_us = !token.is_for_nobody && token.audience.as_deref().is_none_or(|named| named == audience);
    is_for_us && now < token.expires_at && token.scopes.iter().any(|allowed| allowed == scope)
}

/// An issuer with one root key: in earnest a Grantex server, whose store keeps them.
fn issuer() -> Result<Arc<dyn BiscuitKeys>, Failure> {
    let key = BiscuitKey::generate()?;
    Ok(Biscuits::default().keys(std::slice::from_ref(&key), &key.kid)?)
}

/// The token that the agent got for its grant: in earnest by exchanging a code.
fn whole(issuer: &dyn BiscuitKeys, now: Timestamp) -> Result<Secret<String>, Failure> {
    let random = SystemEntropy::default();
    let root = Root {
        issuer: "https://auth.example".to_owned(),
        token_id: new_id::<TokenId>(&random, now),
        grant_id: new_id::<GrantId>(&random, now),
        developer_id: new_id::<DeveloperId>(&random, now),
        principal_id: "ada".to_owned(),
        agent_did: "did:web:agent.example".to_owned(),
        scopes: ["calendar:read", "mail:read", "mail:send"].map(str::to_owned).to_vec(),
        audience: None,
        issued_at: now,
        expires_at: now.plus(Lifetime::hours(24)),
        depth: 0,
        parent_grant_id: None,
    };
    Ok(issuer.mint(&root)?)
}
