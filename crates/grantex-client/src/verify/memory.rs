//! Tokens that were opened before: a caller shows the same token again and again.

use std::num::NonZeroUsize;
use std::sync::{Arc, Mutex, PoisonError};

use grantex_core::clock::Timestamp;
use lru::LruCache;
use sha2::{Digest, Sha256};

use crate::verify::authorized::Opened;

/// SHA-256 of a whole token.
pub(crate) type Fingerprint = [u8; 32];

/// Parts, each with a lock of its own.
const SHARDS: usize = 16;

/// What is remembered of a token.
#[derive(Clone)]
pub(crate) struct Remembered {
    pub(crate) key: KeyName,
    /// The content of the key set by which it was found good. Under another, it is looked at again.
    pub(crate) version: u64,
    pub(crate) opened: Arc<Opened>,
}

/// How a token names its key.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum KeyName {
    Jwt(Arc<str>),
    #[cfg(feature = "biscuit")]
    Biscuit(u32),
}

/// A bounded memory of good tokens; nobody without a key can put anything in.
pub(crate) struct Memory(Vec<Mutex<LruCache<Fingerprint, Remembered>>>);

impl Memory {
    /// Remembers at most about `capacity` tokens; none for 0.
    pub(crate) fn new(capacity: usize) -> Self {
        let shards = NonZeroUsize::new(capacity.div_ceil(SHARDS))
            .map(|each| (0..SHARDS).map(|_| Mutex::new(LruCache::new(each))).collect());
        Self(shards.unwrap_or_default())
    }

    pub(crate) fn fingerprint(token: &str) -> Fingerprint {
        Sha256::digest(token.as_bytes()).into()
    }

    /// A token that was found good, and has not ended by `now`.
    pub(crate) fn get(&self, fingerprint: &Fingerprint, now: Timestamp) -> Option<Remembered> {
        let mut shard = self.shard(fingerprint)?.lock().unwrap_or_else(PoisonError::into_inner);
        let found = shard.get(fingerprint)?.clone();
        if found.opened.claims.expires_at <= now {
            shard.pop(fingerprint);
            return None;
        }
        Some(found)
    }

    pub(crate) fn put(&self, fingerprint: Fingerprint, remembered: Remembered) {
        if let Some(shard) = self.shard(&fingerprint) {
            let mut shard = shard.lock().unwrap_or_else(PoisonError::into_inner);
            shard.put(fingerprint, remembered);
        }
    }

    fn shard(&self, fingerprint: &Fingerprint) -> Option<&Mutex<LruCache<Fingerprint, Remembered>>> {
        let [first, ..] = fingerprint;
        self.0.get(usize::from(*first) % SHARDS)
    }
}
