//! A service over a store in memory, its dispatcher, and receivers that do as they are told.

use std::collections::HashMap;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use grantex_core::agent::{Agent, AgentStatus, RegisterAgent};
use grantex_core::authorize::Authorize;
use grantex_core::clock::Lifetime;
use grantex_core::context::Context;
use grantex_core::developer::{Developer, Mode, Signup};
use grantex_core::event::Event;
use grantex_core::event::filter::EventFilter;
use grantex_core::id::{GrantId, WebhookId};
use grantex_core::page::PageRequest;
use grantex_core::scope::Scopes;
use grantex_core::store::BoxFuture;
use grantex_core::testing::{ManualClock, MemoryStore, Recorder, SeededRandom};
use grantex_core::token::ExchangeCode;
use grantex_core::token::biscuit::TokenFormat;
use grantex_core::token::crypto::{KeyPair, MasterKey};
use grantex_core::token::signer::{Algorithm, KeyRing};
use grantex_core::webhook::send::{Outgoing, Received, SendError, Sender};
use grantex_core::webhook::{CreateWebhook, Delivery, DeliveryFilter, DeliveryStatus, WebhookState};
use grantex_core::{Grantex, Settings};
use grantex_delivery::{Bell, CallPolicy, DispatchSettings, Dispatcher};
use serde_json::Value;
use tokio::sync::{Notify, watch};
use tokio::task::JoinHandle;

/// What a receiver does.
#[derive(Debug, Clone, Copy)]
pub enum Answer {
    Status(u16),
    Whole(Received),
    Fail(SendError),
    /// Nothing, until it is told otherwise.
    Hang,
}

#[derive(Default)]
struct Told {
    answers: HashMap<String, Answer>,
    /// Receiver and body, in the order in which requests began.
    sent: Vec<(String, String)>,
    under_way: HashMap<String, usize>,
    peak: usize,
}

/// Receivers by name: the last part of their URL.
#[derive(Clone, Default)]
pub struct Receivers(Arc<(Mutex<Told>, Notify)>);

impl Receivers {
    pub fn set(&self, name: &str, answer: Answer) {
        self.0.0.lock().unwrap().answers.insert(name.to_owned(), answer);
        self.0.1.notify_waiters();
    }

    pub fn sent(&self) -> usize {
        self.0.0.lock().unwrap().sent.len()
    }

    pub fn under_way(&self, name: &str) -> usize {
        self.0.0.lock().unwrap().under_way.get(name).copied().unwrap_or(0)
    }

    pub fn total(&self) -> usize {
        self.0.0.lock().unwrap().under_way.values().sum()
    }

    pub fn peak(&self) -> usize {
        self.0.0.lock().unwrap().peak
    }

    pub fn bodies(&self, name: &str) -> Vec<String> {
        let told = self.0.0.lock().unwrap();
        let to_it = told.sent.iter().filter(|(receiver, _)| receiver == name);
        to_it.map(|(_, body)| body.clone()).collect()
    }

    pub fn kinds(&self, name: &str) -> Vec<String> {
        let kind = |body: &String| {
            serde_json::from_str::<Value>(body).unwrap()["type"]
                .as_str()
                .unwrap()
                .to_owned()
        };
        self.bodies(name).iter().map(kind).collect()
    }

    pub fn kinds_of(&self, name: &str, grant: &GrantId) -> Vec<String> {
        let bodies = self.bodies(name).into_iter();
        let values = bodies.map(|body| serde_json::from_str::<Value>(&body).unwrap());
        values
            .filter(|value| value["data"]["grantId"] == grant.as_str())
            .map(|value| value["type"].as_str().unwrap().to_owned())
            .collect()
    }

    async fn answer(&self, name: &str) -> Result<Received, SendError> {
        loop {
            let changed = self.0.1.notified();
            let answer = self.0.0.lock().unwrap().answers.get(name).copied();
            match answer.unwrap_or(Answer::Status(200)) {
                Answer::Hang => changed.await,
                Answer::Fail(error) => return Err(error),
                Answer::Whole(received) => return Ok(received),
                Answer::Status(status) => {
                    return Ok(Received {
                        status,
                        retry_after: None,
                    });
                }
            }
        }
    }
}

