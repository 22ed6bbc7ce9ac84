//! Runs waiting units of work in one transaction: one commit, and one statement that locks the heads of all their developers.
//!
//! Whatever need not be waited for is sent ahead of the next statement, so that a unit costs little more than the round trips
//! of its own reads and compare-and-sets. Each unit of several has a savepoint of its own name: a unit that fails takes back
//! what it did and harms nobody, while a statement that was sent ahead and refused leaves the transaction aborted to its
//! end (there is no savepoint of a later name to go back to), which the last statement before the commit finds out.
//!
//! Developers who share a transaction hold each other up as little as can be: one whose head cannot be locked harms nobody else,
//! and behind units that take long the group ends early.

use std::future::{Future, poll_fn};
use std::pin::pin;
use std::task::Poll;
use std::time::Duration;

use diesel::QueryResult;
use diesel_async::SimpleAsyncConnection;
use futures_util::FutureExt;
use futures_util::future::join;
use grantex_core::error::chain;
use grantex_core::id::DeveloperId;
use tokio::time::{Instant, timeout};

use super::pool::PooledConn;
use super::put_off::{PutOff, Shapes};
use super::queries::ConnTx;
use super::{Conn, lock_heads, settle};
use crate::job::{Fate, Job, Outcome};

type Jobs = Vec<Box<dyn Job>>;

/// When a transaction has taken this long, no more units begin in it: it holds the heads of all their developers.
const LONG: Duration = Duration::from_millis(100);

/// Why a transaction cannot go on. Nothing of it was committed.
enum Broken {
    /// The server refused a statement and will answer the next one.
    Refused(String),
    /// There was no answer in time.
    Silent,
}

/// How a group ended.
pub(super) struct Ended {
    /// Whether the connection can be used again.
    pub is_sound: bool,
    /// Whether units were lost, or could not begin, on account of others.
    pub is_spoilt: bool,
    /// The last units, when they have not begun: they may be run in another group.
    pub unbegun: Jobs,
}

/// What became of the units before the commit.
struct Ran {
    /// Those that are to be told the fate of the transaction.
    kept: Jobs,
    unbegun: Jobs,
    broken: Option<Broken>,
}

/// Runs a group to its end and answers every unit of it. `developers` are those whose heads the units need.
pub(super) async fn run(pooled: &mut PooledConn, developers: &[DeveloperId], jobs: Jobs, stall: Duration) -> Ended {
    pooled.is_in_transaction = true;
    let mut tx = ConnTx::new(&mut pooled.conn);
    let prepared = &mut pooled.prepared;
    let count = jobs.len();
    post(tx.conn, "BEGIN");
    let mut is_spoilt = false;
    let Ran { kept, unbegun, broken } = match lock_first(&mut tx, developers, stall).await {
        Ok(()) => run_each(&mut tx, prepared, jobs, stall).await,
        Err(Broken::Refused(_)) if developers.len() > 1 => {
            is_spoilt = true;
            Ran {
                kept: Vec::new(),
                unbegun: jobs,
                broken: None,
            }
        }
        Err(broken) => Ran {
            kept: jobs,
            unbegun: Vec::new(),
            broken: Some(broken),
        },
    };
    let (fate, is_sound) = match broken {
        None if kept.is_empty() => (Fate::Unavailable("there was nothing to commit".to_owned()), true),
        None => commit(&mut tx, prepared, stall).await,
        Some(Broken::Refused(cause)) => (Fate::Unavailable(cause), true),
        Some(Broken::Silent) => (
            Fate::Unavailable("the database did not answer in time".to_owned()),
            false,
        ),
    };
    let is_committed = matches!(fate, Fate::Committed);
    if is_sound && !is_committed {
        post(tx.conn, "ROLLBACK");
    }
    is_spoilt |= !is_committed && !kept.is_empty() && count > 1;
    kept.into_iter().for_each(|job| job.finish(&fate));
    pooled.is_in_transaction = false;
    Ended {
        is_sound,
        is_spoilt,
        unbegun,
    }
}

/// Locks the developers' rows, before anything else: as every transaction that locks developers does so first, in the order
/// of their ids, no two of them can wait for each other in a circle, on whichever replica.
///
/// It is also why a unit may rely on what the condition of one of its statements saw in rows that it does not lock: that a grant is
/// in force, say, while its refresh token is used. Whatever revokes a grant, and whatever suspends or deletes an agent, is a
/// unit of the same developer. It has either committed before this lock was given, and then every statement from here on sees
/// it (each takes a new snapshot, READ COMMITTED), or it waits until this transaction has ended.
async fn lock_first(tx: &mut ConnTx<'_>, developers: &[DeveloperId], stall: Duration) -> Result<(), Broken> {
    if developers.is_empty() {
        return Ok(());
    }
    match timeout(stall, lock_heads(tx, developers)).await {
        Ok(Ok(())) => Ok(()),
        Ok(Err(error)) => Err(Broken::Refused(chain(&error))),
        Err(_) => Err(Broken::Silent),
    }
}

