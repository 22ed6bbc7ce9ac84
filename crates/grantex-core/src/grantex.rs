//! The service: what it is given, how its units of work run, and what is told after a commit.

mod unit;

use std::sync::Arc;
use std::time::Duration;

use arc_swap::ArcSwap;
use slog::Logger;

pub use unit::Unit;

use crate::anomaly::detector::Detector;
use crate::anomaly::signal::Signal as AgentSignal;
use crate::clock::{Clock, Lifetime, Timestamp};
use crate::context::Context;
use crate::error::StoreError;
use crate::event::signal::{Signal, Unsignalled};
use crate::event::{Event, Observer, Unobserved};
use crate::grant::offline::Recorded;
use crate::id::{DeveloperId, Random};
use crate::plan::Plan;
use crate::policy::cache::PolicyCache;
use crate::policy::engine::NoEngine;
use crate::policy::{PolicyBackend, PolicyEngine};
use crate::store::{BoxFuture, Store, UnitOptions};
use crate::token::signer::{KeyRing, Sealer};
use crate::token::verified::VerifiedTokens;
use crate::trace::Recording;
use crate::webhook::WebhookSettings;
use crate::webhook::send::Sender;
use crate::webhook::target::UrlPolicy;

/// The service over a store. Cheap to clone.
#[derive(Clone)]
pub struct Grantex<S: Store> {
    pub(crate) store: S,
    pub(crate) parts: Arc<Parts>,
}

/// Everything that flows share.
pub(crate) struct Parts {
    pub clock: Arc<dyn Clock>,
    pub random: Arc<dyn Random>,
    pub keys: ArcSwap<KeyRing>,
    pub verified: VerifiedTokens,
    pub handed_on: Recorded,
    pub sealer: Arc<dyn Sealer>,
    pub observer: Arc<dyn Observer>,
    pub signal: Arc<dyn Signal>,
    /// `None`: nobody looks for anomalies, so that nothing is put by for it.
    pub detector: Option<Arc<Detector>>,
    /// `None`: there are no webhooks, because nobody says which URLs may be called.
    pub url_policy: Option<Arc<dyn UrlPolicy>>,
    /// `None`: nothing is sent while a call waits for it.
    pub sender: Option<Arc<dyn Sender>>,
    pub policies: PolicyCache,
    pub policy_engine: Arc<dyn PolicyEngine>,
    pub policy_backend: Option<External>,
    pub settings: Settings,
}

/// Policies that are kept elsewhere.
pub(crate) struct External {
    pub backend: Arc<dyn PolicyBackend>,
    /// Whether developers' own policies decide when it does not answer; if not, everything is refused.
    pub falls_back: bool,
}

/// Numbers and names that flows go by.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct Settings {
    /// The `iss` of every token: the base URL, without a trailing slash.
    pub issuer: String,
    /// What links to this server begin with, without a trailing slash.
    pub public_base_url: String,
    /// How long a request can be decided.
    pub auth_request_ttl: Lifetime,
    /// How long a code works, from the approval.
    pub auth_code_ttl: Lifetime,
    /// The longest life of a grant.
    pub max_grant_lifetime: Lifetime,
    /// The longest life of a refresh token.
    pub refresh_token_ttl: Lifetime,
    /// How often a grant may be handed on, 1 to 10.
    pub max_delegation_depth: u32,
    /// How long a second use of a code may be an impatient retry.
    pub code_reuse_grace: Lifetime,
    /// How long a second use of a refresh token may be an impatient retry.
    pub refresh_grace: Lifetime,
    /// How long the answer to a refresh is kept for its idempotency key.
    pub replay_window: Lifetime,
    /// The plan of new accounts.
    pub default_plan: Plan,
    /// Numbers that webhook deliveries go by.
    pub webhooks: WebhookSettings,
    /// Roughly how many bytes the policies that are kept in memory may take.
    pub policy_cache_bytes: u64,
}

impl Settings {
    /// The defaults of a server at this base URL.
    pub fn new(base_url: &str) -> Self {
        let base_url = base_url.trim_end_matches('/').to_owned();
        Self {
            issuer: base_url.clone(),
            public_base_url: base_url,
            auth_request_ttl: Lifetime::minutes(15),
            auth_code_ttl: Lifetime::minutes(10),
            max_grant_lifetime: Lifetime::days(365),
            refresh_token_ttl: Lifetime::days(30),
            max_delegation_depth: 3,
            code_reuse_grace: Lifetime::seconds(10),
            refresh_grace: Lifetime::seconds(60),
            replay_window: Lifetime::seconds(300),
            default_plan: Plan::Enterprise,
            webhooks: WebhookSettings::default(),
            policy_cache_bytes: 64 << 20,
        }
    }
}

