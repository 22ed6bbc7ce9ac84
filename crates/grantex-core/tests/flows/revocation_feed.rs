use std::collections::BTreeMap;
use std::time::Duration;

use grantex_core::agent::{Agent, AgentChanges, AgentStatus};
use grantex_core::clock::{Lifetime, Timestamp};
use grantex_core::event::{Event, Observer};
use grantex_core::grant::GrantFilter;
use grantex_core::id::TokenId;
use grantex_core::page::PageRequest;
use grantex_core::revocation::RevocationAction::{Resumed, Revoked, Suspended, TokenRevoked};
use grantex_core::revocation::feed::{FeedError, PAGE};
use grantex_core::revocation::{RevocationAction, RevocationEntry};
use grantex_core::sweep::Retention;
use grantex_core::testing::{MemoryStore, SeededRandom, StoreFailure};
use grantex_core::token::crypto::MasterKey;
use grantex_core::token::verified::VerifiedTokens;
use grantex_core::token::{IssuedToken, RevocationStatus, jwt};
use grantex_core::{Grantex, Settings};
use proptest::prelude::*;

use crate::support::{World, key_ring};

impl World {
    /// Every entry of the developer's feed, whose chain of hashes is whole.
    async fn told(&self) -> Vec<RevocationEntry> {
        let entries = self
            .grantex
            .all_revocations_since(&self.developer.id, 0)
            .await
            .unwrap()
            .entries;
        let mut before = self.developer.id.to_string();
        for entry in &entries {
            assert_eq!(entry.hash, entry.hash_behind(&before));
            before.clone_from(&entry.hash);
        }
        entries
    }

    async fn actions(&self) -> Vec<(RevocationAction, String)> {
        let entries = self.told().await.into_iter();
        entries.map(|entry| (entry.action, entry.subject)).collect()
    }

    async fn status(&self, token: &IssuedToken) -> RevocationStatus {
        let (grant, jti) = (token.grant.id.as_str(), token.token_id.as_str());
        let found = self
            .grantex
            .revocation_status(&self.developer, Some(grant), Some(jti))
            .await;
        found.unwrap().status
    }
}

/// What a published client makes of the feed.
#[derive(Default)]
struct Client {
    cursor: i64,
    grants: BTreeMap<String, Timestamp>,
    tokens: BTreeMap<String, Timestamp>,
}

impl Client {
    fn apply(&mut self, entry: &RevocationEntry) {
        match (entry.action, entry.grant_id(), entry.jti()) {
            (TokenRevoked, None, Some(jti)) => drop(self.tokens.insert(jti.to_owned(), entry.expires_at)),
            (Resumed, Some(grant), None) => drop(self.grants.remove(grant)),
            (Revoked | Suspended, Some(grant), None) => drop(self.grants.insert(grant.to_owned(), entry.expires_at)),
            _ => panic!("an entry is about one thing: {entry:?}"),
        }
    }

    async fn snapshot(world: &World) -> Self {
        let (mut client, mut place) = (Self::default(), None);
        loop {
            let page = world
                .grantex
                .revocation_snapshot(&world.developer.id, place)
                .await
                .unwrap();
            page.entries.iter().for_each(|entry| client.apply(entry));
            client.cursor = page.cursor;
            place = page.next;
            if place.is_none() {
                return client;
            }
        }
    }

    async fn poll(&mut self, world: &World) {
        let changes = world
            .grantex
            .revocations_since(&world.developer.id, self.cursor)
            .await
            .unwrap();
        assert!(changes.entries.iter().is_sorted_by_key(|entry| entry.seq));
        changes.entries.iter().for_each(|entry| self.apply(entry));
        let highest = changes.entries.iter().map(|entry| entry.seq);
        self.cursor = highest.chain([changes.cursor, self.cursor]).max().unwrap();
    }

    fn refuses(&self, token: &IssuedToken, now: Timestamp) -> bool {
        let is_known = |set: &BTreeMap<String, Timestamp>, id: &str| set.get(id).is_some_and(|end| *end > now);
        let parent = token.grant.parent_grant_id.as_ref();
        is_known(&self.tokens, token.token_id.as_str())
            || is_known(&self.grants, token.grant.id.as_str())
            || parent.is_some_and(|id| is_known(&self.grants, id.as_str()))
    }
}

