//! Units of work that wait, by developer, and which of them are committed together.
//!
//! Units of one developer must follow each other, because each builds on the head that the one before left. Units of
//! several developers need not, but together they cost one commit: with 32 developers an exchange takes a quarter less
//! processor time than with a transaction each.

use std::collections::hash_map::Entry;
use std::collections::{HashMap, VecDeque};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use grantex_core::id::DeveloperId;
use tokio::time::Instant;

use crate::job::Job;

/// Units in one transaction at most.
const GROUP: usize = 16;
/// After a transaction was refused as a whole, developers stay apart for this long: whoever spoils transactions then
/// spoils only his own.
const APART: Duration = Duration::from_secs(10);

/// Units that are committed together.
pub(super) struct Group {
    /// Whose units they are.
    pub shares: Vec<Share>,
    pub jobs: Vec<Box<dyn Job>>,
}

/// How many units of a group are one developer's; those of the first share come first.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Share {
    pub developer: DeveloperId,
    pub count: usize,
}

/// The waiting units.
pub(super) struct Queue(Mutex<State>);

struct State {
    /// Units by the developer they wait for. A developer is in here while it has any, or is being worked for.
    waiting: HashMap<DeveloperId, VecDeque<Box<dyn Job>>>,
    /// Developers who have units and for whom nobody works, longest first.
    ready: VecDeque<DeveloperId>,
    count: usize,
    leaders: usize,
    apart_until: Option<Instant>,
}

impl Queue {
    pub fn new() -> Self {
        Self(Mutex::new(State {
            waiting: HashMap::new(),
            ready: VecDeque::new(),
            count: 0,
            leaders: 0,
            apart_until: None,
        }))
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Units that wait.
    pub fn len(&self) -> usize {
        self.state().count
    }

    /// Queues a unit, unless `capacity` are waiting; `true` when a new leader is wanted, of whom there are `leaders` at most.
    pub fn push(&self, developer: DeveloperId, job: Box<dyn Job>, capacity: usize, leaders: usize) -> Option<bool> {
        let mut state = self.state();
        if state.count >= capacity {
            return None;
        }
        state.count += 1;
        match state.waiting.entry(developer) {
            Entry::Occupied(mut queue) => {
                queue.get_mut().push_back(job);
                // Somebody works for this developer or will, unless the last leader has crashed.
                if state.leaders > 0 {
                    return Some(false);
                }
            }
            Entry::Vacant(entry) => {
                let developer = entry.key().clone();
                entry.insert(VecDeque::from([job]));
                state.ready.push_back(developer);
            }
        }
        let is_wanted = state.leaders < leaders.max(1);
        if is_wanted {
            state.leaders += 1;
        }
        Some(is_wanted)
    }

    /// The next units to be committed together; `None`, and the leader has left, when there are none.
    pub fn next_group(&self) -> Option<Group> {
        let mut state = self.state();
        let is_apart = state.apart_until.is_some_and(|until| Instant::now() < until);
        let mut group = Group {
            shares: Vec::new(),
            jobs: Vec::new(),
        };
        while group.jobs.len() < GROUP && !(is_apart && group.shares.len() == 1) {
            let Some(developer) = state.ready.pop_front() else {
                break;
            };
            let mut count = 0;
            if let Some(queue) = state.waiting.get_mut(&developer) {
                count = queue.len().min(GROUP - group.jobs.len());
                group.jobs.extend(queue.drain(..count));
            }
            group.shares.push(Share { developer, count });
        }
        state.count -= group.jobs.len();
        if group.jobs.is_empty() {
            state.leaders -= 1;
            return None;
        }
        Some(group)
    }

    /// Nobody works for these developers any more. Those who have units again are ready. `unbegun` are the last units of the
    /// group, which wait again, in front of what came after them.
    pub fn release(&self, shares: Vec<Share>, mut unbegun: Vec<Box<dyn Job>>, is_spoilt: bool) {
        let mut state = self.state();
        if is_spoilt {
            state.apart_until = Some(Instant::now() + APART);
        }
        for Share { developer, count } in shares.iter().rev() {
            let begun = unbegun.len().saturating_sub(*count);
            let again = unbegun.split_off(begun);
            state.count += again.len();
            let queue = state.waiting.entry(developer.clone()).or_default();
            again.into_iter().rev().for_each(|job| queue.push_front(job));
        }
        for Share { developer, .. } in shares {
            if state.waiting.get(&developer).is_some_and(VecDeque::is_empty) {
                state.waiting.remove(&developer);
            } else {
                state.ready.push_back(developer);
            }
        }
    }

    /// A leader has left without having been told to.
    pub fn leave(&self) {
        let mut state = self.state();
        state.leaders = state.leaders.saturating_sub(1);
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "tests fail by panicking")]
mod tests {
    use grantex_core::context::Admission;
    use grantex_core::error::StoreError;

    use super::*;
    use crate::job;

