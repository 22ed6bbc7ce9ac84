//! A key set that is kept: fetched when a token names a key that it does not hold, and when it has grown old.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use arc_swap::ArcSwapOption;
use grantex_core::clock::Clock;
use serde_json::Value;
use tokio::sync::Mutex;

use super::{KeySet, entries};
use crate::wire::{Ask, Service, TransportError};

/// Bytes of a key set at most.
const MAX_BODY: usize = 64 * 1024;
/// No attempt was made yet.
const NEVER: u64 = u64::MAX;

/// How long keys are kept.
#[derive(Debug, Clone, Copy)]
pub(crate) struct CacheSettings {
    /// After that a set is fetched again.
    pub(crate) max_age: Duration,
    /// How long a set may be used when it cannot be fetched again.
    pub(crate) max_stale: Duration,
    /// The least time between two attempts.
    pub(crate) cool_down: Duration,
}

/// Why there is no key.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum KeyFailure {
    /// The set is current and does not hold it.
    Unknown,
    /// There is no set that may be used.
    Unavailable,
}

/// A set, and the number of its content: another content, another number.
pub(crate) struct Versioned<K> {
    pub(crate) version: u64,
    pub(crate) keys: K,
    raw: Vec<Value>,
}

struct Kept<K> {
    set: Arc<Versioned<K>>,
    fetched_at: Duration,
}

/// A kept key set. At most one fetch is under way at any time, whatever the number of tokens that wait for it.
pub(crate) struct KeyCache<K> {
    shared: Arc<Shared<K>>,
}

struct Shared<K> {
    service: Service,
    path: [&'static str; 2],
    clock: Arc<dyn Clock>,
    settings: CacheSettings,
    kept: ArcSwapOption<Kept<K>>,
    /// When the last attempt was made, by the monotonic clock, in milliseconds.
    attempted_at: AtomicU64,
    flight: Arc<Mutex<()>>,
}

impl<K: KeySet> KeyCache<K> {
    pub(crate) fn new(
        service: Service,
        path: [&'static str; 2],
        clock: Arc<dyn Clock>,
        settings: CacheSettings,
    ) -> Self {
        Self {
            shared: Arc::new(Shared {
                service,
                path,
                clock,
                settings,
                kept: ArcSwapOption::empty(),
                attempted_at: AtomicU64::new(NEVER),
                flight: Arc::new(Mutex::new(())),
            }),
        }
    }

    /// The set that holds this key.
    pub(crate) async fn holding(&self, id: &K::Id) -> Result<Arc<Versioned<K>>, KeyFailure> {
        let shared = &self.shared;
        if let Some(set) = shared.current(id) {
            return Ok(set);
        }
        self.refresh(|shared| shared.current(id).is_some()).await;
        // A set that is old and could not be fetched again is good for a while, for the keys that it holds.
        let usable = shared.usable().ok_or(KeyFailure::Unavailable)?;
        if usable.keys.holds(id) {
            return Ok(usable);
        }
        // Only a set that is current can say that there is no such key.
        Err(if shared.is_fresh() {
            KeyFailure::Unknown
        } else {
            KeyFailure::Unavailable
        })
    }

    /// Fetches once, unless another fetch, or the time since the last attempt, made it needless. The fetch is a task of its own, so that a
    /// caller who goes away does not make the next one begin again.
    async fn refresh(&self, is_settled: impl Fn(&Shared<K>) -> bool) {
        let guard = Arc::clone(&self.shared.flight).lock_owned().await;
        if is_settled(&self.shared) || self.shared.is_cooling_down() {
            return;
        }
        let shared = Arc::clone(&self.shared);
        let fetch = tokio::spawn(async move {
            shared.fetch().await;
            drop(guard);
        });
        // It fails only when the runtime shuts down.
        let _ = fetch.await;
    }
}

impl<K: KeySet> Shared<K> {
    fn is_cooling_down(&self) -> bool {
        let attempted_at = self.attempted_at.load(Ordering::Acquire);
        let since = Duration::from_millis(self.monotonic_millis().saturating_sub(attempted_at));
        attempted_at != NEVER && since < self.settings.cool_down
    }

    fn monotonic_millis(&self) -> u64 {
        u64::try_from(self.clock.monotonic().as_millis()).unwrap_or(NEVER - 1)
    }

    fn younger_than(&self, age: Duration) -> Option<Arc<Versioned<K>>> {
        let kept = self.kept.load();
        let kept = kept.as_ref()?;
        let is_young = self.clock.monotonic().saturating_sub(kept.fetched_at) < age;
        is_young.then(|| Arc::clone(&kept.set))
    }

    fn current(&self, id: &K::Id) -> Option<Arc<Versioned<K>>> {
        self.younger_than(self.settings.max_age)
            .filter(|set| set.keys.holds(id))
    }

    fn is_fresh(&self) -> bool {
        self.younger_than(self.settings.max_age).is_some()
    }

    fn usable(&self) -> Option<Arc<Versioned<K>>> {
        self.younger_than(self.settings.max_stale.max(self.settings.max_age))
    }

    /// An answer that is no key set leaves the kept one as it is.
    async fn fetch(&self) {
        let started_at = self.clock.monotonic();
        let fetched = self.ask().await;
        if let Ok(Some(raw)) = fetched {
            let before = self.kept.load_full().map(|kept| Arc::clone(&kept.set));
            let set = match before {
                Some(set) if set.raw == raw => set,
                before => Arc::new(Versioned {
                    version: before.map_or(0, |set| set.version + 1),
                    keys: K::read(&raw),
                    raw,
                }),
            };
            let fetched_at = started_at;
            self.kept.store(Some(Arc::new(Kept { set, fetched_at })));
        }
        self.attempted_at.store(self.monotonic_millis(), Ordering::Release);
    }

    async fn ask(&self) -> Result<Option<Vec<Value>>, TransportError> {
        let answer = self.service.ask(&Ask::get(&self.path), MAX_BODY).await?;
        Ok(if answer.status == 200 {
            entries(answer.body.expose())
        } else {
            None
        })
    }
}
