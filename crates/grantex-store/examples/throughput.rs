//! Prints how many units of work and reads a store does a second, below HTTP and without signing.
//!
//! ```text
//! cargo run --release -p grantex-store --example throughput -- <url> [callers] [developers] [operations] [grants before]
//! ```
//!
//! The database must be empty; with `sqlite` for a URL it is a temporary file. Run it for 1 and for 32 developers.
#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::print_stdout,
    clippy::disallowed_methods,
    clippy::cast_precision_loss,
    reason = "a measuring tool: it prints, times, and stops at the first surprise"
)]

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use grantex_core::agent::Agent;
use grantex_core::audit::{AuditRecord, AuditStatus, Chain, chain};
use grantex_core::authorize::{AuthRequest, AuthRequestState};
use grantex_core::clock::{Lifetime, Timestamp};
use grantex_core::context::Admission;
use grantex_core::developer::Developer;
use grantex_core::error::StoreError;
use grantex_core::grant::Grant;
use grantex_core::id::{EventId, GrantId, TokenId, new_id, new_ulid};
use grantex_core::secret::SecretHash;
use grantex_core::store::{BoxFuture, EventRow, Ledger, LedgerWrites, Store, UnitOptions, Writes};
use grantex_core::testing::SeededRandom;
use grantex_core::testing::fixtures::Fixtures;
use grantex_core::token::{RefreshUse, Replay, Token};
use grantex_store::{AnyStore, Options, migrate};

/// What an operation needs, made before the clock starts.
struct Prepared {
    request: AuthRequest,
    code_hash: SecretHash,
    grant: Grant,
    token: Token,
    successor: Token,
}

struct Bench {
    store: AnyStore,
    fixtures: Fixtures,
    random: SeededRandom,
    tenants: Vec<(Developer, Agent, SecretHash)>,
    prepared: Vec<Prepared>,
}

fn main() {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let number = |index: usize, default: usize| arguments.get(index).map_or(default, |text| text.parse().unwrap());
    let (callers, developers) = (number(1, 32), number(2, 32));
    let (operations, before) = (number(3, 20_000), number(4, 0));
    let url = arguments.first().cloned().unwrap_or_else(|| "sqlite".to_owned());
    let file = std::env::temp_dir().join(format!("grantex-throughput-{}.db", std::process::id()));
    let url = if url == "sqlite" {
        format!("sqlite:{}", file.display())
    } else {
        url
    };
    migrate::run(&url).unwrap();
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .enable_all()
        .build()
        .unwrap();
    runtime.block_on(async {
        let store = grantex_store::open(&url, Options::default()).await.unwrap();
        println!("{callers} callers, {developers} developers, {operations} operations, {before} grants before");
        let bench = Arc::new(Bench::prepare(store, developers, operations, before).await);
        bench.run("authorize", callers, Bench::authorize).await;
        bench.run("exchange", callers, Bench::exchange).await;
        bench.run("refresh", callers, Bench::refresh).await;
        bench.run("audit write", callers, Bench::audit).await;
        bench.run("read: key", callers, Bench::read_key).await;
        bench.run("read: token", callers, Bench::read_token).await;
    });
    for suffix in ["", "-wal", "-shm"] {
        let _ = std::fs::remove_file(format!("{}{suffix}", file.display()));
    }
}

fn options(developer: Option<&Developer>) -> UnitOptions {
    UnitOptions {
        developer: developer.map(|developer| developer.id.clone()),
        admission: Admission::default(),
    }
}

async fn commit<F>(store: &AnyStore, options: UnitOptions, work: F)
where
    F: for<'a> FnOnce(&'a mut dyn Writes) -> BoxFuture<'a, Result<(), StoreError>> + Send + 'static,
{
    store.transact(options, work).await.unwrap();
}

impl Bench {
    async fn prepare(store: AnyStore, developers: usize, operations: usize, before: usize) -> Self {
        let fixtures = Fixtures::new(u64::from(std::process::id()));
        let mut tenants = Vec::new();
        for _ in 0..developers {
            let (developer, hash) = (fixtures.developer(), fixtures.hash());
            let agent = fixtures.agent(&developer);
            tenants.push((developer.clone(), agent.clone(), hash.clone()));
            commit(&store, options(None), move |tx| {
                Box::pin(async move {
                    tx.insert_developer(&developer, &hash).await?;
                    tx.insert_agent(&agent).await
                })
            })
            .await;
        }
        let prepared = (0..operations)
            .map(|index| prepare_one(&fixtures, &tenants[index % developers].1, index))
            .collect();
        let random = SeededRandom::new(u64::from(std::process::id()) + 1);
        let bench = Self {
            store,
            fixtures,
            random,
            tenants,
            prepared,
        };
        let mut left = before;
        while left > 0 {
            let count = left.min(2_000);
            bench.insert_grants(&bench.tenants[left % developers], count).await;
            left -= count;
        }
        bench
    }

