//! One developer with open streams: the events that these have not all passed yet, read once for all of them.

use std::collections::{HashMap, VecDeque};
use std::sync::atomic::{AtomicBool, AtomicI64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use grantex_core::id::DeveloperId;
use grantex_core::store::StoredEvent;

use super::stream::Stream;

/// Events that a channel keeps at most. A stream that falls further behind reads for itself.
const MAX_EVENTS: usize = 256;
/// Bytes of events that a channel keeps at most, beside the newest event.
const MAX_BYTES: usize = 256 * 1024;
/// Events and bytes that a stream is handed at a time, about.
const BATCH: (usize, usize) = (64, 16 * 1024);

/// A developer's channel.
pub(crate) struct Channel {
    pub(super) developer: DeveloperId,
    /// The newest position that anybody told of.
    told: AtomicI64,
    /// Whether somebody reads, or is going to.
    is_queued: AtomicBool,
    window: Mutex<Window>,
    streams: Mutex<HashMap<u64, Arc<Stream>>>,
}

/// The newest events without a gap.
#[derive(Default)]
struct Window {
    /// How far events were read; nobody knows before the first stream begins.
    read_to: Option<i64>,
    /// The last ones up to there.
    events: VecDeque<Arc<StoredEvent>>,
    bytes: usize,
}

/// What a channel has behind a position.
#[derive(Debug)]
pub(super) enum Behind {
    /// Nothing yet.
    Nothing,
    /// These, in order.
    Events(Vec<Arc<StoredEvent>>),
    /// More than it keeps: the store knows.
    TooMuch,
}

impl Channel {
    pub(super) fn new(developer: DeveloperId) -> Self {
        Self {
            developer,
            told: AtomicI64::new(0),
            is_queued: AtomicBool::new(false),
            window: Mutex::default(),
            streams: Mutex::default(),
        }
    }

    fn window(&self) -> MutexGuard<'_, Window> {
        self.window.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn streams(&self) -> MutexGuard<'_, HashMap<u64, Arc<Stream>>> {
        self.streams.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Every open stream.
    pub(super) fn all(&self) -> Vec<Arc<Stream>> {
        self.streams().values().cloned().collect()
    }

    pub(super) fn add(&self, stream: &Arc<Stream>) {
        self.streams().insert(stream.id, Arc::clone(stream));
    }

    pub(super) fn remove(&self, stream: &Stream) {
        self.streams().remove(&stream.id);
    }

    /// The developer's events go up to `newest` now, as far as somebody who opens a stream can see. The first one to tell
    /// decides from where on events are kept.
    pub(super) fn begin(&self, newest: i64) {
        self.window().read_to.get_or_insert(newest);
        self.tell(newest);
    }

    /// Notes that somebody told of events up to `newest`.
    pub(super) fn tell(&self, newest: i64) {
        self.told.fetch_max(newest, Ordering::AcqRel);
    }

    /// Whether there is something to read that nobody has been called to read yet; if so, somebody is called by it.
    pub(super) fn wants_reader(&self) -> bool {
        self.to_read().is_some() && !self.is_queued.swap(true, Ordering::AcqRel)
    }

    /// Behind which position there is something to read.
    pub(super) fn to_read(&self) -> Option<i64> {
        let read_to = self.window().read_to?;
        (self.told.load(Ordering::Acquire) > read_to).then_some(read_to)
    }

    /// Nobody reads any more.
    pub(super) fn release_reader(&self) {
        self.is_queued.store(false, Ordering::Release);
    }

    /// Somebody told of more than there is.
    pub(super) fn untell(&self, told_of: i64, read_to: i64) {
        let _ = self
            .told
            .compare_exchange(told_of, read_to, Ordering::AcqRel, Ordering::Acquire);
    }

    /// The newest position that anybody told of.
    pub(super) fn told(&self) -> i64 {
        self.told.load(Ordering::Acquire)
    }

    /// Adds what was read behind the last event, and calls every stream.
    pub(super) fn append(&self, events: Vec<StoredEvent>) {
        let mut window = self.window();
        for event in events {
            window.push(event);
        }
        drop(window);
        for stream in self.streams().values() {
            stream.call();
        }
    }

    /// What lies behind a position.
    pub(super) fn behind(&self, position: i64) -> Behind {
        let window = self.window();
        let Some(read_to) = window.read_to.filter(|read_to| *read_to > position) else {
            return Behind::Nothing;
        };
        let missing = usize::try_from(read_to - position).unwrap_or(usize::MAX);
        let Some(skipped) = window.events.len().checked_sub(missing) else {
            return Behind::TooMuch;
        };
        let (count, mut room) = BATCH;
        let mut batch = Vec::with_capacity(count.min(missing));
        for event in window.events.iter().skip(skipped).take(count) {
            batch.push(Arc::clone(event));
            let Some(rest) = room.checked_sub(event.payload.len()) else {
                break;
            };
            room = rest;
        }
        Behind::Events(batch)
    }

    /// Forgets what every stream has passed.
    pub(super) fn forget(&self) {
        let slowest = self.streams().values().map(|stream| stream.state().position).min();
        let mut window = self.window();
        while window
            .events
            .front()
            .is_some_and(|event| slowest.is_none_or(|slowest| event.seq <= slowest))
        {
            window.pop();
        }
        if window.events.is_empty() {
            window.events = VecDeque::new();
        }
    }
}

impl Window {
    fn push(&mut self, event: StoredEvent) {
        // What follows a gap is no continuation: those who stand before it must find out from the store.
        if self.read_to.is_some_and(|read_to| event.seq != read_to + 1) {
            self.events.clear();
            self.bytes = 0;
        }
        self.read_to = Some(event.seq);
        self.bytes += event.payload.len();
        self.events.push_back(Arc::new(event));
        while self.events.len() > MAX_EVENTS || (self.bytes > MAX_BYTES && self.events.len() > 1) {
            self.pop();
        }
    }

    fn pop(&mut self) {
        if let Some(event) = self.events.pop_front() {
            self.bytes -= event.payload.len();
        }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a failed unwrap is a failed test")]

    use grantex_core::clock::Timestamp;
    use grantex_core::testing::fixtures::Fixtures;

    use super::*;

    fn channel(read_to: i64) -> Channel {
        let channel = Channel::new(Fixtures::new(1).id());
        channel.begin(read_to);
        channel
    }

    fn event(seq: i64, bytes: usize) -> StoredEvent {
        StoredEvent {
            seq,
            id: Fixtures::new(2).id(),
            kind: "grant.created".into(),
            payload: "x".repeat(bytes),
            created_at: Timestamp::default(),
        }
    }

    fn seqs(behind: Behind) -> Option<Vec<i64>> {
        match behind {
            Behind::Nothing => Some(vec![]),
            Behind::Events(events) => Some(events.iter().map(|event| event.seq).collect()),
            Behind::TooMuch => None,
        }
    }

    #[test]
    fn a_position_has_behind_it_what_was_read_since() {
        let channel = channel(5);
        assert_eq!(seqs(channel.behind(5)), Some(vec![]));
        assert_eq!(
            seqs(channel.behind(7)),
            Some(vec![]),
            "a stream may know more than the channel"
        );
        channel.append(vec![event(6, 1), event(7, 1)]);
        assert_eq!(seqs(channel.behind(5)), Some(vec![6, 7]));
        assert_eq!(seqs(channel.behind(6)), Some(vec![7]));
        assert_eq!(seqs(channel.behind(7)), Some(vec![]));
        assert_eq!(seqs(channel.behind(4)), None);
        channel.forget();
        assert_eq!(seqs(channel.behind(6)), None, "nobody is there to need it");
        assert_eq!(seqs(channel.behind(7)), Some(vec![]));
    }

    #[test]
    fn a_window_is_bounded() {
        let channel = channel(0);
        channel.append((1..=1_000).map(|seq| event(seq, 10)).collect());
        assert_eq!(channel.window().events.len(), MAX_EVENTS);
        channel.append((1_001..=1_010).map(|seq| event(seq, MAX_BYTES / 4)).collect());
        assert!(channel.window().bytes <= MAX_BYTES);
        channel.append(vec![event(1_011, 2 * MAX_BYTES)]);
        assert_eq!(
            seqs(channel.behind(1_010)),
            Some(vec![1_011]),
            "the newest event always fits"
        );
        channel.append(vec![event(1_012, 1)]);
        let window = channel.window();
        assert_eq!((window.events.len(), window.bytes), (1, 1));
    }

    #[test]
    fn a_batch_is_bounded() {
        let channel = channel(0);
        channel.append((1..=100).map(|seq| event(seq, 10)).collect());
        assert_eq!(seqs(channel.behind(0)).unwrap().len(), BATCH.0);
        channel.append((101..=110).map(|seq| event(seq, BATCH.1 / 3)).collect());
        assert_eq!(seqs(channel.behind(100)), Some(vec![101, 102, 103, 104]));
    }

    #[test]
    fn nothing_is_handed_out_across_a_gap() {
        let channel = channel(0);
        channel.append(vec![event(1, 1), event(4, 1), event(5, 1)]);
        assert_eq!(seqs(channel.behind(1)), None);
        assert_eq!(seqs(channel.behind(3)), Some(vec![4, 5]));
    }

    #[test]
    fn one_reader_at_a_time_is_called() {
        let channel = Channel::new(Fixtures::new(1).id());
        channel.tell(3);
        assert!(!channel.wants_reader(), "nobody has begun");
        channel.begin(1);
        assert!(channel.wants_reader());
        assert!(!channel.wants_reader());
        assert_eq!(channel.to_read(), Some(1));
        channel.append(vec![event(2, 1), event(3, 1)]);
        channel.release_reader();
        channel.tell(2);
        assert!(!channel.wants_reader());
        channel.tell(9);
        assert!(channel.wants_reader());
        channel.untell(9, 3);
        channel.release_reader();
        assert!(!channel.wants_reader());
    }
}