#[tokio::test]
async fn a_cascade_tells_of_every_grant_until_its_end() {
    let world = World::new().await;
    let (agent, helper) = (world.agent(&[]).await, world.agent(&[]).await);
    let root = world.issue(&agent, &["read"]).await;
    let child = world.delegate(&root, &helper, &["read"]).await.unwrap();
    world
        .grantex
        .revoke_grant(&world.ctx(), &world.developer, root.grant.id.clone())
        .await
        .unwrap();
    let told = world.told().await;
    let found: Vec<_> = told
        .iter()
        .map(|entry| {
            (
                entry.seq,
                entry.action,
                entry.grant_id().unwrap(),
                entry.expires_at,
                entry.at,
            )
        })
        .collect();
    assert_eq!(
        found,
        [
            (1, Revoked, root.grant.id.as_str(), root.grant.expires_at, world.now()),
            (2, Revoked, child.grant.id.as_str(), child.grant.expires_at, world.now()),
        ]
    );
    assert!(root.expires_at <= told[0].expires_at && child.expires_at <= told[1].expires_at);
    let again = world
        .grantex
        .revoke_grant(&world.ctx(), &world.developer, root.grant.id)
        .await;
    assert!(again.is_err());
    assert_eq!(world.told().await.len(), 2);
}

#[tokio::test]
async fn verifiers_whose_clock_is_late_still_find_what_has_ended() {
    let world = World::new().await;
    let agent = world.agent(&[]).await;
    let (before, after) = (
        world.issue(&agent, &["read"]).await,
        world.issue(&agent, &["read"]).await,
    );
    let revoke = async |token: &IssuedToken| {
        let (ctx, grant) = (world.ctx(), token.grant.id.clone());
        world.grantex.revoke_grant(&ctx, &world.developer, grant).await.unwrap();
    };
    let found = async || {
        let page = world
            .grantex
            .revocation_snapshot(&world.developer.id, None)
            .await
            .unwrap();
        page.entries.into_iter().map(|entry| entry.subject).collect::<Vec<_>>()
    };
    revoke(&before).await;
    world.clock.advance(before.grant.expires_at.since(world.now()));
    world.clock.advance(Lifetime::minutes(9));
    assert_eq!(found().await, [before.grant.id.to_string()]);
    revoke(&after).await;
    assert_eq!(found().await, [before.grant.id.to_string(), after.grant.id.to_string()]);
    world.clock.advance(Lifetime::minutes(1));
    assert_eq!(found().await, Vec::<String>::new());
}

#[tokio::test]
async fn tokens_and_blocks_are_told_by_their_own_ids() {
    let world = World::new().await;
    let agent = world.agent(&[]).await;
    let token = world.issue(&agent, &["read"]).await;
    let (ctx, developer) = (world.ctx(), &world.developer);
    world
        .grantex
        .revoke_access_token(&ctx, developer, token.token_id.as_str())
        .await
        .unwrap();
    let block = "ab".repeat(64);
    for _ in 0..2 {
        world
            .grantex
            .revoke_block(&ctx, developer, block.clone())
            .await
            .unwrap();
    }
    let told = world.told().await;
    assert_eq!(
        told.iter().map(|entry| (entry.action, entry.jti())).collect::<Vec<_>>(),
        [
            (TokenRevoked, Some(token.token_id.as_str())),
            (TokenRevoked, Some(block.as_str()))
        ]
    );
    assert_eq!(told[0].expires_at, token.expires_at);
    assert_eq!(told[1].expires_at, world.now().plus(Lifetime::days(365)));
}

#[tokio::test]
async fn a_suspension_reaches_what_was_delegated_and_ends_when_nothing_else_stands_against_it() {
    let world = World::new().await;
    let (agent, helper) = (world.agent(&[]).await, world.agent(&[]).await);
    let root = world.issue(&agent, &["read"]).await;
    let child = world.delegate(&root, &helper, &["read"]).await.unwrap();
    let (root, child) = (root.grant.id.to_string(), child.grant.id.to_string());
    world.set_status(&agent, AgentStatus::Suspended).await;
    world.set_status(&helper, AgentStatus::Suspended).await;
    world.set_status(&agent, AgentStatus::Active).await;
    world.set_status(&helper, AgentStatus::Active).await;
    assert_eq!(
        world.actions().await,
        [
            (Suspended, root.clone()),
            (Suspended, child.clone()),
            (Suspended, child.clone()),
            (Resumed, root.clone()),
            (Resumed, child.clone()),
        ]
    );
    let since = async |seq| {
        let changes = world.grantex.revocations_since(&world.developer.id, seq).await.unwrap();
        changes.entries.into_iter().map(|entry| entry.seq).collect::<Vec<_>>()
    };
    assert_eq!(since(0).await, [4, 5], "of each grant the latest");
    world.set_status(&agent, AgentStatus::Suspended).await;
    assert_eq!(since(3).await, [6, 7]);
}

