//! Policies that were read and indexed, kept as long as the developer's policy version says that they are in force.
//!
//! Of many requests that miss the same policies one reads them; the others wait for it.

use std::collections::HashMap;
use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, Waker};

use super::in_force::InForce;
use crate::id::DeveloperId;

/// Policies in memory, by developer.
pub(crate) struct PolicyCache {
    /// The weight up to which policies are kept.
    capacity: u64,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    kept: HashMap<DeveloperId, Kept>,
    weight: u64,
    /// Counts looks, so that the one that was looked at longest ago is known.
    looks: u64,
    reading: HashMap<DeveloperId, Arc<Reading>>,
}

struct Kept {
    version: i64,
    policies: Arc<InForce>,
    weight: u64,
    looked_at: u64,
}

/// Somebody reads a developer's policies; others wait.
#[derive(Default)]
struct Reading(Mutex<Waiting>);

#[derive(Default)]
struct Waiting {
    has_ended: bool,
    wakers: Vec<Waker>,
}

/// What is to be done about policies that are not there.
pub(crate) enum Miss<'c> {
    /// They are to be read by whoever got this; dropping it wakes the others.
    Read(Turn<'c>),
    /// Somebody reads them; ends when they have, or failed.
    Wait(Wait),
}

/// The right to read a developer's policies.
pub(crate) struct Turn<'c> {
    cache: &'c PolicyCache,
    developer: DeveloperId,
}

/// Ends with somebody else's reading.
pub(crate) struct Wait(Arc<Reading>);

impl PolicyCache {
    pub fn new(capacity: u64) -> Self {
        Self {
            capacity,
            state: Mutex::default(),
        }
    }

    /// A developer's policies, if they are there and at least as new as `version`.
    pub fn get(&self, developer: &DeveloperId, version: i64) -> Option<Arc<InForce>> {
        let mut state = self.state();
        state.looks += 1;
        let looks = state.looks;
        let kept = state.kept.get_mut(developer).filter(|kept| kept.version >= version)?;
        kept.looked_at = looks;
        Some(Arc::clone(&kept.policies))
    }

    /// Takes the turn to read a developer's policies, or waits for whoever has it.
    pub fn miss(&self, developer: &DeveloperId) -> Miss<'_> {
        let mut state = self.state();
        if let Some(reading) = state.reading.get(developer) {
            return Miss::Wait(Wait(Arc::clone(reading)));
        }
        state.reading.insert(developer.clone(), Arc::default());
        Miss::Read(Turn {
            cache: self,
            developer: developer.clone(),
        })
    }

    /// Keeps policies unless newer ones are there, and lets go of those that nobody asked for longest.
    pub fn keep(&self, developer: &DeveloperId, version: i64, policies: &Arc<InForce>) {
        let mut state = self.state();
        if state.kept.get(developer).is_some_and(|kept| kept.version >= version) {
            return;
        }
        state.looks += 1;
        let kept = Kept {
            version,
            policies: Arc::clone(policies),
            weight: policies.weight(),
            looked_at: state.looks,
        };
        state.weight += kept.weight;
        if let Some(old) = state.kept.insert(developer.clone(), kept) {
            state.weight -= old.weight;
        }
        // The newest stays even when it is too heavy alone: how heavy one developer can be is bounded elsewhere.
        while state.weight > self.capacity && state.kept.len() > 1 {
            let oldest = state.kept.iter().min_by_key(|(_, kept)| kept.looked_at);
            let Some(id) = oldest.map(|(id, _)| id.clone()) else {
                break;
            };
            if let Some(gone) = state.kept.remove(&id) {
                state.weight -= gone.weight;
            }
        }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Turn<'_> {
    fn drop(&mut self) {
        let Some(reading) = self.cache.state().reading.remove(&self.developer) else {
            return;
        };
        let wakers = {
            let mut waiting = reading.lock();
            waiting.has_ended = true;
            std::mem::take(&mut waiting.wakers)
        };
        wakers.into_iter().for_each(Waker::wake);
    }
}

impl Reading {
    fn lock(&self) -> MutexGuard<'_, Waiting> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Future for Wait {
    type Output = ();

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
        let mut waiting = self.0.lock();
        if waiting.has_ended {
            return Poll::Ready(());
        }
        if !waiting.wakers.iter().any(|waker| waker.will_wake(cx.waker())) {
            waiting.wakers.push(cx.waker().clone());
        }
        Poll::Pending
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::fixtures::Fixtures;
    use crate::testing::poll_once;

    fn policies(fixtures: &Fixtures, count: usize) -> Arc<InForce> {
        let developer = fixtures.developer();
        let policies = (0..count).map(|_| fixtures.policy(&developer)).collect();
        Arc::new(InForce::of(policies))
    }

    #[test]
    fn older_policies_are_not_in_force_and_newer_ones_are() {
        let fixtures = Fixtures::new(1);
        let (cache, developer) = (PolicyCache::new(1 << 20), fixtures.id::<DeveloperId>());
        assert!(cache.get(&developer, 0).is_none());
        let second = policies(&fixtures, 2);
        cache.keep(&developer, 2, &second);
        let found = |version| cache.get(&developer, version);
        assert!(found(1).is_some() && found(2).is_some() && found(3).is_none());
        cache.keep(&developer, 1, &policies(&fixtures, 1));
        assert!(
            Arc::ptr_eq(&found(1).unwrap(), &second),
            "a slow reader does not bring back the past"
        );
        cache.keep(&developer, 3, &policies(&fixtures, 3));
        assert!(found(3).is_some());
    }

    #[test]
    fn what_nobody_asks_for_goes_first() {
        let fixtures = Fixtures::new(2);
        let weight = policies(&fixtures, 10).weight();
        let cache = PolicyCache::new(3 * weight + policies(&fixtures, 0).weight());
        let developers: Vec<DeveloperId> = (0..4).map(|_| fixtures.id()).collect();
        for developer in &developers[..3] {
            cache.keep(developer, 1, &policies(&fixtures, 10));
        }
        assert!(cache.get(&developers[0], 1).is_some());
        cache.keep(&developers[3], 1, &policies(&fixtures, 10));
        let kept = |number: usize| cache.get(&developers[number], 1).is_some();
        assert_eq!([kept(0), kept(1), kept(2), kept(3)], [true, false, true, true]);
        // One that is replaced by a lighter one makes room.
        cache.keep(&developers[3], 2, &policies(&fixtures, 0));
        cache.keep(&developers[1], 1, &policies(&fixtures, 10));
        assert!(kept(0) && kept(1) && kept(2));
        cache.keep(&developers[3], 3, &policies(&fixtures, 100));
        assert_eq!(
            [kept(0), kept(1), kept(2), kept(3)],
            [false, false, false, true],
            "the heaviest alone"
        );
    }

    #[test]
    fn one_reads_and_the_others_wait_until_it_ends() {
        let fixtures = Fixtures::new(3);
        let (cache, developer) = (PolicyCache::new(1 << 20), fixtures.id::<DeveloperId>());
        let Miss::Read(turn) = cache.miss(&developer) else {
            panic!("nobody reads");
        };
        let Miss::Wait(mut wait) = cache.miss(&developer) else {
            panic!("somebody reads");
        };
        assert!(
            matches!(cache.miss(&fixtures.id()), Miss::Read(_)),
            "other developers do not wait"
        );
        assert!(poll_once(&mut wait).is_none());
        drop(turn);
        assert!(poll_once(&mut wait).is_some());
        assert!(matches!(cache.miss(&developer), Miss::Read(_)), "the next may try");
    }
}
