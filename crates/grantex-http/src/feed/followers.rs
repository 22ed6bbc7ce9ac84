//! Which developers have followers in this process, and how many.

use std::collections::HashMap;
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use grantex_core::id::DeveloperId;
use tokio::sync::Notify;

use super::channel::{Channel, Follower, FollowerOpening};
use super::heads::SignedHeads;
use super::refusals::Refusals;
use crate::streams::{NoSeat, Streams};

/// Those who follow revocation feeds in a process. Part of [`Streams`].
#[derive(Default)]
pub struct Followers {
    registry: Mutex<Registry>,
    /// Seats taken, so that a commit that concerns nobody costs a look at one number.
    count: AtomicUsize,
    wants_look: Notify,
    last_id: AtomicU64,
    /// Whether the last look failed.
    is_failing: AtomicBool,
    pub(super) heads: SignedHeads,
    pub(crate) refusals: Refusals,
}

#[derive(Default)]
struct Registry {
    places: HashMap<DeveloperId, Place>,
    is_closed: bool,
}

struct Place {
    channel: Arc<Channel>,
    taken: [usize; 2],
}

/// How somebody follows.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    /// Over a stream.
    Stream,
    /// By a question that waits for news.
    Poll,
}

impl Place {
    fn taken(&mut self, kind: Kind) -> &mut usize {
        let [streams, polls] = &mut self.taken;
        match kind {
            Kind::Stream => streams,
            Kind::Poll => polls,
        }
    }
}

impl Followers {
    /// Tells followers that a developer's feed goes up to `newest`.
    pub fn tell(&self, developer: &DeveloperId, newest: i64) {
        if self.count.load(Ordering::Acquire) == 0 {
            return;
        }
        let channel = self
            .registry()
            .places
            .get(developer)
            .map(|place| Arc::clone(&place.channel));
        if let Some(channel) = channel {
            channel.tell(newest);
        }
    }

    /// Has the feeds of all followers looked at soon.
    pub(crate) fn look(&self) {
        self.wants_look.notify_one();
    }

    /// Waits until somebody wants a look.
    pub(crate) async fn look_wanted(&self) {
        self.wants_look.notified().await;
    }

    /// Every channel.
    pub(super) fn channels(&self) -> Vec<Arc<Channel>> {
        let registry = self.registry();
        registry
            .places
            .values()
            .map(|place| Arc::clone(&place.channel))
            .collect()
    }

    /// From now on nobody gets a seat; those that have one are told to the caller.
    pub(super) fn close(&self) -> Vec<Arc<Channel>> {
        self.registry().is_closed = true;
        self.channels()
    }

    /// A look failed; whether it is the first one to fail.
    pub(super) fn note_failure(&self) -> bool {
        !self.is_failing.swap(true, Ordering::Relaxed)
    }

    /// A look succeeded.
    pub(super) fn note_success(&self) {
        self.is_failing.store(false, Ordering::Relaxed);
    }

    fn registry(&self) -> MutexGuard<'_, Registry> {
        self.registry.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn free(&self, developer: &DeveloperId, kind: Kind) {
        let mut registry = self.registry();
        self.count.fetch_sub(1, Ordering::AcqRel);
        let Some(place) = registry.places.get_mut(developer) else {
            return;
        };
        let taken = place.taken(kind);
        *taken = taken.saturating_sub(1);
        if place.taken.iter().all(|taken| *taken == 0) {
            registry.places.remove(developer);
        }
    }
}

impl Streams {
    /// Takes one of the seats of those who follow a developer's feed.
    pub(crate) fn follow(&self, developer: &DeveloperId, kind: Kind, limit: usize) -> Result<Seat, NoSeat> {
        let followers = self.revocations();
        let mut registry = followers.registry();
        if registry.is_closed {
            return Err(NoSeat::Closed);
        }
        let new = || Place {
            channel: Arc::new(Channel::new(developer.clone())),
            taken: [0; 2],
        };
        let place = registry.places.entry(developer.clone()).or_insert_with(new);
        let taken = place.taken(kind);
        if *taken >= limit {
            return Err(NoSeat::Taken);
        }
        *taken += 1;
        let channel = Arc::clone(&place.channel);
        followers.count.fetch_add(1, Ordering::AcqRel);
        Ok(Seat {
            streams: self.clone(),
            channel,
            kind,
        })
    }
}

