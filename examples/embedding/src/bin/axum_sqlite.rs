//! Core inside an axum service, on SQLite: the routes, the login and the words are the author's; Grantex keeps the grants.
//!
//! A service keeps people's notes. People allow agents to read them, take that back, and agents present tokens. There is no API key and no
//! second server: the service is the only developer of its own Grantex.

use std::future::IntoFuture as _;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use axum::extract::{Path, State};
use axum::http::{HeaderMap, StatusCode};
use axum::routing::{delete, get, post};
use axum::{Json, Router};
use grantex_core::agent::{AgentStatus, RegisterAgent};
use grantex_core::authorize::{Authorize, ConsentError, Origin};
use grantex_core::clock::Lifetime;
use grantex_core::context::Context;
use grantex_core::developer::{Developer, Mode, Signup};
use grantex_core::id::{AgentId, GrantId};
use grantex_core::keys::KeyManager;
use grantex_core::scope::Scopes;
use grantex_core::secret::Secret;
use grantex_core::sweep::Retention;
use grantex_core::token::biscuit::TokenFormat;
use grantex_core::token::crypto::{MasterKey, SystemEntropy};
use grantex_core::token::{ExchangeCode, ExchangeError};
use grantex_core::{Grantex, Settings};
use grantex_examples::{Failure, MASTER_KEY, Scratch, ask, keys};
use grantex_store::{AnyStore, Options, migrate};
use serde::Deserialize;
use serde_json::{Value, json};
use slog::{Discard, Logger, o};
use tokio::net::TcpListener;
use tokio::sync::watch;
use tokio::time::{MissedTickBehavior, interval};

/// What every route needs. Clones are cheap.
#[derive(Clone)]
struct Notes {
    grantex: Grantex<AnyStore>,
    developer: Arc<Developer>,
    agent: AgentId,
}

impl Notes {
    /// A context for one call. In earnest: your logger with your request id.
    fn context(&self) -> Context {
        self.grantex.context(Logger::root(Discard, o!()), "request".to_owned())
    }
}

/// Why a request is refused.
type Refusal = (StatusCode, &'static str);

/// What the store cannot do now may work in a moment. In earnest: log the error with its causes.
fn unavailable<E>(_: E) -> Refusal {
    (StatusCode::SERVICE_UNAVAILABLE, "try again")
}

/// The author's login: in earnest a session, here a header.
fn person(headers: &HeaderMap) -> Result<String, Refusal> {
    let person = headers.get("x-person").and_then(|value| value.to_str().ok());
    person.map(str::to_owned).ok_or((StatusCode::UNAUTHORIZED, "log in"))
}

#[derive(Deserialize)]
struct Permission {
    scopes: Vec<String>,
}

/// A person allows the agent something, on a page of this service. What comes back goes to the agent.
async fn allow(
    State(notes): State<Notes>,
    headers: HeaderMap,
    Json(wish): Json<Permission>,
) -> Result<Json<Value>, Refusal> {
    let person = person(&headers)?;
    let scopes = Scopes::parse_some(wish.scopes).map_err(|_| (StatusCode::BAD_REQUEST, "scopes"))?;
    let ctx = notes.context();
    let wish = Authorize {
        agent_id: Some(notes.agent.clone()),
        principal_id: person,
        scopes,
        redirect_uri: None,
        state: None,
        expires_in: Lifetime::hours(24),
        audience: None,
        code_challenge: None,
    };
    let opened = notes
        .grantex
        .authorize(&ctx, &notes.developer, wish)
        .await
        .map_err(|_| (StatusCode::FORBIDDEN, "the agent may not ask for this"))?;
    // The person has just decided: there is no other page to show.
    let origin = Origin::new([127, 0, 0, 1].into(), None);
    let approved = notes.grantex.approve_consent(&ctx, opened.request.id, origin).await;
    let approved = approved.map_err(|error| match error {
        ConsentError::NotFound | ConsentError::Gone => (StatusCode::GONE, "ask again"),
        ConsentError::Store(error) => unavailable(error),
    })?;
    Ok(Json(json!({"code": approved.code.expose()})))
}

#[derive(Deserialize)]
struct Code {
    code: String,
}

/// The agent exchanges the code.
async fn exchange(State(notes): State<Notes>, Json(Code { code }): Json<Code>) -> Result<Json<Value>, Refusal> {
    let exchange = ExchangeCode {
        code: Secret::new(code),
        agent_id: Some(notes.agent.clone()),
        verifier: None,
        redirect_uri: None,
        format: TokenFormat::Jwt,
    };
    let issued = notes
        .grantex
        .exchange_code(&notes.context(), &notes.developer, exchange)
        .await;
    let issued = issued.map_err(|error| match error {
        ExchangeError::Store(error) => unavailable(error),
        _ => (StatusCode::BAD_REQUEST, "the code is not good"),
    })?;
    Ok(Json(json!({"token": issued.jwt.expose(), "grant": issued.grant.id})))
}

/// The agent reads: the token is judged against the store, so that a permission that was taken back ends at once.
async fn read(State(notes): State<Notes>, headers: HeaderMap) -> Result<String, Refusal> {
    let header = headers.get("authorization").and_then(|value| value.to_str().ok());
    let token = header.and_then(|text| text.strip_prefix("Bearer "));
    let token = token.ok_or((StatusCode::UNAUTHORIZED, "a token is needed"))?;
    let verdict = notes
        .grantex
        .verify_token(&notes.context(), &notes.developer, token, None)
        .await
        .map_err(unavailable)?;
    let verified = verdict.map_err(|_| (StatusCode::UNAUTHORIZED, "the token is not good"))?;
    let claims = verified.claims;
    if !claims.scopes.iter().any(|scope| scope == "notes:read") {
        return Err((StatusCode::FORBIDDEN, "the token is not for notes"));
    }
    Ok(format!("the notes of {}", claims.principal_id))
}

/// A person takes a permission back.
async fn take_back(
    State(notes): State<Notes>,
    headers: HeaderMap,
    Path(id): Path<String>,
) -> Result<StatusCode, Refusal> {
    let (person, none) = (
        person(&headers)?,
        (StatusCode::NOT_FOUND, "there is no such permission"),
    );
    let id = GrantId::parse(&id).ok_or(none)?;
    let found = notes
        .grantex
        .grant(&notes.developer, id.clone())
        .await
        .map_err(unavailable)?;
    found.filter(|grant| grant.principal_id == person).ok_or(none)?;
    let revoked = notes.grantex.revoke_grant(&notes.context(), &notes.developer, id).await;
    revoked.map(|_| StatusCode::NO_CONTENT).map_err(|_| none)
}

/// What must be done now and then, until the program stops: see docs/embedding.md.
async fn housekeeping(notes: Notes, keys: KeyManager<AnyStore>, mut stopping: watch::Receiver<bool>) {
    let mut beats = interval(Duration::from_secs(5));
    beats.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        tokio::select! {
            _ = stopping.wait_for(|is_stopping| *is_stopping) => return,
            _ = beats.tick() => {}
        }
        // In earnest: log what fails. Whatever was not done is done at the next beat.
        let _ = notes.grantex.sweep_expired().await;
        let _ = notes.grantex.spread_revocations(&notes.context()).await;
        let _ = notes.grantex.clear_deleted_agents(&notes.context()).await;
        let _ = notes.grantex.janitor(&Retention::default()).await;
        if keys.prune().await.is_ok()
            && let Ok(ring) = keys.ring().await
        {
            notes.grantex.set_keys(ring);
        }
    }
}