/// Gathers what a [`Grantex`] needs.
pub struct Builder<S: Store> {
    store: S,
    settings: Settings,
    clock: Arc<dyn Clock>,
    random: Arc<dyn Random>,
    keys: KeyRing,
    sealer: Arc<dyn Sealer>,
    observer: Arc<dyn Observer>,
    signal: Arc<dyn Signal>,
    url_policy: Option<Arc<dyn UrlPolicy>>,
    sender: Option<Arc<dyn Sender>>,
    policy_engine: Arc<dyn PolicyEngine>,
    policy_backend: Option<External>,
    detector: Option<Arc<Detector>>,
}

impl<S: Store> Builder<S> {
    /// Replaces the clock.
    #[must_use]
    pub fn clock(mut self, clock: impl Clock) -> Self {
        self.clock = Arc::new(clock);
        self
    }

    /// Tells every event to `observer`.
    #[must_use]
    pub fn observer(mut self, observer: impl Observer) -> Self {
        self.observer = Arc::new(observer);
        self
    }

    /// Wakes `signal` after each commit that brought events.
    #[must_use]
    pub fn signal(mut self, signal: impl Signal) -> Self {
        self.signal = Arc::new(signal);
        self
    }

    /// Reads bundles of policies with `engine`; without one they are refused.
    #[must_use]
    pub fn policy_engine(mut self, engine: impl PolicyEngine) -> Self {
        self.policy_engine = Arc::new(engine);
        self
    }

    /// Asks `backend` instead of developers' own policies. When it does not answer, those decide if `falls_back`, and else
    /// everything is refused.
    #[must_use]
    pub fn policy_backend(mut self, backend: impl PolicyBackend, falls_back: bool) -> Self {
        let backend = Arc::new(backend);
        self.policy_backend = Some(External { backend, falls_back });
        self
    }

    /// Offers webhooks, to URLs that `policy` allows.
    #[must_use]
    pub fn webhooks(mut self, policy: impl UrlPolicy) -> Self {
        self.url_policy = Some(Arc::new(policy));
        self
    }

    /// Sends tests of channels by `sender`, which deliveries go by as well.
    #[must_use]
    pub fn sender(mut self, sender: Arc<dyn Sender>) -> Self {
        self.sender = Some(sender);
        self
    }

    /// Puts signals by in `detector`, for whoever calls [`Grantex::detect_anomalies`].
    #[must_use]
    pub fn anomalies(mut self, detector: Arc<Detector>) -> Self {
        self.detector = Some(detector);
        self
    }

    /// The service.
    pub fn build(self) -> Grantex<S> {
        Grantex {
            store: self.store,
            parts: Arc::new(Parts {
                clock: self.clock,
                random: self.random,
                keys: ArcSwap::from_pointee(self.keys),
                verified: VerifiedTokens::default(),
                handed_on: Recorded::default(),
                sealer: self.sealer,
                observer: self.observer,
                signal: self.signal,
                detector: self.detector,
                url_policy: self.url_policy,
                sender: self.sender,
                policies: PolicyCache::new(self.settings.policy_cache_bytes),
                policy_engine: self.policy_engine,
                policy_backend: self.policy_backend,
                settings: self.settings,
            }),
        }
    }
}

impl<S: Store> Grantex<S> {
    /// Begins to build a service: its store, settings, keys, the sealer for what is kept encrypted, and randomness.
    ///
    /// ```
    /// # #[cfg(all(feature = "testing", feature = "aws-lc"))]
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// use std::sync::Arc;
    ///
    /// use grantex_core::clock::Lifetime;
    /// use grantex_core::testing::MemoryStore;
    /// use grantex_core::token::crypto::{KeyPair, MasterKey, SystemEntropy};
    /// use grantex_core::token::signer::{Algorithm, KeyRing};
    /// use grantex_core::{Grantex, Settings};
    ///
    /// let store = MemoryStore::new();
    /// let sealer = MasterKey::parse(&"5a".repeat(32))?; // In earnest: 32 secret bytes.
    /// let (key, _) = KeyPair::generate(Algorithm::Es256)?; // In earnest: `KeyManager` keeps keys in the store.
    /// let key = Arc::new(key);
    /// let keys = KeyRing::new(key.clone(), key.clone(), vec![key]);
    /// let mut settings = Settings::new("https://auth.example.com");
    /// settings.max_grant_lifetime = Lifetime::days(30);
    /// let grantex = Grantex::builder(store, settings, keys, sealer, SystemEntropy::default()).build();
    /// assert_eq!(grantex.settings().issuer, "https://auth.example.com");
    /// # Ok(())
    /// # }
    /// # #[cfg(not(all(feature = "testing", feature = "aws-lc")))]
    /// # fn main() {}
    /// ```
    pub fn builder(
        store: S,
        settings: Settings,
        keys: KeyRing,
        sealer: impl Sealer,
        random: impl Random,
    ) -> Builder<S> {
        Builder {
            store,
            settings,
            clock: Arc::new(crate::clock::SystemClock::new()),
            random: Arc::new(random),
            keys,
            sealer: Arc::new(sealer),
            observer: Arc::new(Unobserved),
            signal: Arc::new(Unsignalled),
            url_policy: None,
            sender: None,
            policy_engine: Arc::new(NoEngine),
            policy_backend: None,
            detector: None,
        }
    }

