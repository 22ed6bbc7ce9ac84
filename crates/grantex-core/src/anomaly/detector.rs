//! What detection keeps in memory: signals that wait to be folded, and activities that were folded last. Both bounded.

use std::collections::HashMap;
use std::hash::{BuildHasher as _, RandomState};
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use super::book::RuleBook;
use super::recent::{Entries, Recent};
use super::signal::Signal;
use crate::audit::AuditEntry;
use crate::id::DeveloperId;

/// Parts of the queue, each behind a lock of its own, which is held for a push.
const SHARDS: usize = 16;
/// When half of the queue is taken, one signal of so many is let in and stands for all of them.
const SAMPLE: u64 = 8;
/// Signals of one developer that one pass folds at most.
const PER_PASS: usize = 5_000;

/// Bounds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct DetectorSettings {
    /// Signals that wait at most, of all developers together; and a quarter as many entries that need not be read back.
    pub queue: usize,
    /// Bytes of stored activities that are kept to save reading them again.
    pub cache_bytes: usize,
}

impl Default for DetectorSettings {
    fn default() -> Self {
        Self {
            queue: 65_536,
            cache_bytes: 64 << 20,
        }
    }
}

/// What became of signals, since the start.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct SignalCounts {
    /// Let into the queue.
    pub accepted: u64,
    /// Stood for by another one, because the queue was half full.
    pub sampled: u64,
    /// Lost, because the queue was full.
    pub dropped: u64,
    /// Taken in by passes, with those that were read from the chains.
    pub folded: u64,
    /// Left out by passes, because a chain was too far ahead.
    pub skipped: u64,
}

/// Developers that wait to be looked at, each with its signals, which may be none: then something was committed.
type Waiting = HashMap<DeveloperId, Vec<Signal>>;

/// What is known of a developer since the last pass.
struct Known {
    version: i64,
    book: Arc<RuleBook>,
    activities: HashMap<String, Arc<str>>,
    bytes: usize,
    used: u64,
}

#[derive(Default)]
struct Cache {
    developers: HashMap<DeveloperId, Known>,
    bytes: usize,
    turn: u64,
}

/// Signals that wait, and activities that are known. Shared by the flows, which only ever push, and whoever runs detection.
pub struct Detector {
    settings: DetectorSettings,
    hasher: RandomState,
    shards: [Mutex<Waiting>; SHARDS],
    waiting: AtomicUsize,
    offered: AtomicU64,
    accepted: AtomicU64,
    sampled: AtomicU64,
    dropped: AtomicU64,
    folded: AtomicU64,
    skipped: AtomicU64,
    recent: Mutex<Recent>,
    cache: Mutex<Cache>,
}

impl std::fmt::Debug for Detector {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Detector")
            .field("counts", &self.counts())
            .finish_non_exhaustive()
    }
}

impl Default for Detector {
    fn default() -> Self {
        Self::new(DetectorSettings::default())
    }
}

impl Detector {
    /// An empty one.
    pub fn new(settings: DetectorSettings) -> Self {
        Self {
            settings,
            hasher: RandomState::new(),
            shards: std::array::from_fn(|_| Mutex::default()),
            waiting: AtomicUsize::new(0),
            offered: AtomicU64::new(0),
            accepted: AtomicU64::new(0),
            sampled: AtomicU64::new(0),
            dropped: AtomicU64::new(0),
            folded: AtomicU64::new(0),
            skipped: AtomicU64::new(0),
            recent: Mutex::default(),
            cache: Mutex::default(),
        }
    }

