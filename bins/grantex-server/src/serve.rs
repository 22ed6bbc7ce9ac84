//! Running: the HTTP server, the workers, and an orderly end.

use std::io::Write as _;
use std::sync::Arc;

use actix_web::dev::Service as _;
use actix_web::web::Data;
use actix_web::{App, HttpServer, rt};
use grantex_core::clock::SystemClock;
use grantex_core::token::crypto::SystemEntropy;
use grantex_http::HttpSettings;
use grantex_metrics::Metrics;
use grantex_store::AnyStore;
use slog::{Logger, error, info, o, warn};
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::watch;

use crate::app::Assembly;
use crate::config::{Config, LogFormat};
use crate::error::Failure;
use crate::observe::HttpMetrics;
use crate::{connection, telemetry, traces, welcome, workers};

/// Connections that may wait to be accepted.
const BACKLOG: u32 = 2048;

/// Serves until a signal says to stop.
pub fn serve(config: Config) -> Result<(), Failure> {
    let metrics = match config.metrics.is_enabled {
        true => Some(
            Metrics::with_agents(
                env!("CARGO_PKG_VERSION"),
                &grantex_http::route_templates(),
                config.metrics.agent_series,
                Arc::new(SystemClock::new()),
            )
            .map_err(Failure::of("setting up the metrics"))?,
        ),
        false => None,
    };
    let telemetry = telemetry::start(config.logs, metrics.clone(), Arc::new(SystemClock::new()));
    // The log is written to its end when this returns, because the telemetry is dropped then.
    rt::System::new()
        .block_on(run(config, metrics, telemetry.logger.clone()))
        .inspect_err(|failure| error!(telemetry.logger, "failed"; "error" => failure.to_string()))
}

async fn run(config: Config, metrics: Option<Metrics>, logger: Logger) -> Result<(), Failure> {
    let assembly = Assembly::open(&config, &logger, metrics.as_ref()).await?;
    let ctx = assembly
        .grantex
        .context(logger.new(o!("requestId" => "start")), "start".to_owned());
    let greeting = welcome::accounts(&config, &assembly.grantex, &ctx).await?;

    let (stop, stopping) = watch::channel(false);
    let mut app = http_app(&config, &assembly, metrics.as_ref(), &logger);
    let mut exporting = None;
    if let Some((tracer, exporter)) = traces::start(&config.traces, metrics.as_ref(), &logger, &stopping)? {
        app = app.tracer(tracer);
        exporting = Some(exporter);
    }
    let app = Data::new(app);
    let mut jobs = workers::start(&config, assembly, metrics, &logger, &stopping).await?;
    jobs.tend_streams(app.clone(), &stopping);
    jobs.await_also(exporting);

    let mounted = app.clone();
    let routes = move || {
        App::new()
            .wrap_fn(|request, routes| routes.call(grantex_http::collapse_leading_slashes(request)))
            .configure(grantex_http::routes(mounted.clone()))
    };
    let server = HttpServer::new(routes)
        .on_connect(connection::prepare)
        .workers(config.http.workers)
        .backlog(BACKLOG)
        .keep_alive(config.http.keep_alive)
        .shutdown_timeout(config.http.shutdown_timeout.as_secs())
        .disable_signals()
        .bind((config.http.host.as_str(), config.http.port))
        .map_err(Failure::of("listening"))?
        .run();
    let handle = server.handle();
    let serving = rt::spawn(server);
    announce(&config, &logger);
    if let Some(greeting) = greeting {
        greet(config.logs.format, &greeting);
    }

    let name = signalled().await?;
    info!(logger, "draining"; "signal" => name);
    app.drain();
    rt::time::sleep(config.http.shutdown_delay).await;
    // Stops accepting, then lets begun requests end.
    handle.stop(true).await;
    match serving.await {
        Ok(ended) => ended.map_err(Failure::of("serving"))?,
        Err(_) => warn!(logger, "the server's task was cancelled"),
    }
    // Nobody listens only when every worker has ended already.
    let _ = stop.send(true);
    // A job that waits for a stalled database must not hold up the end; what it had not committed, the next start does.
    if rt::time::timeout(config.http.shutdown_timeout, jobs.join())
        .await
        .is_err()
    {
        warn!(logger, "job.unfinished");
    }
    info!(logger, "stopped");
    Ok(())
}

fn http_app(
    config: &Config,
    assembly: &Assembly,
    metrics: Option<&Metrics>,
    logger: &Logger,
) -> grantex_http::App<AnyStore> {
    let mut settings = HttpSettings::new(&config.http.public_base_url);
    settings.trust_proxy = config.http.trust_proxy.clone();
    settings
        .cors_allowed_origins
        .clone_from(&config.http.cors_allowed_origins);
    settings.rate_limits = config.limits.clone();
    settings.metrics_enabled = config.metrics.is_enabled;
    settings.metrics_api_key.clone_from(&config.metrics.api_key);
    settings.metrics_require_auth = config.metrics.require_auth;
    settings.admin_api_key.clone_from(&config.http.admin_api_key);
    settings.request_deadline = config.http.request_deadline;
    settings.streams = config.streams;
    settings.feed = config.feed;
    settings.is_production = config.http.environment == crate::config::Environment::Production;
    if let Some(domain) = &config.http.did_web_domain {
        settings.did_web_domain.clone_from(domain);
    }
    let app = grantex_http::App::new(
        assembly.grantex.clone(),
        settings,
        logger.clone(),
        SystemEntropy::default(),
    )
    .streams(assembly.streams.clone());
    match metrics {
        Some(metrics) => app.observer(HttpMetrics(metrics.clone())),
        None => app,
    }
}

fn announce(config: &Config, logger: &Logger) {
    for warning in config.warnings() {
        warn!(logger, "configuration.warning"; "warning" => warning);
    }
    info!(logger, "listening";
        "version" => env!("CARGO_PKG_VERSION"),
        "algorithm" => config.keys.algorithm.as_str(),
        "database" => config.database.kind(),
        "environment" => config.http.environment.as_str(),
        "url" => config.http.public_base_url.as_str(),
        "port" => config.http.port,
        "host" => config.http.host.as_str(),
    );
}

/// Never through the log: it holds an API key. Where standard output is a stream of JSON lines, people read standard error.
fn greet(format: LogFormat, greeting: &str) {
    // Without anybody to read it there is nothing to tell.
    let _ = match format {
        LogFormat::Terminal => std::io::stdout().write_all(greeting.as_bytes()),
        LogFormat::Json => std::io::stderr().write_all(greeting.as_bytes()),
    };
}

async fn signalled() -> Result<&'static str, Failure> {
    let listen = |kind| signal(kind).map_err(Failure::of("listening for signals"));
    let (mut terminate, mut interrupt) = (listen(SignalKind::terminate())?, listen(SignalKind::interrupt())?);
    Ok(tokio::select! {
        _ = terminate.recv() => "SIGTERM",
        _ = interrupt.recv() => "SIGINT",
    })
}
