//! Which hosts' connections are kept for the next request.

use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

/// The hosts whose connections may be idle in the pool at this moment. The pool bounds idle connections to one host; bounding the
/// hosts bounds them in all.
pub(crate) struct KeptHosts {
    called: Mutex<HashMap<String, Duration>>,
    limit: usize,
    lasting: Duration,
}

impl KeptHosts {
    /// Room for `limit` hosts, none of which has a connection for longer than `lasting` after a request to it began.
    pub fn new(limit: usize, lasting: Duration) -> Self {
        Self {
            called: Mutex::default(),
            limit,
            lasting,
        }
    }

    /// Whether a request that begins now may leave an idle connection to this host behind. Costs a look at every host when all
    /// places are taken, else constant time.
    pub fn admits(&self, host: &str, now: Duration) -> bool {
        let mut called = self.called.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(at) = called.get_mut(host) {
            *at = now;
            return true;
        }
        if called.len() >= self.limit {
            called.retain(|_, at| now.saturating_sub(*at) <= self.lasting);
        }
        let has_room = called.len() < self.limit;
        if has_room {
            called.insert(host.to_owned(), now);
        }
        has_room
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const LASTING: Duration = Duration::from_secs(14);

    fn at(seconds: u64) -> Duration {
        Duration::from_secs(seconds)
    }

    #[test]
    fn hosts_beyond_the_limit_are_not_kept_until_others_have_expired() {
        let kept = KeptHosts::new(2, LASTING);
        assert!(kept.admits("a", at(0)));
        assert!(kept.admits("b", at(1)));
        assert!(!kept.admits("c", at(14)));
        // Calling a host again renews its place.
        assert!(kept.admits("a", at(14)));
        assert!(!kept.admits("c", at(15)));
        assert!(kept.admits("c", at(16)));
        assert!(!kept.admits("b", at(16)));
        assert_eq!(kept.called.lock().unwrap().len(), 2);
    }

    #[test]
    fn without_room_nothing_is_kept() {
        let kept = KeptHosts::new(0, LASTING);
        assert!(!kept.admits("a", at(0)));
        assert!(kept.called.lock().unwrap().is_empty());
    }
}