    fn shard(&self, developer: &DeveloperId) -> MutexGuard<'_, Waiting> {
        let place = self.hasher.hash_one(developer) as usize % SHARDS;
        // `place` is within bounds; the first shard stands in for what cannot be.
        let [first, ..] = &self.shards;
        locked(self.shards.get(place).unwrap_or(first))
    }

    /// Whether a signal is let in: with weight 1, with the weight of those it stands for, or not at all.
    fn admit(&self) -> Option<u32> {
        let waiting = self.waiting.load(Ordering::Relaxed);
        if waiting >= self.settings.queue {
            self.dropped.fetch_add(1, Ordering::Relaxed);
            return None;
        }
        if waiting < self.settings.queue / 2 {
            self.accepted.fetch_add(1, Ordering::Relaxed);
            return Some(1);
        }
        if !self.offered.fetch_add(1, Ordering::Relaxed).is_multiple_of(SAMPLE) {
            self.sampled.fetch_add(1, Ordering::Relaxed);
            return None;
        }
        self.accepted.fetch_add(1, Ordering::Relaxed);
        Some(SAMPLE as u32)
    }

    /// Lets a signal wait. Never blocks for long and never fails: what does not fit is sampled, then dropped, and counted.
    pub fn note(&self, developer: &DeveloperId, mut signal: Signal) {
        let Some(weight) = self.admit() else { return };
        signal.weight = signal.weight.saturating_mul(weight);
        // Counted before it can be taken, so that the count never goes below what there is.
        self.waiting.fetch_add(1, Ordering::Relaxed);
        self.push(developer, |signals| signals.push(signal));
    }

    /// Has a developer looked at: entries were committed to its chains. A hint: who is missed is found by the sweep.
    pub fn call(&self, developer: &DeveloperId) {
        self.push(developer, |_| {});
    }

    /// Has a developer looked at to whose chains these entries were committed, and keeps them while there is room.
    pub(crate) fn committed(&self, developer: &DeveloperId, entries: &[AuditEntry]) {
        locked(&self.recent).keep(developer, entries, self.settings.queue / 4);
        self.call(developer);
    }

    /// Entries of a developer that were kept.
    pub(super) fn take_entries(&self, developer: &DeveloperId) -> Entries {
        locked(&self.recent).take(developer)
    }

    fn push(&self, developer: &DeveloperId, change: impl FnOnce(&mut Vec<Signal>)) {
        let mut shard = self.shard(developer);
        if let Some(signals) = shard.get_mut(developer) {
            change(signals);
            return;
        }
        let mut signals = Vec::new();
        change(&mut signals);
        shard.insert(developer.clone(), signals);
    }

    /// Developers that wait to be looked at.
    pub fn called(&self) -> Vec<DeveloperId> {
        let mut called = Vec::new();
        for shard in &self.shards {
            called.extend(locked(shard).keys().cloned());
        }
        called
    }

    /// The signals of a developer, at most those of one pass, oldest first.
    pub fn take(&self, developer: &DeveloperId) -> Vec<Signal> {
        let mut shard = self.shard(developer);
        let Some(mut signals) = shard.remove(developer) else {
            return Vec::new();
        };
        if signals.len() > PER_PASS {
            let rest = signals.split_off(PER_PASS);
            shard.insert(developer.clone(), rest);
        }
        drop(shard);
        self.waiting.fetch_sub(signals.len(), Ordering::Relaxed);
        signals
    }

    /// Takes signals back that could not be folded.
    pub fn give_back(&self, developer: &DeveloperId, signals: Vec<Signal>) {
        self.waiting.fetch_add(signals.len(), Ordering::Relaxed);
        self.push(developer, |waiting| {
            let newer = std::mem::replace(waiting, signals);
            waiting.extend(newer);
        });
    }

    /// What became of signals.
    pub fn counts(&self) -> SignalCounts {
        SignalCounts {
            accepted: self.accepted.load(Ordering::Relaxed),
            sampled: self.sampled.load(Ordering::Relaxed),
            dropped: self.dropped.load(Ordering::Relaxed),
            folded: self.folded.load(Ordering::Relaxed),
            skipped: self.skipped.load(Ordering::Relaxed),
        }
    }

    /// Counts what a pass took in and skipped.
    pub(super) fn passed(&self, folded: u64, skipped: u64) {
        self.folded.fetch_add(folded, Ordering::Relaxed);
        self.skipped.fetch_add(skipped, Ordering::Relaxed);
    }

    /// Signals that wait.
    pub fn waiting(&self) -> usize {
        self.waiting.load(Ordering::Relaxed)
    }

    /// The developer's wishes, if they are known as of this version.
    pub(super) fn known_book(&self, developer: &DeveloperId, version: i64) -> Option<Arc<RuleBook>> {
        let cache = locked(&self.cache);
        let known = cache.developers.get(developer).filter(|known| known.version == version);
        known.map(|known| Arc::clone(&known.book))
    }

    /// Those of these activities that are known as of this version.
    pub(super) fn known_activities(
        &self,
        developer: &DeveloperId,
        version: i64,
        agents: &[String],
    ) -> HashMap<String, Arc<str>> {
        let cache = locked(&self.cache);
        let Some(known) = cache.developers.get(developer).filter(|known| known.version == version) else {
            return HashMap::new();
        };
        let found = agents.iter().filter_map(|agent| {
            let activity = known.activities.get(agent)?;
            Some((agent.clone(), Arc::clone(activity)))
        });
        found.collect()
    }

    /// Remembers what a pass has left. Developers that were not looked at for the longest are forgotten first.
    pub(super) fn remember(
        &self,
        developer: &DeveloperId,
        (before, version): (i64, i64),
        book: Arc<RuleBook>,
        activities: &[(String, String)],
    ) {
        let mut cache = locked(&self.cache);
        cache.turn += 1;
        let turn = cache.turn;
        let mut known = match cache.developers.remove(developer) {
            Some(known) => {
                cache.bytes = cache.bytes.saturating_sub(known.bytes);
                known
            }
            None => Known {
                version: before,
                book: Arc::clone(&book),
                activities: HashMap::new(),
                bytes: 0,
                used: turn,
            },
        };
        // One developer gets a quarter at most: it begins anew rather than to push out all others.
        if known.version != before || known.bytes > self.settings.cache_bytes / 4 {
            known.activities.clear();
            known.bytes = 0;
        }
        (known.version, known.book, known.used) = (version, book, turn);
        for (agent, stored) in activities {
            let size = |stored: &str| stored.len() + 2 * agent.len() + 96;
            known.bytes += size(stored);
            if let Some(old) = known.activities.insert(agent.clone(), stored.as_str().into()) {
                known.bytes = known.bytes.saturating_sub(size(&old));
            }
        }
        cache.bytes += known.bytes;
        cache.developers.insert(developer.clone(), known);
        while cache.bytes > self.settings.cache_bytes {
            let oldest = cache.developers.iter().min_by_key(|(_, known)| known.used);
            let Some(oldest) = oldest.map(|(id, _)| id.clone()) else {
                break;
            };
            if let Some(gone) = cache.developers.remove(&oldest) {
                cache.bytes = cache.bytes.saturating_sub(gone.bytes);
            }
        }
    }

    /// Bytes of activities that are remembered.
    pub fn remembered_bytes(&self) -> usize {
        locked(&self.cache).bytes
    }
}

