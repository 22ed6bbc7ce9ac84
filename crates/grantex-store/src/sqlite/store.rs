use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use diesel::r2d2::{Pool, PooledConnection};
use futures_util::FutureExt;
use grantex_core::error::StoreError;
use grantex_core::store::{BoxFuture, DeveloperReads, Reads, Store, UnitOptions, Writes};
use grantex_core::trace::{Recording, StoreCall};
use tokio::sync::{Semaphore, mpsc};

use super::checkpoint::Checkpoints;
use super::connection::{Inline, Readers, Role, establish};
use super::queries::ConnTx;
use super::{Conn, writer};
use crate::OpenError;
use crate::job::{self, Job};
use crate::options::{Health, Options, PoolStats, Stats};

/// A read that takes longer must not be repeated on a thread that serves others.
const SLOW: Duration = Duration::from_millis(20);
/// How long reads go to the blocking pool after a slow one.
const WARY: Duration = Duration::from_millis(500);

/// The embedded store: one file, durable. Cheap to clone. Wants a tokio runtime around it.
#[derive(Clone)]
pub struct SqliteStore {
    inner: Arc<Inner>,
    /// What is asked of the store for one call is told to it.
    recording: Option<Recording>,
}

struct Inner {
    readers: Pool<Readers>,
    reader_turns: Semaphore,
    wary: Wary,
    writes: mpsc::Sender<Box<dyn Job>>,
    reading: Arc<Health>,
    options: Options,
}

impl SqliteStore {
    /// Opens the database file, which is made if there is none. The tables are those that the last migration left.
    pub(crate) fn open(path: &Path, options: Options) -> Result<Self, OpenError> {
        let connect = |error: diesel::ConnectionError| OpenError::Connect(error.into());
        let writer = establish(path, Role::Writer, options.lock_timeout).map_err(connect)?;
        let manager = Readers {
            path: PathBuf::from(path),
            lock_timeout: options.lock_timeout,
        };
        let reading = Health::new("read", &options);
        let readers = Pool::builder()
            .max_size(options.readers.max(1))
            .min_idle(Some(1))
            .test_on_check_out(false)
            .max_lifetime(None)
            .idle_timeout(None)
            .connection_timeout(options.acquire_timeout)
            .error_handler(Box::new(Complain(Arc::clone(&reading))))
            .build(manager)
            .map_err(|error| OpenError::Connect(error.into()))?;
        let (writes, queue) = mpsc::channel(options.queue_capacity.max(1));
        let copier = establish(path, Role::Copier, options.lock_timeout).map_err(connect)?;
        let checkpoints = Checkpoints::start(copier).map_err(OpenError::Thread)?;
        let writer = Conn::with_runtime(writer, Inline);
        writer::start(writer, queue, checkpoints, Health::new("write", &options)).map_err(OpenError::Thread)?;
        let reader_turns = Semaphore::new(usize::try_from(readers.max_size()).unwrap_or(1));
        Ok(Self {
            recording: None,
            inner: Arc::new(Inner {
                readers,
                reader_turns,
                wary: Wary::new(),
                writes,
                reading,
                options,
            }),
        })
    }

    pub(crate) fn stats(&self) -> Stats {
        let (readers, writes) = (self.inner.readers.state(), &self.inner.writes);
        let max = usize::try_from(self.inner.readers.max_size()).unwrap_or(usize::MAX);
        let open = usize::try_from(readers.connections).unwrap_or(usize::MAX);
        let idle = usize::try_from(readers.idle_connections).unwrap_or(usize::MAX);
        let write_queue = writes.max_capacity() - writes.capacity();
        let reading = PoolStats {
            pool: "read",
            max,
            open,
            in_use: open.saturating_sub(idle),
            waiting: max.saturating_sub(self.inner.reader_turns.available_permits()),
        };
        let in_use = usize::from(write_queue > 0);
        let writing = PoolStats {
            pool: "write",
            max: 1,
            open: 1,
            in_use,
            waiting: write_queue,
        };
        Stats {
            pools: vec![reading, writing],
            write_queue,
        }
    }

    fn call(&self, name: &'static str) -> Option<StoreCall> {
        self.recording.as_ref().map(|recording| recording.store_call(name))
    }
}

impl Store for SqliteStore {
    fn recorded(&self, recording: &Recording) -> Self {
        Self {
            inner: Arc::clone(&self.inner),
            recording: Some(recording.clone()),
        }
    }

