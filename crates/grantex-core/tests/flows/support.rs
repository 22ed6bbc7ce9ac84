//! A world for one test: a service over an empty store, a clock that stands still, and a sandbox developer.

use std::sync::Arc;

use grantex_core::agent::{Agent, AgentChanges, AgentStatus, RegisterAgent};
use grantex_core::anomaly::detector::Detector;
use grantex_core::authorize::{AuthCode, Authorize, AuthorizeError, Authorized};
use grantex_core::clock::{Clock as _, Lifetime, Timestamp};
use grantex_core::context::Context;
use grantex_core::developer::{Developer, Mode, Signup};
use grantex_core::event::Event;
use grantex_core::grant::{Delegate, DelegateError};
use grantex_core::grantex::Builder;
use grantex_core::id::AgentId;
use grantex_core::scope::Scopes;
use grantex_core::secret::Secret;
use grantex_core::store::StoredEvent;
use grantex_core::testing::{LogLines, ManualClock, MemoryStore, Recorder, SeededRandom};
use grantex_core::token::biscuit::TokenFormat;
use grantex_core::token::crypto::{KeyPair, MasterKey};
use grantex_core::token::signer::{Algorithm, KeyRing, Signer, Verifier};
use grantex_core::token::{ExchangeCode, ExchangeError, InvalidReason, IssuedToken, VerifiedToken};
use grantex_core::webhook::target::{UrlPolicy, UrlRefusal};
use grantex_core::{Grantex, Settings};

pub struct World {
    pub grantex: Grantex<MemoryStore>,
    pub store: MemoryStore,
    pub clock: ManualClock,
    pub recorder: Recorder,
    pub log: LogLines,
    pub developer: Developer,
    pub api_key: Secret<String>,
    pub detector: Arc<Detector>,
}

/// Allows what begins with https.
struct HttpsOnly;

impl UrlPolicy for HttpsOnly {
    fn check(&self, url: &str) -> Result<(), UrlRefusal> {
        match url.starts_with("https://") {
            true => Ok(()),
            false => Err(UrlRefusal::Insecure),
        }
    }
}

pub fn key_ring() -> KeyRing {
    let (pair, _) = KeyPair::generate(Algorithm::Es256).unwrap();
    let pair = Arc::new(pair);
    KeyRing::new(
        Arc::clone(&pair) as Arc<dyn Signer>,
        Arc::clone(&pair) as Arc<dyn Signer>,
        vec![pair as Arc<dyn Verifier>],
    )
}

pub fn scopes(list: &[&str]) -> Scopes {
    Scopes::parse(list.iter().map(|&scope| scope.to_owned()).collect()).unwrap()
}

impl World {
    pub async fn new() -> Self {
        Self::build(|_| {}, |builder| builder).await
    }

    /// A world whose service is put together in another way.
    pub async fn built(change: impl FnOnce(Builder<MemoryStore>) -> Builder<MemoryStore>) -> Self {
        Self::build(|_| {}, change).await
    }

    pub async fn with_settings(change: impl FnOnce(&mut Settings)) -> Self {
        Self::build(change, |builder| builder).await
    }

    async fn build(
        change: impl FnOnce(&mut Settings),
        build: impl FnOnce(Builder<MemoryStore>) -> Builder<MemoryStore>,
    ) -> Self {
        let (store, clock, recorder, log) = (
            MemoryStore::new(),
            ManualClock::default(),
            Recorder::default(),
            LogLines::default(),
        );
        let detector = Arc::new(Detector::default());
        let mut settings = Settings::new("https://auth.example");
        change(&mut settings);
        let sealer = MasterKey::parse(&"11".repeat(32)).unwrap();
        let builder = Grantex::builder(store.clone(), settings, key_ring(), sealer, SeededRandom::new(7))
            .clock(clock.clone())
            .observer(recorder.clone())
            .webhooks(HttpsOnly)
            .anomalies(Arc::clone(&detector));
        let grantex = build(builder).build();
        let ctx = grantex.context(log.logger(), "req".into());
        let command = Signup {
            name: "Acme".into(),
            email: None,
            mode: Mode::Sandbox,
        };
        let signed_up = grantex.signup(&ctx, command).await.unwrap();
        recorder.take();
        log.take();
        Self {
            grantex,
            store,
            clock,
            recorder,
            log,
            developer: signed_up.developer,
            api_key: signed_up.api_key,
            detector,
        }
    }

    /// Another server over the same store.
    pub fn server_with(&self, detector: Arc<Detector>) -> Grantex<MemoryStore> {
        let sealer = MasterKey::parse(&"11".repeat(32)).unwrap();
        let settings = Settings::new("https://auth.example");
        Grantex::builder(self.store.clone(), settings, key_ring(), sealer, SeededRandom::new(8))
            .clock(self.clock.clone())
            .anomalies(detector)
            .build()
    }

