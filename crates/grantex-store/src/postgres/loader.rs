//! Point reads that most calls begin with. Callers who ask while a query is under way are gathered and answered by the next
//! one: with 32 callers a verification costs a third of the processor time of one query each.
//!
//! A query is sent only after everybody it answers has asked, so each of them sees all that was committed before.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use diesel::QueryResult;
use grantex_core::error::{StoreError, chain};
use tokio::sync::oneshot;
use tokio::time::{Instant, timeout};

use super::Conn;
use super::pool::Connections;

/// Keys in one query at most.
const BATCH: usize = 256;
/// A query that is under way for longer does not hold up those who ask after it: they get another one.
const LATE: Duration = Duration::from_millis(20);
/// After this time without an answer a caller looks whether it is behind such a query.
const PATIENCE: Duration = Duration::from_millis(25);
/// Queries of one kind under way at most.
const FLIGHTS: usize = 3;

/// What can be looked up by a key, many at a time.
pub(super) trait Lookup: Send + Sync + 'static {
    /// What there is at most one of for a key.
    type Row: Clone + Send + 'static;

    /// The rows that there are, each with its key.
    fn load(conn: &mut Conn, keys: &[String]) -> impl Future<Output = QueryResult<Vec<(String, Self::Row)>>> + Send;
}

type Answer<L> = Result<Option<<L as Lookup>::Row>, String>;
type Asked<L> = HashMap<String, Vec<oneshot::Sender<Answer<L>>>>;

/// Gathers callers and answers them.
pub(super) struct Loader<L: Lookup> {
    connections: Arc<Connections>,
    queue: Mutex<Queue<L>>,
}

struct Queue<L: Lookup> {
    asked: Asked<L>,
    callers: usize,
    flights: usize,
    /// When the latest flight took its keys.
    departed: Instant,
}

impl<L: Lookup> Queue<L> {
    /// Counts another flight, if one is due.
    fn starts_flight(&mut self) -> bool {
        let is_due = self.flights == 0 || (self.flights < FLIGHTS && self.departed.elapsed() > LATE);
        if is_due {
            self.flights += 1;
            self.departed = Instant::now();
        }
        is_due
    }
}

impl<L: Lookup> Loader<L> {
    pub fn new(connections: &Arc<Connections>) -> Arc<Self> {
        Arc::new(Self {
            connections: Arc::clone(connections),
            queue: Mutex::new(Queue {
                asked: HashMap::new(),
                callers: 0,
                flights: 0,
                departed: Instant::now(),
            }),
        })
    }

    /// The row of a key.
    pub async fn get(self: &Arc<Self>, key: String) -> Result<Option<L::Row>, StoreError> {
        let (sender, mut answer) = oneshot::channel();
        if self.ask(key, sender)? {
            self.fly();
        }
        let answered = match timeout(PATIENCE, &mut answer).await {
            Ok(answered) => answered,
            Err(_) => {
                // Perhaps left behind by a query that is late, and nobody has asked since.
                if self.is_overdue() {
                    self.fly();
                }
                answer.await
            }
        };
        match answered {
            Ok(answer) => answer.map_err(StoreError::unavailable),
            Err(_) => Err(StoreError::unavailable("the query was given up")),
        }
    }

    fn fly(self: &Arc<Self>) {
        let flight = Flight {
            loader: Arc::clone(self),
            has_landed: false,
        };
        self.connections.driver.spawn(flight.run());
    }

    /// Queues a caller; `true` when somebody must fly.
    fn ask(&self, key: String, sender: oneshot::Sender<Answer<L>>) -> Result<bool, StoreError> {
        let mut queue = self.queue();
        if queue.callers >= self.connections.options.queue_capacity {
            return Err(StoreError::unavailable("too many reads are waiting"));
        }
        queue.callers += 1;
        queue.asked.entry(key).or_default().push(sender);
        Ok(queue.starts_flight())
    }

    /// Whether somebody must fly for those who wait.
    fn is_overdue(&self) -> bool {
        let mut queue = self.queue();
        !queue.asked.is_empty() && queue.starts_flight()
    }

    fn queue(&self) -> MutexGuard<'_, Queue<L>> {
        self.queue.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Answers callers until nobody waits.
struct Flight<L: Lookup> {
    loader: Arc<Loader<L>>,
    has_landed: bool,
}

impl<L: Lookup> Flight<L> {
    async fn run(mut self) {
        let connections = Arc::clone(&self.loader.connections);
        loop {
            // Whoever asks while a connection is waited for is taken along.
            let connection = connections.get().await;
            let Some(asked) = self.board() else { return };
            match connection {
                Err(cause) => answer_all::<L>(asked, &Err(cause)),
                Ok(mut pooled) => {
                    let keys: Vec<String> = asked.keys().cloned().collect();
                    let limit = connections.options.stall_timeout;
                    match timeout(limit, L::load(&mut pooled.conn, &keys)).await {
                        Ok(Ok(rows)) => {
                            drop(pooled);
                            connections.health.answered();
                            answer::<L>(asked, rows);
                        }
                        Ok(Err(error)) => answer_all::<L>(asked, &Err(chain(&error))),
                        Err(_) => {
                            connections.give_up(pooled);
                            answer_all::<L>(asked, &Err("the database did not answer in time".to_owned()));
                        }
                    }
                }
            }
        }
    }

    /// Takes those who wait; `None` when nobody does, and then the flight is over.
    fn board(&mut self) -> Option<Asked<L>> {
        let mut queue = self.loader.queue();
        // Whoever gave up meanwhile is not asked for.
        queue.asked.retain(|_, senders| {
            senders.retain(|sender| !sender.is_closed());
            !senders.is_empty()
        });
        let asked: Asked<L> = if queue.asked.len() <= BATCH {
            std::mem::take(&mut queue.asked)
        } else {
            let keys: Vec<String> = queue.asked.keys().take(BATCH).cloned().collect();
            keys.into_iter()
                .filter_map(|key| queue.asked.remove_entry(&key))
                .collect()
        };
        queue.callers = queue.asked.values().map(Vec::len).sum();
        if asked.is_empty() {
            // Under the same lock, so that whoever asks next finds that nobody flies.
            queue.flights -= 1;
            self.has_landed = true;
            return None;
        }
        queue.departed = Instant::now();
        Some(asked)
    }
}

impl<L: Lookup> Drop for Flight<L> {
    fn drop(&mut self) {
        // Only a flight that crashed has not landed.
        if !self.has_landed {
            self.loader.queue().flights -= 1;
        }
    }
}

fn answer<L: Lookup>(mut asked: Asked<L>, rows: Vec<(String, L::Row)>) {
    for (key, row) in rows {
        for sender in asked.remove(&key).unwrap_or_default() {
            let _ = sender.send(Ok(Some(row.clone())));
        }
    }
    answer_all::<L>(asked, &Ok(None));
}

fn answer_all<L: Lookup>(asked: Asked<L>, answer: &Answer<L>) {
    for sender in asked.into_values().flatten() {
        let _ = sender.send(answer.clone());
    }
}
