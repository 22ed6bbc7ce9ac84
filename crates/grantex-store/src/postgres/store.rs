use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use diesel::dsl::sql;
use diesel::sql_types::BigInt;
use grantex_core::agent::Agent;
use grantex_core::authorize::AuthRequest;
use grantex_core::clock::Timestamp;
use grantex_core::developer::Developer;
use grantex_core::error::StoreError;
use grantex_core::id::{AgentId, DeveloperId, TokenId};
use grantex_core::secret::SecretHash;
use grantex_core::store::{BoxFuture, DeveloperReads, Reads, Store, UnitOptions, Writes};
use grantex_core::token::TokenRecord;
use grantex_core::trace::{Recording, StoreCall};
use tokio::time::timeout;

use super::connection::Target;
use super::group::{self, Ended};
use super::herald::{HeardHook, Herald};
use super::loader::Loader;
use super::lookups::{AgentById, DeveloperByKey, RequestByCode, TokenById, TokenByRefresh};
use super::pool::Connections;
use super::queries::ConnTx;
use super::queue::{Group, Queue, Share};
use crate::OpenError;
use crate::job::{self, Fate, Job};
use crate::options::{Options, Stats};
use crate::rows::record;

/// A PostgreSQL server. Cheap to clone.
#[derive(Clone)]
pub struct PostgresStore {
    inner: Arc<Inner>,
    /// What is asked of the store for one call is told to it.
    recording: Option<Recording>,
}

struct Inner {
    target: Target,
    connections: Arc<Connections>,
    /// Units that wait for a developer's head.
    queue: Queue,
    /// Units that wait for a connection only.
    unqueued: AtomicUsize,
    developer_by_key: Arc<Loader<DeveloperByKey>>,
    agent_by_id: Arc<Loader<AgentById>>,
    request_by_code: Arc<Loader<RequestByCode>>,
    token_by_id: Arc<Loader<TokenById>>,
    token_by_refresh: Arc<Loader<TokenByRefresh>>,
}

impl PostgresStore {
    /// Opens a pool and its first connection. The tables are those that the last migration left.
    pub(crate) async fn open(url: &str, options: Options) -> Result<Self, OpenError> {
        let target = Target::parse(url, &options)?;
        let connections = Arc::new(Connections::open(target.clone(), options).await?);
        Ok(Self {
            recording: None,
            inner: Arc::new(Inner {
                queue: Queue::new(),
                unqueued: AtomicUsize::new(0),
                developer_by_key: Loader::new(&connections),
                agent_by_id: Loader::new(&connections),
                request_by_code: Loader::new(&connections),
                token_by_id: Loader::new(&connections),
                token_by_refresh: Loader::new(&connections),
                target,
                connections,
            }),
        })
    }

    pub(crate) fn herald(&self, on_heard: HeardHook) -> Herald {
        let connections = &self.inner.connections;
        Herald::start(
            self.inner.target.clone(),
            &connections.driver,
            &connections.options,
            on_heard,
        )
    }

    pub(crate) fn stats(&self) -> Stats {
        Stats {
            pools: vec![self.inner.connections.stats()],
            write_queue: self.inner.queue.len() + AtomicUsize::load(&self.inner.unqueued, Ordering::Relaxed),
        }
    }

    /// Begins to wait for a row that is read together with others.
    fn lookup(&self) -> Option<StoreCall> {
        let mut call = self.call("grantex.store.lookup");
        if let Some(call) = &mut call {
            call.made(1);
        }
        call
    }

    fn call(&self, name: &'static str) -> Option<StoreCall> {
        self.recording.as_ref().map(|recording| recording.store_call(name))
    }

    /// What the database's clock says.
    pub(crate) async fn clock(&self) -> Result<Timestamp, StoreError> {
        let connections = &self.inner.connections;
        let mut pooled = connections.get().await.map_err(StoreError::unavailable)?;
        let query = diesel::select(sql::<BigInt>(
            "CAST(EXTRACT(EPOCH FROM clock_timestamp()) * 1000 AS BIGINT)",
        ));
        let answer = diesel_async::RunQueryDsl::get_result::<i64>(query, &mut pooled.conn);
        match timeout(connections.options.stall_timeout, answer).await {
            Ok(answer) => answer.map(Timestamp::from_millis).map_err(StoreError::unavailable),
            Err(_) => {
                connections.give_up(pooled);
                Err(StoreError::unavailable("the database did not answer in time"))
            }
        }
    }
}

