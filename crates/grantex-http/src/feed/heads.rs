//! Signed heads, kept for a while: one signature a minute for a developer whose feed rests, one a second at most for one that grows.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use grantex_core::id::DeveloperId;
use grantex_core::revocation::RevocationHead;
use grantex_core::store::Store;
use grantex_core::token::signer::SignError;
use lru::LruCache;

use crate::app::App;

/// Developers whose last head is remembered, about a kilobyte each.
const REMEMBERED: usize = 10_000;
/// How old a head of a feed that rests may be.
const RESTING: Duration = Duration::from_secs(60);
/// How old a head of a feed that has grown since may be.
const GROWING: Duration = Duration::from_secs(1);

pub(super) struct SignedHeads(Mutex<LruCache<DeveloperId, Signed>>);

struct Signed {
    seq: i64,
    signed_at: Duration,
    text: Arc<str>,
}

impl Default for SignedHeads {
    fn default() -> Self {
        // Unbounded, as far as the cache knows: a bounded one reserves all its memory at once.
        Self(Mutex::new(LruCache::unbounded()))
    }
}

impl SignedHeads {
    fn get(&self, developer: &DeveloperId, seq: i64, now: Duration) -> Option<Arc<str>> {
        let mut kept = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let signed = kept.get(developer)?;
        let age = now.saturating_sub(signed.signed_at);
        let is_good = if signed.seq == seq {
            age < RESTING
        } else {
            age < GROWING
        };
        is_good.then(|| Arc::clone(&signed.text))
    }

    fn put(&self, developer: &DeveloperId, signed: Signed) {
        let mut kept = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        kept.put(developer.clone(), signed);
        if kept.len() > REMEMBERED {
            kept.pop_lru();
        }
    }
}

impl<S: Store> App<S> {
    /// A signed head of a feed: this one, or one that is not much older.
    pub(crate) fn signed_head(&self, developer: &DeveloperId, head: &RevocationHead) -> Result<Arc<str>, SignError> {
        let heads = &self.streams.revocations().heads;
        let now = self.grantex.clock().monotonic();
        if let Some(text) = heads.get(developer, head.seq, now) {
            return Ok(text);
        }
        let text: Arc<str> = self
            .grantex
            .sign_revocation_head(developer, head)?
            .expose()
            .as_str()
            .into();
        let signed = Signed {
            seq: head.seq,
            signed_at: now,
            text: Arc::clone(&text),
        };
        heads.put(developer, signed);
        Ok(text)
    }
}

#[cfg(test)]
mod tests {
    use grantex_core::testing::fixtures::Fixtures;

    use super::*;

    #[test]
    fn a_head_is_kept_for_a_while_and_only_of_so_many() {
        let heads = SignedHeads::default();
        let fixtures = Fixtures::new(1);
        let developer = fixtures.id::<DeveloperId>();
        let put = |developer: &DeveloperId| {
            let signed = Signed {
                seq: 5,
                signed_at: Duration::from_secs(100),
                text: "head".into(),
            };
            heads.put(developer, signed);
        };
        put(&developer);
        let is_kept = |seq, seconds| heads.get(&developer, seq, Duration::from_millis(seconds)).is_some();
        assert!(is_kept(5, 100_000) && is_kept(5, 159_999) && !is_kept(5, 160_000));
        assert!(is_kept(6, 100_999) && !is_kept(6, 101_000));
        (0..REMEMBERED).for_each(|_| put(&fixtures.id()));
        assert!(!is_kept(5, 100_000), "the one not asked for longest is forgotten first");
    }
}
