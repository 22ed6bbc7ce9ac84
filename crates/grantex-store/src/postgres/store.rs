use std::collections::hash_map::Entry;
use std::collections::{HashMap, VecDeque};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use deadpool::managed::{Object, Pool, PoolError};
use diesel::ConnectionError;
use grantex_core::error::StoreError;
use grantex_core::id::DeveloperId;
use grantex_core::store::{BoxFuture, DeveloperReads, Reads, Store, UnitOptions, Writes};
use tokio::time::timeout;

use super::connection::Target;
use super::group;
use super::herald::{HeardHook, Herald};
use super::pool::{self, Connector};
use super::queries::ConnTx;
use super::runtime::Driver;
use crate::OpenError;
use crate::job::{self, Fate, Job};
use crate::options::{Health, Options, PoolStats, Stats};

/// Units in one transaction at most.
const GROUP: usize = 16;

type Queues = HashMap<DeveloperId, VecDeque<Box<dyn Job>>>;

/// A PostgreSQL server. Cheap to clone.
#[derive(Clone)]
pub struct PostgresStore(Arc<Inner>);

struct Inner {
    target: Target,
    pool: Pool<Connector>,
    driver: Driver,
    /// Units by the developer they wait for. A developer is in here as long as a task works for it.
    queues: Mutex<Queues>,
    waiting: AtomicUsize,
    health: Arc<Health>,
    options: Options,
}

impl PostgresStore {
    /// Opens a pool and its first connection. The tables are those that the last migration left.
    pub(crate) async fn open(url: &str, options: Options) -> Result<Self, OpenError> {
        let target = Target::parse(url, &options)?;
        let driver = Driver::start(options.driver_threads)?;
        let pool = pool::build(target.clone(), driver.clone(), &options)?;
        let inner = Inner {
            target,
            pool,
            driver,
            queues: Mutex::default(),
            waiting: AtomicUsize::new(0),
            health: Health::new("postgres", &options),
            options,
        };
        let first = inner.pool.get().await;
        drop(first.map_err(|error| OpenError::Connect(describe(&error).into()))?);
        Ok(Self(Arc::new(inner)))
    }

    pub(crate) fn herald(&self, on_heard: HeardHook) -> Herald {
        Herald::start(self.0.target.clone(), &self.0.driver, &self.0.options, on_heard)
    }

    pub(crate) fn stats(&self) -> Stats {
        let status = self.0.pool.status();
        let pool = PoolStats {
            pool: "postgres",
            max: status.max_size,
            open: status.size,
            in_use: status.size.saturating_sub(status.available),
            waiting: status.waiting,
        };
        Stats {
            pools: vec![pool],
            write_queue: AtomicUsize::load(&self.0.waiting, Ordering::Relaxed),
        }
    }
}

impl Store for PostgresStore {
    async fn read<T, E, F>(&self, work: F) -> Result<T, E>
    where
        T: Send + 'static,
        E: From<StoreError> + Send + 'static,
        F: for<'a> FnOnce(&'a mut dyn Reads) -> BoxFuture<'a, Result<T, E>> + Send + 'static,
    {
        let mut pooled = self.0.connection().await.map_err(StoreError::unavailable)?;
        let answer = {
            let mut tx = ConnTx::new(&mut pooled.conn);
            let answer = timeout(self.0.options.stall_timeout, work(&mut tx)).await;
            if answer.is_ok() && !tx.local.has_failed {
                self.0.health.answered();
            }
            answer
        };
        answer.unwrap_or_else(|_| {
            self.0.give_up(pooled);
            Err(StoreError::unavailable("the database did not answer in time").into())
        })
    }

    async fn transact<T, E, F>(&self, options: UnitOptions, work: F) -> Result<T, E>
    where
        T: Send + 'static,
        E: From<StoreError> + Send + 'static,
        F: for<'a> FnOnce(&'a mut dyn Writes) -> BoxFuture<'a, Result<T, E>> + Send + 'static,
    {
        let (job, result) = job::unit(options.admission, work);
        let inner = &self.0;
        if inner.waiting.fetch_add(1, Ordering::Relaxed) >= inner.options.queue_capacity {
            inner.waiting.fetch_sub(1, Ordering::Relaxed);
            return Err(StoreError::unavailable("too many units of work are waiting").into());
        }
        match options.developer {
            None => inner.driver.spawn(Arc::clone(inner).run_alone(job)),
            Some(developer) => {
                if inner.enqueue(&developer, job) {
                    inner.driver.spawn(Arc::clone(inner).lead(developer));
                }
            }
        }
        result.await.unwrap_or_else(|_| Err(job::unanswered()))
    }

    async fn ping(&self) -> Result<(), StoreError> {
        self.read(|tx| Box::pin(async move { DeveloperReads::has_no_developer(tx).await.map(drop) }))
            .await
    }
}

