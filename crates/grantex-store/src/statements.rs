//! Statements that the query builder would prepare anew each time, made so that each connection prepares them once.

use diesel::QueryResult;
use diesel::backend::Backend;
use diesel::dsl::sql;
use diesel::expression::SqlLiteral;
use diesel::query_builder::{AstPass, Query, QueryFragment, QueryId};
use diesel::serialize::ToSql;
use diesel::sql_types::{BigInt, Bool, HasSqlType, Nullable, Text};
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

/// Whether the agent of the row at hand is active; unknown when it is gone. A scalar, because PostgreSQL may turn `EXISTS` into a
/// join with all agents, and a prepared statement keeps what was cheap when there were few.
macro_rules! active_agent {
    ($of:literal) => {
        concat!(
            "(SELECT doer.status FROM agents AS doer WHERE doer.id = ",
            $of,
            ".agent_id AND doer.deleted_at IS NULL) = 'active'"
        )
    };
}

/// Whether the grant at hand is in force but for its expiry. What stands above it is only looked at where there is something.
macro_rules! in_force {
    () => {
        concat!(
            "grants.revoked_at IS NULL AND ",
            active_agent!("grants"),
            " AND (grants.parent_grant_id IS NULL OR NOT EXISTS (\
             WITH RECURSIVE above (agent_id, revoked_at, parent_grant_id, distance) AS (\
             SELECT parent.agent_id, parent.revoked_at, parent.parent_grant_id, 1 \
             FROM grants AS parent WHERE parent.id = grants.parent_grant_id \
             UNION ALL \
             SELECT parent.agent_id, parent.revoked_at, parent.parent_grant_id, above.distance + 1 \
             FROM above JOIN grants AS parent ON parent.id = above.parent_grant_id WHERE above.distance < 64) \
             SELECT 1 FROM above WHERE above.revoked_at IS NOT NULL OR (",
            active_agent!("above"),
            ") IS NOT TRUE))"
        )
    };
}

/// For statements on `auth_requests`: whether the request's agent is active.
pub(crate) fn requester_is_active() -> SqlLiteral<Bool> {
    sql(active_agent!("auth_requests"))
}

/// For statements on `grants`: whether the grant is in force.
pub(crate) fn grant_is_in_force() -> SqlLiteral<Bool> {
    sql(concat!("(", in_force!(), ")"))
}

/// A query for the id of a grant that is unexpired and in force, while the agent `heir` is active.
macro_rules! active_grant {
    ($id:expr, $heir:expr, $now:expr) => {
        crate::schema::grants::table
            .find($id)
            .filter(crate::schema::grants::expires_at.gt($now))
            .filter(crate::statements::grant_is_in_force())
            .filter(diesel::dsl::exists(
                crate::schema::agents::table
                    .find($heir)
                    .filter(crate::schema::agents::deleted_at.is_null())
                    .filter(crate::schema::agents::status.eq(grantex_core::agent::AgentStatus::Active.as_str())),
            ))
            .select(crate::schema::grants::id)
    };
}
pub(crate) use active_grant;

/// For statements on `tokens`: whether the token's grant is in force.
pub(crate) fn grant_of_token_is_in_force() -> SqlLiteral<Bool> {
    sql(concat!(
        "EXISTS (SELECT 1 FROM grants WHERE grants.id = tokens.grant_id AND ",
        in_force!(),
        ")"
    ))
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
