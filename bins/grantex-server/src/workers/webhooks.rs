//! Sending webhooks.

use std::sync::Arc;

use actix_web::rt;
use grantex_core::id::new_ulid;
use grantex_core::token::crypto::SystemEntropy;
use grantex_delivery::{Dispatcher, HttpSender};
use grantex_store::AnyStore;
use slog::{Logger, info, warn};
use tokio::sync::watch;
use tokio::task::JoinHandle;

use crate::app::Assembly;
use crate::config::Webhooks;
use crate::error::Failure;

/// Starts to send what is due.
///
/// # Errors
/// When requests cannot be sent at all: certificates that cannot be read, for example.
pub fn start(
    settings: &Webhooks,
    assembly: &Assembly,
    logger: &Logger,
    stopping: &watch::Receiver<bool>,
) -> Result<JoinHandle<()>, Failure> {
    let sender = HttpSender::new(&settings.delivery, Arc::clone(&assembly.clock))
        .map_err(Failure::of("setting up the client for webhooks"))?;
    match sender.trusted_certificates() {
        0 => warn!(logger, "webhook.no_certificates"; "hint" => "install ca-certificates or set WEBHOOK_CA_FILE"),
        trusted => info!(logger, "webhook.started"; "certificates" => trusted),
    }
    let dispatcher = Dispatcher::new(
        assembly.grantex.clone(),
        Arc::new(sender),
        settings.dispatch,
        logger,
        owner(assembly),
        assembly.bell.clone(),
        stopping.clone(),
    );
    Ok(rt::spawn(dispatcher.run()))
}

/// An embedded store has one server, which takes up at once what it left when it died. Servers on PostgreSQL are many.
fn owner(assembly: &Assembly) -> String {
    match assembly.grantex.store() {
        AnyStore::Sqlite(_) => "embedded".to_owned(),
        AnyStore::Postgres(_) => new_ulid(&SystemEntropy::default(), assembly.clock.now()).to_string(),
    }
}