    async fn insert_grants(&self, (developer, agent, _): &(Developer, Agent, SecretHash), count: usize) {
        let grants: Vec<Grant> = (0..count)
            .map(|index| Grant {
                principal_id: format!("before-{index}"),
                ..self.fixtures.grant(agent)
            })
            .collect();
        let tokens: Vec<Token> = grants.iter().map(|grant| self.fixtures.token(grant)).collect();
        let id = developer.id.clone();
        commit(&self.store, options(Some(developer)), move |tx| {
            Box::pin(async move {
                let mut head = tx.lock_head(&id).await?.unwrap();
                head.active_grants += i64::try_from(grants.len()).unwrap();
                let (audit, events) = (Vec::new(), Vec::new());
                tx.write_ledger(&Ledger {
                    developer_id: id,
                    head,
                    grants,
                    tokens,
                    audit,
                    events,
                    deliveries: Vec::new(),
                })
                .await
            })
        })
        .await;
    }

    async fn run<F, O>(self: &Arc<Self>, name: &str, callers: usize, operation: F)
    where
        F: Fn(Arc<Self>, usize) -> O + Copy + Send + Sync + 'static,
        O: Future<Output = ()> + Send,
    {
        let next = Arc::new(AtomicUsize::new(0));
        let (started, cpu) = (Instant::now(), cpu_micros());
        let tasks: Vec<_> = (0..callers)
            .map(|_| {
                let (bench, next) = (Arc::clone(self), Arc::clone(&next));
                tokio::spawn(async move {
                    let mut times = Vec::new();
                    loop {
                        let index = AtomicUsize::fetch_add(&next, 1, Ordering::Relaxed);
                        if index >= bench.prepared.len() {
                            return times;
                        }
                        let begun = Instant::now();
                        operation(Arc::clone(&bench), index).await;
                        times.push(begun.elapsed());
                    }
                })
            })
            .collect();
        let mut times: Vec<Duration> = Vec::new();
        for task in tasks {
            times.extend(task.await.unwrap());
        }
        let rate = times.len() as f64 / started.elapsed().as_secs_f64();
        times.sort_unstable();
        let at = |percent: usize| times[(times.len() - 1) * percent / 100].as_secs_f64() * 1e3;
        let cpu = (cpu_micros() - cpu) / times.len() as f64;
        let (p50, p99, max) = (at(50), at(99), at(100));
        println!("{name:12} {rate:9.0}/s  cpu {cpu:5.0} µs  p50 {p50:.2} ms  p99 {p99:.2} ms  max {max:.2} ms");
    }

    fn tenant(&self, index: usize) -> &(Developer, Agent, SecretHash) {
        &self.tenants[index % self.tenants.len()]
    }

    async fn authorize(self: Arc<Self>, index: usize) {
        let request = self.prepared[index].request.clone();
        commit(&self.store, options(None), move |tx| {
            Box::pin(async move { tx.insert_auth_request(&request).await })
        })
        .await;
    }

    async fn exchange(self: Arc<Self>, index: usize) {
        let developer = self.tenant(index).0.clone();
        let options = options(Some(&developer));
        let bench = Arc::clone(&self);
        commit(&self.store, options, move |tx| {
            Box::pin(async move {
                let Prepared {
                    request,
                    code_hash,
                    grant,
                    token,
                    ..
                } = &bench.prepared[index];
                assert!(
                    tx.consume_auth_request(&request.id, code_hash, bench.fixtures.now(), &grant.id)
                        .await?
                );
                bench
                    .record(
                        tx,
                        &developer,
                        vec![grant.clone()],
                        vec![token.clone()],
                        2,
                        Chain::Server,
                    )
                    .await
            })
        })
        .await;
    }

    async fn refresh(self: Arc<Self>, index: usize) {
        let developer = self.tenant(index).0.clone();
        let options = options(Some(&developer));
        let bench = Arc::clone(&self);
        commit(&self.store, options, move |tx| {
            Box::pin(async move {
                let Prepared {
                    code_hash,
                    token,
                    successor,
                    ..
                } = &bench.prepared[index];
                let replay = Replay {
                    key_hash: code_hash.clone(),
                    sealed: Some("x".repeat(1_500)),
                };
                let used = RefreshUse {
                    at: bench.fixtures.now(),
                    successor: successor.id.clone(),
                    replay: Some(replay),
                };
                assert!(tx.use_refresh_token(&token.id, &used).await?);
                bench
                    .record(tx, &developer, Vec::new(), vec![successor.clone()], 1, Chain::Server)
                    .await
            })
        })
        .await;
    }

