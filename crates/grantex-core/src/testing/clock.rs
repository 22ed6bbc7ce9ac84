//! A clock that moves only when it is told to.

use std::sync::Arc;
use std::sync::atomic::{AtomicI64, AtomicU64, Ordering};
use std::time::Duration;

use crate::clock::{Clock, Lifetime, Timestamp};

/// A clock that stands still until it is moved. Clones show the same time.
#[derive(Debug, Clone)]
pub struct ManualClock(Arc<Hands>);

#[derive(Debug)]
struct Hands {
    now: AtomicI64,
    monotonic: AtomicU64,
}

impl ManualClock {
    /// Where [`ManualClock::default`] starts: 2030-01-02T03:04:05.006Z.
    pub const START: Timestamp = Timestamp::from_millis(1_893_553_445_006);

    /// A clock that shows `now`.
    pub fn at(now: Timestamp) -> Self {
        Self(Arc::new(Hands {
            now: AtomicI64::new(now.as_millis()),
            monotonic: AtomicU64::new(0),
        }))
    }

    /// Moves wall-clock and monotonic time on.
    pub fn advance(&self, by: Lifetime) {
        self.0.now.fetch_add(by.as_millis(), Ordering::SeqCst);
        self.0
            .monotonic
            .fetch_add(u64::try_from(by.as_millis()).unwrap_or(0), Ordering::SeqCst);
    }

    /// Sets the wall-clock time, back or forth; monotonic time stays, as it does when an operator sets a machine's clock.
    pub fn set(&self, now: Timestamp) {
        self.0.now.store(now.as_millis(), Ordering::SeqCst);
    }
}

impl Default for ManualClock {
    fn default() -> Self {
        Self::at(Self::START)
    }
}

impl Clock for ManualClock {
    fn now(&self) -> Timestamp {
        Timestamp::from_millis(self.0.now.load(Ordering::SeqCst))
    }

    fn monotonic(&self) -> Duration {
        Duration::from_millis(self.0.monotonic.load(Ordering::SeqCst))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn time_passes_only_when_told() {
        let clock = ManualClock::default();
        let same = clock.clone();
        assert_eq!(clock.now().to_string(), "2030-01-02T03:04:05.006Z");
        same.advance(Lifetime::seconds(2));
        assert_eq!(clock.now(), ManualClock::START.plus(Lifetime::seconds(2)));
        clock.set(ManualClock::START);
        assert_eq!(
            (same.now(), same.monotonic()),
            (ManualClock::START, Duration::from_secs(2))
        );
    }
}
