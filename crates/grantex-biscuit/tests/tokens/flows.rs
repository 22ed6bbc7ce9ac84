//! Biscuits in the flows: issued, narrowed offline, verified, revoked block by block.

use std::sync::Arc;

use grantex_biscuit::Biscuits;
use grantex_core::agent::{Agent, AgentChanges, AgentStatus, RegisterAgent};
use grantex_core::anomaly::detector::Detector;
use grantex_core::anomaly::signal::Subject;
use grantex_core::authorize::Authorize;
use grantex_core::clock::Lifetime;
use grantex_core::context::Context;
use grantex_core::developer::{Developer, Mode, Signup};
use grantex_core::grant::offline::{MAX_PER_GRANT, OfflineDelegation};
use grantex_core::grant::{Delegate, DelegateError, GrantStatus};
use grantex_core::id::GrantId;
use grantex_core::keys::{KeyManager, KeySettings};
use grantex_core::page::{PageRequest, PageStart};
use grantex_core::scope::Scopes;
use grantex_core::secret::Secret;
use grantex_core::store::KeyState;
use grantex_core::testing::{LogLines, ManualClock, MemoryStore, Recorder, SeededRandom, StoreFailure};
use grantex_core::token::biscuit::{ALGORITHM, TokenFormat};
use grantex_core::token::crypto::MasterKey;
use grantex_core::token::signer::Algorithm;
use grantex_core::token::{ExchangeCode, Introspection, InvalidReason, IssuedToken, VerifiedToken};
use grantex_core::{Grantex, Settings};
use serde_json::json;

use crate::support::append;

struct World {
    grantex: Grantex<MemoryStore>,
    keys: KeyManager<MemoryStore>,
    clock: ManualClock,
    recorder: Recorder,
    detector: Arc<Detector>,
    developer: Developer,
    agent: Agent,
}

fn scopes(list: &[&str]) -> Scopes {
    Scopes::parse(list.iter().map(|&scope| scope.to_owned()).collect()).unwrap()
}

impl World {
    /// What the server knows to be handed on of a grant.
    async fn handed_on(&self, grant: &GrantId) -> Vec<(OfflineDelegation, GrantStatus)> {
        let page = PageRequest {
            size: 1_000,
            from: PageStart::Number(1),
        };
        let found = self
            .grantex
            .offline_delegations(&self.developer, grant.clone(), page)
            .await;
        found.unwrap().unwrap().items
    }

    async fn new() -> Self {
        let (store, clock, recorder) = (MemoryStore::new(), ManualClock::default(), Recorder::default());
        let sealer = || MasterKey::parse(&"11".repeat(32)).unwrap();
        let settings = KeySettings {
            algorithm: Algorithm::Es256,
            activation_delay: Lifetime::minutes(10),
        };
        let keys = KeyManager::new(store.clone(), Arc::new(sealer()), Arc::new(clock.clone()), settings)
            .with_biscuits(Biscuits::default());
        keys.ensure().await.unwrap();
        let ring = keys.ring().await.unwrap();
        let settings = Settings::new("https://auth.example");
        let detector = Arc::new(Detector::default());
        let grantex = Grantex::builder(store, settings, ring, sealer(), SeededRandom::new(7))
            .clock(clock.clone())
            .observer(recorder.clone())
            .anomalies(Arc::clone(&detector))
            .build();
        let ctx = grantex.context(LogLines::default().logger(), "req".into());
        let command = Signup {
            name: "Acme".into(),
            email: None,
            mode: Mode::Sandbox,
        };
        let developer = grantex.signup(&ctx, command).await.unwrap().developer;
        let agent = register(&grantex, &ctx, &developer).await;
        recorder.take();
        Self {
            grantex,
            keys,
            clock,
            recorder,
            detector,
            developer,
            agent,
        }
    }

    fn ctx(&self) -> Context {
        self.grantex.context(LogLines::default().logger(), "req".into())
    }

