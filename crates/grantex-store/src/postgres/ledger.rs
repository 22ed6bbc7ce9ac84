//! A ledger as one statement: inserts in common table expressions, around the update of the developer's row.
//!
//! Rows travel as arrays, a column each, so that the text (and with it the prepared statement) does not depend on how many
//! there are.

use diesel::pg::Pg;
use diesel::prelude::*;
use diesel::query_builder::{AstPass, QueryFragment, QueryId};
use diesel::sql_types::{Array, BigInt, Bool, Nullable, Text};
use grantex_core::store::Ledger;

use super::put_off::Shapes;
use crate::rows::{AuditRow, DeliveryChangeRow, DeliveryRow, EventRow, GrantRow, RevocationRow, TokenRow};
use crate::statements::HeadUpdate;

/// Columns of the rows of one table, in the order of its `INSERT`.
macro_rules! columns {
    ($name:ident, $row:ident, $table:literal, { $($column:ident: $rust:ty => $sql:ty,)+ }) => {
        #[derive(Default)]
        struct $name { $($column: Vec<$rust>,)+ }

        impl $name {
            const INSERT: &str = concat!("INSERT INTO ", $table, " (", columns!(@list $($column),+), ") SELECT * FROM unnest(");

            fn push(&mut self, row: $row) {
                $(self.$column.push(row.$column);)+
            }

            fn is_empty(&self) -> bool {
                columns!(@first self $($column)+).is_empty()
            }

            fn walk<'b>(&'b self, out: &mut AstPass<'_, 'b, Pg>) -> QueryResult<()> {
                out.push_sql(Self::INSERT);
                let mut separator = "";
                $(
                    out.push_sql(separator);
                    separator = ", ";
                    out.push_bind_param::<Array<$sql>, _>(&self.$column)?;
                )+
                let _ = separator;
                out.push_sql(")");
                Ok(())
            }
        }
    };
    (@list $first:ident $(, $rest:ident)*) => { concat!(stringify!($first) $(, ", ", stringify!($rest))*) };
    (@first $self:ident $first:ident $($rest:ident)*) => { $self.$first };
}

columns!(Grants, GrantRow, "grants", {
    id: String => Text,
    developer_id: String => Text,
    agent_id: String => Text,
    principal_id: String => Text,
    scopes: String => Text,
    audience: Option<String> => Nullable<Text>,
    issued_at: i64 => BigInt,
    expires_at: i64 => BigInt,
    revoked_at: Option<i64> => Nullable<BigInt>,
    parent_grant_id: Option<String> => Nullable<Text>,
    delegation_depth: i64 => BigInt,
    delegators: String => Text,
    is_counted: bool => Bool,
});

columns!(Tokens, TokenRow, "tokens", {
    id: String => Text,
    grant_id: String => Text,
    developer_id: String => Text,
    key_id: String => Text,
    issued_at: i64 => BigInt,
    expires_at: i64 => BigInt,
    revoked_at: Option<i64> => Nullable<BigInt>,
    refresh_hash: String => Text,
    refresh_expires_at: i64 => BigInt,
    refresh_used_at: Option<i64> => Nullable<BigInt>,
    successor_id: Option<String> => Nullable<Text>,
    replay_key_hash: Option<String> => Nullable<Text>,
    replay_sealed: Option<String> => Nullable<Text>,
    ends_at: i64 => BigInt,
    biscuit_key_id: Option<String> => Nullable<Text>,
});

columns!(Audit, AuditRow, "audit_entries", {
    developer_id: String => Text,
    chain: String => Text,
    seq: i64 => BigInt,
    id: String => Text,
    agent_id: String => Text,
    agent_did: String => Text,
    grant_id: String => Text,
    principal_id: String => Text,
    action: String => Text,
    metadata: String => Text,
    status: String => Text,
    timestamp: i64 => BigInt,
    prev_hash: Option<String> => Nullable<Text>,
    hash: String => Text,
    trace_id: Option<String> => Nullable<Text>,
});