    fn unit() -> Box<dyn Job> {
        let (job, _) = job::unit(Admission::default(), None, |_| {
            Box::pin(async { Ok::<_, StoreError>(()) })
        });
        job
    }

    fn developer(letter: char) -> DeveloperId {
        DeveloperId::parse(&format!("dev_01ARZ3NDEKTSV4RRFFQ69G5FA{letter}")).unwrap()
    }

    fn push(queue: &Queue, letter: char, count: usize) {
        for _ in 0..count {
            queue.push(developer(letter), unit(), 100, 4).unwrap();
        }
    }

    fn next(queue: &Queue) -> Option<(Vec<DeveloperId>, usize)> {
        let group = queue.next_group()?;
        let developers = group.shares.into_iter().map(|share| share.developer);
        Some((developers.collect(), group.jobs.len()))
    }

    fn release(queue: &Queue, letters: &[char], is_spoilt: bool) {
        let shares = letters.iter().map(|letter| Share {
            developer: developer(*letter),
            count: 0,
        });
        queue.release(shares.collect(), Vec::new(), is_spoilt);
    }

    #[tokio::test]
    async fn several_developers_share_a_group_and_each_is_in_one_at_a_time() {
        let queue = Queue::new();
        push(&queue, 'A', 10);
        push(&queue, 'B', 10);
        push(&queue, 'C', 1);
        assert_eq!(next(&queue), Some((vec![developer('A'), developer('B')], GROUP)));
        push(&queue, 'A', 1);
        assert_eq!(next(&queue), Some((vec![developer('C')], 1)));
        assert_eq!(next(&queue), None, "A and B are being worked for");
        release(&queue, &['A', 'B'], false);
        assert_eq!(next(&queue), Some((vec![developer('A'), developer('B')], 5)));
        assert_eq!(queue.len(), 0);
    }

    #[tokio::test]
    async fn leaders_are_wanted_while_there_are_too_few() {
        let queue = Queue::new();
        assert_eq!(queue.push(developer('A'), unit(), 100, 2), Some(true));
        assert_eq!(
            queue.push(developer('A'), unit(), 100, 2),
            Some(false),
            "one works for A already"
        );
        assert_eq!(queue.push(developer('B'), unit(), 100, 2), Some(true));
        assert_eq!(queue.push(developer('C'), unit(), 100, 2), Some(false));
        assert_eq!(next(&queue).unwrap().1, 4);
        assert_eq!(next(&queue), None, "a leader has left");
        assert_eq!(queue.push(developer('D'), unit(), 100, 2), Some(true));
        assert_eq!(queue.push(developer('E'), unit(), 1, 2), None, "the queue is full");
    }

    #[tokio::test]
    async fn developers_stay_apart_for_a_while_after_a_group_was_spoilt() {
        let queue = Queue::new();
        push(&queue, 'A', 1);
        push(&queue, 'B', 1);
        assert_eq!(next(&queue).unwrap().1, 2);
        release(&queue, &['A', 'B'], true);
        push(&queue, 'A', 2);
        push(&queue, 'B', 2);
        assert_eq!(next(&queue), Some((vec![developer('A')], 2)));
        release(&queue, &['A'], false);
        assert_eq!(next(&queue), Some((vec![developer('B')], 2)));
        release(&queue, &['B'], false);
        queue.state().apart_until = Some(Instant::now());
        push(&queue, 'A', 1);
        push(&queue, 'B', 1);
        assert_eq!(next(&queue), Some((vec![developer('A'), developer('B')], 2)));
    }

    #[tokio::test]
    async fn units_that_have_not_begun_wait_again_in_front() {
        let queue = Queue::new();
        push(&queue, 'A', 3);
        push(&queue, 'B', 2);
        let Group { shares, mut jobs } = queue.next_group().unwrap();
        push(&queue, 'B', 1);
        // One of A has run.
        let unbegun = jobs.split_off(1);
        let order: Vec<_> = unbegun.iter().map(|job| std::ptr::from_ref(&**job).addr()).collect();
        queue.release(shares, unbegun, false);
        assert_eq!(queue.len(), 5);
        let again = queue.next_group().unwrap();
        let counts: Vec<_> = again.shares.iter().map(|share| share.count).collect();
        assert_eq!(counts, [2, 3]);
        let again: Vec<_> = again.jobs.iter().map(|job| std::ptr::from_ref(&**job).addr()).collect();
        assert_eq!(again[..4], order);
    }

    #[tokio::test]
    async fn another_leader_is_wanted_after_the_last_has_crashed() {
        let queue = Queue::new();
        assert_eq!(queue.push(developer('A'), unit(), 100, 1), Some(true));
        let group = queue.next_group().unwrap();
        assert_eq!(queue.push(developer('A'), unit(), 100, 1), Some(false));
        queue.release(group.shares, Vec::new(), false);
        queue.leave();
        assert_eq!(queue.push(developer('A'), unit(), 100, 1), Some(true));
        assert_eq!(next(&queue), Some((vec![developer('A')], 2)));
    }
}
