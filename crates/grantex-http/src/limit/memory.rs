//! The state of limiters in bounded memory.

use std::hash::{BuildHasher, RandomState};
use std::sync::{Arc, Mutex, PoisonError};

use governor::nanos::Nanos;
use governor::state::StateStore;
use lru::LruCache;

use super::{Bucket, Caller};

const SHARDS: usize = 16;

/// One bucket of one caller.
pub(super) type Key = (Bucket, Caller);

/// Remembers the state of a bounded number of keys; the one not used for longest is forgotten first.
///
/// Forgetting a key gives its caller a full allowance, so whoever would profit must first push out tens of thousands of others.
pub(super) struct Memory {
    shards: Vec<Mutex<LruCache<Key, Nanos>>>,
    per_shard: usize,
    hasher: RandomState,
}

impl Memory {
    pub(super) fn new(keys: usize) -> Self {
        Self {
            // Unbounded, as far as the cache knows: a bounded one reserves all its memory at once.
            shards: (0..SHARDS).map(|_| Mutex::new(LruCache::unbounded())).collect(),
            per_shard: keys.div_ceil(SHARDS).max(1),
            hasher: RandomState::new(),
        }
    }

    fn with<T>(&self, key: &Key, work: impl FnOnce(&mut LruCache<Key, Nanos>) -> T) -> Option<T> {
        let hash = usize::try_from(self.hasher.hash_one(key) >> 32).unwrap_or(0);
        let shard = self.shards.get(hash % SHARDS)?;
        // Numbers cannot be left half-written, so a poisoned shard is as good as any.
        Some(work(&mut shard.lock().unwrap_or_else(PoisonError::into_inner)))
    }

    /// The state of a key, without counting as a use.
    pub(super) fn peek(&self, key: &Key) -> Option<Nanos> {
        self.with(key, |cache| cache.peek(key).copied()).flatten()
    }

    /// How many keys are remembered.
    #[cfg(test)]
    pub(super) fn len(&self) -> usize {
        self.shards
            .iter()
            .map(|shard| shard.lock().unwrap_or_else(PoisonError::into_inner).len())
            .sum()
    }
}

/// One memory for several limiters.
#[derive(Clone)]
pub(super) struct Shared(pub Arc<Memory>);

impl StateStore for Shared {
    type Key = Key;

    fn measure_and_replace<T, F, E>(&self, key: &Key, f: F) -> Result<T, E>
    where
        F: Fn(Option<Nanos>) -> Result<(T, Nanos), E>,
    {
        let per_shard = self.0.per_shard;
        let measured = self.0.with(key, |cache| {
            let (value, next) = f(cache.get(key).copied())?;
            cache.put(*key, next);
            if cache.len() > per_shard {
                cache.pop_lru();
            }
            Ok(value)
        });
        match measured {
            Some(result) => result,
            None => f(None).map(|(value, _)| value),
        }
    }
}
