//! The whole HTTP API of Grantex inside an actix service, under a prefix, behind the service's own authentication.
//!
//! A company has a service with its own sessions. Its teams are the developers; nobody holds an API key. A middleware recognises the team
//! and says so with [`KnownDeveloper`]; pages and endpoints of Grantex do the rest. What the middleware does not recognise is still let
//! through: routes that need nobody (keys, consent) answer, all others say 401.

use std::collections::HashMap;
use std::net::{SocketAddr, TcpListener};
use std::sync::Arc;

use actix_web::dev::Service as _;
use actix_web::web::{self, Data};
use actix_web::{App, HttpMessage as _, HttpResponse, HttpServer};
use grantex_core::developer::{Mode, Signup};
use grantex_core::id::DeveloperId;
use grantex_core::token::crypto::{MasterKey, SystemEntropy};
use grantex_core::{Grantex, Settings};
use grantex_examples::{Failure, MASTER_KEY, Scratch, ask, keys};
use grantex_http::{App as GrantexApp, HttpSettings, KnownDeveloper, Streams};
use grantex_store::{Options, migrate};
use serde_json::{Value, json};
use slog::{Discard, Logger, o};

/// Sessions of this service, and the developer that each team is.
type Sessions = HashMap<String, DeveloperId>;

#[actix_web::main]
async fn main() -> Result<(), Failure> {
    let scratch = Scratch::new("actix")?;
    let database = format!("sqlite:{}", scratch.file("grantex.db").display());
    let url = database.clone();
    tokio::task::spawn_blocking(move || migrate::run(&url)).await??;
    let store = grantex_store::open(&database, Options::default()).await?;
    let keys = keys(store.clone()).await?;

    // The prefix is part of the base URL: links in answers and on pages begin with it.
    let listener = TcpListener::bind("127.0.0.1:0")?;
    let at = listener.local_addr()?;
    let base_url = format!("http://{at}/auth");
    let (sealer, streams) = (MasterKey::parse(MASTER_KEY)?, Streams::default());
    let random = SystemEntropy::default();
    let grantex = Grantex::builder(
        store,
        Settings::new(&base_url),
        keys.ring().await?,
        sealer,
        random.clone(),
    )
    .signal(streams.clone())
    .build();

    let logger = Logger::root(Discard, o!());
    let ctx = grantex.context(logger.clone(), "start".to_owned());
    let mut sessions = Sessions::new();
    for team in ["red", "blue"] {
        let account = Signup {
            name: format!("Team {team}"),
            email: None,
            mode: Mode::Sandbox,
        };
        let developer = grantex.signup(&ctx, account).await?.developer;
        sessions.insert(format!("session-of-{team}"), developer.id);
    }

    let mounted = Data::new(GrantexApp::new(grantex, HttpSettings::new(&base_url), logger, random).streams(streams));
    let sessions = Arc::new(sessions);
    let app = mounted.clone();
    let server = HttpServer::new(move || {
        let sessions = Arc::clone(&sessions);
        let grantex = web::scope("/auth")
            .configure(grantex_http::routes(app.clone()))
            .wrap_fn(move |request, routes| {
                // In earnest a cookie and a look into the sessions' store; the way in is the same.
                let session = request.headers().get("x-session").and_then(|value| value.to_str().ok());
                if let Some(team) = session.and_then(|session| sessions.get(session)) {
                    request.extensions_mut().insert(KnownDeveloper::new(team.clone()));
                }
                routes.call(request)
            });
        App::new().service(grantex).route(
            "/",
            web::get().to(|| async { HttpResponse::Ok().body("the rest of the service") }),
        )
    })
    .workers(1)
    .disable_signals()
    .listen(listener)?
    .run();
    let handle = server.handle();
    let serving = actix_web::rt::spawn(server);
    // Without this, event streams stay silent. The jobs of docs/embedding.md are as in the other example.
    let tended = mounted.clone();
    let streams = actix_web::rt::spawn(async move { tended.run_streams().await });

    a_day(at).await?;

    // New traffic is sent away, streams are told to go on elsewhere, requests that run are answered.
    mounted.drain();
    handle.stop(true).await;
    serving.await??;
    streams.abort();
    Ok(())
}

/// What the teams do, and what must come of it.
async fn a_day(at: SocketAddr) -> Result<(), Failure> {
    let (red, blue) = ([("x-session", "session-of-red")], [("x-session", "session-of-blue")]);
    assert_eq!(
        ask(at, "GET", "/", &[], None).await?,
        (200, json!("the rest of the service"))
    );
    assert_eq!(
        ask(at, "GET", "/auth/health", &[], None).await?,
        (200, json!({"status": "ok"}))
    );
    let (status, jwks) = ask(at, "GET", "/auth/.well-known/jwks.json", &[], None).await?;
    assert!(status == 200 && jwks.get("keys").is_some(), "{jwks}");

    assert_eq!(ask(at, "GET", "/auth/v1/agents", &[], None).await?.0, 401);
    assert_eq!(
        ask(at, "GET", "/auth/v1/agents", &[("x-session", "made-up")], None)
            .await?
            .0,
        401
    );
    let agent = json!({"name": "Assistant", "scopes": ["calendar:read"]});
    let (status, agent) = ask(at, "POST", "/auth/v1/agents", &red, Some(&agent)).await?;
    assert_eq!(status, 201, "{agent}");
    let id = agent.get("agentId").and_then(Value::as_str).unwrap_or_default();
    let path = format!("/auth/v1/agents/{id}");
    assert_eq!(ask(at, "GET", &path, &red, None).await?.0, 200);
    assert_eq!(
        ask(at, "GET", &path, &blue, None).await?.0,
        404,
        "teams do not see each other's agents"
    );

    let wish = json!({"agentId": id, "principalId": "ada", "scopes": ["calendar:read"]});
    let (status, opened) = ask(at, "POST", "/auth/v1/authorize", &red, Some(&wish)).await?;
    assert_eq!(status, 201, "{opened}");
    let consent = opened.get("consentUrl").and_then(Value::as_str).unwrap_or_default();
    assert!(
        consent.starts_with(&format!("http://{at}/auth/consent?")),
        "links keep the prefix: {consent}"
    );
    Ok(())
}