impl Store for PostgresStore {
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
        let mut call = self.call("grantex.store.read");
        let connections = &self.inner.connections;
        let mut pooled = connections.get().await.map_err(StoreError::unavailable)?;
        let answer = {
            let mut tx = ConnTx::new(&mut pooled.conn);
            let answer = timeout(connections.options.stall_timeout, work(&mut tx)).await;
            if let Some(call) = &mut call {
                call.made(tx.statements);
            }
            if answer.is_ok() && !tx.local.has_failed {
                connections.health.answered();
            }
            answer
        };
        answer.unwrap_or_else(|_| {
            connections.give_up(pooled);
            Err(StoreError::unavailable("the database did not answer in time").into())
        })
    }

    async fn transact<T, E, F>(&self, options: UnitOptions, work: F) -> Result<T, E>
    where
        T: Send + 'static,
        E: From<StoreError> + Send + 'static,
        F: for<'a> FnOnce(&'a mut dyn Writes) -> BoxFuture<'a, Result<T, E>> + Send + 'static,
    {
        let _call = self.call("grantex.store.unit");
        let (job, result) = job::unit(options.admission, self.recording.clone(), work);
        if !self.inner.enqueue(options.developer, job) {
            return Err(StoreError::unavailable("too many units of work are waiting").into());
        }
        result.await.unwrap_or_else(|_| Err(job::unanswered()))
    }

    async fn developer_by_key(&self, key_hash: SecretHash) -> Result<Option<Developer>, StoreError> {
        let _call = self.lookup();
        let row = self.inner.developer_by_key.get(key_hash.as_str().to_owned()).await?;
        row.map(Developer::try_from).transpose()
    }

    async fn agent(&self, developer: DeveloperId, id: AgentId) -> Result<Option<Agent>, StoreError> {
        let _call = self.lookup();
        let row = self.inner.agent_by_id.get(id.as_str().to_owned()).await?;
        let agent = row.map(Agent::try_from).transpose()?;
        Ok(agent.filter(|agent| agent.developer_id == developer))
    }

    async fn request_of_code(&self, code_hash: SecretHash) -> Result<Option<(AuthRequest, Option<Agent>)>, StoreError> {
        let _call = self.lookup();
        let Some((request, agent)) = self.inner.request_by_code.get(code_hash.as_str().to_owned()).await? else {
            return Ok(None);
        };
        Ok(Some((request.try_into()?, agent.map(Agent::try_from).transpose()?)))
    }

    async fn token(&self, id: TokenId) -> Result<Option<TokenRecord>, StoreError> {
        let _call = self.lookup();
        let row = self.inner.token_by_id.get(id.as_str().to_owned()).await?;
        row.map(record).transpose()
    }

    async fn token_by_refresh(&self, refresh_hash: SecretHash) -> Result<Option<TokenRecord>, StoreError> {
        let _call = self.lookup();
        let row = self
            .inner
            .token_by_refresh
            .get(refresh_hash.as_str().to_owned())
            .await?;
        row.map(record).transpose()
    }

    async fn ping(&self) -> Result<(), StoreError> {
        self.read(|tx| Box::pin(async move { DeveloperReads::has_no_developer(tx).await.map(drop) }))
            .await
    }
}

impl Inner {
    /// Queues a unit; `false` when too many are waiting.
    fn enqueue(self: &Arc<Self>, developer: Option<DeveloperId>, job: Box<dyn Job>) -> bool {
        let Connections { driver, options, .. } = &*self.connections;
        let Some(developer) = developer else {
            if self.unqueued.fetch_add(1, Ordering::Relaxed) >= options.queue_capacity {
                self.unqueued.fetch_sub(1, Ordering::Relaxed);
                return false;
            }
            driver.spawn(Arc::clone(self).run_alone(job));
            return true;
        };
        // Half of the connections are left to those who read.
        let leaders = options.pool_size.div_ceil(2).max(1);
        let Some(is_leader_wanted) = self.queue.push(developer, job, options.queue_capacity, leaders) else {
            return false;
        };
        if is_leader_wanted {
            let leader = Leader {
                store: Arc::clone(self),
                shares: Vec::new(),
                has_left: false,
            };
            driver.spawn(leader.lead());
        }
        true
    }

    async fn run_alone(self: Arc<Self>, job: Box<dyn Job>) {
        let connection = self.connections.get().await;
        self.unqueued.fetch_sub(1, Ordering::Relaxed);
        match connection {
            Ok(mut pooled) => {
                let ended = group::run(&mut pooled, &[], vec![job], self.connections.options.stall_timeout).await;
                self.put_back(pooled, &ended);
            }
            Err(cause) => job.finish(&Fate::Unavailable(cause)),
        }
    }

    fn put_back(&self, pooled: super::pool::Pooled, ended: &Ended) {
        if ended.is_sound {
            self.connections.health.answered();
        } else {
            self.connections.give_up(pooled);
        }
    }
}

/// Works for developers whose units wait.
struct Leader {
    store: Arc<Inner>,
    /// For whom it works just now.
    shares: Vec<Share>,
    has_left: bool,
}

impl Leader {
    /// Works until no unit waits. Units gather while a connection is waited for and while a group commits; the connection is
    /// given back in between, so that reads have their turn.
    async fn lead(mut self) {
        let store = Arc::clone(&self.store);
        loop {
            let connection = store.connections.get().await;
            let Some(Group { shares, jobs }) = store.queue.next_group() else {
                self.has_left = true;
                return;
            };
            self.shares = shares;
            let (mut unbegun, mut is_spoilt) = (Vec::new(), false);
            match connection {
                Ok(mut pooled) => {
                    let developers: Vec<_> = self.shares.iter().map(|share| share.developer.clone()).collect();
                    let stall = store.connections.options.stall_timeout;
                    let mut ended = group::run(&mut pooled, &developers, jobs, stall).await;
                    (unbegun, is_spoilt) = (std::mem::take(&mut ended.unbegun), ended.is_spoilt);
                    store.put_back(pooled, &ended);
                }
                Err(cause) => {
                    let fate = Fate::Unavailable(cause);
                    jobs.into_iter().for_each(|job| job.finish(&fate));
                }
            }
            store
                .queue
                .release(std::mem::take(&mut self.shares), unbegun, is_spoilt);
        }
    }
}

impl Drop for Leader {
    fn drop(&mut self) {
        // Only a leader that crashed has not left; those for whom it worked must not wait for ever.
        if !self.has_left {
            self.store
                .queue
                .release(std::mem::take(&mut self.shares), Vec::new(), false);
            self.store.queue.leave();
        }
    }
}
