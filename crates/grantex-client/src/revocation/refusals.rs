//! Telling the service which revocations stopped somebody, and when: off the path of calls, and never at its cost.

use std::sync::Arc;
use std::time::Duration;

use grantex_core::clock::Clock;
use grantex_core::secret::Secret;
use reqwest::Method;
use serde_json::json;
use tokio::runtime::Handle;
use tokio::sync::mpsc::{Receiver, Sender, channel};
use tokio::time::sleep;

use crate::wire::{Ask, Service};

/// Refusals that wait to be told; more are forgotten.
const WAITING: usize = 1_000;
/// Refusals that are told at once.
const BATCH: usize = 100;
/// Older ones the service does not take, and refuses with all that are told together with them.
const OLDEST: Duration = Duration::from_secs(60);
/// How long more are waited for.
const GATHERING: Duration = Duration::from_millis(200);
/// Bytes of an answer at most.
const MAX_BODY: usize = 16 * 1024;

/// A refusal because of an entry, and when by the monotonic clock.
struct Refusal {
    seq: i64,
    at: Duration,
}

/// A way for refusals to the service.
pub(super) struct Refusals(Sender<Refusal>);

impl Refusals {
    /// Starts the task that tells them. It ends with the sender.
    pub(super) fn start(runtime: &Handle, service: Service, clock: Arc<dyn Clock>) -> Self {
        let (sender, receiver) = channel(WAITING);
        runtime.spawn(tell_all(receiver, service, clock));
        Self(sender)
    }

    /// Notes a refusal; forgets it when too many wait.
    pub(super) fn tell(&self, seq: i64, at: Duration) {
        let _ = self.0.try_send(Refusal { seq, at });
    }
}

async fn tell_all(mut waiting: Receiver<Refusal>, service: Service, clock: Arc<dyn Clock>) {
    let mut batch = Vec::with_capacity(BATCH);
    while let Some(first) = waiting.recv().await {
        batch.push(first);
        sleep(GATHERING).await;
        while batch.len() < BATCH
            && let Ok(next) = waiting.try_recv()
        {
            batch.push(next);
        }
        let now = clock.monotonic();
        let refusals: Vec<_> = batch
            .drain(..)
            .map(|refusal| (refusal.seq, now.saturating_sub(refusal.at)))
            .filter(|(_, ago)| *ago <= OLDEST)
            .map(|(seq, ago)| json!({"seq": seq, "millisecondsAgo": ago.as_millis()}))
            .collect();
        if refusals.is_empty() {
            continue;
        }
        let body = Secret::new(json!({ "refusals": refusals }).to_string().into_bytes());
        let ask = Ask {
            method: Method::POST,
            body: Some(&body),
            ..Ask::get(&["v1", "revocations", "refusals"])
        };
        // A report that fails is forgotten: it says nothing that anybody waits for.
        let _ = service.ask(&ask, MAX_BODY).await;
    }
}
