//! Which developers have streams in this process, and how many.

use std::collections::{HashMap, VecDeque};
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use grantex_core::event::signal::{News, Signal};
use grantex_core::id::DeveloperId;
use tokio::sync::Notify;

use super::StreamTransport;
use super::channel::Channel;
use super::stream::{Opening, Stream};
use crate::feed::Followers;

/// The open streams of a process. Cheap to clone; clones are the same.
///
/// Give one clone to [`Builder::signal`](grantex_core::grantex::Builder::signal), so that streams learn of events at once, and
/// one to [`App::streams`](crate::App::streams). Without the first, events arrive about a second late.
#[derive(Clone, Default)]
pub struct Streams(Arc<Hub>);

#[derive(Default)]
struct Hub {
    registry: Mutex<Registry>,
    /// Open streams, so that a commit that concerns nobody costs a look at one number.
    count: AtomicUsize,
    /// Channels that want to be read.
    waiting: Mutex<VecDeque<Arc<Channel>>>,
    has_waiting: Notify,
    /// Any developer may have new events.
    wants_look: Notify,
    /// Who follows revocation feeds.
    revocations: Followers,
    last_id: AtomicU64,
    /// Whether the last read for all of them failed.
    is_failing: AtomicBool,
}

#[derive(Default)]
struct Registry {
    channels: HashMap<DeveloperId, Entry>,
    is_closed: bool,
}

struct Entry {
    channel: Arc<Channel>,
    open: [usize; StreamTransport::ALL.len()],
}

impl Entry {
    fn open(&mut self, transport: StreamTransport) -> &mut usize {
        let [sse, web_socket] = &mut self.open;
        match transport {
            StreamTransport::Sse => sse,
            StreamTransport::WebSocket => web_socket,
        }
    }
}

/// Why a developer gets no further stream.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum NoSeat {
    /// All are taken.
    Taken,
    /// The server is shutting down.
    Closed,
}

impl Signal for Streams {
    fn committed(&self, news: &News) {
        if let Some(newest) = news.event_seq {
            self.tell(&news.developer_id, newest);
        }
        if let Some(newest) = news.revocation_seq {
            self.0.revocations.tell(&news.developer_id, newest);
        }
    }
}

impl Streams {
    /// Tells streams that a developer's events go up to `newest`: for who heard it from another process.
    pub fn tell(&self, developer: &DeveloperId, newest: i64) {
        if self.0.count.load(Ordering::Acquire) == 0 {
            return;
        }
        let channel = self
            .registry()
            .channels
            .get(developer)
            .map(|entry| Arc::clone(&entry.channel));
        if let Some(channel) = channel {
            channel.tell(newest);
            self.call_reader(&channel);
        }
    }

    /// Has [`App::run_streams`](crate::App::run_streams) look for new events and revocations of every developer soon: for who may have
    /// missed something.
    pub fn look(&self) {
        self.0.wants_look.notify_one();
        self.0.revocations.look();
    }

    /// Those who follow revocation feeds.
    pub fn revocations(&self) -> &Followers {
        &self.0.revocations
    }

    /// Waits until somebody wants a look.
    pub(super) async fn look_wanted(&self) {
        self.0.wants_look.notified().await;
    }

    /// The next channel that wants to be read.
    pub(super) async fn next_to_read(&self) -> Arc<Channel> {
        loop {
            let next = self.waiting().pop_front();
            match next {
                Some(channel) => return channel,
                None => self.0.has_waiting.notified().await,
            }
        }
    }

    /// The next channel that wants to be read, if there is one now.
    pub(super) fn take_to_read(&self) -> Option<Arc<Channel>> {
        self.waiting().pop_front()
    }

    /// Has a channel read, if it has to be and nobody does so yet.
    pub(super) fn call_reader(&self, channel: &Arc<Channel>) {
        if channel.wants_reader() {
            self.waiting().push_back(Arc::clone(channel));
            self.0.has_waiting.notify_one();
        }
    }

