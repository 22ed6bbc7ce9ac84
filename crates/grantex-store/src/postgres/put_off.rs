//! Writes that need not be waited for: they are sent together with what follows, the next statement or the commit.

use diesel::QueryResult;
use diesel_async::RunQueryDsl;
use futures_util::FutureExt;
use futures_util::future::BoxFuture;
use tokio::task::unconstrained;

use super::Conn;
use super::ledger::LedgerInsert;
use crate::rows::AuthRequestRow;
use crate::schema::auth_requests;

/// A set of statement texts, a bit each: those that a connection has prepared.
pub(super) type Shapes = u64;

/// The highest bit: the ledger's texts count from the lowest.
const REQUEST: Shapes = 1 << 63;

/// A write that is put off.
pub(super) enum PutOff {
    Ledger(Box<LedgerInsert>),
    Request(Box<AuthRequestRow>),
}

impl PutOff {
    /// Which text it is sent as.
    pub fn shape(&self) -> Shapes {
        match self {
            Self::Ledger(insert) => insert.shape(),
            Self::Request(_) => REQUEST,
        }
    }

    /// Sends it when it is first polled, if its text is prepared; else that only begins to prepare it.
    pub fn execute(self, conn: &Conn) -> BoxFuture<'_, QueryResult<usize>> {
        let mut shared = conn;
        let sent = match self {
            Self::Ledger(insert) => insert.execute(&mut shared).boxed(),
            Self::Request(row) => diesel::insert_into(auth_requests::table)
                .values(*row)
                .execute(&mut shared)
                .boxed(),
        };
        // A task that has done much since it last yielded is made to yield at the lock of the statements that are prepared:
        // the first poll would then send nothing.
        unconstrained(sent).boxed()
    }
}