/// A panic while a lock was held leaves nothing half-done that matters here.
fn locked<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::anomaly::signal::{SignalKind, Subject};
    use crate::clock::Timestamp;

    fn developer(number: u32) -> DeveloperId {
        DeveloperId::parse(&format!("dev_{number:026}")).unwrap()
    }

    fn signal() -> Signal {
        Signal::new(SignalKind::Verification, Subject::None, Timestamp::from_millis(0))
    }

    fn detector(queue: usize, cache_bytes: usize) -> Detector {
        Detector::new(DetectorSettings { queue, cache_bytes })
    }

    #[test]
    fn a_flood_is_sampled_then_dropped_and_counted_all_the_same() {
        let detector = detector(100, 0);
        for _ in 0..1_000 {
            detector.note(&developer(1), signal());
        }
        let counts = detector.counts();
        assert_eq!(counts.accepted, 100);
        assert_eq!(counts.accepted + counts.sampled + counts.dropped, 1_000);
        let taken = detector.take(&developer(1));
        let weights: u32 = taken.iter().map(|signal| signal.weight).sum();
        assert_eq!((taken.len(), weights), (100, 50 + 50 * 8));
        assert_eq!(detector.waiting(), 0, "there is place again");
    }

    #[test]
    fn one_pass_takes_a_bounded_part_and_the_rest_waits() {
        let detector = detector(100_000, 0);
        for _ in 0..PER_PASS + 1 {
            detector.note(&developer(1), signal());
        }
        assert_eq!(detector.take(&developer(1)).len(), PER_PASS);
        assert_eq!(detector.called(), [developer(1)]);
        assert_eq!(detector.take(&developer(1)).len(), 1);
        assert_eq!(detector.called(), []);
    }

    #[test]
    fn what_was_given_back_comes_first() {
        let detector = detector(10, 0);
        let mut old = signal();
        old.principal_id = "old".to_owned();
        detector.note(&developer(1), signal());
        detector.give_back(&developer(1), vec![old]);
        assert_eq!(detector.take(&developer(1))[0].principal_id, "old");
    }

    #[test]
    fn memory_is_bounded_and_the_longest_unseen_is_forgotten() {
        let detector = detector(0, 100_000);
        let activity = |agent: u32| vec![(format!("ag_{agent:026}"), "x".repeat(1_000))];
        for number in 0..1_000 {
            detector.remember(&developer(number), (0, 1), Arc::default(), &activity(number));
            assert!(detector.remembered_bytes() <= 100_000);
        }
        assert!(detector.known_book(&developer(0), 1).is_none());
        assert!(detector.known_book(&developer(999), 1).is_some());
        assert!(
            detector.known_book(&developer(999), 2).is_none(),
            "another server was there"
        );
        for number in 0..1_000 {
            let versions = (i64::from(number), i64::from(number) + 1);
            detector.remember(&developer(7), versions, Arc::default(), &activity(number));
        }
        assert!(detector.remembered_bytes() <= 100_000, "nor does one developer fill it");
    }
}
