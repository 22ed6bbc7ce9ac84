//! What clients report of their refusals, within bounds: a client that repeats itself must not decide what is measured.

use std::sync::{Mutex, PoisonError};

use grantex_core::id::DeveloperId;
use lru::LruCache;

/// Reports of one entry that count, in this process.
pub(crate) const PER_ENTRY: u32 = 100;
/// Entries whose reports are counted at a time; the one not reported for longest is forgotten first.
const REMEMBERED: usize = 10_000;

/// How often entries were reported.
pub(crate) struct Refusals(Mutex<LruCache<(DeveloperId, i64), u32>>);

impl Default for Refusals {
    fn default() -> Self {
        // Unbounded, as far as the cache knows: a bounded one reserves all its memory at once.
        Self(Mutex::new(LruCache::unbounded()))
    }
}

impl Refusals {
    /// Counts a report; `false` when there were enough.
    pub(crate) fn count(&self, developer: &DeveloperId, seq: i64) -> bool {
        let mut counts = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let count = counts.get_or_insert_mut((developer.clone(), seq), || 0);
        let is_counted = *count < PER_ENTRY;
        *count += u32::from(is_counted);
        if counts.len() > REMEMBERED {
            counts.pop_lru();
        }
        is_counted
    }
}

#[cfg(test)]
mod tests {
    use grantex_core::testing::fixtures::Fixtures;

    use super::*;

    #[test]
    fn an_entry_is_reported_so_often_and_no_more() {
        let refusals = Refusals::default();
        let fixtures = Fixtures::new(1);
        let (one, two) = (fixtures.id::<DeveloperId>(), fixtures.id::<DeveloperId>());
        assert!((0..PER_ENTRY).all(|_| refusals.count(&one, 1)));
        assert!(!refusals.count(&one, 1));
        assert!(refusals.count(&one, 2) && refusals.count(&two, 1));
        assert!((10..).take(REMEMBERED + 5).all(|seq| refusals.count(&two, seq)));
        assert!(refusals.0.lock().is_ok_and(|counts| counts.len() <= REMEMBERED));
    }
}
