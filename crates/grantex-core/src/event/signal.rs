//! Who is woken when new events are committed: deliveries and streams.

use crate::id::{DeveloperId, WebhookId};

/// What a committed unit of work left in a developer's lists of events and revocations.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct News {
    /// The developer.
    pub developer_id: DeveloperId,
    /// The sequence number of the newest event, if there are new ones.
    pub event_seq: Option<i64>,
    /// Endpoints for which there are new deliveries.
    pub webhooks: Vec<WebhookId>,
    /// The position of the newest entry of the revocation feed, if there are new ones.
    pub revocation_seq: Option<i64>,
}

/// Learns of new events and revocations right after their commit. A hint, not a record: whoever misses one finds the rows in the store.
/// Must not block.
pub trait Signal: Send + Sync + 'static {
    /// New events or revocations are committed.
    fn committed(&self, news: &News);
    /// Deliveries of these endpoints may be due although no event happened: one was resumed, or old ones are to be sent again.
    fn deliveries_due(&self, _webhooks: &[WebhookId]) {}
}

/// Wakes nobody.
#[derive(Debug, Clone, Copy, Default)]
pub struct Unsignalled;

impl Signal for Unsignalled {
    fn committed(&self, _news: &News) {}
}
