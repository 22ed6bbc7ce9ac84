//! Who is woken when there are new events: deliveries, streams, and the other servers of the same database.

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
            herald.announce(&news.developer_id, news.event_seq);
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
        Heard::News(news) => news
            .iter()
            .for_each(|(developer, newest)| streams.tell(developer, *newest)),
        Heard::AnyNews => streams.look(),
    }))
}