    pub fn ctx(&self) -> Context {
        self.grantex.context(self.log.logger(), "req".into())
    }

    pub fn now(&self) -> Timestamp {
        self.clock.now()
    }

    pub async fn signup(&self, name: &str, mode: Mode) -> Developer {
        let command = Signup {
            name: name.into(),
            email: None,
            mode,
        };
        self.grantex.signup(&self.ctx(), command).await.unwrap().developer
    }

    pub async fn agent(&self, allowed: &[&str]) -> Agent {
        self.agent_of(&self.developer, allowed).await
    }

    pub async fn agent_of(&self, developer: &Developer, allowed: &[&str]) -> Agent {
        let command = RegisterAgent {
            name: "Assistant".into(),
            description: String::new(),
            scopes: scopes(allowed),
            status: AgentStatus::Active,
        };
        self.grantex
            .register_agent(&self.ctx(), developer, command)
            .await
            .unwrap()
    }

    pub async fn set_status(&self, agent: &Agent, status: AgentStatus) {
        let changes = AgentChanges {
            status: Some(status),
            ..AgentChanges::default()
        };
        self.grantex
            .update_agent(&self.ctx(), &self.developer, agent.id.clone(), changes)
            .await
            .unwrap();
    }

    pub fn request(&self, agent: &AgentId, asked: &[&str]) -> Authorize {
        Authorize {
            agent_id: Some(agent.clone()),
            principal_id: "user_1".into(),
            scopes: scopes(asked),
            redirect_uri: None,
            state: None,
            expires_in: Lifetime::hours(24),
            audience: None,
            code_challenge: None,
        }
    }

    pub async fn authorize(&self, command: Authorize) -> Result<Authorized, AuthorizeError> {
        self.grantex.authorize(&self.ctx(), &self.developer, command).await
    }

    pub async fn code(&self, agent: &Agent, asked: &[&str]) -> AuthCode {
        self.authorize(self.request(&agent.id, asked))
            .await
            .unwrap()
            .code
            .unwrap()
    }

    pub async fn exchange(&self, agent: &Agent, code: &AuthCode) -> Result<IssuedToken, ExchangeError> {
        let command = ExchangeCode {
            code: code.clone(),
            agent_id: Some(agent.id.clone()),
            verifier: None,
            redirect_uri: None,
            format: TokenFormat::Jwt,
        };
        self.grantex.exchange_code(&self.ctx(), &self.developer, command).await
    }

    pub async fn issue(&self, agent: &Agent, asked: &[&str]) -> IssuedToken {
        let code = self.code(agent, asked).await;
        self.exchange(agent, &code).await.unwrap()
    }

    pub async fn delegate(
        &self,
        parent: &IssuedToken,
        agent: &Agent,
        asked: &[&str],
    ) -> Result<IssuedToken, DelegateError> {
        let command = Delegate {
            parent_token: parent.jwt.clone(),
            sub_agent_id: Some(agent.id.clone()),
            scopes: scopes(asked),
            expires_in: Lifetime::hours(1),
            format: TokenFormat::Jwt,
        };
        self.grantex.delegate(&self.ctx(), &self.developer, command).await
    }

    pub async fn verify(&self, token: &Secret<String>) -> Result<VerifiedToken, InvalidReason> {
        self.grantex
            .verify_token(&self.ctx(), &self.developer, token.expose(), None)
            .await
            .unwrap()
    }

    /// The messages of everything observed since the last call.
    pub fn happened(&self) -> Vec<&'static str> {
        self.recorder.take().iter().map(Event::message).collect()
    }

    /// The types of the developer's stored events, in order, and that their sequence has no gap.
    pub async fn stored_events(&self) -> Vec<StoredEvent> {
        use grantex_core::error::StoreError;
        use grantex_core::store::Store as _;
        let developer = self.developer.id.clone();
        let events = self
            .store
            .read(move |tx| Box::pin(async move { tx.events_after(&developer, 0, 1_000).await }))
            .await
            .map_err(|error: StoreError| error)
            .unwrap();
        assert!(
            events.iter().zip(1_i64..).all(|(event, seq)| event.seq == seq),
            "the sequence has no gap"
        );
        events
    }

    pub async fn event_kinds(&self) -> Vec<String> {
        self.stored_events().await.into_iter().map(|event| event.kind).collect()
    }

    pub async fn server_actions(&self) -> Vec<String> {
        use grantex_core::audit::{AuditFilter, Chain};
        let page = self
            .grantex
            .audit_entries(&self.developer, Chain::Server, AuditFilter::default(), None, 1_000)
            .await
            .unwrap();
        page.items.into_iter().map(|entry| entry.record.action).collect()
    }

    pub async fn active_grants(&self) -> i64 {
        self.grantex.total_active_grants().await.unwrap()
    }
}
