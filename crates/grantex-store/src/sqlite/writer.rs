//! The one writer: takes the units that are waiting, runs each behind a savepoint, commits once, and answers them all.

use std::io;
use std::sync::Arc;
use std::thread;

use diesel::QueryResult;
use diesel::connection::Connection;
use diesel::query_builder::{AstPass, QueryFragment, QueryId};
use diesel::result::Error;
use diesel::sqlite::Sqlite;
use diesel_async::SimpleAsyncConnection;
use futures_util::FutureExt;
use tokio::sync::mpsc;

use super::Conn;
use super::checkpoint::Checkpoints;
use super::queries::ConnTx;
use crate::job::{Fate, Job, Outcome};
use crate::options::Health;

/// Units in one commit at most.
const GROUP: usize = 64;

/// Starts the writer's thread. It ends when the queue is closed and empty.
pub(super) fn start(
    conn: Conn,
    queue: mpsc::Receiver<Box<dyn Job>>,
    checkpoints: Checkpoints,
    health: Arc<Health>,
) -> io::Result<thread::JoinHandle<()>> {
    let writer = Writer {
        conn,
        checkpoints,
        health,
    };
    thread::Builder::new()
        .name("grantex-writer".to_owned())
        .spawn(move || writer.run(queue))
}

/// Statements that surround every unit, prepared once.
macro_rules! statement {
    ($name:ident, $sql:literal) => {
        #[derive(QueryId)]
        struct $name;

        impl QueryFragment<Sqlite> for $name {
            fn walk_ast<'b>(&'b self, mut out: AstPass<'_, 'b, Sqlite>) -> QueryResult<()> {
                out.push_sql($sql);
                Ok(())
            }
        }
    };
}

statement!(Savepoint, "SAVEPOINT unit");
statement!(Release, "RELEASE unit");
statement!(RollBackTo, "ROLLBACK TO unit");

struct Writer {
    conn: Conn,
    checkpoints: Checkpoints,
    health: Arc<Health>,
}

impl Writer {
    fn run(mut self, mut queue: mpsc::Receiver<Box<dyn Job>>) {
        let mut group = Vec::with_capacity(GROUP);
        while let Some(first) = queue.blocking_recv() {
            group.push(first);
            while group.len() < GROUP
                && let Ok(next) = queue.try_recv()
            {
                group.push(next);
            }
            self.commit_together(&mut group);
        }
    }

    fn commit_together(&mut self, group: &mut Vec<Box<dyn Job>>) {
        if let Err(error) = self.execute("BEGIN IMMEDIATE") {
            self.health.failed(&error.to_string());
            let fate = Fate::Unavailable(format!("the transaction could not begin: {error}"));
            group.drain(..).for_each(|job| job.finish(&fate));
            return;
        }
        let mut kept = Vec::with_capacity(group.len());
        let mut undone = Vec::new();
        let mut waiting = group.drain(..);
        let mut lost = None;
        for mut job in waiting.by_ref() {
            if !job.begin() {
                job.refuse();
                continue;
            }
            match self.run_behind_savepoint(&mut *job) {
                Ok(Outcome::Keep) => kept.push(job),
                Ok(Outcome::Undo) => undone.push(job),
                Err(error) => {
                    undone.push(job);
                    lost = Some(error);
                    break;
                }
            }
        }
        // A unit that failed needs no commit to be told so.
        let undone_fate = Fate::Unavailable("the unit of work was rolled back".to_owned());
        undone.into_iter().for_each(|job| job.finish(&undone_fate));
        let fate = match lost {
            // SQLite gave up the whole transaction (disk full, I/O error, out of memory): nothing of the group is there.
            Some(error) => {
                self.health.failed(&error.to_string());
                let _ = self.execute("ROLLBACK");
                Fate::Unavailable(format!("the transaction was lost: {error}"))
            }
            None if kept.is_empty() => self.roll_back(),
            None => self.commit(),
        };
        kept.into_iter().chain(waiting).for_each(|job| job.finish(&fate));
    }

    /// `Err` means that the transaction itself is gone.
    fn run_behind_savepoint(&mut self, job: &mut dyn Job) -> QueryResult<Outcome> {
        self.prepared(Savepoint)?;
        let mut tx = ConnTx::new(&mut self.conn);
        // Every future of this connection is ready at once; one that is not belongs to something else, and is dropped.
        let outcome = job.run(&mut tx).now_or_never().unwrap_or(Outcome::Undo);
        job.made(tx.statements);
        if outcome == Outcome::Keep && !tx.local.has_failed {
            self.prepared(Release)?;
            return Ok(Outcome::Keep);
        }
        self.prepared(RollBackTo)?;
        self.prepared(Release)?;
        Ok(Outcome::Undo)
    }

    fn roll_back(&mut self) -> Fate {
        let _ = self.execute("ROLLBACK");
        Fate::Unavailable("there was nothing to commit".to_owned())
    }

    fn commit(&mut self) -> Fate {
        let Err(error) = self.execute("COMMIT") else {
            self.health.answered();
            self.checkpoints.wake();
            return Fate::Committed;
        };
        self.health.failed(&error.to_string());
        let cause = format!("the commit failed: {error}");
        // After these two the transaction is as it was, and is taken back here. Any other failure of a commit may have left
        // the frames in the log, where the next start would find them.
        let is_certain = ["database is locked", "database or disk is full"]
            .iter()
            .any(|text| cause.contains(text));
        let is_undone = self.execute("ROLLBACK").is_ok();
        if is_certain && is_undone {
            Fate::Unavailable(cause)
        } else {
            Fate::Unknown(cause)
        }
    }

    fn prepared<S>(&mut self, statement: S) -> QueryResult<()>
    where
        S: QueryFragment<Sqlite> + QueryId + Send + 'static,
    {
        let run = self
            .conn
            .spawn_blocking(move |conn| conn.execute_returning_count(&statement).map(drop));
        run.now_or_never().unwrap_or(Err(Error::NotInTransaction))
    }

    fn execute(&mut self, sql: &str) -> QueryResult<()> {
        SimpleAsyncConnection::batch_execute(&mut self.conn, sql)
            .now_or_never()
            .unwrap_or(Err(Error::NotInTransaction))
    }
}