columns!(Events, EventRow, "events", {
    developer_id: String => Text,
    seq: i64 => BigInt,
    id: String => Text,
    kind: String => Text,
    payload: String => Text,
    created_at: i64 => BigInt,
});

columns!(Deliveries, DeliveryRow, "webhook_deliveries", {
    id: String => Text,
    webhook_id: String => Text,
    developer_id: String => Text,
    event_id: String => Text,
    event_seq: i64 => BigInt,
    kind: String => Text,
    order_key: String => Text,
    payload: String => Text,
    status: String => Text,
    attempts: i64 => BigInt,
    next_attempt_at: i64 => BigInt,
    last_status: Option<i64> => Nullable<BigInt>,
    last_error: Option<String> => Nullable<Text>,
    sent_to: Option<String> => Nullable<Text>,
    created_at: i64 => BigInt,
    ended_at: Option<i64> => Nullable<BigInt>,
    traceparent: Option<String> => Nullable<Text>,
});

columns!(Revocations, RevocationRow, "revocations", {
    developer_id: String => Text,
    seq: i64 => BigInt,
    action: String => Text,
    subject: String => Text,
    expires_at: i64 => BigInt,
    at: i64 => BigInt,
    hash: String => Text,
    is_latest: bool => Bool,
});

/// Entries of a revocation feed, as one statement.
pub(super) struct RevocationInsert(Revocations);

impl From<Vec<RevocationRow>> for RevocationInsert {
    fn from(rows: Vec<RevocationRow>) -> Self {
        let mut all = Revocations::default();
        rows.into_iter().for_each(|row| all.push(row));
        Self(all)
    }
}

impl RevocationInsert {
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

impl QueryId for RevocationInsert {
    type QueryId = Self;
    const HAS_STATIC_QUERY_ID: bool = true;
}

impl QueryFragment<Pg> for RevocationInsert {
    fn walk_ast<'b>(&'b self, mut out: AstPass<'_, 'b, Pg>) -> QueryResult<()> {
        self.0.walk(&mut out)
    }
}

/// A ledger, ready to be written. Affects one row: the developer's.
pub(super) struct LedgerInsert {
    head: HeadUpdate,
    grants: Grants,
    tokens: Tokens,
    audit: Audit,
    events: Events,
    deliveries: Deliveries,
}

impl From<&Ledger> for LedgerInsert {
    fn from(ledger: &Ledger) -> Self {
        let (mut grants, mut tokens) = (Grants::default(), Tokens::default());
        let (mut audit, mut events) = (Audit::default(), Events::default());
        let mut deliveries = Deliveries::default();
        ledger.grants.iter().for_each(|grant| grants.push(grant.into()));
        ledger.tokens.iter().for_each(|token| tokens.push(token.into()));
        ledger.audit.iter().for_each(|entry| audit.push(entry.into()));
        ledger.events.iter().for_each(|event| events.push(event.into()));
        ledger
            .deliveries
            .iter()
            .for_each(|delivery| deliveries.push(delivery.into()));
        Self {
            head: HeadUpdate::from(ledger),
            grants,
            tokens,
            audit,
            events,
            deliveries,
        }
    }
}

impl LedgerInsert {
    /// One bit for each of the thirty-two texts: by which tables get rows.
    pub fn shape(&self) -> Shapes {
        let parts = [
            self.grants.is_empty(),
            self.tokens.is_empty(),
            self.audit.is_empty(),
            self.events.is_empty(),
            self.deliveries.is_empty(),
        ];
        1 << parts
            .iter()
            .fold(0, |number, is_empty| number * 2 + u32::from(!is_empty))
    }
}

/// There are thirty-two texts, by which tables get rows; each is prepared once per connection, found by its text.
impl QueryId for LedgerInsert {
    type QueryId = ();
    const HAS_STATIC_QUERY_ID: bool = false;
}

