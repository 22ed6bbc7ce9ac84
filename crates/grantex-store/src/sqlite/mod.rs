//! The embedded store: one writer that commits waiting units together, and a few readers.

mod checkpoint;
mod connection;
mod ledger;
mod store;
mod writer;

/// Runs a query for at most one row on `self`'s connection. In plain diesel, because the wrapper copies every value of a row
/// twice; that is most of the cost of a point read. The query owns its values.
macro_rules! get {
    ($self:ident, $row:ty, $query:expr) => {{
        let query = $query;
        let run = $self
            .conn()
            .await?
            .spawn_blocking(move |conn| diesel::RunQueryDsl::get_result::<$row>(query, conn));
        let row = run.await.optional();
        $self.note(row)
    }};
}

#[path = "../queries/mod.rs"]
mod queries;

pub use store::SqliteStore;

pub(crate) use connection::{Role, establish};

use diesel::prelude::*;
use diesel::sqlite::Sqlite;
use diesel_async::RunQueryDsl;
use grantex_core::error::StoreError;

use crate::rows::{AuthRequestRow, RevocationRow};
use crate::schema::{auth_requests, revocations};
use crate::statements::{Fixed, active_grant};
use connection::Inline;
use ledger::{change_deliveries, lock_head, write_ledger};
use queries::ConnTx;

/// The connection that `queries` speak to.
type Conn = diesel_async::sync_connection_wrapper::SyncConnectionWrapper<SqliteConnection, Inline>;
/// The backend that `queries` are built for.
type Db = Sqlite;

/// What a unit of work remembers beside its connection: whether a statement failed.
#[derive(Default)]
struct Local {
    has_failed: bool,
}

impl Local {
    fn note_failure(&mut self) {
        self.has_failed = true;
    }

    #[expect(clippy::unused_self, reason = "the other backend keeps the head that it locked")]
    fn forget_head(&mut self) {}
}

/// Nothing is put off here: writing at once costs no round trip.
#[expect(clippy::unused_async, reason = "the other backend has something to wait for")]
async fn settle(_tx: &mut ConnTx<'_>) -> Result<(), StoreError> {
    Ok(())
}

async fn insert_auth_request(tx: &mut ConnTx<'_>, row: AuthRequestRow) -> Result<(), StoreError> {
    tx.statements += 1;
    let inserted = tx.conn.spawn_blocking(move |conn| {
        diesel::RunQueryDsl::execute(diesel::insert_into(auth_requests::table).values(&row), conn).map(drop)
    });
    let inserted = inserted.await;
    tx.note(inserted)
}

async fn insert_revocations(tx: &mut ConnTx<'_>, rows: Vec<RevocationRow>) -> Result<(), StoreError> {
    tx.statements += queries::rows(rows.len());
    let inserted = tx.conn.spawn_blocking(move |conn| {
        for row in &rows {
            let insert = diesel::insert_into(revocations::table).values(row);
            diesel::RunQueryDsl::execute(insert, conn)?;
        }
        Ok(())
    });
    let inserted = inserted.await;
    tx.note(inserted)
}

async fn lock_active_grant(conn: &mut Conn, id: &str, heir: &str, now: i64) -> QueryResult<bool> {
    let active = active_grant!(id, heir, now);
    Ok(Fixed(active).get_result::<String>(conn).await.optional()?.is_some())
}

#[expect(clippy::unused_async, reason = "the other backend has something to wait for")]
async fn lock_developers(_conn: &mut Conn, _ids: &[String]) -> QueryResult<()> {
    Ok(())
}

#[expect(clippy::unused_async, reason = "the other backend has something to wait for")]
async fn lock_signing_keys(_conn: &mut Conn) -> QueryResult<()> {
    Ok(())
}