/// The right to follow; given back when it is dropped.
pub(crate) struct Seat {
    streams: Streams,
    channel: Arc<Channel>,
    kind: Kind,
}

impl Seat {
    /// The feed that is followed.
    pub(crate) fn channel(&self) -> &Arc<Channel> {
        &self.channel
    }

    /// Opens the stream. `None` when the server began to shut down meanwhile.
    pub(super) fn open(self, opening: FollowerOpening) -> Option<(Arc<Channel>, Arc<Follower>)> {
        let streams = self.streams.clone();
        let channel = Arc::clone(&self.channel);
        let id = streams.revocations().last_id.fetch_add(1, Ordering::Relaxed);
        let follower = Arc::new(Follower::new(opening, id, self));
        // Under the lock, so that whoever closes either sees the stream or is seen by it.
        let registry = streams.revocations().registry();
        let is_closed = registry.is_closed;
        if !is_closed {
            channel.add(&follower);
        }
        drop(registry);
        (!is_closed).then_some((channel, follower))
    }
}

impl Drop for Seat {
    fn drop(&mut self) {
        self.streams.revocations().free(&self.channel.developer, self.kind);
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a failed unwrap is a failed test")]

    use std::time::Duration;

    use grantex_core::event::StreamEnd;
    use grantex_core::testing::fixtures::Fixtures;

    use super::*;

    fn opening() -> FollowerOpening {
        FollowerOpening {
            key_hash: Fixtures::new(1).hash(),
            request_id: "r".into(),
            now: Duration::ZERO,
        }
    }

    #[test]
    fn seats_are_counted_by_developer_and_kind_and_come_back() {
        let streams = Streams::default();
        let fixtures = Fixtures::new(2);
        let (one, two) = (fixtures.id::<DeveloperId>(), fixtures.id::<DeveloperId>());
        let seat = |developer, kind| streams.follow(developer, kind, 2);
        let (first, second) = (seat(&one, Kind::Stream).unwrap(), seat(&one, Kind::Stream).unwrap());
        assert_eq!(seat(&one, Kind::Stream).err(), Some(NoSeat::Taken));
        let others = (seat(&one, Kind::Poll).unwrap(), seat(&two, Kind::Stream).unwrap());
        drop(second);
        let (channel, follower) = first.open(opening()).unwrap();
        let third = seat(&one, Kind::Stream).unwrap();
        assert_eq!(
            seat(&one, Kind::Stream).err(),
            Some(NoSeat::Taken),
            "an open stream keeps its seat"
        );
        assert!(follower.end(StreamEnd::Slow) && !follower.end(StreamEnd::Client));
        assert!(seat(&one, Kind::Stream).is_ok(), "and gives it back at its end");
        channel.remove(&follower);
        drop((others, third));
        assert!(
            streams.revocations().channels().is_empty(),
            "nothing is remembered of nobody"
        );
        assert_eq!(streams.revocations().count.load(Ordering::Relaxed), 0);
    }

    #[test]
    fn nobody_sits_down_when_the_server_shuts_down() {
        let streams = Streams::default();
        let developer = Fixtures::new(3).id::<DeveloperId>();
        let late = streams.follow(&developer, Kind::Stream, 5).unwrap();
        assert_eq!(streams.revocations().close().len(), 1);
        assert!(late.open(opening()).is_none());
        assert_eq!(streams.follow(&developer, Kind::Poll, 5).err(), Some(NoSeat::Closed));
        assert_eq!(streams.revocations().count.load(Ordering::Relaxed), 0);
    }
}
