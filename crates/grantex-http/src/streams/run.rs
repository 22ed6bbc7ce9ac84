//! Looking after all open streams: reading for them, pinging them, ending them.

use std::collections::HashMap;
use std::sync::Arc;

use futures_util::StreamExt as _;
use futures_util::future::BoxFuture;
use futures_util::stream::FuturesUnordered;
use grantex_core::error::{StoreError, chain};
use grantex_core::store::{EventHead, Store};
use tokio::time::{MissedTickBehavior, interval, timeout};

use super::channel::Channel;
use super::stream::Stream;
use super::{BEAT, StreamEnd, StreamNews};
use crate::app::App;

/// Events that are read for a channel at a time.
const READ: u32 = 256;
/// Channels that are read at a time, so that streams leave most of the store to requests.
const READERS: usize = 4;

impl<S: Store> App<S> {
    /// Looks after event streams and revocation feeds for as long as it is polled: reads what signals tell of, looks once a second for
    /// what no signal told of, pings silent streams, and ends those whose client takes nothing or whose key was replaced.
    ///
    /// Run it beside the server, once for each `App`; without it, streams stay silent.
    pub async fn run_streams(&self) {
        let mut beats = interval(BEAT);
        beats.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let mut looks = interval(self.settings.feed.heartbeat);
        looks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let mut looking_at_feeds: FuturesUnordered<BoxFuture<'_, ()>> = FuturesUnordered::new();
        let mut looking: FuturesUnordered<BoxFuture<'_, ()>> = FuturesUnordered::new();
        let mut reading: FuturesUnordered<BoxFuture<'_, ()>> = FuturesUnordered::new();
        loop {
            tokio::select! {
                channel = self.streams.next_to_read(), if reading.len() < READERS => {
                    reading.push(Box::pin(self.read_channel(channel)));
                }
                Some(()) = reading.next() => {}
                Some(()) = looking.next() => {}
                () = self.streams.look_wanted(), if looking.is_empty() => looking.push(Box::pin(self.look())),
                Some(()) = looking_at_feeds.next() => {}
                () = self.streams.revocations().look_wanted(), if looking_at_feeds.is_empty() => {
                    looking_at_feeds.push(Box::pin(self.look_at_feeds()));
                }
                _ = looks.tick() => {
                    if looking_at_feeds.is_empty() {
                        looking_at_feeds.push(Box::pin(self.look_at_feeds()));
                    }
                }
                _ = beats.tick() => {
                    self.beat();
                    self.beat_feeds();
                    if looking.is_empty() {
                        looking.push(Box::pin(self.look()));
                    }
                }
            }
        }
    }

    /// Does once what [`App::run_streams`] does every second, and reads whatever there is to read: for who has a timer of
    /// their own.
    pub async fn tend_streams(&self) {
        self.beat();
        self.beat_feeds();
        self.look_at_feeds().await;
        self.look().await;
        while let Some(channel) = self.streams.take_to_read() {
            self.read_channel(channel).await;
        }
    }

    /// Pings, and ends who takes nothing.
    fn beat(&self) {
        let now = self.grantex.clock().monotonic();
        for channel in self.streams.channels() {
            for stream in channel.all() {
                if let Some(end) = stream.beat(now, self.settings.streams.keepalive) {
                    self.end_stream(&channel, &stream, end);
                }
            }
            channel.forget();
        }
    }

    /// Asks the store how far the events of everybody who listens go, and whether their keys are still in force.
    async fn look(&self) {
        let channels: HashMap<_, _> = self
            .streams
            .channels()
            .into_iter()
            .map(|channel| (channel.developer.clone(), channel))
            .collect();
        if channels.is_empty() {
            return;
        }
        let heads = self.grantex.event_heads(channels.keys().cloned().collect());
        let heads = match self.in_time(heads).await {
            Ok(heads) => heads,
            Err(error) => return self.report_failed_read(&error),
        };
        let mut heads: HashMap<_, EventHead> = heads
            .into_iter()
            .map(|head| (head.developer_id.clone(), head))
            .collect();
        for (developer, channel) in channels {
            let head = heads.remove(&developer);
            for stream in channel.all() {
                if head.as_ref().is_none_or(|head| head.key_hash != stream.key_hash) {
                    self.end_stream(&channel, &stream, StreamEnd::KeyChanged);
                }
            }
            if let Some(head) = head {
                channel.tell(head.newest);
                self.streams.call_reader(&channel);
            }
        }
    }

    /// Reads whatever lies behind what a channel knows. After a failure the next look calls again.
    async fn read_channel(&self, channel: Arc<Channel>) {
        let is_done = self.read_to_the_end(&channel).await;
        channel.release_reader();
        if is_done {
            // Who told of more before the release has called nobody.
            self.streams.call_reader(&channel);
        }
    }

    async fn read_to_the_end(&self, channel: &Channel) -> bool {
        while let Some(read_to) = channel.to_read() {
            let told = channel.told();
            let read = self.grantex.events_after(&channel.developer, read_to, READ);
            match self.in_time(read).await {
                // Whoever told of more was wrong.
                Ok(events) if events.is_empty() => channel.untell(told, read_to),
                Ok(events) => channel.append(events),
                Err(error) => {
                    self.report_failed_read(&error);
                    return false;
                }
            }
        }
        true
    }

    async fn in_time<T>(&self, read: impl Future<Output = Result<T, StoreError>>) -> Result<T, StoreError> {
        let read = timeout(self.settings.request_deadline, read).await;
        let read = read.unwrap_or_else(|elapsed| Err(StoreError::unavailable(elapsed)));
        if read.is_ok() {
            self.streams.note_success();
        }
        read
    }

    /// Told once, until a read succeeds: streams stay open and read again every second.
    fn report_failed_read(&self, error: &StoreError) {
        if self.streams.note_failure() {
            slog::error!(self.logger, "event_streams.read_failed";
                "requestId" => "streams", "streams" => self.streams.count(), "error" => chain(error));
        }
    }

    /// Ends every stream, and opens no further one.
    pub(crate) fn close_streams(&self) {
        self.close_feeds();
        for channel in self.streams.close() {
            for stream in channel.all() {
                self.end_stream(&channel, &stream, StreamEnd::Draining);
            }
        }
    }

    /// Ends a stream, unless it has ended: from here on its seat is free, whatever its connection does.
    pub(super) fn end_stream(&self, channel: &Channel, stream: &Stream, end: StreamEnd) {
        if !stream.end(end) {
            return;
        }
        self.streams.remove(channel, stream);
        self.observer.stream(StreamNews::Ended(stream.transport, end));
        let open_for = self.grantex.clock().monotonic().saturating_sub(stream.opened_at);
        let line = slog::o!(
            "requestId" => stream.request_id.to_string(),
            "developerId" => channel.developer.to_string(),
            "durationMs" => u64::try_from(open_for.as_millis()).unwrap_or(u64::MAX),
            "events" => stream.state().sent,
            "reason" => end.as_str(),
            "transport" => stream.transport.as_str(),
        );
        match end {
            StreamEnd::Client | StreamEnd::Draining | StreamEnd::KeyChanged => {
                slog::info!(self.logger, "event_stream.ended"; line);
            }
            StreamEnd::Slow | StreamEnd::Expired | StreamEnd::Error => {
                slog::warn!(self.logger, "event_stream.ended"; line);
            }
        }
    }
}
