//! A resource server: five lines of middleware, and an API answers only whom a person allowed it.
//!
//! The API verifies tokens itself, with the keys that the service publishes, and asks the service for each call whether the token was revoked,
//! so that a permission which is taken back ends at once. The service is here for the example's sake: in earnest it runs elsewhere.

use std::future::IntoFuture as _;
use std::net::{SocketAddr, TcpListener as StdListener};

use actix_web::web::Data;
use actix_web::{App, HttpServer};
use axum::routing::get;
use axum::{Extension, Router};
use grantex_client::middleware::{Guard, tower::Protect};
use grantex_client::{Authorized, OnlineCheck, Requirements, Secret, Verifier};
use grantex_core::agent::{AgentStatus, RegisterAgent};
use grantex_core::authorize::Authorize;
use grantex_core::clock::Lifetime;
use grantex_core::developer::{Developer, Mode, Signup};
use grantex_core::scope::Scopes;
use grantex_core::testing::MemoryStore;
use grantex_core::token::biscuit::TokenFormat;
use grantex_core::token::crypto::{MasterKey, SystemEntropy};
use grantex_core::token::{ExchangeCode, IssuedToken};
use grantex_core::{Grantex, Settings};
use grantex_examples::{Failure, MASTER_KEY, ask, keys};
use grantex_http::{App as GrantexApp, HttpSettings};
use slog::{Discard, Logger, o};
use tokio::net::TcpListener;

/// The API. These lines are the example.
fn api(service: &str, api_key: Secret<String>) -> Result<Router, Failure> {
    let online = OnlineCheck::builder(service, api_key).build()?;
    let verifier = Verifier::builder(service).revocation(online).build()?;
    let guard = Guard::new(verifier, Requirements::new().scope("calendar:read"));
    let calendar =
        get(|Extension(who): Extension<Authorized>| async move { format!("the calendar of {}", who.principal_id()) });
    Ok(Router::new().route("/calendar", calendar).layer(Protect::new(guard)))
}

#[actix_web::main]
async fn main() -> Result<(), Failure> {
    let listener = StdListener::bind("127.0.0.1:0")?;
    let service = format!("http://{}", listener.local_addr()?);
    let store = MemoryStore::new();
    let ring = keys(store.clone()).await?.ring().await?;
    let sealer = MasterKey::parse(MASTER_KEY)?;
    let random = SystemEntropy::default();
    let grantex = Grantex::builder(store, Settings::new(&service), ring, sealer, random.clone()).build();
    let logger = Logger::root(Discard, o!());
    let account = Signup {
        name: "Acme".to_owned(),
        email: None,
        mode: Mode::Sandbox,
    };
    let ctx = grantex.context(logger.clone(), "start".to_owned());
    let account = grantex.signup(&ctx, account).await?;
    let app = Data::new(GrantexApp::new(
        grantex.clone(),
        HttpSettings::new(&service),
        logger.clone(),
        random,
    ));
    let server = HttpServer::new(move || App::new().configure(grantex_http::routes(app.clone())))
        .workers(1)
        .disable_signals()
        .listen(listener)?
        .run();
    let handle = server.handle();
    actix_web::rt::spawn(server);

    let listener = TcpListener::bind("127.0.0.1:0").await?;
    let at = listener.local_addr()?;
    let api = tokio::spawn(axum::serve(listener, api(&service, account.api_key)?).into_future());

    for format in [TokenFormat::Jwt, TokenFormat::Biscuit] {
        let issued = token(&grantex, &account.developer, &["calendar:read"], format).await?;
        assert_eq!(call(at, Some(&issued)).await?, 200, "{}", format.as_str());
        grantex
            .revoke_grant(&ctx, &account.developer, issued.grant.id.clone())
            .await?;
        assert_eq!(call(at, Some(&issued)).await?, 401, "it ends at once");
    }
    let other = token(&grantex, &account.developer, &["mail:read"], TokenFormat::Jwt).await?;
    assert_eq!(call(at, Some(&other)).await?, 403, "it is for something else");
    assert_eq!(call(at, None).await?, 401);

    api.abort();
    handle.stop(true).await;
    Ok(())
}

/// The status with which the API answers.
async fn call(at: SocketAddr, token: Option<&IssuedToken>) -> Result<u16, Failure> {
    let bearer = token.map(|issued| format!("Bearer {}", issued.jwt.expose()));
    let headers: Vec<(&str, &str)> = bearer.iter().map(|value| ("authorization", value.as_str())).collect();
    Ok(ask(at, "GET", "/calendar", &headers, None).await?.0)
}

/// A token of a grant for these scopes, which a sandbox approves at once.
async fn token(
    grantex: &Grantex<MemoryStore>,
    developer: &Developer,
    scopes: &[&str],
    format: TokenFormat,
) -> Result<IssuedToken, Failure> {
    let ctx = grantex.context(Logger::root(Discard, o!()), "token".to_owned());
    let scopes = Scopes::parse_some(scopes.iter().map(|&scope| scope.to_owned()).collect())?;
    let agent = RegisterAgent {
        name: "Assistant".to_owned(),
        description: String::new(),
        scopes: scopes.clone(),
        status: AgentStatus::Active,
    };
    let agent = grantex.register_agent(&ctx, developer, agent).await?;
    let request = Authorize {
        agent_id: Some(agent.id.clone()),
        principal_id: "ada".to_owned(),
        scopes,
        redirect_uri: None,
        state: None,
        expires_in: Lifetime::hours(1),
        audience: None,
        code_challenge: None,
    };
    let authorized = grantex.authorize(&ctx, developer, request).await?;
    let exchange = ExchangeCode {
        code: authorized.code.ok_or("a sandbox approves at once")?,
        agent_id: Some(agent.id),
        verifier: None,
        redirect_uri: None,
        format,
    };
    Ok(grantex.exchange_code(&ctx, developer, exchange).await?)
}