    async fn read<T, E, F>(&self, work: F) -> Result<T, E>
    where
        T: Send + 'static,
        E: From<StoreError> + Send + 'static,
        F: for<'a> FnOnce(&'a mut dyn Reads) -> BoxFuture<'a, Result<T, E>> + Send + 'static,
    {
        // A point read is cheaper than the hop to a blocking thread, so it runs here, unless reads are slow just now or it
        // would have to wait for a connection.
        let mut call = self.call("grantex.store.read");
        let inner = &self.inner;
        if !inner.wary.is_set()
            && let Some(conn) = inner.readers.try_get()
        {
            let started = timer();
            let result = run(conn, &inner.reading, call.as_mut(), work);
            if started.elapsed() > SLOW {
                inner.wary.set();
            }
            return result;
        }
        let turn = tokio::time::timeout(inner.options.acquire_timeout, inner.reader_turns.acquire()).await;
        let Ok(Ok(_turn)) = turn else {
            return Err(StoreError::unavailable("no connection was free in time").into());
        };
        let (readers, reading) = (inner.readers.clone(), Arc::clone(&inner.reading));
        let read = tokio::task::spawn_blocking(move || {
            let conn = readers.get().map_err(StoreError::unavailable)?;
            run(conn, &reading, call.as_mut(), work)
        });
        match read.await {
            Ok(result) => result,
            Err(error) if error.is_panic() => std::panic::resume_unwind(error.into_panic()),
            Err(error) => Err(StoreError::unavailable(error).into()),
        }
    }

    async fn transact<T, E, F>(&self, options: UnitOptions, work: F) -> Result<T, E>
    where
        T: Send + 'static,
        E: From<StoreError> + Send + 'static,
        F: for<'a> FnOnce(&'a mut dyn Writes) -> BoxFuture<'a, Result<T, E>> + Send + 'static,
    {
        let _call = self.call("grantex.store.unit");
        let (job, result) = job::unit(options.admission, self.recording.clone(), work);
        match self.inner.writes.try_send(job) {
            Ok(()) => result.await.unwrap_or_else(|_| Err(job::unanswered())),
            Err(_) => Err(StoreError::unavailable("too many units of work are waiting").into()),
        }
    }

    async fn ping(&self) -> Result<(), StoreError> {
        self.read(|tx| Box::pin(async move { DeveloperReads::has_no_developer(tx).await.map(drop) }))
            .await
    }
}

/// Polls a read to its end, which is at once.
fn run<T, E, F>(
    mut conn: PooledConnection<Readers>,
    reading: &Health,
    call: Option<&mut StoreCall>,
    work: F,
) -> Result<T, E>
where
    E: From<StoreError>,
    F: for<'a> FnOnce(&'a mut dyn Reads) -> BoxFuture<'a, Result<T, E>>,
{
    let mut tx = ConnTx::new(&mut conn);
    let polled = work(&mut tx).now_or_never();
    if let Some(call) = call {
        call.made(tx.statements);
    }
    if !tx.local.has_failed {
        reading.answered();
    }
    polled.unwrap_or_else(|| Err(StoreError::unavailable("a read awaits nothing but the store").into()))
}

/// Remembers for a while that reads are slow.
struct Wary {
    started: Instant,
    until_millis: AtomicU64,
}

impl Wary {
    fn new() -> Self {
        Self {
            started: timer(),
            until_millis: AtomicU64::new(0),
        }
    }

    fn is_set(&self) -> bool {
        // The clock is asked only after there has been a slow read.
        let until = AtomicU64::load(&self.until_millis, Ordering::Relaxed);
        until > 0 && self.millis() < until
    }

    fn set(&self) {
        let wary = u64::try_from(WARY.as_millis()).unwrap_or(u64::MAX);
        self.until_millis
            .store(self.millis().saturating_add(wary), Ordering::Relaxed);
    }

    fn millis(&self) -> u64 {
        u64::try_from(self.started.elapsed().as_millis()).unwrap_or(u64::MAX)
    }
}

#[expect(
    clippy::disallowed_methods,
    reason = "measures how long a read blocks a thread; no decision of the domain hangs on it"
)]
fn timer() -> Instant {
    Instant::now()
}

/// Tells of readers that could not be opened.
#[derive(Debug)]
struct Complain(Arc<Health>);

impl diesel::r2d2::HandleError<diesel::r2d2::Error> for Complain {
    fn handle_error(&self, error: diesel::r2d2::Error) {
        self.0.failed(&error.to_string());
    }
}