#[tokio::test]
async fn nobody_goes_on_where_the_feed_does_not_reach() {
    let world = World::new().await;
    let since = |seq| world.grantex.revocations_since(&world.developer.id, seq);
    assert_eq!(since(0).await.unwrap().cursor, 0);
    assert!(matches!(since(1).await, Err(FeedError::Ahead)));
    let agent = world.agent(&[]).await;
    world.issue(&agent, &["read"]).await;
    world.set_status(&agent, AgentStatus::Suspended).await;
    world.set_status(&agent, AgentStatus::Active).await;
    assert_eq!(since(2).await.unwrap().cursor, 2);
    world.clock.advance(Lifetime::hours(49));
    world.grantex.janitor(&Retention::default()).await.unwrap();
    let all = |seq| world.grantex.all_revocations_since(&world.developer.id, seq);
    assert!(matches!(all(0).await, Err(FeedError::Expired)));
    assert_eq!(all(2).await.unwrap().entries, []);
    assert_eq!(since(0).await.unwrap().cursor, 2);
}

/// An agent with more grants than one unit tells of.
async fn crowded(world: &World) -> Agent {
    world.fill_active_grants(1_200).await;
    let page = world
        .grantex
        .grants(&world.developer, GrantFilter::default(), PageRequest::default())
        .await
        .unwrap();
    let id = page.items[0].agent_id.clone();
    world.grantex.agent(&world.developer, id).await.unwrap().unwrap()
}

#[tokio::test]
async fn many_grants_are_told_over_several_units_and_pages() {
    let world = World::new().await;
    let agent = crowded(&world).await;
    world.set_status(&agent, AgentStatus::Suspended).await;
    let client = Client::snapshot(&world).await;
    assert_eq!((client.grants.len(), client.cursor), (1_200, 1_200));
    let first = world
        .grantex
        .revocation_snapshot(&world.developer.id, None)
        .await
        .unwrap();
    assert_eq!(first.entries.len(), PAGE as usize);
    // What happens while pages are read: the cursor stays where it was before the first one.
    world.set_status(&agent, AgentStatus::Active).await;
    let second = world
        .grantex
        .revocation_snapshot(&world.developer.id, first.next)
        .await
        .unwrap();
    assert_eq!((second.cursor, second.entries.len(), second.next), (1_200, 0, None));
    let mut client = Client {
        cursor: second.cursor,
        ..Client::default()
    };
    first.entries.iter().for_each(|entry| client.apply(entry));
    client.poll(&world).await;
    client.poll(&world).await;
    assert_eq!((client.grants.len(), client.cursor), (0, 2_400));
}

#[tokio::test]
async fn what_a_crash_left_untold_the_job_tells() {
    let world = World::new().await;
    let agent = crowded(&world).await;
    let changes = AgentChanges {
        status: Some(AgentStatus::Suspended),
        ..AgentChanges::default()
    };
    let sealer = MasterKey::parse(&"11".repeat(32)).unwrap();
    let settings = Settings::new("https://auth.example");
    let failing = Grantex::builder(world.store.clone(), settings, key_ring(), sealer, SeededRandom::new(9))
        .clock(world.clock.clone())
        .observer(FailNext(world.store.clone()))
        .build();
    failing
        .update_agent(&world.ctx(), &world.developer, agent.id, changes)
        .await
        .unwrap();
    let told = Client::snapshot(&world).await.grants.len();
    assert_eq!(told, 1_000, "a thousand are told with the change");
    assert_eq!(world.grantex.spread_revocations(&world.ctx()).await.unwrap(), 1);
    assert_eq!(Client::snapshot(&world).await.grants.len(), 1_200);
    assert_eq!(world.grantex.spread_revocations(&world.ctx()).await.unwrap(), 0);
}

/// Loses the unit that follows an agent's suspension.
struct FailNext(MemoryStore);

impl Observer for FailNext {
    fn observe(&self, _event: &Event, _latency: Duration) {
        self.0.fail_next(StoreFailure::Unavailable);
    }
}