    /// Every channel.
    pub(super) fn channels(&self) -> Vec<Arc<Channel>> {
        let registry = self.registry();
        registry
            .channels
            .values()
            .map(|entry| Arc::clone(&entry.channel))
            .collect()
    }

    /// A read failed; whether it is the first one to fail.
    pub(super) fn note_failure(&self) -> bool {
        !self.0.is_failing.swap(true, Ordering::Relaxed)
    }

    /// A read succeeded.
    pub(super) fn note_success(&self) {
        self.0.is_failing.store(false, Ordering::Relaxed);
    }

    /// From now on nobody gets a seat; those that have one are told to the caller.
    pub(crate) fn close(&self) -> Vec<Arc<Channel>> {
        self.registry().is_closed = true;
        self.channels()
    }

    /// How many streams are open.
    pub fn count(&self) -> usize {
        self.0.count.load(Ordering::Acquire)
    }

    /// Takes one of a developer's seats.
    pub(crate) fn seat(
        &self,
        developer: &DeveloperId,
        transport: StreamTransport,
        limit: usize,
    ) -> Result<Seat, NoSeat> {
        let mut registry = self.registry();
        if registry.is_closed {
            return Err(NoSeat::Closed);
        }
        let new = || Entry {
            channel: Arc::new(Channel::new(developer.clone())),
            open: [0; StreamTransport::ALL.len()],
        };
        let entry = registry.channels.entry(developer.clone()).or_insert_with(new);
        let open = entry.open(transport);
        if *open >= limit {
            return Err(NoSeat::Taken);
        }
        *open += 1;
        let channel = Arc::clone(&entry.channel);
        self.0.count.fetch_add(1, Ordering::AcqRel);
        Ok(Seat {
            streams: self.clone(),
            channel,
            transport,
            is_kept: false,
        })
    }

    /// Gives a seat back.
    fn free(&self, developer: &DeveloperId, transport: StreamTransport) {
        let mut registry = self.registry();
        self.0.count.fetch_sub(1, Ordering::AcqRel);
        let Some(entry) = registry.channels.get_mut(developer) else {
            return;
        };
        let open = entry.open(transport);
        *open = open.saturating_sub(1);
        if entry.open.iter().all(|open| *open == 0) {
            registry.channels.remove(developer);
        }
    }

    /// Forgets a stream that has ended.
    pub(super) fn remove(&self, channel: &Channel, stream: &Stream) {
        channel.remove(stream);
        self.free(&channel.developer, stream.transport);
    }

