//! Sending webhooks.

use std::sync::Arc;

use actix_web::rt;
use grantex_core::id::new_ulid;
use grantex_core::token::crypto::SystemEntropy;
use grantex_core::webhook::send::Sender;
use grantex_delivery::{Dispatcher, Outbox};
use grantex_store::AnyStore;
use slog::{Logger, info, warn};
use tokio::sync::watch;
use tokio::task::JoinHandle;

use crate::app::Assembly;
use crate::config::Webhooks;

/// Starts to send what is due.
pub fn start(
    settings: &Webhooks,
    assembly: &Assembly,
    outbox: &Arc<Outbox>,
    logger: &Logger,
    stopping: &watch::Receiver<bool>,
) -> JoinHandle<()> {
    match outbox.trusted_certificates() {
        0 => warn!(logger, "webhook.no_certificates"; "hint" => "install ca-certificates or set WEBHOOK_CA_FILE"),
        trusted => info!(logger, "webhook.started"; "certificates" => trusted),
    }
    let dispatcher = Dispatcher::new(
        assembly.grantex.clone(),
        Arc::clone(outbox) as Arc<dyn Sender>,
        settings.dispatch,
        logger,
        owner(assembly),
        assembly.bell.clone(),
        stopping.clone(),
    );
    rt::spawn(dispatcher.run())
}

/// An embedded store has one server, which takes up at once what it left when it died. Servers on PostgreSQL are many.
fn owner(assembly: &Assembly) -> String {
    match assembly.grantex.store() {
        AnyStore::Sqlite(_) => "embedded".to_owned(),
        AnyStore::Postgres(_) => new_ulid(&SystemEntropy::default(), assembly.clock.now()).to_string(),
    }
}
