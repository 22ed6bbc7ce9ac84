//! A server over a store in memory, and words to talk to it.

mod answer;
mod ask;
pub mod gate;
mod receivers;
pub mod socket;
pub mod stream;
mod words;

use std::rc::Rc;
use std::sync::{Arc, Mutex, OnceLock};

use actix_web::body::BoxBody;
use actix_web::dev::{Service, ServiceFactory, ServiceRequest, ServiceResponse};
use actix_web::test::TestRequest;
use actix_web::{App as ActixApp, web};
use futures_util::future::LocalBoxFuture;
use grantex_core::clock::Clock;
use grantex_core::developer::{Mode, Signup};
use grantex_core::event::Event;
use grantex_core::store::Store;
use grantex_core::testing::{LogLines, ManualClock, MemoryStore, Recorder, SeededRandom};
use grantex_core::token::crypto::{KeyPair, MasterKey};
use grantex_core::token::signer::{Algorithm, KeyRing};
use grantex_core::{Grantex, Settings};
use grantex_delivery::CallPolicy;
use grantex_http::{App, FeedNews, HttpObserver, HttpSettings, StreamNews, Streams};
use serde_json::{Value, json};

pub use answer::Answer;
pub use ask::Ask;
pub use stream::Opened;

pub const BASE_URL: &str = "https://auth.example";
pub const PKCE_VERIFIER: &str = "dBjftJeZ4CVP-mB92K27uhbUJU1p1r_wW1gFWFOEjXk";
pub const PKCE_CHALLENGE: &str = "E9Melhoa2OwvFrEMTJguCHaoeK1t8URWbuGJSstw-cM";

type Serve = dyn Fn(TestRequest) -> LocalBoxFuture<'static, ServiceResponse<BoxBody>>;

/// What was measured, as `METHOD route status`.
#[derive(Clone, Default)]
pub struct Measured {
    pub requests: Arc<Mutex<Vec<String>>>,
    pub in_flight: Arc<Mutex<Vec<i64>>>,
    pub streams: Arc<Mutex<Vec<StreamNews>>>,
    pub feed: Arc<Mutex<Vec<FeedNews>>>,
}

impl HttpObserver for Measured {
    fn request_finished(&self, method: &'static str, route: &'static str, status: u16, _seconds: f64) {
        self.requests.lock().unwrap().push(format!("{method} {route} {status}"));
    }
    fn in_flight(&self, delta: i64) {
        self.in_flight.lock().unwrap().push(delta);
    }
    fn stream(&self, news: StreamNews) {
        self.streams.lock().unwrap().push(news);
    }
    fn revocation_feed(&self, news: FeedNews) {
        self.feed.lock().unwrap().push(news);
    }
    fn render(&self) -> Option<String> {
        Some("grantex_up 1\n".to_owned())
    }
}

/// A server with one live and one sandbox developer.
pub struct TestApp {
    serve: Rc<Serve>,
    pub app: web::Data<App<MemoryStore>>,
    pub grantex: Grantex<MemoryStore>,
    pub store: MemoryStore,
    pub clock: ManualClock,
    pub lines: LogLines,
    pub measured: Measured,
    pub live: String,
    pub sandbox: String,
    events: Recorder,
}

pub fn keys() -> KeyRing {
    static KEY: OnceLock<Arc<KeyPair>> = OnceLock::new();
    let key = KEY.get_or_init(|| Arc::new(KeyPair::generate(Algorithm::Rs256).unwrap().0));
    let root = grantex_core::token::biscuit::BiscuitKey::generate().unwrap();
    let biscuits = grantex_core::token::biscuit::BiscuitFormat::keys(
        &grantex_biscuit::Biscuits::default(),
        std::slice::from_ref(&root),
        &root.kid,
    );
    KeyRing::new(key.clone(), key.clone(), vec![key.clone()]).with_biscuits(Some(biscuits.unwrap()))
}

pub fn sealer() -> MasterKey {
    MasterKey::parse(&"5a".repeat(32)).unwrap()
}

impl TestApp {
    pub async fn start() -> Self {
        Self::start_with(|_, _| {}).await
    }

    /// A server without limits, for tests that ask a lot.
    pub async fn unlimited() -> Self {
        Self::start_with(|_, http| http.rate_limits.is_enabled = false).await
    }

    /// A server of which nobody said which URLs it may call.
    pub async fn without_webhooks() -> Self {
        Self::build(|_, _| {}, None).await
    }

    pub async fn start_with(change: impl FnOnce(&mut Settings, &mut HttpSettings)) -> Self {
        Self::build(change, Some(CallPolicy::default())).await
    }

