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
    pub developers: Vec<DeveloperId>,
    pub jobs: Vec<Box<dyn Job>>,
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
                return Some(false);
            }
            Entry::Vacant(entry) => {
                let developer = entry.key().clone();
                entry.insert(VecDeque::from([job]));
                state.ready.push_back(developer);
            }
        }
        let is_wanted = state.leaders < leaders;
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
            developers: Vec::new(),
            jobs: Vec::new(),
        };
        while group.jobs.len() < GROUP && !(is_apart && group.developers.len() == 1) {
            let Some(developer) = state.ready.pop_front() else {
                break;
            };
            if let Some(queue) = state.waiting.get_mut(&developer) {
                let count = queue.len().min(GROUP - group.jobs.len());
                group.jobs.extend(queue.drain(..count));
            }
            group.developers.push(developer);
        }
        state.count -= group.jobs.len();
        if group.jobs.is_empty() {
            state.leaders -= 1;
            return None;
        }
        Some(group)
    }

    /// Nobody works for these developers any more. Those who have units again are ready.
    pub fn release(&self, developers: Vec<DeveloperId>, is_spoilt: bool) {
        let mut state = self.state();
        if is_spoilt {
            state.apart_until = Some(Instant::now() + APART);
        }
        for developer in developers {
            if state.waiting.get(&developer).is_some_and(VecDeque::is_empty) {
                state.waiting.remove(&developer);
            } else {
                state.ready.push_back(developer);
            }
        }
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "tests fail by panicking")]
mod tests {
    use grantex_core::context::Admission;
    use grantex_core::error::StoreError;

    use super::*;
    use crate::job;

    fn unit() -> Box<dyn Job> {
        let (job, _) = job::unit(Admission::default(), |_| Box::pin(async { Ok::<_, StoreError>(()) }));
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
        Some((group.developers, group.jobs.len()))
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
        queue.release(vec![developer('A'), developer('B')], false);
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
        let (both, _) = next(&queue).unwrap();
        queue.release(both, true);
        push(&queue, 'A', 2);
        push(&queue, 'B', 2);
        assert_eq!(next(&queue), Some((vec![developer('A')], 2)));
        queue.release(vec![developer('A')], false);
        assert_eq!(next(&queue), Some((vec![developer('B')], 2)));
        queue.release(vec![developer('B')], false);
        queue.state().apart_until = Some(Instant::now());
        push(&queue, 'A', 1);
        push(&queue, 'B', 1);
        assert_eq!(next(&queue), Some((vec![developer('A'), developer('B')], 2)));
    }
}