    /// The store.
    pub fn store(&self) -> &S {
        &self.store
    }

    /// The settings.
    pub fn settings(&self) -> &Settings {
        &self.parts.settings
    }

    /// The wall-clock time that flows go by.
    pub fn now(&self) -> Timestamp {
        self.parts.clock.now()
    }

    /// The clock that flows go by.
    pub fn clock(&self) -> Arc<dyn Clock> {
        Arc::clone(&self.parts.clock)
    }

    /// The keys in force.
    pub fn keys(&self) -> Arc<KeyRing> {
        self.parts.keys.load_full()
    }

    /// Replaces the keys in force, for example after a rotation.
    pub fn set_keys(&self, keys: KeyRing) {
        self.parts.keys.store(Arc::new(keys));
    }

    /// A context for a call that begins now.
    pub fn context(&self, logger: Logger, request_id: String) -> Context {
        let recording = Recording::new(self.clock(), None);
        Context::new(logger, request_id, self.parts.clock.monotonic(), recording)
    }

    /// The service for one call: what it asks of the store is told to `recording`.
    #[must_use]
    pub fn recorded(&self, recording: &Recording) -> Self {
        Self {
            store: self.store.recorded(recording),
            parts: Arc::clone(&self.parts),
        }
    }

    /// Logs an event and tells it to the observer: for what happened outside a unit of work.
    pub fn emit(&self, ctx: &Context, event: &Event) {
        let latency = self.parts.clock.monotonic().saturating_sub(ctx.started());
        self.emit_with(ctx, event, latency);
    }

    /// Like [`Grantex::emit`], for what took a time of its own.
    pub(crate) fn emit_with(&self, ctx: &Context, event: &Event, latency: Duration) {
        event.log(ctx.logger(), latency);
        self.parts.observer.observe(event, latency);
    }

    /// What detection keeps in memory; one that forgets at once when nobody gave any.
    pub(crate) fn detector(&self) -> Arc<Detector> {
        self.parts.detector.as_ref().map_or_else(Arc::default, Arc::clone)
    }

    /// Lets the rules know of something that is in no audit chain. Costs nothing when nobody looks for anomalies.
    pub(crate) fn signal(&self, developer: &DeveloperId, make: impl FnOnce(Timestamp) -> AgentSignal) {
        if let Some(detector) = &self.parts.detector {
            detector.note(developer, make(self.now()));
        }
    }

    /// Runs a unit of work: `work`, then audit entries, events and the developer's counters, then the commit; then every
    /// recorded event is emitted. On `Err` nothing is committed and nothing is emitted.
    pub(crate) async fn transact<T, E, F>(
        &self,
        ctx: &Context,
        developer: Option<&DeveloperId>,
        work: F,
    ) -> Result<T, E>
    where
        T: Send + 'static,
        E: From<StoreError> + Send + 'static,
        F: for<'u, 't> FnOnce(&'u mut Unit<'t>) -> BoxFuture<'u, Result<T, E>> + Send + 'static,
    {
        self.transact_with(ctx, developer, developer, work).await
    }

    /// Like [`Grantex::transact`], in a transaction that is shared with other units of `shared_by` only. `None` is for units that lock
    /// something else before the developer's head: shared, they might wait for it while an earlier unit holds the head.
    pub(crate) async fn transact_with<T, E, F>(
        &self,
        ctx: &Context,
        shared_by: Option<&DeveloperId>,
        developer: Option<&DeveloperId>,
        work: F,
    ) -> Result<T, E>
    where
        T: Send + 'static,
        E: From<StoreError> + Send + 'static,
        F: for<'u, 't> FnOnce(&'u mut Unit<'t>) -> BoxFuture<'u, Result<T, E>> + Send + 'static,
    {
        let options = UnitOptions {
            developer: shared_by.cloned(),
            admission: ctx.admission().clone(),
        };
        let developer = developer.cloned();
        let told = developer.clone();
        let parts = Arc::clone(&self.parts);
        let place = ctx.recording().place();
        let (value, finished) = self
            .store
            .transact(options, move |tx| {
                Box::pin(async move {
                    let now = parts.clock.now();
                    let mut unit = Unit::new(tx, developer, now, Arc::clone(&parts.random), place);
                    let value = work(&mut unit).await?;
                    let finished = unit.finish().await?;
                    Ok::<_, E>((value, finished))
                })
            })
            .await?;
        for event in &finished.events {
            self.emit(ctx, event);
        }
        if !finished.entries.is_empty()
            && let (Some(detector), Some(developer)) = (&self.parts.detector, &told)
        {
            detector.committed(developer, &finished.entries);
        }
        if let Some(news) = &finished.news {
            self.parts.signal.committed(news);
        }
        if !finished.woken.is_empty() {
            self.parts.signal.deliveries_due(&finished.woken);
        }
        Ok(value)
    }
}
