//! Receivers of notifications.

use grantex_core::store::BoxFuture;
use grantex_core::webhook::send::{Outgoing, Received, SendError, Sender};

/// `down.example` cannot be reached, `silent.example` never answers, `full.example` answers 503, and everybody else 200. There is no mail
/// server.
pub struct Receivers;

impl Sender for Receivers {
    fn send<'a>(&'a self, request: &'a Outgoing) -> BoxFuture<'a, Result<Received, SendError>> {
        let answered = |status| {
            Ok(Received {
                status,
                retry_after: None,
            })
        };
        let host = request.url.split('/').nth(2);
        if host == Some("silent.example") {
            return Box::pin(std::future::pending());
        }
        let outcome = match host {
            Some("down.example") => Err(SendError::ConnectFailed),
            Some("full.example") => answered(503),
            _ => answered(200),
        };
        Box::pin(async move { outcome })
    }
}
