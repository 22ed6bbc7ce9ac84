//! Statements that the query builder would prepare anew each time, made so that each connection prepares them once.

use diesel::QueryResult;
use diesel::backend::Backend;
use diesel::query_builder::{AstPass, Query, QueryFragment, QueryId};
use diesel::serialize::ToSql;
use diesel::sql_types::{BigInt, HasSqlType, Nullable, Text};
use grantex_core::store::Ledger;

use crate::rows::HeadRow;

/// A statement whose text never changes, found again by its text.
///
/// Diesel prepares every `UPDATE` anew, because changesets may leave columns out. Ours never do; on PostgreSQL this saves a
/// round trip each time.
pub(crate) struct Fixed<Q>(pub Q);

impl<Q> QueryId for Fixed<Q> {
    type QueryId = ();
    const HAS_STATIC_QUERY_ID: bool = false;
}

impl<Q: Query> Query for Fixed<Q> {
    type SqlType = Q::SqlType;
}

impl<DB: Backend, Q: QueryFragment<DB>> QueryFragment<DB> for Fixed<Q> {
    fn walk_ast<'b>(&'b self, pass: AstPass<'_, 'b, DB>) -> QueryResult<()> {
        self.0.walk_ast(pass)
    }

    fn is_safe_to_cache_prepared(&self, _backend: &DB) -> QueryResult<bool> {
        Ok(true)
    }
}

/// Advances a developer's head: the statement that every ledger ends with.
#[derive(QueryId)]
pub(crate) struct HeadUpdate {
    developer: String,
    head: HeadRow,
}

impl From<&Ledger> for HeadUpdate {
    fn from(ledger: &Ledger) -> Self {
        Self {
            developer: ledger.developer_id.as_str().to_owned(),
            head: HeadRow::from(&ledger.head),
        }
    }
}

impl<DB> QueryFragment<DB> for HeadUpdate
where
    DB: Backend + HasSqlType<BigInt> + HasSqlType<Text>,
    i64: ToSql<BigInt, DB>,
    String: ToSql<Text, DB>,
    Option<i64>: ToSql<Nullable<BigInt>, DB>,
    Option<String>: ToSql<Nullable<Text>, DB>,
{
    fn walk_ast<'b>(&'b self, mut out: AstPass<'_, 'b, DB>) -> QueryResult<()> {
        let head = &self.head;
        out.push_sql("UPDATE developers SET active_grants = ");
        out.push_bind_param::<BigInt, _>(&head.active_grants)?;
        out.push_sql(", event_seq = ");
        out.push_bind_param::<BigInt, _>(&head.event_seq)?;
        out.push_sql(", caller_seq = ");
        out.push_bind_param::<BigInt, _>(&head.caller_seq)?;
        out.push_sql(", caller_hash = ");
        out.push_bind_param::<Nullable<Text>, _>(&head.caller_hash)?;
        out.push_sql(", caller_id = ");
        out.push_bind_param::<Nullable<Text>, _>(&head.caller_id)?;
        out.push_sql(", caller_at = ");
        out.push_bind_param::<Nullable<BigInt>, _>(&head.caller_at)?;
        out.push_sql(", server_seq = ");
        out.push_bind_param::<BigInt, _>(&head.server_seq)?;
        out.push_sql(", server_hash = ");
        out.push_bind_param::<Nullable<Text>, _>(&head.server_hash)?;
        out.push_sql(", server_id = ");
        out.push_bind_param::<Nullable<Text>, _>(&head.server_id)?;
        out.push_sql(", server_at = ");
        out.push_bind_param::<Nullable<BigInt>, _>(&head.server_at)?;
        out.push_sql(" WHERE id = ");
        out.push_bind_param::<Text, _>(&self.developer)
    }
}