    async fn build(change: impl FnOnce(&mut Settings, &mut HttpSettings), webhooks: Option<CallPolicy>) -> Self {
        let mut settings = Settings::new(BASE_URL);
        let mut http = HttpSettings::new(BASE_URL);
        change(&mut settings, &mut http);
        let (store, clock, random) = (MemoryStore::new(), ManualClock::default(), SeededRandom::new(7));
        let streams = Streams::default();
        let (events, lines, measured) = (Recorder::default(), LogLines::default(), Measured::default());
        let builder = Grantex::builder(store.clone(), settings, keys(), sealer(), random.clone())
            .clock(clock.clone())
            .observer(events.clone())
            .signal(streams.clone())
            .policy_engine(words::OneWord);
        let grantex = match webhooks {
            Some(policy) => builder.webhooks(policy).sender(Arc::new(receivers::Receivers)).build(),
            None => builder.build(),
        };
        let live = key_of(&grantex, Mode::Live).await;
        let sandbox = key_of(&grantex, Mode::Sandbox).await;
        events.take();
        let app = App::new(grantex.clone(), http, lines.logger(), random);
        let app = web::Data::new(app.observer(measured.clone()).streams(streams));
        let service = Rc::new(actix_web::test::init_service(actix_app(app.clone())).await);
        let serve = Rc::new(
            move |request: TestRequest| -> LocalBoxFuture<'static, ServiceResponse<BoxBody>> {
                let service = Rc::clone(&service);
                Box::pin(async move { service.call(request.to_request()).await.unwrap().map_into_boxed_body() })
            },
        );
        Self {
            serve,
            app,
            grantex,
            store,
            clock,
            lines,
            measured,
            live,
            sandbox,
            events,
        }
    }

    pub fn get(&self, path: &str) -> Ask<'_> {
        Ask::new(self, TestRequest::get().uri(path))
    }

    pub fn head(&self, path: &str) -> Ask<'_> {
        Ask::new(
            self,
            TestRequest::default().method(actix_web::http::Method::HEAD).uri(path),
        )
    }

    pub fn post(&self, path: &str) -> Ask<'_> {
        Ask::new(self, TestRequest::post().uri(path))
    }

    pub fn patch(&self, path: &str) -> Ask<'_> {
        Ask::new(self, TestRequest::patch().uri(path))
    }

    pub fn delete(&self, path: &str) -> Ask<'_> {
        Ask::new(self, TestRequest::delete().uri(path))
    }

    pub fn ask(&self, method: &str, path: &str) -> Ask<'_> {
        Ask::new(self, TestRequest::default().method(method.parse().unwrap()).uri(path))
    }

    async fn serve(&self, request: TestRequest) -> Answer {
        Answer::read((self.serve)(request).await).await
    }

    async fn serve_stream(&self, request: TestRequest) -> Opened {
        Opened::of((self.serve)(request).await)
    }

    /// The time, as answers show it.
    pub fn clock_text(&self) -> String {
        Clock::now(&self.clock).to_string()
    }

    /// What happened since the last look.
    pub fn events(&self) -> Vec<Event> {
        self.events.take()
    }

    /// The names of what happened since the last look.
    pub fn event_names(&self) -> Vec<&'static str> {
        self.events.take().iter().map(Event::message).collect()
    }

    /// A new agent of the live developer.
    pub async fn agent(&self, scopes: &[&str]) -> String {
        self.agent_of(&self.live, scopes).await
    }

    pub async fn agent_of(&self, key: &str, scopes: &[&str]) -> String {
        let body = json!({"name": "Assistant", "scopes": scopes});
        let agent = self.post("/v1/agents").key(key).json(&body).send().await.expect(201);
        agent["agentId"].as_str().unwrap().to_owned()
    }

    /// A pending request of the live developer.
    pub async fn pending(&self, agent: &str, extra: Value) -> String {
        let mut body = json!({"agentId": agent, "principalId": "user-1", "scopes": ["read", "write"]});
        body.as_object_mut().unwrap().extend(extra.as_object().unwrap().clone());
        let opened = self
            .post("/v1/authorize")
            .key(&self.live)
            .json(&body)
            .send()
            .await
            .expect(201);
        opened["authRequestId"].as_str().unwrap().to_owned()
    }

    /// An approved code of the live developer.
    pub async fn code(&self, agent: &str, extra: Value) -> String {
        let request = self.pending(agent, extra).await;
        let approved = self
            .post(&format!("/v1/consent/{request}/approve"))
            .send()
            .await
            .expect(200);
        approved["code"].as_str().unwrap().to_owned()
    }

    /// Tokens of a new grant of the live developer.
    pub async fn tokens(&self, agent: &str) -> Value {
        let code = self.code(agent, json!({})).await;
        self.exchange(&json!({"code": code, "agentId": agent}))
            .await
            .expect(201)
    }

    /// The live developer's attempt to exchange a code.
    pub async fn exchange(&self, body: &Value) -> Answer {
        self.post("/v1/token").key(&self.live).json(body).send().await
    }

    /// A session token of the principal who consented to everything here.
    pub async fn session(&self) -> String {
        let opened = self
            .post("/v1/principal-sessions")
            .key(&self.live)
            .json(&json!({"principalId": "user-1"}))
            .send()
            .await
            .expect(201);
        opened["sessionToken"].as_str().unwrap().to_owned()
    }

    /// Whether a token verifies for the live developer.
    pub async fn is_valid(&self, token: &Value) -> bool {
        let answer = self
            .post("/v1/tokens/verify")
            .key(&self.live)
            .json(&json!({"token": token}))
            .send()
            .await
            .expect(200);
        answer["valid"].as_bool().unwrap()
    }
}

/// The routes as the server mounts them.
pub fn actix_app(
    app: web::Data<App<MemoryStore>>,
) -> ActixApp<
    impl ServiceFactory<ServiceRequest, Config = (), Response = ServiceResponse, Error = actix_web::Error, InitError = ()>,
> {
    ActixApp::new()
        .wrap_fn(|request, routes| routes.call(grantex_http::collapse_leading_slashes(request)))
        .configure(grantex_http::routes(app))
}

pub async fn key_of<S: Store>(grantex: &Grantex<S>, mode: Mode) -> String {
    let ctx = grantex.context(slog::Logger::root(slog::Discard, slog::o!()), "test".into());
    let signup = Signup {
        name: "Acme".into(),
        email: None,
        mode,
    };
    grantex.signup(&ctx, signup).await.unwrap().api_key.expose().clone()
}