#[tokio::test]
async fn a_signed_head_is_no_token_and_tells_where_the_feed_ends() {
    let world = World::new().await;
    let agent = world.agent(&[]).await;
    world.issue(&agent, &["read"]).await;
    world.set_status(&agent, AgentStatus::Suspended).await;
    let head = world
        .grantex
        .revocation_snapshot(&world.developer.id, None)
        .await
        .unwrap()
        .head;
    let told = world.told().await;
    assert_eq!((head.seq, &head.hash), (1, &told[0].hash));
    let signed = world.grantex.sign_revocation_head(&world.developer.id, &head).unwrap();
    let opened = jwt::open(&world.grantex.keys(), &VerifiedTokens::default(), signed.expose()).unwrap();
    assert_eq!(opened.typ.as_deref(), Some("revocation-head+jwt"));
    let mut names: Vec<&str> = opened.claims.keys().map(String::as_str).collect();
    names.sort_unstable();
    assert_eq!(names, ["cursor", "developerId", "hash", "iat", "iss"]);
    assert_eq!(opened.claims["hash"], told[0].hash);
    assert!(world.verify(&signed).await.is_err());
}

#[derive(Debug, Clone)]
enum Step {
    Issue(usize),
    Delegate(usize, usize),
    RevokeGrant(usize),
    RevokeToken(usize),
    Suspend(usize),
    Resume(usize),
    Delete(usize),
    Clear,
    Poll,
}

fn step() -> impl Strategy<Value = Step> {
    let place = 0..64_usize;
    prop_oneof![
        3 => place.clone().prop_map(Step::Issue),
        4 => (place.clone(), place.clone()).prop_map(|(parent, agent)| Step::Delegate(parent, agent)),
        1 => place.clone().prop_map(Step::RevokeGrant),
        1 => place.clone().prop_map(Step::RevokeToken),
        2 => place.clone().prop_map(Step::Suspend),
        3 => place.clone().prop_map(Step::Resume),
        1 => place.prop_map(Step::Delete),
        1 => Just(Step::Clear),
        4 => Just(Step::Poll),
    ]
}

async fn walk(steps: Vec<Step>) {
    let world = World::new().await;
    let mut agents = Vec::new();
    for _ in 0..3 {
        agents.push(world.agent(&[]).await);
    }
    let mut tokens: Vec<IssuedToken> = Vec::new();
    let mut client = Client::snapshot(&world).await;
    let (ctx, developer) = (world.ctx(), &world.developer);
    for step in steps {
        let agent = |place: usize| &agents[place % agents.len()];
        let token = |place: usize| tokens.get(place % tokens.len().max(1)).cloned();
        world.clock.advance(Lifetime::millis(10));
        match step {
            Step::Issue(place) => {
                if let Ok(opened) = world.authorize(world.request(&agent(place).id, &["read"])).await {
                    tokens.extend(world.exchange(agent(place), &opened.code.unwrap()).await);
                }
            }
            Step::Delegate(parent, heir) => {
                if let Some(parent) = token(parent) {
                    tokens.extend(world.delegate(&parent, agent(heir), &["read"]).await);
                }
            }
            Step::RevokeGrant(place) => {
                if let Some(token) = token(place) {
                    let _ = world.grantex.revoke_grant(&ctx, developer, token.grant.id).await;
                }
            }
            Step::RevokeToken(place) => {
                if let Some(token) = token(place) {
                    let id: TokenId = token.token_id;
                    let _ = world.grantex.revoke_access_token(&ctx, developer, id.as_str()).await;
                }
            }
            Step::Suspend(place) | Step::Resume(place) => {
                let status = match step {
                    Step::Suspend(_) => AgentStatus::Suspended,
                    _ => AgentStatus::Active,
                };
                let changes = AgentChanges {
                    status: Some(status),
                    ..AgentChanges::default()
                };
                let _ = world
                    .grantex
                    .update_agent(&ctx, developer, agent(place).id.clone(), changes)
                    .await;
            }
            Step::Delete(place) => {
                let _ = world
                    .grantex
                    .delete_agent(&ctx, developer, agent(place).id.clone())
                    .await;
            }
            Step::Clear => drop(world.grantex.clear_deleted_agents(&ctx).await.unwrap()),
            Step::Poll => client.poll(&world).await,
        }
    }
    client.poll(&world).await;
    world.told().await;
    let fresh = Client::snapshot(&world).await;
    for token in &tokens {
        let is_refused = world.status(token).await != RevocationStatus::Active;
        assert_eq!(client.refuses(token, world.now()), is_refused, "following: {token:?}");
        assert_eq!(fresh.refuses(token, world.now()), is_refused, "a snapshot: {token:?}");
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(48))]

    /// A client that goes by the feed alone refuses what the server refuses, whatever happened and however it was revoked.
    #[test]
    fn whoever_follows_the_feed_refuses_what_verification_refuses(steps in prop::collection::vec(step(), 0..40)) {
        let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
        runtime.block_on(walk(steps));
    }
}