    async fn audit(self: Arc<Self>, index: usize) {
        let developer = self.tenant(index).0.clone();
        let options = options(Some(&developer));
        let bench = Arc::clone(&self);
        commit(&self.store, options, move |tx| {
            Box::pin(async move {
                bench
                    .record(tx, &developer, Vec::new(), Vec::new(), 1, Chain::Caller)
                    .await
            })
        })
        .await;
    }

    async fn record<'a>(
        &'a self,
        tx: &'a mut dyn Writes,
        developer: &'a Developer,
        grants: Vec<Grant>,
        tokens: Vec<Token>,
        entries: usize,
        kind: Chain,
    ) -> Result<(), StoreError> {
        let now = self.fixtures.now();
        let mut head = LedgerWrites::lock_head(tx, &developer.id).await?.unwrap();
        head.active_grants += i64::try_from(grants.len()).unwrap();
        let subject = tokens
            .first()
            .map_or_else(|| self.random_grant(now), |token| token.grant_id.clone());
        let (mut audit, mut events) = (Vec::new(), Vec::new());
        for _ in 0..entries {
            let record = audit_record(&self.tenants[0].1, &subject);
            let make = |at| new_ulid(&self.random, at);
            audit.push(chain::append(
                head.chain_mut(kind),
                developer.id.clone(),
                kind,
                record,
                now,
                make,
            ));
            if kind == Chain::Server {
                head.event_seq += 1;
                events.push(EventRow {
                    developer_id: developer.id.clone(),
                    seq: head.event_seq,
                    id: new_id::<EventId>(&self.random, now),
                    kind: "token.issued",
                    payload: format!("{{\"grantId\":\"{subject}\",\"padding\":\"{}\"}}", "x".repeat(250)),
                    created_at: now,
                });
            }
        }
        let developer_id = developer.id.clone();
        tx.write_ledger(&Ledger {
            developer_id,
            head,
            grants,
            tokens,
            audit,
            events,
            deliveries: Vec::new(),
        })
        .await
    }

    fn random_grant(&self, now: Timestamp) -> GrantId {
        new_id(&self.random, now)
    }

    async fn read_key(self: Arc<Self>, index: usize) {
        let hash = self.tenant(index).2.clone();
        let found: Result<_, StoreError> = self
            .store
            .read(move |tx| Box::pin(async move { tx.developer_by_key(&hash).await }))
            .await;
        assert!(found.unwrap().is_some());
    }

    async fn read_token(self: Arc<Self>, index: usize) {
        let id: TokenId = self.prepared[index].token.id.clone();
        let found: Result<_, StoreError> = self
            .store
            .read(move |tx| Box::pin(async move { tx.token(&id).await }))
            .await;
        assert!(found.unwrap().is_some());
    }
}

fn prepare_one(fixtures: &Fixtures, agent: &Agent, index: usize) -> Prepared {
    let code_hash = fixtures.hash();
    let code_expires_at = fixtures.now().plus(Lifetime::days(30));
    let status = AuthRequestState::Approved {
        code_hash: code_hash.clone(),
        code_expires_at,
    };
    let principal_id = format!("user-{index}");
    let request = AuthRequest {
        status,
        principal_id: principal_id.clone(),
        ..fixtures.auth_request(agent)
    };
    let grant = Grant {
        principal_id,
        ..fixtures.grant(agent)
    };
    let (token, successor) = (fixtures.token(&grant), fixtures.token(&grant));
    Prepared {
        request,
        code_hash,
        grant,
        token,
        successor,
    }
}

fn audit_record(agent: &Agent, grant: &GrantId) -> AuditRecord {
    AuditRecord {
        agent_id: agent.id.to_string(),
        agent_did: agent.id.did(),
        grant_id: grant.to_string(),
        principal_id: "user-1".to_owned(),
        action: "grantex.token.issued".to_owned(),
        metadata: "{\"scopes\":[\"read\",\"write\"]}".to_owned(),
        status: AuditStatus::Success,
    }
}

/// Processor time that this process has used: unlike the rate, it does not depend on who else is using the machine. It is
/// 0 where there is no `/proc`; PostgreSQL's own share is not in it.
fn cpu_micros() -> f64 {
    let stat = std::fs::read_to_string("/proc/self/stat").unwrap_or_default();
    let ticks = stat
        .rsplit_once(')')
        .map(|(_, rest)| rest.split_whitespace().skip(11).take(2));
    ticks.map_or(0.0, |ticks| {
        ticks.filter_map(|text| text.parse::<f64>().ok()).sum::<f64>() * 10_000.0
    })
}