/// Runs units one after another.
async fn run_each(tx: &mut ConnTx<'_>, prepared: &mut Shapes, jobs: Jobs, stall: Duration) -> Ran {
    let is_alone = jobs.len() == 1;
    let mut kept = Vec::with_capacity(jobs.len());
    let mut waiting = jobs.into_iter();
    let mut number = 0;
    let started = Instant::now();
    let broken = loop {
        if number > 0 && started.elapsed() > LONG {
            break None;
        }
        let Some(mut job) = waiting.next() else { break None };
        if !job.begin() {
            job.refuse();
            continue;
        }
        number += 1;
        if !is_alone {
            if let Err(broken) = send_put_off(tx) {
                kept.push(job);
                break Some(broken);
            }
            post(tx.conn, &format!("SAVEPOINT unit{number}"));
        }
        tx.local.begin_unit();
        tx.statements = 0;
        let worked = timeout(stall, async {
            let outcome = job.run(tx).await;
            let shape = tx.local.put_off.as_ref().map_or(0, PutOff::shape);
            if outcome == Outcome::Undo || is_alone || *prepared & shape == shape {
                return outcome;
            }
            // To prepare takes a round trip of its own, so this cannot be sent ahead.
            match settle(tx).await {
                Ok(()) => {
                    *prepared |= shape;
                    Outcome::Keep
                }
                Err(_) => Outcome::Undo,
            }
        });
        let worked = worked.await;
        job.made(tx.statements);
        let Ok(outcome) = worked else {
            kept.push(job);
            break Some(Broken::Silent);
        };
        if outcome == Outcome::Keep && !tx.local.has_failed {
            kept.push(job);
            continue;
        }
        if !is_alone {
            post(tx.conn, &format!("ROLLBACK TO unit{number}"));
        }
        tx.local.undo_unit();
        job.finish(&Fate::Unavailable("the unit of work was rolled back".to_owned()));
    };
    Ran {
        kept,
        unbegun: waiting.collect(),
        broken,
    }
}

/// Sends what the unit before has put off, ahead of the next one's savepoint.
fn send_put_off(tx: &mut ConnTx<'_>) -> Result<(), Broken> {
    let Some(put_off) = tx.local.put_off.take() else {
        return Ok(());
    };
    tx.local.is_unsure = true;
    match put_off.execute(tx.conn).now_or_never() {
        None => Ok(()),
        // Nothing is answered at once, so this was not even sent, and the transaction does not know.
        Some(early) => Err(Broken::Refused(not_sent(early.map(drop)))),
    }
}

fn not_sent(early: QueryResult<()>) -> String {
    early
        .err()
        .map_or_else(|| "the ledger was not sent".to_owned(), |error| error.to_string())
}

/// Commits; what was put off travels in front of the commit. Also tells whether the connection is sound.
async fn commit(tx: &mut ConnTx<'_>, prepared: &mut Shapes, stall: Duration) -> (Fate, bool) {
    let put_off = tx.local.put_off.take();
    let conn: &Conn = tx.conn;
    let (mut asking, mut committing) = (conn, conn);
    match put_off {
        Some(put_off) if *prepared & put_off.shape() == 0 => {
            // To prepare takes a round trip of its own, which the commit must not overtake.
            let shape = put_off.shape();
            match timeout(stall, put_off.execute(conn)).await {
                Ok(Ok(_)) => {
                    *prepared |= shape;
                    commit_behind(None, committing.batch_execute("COMMIT"), stall).await
                }
                Ok(Err(error)) => (Fate::Unavailable(error.to_string()), true),
                Err(_) => (
                    Fate::Unavailable("the database did not answer in time".to_owned()),
                    false,
                ),
            }
        }
        Some(put_off) => {
            let last = put_off.execute(conn).map(|result| result.map(drop)).boxed();
            commit_behind(Some(last), committing.batch_execute("COMMIT"), stall).await
        }
        // An aborted transaction answers a commit as if all were well, and anything else with an error.
        None if tx.local.is_unsure => {
            let last = asking.batch_execute("SELECT 1").boxed();
            commit_behind(Some(last), committing.batch_execute("COMMIT"), stall).await
        }
        None => commit_behind(None, committing.batch_execute("COMMIT"), stall).await,
    }
}

type Last<'a> = futures_util::future::BoxFuture<'a, QueryResult<()>>;

/// Sends the last statement and the commit without waiting in between.
async fn commit_behind(
    last: Option<Last<'_>>,
    commit: impl Future<Output = QueryResult<()>>,
    stall: Duration,
) -> (Fate, bool) {
    let committed = async {
        let Some(last) = last else {
            return after_commit(commit.await);
        };
        let mut last = pin!(last);
        if let Poll::Ready(early) = poll_fn(|cx| Poll::Ready(last.as_mut().poll(cx))).await {
            return (Fate::Unavailable(not_sent(early)), true);
        }
        match join(last, commit).await {
            // The server answered both: after a refused statement it rolls back instead of committing.
            (Err(error), Ok(())) => (Fate::Unavailable(error.to_string()), true),
            (_, result) => after_commit(result),
        }
    };
    let late = || (Fate::Unknown("the commit was not answered in time".to_owned()), false);
    timeout(stall, committed).await.unwrap_or_else(|_| late())
}

fn after_commit(result: QueryResult<()>) -> (Fate, bool) {
    match result {
        Ok(()) => (Fate::Committed, true),
        Err(error) => (Fate::Unknown(error.to_string()), false),
    }
}

/// Sends a statement without waiting for its answer; the next one follows behind it. Only for statements that cannot fail
/// on their own: if the connection or the transaction is lost, the next statement tells.
fn post(conn: &Conn, sql: &str) {
    let mut shared = conn;
    let _ = shared.batch_execute(sql).now_or_never();
}
