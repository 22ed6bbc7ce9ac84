//! What commits ring, and the dispatcher hears.

use std::collections::HashSet;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use grantex_core::event::signal::{News, Signal};
use grantex_core::id::WebhookId;
use tokio::sync::Notify;

/// Gathers endpoints for which there may be work. Clones are one bell.
#[derive(Clone, Default)]
pub struct Bell(Arc<Inner>);

#[derive(Default)]
struct Inner {
    /// Each endpoint once, however often it is rung for.
    webhooks: Mutex<HashSet<WebhookId>>,
    rung: Notify,
}

impl Bell {
    /// A bell.
    pub fn new() -> Self {
        Self::default()
    }

    /// Says that there may be work for these endpoints.
    pub fn ring(&self, webhooks: &[WebhookId]) {
        if webhooks.is_empty() {
            return;
        }
        let mut known = self.webhooks();
        for webhook in webhooks {
            if !known.contains(webhook) {
                known.insert(webhook.clone());
            }
        }
        drop(known);
        self.0.rung.notify_one();
    }

    /// The endpoints that were rung for since the last time; waits until there is one.
    pub async fn rung(&self) -> Vec<WebhookId> {
        loop {
            let webhooks = std::mem::take(&mut *self.webhooks());
            if !webhooks.is_empty() {
                return webhooks.into_iter().collect();
            }
            self.0.rung.notified().await;
        }
    }

    fn webhooks(&self) -> MutexGuard<'_, HashSet<WebhookId>> {
        self.0.webhooks.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Signal for Bell {
    fn committed(&self, news: &News) {
        self.ring(&news.webhooks);
    }

    fn deliveries_due(&self, webhooks: &[WebhookId]) {
        self.ring(webhooks);
    }
}
