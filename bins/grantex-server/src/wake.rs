//! Who is woken when there are new events or revocations: deliveries, streams, and the other servers of the same database.

use std::sync::Arc;

use grantex_core::event::signal::{News, Signal};
use grantex_core::id::WebhookId;
use grantex_delivery::Bell;
use grantex_http::Streams;
use grantex_store::{AnyStore, Heard, Herald};

/// Wakes all of them.
pub struct Wake {
    bell: Option<Bell>,
    streams: Streams,
    herald: Option<Herald>,
}

impl Wake {
    pub const fn new(bell: Option<Bell>, streams: Streams, herald: Option<Herald>) -> Self {
        Self { bell, streams, herald }
    }
}

impl Signal for Wake {
    fn committed(&self, news: &News) {
        self.streams.committed(news);
        if let Some(bell) = &self.bell {
            bell.committed(news);
        }
        if let Some(herald) = &self.herald {
            if let Some(newest) = news.event_seq {
                herald.announce(&news.developer_id, newest);
            }
            if let Some(newest) = news.revocation_seq {
                herald.announce_revocations(&news.developer_id, newest);
            }
        }
    }

    fn deliveries_due(&self, webhooks: &[WebhookId]) {
        if let Some(bell) = &self.bell {
            bell.deliveries_due(webhooks);
        }
    }
}

/// The line over which other servers tell of their events; streams hear of them.
pub fn wire(store: &AnyStore, streams: Streams) -> Option<Herald> {
    store.herald(Arc::new(move |heard| match heard {
        Heard::News { events, revocations } => {
            for (developer, newest) in &events {
                streams.tell(developer, *newest);
            }
            for (developer, newest) in &revocations {
                streams.revocations().tell(developer, *newest);
            }
        }
        Heard::AnyNews => streams.look(),
    }))
}
