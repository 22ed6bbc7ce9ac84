//! The ports of the domain on one connection. Compiled once per backend: [`super::Conn`] says which.
//!
//! What the backends do differently is asked of the backend's module: [`super::settle`], [`super::lock_head`],
//! [`super::lock_developers`], [`super::lock_active_grant`], [`super::lock_signing_keys`], [`super::insert_auth_request`],
//! [`super::insert_revocations`] and [`super::write_ledger`].

mod agents;
mod anomalies;
mod audit;
mod auth_requests;
mod blocks;
mod developers;
mod events;
mod grants;
mod janitor;
mod keys;
mod ledger;
mod policies;
mod revocations;
mod tokens;
mod webhooks;

use diesel::QueryResult;
use diesel::query_builder::{AstPass, Query, QueryFragment, QueryId};
use diesel::sql_types::BigInt;
use grantex_core::error::StoreError;

use super::{Conn, Db, Local};

/// How many values one `IN (…)` names at most: SQLite counts them as variables of the statement.
const CHUNK: usize = 1_000;

/// A connection that speaks the domain's language. In a unit of work it sees and changes what the transaction does.
pub(crate) struct ConnTx<'c> {
    pub(super) conn: &'c mut Conn,
    pub(super) local: Local,
    /// Statements so far.
    pub(super) statements: u64,
}

impl<'c> ConnTx<'c> {
    /// Speaks through a connection.
    pub(super) fn new(conn: &'c mut Conn) -> Self {
        Self {
            conn,
            local: Local::default(),
            statements: 0,
        }
    }

    /// The connection, with everything written that was put off.
    async fn conn(&mut self) -> Result<&mut Conn, StoreError> {
        super::settle(self).await?;
        self.statements += 1;
        Ok(self.conn)
    }

    /// Turns a failed statement into the domain's error and remembers that there was one.
    pub(super) fn note<T>(&mut self, result: QueryResult<T>) -> Result<T, StoreError> {
        result.map_err(|error| {
            self.local.note_failure();
            StoreError::unavailable(error)
        })
    }
}

/// Counts the rows of a query that limits them, so that nothing is counted beyond the limit.
#[derive(QueryId)]
struct Count<Q>(Q);

impl<Q: Query> Query for Count<Q> {
    type SqlType = BigInt;
}

impl<Q: QueryFragment<Db>> QueryFragment<Db> for Count<Q> {
    fn walk_ast<'b>(&'b self, mut out: AstPass<'_, 'b, Db>) -> QueryResult<()> {
        out.push_sql("SELECT COUNT(*) FROM (");
        self.0.walk_ast(out.reborrow())?;
        out.push_sql(") AS counted");
        Ok(())
    }
}

/// Rows into what they mean.
fn all<R, T: TryFrom<R, Error = StoreError>>(rows: Vec<R>) -> Result<Vec<T>, StoreError> {
    rows.into_iter().map(T::try_from).collect()
}

/// A count of rows as the ports want it.
pub(super) fn rows(count: usize) -> u64 {
    u64::try_from(count).unwrap_or(u64::MAX)
}

/// A number of rows to skip as SQL wants it; more than any table holds is more than any table holds.
fn skip(count: u64) -> i64 {
    i64::try_from(count).unwrap_or(i64::MAX)
}
