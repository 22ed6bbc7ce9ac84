//! Assembly: from the configuration to a service over an open store, with its keys.

use std::path::Path;
use std::sync::Arc;

use grantex_biscuit::Biscuits;
use grantex_core::Grantex;
use grantex_core::anomaly::detector::Detector;
use grantex_core::clock::{Clock, SystemClock};
use grantex_core::event::Unobserved;
use grantex_core::grantex::Builder;
use grantex_core::keys::{Imported, KeyManager, KeySettings};
use grantex_core::policy::BackendKind;
use grantex_core::policy::backend::HttpBackend;
use grantex_core::token::crypto::SystemEntropy;
use grantex_core::token::signer::Sealer;
use grantex_core::webhook::send::Sender;
use grantex_delivery::{Bell, HttpSender, Mailer, Outbox, PolicyClient};
use grantex_http::Streams;
use grantex_metrics::Metrics;
use grantex_policy::Cedar;
use grantex_store::{AnyStore, migrate};
use slog::{Logger, info, warn};

use crate::config::{Config, Database, DatabaseUrl, Policies};
use crate::error::Failure;
use crate::keys::{self, SharedSealer};
use crate::observe::ConnectionErrors;
use crate::wake::{Wake, wire};

/// The service and what keeps it going.
pub struct Assembly {
    /// The flows.
    pub grantex: Grantex<AnyStore>,
    /// The signing keys.
    pub keys: KeyManager<AnyStore>,
    /// The clock of everything.
    pub clock: Arc<dyn Clock>,
    /// Rung when there may be webhook deliveries.
    pub bell: Bell,
    /// The open event streams.
    pub streams: Streams,
    /// Signals for the rules that wait to be looked at.
    pub detector: Arc<Detector>,
    /// What goes out, when anything does.
    pub outbox: Option<Arc<Outbox>>,
}

impl Assembly {
    /// Opens the store, brings its schema up to date if that is wanted, and loads the keys.
    pub async fn open(config: &Config, logger: &Logger, metrics: Option<&Metrics>) -> Result<Self, Failure> {
        prepare(&config.database, logger)?;
        let store = open_store(&config.database, logger, metrics).await?;
        let clock: Arc<dyn Clock> = Arc::new(SystemClock::new());
        let keys = key_manager(config, store.clone(), &clock)?;
        if let Some(pem) = &config.keys.rsa_private_key {
            let (kid, imported) = keys
                .import(pem)
                .await
                .map_err(Failure::of("importing RSA_PRIVATE_KEY"))?;
            match imported {
                Imported::Now => info!(logger, "signing_key.imported"; "kid" => kid),
                Imported::Before => {}
                Imported::Removed => {
                    let warning =
                        "RSA_PRIVATE_KEY holds a key that was retired and removed; it is not used again, so unset it";
                    warn!(logger, "configuration.warning"; "warning" => warning, "kid" => kid);
                }
            }
        }
        keys.ensure()
            .await
            .map_err(Failure::of("making the first signing key"))?;
        let ring = keys.ring().await.map_err(Failure::of("loading the signing keys"))?;
        let ring = keys::measured(ring, metrics, &clock);

        let outbox = outbox(config, &clock)?;
        let sealer = SharedSealer(sealer(config)?);
        let builder = Grantex::builder(
            store.clone(),
            config.core_settings(),
            ring,
            sealer,
            SystemEntropy::default(),
        );
        let (bell, streams) = (Bell::new(), Streams::default());
        let builder = builder.signal(Wake::new(
            config.webhooks.is_enabled.then(|| bell.clone()),
            streams.clone(),
            wire(&store, streams.clone()),
        ));
        let builder = match &outbox {
            Some(outbox) => builder
                .webhooks(config.webhooks.delivery.policy())
                .sender(Arc::clone(outbox) as Arc<dyn Sender>),
            None => builder,
        };
        let builder = with_policies(builder, &config.policies)?;
        let detector = Arc::new(Detector::new(config.anomalies.detector));
        let builder = match config.anomalies.is_enabled {
            true => builder.anomalies(Arc::clone(&detector)),
            false => builder,
        };
        let grantex = match metrics {
            Some(metrics) => builder.observer(metrics.clone()).build(),
            None => builder.observer(Unobserved).build(),
        };
        Ok(Self {
            grantex,
            keys,
            clock,
            bell,
            streams,
            detector,
            outbox,
        })
    }
}

