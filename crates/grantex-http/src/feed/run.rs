//! Looking after all who follow: one look for all of them, shared reads, and the end of those that must end.

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use grantex_core::error::{StoreError, chain};
use grantex_core::event::StreamEnd;
use grantex_core::revocation::FeedHead;
use grantex_core::revocation::feed::{FeedChanges, FeedError};
use grantex_core::store::Store;
use tokio::time::timeout;

use super::channel::{Channel, Follower, Look};
use super::{FRESH, FeedNews};
use crate::app::App;

impl<S: Store> App<S> {
    /// Ends streams whose clients take nothing.
    pub(crate) fn beat_feeds(&self) {
        let now = self.grantex.clock().monotonic();
        for channel in self.streams.revocations().channels() {
            for follower in channel.all() {
                if follower.is_stalled(now) {
                    self.end_feed_stream(&channel, &follower, StreamEnd::Slow);
                }
            }
        }
    }

    /// Asks the store how far the feeds of all followers go, and whether their keys are still in force.
    pub(crate) async fn look_at_feeds(&self) {
        let channels = self.streams.revocations().channels();
        if channels.is_empty() {
            return;
        }
        let (began, at) = (self.grantex.clock().monotonic(), self.grantex.now());
        let developers = channels.iter().map(|channel| channel.developer.clone()).collect();
        // A look that took longer would not be fresh.
        let looking = timeout(FRESH, self.grantex.revocation_heads(developers)).await;
        let heads = match looking.unwrap_or_else(|elapsed| Err(StoreError::unavailable(elapsed))) {
            Ok(heads) => heads,
            Err(error) => return self.report_failed_feed(&FeedError::Store(error)),
        };
        self.streams.revocations().note_success();
        let mut heads: HashMap<_, FeedHead> = heads
            .into_iter()
            .map(|head| (head.developer_id.clone(), head))
            .collect();
        for channel in channels {
            let head = heads.remove(&channel.developer);
            for follower in channel.all() {
                if head.as_ref().is_none_or(|head| head.key_hash != follower.key_hash) {
                    self.end_feed_stream(&channel, &follower, StreamEnd::KeyChanged);
                }
            }
            if let Some(FeedHead { head, .. }) = head {
                let head = Arc::new(head);
                if !channel.looked(Look { head, began, at }) {
                    // Who stands where the feed does not reach would miss what comes: a new snapshot is needed.
                    for follower in channel.all() {
                        self.end_feed_stream(&channel, &follower, StreamEnd::Expired);
                    }
                }
            }
        }
    }

    /// What happened behind a position, at least up to `told`, from the last read if that will do.
    pub(super) async fn shared_changes(
        &self,
        channel: &Channel,
        since: i64,
        told: i64,
    ) -> Result<Arc<FeedChanges>, FeedError> {
        let mut shared = channel.shared.lock().await;
        if let Some((behind, changes)) = &*shared
            && *behind == since
            && changes.cursor >= told
        {
            return Ok(Arc::clone(changes));
        }
        let read = timeout(
            self.settings.request_deadline,
            self.grantex.revocations_since(&channel.developer, since),
        );
        let read = read
            .await
            .unwrap_or_else(|elapsed| Err(StoreError::unavailable(elapsed).into()));
        let changes = Arc::new(read?);
        *shared = Some((since, Arc::clone(&changes)));
        Ok(changes)
    }

    /// Told once, until a look succeeds: streams stay open without heartbeats, so that their clients know.
    pub(super) fn report_failed_feed(&self, error: &FeedError) {
        self.observer.revocation_feed(FeedNews::ReadFailed);
        if self.streams.revocations().note_failure() {
            slog::error!(self.logger, "revocation_feed.read_failed";
                "requestId" => "streams", "error" => chain(error));
        }
    }

    /// Ends every stream, has nobody wait, and lets nobody follow any more.
    pub(crate) fn close_feeds(&self) {
        for channel in self.streams.revocations().close() {
            channel.close();
            for follower in channel.all() {
                self.end_feed_stream(&channel, &follower, StreamEnd::Draining);
            }
        }
    }

    /// Ends a stream, unless it has ended: from here on its seat is free, whatever its connection does.
    pub(super) fn end_feed_stream(&self, channel: &Channel, follower: &Follower, end: StreamEnd) {
        if !follower.end(end) {
            return;
        }
        channel.remove(follower);
        self.observer.revocation_feed(FeedNews::Ended(end));
        let open_for = self.grantex.clock().monotonic().saturating_sub(follower.opened_at);
        let line = slog::o!(
            "requestId" => follower.request_id.clone(),
            "developerId" => channel.developer.to_string(),
            "durationMs" => u64::try_from(open_for.as_millis()).unwrap_or(u64::MAX),
            "entries" => follower.sent.load(Ordering::Relaxed),
            "reason" => end.as_str(),
        );
        match end {
            StreamEnd::Client | StreamEnd::Draining | StreamEnd::KeyChanged => {
                slog::info!(self.logger, "revocation_stream.ended"; line);
            }
            StreamEnd::Slow | StreamEnd::Expired | StreamEnd::Error => {
                slog::warn!(self.logger, "revocation_stream.ended"; line);
            }
        }
    }
}