    fn registry(&self) -> MutexGuard<'_, Registry> {
        self.0.registry.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn waiting(&self) -> MutexGuard<'_, VecDeque<Arc<Channel>>> {
        self.0.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The right to one stream; given back when it is dropped, or when the stream that it became ends.
pub(crate) struct Seat {
    streams: Streams,
    channel: Arc<Channel>,
    transport: StreamTransport,
    is_kept: bool,
}

impl Seat {
    /// Opens the stream. `None` when the server began to shut down meanwhile.
    pub(super) fn open(mut self, opening: Opening) -> Option<(Arc<Channel>, Arc<Stream>)> {
        let id = self.streams.0.last_id.fetch_add(1, Ordering::Relaxed);
        self.channel.begin(opening.beginning.newest);
        let stream = Arc::new(Stream::new(opening, id));
        // Under the lock, so that whoever closes either sees the stream or is seen by it.
        let registry = self.streams.registry();
        if registry.is_closed {
            return None;
        }
        self.channel.add(&stream);
        drop(registry);
        self.is_kept = true;
        // Something may have happened between reading the position and being listed.
        self.streams.call_reader(&self.channel);
        Some((Arc::clone(&self.channel), stream))
    }
}

impl Drop for Seat {
    fn drop(&mut self) {
        if !self.is_kept {
            self.streams.free(&self.channel.developer, self.transport);
        }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a failed unwrap is a failed test")]

    use std::time::Duration;

    use grantex_core::event::filter::EventFilter;
    use grantex_core::event::history::Beginning;
    use grantex_core::testing::fixtures::Fixtures;

    use super::super::StreamEnd;
    use super::*;

    fn open(seat: Seat, transport: StreamTransport) -> (Arc<Channel>, Arc<Stream>) {
        let opening = Opening {
            transport,
            key_hash: Fixtures::new(1).hash(),
            request_id: "r".into(),
            now: Duration::ZERO,
            beginning: Beginning { after: 0, newest: 0 },
            filter: EventFilter::everything(),
        };
        seat.open(opening).unwrap()
    }

    #[test]
    fn seats_are_counted_by_developer_and_kind_and_come_back() {
        let streams = Streams::default();
        let fixtures = Fixtures::new(2);
        let (one, two) = (fixtures.id::<DeveloperId>(), fixtures.id::<DeveloperId>());
        let seat = |developer, transport| streams.seat(developer, transport, 2);
        let first = seat(&one, StreamTransport::Sse).unwrap();
        let second = seat(&one, StreamTransport::Sse).unwrap();
        assert_eq!(seat(&one, StreamTransport::Sse).err(), Some(NoSeat::Taken));
        let (of_other_kind, of_other) = (seat(&one, StreamTransport::WebSocket), seat(&two, StreamTransport::Sse));
        assert!(of_other_kind.is_ok() && of_other.is_ok());
        assert_eq!(streams.count(), 4);

        drop(second);
        let (channel, stream) = open(first, StreamTransport::Sse);
        assert_eq!(streams.count(), 3, "an open stream keeps its seat");
        assert!(stream.end(StreamEnd::Slow) && !stream.end(StreamEnd::Client));
        streams.remove(&channel, &stream);
        drop((of_other_kind, of_other));
        assert_eq!(
            (streams.count(), streams.channels().len()),
            (0, 0),
            "nothing is remembered of nobody"
        );
    }

    #[test]
    fn a_closed_hub_has_no_seats() {
        let streams = Streams::default();
        let developer = Fixtures::new(3).id::<DeveloperId>();
        let (seat, late) = (
            streams.seat(&developer, StreamTransport::Sse, 5).unwrap(),
            streams.seat(&developer, StreamTransport::Sse, 5).unwrap(),
        );
        let (channel, stream) = open(seat, StreamTransport::Sse);
        let [told] = <[_; 1]>::try_from(streams.close()).ok().unwrap();
        assert!(Arc::ptr_eq(&told, &channel) && told.all().iter().any(|open| Arc::ptr_eq(open, &stream)));
        assert_eq!(
            streams.seat(&developer, StreamTransport::Sse, 5).err(),
            Some(NoSeat::Closed)
        );
        let opening = Opening {
            transport: StreamTransport::Sse,
            key_hash: Fixtures::new(1).hash(),
            request_id: "r".into(),
            now: Duration::ZERO,
            beginning: Beginning { after: 0, newest: 0 },
            filter: EventFilter::everything(),
        };
        assert!(late.open(opening).is_none());
        assert_eq!(streams.count(), 1);
    }

    #[test]
    fn news_of_those_who_listen_call_a_reader_once() {
        let streams = Streams::default();
        let developer = Fixtures::new(4).id::<DeveloperId>();
        streams.tell(&developer, 1);
        let (channel, _) = open(
            streams.seat(&developer, StreamTransport::Sse, 5).unwrap(),
            StreamTransport::Sse,
        );
        assert!(streams.take_to_read().is_none());
        for newest in [3, 2, 4] {
            streams.tell(&developer, newest);
        }
        assert!(streams.take_to_read().is_some_and(|next| Arc::ptr_eq(&next, &channel)));
        assert!(streams.take_to_read().is_none());
        assert_eq!((channel.to_read(), channel.told()), (Some(0), 4));
    }
}
