//! PostgreSQL: a pool, and units of one developer combined into one transaction.

mod connection;
mod group;
mod herald;
mod ledger;
mod pool;
mod runtime;
mod store;
mod tls;

/// Runs a query for at most one row on `self`'s connection.
macro_rules! get {
    ($self:ident, $row:ty, $query:expr) => {{
        let query = $query;
        let row = diesel_async::RunQueryDsl::get_result::<$row>(query, $self.conn().await?)
            .await
            .optional();
        $self.note(row)
    }};
}

#[path = "../queries/mod.rs"]
mod queries;

pub use herald::{Heard, HeardHook, Herald};
pub use store::PostgresStore;

pub(crate) use connection::{Target, open};
pub(crate) use runtime::Driver;

use diesel::pg::Pg;
use diesel::prelude::*;
use diesel_async::{AsyncPgConnection, RunQueryDsl, SimpleAsyncConnection};
use grantex_core::error::StoreError;
use grantex_core::id::DeveloperId;
use grantex_core::store::{DeveloperHead, Ledger};
use grantex_core::webhook::work::DeliveryChange;

use crate::rows::{BesideHead, DeliveryChangeRow, HeadRow};
use crate::schema::developers;
use crate::statements::{Fixed, active_grant};
use ledger::{DeliveryChanges, LedgerInsert};
use queries::ConnTx;

/// The connection that `queries` speak to.
type Conn = AsyncPgConnection;
/// The backend that `queries` are built for.
type Db = Pg;

/// A developer's head that this transaction has locked; `None` for an unknown developer.
type Held = (DeveloperId, Option<DeveloperHead>);

/// What a unit of work remembers beside its connection.
#[derive(Default)]
struct Local {
    /// A statement failed, so PostgreSQL will roll back whatever the unit says.
    has_failed: bool,
    /// The head as it was locked, or as the last ledger left it.
    held: Option<Held>,
    /// A ledger that waits to be sent together with the commit.
    put_off: Option<LedgerInsert>,
}

impl Local {
    fn note_failure(&mut self) {
        self.has_failed = true;
    }

    fn forget_head(&mut self) {
        self.held = None;
    }
}

/// Writes what was put off, before anything else is asked of the connection.
async fn settle(tx: &mut ConnTx<'_>) -> Result<(), StoreError> {
    let Some(insert) = tx.local.put_off.take() else {
        return Ok(());
    };
    let count = insert.execute(tx.conn).await;
    tx.note(count).map(drop)
}

/// Locks a developer's head. Units of work that name their developer have done so already, before their first statement.
async fn lock_head(tx: &mut ConnTx<'_>, developer: &DeveloperId) -> Result<Option<DeveloperHead>, StoreError> {
    if let Some((held, head)) = &tx.local.held
        && held == developer
    {
        return Ok(head.clone());
    }
    settle(tx).await?;
    let query = developers::table
        .find(developer.as_str())
        .select((HeadRow::as_select(), (developers::plan, developers::subscriptions)))
        .for_no_key_update();
    let row = query.get_result::<(HeadRow, BesideHead)>(tx.conn).await.optional();
    let head = tx
        .note(row)?
        .map(|(head, beside)| head.into_head(developer, &beside))
        .transpose()?;
    tx.local.held = Some((developer.clone(), head.clone()));
    Ok(head)
}

async fn lock_active_grant(conn: &mut Conn, id: &str, heir: &str, now: i64) -> QueryResult<bool> {
    let active = active_grant!(id, heir, now).for_no_key_update();
    Ok(Fixed(active).get_result::<String>(conn).await.optional()?.is_some())
}

async fn lock_developers(conn: &mut Conn, ids: &[String]) -> QueryResult<()> {
    let query = developers::table
        .filter(developers::id.eq_any(ids))
        .order(developers::id)
        .select(developers::id)
        .for_no_key_update();
    query.load::<String>(conn).await.map(drop)
}

/// Lets only one transaction at a time look for a first key and add one.
async fn lock_signing_keys(conn: &mut Conn) -> QueryResult<()> {
    conn.batch_execute("LOCK TABLE signing_keys IN SHARE ROW EXCLUSIVE MODE")
        .await
}

/// Puts a ledger off until the next statement or the commit, so that the two make one round trip. Its developer's row is
/// locked and there, hence it cannot miss.
async fn write_ledger(tx: &mut ConnTx<'_>, ledger: &Ledger) -> Result<(), StoreError> {
    settle(tx).await?;
    if lock_head(tx, &ledger.developer_id).await?.is_none() {
        return tx.note(Err(diesel::result::Error::NotFound));
    }
    tx.local.put_off = Some(LedgerInsert::from(ledger));
    tx.local.held = Some((ledger.developer_id.clone(), Some(ledger.head.clone())));
    Ok(())
}

/// Takes down what became of deliveries, in one statement.
async fn change_deliveries(tx: &mut ConnTx<'_>, changes: &[DeliveryChange]) -> Result<(), StoreError> {
    settle(tx).await?;
    let changes: DeliveryChanges = changes.iter().map(DeliveryChangeRow::from).collect();
    let count = changes.execute(tx.conn).await;
    tx.note(count).map(drop)
}