impl QueryFragment<Pg> for LedgerInsert {
    fn walk_ast<'b>(&'b self, mut out: AstPass<'_, 'b, Pg>) -> QueryResult<()> {
        let mut prefix = "WITH ";
        macro_rules! insert {
            ($name:literal, $columns:expr) => {
                if !$columns.is_empty() {
                    out.push_sql(prefix);
                    out.push_sql(concat!($name, " AS ("));
                    $columns.walk(&mut out)?;
                    out.push_sql(")");
                    prefix = ", ";
                }
            };
        }
        insert!("new_grants", self.grants);
        insert!("new_tokens", self.tokens);
        insert!("new_audit", self.audit);
        insert!("new_events", self.events);
        insert!("new_deliveries", self.deliveries);
        let _ = prefix;

        out.push_sql(" ");
        self.head.walk_ast(out)
    }
}

/// What became of deliveries, as one statement. The rows are locked in the order of their ids, so that two of them cannot wait
/// for each other.
#[derive(Default)]
pub(super) struct DeliveryChanges {
    id: Vec<String>,
    status: Vec<String>,
    attempts: Vec<i64>,
    next_attempt_at: Vec<i64>,
    last_status: Vec<Option<i64>>,
    last_error: Vec<Option<String>>,
    sent_to: Vec<Option<String>>,
    ended_at: Vec<Option<i64>>,
}

impl FromIterator<DeliveryChangeRow> for DeliveryChanges {
    fn from_iter<I: IntoIterator<Item = DeliveryChangeRow>>(changes: I) -> Self {
        let mut all = Self::default();
        for change in changes {
            all.id.push(change.id);
            all.status.push(change.status);
            all.attempts.push(change.attempts);
            all.next_attempt_at.push(change.next_attempt_at);
            all.last_status.push(change.last_status);
            all.last_error.push(change.last_error);
            all.sent_to.push(change.sent_to);
            all.ended_at.push(change.ended_at);
        }
        all
    }
}

impl QueryId for DeliveryChanges {
    type QueryId = Self;
    const HAS_STATIC_QUERY_ID: bool = true;
}

impl QueryFragment<Pg> for DeliveryChanges {
    fn walk_ast<'b>(&'b self, mut out: AstPass<'_, 'b, Pg>) -> QueryResult<()> {
        out.push_sql(
            "UPDATE webhook_deliveries d SET status = c.status, attempts = c.attempts, \
             next_attempt_at = c.next_attempt_at, last_status = c.last_status, \
             last_error = COALESCE(c.last_error, d.last_error), sent_to = COALESCE(c.sent_to, d.sent_to), \
             ended_at = c.ended_at FROM (SELECT u.* FROM unnest(",
        );
        out.push_bind_param::<Array<Text>, _>(&self.id)?;
        out.push_sql(", ");
        out.push_bind_param::<Array<Text>, _>(&self.status)?;
        out.push_sql(", ");
        out.push_bind_param::<Array<BigInt>, _>(&self.attempts)?;
        out.push_sql(", ");
        out.push_bind_param::<Array<BigInt>, _>(&self.next_attempt_at)?;
        out.push_sql(", ");
        out.push_bind_param::<Array<Nullable<BigInt>>, _>(&self.last_status)?;
        out.push_sql(", ");
        out.push_bind_param::<Array<Nullable<Text>>, _>(&self.last_error)?;
        out.push_sql(", ");
        out.push_bind_param::<Array<Nullable<Text>>, _>(&self.sent_to)?;
        out.push_sql(", ");
        out.push_bind_param::<Array<Nullable<BigInt>>, _>(&self.ended_at)?;
        out.push_sql(
            ") AS u (id, status, attempts, next_attempt_at, last_status, last_error, sent_to, ended_at) \
             JOIN webhook_deliveries l ON l.id = u.id ORDER BY u.id FOR NO KEY UPDATE OF l) c WHERE d.id = c.id",
        );
        Ok(())
    }
}