    async fn other_agent(&self) -> Agent {
        register(&self.grantex, &self.ctx(), &self.developer).await
    }

    async fn set_status(&self, agent: &Agent, status: AgentStatus) {
        let changes = AgentChanges {
            status: Some(status),
            ..AgentChanges::default()
        };
        let ctx = self.ctx();
        let changed = self
            .grantex
            .update_agent(&ctx, &self.developer, agent.id.clone(), changes);
        changed.await.unwrap();
    }

    async fn issue(&self, format: TokenFormat) -> IssuedToken {
        let command = Authorize {
            agent_id: Some(self.agent.id.clone()),
            principal_id: "user_1".into(),
            scopes: scopes(&["read", "write"]),
            redirect_uri: None,
            state: None,
            expires_in: Lifetime::hours(24),
            audience: None,
            code_challenge: None,
        };
        let authorized = self.grantex.authorize(&self.ctx(), &self.developer, command).await;
        let command = ExchangeCode {
            code: authorized.unwrap().code.unwrap(),
            agent_id: Some(self.agent.id.clone()),
            verifier: None,
            redirect_uri: None,
            format,
        };
        let ctx = self.ctx();
        let issued = self.grantex.exchange_code(&ctx, &self.developer, command);
        issued.await.unwrap()
    }

    async fn verify_for(&self, token: &str, audience: Option<&str>) -> Result<VerifiedToken, InvalidReason> {
        let ctx = self.ctx();
        let verdict = self.grantex.verify_token(&ctx, &self.developer, token, audience);
        verdict.await.unwrap()
    }

    async fn verify(&self, token: &str) -> Result<VerifiedToken, InvalidReason> {
        self.verify_for(token, None).await
    }

    async fn why_not(&self, token: &str) -> Option<InvalidReason> {
        self.verify(token).await.err()
    }

    async fn delegate(&self, token: &str, format: TokenFormat) -> Result<IssuedToken, DelegateError> {
        let command = Delegate {
            parent_token: Secret::new(token.to_owned()),
            sub_agent_id: Some(self.agent.id.clone()),
            scopes: scopes(&["read"]),
            expires_in: Lifetime::hours(1),
            format,
        };
        self.grantex.delegate(&self.ctx(), &self.developer, command).await
    }
}

async fn register(grantex: &Grantex<MemoryStore>, ctx: &Context, developer: &Developer) -> Agent {
    let command = RegisterAgent {
        name: "Assistant".into(),
        description: String::new(),
        scopes: scopes(&[]),
        status: AgentStatus::Active,
    };
    grantex.register_agent(ctx, developer, command).await.unwrap()
}

#[tokio::test]
async fn a_biscuit_is_as_good_as_the_jwt_beside_it() {
    let world = World::new().await;
    let issued = world.issue(TokenFormat::Both).await;
    let biscuit = issued.biscuit.clone().unwrap();
    let (jwt, verified) = (
        world.verify(issued.jwt.expose()).await.unwrap(),
        world.verify(biscuit.expose()).await.unwrap(),
    );
    assert_eq!(jwt.biscuit, None);
    assert!(verified.biscuit.is_some());
    for name in [
        "iss",
        "sub",
        "jti",
        "iat",
        "exp",
        "scope",
        "scp",
        "agt",
        "dev",
        "grnt",
        "client_id",
    ] {
        assert_eq!(
            verified.claims.members().get(name),
            jwt.claims.members().get(name),
            "{name}"
        );
    }
    assert_eq!(verified.record, jwt.record);

    let alone = world.issue(TokenFormat::Biscuit).await;
    assert!(alone.biscuit.is_none());
    assert!(world.verify(alone.jwt.expose()).await.unwrap().biscuit.is_some());
}

