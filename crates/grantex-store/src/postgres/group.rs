//! Runs units of work that wait for the same developer in one transaction, with a savepoint around each and one commit.

use std::future::{Future, poll_fn};
use std::pin::pin;
use std::task::Poll;
use std::time::Duration;

use diesel::QueryResult;
use diesel_async::{RunQueryDsl, SimpleAsyncConnection};
use futures_util::FutureExt;
use futures_util::future::join;
use grantex_core::error::chain;
use grantex_core::id::DeveloperId;
use tokio::time::timeout;

use super::pool::PooledConn;
use super::queries::ConnTx;
use super::{Conn, lock_head, settle};
use crate::job::{Fate, Job, Outcome};

type Jobs = Vec<Box<dyn Job>>;

/// Why a transaction cannot go on. Nothing of it was committed.
enum Broken {
    /// The server refused a statement and will answer the next one.
    Refused(String),
    /// There was no answer in time.
    Silent,
}

/// Runs a group to its end, answers every unit of it, and tells whether the connection can be used again.
pub(super) async fn run(pooled: &mut PooledConn, developer: Option<&DeveloperId>, jobs: Jobs, stall: Duration) -> bool {
    let mut tx = ConnTx::new(&mut pooled.conn);
    post(tx.conn, "BEGIN");
    let (kept, broken) = match lock_first(&mut tx, developer, stall).await {
        Ok(()) => run_each(&mut tx, jobs, stall).await,
        Err(broken) => (jobs, Some(broken)),
    };
    let (fate, is_sound) = match broken {
        None if kept.is_empty() => (Fate::Unavailable("there was nothing to commit".to_owned()), true),
        None => commit(&mut tx, &mut pooled.prepared, stall).await,
        Some(Broken::Refused(cause)) => (Fate::Unavailable(cause), true),
        Some(Broken::Silent) => (
            Fate::Unavailable("the database did not answer in time".to_owned()),
            false,
        ),
    };
    if is_sound && !matches!(fate, Fate::Committed) {
        post(tx.conn, "ROLLBACK");
    }
    kept.into_iter().for_each(|job| job.finish(&fate));
    is_sound
}

/// Locks the developer's row, before anything else: as every transaction that locks developers does so first, in the order
/// of their ids, no two of them can wait for each other in a circle, on whichever replica.
///
/// It is also why a unit may rely on what the condition of one of its statements saw in rows that it does not lock: that a grant is
/// in force, say, while its refresh token is used. Whatever revokes a grant, and whatever suspends or deletes an agent, is a
/// unit of the same developer. It has either committed before this lock was given, and then every statement from here on sees
/// it (each takes a new snapshot, READ COMMITTED), or it waits until this transaction has ended.
async fn lock_first(tx: &mut ConnTx<'_>, developer: Option<&DeveloperId>, stall: Duration) -> Result<(), Broken> {
    let Some(developer) = developer else { return Ok(()) };
    match timeout(stall, lock_head(tx, developer)).await {
        Ok(Ok(_)) => Ok(()),
        Ok(Err(error)) => Err(Broken::Refused(chain(&error))),
        Err(_) => Err(Broken::Silent),
    }
}

/// Runs units one after another. Returns those that are to be told the fate of the transaction.
async fn run_each(tx: &mut ConnTx<'_>, jobs: Jobs, stall: Duration) -> (Jobs, Option<Broken>) {
    let is_alone = jobs.len() == 1;
    let mut kept = Vec::with_capacity(jobs.len());
    let mut waiting = jobs.into_iter();
    while let Some(mut job) = waiting.next() {
        if !job.begin() {
            job.refuse();
            continue;
        }
        if !is_alone {
            post(tx.conn, "SAVEPOINT unit");
        }
        let head = tx.local.held.clone();
        let Ok(mut outcome) = timeout(stall, job.run(tx)).await else {
            kept.push(job);
            kept.extend(waiting);
            return (kept, Some(Broken::Silent));
        };
        // Alone, the ledger may travel with the commit. In a group its failure must be known before the next unit begins.
        if outcome == Outcome::Keep && !is_alone {
            match timeout(stall, settle(tx)).await {
                Ok(Ok(())) => {}
                Ok(Err(_)) => outcome = Outcome::Undo,
                Err(_) => {
                    kept.push(job);
                    kept.extend(waiting);
                    return (kept, Some(Broken::Silent));
                }
            }
        }
        if outcome == Outcome::Keep && !tx.local.has_failed {
            if !is_alone {
                post(tx.conn, "RELEASE unit");
            }
            kept.push(job);
            continue;
        }
        if !is_alone {
            post(tx.conn, "ROLLBACK TO unit; RELEASE unit");
        }
        tx.local.put_off = None;
        tx.local.held = head;
        tx.local.has_failed = false;
        job.finish(&Fate::Unavailable("the unit of work was rolled back".to_owned()));
    }
    (kept, None)
}

/// Commits; a ledger that was put off travels in front of the commit. Also tells whether the connection is sound.
async fn commit(tx: &mut ConnTx<'_>, prepared: &mut u32, stall: Duration) -> (Fate, bool) {
    let insert = tx.local.put_off.take();
    let conn: &Conn = tx.conn;
    let (mut writing, mut committing) = (conn, conn);
    let Some(insert) = insert else {
        return match timeout(stall, committing.batch_execute("COMMIT")).await {
            Ok(result) => after_commit(result),
            Err(_) => (Fate::Unknown("the commit was not answered in time".to_owned()), false),
        };
    };
    let shape = insert.shape();
    let is_prepared = *prepared & shape != 0;
    let write = pin!(insert.execute(&mut writing));
    if !is_prepared {
        // To prepare takes a round trip of its own, which the commit must not overtake.
        return match timeout(stall, write).await {
            Ok(Ok(_)) => {
                *prepared |= shape;
                match timeout(stall, committing.batch_execute("COMMIT")).await {
                    Ok(result) => after_commit(result),
                    Err(_) => (Fate::Unknown("the commit was not answered in time".to_owned()), false),
                }
            }
            Ok(Err(error)) => (Fate::Unavailable(error.to_string()), true),
            Err(_) => (
                Fate::Unavailable("the database did not answer in time".to_owned()),
                false,
            ),
        };
    }
    let mut write = write;
    if let Poll::Ready(early) = poll_fn(|cx| Poll::Ready(write.as_mut().poll(cx))).await {
        // Not even sent.
        let cause = early
            .err()
            .map_or_else(|| "the ledger was not sent".to_owned(), |error| error.to_string());
        return (Fate::Unavailable(cause), true);
    }
    match timeout(stall, join(write, committing.batch_execute("COMMIT"))).await {
        // The server answered both: a refused ledger makes it roll back instead of committing.
        Ok((Err(error), Ok(()))) => (Fate::Unavailable(error.to_string()), true),
        Ok((_, result)) => after_commit(result),
        Err(_) => (Fate::Unknown("the commit was not answered in time".to_owned()), false),
    }
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