#[tokio::main]
async fn main() -> Result<(), Failure> {
    let scratch = Scratch::new("axum")?;
    let database = format!("sqlite:{}", scratch.file("notes.db").display());

    // The schema, then the store, then the keys in it, then the service.
    let url = database.clone();
    tokio::task::spawn_blocking(move || migrate::run(&url)).await??;
    let store = grantex_store::open(&database, Options::default()).await?;
    let keys = keys(store.clone()).await?;
    let settings = Settings::new("https://notes.example");
    let sealer = MasterKey::parse(MASTER_KEY)?;
    let grantex = Grantex::builder(store, settings, keys.ring().await?, sealer, SystemEntropy::default()).build();

    // The service is the only developer there is. In earnest: once, and its id is kept.
    let ctx = grantex.context(Logger::root(Discard, o!()), "start".to_owned());
    let account = Signup {
        name: "Notes".to_owned(),
        email: None,
        mode: Mode::Live,
    };
    let developer = grantex.signup(&ctx, account).await?.developer;
    let assistant = RegisterAgent {
        name: "Assistant".to_owned(),
        description: "Answers questions about notes".to_owned(),
        scopes: Scopes::parse_some(vec!["notes:read".to_owned(), "notes:list".to_owned()])?,
        status: AgentStatus::Active,
    };
    let agent = grantex.register_agent(&ctx, &developer, assistant).await?.id;
    let notes = Notes {
        grantex,
        developer: Arc::new(developer),
        agent,
    };

    let app = Router::new()
        .route("/permissions", post(allow))
        .route("/permissions/{id}", delete(take_back))
        .route("/tokens", post(exchange))
        .route("/notes", get(read))
        .with_state(notes.clone());
    let listener = TcpListener::bind("127.0.0.1:0").await?;
    let at = listener.local_addr()?;
    let (stop, stopping) = watch::channel(false);
    let jobs = tokio::spawn(housekeeping(notes, keys, stopping.clone()));
    let mut ending = stopping;
    let server = axum::serve(listener, app).with_graceful_shutdown(async move {
        // The sender lives until the end of this program.
        let _ = ending.wait_for(|is_stopping| *is_stopping).await;
    });
    let server = tokio::spawn(server.into_future());

    a_day(at).await?;

    // First no new requests, then those that run, then the jobs; the store goes with its last clone.
    stop.send(true)?;
    server.await??;
    jobs.await?;
    Ok(())
}

/// What people and agents do, and what must come of it.
async fn a_day(at: SocketAddr) -> Result<(), Failure> {
    let ada = [("x-person", "ada")];
    let wish = json!({"scopes": ["notes:read"]});
    let (status, _) = ask(at, "POST", "/permissions", &[], Some(&wish)).await?;
    assert_eq!(status, 401, "nobody is logged in");
    let (status, allowed) = ask(at, "POST", "/permissions", &ada, Some(&wish)).await?;
    assert_eq!(status, 200, "{allowed}");
    let (status, issued) = ask(at, "POST", "/tokens", &[], Some(&allowed)).await?;
    assert_eq!(status, 200, "{issued}");
    let token = issued.get("token").and_then(Value::as_str).unwrap_or_default();
    let grant = issued.get("grant").and_then(Value::as_str).unwrap_or_default();

    let bearer = format!("Bearer {token}");
    let agent = [("authorization", bearer.as_str())];
    assert_eq!(
        ask(at, "GET", "/notes", &agent, None).await?,
        (200, json!("the notes of ada"))
    );
    assert_eq!(ask(at, "GET", "/notes", &[], None).await?.0, 401);

    let path = format!("/permissions/{grant}");
    assert_eq!(ask(at, "DELETE", &path, &[("x-person", "bob")], None).await?.0, 404);
    assert_eq!(ask(at, "DELETE", &path, &ada, None).await?.0, 204);
    assert_eq!(ask(at, "GET", "/notes", &agent, None).await?.0, 401, "it ends at once");
    Ok(())
}
