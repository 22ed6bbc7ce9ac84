//! PostgreSQL: a pool, and units of one developer combined into one transaction.

mod connection;
mod group;
mod herald;
mod ledger;
mod loader;
mod lookups;
mod pool;
mod put_off;
mod queue;
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

use std::collections::HashMap;

use diesel::pg::Pg;
use diesel::prelude::*;
use diesel_async::{AsyncPgConnection, RunQueryDsl, SimpleAsyncConnection};
use grantex_core::error::StoreError;
use grantex_core::id::DeveloperId;
use grantex_core::store::{DeveloperHead, Ledger};
use grantex_core::webhook::work::DeliveryChange;

use crate::rows::{AuthRequestRow, BesideHead, DeliveryChangeRow, HeadRow, RevocationRow};
use crate::schema::developers;
use crate::statements::{Fixed, active_grant};
use ledger::{DeliveryChanges, LedgerInsert, RevocationInsert};
use put_off::PutOff;
use queries::ConnTx;

/// The connection that `queries` speak to.
type Conn = AsyncPgConnection;
/// The backend that `queries` are built for.
type Db = Pg;

/// Heads as they were locked, or as the last ledger left them; `None` for an unknown developer.
type Held = HashMap<DeveloperId, Option<DeveloperHead>>;

/// What a unit of work remembers beside its connection.
#[derive(Default)]
struct Local {
    /// A statement failed, so PostgreSQL will roll back whatever the unit says.
    has_failed: bool,
    /// The heads that this transaction has locked.
    held: Held,
    /// The head that the unit's ledger has advanced, as it was.
    replaced: Option<(DeveloperId, Option<DeveloperHead>)>,
    /// The unit has locked heads itself, or read them again after it changed more than a ledger does.
    has_locked: bool,
    /// A write that waits to be sent together with the next statement or the commit.
    put_off: Option<PutOff>,
    /// Something was sent whose answer nobody waits for.
    is_unsure: bool,
}

impl Local {
    fn note_failure(&mut self) {
        self.has_failed = true;
    }

    fn forget_head(&mut self) {
        self.held.clear();
        self.has_locked = true;
    }

    fn begin_unit(&mut self) {
        self.has_failed = false;
        self.replaced = None;
        self.has_locked = false;
    }

    fn undo_unit(&mut self) {
        self.has_failed = false;
        self.put_off = None;
        let replaced = self.replaced.take();
        if self.has_locked {
            // Some heads may be as the unit changed them, and what it locked is locked no more.
            self.held.clear();
        } else {
            self.held.extend(replaced);
        }
    }
}

/// Writes what was put off, before anything else is asked of the connection.
async fn settle(tx: &mut ConnTx<'_>) -> Result<(), StoreError> {
    let Some(put_off) = tx.local.put_off.take() else {
        return Ok(());
    };
    let count = put_off.execute(tx.conn).await;
    tx.note(count).map(drop)
}

/// Locks a developer's head. Units of work that name their developer have done so already, before their first statement.
async fn lock_head(tx: &mut ConnTx<'_>, developer: &DeveloperId) -> Result<Option<DeveloperHead>, StoreError> {
    if !tx.local.held.contains_key(developer) {
        settle(tx).await?;
        tx.local.has_locked = true;
        lock_heads(tx, std::slice::from_ref(developer)).await?;
    }
    Ok(tx.local.held.get(developer).cloned().flatten())
}

/// Locks the heads of developers, in the order of their ids.
async fn lock_heads(tx: &mut ConnTx<'_>, developers: &[DeveloperId]) -> Result<(), StoreError> {
    let ids: Vec<&str> = developers.iter().map(DeveloperId::as_str).collect();
    let query = developers::table
        .filter(developers::id.eq_any(ids))
        .order(developers::id)
        .select((
            developers::id,
            HeadRow::as_select(),
            (developers::plan, developers::subscriptions),
        ))
        .for_no_key_update();
    tx.statements += 1;
    let rows = query.load::<(String, HeadRow, BesideHead)>(tx.conn).await;
    let mut rows: HashMap<String, (HeadRow, BesideHead)> = tx
        .note(rows)?
        .into_iter()
        .map(|(id, head, beside)| (id, (head, beside)))
        .collect();
    for developer in developers {
        let row = rows.remove(developer.as_str());
        let head = row
            .map(|(head, beside)| head.into_head(developer, &beside))
            .transpose()?;
        tx.local.held.insert(developer.clone(), head);
    }
    Ok(())
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

/// Puts a ledger off. Its developer's row is locked and there, hence it cannot miss.
async fn write_ledger(tx: &mut ConnTx<'_>, ledger: &Ledger) -> Result<(), StoreError> {
    settle(tx).await?;
    if lock_head(tx, &ledger.developer_id).await?.is_none() {
        return tx.note(Err(diesel::result::Error::NotFound));
    }
    tx.statements += 1;
    tx.local.put_off = Some(PutOff::Ledger(Box::new(LedgerInsert::from(ledger))));
    let developer = ledger.developer_id.clone();
    let before = tx.local.held.insert(developer.clone(), Some(ledger.head.clone()));
    // A second ledger of the same unit is taken back together with the first.
    tx.local.replaced.get_or_insert((developer, before.flatten()));
    Ok(())
}

/// Puts a request off: with nothing else to do, its unit is one round trip.
async fn insert_auth_request(tx: &mut ConnTx<'_>, row: AuthRequestRow) -> Result<(), StoreError> {
    settle(tx).await?;
    tx.statements += 1;
    tx.local.put_off = Some(PutOff::Request(Box::new(row)));
    Ok(())
}

/// Adds entries to a revocation feed, in one statement however many there are.
async fn insert_revocations(tx: &mut ConnTx<'_>, rows: Vec<RevocationRow>) -> Result<(), StoreError> {
    settle(tx).await?;
    let insert = RevocationInsert::from(rows);
    if insert.is_empty() {
        return Ok(());
    }
    tx.statements += 1;
    let count = insert.execute(tx.conn).await;
    tx.note(count).map(drop)
}

/// Takes down what became of deliveries, in one statement.
async fn change_deliveries(tx: &mut ConnTx<'_>, changes: &[DeliveryChange]) -> Result<(), StoreError> {
    settle(tx).await?;
    let changes: DeliveryChanges = changes.iter().map(DeliveryChangeRow::from).collect();
    tx.statements += 1;
    let count = changes.execute(tx.conn).await;
    tx.note(count).map(drop)
}