/// What goes out: to receivers that developers chose, and to the operator's mail server.
fn outbox(config: &Config, clock: &Arc<dyn Clock>) -> Result<Option<Arc<Outbox>>, Failure> {
    if !config.webhooks.is_enabled {
        return Ok(None);
    }
    let http = HttpSender::new(&config.webhooks.delivery, Arc::clone(clock))
        .map_err(Failure::of("setting up the client for webhooks"))?;
    let mail = config.mail.as_ref().map(Mailer::new).transpose();
    let mail = mail.map_err(Failure::of(
        "setting up the client for the mail server (SMTP_FROM, SMTP_CA_FILE)",
    ))?;
    Ok(Some(Arc::new(Outbox::new(http, mail))))
}

/// Lets bundles in Cedar decide and, where the operator has one, a policy backend.
fn with_policies(builder: Builder<AnyStore>, policies: &Policies) -> Result<Builder<AnyStore>, Failure> {
    let engine = Cedar::new().map_err(Failure::of("setting up bundles of policies"))?;
    let builder = builder.policy_engine(engine);
    let Some(backend) = &policies.backend else {
        return Ok(builder);
    };
    let client = PolicyClient::new(policies.deadline, policies.ca_file.as_deref())
        .map_err(Failure::of("setting up the policy backend's client"))?;
    let url = backend.url.as_str();
    let asked = match backend.kind {
        BackendKind::Cedar => HttpBackend::cedar(url, client),
        BackendKind::Opa | BackendKind::Bundle => HttpBackend::opa(url, client),
    };
    Ok(builder.policy_backend(asked, backend.falls_back))
}

/// The manager of the signing keys of a store.
pub fn key_manager(config: &Config, store: AnyStore, clock: &Arc<dyn Clock>) -> Result<KeyManager<AnyStore>, Failure> {
    let settings = KeySettings {
        algorithm: config.keys.algorithm,
        activation_delay: config.keys.activation_delay,
    };
    let manager = KeyManager::new(store, sealer(config)?, Arc::clone(clock), settings);
    Ok(manager.with_biscuits(Biscuits::default()))
}

fn sealer(config: &Config) -> Result<Arc<dyn Sealer>, Failure> {
    Ok(Arc::new(
        keys::master_key(config).map_err(Failure::of("reading the master key"))?,
    ))
}

/// Opens the store; failed connections are logged and counted.
pub async fn open_store(database: &Database, logger: &Logger, metrics: Option<&Metrics>) -> Result<AnyStore, Failure> {
    let clock: Arc<dyn Clock> = Arc::new(SystemClock::new());
    let errors = Arc::new(ConnectionErrors::new(logger.clone(), metrics.cloned(), clock));
    let recovery = Arc::clone(&errors);
    let mut options = database.options();
    options.on_connection_error = Arc::new(move |pool, error| errors.failed(pool, error));
    options.on_connection_recovery = Arc::new(move |pool| recovery.restored(pool));
    grantex_store::open(database.url().expose(), options)
        .await
        .map_err(Failure::of("opening the database"))
}

fn prepare(database: &Database, logger: &Logger) -> Result<(), Failure> {
    if database.migrate_on_start {
        let applied = run_migrations(database)?;
        if !applied.is_empty() {
            info!(logger, "database.migrated"; "versions" => applied.join(" "));
        }
        return Ok(());
    }
    let pending = migrate::pending(database.url().expose()).map_err(Failure::of("reading the schema's version"))?;
    if pending.is_empty() {
        return Ok(());
    }
    Err(Failure::Found(
        "the database's schema is not up to date and MIGRATE_ON_START is false; run: grantex-server migrate",
    ))
}

/// Applies what is pending; makes the embedded store's directory if there is none.
pub fn run_migrations(database: &Database) -> Result<Vec<String>, Failure> {
    if let DatabaseUrl::Sqlite(path) = &database.url {
        let directory = path.parent().filter(|directory| !directory.as_os_str().is_empty());
        make_directory(directory)?;
    }
    migrate::run(database.url().expose()).map_err(Failure::of("migrating the database"))
}

fn make_directory(directory: Option<&Path>) -> Result<(), Failure> {
    match directory {
        Some(directory) => std::fs::create_dir_all(directory).map_err(Failure::of("making the database's directory")),
        None => Ok(()),
    }
}