impl Sender for Receivers {
    fn send<'a>(&'a self, request: &'a Outgoing) -> BoxFuture<'a, Result<Received, SendError>> {
        Box::pin(async move {
            let name = request.url.rsplit('/').next().unwrap().to_owned();
            {
                let mut told = self.0.0.lock().unwrap();
                told.sent.push((name.clone(), request.body.to_string()));
                *told.under_way.entry(name.clone()).or_default() += 1;
                told.peak = told.peak.max(told.under_way.values().sum());
            }
            tokio::task::yield_now().await;
            let answer = self.answer(&name).await;
            *self.0.0.lock().unwrap().under_way.get_mut(&name).unwrap() -= 1;
            answer
        })
    }
}

pub struct World {
    pub grantex: Grantex<MemoryStore>,
    pub store: MemoryStore,
    pub clock: ManualClock,
    pub sender: Receivers,
    pub bell: Bell,
    recorder: Recorder,
    developer: Developer,
    agent: Agent,
    stop: watch::Sender<bool>,
    running: Mutex<Option<JoinHandle<()>>>,
}

const POLL: Duration = Duration::from_millis(20);

impl World {
    /// A service whose dispatcher does not run yet.
    pub async fn new() -> Self {
        let (store, clock, recorder, bell) = (
            MemoryStore::new(),
            ManualClock::default(),
            Recorder::default(),
            Bell::new(),
        );
        let key = Arc::new(KeyPair::generate(Algorithm::Es256).unwrap().0);
        let keys = KeyRing::new(key.clone(), key.clone(), vec![key]);
        let sealer = MasterKey::parse(&"11".repeat(32)).unwrap();
        let settings = Settings::new("https://auth.example");
        let grantex = Grantex::builder(store.clone(), settings, keys, sealer, SeededRandom::new(7))
            .clock(clock.clone())
            .observer(recorder.clone())
            .signal(bell.clone())
            .webhooks(CallPolicy::default())
            .build();
        let ctx = grantex.context(slog::Logger::root(slog::Discard, slog::o!()), "test".into());
        let signup = Signup {
            name: "Acme".into(),
            email: None,
            mode: Mode::Sandbox,
        };
        let developer = grantex.signup(&ctx, signup).await.unwrap().developer;
        let agent = RegisterAgent {
            name: "Assistant".into(),
            description: String::new(),
            scopes: Scopes::parse(Vec::new()).unwrap(),
            status: AgentStatus::Active,
        };
        let agent = grantex.register_agent(&ctx, &developer, agent).await.unwrap();
        Self {
            grantex,
            store,
            clock,
            sender: Receivers::default(),
            bell,
            recorder,
            developer,
            agent,
            stop: watch::channel(false).0,
            running: Mutex::new(None),
        }
    }

    /// A service with a running dispatcher.
    pub async fn start() -> Self {
        Self::new().await.run()
    }

    pub fn run(self) -> Self {
        let settings = DispatchSettings {
            per_endpoint: 4,
            in_all: 10,
            lanes: 100,
            poll: POLL,
        };
        let dispatcher = Dispatcher::new(
            self.grantex.clone(),
            Arc::new(self.sender.clone()),
            settings,
            &slog::Logger::root(slog::Discard, slog::o!()),
            "me".into(),
            self.bell.clone(),
            self.stop.subscribe(),
        );
        *self.running.lock().unwrap() = Some(tokio::spawn(dispatcher.run()));
        self
    }

    pub fn begin_to_stop(&self) -> JoinHandle<()> {
        self.stop.send(true).unwrap();
        self.running.lock().unwrap().take().unwrap()
    }

    pub async fn stop(self) {
        self.begin_to_stop().await.unwrap();
    }

    fn ctx(&self) -> Context {
        self.grantex
            .context(slog::Logger::root(slog::Discard, slog::o!()), "test".into())
    }

    /// Waits until something is so; not for ever.
    pub async fn until(&self, mut is_so: impl AsyncFnMut() -> bool) {
        let waiting = async {
            while !is_so().await {
                tokio::time::sleep(Duration::from_millis(2)).await;
            }
        };
        tokio::time::timeout(Duration::from_secs(20), waiting)
            .await
            .unwrap_or_else(|_| panic!("it never was so; sent so far: {}", self.sender.sent()));
    }

