//! The developer's head and ledgers, in plain diesel: a visit to the connection runs several statements, and their types
//! find them prepared without building their texts.

use diesel::connection::Connection;
use diesel::prelude::*;
use diesel::query_builder::{AstPass, QueryFragment, QueryId};
use diesel::result::Error;
use diesel::sql_types::{BigInt, Nullable, Text};
use diesel::sqlite::Sqlite;
use grantex_core::error::StoreError;
use grantex_core::id::DeveloperId;
use grantex_core::store::{DeveloperHead, Ledger};
use grantex_core::webhook::work::DeliveryChange;

use super::queries::ConnTx;
use crate::rows::{AuditRow, BesideHead, DeliveryChangeRow, DeliveryRow, EventRow, GrantRow, HeadRow, TokenRow};
use crate::schema::{audit_entries, developers, events, grants, tokens, webhook_deliveries};
use crate::statements::HeadUpdate;

/// Reads a developer's head. There is one writer, so this is as good as a lock.
pub(super) async fn lock_head(
    tx: &mut ConnTx<'_>,
    developer: &DeveloperId,
) -> Result<Option<DeveloperHead>, StoreError> {
    tx.statements += 1;
    let id = developer.as_str().to_owned();
    let row = tx.conn.spawn_blocking(move |conn| {
        let query = developers::table
            .find(&id)
            .select((HeadRow::as_select(), (developers::plan, developers::subscriptions)));
        query.get_result::<(HeadRow, BesideHead)>(conn).optional()
    });
    let row = row.await;
    tx.note(row)?
        .map(|(head, beside)| head.into_head(developer, &beside))
        .transpose()
}

/// Writes a ledger row by row.
pub(super) async fn write_ledger(tx: &mut ConnTx<'_>, ledger: &Ledger) -> Result<(), StoreError> {
    let new_grants: Vec<GrantRow> = ledger.grants.iter().map(GrantRow::from).collect();
    let new_tokens: Vec<TokenRow> = ledger.tokens.iter().map(TokenRow::from).collect();
    let new_audit: Vec<AuditRow> = ledger.audit.iter().map(AuditRow::from).collect();
    let new_events: Vec<EventRow> = ledger.events.iter().map(EventRow::from).collect();
    let new_deliveries: Vec<DeliveryRow> = ledger.deliveries.iter().map(DeliveryRow::from).collect();
    let head = HeadUpdate::from(ledger);
    let rows = new_grants.len() + new_tokens.len() + new_audit.len() + new_events.len() + new_deliveries.len();
    tx.statements += super::queries::rows(rows) + 1;
    let written = tx.conn.spawn_blocking(move |conn| {
        for row in &new_grants {
            diesel::insert_into(grants::table).values(row).execute(conn)?;
        }
        for row in &new_tokens {
            diesel::insert_into(tokens::table).values(row).execute(conn)?;
        }
        for row in &new_audit {
            diesel::insert_into(audit_entries::table).values(row).execute(conn)?;
        }
        for row in &new_events {
            diesel::insert_into(events::table).values(row).execute(conn)?;
        }
        for row in &new_deliveries {
            diesel::insert_into(webhook_deliveries::table)
                .values(row)
                .execute(conn)?;
        }
        match conn.execute_returning_count(&head)? {
            1 => Ok(()),
            _ => Err(Error::NotFound),
        }
    });
    let written = written.await;
    tx.note(written)
}

/// Takes down what became of deliveries, one by one.
pub(super) async fn change_deliveries(tx: &mut ConnTx<'_>, changes: &[DeliveryChange]) -> Result<(), StoreError> {
    let changes: Vec<DeliveryChangeRow> = changes.iter().map(DeliveryChangeRow::from).collect();
    tx.statements += super::queries::rows(changes.len());
    let changed = tx.conn.spawn_blocking(move |conn| {
        for change in &changes {
            conn.execute_returning_count(&OneDelivery(change))?;
        }
        Ok(())
    });
    let changed = changed.await;
    tx.note(changed)
}

/// The change of one delivery.
struct OneDelivery<'a>(&'a DeliveryChangeRow);

impl QueryId for OneDelivery<'_> {
    type QueryId = OneDelivery<'static>;
    const HAS_STATIC_QUERY_ID: bool = true;
}

impl QueryFragment<Sqlite> for OneDelivery<'_> {
    fn walk_ast<'b>(&'b self, mut out: AstPass<'_, 'b, Sqlite>) -> QueryResult<()> {
        let change = self.0;
        out.push_sql("UPDATE webhook_deliveries SET status = ");
        out.push_bind_param::<Text, _>(&change.status)?;
        out.push_sql(", attempts = ");
        out.push_bind_param::<BigInt, _>(&change.attempts)?;
        out.push_sql(", next_attempt_at = ");
        out.push_bind_param::<BigInt, _>(&change.next_attempt_at)?;
        out.push_sql(", last_status = ");
        out.push_bind_param::<Nullable<BigInt>, _>(&change.last_status)?;
        out.push_sql(", last_error = COALESCE(");
        out.push_bind_param::<Nullable<Text>, _>(&change.last_error)?;
        out.push_sql(", last_error), sent_to = COALESCE(");
        out.push_bind_param::<Nullable<Text>, _>(&change.sent_to)?;
        out.push_sql(", sent_to), ended_at = ");
        out.push_bind_param::<Nullable<BigInt>, _>(&change.ended_at)?;
        out.push_sql(" WHERE id = ");
        out.push_bind_param::<Text, _>(&change.id)
    }
}