impl Inner {
    fn queues(&self) -> MutexGuard<'_, Queues> {
        self.queues.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Queues a unit; `true` when nobody works for this developer yet.
    fn enqueue(&self, developer: &DeveloperId, job: Box<dyn Job>) -> bool {
        match self.queues().entry(developer.clone()) {
            Entry::Occupied(mut queue) => {
                queue.get_mut().push_back(job);
                false
            }
            Entry::Vacant(queue) => {
                queue.insert(VecDeque::from([job]));
                true
            }
        }
    }

    /// The next units of a developer; `None`, and the developer has left, when there is none.
    fn next_group(&self, developer: &DeveloperId, limit: usize) -> Option<Vec<Box<dyn Job>>> {
        let mut queues = self.queues();
        let queue = queues.get_mut(developer)?;
        if queue.is_empty() {
            queues.remove(developer);
            return None;
        }
        let count = queue.len().min(limit);
        self.waiting.fetch_sub(count, Ordering::Relaxed);
        Some(queue.drain(..count).collect())
    }

    fn has_waiting(&self, developer: &DeveloperId) -> bool {
        let mut queues = self.queues();
        let is_empty = queues.get(developer).is_none_or(VecDeque::is_empty);
        if is_empty {
            queues.remove(developer);
        }
        !is_empty
    }

    /// Works for a developer until nothing waits for it. Units gather while a connection is waited for and while a group
    /// commits; the connection is given back in between, so that one developer cannot starve the others.
    async fn lead(self: Arc<Self>, developer: DeveloperId) {
        while self.has_waiting(&developer) {
            match self.connection().await {
                Ok(pooled) => {
                    let Some(jobs) = self.next_group(&developer, GROUP) else {
                        return;
                    };
                    self.run(pooled, Some(&developer), jobs).await;
                }
                Err(cause) => {
                    let fate = Fate::Unavailable(cause);
                    let jobs = self.next_group(&developer, usize::MAX).unwrap_or_default();
                    jobs.into_iter().for_each(|job| job.finish(&fate));
                }
            }
        }
    }

    async fn run_alone(self: Arc<Self>, job: Box<dyn Job>) {
        let connection = self.connection().await;
        self.waiting.fetch_sub(1, Ordering::Relaxed);
        match connection {
            Ok(pooled) => self.run(pooled, None, vec![job]).await,
            Err(cause) => job.finish(&Fate::Unavailable(cause)),
        }
    }

    async fn run(&self, mut pooled: Object<Connector>, developer: Option<&DeveloperId>, jobs: Vec<Box<dyn Job>>) {
        if group::run(&mut pooled, developer, jobs, self.options.stall_timeout).await {
            self.health.answered();
        } else {
            self.give_up(pooled);
        }
    }

    async fn connection(&self) -> Result<Object<Connector>, String> {
        self.pool.get().await.map_err(|error| {
            let cause = describe(&error);
            self.health.failed(&cause);
            cause
        })
    }

    /// Closes a connection of which nobody knows what it will answer next.
    fn give_up(&self, pooled: Object<Connector>) {
        self.health
            .failed("the connection was given up: the server did not answer");
        drop(Object::take(pooled));
    }
}

fn describe(error: &PoolError<ConnectionError>) -> String {
    match error {
        PoolError::Timeout(_) => "no connection was free in time".to_owned(),
        PoolError::Backend(error) => error.to_string(),
        other => other.to_string(),
    }
}