    /// Waits for so many looks of the dispatcher into the store: what would happen has happened by then.
    pub async fn looks(&self, count: u32) {
        tokio::time::sleep(POLL * count).await;
    }

    pub async fn webhook(&self, name: &str, events: &[&str]) -> WebhookId {
        let wish = CreateWebhook {
            url: format!("https://receiver.example/{name}"),
            events: EventFilter::parse(events.iter().copied()).unwrap(),
            description: None,
            secret: None,
        };
        let made = self.grantex.create_webhook(&self.ctx(), &self.developer, wish).await;
        self.recorder.take();
        made.unwrap().webhook.id
    }

    pub async fn grant(&self) -> GrantId {
        let request = Authorize {
            agent_id: Some(self.agent.id.clone()),
            principal_id: "user-1".into(),
            scopes: Scopes::parse_some(vec!["read".into()]).unwrap(),
            redirect_uri: None,
            state: None,
            expires_in: Lifetime::hours(24),
            audience: None,
            code_challenge: None,
        };
        let authorized = self
            .grantex
            .authorize(&self.ctx(), &self.developer, request)
            .await
            .unwrap();
        let exchange = ExchangeCode {
            code: authorized.code.unwrap(),
            agent_id: Some(self.agent.id.clone()),
            verifier: None,
            redirect_uri: None,
            format: TokenFormat::Jwt,
        };
        let issued = self.grantex.exchange_code(&self.ctx(), &self.developer, exchange).await;
        issued.unwrap().grant.id
    }

    /// A test event for every webhook: a unit of work that begins without a read of its own.
    pub async fn grant_without_reads(&self) {
        self.store.set_read_failure(false);
        self.grant().await;
        self.store.set_read_failure(true);
    }

    pub async fn revoke(&self, grant: &GrantId) {
        let revoked = self
            .grantex
            .revoke_grant(&self.ctx(), &self.developer, grant.clone())
            .await;
        revoked.unwrap();
    }

    pub async fn pause(&self, hook: &WebhookId) {
        let paused = self
            .grantex
            .pause_webhook(&self.ctx(), &self.developer, hook.clone())
            .await;
        paused.unwrap();
    }

    pub async fn resume(&self, hook: &WebhookId) {
        let resumed = self
            .grantex
            .resume_webhook(&self.ctx(), &self.developer, hook.clone())
            .await;
        resumed.unwrap();
    }

    async fn deliveries(&self, hook: &WebhookId) -> Vec<Delivery> {
        let page = PageRequest {
            size: 1_000,
            ..PageRequest::default()
        };
        let found = self
            .grantex
            .deliveries(&self.developer, hook.clone(), DeliveryFilter::default(), page)
            .await;
        // While the store fails nothing is known.
        found.ok().flatten().map(|found| found.page.items).unwrap_or_default()
    }

    pub async fn total(&self, hook: &WebhookId) -> usize {
        self.deliveries(hook).await.len()
    }

    pub async fn count(&self, hook: &WebhookId, status: DeliveryStatus) -> usize {
        let deliveries = self.deliveries(hook).await.into_iter();
        deliveries.filter(|delivery| delivery.status == status).count()
    }

    pub async fn attempts(&self, hook: &WebhookId) -> Vec<u32> {
        let deliveries = self.deliveries(hook).await.into_iter();
        deliveries.map(|delivery| delivery.attempts).collect()
    }

    pub async fn state(&self, hook: &WebhookId) -> WebhookState {
        let found = self.grantex.webhook(&self.developer, hook.clone()).await.unwrap();
        found.unwrap().state
    }

    pub async fn claim_for_another(&self, hook: &WebhookId) {
        assert!(self.grantex.claim_webhook(&self.ctx(), hook, "another").await.unwrap());
    }

    pub async fn is_claimable_by_another(&self, hook: &WebhookId) -> bool {
        self.grantex.claim_webhook(&self.ctx(), hook, "another").await.unwrap()
    }

    /// The names of the events about webhooks, in order.
    pub fn events(&self) -> Vec<&'static str> {
        let events = self.recorder.events();
        let names = events.iter().map(Event::message);
        names.filter(|name| name.starts_with("webhook.")).collect()
    }
}
