//! One developer's feed, and those who follow it over streams.

use std::collections::HashMap;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use grantex_core::clock::Timestamp;
use grantex_core::event::StreamEnd;
use grantex_core::id::DeveloperId;
use grantex_core::revocation::RevocationHead;
use grantex_core::revocation::feed::FeedChanges;
use grantex_core::secret::SecretHash;
use tokio::sync::{Mutex as AsyncMutex, watch};

use super::followers::Seat;
use crate::streams::STALL;

/// A developer's feed.
pub(crate) struct Channel {
    pub(super) developer: DeveloperId,
    seen: watch::Sender<Seen>,
    /// What was read last, and behind which position: streams that stand there need not read it again.
    pub(super) shared: AsyncMutex<Option<(i64, Arc<FeedChanges>)>>,
    streams: Mutex<HashMap<u64, Arc<Follower>>>,
}

/// What is known of a feed.
#[derive(Clone, Default)]
pub(crate) struct Seen {
    /// The newest position that anybody told of.
    pub(crate) told: i64,
    /// What the last look found, if there was one.
    pub(super) look: Option<Look>,
    /// The server is shutting down.
    pub(crate) is_closed: bool,
}

/// A look into the store.
#[derive(Clone)]
pub(super) struct Look {
    pub(super) head: Arc<RevocationHead>,
    /// When it began.
    pub(super) began: Duration,
    /// The same on the clock on the wall.
    pub(super) at: Timestamp,
}

impl Channel {
    pub(super) fn new(developer: DeveloperId) -> Self {
        Self {
            developer,
            seen: watch::Sender::default(),
            shared: AsyncMutex::default(),
            streams: Mutex::default(),
        }
    }

    fn streams(&self) -> MutexGuard<'_, HashMap<u64, Arc<Follower>>> {
        self.streams.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Every open stream.
    pub(super) fn all(&self) -> Vec<Arc<Follower>> {
        self.streams().values().cloned().collect()
    }

    pub(super) fn add(&self, follower: &Arc<Follower>) {
        self.streams().insert(follower.id, Arc::clone(follower));
    }

    pub(super) fn remove(&self, follower: &Follower) {
        self.streams().remove(&follower.id);
    }

    /// Who waits on this learns of whatever becomes known.
    pub(crate) fn seen(&self) -> watch::Receiver<Seen> {
        self.seen.subscribe()
    }

    /// Somebody told of entries up to `newest`.
    pub(super) fn tell(&self, newest: i64) {
        self.seen.send_if_modified(|seen| {
            let is_news = newest > seen.told;
            seen.told = seen.told.max(newest);
            is_news
        });
    }

    /// A look found this; `false` when the feed goes less far than before, which only a database can do that was restored.
    pub(super) fn looked(&self, look: Look) -> bool {
        let before = self.seen.borrow().look.as_ref().map_or(0, |look| look.head.seq);
        if look.head.seq < before {
            return false;
        }
        self.seen.send_modify(|seen| {
            seen.told = seen.told.max(look.head.seq);
            seen.look = Some(look);
        });
        true
    }

    /// The server shuts down: nobody waits any longer.
    pub(super) fn close(&self) {
        self.seen.send_modify(|seen| seen.is_closed = true);
    }
}

/// One open stream.
pub(super) struct Follower {
    pub(super) id: u64,
    /// With which key it was opened.
    pub(super) key_hash: SecretHash,
    pub(super) request_id: String,
    pub(super) opened_at: Duration,
    /// Entries handed out.
    pub(super) sent: AtomicU64,
    /// Whether the connection has room and there was nothing to put there.
    is_waiting: AtomicBool,
    /// When the connection last took something, in milliseconds.
    took_at: AtomicU64,
    ended: watch::Sender<Option<StreamEnd>>,
    seat: Mutex<Option<Seat>>,
}

/// What a stream begins with.
pub(crate) struct FollowerOpening {
    pub(crate) key_hash: SecretHash,
    pub(crate) request_id: String,
    pub(crate) now: Duration,
}

impl Follower {
    pub(super) fn new(opening: FollowerOpening, id: u64, seat: Seat) -> Self {
        Self {
            id,
            key_hash: opening.key_hash,
            request_id: opening.request_id,
            opened_at: opening.now,
            sent: AtomicU64::new(0),
            is_waiting: AtomicBool::new(false),
            took_at: AtomicU64::new(millis(opening.now)),
            ended: watch::Sender::default(),
            seat: Mutex::new(Some(seat)),
        }
    }

    /// Who waits on this learns of the end.
    pub(super) fn ended(&self) -> watch::Receiver<Option<StreamEnd>> {
        self.ended.subscribe()
    }

    /// Marks it as ended and gives its seat back; `false` when it was already.
    pub(super) fn end(&self, end: StreamEnd) -> bool {
        let is_first = self.ended.send_if_modified(|ended| {
            let is_first = ended.is_none();
            ended.get_or_insert(end);
            is_first
        });
        if is_first {
            drop(self.seat.lock().unwrap_or_else(PoisonError::into_inner).take());
        }
        is_first
    }

    /// Notes that the connection asked, and whether it got something.
    pub(super) fn asked(&self, got: bool, now: Duration) {
        self.is_waiting.store(!got, Ordering::Relaxed);
        if got {
            self.took_at.store(millis(now), Ordering::Relaxed);
        }
    }

    /// Whether its client has taken nothing for too long although there was something to take.
    pub(super) fn is_stalled(&self, now: Duration) -> bool {
        let silence = millis(now).saturating_sub(self.took_at.load(Ordering::Relaxed));
        !self.is_waiting.load(Ordering::Relaxed) && silence >= millis(STALL)
    }
}

fn millis(span: Duration) -> u64 {
    u64::try_from(span.as_millis()).unwrap_or(u64::MAX)
}