#[tokio::test]
async fn a_biscuit_tells_who_handed_it_on() {
    let world = World::new().await;
    let token = world.issue(TokenFormat::Jwt).await.jwt.expose().clone();
    let child = world.delegate(&token, TokenFormat::Both).await.unwrap();
    let biscuit = child.biscuit.clone().unwrap();
    let jwt = world.verify(child.jwt.expose()).await.unwrap();
    let verified = world.verify(biscuit.expose()).await.unwrap();
    for name in ["act", "parentAgt", "parentGrnt", "delegationDepth", "urn:grantex:grant"] {
        let told = verified.claims.members().get(name);
        assert!(
            told.is_some() && told == jwt.claims.members().get(name),
            "{name}: {told:?}"
        );
    }
    let handed = append(biscuit.expose(), r#"agent("did:web:sub.example");"#);
    let verified = world.verify(&handed).await.unwrap();
    let (claims, own) = (verified.claims.members(), jwt.claims.members());
    assert_eq!(claims.get("parentAgt"), own.get("agt"));
    assert_eq!(claims.get("act"), Some(&json!({"sub": own["agt"], "act": own["act"]})));
}

#[tokio::test]
async fn what_is_verified_is_the_intersection() {
    let world = World::new().await;
    let token = world.issue(TokenFormat::Biscuit).await.jwt.expose().clone();
    let narrowed = append(
        &token,
        r#"check if operation("read") or operation("admin"); check if audience("api"); check if spend($n, "EUR"), $n <= 5;"#,
    );
    let narrowed = append(&narrowed, r#"agent("did:web:sub.example");"#);
    let verified = world.verify_for(&narrowed, Some("api")).await.unwrap();
    assert_eq!(verified.claims.scopes, ["read"]);
    assert_eq!(verified.claims.agent_did, "did:web:sub.example");
    assert_eq!(verified.biscuit.unwrap().effective().ceilings.len(), 1);
    assert_eq!(
        world.verify_for(&narrowed, Some("other")).await.err(),
        Some(InvalidReason::Audience)
    );
    let nobody = append(&narrowed, r#"check if audience("other");"#);
    assert_eq!(world.why_not(&nobody).await, Some(InvalidReason::Audience));
    assert_eq!(
        world
            .why_not(&append(&token, "check if time($t), $t < 2001-01-01T00:00:00Z;"))
            .await,
        Some(InvalidReason::Expired)
    );
}

#[tokio::test]
async fn a_revoked_block_takes_along_what_was_derived_from_it() {
    let world = World::new().await;
    let token = world.issue(TokenFormat::Biscuit).await.jwt.expose().clone();
    let (left, right) = (append(&token, ""), append(&token, ""));
    let below = append(&left, "");
    let chain = world.verify(&left).await.unwrap().biscuit.unwrap();
    world.recorder.take();

    let id = chain.own_revocation_id().to_owned();

    let ctx = world.ctx();
    world
        .grantex
        .revoke_block(&ctx, &world.developer, id.clone())
        .await
        .unwrap();
    world.grantex.revoke_block(&ctx, &world.developer, id).await.unwrap();

    let happened: Vec<_> = world.recorder.take().iter().map(|event| event.message()).collect();
    assert_eq!(happened, ["token.block_revoked"], "once");
    assert_eq!(world.why_not(&left).await, Some(InvalidReason::Revoked));
    assert_eq!(world.why_not(&below).await, Some(InvalidReason::Revoked));
    assert_eq!(world.why_not(&right).await, None);
    assert_eq!(world.why_not(&token).await, None);
    world
        .grantex
        .revoke_presented(&ctx, &world.developer, &token)
        .await
        .unwrap();
    assert_eq!(world.why_not(&right).await, Some(InvalidReason::Revoked));
}

#[tokio::test]
async fn revoking_the_grant_or_the_token_ends_every_chain() {
    let world = World::new().await;
    let (one, two) = (
        world.issue(TokenFormat::Biscuit).await,
        world.issue(TokenFormat::Biscuit).await,
    );
    let chains = [append(one.jwt.expose(), ""), append(two.jwt.expose(), "")];
    let ctx = world.ctx();
    let revoked = world.grantex.revoke_grant(&ctx, &world.developer, one.grant.id.clone());
    revoked.await.unwrap();
    let revoked = world
        .grantex
        .revoke_access_token(&ctx, &world.developer, two.token_id.as_str());
    revoked.await.unwrap();
    for chain in &chains {
        assert_eq!(world.why_not(chain).await, Some(InvalidReason::Revoked));
        let found = world.grantex.introspect(&ctx, &world.developer, chain).await.unwrap();
        assert_eq!(found, Introspection::Inactive);
    }
}

#[tokio::test]
async fn an_agent_that_it_was_handed_to_must_be_able_to_act() {
    let world = World::new().await;
    let token = world.issue(TokenFormat::Biscuit).await.jwt.expose().clone();
    let sub = world.other_agent().await;
    let handed = append(&token, &format!("agent({:?});", sub.id.did()));
    assert_eq!(world.verify(&handed).await.unwrap().claims.agent_did, sub.id.did());
    world.set_status(&sub, AgentStatus::Suspended).await;
    assert_eq!(world.why_not(&handed).await, Some(InvalidReason::Suspended));
    assert_eq!(world.why_not(&token).await, None);
    let unknown = append(&token, r#"agent("did:grantex:ag_nobody");"#);
    assert_eq!(world.why_not(&unknown).await, Some(InvalidReason::Revoked));
}

#[tokio::test]
async fn a_chain_may_be_handed_on_as_often_as_a_grant() {
    let world = World::new().await;
    let mut token = world.issue(TokenFormat::Biscuit).await.jwt.expose().clone();
    for _ in 0..3 {
        token = append(&token, r#"agent("did:web:sub.example");"#);
        assert_eq!(world.why_not(&token).await, None);
    }
    let deeper = append(&token, r#"agent("did:web:sub.example");"#);
    assert_eq!(world.why_not(&deeper).await, Some(InvalidReason::Malformed));
}

#[tokio::test]
async fn nobody_is_suspected_because_a_holder_names_them() {
    let world = World::new().await;
    let other = world.other_agent().await;
    let issued = world.issue(TokenFormat::Biscuit).await;
    let token = issued.jwt.expose();
    let handed = append(token, &format!("agent({:?});", other.id.did()));
    let narrowed = append(&handed, r#"check if operation("read");"#);
    let mut ids = Vec::new();
    for presented in [token, &handed, &narrowed] {
        let verified = world.verify(presented).await.unwrap();
        ids.push(verified.biscuit.unwrap().own_revocation_id().to_owned());
    }
    let signals = world.detector.take(&world.developer.id);
    let seen: Vec<_> = signals.iter().rev().take(3).rev().collect();
    assert!(
        seen.iter()
            .all(|signal| signal.subject == Subject::Agent(world.agent.id.clone()))
    );
    // What was handed on is used elsewhere: to rules it is another token.
    let tokens: Vec<&str> = seen.iter().map(|signal| signal.token_id.as_str()).collect();
    assert_eq!(tokens, [issued.token_id.as_str(), &ids[1], &ids[1]]);
}

#[tokio::test]
async fn a_biscuit_is_delegated_online_until_it_is_narrowed() {
    let world = World::new().await;
    let token = world.issue(TokenFormat::Biscuit).await.jwt.expose().clone();
    let child = world.delegate(&token, TokenFormat::Biscuit).await.unwrap();
    let verified = world.verify(child.jwt.expose()).await.unwrap();
    assert_eq!(verified.biscuit.unwrap().root.depth, 1);
    let narrowed = append(&token, r#"check if spend($n, "EUR"), $n <= 5;"#);
    let refused = world.delegate(&narrowed, TokenFormat::Jwt).await;
    assert!(matches!(refused, Err(DelegateError::ParentNarrowed)));
}

#[tokio::test]
async fn root_keys_rotate_like_signing_keys() {
    let world = World::new().await;
    let first = world.issue(TokenFormat::Both).await.biscuit.unwrap();
    let old = world.keys.biscuit_signing_kid().await.unwrap().unwrap();
    let new = world.keys.rotate_biscuits().await.unwrap().unwrap().kid;
    assert_eq!(
        world.keys.biscuit_signing_kid().await.unwrap(),
        Some(old.clone()),
        "it is not active yet"
    );
    world.clock.advance(Lifetime::minutes(12));
    assert_eq!(world.keys.biscuit_signing_kid().await.unwrap(), Some(new.clone()));
    world.keys.prune().await.unwrap();
    world.grantex.set_keys(world.keys.ring().await.unwrap());
    let ring = world.grantex.keys();
    assert_eq!(ring.biscuits().unwrap().signing_kid(), new);
    assert_eq!(ring.biscuits().unwrap().published().len(), 2);
    assert!(!ring.jwks().contains(ALGORITHM), "the JWK set is for JWTs");
    assert_eq!(world.why_not(first.expose()).await, None);
    let state = |keys: Vec<grantex_core::store::StoredKey>, kid: &str| {
        keys.into_iter().find(|key| key.kid == kid).map(|key| key.state)
    };
    assert_eq!(state(world.keys.list().await.unwrap(), &old), Some(KeyState::Retired));
    // Its last token lives for a day, and until then the key does.
    world.clock.advance(Lifetime::hours(23));
    assert_eq!(world.keys.prune().await.unwrap(), Vec::<String>::new());
    world.clock.advance(Lifetime::days(2));
    assert_eq!(world.keys.prune().await.unwrap(), std::slice::from_ref(&old));
    assert_eq!(state(world.keys.list().await.unwrap(), &old), None);
}

#[tokio::test]
async fn without_root_keys_there_are_no_biscuits() {
    let world = World::new().await;
    let token = world.issue(TokenFormat::Biscuit).await.jwt;
    let ring = (*world.grantex.keys()).clone().with_biscuits(None);
    world.grantex.set_keys(ring);
    assert_eq!(world.why_not(token.expose()).await, Some(InvalidReason::Malformed));
    let jwt = world.issue(TokenFormat::Jwt).await.jwt;
    let refused = world.delegate(jwt.expose(), TokenFormat::Both).await;
    assert!(matches!(refused, Err(DelegateError::FormatNotOffered(_))));
}

#[tokio::test]
async fn what_was_handed_on_without_the_server_is_recorded_when_it_is_seen() {
    let world = World::new().await;
    let issued = world.issue(TokenFormat::Biscuit).await;
    let narrowed = append(issued.jwt.expose(), r#"check if operation("read");"#);
    let first = append(&narrowed, r#"agent("did:web:first.example");"#);
    let second = append(
        &append(&first, ""),
        r#"check if audience("api"); agent("did:web:second.example");"#,
    );
    world.verify(&narrowed).await.unwrap();
    let grant = issued.grant.id.clone();
    assert_eq!(world.handed_on(&grant).await, [], "nobody was named yet");
    world.recorder.take();

    let chain = world.verify_for(&second, Some("api")).await.unwrap().biscuit.unwrap();
    let told = world.recorder.take();
    let messages: Vec<_> = told.iter().map(|event| event.message()).collect();
    assert_eq!(
        messages,
        ["token.delegated_offline", "token.delegated_offline", "token.verified"]
    );
    for token in [&first, &second] {
        world.verify_for(token, None).await.unwrap();
    }
    let messages: Vec<_> = world.recorder.take().iter().map(|event| event.message()).collect();
    assert_eq!(messages, ["token.verified", "token.verified"], "each is recorded once");

    let mut found = world.handed_on(&grant).await;
    found.sort_by_key(|(one, _)| one.depth);
    let [(one, one_status), (two, two_status)] = &found[..] else {
        panic!("{found:?}");
    };
    assert_eq!((one_status, two_status), (&GrantStatus::Active, &GrantStatus::Active));
    assert_eq!(
        OfflineDelegation::all_of(&chain, world.grantex.now()),
        [one.clone(), two.clone()]
    );
    assert_eq!(
        (one.agent_did.as_str(), one.depth, one.audience.as_deref()),
        ("did:web:first.example", 1, None)
    );
    assert_eq!((one.parent_revocation_id.as_deref(), one.blocks.len()), (None, 3));
    assert_eq!(two.parent_revocation_id.as_deref(), Some(one.revocation_id.as_str()));
    assert_eq!(
        (two.agent_did.as_str(), two.depth, two.audience.as_deref()),
        ("did:web:second.example", 2, Some("api"))
    );
    assert_eq!((&two.scopes, two.blocks.len()), (&vec!["read".to_owned()], 5));

    let ctx = world.ctx();
    let block = two.revocation_id.clone();
    world.grantex.revoke_block(&ctx, &world.developer, block).await.unwrap();
    let statuses = |mut found: Vec<(OfflineDelegation, GrantStatus)>| {
        found.sort_by_key(|(one, _)| one.depth);
        found.iter().map(|(_, status)| *status).collect::<Vec<_>>()
    };
    assert_eq!(
        statuses(world.handed_on(&grant).await),
        [GrantStatus::Active, GrantStatus::Revoked]
    );
    world
        .grantex
        .revoke_grant(&ctx, &world.developer, grant.clone())
        .await
        .unwrap();
    assert_eq!(
        statuses(world.handed_on(&grant).await),
        [GrantStatus::Revoked, GrantStatus::Revoked]
    );
}

#[tokio::test]
async fn what_was_handed_on_ends_with_its_token() {
    let world = World::new().await;
    let issued = world.issue(TokenFormat::Biscuit).await;
    world
        .verify(&append(issued.jwt.expose(), r#"agent("did:web:sub.example");"#))
        .await
        .unwrap();
    let ctx = world.ctx();
    let revoked = world
        .grantex
        .revoke_access_token(&ctx, &world.developer, issued.token_id.as_str());
    revoked.await.unwrap();
    let found = world.handed_on(&issued.grant.id).await;
    assert_eq!(
        found.iter().map(|(_, status)| *status).collect::<Vec<_>>(),
        [GrantStatus::Revoked]
    );
}

#[tokio::test]
async fn what_cannot_be_recorded_is_recorded_the_next_time() {
    let world = World::new().await;
    let issued = world.issue(TokenFormat::Biscuit).await;
    let handed = append(issued.jwt.expose(), r#"agent("did:web:sub.example");"#);
    world.grantex.store().fail_next(StoreFailure::Unavailable);
    assert!(world.verify(&handed).await.is_ok(), "the verdict stands");
    assert_eq!(world.handed_on(&issued.grant.id).await, []);
    assert!(world.verify(&handed).await.is_ok());
    assert_eq!(world.handed_on(&issued.grant.id).await.len(), 1);
}

#[tokio::test]
async fn a_grant_has_no_more_of_them_than_the_limit_and_bad_tokens_have_none() {
    let world = World::new().await;
    let issued = world.issue(TokenFormat::Biscuit).await;
    let late = append(
        issued.jwt.expose(),
        r#"agent("did:web:late.example"); check if time($t), $t < 2001-01-01T00:00:00Z;"#,
    );
    assert_eq!(world.why_not(&late).await, Some(InvalidReason::Expired));
    assert_eq!(world.handed_on(&issued.grant.id).await, []);
    for number in 0..MAX_PER_GRANT + 2 {
        let handed = append(issued.jwt.expose(), &format!(r#"agent("did:web:a{number}.example");"#));
        assert!(world.verify(&handed).await.is_ok());
    }
    assert_eq!(world.handed_on(&issued.grant.id).await.len(), MAX_PER_GRANT as usize);
}
